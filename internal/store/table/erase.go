package table

import (
	"context"
	"encoding/binary"
	"fmt"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// stretch is a range of keys, [lower, upper).
type stretch struct{ lower, upper []byte }

// scopeStretches returns the ranges of all keys that name a partition, but for
// those in which something else comes before the partition: there, the ranges
// that hold anything now.
func scopeStretches(r store.Reader, t *schema.Table, scope schema.Scope) (all []stretch, err error) {
	add := func(prefix []byte) { all = append(all, stretch{prefix, engine.PrefixEnd(prefix)}) }
	for _, keyspace := range [...]byte{engine.KeyspaceRow, engine.KeyspaceChg, engine.KeyspaceCnt, engine.KeyspaceLoc, engine.KeyspaceSeg} {
		add(appendPartition(nil, keyspace, t.ID, scope))
	}
	for i := range t.Indexes {
		add(appendIdxScope(nil, t.Indexes[i].ID, scope))
	}
	if t.Kind == schema.Stream {
		err = eachStrWindow(r, t.ID, func(window uint32) { add(appendStrScope(nil, t.ID, window, scope)) })
		return all, err
	}
	windows, err := HistoryWindows(r)
	for _, w := range windows {
		prefix := appendScope(binary.BigEndian.AppendUint32(appendOldWindow(nil, w.Window), uint32(t.ID)), scope)
		some, err := holds(r, stretch{prefix, engine.PrefixEnd(prefix)})
		if err != nil {
			return nil, err
		}
		if some {
			add(prefix)
		}
	}
	return all, err
}

// eachStrWindow visits the windows of a stream that hold events, in order.
func eachStrWindow(r store.Reader, id schema.TableID, visit func(window uint32)) error {
	prefix := appendTable(nil, engine.KeyspaceStr, id)
	it, err := engine.NewIter(r, prefix, engine.PrefixEnd(prefix))
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		key := it.Key()
		if len(key) < len(prefix)+4 {
			_ = it.Close() // the first error is the one to report
			return fmt.Errorf("read stream: %w", errValue)
		}
		window := binary.BigEndian.Uint32(key[len(prefix):])
		visit(window)
		if window+1 == 0 {
			break
		}
		ok = it.SeekGE(appendStrWindow(nil, id, window+1))
	}
	return it.Close()
}

// holds reports whether there is a key in a range.
func holds(r store.Reader, s stretch) (bool, error) {
	it, err := engine.NewIter(r, s.lower, s.upper)
	if err != nil {
		return false, err
	}
	some := it.First()
	return some, it.Close()
}

// keysIn counts the keys in ranges.
func keysIn(r store.Reader, all []stretch) (n int64, err error) {
	for _, s := range all {
		it, err := engine.NewIter(r, s.lower, s.upper)
		if err != nil {
			return n, err
		}
		for ok := it.First(); ok; ok = it.Next() {
			n++
		}
		if err := it.Close(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Traces reports whether any key names a partition.
func Traces(r store.Reader, t *schema.Table, scope schema.Scope) (bool, error) {
	all, err := scopeStretches(r, t, scope)
	for _, s := range all {
		if err != nil {
			break
		}
		var some bool
		if some, err = holds(r, s); some {
			return true, err
		}
	}
	return false, err
}

// EraseScope removes all keys of a partition. Files of its own are removed at a
// position, files that it shares lose its windows. It returns how many live rows
// there were, or events with what hid them, and refuses before it writes.
func (w *Writer) EraseScope(t *schema.Table, scope schema.Scope, position uint64) (rows int64, err error) {
	all, err := scopeStretches(w.reader, t, scope)
	if err != nil {
		return 0, err
	}
	if t.Kind == schema.Stream {
		rows, err = keysIn(w.reader, all)
	} else {
		var counts schema.Counts
		counts, err = Counts(w.reader, t, scope)
		rows = counts.HotRows + counts.ColdRows
	}
	if err != nil {
		return 0, err
	}
	segments, err := Segments(w.reader, t.ID, scope)
	if err != nil {
		return 0, err
	}
	files := make([]schema.File, 0, len(segments))
	for _, s := range segments {
		f, ok, err := File(w.reader, s.File)
		if err != nil {
			return 0, err
		}
		if ok && f.State == schema.FileLive && (f.Scope == scope || f.Packed()) {
			files = append(files, f)
		}
	}
	for i := range files {
		leaveFile(&files[i], position)
		if err := w.putFile(&files[i]); err != nil {
			return 0, err
		}
	}
	for _, s := range all {
		engine.DeleteRange(w.batch, s.lower, s.upper)
	}
	return rows, nil
}

// SwapBytes puts the bytes of a reservation in the place of those of a live file.
// The reservation takes the former ones and is removed at a position. It refuses
// before it writes.
func (w *Writer) SwapBytes(f schema.File, by, position uint64) error {
	old, ok, err := File(w.reader, f.Number)
	if err != nil {
		return err
	}
	reserved, known, err := File(w.reader, by)
	if err != nil {
		return err
	}
	if !ok || old.State != schema.FileLive || f.Table != old.Table || f.Scope != old.Scope || f.Rows != old.Rows ||
		!known || reserved.State != schema.FileReserved || reserved.Table != old.Table || reserved.Path != f.Path || reserved.StorageID != f.StorageID {
		return fault.New(fault.InvalidOperation, "file %d cannot take the bytes of file %d", f.Number, by)
	}
	f.State, f.RemovedAt, f.Windows, f.Object = schema.FileLive, 0, old.Windows, by
	former := old
	former.Number, former.Object = by, old.Bytes()
	former.State, former.RemovedAt, former.Windows = schema.FileRemoved, position, 0
	if err := w.putFile(&former); err != nil {
		return err
	}
	return w.putFile(&f)
}

// Scrub rewrites what the engine keeps of a partition of some tables, of history
// and of the system tables, so that the bytes of deleted entries leave the disk.
func Scrub(ctx context.Context, s *store.Store, tables []*schema.Table, scope schema.Scope) error {
	return s.Scrub(ctx, func(scrub func(lower, upper []byte) error) error {
		for _, t := range tables {
			all, err := scopeStretches(s.Reader(), t, scope)
			if err != nil {
				return err
			}
			if t.Kind == schema.Stream { // the windows that it was in are not known any more
				prefix := appendTable(nil, engine.KeyspaceStr, t.ID)
				all = append(all, stretch{prefix, engine.PrefixEnd(prefix)})
			}
			for _, x := range all {
				if err := scrub(x.lower, x.upper); err != nil {
					return err
				}
			}
		}
		for _, keyspace := range [...]byte{engine.KeyspaceOld, engine.KeyspaceCat, engine.KeyspaceFile, engine.KeyspaceSys} {
			lower, upper := engine.KeyspaceBounds(keyspace)
			if err := scrub(lower, upper); err != nil {
				return err
			}
		}
		return nil
	})
}
