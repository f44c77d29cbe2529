package plan

import (
	"slices"
	"strings"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// fromClause binds FROM and puts it in scope.
func (b *binder) fromClause(s *parse.Select) error {
	sources := s.Sources
	if s.From != nil {
		sources = []parse.TableExpr{&parse.TableName{At: parse.At{Offset: s.From.Offset}, Name: *s.From, Alias: parse.Alias{Name: s.Alias}}}
	}
	r, err := b.sources(sources)
	if err != nil {
		return err
	}
	b.from.relation = *r
	return nil
}

// sources binds the items of FROM, which pair each row of one with each of the
// others.
func (b *binder) sources(sources []parse.TableExpr) (*relation, error) {
	var all *relation
	for _, s := range sources {
		r, err := b.source(s, all)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = r
			continue
		}
		if all, err = b.pair(InnerJoin, all, r, s.Pos()); err != nil {
			return nil, err
		}
	}
	if all == nil {
		all = &relation{node: &One{}}
	}
	return all, nil
}

// pair joins two relations without a condition.
func (b *binder) pair(kind JoinKind, l, r *relation, at int) (*relation, error) {
	for _, i := range r.items {
		same := func(o *item) bool { return o.name == i.name && o.namespace == i.namespace && i.name != "" }
		if slices.ContainsFunc(l.items, same) {
			return nil, fault.At(fault.Syntax, at, "table name '%s' stands in FROM more than once; give one of them an alias", i.name)
		}
	}
	j := &Join{Kind: kind, L: l.node, R: r.node, Lateral: nodeReads(r.node, l.rels)}
	if j.Lateral && kind != InnerJoin && kind != LeftJoin {
		return nil, fault.At(fault.Syntax, at, "the right side of this join reads columns of its left side, which only INNER and LEFT JOIN allow")
	}
	return &relation{
		node: j, items: slices.Concat(l.items, r.items), columns: slices.Concat(l.columns, r.columns), rels: slices.Concat(l.rels, r.rels),
		keys: slices.Concat(l.keys, r.keys), stored: l.stored || r.stored, unkeyed: l.unkeyed || r.unkeyed,
	}, nil
}

// nodeReads reports whether anything below a node reads columns of others.
func nodeReads(n Node, rels []int) bool {
	reads := false
	Nodes(n, func(n Node) {
		visit(n, func(x Expr) {
			Walk(x, func(x Expr) bool {
				r, ok := x.(*Ref)
				reads = reads || ok && slices.Contains(rels, r.Rel)
				return !reads
			})
		})
	})
	return reads
}

// source binds one item of FROM; left are those before it, which LATERAL sees.
func (b *binder) source(s parse.TableExpr, left *relation) (*relation, error) {
	if err := b.tree.source(s.Pos()); err != nil {
		return nil, err
	}
	switch s := s.(type) {
	case *parse.TableName:
		return b.tableName(s)
	case *parse.Derived:
		return b.derived(s, left)
	case *parse.TableFunction:
		return b.tableFunction(s, left)
	case *parse.Join:
		return b.join(s, left)
	}
	return nil, fault.At(fault.NotImplemented, s.Pos(), "an item of FROM of this form is not supported")
}

// tableName binds a query of WITH, a view or a table.
func (b *binder) tableName(s *parse.TableName) (*relation, error) {
	if s.Name.Namespace == "" {
		if q := b.queries.find(s.Name.Name); q != nil {
			return b.recall(q, s)
		}
	}
	name := s.Name
	if name.Namespace == "" {
		name.Namespace = b.namespace
	}
	if v, ok := b.tree.scope.View(name); ok {
		return b.view(v, s)
	}
	t, err := b.tree.scope.Table(name)
	if err != nil {
		return nil, locate(err, s.Name.Offset)
	}
	return b.scan(t, s.Alias, s.Name.Offset)
}

// scan reads a table.
func (b *binder) scan(t *schema.Table, alias parse.Alias, at int) (*relation, error) {
	b.tree.read(t)
	n := &Scan{Rel: b.tree.next(), Table: t}
	columns := make([]named, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		columns[i] = named{c.Name, &Ref{n.Rel, i, c.Name, c.Type}}
	}
	r := &relation{node: n, rels: []int{n.Rel}, stored: t.Kind != schema.System}
	keys := t.KeyPositions()
	if seq := t.SystemPosition(schema.SeqColumn); seq >= 0 && (t.Kind == schema.Stream || len(keys) == 0) {
		keys = append(keys, seq)
	}
	for _, p := range keys {
		r.keys = append(r.keys, columns[p].x)
	}
	r.unkeyed = len(keys) == 0
	i := &item{namespace: t.Namespace, name: t.Name, columns: columns, table: t, rel: n.Rel}
	return r, r.under(i, alias, at)
}

