package core_test

import (
	"fmt"
	"testing"
)

// BenchmarkBulk changes 500 of 25,000 hot rows, by a predicate that no index has.
// The ceiling is reading as many rows and finding the same ones.
func BenchmarkBulk(b *testing.B) {
	const rows = 25_000
	db := openDB(b, nil)
	analyticTables(b, db, rows)
	b.Run("select", func(b *testing.B) {
		perRow(b, rows, func() { rowsOf(b, db, "root", "SELECT COUNT(*) FROM a.t WHERE k = 7") })
	})
	n := 0
	b.Run("update", func(b *testing.B) {
		perRow(b, rows, func() {
			n++
			mustRun(b, db, root, fmt.Sprintf("UPDATE a.t SET f = %d WHERE k = %d", n, n%50))
		})
	})
	b.Run("delete", func(b *testing.B) {
		perRow(b, rows, func() {
			n++
			mustRun(b, db, root, fmt.Sprintf("DELETE FROM a.t WHERE k = %d", n%50))
		})
	})
}

// TestBulkByPredicate changes few and many rows that only a predicate names: both
// ways to find them select the same rows, in the order of their keys.
func TestBulkByPredicate(t *testing.T) {
	const rows = 6000
	db := openDB(t, nil)
	analyticTables(t, db, rows)
	for _, c := range []struct {
		where string
		want  func(i int) bool
	}{
		{"k = 7", func(i int) bool { return i%50 == 7 }},
		{"k >= 3 AND note <> 'a note that is number 4'", func(i int) bool { return i%50 >= 3 && i != 4 }},
		{"k < 0", func(int) bool { return false }},
	} {
		for _, verb := range []string{"UPDATE a.t SET f = f + 1", "DELETE FROM a.t"} {
			got := rowsOf(t, db, "root", verb+" WHERE "+c.where+" RETURNING id")
			n := 0
			for i := range rows {
				if !c.want(i) {
					continue
				}
				if n >= len(got) || got[n] != fmt.Sprint(i) {
					t.Fatalf("%s where %s: row %d of %d is not %d", verb, c.where, n, len(got), i)
				}
				n++
			}
			if n != len(got) {
				t.Fatalf("%s where %s: %d rows, want %d", verb, c.where, len(got), n)
			}
			if verb[0] == 'D' {
				mustRun(t, db, root, "DROP NAMESPACE a")
				analyticTables(t, db, rows)
			}
		}
	}
}
