package command

import (
	"bytes"

	"kalamdb/internal/schema"
)

// FillIndex gives rows that are older than an index their entries, at most
// SliceRows of them. A row that has another version by now is passed over: who
// wrote that has given it its entry.
type FillIndex struct {
	Table schema.TableID
	Index schema.IndexID
	Scope schema.Scope
	Rows  []IndexedRow
}

// IndexedRow names a row by its key and version, with the encoded values that
// the index holds of it.
type IndexedRow struct {
	Key    []byte
	Seq    uint64
	Values []byte
}

// SettleIndex ends the building of an index, whose entries are complete: readers
// may use it. The version of the table keeps its number.
type SettleIndex struct {
	Table schema.TableID
	Index schema.IndexID
}

func (FillIndex) body()   {}
func (SettleIndex) body() {}

// The kinds of what indexes need. kindWriteIndexed is a Write whose rows carry
// entries.
const (
	kindWriteIndexed = 50
	kindFillIndex    = 51
	kindSettleIndex  = 52
)

// The bits of the first byte of an entry.
const (
	entryOld  = 0x01
	entryNew  = 0x02
	entrySame = 0x04 // the new values are the old ones
)

// plainIndex is Plain for the bodies of this file.
func plainIndex(b Body) Body {
	switch b := b.(type) {
	case *FillIndex:
		return *b
	case *SettleIndex:
		return *b
	}
	return b
}

// indexed reports whether a row of a write carries entries.
func (b *Write) indexed() bool {
	for i := range b.Tables {
		for j := range b.Tables[i].Rows {
			if len(b.Tables[i].Rows[j].Index) > 0 {
				return true
			}
		}
	}
	return false
}

// entries writes what a row carries for indexes.
func (w *writer) entries(list []schema.IndexEntry) {
	w.uvarint(uint64(len(list)))
	for i := range list {
		e := &list[i]
		head := byte(0)
		if len(e.Old) > 0 {
			head |= entryOld
		}
		if len(e.New) > 0 {
			head |= entryNew
		}
		if head == entryOld|entryNew && bytes.Equal(e.Old, e.New) {
			head = entryOld | entrySame
		}
		w.byte(head)
		if head&entryOld != 0 {
			w.bytes(e.Old)
		}
		if head&entryNew != 0 {
			w.bytes(e.New)
		}
	}
}

// entries reads what a row carries for indexes.
func (r *reader) entries() []schema.IndexEntry {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	list := make([]schema.IndexEntry, n)
	for i := range list {
		e := &list[i]
		head := r.byte()
		switch head {
		case 0, entryOld, entryNew, entryOld | entryNew, entryOld | entrySame:
		default:
			r.fail("an index entry begins with %#x", head)
			return nil
		}
		if head&entryOld != 0 {
			e.Old = r.bytes()
		}
		if head&entryNew != 0 {
			e.New = r.bytes()
		}
		if head&entrySame != 0 {
			e.New = e.Old
		}
	}
	return list
}

// index writes the bodies of this file; 0 means that b is none of them.
func (w *writer) index(b Body) byte {
	switch b := b.(type) {
	case FillIndex:
		w.uvarint(uint64(b.Table))
		w.uvarint(uint64(b.Index))
		w.string(string(b.Scope))
		w.uvarint(uint64(len(b.Rows)))
		for i := range b.Rows {
			w.bytes(b.Rows[i].Key)
			w.uvarint(b.Rows[i].Seq)
			w.bytes(b.Rows[i].Values)
		}
		return kindFillIndex
	case SettleIndex:
		w.uvarint(uint64(b.Table))
		w.uvarint(uint64(b.Index))
		return kindSettleIndex
	}
	return 0
}

// index reads the bodies of this file; nil means that the kind is none of them.
func (r *reader) index(kind byte) Body {
	switch kind {
	case kindWriteIndexed:
		r.indexed = true
		return r.write()
	case kindFillIndex:
		b := FillIndex{Table: schema.TableID(r.uint32()), Index: schema.IndexID(r.uint32()), Scope: schema.Scope(r.string())}
		b.Rows = make([]IndexedRow, r.count(3))
		for i := range b.Rows {
			b.Rows[i] = IndexedRow{Key: r.bytes(), Seq: r.uvarint(), Values: r.bytes()}
		}
		return b
	case kindSettleIndex:
		return SettleIndex{Table: schema.TableID(r.uint32()), Index: schema.IndexID(r.uint32())}
	}
	return nil
}
