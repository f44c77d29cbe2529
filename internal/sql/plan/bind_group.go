package plan

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// aggregateFunctions are the entries of the aggregates; executors keep the
// state of a group themselves.
func aggregateFunctions() []Function {
	entry := func(name string, arg pattern, shows, doc string) Function {
		return Function{Name: name, Form: FormAggregate, Doc: doc, args: []pattern{arg}, shows: shows}
	}
	return []Function{
		{Name: "count", Form: FormAggregate, Doc: "COUNT(*): the number of rows.", result: bigintType},
		entry("count", anyArg, "BIGINT", "The number of values that are not NULL."),
		entry("sum", intArg, "BIGINT", "The sum of the values that are not NULL; NULL if there are none. Overflow is OUT_OF_RANGE."),
		entry("sum", decimalArg, "DECIMAL(min(p+10,38),s)", "The sum of the values that are not NULL."),
		entry("sum", doubleArg, "DOUBLE", "The sum of the values that are not NULL."),
		entry("avg", numberArg, "DOUBLE", "The mean of the values that are not NULL; NULL if there are none."),
		entry("avg", decimalArg, "DECIMAL(min(p+4,38),min(s+4,38))", "The mean of the values that are not NULL."),
		entry("min", anyArg, "same", "The least value that is not NULL."),
		entry("max", anyArg, "same", "The greatest value that is not NULL."),
	}
}

// aggregate binds an aggregate call where one may stand.
func (b *binder) aggregate(e *parse.Call, name string) (Expr, error) {
	switch {
	case b.inside:
		return nil, fault.At(fault.Syntax, e.Offset, "aggregates cannot be nested")
	case b.aggregates == nil:
		return nil, fault.At(fault.Syntax, e.Offset, "aggregate %s cannot stand in %s", strings.ToUpper(name), b.clause)
	case len(e.OrderBy) > 0:
		return nil, fault.At(fault.NotImplemented, e.Offset, "ORDER BY inside an aggregate is not supported yet")
	}
	b.inside = true
	defer func() { b.inside = false }()
	a, err := b.aggregateOf(e, name)
	if err != nil {
		return nil, err
	}
	if e.Filter != nil {
		if a.Filter, err = b.condition(e.Filter, "FILTER"); err != nil {
			return nil, err
		}
		a.Filter = b.place(a.Filter)
	}
	return b.addAggregate(a, e.Offset)
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
	if col, ok := x.(*Col); ok && a.Op == Count && !a.Distinct && b.table.Columns[col.Position].NotNull {
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
	// column has one value per group.
	byKey bool
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
		}
		if i := g.find(e.String()); i >= 0 {
			return &GroupRef{i, e}, nil
		}
		return nil, nil
	})
}
