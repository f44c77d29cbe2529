package command

import "kalamdb/internal/schema"

// AmendTable settles what a table version has left open: constraints that are
// no longer unproven, or have been taken back because a row breaks them. The
// version keeps its number, for nothing changes for what is written.
type AmendTable struct {
	Table schema.Table
	// FromVersion is the version that must still be in force.
	FromVersion uint32
}

// PutView stores a view; Replace allows one of that name to be there.
type PutView struct {
	View    schema.View
	Replace bool
}

// DropView removes a view.
type DropView struct{ Namespace, Name string }

// CreateSequence adds a sequence that no column owns.
type CreateSequence struct{ Sequence schema.Sequence }

// DropSequence removes one.
type DropSequence struct{ Namespace, Name string }

// AdvanceSequence draws up to Count numbers.
type AdvanceSequence struct {
	Namespace, Name string
	Count           int64
}

// SetSequence makes Value the number to draw next, or the one drawn last.
type SetSequence struct {
	Namespace, Name string
	Value           int64
	Called          bool
}

func (AmendTable) body()      {}
func (PutView) body()         {}
func (DropView) body()        {}
func (CreateSequence) body()  {}
func (DropSequence) body()    {}
func (AdvanceSequence) body() {}
func (SetSequence) body()     {}

// The kinds of definitions that came after the first release.
const (
	kindAlterEmpty = 30
	kindAmendTable = 31
	kindPutView    = 32
	kindDropView   = 33

	kindCreateSequence  = 34
	kindDropSequence    = 35
	kindAdvanceSequence = 36
	kindSetSequence     = 37
)

// plainDefinition is Plain for the bodies of this file.
func plainDefinition(b Body) Body {
	switch b := b.(type) {
	case *AmendTable:
		return *b
	case *PutView:
		return *b
	case *DropView:
		return *b
	case *CreateSequence:
		return *b
	case *DropSequence:
		return *b
	case *AdvanceSequence:
		return *b
	case *SetSequence:
		return *b
	case *Redefine:
		return *b
	}
	return plainIndex(b)
}

// definition writes the bodies of this file; 0 means that b is none of them.
func (w *writer) definition(b Body) byte {
	switch b := b.(type) {
	case AmendTable:
		w.uvarint(uint64(b.FromVersion))
		w.json(&b.Table)
		return kindAmendTable
	case PutView:
		w.bool(b.Replace)
		w.json(&b.View)
		return kindPutView
	case DropView:
		w.string(b.Namespace)
		w.string(b.Name)
		return kindDropView
	case CreateSequence:
		w.json(&b.Sequence)
		return kindCreateSequence
	case DropSequence:
		w.string(b.Namespace)
		w.string(b.Name)
		return kindDropSequence
	case AdvanceSequence:
		w.string(b.Namespace)
		w.string(b.Name)
		w.varint(b.Count)
		return kindAdvanceSequence
	case SetSequence:
		w.string(b.Namespace)
		w.string(b.Name)
		w.varint(b.Value)
		w.bool(b.Called)
		return kindSetSequence
	case Redefine:
		w.json(&b)
		return kindRedefine
	}
	return 0
}

// definition reads the bodies of this file; nil means that the kind is none of
// them.
func (r *reader) definition(kind byte) Body {
	switch kind {
	case kindAlterEmpty:
		b := AlterTable{FromVersion: r.uint32(), Empty: true}
		r.json(&b.Table)
		return b
	case kindAmendTable:
		b := AmendTable{FromVersion: r.uint32()}
		r.json(&b.Table)
		return b
	case kindPutView:
		b := PutView{Replace: r.bool()}
		r.json(&b.View)
		return b
	case kindDropView:
		return DropView{Namespace: r.string(), Name: r.string()}
	case kindCreateSequence:
		var b CreateSequence
		r.json(&b.Sequence)
		return b
	case kindDropSequence:
		return DropSequence{Namespace: r.string(), Name: r.string()}
	case kindAdvanceSequence:
		return AdvanceSequence{Namespace: r.string(), Name: r.string(), Count: r.varint()}
	case kindSetSequence:
		return SetSequence{Namespace: r.string(), Name: r.string(), Value: r.varint(), Called: r.bool()}
	case kindRedefine:
		var b Redefine
		r.json(&b)
		return b
	}
	return nil
}
