package exec

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/exec/internal/duck"
	"kalamdb/internal/sql/plan"
)

// place names a column of a plan: position of the node with a Rel.
type place struct{ rel, position int }

// term is an expression in DuckDB's words, with the type that carries it. For a
// decimal that is the exact scale of every value and a bound of its digits,
// which may be less than the plan promises.
type term struct {
	text string
	t    datum.Type
	// digits bounds the decimal digits of an integer; 0 is what the type holds.
	digits uint8
	// plain says that text is a column, a parameter or a constant: it may be
	// written more than once.
	plain bool
}

// column is one column that a block has.
type column struct {
	at place
	term
}

// block is a SELECT that is still open: rows from somewhere, and what is done to
// them. Its columns are written as terms over from.
type block struct {
	with   string // WITH …
	from   string // empty for one row without columns
	where  []string
	order  []orderTerm
	limit  string
	offset string
	cols   []column
}

// orderTerm is one key of a sort.
type orderTerm struct {
	text, direction string
}

func (o orderTerm) String() string { return o.text + o.direction }

// find returns the term of a column.
func (b *block) find(at place) (term, bool) {
	for i := range b.cols {
		if b.cols[i].at == at {
			return b.cols[i].term, true
		}
	}
	return term{}, false
}

// cut reports whether rows are counted off in the block, so that what comes
// above must not be mixed into it.
func (b *block) cut() bool { return b.limit != "" || b.offset != "" }

// tail writes all of the block but its select list.
func (b *block) tail() string {
	var s strings.Builder
	if b.from != "" {
		s.WriteString(" FROM " + b.from)
	}
	if len(b.where) > 0 {
		s.WriteString(" WHERE " + strings.Join(b.where, " AND "))
	}
	for i, o := range b.order {
		s.WriteString([]string{" ORDER BY ", ", "}[min(i, 1)])
		s.WriteString(o.String())
	}
	if b.limit != "" {
		s.WriteString(" LIMIT " + b.limit)
	}
	if b.offset != "" {
		s.WriteString(" OFFSET " + b.offset)
	}
	return s.String()
}

// query writes the block with a select list.
func (b *block) query(list []string) string {
	if len(list) == 0 {
		list = []string{"1"}
	}
	return b.with + "SELECT " + strings.Join(list, ", ") + b.tail()
}

// generator turns the tree of one execution into a statement. It knows the
// values of parameters, so what DuckDB gets depends on what they are.
type generator struct {
	ctx   context.Context
	tree  *plan.Analytic
	env   *Env
	open  opener
	fresh int
	// outer are the blocks around the one that is being written, innermost last.
	outer []*block
	// recalled are the columns of the queries of WITH by number.
	recalled  map[int][]term
	statement duck.Statement
	known     map[string]int // index of calls that may be shared
	scans     []*scanned
	// opening is held while a scan begins, for DuckDB may begin several at once.
	opening sync.Mutex
	fixed   map[plan.Expr]fixedValue
	// leastFileRows is from how many rows on DuckDB reads files itself; below 0 it
	// never does.
	leastFileRows int64
	depth         int
}

// fixedValue is what an expression without rows gave.
type fixedValue struct {
	v   datum.Value
	err error
}

func newGenerator(ctx context.Context, tree *plan.Analytic, env *Env, open opener) *generator {
	return &generator{leastFileRows: fileRows, ctx: ctx, tree: tree, env: env, open: open, recalled: map[int][]term{}, known: map[string]int{}, fixed: map[plan.Expr]fixedValue{}}
}

// name returns an alias that nothing else has.
func (g *generator) name(prefix string) string {
	g.fresh++
	return prefix + strconv.Itoa(g.fresh)
}

// maxNesting bounds how deep nodes and expressions may stand in each other, for
// DuckDB binds them by recursion.
const maxNesting = 400

