package core_test

import (
	"context"
	"strings"
	"testing"

	"kalamdb/internal/api"
	"kalamdb/internal/core"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// TestRefusingDrops: with ddl.drop_nonempty_namespace and
// ddl.drop_with_subscribers set to refuse, what holds tables or is followed
// stays, and the sentence says what is in the way.
func TestRefusingDrops(t *testing.T) {
	db := openDB(t, func(o *core.Options) { o.DropNonemptyNamespace, o.DropWithSubscribers = "refuse", "refuse" })
	mustRun(t, db, root, "CREATE NAMESPACE d; CREATE SHARED TABLE d.a (id BIGINT PRIMARY KEY); CREATE SHARED TABLE d.b (id BIGINT PRIMARY KEY)")
	refused := func(sql string, words ...string) {
		t.Helper()
		_, err := run(db, root, sql)
		for _, w := range words {
			if !fault.Is(err, fault.InvalidOperation) || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", sql, err, w)
			}
		}
	}
	refused("DROP NAMESPACE d", "d.a", "d.b", "CASCADE")
	c := db.Hub().Connect(core.LiveConnOptions{ID: "c", User: root.UserID, Encoder: api.JSONFrames()})
	if err := db.Subscribe(context.Background(), root, c, core.LiveRequest{ID: "s", SQL: "SELECT * FROM d.a"}); err != nil {
		t.Fatal(err)
	}
	refused("DROP TABLE d.a", "d.a", "1 active subscription")
	refused("DROP NAMESPACE d CASCADE", "d.a", "1 active subscription")
	mustRun(t, db, root, "DROP TABLE d.b")
	c.Close()
	mustRun(t, db, root, "DROP NAMESPACE d CASCADE")
}

// TestShowStats: rows are those of the caller's partition, for administrators
// those of all; cold ones and files count after a flush.
func TestShowStats(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE s; CREATE USER TABLE s.t (id BIGINT PRIMARY KEY, v TEXT)")
	alice, bob := session("alice", schema.RoleUser), session("bob", schema.RoleUser)
	mustRun(t, db, alice, "INSERT INTO s.t VALUES (1, 'a'), (2, 'b')")
	mustRun(t, db, bob, "INSERT INTO s.t VALUES (1, 'a')")
	if _, err := db.Flush(t.Context(), "s", "t"); err != nil {
		t.Fatal(err)
	}
	mustRun(t, db, alice, "INSERT INTO s.t VALUES (3, 'c')")
	stats := func(sql string) map[string]string {
		t.Helper()
		results, err := db.Execute(context.Background(), alice, core.Request{SQL: sql})
		if err != nil {
			t.Fatal(err)
		}
		defer results[0].Close()
		rows, err := results[0].Next(context.Background())
		if err != nil || len(rows) != 1 {
			t.Fatalf("%s: %v, %v", sql, rows, err)
		}
		out := map[string]string{}
		for i, c := range results[0].Columns {
			out[c.Name] = rows[0][i].String()
		}
		return out
	}
	got := stats("SHOW STATS FOR TABLE s.t")
	for name, want := range map[string]string{
		"table_name": "t", "namespace": "s", "schema_version": "1", "logical_rows": "3", "flushed_segments": "1",
		"active_streams": "0", "hot_rows": "1", "cold_rows": "2", "total_rows": "3",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if messages := mustRun(t, db, root, "SHOW TABLE STATS s.t"); messages[0] != "1" {
		t.Errorf("another spelling gives %s rows", messages[0])
	}
}
