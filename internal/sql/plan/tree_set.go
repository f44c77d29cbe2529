package plan

import (
	"slices"
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

var setOperations = map[string]SetOperation{"union": Union, "intersect": Intersect, "except": Except}

// setQuery binds UNION, INTERSECT and EXCEPT.
func (b *binder) setQuery(s *parse.Select) (*rows, error) {
	if s.Set.Op != "union" {
		b.tree.noRecall++
	}
	l, r, err := b.operands(s.Set)
	if s.Set.Op != "union" {
		b.tree.noRecall--
	}
	if err != nil {
		return nil, err
	}
	set, err := b.setOf(s.Set, l, r, s.Offset)
	if err != nil {
		return nil, err
	}
	return b.overSet(set, l.stored || r.stored, s)
}

// operands binds the two queries of a set operation.
func (b *binder) operands(s *parse.SetOperation) (l, r *rows, err error) {
	if l, err = b.operand(s.L); err == nil {
		r, err = b.operand(s.R)
	}
	return l, r, err
}

// operand binds a query whose outputs may stay without a type.
func (b *binder) operand(s *parse.Select) (*rows, error) {
	b.tree.depth-- // a chain of them is bounded by what the grammar takes
	defer func() { b.tree.depth++ }()
	return b.queryWith(s, b.from.outer, false, s.Set == nil)
}

// setOf combines two bound queries.
func (b *binder) setOf(s *parse.SetOperation, l, r *rows, at int) (*SetOp, error) {
	op := strings.ToUpper(s.Op)
	if len(l.columns) != len(r.columns) {
		return nil, fault.At(fault.Syntax, at, "both sides of %s must have as many columns, but the left has %d and the right %d", op, len(l.columns), len(r.columns))
	}
	n := &SetOp{Rel: b.tree.next(), Op: setOperations[s.Op], All: s.All, Columns: make([]RelColumn, len(l.columns))}
	for i := range l.columns {
		tl, tr := l.columns[i].T, r.columns[i].T
		t, ok := datum.CommonType(tl, tr)
		if !ok {
			return nil, fault.At(fault.TypeMismatch, r.place(i, at), "column %d of %s cannot be both %s and %s", i+1, op, typeName(tl), typeName(tr))
		}
		if t.Kind == datum.Null {
			t = textType
		}
		if f := familyOf(t.Kind); (f == vectorFamily || f == noFamily) && !(s.All && s.Op == "union") {
			return nil, fault.At(fault.TypeMismatch, r.place(i, at), "%s does not take %s, which cannot be compared; UNION ALL does", op, typeName(t))
		}
		n.Columns[i] = RelColumn{l.columns[i].Name, t}
	}
	var err error
	if n.A, n.L, err = b.typed(l, n.Columns, at); err != nil {
		return nil, err
	}
	n.B, n.R, err = b.typed(r, n.Columns, at)
	return n, err
}

// typed gives the columns of a query other types.
func (b *binder) typed(r *rows, to []RelColumn, at int) (Node, []Ref, error) {
	cast := false
	for i := range r.columns {
		c := &r.columns[i]
		if c.T == to[i].Type {
			continue
		}
		if c.T.Kind != datum.Null || r.project == nil {
			cast = true
			continue
		}
		o := &r.project.Outputs[c.Position]
		x, err := b.coerce(o.X, to[i].Type, r.place(i, at))
		if err != nil {
			return nil, nil, err
		}
		o.X, o.Type, c.T = b.place(x), to[i].Type, to[i].Type
	}
	if !cast {
		return r.node, r.columns, nil
	}
	p := &Project{Rel: b.tree.next(), Input: r.node}
	columns := make([]Ref, len(r.columns))
	for i := range r.columns {
		c := r.columns[i]
		x, err := b.coerce(&c, to[i].Type, at)
		if err != nil {
			return nil, nil, err
		}
		p.Outputs = append(p.Outputs, Output{Name: c.Name, X: x, Type: to[i].Type, Column: -1})
		columns[i] = Ref{p.Rel, i, c.Name, to[i].Type}
	}
	return p, columns, nil
}

// overSet puts ORDER BY and LIMIT over a node with columns of its own.
func (b *binder) overSet(n *SetOp, stored bool, s *parse.Select) (*rows, error) {
	return b.overRel(n, n.Rel, n.Columns, stored, stored || n.Op != Union || !n.All, s)
}

// overRel does so for any such node; chance says that its rows come in no order.
func (b *binder) overRel(n Node, rel int, given []RelColumn, stored, chance bool, s *parse.Select) (*rows, error) {
	r := &rows{node: n, stored: stored, columns: make([]Ref, len(given))}
	q := &Query{Outputs: make([]Output, len(given))}
	for i, c := range given {
		r.columns[i] = Ref{rel, i, c.Name, c.Type}
		q.Outputs[i] = Output{Name: c.Name, X: &r.columns[i], Type: c.Type, Column: -1}
	}
	for _, o := range s.OrderBy {
		switch x := o.X.(type) {
		case *parse.Literal:
			continue
		case *parse.Column:
			if x.Table == "" && slices.ContainsFunc(given, func(c RelColumn) bool { return strings.EqualFold(c.Name, x.Name) }) {
				continue
			}
			return nil, fault.At(fault.ColumnNotFound, x.Offset, "column '%s' does not exist in the result; ORDER BY can only name its columns here", written(x))
		}
		return nil, fault.At(fault.NotImplemented, o.X.Pos(), "ORDER BY over UNION, INTERSECT, EXCEPT and VALUES can only name columns of the result; a subquery in FROM allows more")
	}
	b.outputTexts = make([]string, len(given))
	order, err := b.orderBy(q, s.OrderBy, "ORDER BY", s.Offset)
	if err != nil {
		return nil, err
	}
	r.sorted = len(order) > 0
	e := ending{}
	if b.extra.ordered && chance {
		for i := range r.columns {
			order = e.tie(&Project{Rel: rel}, order, &r.columns[i])
		}
	}
	r.node = sorted(n, order)
	if err := b.limits(q, s); err != nil {
		return nil, err
	}
	if q.Limit != nil || q.Offset != nil {
		r.node = &Slice{r.node, q.Limit, q.Offset}
	}
	return r, nil
}

// valuesQuery binds VALUES.
func (b *binder) valuesQuery(s *parse.Select) (*rows, error) {
	b.clause = "VALUES"
	n := &Values{Rel: b.tree.next(), Columns: make([]RelColumn, len(s.Values[0]))}
	if err := tooMany("VALUES", len(n.Columns), s.Offset); err != nil {
		return nil, err
	}
	for i, row := range s.Values {
		if len(row) != len(n.Columns) {
			return nil, fault.At(fault.Syntax, s.Offset, "the rows of VALUES differ in length: row %d has %d values, row 1 has %d", i+1, len(row), len(n.Columns))
		}
		cells, err := b.exprs(row)
		if err != nil {
			return nil, err
		}
		n.Rows = append(n.Rows, cells)
	}
	for i := range n.Columns {
		t, err := b.valuesColumn(n, s, i)
		if err != nil {
			return nil, err
		}
		n.Columns[i] = RelColumn{"column" + strconv.Itoa(i+1), t}
	}
	return b.overRel(n, n.Rel, n.Columns, false, false, s)
}

// valuesColumn gives the cells of a column their common type.
func (b *binder) valuesColumn(n *Values, s *parse.Select, column int) (datum.Type, error) {
	cells := make([]Expr, len(n.Rows))
	places := make([]int, len(n.Rows))
	for i, row := range n.Rows {
		cells[i], places[i] = row[column], s.Values[i][column].Pos()
	}
	t, err := b.unify(cells, places, "column "+strconv.Itoa(column+1)+" of VALUES")
	if err != nil {
		return t, err
	}
	if t.Kind == datum.Null {
		t = textType
	}
	for i := range cells {
		n.Rows[i][column] = b.place(b.settle(cells[i]))
	}
	return t, nil
}

// distinctOn binds DISTINCT ON: like ORDER BY, whose first expressions must be
// the same in some order.
func (b *binder) distinctOn(q *Query, s *parse.Select) error {
	if len(s.DistinctOn) == 0 {
		return nil
	}
	list := make([]parse.Order, len(s.DistinctOn))
	for i, e := range s.DistinctOn {
		list[i].X = e
	}
	items, err := b.orderBy(q, list, "DISTINCT ON", s.Offset)
	if err != nil {
		return err
	}
	for _, o := range items {
		b.extra.on = append(b.extra.on, o.X)
	}
	return nil
}

// checkOn refuses an order that DISTINCT ON does not lead.
func (b *binder) checkOn(order []OrderItem, s *parse.Select) error {
	wanted := map[string]bool{}
	for _, x := range b.extra.on {
		wanted[x.String()] = true
	}
	met := map[string]bool{}
	for i, o := range order {
		if len(met) == len(wanted) {
			return nil
		}
		text := o.X.String()
		if !wanted[text] {
			return fault.At(fault.Syntax, s.OrderBy[i].X.Pos(), "the expressions of SELECT DISTINCT ON must be the first ones of ORDER BY")
		}
		met[text] = true
	}
	return nil
}
