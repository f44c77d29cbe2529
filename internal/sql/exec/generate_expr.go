package exec

import (
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/exec/internal/duck"
	"kalamdb/internal/sql/plan"
)

// mark is how far a statement has been written, for taking back an attempt.
type mark struct{ params, calls, scans, files, fresh int }

func (g *generator) mark() mark {
	return mark{len(g.statement.Params), len(g.statement.Calls), len(g.statement.Scans), len(g.statement.Files), g.fresh}
}

// undo takes back what was written since m.
func (g *generator) undo(m mark) {
	s := &g.statement
	s.Params, s.Calls, s.Scans, g.scans = s.Params[:m.params], s.Calls[:m.calls], s.Scans[:m.scans], g.scans[:m.scans]
	s.Files = s.Files[:m.files]
	for text, n := range g.known {
		if n >= m.calls {
			delete(g.known, text)
		}
	}
}

// value writes an expression over the columns of a block.
func (g *generator) value(b *block, e plan.Expr) (term, error) {
	x, ok, err := g.native(b, e)
	if err != nil || ok {
		return x, err
	}
	return g.call(b, e)
}

// operand writes a part of a native expression. ok is false for a decimal that
// only our code computes: as an operand its digits must not be cut to those
// that a column of its type holds.
func (g *generator) operand(b *block, e plan.Expr) (x term, ok bool, err error) {
	if x, ok, err = g.native(b, e); err != nil || ok || e.Type().Kind == datum.Decimal && !g.settled(e) {
		return x, ok, err
	}
	x, err = g.call(b, e)
	return x, err == nil, err
}

// operands writes all of a list, or none.
func (g *generator) operands(b *block, list []plan.Expr) (out []term, ok bool, err error) {
	for _, e := range list {
		x, ok, err := g.operand(b, e)
		if err != nil || !ok {
			return nil, false, err
		}
		out = append(out, x)
	}
	return out, true, nil
}

// native writes an expression that DuckDB computes as we do; ok is false when
// it does not.
func (g *generator) native(b *block, e plan.Expr) (x term, ok bool, err error) {
	if err := g.enter(); err != nil {
		return x, false, err
	}
	defer g.leave()
	m := g.mark()
	if x, ok, err = g.nativeForm(b, e); err != nil || !ok {
		g.undo(m)
	}
	return x, ok, err
}

func (g *generator) nativeForm(b *block, e plan.Expr) (term, bool, error) {
	switch e := e.(type) {
	case *plan.Ref:
		x, err := g.resolve(b, e)
		return x, err == nil, err
	case *plan.Subquery:
		x, err := g.subquery(b, e)
		return x, err == nil, err
	}
	if plan.Fixed(e) {
		v, err := g.fixedOf(e)
		if err != nil {
			return term{}, false, nil // the fault belongs to the rows that ask for the value
		}
		return g.constant(v, e.Type()), true, nil
	}
	switch e := e.(type) {
	case *plan.Logic:
		return g.nativeLogic(b, e)
	case *plan.Not:
		return g.nativeTest(b, e.X, "(NOT ", ")")
	case *plan.IsNull:
		return g.nativeTest(b, e.X, "(", isText(e.Not, "NULL"))
	case *plan.IsTruth:
		return g.nativeTest(b, e.X, "(", isText(e.Not, strings.ToUpper(strconv.FormatBool(e.Want))))
	case *plan.In:
		return g.nativeIn(b, e)
	case *plan.Case:
		return g.nativeCase(b, e)
	case *plan.Coalesce:
		return g.nativeCoalesce(b, e)
	case *plan.Cast:
		return g.nativeCast(b, e)
	case *plan.Call:
		return g.nativeCall(b, e)
	}
	return term{}, false, nil
}

func isText(not bool, what string) string {
	if not {
		return " IS NOT " + what + ")"
	}
	return " IS " + what + ")"
}

var boolType = datum.Type{Kind: datum.Bool}

func truthTerm(text string) term { return term{text: text, t: boolType} }

// fixedOf computes an expression without rows, once per execution.
func (g *generator) fixedOf(e plan.Expr) (datum.Value, error) {
	if known, ok := g.fixed[e]; ok {
		return known.v, known.err
	}
	eval, err := Compile(e)
	if err != nil {
		return datum.Value{}, err
	}
	g.env.BeginRow()
	v, err := eval(nil, g.env)
	g.fixed[e] = fixedValue{v, err}
	return v, err
}

// constant writes a value whose type the plan says to be t.
func (g *generator) constant(v datum.Value, t datum.Type) term {
	if v.IsNull() {
		return term{text: "CAST(NULL AS " + duck.Physical(t) + ")", t: t, plain: true}
	}
	if v.Kind() == t.Kind && t.Kind != datum.Decimal {
		x := g.param(v)
		x.t = t
		return x
	}
	return g.param(v)
}

// param makes a value a parameter of the statement.
func (g *generator) param(v datum.Value) term {
	t := v.Type()
	var digits uint8
	switch {
	case t.Kind == datum.Decimal:
		t.Precision = max(digitsOf(v), t.Scale, 1)
	case t.Kind.IsInteger():
		digits = digitsOf(v)
	}
	g.statement.Params = append(g.statement.Params, v)
	text := "CAST($" + strconv.Itoa(len(g.statement.Params)) + " AS " + duck.Physical(t) + ")"
	return term{text: text, t: t, digits: digits, plain: true}
}

