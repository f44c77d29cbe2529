package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// columns are the types of what nodes give, by their numbers.
type columns map[int][]datum.Type

// checker verifies that every column that is read is given where it is read,
// with the same type.
type checker struct {
	scans   map[int]*Scan
	queries map[*CommonQuery]bool
	faults  []string
}

func (c *checker) fail(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// expr checks an expression that sees the given columns.
func (c *checker) expr(x Expr, sees columns) {
	Walk(x, func(x Expr) bool {
		switch x := x.(type) {
		case *Ref:
			c.ref(x, sees)
		case *Subquery:
			given := c.node(x.Root, sees)
			for i := range x.Columns {
				c.ref(&x.Columns[i], given)
			}
			if x.Kind == ScalarQuery && x.T != x.Columns[0].T {
				c.fail("%s is %s", x, x.T)
			}
		case *Param:
			if x.Index < 0 {
				c.fail("parameter %s has no place", x)
			}
		case *Col, *GroupRef, *AggRef, *groupingCall:
			c.fail("%s does not belong into a tree", x)
		}
		return true
	})
}

func (c *checker) ref(r *Ref, sees columns) {
	types, ok := sees[r.Rel]
	if !ok || r.Position >= len(types) {
		c.fail("%s is not given here", r)
		return
	}
	if types[r.Position] != r.T {
		c.fail("%s is %s, not %s", r, types[r.Position], r.T)
	}
	if s := c.scans[r.Rel]; s != nil && !slices.Contains(s.Needed, r.Position) {
		c.fail("%s is not needed of %s", r, s.Table.Name)
	}
}

func typesOf(list []RelColumn) []datum.Type {
	out := make([]datum.Type, len(list))
	for i, c := range list {
		out[i] = c.Type
	}
	return out
}

func with(a, b columns) columns {
	out := maps.Clone(a)
	if out == nil {
		out = columns{}
	}
	maps.Copy(out, b)
	return out
}

// node checks a node and returns what it gives; outer is what it may read beside
// its inputs.
func (c *checker) node(n Node, outer columns) columns {
	sees := columns{}
	lateral := outer
	for _, in := range Inputs(n) {
		given := c.node(in, lateral)
		if j, ok := n.(*Join); ok && j.Lateral {
			lateral = with(outer, given)
		}
		sees = with(sees, given)
	}
	if w, ok := n.(*With); ok {
		return c.with(w, sees, outer)
	}
	for _, x := range Expressions(n) {
		if x.Type().Kind == datum.Null {
			c.fail("%s has no type", x)
		}
		c.expr(x, with(outer, sees))
	}
	switch n := n.(type) {
	case *Scan:
		c.scans[n.Rel] = n
		return columns{n.Rel: c.table(n)}
	case *Values:
		for _, row := range n.Rows {
			for i, x := range row {
				if x.Type() != n.Columns[i].Type {
					c.fail("%s is no %s", x, n.Columns[i].Type)
				}
			}
		}
		return columns{n.Rel: typesOf(n.Columns)}
	case *TableCall:
		return columns{n.Rel: typesOf(n.Columns)}
	case *Recall:
		return columns{n.Rel: typesOf(n.Columns)}
	case *Project:
		types := make([]datum.Type, len(n.Outputs))
		for i, o := range n.Outputs {
			if types[i] = o.X.Type(); types[i] != o.Type {
				c.fail("output %s is %s, not %s", o.Name, types[i], o.Type)
			}
		}
		return columns{n.Rel: types}
	case *SetOp:
		for i := range n.Columns {
			if n.L[i].T != n.Columns[i].Type || n.R[i].T != n.Columns[i].Type {
				c.fail("column %d of %s is %s and %s", i, n.Columns[i].Type, n.L[i].T, n.R[i].T)
			}
		}
		return columns{n.Rel: typesOf(n.Columns)}
	case *Aggregation:
		return columns{n.Rel: c.groups(n)}
	case *Windowing:
		types := make([]datum.Type, len(n.Calls))
		for i := range n.Calls {
			types[i] = n.Calls[i].T
		}
		return with(sees, columns{n.Rel: types})
	case *Unique:
		if _, ok := n.Input.(*Project); !ok && n.On == nil {
			c.fail("DISTINCT over a %T", n.Input)
		}
	}
	return sees
}

func (c *checker) table(n *Scan) []datum.Type {
	types := make([]datum.Type, len(n.Table.Columns))
	for i := range types {
		types[i] = n.Table.Columns[i].Type
	}
	Walk(n.Filter, func(x Expr) bool {
		switch x.(type) {
		case *Ref, *Subquery, *GroupRef, *AggRef:
			c.fail("%s does not belong into the filter of a scan", x)
		}
		return true
	})
	return types
}

func (c *checker) groups(n *Aggregation) []datum.Type {
	var types []datum.Type
	for _, x := range n.Groups {
		types = append(types, x.Type())
	}
	for _, a := range n.Aggregates {
		types = append(types, a.Type)
	}
	for range n.Groupings {
		types = append(types, bigintType)
	}
	for _, s := range n.Sets {
		for _, i := range s {
			if i >= len(n.Groups) {
				c.fail("set %v of %d groups", s, len(n.Groups))
			}
		}
	}
	return types
}

// with checks the queries of a With; they see no more than what is outside.
func (c *checker) with(n *With, sees, outer columns) columns {
	for _, q := range n.Queries {
		for i := range q.Columns {
			c.ref(&q.Columns[i], sees)
		}
		for i := range q.StepColumns {
			c.ref(&q.StepColumns[i], sees)
			if q.StepColumns[i].T != q.Columns[i].T {
				c.fail("query %s: %s and %s", q.Name, &q.Columns[i], &q.StepColumns[i])
			}
		}
	}
	return sees
}

// checkTree returns what is wrong with a plan.
func checkTree(a *Analytic) []string {
	c := &checker{scans: map[int]*Scan{}}
	given := c.node(a.Root, nil)
	for _, o := range a.Outputs {
		c.expr(o.X, given)
	}
	Nodes(a.Root, func(n Node) {
		if w, ok := n.(*With); ok {
			for _, q := range w.Queries {
				if c.queries == nil {
					c.queries = map[*CommonQuery]bool{}
				}
				c.queries[q] = true
			}
		}
	})
	Nodes(a.Root, func(n Node) {
		if r, ok := n.(*Recall); ok && !c.queries[r.Query] {
			c.fail("query %s is recalled but not there", r.Query.Name)
		}
	})
	return c.faults
}

// checkPlan checks the trees of any plan.
func checkPlan(p any) []string {
	switch p := p.(type) {
	case *Analytic:
		return checkTree(p)
	case *Query:
		return checkTree(p.Analytic())
	case *Insert:
		if p.Source != nil {
			return checkTree(p.Source)
		}
	case *Update:
		if p.Source != nil {
			return checkTree(p.Source)
		}
	case *Delete:
		if p.Source != nil {
			return checkTree(p.Source)
		}
	}
	return nil
}

// statements are those of testdata/plan that are accepted.
func statements(t testing.TB) []string {
	files, err := filepath.Glob("testdata/plan/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no statements", err)
	}
	sc := testTables(t)
	var out []string
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			first, _, _ := strings.Cut(line, " ")
			switch strings.TrimLeft(first, "(") {
			case "SELECT", "WITH", "VALUES", "INSERT", "UPDATE", "DELETE":
				if _, _, err := bind(sc, line, false); err == nil {
					out = append(out, line)
				}
			}
		}
	}
	return out
}

