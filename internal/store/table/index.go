package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// DuplicateError is the refusal of values that a unique index holds for another
// row.
type DuplicateError struct {
	// Index is the position of the index in the definition of its table.
	Index int
	// Values are the encoded values.
	Values []byte
}

// Error says what was refused; whoever knows the definition words it.
func (e *DuplicateError) Error() string {
	return fmt.Sprintf("unique index %d has the values %x", e.Index, e.Values)
}

// appendIdxIndex is idx / index.
func appendIdxIndex(dst []byte, id schema.IndexID) []byte {
	return binary.BigEndian.AppendUint32(append(dst, engine.KeyspaceIdx), uint32(id))
}

// appendIdxScope is idx / index / scope.
func appendIdxScope(dst []byte, id schema.IndexID, scope schema.Scope) []byte {
	return appendScope(appendIdxIndex(dst, id), scope)
}

// appendIdx is idx / index / scope / values, before the key of the row.
func appendIdx(dst []byte, id schema.IndexID, scope schema.Scope, values []byte) []byte {
	return append(appendIdxScope(dst, id, scope), values...)
}

// owners are the rows that hold the values of unique indexes, as far as the
// present group has changed that.
type owners struct {
	known map[string]owner
	log   []ownerChange // what the group has changed, to be undone
	kept  int           // of the log, by commands that were accepted
}

// owner is a row by its encoded key; free when no row holds the values.
type owner struct {
	key  []byte
	free bool
}

type ownerChange struct {
	place  string
	before owner
	had    bool
}

func (o *owners) set(place []byte, to owner) {
	if o.known == nil {
		o.known = map[string]owner{}
	}
	before, had := o.known[string(place)]
	name := string(place)
	o.log = append(o.log, ownerChange{name, before, had})
	o.known[name] = to
}

// reject undoes what the present command has changed.
func (o *owners) reject() {
	for i := len(o.log) - 1; i >= o.kept; i-- {
		if c := &o.log[i]; c.had {
			o.known[c.place] = c.before
		} else {
			delete(o.known, c.place)
		}
	}
	o.log = o.log[:o.kept]
}

// reset forgets everything.
func (o *owners) reset() {
	if len(o.known) > 0 {
		o.known = nil
	}
	clear(o.log)
	o.log, o.kept = o.log[:0], 0
}

// checkEntries refuses entries that no planner makes, and notes which values of
// unique indexes the change lets go of.
func (w *Writer) checkEntries(t *schema.Table, c *RowChange) error {
	if len(c.Index) != len(t.Indexes) {
		return ErrMalformed
	}
	for i := range t.Indexes {
		e := &c.Index[i]
		if (len(e.Old) == 0) != (c.Op == Insert) || (len(e.New) == 0) != (c.Op == Delete) {
			return ErrMalformed
		}
		if !t.Indexes[i].Unique || len(e.Old) == 0 || bytes.Equal(e.Old, e.New) || datum.HoldsNullKey(e.Old) {
			continue
		}
		w.key = appendIdx(w.key[:0], t.Indexes[i].ID, c.Scope, e.Old)
		holder, found, err := w.owner(w.key)
		if err != nil {
			return err
		}
		if found && bytes.Equal(holder, c.Key) {
			w.owners.set(w.key, owner{free: true})
		}
	}
	return nil
}

// CheckUnique refuses a change of an otherwise accepted command whose values
// another row holds, once all its changes have been checked: what one of them
// lets go of, another may take.
func (w *Writer) CheckUnique(t *schema.Table, c *RowChange) error {
	for i := range c.Index {
		e := &c.Index[i]
		if !t.Indexes[i].Unique || len(e.New) == 0 || bytes.Equal(e.Old, e.New) || datum.HoldsNullKey(e.New) {
			continue
		}
		w.key = appendIdx(w.key[:0], t.Indexes[i].ID, c.Scope, e.New)
		holder, found, err := w.owner(w.key)
		if err != nil {
			return err
		}
		if found && !bytes.Equal(holder, c.Key) {
			return &DuplicateError{i, e.New}
		}
		w.owners.set(w.key, owner{key: c.Key})
	}
	return nil
}

