package live

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

const (
	// entriesAtOnce is how many commits a shard takes from the ring at once.
	entriesAtOnce = 64
	// sliceChanges and sliceBytes bound what is read from the change index
	// before it is delivered.
	sliceChanges = 1024
	sliceBytes   = 1 << 20
)

// errSlice ends a read of the change index whose slice is full.
var errSlice = errors.New("the slice is full")

// shard delivers to the connections that belong to it.
type shard struct {
	hub   *Hub
	index int
	wake  chan struct{} // holds a token while there may be work
	mu    struct {
		sync.Mutex
		feeds  map[feedKey]*feed
		tables map[schema.TableID]map[*feed]struct{}
		next   uint64 // how many of the ring's entries have been handled or lost
		// position is where delivery stands: every commit that somebody listens
		// to, up to here, has been handled.
		position uint64
		// until is the position up to which the change index is being read for
		// feeds that were listened to when that began; 0 when it is not.
		until   uint64
		reading *feed   // of these the one at hand
		touched []*Conn // connections with staged frames or news of results
	}
	due dues

	// What follows is memory for one change at a time, guarded by mu.
	reader     reader
	generation uint64
	found      []*filter
	hash       []byte
	steps      []*difference // between states of results, of the commit at hand
	arriving   int64         // news of results that is being told
}

func newShard(h *Hub, index int) *shard {
	s := &shard{hub: h, index: index, wake: make(chan struct{}, 1)}
	s.mu.feeds = make(map[feedKey]*feed)
	s.mu.tables = make(map[schema.TableID]map[*feed]struct{})
	return s
}

func (s *shard) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run delivers until ctx ends.
func (s *shard) run(ctx context.Context) error {
	entries := make([]entry, 0, entriesAtOnce)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		for ctx.Err() == nil {
			var lost hole
			var next uint64
			entries, lost, next = s.hub.ring.read(s.index, entries[:0], entriesAtOnce)
			if lost.upTo > 0 {
				s.catchUp(ctx, lost, next)
				continue
			}
			if len(entries) == 0 {
				s.tell(s.hub.ring.handled(s.index))
				break
			}
			for i := range entries {
				s.deliver(ctx, &entries[i])
			}
			clear(entries) // an idle shard keeps no commits alive
		}
	}
}

