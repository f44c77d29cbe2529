package parse

import (
	"cmp"
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// tables returns known and, when the tree may name tables that ours does not
// show, all others anywhere below n, and below the WITH clause around it if
// there is one, in the order of the text.
func (c *converter) tables(n *pg.Node, around *pg.WithClause, known []Name) []Name {
	if !c.hidden {
		return known
	}
	w := walker{c: c}
	w.message(n.ProtoReflect(), w.with(around, nil))
	slices.SortStableFunc(w.found, func(a, b Name) int { return cmp.Compare(a.Offset, b.Offset) })
	for _, t := range w.found {
		if !slices.ContainsFunc(known, func(k Name) bool { return k.Namespace == t.Namespace && k.Name == t.Name }) {
			known = append(known, t)
		}
	}
	return known
}

// walker visits every message of a tree. It does not know their kinds, so that
// no place where a table can stand is forgotten.
type walker struct {
	c     *converter
	found []Name
}

// statementNode is met by every statement that can begin with WITH.
type statementNode interface{ GetWithClause() *pg.WithClause }

// targetNode is met by every statement that writes to a table. The target of a
// write is never one of the queries of WITH.
type targetNode interface{ GetRelation() *pg.RangeVar }

// message visits m; queries are the names of the WITH queries around it.
func (w *walker) message(m protoreflect.Message, queries []string) {
	with := (*pg.WithClause)(nil)
	switch v := m.Interface().(type) {
	case *pg.RangeVar:
		name := w.c.tableName(v)
		if name.Namespace != "" || !slices.Contains(queries, name.Name) {
			w.found = append(w.found, name)
		}
	case *pg.FuncCall:
		if name, ok := w.c.searched(v); ok {
			w.found = append(w.found, name)
		}
	case statementNode:
		if target, ok := v.(targetNode); ok && target.GetRelation() != nil {
			w.found = append(w.found, w.c.tableName(target.GetRelation()))
		}
		with = v.GetWithClause()
		queries = w.with(with, queries)
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				w.message(v.List().Get(i).Message(), queries)
			}
		case with != nil && f.Name() == "with_clause":
		default:
			w.message(v.Message(), queries)
		}
		return true
	})
}

// with visits the queries of a WITH clause and returns the names that the rest
// of the statement sees. A query sees those before it, with RECURSIVE all.
func (w *walker) with(clause *pg.WithClause, queries []string) []string {
	if clause == nil {
		return queries
	}
	queries = slices.Clone(queries)
	if clause.GetRecursive() {
		for _, q := range clause.GetCtes() {
			queries = append(queries, w.c.name(q.GetCommonTableExpr().GetCtename()))
		}
	}
	for _, q := range clause.GetCtes() {
		w.message(q.ProtoReflect(), queries)
		if !clause.GetRecursive() {
			queries = append(queries, w.c.name(q.GetCommonTableExpr().GetCtename()))
		}
	}
	return queries
}
