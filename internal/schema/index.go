package schema

import (
	"slices"

	"kalamdb/internal/datum"
)

// IndexID numbers an index. Like those of tables, numbers are never used twice.
type IndexID uint32

// MaxIndexes bounds the indexes of a table, MaxIndexColumns their columns and
// MaxIndexBytes the encoded values of one entry.
const (
	MaxIndexes      = 64
	MaxIndexColumns = 16
	MaxIndexBytes   = 8 << 10
)

// Index is a secondary index of a table, over its live rows.
type Index struct {
	// ID is given when the definition is applied; 0 before.
	ID IndexID `json:"id"`
	// Name is unique among the indexes of a namespace.
	Name    string     `json:"name"`
	Columns []ColumnID `json:"columns"`
	// Unique refuses rows whose values, none of them NULL, another row has.
	Unique bool `json:"unique,omitempty"`
	// Constraint says that a UNIQUE constraint has made it.
	Constraint bool `json:"constraint,omitempty"`
	// Building says that rows older than the index may lack their entry: writers
	// maintain it, readers pass it over.
	Building bool `json:"building,omitempty"`
	// Since is the table version that added it.
	Since uint32 `json:"since,omitempty"`
}

// IndexEntry is what a change of a row means for one index: the encoded values
// of the superseded version and of the new one. Either may be empty: an insert
// has no old values, a delete no new ones.
type IndexEntry struct{ Old, New []byte }

// Index returns the position of an index by its folded name, or -1.
func (t *Table) Index(name string) int {
	return slices.IndexFunc(t.Indexes, func(x Index) bool { return x.Name == name })
}

// IndexByID returns the position of an index by its number, or -1.
func (t *Table) IndexByID(id IndexID) int {
	return slices.IndexFunc(t.Indexes, func(x Index) bool { return x.ID == id })
}

// IndexOf returns the first index that has a column, or nil.
func (t *Table) IndexOf(id ColumnID) *Index {
	for i := range t.Indexes {
		if slices.Contains(t.Indexes[i].Columns, id) {
			return &t.Indexes[i]
		}
	}
	return nil
}

// IndexPositions returns the positions of the columns of an index, in its order.
func (t *Table) IndexPositions(x *Index) []int {
	out := make([]int, len(x.Columns))
	for i, id := range x.Columns {
		out[i] = t.ColumnByID(id)
	}
	return out
}

// AppendIndexValues encodes what an index holds of a row, and reports whether
// one of the values is NULL.
func (t *Table) AppendIndexValues(dst []byte, x *Index, row []datum.Value) (values []byte, null bool) {
	for _, id := range x.Columns {
		v := row[t.ColumnByID(id)]
		null = null || v.IsNull()
		dst = datum.AppendKey(dst, v)
	}
	return dst, null
}
