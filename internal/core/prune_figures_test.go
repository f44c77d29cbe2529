package core_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"kalamdb/internal/cold"
	"kalamdb/internal/core"
	"kalamdb/internal/testkit"
)

// prunedTable is a table of four files with 100 rows each, in row groups of ten.
func prunedTable(t *testing.T, always bool) (*testkit.Database, *cold.Tier) {
	t.Helper()
	tier := cold.New(cold.Options{DataDir: t.TempDir(), RowGroupRows: 10, BloomRows: 1})
	t.Cleanup(func() { _ = tier.Close() })
	db := openDB(t, func(o *core.Options) { o.Cold, o.Analytics.Always, o.Analytics.FileRows = tier, always, 1 })
	mustRun(t, db, root, "CREATE NAMESPACE p; CREATE SHARED TABLE p.t (id BIGINT, k INT, v INT, PRIMARY KEY (id, k))")
	for file := range 4 {
		var rows []string
		for i := range 100 {
			id := file*100 + i
			rows = append(rows, fmt.Sprintf("(%d, %d, %d)", id, id*7919%1000*2, id*10))
		}
		mustRun(t, db, root, "INSERT INTO p.t VALUES "+strings.Join(rows, ", "))
		if _, err := db.Flush(t.Context(), "p", "t"); err != nil {
			t.Fatal(err)
		}
	}
	return db, tier
}

// TestExplainShowsPruning: EXPLAIN ANALYZE tells the segments and row groups that
// a scan has read and those that it was spared, on both paths.
func TestExplainShowsPruning(t *testing.T) {
	for _, always := range []bool{false, true} {
		db, _ := prunedTable(t, always)
		for _, test := range []struct{ sql, want string }{
			{"SELECT v FROM p.t WHERE v >= 1350 AND v < 1370", "segments read: 1, pruned: 3; row groups read: 1, pruned: 9"},
			{"SELECT v FROM p.t WHERE v > 2950", "segments read: 2, pruned: 2; row groups read: 11, pruned: 9"},
			{"SELECT v FROM p.t WHERE v IS NULL", "segments read: 0, pruned: 4; row groups read: 0, pruned: 0"},
			{"SELECT v FROM p.t WHERE v IN (5, 15, 1000)", "segments read: 2, pruned: 2; row groups read: 2, pruned: 18"},
			// An odd k lies within the bounds of every group: bloom filters rule it out.
			{"SELECT v FROM p.t WHERE k = 777", `segments read: 4, pruned: 0; row groups read: [0-3], pruned: (37|38|39|40)`},
			{"SELECT id FROM p.t WHERE _seq > 0", "segments read: 4, pruned: 0; row groups read: 40, pruned: 0"},
		} {
			got := strings.Join(rowsOf(t, db, "root", "EXPLAIN ANALYZE "+test.sql), "\n")
			if !regexp.MustCompile(test.want).MatchString(got) {
				t.Errorf("always on the analytic path %v: %s:\n%s\nwant %s", always, test.sql, got, test.want)
			}
		}
	}
}

// TestColdReadsAreCounted: COUNT(*) of all rows and within bounds of _seq reads no
// rows of files, with changed and deleted rows among them; a point read enters
// one row group.
func TestColdReadsAreCounted(t *testing.T) {
	db, tier := prunedTable(t, false)
	mustRun(t, db, root, "DELETE FROM p.t WHERE id IN (3, 150, 399); UPDATE p.t SET v = 1 WHERE id IN (5, 250); INSERT INTO p.t VALUES (1000, 1, 1)")
	seqs := rowsOf(t, db, "root", "SELECT _seq FROM p.t ORDER BY _seq")
	if len(seqs) != 398 {
		t.Fatalf("%d rows", len(seqs))
	}
	for i := range seqs {
		seqs[i] = regexp.MustCompile(`\d+`).FindString(seqs[i])
	}
	for _, test := range []struct {
		where string
		want  int
		pages int64 // at most, of one column
	}{
		{"", 398, 0},
		{" WHERE _seq >= " + seqs[0], 398, 0},
		{" WHERE _seq > " + seqs[397], 0, 0},
		{" WHERE _seq <= " + seqs[350] + " AND _seq > " + seqs[120], 230, 12},
		{" WHERE _seq = " + seqs[200], 1, 12},
		{" WHERE _seq > " + seqs[20] + " AND NOT _deleted", 377, 12},
	} {
		before := tier.Stats()
		got := rowsOf(t, db, "root", "SELECT COUNT(*) FROM p.t"+test.where)
		after := tier.Stats()
		if len(got) != 1 || regexp.MustCompile(`\d+`).FindString(got[0]) != fmt.Sprint(test.want) {
			t.Errorf("COUNT(*)%s: %v instead of %d", test.where, got, test.want)
		}
		if pages := after.PagesRead - before.PagesRead; pages > test.pages {
			t.Errorf("COUNT(*)%s read %d pages", test.where, pages)
		}
	}
	before := tier.Stats().RowGroups
	if got := rowsOf(t, db, "root", "SELECT v, _seq FROM p.t WHERE id = 77 AND k = 1526"); len(got) != 1 {
		t.Errorf("a point read gave %v", got)
	}
	if n := tier.Stats().RowGroups - before; n != 1 {
		t.Errorf("a point read entered %d row groups", n)
	}
}
