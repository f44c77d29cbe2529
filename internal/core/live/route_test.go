package live

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
)

// routingTable has the columns of FilterColumns.
func routingTable() *schema.Table {
	t := &schema.Table{ID: 1, Namespace: "app", Name: "t", Kind: schema.Shared, Version: 1, Key: []schema.ColumnID{1}}
	add := func(name string, kind datum.Kind, system schema.SystemColumn) {
		typ := datum.Type{Kind: kind}
		if kind == datum.Decimal {
			typ.Precision, typ.Scale = 10, 2
		}
		t.Columns = append(t.Columns, schema.Column{ID: schema.ColumnID(len(t.Columns) + 1), Name: name, Type: typ, System: system})
	}
	for i, kind := range []datum.Kind{datum.BigInt, datum.Int, datum.Int, datum.Double, datum.Decimal, datum.Text, datum.Bool, datum.Timestamp, datum.JSON} {
		add([]string{"id", "k", "v", "d", "n", "t", "b", "at", "doc"}[i], kind, schema.NotSystem)
	}
	add(schema.SeqName, datum.BigInt, schema.SeqColumn)
	add(schema.DeletedName, datum.Bool, schema.DeletedColumn)
	return t
}

// filterOf compiles a condition.
func filterOf(t testing.TB, table *schema.Table, text string) *filter {
	t.Helper()
	e, err := parse.ParseExpr(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	x, err := plan.BindFilter(e, table)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	m, err := newMatcher(&plan.Query{Table: table, Filter: x}, relation.Caller{}, &plan.Env{})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return &filter{match: m}
}

// TestRouterAgainstAll compares what the router finds with asking every filter,
// while filters come and go: whatever selects the old or the new row of a change
// is among its candidates, and what the routes exclude is not selected.
func TestRouterAgainstAll(t *testing.T) {
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 7))
		table := routingTable()
		f := newFeed(feedKey{table: 1}, table)
		var filters []*filter
		var found []*filter
		var hash []byte
		shown, selected := 0, 0
		for generation := range uint64(1000) {
			switch {
			case r.IntN(3) > 0 && len(filters) < 200:
				text := RandomFilter(r, r.IntN(4))
				fl := filterOf(t, table, text)
				f.router.add(fl)
				filters = append(filters, fl)
			case len(filters) > 0 && r.IntN(2) == 0:
				at := r.IntN(len(filters))
				f.router.remove(filters[at])
				filters = slices.Delete(filters, at, at+1)
			}
			e := &event{table: table, change: &command.Change{Op: command.Update}, hasWas: true}
			e.row, e.was = make([]datum.Value, len(table.Columns)), make([]datum.Value, len(table.Columns))
			for i, row := range [][]datum.Value{e.row, e.was} {
				randomRow(r, row)
				table.Stamp(row, generation+uint64(i), false)
			}
			found, hash = f.candidates(found[:0], e, generation+1, hash)
			for _, fl := range filters {
				env := fl.match.env()
				is, err1 := fl.match.matches(e.row, &env)
				was, err2 := fl.match.matches(e.was, &env)
				if err1 != nil || err2 != nil {
					t.Fatalf("%s: %v, %v", fl.match.key, err1, err2)
				}
				if (is || was) && !slices.Contains(found, fl) {
					t.Fatalf("seed %d: %s selects %v or %v, and was not asked", seed, fl.match.key, e.row, e.was)
				}
				if is || was {
					selected++
				}
			}
			shown += len(found)
			if n := len(found); n != len(slices.Compact(slices.SortedFunc(slices.Values(found), func(a, b *filter) int {
				return strings.Compare(fmt.Sprintf("%p", a), fmt.Sprintf("%p", b))
			}))) {
				t.Fatalf("a filter was found twice")
			}
		}
		t.Logf("seed %d: %d filters asked, of which %d select", seed, shown, selected)
		for _, fl := range filters {
			f.router.remove(fl)
		}
		if len(f.router.always) > 0 || len(f.router.columns) > 0 {
			t.Errorf("seed %d: %d filters and %d columns are left", seed, len(f.router.always), len(f.router.columns))
		}
	}
}

