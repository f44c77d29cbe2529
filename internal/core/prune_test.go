package core_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"kalamdb/internal/cold"
	"kalamdb/internal/core"
)

// pruneWorld is one history that three databases go through: in one DuckDB reads
// cold files, in one the row path does, and in one nothing is ever flushed.
type pruneWorld struct {
	fileWorld
	tiers []*cold.Tier
}

func newPruneWorld(t *testing.T, seed uint64) *pruneWorld {
	w := &pruneWorld{fileWorld: fileWorld{t: t, rand: rand.New(rand.NewPCG(seed, 11))}}
	for i := range w.dbs {
		tier := cold.New(cold.Options{DataDir: t.TempDir(), RowGroupRows: 6, BloomRows: 1})
		t.Cleanup(func() { _ = tier.Close() })
		w.tiers = append(w.tiers, tier)
		w.dbs[i] = openDB(t, func(o *core.Options) {
			o.Cold, o.Analytics.Always, o.Analytics.FileRows = tier, i == 0, 1
		})
	}
	return w
}

// flush moves the rows of all databases but the last.
func (w *pruneWorld) flush() {
	for _, db := range w.dbs[:2] {
		if _, err := db.Flush(w.t.Context(), "f", "t"); err != nil {
			w.t.Fatal(err)
		}
	}
}

// condition is a random comparison of a column.
func (w *pruneWorld) condition() string {
	switch w.rand.IntN(8) {
	case 0:
		return fmt.Sprintf("k = %d", w.rand.IntN(60)-5)
	case 1:
		return fmt.Sprintf("id %s %d", w.operator(), w.rand.IntN(w.keys+3))
	case 2:
		return fmt.Sprintf("k IN (%d, %d, NULL)", w.rand.IntN(60), w.rand.IntN(60))
	}
	c := w.columns[w.rand.IntN(len(w.columns))]
	switch {
	case w.rand.IntN(6) == 0:
		return c.name + []string{" IS NULL", " IS NOT NULL"}[w.rand.IntN(2)]
	case c.typ == "JSON", strings.HasPrefix(c.typ, "EMBEDDING"), c.typ == "BOOLEAN" && w.rand.IntN(2) == 0:
		return c.name + " IS NOT NULL"
	}
	v := w.literal(c)
	switch w.rand.IntN(6) {
	case 0:
		return fmt.Sprintf("%s BETWEEN %s AND %s", c.name, v, w.literal(c))
	case 1:
		return fmt.Sprintf("%s IN (%s, %s)", c.name, v, w.literal(c))
	case 2:
		return fmt.Sprintf("(%s = %s OR %s = %s)", c.name, v, c.name, w.literal(c))
	case 3:
		return fmt.Sprintf("%s %s %s", v, w.operator(), c.name)
	}
	return fmt.Sprintf("%s %s %s", c.name, w.operator(), v)
}

func (w *pruneWorld) operator() string {
	return []string{"=", "<", "<=", ">", ">=", "="}[w.rand.IntN(6)]
}

// literal is a value that a column may be compared with.
func (w *pruneWorld) literal(c fileColumn) string {
	v := w.value(c)
	for v == "NULL" {
		v = w.value(c)
	}
	switch c.typ {
	case "TEXT":
		return []string{"''", "'a'", "'b'", "'Z'", "'-1'", "'5'", "'z'", "'" + strings.Repeat("long ", 40) + "'"}[w.rand.IntN(8)]
	case "FLOAT", "DOUBLE":
		return []string{"0", "-0.0", "0.1", "1.5", "-1", "2", "CAST('NaN' AS DOUBLE)", "CAST('Infinity' AS DOUBLE)"}[w.rand.IntN(8)]
	case "SMALLINT", "INT", "BIGINT":
		return []string{v, "0", "7.5", "-3", "CAST(1e30 AS DOUBLE)"}[w.rand.IntN(5)]
	}
	return v
}

