package exec

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/exec/internal/duck"
	"kalamdb/internal/sql/plan"
)

// What DuckDB computes itself, because it means exactly what our code means:
//
//	form                                    for
//	= <> < <= > >=, IS [NOT] DISTINCT FROM  pairs that common takes
//	AND OR NOT, IS [NOT] NULL/TRUE/FALSE    all, where no part but the first can fail
//	IN (list)                               elements that common brings together
//	CASE, COALESCE                          the same, with arms of one type
//	+ - *                                   integers; decimals of known scale; columns of floats
//	/ %                                     integers, by a constant that is neither 0 nor -1
//	LIKE                                    a constant pattern without a backslash
//	length, octet_length                    TEXT and BYTES
//	CAST                                    where lossless says that it cannot fail
//	nullif, greatest, least                 nothing: they are called back, as is all else
//
// Comparison is by bytes for text, and -0.0 equals 0.0, NaN itself, in both.
// Floats are added and multiplied natively while the result is an ordinary
// number, and else called back: ours refuses what overflows.

// common returns what two terms can be compared as: a term of the type that
// both are cast to.
func common(a, b term) (term, bool) {
	if natural(a.t) && duck.Physical(a.t) == duck.Physical(b.t) && sameOrder(a.t.Kind, b.t.Kind) {
		return term{t: a.t, digits: max(a.digits, b.digits)}, true
	}
	x, y := a.t.Kind, b.t.Kind
	switch {
	case x.IsInteger() && y.IsInteger():
		return term{t: datum.Type{Kind: max(x, y)}, digits: max(wholeDigits(a), wholeDigits(b))}, true
	case exactNumber(a) && exactNumber(b):
		scale := max(a.t.Scale, b.t.Scale)
		whole := max(wholeDigits(a), wholeDigits(b))
		if int(scale)+int(whole) > datum.MaxPrecision {
			return term{}, false
		}
		return term{t: datum.DecimalType(max(whole+scale, 1), scale)}, true
	case isFloat(x) && floatHolds(b), isFloat(y) && floatHolds(a):
		return term{t: datum.Type{Kind: datum.Double}}, true
	case isInstant(x) && isInstant(y):
		return term{t: datum.Type{Kind: datum.Timestamp}}, true
	}
	return term{}, false
}

// sameOrder reports whether two kinds with one physical form mean the same by
// it: a bare NULL travels as text.
func sameOrder(a, b datum.Kind) bool { return a == b || datum.Comparable(a, b) }

func isFloat(k datum.Kind) bool { return k == datum.Float || k == datum.Double }

func isInstant(k datum.Kind) bool {
	return k == datum.Date || k == datum.Timestamp || k == datum.DateTime
}

// exactNumber reports whether a term is an integer or a decimal of known scale.
func exactNumber(x term) bool {
	return x.t.Kind.IsInteger() || x.t.Kind == datum.Decimal && x.t.Precision > 0
}

// wholeDigits bounds the digits before the decimal point.
func wholeDigits(x term) uint8 {
	switch {
	case x.t.Kind == datum.Decimal:
		return x.t.Precision - x.t.Scale
	case x.digits > 0:
		return x.digits
	case x.t.Kind == datum.SmallInt:
		return 5
	case x.t.Kind == datum.Int:
		return 10
	}
	return 19
}

// floatHolds reports whether all values of a term are exact as DOUBLE.
func floatHolds(x term) bool {
	return isFloat(x.t.Kind) || x.t.Kind.IsInteger() && wholeDigits(x) <= 15
}

// lossless reports whether a cast keeps every value and never fails.
func lossless(x term, to datum.Type) bool {
	from := x.t.Kind
	switch {
	case from.IsInteger() && to.Kind.IsInteger():
		return from <= to.Kind
	case exactNumber(x) && to.Kind == datum.Decimal && to.Precision > 0:
		return x.t.Scale <= to.Scale && wholeDigits(x) <= to.Precision-to.Scale
	case from.IsInteger() && to.Kind == datum.Double, from == datum.Float && to.Kind == datum.Double:
		return true
	case from == datum.Date && (to.Kind == datum.Timestamp || to.Kind == datum.DateTime):
		return true
	case from == datum.Timestamp && to.Kind == datum.DateTime, from == datum.DateTime && to.Kind == datum.Timestamp:
		return true
	case from == datum.JSON && to.Kind == datum.Text, from == datum.File && to.Kind == datum.Text:
		return true
	}
	return false
}

// nativeCast leaves out casts that are none and hands over those that keep the
// value.
func (g *generator) nativeCast(b *block, e *plan.Cast) (term, bool, error) {
	x, ok, err := g.operand(b, e.X)
	if !ok {
		return term{}, false, err
	}
	if x.t == e.To && e.To.Kind != datum.Embedding {
		return x, true, nil
	}
	if !lossless(x, e.To) {
		return term{}, false, nil
	}
	return term{text: castText(x, e.To), t: e.To}, true, nil
}

