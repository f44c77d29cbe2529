package plan

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// windowsMayStand says whether window functions may be called from now on, and
// returns whether they could so far.
func (b *binder) windowsMayStand(may bool) (could bool) {
	if b.tree == nil {
		return false
	}
	could = b.extra.windowing
	b.extra.windowing = may
	return could
}

// change replaces the expressions of the call.
func (w *WindowCall) change(each func(Expr) Expr) {
	w.Args = eachOf(w.Args, each)
	w.Partition = eachOf(w.Partition, each)
	w.Order = eachOrder(w.Order, each)
	if w.Aggregate != nil {
		a := w.Aggregate.with(each)
		w.Aggregate = &a
	}
}

// window binds a call with OVER.
func (b *binder) window(e *parse.Call, name string, entries []*Function) (Expr, error) {
	shown := strings.ToUpper(name)
	aggregate := entries[0].Form == FormAggregate
	switch {
	case b.tree == nil:
		return nil, beyondRows("a window function", e.Offset)
	case b.inside:
		return nil, fault.At(fault.Syntax, e.Offset, "window function %s cannot stand in an aggregate", shown)
	case !b.extra.windowing:
		return nil, fault.At(fault.Syntax, e.Offset, "window function %s cannot stand in %s", shown, b.clause)
	case !aggregate && entries[0].Form != FormWindow:
		return nil, fault.At(fault.TypeMismatch, e.Offset, "%s is neither a window function nor an aggregate and takes no OVER", name)
	case e.Distinct:
		return nil, fault.At(fault.Syntax, e.Offset, "DISTINCT cannot stand in a window function")
	case len(e.OrderBy) > 0 || len(e.Within) > 0:
		return nil, fault.At(fault.Syntax, e.Offset, "ORDER BY cannot stand in the arguments of a window function; it can in OVER")
	case !aggregate && e.Filter != nil:
		return nil, fault.At(fault.Syntax, e.Offset, "FILTER can only stand behind an aggregate; %s is none", shown)
	case !aggregate && e.Star:
		return nil, fault.At(fault.TypeMismatch, e.Offset, "function %s does not take *", name)
	}
	defer b.windowsMayStand(b.windowsMayStand(false))
	old := b.clause
	b.clause = "a window function"
	defer func() { b.clause = old }()
	var w WindowCall
	var err error
	if aggregate {
		w, err = b.windowAggregate(e, name)
	} else {
		w, err = b.windowFunction(e, name, entries)
	}
	if err != nil {
		return nil, err
	}
	if err := b.over(&w, e.Over); err != nil {
		return nil, err
	}
	return b.addWindow(w, e.Offset)
}

// addWindow adds a call and returns the column that gives it.
func (b *binder) addWindow(w WindowCall, at int) (Expr, error) {
	x := b.extra
	if x.rel == 0 {
		x.rel = b.tree.next()
	}
	text := w.String()
	position := len(x.windows)
	for i := range x.windows {
		if x.windows[i].String() == text {
			position = i
		}
	}
	if position == maxTerms {
		return nil, fault.At(fault.LimitExceeded, at, "a SELECT takes at most %d different window functions", maxTerms)
	}
	if position == len(x.windows) {
		x.windows = append(x.windows, w)
	}
	return &Ref{x.rel, position, w.function(), w.T}, nil
}

// function names what the call computes.
func (w *WindowCall) function() string {
	if w.Aggregate != nil {
		return w.Aggregate.Op.String()
	}
	return w.Name
}

func (b *binder) windowAggregate(e *parse.Call, name string) (WindowCall, error) {
	aggregates := b.aggregates
	a, err := b.wholeAggregateOver(e, name)
	b.aggregates = aggregates
	return WindowCall{Aggregate: &a, T: a.Type}, err
}

// wholeAggregateOver binds an aggregate over a window, in whose arguments
// aggregates over groups may stand.
func (b *binder) wholeAggregateOver(e *parse.Call, name string) (Aggregate, error) {
	a, err := b.aggregateOf(e, name)
	if err != nil || e.Filter == nil {
		return a, err
	}
	if a.Filter, err = b.condition(e.Filter, "FILTER"); err != nil {
		return a, err
	}
	a.Filter = b.place(a.Filter)
	return a, nil
}