// insertNear inserts rows of which many values lie near each other, so that files
// and row groups differ.
func (w *pruneWorld) insertNear(rows int) {
	names := []string{"id", "k"}
	for _, c := range w.columns {
		names = append(names, c.name)
	}
	near := map[string]string{}
	var list []string
	for range rows {
		cells := []string{fmt.Sprint(w.keys), fmt.Sprint(w.rand.IntN(50))}
		w.keys++
		for _, c := range w.columns {
			v := w.value(c)
			switch {
			case w.rand.IntN(3) > 0 && near[c.name] != "":
				v = near[c.name]
			case c.typ == "TEXT" && w.rand.IntN(20) == 0:
				v = "'" + strings.Repeat("long ", 40) + "'"
			}
			near[c.name] = v
			cells = append(cells, v)
		}
		list = append(list, "("+strings.Join(cells, ",")+")")
	}
	w.run("INSERT INTO f.t (%s) VALUES %s", strings.Join(names, ","), strings.Join(list, ","))
}

// check holds the answers of what is pruned against those of hot rows.
func (w *pruneWorld) check(filters int) {
	for range filters {
		where := w.condition()
		for range w.rand.IntN(3) {
			where += " AND " + w.condition()
		}
		order := []string{"", " ORDER BY id, k", " ORDER BY _seq", " ORDER BY _seq DESC"}[w.rand.IntN(4)]
		sql := "SELECT id, k, " + w.columns[0].name + " FROM f.t WHERE " + where + order
		want := rowsOf(w.t, w.dbs[2], "root", sql)
		if order == "" {
			slices.Sort(want)
		}
		for i, name := range []string{"from files", "on the row path"} {
			got := rowsOf(w.t, w.dbs[i], "root", sql)
			if order == "" {
				slices.Sort(got)
			}
			if !slices.Equal(got, want) {
				w.t.Fatalf("%s: %s %d rows, of hot ones %d:\n%v\n%v", sql, name, len(got), len(want), got, want)
			}
		}
	}
}

// TestPruning: segments and row groups that statistics and bloom filters rule out
// hide no row, with NULL, NaN, negative zero and long texts among the values, in
// files older than an ALTER, with rows changed and deleted after their file was
// written. The truth is a database that never flushes.
func TestPruning(t *testing.T) {
	seeds := uint64(8)
	if testing.Short() {
		seeds = 3
	}
	var pruned int64
	for seed := range seeds {
		w := newPruneWorld(t, seed)
		for range 3 + w.rand.IntN(4) {
			w.add(false)
		}
		columns := ""
		for _, c := range w.columns {
			columns += ", " + c.name + " " + c.typ
		}
		w.run("CREATE NAMESPACE f; CREATE SHARED TABLE f.t (id BIGINT, k INT%s, PRIMARY KEY (id, k))", columns)
		for range 4 {
			w.insertNear(30 + w.rand.IntN(60))
			w.flush()
			w.check(12)
			for range w.rand.IntN(3) {
				w.alter()
			}
			w.retype()
			w.check(12)
			w.run("DELETE FROM f.t WHERE id = %d", w.rand.IntN(w.keys))
			w.run("UPDATE f.t SET %s = NULL WHERE id %% 11 = %d", w.columns[0].name, w.rand.IntN(11))
			c := w.columns[w.rand.IntN(len(w.columns))]
			w.run("UPDATE f.t SET %s = %s WHERE id %% 7 = %d", c.name, w.value(c), w.rand.IntN(7))
			w.insertNear(3)
			w.check(12)
		}
		for _, tier := range w.tiers[:2] {
			pruned += tier.Stats().RowGroupsPruned
		}
	}
	if pruned == 0 {
		t.Error("no row group was pruned")
	}
}

// retype makes a column TEXT now and then: its older files keep the order of the
// type that it had.
func (w *pruneWorld) retype() {
	if w.rand.IntN(3) > 0 {
		return
	}
	c := &w.columns[w.rand.IntN(len(w.columns))]
	if c.typ != "TEXT" && !strings.HasPrefix(c.typ, "EMBEDDING") && c.typ != "BYTES" {
		w.run("ALTER TABLE f.t ALTER COLUMN %s TYPE TEXT", c.name)
		c.typ = "TEXT"
	}
}
