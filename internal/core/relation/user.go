package relation

import (
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// User returns the row of a user at the moment of the view, deleted or not.
func (v *View) User(id schema.UserID) (schema.UserRecord, bool, error) {
	return catalog.Users().Get(v.reader(), string(id))
}
