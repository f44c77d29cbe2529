package plan

import (
	"slices"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// Scope resolves the tables that statements name.
type Scope interface {
	// Table returns the definition, or TABLE_NOT_FOUND or NAMESPACE_NOT_FOUND.
	Table(name parse.Name) (*schema.Table, error)
	// View returns the view that a name means, if it is one.
	View(name parse.Name) (*schema.View, bool)
}

// Options of a binding.
type Options struct {
	// Params is how many explicit parameters stand before the automatic ones in
	// Env.Params; the default is the highest $n that is met, which is too late
	// for statements with automatic parameters.
	Params int
	// Given tells the kind that a parameter came in, counted from 0. It is asked
	// where nothing else says what a parameter is; nil for none. A plan for which
	// it was asked is one for parameters of these kinds.
	Given func(source int) datum.Kind
}

// binder binds the expressions of one statement.
type binder struct {
	table *schema.Table // nil when no column is in scope
	alias string        // hides the table's own name when set
	first int           // index in Env.Params of the first automatic parameter
	fixed bool          // literals are constants, $n is refused
	given func(int) datum.Kind

	params   []ParamInfo
	indexes  map[ParamInfo]int // of params
	explicit int
	copied   int // nodes of operands that stand in a statement more than once
	// aliases are the output names, for a hint only.
	aliases []parse.Output

	// clause names the place for faults about aggregates.
	clause string
	// aggregates collects aggregate calls where they are allowed; else nil.
	aggregates *[]Aggregate
	// aggregateAt finds them by text.
	aggregateAt map[string]int
	// outputTexts are the texts of the select list, "" until somebody asks.
	outputTexts []string
	inside      bool // inside the argument of an aggregate

	// tree is what belongs to the whole of an Analytic; nil on the row path.
	tree *tree
	// from is in scope instead of table and alias, if it is not nil.
	from *frame
	// queries are the names of WITH in scope, the nearest first.
	queries *queryName
	// namespace is where unqualified names are looked up within a view, else "".
	namespace string
	// extra is what a SELECT of the tree has beside a Query.
	extra *extra
	// loose leaves outputs untyped that nothing gives a type; a set operation
	// finds one.
	loose bool
}

// enter makes room for the SELECT inside the one that is being bound, and
// returns what leads back.
func (b *binder) enter() (leave func()) {
	old := *b
	*b = binder{first: b.first, fixed: b.fixed, given: b.given, params: b.params, indexes: b.indexes, explicit: b.explicit, copied: b.copied, tree: b.tree, queries: b.queries, namespace: b.namespace}
	return func() {
		old.params, old.indexes, old.explicit, old.copied = b.params, b.indexes, b.explicit, b.copied
		*b = old
	}
}

func newBinder(o Options) *binder { return &binder{first: o.Params, given: o.Given} }

// BindFilter binds a condition over the rows of a table. It takes no
// parameters, and literals are constants.
func BindFilter(e parse.Expr, t *schema.Table) (Expr, error) {
	b := &binder{table: t, fixed: true, clause: "a filter"}
	return b.condition(e, "a filter")
}

// BindScalar binds an expression without rows, such as a default.
func BindScalar(e parse.Expr) (Expr, error) {
	b := &binder{fixed: true, clause: "an expression without rows"}
	x, err := b.expr(e)
	if err != nil {
		return nil, err
	}
	return b.settle(x), nil
}

// condition binds what has to be a truth value.
func (b *binder) condition(e parse.Expr, clause string) (Expr, error) {
	old := b.clause
	b.clause = clause
	defer func() { b.clause = old }()
	x, err := b.expr(e)
	if err != nil {
		return nil, err
	}
	return b.truth(x, e.Pos(), clause)
}

// truth makes x a truth value; what names the place for the fault.
func (b *binder) truth(x Expr, at int, what string) (Expr, error) {
	switch x.Type().Kind {
	case datum.Bool:
		return x, nil
	case datum.Null:
		return b.coerce(x, boolType, at)
	}
	return nil, fault.At(fault.TypeMismatch, at, "%s must be BOOLEAN, but %s is %s", what, shown(x), typeName(x.Type()))
}

// settle gives a final type to an expression that nothing has given one.
func (b *binder) settle(x Expr) Expr {
	if x.Type().Kind != datum.Null {
		return x
	}
	if x = b.asGiven(x); x.Type().Kind != datum.Null {
		return x
	}
	y, err := b.coerce(x, textType, -1)
	if err != nil {
		return x
	}
	return y
}

// coerce gives x a type: an untyped string is read as one, a parameter will be,
// anything else gets an implicit cast.
func (b *binder) coerce(x Expr, to datum.Type, at int) (Expr, error) {
	return b.convert(x, to, false, at)
}

func (b *binder) convert(x Expr, to datum.Type, loose bool, at int) (Expr, error) {
	if x.Type() == to {
		return x, nil
	}
	switch e := x.(type) {
	case *Const:
		v, err := constantAs(e, to, loose)
		if err != nil {
			return nil, locate(err, at)
		}
		if loose && v.Kind() == datum.Decimal {
			to = v.Type()
		}
		return &Const{v, to}, nil
	case *Param:
		info := e.Info
		info.Type, info.Loose = to, loose
		return &Param{-1, info}, nil
	}
	if x.Type().Kind == datum.Null {
		return retype(x, to), nil
	}
	return &Cast{X: x, To: to, Implicit: true}, nil
}

// constantAs converts a constant implicitly.
func constantAs(e *Const, to datum.Type, loose bool) (value, error) {
	switch {
	case e.Value.IsNull():
		return e.Value, nil
	case e.T.Kind == datum.Null && loose:
		return ParamInfo{Type: to, Loose: true}.convert(e.Value)
	}
	return datum.Cast(e.Value, to)
}

// retype gives a type to a form whose operands are all untyped, such as
// CASE WHEN c THEN NULL END.
func retype(x Expr, to datum.Type) Expr {
	switch e := x.(type) {
	case *Case:
		return &Case{e.Whens, e.Else, to}
	case *Coalesce:
		return &Coalesce{e.Args, to}
	}
	return &Cast{X: x, To: to, Implicit: true}
}

// locate gives a fault the place in the statement that it lacks.
func locate(err error, at int) error {
	f := fault.Of(err)
	if f.Code == fault.Internal || f.Offset >= 0 || at < 0 {
		return err
	}
	located := *f
	located.Offset = at
	return &located
}

// param returns the parameter for one use; equal uses share one entry. Until
// place is called a parameter has no index, for its type is not yet certain.
func (b *binder) param(info ParamInfo) *Param {
	i, known := b.indexes[info]
	if !known {
		if b.indexes == nil {
			b.indexes = map[ParamInfo]int{}
		}
		i = len(b.params)
		b.indexes[info] = i
		b.params = append(b.params, info)
	}
	return &Param{i, info}
}

// asGiven gives a parameter whose type nothing tells the one of the number or the
// truth value that it came as; a text stays open.
func (b *binder) asGiven(x Expr) Expr {
	p, ok := x.(*Param)
	if !ok || b.given == nil || p.Info.Automatic || p.Info.Type.Kind != datum.Null {
		return x
	}
	if k := b.given(p.Info.Source); k.IsNumeric() || k == datum.Bool {
		info := p.Info
		info.Type = datum.Type{Kind: k}
		return &Param{-1, info}
	}
	return x
}

// allGiven does so where no operand tells the type of the others.
func (b *binder) allGiven(xs []Expr) []Expr {
	if b.given == nil || slices.ContainsFunc(xs, func(x Expr) bool { return x.Type().Kind != datum.Null }) {
		return xs
	}
	out := make([]Expr, len(xs))
	for i, x := range xs {
		out[i] = b.asGiven(x)
	}
	return out
}

// literal binds a constant or an automatic parameter.
func (b *binder) literal(e *parse.Literal) Expr {
	t := e.Value.Type()
	if e.Untyped || e.Value.IsNull() {
		t = datum.Type{}
	}
	if e.Slot < 0 || b.fixed {
		return &Const{e.Value, t}
	}
	return &Param{-1, ParamInfo{Source: b.first + e.Slot, Automatic: true, Type: t}}
}

// parameter binds $n.
func (b *binder) parameter(e *parse.Param) (Expr, error) {
	if b.fixed {
		return nil, fault.At(fault.InvalidOperation, e.Offset, "a parameter cannot stand in %s", b.clause)
	}
	if e.Index < 1 {
		return nil, fault.At(fault.Syntax, e.Offset, "parameters are counted from $1")
	}
	b.explicit = max(b.explicit, e.Index)
	return &Param{-1, ParamInfo{Source: e.Index - 1}}, nil
}

// place gives the parameters of a finished expression their entries.
func (b *binder) place(x Expr) Expr {
	y, _ := rewrite(x, func(e Expr) (Expr, error) {
		if p, ok := e.(*Param); ok && p.Index < 0 {
			return b.param(p.Info), nil
		}
		return nil, nil
	})
	return y
}

// column binds a reference to a column.
func (b *binder) column(e *parse.Column) (Expr, error) {
	if b.from != nil {
		return b.treeColumn(e)
	}
	if b.table == nil {
		return nil, fault.At(fault.ColumnNotFound, e.Offset, "column '%s' does not exist; there is no table to take it from", e.Name)
	}
	if err := b.qualifier(e.Namespace, e.Table, e.Offset); err != nil {
		return nil, err
	}
	if at := b.table.Column(e.Name); at >= 0 {
		return b.columnAt(at), nil
	}
	if e.Name == schema.UpdatedName {
		if seq := b.table.SystemPosition(schema.SeqColumn); seq >= 0 {
			return updated(b.columnAt(seq)), nil
		}
	}
	return nil, b.noColumn(e.Name, e.Offset)
}

// updated is what the column _updated stands for.
func updated(seq Expr) Expr {
	return &Call{catalog.functions[schema.UpdatedName][0], []Expr{seq}, timestampType}
}

func (b *binder) columnAt(position int) *Col {
	c := &b.table.Columns[position]
	return &Col{position, c.Name, c.Type}
}

// qualifier checks the t of t.c against the alias or the name of the table.
func (b *binder) qualifier(namespace, table string, at int) error {
	switch {
	case table == "":
		return nil
	case b.alias != "":
		if namespace == "" && table == b.alias {
			return nil
		}
	case table == b.table.Name && (namespace == "" || namespace == b.table.Namespace):
		return nil
	}
	if namespace != "" {
		table = namespace + "." + table
	}
	have := b.alias
	if have == "" {
		have = b.table.QualifiedName()
	}
	return fault.At(fault.ColumnNotFound, at, "table '%s' is not part of this statement; it reads '%s'", table, have)
}

// noColumn is the fault for a name that no column has, with a hint.
func (b *binder) noColumn(name string, at int) error {
	for _, o := range b.aliases {
		if strings.EqualFold(o.Alias, name) && o.Alias != "" {
			return fault.At(fault.ColumnNotFound, at, "column '%s' does not exist in %s; an output name cannot be used in %s", name, b.table.QualifiedName(), b.clause)
		}
	}
	names := make([]string, len(b.table.Columns))
	for i := range b.table.Columns {
		names[i] = b.table.Columns[i].Name
	}
	return fault.At(fault.ColumnNotFound, at, "column '%s' does not exist in %s%s", name, b.table.QualifiedName(), suggestion(name, names))
}

// suggestion returns "; did you mean 'x'?" for the closest name, if one is
// close.
func suggestion(name string, names []string) string {
	const longest = 64
	best, least := "", 3
	if len(name) > longest {
		return ""
	}
	for _, n := range names {
		if len(n) > longest || len(n)-len(name) > 2 || len(name)-len(n) > 2 {
			continue
		}
		if d := distance(name, n); d < least && d < len(name) {
			best, least = n, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean '" + best + "'?"
}
