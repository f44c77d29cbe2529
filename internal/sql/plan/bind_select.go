package plan

import (
	"slices"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// maxTerms bounds the select list, GROUP BY and ORDER BY, each; a table has at
// most as many columns.
const maxTerms = 4096

// tooMany refuses a clause of more than maxTerms terms.
func tooMany(clause string, n, offset int) error {
	if n <= maxTerms {
		return nil
	}
	return fault.At(fault.LimitExceeded, offset, "%s has more than %d columns", clause, maxTerms)
}

// BindSelect binds a SELECT over at most one table.
func BindSelect(s *parse.Select, sc Scope, o Options) (*Query, error) {
	b := newBinder(o)
	q, err := b.selectFrom(s, sc)
	if err != nil {
		return nil, err
	}
	q.Params, q.Explicit = b.params, b.explicit
	return q, nil
}

// selectFrom binds the clauses in the order in which they see each other.
func (b *binder) selectFrom(s *parse.Select, sc Scope) (*Query, error) {
	switch {
	case s.Refused != "":
		return nil, fault.At(fault.NotImplemented, s.Offset, "%s is not supported", s.Refused)
	case s.Complex != "":
		return nil, beyondRows(s.Complex, s.Offset)
	}
	q := &Query{Distinct: s.Distinct}
	if s.From != nil {
		if _, ok := sc.View(*s.From); ok {
			return nil, beyondRows("a view", s.From.Offset)
		}
		t, err := sc.Table(*s.From)
		if err != nil {
			return nil, locate(err, s.From.Offset)
		}
		q.Table, b.table, b.alias = t, t, s.Alias
	}
	b.aliases = s.Outputs
	if err := b.where(q, s.Where); err != nil {
		return nil, err
	}
	b.aliases = nil
	if err := b.shape(q, s); err != nil {
		return nil, err
	}
	if err := b.limits(q, s); err != nil {
		return nil, err
	}
	b.order(q)
	q.Needed = q.needed()
	return q, nil
}

// where binds the filter and finds the way to the rows.
func (b *binder) where(q *Query, e parse.Expr) error {
	if e != nil {
		x, err := b.condition(e, "WHERE")
		if err != nil {
			return err
		}
		q.Filter = b.place(x)
	}
	if c, ok := q.Filter.(*Const); ok {
		q.Access.Empty = c.Value.IsNull() || !c.Value.Bool()
		q.Filter = nil
	}
	if q.Table != nil {
		q.Access.find(q.Table, q.Filter)
	}
	return nil
}

// shape binds the select list, GROUP BY, HAVING and ORDER BY.
func (b *binder) shape(q *Query, s *parse.Select) error {
	var aggregates []Aggregate
	b.aggregates, b.aggregateAt = &aggregates, nil
	b.windowsMayStand(true)
	list, err := b.shownOutputs(q, s.Outputs)
	if err != nil {
		return err
	}
	b.outputTexts = make([]string, len(q.Outputs))
	order, err := b.orderBy(q, s.OrderBy, "ORDER BY", s.Offset)
	if err != nil {
		return err
	}
	if err := b.distinctOn(q, s); err != nil {
		return err
	}
	b.windowsMayStand(false)
	if s.Having != nil {
		if q.Having, err = b.condition(s.Having, "HAVING"); err != nil {
			return err
		}
		q.Having = b.place(q.Having)
	}
	b.aggregates = nil
	groups, err := b.groupBy(q, s)
	if err != nil {
		return err
	}
	q.Aggregates = aggregates
	q.Grouped = len(s.GroupBy) > 0 || len(aggregates) > 0 || q.Having != nil
	if q.Grouped {
		if err := b.regroup(q, s, groups, list, order); err != nil {
			return err
		}
	}
	q.Order = order
	return b.checkDistinct(q, s)
}

// shownOutputs binds a select list, where functions that give rows may stand.
func (b *binder) shownOutputs(q *Query, list []parse.Output) ([]int, error) {
	if b.tree == nil {
		return b.outputs(q, list)
	}
	b.extra.listing = true
	places, err := b.outputs(q, list)
	b.extra.listing, b.extra.places = false, places
	return places, err
}

// regroup lets everything behind GROUP BY read groups instead of rows.
func (b *binder) regroup(q *Query, s *parse.Select, groups []Expr, places []int, order []OrderItem) error {
	if b.tree != nil {
		b.extra.groups = b.tree.next()
	}
	g := newGrouping(b, groups)
	var err error
	for i := range q.Outputs {
		if q.Outputs[i].X, err = g.over(q.Outputs[i].X, places[i]); err != nil {
			return err
		}
	}
	if q.Having, err = g.over(q.Having, s.Offset); err != nil {
		return err
	}
	for i := range order {
		if order[i].X, err = g.over(order[i].X, s.OrderBy[i].X.Pos()); err != nil {
			return err
		}
	}
	if b.tree != nil {
		if err := b.regroupExtra(g, s); err != nil {
			return err
		}
	}
	q.Groups = g.groups
	return nil
}

// checkDistinct refuses to sort distinct rows by what they do not show.
func (b *binder) checkDistinct(q *Query, s *parse.Select) error {
	if len(s.DistinctOn) > 0 {
		return b.checkOn(q.Order, s)
	}
	if !q.Distinct {
		return nil
	}
	for i, o := range q.Order {
		if o.Output < 0 {
			return fault.At(fault.Syntax, s.OrderBy[i].X.Pos(), "with SELECT DISTINCT, ORDER BY can only name what the select list shows")
		}
	}
	return nil
}

// outputs binds the select list and returns the place of each output.
func (b *binder) outputs(q *Query, list []parse.Output) ([]int, error) {
	b.clause = "the select list"
	if err := tooMany("the select list", len(list), 0); err != nil {
		return nil, err
	}
	places := make([]int, 0, len(list))
	for _, o := range list {
		if star, ok := o.X.(*parse.Star); ok {
			n, err := b.star(q, star)
			if err == nil {
				err = tooMany("the select list", len(q.Outputs), star.Offset)
			}
			if err != nil {
				return nil, err
			}
			q.Star = len(list) == 1
			places = append(places, slices.Repeat([]int{star.Offset}, n)...)
			continue
		}
		out, err := b.output(o)
		if err != nil {
			return nil, err
		}
		q.Outputs = append(q.Outputs, out)
		places = append(places, o.X.Pos())
	}
	return places, nil
}

// star adds all columns and returns how many.
func (b *binder) star(q *Query, e *parse.Star) (int, error) {
	if b.from != nil {
		return b.treeStar(q, e)
	}
	if b.table == nil {
		return 0, fault.At(fault.Syntax, e.Offset, "SELECT * needs a table to take the columns from")
	}
	if err := b.qualifier("", e.Table, e.Offset); err != nil {
		return 0, err
	}
	for i := range b.table.Columns {
		c := b.columnAt(i)
		q.Outputs = append(q.Outputs, Output{Name: c.Name, X: c, Type: c.T, Column: i})
	}
	return len(b.table.Columns), nil
}

func (b *binder) output(o parse.Output) (Output, error) {
	x, err := b.expr(o.X)
	if err != nil {
		return Output{}, err
	}
	if !b.loose {
		x = b.settle(x)
	}
	if x.Type().Kind != datum.Null {
		x = b.place(x) // a parameter has no place until it has its type
	}
	out := Output{Name: o.Alias, X: x, Type: x.Type(), Column: -1}
	if out.Name == "" {
		out.Name = nameOf(o.X)
	}
	if c, ok := x.(*Col); ok {
		out.Column = c.Position
	}
	return out, nil
}

// anonymous is the name of an output that nothing names, as in PostgreSQL.
const anonymous = "?column?"

// nameOf is the name an output gets without AS.
func nameOf(e parse.Expr) string {
	switch e := e.(type) {
	case *parse.Column:
		return e.Name
	case *parse.Call:
		return e.Name
	case *parse.Subquery:
		return subqueryOutput(e)
	case *parse.Row:
		return "row"
	case *parse.Array:
		return "array"
	case *parse.Grouping:
		return "grouping"
	case *parse.Collate:
		return nameOf(e.X)
	case *parse.Case:
		if c, ok := e.Else.(*parse.Column); ok {
			return c.Name
		}
		return "case"
	case *parse.Cast:
		if name := nameOf(e.X); name != anonymous {
			return name
		}
		return castNames[e.To.Kind]
	}
	return anonymous
}

// castNames are the names PostgreSQL gives to casts of what has no name.
var castNames = map[datum.Kind]string{
	datum.Null: anonymous, datum.Bool: "bool", datum.SmallInt: "int2", datum.Int: "int4", datum.BigInt: "int8", datum.Float: "float4",
	datum.Double: "float8", datum.Decimal: "numeric", datum.Text: "text", datum.Bytes: "bytea", datum.JSON: "json", datum.UUID: "uuid",
	datum.Date: "date", datum.Time: "time", datum.Timestamp: "timestamp", datum.DateTime: "timestamptz", datum.Interval: "interval",
	datum.Embedding: "embedding", datum.File: "file",
}

// groupBy binds the group expressions.
func (b *binder) groupBy(q *Query, s *parse.Select) ([]Expr, error) {
	if err := tooMany("GROUP BY", len(s.GroupBy), s.Offset); err != nil {
		return nil, err
	}
	if b.tree != nil && slices.ContainsFunc(s.GroupBy, isGroupingSet) {
		groups, sets, err := b.groupSets(q, s)
		b.extra.sets = sets
		return groups, err
	}
	groups := make([]Expr, 0, len(s.GroupBy))
	for _, e := range s.GroupBy {
		items := []parse.Expr{e}
		if row, ok := e.(*parse.Row); ok {
			items = row.Items
		}
		for _, item := range items {
			x, err := b.groupTerm(q, item)
			if err != nil {
				return nil, err
			}
			groups = append(groups, x)
		}
	}
	return groups, nil
}

// isGroupingSet tells GROUPING SETS, ROLLUP, CUBE and ().
func isGroupingSet(e parse.Expr) bool {
	switch e := e.(type) {
	case *parse.GroupingSets:
		return true
	case *parse.Row:
		return len(e.Items) == 0
	}
	return false
}

// groupTerm binds one group expression: a position in the select list, a column,
// the name of an output, or any expression.
func (b *binder) groupTerm(q *Query, e parse.Expr) (x Expr, err error) {
	at, ok, err := ordinal(e, len(q.Outputs), "GROUP BY")
	if c, is := e.(*parse.Column); is && c.Table == "" && !b.ownColumn(c.Name) {
		at, err = b.outputNamed(q, c, "GROUP BY")
		ok = at >= 0
	}
	switch {
	case err != nil:
		return nil, err
	case ok:
		x = q.Outputs[at].X
	default:
		b.clause = "GROUP BY"
		if x, err = b.expr(e); err != nil {
			return nil, err
		}
		x = b.place(b.settle(x))
	}
	Walk(x, func(x Expr) bool {
		switch x := x.(type) {
		case *AggRef:
			err = fault.At(fault.Syntax, e.Pos(), "aggregates cannot stand in GROUP BY")
		case *Ref:
			if b.extra.rel != 0 && x.Rel == b.extra.rel {
				err = fault.At(fault.Syntax, e.Pos(), "window functions cannot stand in GROUP BY")
			}
			if b.extra.series != nil && x.Rel == b.extra.series.Rel {
				err = fault.At(fault.NotImplemented, e.Pos(), "a function that gives rows cannot stand in GROUP BY; it can in FROM")
			}
		}
		return err == nil
	})
	return x, err
}

// outputNamed returns the position of the output with a name, or -1. Several
// outputs may share a name when they are the same.
func (b *binder) outputNamed(q *Query, c *parse.Column, clause string) (int, error) {
	found := -1
	for i, o := range q.Outputs {
		if !strings.EqualFold(o.Name, c.Name) {
			continue
		}
		if found >= 0 && b.outputText(q, found) != b.outputText(q, i) {
			return -1, fault.At(fault.Syntax, c.Offset, "'%s' in %s is ambiguous: several outputs have that name", c.Name, clause)
		}
		if found < 0 {
			found = i
		}
	}
	return found, nil
}

// outputText returns the text of an output's expression.
func (b *binder) outputText(q *Query, i int) string {
	if b.outputTexts[i] == "" {
		b.outputTexts[i] = q.Outputs[i].X.String()
	}
	return b.outputTexts[i]
}

// outputShowing returns the position of the output with an expression, or -1.
func (b *binder) outputShowing(q *Query, text string) int {
	for i := range q.Outputs {
		if b.outputText(q, i) == text {
			return i
		}
	}
	return -1
}

// ordinal reads a position in the select list; ok is false for anything else.
func ordinal(e parse.Expr, n int, clause string) (at int, ok bool, err error) {
	l, literal := e.(*parse.Literal)
	if !literal {
		return 0, false, nil
	}
	if l.Untyped || !l.Value.Kind().IsInteger() {
		return 0, false, fault.At(fault.Syntax, l.Offset, "a constant in %s must be a position in the select list", clause)
	}
	position := l.Value.Int()
	if position < 1 || position > int64(n) {
		return 0, false, fault.At(fault.Syntax, l.Offset, "%s position %d is not in the select list, which has %d", clause, position, n)
	}
	return int(position) - 1, true, nil
}

// orderBy binds the sort keys: a position in the select list, the name of an
// output, or any expression.
func (b *binder) orderBy(q *Query, list []parse.Order, clause string, offset int) ([]OrderItem, error) {
	if err := tooMany(clause, len(list), offset); err != nil {
		return nil, err
	}
	b.clause = clause
	items := make([]OrderItem, 0, len(list))
	for _, o := range list {
		item := orderItem(o)
		at, ok, err := ordinal(o.X, len(q.Outputs), clause)
		if err != nil {
			return nil, err
		}
		if c, is := o.X.(*parse.Column); is && !ok && c.Table == "" {
			if at, err = b.outputNamed(q, c, clause); err != nil {
				return nil, err
			}
			ok = at >= 0
		}
		if ok {
			item.X, item.Output = q.Outputs[at].X, at
		} else {
			x, err := b.expr(o.X)
			if err != nil {
				return nil, err
			}
			item.X = b.place(b.settle(x))
			text := item.X.String()
			item.Output = b.outputShowing(q, text)
		}
		if err := sortable(item.X, clause, o.X.Pos()); err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// orderItem reads the direction of a key.
func orderItem(o parse.Order) OrderItem {
	item := OrderItem{Desc: o.Desc, NullsFirst: o.Desc, Output: -1}
	if o.Nulls != "" {
		item.NullsFirst = o.Nulls == "first"
	}
	return item
}

func sortable(x Expr, clause string, at int) error {
	if familyOf(x.Type().Kind) == vectorFamily {
		return fault.At(fault.TypeMismatch, at, "%s does not take %s", clause, typeName(x.Type()))
	}
	return nil
}

// limits binds LIMIT and OFFSET.
func (b *binder) limits(q *Query, s *parse.Select) (err error) {
	if q.Limit, err = b.count(s.LimitCount, "LIMIT"); err != nil {
		return err
	}
	q.Offset, err = b.count(s.LimitStart, "OFFSET")
	return err
}

func (b *binder) count(e parse.Expr, clause string) (Expr, error) {
	if e == nil {
		return nil, nil
	}
	table, from := b.table, b.from
	b.table, b.clause = nil, clause
	if from != nil {
		b.from = &frame{outer: from.outer}
	}
	defer func() { b.table, b.from = table, from }()
	x, err := b.expr(e)
	if err != nil {
		return nil, err
	}
	t := x.Type()
	if t.Kind != datum.Null && !t.Kind.IsNumeric() {
		return nil, fault.At(fault.TypeMismatch, e.Pos(), "%s must be a number of rows, not %s", clause, typeName(t))
	}
	if x, err = b.coerce(x, bigintType, e.Pos()); err != nil {
		return nil, err
	}
	if c, ok := x.(*Const); ok {
		if c.Value.IsNull() {
			return nil, nil
		}
		if err := CheckCount(c.Value.Int(), clause); err != nil {
			return nil, locate(err, e.Pos())
		}
	}
	return b.place(x), nil
}

// CheckCount refuses a negative LIMIT or OFFSET.
func CheckCount(n int64, clause string) error {
	if n < 0 {
		return fault.New(fault.InvalidValue, "%s must not be negative, but is %d", clause, n)
	}
	return nil
}

// needed returns the columns that are read, ascending; nil means all.
func (q *Query) needed() []int {
	if q.Table == nil {
		return nil
	}
	need := []int{}
	add := func(x Expr) {
		if x != nil {
			need = append(need, Columns(x)...)
		}
	}
	add(q.Filter)
	add(q.Having)
	for _, o := range q.Outputs {
		add(o.X)
	}
	for _, x := range q.Groups {
		add(x)
	}
	for _, a := range q.Aggregates {
		need = append(need, a.columns()...)
	}
	for _, o := range q.Order {
		add(o.X)
	}
	slices.Sort(need)
	need = slices.Compact(need)
	if len(need) == len(q.Table.Columns) {
		return nil
	}
	return need
}

// order decides which order the scan has to keep and what remains to be sorted.
func (b *binder) order(q *Query) {
	if q.Grouped {
		q.breakGroupTies()
		return
	}
	if q.Table == nil {
		return
	}
	t := q.Table
	keyed := len(t.Key) > 0 && t.Kind != schema.Stream
	seq := t.SystemPosition(schema.SeqColumn)
	switch {
	case len(q.Order) == 0 && len(t.Key) > 0 && t.Kind == schema.Stream:
		b.breakTies(q, seq) // events may share a key, and do not lie in its order
	case len(q.Order) == 0 && t.Kind == schema.System:
	case len(q.Order) == 0 && keyed:
		q.Access.Order = OrderKey
	case len(q.Order) == 0 && seq >= 0:
		q.Access.Order = OrderSeq
	case len(q.Order) == 0:
	case seq >= 0 && q.Access.Keys == nil && isColumn(q.Order[0].X, seq):
		q.Access.Order = OrderSeq
		if q.Order[0].Desc {
			q.Access.Order = OrderSeqDesc
		}
		q.Order = nil
	case keyed && t.Kind != schema.System && q.Access.sortedByKey(t, q.Order):
		q.Access.Order = OrderKey
		q.Order = nil
	default:
		b.breakTies(q, seq)
	}
}

func isColumn(x Expr, position int) bool {
	c, ok := x.(*Col)
	return ok && c.Position == position
}

// breakTies makes the order of rows that sort alike the same wherever they are
// stored: by key, or else by _seq.
func (b *binder) breakTies(q *Query, seq int) {
	stream := q.Table.Kind == schema.Stream
	positions := q.Table.KeyPositions()
	if (stream || len(positions) == 0) && seq >= 0 {
		positions = append(positions, seq)
	}
	if q.Distinct {
		q.Access.Order = OrderKey // the first of equals is kept
		if stream {
			q.Access.Order = OrderSeq
		}
		return
	}
	for _, p := range positions {
		if !slices.ContainsFunc(q.Order, func(o OrderItem) bool { return isColumn(o.X, p) }) {
			q.Order = append(q.Order, OrderItem{X: b.columnAt(p), Output: -1})
		}
	}
}

// breakGroupTies makes the order of groups the same wherever rows are stored.
func (q *Query) breakGroupTies() {
	for i, x := range q.Groups {
		sorted := slices.ContainsFunc(q.Order, func(o OrderItem) bool {
			g, ok := o.X.(*GroupRef)
			return ok && g.Index == i
		})
		if !sorted {
			q.Order = append(q.Order, OrderItem{X: &GroupRef{i, x}, Output: -1})
		}
	}
}
