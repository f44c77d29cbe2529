package core_test

import (
	"strings"
	"testing"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// TestSettingsOfConversation: what a conversation has chosen stays between its
// requests, ends with the transaction where it was local or rolled back, and is
// nobody else's.
func TestSettingsOfConversation(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE a; CREATE NAMESPACE b; CREATE SHARED TABLE a.t (v TEXT PRIMARY KEY); CREATE SHARED TABLE b.t (v TEXT PRIMARY KEY); INSERT INTO a.t VALUES ('of a'); INSERT INTO b.t VALUES ('of b')")
	c := db.Converse(root, "Test", schema.DefaultNamespace)
	defer c.Close()
	other := db.Converse(root, "Test", "b")
	defer other.Close()
	ask := func(sql string) string {
		t.Helper()
		results, err := c.Execute(t.Context(), sql, nil)
		if err != nil {
			return string(fault.CodeOf(err))
		}
		defer results[0].Close()
		rows, err := results[0].Next(t.Context())
		if err != nil {
			return string(fault.CodeOf(err))
		}
		if len(rows) == 0 {
			return ""
		}
		return rows[0][0].String()
	}
	long := strings.Repeat("x", 60<<10)
	for _, step := range []struct{ sql, want string }{
		{"SET search_path TO nowhere, a, b", ""},
		{"SELECT v FROM t", "of a"},
		{"SET my.x = 'outer'", ""},
		{"BEGIN", ""},
		{"SET my.x = 'inner'", ""},
		{"SET LOCAL search_path TO b", ""},
		{"SELECT v FROM t", "of b"},
		{"SELECT no_such_column FROM t", string(fault.ColumnNotFound)},
		{"SET my.x = 'late'", string(fault.FailedTransaction)},
		{"ROLLBACK", ""},
		{"SHOW my.x", "outer"},
		{"SELECT v FROM t", "of a"},
		{"BEGIN", ""},
		{"SET my.x = 'kept'", ""},
		{"SET LOCAL my.x = 'lost'", ""},
		{"SHOW my.x", "lost"},
		{"COMMIT AND CHAIN", ""},
		{"SHOW my.x", "kept"},
		{"COMMIT", ""},
		{"SHOW my.x", "kept"},
		{"SET my.long = '" + long + "'", ""},
		{"SET my.more = '" + long[:8<<10] + "'", string(fault.LimitExceeded)},
		{"SET my.long = '" + long + "y'", ""},
		{"RESET my.long", ""},
		{"SET my.more = '" + long[:8<<10] + "'", ""},
		{"RESET ALL", ""},
		{"SHOW my.x", string(fault.InvalidParameter)},
		{"SHOW search_path", "default"},
	} {
		if got := ask(step.sql); got != step.want {
			t.Errorf("%.60s: %q, want %q", step.sql, got, step.want)
		}
	}
	c = other
	if got := ask("SELECT v FROM t"); got != "of b" {
		t.Errorf("another conversation reads %q", got)
	}
}
