package plan

import (
	"slices"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// MaxNearest bounds how many rows vector_search gives; nearestRows is how many
// it gives when nobody says.
const (
	MaxNearest  = 10_000
	nearestRows = 10
)

// nearestFunctions look for rows by what they are like.
func nearestFunctions() []TableFunction {
	const doc = "The rows whose embeddings are nearest to a vector, best first: the primary key as text, and how near the row is. " +
		"The column needs a vector index, whose metric counts; every row of the caller's scope is looked at."
	columns := func([]Expr) []RelColumn { return []RelColumn{{"row_id", textType}, {"score", floatType}} }
	entry := func(more string, args ...pattern) TableFunction {
		return TableFunction{Name: parse.VectorSearch, Doc: doc + more, call: Function{args: args, shows: "row_id TEXT, score FLOAT"}, named: true, columns: columns}
	}
	return []TableFunction{
		entry(" At most 10.", textArg, textArg, vectorArg),
		entry(" The fourth argument says how many at most.", textArg, textArg, vectorArg, intArg),
	}
}

// vectorSearch binds vector_search as the SELECT that it is: the distances of a
// column in order, the nearest of which are kept. Scope, rights and versions are
// thus those of any other read of the table.
func (b *binder) vectorSearch(s *parse.TableFunction, left *relation) (*relation, error) {
	args := s.Call.Args
	if len(args) < 3 || len(args) > 4 {
		return nil, fault.At(fault.TypeMismatch, s.Offset, "vector_search takes a table, a column, a vector and perhaps a number of rows: three or four arguments, not %d", len(args))
	}
	if s.Ordinality {
		return nil, fault.At(fault.NotImplemented, s.Offset, "vector_search does not take WITH ORDINALITY; use ROW_NUMBER() OVER (ORDER BY score DESC)")
	}
	if s.Table == nil {
		return nil, fault.At(fault.TypeMismatch, args[0].Pos(), "vector_search takes the name of the table as a literal text")
	}
	name := *s.Table
	if name.Namespace == "" {
		name.Namespace = b.namespace
	}
	t, err := b.tree.scope.Table(name)
	if err != nil {
		return nil, locate(err, name.Offset)
	}
	c, err := searchedColumn(t, args[1])
	if err != nil {
		return nil, err
	}
	if err := nearestCount(args[3:]); err != nil {
		return nil, err
	}
	if !steady(args[2]) {
		return nil, fault.At(fault.TypeMismatch, args[2].Pos(), "vector_search takes the vector as a literal or a parameter; ORDER BY a distance takes any expression")
	}
	if err := searchedVector(args[2], c); err != nil {
		return nil, err
	}
	q, err := b.query(nearest(s, t, name, c), &frame{outer: b.from.outer, barred: left}, false)
	if err != nil {
		return nil, err
	}
	return q.relation(parse.VectorSearch, s.Alias, s.Offset)
}

// searchedColumn finds the column that is searched.
func searchedColumn(t *schema.Table, e parse.Expr) (*schema.Column, error) {
	l, ok := e.(*parse.Literal)
	if !ok || l.Value.Kind() != datum.Text {
		return nil, fault.At(fault.TypeMismatch, e.Pos(), "vector_search takes the name of the column as a literal text")
	}
	at := t.Column(strings.ToLower(l.Value.Text()))
	switch {
	case at < 0:
		return nil, fault.At(fault.ColumnNotFound, l.Offset, "column '%s' does not exist in table %s", shorten(l.Value.Text()), t.QualifiedName())
	case t.Columns[at].Type.Kind != datum.Embedding:
		return nil, fault.At(fault.TypeMismatch, l.Offset, "Column '%s' is not EMBEDDING", t.Columns[at].Name)
	}
	return &t.Columns[at], nil
}

// nearestCount checks the number of rows.
func nearestCount(rest []parse.Expr) error {
	if len(rest) == 0 {
		return nil
	}
	switch e := rest[0].(type) {
	case *parse.Param:
		return nil
	case *parse.Literal:
		if v := e.Value; v.Kind().IsInteger() && v.Int() > 0 && v.Int() <= MaxNearest {
			return nil
		}
	}
	return fault.At(fault.InvalidValue, rest[0].Pos(), "the number of rows of vector_search must be a whole number from 1 to %d", MaxNearest)
}

// steady reports whether an expression is made of literals and parameters.
func steady(e parse.Expr) bool {
	switch e := e.(type) {
	case *parse.Literal, *parse.Param:
		return true
	case *parse.Cast:
		return steady(e.X)
	case *parse.Unary:
		return steady(e.X)
	case *parse.ArrayCast:
		return steady(e.X)
	case *parse.Array:
		return !slices.ContainsFunc(e.Items, func(x parse.Expr) bool { return !steady(x) })
	}
	return false
}

// searchedVector checks a vector that is written out.
func searchedVector(e parse.Expr, c *schema.Column) error {
	l, ok := e.(*parse.Literal)
	if !ok {
		return nil
	}
	if l.Value.IsNull() {
		return fault.At(fault.InvalidValue, l.Offset, "vector_search takes a vector, not NULL")
	}
	if _, err := datum.Cast(l.Value, c.Type); err != nil {
		return locate(err, l.Offset)
	}
	return nil
}

// nearest is the SELECT. A column without a vector index has nothing to find.
func nearest(s *parse.TableFunction, t *schema.Table, name parse.Name, c *schema.Column) *parse.Select {
	at := s.At
	column := func(name string) parse.Expr { return &parse.Column{At: at, Name: name} }
	number := func(n int64) parse.Expr { return &parse.Literal{At: at, Value: datum.NewInt(datum.Int, n), Slot: -1} }
	cast := func(x parse.Expr, to datum.Type) parse.Expr { return &parse.Cast{At: at, X: x, To: to} }
	x := t.VectorIndexOf(c.ID)
	metric := schema.Cosine
	if x != nil {
		metric = x.Metric
	}
	operators := map[schema.Metric]string{schema.Cosine: "<=>", schema.Straight: "<->", schema.Dot: "<#>"}
	distance := &parse.Binary{At: at, Op: operators[metric], L: column(c.Name), R: cast(s.Call.Args[2], c.Type)}
	best := int64(0)
	if metric == schema.Cosine {
		best = 1
	}
	score := &parse.Binary{At: at, Op: "-", L: number(best), R: distance}
	keys := make([]parse.Expr, 0, len(t.Key))
	for _, p := range t.KeyPositions() {
		keys = append(keys, column(t.Columns[p].Name))
	}
	id := parse.Expr(&parse.Call{At: at, Name: "json_build_array", Args: keys})
	if len(keys) == 1 {
		id = keys[0]
	}
	q := &parse.Select{
		Offset:  s.Offset,
		Outputs: []parse.Output{{X: cast(id, textType), Alias: "row_id"}, {X: cast(score, floatType), Alias: "score"}},
		Sources: []parse.TableExpr{&parse.TableName{At: parse.At{Offset: name.Offset}, Name: name}},
		Where:   &parse.Is{At: at, X: column(c.Name), What: "null", Not: true},
		OrderBy: []parse.Order{{X: distance}},
		Complex: "vector_search", LimitCount: number(nearestRows),
	}
	for _, k := range keys {
		q.OrderBy = append(q.OrderBy, parse.Order{X: k})
	}
	if len(s.Call.Args) > 3 {
		q.LimitCount = s.Call.Args[3]
	}
	if x == nil {
		q.Where = &parse.Literal{At: at, Value: datum.NewBool(false), Slot: -1}
	}
	return q
}
