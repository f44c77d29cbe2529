package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// lookEvery is how many entries a scan passes over between two looks at its
// context.
const lookEvery = 256

// Order is how a scan delivers rows.
type Order uint8

// The orders. Events of a stream have no key: by key is by seq.
const (
	ByKey Order = iota
	BySeq
	BySeqDesc
)

// ScanOptions says which rows of a partition a scan delivers: of every key the
// newest version, if it is hot and passes.
type ScanOptions struct {
	// Low and High bound the encoded key: Low <= key < High; nil is open.
	Low, High []byte
	// AfterSeq and UpToSeq bound _seq: AfterSeq < _seq <= UpToSeq; 0 is open.
	AfterSeq, UpToSeq uint64
	// Deleted delivers tombstones too.
	Deleted bool
	// Order is the order of the rows.
	Order Order
	// Now, in microseconds since 1970, hides the rows of a stream that are
	// older than its TTL; 0 hides none.
	Now int64
}

// passes reports whether a version lies within the bounds of seq.
func (o *ScanOptions) passes(seq uint64) bool {
	return seq > o.AfterSeq && (o.UpToSeq == 0 || seq <= o.UpToSeq)
}

// holds reports whether a key lies within the bounds.
func (o *ScanOptions) holds(key []byte) bool {
	return bytes.Compare(key, o.Low) >= 0 && (o.High == nil || bytes.Compare(key, o.High) < 0)
}

// Scan delivers rows.
type Scan struct {
	cursor cursor
}

// cursor is one way of scanning.
type cursor interface {
	Next(ctx context.Context) bool
	current() *Version
	Err() error
	Close() error
}

// NewScan begins a scan of one partition, to be closed by the caller.
func NewScan(r store.Reader, t *schema.Table, scope schema.Scope, o ScanOptions) (*Scan, error) {
	var c cursor
	var err error
	switch {
	case t.Kind == schema.Stream:
		o.Deleted = false // what is hidden stays hidden
		c, err = newStreamScan(r, t, scope, o)
	case o.Order == ByKey:
		c, err = newKeyScan(r, t, scope, o)
	default:
		c, err = newSeqScan(r, t, scope, o)
	}
	if err != nil {
		return nil, err
	}
	return &Scan{c}, nil
}

// Next moves to the next row and reports whether there is one. It may have to
// pass over any number of rows that are not wanted, and stops with the context's
// error.
func (s *Scan) Next(ctx context.Context) bool { return s.cursor.Next(ctx) }

// Version returns the present row, valid until Next.
func (s *Scan) Version() Version { return *s.cursor.current() }

// Err returns what ended the scan early, or nil.
func (s *Scan) Err() error { return s.cursor.Err() }

// Close ends the scan.
func (s *Scan) Close() error { return s.cursor.Close() }

// keyScan walks over the keys of row, from newest version to newest version.
type keyScan struct {
	o       ScanOptions
	it      *engine.Iter
	prefix  int // length of row / table / scope
	begun   bool
	version Version
	err     error
}

func newKeyScan(r store.Reader, t *schema.Table, scope schema.Scope, o ScanOptions) (*keyScan, error) {
	return openKeyScan(r, appendPartition(nil, engine.KeyspaceRow, t.ID, scope), o)
}

// openKeyScan scans the keys that begin with prefix: row / table / scope.
func openKeyScan(r store.Reader, prefix []byte, o ScanOptions) (*keyScan, error) {
	s := &keyScan{o: o, prefix: len(prefix)}
	lower, upper := s.bounds(prefix)
	it, err := engine.NewIter(r, lower, upper)
	s.it = it
	return s, err
}

// bounds returns the bounds of the keys.
func (s *keyScan) bounds(prefix []byte) (lower, upper []byte) {
	lower, upper = append(bytes.Clone(prefix), s.o.Low...), engine.PrefixEnd(prefix)
	if s.o.High != nil {
		upper = append(bytes.Clone(prefix), s.o.High...)
	}
	return lower, upper
}

