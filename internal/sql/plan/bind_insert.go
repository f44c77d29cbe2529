package plan

import (
	"slices"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// BindInsert binds INSERT … VALUES and INSERT … SELECT.
func BindInsert(s *parse.Insert, sc Scope, o Options) (*Insert, error) {
	if s.Refused != "" {
		return nil, fault.At(fault.NotImplemented, s.Table.Offset, "%s is not supported", s.Refused)
	}
	t, err := targetTable(s.Table, sc)
	if err != nil {
		return nil, err
	}
	p := &Insert{Table: t}
	if p.Columns, err = targets(t, s.Columns); err != nil {
		return nil, err
	}
	if s, err = overridden(s, t, p.Columns); err != nil {
		return nil, err
	}
	b := newBinder(o)
	if err = b.insertRows(p, s, sc); NeedsTree(err) {
		p.Rows, p.Query = nil, nil
		b = newBinder(o)
		err = b.insertSource(p, s, sc)
	}
	if err != nil {
		return nil, err
	}
	if err := p.refuseIdentity(s); err != nil {
		return nil, err
	}
	if s.Conflict != nil {
		if p.Conflict, err = b.conflict(t, s, sc); err != nil {
			return nil, err
		}
	}
	g := giving{table: t, list: s.Returning, with: s.With, recursive: s.Recursive, written: true}
	if p.Returning, p.Given, err = b.returning(sc, g, s.Alias); err != nil {
		return nil, err
	}
	p.Params, p.Explicit = b.params, b.explicit
	p.Given.parameters(b, s.Complex)
	if p.Conflict != nil {
		p.Conflict.Given.parameters(b, s.Complex)
	}
	switch {
	case p.Query != nil:
		p.Query.Params, p.Query.Explicit = b.params, b.explicit
	case p.Source != nil:
		p.Source.Params, p.Source.Explicit = b.params, b.explicit
	}
	return p, nil
}

// targetTable finds a table that rows are written to.
func targetTable(n parse.Name, sc Scope) (*schema.Table, error) {
	if v, ok := sc.View(n); ok {
		return nil, fault.At(fault.InvalidOperation, n.Offset, "'%s' is a view, whose rows cannot be written; write to its tables", v.QualifiedName())
	}
	t, err := sc.Table(n)
	return t, locate(err, n.Offset)
}

// insertRows binds what is inserted where the row path can give it.
func (b *binder) insertRows(p *Insert, s *parse.Insert, sc Scope) error {
	switch {
	case s.Defaults:
		p.Columns, p.Rows = nil, [][]Expr{{}}
		return nil
	case len(s.With) > 0:
		return beyondRows("WITH", s.With[0].Offset)
	case s.Select != nil:
		return b.selected(p, s, sc)
	}
	return b.values(p, s)
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
		if err := p.checkRow(s, i); err != nil {
			return err
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

// checkRow compares the length of a row of VALUES with the columns.
func (p *Insert) checkRow(s *parse.Insert, i int) error {
	row := s.Values[i]
	switch n := len(row); {
	case n > len(p.Columns):
		return fault.At(fault.Syntax, row[len(p.Columns)].Pos(), "INSERT has more values (%d) than columns (%d)", n, len(p.Columns))
	case n != len(s.Values[0]):
		return fault.At(fault.Syntax, row[0].Pos(), "the rows of VALUES differ in length: row %d has %d values, row 1 has %d", i+1, n, len(s.Values[0]))
	case n < len(p.Columns) && s.Columns != nil:
		return fault.At(fault.Syntax, s.Columns[n].Offset, "INSERT has more columns (%d) than values (%d)", len(p.Columns), n)
	}
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
	if err := p.checkOutputs(s, len(q.Outputs)); err != nil {
		return err
	}
	p.Query = q
	b.table, b.alias, b.aggregates = nil, "", nil
	return nil
}

// checkOutputs compares what a SELECT gives with the columns.
func (p *Insert) checkOutputs(s *parse.Insert, n int) error {
	switch {
	case n > len(p.Columns):
		return fault.At(fault.Syntax, s.Select.Offset, "INSERT selects more values (%d) than it has columns (%d)", n, len(p.Columns))
	case n < len(p.Columns) && s.Columns != nil:
		return fault.At(fault.Syntax, s.Columns[n].Offset, "INSERT has more columns (%d) than it selects values (%d)", len(p.Columns), n)
	}
	p.Columns = p.Columns[:n]
	return nil
}

// insertSource binds what is inserted as a tree.
func (b *binder) insertSource(p *Insert, s *parse.Insert, sc Scope) (err error) {
	p.Source, err = b.treeOf(sc, s.With, s.Recursive, func() (*rows, error) {
		if s.Select == nil {
			return b.valuesSource(p, s)
		}
		r, err := b.query(s.Select, nil, true)
		if err != nil {
			return nil, err
		}
		return r, p.checkOutputs(s, len(r.columns))
	})
	if err == nil {
		p.Source.Reason = orElse(s.Complex, "a subquery")
	}
	return err
}

// treeOf makes the source of a statement that writes; body sees the queries of
// WITH.
func (b *binder) treeOf(sc Scope, with []parse.CTE, recursive bool, body func() (*rows, error)) (*Analytic, error) {
	b.tree = &tree{scope: sc}
	defer func() { b.tree = nil }()
	defer b.enter()()
	b.from, b.extra = &frame{}, &extra{}
	own, err := b.withQueries(with, recursive)
	if err != nil {
		return nil, err
	}
	r, err := body()
	if err != nil {
		return nil, err
	}
	r.node = around(own, r.node)
	return b.finish(r), nil
}

// valuesSource binds VALUES with subqueries. A column that is DEFAULT in some
// rows has another one behind all that says in which.
func (b *binder) valuesSource(p *Insert, s *parse.Insert) (*rows, error) {
	for i := range s.Values {
		if err := p.checkRow(s, i); err != nil {
			return nil, err
		}
	}
	given := &parse.Select{Offset: s.Table.Offset, Values: make([][]parse.Expr, len(s.Values))}
	var columns, mixed []int
	targeted := p.Columns
	for at := range s.Values[0] {
		if isDefault(s.Values[0][at]) && !slices.ContainsFunc(s.Values, func(row []parse.Expr) bool { return !isDefault(row[at]) }) {
			continue
		}
		if i := slices.IndexFunc(s.Values, func(row []parse.Expr) bool { return isDefault(row[at]) }); i >= 0 {
			mixed = append(mixed, len(columns))
		}
		columns = append(columns, p.Columns[at])
		for i, row := range s.Values {
			x := row[at]
			if isDefault(x) {
				x = &parse.Literal{Slot: -1}
			}
			given.Values[i] = append(given.Values[i], x)
		}
	}
	p.Columns = columns
	for _, i := range mixed {
		p.Defaults = append(p.Defaults, i)
		at := slices.Index(targeted, columns[i])
		for n, row := range s.Values {
			given.Values[n] = append(given.Values[n], &parse.Literal{Slot: -1, Value: datum.NewBool(isDefault(row[at]))})
		}
	}
	return b.query(given, nil, true)
}

func isDefault(e parse.Expr) bool {
	_, ok := e.(*parse.Default)
	return ok
}

// conflict binds ON CONFLICT.
func (b *binder) conflict(t *schema.Table, s *parse.Insert, sc Scope) (*Conflict, error) {
	e := s.Conflict
	var keys []string
	for _, p := range t.KeyPositions() {
		keys = append(keys, t.Columns[p].Name)
	}
	switch {
	case t.Kind == schema.Stream:
		return nil, fault.At(fault.InvalidOperation, e.Offset, "ON CONFLICT is not supported for STREAM tables, whose keys may repeat")
	case e.Target == nil && e.Set != nil && e.Constraint == "":
		return nil, fault.At(fault.Syntax, e.Offset, "ON CONFLICT requires a primary key conflict target")
	}
	out := &Conflict{Nothing: e.Set == nil}
	if e.Constraint != "" {
		if out.Target = constraintColumns(t, e.Constraint); out.Target == nil {
			return nil, fault.At(fault.InvalidOperation, e.Offset, "table '%s' has no primary key or unique index with the name '%s'", t.QualifiedName(), e.Constraint)
		}
	}
	for _, n := range e.Target {
		at := t.Column(n.Name)
		if at < 0 {
			return nil, (&binder{table: t}).noColumn(n.Name, n.Offset)
		}
		if !slices.Contains(out.Target, at) {
			out.Target = append(out.Target, at)
		}
	}
	if e.Target != nil {
		if out.Target = arbiter(t, out.Target); out.Target == nil {
			return nil, fault.At(fault.InvalidOperation, e.Offset, "ON CONFLICT only supports the primary key conflict target (%s)%s", strings.Join(keys, ", "), uniqueHint(t))
		}
	}
	if err := b.targetWhere(t, s); err != nil || out.Nothing {
		return out, err
	}
	err := b.conflictUpdate(out, t, s)
	if NeedsTree(err) {
		out.Set, out.Where = nil, nil
		err = b.conflictGiven(out, t, s, sc)
	}
	return out, err
}

// arbiter returns the columns of the key, or else of the unique index, that has
// just the given ones, in its order.
func arbiter(t *schema.Table, columns []int) []int {
	same := func(of []int) bool {
		return len(of) == len(columns) && !slices.ContainsFunc(of, func(p int) bool { return !slices.Contains(columns, p) })
	}
	if key := t.KeyPositions(); len(key) > 0 && same(key) {
		return key
	}
	for i := range t.Indexes {
		if x := &t.Indexes[i]; x.Unique && !x.Building && same(t.IndexPositions(x)) {
			return t.IndexPositions(x)
		}
	}
	return nil
}

// targetWhere checks the WHERE behind a conflict target. It chooses among partial
// indexes, of which there are none: whatever it says, an index of all rows will do.
func (b *binder) targetWhere(t *schema.Table, s *parse.Insert) error {
	where := s.Conflict.TargetWhere
	if where == nil {
		return nil
	}
	defer b.enter()()
	i := overColumns(t, s.Alias, 0)
	b.from = &frame{relation: relation{items: []*item{i}, columns: i.columns}}
	_, err := b.condition(where, "ON CONFLICT … WHERE")
	if NeedsTree(err) {
		return fault.At(fault.Syntax, where.Pos(), "a subquery cannot stand in the WHERE behind a conflict target")
	}
	return err
}

// constraintColumns returns the columns of the key or unique index of a name,
// nil for none. The key is called as PostgreSQL calls it.
func constraintColumns(t *schema.Table, name string) []int {
	if at := t.Index(name); at >= 0 {
		if x := &t.Indexes[at]; x.Unique && !x.Building {
			return t.IndexPositions(x)
		}
		return nil
	}
	if name == t.Name+"_pkey" {
		return t.KeyPositions()
	}
	return nil
}

// uniqueHint says that unique indexes can be a target too, if there is one.
func uniqueHint(t *schema.Table) string {
	for i := range t.Indexes {
		if t.Indexes[i].Unique {
			return " or the columns of a unique index"
		}
	}
	return ""
}

// conflictUpdate binds DO UPDATE over the row that is there and EXCLUDED.
func (b *binder) conflictUpdate(out *Conflict, t *schema.Table, s *parse.Insert) (err error) {
	defer b.enter()()
	is := overColumns(t, s.Alias, 0)
	new := overColumns(t, "excluded", len(t.Columns))
	new.table = nil
	b.from = &frame{relation: relation{items: []*item{is, new}, columns: is.columns}}
	if out.Set, err = b.assignments(t, s.Conflict.Set); err != nil || s.Conflict.Where == nil {
		return err
	}
	x, err := b.condition(s.Conflict.Where, "ON CONFLICT DO UPDATE … WHERE")
	if err != nil {
		return err
	}
	if c, ok := x.(*Const); !ok || c.Value.IsNull() || !c.Value.Bool() {
		out.Where = b.place(x)
	}
	return nil
}

// overColumns makes an item of the columns of a table, which stand in a row from
// a position on.
func overColumns(t *schema.Table, alias string, from int) *item {
	i := &item{namespace: t.Namespace, name: t.Name, table: t}
	if alias != "" {
		i.namespace, i.name = "", alias
	}
	for n := range t.Columns {
		c := &t.Columns[n]
		i.columns = append(i.columns, named{c.Name, &Col{from + n, c.Name, c.Type}})
	}
	if from > 0 {
		for n := range i.columns {
			i.columns[n].x.(*Col).Name = alias + "." + i.columns[n].name
		}
	}
	return i
}
