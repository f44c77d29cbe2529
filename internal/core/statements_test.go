package core_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kalamdb/internal/core"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/testkit"
)

// long are statements that would run for hours: one on each path, and one that
// would write.
var long = map[string]string{
	"analytic": "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000000) b",
	"endless":  "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n FROM x) SELECT count(*) FROM x",
	"writing":  "INSERT INTO k.t SELECT a.id * 1000000 + b.n, 'x' FROM k.t a, generate_series(1, 100000000) AS b(n) WHERE b.n < 0",
}

// running waits until a statement that contains a text runs, and returns its id.
func running(t *testing.T, db *testkit.Database, as, part string) string {
	t.Helper()
	end := time.Now().Add(30 * time.Second)
	for time.Now().Before(end) {
		for _, row := range rowsOf(t, db, as, "SELECT statement_id, state, query FROM system.statements") {
			if id, rest, _ := strings.Cut(row, " "); strings.HasPrefix(rest, "running ") && strings.Contains(rest, part) {
				return id
			}
		}
	}
	t.Fatalf("nothing like %q ever ran", part)
	return ""
}

func killable(t *testing.T) *testkit.Database {
	t.Helper()
	db := openDB(t, func(o *core.Options) { o.Limits.StatementTime = 2 * time.Minute })
	mustRun(t, db, root, "CREATE NAMESPACE k; CREATE SHARED TABLE k.t (id BIGINT PRIMARY KEY, s TEXT) WITH (ACCESS_LEVEL='public'); INSERT INTO k.t VALUES (1, 'a'), (2, 'b')")
	return db
}

// TestKillQuery: a statement that is killed answers CANCELLED with who did it,
// soon, and leaves nothing behind: no row, no view, no entry.
func TestKillQuery(t *testing.T) {
	db := killable(t)
	for name, sql := range long {
		part := map[string]string{"analytic": "generate_series(?, ?) b", "endless": "RECURSIVE", "writing": "INSERT"}[name]
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			go func() {
				results, err := db.Execute(context.Background(), root, core.Request{SQL: sql})
				for _, r := range results {
					for err == nil {
						var rows any
						if rows, err = r.Next(context.Background()); rows == nil {
							break
						}
					}
					r.Close()
				}
				ended <- err
			}()
			id := running(t, db, "root", part)
			begin := time.Now()
			mustRun(t, db, root, "KILL QUERY '"+id+"'")
			err := <-ended
			if !fault.Is(err, fault.Cancelled) || !strings.Contains(err.Error(), "killed by 'root'") {
				t.Errorf("the killed statement answered %v", err)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("it took %s to end", took)
			}
			if got := one(t, db, "SELECT COUNT(*) FROM k.t"); got != "2" {
				t.Errorf("the table has %s rows, want the 2 it had", got)
			}
			if _, err := run(db, root, "KILL QUERY '"+id+"'"); !fault.Is(err, fault.ObjectNotFound) {
				t.Errorf("a second kill: %v", err)
			}
		})
	}
	if s := db.Stats(); s.Running.Running != 0 || s.Running.Killed != int64(len(long)) {
		t.Errorf("%d run, %d killed", s.Running.Running, s.Running.Killed)
	}
	// At rest one view is open, which is the current and the applied one. A group
	// that nobody waits for, as one that raises the ceiling, and the hub hold
	// others for a moment; one that a statement has left would never go.
	for end := time.Now().Add(30 * time.Second); db.Stats().Apply.Views > 1; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d views are open", db.Stats().Apply.Views)
		}
	}
	if got := one(t, db, "SELECT COUNT(*) FROM system.audit_log WHERE action = 'KILL_QUERY' AND actor_user_id = 'root'"); got != "3" {
		t.Errorf("%s entries in the audit log, want 3", got)
	}
}

