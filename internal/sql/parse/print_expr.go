package parse

import (
	"fmt"
	"strings"
)

// expr writes an expression in brackets, the operator first.
func (p *printer) expr(x Expr) {
	switch e := x.(type) {
	case nil:
		p.WriteString("nothing")
	case *Literal:
		p.literal(e)
	case *Param:
		fmt.Fprintf(p, "$%d", e.Index)
	case *Column:
		p.WriteString(qualifier(e.Namespace) + qualifier(e.Table) + e.Name)
	case *Star:
		p.WriteString(qualifier(e.Table) + "*")
	case *Unary:
		p.node(e.Op, e.X)
	case *Binary:
		p.node(e.Op, e.L, e.R)
	case *Is:
		p.node("is"+not(e.Not)+" "+e.What, e.X)
	case *In:
		p.node("in"+not(e.Not), append([]Expr{e.X}, e.List...)...)
	case *Between:
		op := "between" + not(e.Not)
		if e.Symmetric {
			op += " symmetric"
		}
		p.node(op, e.X, e.Low, e.High)
	case *Like:
		p.like(e)
	case *Call:
		p.call(e)
	case *Case:
		p.caseOf(e)
	case *Cast:
		op := "cast"
		if e.Try {
			op = "try_cast"
		}
		to := e.To.String()
		if e.Canonical {
			to = "JSONB"
		}
		p.node(op+" "+to, e.X)
	case *Subquery:
		p.subquery(e)
	case *Default:
		p.WriteString("default")
	case *Unsupported:
		fmt.Fprintf(p, "(unsupported %q)", e.What)
	default:
		p.other(x)
	}
}

// other writes what reaches beyond one row and plain values.
func (p *printer) other(x Expr) {
	switch e := x.(type) {
	case *Row:
		p.node("row", e.Items...)
	case *Array:
		p.node("array", e.Items...)
	case *Subscript:
		if !e.Slice {
			p.node("subscript", e.X, e.Index)
			return
		}
		p.node("slice", e.X, e.Index, e.Upper)
	case *Field:
		p.node("field "+e.Name, e.X)
	case *Collate:
		p.node("collate "+e.Name, e.X)
	case *Quantified:
		quantor := " any"
		if e.All {
			quantor = " all"
		}
		p.node(e.Op+quantor, e.X, e.Y)
	case *GroupingSets:
		p.node(e.Kind, e.Items...)
	case *Grouping:
		p.node("grouping", e.Items...)
	case *ArrayCast:
		p.node("cast "+e.Element.String()+"[]", e.X)
	default:
		fmt.Fprintf(p, "(unknown %T)", x)
	}
}

func qualifier(name string) string {
	if name == "" {
		return ""
	}
	return name + "."
}

func not(n bool) string {
	if n {
		return " not"
	}
	return ""
}

func (p *printer) node(op string, operands ...Expr) {
	p.WriteString("(" + op)
	for _, x := range operands {
		p.WriteByte(' ')
		p.expr(x)
	}
	p.WriteByte(')')
}

func (p *printer) exprs(list []Expr) {
	for i, x := range list {
		if i > 0 {
			p.WriteString(", ")
		}
		p.expr(x)
	}
}

func (p *printer) like(e *Like) {
	op := "like"
	if e.Insensitive {
		op = "ilike"
	}
	if e.Escape != nil {
		p.node(op+not(e.Not), e.X, e.Pattern, e.Escape)
		return
	}
	p.node(op+not(e.Not), e.X, e.Pattern)
}

func (p *printer) call(e *Call) {
	p.WriteString(e.Name + "(")
	if e.Distinct {
		p.WriteString("distinct ")
	}
	if e.Star {
		p.WriteByte('*')
	}
	if e.Variadic {
		p.WriteString("variadic ")
	}
	p.exprs(e.Args)
	for _, o := range e.OrderBy {
		p.WriteString(" order by ")
		p.order(o)
	}
	p.WriteByte(')')
	for _, o := range e.Within {
		p.WriteString(" within order by ")
		p.order(o)
	}
	if e.Filter != nil {
		p.WriteString(" filter ")
		p.expr(e.Filter)
	}
	if e.Over != nil {
		p.WriteString(" over ")
		p.window(e.Over)
	}
}

func (p *printer) order(o Order) {
	p.expr(o.X)
	if o.Desc {
		p.WriteString(" desc")
	}
	if o.Nulls != "" {
		p.WriteString(" nulls " + o.Nulls)
	}
}

func (p *printer) caseOf(e *Case) {
	p.WriteString("(case")
	if e.Operand != nil {
		p.WriteByte(' ')
		p.expr(e.Operand)
	}
	for _, w := range e.Whens {
		p.WriteByte(' ')
		p.node("when", w.If, w.Then)
	}
	if e.Else != nil {
		p.WriteByte(' ')
		p.node("else", e.Else)
	}
	p.WriteByte(')')
}

func (p *printer) subquery(e *Subquery) {
	p.WriteString("(" + strings.TrimSpace("subquery "+e.Kind+" "+e.Op))
	if e.Item > 0 {
		fmt.Fprintf(p, " item %d", e.Item)
	}
	if e.X != nil {
		p.WriteByte(' ')
		p.expr(e.X)
	}
	p.indent += 2
	p.selectTree(e.Select)
	p.indent -= 2
	p.WriteByte(')')
}
