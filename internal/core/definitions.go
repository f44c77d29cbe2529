package core

import (
	"cmp"
	"context"
	"strings"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
)

// createView binds the SELECT of a view, so that it is known to work, and
// stores it.
func (db *DB) createView(ctx context.Context, s *auth.Session, stmt *parse.CreateView, in string, p path) (string, error) {
	view := db.relations.Applied()
	defer view.Release()
	namespace, err := viewPath(stmt, view, p)
	if err != nil {
		return "", err
	}
	outputs, err := viewColumns(stmt.Select, view, path(namespace))
	if err != nil {
		return "", err
	}
	return db.definer.CreateView(ctx, s.UserID, in, namespace, stmt, outputs)
}

// viewPath returns the namespace in which a view finds its unqualified names from
// now on: the one of the path that has them all.
func viewPath(stmt *parse.CreateView, view *relation.View, p path) (string, error) {
	found := ""
	for _, n := range stmt.Select.Tables {
		if n.Namespace != "" || p.single() {
			continue
		}
		switch namespace := namespaceOf(view, n, p); {
		case namespace == relation.PGCatalog, namespace == found:
		case found == "":
			found = namespace
		default:
			return "", fault.At(fault.InvalidDefinition, n.Offset, "a view reads unqualified names of one namespace, not of '%s' and '%s': write '%s.%s'",
				found, namespace, namespace, n.Name)
		}
	}
	return cmp.Or(found, p.first()), nil
}

// viewColumns returns the columns that a SELECT gives.
func viewColumns(query *parse.Select, view *relation.View, in path) ([]schema.ViewColumn, error) {
	q, tree, err := plan.Bind(query, scope{view, in}, plan.Options{})
	if err != nil {
		return nil, err
	}
	var columns []schema.ViewColumn
	if tree != nil {
		for _, o := range tree.Outputs {
			columns = append(columns, schema.ViewColumn{Name: o.Name, Type: o.Type})
		}
		return columns, nil
	}
	for _, o := range q.Outputs {
		columns = append(columns, schema.ViewColumn{Name: o.Name, Type: o.Type})
	}
	return columns, nil
}

// authoriseComment asks for the right to change what the comment is about.
func authoriseComment(s *auth.Session, stmt *parse.Comment, o *overlay) error {
	switch {
	case stmt.On == "NAMESPACE":
		return auth.Allow(s, auth.ManageNamespaces, 0, "")
	case stmt.On == "VIEW", o.isView(stmt.Name):
		return auth.Allow(s, auth.ManageViews, 0, "")
	}
	return authoriseTables(s, auth.Modify, auth.AlterTable, []parse.Name{stmt.Name}, o)
}

// isView reports whether a name means a view.
func (o *overlay) isView(n parse.Name) bool {
	_, ok := o.view.StoredView(o.qualified(n), n.Name)
	return ok
}

// noteRenamed records that a namespace will have another name, and its tables
// with it.
func (o *overlay) noteRenamed(from, to string) {
	moved := map[string]*schema.Table{}
	for _, t := range o.view.TablesIn(from) {
		moved[t.Name] = t
	}
	for qualified, t := range o.tables {
		if name, ok := strings.CutPrefix(qualified, from+"."); ok {
			moved[name] = t
		}
	}
	o.noteNamespace(from, false)
	o.noteNamespace(to, true)
	for name, t := range moved {
		if t != nil {
			next := *t
			next.Namespace = to
			t = &next
		}
		o.noteTable(parse.Name{Namespace: to, Name: name}, t)
	}
}

// noteAltered records what ALTER TABLE will have changed as far as rights go:
// the access level, and the name.
func (o *overlay) noteAltered(stmt *parse.AlterTable) {
	t := o.table(stmt.Table)
	if t == nil {
		return
	}
	next := *t
	if access := accessOf(stmt.Properties); access != "" {
		next.Options.Access = access
	}
	if stmt.Action != parse.RenameTable {
		o.noteTable(stmt.Table, &next)
		return
	}
	next.Name = stmt.NewName.Name
	o.noteTable(stmt.Table, nil)
	o.noteTable(parse.Name{Namespace: t.Namespace, Name: next.Name}, &next)
}
