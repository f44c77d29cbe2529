package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"

	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

const (
	// partRows is how many rows the owner of a part keeps at least when the rest
	// is given to another: fewer are not worth an iterator.
	partRows = 256
	// partsMost bounds how often one scan is cut.
	partsMost = 512
	// eachLook bounds the entries that one call of Each passes over while its part
	// cannot be cut.
	eachLook = 4096
)

// Parts is a scan of the hot rows of one partition in no order that goroutines
// share. The first who asks gets all of it; each one after that gets the latter
// half of what another still has ahead. So nobody has to know beforehand where
// the rows lie, and whoever is early takes more. All parts read the same state:
// together they deliver each row once.
type Parts struct {
	reader store.Reader
	prefix []byte // row / table / scope
	o      ScanOptions
	mu     sync.Mutex
	// What follows is guarded by mu.
	begun bool
	cuts  int
	parts []*Part // those that are not closed
}

// NewParts returns a scan of a USER or SHARED table whose parts have not begun.
// The order of the options is ignored. It holds nothing itself: its parts must
// be closed before the reader is.
func NewParts(r store.Reader, t *schema.Table, scope schema.Scope, o ScanOptions) *Parts {
	return &Parts{reader: r, prefix: appendPartition(nil, engine.KeyspaceRow, t.ID, scope), o: o}
}

// Next returns a part that the caller closes, or nil when nothing is left that is
// worth a part. It may wait for the call of Each that runs in another part.
func (s *Parts) Next() (*Part, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.begun = true
		return s.add(s.o.Low, s.o.High, 1)
	}
	for s.cuts < partsMost {
		var from *Part
		for _, p := range s.parts {
			if p.share > 0 && (from == nil || p.share > from.share) {
				from = p
			}
		}
		if from == nil {
			break
		}
		low, high, err := from.cut()
		if err != nil {
			return nil, err
		}
		if low == nil {
			from.share = 0
			continue
		}
		s.cuts++
		from.share /= 2
		return s.add(low, high, from.share)
	}
	return nil, nil
}

// add opens a part. The caller holds mu.
func (s *Parts) add(low, high []byte, share float64) (*Part, error) {
	o := s.o
	o.Low, o.High = low, high
	scan, err := openKeyScan(s.reader, s.prefix, o)
	if err != nil {
		return nil, err
	}
	p := &Part{of: s, share: share, scan: scan}
	s.parts = append(s.parts, p)
	return p, nil
}

// remove forgets a part.
func (s *Parts) remove(part *Part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range s.parts {
		if p == part {
			s.parts[i] = s.parts[len(s.parts)-1]
			s.parts = s.parts[:len(s.parts)-1]
			return
		}
	}
}

// Part is a stretch of keys of a shared scan. One goroutine uses it; another may
// take what lies far ahead of it.
type Part struct {
	of    *Parts
	share float64 // of the key range, about; 0 when it cannot be cut; guarded by Parts.mu
	mu    sync.Mutex
	// What follows is guarded by mu.
	scan  *keyScan // nil when closed
	moved bool     // the iterator lost its place when the part was cut
	place []byte   // that place, when moved
	ended bool
}

// Each calls each with up to most rows and returns how many there were: fewer
// only at the end. It stops with ctx's error, with that of each, or with what
// is wrong in the store. body is valid until each returns.
func (p *Part) Each(ctx context.Context, most int, each func(body []byte, seq uint64, deleted bool) error) (n int, err error) {
	for err == nil && n < most {
		var some int
		var more bool
		some, more, err = p.some(most-n, each)
		if n += some; !more {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
	}
	return n, err
}

// some is Each for as long as others may wait.
func (p *Part) some(most int, each func(body []byte, seq uint64, deleted bool) error) (n int, more bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.scan == nil || p.ended {
		return 0, false, nil
	}
	s := p.scan
	if p.moved {
		p.moved = false
		s.it.SeekGE(p.place)
	}
	for look := 0; n < most && look < eachLook; look++ {
		if !s.advance() {
			p.ended = true
			return n, false, s.err
		}
		seq := s.it.Seq()
		if !s.o.passes(seq) {
			continue
		}
		value, err := s.it.Value()
		if err != nil {
			return n, false, err
		}
		kind, body, err := cutRowValue(value)
		if err != nil {
			return n, false, err
		}
		if kind == rowMoved || kind == rowDead && !s.o.Deleted {
			continue
		}
		if err := each(body, seq, kind == rowDead); err != nil {
			return n, false, err
		}
		n++
	}
	return n, true, nil
}

// cut takes about the latter half of what the part has ahead away from it and
// returns its bounds, of keys without the prefix; a low of nil is nothing. The
// caller holds Parts.mu.
func (p *Part) cut() (low, high []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.scan == nil || p.ended || p.scan.err != nil {
		return nil, nil, nil
	}
	s := p.scan
	from := append(bytes.Clone(p.of.prefix), s.o.Low...)
	switch {
	case p.moved:
		from = p.place
	case s.begun:
		from = bytes.Clone(s.it.Key())
	}
	lower, upper := s.bounds(p.of.prefix)
	at, err := middle(p.of.reader, from, upper)
	if at == nil || err != nil {
		return nil, nil, err
	}
	low, high = at[len(p.of.prefix):], s.o.High
	s.it.SetBounds(lower, at)
	s.o.High = low
	p.moved, p.place = s.begun, from
	return low, high, nil
}

// middle returns a key that cuts those in [from, upper) in two, or nil when they
// are few.
func middle(r store.Reader, from, upper []byte) (at []byte, err error) {
	it, err := engine.NewIter(r, from, upper)
	if err != nil {
		return nil, err
	}
	ok := it.First()
	for n := 0; ok && n < partRows; n++ {
		ok = it.NextKey()
	}
	if ok {
		first := bytes.Clone(it.Key())
		if ok = it.Last(); ok && !bytes.Equal(it.Key(), first) {
			if it.SeekGE(between(first, it.Key())) {
				at = bytes.Clone(it.Key())
			}
		}
	}
	if err = it.Error(); err != nil {
		_ = it.Close() // the first error is the one to report
		return nil, err
	}
	return at, it.Close()
}

// between returns a key in the middle between two, a < between <= b, as numbers:
// keys of the same form lie evenly more often than not.
func between(a, b []byte) []byte {
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	var x, y [8]byte
	copy(x[:], a[same:])
	copy(y[:], b[same:])
	least, most := binary.BigEndian.Uint64(x[:]), binary.BigEndian.Uint64(y[:])
	if most-least < 2 {
		return b
	}
	return binary.BigEndian.AppendUint64(bytes.Clone(a[:same]), least+(most-least)/2)
}

// Close ends the part. What it has not delivered is lost to the scan.
func (p *Part) Close() error {
	p.mu.Lock()
	scan := p.scan
	p.scan = nil
	p.mu.Unlock()
	if scan == nil {
		return nil
	}
	p.of.remove(p)
	return scan.Close()
}
