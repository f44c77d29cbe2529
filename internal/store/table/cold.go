package table

import (
	"encoding/binary"
	"fmt"
	"path"
	"strconv"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// filesMax bounds a page of Files without a limit of its own.
const filesMax = 10_000

// Location returns the place of a row that is cold.
func Location(r store.Reader, t *schema.Table, scope schema.Scope, key []byte) (schema.Location, bool, error) {
	return location(r, appendLoc(nil, t.ID, scope, key))
}

func location(r store.Reader, key []byte) (l schema.Location, ok bool, err error) {
	value, ok, err := engine.Get(r, key)
	if err != nil || !ok {
		return l, false, err
	}
	l, err = decodeLoc(value)
	return l, err == nil, err
}

// Segments returns the windows of a partition in order of their files.
func Segments(r store.Reader, id schema.TableID, scope schema.Scope) ([]schema.Segment, error) {
	var segments []schema.Segment
	err := eachSegment(r, appendPartition(nil, engine.KeyspaceSeg, id, scope), func(s schema.Segment) bool {
		segments = append(segments, s)
		return true
	})
	return segments, err
}

// AllSegments calls each for every window of a table, by scope and file, until
// it returns false.
func AllSegments(r store.Reader, id schema.TableID, each func(schema.Segment) bool) error {
	return eachSegment(r, appendTable(nil, engine.KeyspaceSeg, id), each)
}

func eachSegment(r store.Reader, prefix []byte, each func(schema.Segment) bool) error {
	it, err := engine.NewIter(r, prefix, engine.PrefixEnd(prefix))
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		s, err := readSegment(it)
		if err != nil {
			_ = it.Close() // the first error is the one to report
			return err
		}
		if !each(s) {
			break
		}
	}
	return it.Close()
}

func readSegment(it *engine.Iter) (s schema.Segment, err error) {
	key := it.Key()
	id, ok := cutTable(key)
	if !ok {
		return s, fmt.Errorf("read window: %w", errValue)
	}
	scope, rest, ok := cutScope(key[5:])
	if !ok || len(rest) != 8 {
		return s, fmt.Errorf("read window: %w", errValue)
	}
	s.Table, s.Scope, s.File = id, scope, binary.BigEndian.Uint64(rest)
	value, err := it.Value()
	if err != nil {
		return s, err
	}
	return s, decodeSeg(value, &s)
}

// Marks calls each for every delete mark of a file, by row number, with the seq
// of the change that superseded the row, until it returns false.
func Marks(r store.Reader, file uint64, each func(row, seq uint64) bool) error {
	prefix := appendDelFile(nil, file)
	it, err := engine.NewIter(r, prefix, engine.PrefixEnd(prefix))
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		key := it.Key()
		value, err := it.Value()
		numbers, _, known := cutNumbers(value, 1)
		if err == nil && (!known || len(key) != len(prefix)+8) {
			err = fmt.Errorf("read mark: %w", errValue)
		}
		if err != nil {
			_ = it.Close() // the first error is the one to report
			return err
		}
		if !each(binary.BigEndian.Uint64(key[len(prefix):]), numbers[0]) {
			break
		}
	}
	return it.Close()
}

// File returns a cold file by its number.
func File(r store.Reader, number uint64) (f schema.File, ok bool, err error) {
	value, ok, err := engine.Get(r, appendFile(nil, number))
	if err != nil || !ok {
		return f, false, err
	}
	err = decodeFile(value, &f)
	return f, err == nil, err
}

// Files returns up to limit cold files by number, beginning behind a number. A
// limit of 0 stands for 10,000.
func Files(r store.Reader, after uint64, limit int) ([]schema.File, error) {
	if limit <= 0 || limit > filesMax {
		limit = filesMax
	}
	_, upper := engine.KeyspaceBounds(engine.KeyspaceFile)
	it, err := engine.NewIter(r, appendFile(nil, after+1), upper)
	if err != nil {
		return nil, err
	}
	var files []schema.File
	for ok := it.First(); ok && len(files) < limit; ok = it.Next() {
		var f schema.File
		value, err := it.Value()
		if err == nil {
			err = decodeFile(value, &f)
		}
		if err != nil {
			_ = it.Close() // the first error is the one to report
			return nil, err
		}
		files = append(files, f)
	}
	return files, it.Close()
}

