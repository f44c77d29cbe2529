package core

import (
	"context"
	"slices"
	"strings"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/live"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
)

// rowShaped reports whether a SELECT is a set of keyed rows of one table, which
// is followed change by change. Any other is followed as a result.
func rowShaped(s *parse.Select) bool {
	return s.Complex == "" && !s.Distinct && len(s.DistinctOn) == 0 && len(s.GroupBy) == 0 && s.Having == nil && s.LimitCount == nil && s.LimitStart == nil
}

// resultQuery authorises and binds a subscription to a result.
func (db *DB) resultQuery(s *auth.Session, r live.Request, sel *parse.Select, view *relation.View) (*live.Query, *schema.Table, error) {
	o, err := db.resultOptions(s, r, sel, view)
	if err != nil {
		return nil, nil, err
	}
	first := o.Reads[0].Table
	o.Rebind = func(v *relation.View) (*live.ResultOptions, error) {
		sel, err := db.parseLive(r.SQL)
		if err != nil {
			return nil, err
		}
		if t, ok := v.TableByID(first.ID); ok && t.Name == first.Name && sel.From != nil && sel.Complex == "" {
			follow(sel, t.Namespace)
		}
		again, err := db.resultOptions(s, r, sel, v)
		if err != nil {
			return nil, err
		}
		again.Rebind = o.Rebind
		return again, nil
	}
	q, err := live.NewResult(r, o)
	return q, first, err
}

// resultOptions binds a subscription to a result under the definitions of a
// view.
func (db *DB) resultOptions(s *auth.Session, r live.Request, sel *parse.Select, view *relation.View) (*live.ResultOptions, error) {
	sc := scope{view, schema.DefaultNamespace}
	if err := authorise(s, sel, &overlay{view: view, path: sc.path}); err != nil {
		return nil, err
	}
	p := &prepared{statement: sel}
	if err := db.bindSelect(sel, plan.Options{Params: len(r.Params)}, sc, p); err != nil {
		return nil, err
	}
	env := db.environment(s, &parse.Normalized{}, nil, 0, sc.path)
	o := &live.ResultOptions{Caller: caller(s, env), Definitions: view.DefinitionsVersion()}
	b := resultBinding{o: o, scope: func(t *schema.Table) schema.Scope { return scopeOf(s, t) }}
	var err error
	if p.analytic != nil {
		if err = authoriseTree(s, p.analytic.Plan()); err == nil {
			err = b.tree(p.analytic.Plan())
		}
	} else {
		err = b.rows(p.query.Query())
	}
	if err != nil {
		return nil, err
	}
	o.Share = b.share(s, r)
	o.Run = func(ctx context.Context, v *relation.View, each func([]datum.Value) error) error {
		env := db.environment(s, &parse.Normalized{}, r.Params, len(r.Params), sc.path)
		return db.runResult(ctx, s, p, v, env, each)
	}
	if p.analytic == nil && p.query.Foldable() {
		o.Fold = func(ctx context.Context, v *relation.View, most int64) (live.Fold, error) {
			env := db.environment(s, &parse.Normalized{}, r.Params, len(r.Params), sc.path)
			t, err := opened(s, v, env)(p.query.Query().Table)
			if err != nil {
				return nil, err
			}
			f, err := p.query.Fold(ctx, t, env, db.execLimits(), most)
			if err != nil {
				return nil, err
			}
			return f, nil
		}
	}
	return o, nil
}

// runResult runs the statement of a subscription in a view.
func (db *DB) runResult(ctx context.Context, s *auth.Session, p *prepared, v *relation.View, env *exec.Env, each func([]datum.Value) error) error {
	open := opened(s, v, env)
	tree := p.analytic
	if p.large != nil {
		large, _, err := db.large(ctx, p.query.Query(), s, v, env)
		if err != nil {
			return err
		}
		if large {
			tree = p.large
		}
	}
	var rows *exec.Result
	var err error
	if tree != nil {
		rows, err = tree.Run(ctx, db.analytics, open, env, db.execLimits())
	} else {
		t, failed := open(p.query.Query().Table)
		if failed != nil {
			return failed
		}
		rows, err = p.query.Run(ctx, t, env, db.execLimits())
	}
	if err != nil {
		return err
	}
	defer rows.Close()
	return rows.Each(ctx, each)
}

// resultBinding finds what the room of live queries has to know of a statement.
type resultBinding struct {
	o     *live.ResultOptions
	scope func(*schema.Table) schema.Scope
	// personal says that the result depends on who asks, beside the partitions.
	personal bool
}

