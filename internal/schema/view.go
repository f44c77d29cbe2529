package schema

import "kalamdb/internal/datum"

// View is a stored SELECT under a name. It shares its names with tables. Its
// text is bound anew wherever the view is used, so that it follows its tables;
// when one of them is gone, so is what the view shows.
type View struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Version counts from 1 and grows with each CREATE OR REPLACE that says
	// something else.
	Version uint32 `json:"version"`
	// Text is the SELECT as it was written, without parameters.
	Text string `json:"text"`
	// Default is the namespace in which unqualified names of Text are looked up.
	Default string `json:"default"`
	// Columns are the names of the columns, where the statement has listed them;
	// those behind the list, or all without one, keep the names of the SELECT.
	Columns []string `json:"columns,omitempty"`
	// Reads are the tables and views that Text names.
	Reads []ObjectName `json:"reads,omitempty"`
	// Outputs are the columns as they were when the view was made, for catalogs.
	Outputs []ViewColumn `json:"outputs"`
	Comment string       `json:"comment,omitempty"`
	// CreatedAt and UpdatedAt are microseconds since the Unix epoch.
	CreatedAt int64 `json:"created_at"`
	UpdatedAt int64 `json:"updated_at"`
}

// ObjectName names a table or a view.
type ObjectName struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// ViewColumn is one column of a view.
type ViewColumn struct {
	Name    string     `json:"name"`
	Type    datum.Type `json:"type"`
	Comment string     `json:"comment,omitempty"`
}

// QualifiedName returns namespace.view.
func (v *View) QualifiedName() string { return v.Namespace + "." + v.Name }