// TestTreesHold: whatever a tree reads is given there, for the statements of
// testdata and for what is put together of them.
func TestTreesHold(t *testing.T) {
	sc := testTables(t)
	normalized := false
	check := func(text string) bool {
		p, _, err := bind(sc, text, normalized)
		if err != nil {
			if fault.Is(err, fault.Internal) {
				t.Errorf("%s: %v", text, err)
			}
			return false
		}
		for _, f := range checkPlan(p) {
			t.Errorf("%s: %s\n%s", text, f, p)
		}
		return true
	}
	all := statements(t)
	var queries []string
	for _, s := range all {
		if check(s); strings.HasPrefix(s, "SELECT") || strings.HasPrefix(s, "WITH") || strings.HasPrefix(s, "(") {
			queries = append(queries, s)
		}
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	pick := func() string { return queries[r.IntN(len(queries))] }
	forms := []func() string{
		func() string { return "SELECT * FROM (" + pick() + ") x" },
		func() string { return "SELECT count(*) FROM (" + pick() + ") x, LATERAL (" + pick() + ") y" },
		func() string { return "WITH q AS (" + pick() + ") SELECT * FROM q a LEFT JOIN q b ON true ORDER BY 1" },
		func() string { return "SELECT a FROM pair WHERE EXISTS (" + pick() + ")" },
		func() string { return "SELECT a, (" + pick() + ") FROM pair GROUP BY a" },
		func() string { return "SELECT a FROM pair WHERE a IN (" + pick() + ") OR a > ALL (" + pick() + ")" },
		func() string { return "(" + pick() + ") UNION (" + pick() + ")" },
		func() string { return "(" + pick() + ") UNION ALL (SELECT NULL) LIMIT 1" },
		func() string { return "SELECT DISTINCT * FROM (" + pick() + ") x" },
		func() string { return "SELECT DISTINCT ON (1) *, row_number() OVER () FROM (" + pick() + ") x LIMIT 2" },
		func() string { return "SELECT max(x) OVER (ORDER BY (" + pick() + ")) FROM (" + pick() + ") AS x(x)" },
		func() string { return "INSERT INTO pair (a) " + pick() },
		func() string {
			return "UPDATE pair SET v = (" + pick() + ") FROM (" + pick() + ") x WHERE true RETURNING *"
		},
		func() string { return "WITH q AS (" + pick() + ") DELETE FROM pair USING q WHERE true RETURNING *" },
	}
	bound := 0
	for i := range 1500 {
		normalized = i%2 == 1
		if check(forms[r.IntN(len(forms))]()) {
			bound++
		}
	}
	t.Logf("seed %d: %d of 1500 were bound", seed, bound)
	if bound < 300 {
		t.Errorf("seed %d: only %d of 1500 statements were bound", seed, bound)
	}
}

// TestTreeBounds: statements that would grow without end are refused at once.
func TestTreeBounds(t *testing.T) {
	nest := func(x, open, end string, n int) string {
		return strings.Repeat(open, n) + x + strings.Repeat(end, n)
	}
	list := func(n int, each string) string {
		out := make([]string, n)
		for i := range out {
			out[i] = fmt.Sprintf(each, i)
		}
		return strings.Join(out, ", ")
	}
	for name, text := range map[string]string{
		"items of FROM":       "SELECT 1 FROM " + list(257, "pair p%d"),
		"nested queries":      nest("SELECT 1 AS x", "SELECT * FROM (", ") x", 70),
		"queries":             "SELECT " + list(1100, "(SELECT %d)"),
		"nested BETWEEN":      "SELECT id FROM note WHERE " + nest("n", "(", " BETWEEN SYMMETRIC 1 AND 2)::int", 30) + " = 1",
		"nested CASE":         "SELECT " + nest("n", "(CASE ", " WHEN 1 THEN 2 WHEN 2 THEN 3 WHEN 3 THEN 4 WHEN 4 THEN 5 WHEN 5 THEN 6 END)", 20) + " FROM note",
		"nested rows":         "SELECT " + nest("n", "((", ", 1) < (2, 3))::int", 40) + " FROM note",
		"nested IN":           "SELECT " + nest("price", "(", " IN (1, 2e0, 3e0, 4e0, 5e0))::int::decimal(5,1)", 20) + " FROM note",
		"grouping sets":       "SELECT count(*) FROM pair GROUP BY CUBE (" + list(12, "a + %d") + ")",
		"views":               "SELECT 1 FROM " + list(200, "cheap c%d"),
		"outputs":             "SELECT " + list(4200, "n + %d") + " FROM note, pair",
		"different windows":   "SELECT " + list(4200, "sum(n + %d) OVER ()") + " FROM note",
		"recursion of a view": "SELECT * FROM loop",
	} {
		_, _, err := bind(testTables(t), text, false)
		if name == "recursion of a view" {
			if !fault.Is(err, fault.InvalidDefinition) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !fault.Is(err, fault.LimitExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
