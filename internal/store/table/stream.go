package table

import (
	"encoding/binary"

	"kalamdb/internal/schema"
	"kalamdb/internal/store/internal/engine"
)

// eventKey is how the overlay names an event.
func eventKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// checkEvent judges the next change of a STREAM: inserts always pass, deletes
// when their event is there and not hidden yet.
func (w *Writer) checkEvent(t *schema.Table, c *RowChange) error {
	switch c.Op {
	case Insert:
		if len(c.Row) == 0 {
			return ErrMalformed
		}
		w.priors = append(w.priors, prior{})
		return nil
	case Delete:
	default:
		return ErrMalformed
	}
	key := eventKey(c.ReadSeq)
	if w.touched.find(t.ID, c.Scope, key) != nil {
		return ErrStale
	}
	value, ok, err := engine.Get(w.reader, appendStr(w.key[:0], t, c.Scope, c.ReadSeq))
	if err != nil {
		return err
	}
	if !ok {
		return ErrStale
	}
	e, err := decodeEvent(c.ReadSeq, value)
	if err != nil {
		return err
	}
	if e.kind != eventLive {
		return ErrStale
	}
	w.priors = append(w.priors, prior{state: live, seq: c.ReadSeq, old: e.body, position: e.position})
	w.touched.add(touchedRow{table: t.ID, scope: c.Scope, key: key, seq: c.ReadSeq, dead: true})
	return nil
}

// writeEvent appends an event, or a delete record that hides one. The hidden
// event keeps its row, so that whoever lags behind still sees it come and go.
func (w *Writer) writeEvent(t *schema.Table, c *RowChange, p *prior, seq, position uint64) (prev uint64, old []byte) {
	e := event{kind: eventLive, position: position, body: c.Row}
	if c.Op == Delete {
		prev, old = p.seq, p.old
		e = event{kind: eventDelete, position: position, other: p.seq, body: p.old}
		hidden := event{kind: eventHidden, position: p.position, other: seq, body: p.old}
		w.key = appendStr(w.key[:0], t, c.Scope, p.seq)
		w.value = appendEvent(w.value[:0], p.seq, hidden)
		engine.Set(w.batch, w.key, w.value)
	}
	w.key = appendStr(w.key[:0], t, c.Scope, seq)
	w.value = appendEvent(w.value[:0], seq, e)
	engine.Set(w.batch, w.key, w.value)
	return prev, old
}

// ExpireStream removes the windows of a stream that ended at or before a
// position, and reports whether there was anything in them.
func (w *Writer) ExpireStream(t *schema.Table, before uint64) (bool, error) {
	lower := appendTable(nil, engine.KeyspaceStr, t.ID)
	upper := appendStrWindow(nil, t.ID, streamWindow(t, before))
	it, err := engine.NewIter(w.reader, lower, upper)
	if err != nil {
		return false, err
	}
	some := it.First()
	if err := it.Close(); err != nil || !some {
		return false, err
	}
	engine.DeleteRange(w.batch, lower, upper)
	return true, nil
}
