package plan

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

var comparisons = map[string]bool{"=": true, "<>": true, "<": true, "<=": true, ">": true, ">=": true}

// subqueryOutput names the output of a subquery.
func subqueryOutput(e *parse.Subquery) string {
	switch e.Kind {
	case "exists", "array":
		return e.Kind
	case "scalar":
		if n := max(e.Item, 1); n <= len(e.Select.Outputs) {
			if o := e.Select.Outputs[n-1]; o.Alias != "" {
				return o.Alias
			}
			return nameOf(e.Select.Outputs[n-1].X)
		}
	}
	return anonymous
}

// subquery binds a query in an expression.
func (b *binder) subquery(e *parse.Subquery) (Expr, error) {
	if b.tree == nil {
		f := fault.At(fault.NotImplemented, e.Offset, "%s is not supported in %s, which reads one row", subqueryName(e.Kind), orElse(b.clause, "this place"))
		return nil, &beyond{fault.Of(f), "a subquery"}
	}
	b.tree.inside++
	defer func() { b.tree.inside-- }()
	r, err := b.query(e.Select, b.from, false)
	if err != nil {
		return nil, err
	}
	switch e.Kind {
	case "exists":
		return &Subquery{Kind: ExistsQuery, Root: r.node, T: boolType}, nil
	case "scalar":
		return scalarQuery(e, r)
	case "array":
		return b.arrayQuery(e, r)
	}
	return b.quantified(e, r)
}

func scalarQuery(e *parse.Subquery, r *rows) (Expr, error) {
	at := max(e.Item, 1) - 1
	switch n := len(r.columns); {
	case e.Item == 0 && n != 1:
		return nil, fault.At(fault.Syntax, e.Offset, "a subquery used as a value must give one column, not %d", n)
	case at >= n:
		return nil, fault.At(fault.Syntax, e.Offset, "the subquery gives too few columns: %d", n)
	}
	return &Subquery{Kind: ScalarQuery, Root: r.node, Columns: r.columns[at : at+1], T: r.columns[at].T}, nil
}

// arrayQuery binds ARRAY(SELECT …): all values in the order of the query, none as
// an empty array.
func (b *binder) arrayQuery(e *parse.Subquery, r *rows) (Expr, error) {
	if len(r.columns) != 1 {
		return nil, fault.At(fault.Syntax, e.Offset, "a subquery that makes an array must give one column, not %d", len(r.columns))
	}
	c := r.columns[0]
	t, err := arrayOf(c.T, e.Offset)
	if err != nil {
		return nil, err
	}
	n := &Aggregation{Rel: b.tree.next(), Input: r.node, Aggregates: []Aggregate{{Op: ArrayAgg, X: &c, Order: orderOf(r.node), Type: t}}}
	all := Ref{n.Rel, 0, "array", t}
	x := &Coalesce{[]Expr{&all, &Const{datum.NewArray(t.Elem, nil), t}}, t}
	p := &Project{b.tree.next(), n, []Output{{Name: "array", X: x, Type: t, Column: -1}}}
	return &Subquery{Kind: ScalarQuery, Root: p, Columns: []Ref{{p.Rel, 0, "array", t}}, T: t}, nil
}

// orderOf returns the order of the rows of a query, nil for none.
func orderOf(n Node) []OrderItem {
	switch n := n.(type) {
	case *Sort:
		return n.Order
	case *Slice:
		return orderOf(n.Input)
	case *With:
		return orderOf(n.Input)
	}
	return nil
}

