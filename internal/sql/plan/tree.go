package plan

import (
	"slices"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

const (
	// maxSources bounds the items of FROM of a statement, those of its views and
	// subqueries included.
	maxSources = 256
	// maxNested bounds how deeply queries stand in each other, views included.
	maxNested = 64
	// maxQueries bounds how many queries there are, wherever they stand.
	maxQueries = 1024
)

// tree is what all queries of one Analytic share.
type tree struct {
	scope   Scope
	rels    int // the last number of a node
	sources int
	queries int // numbers of WITH queries
	depth   int // of queries in each other
	selects int // queries so far
	inside  int // subqueries of expressions around
	// within are the views around, outermost first.
	within []*schema.View
	// noRecall counts the set operations around that a recursive query must not
	// stand in.
	noRecall int
	tables   []*schema.Table
	views    []*schema.View
}

// next returns the number of a new node.
func (t *tree) next() int {
	t.rels++
	return t.rels
}

// read notes that a table is read.
func (t *tree) read(table *schema.Table) {
	same := func(o *schema.Table) bool { return o.Namespace == table.Namespace && o.Name == table.Name }
	if !slices.ContainsFunc(t.tables, same) {
		t.tables = append(t.tables, table)
	}
}

// source counts an item of FROM.
func (t *tree) source(at int) error {
	t.sources++
	if t.sources > maxSources {
		return fault.At(fault.LimitExceeded, at, "a statement reads at most %d tables, counting those of views and subqueries", maxSources)
	}
	return nil
}

// rows is a bound query: a node and which of its columns are the result.
type rows struct {
	node    Node
	columns []Ref
	// project gives the columns as long as nothing stands between that would be
	// changed if a column got another type.
	project *Project
	// sorted says that the query asks for an order, stored that it reads tables.
	sorted, stored bool
	// places are where the columns stand in the text, if that is known.
	places []int
}

// place is where a column stands, or at.
func (r *rows) place(i, at int) int {
	if i < len(r.places) && r.places[i] >= 0 {
		return r.places[i]
	}
	return at
}

// extra is what a SELECT of the tree has beside a Query.
type extra struct {
	// ordered says that the order of the rows must not be left to chance.
	ordered bool
	// grouping says that there is a GROUP BY.
	grouping bool
	// windows are the calls of window functions, which may stand where
	// windowing says; rel gives them.
	windows     []WindowCall
	windowing   bool
	rel         int
	definitions []parse.Window
	// series is the function that gives rows in the select list, which may stand
	// where listing says; nil without one.
	series  *TableCall
	abreast []abreast // what series is made of
	number  *Ref      // that of its rows
	listing bool
	// on are the expressions of DISTINCT ON.
	on []Expr
	// places are where the outputs stand.
	places []int
	// sets and groupings are those of the Aggregation, groups its number.
	sets, groupings [][]int
	groups          int
}

// NeedsTree reports whether a fault of BindSelect, BindInsert and the like says
// no more than that the row path does not have what the statement needs.
func NeedsTree(err error) bool {
	_, ok := err.(*beyond)
	return ok
}

// beyond is the fault of what only the analytic path has.
type beyond struct {
	fault *fault.Error
	what  string
}

// Error prints the fault.
func (e *beyond) Error() string { return e.fault.Error() }

// Unwrap returns the fault.
func (e *beyond) Unwrap() error { return e.fault }

// beyondRows makes the fault; what names the construct.
func beyondRows(what string, at int) error {
	return &beyond{fault.Of(fault.At(fault.NotImplemented, at, "%s is not supported yet", what)), what}
}

// Bind binds a SELECT for the row path, or else for the analytic path.
func Bind(s *parse.Select, sc Scope, o Options) (*Query, *Analytic, error) {
	reason := s.Complex
	if reason == "" {
		q, err := BindSelect(s, sc, o)
		if !NeedsTree(err) {
			return q, nil, err
		}
		reason = err.(*beyond).what
	}
	a, err := BindAnalytic(s, sc, o)
	if err != nil {
		return nil, nil, err
	}
	a.Reason = reason
	return nil, a, nil
}

// BindAnalytic binds a SELECT of any shape.
func BindAnalytic(s *parse.Select, sc Scope, o Options) (*Analytic, error) {
	b := newBinder(o)
	b.tree = &tree{scope: sc}
	r, err := b.query(s, nil, true)
	if err != nil {
		return nil, err
	}
	a := b.finish(r)
	a.Limited = s.LimitCount != nil
	a.Reason = s.Complex
	return a, nil
}

// finish makes the plan of a bound query.
func (b *binder) finish(r *rows) *Analytic {
	a := &Analytic{Root: r.node, Outputs: make([]Output, len(r.columns)), Params: b.params, Explicit: b.explicit}
	for i := range r.columns {
		c := r.columns[i]
		a.Outputs[i] = Output{Name: c.Name, X: &c, Type: c.T, Column: -1}
	}
	a.Tables, a.Views = b.tree.tables, b.tree.views
	pushConditions(a.Root)
	prune(a)
	return a
}

// query binds a query that stands in outer; ordered says that the order of its
// rows must not be left to chance.
func (b *binder) query(s *parse.Select, outer *frame, ordered bool) (*rows, error) {
	return b.queryWith(s, outer, ordered, false)
}

// queryWith binds a query whose outputs may stay without a type if it is loose.
func (b *binder) queryWith(s *parse.Select, outer *frame, ordered, loose bool) (*rows, error) {
	if s.Refused != "" {
		return nil, fault.At(fault.NotImplemented, s.Offset, "%s is not supported", s.Refused)
	}
	b.tree.depth++
	defer func() { b.tree.depth-- }()
	if b.tree.selects++; b.tree.selects > maxQueries {
		return nil, fault.At(fault.LimitExceeded, s.Offset, "a statement has at most %d queries, counting those of views and subqueries", maxQueries)
	}
	if b.tree.depth > maxNested {
		return nil, fault.At(fault.LimitExceeded, s.Offset, "queries stand in each other more than %d deep, counting those of views", maxNested)
	}
	defer b.enter()()
	b.loose = loose
	b.from = &frame{outer: outer}
	b.extra = &extra{ordered: ordered || s.LimitCount != nil || s.LimitStart != nil}
	own, err := b.with(s)
	if err != nil {
		return nil, err
	}
	r, err := b.queryBody(s)
	if err != nil {
		return nil, err
	}
	r.node = around(own, r.node)
	return r, nil
}

func (b *binder) queryBody(s *parse.Select) (*rows, error) {
	switch {
	case s.Set != nil:
		return b.setQuery(s)
	case s.Values != nil:
		return b.valuesQuery(s)
	}
	return b.plainQuery(s)
}

// plainQuery binds SELECT … FROM.
func (b *binder) plainQuery(s *parse.Select) (*rows, error) {
	if err := b.fromClause(s); err != nil {
		return nil, err
	}
	b.aliases = s.Outputs
	node, err := b.filtered(b.from.node, s.Where, "WHERE")
	if err != nil {
		return nil, err
	}
	b.aliases = nil
	q := &Query{Distinct: s.Distinct}
	b.extra.definitions, b.extra.grouping = s.Windows, len(s.GroupBy) > 0
	if err := b.shape(q, s); err != nil {
		return nil, err
	}
	if err := b.checkRecursion(q, s); err != nil {
		return nil, err
	}
	if err := b.limits(q, s); err != nil {
		return nil, err
	}
	return b.lower(q, node), nil
}

// filtered puts a condition over a node.
func (b *binder) filtered(node Node, e parse.Expr, clause string) (Node, error) {
	if e == nil {
		return node, nil
	}
	x, err := b.condition(e, clause)
	if err != nil {
		return nil, err
	}
	return keep(node, b.place(x)), nil
}

// keep filters unless the condition always holds.
func keep(node Node, x Expr) Node {
	if c, ok := x.(*Const); ok && !c.Value.IsNull() && c.Value.Bool() {
		return node
	}
	return &Filter{node, x}
}

// lower makes the nodes above FROM and WHERE.
func (b *binder) lower(q *Query, node Node) *rows {
	e := b.extra
	if q.Grouped {
		node = b.aggregation(q, node)
	}
	if q.Having != nil {
		node = keep(node, q.Having)
	}
	if len(e.windows) > 0 {
		node = &Windowing{e.rel, node, e.windows}
	}
	node = e.withSeries(node)
	end := ending{distinct: q.Distinct, on: e.on, order: q.Order, limit: q.Limit, offset: q.Offset}
	if e.ordered {
		end.ties = b.ties(q)
	}
	if e.ordered && b.from.sorted && len(q.Order) == 0 && !q.Grouped && !q.Distinct && e.on == nil {
		end.order = eachOrder(b.from.by, func(x Expr) Expr { return x })
		for i := range end.order {
			end.order[i].Output = -1 // it was one of the query below
		}
	}
	if keys := b.from.order(); e.ordered && q.Distinct && !q.Grouped && keys != nil && e.series == nil {
		// As on the row path, the first of equal rows is kept and gives the order.
		end.first, end.on, end.ties = true, outputsOf(q), keys
	}
	r := end.over(&Project{b.tree.next(), node, q.Outputs})
	r.sorted = len(q.Order) > 0 || b.from.sorted && !q.Grouped && !q.Distinct
	r.stored, r.places = b.from.stored, e.places
	return r
}

// ties orders the rows that the statement leaves in any order, so that they
// come alike wherever they are stored. What no table gives keeps its own order.
func (b *binder) ties(q *Query) []Expr {
	switch {
	case !b.from.stored && !b.from.joined() && len(q.Order) == 0, b.from.sorted && !q.Grouped && !q.Distinct && len(q.Order) == 0:
		return nil
	case q.Grouped && !q.Distinct && b.extra.on == nil:
		ties := make([]Expr, 0, len(q.Groups))
		for i, x := range q.Groups {
			ties = append(ties, groupRef(b.extra.groups, i, x))
		}
		if b.extra.sets != nil {
			ties = append(ties, outputsOf(q)...)
		}
		if b.extra.series != nil {
			ties = append(ties, b.from.keys[len(b.from.keys)-1])
		}
		return ties
	case !q.Distinct && !q.Grouped && !b.from.unkeyed:
		return b.from.keys
	case !q.Distinct && !q.Grouped:
		return append(slices.Clone(b.from.keys), outputsOf(q)...)
	}
	return outputsOf(q)
}

func outputsOf(q *Query) []Expr {
	out := make([]Expr, len(q.Outputs))
	for i := range q.Outputs {
		out[i] = q.Outputs[i].X
	}
	return out
}

// ending is what follows the select list.
type ending struct {
	distinct bool
	on       []Expr
	// first says that of rows that are equal in on, which are then all outputs,
	// the first is kept and gives the place.
	first         bool
	order         []OrderItem
	ties          []Expr
	limit, offset Expr
}

// over puts it over the Project of the select list, which gets further columns
// for what is sorted by and not shown.
func (e *ending) over(p *Project) *rows {
	r := &rows{node: p, project: p, columns: make([]Ref, len(p.Outputs))}
	for i, o := range p.Outputs {
		r.columns[i] = Ref{p.Rel, i, o.Name, o.Type}
	}
	var order []OrderItem
	for _, o := range e.order {
		o.X = e.column(p, o.X, o.Output)
		order = append(order, o)
	}
	on := make([]Expr, len(e.on))
	for i, x := range e.on {
		on[i] = e.column(p, x, -1)
	}
	if !e.first {
		for _, x := range on {
			order = e.tie(p, order, x)
		}
	}
	for _, x := range e.ties {
		order = e.tie(p, order, x)
	}
	switch {
	case len(on) > 0:
		r.node, r.project = &Unique{sorted(p, order), on}, nil
	case e.distinct:
		r.node = &Unique{p, nil}
	}
	r.node = sorted(r.node, order)
	if e.limit != nil || e.offset != nil {
		r.node = &Slice{r.node, e.limit, e.offset}
	}
	return r
}

func sorted(n Node, order []OrderItem) Node {
	if len(order) == 0 {
		return n
	}
	return &Sort{n, order}
}

// tie adds a last key to an order. What cannot be sorted is left out.
func (e *ending) tie(p *Project, order []OrderItem, x Expr) []OrderItem {
	if f := familyOf(x.Type().Kind); f == noFamily || f == vectorFamily {
		return order
	}
	if _, constant := x.(*Const); constant {
		return order
	}
	ref := x
	if r, ok := x.(*Ref); !ok || r.Rel != p.Rel {
		ref = e.column(p, x, -1)
	}
	if slices.ContainsFunc(order, func(o OrderItem) bool { return o.X.String() == ref.String() }) {
		return order
	}
	return append(order, OrderItem{X: ref, Output: -1})
}

// column returns the column of p that shows x, which it adds when there is none.
func (e *ending) column(p *Project, x Expr, output int) Expr {
	if output < 0 {
		text := x.String()
		output = slices.IndexFunc(p.Outputs, func(o Output) bool { return o.X.String() == text })
	}
	if output < 0 {
		output = len(p.Outputs)
		p.Outputs = append(p.Outputs, Output{Name: "order", X: x, Type: x.Type(), Column: -1})
	}
	return &Ref{p.Rel, output, p.Outputs[output].Name, p.Outputs[output].Type}
}
