package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// streamScan walks over the events of a partition. They lie window by window,
// in each beside those of other scopes, so it leaps from window to window and
// over the empty ones.
type streamScan struct {
	o       ScanOptions
	raw     bool // deliver delete records and hidden events too
	table   *schema.Table
	scope   schema.Scope
	it      *engine.Iter
	begun   bool
	at      []byte // str / table / window / scope of the present window
	seek    []byte
	version Version
	event   event
	err     error
}

// newStreamScan begins a scan; Deleted in its options asks for the raw events.
func newStreamScan(r store.Reader, t *schema.Table, scope schema.Scope, o ScanOptions) (*streamScan, error) {
	if o.Now != 0 && t.Options.TTLSeconds > 0 {
		// An event is over when its millisecond is a TTL or more ago.
		if over := schema.SeqFloor(o.Now - t.Options.TTLSeconds*1_000_000 + 1000); over > 0 {
			o.AfterSeq = max(o.AfterSeq, over-1)
		}
	}
	if o.UpToSeq == 0 {
		o.UpToSeq = newest
	}
	if o.Now != 0 && t.Options.MaxBuffer > 0 && !o.Deleted {
		cut, _, err := StreamCut(r, t, scope, t.Options.MaxBuffer)
		if err != nil {
			return nil, err
		}
		o.AfterSeq = max(o.AfterSeq, cut)
	}
	prefix := appendTable(nil, engine.KeyspaceStr, t.ID)
	it, err := engine.NewIter(r, prefix, engine.PrefixEnd(prefix))
	if err != nil {
		return nil, err
	}
	return &streamScan{o: o, raw: o.Deleted, table: t, scope: scope, it: it}, nil
}

// Next moves to the next event and reports whether there is one.
func (s *streamScan) Next(ctx context.Context) bool {
	for n := 1; s.err == nil && s.advance(); n++ {
		if n%lookEvery == 0 && ctx.Err() != nil {
			s.err = ctx.Err()
			return false
		}
		key := s.it.Key()
		seq := binary.BigEndian.Uint64(key[len(key)-8:])
		if !s.o.passes(seq) {
			if s.beyond(seq) {
				return false
			}
			continue
		}
		value, err := s.it.Value()
		if err == nil {
			s.event, err = decodeEvent(seq, value)
		}
		if s.err = err; err != nil {
			return false
		}
		if s.event.kind == eventCut {
			continue
		}
		if s.raw || s.event.kind == eventLive || s.event.kind == eventHidden && s.event.other > s.o.UpToSeq {
			s.version = Version{Seq: seq, Row: s.event.body}
			return true
		}
	}
	return false
}

// beyond reports whether all that follows lies outside the bounds too.
func (s *streamScan) beyond(seq uint64) bool {
	if s.o.Order == BySeqDesc {
		return seq <= s.o.AfterSeq
	}
	return seq > s.o.UpToSeq
}

// advance moves to the next entry of the partition.
func (s *streamScan) advance() bool {
	desc := s.o.Order == BySeqDesc
	ok := false
	switch {
	case s.begun && desc:
		ok = s.it.Prev()
	case s.begun:
		ok = s.it.Next()
	case desc:
		ok = s.begin(s.o.UpToSeq)
	default:
		if s.o.AfterSeq == newest {
			return false
		}
		ok = s.begin(s.o.AfterSeq + 1)
	}
	for ok && !bytes.HasPrefix(s.it.Key(), s.at) {
		ok = s.leap(desc)
	}
	if !ok && s.err == nil {
		s.err = s.it.Error()
	}
	return ok
}

