package core

import (
	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// registerViews gives the views over running state of this room their rows; the
// server registers those over what it runs itself.
func (db *DB) registerViews() {
	if def, ok := db.relations.Definition(relation.PGCatalog, "pg_stat_activity"); ok {
		db.relations.Register(def, db.activityRows)
	}
	for name, rows := range map[string]relation.Produce{
		"live": db.hub.Rows, "transactions": db.transactions.rows, "statements": db.statements.viewRows, "sessions": db.sessionRows,
	} {
		def, ok := db.relations.Definition(schema.SystemNamespace, name)
		fault.Assert(ok, "system.%s has no columns", name)
		db.relations.Register(def, rows)
	}
}