// owner returns the key of the row that holds values of a unique index, given by
// the beginning of their entries.
func (w *Writer) owner(place []byte) (key []byte, found bool, err error) {
	if o, known := w.owners.known[string(place)]; known {
		return o.key, !o.free, nil
	}
	if w.entries == nil {
		lower, upper := engine.KeyspaceBounds(engine.KeyspaceIdx)
		it, err := engine.NewIter(w.reader, lower, upper)
		if err != nil {
			return nil, false, err
		}
		w.entries = it
	}
	if w.entries.SeekGE(place) && bytes.HasPrefix(w.entries.Key(), place) {
		return w.entries.Key()[len(place):], true, nil
	}
	return nil, false, w.entries.Error()
}

// writeEntries makes the changes of a row in the indexes of its table.
func (w *Writer) writeEntries(t *schema.Table, c *RowChange, seq uint64) {
	for i := range c.Index {
		e, id := &c.Index[i], t.Indexes[i].ID
		if len(e.Old) > 0 && !bytes.Equal(e.Old, e.New) {
			w.key = append(appendIdx(w.key[:0], id, c.Scope, e.Old), c.Key...)
			engine.Delete(w.batch, w.key)
		}
		if len(e.New) > 0 {
			w.setEntry(id, c.Scope, e.New, c.Key, seq)
		}
	}
}

func (w *Writer) setEntry(id schema.IndexID, scope schema.Scope, values, key []byte, seq uint64) {
	w.key = append(appendIdx(w.key[:0], id, scope, values), key...)
	w.value = binary.BigEndian.AppendUint64(w.value[:0], seq)
	engine.Set(w.batch, w.key, w.value)
}

// FillIndex gives rows an entry that still have the version they are named with,
// and returns how many. It refuses, having written nothing that counts, values
// that a unique index holds for another row.
func (w *Writer) FillIndex(t *schema.Table, at int, scope schema.Scope, rows int, row func(i int) (key []byte, seq uint64, values []byte)) (filled int64, err error) {
	x := &t.Indexes[at]
	for i := range rows {
		key, seq, values := row(i)
		if len(key) == 0 || len(values) == 0 {
			return 0, ErrMalformed
		}
		current, err := w.standsAt(t, scope, key, seq)
		if err != nil {
			return 0, err
		}
		if !current {
			continue
		}
		if x.Unique && !datum.HoldsNullKey(values) {
			place := appendIdx(nil, x.ID, scope, values)
			holder, found, err := w.owner(place)
			if err != nil {
				return 0, err
			}
			if found && !bytes.Equal(holder, key) {
				return 0, &DuplicateError{at, values}
			}
			w.owners.set(place, owner{key: key})
		}
		filled++
	}
	for i := range rows {
		key, seq, values := row(i)
		current, err := w.standsAt(t, scope, key, seq)
		if err != nil {
			return 0, err
		}
		if current {
			w.setEntry(x.ID, scope, values, key, seq)
		}
	}
	return filled, nil
}

// standsAt reports whether a version is the newest of a row and live.
func (w *Writer) standsAt(t *schema.Table, scope schema.Scope, key []byte, seq uint64) (bool, error) {
	found, err := w.seek(t, scope, key)
	if err != nil {
		return false, err
	}
	if found {
		kind, _, err := w.here()
		if err != nil || kind != rowMoved {
			return err == nil && kind == rowLive && w.rows.Seq() == seq, err
		}
	}
	place, ok, err := location(w.reader, appendLoc(w.key[:0], t.ID, scope, key))
	return ok && place.Seq == seq, err
}

// refuseIndexed refuses to purge a live row of which an index holds values that
// are in a file: apply reads no file. It is deleted first, and its tombstone
// purged.
func (w *Writer) refuseIndexed(t *schema.Table, scope schema.Scope, key []byte, before uint64) error {
	if len(t.Indexes) == 0 {
		return nil
	}
	place, isCold, err := location(w.reader, appendLoc(w.key[:0], t.ID, scope, key))
	if err != nil || !isCold || before > 0 && place.Seq >= before {
		return err
	}
	return fault.New(fault.InvalidOperation, "a cold row of table %s cannot be purged while the table has an index; delete it first", t.QualifiedName())
}

