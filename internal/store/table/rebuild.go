package table

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// samplesMost is how many rows of a file tell it from others.
const samplesMost = 4

// KnownFiles returns the files whose entries can be read, and the numbers of
// those whose entries are garbled.
func KnownFiles(r store.Reader) (known map[uint64]schema.File, garbled []uint64, err error) {
	known = map[uint64]schema.File{}
	lower, upper := engine.KeyspaceBounds(engine.KeyspaceFile)
	err = eachEntry(r, lower, upper, func(key, value []byte) error {
		if len(key) != 9 {
			return fmt.Errorf("read file: %w", errValue)
		}
		number, f := binary.BigEndian.Uint64(key[1:]), schema.File{}
		if decodeFile(value, &f) != nil || f.Number != number {
			garbled = append(garbled, number)
			return nil
		}
		known[number] = f
		return nil
	})
	return known, garbled, err
}

// eachEntry visits entries in order.
func eachEntry(r store.Reader, lower, upper []byte, visit func(key, value []byte) error) error {
	it, err := engine.NewIter(r, lower, upper)
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.Value()
		if err == nil {
			err = visit(it.Key(), value)
		}
		if err != nil {
			_ = it.Close() // the first error is the one to report
			return err
		}
	}
	return it.Close()
}

// Sample is a row of a file by which it is recognised: _seq names a version once.
type Sample struct{ Row, Seq uint64 }

// RebuiltFile is a cold file as the places of its rows describe it.
type RebuiltFile struct {
	// File is its entry. Its number comes from the places; the rest from the old
	// entry, or from whoever finds the file.
	File    schema.File
	Samples []Sample
	// Serial is the number in the name of the file.
	Serial uint64
	// Windows are in order of their first row once the file was Begun.
	Windows []RebuiltWindow

	at     int      // the window of the last row
	dead   []uint64 // rows in windows that are not cold
	claims []claim  // rows whose place is in an older file
}

// claim is a row of a file that an older one holds too.
type claim struct {
	scope schema.Scope
	key   []byte
	row   uint64
	seq   uint64
}

// RebuiltWindow is a window and how many rows are cold in it.
type RebuiltWindow struct {
	schema.Segment
	Rows int64

	seen int64
}

// Placed returns what the places of the cold rows of a table say of its files, by
// number, and how many places are garbled.
func Placed(r store.Reader, t *schema.Table) (files map[uint64]*RebuiltFile, garbled int64, err error) {
	files = map[uint64]*RebuiltFile{}
	type name struct {
		file  uint64
		scope schema.Scope
	}
	windows := map[name]int{}
	prefix := appendTable(nil, engine.KeyspaceLoc, t.ID)
	err = eachEntry(r, prefix, engine.PrefixEnd(prefix), func(key, value []byte) error {
		scope, _, ok := cutScope(key[len(prefix):])
		if !ok {
			return fmt.Errorf("read place: %w", errValue)
		}
		place, err := decodeLoc(value)
		if err != nil {
			garbled++
			return nil
		}
		f := files[place.File]
		if f == nil {
			f = &RebuiltFile{File: schema.File{Number: place.File, Table: t.ID, State: schema.FileLive}}
			files[place.File] = f
		}
		if len(f.Samples) < samplesMost {
			f.Samples = append(f.Samples, Sample{place.Row, place.Seq})
		}
		i, known := windows[name{place.File, scope}]
		if !known {
			i = len(f.Windows)
			windows[name{place.File, scope}] = i
			f.Windows = append(f.Windows, RebuiltWindow{Segment: schema.Segment{
				Table: t.ID, Scope: scope, File: place.File, From: place.Row, To: place.Row + 1,
			}})
		}
		w := &f.Windows[i]
		w.From, w.To = min(w.From, place.Row), max(w.To, place.Row+1)
		w.Rows++
		return nil
	})
	return files, garbled, err
}

// Begin makes ready for the rows of the file.
func (f *RebuiltFile) Begin() {
	slices.SortFunc(f.Windows, func(a, b RebuiltWindow) int { return cmp.Compare(a.From, b.From) })
	f.at, f.dead, f.claims = 0, nil, nil
	for i := range f.Windows {
		w := &f.Windows[i]
		w.seen, w.MinSeq, w.MaxSeq, w.MinKey, w.MaxKey = 0, 0, 0, nil, nil
	}
}

