package plan

import (
	"slices"

	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// updateSource binds an UPDATE whose rows the analytic path finds.
func (b *binder) updateSource(p *Update, s *parse.Update, sc Scope) (err error) {
	t := writes{b: b, table: p.Table, alias: s.Alias, at: s.Table.Offset}
	p.Source, err = b.treeOf(sc, s.With, s.Recursive, func() (*rows, error) {
		if err := t.from(s.From); err != nil {
			return nil, err
		}
		if p.Set, err = b.assignments(p.Table, s.Set); err != nil {
			return nil, err
		}
		for i := range p.Set {
			if x := p.Set[i].X; x != nil {
				p.Set[i].X = t.output(b.place(b.settle(x)), p.Table.Columns[p.Set[i].Column].Name)
			}
		}
		p.Returning, p.Given, err = t.rows(s.Where, giving{table: p.Table, list: s.Returning, with: s.With, recursive: s.Recursive, written: true}, sc)
		return t.end, err
	})
	t.hideDeleted()
	return err
}

// deleteSource binds a DELETE whose rows the analytic path finds.
func (b *binder) deleteSource(p *Delete, s *parse.Delete, sc Scope) (err error) {
	t := writes{b: b, table: p.Table, alias: s.Alias, at: s.Table.Offset}
	p.Source, err = b.treeOf(sc, s.With, s.Recursive, func() (*rows, error) {
		if err := t.from(s.Using); err != nil {
			return nil, err
		}
		var err error
		p.Returning, p.Given, err = t.rows(s.Where, giving{table: p.Table, list: s.Returning, with: s.With, recursive: s.Recursive}, sc)
		return t.end, err
	})
	t.hideDeleted()
	return err
}

// writes is the source of a statement that changes rows, while it is made.
type writes struct {
	b       *binder
	table   *schema.Table
	alias   string
	at      int
	target  *relation
	joined  bool // a row of the table may meet several others
	outputs []Output
	end     *rows
}

// from puts the table and the items of FROM or USING in scope. Those do not see
// the table.
func (t *writes) from(sources []parse.TableExpr) error {
	var err error
	if t.target, err = t.b.scan(t.table, parse.Alias{Name: t.alias}, t.at); err != nil {
		return err
	}
	all := t.target
	if len(sources) > 0 {
		r, err := t.b.sources(sources)
		if err != nil {
			return err
		}
		if all, err = t.b.pair(InnerJoin, all, r, sources[0].Pos()); err != nil {
			return err
		}
		t.joined = true
	}
	t.b.from.relation = *all
	for i, c := range t.target.items[0].columns {
		t.outputs = append(t.outputs, Output{Name: c.name, X: c.x, Type: c.x.Type(), Column: i})
	}
	return nil
}

// output adds a column to the source and returns how rows of the source show it.
func (t *writes) output(x Expr, name string) Expr {
	text := x.String()
	at := slices.IndexFunc(t.outputs, func(o Output) bool { return o.X.String() == text })
	if at < len(t.table.Columns) {
		at = len(t.outputs)
		t.outputs = append(t.outputs, Output{Name: name, X: x, Type: x.Type(), Column: -1})
	}
	return &Col{at, name, x.Type()}
}

// rows binds WHERE and RETURNING and makes the nodes.
func (t *writes) rows(where parse.Expr, g giving, sc Scope) ([]Output, *Given, error) {
	b := t.b
	node, err := b.filtered(b.from.node, where, "WHERE")
	if err != nil {
		return nil, nil, err
	}
	returned, given, err := t.returning(g, sc)
	if err != nil {
		return nil, nil, err
	}
	end := ending{ties: b.from.keys}
	if t.joined {
		end.on = t.target.keys
	}
	t.end = end.over(&Project{b.tree.next(), node, t.outputs})
	return returned, given, nil
}

// returning binds RETURNING: columns of the table are those of the rows as they
// are in the end, others are given by the source.
func (t *writes) returning(g giving, sc Scope) ([]Output, *Given, error) {
	if len(g.list) == 0 {
		return nil, nil, nil
	}
	q := &Query{}
	if _, err := t.b.outputs(q, g.list); err != nil {
		return nil, nil, err
	}
	if slices.ContainsFunc(q.Outputs, func(o Output) bool { return hasQuery(o.X) }) {
		return t.given(g, sc)
	}
	var err error
	rel := t.target.rels[0]
	for i := range q.Outputs {
		o := &q.Outputs[i]
		o.X, err = rewrite(o.X, func(x Expr) (Expr, error) {
			r, ok := x.(*Ref)
			switch {
			case !ok:
				return nil, nil
			case r.Rel == rel:
				return &Col{r.Position, r.Name, r.T}, nil
			}
			return t.output(r, r.Name), nil
		})
		if err != nil {
			return nil, nil, err
		}
		if c, ok := o.X.(*Col); ok && c.Position < len(t.table.Columns) {
			o.Column = c.Position
		}
	}
	return q.Outputs, nil, nil
}

// given binds RETURNING with subqueries: the rows in hand have all columns of
// FROM behind those of the table.
func (t *writes) given(g giving, sc Scope) ([]Output, *Given, error) {
	rel := t.target.rels[0]
	place := func(c named) int {
		if r, ok := c.x.(*Ref); ok && r.Rel == rel {
			return r.Position
		}
		return t.output(c.x, c.name).(*Col).Position
	}
	placed := func(columns []named) (places []int) {
		for _, c := range columns {
			places = append(places, place(c))
		}
		return places
	}
	from := t.b.from.relation
	items := make([][]int, len(from.items))
	for i, it := range from.items {
		items[i] = placed(it.columns)
	}
	columns := placed(from.columns)
	g.columns = slices.Clone(t.table.Columns)
	for _, o := range t.outputs[len(t.table.Columns):] {
		g.columns = append(g.columns, givenColumn{Name: o.Name, Type: o.Type})
	}
	g.scope = func(scan *Scan) relation {
		over := func(old []named, places []int) []named {
			out := make([]named, len(old))
			for i, c := range old {
				out[i] = named{c.name, &Ref{scan.Rel, places[i], c.name, c.x.Type()}}
			}
			return out
		}
		r := relation{node: scan, columns: over(from.columns, columns), rels: []int{scan.Rel}}
		for i, it := range from.items {
			copied := *it
			copied.columns = over(it.columns, items[i])
			r.items = append(r.items, &copied)
		}
		return r
	}
	return t.b.returningGiven(sc, g)
}

// hideDeleted leaves out tombstones, which no write changes.
func (t *writes) hideDeleted() {
	if t.end == nil {
		return
	}
	if n, ok := t.target.node.(*Scan); ok {
		n.Access.Deleted = false
	}
}
