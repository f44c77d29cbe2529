package table

import (
	"encoding/binary"
	"fmt"

	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// WindowUse is what one window of history holds.
type WindowUse struct {
	Window  uint64
	Entries int64 // superseded versions
	Bytes   int64 // about
}

// HistoryWindows returns the windows that hold superseded versions, oldest
// first.
func HistoryWindows(r store.Reader) ([]WindowUse, error) {
	lower, upper := engine.KeyspaceBounds(engine.KeyspaceOld)
	it, err := engine.NewIter(r, lower, upper)
	if err != nil {
		return nil, err
	}
	var windows []WindowUse
	for ok := it.First(); ok; {
		use, err := windowUse(it)
		if err != nil {
			_ = it.Close() // the first error is the one to report
			return nil, err
		}
		windows = append(windows, use)
		ok = it.SeekGE(appendOldWindow(nil, use.Window+1))
	}
	return windows, it.Close()
}

// windowUse reads the window whose first key the iterator stands at. Without
// counters, some of its entries have been forgotten already.
func windowUse(it *engine.Iter) (WindowUse, error) {
	key := it.Key()
	if len(key) < 5 {
		return WindowUse{}, fmt.Errorf("read history: %w", errValue)
	}
	use := WindowUse{Window: uint64(binary.BigEndian.Uint32(key[1:]))}
	if len(key) > 5 {
		return use, nil
	}
	value, err := it.Value()
	if err != nil {
		return use, err
	}
	numbers, err := engine.DecodeCounters(value)
	if err == nil && len(numbers) == 2 {
		use.Entries, use.Bytes = numbers[0], numbers[1]
	}
	return use, err
}

// Forget deletes up to limit superseded versions of the windows before one,
// oldest first, so that no version goes before an older one of its key. It
// returns how many went and whether there are more.
func (w *Writer) Forget(before uint64, limit int) (forgotten int, more bool, err error) {
	lower, _ := engine.KeyspaceBounds(engine.KeyspaceOld)
	upper := appendOldWindow(nil, before)
	it, err := engine.NewIter(w.reader, lower, upper)
	if err != nil {
		return 0, false, err
	}
	some := false
	for ok := it.First(); ok; ok = it.Next() {
		some = true
		if len(it.Key()) == 5 {
			continue // the counters of the window
		}
		if forgotten == limit {
			upper, more = append([]byte(nil), it.Key()...), true
			break
		}
		if err := w.forget(it); err != nil {
			_ = it.Close() // the first error is the one to report
			return 0, false, err
		}
		forgotten++
	}
	if some {
		engine.DeleteRange(w.batch, lower, upper)
	}
	return forgotten, more, it.Close()
}

// forget deletes the version of the entry that the iterator stands at, with its
// change.
func (w *Writer) forget(it *engine.Iter) error {
	entry, ok := cutOld(it.Key())
	pk, err := it.Value()
	if err == nil && !ok {
		err = fmt.Errorf("read history: %w", errValue)
	}
	if err != nil {
		return err
	}
	w.key = appendRow(w.key[:0], entry.table, entry.scope, pk)
	engine.DeleteRow(w.batch, w.key, entry.seq)
	w.key = appendChg(w.key[:0], entry.table, entry.scope, entry.seq)
	engine.Delete(w.batch, w.key)
	return nil
}

// oldEntry is a key of the keyspace old.
type oldEntry struct {
	window uint64
	table  schema.TableID
	scope  schema.Scope
	seq    uint64
}

func cutOld(key []byte) (e oldEntry, ok bool) {
	if len(key) < 1+4+4+2+8 {
		return e, false
	}
	e.window = uint64(binary.BigEndian.Uint32(key[1:]))
	e.table = schema.TableID(binary.BigEndian.Uint32(key[5:]))
	scope, rest, ok := cutScope(key[9:])
	if !ok || len(rest) != 8 {
		return e, false
	}
	e.scope, e.seq = scope, binary.BigEndian.Uint64(rest)
	return e, true
}