// ReserveFile gives a file its number and completes its path: the folder that
// it came with gets a name that no file of the folder ever had.
func (w *Writer) ReserveFile(b *store.Batch, f schema.File) (schema.File, error) {
	number, err := store.NextNumber(w.reader, store.NumberFile)
	if err != nil {
		return f, err
	}
	folder := store.Number("folder/" + f.StorageID + "/" + f.Path)
	next, err := store.NextNumber(w.reader, folder)
	if err != nil {
		return f, err
	}
	base := "batch-"
	if path.Base(f.Path) == schema.PackedFolder {
		base = "pack-"
	}
	f.Path = path.Join(f.Path, base+strconv.FormatUint(next-1, 10)+".parquet")
	f.Number, f.State = number, schema.FileReserved
	store.SetNextNumber(b, store.NumberFile, number+1)
	store.SetNextNumber(b, folder, next+1)
	return f, w.putFile(&f)
}

func (w *Writer) putFile(f *schema.File) error {
	value, err := appendFileValue(w.value[:0], f)
	if err != nil {
		return err
	}
	engine.Set(w.batch, appendFile(w.key[:0], f.Number), value)
	return nil
}

// DropFiles forgets files that no window names, with their marks. It refuses
// before it writes.
func (w *Writer) DropFiles(numbers []uint64) error {
	for _, number := range numbers {
		f, ok, err := File(w.reader, number)
		if err != nil {
			return err
		}
		if !ok {
			return fault.New(fault.ObjectNotFound, "File %d not found", number)
		}
		if f.State == schema.FileLive {
			return fault.New(fault.InvalidOperation, "file %d still holds rows", number)
		}
	}
	for _, number := range numbers {
		engine.Delete(w.batch, appendFile(w.key[:0], number))
		marks := appendDelFile(nil, number)
		engine.DeleteRange(w.batch, marks, engine.PrefixEnd(marks))
	}
	return nil
}

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
	// First is the seq of the first row's marker; the others follow.
	First uint64
	// Floor is the history floor: versions above it can still be replayed.
	Floor uint64
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
	f := a.File
	f.State, f.RemovedAt = schema.FileLive, 0
	return adopted, w.putFile(&f)
}

// adoptSlice is Adopt but for the file's own entry.
func (w *Writer) adoptSlice(a *Adoption) (adopted int64, err error) {
	counts := w.counts.of(a.Table.ID, a.Scope)
	for i := range a.Rows {
		size, moved, err := w.adoptRow(a, i)
		if err != nil {
			return 0, err
		}
		if moved {
			adopted++
			counts.bytes -= int64(size)
		}
	}
	counts.hot -= adopted
	counts.cold += adopted
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

// adoptRow moves one row, or marks it when another version is the newest.
func (w *Writer) adoptRow(a *Adoption, i int) (size int, moved bool, err error) {
	key, seq := a.Row(i)
	place := schema.Location{File: a.File.Number, Row: a.From + uint64(i), Seq: seq}
	found, err := w.seek(a.Table, a.Scope, key)
	if err != nil {
		return 0, false, err
	}
	var kind byte
	above := schema.SeqAt(a.First, i)
	if found {
		var body []byte
		if kind, body, err = w.here(); err != nil {
			return 0, false, err
		}
		size = len(body)
		if w.rows.Seq() != seq || kind != rowLive {
			above = w.rows.Seq()
		}
	}
	named := w.touched.find(a.Table.ID, a.Scope, key) != nil
	if !found || kind != rowLive || w.rows.Seq() != seq || named {
		w.mark(place, above)
		return 0, false, nil
	}
	w.touched.add(touchedRow{table: a.Table.ID, scope: a.Scope, key: key, seq: seq})
	kept := w.rows.Next() || seq > a.Floor
	if err := w.rows.Error(); err != nil {
		return 0, false, err
	}
	w.key = appendLoc(w.key[:0], a.Table.ID, a.Scope, key)
	w.value = appendLocValue(w.value[:0], place)
	engine.Set(w.batch, w.key, w.value)
	if kept {
		w.key = appendRow(w.key[:0], a.Table.ID, a.Scope, key)
		engine.SetRow(w.batch, w.key, above, []byte{rowMoved})
		w.supersede(a.Table, a.Scope, key, seq, above, size)
		w.supersede(a.Table, a.Scope, key, above, above, 0)
		return size, true, nil
	}
	w.key = appendRow(w.key[:0], a.Table.ID, a.Scope, key)
	engine.DeleteRow(w.batch, w.key, seq)
	w.key = appendChg(w.key[:0], a.Table.ID, a.Scope, seq)
	engine.Delete(w.batch, w.key)
	return size, true, nil
}
