package schema

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// DuplicateKey is the fault for a primary key, given in key order, that a row
// has already.
func (t *Table) DuplicateKey(values []datum.Value) error {
	names := make([]string, len(t.Key))
	for i, id := range t.Key {
		names[i] = t.Columns[t.ColumnByID(id)].Name
	}
	return fault.New(fault.DuplicateKey, "value '%s' already exists in column '%s'", datum.List(values), strings.Join(names, ", "))
}

// DuplicateEntry is the fault for values, in the order of a unique index, that
// another row has already. The row that has them stays unnamed.
func (t *Table) DuplicateEntry(x *Index, values []datum.Value) error {
	names := make([]string, len(x.Columns))
	for i, id := range x.Columns {
		names[i] = t.Columns[t.ColumnByID(id)].Name
	}
	return fault.New(fault.UniqueViolation, "duplicate key value violates unique constraint \"%s\": key (%s)=(%s) already exists",
		x.Name, strings.Join(names, ", "), datum.List(values))
}

// DuplicateRows is the fault for a unique index whose table has two rows of the
// same values.
func (t *Table) DuplicateRows(x *Index) error {
	return fault.New(fault.UniqueViolation, "could not create unique index \"%s\": rows of table %s have the same values", x.Name, t.QualifiedName())
}
