package relation

import (
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// viewDepth bounds how deep views that stand on each other are followed.
const viewDepth = 32

// readableViews returns the views that a caller may read: all that one stands
// on decides.
func (v *View) readableViews(c Caller) []*schema.View {
	return slices.DeleteFunc(v.storedViews(), func(w *schema.View) bool { return !v.mayReadView(c, w, 0) })
}

func (v *View) mayReadView(c Caller, w *schema.View, depth int) bool {
	if depth > viewDepth {
		return false
	}
	for _, n := range w.Reads {
		if next, ok := v.StoredView(n.Namespace, n.Name); ok {
			if !v.mayReadView(c, next, depth+1) {
				return false
			}
			continue
		}
		if t, err := v.Table(n.Namespace, n.Name); err == nil && !c.mayRead(t) {
			return false
		}
	}
	return true
}

// viewSchemaRow is the row of a view in system.schemas.
func viewSchemaRow(w *schema.View) ([]datum.Value, error) {
	columns := make([]columnJSON, len(w.Outputs))
	for i := range w.Outputs {
		c := &w.Outputs[i]
		columns[i] = columnJSON{Name: c.Name, Ordinal: i + 1, Type: c.Type.AppendWire(nil), Nullable: true}
		if c.Comment != "" {
			columns[i].Comment = &c.Comment
		}
	}
	list, err := marshal(columns)
	if err != nil {
		return nil, err
	}
	return []datum.Value{
		textOf(w.Namespace + ":" + w.Name), textOf(w.Name), textOf(w.Namespace), textOf("view"), timeOf(w.CreatedAt),
		intOf(int(w.Version)), list, optional(w.Comment), timeOf(w.UpdatedAt), {}, {}, boolOf(true), {}, {},
	}, nil
}