// TestCrowdsSplit: where many filters share one equality they are told apart by
// what else they ask for.
func TestCrowdsSplit(t *testing.T) {
	table := routingTable()
	r := newRouter(table)
	generation := uint64(0)
	asked := func(row ...datum.Value) int {
		generation++
		all := append(row, make([]datum.Value, len(table.Columns)-len(row))...)
		found, _ := r.find(nil, all, generation, nil)
		return len(found)
	}
	integer := func(n int64) datum.Value { return datum.NewInt(datum.Int, n) }
	for i := range 1000 {
		r.add(filterOf(t, table, fmt.Sprintf("k = 1 AND v = %d", i)))
		r.add(filterOf(t, table, fmt.Sprintf("k = 1 AND d BETWEEN %d AND %d.5", i, i)))
		r.add(filterOf(t, table, fmt.Sprintf("(k = 1 AND t LIKE 'w%d-%%') OR (k = 1 AND t = 'q%d')", i, i)))
	}
	if n := asked(integer(0), integer(1), integer(17), datum.NewDouble(500), datum.NullValue, datum.NewText("w900-x")); n > 400 {
		t.Errorf("%d of 3000 filters were asked", n)
	}
	if n := asked(integer(0), integer(2), integer(5000), datum.NewDouble(-1)); n > 0 {
		t.Errorf("%d filters were asked for a row that none selects", n)
	}
}

// TestExcludedRowsRaiseNothing: a filter fails only on rows that its routes let
// pass, whether they were asked or not.
func TestExcludedRowsRaiseNothing(t *testing.T) {
	table := routingTable()
	f := func(text string, k, v int64, want string) {
		t.Helper()
		fl := filterOf(t, table, text)
		row := make([]datum.Value, len(table.Columns))
		row[1], row[2] = datum.NewInt(datum.Int, k), datum.NewInt(datum.Int, v)
		env := fl.match.env()
		is, err := fl.match.matches(row, &env)
		got := fmt.Sprint(is)
		if err != nil {
			got = "fails"
		}
		if got != want {
			t.Errorf("%s of k=%d, v=%d: %s, want %s", text, k, v, got, want)
		}
	}
	f("10 / v > 1 AND k = 1", 2, 0, "false")
	f("10 / v > 1 AND k = 1", 1, 0, "fails")
	f("10 / v > 1 AND k = 1", 1, 2, "true")
	f("10 / v > 1 OR k = 1", 2, 0, "fails")
	f("10 / v > 1 AND k BETWEEN 5 AND 6", 7, 0, "false")
}

// BenchmarkRouter looks one row up among filters of which one selects it.
func BenchmarkRouter(b *testing.B) {
	table := routingTable()
	for _, kind := range []struct{ name, text string }{
		{"equal", "k = %d"}, {"in", "k IN (%[1]d, -%[1]d)"}, {"range", "k >= %[1]d AND k <= %[1]d"}, {"prefix", "t LIKE 'room-%d-%%'"},
	} {
		for _, n := range []int{1, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", kind.name, n), func(b *testing.B) {
				r := newRouter(table)
				for i := range n {
					r.add(filterOf(b, table, fmt.Sprintf(kind.text, i)))
				}
				row := make([]datum.Value, len(table.Columns))
				row[1], row[5] = datum.NewInt(datum.Int, int64(n/2)), datum.NewText(fmt.Sprintf("room-%d-hello", n/2))
				var found []*filter
				var hash []byte
				generation := uint64(0)
				for b.Loop() {
					generation++
					found, hash = r.find(found[:0], row, generation, hash)
				}
				if len(found) != 1 {
					b.Fatalf("%d filters were found", len(found))
				}
			})
		}
	}
}