// TestKillReading: a result that is being read ends at its next rows, on the row
// path too.
func TestKillReading(t *testing.T) {
	db := killable(t)
	results, err := db.Execute(t.Context(), session("alice", schema.RoleUser), core.Request{SQL: "SELECT id FROM k.t"})
	if err != nil {
		t.Fatal(err)
	}
	defer results[0].Close()
	list := rowsOf(t, db, "alice", "SELECT statement_id, kind, query FROM system.statements WHERE query LIKE '%k.t'")
	if len(list) != 1 || !strings.HasSuffix(list[0], " select SELECT id FROM k.t") {
		t.Fatalf("%v", list)
	}
	id, _, _ := strings.Cut(list[0], " ")
	if _, err := run(db, session("bob", schema.RoleUser), "KILL QUERY '"+id+"'"); !fault.Is(err, fault.PermissionDenied) {
		t.Errorf("another user: %v", err)
	}
	if got := rowsOf(t, db, "bob", "SELECT query FROM system.statements"); len(got) != 1 || strings.Contains(got[0], "k.t") {
		t.Errorf("another user sees %v", got)
	}
	mustRun(t, db, session("alice", schema.RoleUser), "KILL QUERY '"+id+"'")
	if _, err := results[0].Next(t.Context()); !fault.Is(err, fault.Cancelled) {
		t.Errorf("reading on: %v", err)
	}
}

// TestCallerGone: the statement of a caller who has gone away ends by itself, and
// one that has just begun is not looked at.
func TestCallerGone(t *testing.T) {
	db := killable(t)
	var asked atomic.Int64
	begin := time.Now()
	results, err := db.Execute(t.Context(), root, core.Request{SQL: long["analytic"], Gone: func() bool { asked.Add(1); return true }})
	if err == nil {
		_, err = results[0].Next(t.Context())
		results[0].Close()
	}
	if !fault.Is(err, fault.Cancelled) || !strings.Contains(err.Error(), "gone away") {
		t.Errorf("%v", err)
	}
	if took := time.Since(begin); took < 900*time.Millisecond || took > 20*time.Second || asked.Load() == 0 {
		t.Errorf("it ended after %s, asked %d times", took, asked.Load())
	}
	if n := db.Stats().Running.Gone; n != 1 {
		t.Errorf("%d statements are counted as left, want 1", n)
	}
	results, err = db.Execute(t.Context(), root, core.Request{SQL: "SELECT 1", Gone: func() bool { t.Error("a short statement was looked at"); return true }})
	if err != nil {
		t.Fatal(err)
	}
	results[0].Close()
}

// TestSlow: statements over the time are told with what they did and without
// their values; others and other kinds are not.
func TestSlow(t *testing.T) {
	var told []core.SlowStatement
	db := openDB(t, func(o *core.Options) {
		o.SlowStatement, o.Slow = time.Nanosecond, func(s core.SlowStatement) { told = append(told, s) }
	})
	mustRun(t, db, root, "CREATE NAMESPACE s; CREATE SHARED TABLE s.t (id BIGINT PRIMARY KEY, v TEXT)")
	mustRun(t, db, root, "INSERT INTO s.t VALUES (1, 'secret'), (2, 'secret')")
	mustRun(t, db, root, "UPDATE s.t SET v = 'other secret' WHERE id = 1")
	rowsOf(t, db, "root", "SELECT v FROM s.t WHERE v = 'secret'")
	rowsOf(t, db, "root", "SELECT a.id FROM s.t a, s.t b WHERE b.v = 'secret'")
	mustRun(t, db, root, "DELETE FROM s.t WHERE id > 0")
	mustRun(t, db, root, "DROP TABLE s.t")
	want := []string{
		"insert row shared s.t 2 INSERT INTO s.t VALUES (?, ?), (?, ?)",
		"update row shared s.t 1 UPDATE s.t SET v = ? WHERE id = ?",
		"select row shared s.t 1 SELECT v FROM s.t WHERE v = ?",
		"select analytic shared s.t 2 SELECT a.id FROM s.t a, s.t b WHERE b.v = ?",
		"delete row shared s.t 2 DELETE FROM s.t WHERE id > ?",
	}
	for i, s := range told {
		got := strings.Join([]string{s.Kind, s.Path, s.TableType, s.Table, fmt.Sprint(s.Rows), s.Query}, " ")
		if i >= len(want) || got != want[i] {
			t.Errorf("%d: %s", i, got)
		}
		if s.User != "root" || s.Took <= 0 || s.End.IsZero() {
			t.Errorf("%+v", s)
		}
	}
	if len(told) != len(want) {
		t.Errorf("%d statements were told, want %d", len(told), len(want))
	}
}