// Row takes the rows of the file in order.
func (f *RebuiltFile) Row(r store.Reader, row uint64, key []byte, seq uint64) error {
	for f.at < len(f.Windows) && row >= f.Windows[f.at].To {
		f.at++
	}
	if f.at == len(f.Windows) || row < f.Windows[f.at].From {
		if f.File.Packed() {
			return nil // nobody knows whose it is
		}
		_, err := f.place(r, f.Windows[0].Scope, row, key, seq)
		return err
	}
	w := &f.Windows[f.at]
	if row == w.From {
		w.MinSeq, w.MinKey, w.MaxKey = seq, bytes.Clone(key), bytes.Clone(key)
	}
	w.MaxSeq = seq
	if bytes.Compare(key, w.MinKey) < 0 {
		w.MinKey = bytes.Clone(key)
	}
	if bytes.Compare(key, w.MaxKey) > 0 {
		w.MaxKey = bytes.Clone(key)
	}
	here, err := f.place(r, w.Scope, row, key, seq)
	if here {
		w.seen++
	} else {
		f.dead = append(f.dead, row)
	}
	return err
}

// place reports whether the place of a row is in this file. One in an older file
// is noted. A garbled place counts for none, as Placed does.
func (f *RebuiltFile) place(r store.Reader, scope schema.Scope, row uint64, key []byte, seq uint64) (here bool, err error) {
	value, ok, err := engine.Get(r, appendLoc(nil, f.File.Table, scope, key))
	if err != nil || !ok {
		return false, err
	}
	place, err := decodeLoc(value)
	if err != nil || place.Seq != seq {
		return false, nil
	}
	if place.File < f.File.Number {
		f.claims = append(f.claims, claim{scope, bytes.Clone(key), row, seq})
	}
	return place.File == f.File.Number && place.Row == row, nil
}

// Claims returns how many rows of the file have their place in an older one.
func (f *RebuiltFile) Claims() int { return len(f.claims) }

// Claim gives those rows their place in this file.
func (f *RebuiltFile) Claim(s *store.Store) error {
	b := s.NewBatch()
	defer b.Close()
	for _, c := range f.claims {
		key := appendLoc(nil, f.File.Table, c.scope, c.key)
		engine.Set(b.Engine(), key, appendLocValue(nil, schema.Location{File: f.File.Number, Row: c.row, Seq: c.seq}))
	}
	if err := b.Commit(true); err != nil {
		return err
	}
	return b.Wait()
}

// Agrees reports whether the file held every row that its windows count, so that
// it is the one that the places mean.
func (f *RebuiltFile) Agrees() bool {
	end := uint64(0)
	for i := range f.Windows {
		w := &f.Windows[i]
		if w.seen != w.Rows || w.From < end || w.To > f.File.Rows {
			return false
		}
		end = w.To
	}
	return len(f.Windows) > 0
}

// Rebuild is what is written for one table.
type Rebuild struct {
	Table *schema.Table
	// Files agree with their places. All other places are given up, and so are
	// windows.
	Files []*RebuiltFile
	// Known are the entries of files that could be read.
	Known map[uint64]schema.File
	// Position is that of the database.
	Position uint64
}

// Rebuilt is what a rebuild has written.
type Rebuilt struct {
	Windows  int
	Rows     int64 // that are cold
	LostRows int64 // whose file is none of Files
	Entries  int64 // of indexes that named such rows
	Removed  int   // files without windows, which the server removes
}

// rebuildBatch is the size in bytes at which changes are written.
const rebuildBatch = 4 << 20

// rebuilder writes a rebuild to a store that nobody else uses.
type rebuilder struct {
	store *store.Store
	batch *store.Batch
	r     Rebuild
	done  Rebuilt
	rows  map[schema.Scope]int64
	taken map[uint64]*RebuiltFile
}

// Write makes windows, files, marks, places and counts of a table anew in a store
// that nobody else uses. It is no single commit: whoever calls it throws the
// store away after an error.
func (r Rebuild) Write(s *store.Store) (Rebuilt, error) {
	b := &rebuilder{store: s, batch: s.NewBatch(), r: r, rows: map[schema.Scope]int64{}, taken: map[uint64]*RebuiltFile{}}
	defer func() { b.batch.Close() }()
	for _, f := range r.Files {
		b.taken[f.File.Number] = f
	}
	for _, step := range []func() error{b.windows, b.places, b.unused, b.counts, b.entries} {
		if err := step(); err != nil {
			return b.done, fmt.Errorf("rebuild table %s: %w", r.Table.QualifiedName(), err)
		}
	}
	return b.done, b.write()
}

// write applies what was collected.
func (b *rebuilder) write() error {
	err := b.batch.Commit(true)
	if err == nil {
		err = b.batch.Wait()
	}
	b.batch.Close()
	b.batch = b.store.NewBatch()
	return err
}

// flush applies what was collected when it is much.
func (b *rebuilder) flush() error {
	if b.batch.Len() < rebuildBatch {
		return nil
	}
	return b.write()
}