// quantified binds IN, op ANY and op ALL.
func (b *binder) quantified(e *parse.Subquery, r *rows) (Expr, error) {
	items := []parse.Expr{e.X}
	if row, ok := e.X.(*parse.Row); ok {
		items = row.Items
	}
	op := e.Op
	if e.Kind == "in" {
		op = "="
	}
	switch {
	case len(items) < len(r.columns):
		return nil, fault.At(fault.Syntax, e.Offset, "the subquery gives more columns (%d) than stand before it (%d)", len(r.columns), len(items))
	case len(items) > len(r.columns):
		return nil, fault.At(fault.Syntax, e.Offset, "the subquery gives fewer columns (%d) than stand before it (%d)", len(r.columns), len(items))
	case !comparisons[op]:
		return nil, fault.At(fault.NotImplemented, e.Offset, "%s %s is not supported; = <> < <= > >= are", op, strings.ToUpper(e.Kind))
	case len(items) > 1 && (op != "=" || e.Kind == "all") && (op != "<>" || e.Kind != "all"):
		return nil, fault.At(fault.NotImplemented, e.Offset, "rows can be compared with a subquery by IN, = ANY and <> ALL only")
	}
	q := &Subquery{Kind: AnyQuery, Compare: operator(op), Root: r.node, T: boolType}
	if e.Kind == "all" {
		q.Kind = AllQuery
	}
	to := make([]RelColumn, len(items))
	for i, item := range items {
		x, err := b.expr(item)
		if err != nil {
			return nil, err
		}
		c := r.columns[i]
		l, right, err := b.comparable(x, &c, op, e.Offset, item.Pos(), e.Offset)
		if err != nil {
			return nil, err
		}
		q.X = append(q.X, l)
		to[i] = RelColumn{c.Name, right.Type()}
	}
	var err error
	q.Root, q.Columns, err = b.typed(&rows{node: r.node, columns: r.columns}, to, e.Offset)
	return q, err
}

// rowOf returns the items of a row value, or nil.
func rowOf(e parse.Expr) []parse.Expr {
	if row, ok := e.(*parse.Row); ok {
		return row.Items
	}
	return nil
}

// rowComparison binds a comparison of rows: item by item, as PostgreSQL defines it.
func (b *binder) rowComparison(e *parse.Binary) (Expr, error) {
	left, right := rowOf(e.L), rowOf(e.R)
	if q, ok := e.R.(*parse.Subquery); ok && q.Kind == "scalar" && left != nil {
		right = itemsOf(q, len(left))
	}
	if q, ok := e.L.(*parse.Subquery); ok && q.Kind == "scalar" && right != nil {
		left = itemsOf(q, len(right))
	}
	switch {
	case left == nil || right == nil:
		return nil, fault.At(fault.TypeMismatch, e.Offset, "operator %s cannot compare a row with a single value", strings.ToUpper(e.Op))
	case len(left) != len(right):
		return nil, fault.At(fault.Syntax, e.Offset, "rows of %d and %d values cannot be compared", len(left), len(right))
	case len(left) == 0:
		return nil, fault.At(fault.Syntax, e.Offset, "rows without values cannot be compared")
	}
	l, err := b.exprs(left)
	if err != nil {
		return nil, err
	}
	r, err := b.exprs(right)
	if err != nil {
		return nil, err
	}
	return b.compareRows(rowPair{e.Op, e.Offset, l, r, placesOf(left), placesOf(right)})
}

// rowPair is two rows that are compared.
type rowPair struct {
	op             string
	at             int
	l, r           []Expr
	placeL, placeR []int
}

func placesOf(list []parse.Expr) []int {
	out := make([]int, len(list))
	for i, e := range list {
		out[i] = e.Pos()
	}
	return out
}

func (b *binder) compareRows(p rowPair) (Expr, error) {
	one := func(op string, i int) (Expr, error) {
		return b.compare(operator(op), p.l[i], p.r[i], p.at, p.placeL[i], p.placeR[i])
	}
	switch p.op {
	case "=", "is not distinct from", "<>", "is distinct from":
		tests := make([]Expr, len(p.l))
		for i := range p.l {
			x, err := one(p.op, i)
			if err != nil {
				return nil, err
			}
			tests[i] = x
		}
		return logic(p.op == "<>" || p.op == "is distinct from", tests), nil
	case "<", "<=", ">", ">=":
		for i := range p.l {
			for _, x := range []Expr{p.l[i], p.r[i]} {
				if err := b.copies(x, 1, p.at); err != nil {
					return nil, err
				}
			}
		}
		return b.rowOrder(p.op, len(p.l), one)
	}
	return nil, fault.At(fault.NotImplemented, p.at, "operator %s is not supported over rows", strings.ToUpper(p.op))
}

// rowOrder compares rows by their first items, and by the others where those
// are equal.
func (b *binder) rowOrder(op string, n int, one func(op string, i int) (Expr, error)) (Expr, error) {
	x, err := one(op, n-1)
	if err != nil {
		return nil, err
	}
	for i := n - 2; i >= 0; i-- {
		strict, err := one(op[:1], i)
		if err != nil {
			return nil, err
		}
		equal, err := one("=", i)
		if err != nil {
			return nil, err
		}
		x = logic(true, []Expr{strict, logic(false, []Expr{equal, x})})
	}
	return x, nil
}

