package schema

import "slices"

// Metric is how far embeddings are from each other.
type Metric string

// The metrics.
const (
	Cosine   Metric = "cosine"
	Straight Metric = "l2"
	Dot      Metric = "dot"
)

// Title spells a metric as messages show it.
func (m Metric) Title() string {
	switch m {
	case Straight:
		return "L2"
	case Dot:
		return "Dot"
	}
	return "Cosine"
}

// VectorIndex says that the embeddings of a column are searched, and by which
// metric. It has no entries: a search looks at every row of the caller's scope,
// so it is exact.
type VectorIndex struct {
	// Name is unique among the indexes of a namespace.
	Name   string   `json:"name"`
	Column ColumnID `json:"column"`
	Metric Metric   `json:"metric"`
}

// VectorIndexOf returns the vector index of a column, or nil. A column has one
// at most.
func (t *Table) VectorIndexOf(id ColumnID) *VectorIndex {
	if at := slices.IndexFunc(t.Vectors, func(x VectorIndex) bool { return x.Column == id }); at >= 0 {
		return &t.Vectors[at]
	}
	return nil
}

// IndexNames yields the names of all indexes of the table, of any kind.
func (t *Table) IndexNames(yield func(string) bool) {
	for i := range t.Indexes {
		if !yield(t.Indexes[i].Name) {
			return
		}
	}
	for i := range t.Vectors {
		if !yield(t.Vectors[i].Name) {
			return
		}
	}
}

// HasIndexNamed reports whether an index of any kind has a name.
func (t *Table) HasIndexNamed(name string) bool {
	return t.Index(name) >= 0 || slices.ContainsFunc(t.Vectors, func(x VectorIndex) bool { return x.Name == name })
}