// under makes a relation an item, with its alias.
func (r *relation) under(i *item, alias parse.Alias, at int) error {
	if alias.Name != "" {
		i.namespace, i.name = "", alias.Name
	}
	if len(alias.Columns) > len(i.columns) {
		return fault.At(fault.Syntax, at, "'%s' has %d columns, but its alias names %d", i.name, len(i.columns), len(alias.Columns))
	}
	if len(alias.Columns) > 0 {
		i.columns = slices.Clone(i.columns)
	}
	for n, name := range alias.Columns {
		i.columns[n].name = name
	}
	r.items, r.columns = []*item{i}, i.columns
	return nil
}

// derived binds a subquery of FROM.
func (b *binder) derived(s *parse.Derived, left *relation) (*relation, error) {
	outer := &frame{outer: b.from.outer, barred: left}
	if s.Lateral {
		outer = b.lateral(left)
	}
	q, err := b.query(s.Select, outer, false)
	if err != nil {
		return nil, err
	}
	return q.relation("", s.Alias, s.Offset)
}

// lateral is what an item of FROM sees that may read those before it.
func (b *binder) lateral(left *relation) *frame {
	if left == nil {
		return b.from.outer
	}
	return &frame{relation: *left, outer: b.from.outer}
}

// relation makes an item of FROM of a query.
func (r *rows) relation(name string, alias parse.Alias, at int) (*relation, error) {
	out := &relation{node: r.node, stored: r.stored, unkeyed: true, sorted: r.sorted}
	if r.sorted {
		out.by = orderOf(r.node)
	}
	columns := make([]named, len(r.columns))
	for i := range r.columns {
		c := r.columns[i]
		columns[i] = named{c.Name, &c}
		if !slices.Contains(out.rels, c.Rel) {
			out.rels = append(out.rels, c.Rel)
		}
	}
	return out, out.under(&item{name: name, columns: columns}, alias, at)
}

// view binds the SELECT of a view.
func (b *binder) view(v *schema.View, s *parse.TableName) (*relation, error) {
	stmt, err := parse.Parse(v.Text)
	if err != nil {
		return nil, ofView(v, err, s.Name.Offset)
	}
	sel, ok := stmt.(*parse.Select)
	if !ok {
		return nil, fault.At(fault.InvalidDefinition, s.Name.Offset, "view '%s' is no SELECT", v.QualifiedName())
	}
	if !contains(b.tree.views, v) {
		b.tree.views = append(b.tree.views, v)
	}
	q, err := b.viewQuery(v, sel)
	if err != nil {
		return nil, ofView(v, err, s.Name.Offset)
	}
	if len(v.Columns) > len(q.columns) {
		return nil, fault.At(fault.InvalidDefinition, s.Name.Offset, "view '%s' names %d columns, but its SELECT gives %d", v.QualifiedName(), len(v.Columns), len(q.columns))
	}
	for i, name := range v.Columns {
		q.columns[i].Name = name
	}
	alias := s.Alias
	r, err := q.relation(v.Name, alias, s.Name.Offset)
	if err == nil && alias.Name == "" {
		r.items[0].namespace = v.Namespace
	}
	return r, err
}

func contains(views []*schema.View, v *schema.View) bool {
	return slices.ContainsFunc(views, func(o *schema.View) bool { return o.QualifiedName() == v.QualifiedName() })
}

// viewQuery binds it where the view was defined: nothing of the statement
// around it is in scope.
func (b *binder) viewQuery(v *schema.View, s *parse.Select) (*rows, error) {
	if contains(b.tree.within, v) {
		return nil, fault.New(fault.InvalidDefinition, "it reads itself")
	}
	b.tree.within = append(b.tree.within, v)
	defer func() { b.tree.within = b.tree.within[:len(b.tree.within)-1] }()
	defer b.enter()()
	b.queries, b.namespace, b.fixed, b.clause = nil, v.Default, true, "a view"
	return b.query(s, nil, false)
}

// ofView says that a fault is one of a view, whose text has other places.
func ofView(v *schema.View, err error, at int) error {
	f := *fault.Of(err)
	if f.Code == fault.Internal {
		return err
	}
	f.Offset = at
	if strings.HasPrefix(f.Message, "view '") {
		return &f // the innermost view is named already
	}
	f.Message = "view '" + v.QualifiedName() + "': " + f.Message
	return &f
}

