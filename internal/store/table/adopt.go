package table

import (
	"bytes"
	"slices"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/internal/engine"
)

// Adoption moves a slice of hot rows into a window of a file.
type Adoption struct {
	Table *schema.Table
	File  schema.File // complete
	Scope schema.Scope
	// From is the row number of the first row of the slice.
	From uint64
	// Window is the window once the whole file has been adopted.
	Window schema.Segment
	// Rows is the length of the slice, and Row gives key and version of one.
	Rows int
	Row  func(i int) (key []byte, seq uint64)
	// Sizes are the bytes of the rows, where the proposer has read them since the
	// file was reserved: those that no change has been seen of are not looked
	// for again. They decide nothing, only how it is found out.
	Sizes []int32
	// First is the seq of the first row's marker; the others follow.
	First uint64
	// Floor is the history floor: versions above it can still be replayed.
	Floor uint64
}

// fate is what becomes of a row of a slice.
type fate uint8

const (
	marked  fate = iota // another version is the newest: the row gets a mark
	bare                // it becomes cold, and nothing of it stays
	covered             // it becomes cold under a marker, for history needs it
)

// adoptee is a row of a slice.
type adoptee struct {
	key   []byte
	seq   uint64
	above uint64 // what stands above it: its marker, or the newest version
	size  int
	fate  fate
}

// Adopt makes the rows of the slice that are still the newest cold, marks the
// others in the file, and moves the end of the window behind the slice. It
// returns how many rows became cold. It refuses before it writes.
func (w *Writer) Adopt(a *Adoption) (adopted int64, err error) {
	if err := w.checkAdoption(a); err != nil {
		return 0, err
	}
	if adopted, err = w.adoptSlice(a); err != nil {
		return 0, err
	}
	if a.From+uint64(a.Rows) == a.File.Rows {
		w.watches.end(a.File.Number)
	}
	f := a.File
	f.State, f.RemovedAt = schema.FileLive, 0
	return adopted, w.putFile(&f)
}

// adoptSlice is Adopt but for the file's own entry.
func (w *Writer) adoptSlice(a *Adoption) (adopted int64, err error) {
	rows, order, err := w.adoptees(a)
	if err != nil {
		return 0, err
	}
	w.watches.arrive(a.File.Number, a.Table.ID, a.Scope)
	counts := w.counts.of(a.Table.ID, a.Scope)
	for i := range rows {
		if rows[i].fate != marked {
			adopted++
			counts.bytes -= int64(rows[i].size)
		}
	}
	counts.hot -= adopted
	counts.cold += adopted
	w.writeAdoptees(a, rows, order)
	window := a.Window
	if window.To = a.From + uint64(a.Rows); a.Rows > 0 {
		// Rows stand in order of their seq. What the proposer says may be the end
		// of the slice before, when a flush that was cut off goes on.
		_, window.MaxSeq = a.Row(a.Rows - 1)
	}
	w.key = appendSeg(w.key[:0], a.Table.ID, a.Scope, a.File.Number)
	w.value = appendSegValue(w.value[:0], &window)
	engine.Set(w.batch, w.key, w.value)
	w.cold[a.Table.ID] = true
	return adopted, nil
}

// adoptees finds out what becomes of each row of a slice. Keys are looked for in
// their own order, which the second result gives: the engine then goes from one
// to the next.
func (w *Writer) adoptees(a *Adoption) (rows []adoptee, order []int32, err error) {
	rows, order = slices.Grow(w.adopted[:0], a.Rows)[:a.Rows], slices.Grow(w.order[:0], a.Rows)[:a.Rows]
	w.adopted, w.order = rows, order
	for i := range rows {
		key, seq := a.Row(i)
		rows[i] = adoptee{key: key, seq: seq, above: schema.SeqAt(a.First, i)}
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(i, j int32) int {
		if c := bytes.Compare(rows[i].key, rows[j].key); c != 0 {
			return c
		}
		return int(i - j)
	})
	seen := w.watches.of(a.File.Number)
	if len(a.Sizes) != a.Rows {
		seen = nil
	}
	for at, i := range order {
		r := &rows[i]
		again := at > 0 && bytes.Equal(rows[order[at-1]].key, r.key)
		twice := again || at+1 < len(order) && bytes.Equal(rows[order[at+1]].key, r.key)
		if seen != nil && !twice && r.seq > a.Floor && !seen.changed(a.Scope, r.key) {
			r.fate, r.size = covered, int(a.Sizes[i])
			continue
		}
		if err := w.judge(a, r, again && rows[order[at-1]].fate != marked); err != nil {
			return nil, nil, err
		}
	}
	return rows, order, nil
}

