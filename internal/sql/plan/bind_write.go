package plan

import (
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// BindInsert binds INSERT … VALUES and INSERT … SELECT.
func BindInsert(s *parse.Insert, sc Scope, o Options) (*Insert, error) {
	switch {
	case s.Complex != "":
		return nil, fault.At(fault.NotImplemented, s.Table.Offset, "%s is not supported yet", s.Complex)
	case s.Refused != "":
		return nil, fault.At(fault.NotImplemented, s.Table.Offset, "%s is not supported", s.Refused)
	case s.Conflict != nil:
		return nil, fault.At(fault.NotImplemented, s.Conflict.Offset, "ON CONFLICT is not supported yet")
	}
	t, err := sc.Table(s.Table)
	if err != nil {
		return nil, locate(err, s.Table.Offset)
	}
	b := newBinder(o)
	p := &Insert{Table: t}
	if p.Columns, err = targets(t, s.Columns); err != nil {
		return nil, err
	}
	switch {
	case s.Defaults:
		p.Columns, p.Rows = nil, [][]Expr{{}}
	case s.Select != nil:
		err = b.selected(p, s, sc)
	default:
		err = b.values(p, s)
	}
	if err != nil {
		return nil, err
	}
	if p.Returning, err = b.returning(t, "", s.Returning); err != nil {
		return nil, err
	}
	p.Params, p.Explicit = b.params, b.explicit
	if p.Query != nil {
		p.Query.Params, p.Query.Explicit = b.params, b.explicit
	}
	return p, nil
}

// targets are the positions that values are given for: those listed, else all
// columns of the user.
func targets(t *schema.Table, listed []parse.Name) ([]int, error) {
	var out []int
	if listed == nil {
		for i := range t.Columns {
			if t.Columns[i].System == schema.NotSystem {
				out = append(out, i)
			}
		}
		return out, nil
	}
	seen := make(map[int]bool, len(listed))
	for _, n := range listed {
		at, err := target(t, n)
		if err != nil {
			return nil, err
		}
		if seen[at] {
			return nil, fault.At(fault.Syntax, n.Offset, "column '%s' is given twice", n.Name)
		}
		seen[at] = true
		out = append(out, at)
	}
	return out, nil
}

// target finds a column that may be written.
func target(t *schema.Table, n parse.Name) (int, error) {
	at := t.Column(n.Name)
	switch {
	case at >= 0 && t.Columns[at].System != schema.NotSystem, n.Name == schema.UpdatedName && at < 0:
		return 0, fault.At(fault.InvalidOperation, n.Offset, "cannot write system column '%s'", n.Name)
	case at < 0:
		b := binder{table: t}
		return 0, b.noColumn(n.Name, n.Offset)
	}
	return at, nil
}

// values binds the rows of VALUES, all of one length.
func (b *binder) values(p *Insert, s *parse.Insert) error {
	b.clause = "VALUES"
	for i, row := range s.Values {
		switch n := len(row); {
		case n > len(p.Columns):
			return fault.At(fault.Syntax, row[len(p.Columns)].Pos(), "INSERT has more values (%d) than columns (%d)", n, len(p.Columns))
		case n != len(s.Values[0]):
			return fault.At(fault.Syntax, row[0].Pos(), "the rows of VALUES differ in length: row %d has %d values, row 1 has %d", i+1, n, len(s.Values[0]))
		case n < len(p.Columns) && s.Columns != nil:
			return fault.At(fault.Syntax, s.Columns[n].Offset, "INSERT has more columns (%d) than values (%d)", len(p.Columns), n)
		}
		cells, err := b.cells(row)
		if err != nil {
			return err
		}
		p.Rows = append(p.Rows, cells)
	}
	if len(p.Rows) == 0 {
		return fault.At(fault.Syntax, s.Table.Offset, "INSERT has no values")
	}
	p.Columns = p.Columns[:len(p.Rows[0])]
	return nil
}

// cells binds one row; DEFAULT is nil.
func (b *binder) cells(row []parse.Expr) ([]Expr, error) {
	cells := make([]Expr, len(row))
	for i, e := range row {
		if _, ok := e.(*parse.Default); ok {
			continue
		}
		x, err := b.expr(e)
		if err != nil {
			return nil, err
		}
		cells[i] = b.place(x)
	}
	return cells, nil
}

// selected binds the SELECT of an INSERT.
func (b *binder) selected(p *Insert, s *parse.Insert, sc Scope) error {
	q, err := b.selectFrom(s.Select, sc)
	if err != nil {
		return err
	}
	switch n := len(q.Outputs); {
	case n > len(p.Columns):
		return fault.At(fault.Syntax, s.Select.Offset, "INSERT selects more values (%d) than it has columns (%d)", n, len(p.Columns))
	case n < len(p.Columns) && s.Columns != nil:
		return fault.At(fault.Syntax, s.Columns[n].Offset, "INSERT has more columns (%d) than it selects values (%d)", len(p.Columns), n)
	}
	p.Query = q
	p.Columns = p.Columns[:len(q.Outputs)]
	b.table, b.alias, b.aggregates = nil, "", nil
	return nil
}

// returning binds the outputs of RETURNING over the rows of a table.
func (b *binder) returning(t *schema.Table, alias string, list []parse.Output) ([]Output, error) {
	if len(list) == 0 {
		return nil, nil
	}
	b.table, b.alias = t, alias
	q := &Query{Table: t}
	if _, err := b.outputs(q, list); err != nil {
		return nil, err
	}
	return q.Outputs, nil
}

// BindUpdate binds UPDATE … SET … WHERE.
func BindUpdate(s *parse.Update, sc Scope, o Options) (*Update, error) {
	switch {
	case s.Complex != "":
		return nil, fault.At(fault.NotImplemented, s.Table.Offset, "%s is not supported yet", s.Complex)
	case s.Refused != "":
		return nil, fault.At(fault.NotImplemented, s.Table.Offset, "%s is not supported", s.Refused)
	case s.Where == nil:
		return nil, fault.New(fault.InvalidOperation, "UPDATE requires a WHERE clause")
	}
	t, err := sc.Table(s.Table)
	if err != nil {
		return nil, locate(err, s.Table.Offset)
	}
	b := newBinder(o)
	b.table, b.alias = t, s.Alias
	p := &Update{Query: Query{Table: t}}
	if p.Set, err = b.assignments(t, s.Set); err != nil {
		return nil, err
	}
	if err := b.finds(&p.Query, s.Where); err != nil {
		return nil, err
	}
	if p.Returning, err = b.returning(t, s.Alias, s.Returning); err != nil {
		return nil, err
	}
	p.Params, p.Explicit = b.params, b.explicit
	return p, nil
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
	case s.Complex != "":
		return nil, fault.At(fault.NotImplemented, s.Table.Offset, "%s is not supported yet", s.Complex)
	case s.Refused != "":
		return nil, fault.At(fault.NotImplemented, s.Table.Offset, "%s is not supported", s.Refused)
	case s.Where == nil:
		return nil, fault.New(fault.InvalidOperation, "DELETE requires a WHERE clause")
	}
	t, err := sc.Table(s.Table)
	if err != nil {
		return nil, locate(err, s.Table.Offset)
	}
	b := newBinder(o)
	b.table, b.alias = t, s.Alias
	p := &Delete{Query: Query{Table: t}}
	if err := b.finds(&p.Query, s.Where); err != nil {
		return nil, err
	}
	if p.Returning, err = b.returning(t, s.Alias, s.Returning); err != nil {
		return nil, err
	}
	p.Params, p.Explicit = b.params, b.explicit
	return p, nil
}
