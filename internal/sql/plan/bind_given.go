package plan

import (
	"slices"
	"strings"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// Given computes expressions that have subqueries over rows which a statement
// has in hand while it writes.
type Given struct {
	// Table stands for those rows: it is known by its address, and no scope has
	// it. Its columns are Width columns of a row, then the number of the row.
	Table *schema.Table
	Width int
	// Source gives a row for each row of Table, by their numbers.
	Source *Analytic
}

// givenColumn is a column of rows in hand.
type givenColumn = schema.Column

// givenTable describes rows in hand.
func givenTable(columns []givenColumn) *schema.Table {
	t := &schema.Table{Name: "given", Kind: schema.System, Version: 1}
	for i, c := range columns {
		t.Columns = append(t.Columns, schema.Column{ID: schema.ColumnID(i + 1), Name: c.Name, Type: c.Type})
	}
	number := schema.ColumnID(len(columns) + 1)
	t.Columns = append(t.Columns, schema.Column{ID: number, Name: "number", Type: bigintType, NotNull: true})
	t.Key = []schema.ColumnID{number}
	return t
}

// overGiven binds expressions over rows in hand: body puts them in scope, as
// columns of the scan, and returns what is to be computed. It sees the queries
// of WITH.
func (b *binder) overGiven(sc Scope, with []parse.CTE, recursive bool, columns []givenColumn, body func(*Scan) ([]Output, error)) (*Given, error) {
	outer := b.tree
	b.tree = &tree{scope: sc}
	defer func() { b.tree = outer }()
	defer b.enter()()
	b.queries, b.from, b.extra = nil, &frame{}, &extra{}
	own, err := b.withQueries(with, recursive)
	if err != nil {
		return nil, err
	}
	scan := &Scan{Rel: b.tree.next(), Table: givenTable(columns)}
	outputs, err := body(scan)
	if err != nil {
		return nil, err
	}
	number := &Ref{scan.Rel, len(columns), "number", bigintType}
	end := ending{order: []OrderItem{{X: number, Output: -1}}}
	r := end.over(&Project{b.tree.next(), scan, outputs})
	r.node = around(own, r.node)
	return &Given{Table: scan.Table, Width: len(columns), Source: b.finish(r)}, nil
}

// show prints what is computed over the rows of a clause, "" for nothing.
func (g *Given) show(clause string) string {
	if g == nil {
		return ""
	}
	text := "given to " + clause + ":\n"
	for line := range strings.Lines(g.Source.String()) {
		text += "  " + line
	}
	return strings.TrimSuffix(text, "\n") + "\n"
}

// parameters hands the parameters of the statement to the query.
func (g *Given) parameters(b *binder, reason string) {
	if g != nil {
		g.Source.Params, g.Source.Explicit, g.Source.Reason = b.params, b.explicit, orElse(reason, "a subquery")
	}
}

// hasQuery reports whether an expression has a subquery.
func hasQuery(x Expr) bool {
	found := false
	Walk(x, func(x Expr) bool {
		if _, ok := x.(*Subquery); ok {
			found = true
		}
		return !found
	})
	return found
}

// conflictGiven binds DO UPDATE with subqueries over the row that is there and
// EXCLUDED, both in one row.
func (b *binder) conflictGiven(out *Conflict, t *schema.Table, s *parse.Insert, sc Scope) error {
	width := 2 * len(t.Columns)
	var err error
	out.Given, err = b.overGiven(sc, s.With, s.Recursive, slices.Concat(t.Columns, t.Columns), func(scan *Scan) ([]Output, error) {
		is, new := itemOf(t, s.Alias, scan, 0), itemOf(t, "excluded", scan, len(t.Columns))
		new.table = nil
		b.from.relation = relation{node: scan, items: []*item{is, new}, columns: is.columns, rels: []int{scan.Rel}}
		var outputs []Output
		add := func(x Expr, name string) Expr {
			outputs = append(outputs, Output{Name: name, X: x, Type: x.Type(), Column: -1})
			return &Col{width + len(outputs) - 1, name, x.Type()}
		}
		set, err := b.assignments(t, s.Conflict.Set)
		if err != nil {
			return nil, err
		}
		for i := range set {
			if set[i].X != nil {
				set[i].X = add(b.place(b.settle(set[i].X)), t.Columns[set[i].Column].Name)
			}
		}
		if out.Set = set; s.Conflict.Where == nil {
			return outputs, nil
		}
		x, err := b.condition(s.Conflict.Where, "ON CONFLICT DO UPDATE … WHERE")
		if err == nil {
			out.Where = add(b.place(x), "where")
		}
		return outputs, err
	})
	return err
}

// itemOf makes an item of the columns of a table, which stand in a scan from a
// position on.
func itemOf(t *schema.Table, alias string, scan *Scan, from int) *item {
	i := &item{namespace: t.Namespace, name: t.Name, table: t}
	if alias != "" {
		i.namespace, i.name = "", alias
	}
	for n := range t.Columns {
		c := &t.Columns[n]
		i.columns = append(i.columns, named{c.Name, &Ref{scan.Rel, from + n, c.Name, c.Type}})
	}
	return i
}

// giving is a RETURNING with subqueries while it is bound.
type giving struct {
	table     *schema.Table
	columns   []givenColumn // of the rows as they were written, and what stands behind
	list      []parse.Output
	with      []parse.CTE
	recursive bool
	// scope puts the rows in scope.
	scope func(*Scan) relation
	// written says that the rows get a version from the commit.
	written bool
}

// returningGiven binds RETURNING with subqueries: those are computed over the
// rows in hand, all else as ever.
func (b *binder) returningGiven(sc Scope, g giving) ([]Output, *Given, error) {
	var all []Output
	given, err := b.overGiven(sc, g.with, g.recursive, g.columns, func(scan *Scan) ([]Output, error) {
		b.from.relation = g.scope(scan)
		q := &Query{}
		places, err := b.outputs(q, g.list)
		if err != nil {
			return nil, err
		}
		var computed []Output
		for i := range q.Outputs {
			o := &q.Outputs[i]
			if !hasQuery(o.X) {
				o.X, _ = rewrite(o.X, func(x Expr) (Expr, error) {
					if r, ok := x.(*Ref); ok && r.Rel == scan.Rel {
						return &Col{r.Position, r.Name, r.T}, nil
					}
					return nil, nil
				})
				if c, ok := o.X.(*Col); ok && c.Position < len(g.table.Columns) {
					o.Column = c.Position
				}
				continue
			}
			if g.written && readsVersion(o.X, scan, g.table) {
				return nil, fault.At(fault.NotImplemented, places[i], "a subquery in RETURNING cannot stand beside _seq or _updated, which only the commit gives")
			}
			x := b.place(b.settle(o.X))
			computed = append(computed, Output{Name: o.Name, X: x, Type: x.Type(), Column: -1})
			o.X, o.Type = &Col{len(g.columns) + len(computed) - 1, o.Name, x.Type()}, x.Type()
		}
		all = q.Outputs
		return computed, nil
	})
	return all, given, err
}

// readsVersion reports whether an expression reads the _seq of a row in hand.
func readsVersion(x Expr, scan *Scan, t *schema.Table) bool {
	seq, found := t.SystemPosition(schema.SeqColumn), false
	walkAll(x, func(x Expr) {
		r, ok := x.(*Ref)
		found = found || ok && r.Rel == scan.Rel && r.Position == seq
	})
	return found
}
