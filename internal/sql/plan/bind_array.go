package plan

import (
	"math"
	"slices"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// maker builds arrays of one kind. The kinds differ in their name, so that two
// expressions that print alike are alike.
func maker(element datum.Kind) *Function {
	return &Function{Name: "_array_" + strings.ToLower(element.String()), Doc: "ARRAY[…].", NullOK: true, args: []pattern{anyArg}, variadic: true,
		calls: func(_ *Env, items []value) (value, error) { return newArray(element, items) }}
}

var makers = newMakers()

func newMakers() map[datum.Kind]*Function {
	out := map[datum.Kind]*Function{}
	for k := range datum.Array {
		if k.CanBeElement() {
			out[k] = maker(k)
		}
	}
	return out
}

// elementSize is what an element counts beside its bytes: what it takes while an
// array is built.
const elementSize = 64

// newArray builds an array within the bound of what a function may build.
func newArray(element datum.Kind, items []value) (value, error) {
	size := 0
	for _, v := range items {
		if size += elementSize + v.Size(); size > MaxBuilt {
			return value{}, checkBuilt(size)
		}
	}
	return datum.NewArray(element, items), nil
}

// arrayOf is the type of arrays of a type, or a fault where there are none.
func arrayOf(element datum.Type, at int) (datum.Type, error) {
	switch {
	case element.Kind == datum.Array:
		return datum.Type{}, fault.At(fault.NotImplemented, at, "arrays have one dimension only")
	case !element.Kind.CanBeElement():
		return datum.Type{}, fault.At(fault.NotImplemented, at, "there are no arrays of %s", typeName(element))
	}
	return datum.ArrayType(element), nil
}

// array binds ARRAY[…].
func (b *binder) array(e *parse.Array) (Expr, error) {
	if len(e.Items) == 0 {
		return nil, fault.At(fault.TypeMismatch, e.Offset, "an empty ARRAY[] needs a type: ARRAY[]::INT[]")
	}
	items, err := b.exprs(e.Items)
	if err != nil {
		return nil, err
	}
	places := make([]int, len(e.Items))
	for i, x := range e.Items {
		places[i] = x.Pos()
	}
	return b.made(items, places, "ARRAY", e.Offset)
}

// made builds an array of expressions, which get a common type.
func (b *binder) made(items []Expr, places []int, word string, at int) (Expr, error) {
	element, err := b.unify(items, places, word)
	if err != nil {
		return nil, err
	}
	if element.Kind == datum.Null {
		element = textType
	}
	t, err := arrayOf(element, at)
	if err != nil {
		return nil, err
	}
	return fold(&Call{makers[element.Kind], items, t}), nil
}

// arrayCast binds X::T[]. The elements of a written array are cast one by one.
func (b *binder) arrayCast(e *parse.ArrayCast) (Expr, error) {
	to, err := arrayOf(e.Element, e.Offset)
	if err != nil {
		return nil, err
	}
	written, ok := e.X.(*parse.Array)
	if !ok {
		return b.cast(&parse.Cast{At: e.At, X: e.X, To: to})
	}
	items := make([]Expr, len(written.Items))
	for i, item := range written.Items {
		if items[i], err = b.cast(&parse.Cast{At: parse.At{Offset: item.Pos()}, X: item, To: e.Element}); err != nil {
			return nil, err
		}
	}
	return fold(&Call{makers[e.Element.Kind], items, to}), nil
}

// The forms of subscripts.
var (
	elementAt = &Function{Name: "_element", Doc: "x[n].", args: []pattern{arrayArg, intArg},
		call2: func(_ *Env, a, n value) (value, error) { return itemAt(a, n.Int()), nil }}
	keyAt = &Function{Name: "_key", Doc: "x[n] of a vector of pg_catalog.", args: []pattern{keysArg, intArg},
		call2: func(_ *Env, a, n value) (value, error) { return itemAt(a, n.Int()+1), nil }}
	sliceOf = &Function{Name: "_slice", Doc: "x[m:n].", args: []pattern{arrayArg, intArg, intArg},
		call3: func(_ *Env, a, from, to value) (value, error) { return slice(a, from.Int(), to.Int()) }}
)

// itemAt returns an element, counted from 1; NULL where there is none.
func itemAt(a value, n int64) value {
	if n < 1 || n > int64(a.Len()) {
		return value{}
	}
	for i, item := range a.Elements() {
		if int64(i)+1 == n {
			return item
		}
	}
	return value{}
}

func slice(a value, from, to int64) (value, error) {
	from, to = max(from, 1), min(to, int64(a.Len()))
	if from > to {
		return newArray(a.ElementKind(), nil)
	}
	return newArray(a.ElementKind(), a.Items()[from-1:to])
}

// subscript binds X[n] and X[m:n], and for JSON X['key'] and X[n].
func (b *binder) subscript(e *parse.Subscript) (Expr, error) {
	x, err := b.expr(e.X)
	if err != nil {
		return nil, err
	}
	t := x.Type()
	if t.Kind == datum.JSON && !e.Slice {
		key, err := b.expr(e.Index)
		if err != nil {
			return nil, err
		}
		return b.apply(catalog.operators["->"], "->", []Expr{x, key}, e.Offset)
	}
	if t.Kind != datum.Array {
		return nil, fault.At(fault.TypeMismatch, e.Offset, "%s has no subscripts; arrays and JSON have", described(x))
	}
	if !e.Slice {
		n, err := b.place64(e.Index, 0)
		if err != nil {
			return nil, err
		}
		at := elementAt
		if t.IsVector() {
			at = keyAt
		}
		return fold(&Call{at, []Expr{x, n}, t.Element()}), nil
	}
	from, err := b.place64(e.Index, 1)
	if err != nil {
		return nil, err
	}
	to, err := b.place64(e.Upper, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	return fold(&Call{sliceOf, []Expr{x, from, to}, t}), nil
}

// place64 binds an index; without one it is other.
func (b *binder) place64(e parse.Expr, other int64) (Expr, error) {
	if e == nil {
		return &Const{datum.NewInt(datum.BigInt, other), bigintType}, nil
	}
	x, err := b.expr(e)
	if err != nil {
		return nil, err
	}
	if t := x.Type().Kind; t != datum.Null && !t.IsInteger() {
		return nil, fault.At(fault.TypeMismatch, e.Pos(), "a subscript is an integer, but %s is not", described(x))
	}
	if x.Type().Kind == datum.Null {
		return b.coerce(x, bigintType, e.Pos())
	}
	return x, nil
}

// ofArrayValue binds X op ANY|ALL (y) where y is a value.
func (b *binder) ofArrayValue(e *parse.Quantified, word string) (Expr, error) {
	x, err := b.expr(e.X)
	if err != nil {
		return nil, err
	}
	y, err := b.expr(e.Y)
	if err != nil {
		return nil, err
	}
	fn := catalog.operators[e.Op+" "+strings.ToLower(word)]
	if fn == nil {
		return nil, fault.At(fault.NotImplemented, e.Offset, "operator %s %s is not supported", strings.ToUpper(e.Op), word)
	}
	if y.Type().Kind == datum.Null {
		element := x.Type()
		if element.Kind == datum.Null {
			element = textType
		}
		to, err := arrayOf(element, e.Y.Pos())
		if err != nil {
			return nil, err
		}
		if y, err = b.coerce(y, to, e.Y.Pos()); err != nil {
			return nil, err
		}
	}
	if y.Type().Kind != datum.Array {
		return nil, fault.At(fault.TypeMismatch, e.Y.Pos(), "%s takes an array, but %s is none", word, described(y))
	}
	if _, like := likes[e.Op]; like || strings.Contains(e.Op, "~") {
		return b.apply(fn, e.Op+" "+word, []Expr{x, y}, e.Offset)
	}
	if x, y, err = b.besideArray(x, y, e); err != nil {
		return nil, err
	}
	return fold(&Call{fn[0], []Expr{x, y}, boolType}), nil
}

// besideArray gives a value and an array types that can be compared.
func (b *binder) besideArray(x, y Expr, e *parse.Quantified) (Expr, Expr, error) {
	var err error
	tx, ty := x.Type(), y.Type().Element()
	switch {
	case tx.Kind == datum.Null:
		x, err = b.coerce(x, looseTarget(ty), e.X.Pos())
	case isFloat(tx.Kind) && ty.Kind == datum.Decimal:
		y, err = b.coerce(y, datum.ArrayType(doubleType), e.Y.Pos())
	case tx.Kind == datum.Decimal && isFloat(ty.Kind):
		x, err = b.coerce(x, doubleType, e.X.Pos())
	case familyOf(tx.Kind) != familyOf(ty.Kind), familyOf(tx.Kind) == noFamily:
		err = fault.At(fault.TypeMismatch, e.Offset, "operator %s cannot compare %s with elements of %s", strings.ToUpper(e.Op), described(x), described(y))
	}
	return x, y, err
}

// quantifiedOperators are X op ANY|ALL (array) for every operator that compares
// or matches.
func quantifiedOperators() []Function {
	var all []Function
	compare := map[string]func(int) bool{
		"=": func(o int) bool { return o == 0 }, "<>": func(o int) bool { return o != 0 }, "<": func(o int) bool { return o < 0 },
		"<=": func(o int) bool { return o <= 0 }, ">": func(o int) bool { return o > 0 }, ">=": func(o int) bool { return o >= 0 },
	}
	for _, op := range []string{"=", "<>", "<", "<=", ">", ">="} {
		holds := compare[op]
		test := func(_ *Env, a, b value) (value, error) { return boolean(holds(datum.Compare(a, b))) }
		all = append(all, quantified(op, []pattern{elementArg, arrayArg}, test)...)
	}
	for _, op := range []struct {
		name, of string
		not      bool
	}{{"~~", "like", false}, {"!~~", "like", true}, {"~~*", "ilike", false}, {"!~~*", "ilike", true}} {
		match := patternOperators()
		i := slices.IndexFunc(match, func(f Function) bool { return f.Name == op.of && f.call2 != nil })
		call := match[i].call2
		all = append(all, quantified(op.name, []pattern{textArg, textsArg}, func(env *Env, a, b value) (value, error) {
			v, err := call(env, a, b)
			return datum.NewBool(v.Bool() != op.not), err
		})...)
	}
	for _, f := range patternOperators() {
		if strings.Contains(f.Name, "~") {
			all = append(all, quantified(f.Name, []pattern{textArg, textsArg}, f.call2)...)
		}
	}
	return all
}

// quantified makes the two operators of one test. An array without elements
// decides before a NULL does, and so does one element.
func quantified(op string, args []pattern, test func(*Env, value, value) (value, error)) []Function {
	make := func(word, doc string, decides bool) Function {
		return Function{Name: op + " " + word, Operator: true, Doc: doc, NullOK: true, args: args, result: boolType,
			call2: func(env *Env, x, array value) (value, error) {
				if array.IsNull() {
					return value{}, nil
				}
				unknown := false
				for _, item := range array.Elements() {
					if x.IsNull() || item.IsNull() {
						unknown = true
						continue
					}
					v, err := test(env, x, item)
					if err != nil {
						return v, err
					}
					if v.Bool() == decides {
						return v, nil
					}
				}
				if unknown {
					return value{}, nil
				}
				return boolean(!decides)
			}}
	}
	return []Function{
		make("any", "Whether it holds for an element.", true),
		make("all", "Whether it holds for every element.", false),
	}
}

// convertArrays gives the arrays among the arguments, and the elements beside
// them, a common type.
func (b *binder) convertArrays(fn *Function, args []Expr, at int) error {
	var element datum.Type
	for i, x := range args {
		t := x.Type()
		switch p := fn.pattern(i); {
		case p == arrayArg && t.Kind == datum.Array:
			t = t.Element()
		case p != elementArg:
			continue
		}
		common, ok := datum.CommonType(element, t)
		if !ok {
			return wrongArguments([]*Function{fn}, fn.Name, args, at)
		}
		element = common
	}
	if element.Kind == datum.Null {
		element = textType
	}
	array, err := arrayOf(element, at)
	if err != nil {
		return err
	}
	for i, x := range args {
		to := element
		switch fn.pattern(i) {
		case arrayArg:
			to = array
		case elementArg:
		default:
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

// ofKind is an entry whose arrays have elements of a kind even where all its
// arguments are NULL, which tell none.
func (f *Function) ofKind(element datum.Kind) *Function {
	g, call := *f, f.call2
	g.call2 = func(env *Env, a, b value) (value, error) {
		v, err := call(env, a, b)
		if err != nil || v.IsNull() || v.ElementKind() == element {
			return v, err
		}
		return newArray(element, v.Items())
	}
	return &g
}