// begin moves to the first entry at or behind a seq, in the scan's direction.
func (s *streamScan) begin(seq uint64) bool {
	s.begun = true
	desc := s.o.Order == BySeqDesc
	if desc && seq == newest {
		if !s.it.Last() {
			return false
		}
		s.enter(s.it.Key())
		return s.it.SeekLT(engine.PrefixEnd(s.at))
	}
	window := streamWindow(s.table, seq)
	s.at = appendStrScope(s.at[:0], s.table.ID, window, s.scope)
	if desc {
		s.seek = binary.BigEndian.AppendUint64(append(s.seek[:0], s.at...), seq+1)
		return s.it.SeekLT(s.seek)
	}
	s.seek = binary.BigEndian.AppendUint64(append(s.seek[:0], s.at...), seq)
	return s.it.SeekGE(s.seek)
}

// leap moves on from an entry of another partition: within its window when the
// scan's partition may still come there, else to the next window.
func (s *streamScan) leap(desc bool) bool {
	key := s.it.Key()
	if len(key) < 9 {
		s.err = fmt.Errorf("read event: %w", errValue)
		return false
	}
	window := binary.BigEndian.Uint32(key[5:])
	if !bytes.HasPrefix(s.at, key[:9]) {
		s.enter(key)
		switch c := bytes.Compare(key, s.at); {
		case bytes.HasPrefix(key, s.at):
			return true
		case !desc && c < 0:
			return s.it.SeekGE(s.at)
		case desc && c > 0:
			return s.it.SeekLT(engine.PrefixEnd(s.at))
		}
	}
	if desc {
		return s.it.SeekLT(appendStrWindow(s.seek[:0], s.table.ID, window))
	}
	if window == 1<<32-1 {
		return false
	}
	return s.it.SeekGE(appendStrScope(s.seek[:0], s.table.ID, window+1, s.scope))
}

// enter makes the window of a key the present one.
func (s *streamScan) enter(key []byte) {
	s.at = appendStrScope(s.at[:0], s.table.ID, binary.BigEndian.Uint32(key[5:]), s.scope)
}

func (s *streamScan) current() *Version { return &s.version }

// Err returns what ended the scan early, or nil.
func (s *streamScan) Err() error { return s.err }

// Close ends the scan.
func (s *streamScan) Close() error { return s.it.Close() }

// streamScopes finds the partitions of a stream: it leaps from scope to scope
// in every window and keeps the least ones.
func streamScopes(r store.Reader, t *schema.Table, after schema.Scope, limit int) ([]schema.Scope, error) {
	prefix := appendTable(nil, engine.KeyspaceStr, t.ID)
	it, err := engine.NewIter(r, prefix, engine.PrefixEnd(prefix))
	if err != nil {
		return nil, err
	}
	found := least{limit: limit}
	for ok := it.First(); ok; {
		key := it.Key()
		scope, rest, known := cutScope(key[min(9, len(key)):])
		if !known || len(rest) != 8 {
			_ = it.Close() // the error below is the one to report
			return nil, fmt.Errorf("read event: %w", errValue)
		}
		window := binary.BigEndian.Uint32(key[5:])
		switch {
		case scope <= after && after != "":
			ok = it.SeekGE(append(appendStrScope(nil, t.ID, window, after), afterPartition...))
		case found.add(scope):
			ok = it.SeekGE(append(appendStrScope(nil, t.ID, window, scope), afterPartition...))
		default: // all that follow in this window are greater still
			ok = it.SeekGE(appendStrWindow(nil, t.ID, window+1))
		}
	}
	return found.scopes, it.Close()
}

// afterPartition, behind a partition of str, is above all its events.
var afterPartition = bytes.Repeat([]byte{0xff}, 9)

// least keeps the least scopes of those it is given, in order.
type least struct {
	limit  int
	scopes []schema.Scope
}

// add reports whether the scope is among the least now.
func (l *least) add(scope schema.Scope) bool {
	at, found := slices.BinarySearch(l.scopes, scope)
	if found {
		return true
	}
	if at >= l.limit {
		return false
	}
	l.scopes = slices.Insert(l.scopes, at, scope)
	l.scopes = l.scopes[:min(len(l.scopes), l.limit)]
	return true
}
