package plan

import (
	"slices"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// call binds a function, an aggregate or a special form written as one.
func (b *binder) call(e *parse.Call) (Expr, error) {
	name := strings.TrimPrefix(e.Name, "pg_catalog.")
	entries := catalog.functions[name]
	if takesRows[name] {
		var err error
		if e, err = b.withRows(e, name); err != nil {
			return nil, err
		}
	}
	switch {
	case len(entries) == 0 && len(tableFunctions[name]) > 0:
		return b.rowsInList(e, name)
	case len(entries) == 0:
		return nil, b.noFunction(name, e.Offset)
	case e.Variadic && (entries[0].Form != FormCall || e.Over != nil):
		return nil, fault.At(fault.TypeMismatch, e.Offset, "function %s does not take VARIADIC", name)
	case e.Over != nil:
		return b.window(e, name, entries)
	case entries[0].Form == FormAggregate:
		return b.aggregate(e, name)
	case entries[0].Form == FormWindow:
		return nil, fault.At(fault.Syntax, e.Offset, "window function %s needs OVER", strings.ToUpper(name))
	case len(e.Within) > 0:
		return nil, notOrdered(name, e.Offset)
	}
	switch {
	case e.Star:
		return nil, fault.At(fault.TypeMismatch, e.Offset, "function %s does not take *", name)
	case e.Distinct || e.Filter != nil || len(e.OrderBy) > 0:
		return nil, fault.At(fault.TypeMismatch, e.Offset, "%s is not an aggregate and takes no DISTINCT, FILTER or ORDER BY", name)
	}
	if e.Variadic {
		return b.variadicCall(e, name, entries)
	}
	args, err := b.exprs(e.Args)
	if err != nil {
		return nil, err
	}
	if entries[0].Form == FormSpecial {
		return b.special(entries[0], args, e)
	}
	return b.apply(entries, name, args, e.Offset)
}

func (b *binder) noFunction(name string, at int) error {
	names := make([]string, 0, len(catalog.functions))
	for n := range catalog.functions {
		names = append(names, n)
	}
	slices.Sort(names)
	return fault.At(fault.FunctionNotFound, at, "function '%s' does not exist%s", name, suggestion(name, names))
}

// special binds the forms with a node of their own.
func (b *binder) special(fn *Function, args []Expr, e *parse.Call) (Expr, error) {
	places := make([]int, len(e.Args))
	for i, a := range e.Args {
		places[i] = a.Pos()
	}
	if fn.Name == "nullif" {
		if len(args) != 2 {
			return nil, wrongArguments([]*Function{fn}, fn.Name, args, e.Offset)
		}
		l, r, err := b.comparable(args[0], args[1], "=", e.Offset, places[0], places[1])
		if err != nil {
			return nil, err
		}
		return fold(&Call{fn, []Expr{l, r}, l.Type()}), nil
	}
	if len(args) == 0 {
		return nil, wrongArguments([]*Function{fn}, fn.Name, args, e.Offset)
	}
	if fn.Name == rowToJSON && len(args) == 1 {
		return b.coerce(args[0], jsonType, e.Offset)
	}
	if fn.Name == "make_array" {
		return b.made(args, places, "MAKE_ARRAY", e.Offset)
	}
	t, err := b.unify(args, places, strings.ToUpper(fn.Name))
	if err != nil {
		return nil, err
	}
	return coalesce(args, t), nil
}

// coalesce leaves out constants that are NULL and what follows one that is not.
func coalesce(args []Expr, t datum.Type) Expr {
	kept := args[:0:0]
	for _, x := range args {
		c, constant := x.(*Const)
		if constant && c.Value.IsNull() {
			continue
		}
		kept = append(kept, x)
		if constant {
			break
		}
	}
	switch len(kept) {
	case 0:
		return &Const{datum.Value{}, t}
	case 1:
		return kept[0]
	}
	return &Coalesce{kept, t}
}

// apply chooses the overload that fits the arguments best and calls it.
func (b *binder) apply(entries []*Function, name string, args []Expr, at int) (Expr, error) {
	as := b.allGiven(args)
	fn := b.choose(entries, as)
	if fn == nil {
		as = args
		fn = b.choose(entries, as)
	}
	if fn == nil {
		return nil, wrongArguments(entries, name, args, at)
	}
	return b.bindCall(fn, as, at)
}

// choose follows PostgreSQL: of two operands an untyped one is first tried as
// the type of the other; then the overload with the least conversions wins, and
// of equals the first in the catalogue.
func (b *binder) choose(entries []*Function, args []Expr) *Function {
	types := make([]datum.Type, len(args))
	untyped := -1
	for i, x := range args {
		if types[i] = x.Type(); types[i].Kind == datum.Null {
			untyped = i
		}
	}
	if len(entries) > 0 && entries[0].Operator && len(args) == 2 && untyped >= 0 && types[1-untyped].Kind != datum.Null {
		same := [2]datum.Type{types[1-untyped], types[1-untyped]}
		if fn, cost := cheapest(entries, same[:]); fn != nil && cost <= 2 && fn.args[untyped] == fn.args[1-untyped] {
			return fn
		}
	}
	fn, _ := cheapest(entries, types)
	return fn
}

func cheapest(entries []*Function, types []datum.Type) (best *Function, least int) {
	for _, fn := range entries {
		if cost := fn.costOf(types); cost != noMatch && (best == nil || cost < least) {
			best, least = fn, cost
		}
	}
	return best, least
}

// costOf says how many conversions a call needs, noMatch if it cannot be.
func (f *Function) costOf(types []datum.Type) int {
	if len(types) != len(f.args) && !(f.variadic && len(types) >= len(f.args)) {
		return noMatch
	}
	total := 0
	for i, t := range types {
		c := f.pattern(i).cost(t)
		if c == noMatch {
			return noMatch
		}
		total += c
	}
	return total
}

// pattern returns what the i-th argument must be.
func (f *Function) pattern(i int) pattern { return f.args[min(i, len(f.args)-1)] }

// bindCall converts the arguments of the chosen overload.
func (b *binder) bindCall(fn *Function, args []Expr, at int) (Expr, error) {
	if err := b.convertArgs(fn, args, at); err != nil {
		return nil, err
	}
	t := fn.result
	if fn.typed != nil {
		t = fn.typed(args)
	}
	if fn.kinded && t.Kind == datum.Array {
		fn = fn.ofKind(t.Elem)
	}
	return fold(&Call{fn, args, t}), nil
}

// convertArgs gives the arguments of the chosen overload the types it takes.
func (b *binder) convertArgs(fn *Function, args []Expr, at int) error {
	if slices.Contains(fn.args, sameArg) {
		if err := b.convertSame(fn, args, at); err != nil {
			return err
		}
	}
	if slices.Contains(fn.args, arrayArg) {
		if err := b.convertArrays(fn, args, at); err != nil {
			return err
		}
	}
	for i, x := range args {
		p := fn.pattern(i)
		to, convert := p.target(x.Type())
		if p == numberArg && x.Type().Kind == datum.Null && len(args) == 2 {
			if other := args[1-i].Type(); other.Kind.IsNumeric() {
				to = other
			}
		}
		if !convert {
			continue
		}
		y, err := b.coerce(x, to, at)
		if err != nil {
			return err
		}
		args[i] = y
	}
	return nil
}

// convertSame gives the arguments that must be of one type their common one.
func (b *binder) convertSame(fn *Function, args []Expr, at int) error {
	var same []Expr
	for i, x := range args {
		if fn.pattern(i) == sameArg {
			same = append(same, x)
		}
	}
	t, err := b.unify(same, slices.Repeat([]int{at}, len(same)), strings.ToUpper(fn.Name))
	if err != nil {
		return err
	}
	if familyOf(t.Kind) == vectorFamily {
		return wrongArguments([]*Function{fn}, fn.Name, args, at)
	}
	for i := range args {
		if fn.pattern(i) == sameArg {
			args[i], same = same[0], same[1:]
		}
	}
	return nil
}

// wrongArguments is the fault for a name whose overloads do not fit.
func wrongArguments(entries []*Function, name string, args []Expr, at int) error {
	have := make([]string, len(args))
	for i, x := range args {
		have[i] = typeName(x.Type())
	}
	if len(entries) > 0 && entries[0].Operator {
		if len(have) == 1 {
			return fault.At(fault.TypeMismatch, at, "operator %s does not take %s", strings.ToUpper(name), have[0])
		}
		return fault.At(fault.TypeMismatch, at, "operator %s does not take %s and %s", strings.ToUpper(name), have[0], have[1])
	}
	const most = 4
	var forms []string
	for _, fn := range entries {
		if s := fn.Signature(); !slices.Contains(forms, s) {
			forms = append(forms, s)
		}
	}
	if len(forms) > most {
		forms = append(forms[:most], "…")
	}
	return fault.At(fault.TypeMismatch, at, "function %s does not take (%s); there is %s", name, strings.Join(have, ", "), strings.Join(forms, ", "))
}

// maxFolded is the size of a constant above which a call is left to be
// evaluated, so that a cached plan stays small.
const maxFolded = 4 << 10

// fold evaluates an immutable call of constants. A fault is left for the
// execution, which may never come to it.
func fold(c *Call) Expr {
	if c.Fn.Volatility != Immutable {
		return c
	}
	args := make([]value, len(c.Args))
	for i, x := range c.Args {
		k, ok := x.(*Const)
		if !ok || c.Fn.sized && k.Value.Kind().IsInteger() && k.Value.Int() > maxFolded {
			return c
		}
		args[i] = k.Value
	}
	v, err := c.Fn.Invoke(&Env{}, args)
	if err != nil || len(v.Text()) > maxFolded {
		return c
	}
	return &Const{v, c.T}
}
