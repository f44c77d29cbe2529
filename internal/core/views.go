package core

import (
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// registerViews gives system.live its rows; the server registers the views
// over what it runs itself.
func (db *DB) registerViews() {
	def, ok := db.relations.Definition(schema.SystemNamespace, "live")
	fault.Assert(ok, "system.live has no columns")
	db.relations.Register(def, db.hub.Rows)
}
