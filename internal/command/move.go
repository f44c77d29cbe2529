package command

import "kalamdb/internal/schema"

// MoveSpan is how many row numbers leave their windows with one Move at most:
// rows that are moved and rows that are marked.
const MoveSpan = 8 * SliceRows

// Move moves a slice of cold rows from windows of a scope to the window of a
// newer file, at most SliceRows rows and MoveSpan row numbers. A row whose place
// is still the old one has the new one then; any other is marked in the new file
// as it is in the old one. It is refused when a row that is not marked would be
// left behind.
type Move struct {
	Table schema.TableID
	Scope schema.Scope
	// File is the new file, complete; its number is 0 where no row is moved.
	File schema.File
	// From is the number that the first row of the slice has in the new file.
	From uint64
	// Window is that of the new file once all its rows have been moved.
	Window schema.Segment
	// Sources are what leaves the windows of older files, in order of _seq.
	Sources []MoveSource
}

// MoveSource is a stretch of rows that leaves the beginning of a window. A
// window that nothing is left of is dropped; so is a file of that scope alone.
type MoveSource struct {
	File     uint64
	From, To uint64     // row numbers; From is where the window begins
	Rows     []MovedRow // ascending; those that are not named are marked
}

// MovedRow names one row of a source by its number there, key and version.
type MovedRow struct {
	Row uint64
	Key []byte
	Seq uint64
}

func (Move) body() {}

// Moved returns how many rows a Move names, and how many row numbers leave their
// windows.
func (b *Move) Moved() (rows int, span uint64) {
	for i := range b.Sources {
		s := &b.Sources[i]
		rows += len(s.Rows)
		if s.To > s.From {
			span += s.To - s.From
		}
	}
	return rows, span
}

func (w *writer) move(b *Move) {
	w.uvarint(uint64(b.Table))
	w.string(string(b.Scope))
	w.json(&b.File)
	w.json(&b.Window)
	w.uvarint(b.From)
	w.uvarint(uint64(len(b.Sources)))
	for i := range b.Sources {
		s := &b.Sources[i]
		w.uvarint(s.File)
		w.uvarint(s.From)
		w.uvarint(s.To)
		w.uvarint(uint64(len(s.Rows)))
		for j := range s.Rows {
			w.uvarint(s.Rows[j].Row)
			w.bytes(s.Rows[j].Key)
			w.uvarint(s.Rows[j].Seq)
		}
	}
}

func (r *reader) move() Body {
	b := Move{Table: schema.TableID(r.uint32()), Scope: schema.Scope(r.string())}
	r.json(&b.File)
	r.json(&b.Window)
	b.From = r.uvarint()
	b.Sources = make([]MoveSource, r.count(4))
	for i := range b.Sources {
		s := &b.Sources[i]
		s.File, s.From, s.To = r.uvarint(), r.uvarint(), r.uvarint()
		s.Rows = make([]MovedRow, r.count(3))
		for j := range s.Rows {
			s.Rows[j] = MovedRow{Row: r.uvarint(), Key: r.bytes(), Seq: r.uvarint()}
		}
	}
	return b
}
