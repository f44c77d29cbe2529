package plan

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// aggregate binds an aggregate call where one may stand.
func (b *binder) aggregate(e *parse.Call, name string) (Expr, error) {
	switch {
	case b.inside:
		return nil, fault.At(fault.Syntax, e.Offset, "aggregates cannot be nested")
	case b.aggregates == nil:
		return nil, fault.At(fault.Syntax, e.Offset, "aggregate %s cannot stand in %s", strings.ToUpper(name), b.clause)
	}
	a, err := b.wholeAggregate(e, name)
	if err != nil {
		return nil, err
	}
	return b.addAggregate(a, e.Offset)
}

// wholeAggregate binds an aggregate with its ORDER BY and FILTER.
func (b *binder) wholeAggregate(e *parse.Call, name string) (Aggregate, error) {
	windows := b.windowsMayStand(false)
	b.inside = true
	defer func() {
		b.inside = false
		b.windowsMayStand(windows)
	}()
	a, err := b.aggregateOf(e, name)
	if err != nil {
		return a, err
	}
	if b.tree == nil && (a.Op > Max || len(e.OrderBy) > 0) {
		what := "aggregate " + strings.ToUpper(name)
		if a.Op <= Max {
			what = "ORDER BY inside an aggregate"
		}
		return a, beyondRows(what, e.Offset)
	}
	if err := b.aggregateOrder(&a, e); err != nil {
		return a, err
	}
	if e.Filter != nil {
		if a.Filter, err = b.condition(e.Filter, "FILTER"); err != nil {
			return a, err
		}
		a.Filter = b.place(a.Filter)
	}
	return a, b.ownAggregate(a, name, e.Offset)
}

// addAggregate shares one state between equal aggregates.
func (b *binder) addAggregate(a Aggregate, offset int) (Expr, error) {
	text := a.String()
	if i, ok := b.aggregateAt[text]; ok {
		return &AggRef{i, (*b.aggregates)[i]}, nil
	}
	n := len(*b.aggregates)
	if n == maxTerms {
		return nil, fault.At(fault.LimitExceeded, offset, "a SELECT takes at most %d different aggregates", maxTerms)
	}
	if b.aggregateAt == nil {
		b.aggregateAt = make(map[string]int)
	}
	b.aggregateAt[text] = n
	*b.aggregates = append(*b.aggregates, a)
	return &AggRef{n, a}, nil
}

func (b *binder) aggregateOf(e *parse.Call, name string) (Aggregate, error) {
	if catalog.functions[name][0].op > Max {
		return b.catalogAggregate(e, name)
	}
	if len(e.Within) > 0 {
		return Aggregate{}, notOrdered(name, e.Offset)
	}
	if e.Star || name == "count" && len(e.Args) == 0 {
		if name != "count" || e.Distinct || !e.Star {
			return Aggregate{}, fault.At(fault.TypeMismatch, e.Offset, "aggregate %s takes one argument", strings.ToUpper(name))
		}
		return Aggregate{Op: CountRows, Type: bigintType}, nil
	}
	if len(e.Args) != 1 {
		return Aggregate{}, fault.At(fault.TypeMismatch, e.Offset, "aggregate %s takes one argument, not %d", strings.ToUpper(name), len(e.Args))
	}
	x, err := b.expr(e.Args[0])
	if err != nil {
		return Aggregate{}, err
	}
	a := Aggregate{Distinct: e.Distinct}
	switch name {
	case "count":
		a.Op = Count
	case "sum":
		a.Op = Sum
	case "avg":
		a.Op = Avg
	case "min":
		a.Op = Min
	case "max":
		a.Op = Max
	}
	if x.Type().Kind == datum.Null && (a.Op == Sum || a.Op == Avg) {
		x, err = b.coerce(x, doubleType, e.Args[0].Pos())
	} else {
		x = b.settle(x)
	}
	if err != nil {
		return a, err
	}
	a.X = b.place(x)
	if col, ok := x.(*Col); ok && a.Op == Count && !a.Distinct && b.table.Columns[col.Position].NotNull && len(e.OrderBy) == 0 {
		a.Op, a.X = CountRows, nil
	}
	a.Type, err = aggregateType(a, x, e.Offset)
	return a, err
}

