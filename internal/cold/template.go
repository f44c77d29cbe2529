package cold

import (
	"fmt"
	"strings"
)

// templateMost is the longest template of folders.
const templateMost = 512

// places are the placeholders of templates in the order that they must have,
// each under its name and the older ones.
var places = [...]struct {
	name string
	old  []string
}{
	{"{namespace}", []string{"{namespaceId}", "{namespace_id}", "{namespaceName}"}},
	{"{tableName}", []string{"{table_name}", "{table}", "{tableId}", "{table_id}"}},
	{"{shard}", nil},
	{"{userId}", []string{"{user_id}", "{user}"}},
}

// Templates checks the templates of a storage and returns them with today's
// placeholders; what is empty becomes the default. Every table, and every user
// of a table, gets a folder that no other has, below the base.
func Templates(shared, user string) (string, string, error) {
	if strings.TrimSpace(shared) == "" {
		shared = DefaultSharedTemplate
	}
	if strings.TrimSpace(user) == "" {
		user = DefaultUserTemplate
	}
	shared, err := template("shared", shared, "{namespace}", "{tableName}")
	if err != nil {
		return "", "", err
	}
	if strings.Contains(shared, "{userId}") || strings.Contains(shared, "{shard}") {
		return "", "", fmt.Errorf("the template '%s' of shared tables names users; they have none", shared)
	}
	user, err = template("user", user, "{namespace}", "{tableName}", "{userId}")
	return shared, user, err
}

// template checks one template and returns it in today's spelling.
func template(kind, text string, needed ...string) (string, error) {
	if len(text) > templateMost {
		return "", fmt.Errorf("the template of %s tables is longer than %d bytes", kind, templateMost)
	}
	for _, p := range places {
		for _, old := range p.old {
			text = strings.ReplaceAll(text, "$"+old, p.name)
			text = strings.ReplaceAll(text, old, p.name)
		}
		text = strings.ReplaceAll(text, "$"+p.name, p.name)
	}
	text = strings.Trim(text, "/")
	for _, need := range needed {
		if !strings.Contains(text, need) {
			return "", fmt.Errorf("the template '%s' of %s tables must contain %s", text, kind, need)
		}
	}
	rest, last := text, -1
	for i, p := range places {
		if n := strings.Count(text, p.name); n > 1 {
			return "", fmt.Errorf("the template '%s' names %s twice", text, p.name)
		} else if n == 0 {
			continue
		}
		at := strings.Index(text, p.name)
		if at < last {
			return "", fmt.Errorf("the template '%s' of %s tables must name {namespace}, {tableName}, {shard} and {userId} in this order", text, kind)
		}
		if i > 0 && at > 0 && !divides(text[last:at]) {
			return "", fmt.Errorf("the template '%s' must divide %s from what stands before it, best by /", text, p.name)
		}
		last = at + len(p.name)
		rest = strings.ReplaceAll(rest, p.name, "x")
	}
	return text, literal(text, rest)
}

// divides reports whether a text keeps two names apart: it has a byte that no
// name of a namespace or table has.
func divides(between string) bool {
	return strings.ContainsFunc(between, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// literal checks what a template has between its placeholders.
func literal(text, rest string) error {
	if i := strings.IndexAny(rest, "{}"); i >= 0 {
		return fmt.Errorf("the template '%s' has an unknown placeholder; use {namespace}, {tableName}, {shard} and {userId}", text)
	}
	for part := range strings.SplitSeq(rest, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return fmt.Errorf("the template '%s' must be a path below the base of its storage, without empty folders, '.' and '..'", text)
		case len(part) > encodedMost:
			return fmt.Errorf("a folder of the template '%s' is longer than %d bytes", text, encodedMost)
		}
	}
	for i := range len(rest) {
		c := rest[i]
		plain := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._/=~+@ ", c) >= 0
		if !plain {
			return fmt.Errorf("the template '%s' has the character %q, which no folder may have", text, c)
		}
	}
	return nil
}
