package core_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kalamdb/internal/api"
	"kalamdb/internal/core"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/testkit"
)

// one returns the only cell of a query.
func one(t *testing.T, db *testkit.Database, sql string, params ...datum.Value) string {
	t.Helper()
	results, err := db.Execute(context.Background(), root, core.Request{SQL: sql, Params: params})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer results[0].Close()
	rows, err := results[0].Next(context.Background())
	if err != nil || len(rows) != 1 || len(rows[0]) != 1 {
		t.Fatalf("%s: rows %v, %v; want one cell", sql, rows, err)
	}
	return rows[0][0].String()
}

// TestPlanIsSharedNotItsLiterals: statements that differ in literals share a
// plan and keep their own values; a literal of another type has its own plan.
func TestPlanIsSharedNotItsLiterals(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE p; CREATE SHARED TABLE p.t (id BIGINT PRIMARY KEY, v TEXT)")
	for i := range 20 {
		mustRun(t, db, root, fmt.Sprintf("INSERT INTO p.t VALUES (%d, 'v%d')", i, i))
	}
	for i := range 20 {
		if got := one(t, db, fmt.Sprintf("SELECT v FROM p.t WHERE id = %d", i)); got != fmt.Sprintf("v%d", i) {
			t.Errorf("row %d reads %q", i, got)
		}
	}
	if got := one(t, db, "SELECT COUNT(*) FROM p.t WHERE id > -1"); got != "20" {
		t.Errorf("count above -1 is %s", got)
	}
	if got := one(t, db, "SELECT COUNT(*) FROM p.t WHERE id > 2.5"); got != "17" {
		t.Errorf("count above 2.5 is %s", got)
	}
	if got := one(t, db, "SELECT v FROM p.t WHERE id = $1 AND v = 'v3'", datum.NewInt(datum.BigInt, 3)); got != "v3" {
		t.Errorf("a parameter beside a literal reads %q", got)
	}
	stats := db.Stats()
	if stats.PlanHits < 38 {
		t.Errorf("%d plan hits, want at least 38", stats.PlanHits)
	}
}

// TestPlanFollowsDefinitions: a plan of a dropped table is not used for a new
// one of that name.
func TestPlanFollowsDefinitions(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE p; CREATE SHARED TABLE p.t (id BIGINT PRIMARY KEY, a TEXT); INSERT INTO p.t VALUES (1, 'old')")
	if got := one(t, db, "SELECT a FROM p.t WHERE id = 1"); got != "old" {
		t.Fatal(got)
	}
	mustRun(t, db, root, "DROP TABLE p.t; CREATE SHARED TABLE p.t (id BIGINT PRIMARY KEY, b TEXT, a TEXT)")
	mustRun(t, db, root, "INSERT INTO p.t VALUES (1, 'b', 'new')")
	if got := one(t, db, "SELECT a FROM p.t WHERE id = 1"); got != "new" {
		t.Errorf("the new table reads %q", got)
	}
}

