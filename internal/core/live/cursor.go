package live

import (
	"context"
	"errors"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
)

const (
	// cursorChanges and cursorBytes bound what one Take reads for a cursor.
	cursorChanges = 4096
	cursorBytes   = 128 << 10
	// joinChanges is how many changes a cursor may lack to get them from the
	// ring, under the shard's lock.
	joinChanges = 1024
)

// reader is memory for the frames of one change at a time.
type reader struct {
	event event
	pair  pair
	env   plan.Env
}

// frame returns the frame of the decoded event for one subscription.
func (r *reader) frame(sub *subscription, q *Query, v verdict) (Frame, error) {
	c, err := r.pair.change(&r.event, q.shape, v, &r.env)
	if err != nil {
		return Frame{}, err
	}
	enc := sub.conn.o.Encoder
	body, err := enc.AppendBody(nil, c)
	if err != nil {
		return Frame{}, err
	}
	sub.conn.hub.counters.encodings.Add(1)
	return Frame{Kind: ChangeFrame, Head: sub.head, Body: body, sub: sub}, nil
}

// advance reads the change index for one cursor and appends the frames. When it
// reaches the head the subscription goes live, else it waits for its next turn.
func (c *Conn) advance(ctx context.Context, sub *subscription, dst []Frame) []Frame {
	if sub.result != nil {
		return c.advanceResult(sub, dst)
	}
	s := c.shard
	s.mu.Lock()
	q, is := sub.query, sub.state
	s.mu.Unlock()
	if is != lagging {
		return dst
	}
	a := advancing{c: c, sub: sub, q: q, dst: dst}
	more, err := a.read(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.state != lagging {
		return a.dst
	}
	sub.reached = sub.cursor
	switch {
	case err != nil:
		s.end(sub, err)
	case more:
		c.await(sub)
	case !s.join(sub):
		if sub.state == lagging {
			c.await(sub)
		}
	case sub.told:
		sub.told = false
		a.dst = append(a.dst, Frame{Kind: NoticeFrame, Body: c.o.Encoder.AppendNotice(nil,
			&Notice{Kind: NoticeResumed, ID: sub.id, Position: sub.cursor})})
	}
	return a.dst
}

// advancing is one turn of a cursor.
type advancing struct {
	c      *Conn
	sub    *subscription
	q      *Query
	reader *reader
	dst    []Frame
	bytes  int
	seen   int
}

// read appends frames from the change index until the slice is full, which it
// reports, or the head is reached.
func (a *advancing) read(ctx context.Context) (more bool, err error) {
	h := a.c.hub
	v := h.o.Relations.View()
	defer v.Release()
	// The view may show an ALTER that the shard has not met yet, and what was
	// committed after it.
	if a.q, err = a.c.settle(a.sub, v); err != nil {
		return false, err
	}
	if err := h.replayable(v, a.q.table, a.q.o.Scope, a.sub.cursor); err != nil {
		return false, err
	}
	to := v.Position()
	a.reader = h.readers.Get().(*reader)
	defer h.readers.Put(a.reader)
	a.reader.env = a.q.match.env()
	a.reader.env.Now = h.o.Now().UnixMicro()
	err = v.Changes(ctx, a.q.table, a.q.o.Scope, a.sub.cursor, to, func(ch *command.Change) error {
		if ch.Seq <= a.sub.cursor {
			return nil
		}
		if a.seen == cursorChanges || a.bytes > cursorBytes {
			return errSlice
		}
		a.seen++
		a.mark(ch.Position)
		if err := a.change(ctx, v, ch); err != nil {
			return err
		}
		a.sub.cursor = ch.Seq
		return nil
	})
	if errors.Is(err, errSlice) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	a.mark(0)
	a.sub.cursor = max(a.sub.cursor, to)
	if a.sub.gap != nil && a.sub.cursor >= a.sub.gap.until {
		a.sub.gap = nil
		a.sub.open = a.sub.cursor
		a.mark(0)
	}
	return false, nil
}

// change appends the frame of one change.
func (a *advancing) change(ctx context.Context, v *relation.View, ch *command.Change) error {
	r := a.reader
	if err := r.event.decode(a.q.table, ch); err != nil {
		return err
	}
	is, err := r.event.judge(a.q.match, &r.env)
	if err != nil {
		return err
	}
	if is == untouched && a.sub.gap != nil {
		if is, err = a.sub.gap.owes(ctx, v, a.q, &r.event); err != nil {
			return err
		}
	}
	if is == untouched {
		return nil
	}
	f, err := r.frame(a.sub, a.q, is)
	if err != nil {
		return err
	}
	a.dst = append(a.dst, f)
	a.bytes += f.Len()
	a.sub.count(a.c.hub.o.Now())
	if a.c.o.Commits {
		a.sub.open = ch.Position
	}
	return nil
}

// mark ends the changes of a commit before those of another. While a
// difference still owes deletes no position is complete.
func (a *advancing) mark(position uint64) {
	if a.sub.open == 0 || a.sub.open == position {
		return
	}
	if a.sub.gap != nil || !a.c.o.Commits {
		a.sub.open = 0
		return
	}
	a.dst = append(a.dst, Frame{Kind: NoticeFrame, Body: a.c.o.Encoder.AppendNotice(nil,
		&Notice{Kind: NoticeCommit, ID: a.sub.id, Position: a.sub.open})})
	a.sub.open = 0
}

// join makes a cursor live when the ring still has what it lacks, and reports
// whether it did. s.mu is held.
func (s *shard) join(sub *subscription) bool {
	f := sub.feed
	if sub.cursor < sub.least || sub.cursor < s.mu.until {
		return false // it lacks what the ring does not have
	}
	head := max(s.mu.position, f.done)
	if sub.cursor < head && !s.replay(sub) {
		return false
	}
	if sub.overflowed {
		sub.overflowed = false
		s.hub.counters.resumed.Add(1)
	}
	sub.after = max(sub.cursor, head)
	sub.state = live
	f.insert(sub)
	return true
}

// replay stages what a cursor lacks up to the shard's position, from the ring.
// It reports false when that cannot be, or only in part. s.mu is held.
func (s *shard) replay(sub *subscription) bool {
	f := sub.feed
	entries, ok := s.hub.ring.since(sub.cursor, s.mu.next, joinChanges)
	if !ok {
		return false
	}
	count := 0
	for i := range entries {
		count += len(entries[i].changes)
		if entries[i].touches(f.key) || count > joinChanges {
			return false
		}
	}
	done := true
	for i := range entries {
		if done = s.replayEntry(sub, &entries[i]); !done {
			break
		}
	}
	sub.conn.publish()
	return done
}

// replayEntry stages the changes of one commit for one cursor.
func (s *shard) replayEntry(sub *subscription, e *entry) bool {
	c, before := sub.conn, len(sub.conn.staged)
	for i := range e.changes {
		ch := &e.changes[i]
		if ch.Seq <= sub.cursor || (feedKey{ch.Table, ch.Scope}) != sub.feed.key {
			continue
		}
		f, err := s.replayed(sub, ch)
		if err != nil {
			s.end(sub, err)
			return false
		}
		if f.sub != nil && !c.stage(f) {
			return false
		}
		if f.sub != nil {
			sub.count(s.hub.o.Now())
		}
		sub.cursor = ch.Seq
	}
	if c.o.Commits && len(c.staged) > before {
		c.staged = append(c.staged, c.notice(NoticeCommit, sub.id, e.position))
	}
	return true
}

// replayed returns the frame of a change for one cursor, empty when it does not
// concern it.
func (s *shard) replayed(sub *subscription, ch *command.Change) (Frame, error) {
	r := &s.reader
	if err := r.event.decode(sub.feed.table, ch); err != nil {
		return Frame{}, err
	}
	r.env = sub.query.match.env()
	r.env.Now = s.hub.o.Now().UnixMicro()
	is, err := r.event.judge(sub.query.match, &r.env)
	if err != nil || is == untouched {
		return Frame{}, err
	}
	return r.frame(sub, sub.query, is)
}

// replayable refuses to read the changes after a position when some of them may
// have been forgotten.
func (h *Hub) replayable(v *relation.View, t *schema.Table, scope schema.Scope, from uint64) error {
	floor := v.HistoryFloor()
	if t.Kind == schema.Stream || t.Present() {
		kept, err := v.StreamFloor(t, scope)
		if err != nil {
			return err
		}
		floor = max(kept, h.streamFloor(t))
	}
	if from < floor {
		return expired(from, floor, "changes after it are no longer kept")
	}
	return nil
}

// streamFloor returns the position from which on no event of a STREAM table has
// outlived its time.
func (h *Hub) streamFloor(t *schema.Table) uint64 {
	if t.Options.TTLSeconds <= 0 {
		return 0
	}
	return schema.SeqFloor(h.o.Now().UnixMicro() - t.Options.TTLSeconds*1_000_000)
}

// expired is the fault of a position that cannot be resumed.
func expired(from, floor uint64, why string) error {
	return fault.New(fault.CursorExpired, "position %d cannot be resumed: %s; positions from %d on can be, or subscribe again without from", from, why, floor)
}