// windows writes the files, their windows and their marks.
func (b *rebuilder) windows() error {
	if err := ForgetWindows(b.store, b.r.Table); err != nil {
		return err
	}
	for _, f := range b.r.Files {
		for i := range f.Windows {
			w := &f.Windows[i]
			engine.Set(b.batch.Engine(), appendSeg(nil, w.Table, w.Scope, w.File), appendSegValue(nil, &w.Segment))
			b.rows[w.Scope] += w.Rows
			b.done.Rows += w.Rows
			b.done.Windows++
		}
		if err := b.file(f); err != nil {
			return err
		}
		if err := b.marks(f); err != nil {
			return err
		}
	}
	return nil
}

// file writes the entry of a file, and keeps its number and its name from being
// given out again.
func (b *rebuilder) file(f *RebuiltFile) error {
	// Rows behind the window are hot still, or gone: the server's next flush adopts
	// them or marks them.
	f.File.State, f.File.RemovedAt, f.File.Windows, f.File.Sources = schema.FileLive, 0, 0, nil
	if f.File.Packed() {
		f.File.Windows = uint64(len(f.Windows))
	}
	value, err := appendFileValue(nil, &f.File)
	if err != nil {
		return err
	}
	engine.Set(b.batch.Engine(), appendFile(nil, f.File.Number), value)
	if err := store.RaiseNumber(b.store.Reader(), b.batch, store.NumberFile, f.File.Number+1); err != nil {
		return err
	}
	folder := store.Number("folder/" + f.File.StorageID + "/" + path.Dir(f.File.Path))
	if err := store.RaiseNumber(b.store.Reader(), b.batch, folder, f.Serial+2); err != nil {
		return err
	}
	return b.write() // so that the next file sees the numbers
}

// marks makes the marks of a file those of the rows in its windows that are not
// cold. One that stands keeps the change that it names.
func (b *rebuilder) marks(f *RebuiltFile) error {
	wanted := f.dead
	prefix := appendDelFile(nil, f.File.Number)
	stand := map[uint64]struct{}{}
	err := eachEntry(b.store.Reader(), prefix, engine.PrefixEnd(prefix), func(key, value []byte) error {
		row := binary.BigEndian.Uint64(key[len(prefix):])
		_, _, ok := cutNumbers(value, 1)
		if _, dead := slices.BinarySearch(wanted, row); dead && ok {
			stand[row] = struct{}{}
			return nil
		}
		engine.Delete(b.batch.Engine(), bytes.Clone(key))
		return b.flush()
	})
	if err != nil {
		return err
	}
	for _, row := range wanted {
		if _, stands := stand[row]; !stands {
			engine.Set(b.batch.Engine(), appendDel(nil, f.File.Number, row), appendNumber(nil, b.r.Position))
		}
		if err := b.flush(); err != nil {
			return err
		}
	}
	return nil
}

// lostRow is a row whose place is given up.
type lostRow struct {
	scope schema.Scope
	key   []byte
}

// lostMost is how many rows are lost at a time.
const lostMost = 1000

// places gives up those of rows whose file is not there, with all that is known of
// these rows: older versions without the newest one would be seen instead of it.
func (b *rebuilder) places() error {
	prefix := appendTable(nil, engine.KeyspaceLoc, b.r.Table.ID)
	var lost []lostRow
	err := eachEntry(b.store.Reader(), prefix, engine.PrefixEnd(prefix), func(key, value []byte) error {
		if place, err := decodeLoc(value); err == nil && b.taken[place.File] != nil {
			return nil
		}
		scope, pk, ok := cutScope(key[len(prefix):])
		if !ok {
			return fmt.Errorf("read place: %w", errValue)
		}
		engine.Delete(b.batch.Engine(), bytes.Clone(key))
		if lost = append(lost, lostRow{scope, bytes.Clone(pk)}); len(lost) < lostMost {
			return nil
		}
		err := b.lose(lost)
		lost = lost[:0]
		return err
	})
	if err == nil {
		err = b.lose(lost)
	}
	if err != nil || b.done.LostRows == 0 {
		return err
	}
	// Nobody is told of these rows: all cursors so far are over.
	w, err := NewWriter(b.store.Reader())
	if err != nil {
		return err
	}
	w.Begin(b.store.Reader(), b.batch)
	return errors.Join(w.notePurged(b.r.Table.ID, b.r.Position), w.Finish())
}

