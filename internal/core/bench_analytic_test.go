package core_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"kalamdb/internal/cold"
	"kalamdb/internal/core"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/testkit"
)

// processorTime is what this process has used so far.
func processorTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail for this process
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// analyticTables makes a.t with rows like those of an order, hot.
func analyticTables(t testing.TB, db *testkit.Database, rows int) {
	mustRun(t, db, root, "CREATE NAMESPACE a; CREATE SHARED TABLE a.t (id BIGINT PRIMARY KEY, k INT, price DECIMAL(15,2), f DOUBLE, flag TEXT, day DATE, note TEXT)")
	const batch = 2000
	for first := 0; first < rows; first += batch {
		var b strings.Builder
		b.WriteString("INSERT INTO a.t VALUES ")
		for i := first; i < min(rows, first+batch); i++ {
			if i > first {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "(%d,%d,%d.%02d,%d.5,'%c','2026-01-%02d','a note that is number %d')", i, i%50, i%1000, i%100, i%77, 'A'+i%3, 1+i%28, i)
		}
		mustRun(t, db, root, b.String())
	}
}

// BenchmarkAggregate reads 100,000 rows, hot and then cold, on both paths. The
// ceiling is passing over the hot keys and no more.
func BenchmarkAggregate(b *testing.B) {
	const rows = 100_000
	tier := cold.New(cold.Options{DataDir: b.TempDir()})
	b.Cleanup(func() { _ = tier.Close() })
	for _, path := range []string{"row", "duck"} {
		db := openDB(b, func(o *core.Options) { o.Cold, o.Analytics.Always = tier, path == "duck" })
		analyticTables(b, db, rows)
		for _, state := range []string{"hot", "cold"} {
			if state == "cold" {
				if _, err := db.Flush(b.Context(), "a", "t"); err != nil {
					b.Fatal(err)
				}
			} else if path == "row" {
				b.Run("iterate", func(b *testing.B) { perRow(b, rows, func() { iterate(b, db) }) })
			}
			for _, q := range [][2]string{
				{"filter", "SELECT COUNT(*) FROM a.t WHERE k >= 0"},
				{"sum", "SELECT COUNT(*), SUM(k), MIN(f), MAX(f), AVG(k) FROM a.t"},
				{"decimal", "SELECT SUM(price) FROM a.t"},
				{"group", "SELECT flag, COUNT(*), SUM(k) FROM a.t GROUP BY flag"},
				{"text", "SELECT MAX(note) FROM a.t"},
			} {
				b.Run(path+"/"+state+"/"+q[0], func(b *testing.B) { perRow(b, rows, func() { rowsOf(b, db, "root", q[1]) }) })
			}
		}
	}
}

// perRow reports processor time and allocations of a row.
func perRow(b *testing.B, rows int, f func()) {
	b.ReportAllocs()
	before := processorTime()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(processorTime()-before)/float64(rows*b.N), "cpu-ns/row")
}

// iterate passes over the rows of a.t and reads none of their columns.
func iterate(b *testing.B, db *testkit.Database) {
	view := db.Relations().View()
	defer view.Release()
	def, err := view.Table("a", "t")
	if err != nil {
		b.Fatal(err)
	}
	table, err := view.Open(def, schema.SharedScope, relation.Caller{})
	if err != nil {
		b.Fatal(err)
	}
	scan, err := table.Scan(b.Context(), source.Request{Columns: []int{}})
	if err != nil {
		b.Fatal(err)
	}
	defer scan.Close()
	for {
		batch, err := scan.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if batch == nil {
			return
		}
	}
}
