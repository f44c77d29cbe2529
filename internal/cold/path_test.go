package cold

import (
	"path"
	"strings"
	"testing"

	"kalamdb/internal/schema"
)

func TestEncodeName(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		if got := EncodeName(name); got != want {
			t.Errorf("EncodeName(%q) = %q, want %q", name, got, want)
		}
	}
	f("alice", "alice")
	f("Alice-1.b_c", "Alice-1.b_c")
	f("", "")
	f(".", "%2E")
	f("..", "%2E.")
	f(".hidden", "%2Ehidden")
	f("_packed", "%5Fpacked")
	f("a/../../etc/passwd", "a%2F..%2F..%2Fetc%2Fpasswd")
	f(`a\b`, "a%5Cb")
	f("%2E", "%252E")
	f("~x", "%7Ex")
	f("a b\x00c\n", "a%20b%00c%0A")
	f("größe", "gr%C3%B6%C3%9Fe")
	f("user@example.com", "user%40example.com")
	f("{userId}", "%7BuserId%7D")
	f(strings.Repeat("a", 200), strings.Repeat("a", 200))
	f(strings.Repeat("é", 64), "~845836d7e680de9961df321148f8cb5e8a7da92aba65f5b05b817c3b58256bd5")
}

func TestFolderOf(t *testing.T) {
	f := func(kind schema.Kind, shared, user, location, scope, want string) {
		t.Helper()
		def := &schema.Table{Namespace: "app", Name: "notes", Kind: kind, Options: schema.Options{Location: location}}
		got := FolderOf(schema.Storage{SharedTemplate: shared, UserTemplate: user}, def, schema.Scope(scope))
		if got != want {
			t.Errorf("folder of %s %q %q %q %q = %q, want %q", kind, shared, user, location, scope, got, want)
		}
		if got != path.Clean(got) || strings.HasPrefix(got, "..") || path.IsAbs(got) {
			t.Errorf("folder %q leads out", got)
		}
	}
	f(schema.Shared, "", "", "", "", "app/notes")
	f(schema.User, "", "", "", "alice", "app/notes/alice")
	f(schema.User, "", "", "", "..", "app/notes/%2E.")
	f(schema.User, "", "", "", "_packed", "app/notes/%5Fpacked")
	f(schema.User, "", "", "", "bob/../alice", "app/notes/bob%2F..%2Falice")
	f(schema.Shared, "x/{namespace}/{tableName}", "", "", "", "x/app/notes")
	f(schema.Shared, "{namespace}/{table_name}", "", "", "", "app/notes")
	f(schema.User, "", "u/{namespace}/{tableName}/{shard}/{userId}", "", "alice", "u/app/notes/2b/alice")
	f(schema.User, "", "{namespace}/{tableName}", "", "alice", "app/notes/alice")
	f(schema.User, "", "{userId}/{tableName}", "", "{tableName}", "%7BtableName%7D/notes")
	f(schema.Shared, "/abs/../{tableName}//.", "", "", "", "abs/%2E%2E/notes")
	f(schema.Shared, "", "", "archive/2026", "", "archive/2026")
	f(schema.User, "", "", "archive", "alice", "archive/alice")
	def := &schema.Table{Namespace: "..", Name: "a/b", Kind: schema.Shared}
	if got := FolderOf(schema.Storage{}, def, ""); got != "%2E./a%2Fb" {
		t.Errorf("folder of odd names = %q", got)
	}
}
