package ddl

import (
	"kalamdb/internal/cold"
	"kalamdb/internal/schema"
)

// pinFolder writes down the folder of a table's cold files, before its name no
// longer tells it.
func (d *Definer) pinFolder(t *schema.Table) {
	if t.Kind == schema.Stream || t.Options.Location != "" {
		return
	}
	id := t.Options.StorageID
	if id == "" {
		id = schema.LocalStorage
	}
	if st, ok := d.o.Definitions().Storage(id); ok {
		t.Options.Location, t.Options.Pinned = cold.FixedTemplate(*st, t), true
	}
}
