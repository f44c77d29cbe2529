// Package table keeps the rows of USER, SHARED and STREAM tables: their
// versions, the order of their changes, what is history, what is cold.
//
// Keys and values are drawn in docs/format/rows.md. What it promises:
//
//   - The scope is part of every key of a row; no read can be given two.
//   - _seq and _deleted are stamped here and nowhere else: by Writer.Write.
//   - A row's newest version is hot or in one cold segment, never both: Adopt
//     writes the place of a row in the batch that removes or covers its version.
//   - No version is deleted while an older one of its key remains; only the
//     marker of a moved row goes when a newer version takes its place above.
//   - Counters are merged in the batch of the change and are exact.
//   - Reads are pure functions of a store.Reader.
//
// Goroutines: none. Locks: none; a Writer, a Scan, a Points or a Changes is
// used by one goroutine at a time.
package table

import (
	"errors"
	"math"

	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// Refusals of Writer.Check.
var (
	// ErrDuplicate: an insert meets a live row, hot or cold.
	ErrDuplicate = errors.New("a row with this key exists")
	// ErrStale: an update or delete was computed from another version than the
	// newest one, or without the image of a row that has become cold.
	ErrStale = errors.New("the row has another version")
	// ErrMalformed: a change that no planner makes.
	ErrMalformed = errors.New("the change of a row is malformed")
)

// newest is above every version.
const newest = math.MaxUint64

// Version is one version of a row. Its slices may be shared with the store and
// are not written to.
type Version struct {
	// Key is the encoded primary key; empty for events of a stream.
	Key []byte
	// Seq is _seq.
	Seq uint64
	// Deleted marks a tombstone; Row is then what it hides.
	Deleted bool
	// Moved says that the newest version is cold, at Location; Seq is then the
	// one of the marker and Row is nil.
	Moved bool
	// Row is what schema.Table.DecodeRow reads.
	Row []byte
}

// Get returns the newest hot version of a row, tombstones included. When there
// is none, or Moved is set, Location knows whether the row is cold.
func Get(r store.Reader, t *schema.Table, scope schema.Scope, key []byte) (v Version, ok bool, err error) {
	value, seq, ok, err := engine.GetRow(r, appendRow(nil, t.ID, scope, key), newest)
	if err != nil || !ok {
		return Version{}, false, err
	}
	v, err = version(key, seq, value)
	return v, err == nil, err
}

// version reads the value of a row's version.
func version(key []byte, seq uint64, value []byte) (Version, error) {
	kind, body, err := cutRowValue(value)
	if err != nil {
		return Version{}, err
	}
	v := Version{Key: key, Seq: seq, Deleted: kind == rowDead, Moved: kind == rowMoved}
	if !v.Moved {
		v.Row = body
	}
	return v, nil
}

// Points reads rows of one partition by key.
type Points struct {
	it     *engine.Iter
	prefix []byte // row / table / scope
	key    []byte
}

// NewPoints returns a reader of rows, to be closed by the caller.
func NewPoints(r store.Reader, t *schema.Table, scope schema.Scope) (*Points, error) {
	prefix := appendPartition(nil, engine.KeyspaceRow, t.ID, scope)
	it, err := engine.NewIter(r, prefix, engine.PrefixEnd(prefix))
	if err != nil {
		return nil, err
	}
	return &Points{it: it, prefix: prefix}, nil
}

// Get is Get of the package. The version is valid until the next call.
func (p *Points) Get(key []byte) (v Version, ok bool, err error) {
	return p.at(key, newest)
}

// at returns the newest version up to a seq.
func (p *Points) at(key []byte, seq uint64) (v Version, ok bool, err error) {
	p.key = append(append(p.key[:0], p.prefix...), key...)
	if !p.it.SeekRow(p.key, seq) {
		return Version{}, false, p.it.Error()
	}
	return p.here(key)
}

// here reads the version that the iterator stands at.
func (p *Points) here(key []byte) (v Version, ok bool, err error) {
	value, err := p.it.Value()
	if err == nil {
		v, err = version(key, p.it.Seq(), value)
	}
	return v, err == nil, err
}

// older returns the next older version of the row that was read last.
func (p *Points) older(key []byte) (v Version, ok bool, err error) {
	if !p.it.Next() {
		return Version{}, false, p.it.Error()
	}
	return p.here(key)
}

// Close ends the reader.
func (p *Points) Close() error { return p.it.Close() }

// ValueAt returns the version of a row that was in force at a position, while
// history is kept. Moved is set only when the version itself is cold.
func ValueAt(r store.Reader, t *schema.Table, scope schema.Scope, key []byte, position uint64) (v Version, ok bool, err error) {
	p, err := NewPoints(r, t, scope)
	if err != nil {
		return Version{}, false, err
	}
	v, ok, err = p.at(key, position)
	if err == nil && ok && v.Moved {
		// The marker changed nothing: what it covers was in force.
		var under Version
		if under, ok, err = p.older(key); ok {
			v = under
		}
		ok = err == nil
	}
	v.Row = append([]byte(nil), v.Row...)
	if closeErr := p.Close(); err == nil {
		err = closeErr
	}
	return v, ok && err == nil, err
}