func (g *generator) enter() error {
	if g.depth++; g.depth > maxNesting {
		return fault.New(fault.LimitExceeded, "the statement is nested too deeply")
	}
	return nil
}

func (g *generator) leave() { g.depth-- }

// generate writes the whole statement.
func (g *generator) generate() (*duck.Statement, error) {
	b, err := g.node(g.tree.Root)
	if err != nil {
		return nil, err
	}
	list := make([]string, len(g.tree.Outputs))
	for i, o := range g.tree.Outputs {
		x, err := g.value(b, o.X)
		if err != nil {
			return nil, err
		}
		if x, err = g.bring(x, o.Type); err != nil {
			return nil, err
		}
		list[i] = x.text
		g.statement.Columns = append(g.statement.Columns, o.Type)
	}
	g.statement.Text = b.query(list)
	return &g.statement, nil
}

// node writes a node of the plan.
func (g *generator) node(n plan.Node) (*block, error) {
	if err := g.enter(); err != nil {
		return nil, err
	}
	defer g.leave()
	switch n := n.(type) {
	case *plan.One:
		return &block{}, nil
	case *plan.Scan:
		return g.scan(n)
	case *plan.Values:
		return g.values(n)
	case *plan.TableCall:
		return g.tableCall(n)
	case *plan.Recall:
		return g.recall(n)
	case *plan.Filter:
		return g.filter(n)
	case *plan.Project:
		return g.project(n)
	case *plan.Join:
		return g.join(n)
	case *plan.Aggregation:
		return g.aggregation(n)
	case *plan.Windowing:
		return g.windowing(n)
	case *plan.Sort:
		return g.sort(n)
	case *plan.Slice:
		return g.slice(n)
	case *plan.Unique:
		return g.unique(n)
	case *plan.SetOp:
		return g.setOperation(n)
	case *plan.With:
		return g.with(n)
	}
	return nil, fault.New(fault.Internal, "a node of kind %T cannot be generated", n)
}

// derive closes a block into one that reads it under a fresh name. An order
// without a limit is carried over by hidden columns.
func (g *generator) derive(b *block) *block {
	alias := g.name("q")
	list := make([]string, 0, len(b.cols))
	out := &block{}
	for i, c := range b.cols {
		list = append(list, c.text+" AS k"+strconv.Itoa(i))
		c.text, c.plain = alias+".k"+strconv.Itoa(i), true
		out.cols = append(out.cols, c)
	}
	list, out.order = carryOrder(b, list, alias)
	out.from = "(" + b.query(list) + ") AS " + alias
	return out
}

// carryOrder adds the keys of a block's order to its select list, and returns
// the order over them.
func carryOrder(b *block, list []string, alias string) ([]string, []orderTerm) {
	var order []orderTerm
	for i, o := range b.order {
		name := "o" + strconv.Itoa(i)
		list = append(list, o.text+" AS "+name)
		order = append(order, orderTerm{alias + "." + name, o.direction})
	}
	if !b.cut() {
		b.order = nil
	}
	return list, order
}

// within runs f with a block as the surrounding of what it writes.
func (g *generator) within(b *block, f func() error) error {
	g.outer = append(g.outer, b)
	defer func() { g.outer = g.outer[:len(g.outer)-1] }()
	return f()
}

// resolve finds a column in a block or in those around it.
func (g *generator) resolve(b *block, r *plan.Ref) (term, error) {
	at := place{r.Rel, r.Position}
	if b != nil {
		if t, ok := b.find(at); ok {
			return t, nil
		}
	}
	for i := len(g.outer) - 1; i >= 0; i-- {
		if t, ok := g.outer[i].find(at); ok {
			return t, nil
		}
	}
	return term{}, fault.New(fault.Internal, "column %s is out of reach", r)
}

func (g *generator) filter(n *plan.Filter) (*block, error) {
	b, err := g.node(n.Input)
	if err != nil {
		return nil, err
	}
	if b.cut() || b.with != "" {
		b = g.derive(b)
	}
	conditions, err := g.conjuncts(b, n.X)
	if err != nil {
		return nil, err
	}
	b.where = append(b.where, conditions...)
	return b, nil
}

