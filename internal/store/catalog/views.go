package catalog

import (
	"iter"
	"slices"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// StoredViews are the SELECTs under a name.
func StoredViews() Rows[schema.View] {
	return Rows[schema.View]{tagView, "View", fault.ObjectNotFound, "does not exist",
		func(v schema.View) string { return v.QualifiedName() }}
}

// View returns a view by its folded name.
func (d *Definitions) View(ns, name string) (*schema.View, bool) {
	n, ok := d.namespaces.get(ns)
	if !ok {
		return nil, false
	}
	return n.views.get(name)
}

// Views yields the views of a namespace by name.
func (d *Definitions) Views(ns string) iter.Seq[*schema.View] {
	return func(yield func(*schema.View) bool) {
		n, _ := d.namespaces.get(ns)
		for _, v := range n.views.all() {
			if !yield(v) {
				return
			}
		}
	}
}

// putView sets a view in a value that is not shared yet.
func (d *Definitions) putView(v *schema.View) {
	if n, ok := d.namespaces.get(v.Namespace); ok {
		n.views = n.views.with(v.Name, v)
		d.namespaces = d.namespaces.with(v.Namespace, n)
	}
}

// PutView adds a view, or replaces the one of its name if the caller wants that.
func (e *Edit) PutView(v *schema.View, replace bool) error {
	old, ok := e.Definitions.View(v.Namespace, v.Name)
	v.Version = 1
	if ok && replace {
		v.Version, v.CreatedAt = old.Version, old.CreatedAt
		if old.Text != v.Text || old.Default != v.Default || !slices.Equal(old.Columns, v.Columns) {
			v.Version++
		}
	} else if err := e.Definitions.Free(v.Namespace, v.Name); err != nil {
		return err
	}
	if err := StoredViews().put(e.Batch, *v); err != nil {
		return err
	}
	d := e.copy()
	d.putView(v)
	e.Definitions = d
	return nil
}

// DeleteView removes a view.
func (e *Edit) DeleteView(ns, name string) error {
	if err := StoredViews().Delete(e.Reader, e.Batch, ns+"."+name); err != nil {
		return err
	}
	d := e.copy()
	if n, ok := d.namespaces.get(ns); ok {
		n.views = n.views.without(name)
		d.namespaces = d.namespaces.with(ns, n)
	}
	e.Definitions = d
	return nil
}
