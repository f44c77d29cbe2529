package command

import "kalamdb/internal/schema"

// EraseScope removes what a USER or STREAM table has of one user: rows and events
// with all their versions and changes, what history keeps of them, index entries,
// places, windows and counters. Files of the scope alone are removed at its
// position; files that it shares lose its window and keep the bytes until
// SwapBytes replaces them. Subscribers hear nothing of it. Receipt.Rows counts
// the rows and events.
type EraseScope struct {
	Table schema.TableID
	Scope schema.Scope
}

// SwapBytes lets a cold file take over the bytes that were written for the
// reservation By: rows, numbers, windows and marks stay what they are. By gets
// the former bytes, and is removed at the position of the command. File is the
// file as it is to be.
type SwapBytes struct {
	File schema.File
	By   uint64
}

func (EraseScope) body() {}
func (SwapBytes) body()  {}

// erasure writes the bodies about erasure and returns their kind, or 0.
func (w *writer) erasure(b Body) byte {
	switch b := b.(type) {
	case EraseScope:
		w.uvarint(uint64(b.Table))
		w.string(string(b.Scope))
		return kindEraseScope
	case SwapBytes:
		w.json(&b.File)
		w.uvarint(b.By)
		return kindSwapBytes
	}
	return 0
}

// erasure reads a body about erasure; nil for another kind.
func (r *reader) erasure(kind byte) Body {
	switch kind {
	case kindEraseScope:
		return EraseScope{Table: schema.TableID(r.uint32()), Scope: schema.Scope(r.string())}
	case kindSwapBytes:
		var b SwapBytes
		r.json(&b.File)
		b.By = r.uvarint()
		return b
	}
	return nil
}