func (g *generator) project(n *plan.Project) (*block, error) {
	b, err := g.node(n.Input)
	if err != nil {
		return nil, err
	}
	passing := true
	for _, o := range n.Outputs {
		_, ok := o.X.(*plan.Ref)
		passing = passing && ok
	}
	alias := "t" + strconv.Itoa(n.Rel)
	out := &block{}
	var list []string
	for i, o := range n.Outputs {
		x, err := g.value(b, o.X)
		if err != nil {
			return nil, err
		}
		c := "c" + strconv.Itoa(i)
		list = append(list, x.text+" AS "+c)
		if !passing {
			x.text, x.plain = alias+"."+c, true
		}
		out.cols = append(out.cols, column{place{n.Rel, i}, x})
	}
	if passing {
		b.cols = out.cols
		return b, nil
	}
	list, out.order = carryOrder(b, list, alias)
	out.from = "(" + b.query(list) + ") AS " + alias
	return out, nil
}

// joinable prepares a side of a join. Its conditions are returned to be applied
// above the join when they may be.
func (g *generator) joinable(b *block, lift bool) (*block, []string) {
	if b.with != "" || b.cut() || b.from == "" || len(b.where) > 0 && !lift {
		b = g.derive(b)
	}
	where := b.where
	b.where, b.order = nil, nil
	return b, where
}

var joinWords = [...]string{plan.InnerJoin: " INNER JOIN ", plan.LeftJoin: " LEFT JOIN ", plan.RightJoin: " RIGHT JOIN ", plan.FullJoin: " FULL JOIN "}

func (g *generator) join(n *plan.Join) (*block, error) {
	l, err := g.node(n.L)
	if err != nil {
		return nil, err
	}
	l, where := g.joinable(l, n.Kind == plan.InnerJoin || n.Kind == plan.LeftJoin)
	r, err := g.right(n, l)
	if err != nil {
		return nil, err
	}
	r, more := g.joinable(r, n.Kind == plan.InnerJoin || n.Kind == plan.RightJoin)
	lateral := ""
	if n.Lateral {
		lateral = "LATERAL "
	}
	out := &block{where: append(where, more...), cols: append(l.cols[:len(l.cols):len(l.cols)], r.cols...)}
	if n.On == nil && n.Kind == plan.InnerJoin {
		out.from = "(" + l.from + " CROSS JOIN " + lateral + r.from + ")"
		return out, nil
	}
	on := []string{"TRUE"}
	if n.On != nil {
		if on, err = g.conjuncts(out, n.On); err != nil {
			return nil, err
		}
	}
	if n.Kind == plan.InnerJoin && (n.Lateral || holdsQuery(n.On)) {
		out.from = "(" + l.from + " CROSS JOIN " + lateral + r.from + ")"
		out.where = append(out.where, on...)
		return out, nil
	}
	out.from = "(" + l.from + joinWords[n.Kind] + lateral + r.from + " ON " + strings.Join(on, " AND ") + ")"
	return out, nil
}

// right writes the right side of a join, which sees the left one if the join is
// lateral.
func (g *generator) right(n *plan.Join, l *block) (r *block, err error) {
	if !n.Lateral {
		return g.node(n.R)
	}
	err = g.within(l, func() error {
		if r, err = g.node(n.R); err == nil {
			r = g.derive(r)
		}
		return err
	})
	return r, err
}

// holdsQuery reports whether a subquery stands in an expression.
func holdsQuery(x plan.Expr) bool {
	found := false
	plan.Walk(x, func(x plan.Expr) bool {
		_, query := x.(*plan.Subquery)
		found = found || query
		return !found
	})
	return found
}

