package parse

import (
	"fmt"
	"reflect"
	"strings"

	"kalamdb/internal/datum"
)

// Print returns a statement as an indented tree, for tests and people. A
// literal that is an automatic parameter is followed by # and its slot.
func Print(st Statement) string {
	p := printer{slots: true}
	p.statement(st)
	return p.String()
}

// PrintExpr returns an expression in one line.
func PrintExpr(x Expr) string {
	p := printer{slots: true}
	p.expr(x)
	return p.String()
}

// printer writes trees.
type printer struct {
	strings.Builder
	slots  bool // show the slots of literals
	masked bool // hide the values of literals with a slot
	indent int
}

// line begins a line.
func (p *printer) line(format string, args ...any) {
	if p.Len() > 0 {
		p.WriteByte('\n')
	}
	p.WriteString(strings.Repeat("  ", p.indent))
	fmt.Fprintf(p, format, args...)
}

// statement writes a statement.
func (p *printer) statement(st Statement) {
	switch s := st.(type) {
	case nil:
		p.line("nothing")
	case *Select:
		p.selectTree(s)
	case *Insert:
		p.insert(s)
	case *Update:
		p.update(s)
	case *Delete:
		p.delete(s)
	case *Explain:
		p.line("Explain")
		if s.Analyze {
			p.WriteString(" analyze")
		}
		p.indent++
		p.statement(s.Inner)
		p.indent--
	case *CreateTable:
		p.createTable(s)
	default:
		v := reflect.ValueOf(st).Elem()
		p.line("%s", v.Type().Name())
		p.fields(v)
	}
}

// fields writes the fields of a statement that are not zero.
func (p *printer) fields(v reflect.Value) {
	for i := range v.NumField() {
		f := v.Field(i)
		if f.IsZero() {
			continue
		}
		name := v.Type().Field(i).Name
		switch x := f.Interface().(type) {
		case Name:
			fmt.Fprintf(p, " %s=%s", name, nameText(x))
		case *Name:
			fmt.Fprintf(p, " %s=%s", name, nameText(*x))
		case string:
			fmt.Fprintf(p, " %s=%q", name, x)
		case *string:
			fmt.Fprintf(p, " %s=%q", name, *x)
		case bool:
			fmt.Fprintf(p, " %s", name)
		case []Option:
			p.options(name, x)
		default:
			fmt.Fprintf(p, " %s=%v", name, x)
		}
	}
}

func (p *printer) options(label string, options []Option) {
	p.indent++
	for _, o := range options {
		switch {
		case o.Null:
			p.line("%s %s = NULL", label, o.Name)
		case o.Quoted:
			p.line("%s %s = %q", label, o.Name, o.Value)
		default:
			p.line("%s %s = %s", label, o.Name, o.Value)
		}
	}
	p.indent--
}

func nameText(n Name) string {
	if n.Namespace != "" {
		return n.Namespace + "." + n.Name
	}
	return n.Name
}

func namesText(names []Name) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = nameText(n)
	}
	return strings.Join(parts, ", ")
}

func (p *printer) createTable(s *CreateTable) {
	p.line("CreateTable %s", nameText(s.Table))
	if s.Kind != "" {
		fmt.Fprintf(p, " kind=%s", s.Kind)
	}
	if s.IfNotExists {
		p.WriteString(" if not exists")
	}
	if s.Unsupported != "" {
		fmt.Fprintf(p, " unsupported=%q", s.Unsupported)
	}
	p.indent++
	for _, c := range s.Columns {
		p.line("column %s %s", nameText(c.Name), c.Type)
		for _, flag := range []struct {
			on   bool
			text string
		}{{c.NotNull, "not null"}, {c.Null, "null"}, {c.Serial, "serial"}} {
			if flag.on {
				p.WriteString(" " + flag.text)
			}
		}
		if c.Default != nil {
			fmt.Fprintf(p, " default %q ", c.DefaultText)
			p.expr(c.Default)
		}
		if c.Unsupported != "" {
			fmt.Fprintf(p, " unsupported=%q", c.Unsupported)
		}
	}
	for _, key := range s.Keys {
		p.line("key %s", namesText(key))
	}
	p.indent--
	p.options("option", s.Options)
}

