package exec

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/plan"
)

var bigintType = datum.Type{Kind: datum.BigInt}

// subquery writes a query inside an expression over the columns of b.
func (g *generator) subquery(b *block, e *plan.Subquery) (x term, err error) {
	if b == nil {
		b = &block{}
	}
	var s *block
	err = g.within(b, func() error {
		s, err = g.node(e.Root)
		return err
	})
	if err != nil {
		return x, err
	}
	switch e.Kind {
	case plan.ExistsQuery:
		return truthTerm("EXISTS (" + s.query(nil) + ")"), nil
	case plan.ScalarQuery:
		return g.scalarQuery(s, e)
	case plan.AnyQuery, plan.AllQuery:
		return g.quantified(b, s, e)
	}
	return x, fault.New(fault.NotImplemented, "ARRAY with a subquery is not supported yet")
}

// scalarQuery gives the one value of a query. Our code looks at how many rows
// there are, unless the query cannot give more than one.
func (g *generator) scalarQuery(s *block, e *plan.Subquery) (term, error) {
	x, err := g.resolve(s, &e.Columns[0])
	if err != nil {
		return x, err
	}
	if g.single(e.Root) {
		x.text, x.plain = "("+s.query([]string{x.text})+")", false
		return x, nil
	}
	alias := g.name("q")
	inner := "(" + s.query([]string{x.text + " AS k0"}) + ") AS " + alias
	value := x
	value.text = "first(" + alias + ".k0)"
	build := func() func([]datum.Value) (datum.Value, error) {
		return func(row []datum.Value) (datum.Value, error) {
			if row[0].Int() > 1 {
				return datum.Value{}, fault.New(fault.InvalidOperation, "a subquery used as an expression returned more than one row")
			}
			return row[1], nil
		}
	}
	one := g.calls(x.t, []term{{text: "count(*)", t: bigintType}, value}, false, "one row", build)
	one.text = "(SELECT " + one.text + " FROM " + inner + ")"
	return one, nil
}

// single reports whether a node gives one row at most.
func (g *generator) single(n plan.Node) bool {
	switch n := n.(type) {
	case *plan.One:
		return true
	case *plan.Values:
		return len(n.Rows) == 1
	case *plan.Project:
		return g.single(n.Input)
	case *plan.Filter:
		return g.single(n.Input)
	case *plan.Sort:
		return g.single(n.Input)
	case *plan.Unique:
		return g.single(n.Input)
	case *plan.With:
		return g.single(n.Input)
	case *plan.Aggregation:
		return len(n.Groups) == 0 && len(n.Sets) <= 1
	case *plan.Slice:
		if n.Count != nil && plan.Fixed(n.Count) {
			if v, err := g.fixedOf(n.Count); err == nil && !v.IsNull() && v.Int() <= 1 {
				return true
			}
		}
		return g.single(n.Input)
	}
	return false
}

// quantified writes IN, ANY and ALL with a query.
func (g *generator) quantified(b, s *block, e *plan.Subquery) (term, error) {
	left := make([]term, len(e.X))
	right := make([]term, len(e.X))
	var err error
	for i, x := range e.X {
		if left[i], err = g.value(b, x); err != nil {
			return term{}, err
		}
		if right[i], err = g.resolve(s, &e.Columns[i]); err != nil {
			return term{}, err
		}
	}
	word := compareWord(e.Compare)
	if word == "" {
		return term{}, fault.New(fault.NotImplemented, "operator %s with ANY or ALL of a query is not supported", e.Compare.Name)
	}
	if len(e.X) == 1 && e.Compare.Code != plan.NoCode {
		if to, ok := common(left[0], right[0]); ok {
			name := map[bool]string{false: "ANY", true: "ALL"}[e.Kind == plan.AllQuery]
			return truthTerm("(" + castText(left[0], to.t) + word + name + " (" + s.query([]string{castText(right[0], to.t)}) + "))"), nil
		}
		if e.Compare.Code == plan.Eq && e.Kind == plan.AnyQuery {
			return truthTerm("(" + g.hashOf(left[0]).text + " IN (" + s.query([]string{g.hashOf(right[0]).text}) + "))"), nil
		}
	}
	return g.quantifiedRows(s, e, left, right, word)
}

// quantifiedRows compares row by row and gathers what comes out, in three-valued
// logic.
func (g *generator) quantifiedRows(s *block, e *plan.Subquery, left, right []term, word string) (term, error) {
	var parts []string
	for i := range left {
		x, ok := compared(word, left[i], right[i])
		if !ok {
			compare := e.Compare
			build := func() func([]datum.Value) (datum.Value, error) {
				return func(row []datum.Value) (datum.Value, error) { return compare.Invoke(nil, row) }
			}
			x = g.calls(boolType, []term{left[i], right[i]}, false, "compare "+compare.Name, build)
		}
		parts = append(parts, x.text)
	}
	joint := " AND "
	if e.Compare.Code == plan.Ne {
		joint = " OR "
	}
	holds := "(" + strings.Join(parts, joint) + ")"
	alias := g.name("q")
	inner := "(" + s.query([]string{holds + " AS k0"}) + ") AS " + alias
	p := alias + ".k0"
	if e.Kind == plan.AnyQuery {
		return truthTerm("(SELECT CASE WHEN bool_or(" + p + ") THEN TRUE WHEN bool_or(" + p + " IS NULL) THEN NULL ELSE FALSE END FROM " + inner + ")"), nil
	}
	return truthTerm("(SELECT CASE WHEN NOT bool_and(" + p + ") THEN FALSE WHEN bool_or(" + p + " IS NULL) THEN NULL ELSE TRUE END FROM " + inner + ")"), nil
}