// digitsOf is how many decimal digits an integer or the coefficient of a decimal
// has.
func digitsOf(v datum.Value) uint8 {
	n := uint8(0)
	for _, c := range v.String() {
		if c >= '0' && c <= '9' {
			n++
		}
	}
	return n
}

func (g *generator) nativeTest(b *block, e plan.Expr, before, after string) (term, bool, error) {
	x, ok, err := g.operand(b, e)
	if !ok && err == nil && after != ")" && e.Type().Kind == datum.Decimal {
		// Whether a decimal is NULL does not depend on its digits.
		x, err = g.call(b, e)
		ok = err == nil
	}
	return truthTerm(before + x.text + after), ok, err
}

// nativeLogic joins operands. DuckDB may evaluate all of them, so those that
// could fail where ours would not have looked stay together.
func (g *generator) nativeLogic(b *block, e *plan.Logic) (term, bool, error) {
	if g.anyFails(e.Args[1:]) {
		return term{}, false, nil
	}
	args, ok, err := g.operands(b, e.Args)
	if !ok {
		return term{}, false, err
	}
	word := " AND "
	if e.Or {
		word = " OR "
	}
	text := make([]string, len(args))
	for i, a := range args {
		text[i] = a.text
	}
	return truthTerm("(" + strings.Join(text, word) + ")"), true, nil
}

func (g *generator) nativeIn(b *block, e *plan.In) (term, bool, error) {
	if g.anyFails(e.List) {
		return term{}, false, nil
	}
	all, ok, err := g.operands(b, append([]plan.Expr{e.X}, e.List...))
	if !ok {
		return term{}, false, err
	}
	to := all[0]
	for _, x := range all[1:] {
		if to, ok = common(to, x); !ok {
			return term{}, false, nil
		}
	}
	text := make([]string, len(all))
	for i, x := range all {
		text[i] = castText(x, to.t)
	}
	word := " IN ("
	if e.Not {
		word = " NOT IN ("
	}
	return truthTerm("(" + text[0] + word + strings.Join(text[1:], ", ") + "))"), true, nil
}

// nativeCase writes CASE when none of its parts can fail.
func (g *generator) nativeCase(b *block, e *plan.Case) (term, bool, error) {
	var conditions, results []plan.Expr
	for _, w := range e.Whens {
		conditions, results = append(conditions, w.If), append(results, w.Then)
	}
	if e.Else != nil {
		results = append(results, e.Else)
	}
	if g.anyFails(conditions[1:]) || g.anyFails(results) {
		return term{}, false, nil
	}
	when, ok, err := g.operands(b, conditions)
	if !ok {
		return term{}, false, err
	}
	then, to, ok, err := g.unified(b, results, e.T)
	if !ok {
		return term{}, false, err
	}
	var s strings.Builder
	s.WriteString("CASE")
	for i, w := range when {
		s.WriteString(" WHEN " + w.text + " THEN " + then[i])
	}
	if e.Else != nil {
		s.WriteString(" ELSE " + then[len(then)-1])
	}
	s.WriteString(" END")
	return term{text: s.String(), t: to}, true, nil
}

func (g *generator) nativeCoalesce(b *block, e *plan.Coalesce) (term, bool, error) {
	if g.anyFails(e.Args[1:]) {
		return term{}, false, nil
	}
	args, to, ok, err := g.unified(b, e.Args, e.T)
	if !ok {
		return term{}, false, err
	}
	return term{text: "coalesce(" + strings.Join(args, ", ") + ")", t: to}, true, nil
}

// unified writes alternatives of which one is taken, as one type.
func (g *generator) unified(b *block, list []plan.Expr, t datum.Type) (out []string, to datum.Type, ok bool, err error) {
	terms, ok, err := g.operands(b, list)
	if !ok {
		return nil, t, false, err
	}
	first := true
	for i := range terms {
		x := &terms[i]
		if bareNull(list[i]) {
			continue
		}
		switch {
		case t.Kind == datum.Decimal && exactNumber(*x):
			if first {
				t, first = asDecimal(*x), false
				continue
			}
			both, ok := common(term{t: t}, term{t: asDecimal(*x)})
			if !ok {
				return nil, t, false, nil
			}
			t = both.t
		case x.t.Kind != t.Kind || t.Kind == datum.Decimal:
			return nil, t, false, nil
		}
	}
	for i, x := range terms {
		if bareNull(list[i]) {
			out = append(out, "CAST(NULL AS "+duck.Physical(t)+")")
		} else {
			out = append(out, castText(x, t))
		}
	}
	return out, t, true, nil
}

// bareNull reports whether an expression is the constant NULL.
func bareNull(e plan.Expr) bool {
	c, ok := e.(*plan.Const)
	return ok && c.Value.IsNull()
}

// castText writes a term in the physical form of a type that holds all of its
// values.
func castText(x term, to datum.Type) string {
	if duck.Physical(x.t) == duck.Physical(to) {
		return x.text
	}
	return "CAST(" + x.text + " AS " + duck.Physical(to) + ")"
}

// bring gives a term the type of a column that it becomes, through our own cast
// where that can change or refuse a value.
func (g *generator) bring(x term, to datum.Type) (term, error) {
	if x.t == to {
		return x, nil
	}
	if x.t.Kind == to.Kind && to.Kind != datum.Decimal || lossless(x, to) {
		return term{text: castText(x, to), t: to, plain: x.plain}, nil
	}
	f := func(v datum.Value) (datum.Value, error) { return asColumn(v, to) }
	return g.callOn(x, to, "as "+to.String(), f), nil
}