var comparisons = map[plan.Code]string{plan.Eq: " = ", plan.Ne: " <> ", plan.Lt: " < ", plan.Le: " <= ", plan.Gt: " > ", plan.Ge: " >= "}

// compareWord is the operator of a comparison, or "".
func compareWord(f *plan.Function) string {
	if f.Code != plan.NoCode {
		return comparisons[f.Code]
	}
	if f.Operator && (f.Name == "is distinct from" || f.Name == "is not distinct from") {
		return " " + strings.ToUpper(f.Name) + " "
	}
	return ""
}

// compared writes a comparison of two terms.
func compared(word string, l, r term) (term, bool) {
	to, ok := common(l, r)
	if !ok {
		return term{}, false
	}
	return truthTerm("(" + castText(l, to.t) + word + castText(r, to.t) + ")"), true
}

func (g *generator) nativeCall(b *block, e *plan.Call) (term, bool, error) {
	word := compareWord(e.Fn)
	_, arithmetic := arithmeticOf(e)
	like := e.Fn.Operator && e.Fn.Name == "like" && len(e.Args) == 2
	if !e.Fn.Operator && (e.Fn.Name == "length" || e.Fn.Name == "octet_length") {
		return g.nativeLength(b, e)
	}
	if word == "" && !arithmetic && !like {
		return term{}, false, nil
	}
	if like {
		return g.nativeLike(b, e)
	}
	args, ok, err := g.operands(b, e.Args)
	if !ok {
		return term{}, false, err
	}
	var x term
	switch {
	case word != "":
		x, ok = compared(word, args[0], args[1])
	case len(args) == 1 && e.Fn.Name == "+":
		x = args[0]
	case len(args) == 1:
		x, ok = negative(args[0])
	case isFloat(e.T.Kind):
		return g.floating(b, e, args[0], args[1])
	default:
		x, ok = g.arithmetic(e, args[0], args[1])
	}
	return x, ok, nil
}

// arithmeticOf returns the operator of + - * / % over numbers.
func arithmeticOf(e *plan.Call) (op byte, ok bool) {
	if !e.Fn.Operator || len(e.Fn.Name) != 1 || !strings.Contains("+-*/%", e.Fn.Name) {
		return 0, false
	}
	for _, x := range e.Args {
		if !x.Type().Kind.IsNumeric() {
			return 0, false
		}
	}
	return e.Fn.Name[0], true
}

// floating writes + - and * of floats. Ours refuse a result that overflows or
// comes too close to zero, so that DuckDB leaves those to it.
func (g *generator) floating(b *block, e *plan.Call, l, r term) (term, bool, error) {
	op, _ := arithmeticOf(e)
	number := func(x term) bool { return x.plain && (isFloat(x.t.Kind) || x.t.Kind.IsInteger()) }
	if op == '/' || op == '%' || !number(l) || !number(r) {
		return term{}, false, nil
	}
	result := "(CAST(" + l.text + " AS DOUBLE) " + string(op) + " CAST(" + r.text + " AS DOUBLE))"
	good := "isfinite(" + result + ")"
	if op == '*' {
		good += " AND " + result + " <> 0"
	}
	ours, err := g.call(b, e)
	if err != nil {
		return term{}, false, err
	}
	return term{text: "CASE WHEN " + good + " THEN " + result + " ELSE " + ours.text + " END", t: doubleType}, true, nil
}

func negative(x term) (term, bool) {
	if !exactNumber(x) {
		return x, false
	}
	return term{text: "(-" + x.text + ")", t: x.t, digits: x.digits}, true
}

// arithmetic writes a calculation with two numbers.
func (g *generator) arithmetic(e *plan.Call, l, r term) (term, bool) {
	op, _ := arithmeticOf(e)
	switch {
	case l.t.Kind.IsInteger() && r.t.Kind.IsInteger():
		if (op == '/' || op == '%') && !g.divides(e.Args[1]) {
			return term{}, false
		}
		to := datum.Type{Kind: max(l.t.Kind, r.t.Kind)}
		word := string(op)
		if op == '/' {
			word = "//"
		}
		return term{text: "(" + castText(l, to) + " " + word + " " + castText(r, to) + ")", t: to}, true
	case !exactNumber(l) || !exactNumber(r):
		return term{}, false
	}
	switch op {
	case '+', '-':
		scale := max(l.t.Scale, r.t.Scale)
		whole := max(wholeDigits(l), wholeDigits(r))
		if int(whole)+int(scale) > datum.MaxPrecision {
			return term{}, false
		}
		to := datum.DecimalType(max(min(whole+scale+1, datum.MaxPrecision), 1), scale)
		return decimalTerm(castText(l, to)+" "+string(op)+" "+castText(r, to), to), true
	case '*':
		scale := int(l.t.Scale) + int(r.t.Scale)
		if scale > datum.MaxPrecision {
			return term{}, false
		}
		a, b := asDecimal(l), asDecimal(r)
		digits := min(int(a.Precision)+int(b.Precision), datum.MaxPrecision)
		to := datum.DecimalType(uint8(digits), uint8(scale))
		if digits > shortDecimal {
			// Between short ones DuckDB gives a short one, and refuses what is longer.
			a.Precision = max(a.Precision, shortDecimal+1)
		}
		return decimalTerm(castText(l, a)+" * "+castText(r, b), to), true
	}
	return term{}, false
}

