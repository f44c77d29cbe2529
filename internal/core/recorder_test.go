package core_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/testkit"
)

// asked runs one statement and returns its rows, a line each.
func asked(t *testing.T, db *testkit.Database, s *auth.Session, sql string) string {
	t.Helper()
	ctx := context.Background()
	results, err := db.Execute(ctx, s, core.Request{SQL: sql})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer results[0].Close()
	var lines []string
	for {
		rows, err := results[0].Next(ctx)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if rows == nil {
			return strings.Join(lines, "\n")
		}
		for _, row := range rows {
			var cells []string
			for _, v := range row {
				cells = append(cells, v.String())
			}
			lines = append(lines, strings.Join(cells, " "))
		}
	}
}

// TestRecorder: the tables of dba are there after a start and again after they
// were dropped; samples come with their time and node, and go when they are old;
// nobody but administrators reads them, and notifications are for everybody.
func TestRecorder(t *testing.T) {
	mem, clock := disk.NewMem(), testkit.NewClock()
	open := func() *testkit.Database {
		db, err := testkit.Open(mem, clock, func(o *core.Options) {
			o.Recorder = core.RecorderOptions{Tables: true, Keep: 48 * time.Hour, Sample: func() []core.Metric {
				return []core.Metric{{Name: "sockets", Unit: "count", Value: 3}, {Name: "load", Value: 0.5}}
			}}
		})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	root := &auth.Session{UserID: "root", Actor: "root", Role: schema.RoleSystem}
	user := &auth.Session{UserID: "al", Actor: "al", Role: schema.RoleUser}
	ctx := context.Background()
	db := open()
	record := func() {
		t.Helper()
		if err := db.RecordStats(ctx); err != nil {
			t.Fatal(err)
		}
	}
	equal := func(sql, want string) {
		t.Helper()
		if got := asked(t, db, root, sql); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", sql, got, want)
		}
	}
	equal("SELECT table_name, table_type, access_level FROM system.schemas WHERE namespace_id = 'dba' ORDER BY table_name",
		"notifications shared public\nstats shared dba")
	record()
	equal("SELECT id, node_id, metric_name, metric_value, metric_unit, sampled_at FROM dba.stats ORDER BY id",
		"1777888800000:1:load 1 load 0.5 NULL 2026-05-04 10:00:00\n1777888800000:1:sockets 1 sockets 3.0 count 2026-05-04 10:00:00")
	for range 50 {
		clock.Advance(time.Hour)
		record()
	}
	if err := db.PruneStats(ctx); err != nil {
		t.Fatal(err)
	}
	equal("SELECT COUNT(*), MIN(sampled_at) FROM dba.stats", "98 2026-05-04 12:00:00")
	if err := db.PruneStats(ctx); err != nil {
		t.Fatal(err)
	}
	equal("SELECT COUNT(*) FROM dba.stats", "98")

	if got := asked(t, db, user, "SELECT COUNT(*) FROM dba.notifications"); got != "0" {
		t.Errorf("a user counts %s notifications", got)
	}
	for _, sql := range []string{"SELECT * FROM dba.stats", "INSERT INTO dba.notifications (id, user_id, title) VALUES ('1', 'al', 'x')"} {
		if _, err := db.Execute(ctx, user, core.Request{SQL: sql}); !fault.Is(err, fault.PermissionDenied) {
			t.Errorf("%s as a user: %v", sql, err)
		}
	}
	asked(t, db, root, "INSERT INTO dba.notifications (id, user_id, title) VALUES ('1', 'al', 'x')")
	equal("SELECT is_read, created_at = updated_at FROM dba.notifications", "false true")

	// An id that is no sample's is left alone, and ends nothing.
	asked(t, db, root, "INSERT INTO dba.stats (id, node_id, metric_name, metric_value, sampled_at) VALUES ('0', '1', 'x', 1, NOW())")
	if err := db.PruneStats(ctx); err != nil {
		t.Fatal(err)
	}

	// Dropped by an administrator: nothing is recorded until the next start.
	asked(t, db, root, "DROP NAMESPACE dba CASCADE")
	record()
	if err := db.PruneStats(ctx); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open()
	record()
	equal("SELECT COUNT(*) FROM dba.stats", "2")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
