package plan

import (
	"slices"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// expr binds any expression.
func (b *binder) expr(e parse.Expr) (Expr, error) {
	switch e := e.(type) {
	case *parse.Literal:
		return b.literal(e), nil
	case *parse.Param:
		return b.parameter(e)
	case *parse.Column:
		return b.column(e)
	case *parse.Unary:
		return b.unary(e)
	case *parse.Binary:
		return b.binary(e)
	case *parse.Is:
		return b.is(e)
	case *parse.In:
		return b.in(e)
	case *parse.Between:
		return b.between(e)
	case *parse.Like:
		return b.like(e)
	case *parse.Call:
		return b.call(e)
	case *parse.Case:
		return b.caseOf(e)
	case *parse.Cast:
		return b.cast(e)
	case *parse.Star:
		return nil, fault.At(fault.Syntax, e.Offset, "* can only stand in a select list or in COUNT(*)")
	case *parse.Default:
		return nil, fault.At(fault.Syntax, e.Offset, "DEFAULT can only stand alone in VALUES or SET")
	case *parse.Subquery:
		return b.subquery(e)
	case *parse.Grouping:
		return b.groupingOf(e)
	case *parse.Collate:
		return b.collate(e)
	case *parse.Quantified:
		return b.ofArray(e)
	case *parse.Array:
		return b.array(e)
	case *parse.ArrayCast:
		return b.arrayCast(e)
	case *parse.Subscript:
		return b.subscript(e)
	case *parse.Row:
		return nil, fault.At(fault.NotImplemented, e.Offset, "a row as one value is not supported; rows can be compared")
	case *parse.Unsupported:
		return nil, fault.At(fault.NotImplemented, e.Offset, "%s is not supported yet", e.What)
	}
	return nil, fault.At(fault.NotImplemented, e.Pos(), "%s is not supported yet", formName(e))
}

// formName names a form of expression that has no node.
func formName(e parse.Expr) string {
	if _, ok := e.(*parse.Field); ok {
		return "a field of a value"
	}
	return "an expression of this form"
}

func subqueryName(kind string) string {
	switch kind {
	case "exists":
		return "EXISTS"
	case "in":
		return "IN with a subquery"
	case "any", "all":
		return strings.ToUpper(kind) + " with a subquery"
	}
	return "a subquery"
}

func (b *binder) exprs(list []parse.Expr) ([]Expr, error) {
	out := make([]Expr, len(list))
	for i, e := range list {
		x, err := b.expr(e)
		if err != nil {
			return nil, err
		}
		out[i] = x
	}
	return out, nil
}

func (b *binder) unary(e *parse.Unary) (Expr, error) {
	if e.Op == "not" {
		x, err := b.expr(e.X)
		if err != nil {
			return nil, err
		}
		if x, err = b.truth(x, e.X.Pos(), "the operand of NOT"); err != nil {
			return nil, err
		}
		return not(x), nil
	}
	x, err := b.expr(e.X)
	if err != nil {
		return nil, err
	}
	return b.apply(catalog.operators[e.Op], e.Op, []Expr{x}, e.Offset)
}

// not negates, and folds constants and double negations.
func not(x Expr) Expr {
	switch e := x.(type) {
	case *Const:
		if e.Value.IsNull() {
			return e
		}
		return truthOf(!e.Value.Bool())
	case *Not:
		return e.X
	case *IsNull:
		return &IsNull{e.X, !e.Not}
	case *In:
		return &In{e.X, e.List, !e.Not}
	}
	return &Not{x}
}

func truthOf(t bool) *Const { return &Const{datum.NewBool(t), boolType} }

func (b *binder) binary(e *parse.Binary) (Expr, error) {
	if e.Op == "and" || e.Op == "or" {
		return b.logic(e)
	}
	if rowOf(e.L) != nil || rowOf(e.R) != nil {
		return b.rowComparison(e)
	}
	l, err := b.expr(e.L)
	if err != nil {
		return nil, err
	}
	r, err := b.expr(e.R)
	if err != nil {
		return nil, err
	}
	entries := catalog.operators[e.Op]
	if len(entries) == 0 {
		return nil, fault.At(fault.NotImplemented, e.Offset, "operator %s is not supported yet", e.Op)
	}
	if entries[0].Chapter == "Comparison" {
		both := b.allGiven([]Expr{l, r})
		return b.compare(entries[0], both[0], both[1], e.Offset, e.L.Pos(), e.R.Pos())
	}
	return b.apply(entries, e.Op, []Expr{l, r}, e.Offset)
}

// logic binds a chain of one connective into one node.
func (b *binder) logic(e *parse.Binary) (Expr, error) {
	var operands []parse.Expr
	todo := []parse.Expr{e}
	for len(todo) > 0 {
		x := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if bin, ok := x.(*parse.Binary); ok && bin.Op == e.Op {
			todo = append(todo, bin.R, bin.L)
			continue
		}
		operands = append(operands, x)
	}
	args := make([]Expr, 0, len(operands))
	for _, o := range operands {
		x, err := b.expr(o)
		if err != nil {
			return nil, err
		}
		if x, err = b.truth(x, o.Pos(), "an operand of "+strings.ToUpper(e.Op)); err != nil {
			return nil, err
		}
		args = append(args, x)
	}
	return logic(e.Op == "or", args), nil
}

// logic joins operands and drops those that decide nothing.
func logic(or bool, args []Expr) Expr {
	kept := args[:0:0]
	for _, x := range args {
		if inner, ok := x.(*Logic); ok && inner.Or == or {
			kept = append(kept, inner.Args...)
			continue
		}
		if c, ok := x.(*Const); ok && !c.Value.IsNull() {
			if c.Value.Bool() == or {
				return truthOf(or)
			}
			continue
		}
		kept = append(kept, x)
	}
	switch len(kept) {
	case 0:
		return truthOf(!or)
	case 1:
		return kept[0]
	}
	return &Logic{or, kept}
}

func (b *binder) is(e *parse.Is) (Expr, error) {
	if items := rowOf(e.X); items != nil {
		return b.rowIsNull(e, items)
	}
	x, err := b.expr(e.X)
	if err != nil {
		return nil, err
	}
	if e.What == "null" {
		if c, ok := x.(*Const); ok {
			return truthOf(c.Value.IsNull() != e.Not), nil
		}
		return &IsNull{x, e.Not}, nil
	}
	if x, err = b.truth(x, e.X.Pos(), "the operand of IS "+strings.ToUpper(e.What)); err != nil {
		return nil, err
	}
	if e.What == "unknown" {
		return &IsNull{x, e.Not}, nil
	}
	return &IsTruth{x, e.What == "true", e.Not}, nil
}

// compare binds a comparison of two operands.
func (b *binder) compare(fn *Function, l, r Expr, at, atL, atR int) (Expr, error) {
	l, r, err := b.comparable(l, r, fn.Name, at, atL, atR)
	if err != nil {
		return nil, err
	}
	return fold(&Call{fn, []Expr{l, r}, boolType}), nil
}

// comparable gives two operands types that can be compared.
func (b *binder) comparable(l, r Expr, op string, at, atL, atR int) (Expr, Expr, error) {
	tl, tr := l.Type(), r.Type()
	var err error
	switch {
	case tl.Kind == datum.Null && tr.Kind == datum.Null:
		if l, err = b.coerce(l, textType, atL); err == nil {
			r, err = b.coerce(r, textType, atR)
		}
	case tl.Kind == datum.Null:
		l, err = b.beside(l, r, atL)
	case tr.Kind == datum.Null:
		r, err = b.beside(r, l, atR)
	case isRawUnit(r) && tl.Kind.IsTemporal():
		r, err = b.rawUnit(r, tl, atR)
	case isRawUnit(l) && tr.Kind.IsTemporal():
		l, err = b.rawUnit(l, tr, atL)
	case isFloat(tl.Kind) && tr.Kind == datum.Decimal:
		// As in PostgreSQL: no DOUBLE is exactly 0.1, yet d = 0.1 must find
		// what was written as 0.1.
		r, err = b.coerce(r, doubleType, atR)
	case tl.Kind == datum.Decimal && isFloat(tr.Kind):
		l, err = b.coerce(l, doubleType, atL)
	case tl.Kind == datum.Array && tr.Kind == datum.Array && tl != tr:
		common, ok := datum.CommonType(tl, tr)
		if !ok {
			return l, r, fault.At(fault.TypeMismatch, at, "operator %s cannot compare %s with %s", strings.ToUpper(op), described(l), described(r))
		}
		if l, err = b.coerce(l, common, atL); err == nil {
			r, err = b.coerce(r, common, atR)
		}
	case familyOf(tl.Kind) != familyOf(tr.Kind), familyOf(tl.Kind) == noFamily, tl.Kind == datum.Embedding:
		err = fault.At(fault.TypeMismatch, at, "operator %s cannot compare %s with %s", strings.ToUpper(op), described(l), described(r))
	}
	return l, r, err
}

// described names an operand and its type.
func described(x Expr) string { return shown(x) + " (" + typeName(x.Type()) + ")" }

// beside gives an untyped operand the type of the one it is compared with. Its
// faults name the column, when that is one.
func (b *binder) beside(x, other Expr, at int) (Expr, error) {
	y, err := b.convert(x, looseTarget(other.Type()), true, at)
	col, ok := other.(*Col)
	if !ok {
		return y, err
	}
	if err != nil {
		return y, forColumn(err, col.Name)
	}
	if p, ok := y.(*Param); ok {
		info := p.Info
		info.Column = col.Name
		y = &Param{-1, info}
	}
	return y, nil
}

// forColumn names the column that a fault is about.
func forColumn(err error, column string) error {
	f := *fault.Of(err)
	if f.Code == fault.Internal {
		return err
	}
	f.Message = "column '" + column + "': " + f.Message
	return &f
}

// looseTarget is the type that a string or parameter takes beside a type it is
// compared with: text for what holds text, so that JSON is not checked.
func looseTarget(t datum.Type) datum.Type {
	if t.Kind.IsString() {
		return textType
	}
	return t
}

// isRawUnit tells an integer literal or parameter, which beside a point in time
// is a number of microseconds or days.
func isRawUnit(x Expr) bool {
	switch x.(type) {
	case *Const, *Param:
		return x.Type().Kind.IsInteger()
	}
	return false
}

func (b *binder) rawUnit(x Expr, to datum.Type, at int) (Expr, error) {
	if c, ok := x.(*Const); ok {
		v, err := datum.Assign(c.Value, to)
		return &Const{v, to}, locate(err, at)
	}
	return b.coerce(x, to, at)
}

func (b *binder) in(e *parse.In) (Expr, error) {
	if rowOf(e.X) != nil {
		return b.rowIn(e)
	}
	x, err := b.expr(e.X)
	if err != nil {
		return nil, err
	}
	list, err := b.exprs(e.List)
	if err != nil {
		return nil, err
	}
	if x.Type().Kind == datum.Null {
		if x, err = b.convert(x, firstType(list), true, e.X.Pos()); err != nil {
			return nil, err
		}
	}
	tests := make([]Expr, len(list))
	single := true // X is compared as it is with every element
	for i := range list {
		l, r, err := b.comparable(x, list[i], "=", e.Offset, e.X.Pos(), e.List[i].Pos())
		if err != nil {
			return nil, err
		}
		single = single && l == x
		list[i], tests[i] = r, fold(&Call{operator("="), []Expr{l, r}, boolType})
	}
	if !single {
		if err := b.copies(x, len(list)-1, e.Offset); err != nil {
			return nil, err
		}
		if e.Not {
			return not(logic(true, tests)), nil
		}
		return logic(true, tests), nil
	}
	if len(list) == 1 {
		name := "="
		if e.Not {
			name = "<>"
		}
		return fold(&Call{operator(name), []Expr{x, list[0]}, boolType}), nil
	}
	return &In{x, list, e.Not}, nil
}

// firstType is the type of the first operand that has one, else TEXT.
func firstType(list []Expr) datum.Type {
	for _, x := range list {
		if t := x.Type(); t.Kind != datum.Null {
			return t
		}
	}
	return textType
}

// between becomes two comparisons, as in PostgreSQL.
func (b *binder) between(e *parse.Between) (Expr, error) {
	bounds, err := b.exprs([]parse.Expr{e.X, e.Low, e.High})
	if err != nil {
		return nil, err
	}
	for _, x := range bounds {
		copies := 1
		if e.Symmetric {
			copies = 3
		}
		if err := b.copies(x, copies, e.Offset); err != nil {
			return nil, err
		}
	}
	within := func(low, high Expr) (Expr, error) {
		ge, err := b.compare(operator(">="), bounds[0], low, e.Offset, e.X.Pos(), e.Low.Pos())
		if err != nil {
			return nil, err
		}
		le, err := b.compare(operator("<="), bounds[0], high, e.Offset, e.X.Pos(), e.High.Pos())
		if err != nil {
			return nil, err
		}
		return logic(false, []Expr{ge, le}), nil
	}
	x, err := within(bounds[1], bounds[2])
	if err != nil {
		return nil, err
	}
	if e.Symmetric {
		y, err := within(bounds[2], bounds[1])
		if err != nil {
			return nil, err
		}
		x = logic(true, []Expr{x, y})
	}
	if e.Not {
		return not(x), nil
	}
	return x, nil
}

func (b *binder) like(e *parse.Like) (Expr, error) {
	operands := []parse.Expr{e.X, e.Pattern}
	if e.Escape != nil {
		operands = append(operands, e.Escape)
	}
	args, err := b.exprs(operands)
	if err != nil {
		return nil, err
	}
	name := "like"
	if e.Insensitive {
		name = "ilike"
	}
	x, err := b.apply(catalog.operators[name], name, args, e.Offset)
	if err != nil || !e.Not {
		return x, err
	}
	return not(x), nil
}

func (b *binder) caseOf(e *parse.Case) (Expr, error) {
	var operand Expr
	var err error
	if e.Operand != nil {
		if operand, err = b.expr(e.Operand); err != nil {
			return nil, err
		}
	}
	c := &Case{Whens: make([]When, len(e.Whens))}
	results := make([]Expr, 0, len(e.Whens)+1)
	places := make([]int, 0, len(e.Whens)+1)
	for i, w := range e.Whens {
		if c.Whens[i].If, err = b.arm(operand, e.Operand, w.If); err != nil {
			return nil, err
		}
		x, err := b.expr(w.Then)
		if err != nil {
			return nil, err
		}
		results, places = append(results, x), append(places, w.Then.Pos())
	}
	if e.Else != nil {
		x, err := b.expr(e.Else)
		if err != nil {
			return nil, err
		}
		results, places = append(results, x), append(places, e.Else.Pos())
	}
	if c.T, err = b.unify(results, places, "CASE"); err != nil {
		return nil, err
	}
	for i := range c.Whens {
		c.Whens[i].Then = results[i]
	}
	if e.Else != nil {
		c.Else = results[len(results)-1]
	}
	return c, nil
}

// arm binds the condition of one WHEN.
func (b *binder) arm(operand Expr, written, when parse.Expr) (Expr, error) {
	x, err := b.expr(when)
	if err != nil {
		return nil, err
	}
	if operand == nil {
		return b.truth(x, when.Pos(), "the condition of WHEN")
	}
	if err := b.copies(operand, 1, when.Pos()); err != nil {
		return nil, err
	}
	return b.compare(operator("="), operand, x, when.Pos(), written.Pos(), when.Pos())
}

// unify converts expressions to their common type and returns it. All may be
// untyped; then so is the result.
func (b *binder) unify(xs []Expr, places []int, what string) (datum.Type, error) {
	var common datum.Type
	copy(xs, b.allGiven(xs))
	for i, x := range xs {
		t, ok := datum.CommonType(common, x.Type())
		if !ok {
			return t, fault.At(fault.TypeMismatch, places[i], "%s cannot give both %s and %s", what, typeName(common), typeName(x.Type()))
		}
		common = t
	}
	if common.Kind == datum.Null && slices.ContainsFunc(xs, notNullLiteral) {
		common = textType
	}
	if common.Kind == datum.Null {
		return common, nil
	}
	for i, x := range xs {
		y, err := b.coerce(x, common, places[i])
		if err != nil {
			return common, err
		}
		xs[i] = y
	}
	return common, nil
}

func notNullLiteral(x Expr) bool {
	c, ok := x.(*Const)
	return !ok || !c.Value.IsNull()
}

// cast binds a cast; one to JSONB gives the document its canonical form.
func (b *binder) cast(e *parse.Cast) (Expr, error) {
	x, err := b.plainCast(e)
	if err != nil || !e.Canonical {
		return x, err
	}
	return b.apply(catalog.functions[canonicalName], canonicalName, []Expr{x}, e.Offset)
}

func (b *binder) plainCast(e *parse.Cast) (Expr, error) {
	x, err := b.expr(e.X)
	if err != nil {
		return nil, err
	}
	if e.To.Kind == datum.Null {
		return x, nil
	}
	if x.Type().IsVector() && e.To.Kind == datum.Text {
		return fold(&Call{vectorText, []Expr{x}, textType}), nil
	}
	if e.To.IsVector() && x.Type().Kind != datum.Array {
		return b.vectorCast(x, e)
	}
	switch c := x.(type) {
	case *Const:
		v, err := datum.Cast(c.Value, e.To)
		switch {
		case err == nil:
			return &Const{v, e.To}, nil
		case e.Try:
			return &Const{datum.Value{}, e.To}, nil
		case c.T.Kind == datum.Null || fault.Is(err, fault.TypeMismatch):
			return nil, locate(err, e.X.Pos())
		}
	case *Param:
		if c.Info.Type.Kind == datum.Null && !e.Try {
			return b.coerce(x, e.To, e.X.Pos())
		}
	}
	if x.Type() == e.To {
		return x, nil
	}
	if err := castable(x.Type(), e.To); err != nil {
		return nil, locate(err, e.Offset)
	}
	return &Cast{X: x, To: e.To, Try: e.Try}, nil
}

// castable returns the fault of a cast between two types that do not know each
// other, by trying it with the simplest value.
func castable(from, to datum.Type) error {
	v, ok := simplest(from)
	if !ok {
		return nil
	}
	if _, err := datum.Cast(v, to); fault.Is(err, fault.TypeMismatch) {
		return err
	}
	return nil
}

// simplest returns some value of a type; ok is false where any cast may do.
func simplest(t datum.Type) (v value, ok bool) {
	switch k := t.Kind; {
	case k == datum.Bool:
		return datum.NewBool(false), true
	case k == datum.Float:
		return datum.NewFloat(0), true
	case k == datum.Double:
		return datum.NewDouble(0), true
	case k == datum.Decimal:
		v, err := datum.NewDecimal("0", datum.MaxPrecision, 0)
		return v, err == nil
	case k.IsInteger() || k.IsTemporal():
		return datum.NewInt(k, 0), true
	case k == datum.Interval:
		return datum.NewInterval(0, 0, 0), true
	case k == datum.UUID:
		return datum.NewUUID([16]byte{}), true
	case k == datum.Embedding:
		return datum.NewEmbedding([]float32{0}), true
	case k == datum.Array:
		item, ok := simplest(t.Element())
		return datum.NewArray(t.Elem, []value{item}), ok
	}
	return value{}, false
}
