package table

import (
	"context"
	"encoding/binary"
	"fmt"

	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// cutScopesMost is how many partitions of its last window a cut of a whole stream
// goes through. Those beyond it lose theirs with the window.
const cutScopesMost = 10_000

// CutStream removes the events of a stream before a position: of one partition,
// where a mark keeps the place, or of all. It reports whether partitions were
// left out.
func (w *Writer) CutStream(t *schema.Table, scope schema.Scope, before uint64) (more bool, err error) {
	if before == 0 {
		return false, nil
	}
	it, err := engine.NewIter(w.reader, appendTable(nil, engine.KeyspaceStr, t.ID), appendStrWindow(nil, t.ID, streamWindow(t, before)+1))
	if err != nil {
		return false, err
	}
	some := false
	if scope == "" {
		some, more, err = w.cutAll(it, t, before)
	} else {
		some, err = w.cutScope(it, t, scope, before)
	}
	if closing := it.Close(); err == nil {
		err = closing
	}
	switch {
	case err != nil || !some:
	case scope == "":
		err = w.notePurged(t.ID, before-1)
	default:
		w.key = appendStr(w.key[:0], t, scope, before-1)
		engine.Set(w.batch, w.key, []byte{eventCut})
	}
	return more, err
}

// cutScope removes the events of a partition before a position, window by window.
func (w *Writer) cutScope(it *engine.Iter, t *schema.Table, scope schema.Scope, before uint64) (some bool, err error) {
	for ok := it.First(); ok; {
		window, known := windowOf(it.Key())
		if !known {
			return false, fmt.Errorf("read event: %w", errValue)
		}
		lower := appendStrScope(nil, t.ID, window, scope)
		upper := engine.PrefixEnd(lower)
		if window == streamWindow(t, before) {
			upper = binary.BigEndian.AppendUint64(appendStrScope(nil, t.ID, window, scope), before)
		}
		if it.SeekGE(lower) && string(it.Key()) < string(upper) {
			engine.DeleteRange(w.batch, lower, upper)
			some = true
		}
		if window == 1<<32-1 {
			break
		}
		ok = it.SeekGE(appendStrWindow(nil, t.ID, window+1))
	}
	return some, it.Error()
}

// cutAll removes the windows before that of a position, and of that one the
// events before it.
func (w *Writer) cutAll(it *engine.Iter, t *schema.Table, before uint64) (some, more bool, err error) {
	lower, upper := appendTable(nil, engine.KeyspaceStr, t.ID), appendStrWindow(nil, t.ID, streamWindow(t, before))
	if it.First() && string(it.Key()) < string(upper) {
		engine.DeleteRange(w.batch, lower, upper)
		some = true
	}
	n := 0
	for ok := it.SeekGE(upper); ok; n++ {
		if n == cutScopesMost {
			return some, true, nil
		}
		key := it.Key()
		scope, rest, known := cutScope(key[min(9, len(key)):])
		if !known || len(rest) != 8 {
			return false, false, fmt.Errorf("read event: %w", errValue)
		}
		from := appendStrScope(nil, t.ID, streamWindow(t, before), scope)
		if to := binary.BigEndian.AppendUint64(append([]byte(nil), from...), before); string(key) < string(to) {
			engine.DeleteRange(w.batch, from, to)
			some = true
		}
		ok = it.SeekGE(engine.PrefixEnd(from))
	}
	return some, false, it.Error()
}

// windowOf reads the window of a key of str.
func windowOf(key []byte) (uint32, bool) {
	if len(key) < 9 {
		return 0, false
	}
	return binary.BigEndian.Uint32(key[5:]), true
}

// StreamCut returns the newest event of a partition that does not fit beside the
// newest keep ones, 0 when all do, and how many it has seen of them. Hidden events
// count: one that is deleted brings no older one back.
func StreamCut(r store.Reader, t *schema.Table, scope schema.Scope, keep int64) (cut uint64, n int64, err error) {
	scan, err := newStreamScan(r, t, scope, ScanOptions{Order: BySeqDesc, Deleted: true})
	if err != nil {
		return 0, 0, err
	}
	for scan.Next(context.Background()) { // bounded by keep and the deletes among them
		if scan.event.kind == eventDelete {
			continue
		}
		if n == keep {
			cut = scan.version.Seq
			break
		}
		n++
	}
	err = scan.Err()
	if closing := scan.Close(); err == nil {
		err = closing
	}
	return cut, n, err
}

// StreamFloor returns the position up to which events of a partition were removed
// before their time, as far as it is still known.
func StreamFloor(r store.Reader, t *schema.Table, scope schema.Scope) (uint64, error) {
	floor, err := PurgedTo(r, t.ID)
	if err != nil {
		return 0, err
	}
	scan, err := newStreamScan(r, t, scope, ScanOptions{Order: BySeq, Deleted: true})
	if err != nil {
		return 0, err
	}
	if scan.advance() { // a cut leaves nothing before its mark
		var value []byte
		key := scan.it.Key()
		if value, err = scan.it.Value(); err == nil && len(value) > 0 && value[0] == eventCut {
			floor = max(floor, binary.BigEndian.Uint64(key[len(key)-8:]))
		}
	}
	if err == nil {
		err = scan.Err()
	}
	if closing := scan.Close(); err == nil {
		err = closing
	}
	return floor, err
}

// StreamWindowEnd returns the first position behind the window of an event.
func StreamWindowEnd(t *schema.Table, seq uint64) uint64 {
	return windowStart(t, streamWindow(t, seq)+1)
}

// windowStart returns the first position of a window.
func windowStart(t *schema.Table, window uint32) uint64 {
	millis := int64(window)*windowSeconds(t)*1000 + schema.SeqEpochMillis
	return schema.SeqFloor(millis * 1000)
}

// StreamOldest returns the first position behind the oldest window of a stream, 0
// when nothing is stored.
func StreamOldest(r store.Reader, t *schema.Table) (end uint64, err error) {
	prefix := appendTable(nil, engine.KeyspaceStr, t.ID)
	it, err := engine.NewIter(r, prefix, engine.PrefixEnd(prefix))
	if err != nil {
		return 0, err
	}
	if it.First() {
		window, known := windowOf(it.Key())
		if !known {
			err = fmt.Errorf("read event: %w", errValue)
		}
		end = windowStart(t, window+1)
	}
	if closing := it.Close(); err == nil {
		err = closing
	}
	return end, err
}

// StreamSizes calls use for each window of a stream that holds something, oldest
// first: with the first position behind it and about how many bytes it takes.
func StreamSizes(ctx context.Context, r store.Reader, t *schema.Table, use func(end uint64, bytes int64)) error {
	prefix := appendTable(nil, engine.KeyspaceStr, t.ID)
	it, err := engine.NewIter(r, prefix, engine.PrefixEnd(prefix))
	if err != nil {
		return err
	}
	var at uint32
	var bytes int64
	for n, ok := 0, it.First(); ok && err == nil; n, ok = n+1, it.Next() {
		window, known := windowOf(it.Key())
		var value []byte
		if value, err = it.Value(); err == nil && !known {
			err = fmt.Errorf("read event: %w", errValue)
		}
		if n%lookEvery == 0 && err == nil {
			err = ctx.Err()
		}
		if window != at && bytes > 0 {
			use(windowStart(t, at+1), bytes)
			bytes = 0
		}
		at, bytes = window, bytes+int64(len(it.Key())+len(value))
	}
	if closing := it.Close(); err == nil {
		err = closing
	}
	if bytes > 0 && err == nil {
		use(windowStart(t, at+1), bytes)
	}
	return err
}

// EventBytes is about what an event of a stream takes beside its row.
func EventBytes(scope schema.Scope) int64 { return int64(len(scope)) + 24 }