// share returns what equal statements have in common.
func (b *resultBinding) share(s *auth.Session, r live.Request) string {
	own := b.personal || slices.ContainsFunc(b.o.Reads, func(x live.Read) bool { return x.Table.PerUser() })
	var text strings.Builder
	if own {
		text.WriteString(string(s.UserID) + "\x00" + s.Role.String())
	}
	text.WriteString("\x00" + r.SQL)
	for _, v := range r.Params {
		text.WriteString("\x00" + v.Kind().String() + ":" + v.String())
	}
	return text.String()
}

// rows describes a statement of the row path.
func (b *resultBinding) rows(q *plan.Query) error {
	if q.Table == nil {
		return fault.New(fault.Syntax, "a SELECT without FROM is not supported in a subscription")
	}
	b.o.Params = q.Params
	exprs := append([]plan.Expr{q.Filter, q.Having, q.Limit, q.Offset}, q.Groups...)
	for _, a := range q.Aggregates {
		exprs = append(exprs, a.X, a.Filter)
		exprs = append(exprs, a.Args...)
		exprs = append(exprs, orderExprs(a.Order)...)
	}
	for _, out := range q.Outputs {
		exprs = append(exprs, out.X)
	}
	if err := b.steady(append(exprs, orderExprs(q.Order)...)...); err != nil {
		return err
	}
	if err := b.read(q.Table, q.Filter, q.Needed, &q.Access); err != nil {
		return err
	}
	b.o.Loose = q.Limit == nil && q.Offset == nil && !slices.ContainsFunc(q.Aggregates, func(a plan.Aggregate) bool { return !placeless(a) })
	for _, c := range columnsOf(nil, q.Outputs) {
		b.o.Columns = append(b.o.Columns, live.Column(c))
	}
	switch {
	case q.Distinct:
		b.keyed(everyOf(len(q.Outputs)))
	case q.Grouped && len(q.Groups) == 0:
		b.o.Single = true
	case q.Grouped:
		b.keyed(positions(len(q.Groups), func(i int) int {
			return slices.IndexFunc(q.Outputs, func(out plan.Output) bool { g, ok := out.X.(*plan.GroupRef); return ok && g.Index == i })
		}))
	default:
		keys := q.Table.KeyPositions()
		b.keyed(positions(len(keys), func(i int) int {
			return slices.IndexFunc(q.Outputs, func(out plan.Output) bool { return out.Column == keys[i] })
		}))
	}
	return nil
}

// placeless reports whether an aggregate gives the same in whatever order it
// takes the rows: sums of floating-point numbers do not.
func placeless(a plan.Aggregate) bool {
	switch a.Op {
	case plan.CountRows, plan.Count, plan.Min, plan.Max:
		return true
	case plan.Sum, plan.Avg:
		k := a.X.Type().Kind
		return k.IsInteger() || k == datum.Decimal
	}
	return false
}

func orderExprs(items []plan.OrderItem) []plan.Expr {
	out := make([]plan.Expr, len(items))
	for i := range items {
		out[i] = items[i].X
	}
	return out
}

// everyOf returns 0 … n-1.
func everyOf(n int) []int { return positions(n, func(i int) int { return i }) }

// positions returns what of gives for 0 … n-1, nil when one of them is not there.
func positions(n int, of func(int) int) []int {
	out := make([]int, n)
	for i := range out {
		if out[i] = of(i); out[i] < 0 {
			return nil
		}
	}
	return out
}

// keyed says which columns name a row, nil for none.
func (b *resultBinding) keyed(key []int) {
	b.o.Key = key
	for _, at := range key {
		b.o.Columns[at].PrimaryKey = true
	}
}

// steady refuses expressions whose value may change while no row does.
func (b *resultBinding) steady(exprs ...plan.Expr) error {
	var found *plan.Function
	for _, x := range exprs {
		if x == nil {
			continue
		}
		plan.Walk(x, func(x plan.Expr) bool {
			c, ok := x.(*plan.Call)
			if !ok || c.Fn.Volatility == plan.Immutable {
				return true
			}
			switch own := c.Fn.Chapter == "Context" && len(c.Args) == 0; {
			case c.Fn.Volatility == plan.Volatile:
				found = c.Fn
			case own:
				b.personal = true
			case c.Fn.Chapter != "Date and time" || len(c.Args) < 2: // the rules of time zones come with the program
				found = c.Fn
			}
			return found == nil
		})
	}
	if found != nil {
		return fault.New(fault.InvalidDefinition, "%s() cannot stand in a live join, aggregate, DISTINCT or LIMIT: its value changes while no row does; write a constant or a parameter", found.Name)
	}
	return nil
}

