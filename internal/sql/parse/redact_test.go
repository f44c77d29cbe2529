package parse

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRedact(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"SELECT 1", "SELECT ?"},
		{"select a, b from t where c = 'it''s' and d > -1.5e3", "select a, b from t where c = ? and d > -?"},
		{"SELECT /* secret */ $1 -- secret\n FROM \"my table\"", `SELECT $1 FROM "my table"`},
		{"INSERT INTO t VALUES (E'a\\'b', $$secret$$, $x$secret$x$, X'0A', 0x1f, 1_000)", "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)"},
		{"CREATE USER 'bob' WITH PASSWORD \"secret\" ROLE user", "CREATE USER ? WITH PASSWORD ? ROLE user"},
		{"ALTER USER 'bob' SET PASSWORD secret", "ALTER USER ? SET PASSWORD ?"},
		{"SELECT 'secret that never ends", "SELECT ?"},
		{"SELECT /* secret that never ends", "SELECT ?"},
		{"EXECUTE AS USER 'bob' (SELECT * FROM t WHERE id = 7)", "EXECUTE AS USER ? (SELECT * FROM t WHERE id = ?)"},
		{"", ""},
		{"SELECT\x001", "SELECT"},
	} {
		if got := Redact(c.text); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
	for n := redactedBytes - 8; n < redactedBytes+8; n++ { // texts that end right at the bound
		if got := Redact("SELECT " + strings.Repeat("a", n-len("SELECT "))); len(got) < redactedBytes-8 || len(got) > redactedBytes+len("…") {
			t.Errorf("a text of %d bytes becomes %d", n, len(got))
		}
	}
	long := Redact("SELECT " + strings.Repeat("ä, ", 10_000))
	if len(long) > redactedBytes+8 || !utf8.ValidString(long) {
		t.Errorf("a long text is %d bytes, valid %v", len(long), utf8.ValidString(long))
	}
}

// FuzzRedact: no text makes it fail, and no quoted word comes through.
func FuzzRedact(f *testing.F) {
	f.Add("SELECT 'x' FROM t")
	f.Add("$a$ $b$")
	f.Fuzz(func(t *testing.T, text string) {
		if got := Redact("SELECT 'zyzzyva7' , " + text); strings.Contains(got, "zyzzyva7") && !strings.Contains(text, "zyzzyva7") {
			t.Errorf("%q: %q", text, got)
		}
	})
}
