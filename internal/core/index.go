package core

import (
	"context"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/ddl"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// defineIndex runs CREATE INDEX and DROP INDEX; in gives the namespace of a name.
func (db *DB) defineIndex(ctx context.Context, s *auth.Session, stmt parse.Statement, in func(parse.Name) string) (string, error) {
	switch stmt := stmt.(type) {
	case *parse.CreateIndex:
		if ddl.IsSystemNamespace(in(stmt.Table)) {
			return "", fault.New(fault.InvalidOperation, "system table '%s.%s' cannot have an index", in(stmt.Table), stmt.Table.Name)
		}
		return db.definer.CreateIndex(ctx, s.UserID, in(stmt.Table), stmt)
	case *parse.DropIndex:
		namespace := in(stmt.Index)
		if stmt.Table.Name != "" {
			namespace = in(stmt.Table)
		}
		return db.definer.DropIndex(ctx, s.UserID, namespace, stmt)
	}
	return "", nil
}

// indexedTables names the table that a DROP INDEX changes, if it is known.
func indexedTables(stmt *parse.DropIndex, o *overlay) []parse.Name {
	if stmt.Table.Name != "" {
		return []parse.Name{stmt.Table}
	}
	if t, ok := o.view.IndexTable(o.qualified(stmt.Index), stmt.Index.Name); ok {
		return []parse.Name{{Namespace: t.Namespace, Name: t.Name}}
	}
	return nil
}