// judge looks a row up; taken says that the slice has made it cold already.
func (w *Writer) judge(a *Adoption, r *adoptee, taken bool) error {
	found, err := w.seek(a.Table, a.Scope, r.key)
	if err != nil || !found {
		return err // one that is not there gets a mark
	}
	kind, body, err := w.here()
	if err != nil {
		return err
	}
	if newest := w.rows.Seq(); newest != r.seq || kind != rowLive {
		r.above = newest
		return nil
	}
	if taken {
		return nil
	}
	r.size, r.fate = len(body), bare
	if w.rows.Next() || r.seq > a.Floor {
		r.fate = covered
	}
	return w.rows.Error()
}

// writeAdoptees writes what becomes of the rows of a slice, a keyspace after the
// other and each in its order: the engine puts a key in beside the one before.
func (w *Writer) writeAdoptees(a *Adoption, rows []adoptee, order []int32) {
	for _, i := range order {
		if r := &rows[i]; r.fate != marked {
			w.key = appendLoc(w.key[:0], a.Table.ID, a.Scope, r.key)
			w.value = appendLocValue(w.value[:0], schema.Location{File: a.File.Number, Row: a.From + uint64(i), Seq: r.seq})
			engine.Set(w.batch, w.key, w.value)
		}
	}
	for _, i := range order {
		switch r := &rows[i]; r.fate {
		case covered:
			w.key = appendRow(w.key[:0], a.Table.ID, a.Scope, r.key)
			engine.SetRow(w.batch, w.key, r.above, []byte{rowMoved})
		case bare:
			w.key = appendRow(w.key[:0], a.Table.ID, a.Scope, r.key)
			engine.DeleteRow(w.batch, w.key, r.seq)
		}
	}
	for i := range rows {
		switch r := &rows[i]; r.fate {
		case marked:
			w.mark(schema.Location{File: a.File.Number, Row: a.From + uint64(i), Seq: r.seq}, r.above)
		case bare:
			w.key = appendChg(w.key[:0], a.Table.ID, a.Scope, r.seq)
			engine.Delete(w.batch, w.key)
		case covered:
			w.supersede(a.Table, a.Scope, r.key, r.seq, r.above, r.size)
		}
	}
	for i := range rows {
		if r := &rows[i]; r.fate == covered {
			w.supersede(a.Table, a.Scope, r.key, r.above, r.above, 0)
		}
	}
}

// checkAdoption refuses a slice that does not continue its window.
func (w *Writer) checkAdoption(a *Adoption) error {
	return w.checkSlice(a.Table, &a.File, a.Scope, &a.Window, a.From, a.Rows)
}

// checkSlice refuses rows from a number on that do not continue the window of a
// file.
func (w *Writer) checkSlice(t *schema.Table, file *schema.File, scope schema.Scope, window *schema.Segment, from uint64, rows int) error {
	f, ok, err := File(w.reader, file.Number)
	if err != nil {
		return err
	}
	if !ok || f.State == schema.FileRemoved || f.Table != t.ID || f.Path != file.Path || f.StorageID != file.StorageID {
		return fault.New(fault.InvalidOperation, "file %d is not reserved for table %s", file.Number, t.QualifiedName())
	}
	expected := window.From
	s, ok, err := w.segment(t.ID, scope, file.Number)
	if err != nil {
		return err
	}
	if ok {
		expected = s.To
	}
	end := from + uint64(rows)
	if t.Kind == schema.Stream || from != expected || end > window.To || end < from {
		return fault.New(fault.InvalidOperation, "rows %d to %d do not continue the window of file %d at row %d",
			from, end, file.Number, expected)
	}
	return nil
}

// segment returns the window of a file in a partition.
func (w *Writer) segment(id schema.TableID, scope schema.Scope, file uint64) (s schema.Segment, ok bool, err error) {
	value, ok, err := engine.Get(w.reader, appendSeg(w.key[:0], id, scope, file))
	if err != nil || !ok {
		return s, false, err
	}
	s.Table, s.Scope, s.File = id, scope, file
	return s, true, decodeSeg(value, &s)
}
