package schema

import "slices"

// Check is a CHECK constraint: a condition that no row may make false.
type Check struct {
	Name string `json:"name"`
	// Text is the condition over names of columns of its own table version.
	Text string `json:"text"`
	// Columns are those that the condition reads.
	Columns []ColumnID `json:"columns,omitempty"`
	// Unproven is as in Column.
	Unproven bool `json:"unproven,omitempty"`
}

// Check returns the position of a constraint by its folded name, or -1.
func (t *Table) Check(name string) int {
	return slices.IndexFunc(t.Checks, func(c Check) bool { return c.Name == name })
}

// Unproven reports whether a constraint of the table is not yet known to hold
// for the rows that are older than it.
func (t *Table) Unproven() bool {
	return slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Unproven }) ||
		slices.ContainsFunc(t.Checks, func(c Check) bool { return c.Unproven })
}
