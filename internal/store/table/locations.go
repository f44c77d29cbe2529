package table

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// Locations walks over the places of the cold rows of a partition, by key.
type Locations struct {
	it     *engine.Iter
	prefix int // length of loc / table / scope
	begun  bool
	place  schema.Location
	err    error
}

// NewLocations begins a walk over keys low <= key < high, nil being open, to be
// closed by the caller.
func NewLocations(r store.Reader, t *schema.Table, scope schema.Scope, low, high []byte) (*Locations, error) {
	prefix := appendPartition(nil, engine.KeyspaceLoc, t.ID, scope)
	lower, upper := append(bytes.Clone(prefix), low...), engine.PrefixEnd(prefix)
	if high != nil {
		upper = append(bytes.Clone(prefix), high...)
	}
	it, err := engine.NewIter(r, lower, upper)
	if err != nil {
		return nil, err
	}
	return &Locations{it: it, prefix: len(prefix)}, nil
}

// Next moves to the next row and reports whether there is one.
func (l *Locations) Next() bool {
	if l.err != nil || !l.advance() {
		return false
	}
	value, err := l.it.Value()
	if err == nil {
		l.place, err = decodeLoc(value)
	}
	l.err = err
	return err == nil
}

func (l *Locations) advance() (ok bool) {
	if l.begun {
		ok = l.it.Next()
	} else {
		ok, l.begun = l.it.First(), true
	}
	if !ok {
		l.err = l.it.Error()
	}
	return ok
}

// Key returns the encoded key of the present row, valid until Next.
func (l *Locations) Key() []byte { return l.it.Key()[l.prefix:] }

// Location returns the place of the present row.
func (l *Locations) Location() schema.Location { return l.place }

// Err returns what ended the walk early, or nil.
func (l *Locations) Err() error { return l.err }

// Close ends the walk.
func (l *Locations) Close() error { return l.it.Close() }

// MarkScan asks for the delete marks of a file.
type MarkScan struct {
	it     *engine.Iter
	prefix []byte
	seek   []byte
	known  bool   // from and at are set
	from   uint64 // no row from here up to at is marked
	at     uint64 // the mark that the iterator stands at; without end
	end    bool   // there is no mark from from on
}

// NewMarkScan begins to look at the marks of a file, to be closed by the caller.
func NewMarkScan(r store.Reader, file uint64) (*MarkScan, error) {
	prefix := appendDelFile(nil, file)
	it, err := engine.NewIter(r, prefix, engine.PrefixEnd(prefix))
	if err != nil {
		return nil, err
	}
	return &MarkScan{it: it, prefix: prefix}, nil
}

// Marked reports whether a row is marked. Rows asked for in ascending order
// cost one step per mark, in any other order a seek each.
func (m *MarkScan) Marked(row uint64) (bool, error) {
	if m.known && !m.end && row > m.at {
		if err := m.land(m.at+1, m.it.Next()); err != nil {
			return false, err
		}
	}
	if !m.known || row < m.from || !m.end && row > m.at {
		m.seek = binary.BigEndian.AppendUint64(append(m.seek[:0], m.prefix...), row)
		if err := m.land(row, m.it.SeekGE(m.seek)); err != nil {
			return false, err
		}
	}
	return !m.end && row == m.at, nil
}

// land notes where the iterator stands after a move to the first mark from from
// on.
func (m *MarkScan) land(from uint64, ok bool) error {
	m.known, m.from, m.end = true, from, !ok
	if !ok {
		return m.it.Error()
	}
	key := m.it.Key()
	if len(key) != len(m.prefix)+8 {
		return fmt.Errorf("read mark: %w", errValue)
	}
	m.at = binary.BigEndian.Uint64(key[len(m.prefix):])
	return nil
}

// Close ends the look.
func (m *MarkScan) Close() error { return m.it.Close() }

// EachMark calls each with the marked rows [from, to) of a file in order, until it
// returns false, and reports whether there was one.
func EachMark(r store.Reader, file, from, to uint64, each func(row uint64) bool) (some bool, err error) {
	m := MarkScan{prefix: appendDelFile(nil, file)}
	lower := binary.BigEndian.AppendUint64(bytes.Clone(m.prefix), from)
	upper := binary.BigEndian.AppendUint64(bytes.Clone(m.prefix), to)
	if m.it, err = engine.NewIter(r, lower, upper); err != nil {
		return false, err
	}
	for ok := m.it.First(); ; ok = m.it.Next() {
		if err = m.land(from, ok); err != nil || m.end {
			break
		}
		if some = true; !each(m.at) {
			break
		}
	}
	if closing := m.it.Close(); err == nil {
		err = closing
	}
	return some, err
}

// StreamExpired reports whether a stream has windows that ended at or before a
// position: whether ExpireStream would find anything.
func StreamExpired(r store.Reader, t *schema.Table, before uint64) (bool, error) {
	lower := appendTable(nil, engine.KeyspaceStr, t.ID)
	it, err := engine.NewIter(r, lower, appendStrWindow(nil, t.ID, streamWindow(t, before)))
	if err != nil {
		return false, err
	}
	some := it.First()
	return some, it.Close()
}
