package core_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"kalamdb/internal/cold"
	"kalamdb/internal/core"
	"kalamdb/internal/testkit"
)

// fileColumn is a column of a random table: its type, and what to widen it to.
type fileColumn struct {
	name, typ string
}

// fileTypes are types of columns with a maker of values; wider is the type that
// ALTER may change the column to.
var fileTypes = []struct {
	typ, wider string
	value      func(r *rand.Rand) string
}{
	{"BOOLEAN", "", func(r *rand.Rand) string { return []string{"true", "false"}[r.IntN(2)] }},
	{"SMALLINT", "BIGINT", func(r *rand.Rand) string { return fmt.Sprint(r.IntN(65536) - 32768) }},
	{"INT", "BIGINT", func(r *rand.Rand) string { return fmt.Sprint(int32(r.Uint32())) }},
	{"BIGINT", "", func(r *rand.Rand) string { return fmt.Sprint(int64(r.Uint64()) / 2) }},
	{"FLOAT", "DOUBLE", func(r *rand.Rand) string { return []string{"'NaN'", "'-Infinity'", "-0.0", "1.5", "0.1"}[r.IntN(5)] }},
	{"DOUBLE", "", func(r *rand.Rand) string { return []string{"'NaN'", "'Infinity'", "-0.0", "2.25", "1e300"}[r.IntN(5)] }},
	{"DECIMAL(9,2)", "DECIMAL(14,4)", func(r *rand.Rand) string { return fmt.Sprintf("%d.%02d", r.IntN(2_000_000)-1_000_000, r.IntN(100)) }},
	{"DECIMAL(38,10)", "", func(r *rand.Rand) string {
		return fmt.Sprintf("-%d%018d.%010d", r.IntN(1000), r.Int64N(1e18), r.Int64N(1e10))
	}},
	{"TEXT", "", func(r *rand.Rand) string {
		return []string{"''", "'a'", "'ärger \"x\" \\ '", "'a text of more than twelve bytes'"}[r.IntN(4)]
	}},
	{"BYTES", "", func(r *rand.Rand) string { return fmt.Sprintf("'\\x%04x00'", r.IntN(65536)) }},
	{"JSON", "", func(r *rand.Rand) string { return fmt.Sprintf(`'{"a": %d, "b": [null, "ü"]}'`, r.IntN(100)) }},
	{"UUID", "", func(r *rand.Rand) string { return fmt.Sprintf("'%08x-0000-4000-8000-%012x'", r.Uint32(), r.Uint32()) }},
	{"DATE", "", func(r *rand.Rand) string {
		return fmt.Sprintf("'%04d-%02d-%02d'", 1+r.IntN(9998), 1+r.IntN(12), 1+r.IntN(28))
	}},
	{"TIME", "", func(r *rand.Rand) string {
		return fmt.Sprintf("'%02d:%02d:%02d.%06d'", r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1e6))
	}},
	{"TIMESTAMP", "", func(r *rand.Rand) string {
		return fmt.Sprintf("'%04d-03-01 01:02:03.%06d'", 1900+r.IntN(300), r.IntN(1e6))
	}},
	{"DATETIME", "", func(r *rand.Rand) string {
		return fmt.Sprintf("'%04d-03-01 01:02:03.%06dZ'", 1900+r.IntN(300), r.IntN(1e6))
	}},
	{"EMBEDDING(2)", "", func(r *rand.Rand) string { return fmt.Sprintf("'[%d,0.5]'", r.IntN(9)) }},
}

// fileWorld is one history that databases go through: one that lets DuckDB read
// files, one that reads them for DuckDB, and one that takes the row path where it
// can.
type fileWorld struct {
	t       *testing.T
	rand    *rand.Rand
	dbs     [3]*testkit.Database
	columns []fileColumn
	names   int
	keys    int
}

func (w *fileWorld) run(format string, args ...any) {
	w.t.Helper()
	for _, db := range w.dbs {
		mustRun(w.t, db, root, fmt.Sprintf(format, args...))
	}
}

// add adds a random column, to the table too when it exists.
func (w *fileWorld) add(exists bool) {
	kind := fileTypes[w.rand.IntN(len(fileTypes))]
	c := fileColumn{fmt.Sprintf("c%d", w.names), kind.typ}
	w.names++
	w.columns = append(w.columns, c)
	if !exists {
		return
	}
	missing := ""
	if w.rand.IntN(2) == 0 {
		missing = " DEFAULT " + kind.value(w.rand)
	}
	w.run("ALTER TABLE f.t ADD COLUMN %s %s%s", c.name, c.typ, missing)
}

func (w *fileWorld) alter() {
	at := w.rand.IntN(len(w.columns))
	c := &w.columns[at]
	switch w.rand.IntN(4) {
	case 0:
		w.add(true)
	case 1:
		if len(w.columns) > 2 {
			w.run("ALTER TABLE f.t DROP COLUMN %s", c.name)
			w.columns = slices.Delete(w.columns, at, at+1)
		}
	case 2:
		w.run("ALTER TABLE f.t RENAME COLUMN %s TO %s_", c.name, c.name)
		c.name += "_"
	default:
		for _, kind := range fileTypes {
			if kind.typ == c.typ && kind.wider != "" {
				w.run("ALTER TABLE f.t ALTER COLUMN %s TYPE %s", c.name, kind.wider)
				c.typ = kind.wider
			}
		}
	}
}