// lose removes all versions of rows, with their changes and what history lists of
// them.
func (b *rebuilder) lose(rows []lostRow) error {
	w, err := NewWriter(b.store.Reader())
	if err != nil {
		return err
	}
	w.Begin(b.store.Reader(), b.batch)
	for _, row := range rows {
		var seqs []uint64 // newest first
		ok, err := w.seek(b.r.Table, row.scope, row.key)
		for ; ok && err == nil; ok = w.rows.Next() {
			seqs = append(seqs, w.rows.Seq())
		}
		if err == nil && w.rows != nil {
			err = w.rows.Error()
		}
		if err != nil {
			return errors.Join(err, w.Finish())
		}
		for i := range seqs {
			w.deleteVersion(b.r.Table, row.scope, row.key, seqs, i)
		}
	}
	b.done.LostRows += int64(len(rows))
	if err := w.Finish(); err != nil {
		return err
	}
	return b.flush()
}

// unused marks files of the table that no window names as removed. Those that
// were reserved are the server's to look at.
func (b *rebuilder) unused() error {
	for number, f := range b.r.Known {
		if f.Table != b.r.Table.ID || f.State != schema.FileLive || b.taken[number] != nil {
			continue
		}
		f.Windows = 0
		f.State, f.RemovedAt = schema.FileRemoved, b.r.Position
		value, err := appendFileValue(nil, &f)
		if err != nil {
			return err
		}
		engine.Set(b.batch.Engine(), appendFile(nil, number), value)
		b.done.Removed++
	}
	return nil
}

// counts makes the counters of cold rows say what the windows hold.
func (b *rebuilder) counts() error {
	add := func(scope schema.Scope, cold int64) {
		key := appendPartition(nil, engine.KeyspaceCnt, b.r.Table.ID, scope)
		engine.Merge(b.batch.Engine(), key, engine.AppendDelta(nil, 0, cold, 0, 0))
	}
	err := eachCounts(b.store.Reader(), b.r.Table, "", func(scope schema.Scope, c schema.Counts, _ bool) bool {
		if wanted := b.rows[scope]; wanted != c.ColdRows {
			add(scope, wanted-c.ColdRows)
		}
		delete(b.rows, scope)
		return true
	})
	for scope, rows := range b.rows {
		add(scope, rows)
	}
	return err
}

// entries removes what indexes hold of lost rows.
func (b *rebuilder) entries() error {
	if b.done.LostRows == 0 || len(b.r.Table.Indexes) == 0 {
		return nil
	}
	if err := b.write(); err != nil { // the places that are left decide
		return err
	}
	for i := range b.r.Table.Indexes {
		x := &b.r.Table.Indexes[i]
		prefix := appendIdxIndex(nil, x.ID)
		err := eachEntry(b.store.Reader(), prefix, engine.PrefixEnd(prefix), func(key, _ []byte) error {
			scope, rest, ok := cutScope(key[len(prefix):])
			if !ok {
				return fmt.Errorf("read entry of an index: %w", errValue)
			}
			pk, err := keyOfEntry(rest, len(x.Columns))
			if err != nil {
				return err
			}
			if stands, err := b.stands(scope, pk); err != nil || stands {
				return err
			}
			b.done.Entries++
			engine.Delete(b.batch.Engine(), bytes.Clone(key))
			return b.flush()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// stands reports whether a row is hot or has a place.
func (b *rebuilder) stands(scope schema.Scope, key []byte) (bool, error) {
	v, ok, err := Get(b.store.Reader(), b.r.Table, scope, key)
	if err != nil || ok && !v.Deleted && !v.Moved {
		return err == nil, err
	}
	_, ok, err = location(b.store.Reader(), appendLoc(nil, b.r.Table.ID, scope, key))
	return ok, err
}

// keyOfEntry returns the key of the row that an entry of an index names, behind
// its values.
func keyOfEntry(rest []byte, columns int) (key []byte, err error) {
	for range columns {
		if rest, err = datum.SkipKey(rest); err != nil {
			return nil, fmt.Errorf("read entry of an index: %w", errors.Join(err, errValue))
		}
	}
	return rest, nil
}

// ForgetFiles removes entries of files that cannot be read, whatever they were.
func ForgetFiles(s *store.Store, numbers []uint64) error {
	b := s.NewBatch()
	defer b.Close()
	for _, number := range numbers {
		engine.Delete(b.Engine(), appendFile(nil, number))
		if err := store.RaiseNumber(s.Reader(), b, store.NumberFile, number+1); err != nil {
			return err
		}
	}
	if err := b.Commit(true); err != nil {
		return err
	}
	return b.Wait()
}

// ForgetWindows removes all windows of a table from a store that nobody else uses,
// whatever they say.
func ForgetWindows(s *store.Store, t *schema.Table) error {
	b := s.NewBatch()
	defer b.Close()
	prefix := appendTable(nil, engine.KeyspaceSeg, t.ID)
	engine.DeleteRange(b.Engine(), prefix, engine.PrefixEnd(prefix))
	if err := b.Commit(true); err != nil {
		return err
	}
	return b.Wait()
}
