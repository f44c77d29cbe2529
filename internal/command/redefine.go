package command

import "kalamdb/internal/schema"

// Redefine puts other definitions in the place of some, which may have other
// names. Nothing of it changes what is written of rows: tables keep their
// versions.
type Redefine struct {
	// Digest is that of all definitions that the change was made from; another
	// one in force refuses it with ErrStaleSchema.
	Digest uint64
	// From is the old name of Namespace, which becomes that definition; "" leaves
	// namespaces. Tables and Views then hold all of its own.
	From      string
	Namespace schema.Namespace
	Tables    []schema.Table
	Views     []RedefinedView
	Sequences []RedefinedSequence
}

// RedefinedView is a view under the name that it had.
type RedefinedView struct {
	From schema.ObjectName
	View schema.View
}

// RedefinedSequence is a sequence under the name that it had.
type RedefinedSequence struct {
	From     schema.ObjectName
	Sequence schema.Sequence
	// Next is the number to give out next, nil for the one that stands.
	Next *int64
	// Restart says that Next has not been drawn before.
	Restart bool
}

func (Redefine) body() {}

// kindRedefine follows the kinds of definitions.go.
const kindRedefine = 38
