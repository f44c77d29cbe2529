package cold

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"

	"kalamdb/internal/schema"
)

// The templates of storages that name none.
const (
	DefaultSharedTemplate = "{namespace}/{tableName}"
	DefaultUserTemplate   = "{namespace}/{tableName}/{userId}"
)

// manifestName is the manifest's name in the folder of its scope.
const manifestName = "manifest.json"

// encodedMost is the longest encoded name of a folder; longer ones are hashed.
const encodedMost = 200

const upperHex = "0123456789ABCDEF"

// FolderOf returns the folder of a scope below the base of a storage. Names of
// namespaces, tables and users enter it encoded, so that no name can lead out
// of its place or meet another's.
func FolderOf(st schema.Storage, def *schema.Table, scope schema.Scope) string {
	template := templateOf(st, def)
	var folders []string
	for part := range strings.SplitSeq(template, "/") {
		if part = expand(part, def, scope); part != "" && part != "." {
			folders = append(folders, part)
		}
	}
	return path.Join(folders...)
}

// PackedFolderOf returns the folder of the files that many users of a table
// share: that of its users without what names one.
func PackedFolderOf(st schema.Storage, def *schema.Table) string {
	var folders []string
	for part := range strings.SplitSeq(templateOf(st, def), "/") {
		if namesUser(part) || strings.Contains(part, "{shard}") {
			continue
		}
		if part = expand(part, def, ""); part != "" && part != "." {
			folders = append(folders, part)
		}
	}
	return path.Join(append(folders, schema.PackedFolder)...)
}

// FixedTemplate returns the template of a table's folders with the names of
// namespace and table filled in: those that it has now, whatever it is called
// later.
func FixedTemplate(st schema.Storage, def *schema.Table) string {
	parts := strings.Split(templateOf(st, def), "/")
	for i, part := range parts {
		parts[i] = names(def).Replace(part)
	}
	return strings.Trim(strings.Join(parts, "/"), "/")
}

// templateOf returns the template that a table's folders follow.
func templateOf(st schema.Storage, def *schema.Table) string {
	template := st.SharedTemplate
	if def.PerUser() {
		template = st.UserTemplate
	}
	switch {
	case def.Options.Location != "":
		template = def.Options.Location
	case template != "":
	case def.PerUser():
		template = DefaultUserTemplate
	default:
		template = DefaultSharedTemplate
	}
	if def.PerUser() && !namesUser(template) {
		template += "/{userId}" // no two users may share a folder
	}
	return template
}

// names fills the places of namespace and table.
func names(def *schema.Table) *strings.Replacer {
	namespace, table := EncodeName(def.Namespace), EncodeName(def.Name)
	return strings.NewReplacer(
		"{namespace}", namespace, "{namespaceId}", namespace, "{namespace_id}", namespace,
		"{tableName}", table, "{table_name}", table, "{table}", table,
	)
}

// namesUser reports whether a template has a place for the user.
func namesUser(template string) bool {
	return strings.Contains(template, "{userId}") || strings.Contains(template, "{user_id}")
}

// expand fills the placeholders of one folder name of a template.
func expand(part string, def *schema.Table, scope schema.Scope) string {
	if part == ".." {
		return "%2E%2E"
	}
	if !strings.Contains(part, "{") {
		return part
	}
	user := EncodeName(string(scope))
	part = names(def).Replace(part) // encoded names have no braces
	return strings.NewReplacer("{userId}", user, "{user_id}", user, "{shard}", shardOf(scope)).Replace(part)
}

// shardOf spreads scopes over 256 folders.
func shardOf(scope schema.Scope) string {
	sum := sha256.Sum256([]byte(scope))
	return hex.EncodeToString(sum[:1])
}

// EncodeName returns a name as it enters a path: every byte but A–Z a–z 0–9
// - . _, and a first . or _, is written %XX; what is longer than 200 bytes
// then becomes ~ and the SHA-256 of the name in hex.
func EncodeName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		plain := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' ||
			i > 0 && (c == '.' || c == '_')
		if plain {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	if b.Len() <= encodedMost {
		return b.String()
	}
	sum := sha256.Sum256([]byte(name))
	return "~" + hex.EncodeToString(sum[:])
}