func (p *printer) selectTree(s *Select) {
	p.line("Select")
	if s.Distinct {
		p.WriteString(" distinct")
	}
	if s.Complex != "" {
		fmt.Fprintf(p, " complex=%q", s.Complex)
	}
	p.indent++
	p.list("distinct on", s.DistinctOn)
	p.outputs("output", s.Outputs)
	if s.From != nil {
		p.line("from %s", nameText(*s.From))
		if s.Alias != "" {
			p.WriteString(" as " + s.Alias)
		}
	}
	p.clause("where", s.Where)
	p.list("group by", s.GroupBy)
	p.clause("having", s.Having)
	for _, o := range s.OrderBy {
		p.line("order by ")
		p.order(o)
	}
	p.clause("limit", s.LimitCount)
	p.clause("offset", s.LimitStart)
	p.tables(s.From, s.Tables)
	p.indent--
}

func (p *printer) insert(s *Insert) {
	p.head("Insert", s.Table, s.Alias, s.Complex)
	if s.Defaults {
		p.WriteString(" default values")
	}
	if s.Conflict != "" {
		fmt.Fprintf(p, " conflict=%q", s.Conflict)
	}
	p.indent++
	if s.Columns != nil {
		p.line("columns %s", namesText(s.Columns))
	}
	for _, row := range s.Values {
		p.list("row", row)
	}
	if s.Select != nil {
		p.selectTree(s.Select)
	}
	p.outputs("returning", s.Returning)
	p.tables(&s.Table, s.Tables)
	p.indent--
}

func (p *printer) update(s *Update) {
	p.head("Update", s.Table, s.Alias, s.Complex)
	if s.From {
		p.WriteString(" from")
	}
	p.indent++
	for _, a := range s.Set {
		p.line("set %s = ", a.Column.Name)
		p.expr(a.X)
	}
	p.clause("where", s.Where)
	p.outputs("returning", s.Returning)
	p.tables(&s.Table, s.Tables)
	p.indent--
}

func (p *printer) delete(s *Delete) {
	p.head("Delete", s.Table, s.Alias, s.Complex)
	if s.Using {
		p.WriteString(" using")
	}
	p.indent++
	p.clause("where", s.Where)
	p.outputs("returning", s.Returning)
	p.tables(&s.Table, s.Tables)
	p.indent--
}

func (p *printer) head(kind string, table Name, alias, complex string) {
	p.line("%s %s", kind, nameText(table))
	if alias != "" {
		p.WriteString(" as " + alias)
	}
	if complex != "" {
		fmt.Fprintf(p, " complex=%q", complex)
	}
}

func (p *printer) clause(label string, x Expr) {
	if x != nil {
		p.line("%s ", label)
		p.expr(x)
	}
}

func (p *printer) list(label string, list []Expr) {
	if len(list) > 0 {
		p.line("%s ", label)
		p.exprs(list)
	}
}

func (p *printer) outputs(label string, outputs []Output) {
	for _, o := range outputs {
		p.line("%s ", label)
		p.expr(o.X)
		if o.Alias != "" {
			fmt.Fprintf(p, " as %q", o.Alias)
		}
	}
}

// tables writes the tables of a statement when they are more than its own.
func (p *printer) tables(own *Name, tables []Name) {
	if len(tables) > 0 && (len(tables) > 1 || own == nil || tables[0] != *own) {
		p.line("tables %s", namesText(tables))
	}
}

// literal writes the value of a literal and its type where the value does not
// show it.
func (p *printer) literal(l *Literal) {
	switch {
	case l.Slot >= 0 && p.masked:
		fmt.Fprintf(p, "?%s", l.Value.Type())
		return
	case l.Untyped:
		p.WriteString("'" + strings.ReplaceAll(l.Value.Text(), "'", "''") + "'")
	case l.Value.IsNull():
		p.WriteString("null")
	default:
		p.WriteString(l.Value.String())
		if k := l.Value.Kind(); k != datum.Int && k != datum.Bool {
			p.WriteString(":" + k.String())
		}
	}
	if l.Slot >= 0 && p.slots {
		fmt.Fprintf(p, "#%d", l.Slot)
	}
}