// value is a random value of a column.
func (w *fileWorld) value(c fileColumn) string {
	if w.rand.IntN(6) == 0 {
		return "NULL"
	}
	for _, kind := range fileTypes {
		if kind.typ == c.typ || kind.wider == c.typ {
			return kind.value(w.rand)
		}
	}
	return "NULL"
}

func (w *fileWorld) insert(rows int) {
	names := []string{"id"}
	for _, c := range w.columns {
		names = append(names, c.name)
	}
	var list []string
	for range rows {
		cells := []string{fmt.Sprint(w.keys)}
		w.keys++
		for _, c := range w.columns {
			cells = append(cells, w.value(c))
		}
		list = append(list, "("+strings.Join(cells, ",")+")")
	}
	w.run("INSERT INTO f.t (%s) VALUES %s", strings.Join(names, ","), strings.Join(list, ","))
}

func (w *fileWorld) flush() {
	for _, db := range w.dbs {
		if _, err := db.Flush(w.t.Context(), "f", "t"); err != nil {
			w.t.Fatal(err)
		}
	}
}

// check reads the table in several ways and holds the answers of both against
// each other.
func (w *fileWorld) check() {
	c := w.columns[w.rand.IntN(len(w.columns))]
	all := []string{"id"}
	for _, c := range w.columns {
		all = append(all, c.name)
	}
	plan := strings.Join(rowsOf(w.t, w.dbs[0], "root", "EXPLAIN SELECT "+c.name+" FROM f.t"), "\n")
	if !strings.HasPrefix(c.typ, "EMBEDDING") && !strings.Contains(plan, "files that DuckDB reads itself") {
		w.t.Fatalf("a column of %s:\n%s", c.typ, plan)
	}
	for _, sql := range []string{
		"SELECT " + strings.Join(all, ", ") + " FROM f.t",
		"SELECT COUNT(*), COUNT(" + c.name + "), MIN(id), MAX(_seq) - MIN(_seq) >= 0 FROM f.t",
		"SELECT a.id, b." + c.name + " FROM f.t a JOIN f.t b ON a.id = b.id + 1",
		"SELECT id FROM f.t WHERE " + c.name + " IS NOT NULL AND NOT _deleted",
		fmt.Sprintf("SELECT id, %s FROM f.t WHERE id %% 7 < 3 AND id <> %d", c.name, w.rand.IntN(w.keys)),
		"SELECT COUNT(*) FROM f.t",
		"SELECT " + c.name + ", COUNT(*), COUNT(DISTINCT " + c.name + "), MIN(id), SUM(id) FROM f.t GROUP BY " + c.name,
		"SELECT MAX(CAST(" + c.name + " AS TEXT)), MIN(CAST(id AS TEXT)) FROM f.t WHERE id % 3 = 1",
		"SELECT length(CAST(" + c.name + " AS TEXT)), MAX(id) FROM f.t GROUP BY 1",
	} {
		want := rowsOf(w.t, w.dbs[1], "root", sql)
		slices.Sort(want)
		for i, name := range map[int]string{0: "from files", 2: "on the row path"} {
			got := rowsOf(w.t, w.dbs[i], "root", sql)
			slices.Sort(got)
			for at := range max(len(got), len(want)) {
				if at >= len(got) || at >= len(want) || got[at] != want[at] {
					w.t.Fatalf("%s: %s %d rows, through a scan %d; they differ from row %d on:\n%v\n%v", sql, name, len(got), len(want), at, got[min(at, len(got)):], want[min(at, len(want)):])
				}
			}
		}
	}
	if c.typ == "DOUBLE" || c.typ == "FLOAT" { // what the statistics of a file say must not hide a NaN
		sql := "SELECT COUNT(*) FROM f.t WHERE " + c.name + " > 1e308"
		if got, want := rowsOf(w.t, w.dbs[0], "root", sql), rowsOf(w.t, w.dbs[1], "root", sql); !slices.Equal(got, want) {
			w.t.Fatalf("%s: %v from files, %v read by us", sql, got, want)
		}
	}
}

// TestFilesReadByDuckDB: what DuckDB reads from the files itself is what we read
// from them, for random tables that are altered between the files, with rows
// that were changed after their file was written and rows that are hot.
func TestFilesReadByDuckDB(t *testing.T) {
	seeds := uint64(8)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &fileWorld{t: t, rand: rand.New(rand.NewPCG(seed, 5))}
			for i := range w.dbs {
				tier := cold.New(cold.Options{DataDir: t.TempDir(), RowGroupRows: 40})
				t.Cleanup(func() { _ = tier.Close() })
				w.dbs[i] = openDB(t, func(o *core.Options) {
					o.Cold, o.Analytics.Always, o.Analytics.FileRows = tier, i < 2, 1
					if i == 1 {
						o.Analytics.FileRows = -1
					}
				})
			}
			for range 2 + w.rand.IntN(4) {
				w.add(false)
			}
			var columns []string
			for _, c := range w.columns {
				columns = append(columns, c.name+" "+c.typ)
			}
			w.run("CREATE NAMESPACE f; CREATE SHARED TABLE f.t (id BIGINT PRIMARY KEY, %s)", strings.Join(columns, ", "))
			for range 4 {
				w.insert(20 + w.rand.IntN(100))
				w.flush()
				w.check()
				for range w.rand.IntN(3) {
					w.alter()
				}
				w.check()
				w.run("DELETE FROM f.t WHERE id = %d", w.rand.IntN(w.keys))
				w.run("UPDATE f.t SET %s = NULL WHERE id %% 11 = %d", w.columns[0].name, w.rand.IntN(11))
				w.insert(5)
				w.check()
			}
		})
	}
}
