package parse

import (
	"fmt"
	"strings"
)

func (p *printer) selectTree(s *Select) {
	switch {
	case s.Set != nil:
		p.line("%s", strings.ToUpper(s.Set.Op[:1])+s.Set.Op[1:])
		if s.Set.All {
			p.WriteString(" all")
		}
	case s.Values != nil:
		p.line("Values")
	default:
		p.line("Select")
	}
	if s.Distinct {
		p.WriteString(" distinct")
	}
	p.limits(s.Complex, s.Refused)
	p.indent++
	p.with(s.With, s.Recursive)
	if s.Set != nil {
		p.selectTree(s.Set.L)
		p.selectTree(s.Set.R)
	}
	for _, row := range s.Values {
		p.list("row", row)
	}
	p.body(s)
	p.orders("order by", s.OrderBy)
	p.clause("limit", s.LimitCount)
	p.clause("offset", s.LimitStart)
	p.tables(s.From, s.Tables)
	p.indent--
}

// body writes SELECT … WINDOW.
func (p *printer) body(s *Select) {
	p.list("distinct on", s.DistinctOn)
	p.outputs("output", s.Outputs)
	if s.From != nil {
		p.line("from %s", nameText(*s.From))
		if s.Alias != "" {
			p.WriteString(" as " + s.Alias)
		}
	}
	p.sources("from", s.Sources)
	p.clause("where", s.Where)
	p.list("group by", s.GroupBy)
	if s.GroupDistinct {
		p.line("group by distinct")
	}
	p.clause("having", s.Having)
	for i := range s.Windows {
		p.line("window %s ", s.Windows[i].Name)
		w := s.Windows[i]
		w.Name = w.Base
		p.window(&w)
	}
}

// limits writes what a query needs beside the row path.
func (p *printer) limits(complex, refused string) {
	if complex != "" {
		fmt.Fprintf(p, " complex=%q", complex)
	}
	if refused != "" {
		fmt.Fprintf(p, " refused=%q", refused)
	}
}

func (p *printer) with(queries []CTE, recursive bool) {
	for i := range queries {
		q := &queries[i]
		p.line("with ")
		if recursive {
			p.WriteString("recursive ")
		}
		p.WriteString(q.Name)
		if len(q.Columns) > 0 {
			p.WriteString("(" + strings.Join(q.Columns, ", ") + ")")
		}
		if q.Materialized != "" {
			p.WriteString(" " + q.Materialized)
		}
		p.indent++
		p.selectTree(q.Select)
		p.indent--
	}
}

func (p *printer) orders(label string, list []Order) {
	for _, o := range list {
		p.line("%s ", label)
		p.order(o)
	}
}

func (p *printer) sources(label string, list []TableExpr) {
	for _, t := range list {
		p.source(label, t)
	}
}

func (p *printer) source(label string, t TableExpr) {
	switch s := t.(type) {
	case *TableName:
		p.line("%s %s", label, nameText(s.Name))
		p.alias(s.Alias)
	case *Derived:
		p.line("%s", label)
		if s.Lateral {
			p.WriteString(" lateral")
		}
		p.WriteString(" query")
		p.alias(s.Alias)
		p.indent++
		p.selectTree(s.Select)
		p.indent--
	case *TableFunction:
		p.line("%s ", label)
		p.expr(s.Call)
		if s.Ordinality {
			p.WriteString(" with ordinality")
		}
		p.alias(s.Alias)
	case *Join:
		p.line("%s %s join", label, s.Kind)
		if s.Natural {
			p.WriteString(" natural")
		}
		if len(s.Using) > 0 {
			p.WriteString(" using " + namesText(s.Using))
		}
		p.alias(s.Alias)
		p.indent++
		p.source("left", s.L)
		p.source("right", s.R)
		p.clause("on", s.On)
		p.indent--
	}
}

func (p *printer) alias(a Alias) {
	if a.Name != "" {
		p.WriteString(" as " + a.Name)
	}
	if len(a.Columns) > 0 {
		p.WriteString("(" + strings.Join(a.Columns, ", ") + ")")
	}
}

// window writes a window in one line.
func (p *printer) window(w *Window) {
	p.WriteString("(window")
	if w.Name != "" {
		p.WriteString(" " + w.Name)
	}
	if len(w.Partition) > 0 {
		p.WriteString(" partition ")
		p.exprs(w.Partition)
	}
	for _, o := range w.OrderBy {
		p.WriteString(" order by ")
		p.order(o)
	}
	if f := w.Frame; f != nil {
		p.WriteString(" " + f.Mode)
		for _, b := range []FrameBound{f.Start, f.End} {
			p.WriteString(" " + b.Kind)
			if b.X != nil {
				p.WriteByte(' ')
				p.expr(b.X)
			}
		}
		if f.Exclude != "" {
			p.WriteString(" exclude " + f.Exclude)
		}
	}
	p.WriteByte(')')
}

func (p *printer) insert(s *Insert) {
	p.head("Insert", s.Table, s.Alias)
	if s.Defaults {
		p.WriteString(" default values")
	}
	p.limits(s.Complex, s.Refused)
	p.indent++
	p.with(s.With, s.Recursive)
	if s.Columns != nil {
		p.line("columns %s", namesText(s.Columns))
	}
	for _, row := range s.Values {
		p.list("row", row)
	}
	if s.Select != nil {
		p.selectTree(s.Select)
	}
	if s.Conflict != nil {
		p.conflict(s.Conflict)
	}
	p.outputs("returning", s.Returning)
	p.tables(&s.Table, s.Tables)
	p.indent--
}

func (p *printer) conflict(c *Conflict) {
	p.line("on conflict")
	if len(c.Target) > 0 {
		p.WriteString(" (" + namesText(c.Target) + ")")
	}
	if c.Constraint != "" {
		p.WriteString(" constraint " + c.Constraint)
	}
	p.indent++
	p.clause("target where", c.TargetWhere)
	p.assignments(c.Set)
	p.clause("where", c.Where)
	p.indent--
}

func (p *printer) assignments(set []Assignment) {
	for _, a := range set {
		p.line("set %s = ", a.Column.Name)
		p.expr(a.X)
	}
}

func (p *printer) update(s *Update) {
	p.head("Update", s.Table, s.Alias)
	p.limits(s.Complex, s.Refused)
	p.indent++
	p.with(s.With, s.Recursive)
	p.assignments(s.Set)
	p.sources("from", s.From)
	p.clause("where", s.Where)
	p.outputs("returning", s.Returning)
	p.tables(&s.Table, s.Tables)
	p.indent--
}

func (p *printer) delete(s *Delete) {
	p.head("Delete", s.Table, s.Alias)
	p.limits(s.Complex, s.Refused)
	p.indent++
	p.with(s.With, s.Recursive)
	p.sources("using", s.Using)
	p.clause("where", s.Where)
	p.outputs("returning", s.Returning)
	p.tables(&s.Table, s.Tables)
	p.indent--
}

func (p *printer) head(kind string, table Name, alias string) {
	p.line("%s %s", kind, nameText(table))
	if alias != "" {
		p.WriteString(" as " + alias)
	}
}
