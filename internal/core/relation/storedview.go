package relation

import "kalamdb/internal/schema"

// StoredView returns the view with a name, as it was at the moment of v.
func (v *View) StoredView(namespace, name string) (*schema.View, bool) {
	return v.moment.Definitions().View(namespace, name)
}

// Holds reports whether a namespace has something that a bare name can mean: a
// table, those of the server included, a view, a sequence or an index.
func (v *View) Holds(namespace, name string) bool {
	if _, ok := v.relations.registry.find(namespace, name); ok {
		return true
	}
	d := v.moment.Definitions()
	if _, ok := d.Table(namespace, name); ok {
		return true
	}
	if _, ok := d.View(namespace, name); ok {
		return true
	}
	if _, ok := d.Sequence(namespace, name); ok {
		return true
	}
	_, _, ok := d.Index(namespace, name)
	return ok
}

// HasNamespace reports whether there is a namespace, those of the server's own
// tables included.
func (v *View) HasNamespace(name string) bool {
	switch name {
	case schema.SystemNamespace, InformationSchema, PGCatalog:
		return true
	}
	_, ok := v.moment.Definitions().Namespace(name)
	return ok
}
