package core_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"kalamdb/internal/cold"
	"kalamdb/internal/core"
	"kalamdb/internal/schema"
)

// TestThreadsShareScans: a statement over many rows, some deleted, changed or
// cold, in a scope between others, gives on several threads what the row path
// gives. A statement over few rows is not shared, nor one within bounds of the key
// where rows are cold.
func TestThreadsShareScans(t *testing.T) {
	tier := cold.New(cold.Options{DataDir: t.TempDir()})
	t.Cleanup(func() { _ = tier.Close() })
	db := openDB(t, func(o *core.Options) { o.Cold, o.Analytics.Threads, o.Analytics.FileRows = tier, 3, -1 })
	mustRun(t, db, root, "CREATE NAMESPACE p; CREATE USER TABLE p.t (id BIGINT PRIMARY KEY, k INT, s TEXT)")
	for _, user := range []string{"bob", "ann", "cy"} {
		rows := 24_000
		if user == "cy" {
			rows = 500
		}
		const batch = 2000
		for first := 0; first < rows; first += batch {
			var b strings.Builder
			b.WriteString("INSERT INTO p.t VALUES ")
			for i := first; i < min(first+batch, rows); i++ {
				if i > first {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, "(%d,%d,'%s is %d')", i*i, i%91, user, i)
			}
			mustRun(t, db, session(user, schema.RoleUser), b.String())
			if user == "bob" && first == 0 {
				if _, err := db.Flush(t.Context(), "p", "t"); err != nil {
					t.Fatal(err)
				}
			}
		}
		mustRun(t, db, session(user, schema.RoleUser), "DELETE FROM p.t WHERE id % 13 = 0 AND id > 4000000; UPDATE p.t SET k = k + 1 WHERE id % 17 = 1 AND id > 2000000")
	}
	pieces := regexp.MustCompile(`shared by threads in pieces: ([0-9]+)`)
	for _, user := range []string{"bob", "ann", "cy"} {
		for _, tail := range []string{"", " WHERE id >= 1000000", " WHERE id BETWEEN 1000 AND 900000000 AND k > 7"} {
			grouped := "SELECT k, COUNT(*), SUM(id), MIN(s), MAX(s) FROM p.t" + tail + " GROUP BY k ORDER BY k"
			// What stands around makes it a statement of the analytic path.
			shared := strings.Replace(grouped, "FROM p.t", "FROM (SELECT * FROM p.t) q", 1)
			results, err := db.Execute(t.Context(), session(user, schema.RoleDBA), core.Request{SQL: "EXPLAIN ANALYZE " + shared})
			if err != nil {
				t.Fatal(err)
			}
			rows, err := results[0].Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			plan := fmt.Sprint(rows)
			results[0].Close()
			if got := pieces.MatchString(plan); got != (user == "ann" || user == "bob" && tail == "") {
				t.Errorf("%s%s: shared %t:\n%s", user, tail, got, plan)
			}
			if got, want := rowsOf(t, db, user, shared), rowsOf(t, db, user, grouped); !slices.Equal(got, want) {
				t.Errorf("%s%s: on threads\n%v\non the row path\n%v", user, tail, got, want)
			}
		}
	}
}

// TestHelpersShareGroupings: a grouping of the row path over many rows, some of
// them deleted, changed or cold, gives with helpers what it gives alone. Each of
// several at a time takes the helpers that it finds.
func TestHelpersShareGroupings(t *testing.T) {
	const rows = 30_000
	tier := cold.New(cold.Options{DataDir: t.TempDir()})
	t.Cleanup(func() { _ = tier.Close() })
	queries := []string{
		"SELECT COUNT(*), COUNT(f), SUM(k), SUM(price), AVG(k), AVG(price), MIN(note), MAX(note), MIN(f), MAX(day) FROM a.t",
		"SELECT flag, k, COUNT(*), SUM(id), AVG(price), MIN(day), MAX(note) FROM a.t GROUP BY flag, k ORDER BY flag, k",
		"SELECT k, COUNT(*) FILTER (WHERE flag = 'B'), SUM(id) FILTER (WHERE price > 500) FROM a.t WHERE note LIKE '%7%' AND k IS DISTINCT FROM 9 GROUP BY k HAVING COUNT(*) > 20 ORDER BY k",
		"SELECT id, COUNT(*) FROM a.t GROUP BY id ORDER BY id DESC LIMIT 5",
		"SELECT COUNT(*), SUM(k), MIN(note) FROM a.t WHERE id < 0",
		"SELECT flag, SUM(f), COUNT(DISTINCT k) FROM a.t GROUP BY flag ORDER BY flag",
	}
	want := map[string][]string{}
	for _, threads := range []int{1, 3} {
		db := openDB(t, func(o *core.Options) { o.Cold, o.Analytics.Threads, o.Analytics.FileRows = tier, threads, -1 })
		analyticTables(t, db, rows)
		mustRun(t, db, root, "DELETE FROM a.t WHERE id % 13 = 0; UPDATE a.t SET k = NULL, f = NULL WHERE id % 17 = 1; UPDATE a.t SET price = -price WHERE id % 5 = 1")
		for _, state := range []string{"hot", "cold"} {
			if state == "cold" {
				if _, err := db.Flush(t.Context(), "a", "t"); err != nil {
					t.Fatal(err)
				}
				mustRun(t, db, root, "UPDATE a.t SET k = k + 1 WHERE id % 19 = 3")
			}
			for _, q := range queries {
				var all errgroup.Group
				for range threads {
					all.Go(func() error {
						got := rowsOf(t, db, "root", q)
						if threads == 1 {
							want[q+state] = got
						} else if !slices.Equal(got, want[q+state]) {
							return fmt.Errorf("%s: %s\nwith helpers: %v\nalone: %v", state, q, got, want[q+state])
						}
						return nil
					})
				}
				if err := all.Wait(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if shared := db.Stats().Shared; (shared > 0) != (threads > 1) {
			t.Errorf("%d threads shared %d groupings", threads, shared)
		}
	}
}