// read notes one partition that the statement reads.
func (b *resultBinding) read(t *schema.Table, filter plan.Expr, needed []int, a *plan.Access) error {
	if a.Deleted {
		// Tombstones are purged without an event.
		return fault.New(fault.NotImplemented, "a live query of deleted rows; only _deleted = false can be asked for")
	}
	r := live.Read{Table: t, Scope: b.scope(t), Filter: filter, Needed: needed}
	if a.Empty {
		r.Filter = nil
	}
	b.o.Reads = append(b.o.Reads, r)
	return nil
}

// tree describes a statement of the analytic path.
func (b *resultBinding) tree(a *plan.Analytic) error {
	if len(a.Views) > 0 {
		return fault.New(fault.InvalidDefinition, "view %s cannot stand in a live query; write its SELECT", a.Views[0].Name)
	}
	b.o.Params = a.Params
	var err error
	loose := true
	plan.Nodes(a.Root, func(n plan.Node) {
		if err == nil {
			err = b.steady(plan.Expressions(n)...)
		}
		switch n := n.(type) {
		case *plan.Scan:
			if err == nil {
				err = b.read(n.Table, n.Filter, n.Needed, &n.Access)
			}
		case *plan.Filter, *plan.Join, *plan.Project, *plan.Sort:
		case *plan.Aggregation:
			loose = loose && !slices.ContainsFunc(n.Aggregates, func(a plan.Aggregate) bool { return !placeless(a) })
		default:
			loose = false
		}
	})
	if err != nil {
		return err
	}
	if len(b.o.Reads) == 0 {
		return fault.New(fault.Syntax, "a SELECT without FROM is not supported in a subscription")
	}
	b.o.Loose = loose
	for _, c := range columnsOf(nil, a.Outputs) {
		b.o.Columns = append(b.o.Columns, live.Column(c))
	}
	b.treeKey(a)
	return nil
}

// treeKey finds the columns that name a row: those of groups, the keys of all
// tables of a join, or all of DISTINCT.
func (b *resultBinding) treeKey(a *plan.Analytic) {
	node, all := a.Root, false
	for {
		switch n := node.(type) {
		case *plan.Sort:
			node = n.Input
			continue
		case *plan.Slice:
			node = n.Input
			continue
		case *plan.Filter:
			node = n.Input
			continue
		case *plan.Unique:
			all = all || n.On == nil
			node = n.Input
			continue
		}
		break
	}
	p, ok := node.(*plan.Project)
	switch {
	case !ok || !projects(a, p):
		return
	case all:
		b.keyed(everyOf(len(a.Outputs)))
		return
	}
	refs, single, ok := namesOf(p.Input)
	if !ok {
		return
	}
	b.o.Single = single
	if single {
		return
	}
	b.keyed(positions(len(refs), func(i int) int {
		// Behind them stand what only the order needs.
		return slices.IndexFunc(p.Outputs[:len(a.Outputs)], func(out plan.Output) bool {
			r, ok := out.X.(*plan.Ref)
			return ok && r.Rel == refs[i].Rel && r.Position == refs[i].Position
		})
	}))
}

// projects reports whether the outputs are those of a node one by one.
func projects(a *plan.Analytic, p *plan.Project) bool {
	for i := range a.Outputs {
		if r, ok := a.Outputs[i].X.(*plan.Ref); !ok || r.Rel != p.Rel || r.Position != i {
			return false
		}
	}
	return len(a.Outputs) <= len(p.Outputs)
}

// namesOf returns the columns whose values name a row of a node, or that it has
// one row only.
func namesOf(n plan.Node) (refs []plan.Ref, single, ok bool) {
	switch n := n.(type) {
	case *plan.Filter:
		return namesOf(n.Input)
	case *plan.Scan:
		for _, at := range n.Table.KeyPositions() {
			refs = append(refs, plan.Ref{Rel: n.Rel, Position: at})
		}
		return refs, false, true
	case *plan.Join:
		l, _, ok1 := namesOf(n.L)
		r, _, ok2 := namesOf(n.R)
		return append(l, r...), false, ok1 && ok2
	case *plan.Aggregation:
		if n.Sets != nil {
			return nil, false, false
		}
		for i := range n.Groups {
			refs = append(refs, plan.Ref{Rel: n.Rel, Position: i})
		}
		return refs, len(n.Groups) == 0, true
	}
	return nil, false, false
}
