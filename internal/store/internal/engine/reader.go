package engine

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// Reader is a state that can be read: *DB the newest applied one, *Snapshot
// the one of a moment, *Batch the newest applied one plus its own changes.
type Reader interface {
	// source is closed to other rooms: they read by the functions below.
	source() source
}

// source is what Pebble can read from.
type source interface {
	Get(key []byte) (value []byte, closer io.Closer, err error)
	NewIter(o *pebble.IterOptions) (*pebble.Iterator, error)
}

func (db *DB) source() source      { return db.pebble }
func (s *Snapshot) source() source { return s.pebble }
func (b *Batch) source() source    { return b.pebble }

var (
	_ Reader = (*DB)(nil)
	_ Reader = (*Snapshot)(nil)
	_ Reader = (*Batch)(nil)
)

// Snapshot is the state at the moment of NewSnapshot.
type Snapshot struct {
	pebble *pebble.Snapshot
}

// NewSnapshot returns a snapshot, to be closed by the caller; while it is
// open, what it shows keeps its room on disk.
func (db *DB) NewSnapshot() *Snapshot { return &Snapshot{db.pebble.NewSnapshot()} }

// Close ends a snapshot whose iterators are closed.
func (s *Snapshot) Close() error { return s.pebble.Close() }

// Get returns a copy of the value under a key of any keyspace but row.
func Get(r Reader, key []byte) (value []byte, ok bool, err error) {
	assertPlain(key)
	found, closer, err := r.source().Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("get key %x: %w", key, mark(err))
	}
	value = append(make([]byte, 0, len(found)), found...)
	if err := closer.Close(); err != nil {
		return nil, false, fmt.Errorf("get key %x: %w", key, mark(err))
	}
	return value, true, nil
}

// GetRow returns a copy of the newest version of a row that is not above seq,
// and which version it is.
func GetRow(r Reader, key []byte, seq uint64) (value []byte, at uint64, ok bool, err error) {
	assertRow(key)
	// Filters of every level answer for rows that are not there, as most are
	// that an INSERT asks for.
	p, err := r.source().NewIter(&pebble.IterOptions{UseL6Filters: true})
	if err != nil {
		return nil, 0, false, fmt.Errorf("get row %x: %w", key, mark(err))
	}
	it := Iter{pebble: p}
	if ok = it.SeekRow(key, seq); ok {
		at = it.Seq()
		var found []byte
		if found, err = it.Value(); err == nil {
			value = append(make([]byte, 0, len(found)), found...)
		}
	}
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, 0, false, err
	}
	return value, at, ok, nil
}

// Iter walks over keys. A new one stands nowhere. Every move reports whether
// it ended at a key; when it did not, Error says whether that was the end.
type Iter struct {
	pebble *pebble.Iterator
	buf    []byte // key of the last seek
}

// NewIter returns an iterator over [lower, upper) in the state of r at this
// moment; nil means open. It must be closed before r is.
func NewIter(r Reader, lower, upper []byte) (*Iter, error) {
	options := &pebble.IterOptions{UseL6Filters: true}
	if len(lower) > 0 {
		options.LowerBound = appendBare(nil, lower)
	}
	if len(upper) > 0 {
		options.UpperBound = appendBare(nil, upper)
	}
	p, err := r.source().NewIter(options)
	if err != nil {
		return nil, fmt.Errorf("open iterator: %w", mark(err))
	}
	return &Iter{pebble: p}, nil
}

// SetBounds gives other bounds to the iterator, which then stands nowhere.
func (i *Iter) SetBounds(lower, upper []byte) {
	i.pebble.SetBounds(appendBare(nil, lower), appendBare(nil, upper))
}

// First moves to the least key.
func (i *Iter) First() bool { return i.pebble.First() }

// Last moves to the greatest key.
func (i *Iter) Last() bool { return i.pebble.Last() }

// Next moves to the next key, which of a row may be its next older version.
func (i *Iter) Next() bool { return i.pebble.Next() }

// Prev moves to the key before.
func (i *Iter) Prev() bool { return i.pebble.Prev() }

// NextKey moves to the next key, of a row past its older versions. It is
// meant for walking forward.
func (i *Iter) NextKey() bool { return i.pebble.NextPrefix() }

// SeekGE moves to the least key that is not below key; for a row key that is
// its newest version.
func (i *Iter) SeekGE(key []byte) bool {
	i.buf = appendBare(i.buf[:0], key)
	return i.pebble.SeekGE(i.buf)
}

// SeekWithin moves to the least key of [low, high) and reports whether there is
// one; it looks no further than high.
func (i *Iter) SeekWithin(low, high []byte) bool {
	i.buf = appendBare(i.buf[:0], low)
	n := len(i.buf)
	i.buf = appendBare(i.buf, high)
	return i.pebble.SeekGEWithLimit(i.buf[:n], i.buf[n:]) == pebble.IterValid
}

// SeekLT moves to the greatest key below key.
func (i *Iter) SeekLT(key []byte) bool {
	i.buf = appendBare(i.buf[:0], key)
	return i.pebble.SeekLT(i.buf)
}

// SeekRow moves to the newest version of exactly this row that is not above
// seq. Next then ends after its oldest version; another seek is needed to
// leave the row, and Prev and NextKey must not be called. The row must lie
// within the bounds of the iterator.
func (i *Iter) SeekRow(key []byte, seq uint64) bool {
	i.buf = appendRow(i.buf[:0], key, seq)
	return i.pebble.SeekPrefixGE(i.buf)
}

// Valid reports whether the iterator stands at a key.
func (i *Iter) Valid() bool { return i.pebble.Valid() }

// Key returns the key, of a row without its version. It is valid until the
// next move.
func (i *Iter) Key() []byte {
	key, _ := cutRow(i.pebble.Key())
	return key
}

// Seq returns the version of a row key, and zero for any other.
func (i *Iter) Seq() uint64 {
	_, seq := cutRow(i.pebble.Key())
	return seq
}

// Value returns the value, valid until the next move.
func (i *Iter) Value() ([]byte, error) {
	value, err := i.pebble.ValueAndErr()
	if err != nil {
		return nil, fmt.Errorf("read value of key %x: %w", i.pebble.Key(), mark(err))
	}
	return value, nil
}

// Error returns what stopped the last move, nil at the end of the keys.
func (i *Iter) Error() error {
	if err := i.pebble.Error(); err != nil {
		return fmt.Errorf("iterate: %w", mark(err))
	}
	return nil
}

// Close ends the iterator and returns its error, if any.
func (i *Iter) Close() error {
	if err := i.pebble.Close(); err != nil {
		return fmt.Errorf("iterate: %w", mark(err))
	}
	return nil
}