// itemsOf reads the columns of a subquery one by one.
func itemsOf(q *parse.Subquery, n int) []parse.Expr {
	out := make([]parse.Expr, n)
	for i := range out {
		item := *q
		item.Item = i + 1
		out[i] = &item
	}
	return out
}

// rowIn binds (a, b) IN ((1, 2), (3, 4)).
func (b *binder) rowIn(e *parse.In) (Expr, error) {
	items := rowOf(e.X)
	left, err := b.exprs(items)
	if err != nil {
		return nil, err
	}
	for _, x := range left {
		if err := b.copies(x, len(e.List)-1, e.Offset); err != nil {
			return nil, err
		}
	}
	tests := make([]Expr, len(e.List))
	for i, item := range e.List {
		list := rowOf(item)
		if len(list) != len(items) || len(list) == 0 {
			return nil, fault.At(fault.TypeMismatch, item.Pos(), "IN can compare a row of %d values with rows of as many only", len(items))
		}
		right, err := b.exprs(list)
		if err != nil {
			return nil, err
		}
		if tests[i], err = b.compareRows(rowPair{"=", e.Offset, left, right, placesOf(items), placesOf(list)}); err != nil {
			return nil, err
		}
	}
	x := logic(true, tests)
	if e.Not {
		return not(x), nil
	}
	return x, nil
}

// rowIsNull binds ROW(…) IS [NOT] NULL: all of its items are.
func (b *binder) rowIsNull(e *parse.Is, items []parse.Expr) (Expr, error) {
	if e.What != "null" {
		return nil, fault.At(fault.TypeMismatch, e.Offset, "a row is no truth value")
	}
	tests := make([]Expr, len(items))
	for i, item := range items {
		x, err := b.is(&parse.Is{At: e.At, X: item, What: "null", Not: e.Not})
		if err != nil {
			return nil, err
		}
		tests[i] = x
	}
	return logic(false, tests), nil
}

// likes are the operators that LIKE and its kin are named by in the grammar.
var likes = map[string]parse.Like{
	"~~": {}, "!~~": {Not: true}, "~~*": {Insensitive: true}, "!~~*": {Insensitive: true, Not: true},
}

// ofArray binds X op ANY|ALL (ARRAY[…]): one comparison for each element.
func (b *binder) ofArray(e *parse.Quantified) (Expr, error) {
	word := "ANY"
	if e.All {
		word = "ALL"
	}
	array, ok := e.Y.(*parse.Array)
	if !ok {
		return b.ofArrayValue(e, word)
	}
	tests := make([]Expr, len(array.Items))
	for i, item := range array.Items {
		var one parse.Expr = &parse.Binary{At: e.At, Op: e.Op, L: e.X, R: item}
		if like, ok := likes[e.Op]; ok {
			like.At, like.X, like.Pattern = e.At, e.X, item
			one = &like
		}
		x, err := b.expr(one)
		if err != nil {
			return nil, err
		}
		if err := b.copies(x, 1, e.Offset); err != nil {
			return nil, err
		}
		if tests[i], err = b.truth(x, item.Pos(), e.Op+" "+word); err != nil {
			return nil, err
		}
	}
	return logic(!e.All, tests), nil
}

// collate binds X COLLATE "C", which is how all text is compared.
func (b *binder) collate(e *parse.Collate) (Expr, error) {
	x, err := b.expr(e.X)
	if err != nil {
		return nil, err
	}
	if t := x.Type().Kind; t != datum.Null && !t.IsString() {
		return nil, fault.At(fault.TypeMismatch, e.Offset, "COLLATE takes text, but %s is %s", shown(x), typeName(x.Type()))
	}
	switch strings.TrimPrefix(e.Name, "pg_catalog.") {
	case "C", "POSIX", "default", "ucs_basic":
		return b.settle(x), nil
	}
	return nil, fault.At(fault.NotImplemented, e.Offset, "collation '%s' is not supported; text is compared byte by byte, as \"C\" does", e.Name)
}
