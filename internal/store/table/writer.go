package table

import (
	"bytes"
	"errors"
	"fmt"

	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// RowChange is one change of one row, as a command carries it.
type RowChange struct {
	Op    Op
	Scope schema.Scope
	// Key is the encoded primary key; it plays no part for a STREAM.
	Key []byte
	// ReadSeq is the version that an update or delete was computed from, or
	// the event of a STREAM that a delete hides.
	ReadSeq uint64
	// Fresh says that no row can have the key of an insert.
	Fresh bool
	// Row is the new version; of a delete, what it hides.
	Row []byte
	// Old is the superseded version, if the proposer knows it.
	Old []byte
	// Index has an entry for each index of the table.
	Index []schema.IndexEntry
}

// Writer changes rows for one group of commands at a time: Begin, then per
// command Check and then CheckUnique for each row and Accept with Write for each
// row, or Reject, then Finish. Checks see what the group has changed before.
type Writer struct {
	cold    map[schema.TableID]bool // tables that have windows of cold rows
	reader  store.Reader
	batch   *engine.Batch
	rows    *engine.Iter // over all rows, opened when the group first looks
	entries *engine.Iter // over all entries of indexes, the same
	touched overlay
	owners  owners
	marked  int // touched rows of the commands before the present one
	priors  []prior
	later   []laterRow // versions to be written by Done
	counts  countDeltas
	watches watches
	adopted []adoptee // of the slice at hand
	order   []int32   // of its keys
	windows []WindowUse
	key     []byte
	value   []byte
}

// state is how a check finds a row.
type state uint8

const (
	absent state = iota
	live         // its newest version is hot
	dead         // its newest version is a tombstone
	cold         // its newest version is in a file
)

// prior is what a check has found out about a row.
type prior struct {
	state    state
	seq      uint64          // its newest version
	size     int             // bytes of its hot row
	old      []byte          // its image
	moved    uint64          // the marker that covers a cold row, 0 for none
	under    bool            // the row's version is still there under the marker
	place    schema.Location // of a cold row
	position uint64          // commit of a stream's event
}

// laterLeast is the number of rows from which on a command writes its versions
// after all its changes: in the order of the keys, which spares the engine most
// of the sorting of a large batch.
const laterLeast = 4096

// laterRow is a version that waits for the end of its command.
type laterRow struct {
	table schema.TableID
	kind  byte
	scope schema.Scope
	key   []byte
	body  []byte
	seq   uint64
}

// NewWriter returns a writer for a store in the state of r.
func NewWriter(r store.Reader) (*Writer, error) {
	w := &Writer{cold: map[schema.TableID]bool{}, touched: newOverlay(), counts: newCountDeltas()}
	lower, upper := engine.KeyspaceBounds(engine.KeyspaceSeg)
	it, err := engine.NewIter(r, lower, upper)
	if err != nil {
		return nil, err
	}
	for ok := it.First(); ok; {
		id, known := cutTable(it.Key())
		if !known {
			_ = it.Close() // the error below is the one to report
			return nil, fmt.Errorf("read windows: %w", errValue)
		}
		w.cold[id] = true
		ok = it.SeekGE(appendTable(nil, engine.KeyspaceSeg, id+1))
	}
	return w, it.Close()
}

// Begin starts a group: checks read r, changes go to b.
func (w *Writer) Begin(r store.Reader, b *store.Batch) {
	w.reader, w.batch = r, b.Engine()
	w.touched.reset()
	w.owners.reset()
	w.marked = 0
	w.priors = w.priors[:0]
}

// Finish ends a group: it writes what is summed up over all of it.
func (w *Writer) Finish() error {
	w.counts.flush(w)
	for _, use := range w.windows {
		w.key = appendOldWindow(w.key[:0], use.Window)
		w.value = engine.AppendDelta(w.value[:0], use.Entries, use.Bytes)
		engine.Merge(w.batch, w.key, w.value)
	}
	w.windows = w.windows[:0]
	w.touched.reset()
	w.owners.reset()
	w.reader, w.batch = nil, nil
	var errs [2]error
	if w.rows != nil {
		errs[0] = w.rows.Close()
	}
	if w.entries != nil {
		errs[1] = w.entries.Close()
	}
	w.rows, w.entries = nil, nil
	return errors.Join(errs[:]...)
}

// Check judges the next row of a command, which will get this seq. It returns
// one of this room's refusals, or an error of the engine.
func (w *Writer) Check(t *schema.Table, c *RowChange, seq uint64) error {
	if t.Kind == schema.Stream {
		return w.checkEvent(t, c)
	}
	if len(c.Key) == 0 || len(c.Row) == 0 {
		return ErrMalformed
	}
	p, err := w.prior(t, c)
	if err != nil {
		return err
	}
	switch {
	case c.Op == Insert:
		if p.state == live || p.state == cold {
			return ErrDuplicate
		}
	case c.Op != Update && c.Op != Delete:
		return ErrMalformed
	case p.state != live && p.state != cold, p.seq != c.ReadSeq, p.old == nil:
		return ErrStale
	}
	if err := w.checkEntries(t, c); err != nil {
		return err
	}
	w.priors = append(w.priors, p)
	w.touched.add(touchedRow{table: t.ID, scope: c.Scope, key: c.Key, body: c.Row, seq: seq, dead: c.Op == Delete})
	return nil
}

// Accept keeps what the checks of a command have noted; Write follows for each
// of its rows.
func (w *Writer) Accept() { w.marked, w.owners.kept = len(w.touched.rows), len(w.owners.log) }

// Reject forgets what the checks of a command have noted.
func (w *Writer) Reject() {
	w.touched.cut(w.marked)
	w.owners.reject()
	w.priors = w.priors[:0]
}

// Done ends a command after its last Write.
func (w *Writer) Done() {
	for i := range w.later {
		w.put(&w.later[i])
	}
	w.later, w.priors = nil, w.priors[:0]
}

// put writes a version of a row.
func (w *Writer) put(r *laterRow) {
	w.key = appendRow(w.key[:0], r.table, r.scope, r.key)
	w.value = append(append(w.value[:0], r.kind), r.body...)
	engine.SetRow(w.batch, w.key, r.seq, w.value)
}

// prior looks a row up: in what the group has done, among the hot rows, among
// the cold ones.
func (w *Writer) prior(t *schema.Table, c *RowChange) (p prior, err error) {
	if row := w.touched.find(t.ID, c.Scope, c.Key); row != nil {
		p = prior{state: live, seq: row.seq, size: len(row.body), old: row.body}
		if row.dead {
			p.state = dead
		}
		return p, nil
	}
	if c.Fresh && c.Op == Insert {
		return p, nil
	}
	found, err := w.seek(t, c.Scope, c.Key)
	if err != nil {
		return p, err
	}
	if !found {
		if w.cold[t.ID] {
			err = w.priorCold(t, c, &p)
		}
		return p, err
	}
	kind, body, err := w.here()
	if err != nil {
		return p, err
	}
	p.seq = w.rows.Seq()
	switch kind {
	case rowLive:
		p.state, p.size, p.old = live, len(body), image(c, body)
	case rowDead:
		p.state, p.size = dead, len(body)
	case rowMoved:
		p.moved = p.seq
		err = w.priorCold(t, c, &p)
	}
	return p, err
}

// Vacant reports whether no row with low <= key <= high is in the store, hot, dead
// or cold: then inserts of such keys need not look for theirs one by one. What
// the group has done is not looked at; Check does that.
func (w *Writer) Vacant(t *schema.Table, scope schema.Scope, low, high []byte) (bool, error) {
	if err := w.openRows(); err != nil {
		return false, err
	}
	from := appendRow(nil, t.ID, scope, low)
	to := append(appendRow(nil, t.ID, scope, high), 0) // the least key above high
	if w.rows.SeekWithin(from, to) {
		return false, nil
	}
	if err := w.rows.Error(); err != nil || !w.cold[t.ID] {
		return err == nil, err
	}
	places, err := NewLocations(w.reader, t, scope, low, append(bytes.Clone(high), 0))
	if err != nil {
		return false, err
	}
	some := places.Next()
	err = places.Err()
	if closing := places.Close(); err == nil {
		err = closing
	}
	return !some && err == nil, err
}

// priorCold asks for the place of a row that is not hot. Where a marker covers
// the row's version, the iterator stands at the marker.
func (w *Writer) priorCold(t *schema.Table, c *RowChange, p *prior) error {
	place, ok, err := location(w.reader, appendLoc(w.key[:0], t.ID, c.Scope, c.Key))
	if err != nil {
		return err
	}
	if !ok {
		if p.moved != 0 {
			return fmt.Errorf("row %x of table %d is moved to no place: %w", c.Key, t.ID, errValue)
		}
		return nil
	}
	p.state, p.seq, p.place, p.old = cold, place.Seq, place, c.Old
	if p.moved != 0 && w.rows.Next() && w.rows.Seq() == place.Seq {
		_, body, err := w.here()
		if err != nil {
			return err
		}
		p.under, p.old = true, image(c, body)
	}
	if p.old == nil && c.Op == Delete {
		p.old = c.Row
	}
	return w.rows.Error()
}

// image returns the superseded row: the proposer's copy, or one of our own.
func image(c *RowChange, body []byte) []byte {
	switch {
	case c.Op == Insert:
		return nil
	case len(c.Old) > 0:
		return c.Old
	}
	return append(make([]byte, 0, len(body)), body...)
}

// seek moves the row iterator to the newest version of a row.
func (w *Writer) seek(t *schema.Table, scope schema.Scope, key []byte) (bool, error) {
	if err := w.openRows(); err != nil {
		return false, err
	}
	w.key = appendRow(w.key[:0], t.ID, scope, key)
	if w.rows.SeekRow(w.key, newest) {
		return true, nil
	}
	return false, w.rows.Error()
}

// openRows opens the row iterator when the group first looks.
func (w *Writer) openRows() error {
	if w.rows != nil {
		return nil
	}
	lower, upper := engine.KeyspaceBounds(engine.KeyspaceRow)
	it, err := engine.NewIter(w.reader, lower, upper)
	if err == nil {
		w.rows = it
	}
	return err
}

// here reads the value that the row iterator stands at.
func (w *Writer) here() (kind byte, body []byte, err error) {
	value, err := w.rows.Value()
	if err != nil {
		return 0, nil, err
	}
	return cutRowValue(value)
}

// Write makes the change of row i of an accepted command under its seq, in a
// commit with that position. It returns the version that the change
// supersedes and its image, for subscribers.
func (w *Writer) Write(t *schema.Table, c *RowChange, i int, seq, position uint64) (prev uint64, old []byte) {
	p := &w.priors[i]
	if t.Kind == schema.Stream {
		return w.writeEvent(t, c, p, seq, position)
	}
	if len(w.watches.list) > 0 && c.Op != Insert { // what is inserted was in no file
		w.watches.note(t.ID, c.Scope, c.Key)
	}
	delta := w.counts.of(t.ID, c.Scope)
	kind := rowLive
	if c.Op == Delete {
		kind = rowDead
		delta.dead++
	} else {
		delta.hot++
		delta.bytes += int64(len(c.Row))
	}
	switch p.state {
	case live:
		delta.hot--
		delta.bytes -= int64(p.size)
		w.supersede(t, c.Scope, c.Key, p.seq, seq, p.size)
	case dead:
		delta.dead--
		w.supersede(t, c.Scope, c.Key, p.seq, seq, p.size)
	case cold:
		delta.cold--
		w.recall(t, c, p, seq)
	}
	if c.Op != Insert {
		prev, old = p.seq, p.old
	}
	if row := (laterRow{t.ID, kind, c.Scope, c.Key, c.Row, seq}); len(w.priors) < laterLeast {
		w.put(&row)
	} else {
		w.later = append(w.later, row)
	}
	w.key = appendChg(w.key[:0], t.ID, c.Scope, seq)
	w.value = appendChgValue(w.value[:0], seq, chgEntry{op: c.Op, position: position, prev: prev, key: c.Key})
	engine.Set(w.batch, w.key, w.value)
	w.writeEntries(t, c, seq)
	return prev, old
}

// supersede files a version under the window in which a newer one came.
func (w *Writer) supersede(t *schema.Table, scope schema.Scope, key []byte, version, by uint64, size int) {
	window := HistoryWindow(by)
	w.key = appendOld(w.key[:0], window, t.ID, scope, version)
	engine.Set(w.batch, w.key, key)
	w.use(window, size+len(key))
}

// use adds an entry to the counters of a window.
func (w *Writer) use(window uint64, bytes int) {
	for i := range w.windows {
		if w.windows[i].Window == window {
			w.windows[i].Entries++
			w.windows[i].Bytes += int64(bytes)
			return
		}
	}
	w.windows = append(w.windows, WindowUse{Window: window, Entries: 1, Bytes: int64(bytes)})
}

// recall takes a cold row back: its place goes, its file gets a mark, and its
// image becomes a superseded version, so that replaying history never opens a
// file. A marker above it goes too, for the new version stands there now.
func (w *Writer) recall(t *schema.Table, c *RowChange, p *prior, seq uint64) {
	w.key = appendLoc(w.key[:0], t.ID, c.Scope, c.Key)
	engine.Delete(w.batch, w.key)
	w.mark(p.place, seq)
	if p.moved != 0 {
		window := HistoryWindow(p.moved)
		engine.DeleteRow(w.batch, appendRow(w.key[:0], t.ID, c.Scope, c.Key), p.moved)
		engine.Delete(w.batch, appendOld(w.key[:0], window, t.ID, c.Scope, p.moved))
		if p.under {
			engine.Delete(w.batch, appendOld(w.key[:0], window, t.ID, c.Scope, p.seq))
		}
	}
	if !p.under {
		w.key = appendRow(w.key[:0], t.ID, c.Scope, c.Key)
		w.value = append(append(w.value[:0], rowLive), p.old...)
		engine.SetRow(w.batch, w.key, p.seq, w.value)
	}
	w.supersede(t, c.Scope, c.Key, p.seq, seq, len(p.old))
}

// mark notes that a row of a file is superseded.
func (w *Writer) mark(place schema.Location, seq uint64) {
	w.key = appendDel(w.key[:0], place.File, place.Row)
	w.value = appendNumber(w.value[:0], seq)
	engine.Set(w.batch, w.key, w.value)
}