// purgeEntries removes the entries of a row that is purged with its values.
func (w *Writer) purgeEntries(t *schema.Table, scope schema.Scope, key, body []byte) {
	if len(t.Indexes) == 0 {
		return
	}
	row := make([]datum.Value, len(t.Columns))
	if err := t.DecodeRow(body, row); err != nil {
		return // the row was never readable, so nobody has made an entry of it
	}
	for i := range t.Indexes {
		values, _ := t.AppendIndexValues(nil, &t.Indexes[i], row)
		engine.Delete(w.batch, append(appendIdx(nil, t.Indexes[i].ID, scope, values), key...))
	}
}

// DropIndex removes all entries of an index.
func (w *Writer) DropIndex(id schema.IndexID) {
	engine.DeleteRange(w.batch, appendIdxIndex(nil, id), appendIdxIndex(nil, id+1))
}

// IndexScan walks over entries of an index in one partition, by values and then
// by the key of the row.
type IndexScan struct {
	it      *engine.Iter
	columns int
	prefix  int // length of idx / index / scope
	begun   bool
	key     []byte
	values  []byte
	seq     uint64
	err     error
}

// NewIndexScan begins a walk over entries low <= values and key < high, nil being
// open, to be closed by the caller.
func NewIndexScan(r store.Reader, x *schema.Index, scope schema.Scope, low, high []byte) (*IndexScan, error) {
	prefix := appendIdxScope(nil, x.ID, scope)
	lower, upper := append(bytes.Clone(prefix), low...), engine.PrefixEnd(prefix)
	if high != nil {
		upper = append(bytes.Clone(prefix), high...)
	}
	it, err := engine.NewIter(r, lower, upper)
	if err != nil {
		return nil, err
	}
	return &IndexScan{it: it, columns: len(x.Columns), prefix: len(prefix)}, nil
}

// Next moves to the next entry and reports whether there is one.
func (s *IndexScan) Next() bool {
	if s.err != nil {
		return false
	}
	ok := false
	if s.begun {
		ok = s.it.Next()
	} else {
		ok, s.begun = s.it.First(), true
	}
	if !ok {
		s.err = s.it.Error()
		return false
	}
	s.err = s.read()
	return s.err == nil
}

func (s *IndexScan) read() error {
	all := s.it.Key()[s.prefix:]
	rest := all
	for range s.columns {
		var err error
		if rest, err = datum.SkipKey(rest); err != nil {
			return fmt.Errorf("read entry of an index: %w", errors.Join(err, errValue))
		}
	}
	value, err := s.it.Value()
	if err != nil {
		return err
	}
	if len(value) != 8 || len(rest) == 0 {
		return fmt.Errorf("read entry of an index: %w", errValue)
	}
	s.values, s.key, s.seq = all[:len(all)-len(rest)], rest, binary.BigEndian.Uint64(value)
	return nil
}

// Key returns the encoded key of the row, valid until Next.
func (s *IndexScan) Key() []byte { return s.key }

// Values returns the encoded values, valid until Next.
func (s *IndexScan) Values() []byte { return s.values }

// Seq returns the version of the row.
func (s *IndexScan) Seq() uint64 { return s.seq }

// Err returns what ended the walk early, or nil.
func (s *IndexScan) Err() error { return s.err }

// Close ends the walk.
func (s *IndexScan) Close() error { return s.it.Close() }

// idx prints an entry of an index.
func (d *dumper) idx(key, value []byte) (string, bool) {
	id, ok := cutTable(key)
	if !ok || len(value) != 8 {
		return "", false
	}
	scope, rest, ok := cutScope(key[5:])
	return fmt.Sprintf("idx %d/%s/%q = %s", id, scope, rest, position(binary.BigEndian.Uint64(value))), ok
}