func (s *keyScan) Next(ctx context.Context) bool {
	for n := 1; s.err == nil && s.advance(); n++ {
		if n%lookEvery == 0 && ctx.Err() != nil {
			s.err = ctx.Err()
			return false
		}
		seq := s.it.Seq()
		if !s.o.passes(seq) {
			continue
		}
		value, err := s.it.Value()
		if err == nil {
			s.version, err = version(s.it.Key()[s.prefix:], seq, value)
		}
		if s.err = err; err == nil && !s.version.Moved && (s.o.Deleted || !s.version.Deleted) {
			return true
		}
	}
	return false
}

func (s *keyScan) advance() bool {
	ok := false
	if s.begun {
		ok = s.it.NextKey()
	} else {
		ok, s.begun = s.it.First(), true
	}
	if !ok {
		s.err = s.it.Error()
	}
	return ok
}

func (s *keyScan) current() *Version { return &s.version }
func (s *keyScan) Err() error        { return s.err }
func (s *keyScan) Close() error      { return s.it.Close() }

// seqScan walks over chg and delivers what is still the newest of its key.
type seqScan struct {
	o       ScanOptions
	it      *engine.Iter
	rows    *Points
	begun   bool
	version Version
	err     error
	last    uint64 // seq of the entry looked at last
	skipped int    // entries met so far that were superseded or not wanted
	look    int    // gives up after so many; 0 never does
}

func newSeqScan(r store.Reader, t *schema.Table, scope schema.Scope, o ScanOptions) (*seqScan, error) {
	lower, upper := chgBounds(t, scope, o.AfterSeq, o.UpToSeq)
	it, err := engine.NewIter(r, lower, upper)
	if err != nil {
		return nil, err
	}
	rows, err := NewPoints(r, t, scope)
	if err != nil {
		_ = it.Close() // the first error is the one to report
		return nil, err
	}
	return &seqScan{o: o, it: it, rows: rows}, nil
}

// chgBounds returns the bounds of the changes (after, upTo]; upTo 0 is open.
func chgBounds(t *schema.Table, scope schema.Scope, after, upTo uint64) (lower, upper []byte) {
	prefix := appendPartition(nil, engine.KeyspaceChg, t.ID, scope)
	upper = engine.PrefixEnd(prefix)
	if upTo != 0 && upTo != newest {
		upper = appendChg(nil, t.ID, scope, upTo+1)
	}
	if after == newest {
		return upper, upper
	}
	return appendChg(nil, t.ID, scope, after+1), upper
}

func (s *seqScan) Next(ctx context.Context) bool {
	for n := 1; s.err == nil && s.advance(); n++ {
		if n%lookEvery == 0 && ctx.Err() != nil {
			s.err = ctx.Err()
			return false
		}
		entry, err := s.entry()
		if err != nil {
			s.err = err
			return false
		}
		if !s.o.holds(entry.key) {
			continue
		}
		v, ok, err := s.rows.Get(entry.key)
		if err != nil {
			s.err = err
			return false
		}
		if !ok || v.Seq != s.last || v.Deleted && !s.o.Deleted {
			s.skipped++
			if s.look > 0 && s.skipped > s.look {
				return false
			}
			continue
		}
		s.version = v
		return true
	}
	return false
}

func (s *seqScan) advance() (ok bool) {
	switch desc := s.o.Order == BySeqDesc; {
	case !s.begun && desc:
		ok = s.it.Last()
	case !s.begun:
		ok = s.it.First()
	case desc:
		ok = s.it.Prev()
	default:
		ok = s.it.Next()
	}
	if s.begun = true; !ok {
		s.err = s.it.Error()
	}
	return ok
}

// entry reads the change that the iterator stands at.
func (s *seqScan) entry() (chgEntry, error) {
	s.last = binary.BigEndian.Uint64(s.it.Key()[len(s.it.Key())-8:])
	value, err := s.it.Value()
	if err != nil {
		return chgEntry{}, err
	}
	return decodeChg(s.last, value)
}

