package core

import (
	"strings"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/core/write"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
)

// scope resolves table names of one statement.
type scope struct {
	view *relation.View
	path path
}

// Table returns the definition that a name means.
func (s scope) Table(n parse.Name) (*schema.Table, error) {
	return s.view.Table(namespaceOf(s.view, n, s.path), n.Name)
}

// namespaceOf returns where a name is looked up. The tables of pg_catalog are
// found by their bare names, before all others.
func namespaceOf(view *relation.View, n parse.Name, p path) string {
	if n.Namespace != "" {
		return n.Namespace
	}
	if strings.HasPrefix(n.Name, "pg_") {
		if _, err := view.Table(relation.PGCatalog, n.Name); err == nil {
			return relation.PGCatalog
		}
	}
	if p.single() {
		return string(p)
	}
	return holder(view, n.Name, p)
}

// View returns the view that a name means, if it is one.
func (s scope) View(n parse.Name) (*schema.View, bool) {
	namespace := n.Namespace
	if namespace == "" {
		namespace = string(s.path)
		if !s.path.single() {
			namespace = holder(s.view, n.Name, s.path)
		}
	}
	return s.view.StoredView(namespace, n.Name)
}

// bind makes the plan of a statement that has one.
func (db *DB) bind(stmt parse.Statement, explicit int, g *given, view *relation.View, in path) (*prepared, error) {
	p := &prepared{statement: stmt, definitions: view.DefinitionsVersion(), explicit: explicit}
	sc := scope{view, in}
	o := plan.Options{Params: explicit, Given: g.kind}
	var err error
	switch stmt := stmt.(type) {
	case *parse.Select:
		err = db.bindSelect(stmt, o, sc, p)
	case *parse.Insert:
		if err = db.refuseUnwritable(stmt.Table, sc, "insert into"); err == nil {
			p.insert, err = compile(plan.BindInsert, write.NewInsert, stmt, sc, o)
		}
	case *parse.Update:
		if err = db.refuseUnwritable(stmt.Table, sc, "update"); err == nil {
			p.update, err = compile(plan.BindUpdate, write.NewUpdate, stmt, sc, o)
		}
	case *parse.Delete:
		if err = db.refuseUnwritable(stmt.Table, sc, "delete from"); err == nil {
			p.delete, err = compile(plan.BindDelete, write.NewDelete, stmt, sc, o)
		}
	}
	if err != nil {
		return nil, err
	}
	p.kinds = g.used()
	return p, nil
}

// compile binds a statement and compiles it once for all who run it.
func compile[S, P, C any](
	bind func(*S, plan.Scope, plan.Options) (*P, error), build func(*P) (*C, error), stmt *S, sc scope, o plan.Options,
) (*C, error) {
	p, err := bind(stmt, sc, o)
	if err != nil {
		return nil, err
	}
	return build(p)
}

// refuseUnwritable answers DML on the server's own tables.
func (db *DB) refuseUnwritable(n parse.Name, sc scope, verb string) error {
	t, err := sc.Table(n)
	if err != nil {
		return nil // binding says what is wrong, after the rights are known
	}
	if t.Kind == schema.System {
		return fault.New(fault.InvalidOperation, "Cannot %s system table '%s'", verb, t.QualifiedName())
	}
	return nil
}
