package plan

import (
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// maxSets bounds the grouping sets of a SELECT after CUBE and ROLLUP are
// written out.
const maxSets = 1024

// groupRef is a group as a column of the Aggregation.
func groupRef(rel, i int, x Expr) *Ref {
	name := "group"
	if r, ok := x.(*Ref); ok {
		name = r.Name
	}
	return &Ref{rel, i, name, x.Type()}
}

// groupingCall is GROUPING until the Aggregation is made: its arguments, then
// its place in Groupings.
type groupingCall struct {
	args  []Expr
	at    int
	index int
}

// Type returns INT.
func (e *groupingCall) Type() datum.Type { return intType }

// String prints the call.
func (e *groupingCall) String() string { return string(e.appendTo(nil)) }

func (e *groupingCall) operands() []Expr { return e.args }
func (e *groupingCall) withOperands(x []Expr) Expr {
	return &groupingCall{x, e.at, e.index}
}
func (e *groupingCall) appendTo(dst []byte) []byte {
	return appendList(append(dst, "grouping"...), e.args)
}

// groupingOf binds GROUPING(…).
func (b *binder) groupingOf(e *parse.Grouping) (Expr, error) {
	const most = 31
	switch {
	case b.tree == nil:
		return nil, beyondRows("GROUPING", e.Offset)
	case b.inside || b.aggregates == nil:
		return nil, fault.At(fault.Syntax, e.Offset, "GROUPING cannot stand in %s", orElse(b.clause, "an aggregate"))
	case !b.extra.grouping:
		return nil, fault.At(fault.Syntax, e.Offset, "GROUPING needs a GROUP BY")
	case len(e.Items) > most:
		return nil, fault.At(fault.LimitExceeded, e.Offset, "GROUPING takes at most %d arguments", most)
	}
	args, err := b.exprs(e.Items)
	if err != nil {
		return nil, err
	}
	for i := range args {
		args[i] = b.place(b.settle(args[i]))
	}
	return &groupingCall{args, e.Offset, -1}, nil
}

// grouping replaces a GROUPING over the groups.
func (g *grouping) grouping(e *groupingCall) (Expr, error) {
	set := make([]int, len(e.args))
	for i, x := range e.args {
		if set[i] = g.find(x.String()); set[i] < 0 {
			return nil, fault.At(fault.Syntax, e.at, "the arguments of GROUPING must be expressions of GROUP BY; %s is not", shown(x))
		}
	}
	extra := g.b.extra
	if extra.sets == nil {
		return &Const{datum.NewInt(datum.Int, 0), intType}, nil
	}
	at := slices.IndexFunc(extra.groupings, func(s []int) bool { return slices.Equal(s, set) })
	if at < 0 {
		at = len(extra.groupings)
		extra.groupings = append(extra.groupings, set)
	}
	return &groupingCall{nil, e.at, at}, nil
}

// aggregation gathers the rows of a node and lets what follows read its columns.
func (b *binder) aggregation(q *Query, node Node) Node {
	e := b.extra
	a := &Aggregation{e.groups, node, q.Groups, q.Aggregates, e.sets, e.groupings}
	behind := len(q.Groups) + len(q.Aggregates)
	each := func(x Expr) Expr {
		y, _ := rewrite(x, func(x Expr) (Expr, error) {
			switch x := x.(type) {
			case *AggRef:
				return &Ref{a.Rel, len(q.Groups) + x.Index, x.A.Op.String(), x.A.Type}, nil
			case *groupingCall:
				return &Cast{X: &Ref{a.Rel, behind + x.index, "grouping", bigintType}, To: intType, Implicit: true}, nil
			}
			return nil, nil
		})
		return y
	}
	for i := range q.Outputs {
		q.Outputs[i].X = each(q.Outputs[i].X)
	}
	for i := range q.Order {
		q.Order[i].X = each(q.Order[i].X)
	}
	q.Having = each(q.Having)
	for i := range e.on {
		e.on[i] = each(e.on[i])
	}
	for i := range e.windows {
		e.windows[i].change(each)
	}
	if e.series != nil {
		e.series.Args = eachOf(e.series.Args, each)
	}
	return a
}

// overRef turns a column of FROM into one of the Aggregation.
func (g *grouping) overRef(e *Ref, at int, within string) (Expr, error) {
	if !slices.Contains(g.b.from.rels, e.Rel) {
		return e, nil // of an outer query, or a window function
	}
	if i := g.find(e.String()); i >= 0 {
		return groupRef(g.b.extra.groups, i, e), nil
	}
	if slices.Contains(g.keyed, e.Rel) {
		return groupRef(g.b.extra.groups, g.add(e), e), nil
	}
	if within != "" {
		return nil, fault.At(fault.Syntax, at, "the subquery reads column '%s' of the query around it, which must appear in GROUP BY", e.Name)
	}
	return nil, fault.At(fault.Syntax, at, "column '%s' must appear in GROUP BY or be used in an aggregate", e.Name)
}

// overSubquery lets a subquery read groups where it reads rows of the SELECT
// that is grouped.
func (g *grouping) overSubquery(e *Subquery, at int) (Expr, error) {
	xs := make([]Expr, len(e.X))
	for i, x := range e.X {
		y, err := g.over(x, at)
		if err != nil {
			return nil, err
		}
		xs[i] = y
	}
	err := alter(e.Root, func(x Expr) (Expr, error) {
		if r, ok := x.(*Ref); ok {
			return g.overRef(r, at, "subquery")
		}
		if i := g.find(x.String()); i >= 0 && readsAny(x, g.b.from.rels) {
			return groupRef(g.b.extra.groups, i, x), nil
		}
		return nil, nil
	})
	return e.withOperands(xs), err
}

// readsAny reports whether an expression reads a column of one of the nodes.
func readsAny(x Expr, rels []int) bool {
	reads := false
	walkAll(x, func(e Expr) {
		r, ok := e.(*Ref)
		reads = reads || ok && slices.Contains(rels, r.Rel)
	})
	return reads
}

// keyedRels returns the tables whose whole primary key is among the groups, so
// that each of their columns has one value per group.
func (g *grouping) keyedRels() []int {
	if g.b.tree == nil || g.b.extra.sets != nil {
		return nil
	}
	var out []int
	for _, i := range g.b.from.items {
		if i.table == nil || len(i.table.Key) == 0 || i.table.Kind == schema.Stream {
			continue
		}
		all := true
		for _, p := range i.table.KeyPositions() {
			all = all && g.find(i.columns[p].x.String()) >= 0
		}
		if all {
			out = append(out, i.rel)
		}
	}
	return out
}

// groupSets binds GROUP BY with GROUPING SETS, ROLLUP and CUBE: the groups of
// all sets, each once, and the sets as positions among them.
func (b *binder) groupSets(q *Query, s *parse.Select) ([]Expr, [][]int, error) {
	var groups []Expr
	at := make(map[string]int)
	add := func(e parse.Expr) (int, error) {
		x, err := b.groupTerm(q, e)
		if err != nil {
			return 0, err
		}
		text := x.String()
		i, ok := at[text]
		if !ok {
			i = len(groups)
			at[text] = i
			groups = append(groups, x)
		}
		return i, nil
	}
	sets := [][]int{{}}
	for _, e := range s.GroupBy {
		some, err := expandSets(e, add)
		if err != nil {
			return nil, nil, err
		}
		if len(sets)*len(some) > maxSets {
			return nil, nil, tooManySets(e.Pos())
		}
		var all [][]int
		for _, a := range sets {
			for _, b := range some {
				all = append(all, union(a, b))
			}
		}
		sets = all
	}
	if s.GroupDistinct {
		sets = distinctSets(sets)
	}
	return groups, sets, nil
}

func tooManySets(at int) error {
	return fault.At(fault.LimitExceeded, at, "GROUP BY has more than %d grouping sets", maxSets)
}

// union joins two sets, each position once.
func union(a, b []int) []int {
	out := slices.Clone(a)
	for _, i := range b {
		if !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

func distinctSets(sets [][]int) [][]int {
	var out [][]int
	for _, s := range sets {
		slices.Sort(s)
		if !slices.ContainsFunc(out, func(o []int) bool { return slices.Equal(o, s) }) {
			out = append(out, s)
		}
	}
	return out
}

// expandSets writes one item of GROUP BY out as grouping sets.
func expandSets(e parse.Expr, add func(parse.Expr) (int, error)) ([][]int, error) {
	g, ok := e.(*parse.GroupingSets)
	if !ok {
		set, err := expandSet(e, add)
		return [][]int{set}, err
	}
	var parts [][]int
	for _, item := range g.Items {
		some, err := expandSets(item, add)
		if err != nil {
			return nil, err
		}
		if parts = append(parts, some...); len(parts) > maxSets {
			return nil, tooManySets(g.Offset)
		}
	}
	switch g.Kind {
	case "rollup":
		out := [][]int{{}}
		for _, p := range parts {
			out = append(out, union(out[len(out)-1], p))
		}
		slices.Reverse(out)
		return out, nil
	case "cube":
		if len(parts) > 12 || 1<<len(parts) > maxSets {
			return nil, tooManySets(g.Offset)
		}
		var out [][]int
		for mask := 1<<len(parts) - 1; mask >= 0; mask-- {
			set := []int{}
			for i, p := range parts {
				if mask&(1<<(len(parts)-1-i)) != 0 {
					set = union(set, p)
				}
			}
			out = append(out, set)
		}
		return out, nil
	}
	return parts, nil
}

// expandSet reads (a, b) or a as one set.
func expandSet(e parse.Expr, add func(parse.Expr) (int, error)) ([]int, error) {
	items := []parse.Expr{e}
	if row, ok := e.(*parse.Row); ok {
		items = row.Items
	}
	set := []int{}
	for _, item := range items {
		i, err := add(item)
		if err != nil {
			return nil, err
		}
		set = union(set, []int{i})
	}
	return set, nil
}
