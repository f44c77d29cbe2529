package parse

import "fmt"

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
	for i := range s.Columns {
		p.columnDef(&s.Columns[i])
	}
	for _, key := range s.Keys {
		p.line("key %s", namesText(key))
	}
	p.constraints(s.Checks, s.Foreign)
	p.uniques(s.Unique)
	p.indent--
	p.options("option", s.Options)
}

// uniques writes UNIQUE constraints.
func (p *printer) uniques(list []UniqueDef) {
	for _, u := range list {
		p.line("unique ")
		if u.Name.Name != "" {
			fmt.Fprintf(p, "%s ", u.Name.Name)
		}
		p.WriteString(namesText(u.Columns))
	}
}

// columnDef writes a column.
func (p *printer) columnDef(c *ColumnDef) {
	p.line("column %s %s", nameText(c.Name), c.Type)
	for _, flag := range []struct {
		on   bool
		text string
	}{{c.NotNull, "not null"}, {c.Null, "null"}, {c.Serial, "serial"}} {
		if flag.on {
			p.WriteString(" " + flag.text)
		}
	}
	if c.Identity != "" {
		fmt.Fprintf(p, " identity=%q", c.Identity)
	}
	if c.Default != nil {
		fmt.Fprintf(p, " default %q ", c.DefaultText)
		p.expr(c.Default)
	}
	if c.Unsupported != "" {
		fmt.Fprintf(p, " unsupported=%q", c.Unsupported)
	}
}

// constraints writes checks and foreign keys.
func (p *printer) constraints(checks []CheckDef, foreign []Name) {
	for _, c := range checks {
		p.line("check ")
		if c.Name.Name != "" {
			fmt.Fprintf(p, "%s ", c.Name.Name)
		}
		fmt.Fprintf(p, "%q ", c.Text)
		p.expr(c.X)
	}
	for _, n := range foreign {
		p.line("references %s", nameText(n))
	}
}

func (p *printer) alterTable(s *AlterTable) {
	p.line("AlterTable %s %s", nameText(s.Table), s.Action)
	if s.IfExists {
		p.WriteString(" if table exists")
	}
	if s.Column.Name != "" {
		fmt.Fprintf(p, " %s", s.Column.Name)
	}
	if s.NewName.Name != "" {
		fmt.Fprintf(p, " to %s", s.NewName.Name)
	}
	if s.Guard {
		p.WriteString(" guarded")
	}
	p.indent++
	if s.Definition != nil {
		p.columnDef(s.Definition)
	}
	p.constraints(s.Checks, s.Foreign)
	p.uniques(s.Unique)
	p.indent--
	p.options("option", s.Properties)
}

func (p *printer) createView(s *CreateView) {
	p.line("CreateView %s", nameText(s.View))
	if s.Replace {
		p.WriteString(" or replace")
	}
	if s.Columns != nil {
		fmt.Fprintf(p, " (%s)", namesText(s.Columns))
	}
	fmt.Fprintf(p, " %q", s.Text)
	p.indent++
	p.statement(s.Select)
	p.indent--
}