// shortDecimal is how many digits a decimal of DuckDB has in 64 bits.
const shortDecimal = 18

// asDecimal is the decimal type that holds a number.
func asDecimal(x term) datum.Type {
	if x.t.Kind == datum.Decimal {
		return x.t
	}
	return datum.DecimalType(wholeDigits(x), 0)
}

func decimalTerm(text string, t datum.Type) term {
	return term{text: "CAST((" + text + ") AS " + duck.Physical(t) + ")", t: t}
}

// divides reports whether an integer is a constant by which every division goes
// well.
func (g *generator) divides(e plan.Expr) bool {
	if !plan.Fixed(e) {
		return false
	}
	v, err := g.fixedOf(e)
	return err == nil && v.Kind().IsInteger() && v.Int() != 0 && v.Int() != -1
}

// nativeLike hands over patterns that both read alike.
func (g *generator) nativeLike(b *block, e *plan.Call) (term, bool, error) {
	if !plan.Fixed(e.Args[1]) {
		return term{}, false, nil
	}
	p, err := g.fixedOf(e.Args[1])
	if err != nil || p.Kind() != datum.Text || strings.ContainsRune(p.Text(), '\\') {
		return term{}, false, nil
	}
	x, ok, err := g.operand(b, e.Args[0])
	if !ok || !x.t.Kind.IsString() {
		return term{}, false, err
	}
	return truthTerm("(" + x.text + " LIKE " + g.param(p).text + ")"), true, nil
}

// nativeLength counts the characters or bytes of a value. Both count code points
// of valid UTF-8, which every text is, and neither can fail.
func (g *generator) nativeLength(b *block, e *plan.Call) (term, bool, error) {
	x, ok, err := g.operand(b, e.Args[0])
	if !ok {
		return term{}, false, err
	}
	word := "octet_length"
	switch {
	case x.t.Kind == datum.Text && e.Fn.Name == "length":
		word = "length"
	case x.t.Kind == datum.Text:
		word = "strlen"
	case x.t.Kind != datum.Bytes:
		return term{}, false, nil
	}
	return term{text: "CAST(" + word + "(" + x.text + ") AS INTEGER)", t: e.T}, true, nil
}

// steadfast are functions that give a value for all arguments of their types.
// Limits on what a function builds do not count: they end the statement anyway.
var steadfast = map[string]bool{
	"length": true, "octet_length": true, "bit_length": true, "lower": true, "upper": true, "initcap": true, "reverse": true,
	"substring": true, "left": true, "right": true, "btrim": true, "ltrim": true, "rtrim": true, "trim": true,
	"strpos": true, "position": true, "starts_with": true, "ends_with": true, "contains": true, "replace": true, "translate": true,
	"concat": true, "concat_ws": true, "||": true, "ascii": true, "md5": true, "sha256": true, "to_hex": true,
	"nullif": true, "greatest": true, "least": true, "sign": true, "extract": true, "date_part": true, "date_trunc": true,
	"now": true, "current_date": true, "current_timestamp": true, "pg_typeof": true, "isnan": true, "_updated": true,
	"is distinct from": true, "is not distinct from": true,
}

func (g *generator) anyFails(list []plan.Expr) bool {
	for _, e := range list {
		if g.fails(e) {
			return true
		}
	}
	return false
}

// fails reports whether computing e may end in a fault.
func (g *generator) fails(e plan.Expr) bool {
	failing := false
	plan.Walk(e, func(x plan.Expr) bool {
		if failing {
			return false
		}
		bad := false
		switch x := x.(type) {
		case *plan.Cast:
			bad = !x.Try && castFails(x)
		case *plan.Call:
			bad = g.callFails(x)
		case *plan.Subquery:
			return false
		}
		if bad && plan.Fixed(x) {
			// What is known already has failed or has not.
			_, err := g.fixedOf(x)
			failing = err != nil
			return false
		}
		failing = bad
		return !failing
	})
	return failing
}

