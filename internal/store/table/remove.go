package table

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// purgeVersions is how many versions one Purge deletes at most, but for the
// last key, of which it deletes the oldest ones first.
const purgeVersions = 16 << 10

// DropTable removes all rows of a table, its counters and windows. Its files
// are removed at a position. What history still lists of it is skipped later:
// the number of a table is never used again.
func (w *Writer) DropTable(id schema.TableID, position uint64) error {
	files := map[uint64]bool{}
	var order []uint64
	err := AllSegments(w.reader, id, func(s schema.Segment) bool {
		if !files[s.File] {
			files[s.File] = true
			order = append(order, s.File)
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, number := range order {
		f, ok, err := File(w.reader, number)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		f.State, f.RemovedAt = schema.FileRemoved, position
		if err := w.putFile(&f); err != nil {
			return err
		}
	}
	for _, keyspace := range [...]byte{engine.KeyspaceRow, engine.KeyspaceChg, engine.KeyspaceStr,
		engine.KeyspaceCnt, engine.KeyspaceLoc, engine.KeyspaceSeg} {
		engine.DeleteRange(w.batch, appendTable(nil, keyspace, id), appendTable(nil, keyspace, id+1))
	}
	engine.SysDelete(w.batch, purgedName(id))
	delete(w.cold, id)
	return nil
}

// purgedName names the sys entry of PurgedTo.
func purgedName(id schema.TableID) string { return "purged/" + strconv.FormatUint(uint64(id), 10) }

// PurgedTo returns the greatest _seq of the tombstones that were purged of a
// table: who has seen less may not know of a delete.
func PurgedTo(r store.Reader, id schema.TableID) (uint64, error) {
	value, ok, err := engine.SysGet(r, purgedName(id))
	if err != nil || !ok {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("read %s: %w", purgedName(id), errValue)
	}
	return binary.BigEndian.Uint64(value), nil
}

// notePurged keeps the greatest _seq that was purged.
func (w *Writer) notePurged(id schema.TableID, seq uint64) error {
	known, err := PurgedTo(w.reader, id)
	if err == nil && seq > known {
		engine.SysPut(w.batch, purgedName(id), binary.BigEndian.AppendUint64(nil, seq))
	}
	return err
}

// Purge deletes keys with all their versions, hot and cold, unless the newest
// one is at or above before; 0 protects none. It returns how many keys went
// and whether it stopped at its bound.
func (w *Writer) Purge(t *schema.Table, scope schema.Scope, keys [][]byte, before, position uint64) (purged int64, more bool, err error) {
	for _, key := range keys {
		if t.Kind == schema.Stream && len(key) != 8 || len(key) == 0 {
			return 0, false, ErrMalformed
		}
		if err := w.refuseIndexed(t, scope, key, before); err != nil {
			return 0, false, err
		}
	}
	budget, newest := purgeVersions, uint64(0)
	for _, key := range keys {
		if budget <= 0 {
			return purged, true, w.notePurged(t.ID, newest)
		}
		if w.touched.find(t.ID, scope, key) != nil {
			continue // named twice
		}
		w.touched.add(touchedRow{table: t.ID, scope: scope, key: key, dead: true})
		var gone bool
		var versions int
		if t.Kind == schema.Stream {
			gone, err = w.purgeEvent(t, scope, key, before)
			versions = 1
		} else {
			var last uint64
			gone, last, versions, err = w.purgeKey(t, scope, key, before, position, budget)
			newest = max(newest, last)
		}
		if err != nil {
			return 0, false, err
		}
		budget -= versions
		if gone {
			purged++
		}
	}
	return purged, budget < 0, w.notePurged(t.ID, newest)
}

// purgeKey deletes the versions of a row, whose newest one is last; when there
// are more than the budget, the oldest ones only, and gone is false.
func (w *Writer) purgeKey(t *schema.Table, scope schema.Scope, key []byte, before, position uint64, budget int) (gone bool, last uint64, versions int, err error) {
	place, isCold, err := location(w.reader, appendLoc(w.key[:0], t.ID, scope, key))
	if err != nil {
		return false, 0, 0, err
	}
	var seqs []uint64 // newest first
	var top byte
	var live []byte // the row, when an index has it
	size := 0
	ok, err := w.seek(t, scope, key)
	for ; ok && err == nil; ok = w.rows.Next() {
		if len(seqs) == 0 {
			var body []byte
			top, body, err = w.here()
			size = len(body)
			if top == rowLive && len(t.Indexes) > 0 {
				live = append(live, body...)
			}
		}
		seqs = append(seqs, w.rows.Seq())
	}
	if err == nil {
		err = w.rows.Error()
	}
	if err != nil {
		return false, 0, 0, err
	}
	last = place.Seq
	if len(seqs) > 0 && top != rowMoved {
		last = seqs[0]
	}
	if len(seqs) == 0 && !isCold || before > 0 && last >= before {
		return false, 0, 0, nil
	}
	first := 0
	if len(seqs) > budget {
		first = len(seqs) - budget
	}
	for i := len(seqs) - 1; i >= first; i-- {
		w.deleteVersion(t, scope, key, seqs, i)
	}
	if first > 0 {
		return false, 0, budget + 1, nil
	}
	w.uncount(t, scope, top, size, isCold)
	if top == rowLive {
		w.purgeEntries(t, scope, key, live)
	}
	if isCold {
		engine.Delete(w.batch, appendLoc(w.key[:0], t.ID, scope, key))
		w.mark(place, position)
	}
	return true, last, len(seqs) + 1, nil
}

// deleteVersion deletes version i of a row with its change and its entry among
// the old ones, which is filed under the time of the next newer version; a
// marker's own is filed under its own time.
func (w *Writer) deleteVersion(t *schema.Table, scope schema.Scope, key []byte, seqs []uint64, i int) {
	w.key = appendRow(w.key[:0], t.ID, scope, key)
	engine.DeleteRow(w.batch, w.key, seqs[i])
	w.key = appendChg(w.key[:0], t.ID, scope, seqs[i])
	engine.Delete(w.batch, w.key)
	by := seqs[max(i-1, 0)]
	w.key = appendOld(w.key[:0], HistoryWindow(by), t.ID, scope, seqs[i])
	engine.Delete(w.batch, w.key)
}

// uncount takes a row out of the counters.
func (w *Writer) uncount(t *schema.Table, scope schema.Scope, top byte, size int, isCold bool) {
	delta := w.counts.of(t.ID, scope)
	switch {
	case isCold:
		delta.cold--
	case top == rowLive:
		delta.hot--
		delta.bytes -= int64(size)
	case top == rowDead:
		delta.dead--
	}
}

// purgeEvent deletes an event of a stream.
func (w *Writer) purgeEvent(t *schema.Table, scope schema.Scope, key []byte, before uint64) (gone bool, err error) {
	seq := binary.BigEndian.Uint64(key)
	if before > 0 && seq >= before {
		return false, nil
	}
	w.key = appendStr(w.key[:0], t, scope, seq)
	_, ok, err := engine.Get(w.reader, w.key)
	if err != nil || !ok {
		return false, err
	}
	engine.Delete(w.batch, w.key)
	return true, nil
}
