package core_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

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
