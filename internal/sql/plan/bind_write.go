package plan

import (
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// returning binds the outputs of RETURNING over the rows of a table.
func (b *binder) returning(sc Scope, g giving, alias string) ([]Output, *Given, error) {
	if len(g.list) == 0 {
		return nil, nil, nil
	}
	t := g.table
	b.table, b.alias = t, alias
	q := &Query{Table: t}
	_, err := b.outputs(q, g.list)
	if !NeedsTree(err) {
		return q.Outputs, nil, err
	}
	g.columns = t.Columns
	g.scope = func(scan *Scan) relation {
		i := itemOf(t, alias, scan, 0)
		return relation{node: scan, items: []*item{i}, columns: i.columns, rels: []int{scan.Rel}}
	}
	return b.returningGiven(sc, g)
}

// BindUpdate binds UPDATE … SET … WHERE.
func BindUpdate(s *parse.Update, sc Scope, o Options) (*Update, error) {
	switch {
	case s.Refused != "":
		return nil, fault.At(fault.NotImplemented, s.Table.Offset, "%s is not supported", s.Refused)
	case s.Where == nil:
		return nil, fault.New(fault.InvalidOperation, "UPDATE requires a WHERE clause")
	}
	t, err := targetTable(s.Table, sc)
	if err != nil {
		return nil, err
	}
	p := &Update{Query: Query{Table: t}}
	b := newBinder(o)
	if len(s.With) > 0 || len(s.From) > 0 {
		err = beyondRows(s.Complex, s.Table.Offset)
	} else {
		err = b.update(p, s, sc)
	}
	if NeedsTree(err) {
		b = newBinder(o)
		*p = Update{Query: Query{Table: t}}
		err = b.updateSource(p, s, sc)
	}
	if err != nil {
		return nil, err
	}
	p.Params, p.Explicit = b.params, b.explicit
	p.Given.parameters(b, s.Complex)
	if p.Source != nil {
		p.Source.Params, p.Source.Explicit, p.Source.Reason = b.params, b.explicit, s.Complex
	}
	return p, nil
}

// update binds an UPDATE of the row path.
func (b *binder) update(p *Update, s *parse.Update, sc Scope) (err error) {
	b.table, b.alias = p.Table, s.Alias
	if p.Set, err = b.assignments(p.Table, s.Set); err != nil {
		return err
	}
	if err := b.finds(&p.Query, s.Where); err != nil {
		return err
	}
	p.Returning, p.Given, err = b.returning(sc, giving{table: p.Table, list: s.Returning, written: true}, s.Alias)
	return err
}

func (b *binder) assignments(t *schema.Table, set []parse.Assignment) ([]Assignment, error) {
	b.clause = "SET"
	out := make([]Assignment, 0, len(set))
	seen := make(map[int]bool, len(set))
	for _, s := range set {
		at, err := target(t, s.Column)
		switch {
		case err != nil:
			return nil, err
		case t.IsKey(at):
			return nil, fault.At(fault.InvalidOperation, s.Column.Offset, "UPDATE cannot modify primary key column '%s'", s.Column.Name)
		case t.Columns[at].Identity == schema.IdentityAlways && !isDefault(s.X):
			return nil, fault.At(fault.GeneratedAlways, s.Column.Offset, "column '%s' can only be updated to DEFAULT: it is GENERATED ALWAYS", s.Column.Name)
		case seen[at]:
			return nil, fault.At(fault.Syntax, s.Column.Offset, "column '%s' is given twice", s.Column.Name)
		}
		seen[at] = true
		cells, err := b.cells([]parse.Expr{s.X})
		if err != nil {
			return nil, err
		}
		out = append(out, Assignment{at, cells[0]})
	}
	return out, nil
}

// finds binds the WHERE clause of a statement that changes rows. It never sees
// tombstones, and its rows come in key order, so that it meets them in the same
// order wherever they are stored.
func (b *binder) finds(q *Query, where parse.Expr) error {
	if err := b.where(q, where); err != nil {
		return err
	}
	q.Access.Deleted = false
	for i := range q.Table.Columns {
		c := b.columnAt(i)
		q.Outputs = append(q.Outputs, Output{Name: c.Name, X: c, Type: c.T, Column: i})
	}
	q.Star = true
	b.order(q)
	return nil
}

// BindDelete binds DELETE … WHERE.
func BindDelete(s *parse.Delete, sc Scope, o Options) (*Delete, error) {
	switch {
	case s.Refused != "":
		return nil, fault.At(fault.NotImplemented, s.Table.Offset, "%s is not supported", s.Refused)
	case s.Where == nil:
		return nil, fault.New(fault.InvalidOperation, "DELETE requires a WHERE clause")
	}
	t, err := targetTable(s.Table, sc)
	if err != nil {
		return nil, err
	}
	p := &Delete{Query: Query{Table: t}}
	b := newBinder(o)
	if len(s.With) > 0 || len(s.Using) > 0 {
		err = beyondRows(s.Complex, s.Table.Offset)
	} else {
		err = b.delete(p, s, sc)
	}
	if NeedsTree(err) {
		b = newBinder(o)
		*p = Delete{Query: Query{Table: t}}
		err = b.deleteSource(p, s, sc)
	}
	if err != nil {
		return nil, err
	}
	p.Params, p.Explicit = b.params, b.explicit
	p.Given.parameters(b, s.Complex)
	if p.Source != nil {
		p.Source.Params, p.Source.Explicit, p.Source.Reason = b.params, b.explicit, s.Complex
	}
	return p, nil
}

// delete binds a DELETE of the row path.
func (b *binder) delete(p *Delete, s *parse.Delete, sc Scope) (err error) {
	b.table, b.alias = p.Table, s.Alias
	if err := b.finds(&p.Query, s.Where); err != nil {
		return err
	}
	p.Returning, p.Given, err = b.returning(sc, giving{table: p.Table, list: s.Returning}, s.Alias)
	return err
}
