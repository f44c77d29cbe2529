package live

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"kalamdb/internal/command"
	"kalamdb/internal/schema"
)

// catchUp brings a shard over commits that fell out of the ring before it read
// them: it reads each feed's changes once, for all its live subscriptions.
// next is the number of the ring's entry to go on with. Definitions come first:
// an ALTER may be among what fell out, and nobody gets what was committed after
// he lost the right to read it.
func (s *shard) catchUp(ctx context.Context, lost hole, next uint64) {
	s.hub.counters.missed.Add(1)
	s.hub.results.upTo(ctx, next)
	for _, f := range s.missing(lost.upTo) {
		open := s.read(ctx, f, lost)
		s.mu.Lock()
		s.flush(open)
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.next, s.mu.position, s.mu.until = next, lost.upTo, 0
	s.showAll(s.arrive(lost.upTo))
	s.flush(lost.upTo)
	s.arrived()
}

// missing binds all subscriptions against the newest definitions and returns
// the feeds whose live ones lack changes up to a position: whoever goes live
// from then on has had them.
func (s *shard) missing(upTo uint64) []*feed {
	v := s.hub.o.Relations.View()
	defer v.Release()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.mu.feeds {
		s.redefine(f, v)
	}
	s.mu.until = upTo
	return s.listened(func(feedKey) bool { return true })
}

// listened returns the feeds with live subscriptions that are wanted, in the
// order of their keys. s.mu is held.
func (s *shard) listened(want func(feedKey) bool) []*feed {
	var feeds []*feed
	for k, f := range s.mu.feeds {
		if f.live > 0 && want(k) {
			feeds = append(feeds, f)
		}
	}
	slices.SortFunc(feeds, func(a, b *feed) int {
		return cmp.Or(cmp.Compare(a.key.table, b.key.table), cmp.Compare(a.key.scope, b.key.scope))
	})
	return feeds
}

// read delivers the changes of a feed in a hole from the change index to its
// live subscriptions, slice by slice; the store is read without the lock. It
// returns the position of the commit whose changes it has staged last.
func (s *shard) read(ctx context.Context, f *feed, lost hole) (open uint64) {
	s.mu.Lock()
	from, table := max(lost.since, f.done), f.table
	s.mu.reading = f
	s.mu.Unlock()
	for from < lost.upTo && ctx.Err() == nil {
		changes, last, err := s.hub.slice(ctx, table, f.key.scope, from, lost.upTo)
		s.mu.Lock()
		if err != nil {
			s.endLive(f, err)
		} else {
			open = s.deliverSlice(f, changes, open)
			f.done = last
		}
		s.flushPart(open)
		s.mu.Unlock()
		if err != nil {
			break
		}
		from = last
	}
	return open
}

// deliverSlice hands changes of one feed to its live subscriptions. open is the
// position of the commit that the slice before ended in; it returns that of
// this one. s.mu is held.
func (s *shard) deliverSlice(f *feed, changes []command.Change, open uint64) uint64 {
	now := s.hub.o.Now()
	for i := range changes {
		ch := &changes[i]
		if ch.Position != open && open != 0 {
			s.flush(open)
		}
		open = ch.Position
		if ch.Seq > f.done {
			s.change(f, ch, now)
		}
	}
	return open
}

// endLive ends the live subscriptions of a feed; cursors go on alone. s.mu is
// held.
func (s *shard) endLive(f *feed, err error) {
	for _, sub := range f.all() {
		if sub.state == live {
			s.end(sub, err)
		}
	}
}

// slice reads changes of a partition after from, up to to or as many as a
// slice holds, and the seq up to which it has read.
func (h *Hub) slice(ctx context.Context, t *schema.Table, scope schema.Scope, from, to uint64) ([]command.Change, uint64, error) {
	v := h.o.Relations.View()
	defer v.Release()
	if err := h.replayable(v, t, scope, from); err != nil {
		return nil, from, err
	}
	var changes []command.Change
	bytes := 0
	err := v.Changes(ctx, t, scope, from, to, func(ch *command.Change) error {
		switch {
		case ch.Seq <= from:
			return nil
		case len(changes) == sliceChanges || bytes > sliceBytes:
			return errSlice
		}
		changes = append(changes, *ch)
		bytes += len(ch.Key) + len(ch.Row) + len(ch.Old)
		return nil
	})
	switch {
	case err == nil:
		return changes, to, nil
	case errors.Is(err, errSlice):
		return changes, changes[len(changes)-1].Seq, nil
	}
	return nil, from, err
}
