package plan

import (
	"slices"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

func notOrdered(name string, at int) error {
	return fault.At(fault.Syntax, at, "%s does not take WITHIN GROUP", strings.ToUpper(name))
}

// catalogAggregate binds an aggregate that the catalogue describes in full.
func (b *binder) catalogAggregate(e *parse.Call, name string) (Aggregate, error) {
	entries := catalog.functions[name]
	ordered := entries[0].ordered
	shown := strings.ToUpper(name)
	switch {
	case e.Star:
		return Aggregate{}, fault.At(fault.TypeMismatch, e.Offset, "aggregate %s does not take *", shown)
	case ordered && len(e.Within) == 0:
		return Aggregate{}, fault.At(fault.Syntax, e.Offset, "aggregate %s needs WITHIN GROUP (ORDER BY …)", shown)
	case !ordered && len(e.Within) > 0:
		return Aggregate{}, notOrdered(name, e.Offset)
	case ordered && len(e.Within) != 1:
		return Aggregate{}, fault.At(fault.TypeMismatch, e.Within[1].X.Pos(), "WITHIN GROUP of %s takes one expression, not %d", shown, len(e.Within))
	case ordered && (e.Distinct || len(e.OrderBy) > 0):
		return Aggregate{}, fault.At(fault.Syntax, e.Offset, "aggregate %s takes neither DISTINCT nor a second ORDER BY", shown)
	}
	args, err := b.exprs(e.Args)
	if err != nil {
		return Aggregate{}, err
	}
	if ordered {
		return b.orderedAggregate(e, entries, args)
	}
	fn := b.choose(entries, args)
	if fn == nil {
		return Aggregate{}, wrongArguments(entries, name, args, e.Offset)
	}
	if err := b.convertArgs(fn, args, e.Offset); err != nil {
		return Aggregate{}, err
	}
	for i := range args {
		args[i] = b.place(b.settle(args[i]))
	}
	a := Aggregate{Op: fn.op, X: args[0], Args: args[1:], Distinct: e.Distinct, Type: fn.result}
	if fn.typed != nil {
		a.Type = fn.typed(args)
	}
	if a.Distinct && familyOf(a.X.Type().Kind) == vectorFamily {
		return a, fault.At(fault.TypeMismatch, e.Offset, "aggregate %s does not take DISTINCT over %s", shown, typeName(a.X.Type()))
	}
	if a.Op == PercentileCont { // median and its like
		half := Expr(&Const{datum.NewDouble(0.5), doubleType})
		if len(args) == 2 {
			half = args[1]
		}
		a.X, a.Args, a.Order = half, nil, []OrderItem{{X: args[0], Output: -1}}
		return a, b.fraction(a.X, e.Offset)
	}
	return a, nil
}

// orderedAggregate binds an aggregate WITHIN GROUP.
func (b *binder) orderedAggregate(e *parse.Call, entries []*Function, args []Expr) (Aggregate, error) {
	within := e.Within[0]
	x, err := b.expr(within.X)
	if err != nil {
		return Aggregate{}, err
	}
	var fn *Function
	least := 0
	for _, f := range entries {
		if c := f.within.cost(x.Type()); c != noMatch && (fn == nil || c < least) {
			fn, least = f, c
		}
	}
	if fn == nil {
		return Aggregate{}, fault.At(fault.TypeMismatch, within.X.Pos(), "aggregate %s does not take %s", strings.ToUpper(e.Name), typeName(x.Type()))
	}
	if len(args) != len(fn.args) {
		return Aggregate{}, wrongArguments(entries, fn.Name, args, e.Offset)
	}
	if to, convert := fn.within.target(x.Type()); convert {
		if x, err = b.coerce(x, to, within.X.Pos()); err != nil {
			return Aggregate{}, err
		}
	}
	item := orderItem(within)
	item.X = b.place(b.settle(x))
	if err := sortable(item.X, "ORDER BY", within.X.Pos()); err != nil {
		return Aggregate{}, err
	}
	a := Aggregate{Op: fn.op, Order: []OrderItem{item}, Type: item.X.Type()}
	if len(args) == 0 {
		return a, nil
	}
	if fn.args[0].cost(args[0].Type()) == noMatch {
		return a, wrongArguments(entries, fn.Name, args, e.Offset)
	}
	if err := b.convertArgs(fn, args, e.Args[0].Pos()); err != nil {
		return a, err
	}
	a.X = b.place(args[0])
	return a, b.fraction(a.X, e.Args[0].Pos())
}

// fraction checks the fraction of a percentile.
func (b *binder) fraction(x Expr, at int) error {
	if c, ok := x.(*Const); ok && !c.Value.IsNull() {
		if f := c.Value.Float(); !(f >= 0 && f <= 1) {
			return fault.At(fault.OutOfRange, at, "the fraction of a percentile must be between 0 and 1, but is %s", c.Value)
		}
	}
	if !Steady(x) {
		return fault.At(fault.NotImplemented, at, "the fraction of a percentile must not depend on the row")
	}
	return nil
}

// aggregateOrder binds ORDER BY inside an aggregate.
func (b *binder) aggregateOrder(a *Aggregate, e *parse.Call) error {
	for _, o := range e.OrderBy {
		x, err := b.expr(o.X)
		if err != nil {
			return err
		}
		item := orderItem(o)
		item.X = b.place(b.settle(x))
		if err := sortable(item.X, "ORDER BY", o.X.Pos()); err != nil {
			return err
		}
		if a.Distinct {
			text := item.X.String()
			if a.X == nil || !slices.ContainsFunc(append([]Expr{a.X}, a.Args...), func(x Expr) bool { return x.String() == text }) {
				return fault.At(fault.Syntax, o.X.Pos(), "in an aggregate with DISTINCT, ORDER BY can only name its arguments")
			}
		}
		a.Order = append(a.Order, item)
	}
	return nil
}

// ownAggregate refuses an aggregate whose rows are those of an outer query.
func (b *binder) ownAggregate(a Aggregate, name string, at int) error {
	if b.tree == nil {
		return nil
	}
	own, outer := false, false
	for _, x := range a.operands() {
		walkAll(x, func(x Expr) {
			if r, ok := x.(*Ref); ok {
				mine := slices.Contains(b.from.rels, r.Rel)
				own, outer = own || mine, outer || !mine && b.outerRel(r.Rel)
			}
		})
	}
	if outer && !own {
		return fault.At(fault.NotImplemented, at, "aggregate %s over nothing but columns of an outer query is not supported", strings.ToUpper(name))
	}
	return nil
}

// outerRel reports whether a node belongs to FROM of a query around this one.
func (b *binder) outerRel(rel int) bool {
	for f := b.from.outer; f != nil; f = f.outer {
		if slices.Contains(f.rels, rel) {
			return true
		}
	}
	return false
}
