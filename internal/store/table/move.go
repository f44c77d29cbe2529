package table

import (
	"encoding/binary"
	"fmt"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// Transfer moves a slice of cold rows to the window of a newer file.
type Transfer struct {
	Table *schema.Table
	Scope schema.Scope
	File  schema.File // complete; its number is 0 where no row is moved
	// From is the number of the first row of the slice in the new file.
	From uint64
	// Window is that of the new file once all its rows have been moved.
	Window  schema.Segment
	Sources []TransferSource
	// Position is the commit's.
	Position uint64
}

// TransferSource is a stretch of rows that leaves the beginning of a window.
type TransferSource struct {
	File     uint64
	From, To uint64
	Rows     int
	// Row gives number, key and version of a row that is moved.
	Row func(i int) (row uint64, key []byte, seq uint64)
}

// transferred is a row of a slice and what becomes of it.
type transferred struct {
	key    []byte
	seq    uint64
	marked bool
	by     uint64 // what superseded it, if marked
}

// Move gives rows of older files their place in a newer one, marks there those
// that are marked, and moves the beginnings of the older windows and the end of
// the newer one. It returns how many rows have a new place. It reads no file and
// refuses before it writes.
func (w *Writer) Move(m *Transfer) (moved int64, err error) {
	var rows []transferred
	windows := make([]schema.Segment, len(m.Sources))
	for i := range m.Sources {
		s := &m.Sources[i]
		for j := range i {
			if m.Sources[j].File == s.File {
				return 0, fault.New(fault.InvalidOperation, "file %d is named twice", s.File)
			}
		}
		if windows[i], err = w.checkSource(m, s); err != nil {
			return 0, err
		}
		if rows, err = w.transfers(m, s, rows); err != nil {
			return 0, err
		}
	}
	if m.File.Number == 0 && len(rows) > 0 {
		return 0, fault.New(fault.InvalidOperation, "%d rows are moved to no file", len(rows))
	}
	if len(rows) > 0 {
		if err := w.checkSlice(m.Table, &m.File, m.Scope, &m.Window, m.From, len(rows)); err != nil {
			return 0, err
		}
		if moved, err = w.arrive(m, rows); err != nil {
			return 0, err
		}
	}
	for i := range m.Sources {
		if err := w.leave(m, &m.Sources[i], windows[i]); err != nil {
			return 0, err
		}
	}
	return moved, nil
}

// checkSource refuses a stretch that does not begin its window.
func (w *Writer) checkSource(m *Transfer, s *TransferSource) (schema.Segment, error) {
	window, ok, err := w.segment(m.Table.ID, m.Scope, s.File)
	if err != nil {
		return window, err
	}
	if !ok || s.File == m.File.Number || s.From != window.From || s.To <= s.From || s.To > window.To {
		return window, fault.New(fault.InvalidOperation, "rows %d to %d do not begin the window of file %d", s.From, s.To, s.File)
	}
	return window, nil
}

// transfers looks at what becomes of the rows of a stretch, and refuses to leave
// one behind that is not marked.
func (w *Writer) transfers(m *Transfer, s *TransferSource, rows []transferred) ([]transferred, error) {
	marks, err := marksBetween(w.reader, s.File, s.From, s.To)
	if err != nil {
		return nil, err
	}
	next, left := s.From, s.To-s.From-uint64(len(marks)) // rows without a mark
	for i := range s.Rows {
		row, key, seq := s.Row(i)
		if row < next || row >= s.To {
			return nil, fault.New(fault.InvalidOperation, "row %d of file %d is not in order", row, s.File)
		}
		next = row + 1
		t := transferred{key: key, seq: seq}
		if t.by, t.marked = marks[row]; !t.marked {
			left--
			place, ok, err := location(w.reader, appendLoc(w.key[:0], m.Table.ID, m.Scope, key))
			if err != nil {
				return nil, err
			}
			if !ok || place != (schema.Location{File: s.File, Row: row, Seq: seq}) {
				return nil, fault.New(fault.InvalidOperation, "row %d of file %d is not what its place says", row, s.File)
			}
		}
		rows = append(rows, t)
	}
	if left != 0 {
		return nil, fault.New(fault.InvalidOperation, "%d rows of file %d would be left behind", left, s.File)
	}
	return rows, nil
}

// marksBetween returns what superseded the marked rows [from, to) of a file.
func marksBetween(r store.Reader, file, from, to uint64) (map[uint64]uint64, error) {
	prefix := appendDelFile(nil, file)
	it, err := engine.NewIter(r, appendDel(nil, file, from), appendDel(nil, file, to))
	if err != nil {
		return nil, err
	}
	marks := map[uint64]uint64{}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.Value()
		numbers, _, known := cutNumbers(value, 1)
		if err == nil && (!known || len(it.Key()) != len(prefix)+8) {
			err = fmt.Errorf("read mark: %w", errValue)
		}
		if err != nil {
			_ = it.Close() // the first error is the one to report
			return nil, err
		}
		marks[binary.BigEndian.Uint64(it.Key()[len(prefix):])] = numbers[0]
	}
	return marks, it.Close()
}

// arrive writes the new places and marks and the window of the new file.
func (w *Writer) arrive(m *Transfer, rows []transferred) (moved int64, err error) {
	for i := range rows {
		place := schema.Location{File: m.File.Number, Row: m.From + uint64(i), Seq: rows[i].seq}
		if rows[i].marked {
			w.mark(place, rows[i].by)
			continue
		}
		w.key = appendLoc(w.key[:0], m.Table.ID, m.Scope, rows[i].key)
		w.value = appendLocValue(w.value[:0], place)
		engine.Set(w.batch, w.key, w.value)
		moved++
	}
	window := m.Window
	window.To = m.From + uint64(len(rows))
	window.MaxSeq = rows[len(rows)-1].seq // rows stand in order of their seq
	w.putSegment(m.Table.ID, m.Scope, m.File.Number, &window)
	w.cold[m.Table.ID] = true
	f := m.File
	f.State, f.RemovedAt = schema.FileLive, 0
	return moved, w.putFile(&f)
}

func (w *Writer) putSegment(id schema.TableID, scope schema.Scope, file uint64, s *schema.Segment) {
	w.key = appendSeg(w.key[:0], id, scope, file)
	w.value = appendSegValue(w.value[:0], s)
	engine.Set(w.batch, w.key, w.value)
}

// leave moves the beginning of a window behind a stretch. Where nothing is left
// the window goes, and its file with it unless windows of other scopes may name
// it.
func (w *Writer) leave(m *Transfer, s *TransferSource, window schema.Segment) error {
	if s.To < window.To {
		window.From = s.To
		if s.Rows > 0 {
			_, _, last := s.Row(s.Rows - 1)
			window.MinSeq = max(window.MinSeq, last+1)
		}
		w.putSegment(m.Table.ID, m.Scope, s.File, &window)
		return nil
	}
	engine.Delete(w.batch, appendSeg(w.key[:0], m.Table.ID, m.Scope, s.File))
	f, ok, err := File(w.reader, s.File)
	if err != nil || !ok || f.Scope != m.Scope || Packed(&f) {
		return err
	}
	f.State, f.RemovedAt = schema.FileRemoved, m.Position
	return w.putFile(&f)
}

// Packed reports whether windows of many scopes name a file.
func Packed(f *schema.File) bool { return f.Packed() }