// recall reads a query of WITH.
func (b *binder) recall(q *queryName, s *parse.TableName) (*relation, error) {
	if err := b.mayRecall(q, s.Name.Offset); err != nil {
		return nil, err
	}
	q.uses++
	n := &Recall{b.tree.next(), q.query, q.columns}
	columns := make([]named, len(q.columns))
	for i, c := range q.columns {
		columns[i] = named{c.Name, &Ref{n.Rel, i, c.Name, c.Type}}
	}
	r := &relation{node: n, rels: []int{n.Rel}, stored: q.stored, unkeyed: true, sorted: q.sorted}
	return r, r.under(&item{name: q.name, columns: columns}, s.Alias, s.Name.Offset)
}

var joinKinds = map[string]JoinKind{"inner": InnerJoin, "cross": InnerJoin, "left": LeftJoin, "right": RightJoin, "full": FullJoin}

// join binds L JOIN R.
func (b *binder) join(s *parse.Join, left *relation) (*relation, error) {
	l, err := b.source(s.L, left)
	if err != nil {
		return nil, err
	}
	before := l
	if left != nil {
		before = &relation{items: slices.Concat(left.items, l.items), columns: slices.Concat(left.columns, l.columns), rels: slices.Concat(left.rels, l.rels)}
	}
	kind := joinKinds[s.Kind]
	uses := b.recursiveUses()
	r, err := b.source(s.R, before)
	if err != nil {
		return nil, err
	}
	if kind != InnerJoin && (b.recursiveUses() > uses || kind != LeftJoin && uses > 0 && b.nodeRecalls(l.node)) {
		return nil, fault.At(fault.Syntax, s.Offset, "the recursive part of a WITH query must not stand on the optional side of an outer join")
	}
	out, err := b.pair(kind, l, r, s.R.Pos())
	if err != nil {
		return nil, err
	}
	j := out.node.(*Join)
	using := s.Using
	if s.Natural {
		using = commonNames(l, r, s.Offset)
	}
	switch {
	case s.Natural || len(using) > 0:
		err = b.using(out, j, l, r, using)
	case s.On != nil:
		err = b.on(out, j, s.On)
	}
	if err != nil {
		return nil, err
	}
	if s.Alias.Name != "" {
		return out, out.under(&item{columns: out.columns}, s.Alias, s.Offset)
	}
	return out, nil
}

// on binds the condition of a join, which sees its two sides only.
func (b *binder) on(r *relation, j *Join, e parse.Expr) error {
	old := b.from
	b.from = &frame{relation: *r, outer: old.outer}
	defer func() { b.from = old }()
	x, err := b.condition(e, "ON")
	if err != nil {
		return err
	}
	if c, ok := x.(*Const); !ok || c.Value.IsNull() || !c.Value.Bool() {
		j.On = b.place(x)
	}
	return nil
}

// commonNames are the columns of NATURAL: those that both sides have, without
// the system columns, which tell nothing about what rows mean.
func commonNames(l, r *relation, at int) []parse.Name {
	var out []parse.Name
	for _, c := range l.columns {
		system := c.name == schema.SeqName || c.name == schema.DeletedName
		if !system && len(gives(r.columns, c.name)) > 0 {
			out = append(out, parse.Name{Name: c.name, Offset: at})
		}
	}
	return out
}

// using joins on equal columns, which become one column each, before all others.
func (b *binder) using(out *relation, j *Join, l, r *relation, names []parse.Name) error {
	var conditions []Expr
	var merged []named
	for _, n := range names {
		if slices.ContainsFunc(merged, func(m named) bool { return m.name == n.Name }) {
			return fault.At(fault.Syntax, n.Offset, "column '%s' stands in USING twice", n.Name)
		}
		x, err := sideColumn(l, n, "left")
		if err != nil {
			return err
		}
		y, err := sideColumn(r, n, "right")
		if err != nil {
			return err
		}
		eq, err := b.compare(operator("="), x, y, n.Offset, n.Offset, n.Offset)
		if err != nil {
			return err
		}
		conditions = append(conditions, eq)
		m, err := b.merge(j.Kind, x, y, n)
		if err != nil {
			return err
		}
		merged = append(merged, named{n.Name, m})
	}
	if len(conditions) > 0 {
		j.On = b.place(logic(false, conditions))
	}
	rest := func(columns []named) {
		for _, c := range columns {
			if !slices.ContainsFunc(names, func(n parse.Name) bool { return n.Name == c.name }) {
				merged = append(merged, c)
			}
		}
	}
	rest(l.columns)
	rest(r.columns)
	out.columns = merged
	return nil
}

