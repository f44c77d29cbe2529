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

func (AmendTable) body() {}
func (PutView) body()    {}
func (DropView) body()   {}

// The kinds of definitions that came after the first release.
const (
	kindAlterEmpty = 30
	kindAmendTable = 31
	kindPutView    = 32
	kindDropView   = 33
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
	}
	return nil
}