func castFails(e *plan.Cast) bool {
	from := e.X.Type()
	return !lossless(term{t: from}, e.To) && e.To.Kind != datum.Text && !(from.Kind == datum.Decimal && e.To.Kind == datum.Double)
}

func (g *generator) callFails(e *plan.Call) bool {
	if e.Fn.Code != plan.NoCode || steadfast[e.Fn.Name] {
		return false
	}
	if plan.Fixed(e) {
		_, err := g.fixedOf(e)
		return err != nil
	}
	if op, ok := arithmeticOf(e); ok && len(e.Args) == 2 {
		return g.arithmeticFails(op, e)
	}
	return !g.goodPattern(e)
}

// arithmeticFails is certain for decimals whose digits suffice and for integers
// divided by constants.
func (g *generator) arithmeticFails(op byte, e *plan.Call) bool {
	l, r := e.Args[0].Type(), e.Args[1].Type()
	if (op == '/' || op == '%') && l.Kind.IsInteger() && r.Kind.IsInteger() {
		return !g.divides(e.Args[1])
	}
	_, _, ok := g.extent(e)
	return !ok
}

// extent bounds the digits before and behind the decimal point that calculating
// with + - and * gives; ok is false when it may need more than 38, or is not
// about decimals.
func (g *generator) extent(e plan.Expr) (whole, scale int, ok bool) {
	if plan.Fixed(e) {
		v, err := g.fixedOf(e)
		if err != nil || !v.Kind().IsInteger() && v.Kind() != datum.Decimal {
			return 0, 0, false
		}
		digits := int(digitsOf(v))
		return digits - int(v.Scale()), int(v.Scale()), true
	}
	t := e.Type()
	if c, called := e.(*plan.Call); called {
		op, arithmetic := arithmeticOf(c)
		if !arithmetic || len(c.Args) != 2 || t.Kind != datum.Decimal {
			return 0, 0, false
		}
		w1, s1, ok1 := g.extent(c.Args[0])
		w2, s2, ok2 := g.extent(c.Args[1])
		switch op {
		case '+', '-':
			whole, scale = max(w1, w2)+1, max(s1, s2)
		case '*':
			whole, scale = w1+w2, s1+s2
		default:
			return 0, 0, false
		}
		return whole, scale, ok1 && ok2 && whole+scale <= datum.MaxPrecision
	}
	if _, column := e.(*plan.Ref); !column || !exactNumber(term{t: t}) {
		return 0, 0, false
	}
	return int(wholeDigits(term{t: t})), int(t.Scale), true
}

// goodPattern reports whether a call matches a text with a constant pattern that
// can be read.
func (g *generator) goodPattern(e *plan.Call) bool {
	switch e.Fn.Name {
	case "like", "ilike", "~", "~*", "!~", "!~*", "similar to":
	default:
		return false
	}
	for _, x := range e.Args[1:] {
		if !plan.Fixed(x) {
			return false
		}
	}
	trial := &plan.Call{Fn: e.Fn, Args: append([]plan.Expr{&plan.Const{Value: datum.NewText(""), T: datum.Type{Kind: datum.Text}}}, e.Args[1:]...), T: e.T}
	_, err := g.fixedOf(trial)
	return err == nil
}

// settled reports whether no value of a decimal expression has more fraction
// digits than its type says, so that it may become a column unchanged.
func (g *generator) settled(e plan.Expr) bool {
	t := e.Type()
	if t.Kind.IsInteger() {
		return true
	}
	if t.Kind != datum.Decimal || t.Precision == 0 {
		return false
	}
	if plan.Fixed(e) {
		v, err := g.fixedOf(e)
		return err == nil && (v.IsNull() || v.Kind().IsInteger() || v.Kind() == datum.Decimal && v.Scale() <= t.Scale)
	}
	switch e := e.(type) {
	case *plan.Ref, *plan.Subquery, *plan.Cast:
		return true
	case *plan.Case:
		for _, w := range e.Whens {
			if !g.settledIn(w.Then, t) {
				return false
			}
		}
		return e.Else == nil || g.settledIn(e.Else, t)
	case *plan.Coalesce:
		for _, x := range e.Args {
			if !g.settledIn(x, t) {
				return false
			}
		}
		return true
	case *plan.Call:
		op, ok := arithmeticOf(e)
		if !ok || op == '/' {
			return e.Fn.Name == "extract"
		}
		scale := 0
		for _, x := range e.Args {
			if !g.settled(x) {
				return false
			}
			scale += int(x.Type().Scale)
		}
		return op != '*' || scale <= int(t.Scale)
	}
	return false
}

// settledIn is settled for an alternative of an expression of type t.
func (g *generator) settledIn(e plan.Expr, t datum.Type) bool {
	return bareNull(e) || g.settled(e) && e.Type().Scale <= t.Scale
}
