package relation

import "kalamdb/internal/schema"

// StoredView returns the view with a name, as it was at the moment of v.
func (v *View) StoredView(namespace, name string) (*schema.View, bool) {
	return v.moment.Definitions().View(namespace, name)
}