func (s *seqScan) current() *Version { return &s.version }
func (s *seqScan) Err() error        { return s.err }

func (s *seqScan) Close() error {
	err := s.it.Close()
	if rowsErr := s.rows.Close(); err == nil {
		err = rowsErr
	}
	return err
}

// ChangeOptions says which changes of a partition are wanted.
type ChangeOptions struct {
	// From and To are positions: From < seq <= To; a To of 0 is open.
	From, To uint64
	// Now is that of ScanOptions.
	Now int64
}

// Change is one committed change of a row. Its slices are valid until the next
// one is asked for.
type Change struct {
	// SchemaVersion is the version of the table that wrote Row.
	SchemaVersion uint32
	Op            Op
	// Position is the commit's; changes of one commit share it.
	Position uint64
	Seq      uint64
	PrevSeq  uint64 // the version that was superseded, 0 for an insert
	Key      []byte
	// Row is the new version, of a delete what it hides; Old is the superseded
	// version, nil where history has forgotten it.
	Row []byte
	Old []byte
}

// Changes delivers changes in commit order. It does not judge whether history
// still reaches back to From: catalog.View.CheckCursor does.
type Changes struct {
	chg    *seqScan
	events *streamScan
	change Change
	err    error
}

// NewChanges begins to read changes of one partition, to be closed by the
// caller.
func NewChanges(r store.Reader, t *schema.Table, scope schema.Scope, o ChangeOptions) (*Changes, error) {
	scan := ScanOptions{AfterSeq: o.From, UpToSeq: o.To, Order: BySeq, Now: o.Now, Deleted: true}
	c := &Changes{}
	var err error
	if t.Kind == schema.Stream {
		c.events, err = newStreamScan(r, t, scope, scan)
	} else {
		c.chg, err = newSeqScan(r, t, scope, scan)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Next moves to the next change and reports whether there is one.
func (c *Changes) Next() bool {
	if c.err != nil {
		return false
	}
	if c.events != nil {
		return c.nextEvent()
	}
	if !c.chg.advance() {
		c.err = c.chg.err
		return false
	}
	c.err = c.read()
	return c.err == nil
}

// read fills the change whose entry the iterator stands at.
func (c *Changes) read() error {
	entry, err := c.chg.entry()
	if err != nil {
		return err
	}
	seq := c.chg.last
	v, ok, err := c.chg.rows.at(entry.key, seq)
	if err != nil {
		return err
	}
	if !ok || v.Seq != seq || v.Moved {
		return fmt.Errorf("read change %d: its version is missing: %w", seq, errValue)
	}
	c.change = Change{SchemaVersion: bodySchemaVersion(v.Row), Op: entry.op, Position: entry.position,
		Seq: seq, PrevSeq: entry.prev, Key: entry.key, Row: v.Row}
	if entry.prev == 0 {
		return nil
	}
	c.change.Row = append([]byte(nil), v.Row...) // the next read overwrites it
	old, ok, err := c.chg.rows.older(entry.key)
	if err == nil && ok && old.Seq == entry.prev {
		c.change.Old = old.Row
	}
	return err
}

func (c *Changes) nextEvent() bool {
	if !c.events.Next(context.Background()) { // raw events are all wanted: it passes over none
		c.err = c.events.err
		return false
	}
	e := &c.events.event
	c.change = Change{SchemaVersion: bodySchemaVersion(e.body), Op: Insert, Position: e.position,
		Seq: c.events.version.Seq, Row: e.body}
	if e.kind == eventDelete {
		c.change.Op, c.change.PrevSeq, c.change.Old = Delete, e.other, e.body
	}
	return true
}

// Change returns the present change, valid until Next.
func (c *Changes) Change() Change { return c.change }

// Err returns what ended the changes early, or nil.
func (c *Changes) Err() error { return c.err }

// Close ends the reading.
func (c *Changes) Close() error {
	if c.events != nil {
		return c.events.Close()
	}
	return c.chg.Close()
}
