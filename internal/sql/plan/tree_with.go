package plan

import (
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// queryName is a query of WITH in scope.
type queryName struct {
	outer   *queryName
	name    string
	query   *CommonQuery
	columns []RelColumn
	uses    int
	stored  bool
	sorted  bool
	// pending says that the query is not bound yet; what is the fault of using it.
	pending string
	// open says that the repeated part of a recursive query is being bound;
	// inside is how many subqueries of expressions it stands in.
	open   bool
	inside int
}

// find returns the nearest query of a name.
func (q *queryName) find(name string) *queryName {
	for ; q != nil; q = q.outer {
		if q.name == name {
			return q
		}
	}
	return nil
}

// with binds the queries of WITH and puts them in scope. It returns them.
func (b *binder) with(s *parse.Select) ([]*queryName, error) {
	return b.withQueries(s.With, s.Recursive)
}

func (b *binder) withQueries(list []parse.CTE, recursive bool) ([]*queryName, error) {
	own := make([]*queryName, len(list))
	for i := range list {
		if slices.ContainsFunc(own[:i], func(q *queryName) bool { return q.name == list[i].Name }) {
			return nil, fault.At(fault.Syntax, list[i].Offset, "WITH query name '%s' stands more than once", list[i].Name)
		}
		own[i] = &queryName{name: list[i].Name}
	}
	if recursive {
		for i := len(own) - 1; i >= 0; i-- {
			own[i].pending = "WITH query '" + own[i].name + "' is used before it is defined"
			b.push(own[i])
		}
	}
	for i := range list {
		if err := b.commonQuery(own[i], &list[i], recursive); err != nil {
			return nil, err
		}
		if !recursive {
			b.push(own[i])
		}
	}
	return own, nil
}

func (b *binder) push(q *queryName) {
	q.outer = b.queries
	b.queries = q
}

// around puts With over a node for the queries that are used.
func around(own []*queryName, n Node) Node {
	var used []*CommonQuery
	for _, q := range own {
		if q.uses > 0 {
			used = append(used, q.query)
		}
	}
	if len(used) == 0 {
		return n
	}
	return &With{used, n}
}

// commonQuery binds one query of WITH.
func (b *binder) commonQuery(q *queryName, c *parse.CTE, recursive bool) error {
	b.tree.queries++
	q.query = &CommonQuery{Number: b.tree.queries, Name: c.Name, Materialized: c.Materialized == "materialized", Inlined: c.Materialized == "not materialized"}
	if recursive && c.Select.Set != nil && c.Select.Set.Op == "union" {
		return b.recursive(q, c)
	}
	q.pending = "recursive query '" + q.name + "' must have the form: first part UNION [ALL] repeated part"
	if !recursive {
		q.pending = ""
	}
	r, err := b.query(c.Select, b.from.outer, false)
	if err != nil {
		return err
	}
	return q.bound(r, c)
}

// bound gives the name its query.
func (q *queryName) bound(r *rows, c *parse.CTE) error {
	q.pending, q.open = "", false
	q.query.Root, q.query.Columns = r.node, r.columns
	q.stored, q.sorted = r.stored, r.sorted
	return q.named(r, c)
}

// named names the columns.
func (q *queryName) named(r *rows, c *parse.CTE) error {
	if len(c.Columns) > len(r.columns) {
		return fault.At(fault.Syntax, c.Offset, "WITH query '%s' has %d columns, but %d names", c.Name, len(r.columns), len(c.Columns))
	}
	q.columns = make([]RelColumn, len(r.columns))
	for i, col := range r.columns {
		q.columns[i] = RelColumn{col.Name, col.T}
	}
	for i, name := range c.Columns {
		q.columns[i].Name = name
	}
	return nil
}

// recursive binds a query that may repeat its second part.
func (b *binder) recursive(q *queryName, c *parse.CTE) error {
	s := c.Select
	defer b.enter()()
	b.from, b.extra = &frame{}, &extra{ordered: s.LimitCount != nil || s.LimitStart != nil}
	own, err := b.with(s)
	if err != nil {
		return err
	}
	q.pending = "recursive query '" + q.name + "' must not stand in its first part"
	l, err := b.operand(s.Set.L)
	if err != nil {
		return err
	}
	if err := q.named(l, c); err != nil {
		return err
	}
	for i := range q.columns {
		if q.columns[i].Type.Kind == datum.Null {
			q.columns[i].Type = textType
		}
	}
	q.pending, q.inside = "", b.tree.inside
	for uses := q.uses; ; q.uses = uses {
		q.open = true
		r, err := b.operand(s.Set.R)
		q.open = false
		if err != nil {
			return err
		}
		set, err := b.setOf(s.Set, l, r, s.Offset)
		if err != nil {
			return err
		}
		if q.uses == uses {
			done, err := b.overSet(set, l.stored || r.stored, s)
			if err != nil {
				return err
			}
			done.node = around(own, done.node)
			return q.bound(done, c)
		}
		if !q.widen(set) {
			return b.repeated(q, c, set, own, l.stored || r.stored)
		}
	}
}

// widen gives the DECIMAL columns that the repeated part makes wider a type that
// holds all of it: with one scale, only more digits; else each value keeps its
// own scale, as PostgreSQL has it. It reports whether that part is bound anew.
func (q *queryName) widen(set *SetOp) bool {
	wider := false
	for i := range q.columns {
		have, all := q.columns[i].Type, set.Columns[i].Type
		if have == all || have.Kind != datum.Decimal || all.Kind != datum.Decimal {
			continue
		}
		if have.Scale != all.Scale {
			all = datum.Type{Kind: datum.Decimal}
		}
		q.columns[i].Type, wider = all, true
	}
	return wider
}

// repeated makes the plan of a query that does recall itself.
func (b *binder) repeated(q *queryName, c *parse.CTE, set *SetOp, own []*queryName, stored bool) error {
	s := c.Select
	if len(s.OrderBy) > 0 || s.LimitCount != nil || s.LimitStart != nil {
		return fault.At(fault.NotImplemented, c.Offset, "ORDER BY, LIMIT and OFFSET of recursive query '%s' are not supported; they can stand in the query that reads it", q.name)
	}
	for i := range q.columns {
		if have := q.columns[i].Type; have != set.Columns[i].Type {
			return fault.At(fault.TypeMismatch, c.Offset, "column '%s' of recursive query '%s' is %s in the first part but %s in the repeated part; cast one of them",
				q.columns[i].Name, q.name, have, set.R[i].T)
		}
	}
	q.query.Root, q.query.Columns = around(own, set.A), set.L
	q.query.Step, q.query.StepColumns, q.query.All = around(own, set.B), set.R, s.Set.All
	q.stored = stored
	return nil
}

// mayRecall refuses what a recursive query must not do with itself.
func (b *binder) mayRecall(q *queryName, at int) error {
	switch {
	case q.pending != "":
		return fault.At(fault.NotImplemented, at, "%s", q.pending)
	case !q.open:
		return nil
	case b.tree.inside > q.inside:
		return fault.At(fault.Syntax, at, "recursive query '%s' must not stand in a subquery of an expression in its repeated part", q.name)
	case b.tree.noRecall > 0:
		return fault.At(fault.Syntax, at, "recursive query '%s' must not stand in INTERSECT or EXCEPT in its repeated part", q.name)
	case q.uses > 0:
		return fault.At(fault.NotImplemented, at, "recursive query '%s' can stand in its repeated part once only", q.name)
	}
	return nil
}

// openQuery returns the recursive query whose repeated part is being bound.
func (b *binder) openQuery() *queryName {
	for q := b.queries; q != nil; q = q.outer {
		if q.open {
			return q
		}
	}
	return nil
}

// recursiveUses counts how often the repeated part has recalled its query.
func (b *binder) recursiveUses() int {
	if q := b.openQuery(); q != nil {
		return q.uses
	}
	return 0
}

// nodeRecalls reports whether a node recalls the query that is being repeated.
func (b *binder) nodeRecalls(n Node) bool {
	q := b.openQuery()
	found := false
	Nodes(n, func(n Node) {
		r, ok := n.(*Recall)
		found = found || ok && q != nil && r.Query == q.query
	})
	return found
}

// checkRecursion refuses aggregates over the rows of a recursive query in its
// repeated part.
func (b *binder) checkRecursion(q *Query, s *parse.Select) error {
	open := b.openQuery()
	if open == nil || !b.nodeRecalls(b.from.node) {
		return nil
	}
	if len(q.Aggregates) > 0 {
		return fault.At(fault.Syntax, s.Offset, "aggregates cannot stand in the repeated part of recursive query '%s'", open.name)
	}
	return nil
}
