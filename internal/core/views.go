package core

import (
	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// registerViews gives the views over running state of this room their rows; the
// server registers those over what it runs itself.
func (db *DB) registerViews() {
	for name, rows := range map[string]relation.Produce{"live": db.hub.Rows, "transactions": db.transactions.rows, "statements": db.statements.viewRows} {
		def, ok := db.relations.Definition(schema.SystemNamespace, name)
		fault.Assert(ok, "system.%s has no columns", name)
		db.relations.Register(def, rows)
	}
}