func (b *binder) windowFunction(e *parse.Call, name string, entries []*Function) (WindowCall, error) {
	args, err := b.exprs(e.Args)
	if err != nil {
		return WindowCall{}, err
	}
	fn := b.choose(entries, args)
	if fn == nil {
		return WindowCall{}, wrongArguments(entries, name, args, e.Offset)
	}
	if err := b.convertArgs(fn, args, e.Offset); err != nil {
		return WindowCall{}, err
	}
	for i := range args {
		args[i] = b.place(b.settle(args[i]))
	}
	w := WindowCall{Name: fn.Name, Args: args, T: fn.result}
	if fn.typed != nil {
		w.T = fn.typed(args)
	}
	return w, nil
}

// over binds what stands behind OVER.
func (b *binder) over(w *WindowCall, o *parse.Window) error {
	definition, err := b.definition(o, o.Name, 0)
	if err != nil {
		return err
	}
	for _, e := range definition.Partition {
		x, err := b.windowTerm(e, "PARTITION BY")
		if err != nil {
			return err
		}
		w.Partition = append(w.Partition, x)
	}
	for _, item := range definition.OrderBy {
		x, err := b.windowTerm(item.X, "ORDER BY")
		if err != nil {
			return err
		}
		key := orderItem(item)
		key.X = x
		w.Order = append(w.Order, key)
	}
	if definition.Frame == nil {
		return nil
	}
	return b.frame(w, definition.Frame, o.Offset)
}

// windowTerm binds an expression of PARTITION BY or ORDER BY of a window, where
// a number is no position.
func (b *binder) windowTerm(e parse.Expr, clause string) (Expr, error) {
	x, err := b.expr(e)
	if err != nil {
		return nil, err
	}
	x = b.place(b.settle(x))
	if familyOf(x.Type().Kind) == vectorFamily {
		return nil, fault.At(fault.TypeMismatch, e.Pos(), "%s does not take %s", clause, typeName(x.Type()))
	}
	return x, nil
}

// definition joins a window with the named one that it begins with.
func (b *binder) definition(w *parse.Window, base string, depth int) (parse.Window, error) {
	if base == "" {
		return *w, nil
	}
	var named *parse.Window
	for i := range b.extra.definitions {
		if b.extra.definitions[i].Name == base {
			named = &b.extra.definitions[i]
		}
	}
	if named == nil || depth > len(b.extra.definitions) {
		return *w, fault.At(fault.ObjectNotFound, w.Offset, "window '%s' does not exist", base)
	}
	from, err := b.definition(named, named.Base, depth+1)
	if err != nil {
		return from, err
	}
	if len(w.Partition) == 0 && len(w.OrderBy) == 0 && w.Frame == nil {
		return from, nil
	}
	switch {
	case len(w.Partition) > 0:
		return from, fault.At(fault.Syntax, w.Offset, "PARTITION BY cannot stand behind the name of window '%s'", base)
	case len(w.OrderBy) > 0 && len(from.OrderBy) > 0:
		return from, fault.At(fault.Syntax, w.Offset, "window '%s' has an ORDER BY already", base)
	case from.Frame != nil:
		return from, fault.At(fault.Syntax, w.Offset, "window '%s' has a frame and cannot be changed", base)
	}
	if len(w.OrderBy) > 0 {
		from.OrderBy = w.OrderBy
	}
	from.Frame = w.Frame
	return from, nil
}

// frame binds ROWS, RANGE or GROUPS.
func (b *binder) frame(w *WindowCall, f *parse.Frame, at int) error {
	distance := f.Start.X != nil || f.End.X != nil
	switch {
	case f.Mode == "groups" && len(w.Order) == 0:
		return fault.At(fault.Syntax, at, "a frame of GROUPS needs ORDER BY in its window")
	case f.Mode == "range" && distance && len(w.Order) != 1:
		return fault.At(fault.Syntax, at, "a frame of RANGE with a distance needs exactly one expression in ORDER BY of its window")
	}
	w.Frame = WindowFrame{Mode: f.Mode, Exclude: f.Exclude}
	var err error
	if w.Frame.Start, err = b.bound(w, f.Mode, f.Start, "start"); err != nil {
		return err
	}
	w.Frame.End, err = b.bound(w, f.Mode, f.End, "end")
	return err
}

