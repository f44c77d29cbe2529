package plan

import (
	"kalamdb/internal/schema"
)

// The numbers of the nodes of a Query as a tree.
const (
	scanRel = iota + 1
	groupRel
	projectRel
)

// Analytic returns the query as a tree, whose rows are the same in the same
// order.
func (q *Query) Analytic() *Analytic {
	a := &Analytic{Params: q.Params, Explicit: q.Explicit, Limited: q.Limit != nil, Reason: "asked for"}
	var node Node = &One{}
	if q.Table != nil {
		access := q.Access
		access.Order = OrderAny
		node = &Scan{Rel: scanRel, Table: q.Table, Access: access, Filter: q.Filter}
		a.Tables = []*schema.Table{q.Table}
	}
	switch {
	case q.Access.Empty:
		node = &Filter{node, truthOf(false)}
	case q.Filter != nil:
		node = &Filter{node, q.overRels(q.Filter)}
	}
	if q.Grouped {
		n := &Aggregation{Rel: groupRel, Input: node, Groups: eachOf(q.Groups, q.overRels)}
		for _, g := range q.Aggregates {
			n.Aggregates = append(n.Aggregates, g.with(q.overRels))
		}
		node = n
	}
	if q.Having != nil {
		node = &Filter{node, q.overRels(q.Having)}
	}
	p := &Project{Rel: projectRel, Input: node}
	for _, o := range q.Outputs {
		p.Outputs = append(p.Outputs, Output{Name: o.Name, X: q.overRels(o.X), Type: o.Type, Column: o.Column})
	}
	end := q.ending()
	if q.Distinct && len(end.ties) > 0 {
		end.first = true
		for i := range p.Outputs {
			end.on = append(end.on, p.Outputs[i].X)
		}
	}
	r := end.over(p)
	a.Root = r.node
	for i := range r.columns {
		a.Outputs = append(a.Outputs, Output{Name: r.columns[i].Name, X: &r.columns[i], Type: r.columns[i].T, Column: q.Outputs[i].Column})
	}
	prune(a)
	return a
}

// overRels rewrites an expression over rows or groups to one over the columns of
// nodes.
func (q *Query) overRels(x Expr) Expr {
	return Replace(x, func(x Expr) Expr {
		switch x := x.(type) {
		case *Col:
			return &Ref{scanRel, x.Position, x.Name, x.T}
		case *GroupRef:
			name := "group"
			if c, ok := x.X.(*Col); ok {
				name = c.Name
			}
			return &Ref{groupRel, x.Index, name, x.Type()}
		case *AggRef:
			return &Ref{groupRel, len(q.Groups) + x.Index, x.A.Op.String(), x.A.Type}
		}
		return nil
	})
}

// ending is what follows the select list, with the order in which the row path
// reads written out.
func (q *Query) ending() ending {
	e := ending{distinct: q.Distinct, limit: q.Limit, offset: q.Offset}
	for _, o := range q.Order {
		o.X = q.overRels(o.X)
		e.order = append(e.order, o)
	}
	if q.Table == nil {
		return e
	}
	seq := q.Table.SystemPosition(schema.SeqColumn)
	column := func(at int) *Ref {
		c := &q.Table.Columns[at]
		return &Ref{scanRel, at, c.Name, c.Type}
	}
	switch q.Access.Order {
	case OrderKey:
		for _, p := range q.Table.KeyPositions() {
			e.ties = append(e.ties, column(p))
		}
	case OrderSeq:
		e.ties = append(e.ties, column(seq))
	case OrderSeqDesc:
		e.order = append(e.order, OrderItem{X: column(seq), Desc: true, NullsFirst: true, Output: -1})
	}
	return e
}
