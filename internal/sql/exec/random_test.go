package exec

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
)

// pairs is a table with a key of two columns and a few dozen rows.
func pairs(t testing.TB, r *rand.Rand) world {
	w := world{"t": numbers(0)["t"]}
	def := w["t"].def.Clone()
	def.Key = append(def.Key[:0:0], def.Columns[1].ID, def.Columns[2].ID) // (n, s)
	w["t"].def = def
	seen := map[string]bool{}
	for i := range int64(60) {
		n, s := datum.NewInt(datum.Int, r.Int64N(9)-4), datum.NewText(strings.Repeat("x", r.IntN(4)))
		if key := n.String() + "|" + s.Text(); !seen[key] {
			seen[key] = true
			id := datum.NewInt(datum.BigInt, r.Int64N(10))
			if r.IntN(5) == 0 {
				id = datum.Value{}
			}
			w["t"].rows = append(w["t"].rows, []datum.Value{id, n, s, datum.NewInt(datum.BigInt, i+1), datum.NewBool(r.IntN(6) == 0)})
		}
	}
	return w
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// randomCondition makes condition that may bound the key or _seq.
func randomCondition(r *rand.Rand, depth int) string {
	if depth > 0 && r.IntN(2) == 0 {
		return "(" + randomCondition(r, depth-1) + pick(r, " AND ", " AND ", " OR ") + randomCondition(r, depth-1) + ")"
	}
	number := func() string {
		return pick(r, fmt.Sprint(r.IntN(9)-4), fmt.Sprint(r.IntN(9)-4), "1.5", "2.0", "-3e0", "2.5e0", "'3'", "5000000000", "NULL", "-5000000000")
	}
	op := pick(r, "=", "=", "<", "<=", ">", ">=", "<>")
	switch r.IntN(8) {
	case 0, 1:
		return "n " + op + " " + number()
	case 2:
		return number() + " " + op + " n"
	case 3:
		return "s " + op + " '" + strings.Repeat("x", r.IntN(4)) + "'"
	case 4:
		return "n IN (" + number() + ", " + number() + ", " + number() + ")"
	case 5:
		return "_seq " + op + " " + pick(r, number(), fmt.Sprint(r.IntN(60)))
	case 6:
		return pick(r, "_deleted", "NOT _deleted", "_deleted = false", "_deleted IS TRUE")
	}
	return pick(r, "id > 3", "id IS NULL", "n BETWEEN -2 AND 2", "id = n")
}

// TestRandomQueries compares what queries return with what their conditions say
// of every row, so that no bound handed to the table loses a row, and top-n
// sorts with sorting everything.
func TestRandomQueries(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 3000 {
		w := pairs(t, r)
		where := randomCondition(r, 3)
		order := pick(r, "", "n, s", "n", "s DESC", "id", "id DESC NULLS LAST, n", "_seq", "_seq DESC", "n, s, id", "id + n")
		limit, offset := r.IntN(5), r.IntN(3)
		text := "SELECT _seq, n, s, id FROM t WHERE " + where
		if order != "" {
			text += " ORDER BY " + order
		}
		all := run(t, w, text)
		want := expected(t, w, where, text)
		got := make([]string, len(all))
		for i, row := range all {
			got[i] = row[0].String()
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: %s\ngot  %v\nwant %v", round, text, got, want)
		}
		some := run(t, w, fmt.Sprintf("%s LIMIT %d OFFSET %d", text, limit, offset))
		rest := all[min(offset, len(all)):]
		rest = rest[:min(limit, len(rest))]
		if !slices.EqualFunc(some, rest, func(a, b []datum.Value) bool { return datum.Equal(a[0], b[0]) }) {
			t.Fatalf("round %d: %s with limit %d offset %d\ngot  %v\nwant %v", round, text, limit, offset, some, rest)
		}
	}
}

func run(t *testing.T, w world, text string) [][]datum.Value {
	t.Helper()
	p, err := NewProgram(bindSelect(t, w, text))
	if err != nil {
		t.Fatal(text, err)
	}
	rows, err := collect(context.Background(), p, w, testEnv())
	if err != nil {
		t.Fatal(text, err)
	}
	return rows
}

// expected evaluates the condition for every row; tombstones count when it
// names _deleted.
func expected(t *testing.T, w world, where, text string) []string {
	t.Helper()
	e, err := parse.ParseExpr(where)
	if err != nil {
		t.Fatal(text, err)
	}
	x, err := plan.BindFilter(e, w["t"].def)
	if err != nil {
		t.Fatal(text, err)
	}
	eval, err := Compile(x)
	if err != nil {
		t.Fatal(text, err)
	}
	named := slices.Contains(plan.Columns(x), 4)
	out := []string{}
	for _, row := range w["t"].rows {
		v, err := eval(row, testEnv())
		if err != nil {
			t.Fatal(text, err)
		}
		if v.Bool() && (named || !row[4].Bool()) {
			out = append(out, row[3].String())
		}
	}
	slices.Sort(out)
	return out
}