// bound binds one end of a frame.
func (b *binder) bound(w *WindowCall, mode string, e parse.FrameBound, which string) (WindowBound, error) {
	out := WindowBound{Kind: e.Kind}
	if e.X == nil {
		return out, nil
	}
	from, aggregates := b.from, b.aggregates
	b.from, b.aggregates, b.clause = &frame{outer: from.outer}, nil, "the distance of a frame"
	x, err := b.expr(e.X)
	b.from, b.aggregates = from, aggregates
	if err != nil {
		return out, err
	}
	to := bigintType
	if mode == "range" {
		switch t := w.Order[0].X.Type(); {
		case t.Kind.IsNumeric():
			to = t
		case t.Kind.IsTemporal() || t.Kind == datum.Interval:
			to = intervalType
		default:
			return out, fault.At(fault.TypeMismatch, e.X.Pos(), "a frame of RANGE with a distance cannot be over %s", typeName(t))
		}
	}
	if t := x.Type(); t.Kind != datum.Null && t != to {
		numbers := t.Kind.IsNumeric() && to.Kind.IsNumeric()
		if mode != "range" {
			numbers = t.Kind.IsInteger()
		}
		if !numbers {
			return out, fault.At(fault.TypeMismatch, e.X.Pos(), "the distance of a frame must be %s here, not %s", typeName(to), typeName(t))
		}
	}
	if x, err = b.coerce(x, to, e.X.Pos()); err != nil {
		return out, err
	}
	if c, ok := x.(*Const); ok && (c.Value.IsNull() || to.Kind.IsInteger() && c.Value.Int() < 0) {
		return out, fault.At(fault.InvalidValue, e.X.Pos(), "the distance of the %s of a frame must be neither NULL nor negative", which)
	}
	out.X = b.place(x)
	return out, nil
}

// String prints the call so that equal text means equal meaning.
func (w *WindowCall) String() string {
	var s strings.Builder
	if w.Aggregate != nil {
		s.WriteString(w.Aggregate.String())
	} else {
		s.WriteString(w.Name + "(" + list(w.Args) + ")")
	}
	s.WriteString(" OVER (")
	var parts []string
	if len(w.Partition) > 0 {
		parts = append(parts, "PARTITION BY "+list(w.Partition))
	}
	if len(w.Order) > 0 {
		parts = append(parts, "ORDER BY "+orderText(w.Order))
	}
	if w.Frame.Mode != "" {
		parts = append(parts, w.Frame.String())
	}
	return s.String() + strings.Join(parts, " ") + ")"
}

func orderText(items []OrderItem) string {
	text := make([]string, len(items))
	for i, o := range items {
		text[i] = o.String()
	}
	return strings.Join(text, ", ")
}

// String prints the frame as it is written.
func (f WindowFrame) String() string {
	text := strings.ToUpper(f.Mode) + " BETWEEN " + f.Start.String() + " AND " + f.End.String()
	if f.Exclude != "" {
		text += " EXCLUDE " + strings.ToUpper(f.Exclude)
	}
	return text
}

// String prints the end as it is written.
func (e WindowBound) String() string {
	if e.X == nil {
		return strings.ToUpper(e.Kind)
	}
	return e.X.String() + " " + strings.ToUpper(e.Kind)
}

// regroupExtra lets window functions and DISTINCT ON read groups.
func (b *binder) regroupExtra(g *grouping, s *parse.Select) (err error) {
	over := func(x Expr) Expr {
		y, fail := g.over(x, s.Offset)
		if fail != nil && err == nil {
			err = fail
		}
		return y
	}
	for i := range b.extra.windows {
		b.extra.windows[i].change(over)
	}
	for i, x := range b.extra.on {
		b.extra.on[i] = over(x)
	}
	if b.extra.series != nil {
		b.extra.series.Args = eachOf(b.extra.series.Args, over)
	}
	return err
}
