package maint

import (
	"context"
	"sync"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

const (
	// cutRowsLeast is how many events a partition takes beyond its MAX_BUFFER
	// before it is looked at: a cut costs a read of the buffer.
	cutRowsLeast = 1000
	// cutScopesMost bounds the partitions of a stream whose events are counted in
	// memory. Beyond it all are forgotten and looked at anew when they are written.
	cutScopesMost = 100_000
	// sizeParts is how finely the size of a stream is known, in parts of its bound.
	sizeParts = 16
	// sizePartsMost bounds the parts that are kept of one stream.
	sizePartsMost = 1024
)

// streams is what is known of STREAM tables, so that a look costs nothing where
// nothing is due. It is a hint: what is stored decides.
type streams struct {
	mu     sync.Mutex
	tables map[schema.TableID]*streamState
	begun  bool // the tables of the start have been looked for
}

// streamState is what is known of one stream.
type streamState struct {
	// oldest is the first position behind its oldest window; 0 when nothing is
	// stored.
	oldest uint64
	known  bool // oldest has been read in this life
	// rows are the events of partitions since they were looked at, and those they
	// had then; ripe are partitions that may have too many.
	rows map[schema.Scope]int64
	ripe map[schema.Scope]struct{}
	// parts are the bytes of its events, oldest first, all of positions above
	// counted; sized says that those before have been read.
	parts   []streamPart
	counted uint64
	sized   bool
}

// streamPart is the size of the events before a position and behind the part
// before it.
type streamPart struct {
	end   uint64
	bytes int64
}

func newStreams() *streams { return &streams{tables: map[schema.TableID]*streamState{}} }

// state returns what is known of a table; mu is held.
func (s *streams) state(id schema.TableID) *streamState {
	st, ok := s.tables[id]
	if !ok {
		st = &streamState{rows: map[schema.Scope]int64{}, ripe: map[schema.Scope]struct{}{}}
		s.tables[id] = st
	}
	return st
}

// note counts events that have become visible in a commit.
func (s *streams) note(t *schema.Table, changes []command.Change, position uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state(t.ID)
	if st.oldest == 0 {
		st.oldest = table.StreamWindowEnd(t, changes[0].Seq)
	}
	if keep := t.Options.MaxBuffer; keep > 0 {
		for i := range changes {
			st.buffered(changes[i].Scope, keep)
		}
	}
	switch limit := t.Options.MaxStreamSizeBytes; {
	case limit == 0:
		st.parts, st.sized = nil, false // an ALTER may set one
	case position > st.counted:
		var bytes int64
		for i := range changes {
			bytes += table.EventBytes(changes[i].Scope) + int64(len(changes[i].Row))
		}
		st.grow(changes[len(changes)-1].Seq+1, bytes, limit/sizeParts)
	}
}

// buffered counts an event of a partition.
func (st *streamState) buffered(scope schema.Scope, keep int64) {
	n, known := st.rows[scope]
	if !known {
		if len(st.rows) >= cutScopesMost {
			clear(st.rows)
		}
		n = keep + max(keep/2, cutRowsLeast) // nobody has counted it in this life
	}
	n++
	st.rows[scope] = n
	if n > keep+max(keep/2, cutRowsLeast) && len(st.ripe) < cutScopesMost {
		st.ripe[scope] = struct{}{}
	}
}

// grow adds bytes of events before a position. A part that is large enough is
// followed by a new one.
func (st *streamState) grow(end uint64, bytes, part int64) {
	if n := len(st.parts); n > 0 && (st.parts[n-1].bytes < part || n >= sizePartsMost) {
		st.parts[n-1].end = max(st.parts[n-1].end, end)
		st.parts[n-1].bytes += bytes
		return
	}
	st.parts = append(st.parts, streamPart{end, bytes})
}

// keepStreams removes events by the clock until ctx ends.
func (m *Maintainer) keepStreams(ctx context.Context) {
	tick := time.NewTicker(m.o.StreamTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.try(ctx, "expire streams", m.ExpireStreams)
		}
	}
}

