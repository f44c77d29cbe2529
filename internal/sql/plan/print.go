package plan

import (
	"strconv"
	"strings"

	"kalamdb/internal/datum"
)

// maxPrinted is how many bytes of a constant a printed expression shows when
// it is shown to people; printing for comparison shows all of them.
const maxPrinted = 64

// String prints the constant as a literal.
func (e *Const) String() string { return string(e.appendTo(nil)) }

// String prints $n, or ?n for an automatic parameter, and its type.
func (e *Param) String() string { return string(e.appendTo(nil)) }

// String prints the column's name.
func (e *Col) String() string { return e.Name }

// String prints the call as it would be written.
func (e *Call) String() string { return string(e.appendTo(nil)) }

// String prints the operands in parentheses.
func (e *Logic) String() string { return string(e.appendTo(nil)) }

// String prints the negation.
func (e *Not) String() string { return string(e.appendTo(nil)) }

// String prints the test.
func (e *IsNull) String() string { return string(e.appendTo(nil)) }

// String prints the test.
func (e *IsTruth) String() string { return string(e.appendTo(nil)) }

// String prints the list.
func (e *In) String() string { return string(e.appendTo(nil)) }

// String prints the arms.
func (e *Case) String() string { return string(e.appendTo(nil)) }

// String prints the call as it would be written.
func (e *Coalesce) String() string { return string(e.appendTo(nil)) }

// String prints the cast.
func (e *Cast) String() string { return string(e.appendTo(nil)) }

// String prints the group expression.
func (e *GroupRef) String() string { return e.X.String() }

// String prints the column with the number of the node that gives it.
func (e *Ref) String() string { return string(e.appendTo(nil)) }

// String prints the kind and the node, each of which is met once only.
func (e *Subquery) String() string { return string(e.appendTo(nil)) }

// String prints the aggregate.
func (e *AggRef) String() string { return e.A.String() }

func (e *Const) appendTo(dst []byte) []byte { return appendLiteral(dst, e.Value, e.T) }

// appendLiteral prints a value so that values of different types differ.
func appendLiteral(dst []byte, v datum.Value, t datum.Type) []byte {
	switch v.Kind() {
	case datum.Null, datum.Bool:
		return append(dst, strings.ToUpper(v.String())...)
	case datum.Int:
		return datum.AppendText(dst, v)
	case datum.Text:
		return appendQuoted(dst, v.Text())
	case datum.Decimal:
		return datum.AppendText(dst, v)
	}
	dst = append(dst, t.Kind.String()...)
	dst = append(dst, ' ')
	return appendQuoted(dst, v.String())
}

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '\'')
	dst = append(dst, strings.ReplaceAll(s, "'", "''")...)
	return append(dst, '\'')
}

func (e *Param) appendTo(dst []byte) []byte {
	mark := byte('$')
	if e.Info.Automatic {
		mark = '?'
	}
	dst = append(dst, mark)
	dst = strconv.AppendInt(dst, int64(e.Info.Source)+1, 10)
	if e.Info.Type.Kind == datum.Null {
		return dst
	}
	dst = append(dst, "::"...)
	return append(dst, e.Info.Type.String()...)
}

func (e *Col) appendTo(dst []byte) []byte { return append(dst, e.Name...) }

func (e *Ref) appendTo(dst []byte) []byte {
	dst = append(append(dst, e.Name...), '@')
	dst = strconv.AppendInt(dst, int64(e.Rel), 10)
	return strconv.AppendInt(append(dst, '.'), int64(e.Position), 10)
}

var subqueryNames = [...]string{ScalarQuery: "scalar", ExistsQuery: "exists", AnyQuery: "any", AllQuery: "all", ArrayQuery: "array"}

func (e *Subquery) appendTo(dst []byte) []byte {
	dst = append(dst, '(')
	for _, x := range e.X {
		dst = append(x.appendTo(dst), ' ')
	}
	if e.Compare != nil {
		dst = append(append(dst, e.Compare.Name...), ' ')
	}
	dst = append(dst, subqueryNames[e.Kind]...)
	dst = append(dst, " query"...)
	for _, c := range e.Columns {
		dst = c.appendTo(append(dst, ' '))
	}
	return append(dst, ')')
}

