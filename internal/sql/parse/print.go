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
	case *AlterTable:
		p.alterTable(s)
	case *CreateView:
		p.createView(s)
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
		if v.Type().Field(i).Anonymous && f.Kind() == reflect.Struct {
			p.fields(f)
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
		case []Name:
			fmt.Fprintf(p, " %s=%s", name, namesText(x))
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