// deliver hands out one commit.
func (s *shard) deliver(ctx context.Context, e *entry) {
	s.mu.Lock()
	number := s.mu.next
	s.mu.Unlock()
	s.hub.results.upTo(ctx, number+1)
	s.mu.Lock()
	shown := s.arrive(e.position)
	s.mu.Unlock()
	if e.large {
		s.deliverLarge(ctx, e)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.hub.o.Now()
	for i := range e.changes {
		ch := &e.changes[i]
		if f := s.mu.feeds[feedKey{ch.Table, ch.Scope}]; f != nil && ch.Seq > f.done {
			s.change(f, ch, now)
		}
	}
	s.showAll(shown)
	s.mu.next++
	s.mu.position, s.mu.until = e.position, 0
	s.flush(e.position)
	s.arrived()
	s.define(e)
}

// deliverLarge reads the changes of a large commit from the change index.
func (s *shard) deliverLarge(ctx context.Context, e *entry) {
	s.mu.Lock()
	feeds := s.listened(e.touches)
	s.mu.until = e.position
	s.mu.Unlock()
	for _, f := range feeds {
		s.read(ctx, f, hole{e.since, e.position})
	}
}

// define acts on dropped and altered tables. s.mu is held.
func (s *shard) define(e *entry) {
	for _, id := range e.dropped {
		for f := range s.mu.tables[id] {
			s.endFeed(f, notFound(f.table))
		}
	}
	if len(e.altered) == 0 {
		return
	}
	v := s.hub.o.Relations.View()
	defer v.Release()
	for _, id := range e.altered {
		for f := range s.mu.tables[id] {
			s.redefine(f, v)
		}
	}
}

// notFound is the fault of a table that is not there.
func notFound(t *schema.Table) error {
	return fault.New(fault.TableNotFound, "%s", t.QualifiedName())
}

// redefine binds all subscriptions of a feed against the newest definition of
// its table. s.mu is held.
func (s *shard) redefine(f *feed, v *relation.View) {
	t, ok := v.TableByID(f.key.table)
	if !ok {
		s.endFeed(f, notFound(f.table))
		return
	}
	if t.Version == f.table.Version {
		return
	}
	wasLive := make([]*subscription, 0, f.live)
	for _, sub := range f.all() {
		if sub.state == live {
			f.remove(sub)
			sub.state = lagging
			wasLive = append(wasLive, sub)
		}
	}
	f.define(t)
	for _, sub := range f.all() {
		q, err := sub.query.rebound(v)
		if err != nil {
			s.end(sub, err)
			continue
		}
		sub.query = q
	}
	for _, sub := range wasLive {
		if sub.state == lagging {
			sub.state = live
			f.insert(sub)
		}
	}
}

// change hands one change to the live subscriptions of a feed. s.mu is held.
func (s *shard) change(f *feed, ch *command.Change, now time.Time) {
	if f.live == 0 {
		return
	}
	if err := s.reader.event.decode(f.table, ch); err != nil {
		s.endFeed(f, err)
		return
	}
	s.generation++
	s.reader.env.Now = now.UnixMicro()
	s.found, s.hash = f.candidates(s.found[:0], &s.reader.event, s.generation, s.hash)
	for _, fl := range s.found {
		s.hub.counters.evaluations.Add(1)
		if fl.env == nil {
			env := fl.match.env()
			fl.env = &env
		}
		fl.env.Now = now.UnixMicro()
		v, err := s.reader.event.judge(fl.match, fl.env)
		if err != nil {
			s.endFilter(fl, err)
			continue
		}
		if v != untouched {
			s.spread(fl, v, now)
		}
	}
}

// spread stages the frames of the event for everybody behind a filter. It goes
// backwards because a full outbox takes its subscription out of the group.
func (s *shard) spread(fl *filter, v verdict, now time.Time) {
	for gi := len(fl.groups) - 1; gi >= 0; gi-- {
		g := fl.groups[gi]
		var enc Encoder
		var body []byte
		for i := len(g.subs) - 1; i >= 0; i-- {
			sub := g.subs[i]
			if s.reader.event.change.Seq <= sub.after {
				continue
			}
			if e := sub.conn.o.Encoder; body == nil || e != enc {
				var err error
				if body, err = g.projection.body(s, v, e); err != nil {
					s.end(sub, err)
					continue
				}
				enc = e
			}
			s.stage(sub, body, now)
		}
	}
}

// stage puts the frame of the event into the outbox of a live subscription, or
// makes it a cursor when that is full. s.mu is held.
func (s *shard) stage(sub *subscription, body []byte, now time.Time) {
	f := Frame{Kind: ChangeFrame, Head: sub.head, Body: body, sub: sub}
	if !sub.conn.stage(f) {
		s.lag(sub, s.reader.event.change.Seq-1)
		return
	}
	s.touch(sub.conn)
	sub.count(now)
}

// touch notes that a connection has staged frames. s.mu is held.
func (s *shard) touch(c *Conn) {
	if !c.touched {
		c.touched = true
		s.mu.touched = append(s.mu.touched, c)
	}
}

// lag makes a live subscription a cursor. s.mu is held.
func (s *shard) lag(sub *subscription, cursor uint64) {
	sub.feed.remove(sub)
	sub.state, sub.cursor, sub.reached = lagging, cursor, cursor
	sub.overflowed = true
	s.hub.counters.lagged.Add(1)
	c := sub.conn
	if c.o.Lagging && !sub.told {
		sub.told = true
		c.staged = append(c.staged, c.notice(NoticeLagging, sub.id, cursor))
	}
	c.letGo(math.MaxUint64)
	c.publish() // what it has had, and the notice, come before what it will read
	c.await(sub)
}

// end ends a subscription with an error frame. s.mu is held.
func (s *shard) end(sub *subscription, err error) {
	if sub.state == gone {
		return
	}
	if fault.Is(err, fault.CursorExpired) {
		s.hub.counters.expired.Add(1)
	}
	if fault.CodeOf(err) == fault.Internal {
		s.hub.o.Logger.Error("live query ended", "live_id", sub.liveID(), "error", err)
	}
	s.remove(sub)
	c := sub.conn
	if sub.result == nil {
		c.letGo(math.MaxUint64)
	}
	c.publish() // what was committed before comes before
	c.push(Frame{Kind: ErrorFrame, Body: c.o.Encoder.AppendError(nil, sub.id, err)})
}

// endFeed ends all subscriptions of a feed. s.mu is held.
func (s *shard) endFeed(f *feed, err error) {
	for _, sub := range f.all() {
		s.end(sub, err)
	}
}

// endFilter ends the live subscriptions behind a filter that cannot be
// evaluated. s.mu is held.
func (s *shard) endFilter(fl *filter, err error) {
	for gi := len(fl.groups) - 1; gi >= 0; gi-- {
		g := fl.groups[gi]
		for i := len(g.subs) - 1; i >= 0; i-- {
			s.end(g.subs[i], err)
		}
	}
}

// add registers a new subscription with its feed: commits are kept for it from
// here on. s.mu is held.
func (s *shard) add(sub *subscription) {
	if sub.query.result != nil {
		s.addResult(sub)
		return
	}
	k := sub.query.key()
	f := s.mu.feeds[k]
	if f == nil {
		f = newFeed(k, sub.query.table)
		s.mu.feeds[k] = f
		if s.mu.tables[k.table] == nil {
			s.mu.tables[k.table] = make(map[*feed]struct{})
		}
		s.mu.tables[k.table][f] = struct{}{}
		s.hub.ring.listen(k)
	}
	f.subs[sub] = struct{}{}
	sub.feed = f
	sub.conn.subs[sub.id] = sub
}

// remove takes a subscription out of everything. s.mu is held.
func (s *shard) remove(sub *subscription) {
	if sub.state == gone {
		return
	}
	if sub.result != nil {
		s.removeResult(sub)
		return
	}
	f := sub.feed
	if sub.state == live {
		f.remove(sub)
	}
	sub.state = gone
	delete(f.subs, sub)
	delete(sub.conn.subs, sub.id)
	s.hub.release(sub.conn.o.User)
	if len(f.subs) > 0 {
		return
	}
	delete(s.mu.feeds, f.key)
	delete(s.mu.tables[f.key.table], f)
	if len(s.mu.tables[f.key.table]) == 0 {
		delete(s.mu.tables, f.key.table)
	}
	s.hub.ring.ignore(f.key)
}