func (g *generator) sort(n *plan.Sort) (*block, error) {
	b, err := g.node(n.Input)
	if err != nil {
		return nil, err
	}
	if b.cut() {
		b = g.derive(b)
	}
	b.order, err = g.orderBy(b, n.Order)
	return b, err
}

// orderBy writes the keys of a sort.
func (g *generator) orderBy(b *block, order []plan.OrderItem) ([]orderTerm, error) {
	out := make([]orderTerm, 0, len(order))
	for _, o := range order {
		x, err := g.key(b, o.X)
		if err != nil {
			return nil, err
		}
		out = append(out, orderTerm{x.text, direction(o)})
	}
	return out, nil
}

func direction(o plan.OrderItem) string {
	text := " ASC"
	if o.Desc {
		text = " DESC"
	}
	if o.NullsFirst {
		return text + " NULLS FIRST"
	}
	return text + " NULLS LAST"
}

// natural reports whether the term is compared as it stands.
func (t *term) natural() bool { return natural(t.t) }

// natural reports whether order and equality of a type are those of the form
// that carries it.
func natural(t datum.Type) bool {
	switch t.Kind {
	case datum.Decimal:
		return t.Precision > 0
	case datum.Bool, datum.SmallInt, datum.Int, datum.BigInt, datum.Float, datum.Double, datum.Text, datum.JSON, datum.File,
		datum.Bytes, datum.UUID, datum.Date, datum.Time, datum.Timestamp, datum.DateTime, datum.Null:
		return true
	}
	return false
}

func (g *generator) unique(n *plan.Unique) (*block, error) {
	b, err := g.node(n.Input)
	if err != nil {
		return nil, err
	}
	if n.On != nil {
		return g.firstOf(b, n.On)
	}
	return g.distinct(b), nil
}

// distinct keeps one of equal rows, over all columns of a block.
func (g *generator) distinct(b *block) *block {
	if b.cut() {
		b = g.derive(b)
	}
	alias := g.name("q")
	out := &block{}
	var list, keys []string
	for i, c := range b.cols {
		name := "k" + strconv.Itoa(i)
		if c.natural() {
			list = append(list, c.text+" AS "+name)
			keys = append(keys, c.text)
		} else {
			list = append(list, "any_value("+c.text+") AS "+name)
			keys = append(keys, g.keyOf(c.term).text)
		}
		c.text, c.plain = alias+"."+name, true
		out.cols = append(out.cols, c)
	}
	order := b.order
	b.order = nil
	text := b.query(list)
	if len(keys) > 0 {
		text += " GROUP BY " + strings.Join(keys, ", ")
	} else {
		text += " LIMIT 1"
	}
	out.from = "(" + text + ") AS " + alias
	// A sort below DISTINCT goes by columns of the list, or it would not be
	// allowed.
	for _, o := range order {
		for i, c := range b.cols {
			if c.text == o.text {
				out.order = append(out.order, orderTerm{out.cols[i].text, o.direction})
				break
			}
		}
	}
	return out
}

// firstOf is DISTINCT ON: the first row of each value, in the order of the block.
func (g *generator) firstOf(b *block, on []plan.Expr) (*block, error) {
	if b.cut() || b.with != "" {
		b = g.derive(b)
	}
	var keys, order []string
	for _, x := range on {
		k, err := g.key(b, x)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k.text)
	}
	for _, o := range b.order {
		order = append(order, o.String())
	}
	window := "PARTITION BY " + strings.Join(keys, ", ")
	if len(order) > 0 {
		window += " ORDER BY " + strings.Join(order, ", ")
	}
	b.cols = append(b.cols[:len(b.cols):len(b.cols)], column{place{-1, 0}, term{text: "row_number() OVER (" + window + ")", t: datum.Type{Kind: datum.BigInt}}})
	out := g.derive(b)
	last := len(out.cols) - 1
	out.where = []string{out.cols[last].text + " = 1"}
	out.cols = out.cols[:last]
	return out, nil
}