func (e *Call) appendTo(dst []byte) []byte {
	if !e.Fn.Operator {
		dst = append(dst, e.Fn.Name...)
		return appendList(dst, e.Args)
	}
	dst = append(dst, '(')
	switch len(e.Args) {
	case 1:
		dst = append(dst, e.Fn.Name...)
		dst = e.Args[0].appendTo(dst)
	default:
		dst = e.Args[0].appendTo(dst)
		dst = append(dst, ' ')
		dst = append(dst, strings.ToUpper(e.Fn.Name)...)
		dst = append(dst, ' ')
		dst = e.Args[1].appendTo(dst)
		if len(e.Args) == 3 {
			dst = append(dst, " ESCAPE "...)
			dst = e.Args[2].appendTo(dst)
		}
	}
	return append(dst, ')')
}

func appendList(dst []byte, list []Expr) []byte {
	dst = append(dst, '(')
	for i, x := range list {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = x.appendTo(dst)
	}
	return append(dst, ')')
}

func (e *Logic) appendTo(dst []byte) []byte {
	word := " AND "
	if e.Or {
		word = " OR "
	}
	dst = append(dst, '(')
	for i, x := range e.Args {
		if i > 0 {
			dst = append(dst, word...)
		}
		dst = x.appendTo(dst)
	}
	return append(dst, ')')
}

func (e *Not) appendTo(dst []byte) []byte {
	dst = append(dst, "(NOT "...)
	dst = e.X.appendTo(dst)
	return append(dst, ')')
}

func appendIs(dst []byte, x Expr, not bool, what string) []byte {
	dst = append(dst, '(')
	dst = x.appendTo(dst)
	dst = append(dst, " IS "...)
	if not {
		dst = append(dst, "NOT "...)
	}
	dst = append(dst, what...)
	return append(dst, ')')
}

func (e *IsNull) appendTo(dst []byte) []byte { return appendIs(dst, e.X, e.Not, "NULL") }

func (e *IsTruth) appendTo(dst []byte) []byte {
	return appendIs(dst, e.X, e.Not, strings.ToUpper(strconv.FormatBool(e.Want)))
}

func (e *In) appendTo(dst []byte) []byte {
	dst = append(dst, '(')
	dst = e.X.appendTo(dst)
	if e.Not {
		dst = append(dst, " NOT"...)
	}
	dst = append(dst, " IN "...)
	dst = appendList(dst, e.List)
	return append(dst, ')')
}

func (e *Case) appendTo(dst []byte) []byte {
	dst = append(dst, "CASE"...)
	for _, w := range e.Whens {
		dst = append(dst, " WHEN "...)
		dst = w.If.appendTo(dst)
		dst = append(dst, " THEN "...)
		dst = w.Then.appendTo(dst)
	}
	if e.Else != nil {
		dst = append(dst, " ELSE "...)
		dst = e.Else.appendTo(dst)
	}
	return append(dst, " END"...)
}

func (e *Coalesce) appendTo(dst []byte) []byte {
	return appendList(append(dst, "coalesce"...), e.Args)
}

func (e *Cast) appendTo(dst []byte) []byte {
	if e.Try {
		dst = append(dst, "TRY_CAST("...)
		dst = e.X.appendTo(dst)
		dst = append(dst, " AS "...)
		dst = append(dst, e.To.String()...)
		return append(dst, ')')
	}
	dst = e.X.appendTo(dst)
	dst = append(dst, "::"...)
	return append(dst, e.To.String()...)
}

func (e *GroupRef) appendTo(dst []byte) []byte { return e.X.appendTo(dst) }

func (e *AggRef) appendTo(dst []byte) []byte { return append(dst, e.A.String()...) }

// shown prints an expression for a sentence, cut to a readable length.
func shown(e Expr) string {
	return shorten(Replace(e, func(x Expr) Expr {
		if r, ok := x.(*Ref); ok {
			return &Col{r.Position, r.Name, r.T}
		}
		return nil
	}).String())
}

// shorten cuts text for a sentence.
func shorten(text string) string {
	if len(text) <= maxPrinted {
		return text
	}
	return strings.ToValidUTF8(text[:maxPrinted], "") + "…"
}