// ExpireStreams drops the windows of streams whose events have all outlived
// their TTL, which readers hide since, and what does not fit into the bounds of a
// stream.
func (m *Maintainer) ExpireStreams(ctx context.Context) error {
	for _, id := range m.streamsDue() {
		if err := ctx.Err(); err != nil {
			return err
		}
		t, ok := m.o.Definitions().TableByID(id)
		if !ok || t.Kind != schema.Stream {
			m.streams.mu.Lock()
			delete(m.streams.tables, id)
			m.streams.mu.Unlock()
			continue
		}
		err := m.expireStream(ctx, t)
		if err == nil && t.Options.MaxBuffer > 0 {
			err = m.cutBuffers(ctx, t)
		}
		if err == nil && t.Options.MaxStreamSizeBytes > 0 {
			err = m.cutSize(ctx, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// streamsDue lists the streams that may have something to remove. At the start
// these are all.
func (m *Maintainer) streamsDue() (due []schema.TableID) {
	s := m.streams
	definitions := m.o.Definitions()
	now := m.o.Now().UnixMicro()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		for t := range definitions.AllTables() {
			if t.Kind == schema.Stream {
				s.state(t.ID)
			}
		}
		s.begun = true
	}
	for id, st := range s.tables {
		t, ok := definitions.TableByID(id)
		if !ok || !st.known || len(st.ripe) > 0 || st.oldest != 0 && st.oldest <= expiry(t, now) ||
			t.Options.MaxStreamSizeBytes > 0 && (!st.sized || st.size() > t.Options.MaxStreamSizeBytes) {
			due = append(due, id)
		}
	}
	return due
}

// expiry is the position before which the events of a stream are over.
func expiry(t *schema.Table, now int64) uint64 {
	return schema.SeqFloor(now - t.Options.TTLSeconds*1_000_000)
}

// size is how many bytes a stream is known to have.
func (st *streamState) size() (n int64) {
	for _, p := range st.parts {
		n += p.bytes
	}
	return n
}

// propose proposes a removal with the durability of the stream's events: a crash
// that takes it back leaves what readers do not see.
func (m *Maintainer) propose(ctx context.Context, t *schema.Table, body command.Body) (command.Receipt, error) {
	return m.o.Committer.Commit(ctx, &command.Command{Time: m.o.Now().UnixMicro(), Durability: t.EventDurability(), Body: body})
}

// expireStream drops the windows of one stream that are over.
func (m *Maintainer) expireStream(ctx context.Context, t *schema.Table) error {
	before := expiry(t, m.o.Now().UnixMicro())
	s := m.streams
	s.mu.Lock()
	st := s.state(t.ID)
	was := st.oldest
	if st.known && (was == 0 || was > before) {
		s.mu.Unlock()
		return nil
	}
	st.oldest = 0 // events that come from here on are noted
	s.mu.Unlock()
	oldest, err := m.dropExpired(ctx, t, before)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		st.oldest, st.known = was, false
		return err
	}
	st.known = true
	if oldest != 0 && (st.oldest == 0 || oldest < st.oldest) {
		st.oldest = oldest
	}
	for len(st.parts) > 0 && st.parts[0].end <= before {
		st.parts = st.parts[1:]
	}
	return nil
}

// dropExpired drops what is over and returns the end of the oldest window left.
func (m *Maintainer) dropExpired(ctx context.Context, t *schema.Table, before uint64) (oldest uint64, err error) {
	look := func(use func(*catalog.View) error) error {
		view := m.o.View()
		defer view.Release()
		return use(view)
	}
	read := func(view *catalog.View) error {
		oldest, err = table.StreamOldest(view.Reader(), t)
		return err
	}
	if err := look(read); err != nil || oldest == 0 || oldest > before {
		return oldest, err
	}
	if _, err := m.propose(ctx, t, &command.ExpireStream{Table: t.ID, Before: before}); err != nil {
		return 0, err
	}
	return oldest, look(read)
}

// cutBuffers removes what does not fit into the buffers of partitions.
func (m *Maintainer) cutBuffers(ctx context.Context, t *schema.Table) error {
	s := m.streams
	s.mu.Lock()
	st := s.state(t.ID)
	ripe := st.ripe
	st.ripe = map[schema.Scope]struct{}{}
	for scope := range ripe {
		st.rows[scope] = t.Options.MaxBuffer // what comes from here on is counted
	}
	s.mu.Unlock()
	for scope := range ripe {
		view := m.o.View()
		cut, n, err := table.StreamCut(view.Reader(), t, scope, t.Options.MaxBuffer)
		view.Release()
		if err == nil && cut > 0 {
			_, err = m.propose(ctx, t, &command.CutStream{Table: t.ID, Scope: scope, Before: cut + 1})
		}
		s.mu.Lock()
		if err != nil {
			delete(st.rows, scope) // its next event has it looked at again
		} else if kept, known := st.rows[scope]; known {
			st.rows[scope] = kept - t.Options.MaxBuffer + n
		}
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// cutSize removes the oldest events of a stream that is larger than its bound.
func (m *Maintainer) cutSize(ctx context.Context, t *schema.Table) error {
	s := m.streams
	s.mu.Lock()
	st := s.state(t.ID)
	sized := st.sized
	s.mu.Unlock()
	if !sized {
		if err := m.sizeStream(ctx, t, st); err != nil {
			return err
		}
	}
	s.mu.Lock()
	over, before := st.size()-t.Options.MaxStreamSizeBytes, uint64(0)
	n := 0
	for over > 0 && n < len(st.parts) {
		over, before = over-st.parts[n].bytes, st.parts[n].end
		n++
	}
	s.mu.Unlock()
	if n == 0 {
		return nil
	}
	if _, err := m.propose(ctx, t, &command.CutStream{Table: t.ID, Before: before}); err != nil {
		return err
	}
	s.mu.Lock()
	st.parts = st.parts[n:] // only this goroutine takes parts away
	s.mu.Unlock()
	return nil
}

// sizeStream reads how large a stream is. What is committed meanwhile is counted
// by note.
func (m *Maintainer) sizeStream(ctx context.Context, t *schema.Table, st *streamState) error {
	s := m.streams
	s.mu.Lock() // commits that are not in the view are noted behind
	view := m.o.View()
	st.parts, st.counted = nil, view.Position()
	s.mu.Unlock()
	defer view.Release()
	var parts []streamPart
	if err := table.StreamSizes(ctx, view.Reader(), t, func(end uint64, bytes int64) {
		parts = append(parts, streamPart{min(end, view.Position()+1), bytes})
	}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.parts, st.sized = append(parts, st.parts...), true
	return nil
}