// aggregateType gives the types of aggregates; docs/sql/functions.md lists them.
func aggregateType(a Aggregate, x Expr, at int) (datum.Type, error) {
	t := x.Type()
	switch {
	case a.Op == Count || a.Op == CountRows:
		return bigintType, nil
	case a.Op == Min || a.Op == Max:
		if f := familyOf(t.Kind); f != noFamily && f != vectorFamily {
			return t, nil
		}
	case unbounded(t):
		return t, nil
	case t.Kind == datum.Decimal && a.Op == Sum:
		return datum.DecimalType(min(t.Precision+10, datum.MaxPrecision), t.Scale), nil
	case t.Kind == datum.Decimal:
		return datum.DecimalType(min(t.Precision+4, datum.MaxPrecision), min(t.Scale+4, datum.MaxPrecision)), nil
	case t.Kind.IsInteger() && a.Op == Sum:
		return bigintType, nil
	case t.Kind.IsNumeric():
		return doubleType, nil
	}
	return t, fault.At(fault.TypeMismatch, at, "aggregate %s does not take %s", strings.ToUpper(a.Op.String()), typeName(t))
}

// grouping turns expressions over rows into expressions over groups.
type grouping struct {
	b      *binder
	groups []Expr
	at     map[string]int // places in groups by text
	// byKey says that the whole primary key is among the groups, so that every
	// column has one value per group; keyed are such tables of the tree.
	byKey bool
	keyed []int
}

func newGrouping(b *binder, groups []Expr) *grouping {
	g := &grouping{b: b, at: make(map[string]int, len(groups))}
	for _, x := range groups {
		g.add(x)
	}
	g.byKey = b.table != nil && len(b.table.Key) > 0 && b.table.Kind != schema.Stream
	if g.byKey {
		for _, position := range b.table.KeyPositions() {
			g.byKey = g.byKey && g.find(b.columnAt(position).String()) >= 0
		}
	}
	g.keyed = g.keyedRels()
	return g
}

func (g *grouping) add(x Expr) int {
	text := x.String()
	if i := g.find(text); i >= 0 {
		return i
	}
	g.at[text] = len(g.groups)
	g.groups = append(g.groups, x)
	return len(g.groups) - 1
}

func (g *grouping) find(text string) int {
	if i, ok := g.at[text]; ok {
		return i
	}
	return -1
}

// ref is a group as expressions over groups read it.
func (g *grouping) ref(i int, x Expr) Expr {
	if g.b.tree != nil {
		return groupRef(g.b.extra.groups, i, x)
	}
	return &GroupRef{i, x}
}

// over rewrites x; a column that has no single value per group is a fault.
func (g *grouping) over(x Expr, at int) (Expr, error) {
	return rewrite(x, func(e Expr) (Expr, error) {
		switch e := e.(type) {
		case *Const, *Param, *AggRef:
			return e, nil
		case *Col:
			if i := g.find(e.Name); i >= 0 {
				return &GroupRef{i, e}, nil
			}
			if g.byKey {
				return &GroupRef{g.add(e), e}, nil
			}
			return nil, fault.At(fault.Syntax, at, "column '%s' must appear in GROUP BY or be used in an aggregate", e.Name)
		case *Ref:
			return g.overRef(e, at, "")
		case *groupingCall:
			return g.grouping(e)
		}
		if i := g.find(e.String()); i >= 0 {
			return g.ref(i, e), nil
		}
		if q, ok := e.(*Subquery); ok {
			return g.overSubquery(q, at)
		}
		return nil, nil
	})
}