// merge is the one column that USING makes of two.
func (b *binder) merge(kind JoinKind, x, y Expr, n parse.Name) (Expr, error) {
	both := []Expr{x, y}
	t, err := b.unify(both, []int{n.Offset, n.Offset}, "USING")
	if err != nil {
		return nil, err
	}
	switch kind {
	case RightJoin:
		return both[1], nil
	case FullJoin:
		return &Coalesce{both, t}, nil
	}
	return both[0], nil
}

func sideColumn(r *relation, n parse.Name, side string) (Expr, error) {
	switch found := gives(r.columns, n.Name); len(found) {
	case 0:
		return nil, fault.At(fault.ColumnNotFound, n.Offset, "column '%s' of USING does not exist on the %s side", n.Name, side)
	case 1:
		return found[0].x, nil
	}
	return nil, fault.At(fault.ColumnNotFound, n.Offset, "column '%s' of USING is ambiguous: the %s side has several of that name", n.Name, side)
}

// tableFunction binds a function in FROM.
func (b *binder) tableFunction(s *parse.TableFunction, left *relation) (*relation, error) {
	name := s.Call.Name
	entries := tableFunctions[name]
	if arrays := arraysOf(s.Call); arrays != nil {
		return b.unnest(s, arrays, left)
	}
	if len(entries) == 0 {
		if len(catalog.functions[name]) > 0 {
			return nil, fault.At(fault.NotImplemented, s.Offset, "function %s gives one value and cannot stand in FROM", name)
		}
		return nil, b.noTableFunction(name, s.Offset)
	}
	if c := s.Call; c.Star || c.Distinct || c.Filter != nil || len(c.OrderBy)+len(c.Within) > 0 || c.Over != nil || c.Variadic {
		return nil, fault.At(fault.TypeMismatch, s.Offset, "%s is not an aggregate and takes no *, DISTINCT, FILTER, OVER or ORDER BY", name)
	}
	if name == parse.VectorSearch {
		return b.vectorSearch(s, left)
	}
	args, err := b.lateralArgs(s.Call.Args, left)
	if err != nil {
		return nil, err
	}
	fn, columns, err := b.tableCall(entries, args, s)
	if err != nil {
		return nil, err
	}
	for i := range args {
		args[i] = b.place(b.settle(args[i]))
	}
	if len(columns) == 1 && s.Alias.Name != "" && !fn.named {
		columns[0].Name = s.Alias.Name
	}
	n, number := numbered(b.tree.next(), fn, args, columns)
	r := &relation{node: n, rels: []int{n.Rel}, keys: []Expr{number}}
	names := make([]named, len(n.Columns))
	for i, c := range n.Columns {
		names[i] = named{c.Name, &Ref{n.Rel, i, c.Name, c.Type}}
	}
	if !s.Ordinality {
		names = names[:len(columns)]
	}
	return r, r.under(&item{name: name, columns: names, scalar: len(names) == 1}, s.Alias, s.Offset)
}

// numbered makes a call whose rows are counted, so that they keep their order; if
// nothing asks for the number, it is left out in the end.
func numbered(rel int, fn *TableFunction, args []Expr, columns []RelColumn) (*TableCall, *Ref) {
	const name = "ordinality"
	n := &TableCall{Rel: rel, Fn: fn, Args: args, Columns: append(columns[:len(columns):len(columns)], RelColumn{name, bigintType}), Ordinality: true}
	return n, &Ref{rel, len(columns), name, bigintType}
}

// lateralArgs binds the arguments of a function in FROM, which see the items
// before it.
func (b *binder) lateralArgs(list []parse.Expr, left *relation) ([]Expr, error) {
	old := b.from
	defer func() { b.from = old }()
	b.from, b.clause = b.lateral(left), "a function in FROM"
	if b.from == nil {
		b.from = &frame{}
	}
	return b.exprs(list)
}

// tableCall chooses the overload and converts its arguments.
func (b *binder) tableCall(entries []*TableFunction, args []Expr, s *parse.TableFunction) (*TableFunction, []RelColumn, error) {
	forms := make([]*Function, len(entries))
	for i, f := range entries {
		forms[i] = &f.call
	}
	fn := b.choose(forms, args)
	if fn == nil {
		return nil, nil, wrongArguments(forms, s.Call.Name, args, s.Offset)
	}
	if err := b.convertArgs(fn, args, s.Offset); err != nil {
		return nil, nil, err
	}
	f := entries[slices.Index(forms, fn)]
	columns := f.columns(args)
	for i, x := range args {
		// A series is counted in the type that it gives.
		if t := columns[0].Type; len(columns) == 1 && t.Kind.IsNumeric() && x.Type().Kind.IsNumeric() && x.Type() != t {
			y, err := b.coerce(x, t, s.Offset)
			if err != nil {
				return nil, nil, err
			}
			args[i] = y
		}
	}
	return f, columns, nil
}
