package table

import (
	"encoding/binary"
	"fmt"
	"path"
	"strconv"
	"strings"

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
	w.watches.begin(&f)
	return f, w.putFile(&f)
}

// GaveName reports whether ReserveFile has given out the path of a file, numbered
// as it numbers them, for a storage.
func GaveName(r store.Reader, storage, file string) (bool, error) {
	_, digits, _ := strings.Cut(strings.TrimSuffix(path.Base(file), ".parquet"), "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return false, nil
	}
	next, err := store.NextNumber(r, store.Number("folder/"+storage+"/"+path.Dir(file)))
	return next > 1 && n < next-1, err
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
		w.watches.end(number)
		engine.Delete(w.batch, appendFile(w.key[:0], number))
		marks := appendDelFile(nil, number)
		engine.DeleteRange(w.batch, marks, engine.PrefixEnd(marks))
	}
	return nil
}