// TestConcurrentUpdatesOfOneRow: each of many writers sees what the one before
// it wrote; none is lost and none fails.
func TestConcurrentUpdatesOfOneRow(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE c; CREATE SHARED TABLE c.counter (id BIGINT PRIMARY KEY, n BIGINT); INSERT INTO c.counter VALUES (1, 0)")
	const writers, each = 8, 25
	var wait sync.WaitGroup
	for range writers {
		wait.Go(func() {
			for range each {
				if _, err := run(db, root, "UPDATE c.counter SET n = n + 1 WHERE id = 1"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if got := one(t, db, "SELECT n FROM c.counter WHERE id = 1"); got != fmt.Sprint(writers*each) {
		t.Errorf("the counter is %s, want %d", got, writers*each)
	}
}

// TestBatchTimeout: a batch ends when its time is over, whichever statement runs;
// what was committed stays, and what was not is gone.
func TestBatchTimeout(t *testing.T) {
	db := openDB(t, func(o *core.Options) { o.Limits.BatchTime = 300 * time.Millisecond })
	mustRun(t, db, root, "CREATE NAMESPACE b; CREATE SHARED TABLE b.t (id BIGINT PRIMARY KEY)")
	long := "SELECT COUNT(*) FROM generate_series(1, 100000) x, generate_series(1, 100000) y"
	for _, sql := range []string{
		"INSERT INTO b.t VALUES (1); " + long + "; INSERT INTO b.t VALUES (2)",
		"BEGIN; INSERT INTO b.t VALUES (3); " + long + "; COMMIT",
	} {
		begin := time.Now()
		_, err := run(db, root, sql)
		if !fault.Is(err, fault.Timeout) || !strings.Contains(err.Error(), "execution.batch_timeout_seconds") || !strings.Contains(err.Error(), "300ms") {
			t.Errorf("%.30s: %v", sql, err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("%.30s: it took %s", sql, took)
		}
	}
	mustRun(t, db, root, strings.Repeat("SELECT 1; ", 20)) // short ones have their time
	if got := one(t, db, "SELECT STRING_AGG(id::text, ',') FROM b.t"); got != "1" {
		t.Errorf("the table holds %s, want 1", got)
	}
	if s := db.Stats(); s.Running.Running != 0 {
		t.Errorf("%d statements still run", s.Running.Running)
	}
}

// TestStatementTimeout: a statement ends when its time is over.
func TestStatementTimeout(t *testing.T) {
	db := openDB(t, func(o *core.Options) { o.Limits.StatementTime = time.Nanosecond })
	_, err := run(db, root, "SELECT * FROM system.namespaces")
	if !fault.Is(err, fault.Timeout) {
		t.Errorf("%v, want TIMEOUT", err)
	}
}

// TestQueryLimits: the two keys cut the outermost result as 0.4.3 does, and cut
// nothing when they are not set.
func TestQueryLimits(t *testing.T) {
	db := openDB(t, func(o *core.Options) { o.Limits.DefaultQueryLimit, o.Limits.MaxQueryLimit = 50, 60 })
	mustRun(t, db, root, "CREATE NAMESPACE q; CREATE SHARED TABLE q.t (id BIGINT PRIMARY KEY)")
	for i := range 80 {
		mustRun(t, db, root, fmt.Sprintf("INSERT INTO q.t VALUES (%d)", i))
	}
	for sql, want := range map[string]string{
		"SELECT * FROM q.t":           "50",
		"SELECT * FROM q.t LIMIT 55":  "55",
		"SELECT * FROM q.t LIMIT 100": "60",
		"SELECT * FROM q.t LIMIT 5":   "5",
	} {
		if got := mustRun(t, db, root, sql); got[0] != want {
			t.Errorf("%s: %s rows, want %s", sql, got[0], want)
		}
	}
	if got := one(t, db, "SELECT COUNT(*) FROM q.t"); got != "80" {
		t.Errorf("COUNT(*) is %s, want 80", got)
	}
}

// TestEverythingComesBack: users, namespaces, tables with their versions, rows
// and jobs are there after a clean stop and after a power cut.
func TestEverythingComesBack(t *testing.T) {
	clock := testkit.NewClock()
	db, err := testkit.Open(disk.NewMem(), clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, db, root, "CREATE NAMESPACE e; CREATE SHARED TABLE e.t (id BIGINT PRIMARY KEY, v TEXT); ALTER TABLE e.t SET ACCESS LEVEL PUBLIC; INSERT INTO e.t VALUES (1, 'a'), (2, 'b'); CREATE USER 'alice' WITH PASSWORD 'Alice-secret-1' ROLE service EMAIL 'a@b.c'")
	if _, err := db.Flush(t.Context(), "e", "t"); err != nil {
		t.Fatal(err)
	}
	mustRun(t, db, root, "UPDATE e.t SET v = 'c' WHERE id = 2; DELETE FROM e.t WHERE id = 1")
	check := func() {
		t.Helper()
		for sql, want := range map[string]string{
			"SELECT v FROM e.t": "c",
			"SELECT COUNT(*) FROM e.t WHERE _deleted = true":                               "1",
			"SELECT role FROM system.users WHERE user_id = 'alice'":                        "service",
			"SELECT COUNT(*) FROM system.schemas WHERE table_name = 't'":                   "2",
			"SELECT access_level FROM system.schemas WHERE table_name = 't' AND is_latest": "public",
			"SELECT COUNT(*) FROM system.namespaces WHERE namespace_id = 'e'":              "1",
			"SELECT COUNT(*) FROM system.storages":                                         "1",
		} {
			if got := one(t, db, sql); got != want {
				t.Errorf("%s: %s, want %s", sql, got, want)
			}
		}
	}
	check()
	for i, crash := range []bool{false, true, true, false} {
		mem := db.Disk
		if crash {
			mem = mem.CrashClone(uint64(i), 50)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if db, err = testkit.Open(mem, clock, nil); err != nil {
			t.Fatal(err)
		}
		check()
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestIDsIncrease: generated ids never repeat, whatever the clock does.
func TestIDsIncrease(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE i; CREATE SHARED TABLE i.t (id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(), n INT)")
	var wait sync.WaitGroup
	for w := range 4 {
		wait.Go(func() {
			for range 500 {
				if _, err := run(db, session("w", schema.RoleService), fmt.Sprintf("INSERT INTO i.t (n) VALUES (%d)", w)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if got := one(t, db, "SELECT COUNT(*) FROM i.t"); got != "2000" {
		t.Errorf("%s ids are different, want 2000", got)
	}
}

// TestUserChangesEndConnections: the live connections of a user end when he is
// dropped and when his role changes, but not with another change of his row.
func TestUserChangesEndConnections(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE u; CREATE TABLE u.t (id BIGINT PRIMARY KEY) WITH (ACCESS_LEVEL = 'PUBLIC'); CREATE USER 'ann' WITH PASSWORD 'a-long-secret-1' ROLE user")
	ended := func(sql string) bool {
		t.Helper()
		ann := session("ann", schema.RoleUser)
		c := db.Hub().Connect(core.LiveConnOptions{ID: "c", User: "ann", Encoder: api.JSONFrames()})
		defer c.Close()
		if err := db.Subscribe(t.Context(), ann, c, core.LiveRequest{ID: "s", SQL: "SELECT * FROM u.t"}); err != nil {
			t.Fatal(err)
		}
		mustRun(t, db, root, sql)
		select {
		case <-c.Done():
			return true
		default:
			return false
		}
	}
	for sql, want := range map[string]bool{
		"ALTER USER 'ann' SET EMAIL 'a@b.c'":                                        false,
		"ALTER USER 'ann' SET ROLE service; ALTER USER 'ann' SET ROLE user":         true,
		"DROP USER IF EXISTS 'bob'; DROP USER IF EXISTS 'root2'":                    false,
		"DROP USER 'ann'; CREATE USER 'ann' WITH PASSWORD 'another-secret-2'":       true,
		"CREATE USER IF NOT EXISTS 'ann' WITH PASSWORD 'a-long-secret-1' ROLE user": false,
	} {
		if got := ended(sql); got != want {
			t.Errorf("%s: the connection ended: %v, want %v", sql, got, want)
		}
	}
}

// TestEraseEndsSubscriptions: who subscribes to his rows is told that he has been
// erased, and his connection ends then.
func TestEraseEndsSubscriptions(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE u; CREATE USER TABLE u.t (id BIGINT PRIMARY KEY); CREATE USER 'ann' WITH PASSWORD 'a-long-secret-1' ROLE user")
	ann := session("ann", schema.RoleUser)
	mustRun(t, db, ann, "INSERT INTO u.t VALUES (1)")
	c := db.Hub().Connect(core.LiveConnOptions{ID: "c", User: "ann", Encoder: api.JSONFrames()})
	defer c.Close()
	if err := db.Subscribe(t.Context(), ann, c, core.LiveRequest{ID: "s", SQL: "SELECT * FROM u.t"}); err != nil {
		t.Fatal(err)
	}
	mustRun(t, db, root, "ERASE USER 'ann'")
	var told strings.Builder
	for {
		frames, err := c.Take(t.Context(), nil, 16)
		if err != nil {
			break
		}
		for _, f := range frames {
			told.Write(f.Head)
			told.Write(f.Body)
		}
	}
	if !strings.Contains(told.String(), "SUBSCRIPTION_FAILED") || !strings.Contains(told.String(), "User 'ann' has been erased") {
		t.Errorf("the subscriber was told %s", told.String())
	}
	select {
	case <-c.Done():
	default:
		t.Error("the connection has not ended")
	}
}
