package live

import (
	"maps"
	"math"
	"slices"
	"sync"
)

// duesMost bounds what waits in a shard to be told of results. Beyond it the
// results of its subscribers lag.
const duesMost = 8192

// due is news of results for the subscribers of one shard: that a commit has
// touched one, which is not known yet, or how they are in the view at a
// position.
type due struct {
	position uint64
	touched  *result
	shown    []shownResult
}

// shownResult is a result and its new state; nil for the old one.
type shownResult struct {
	r     *result
	state *resultState
	shape *resultShape
}

// dues is what waits in a shard until it has handed out the rows of the same
// commits.
type dues struct {
	mu    sync.Mutex
	items []due
	lost  bool // there were more than there may be
}

// bind counts the subscriptions of a connection that wants commits whole. w.mu
// is held.
func (w *results) bind(c *Conn, r *result, n int) {
	r.marked += n
	of := w.mu.bound[c]
	if of == nil {
		of = make(map[*result]int)
		w.mu.bound[c] = of
	}
	if of[r] += n; of[r] == 0 {
		delete(of, r)
	}
	if len(of) == 0 {
		delete(w.mu.bound, c)
	}
}

// ordered returns the subscribers of a result in one shard. w.mu is held.
func (w *results) ordered(r *result, s *shard) []*subscription {
	if r.order == nil {
		r.order = make(map[*shard][]*subscription)
		for sub := range r.subs {
			r.order[sub.conn.shard] = append(r.order[sub.conn.shard], sub)
		}
		for _, subs := range r.order {
			slices.SortFunc(subs, before)
		}
	}
	return r.order[s]
}

// show lets the shards tell how results are in the view at a position. w.mu is
// held.
func (w *results) show(position uint64, all []shownResult) {
	for i := range all {
		all[i].r.shown = max(all[i].r.shown, position)
	}
	for _, s := range w.hub.shards {
		of := slices.DeleteFunc(slices.Clone(all), func(x shownResult) bool { return len(w.ordered(x.r, s)) == 0 })
		if len(of) > 0 {
			w.push(s, &due{position: position, shown: of})
		}
	}
}

// spread gives news of a result to the shards that have subscribers of it. w.mu
// is held.
func (w *results) spread(r *result, d *due) {
	for _, s := range w.hub.shards {
		if len(w.ordered(r, s)) > 0 {
			w.push(s, d)
		}
	}
}

// push gives news to a shard. w.mu is held.
func (w *results) push(s *shard, d *due) {
	s.due.mu.Lock()
	if full := len(s.due.items) >= duesMost; full || s.due.lost {
		s.due.lost = true
		s.due.mu.Unlock()
		s.signal()
		return
	}
	s.due.items = append(s.due.items, *d)
	s.due.mu.Unlock()
	for i := range d.shown {
		if state := d.shown[i].state; state != nil {
			w.hold(state)
		}
	}
	w.due.Add(1)
	s.signal()
}

// pop takes the news up to a position, in the order in which they came.
func (s *shard) pop(upTo uint64) (items []due, lost bool) {
	s.due.mu.Lock()
	defer s.due.mu.Unlock()
	if s.due.lost {
		items, lost = s.due.items, true
		s.due.items, s.due.lost = nil, false
		return items, lost
	}
	rest := s.due.items[:0]
	for _, d := range s.due.items {
		if d.position <= upTo {
			items = append(items, d)
		} else {
			rest = append(rest, d)
		}
	}
	clear(s.due.items[len(rest):])
	s.due.items = rest
	return items, false
}

// tell tells of results up to a position to which all rows have been handed out.
func (s *shard) tell(handled uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.showAll(s.arrive(handled))
	s.flush(handled)
	s.arrived()
}

// arrive tells of results before a position and returns what is to be told with
// the rows of the commit there. s.mu is held.
func (s *shard) arrive(position uint64) (with []due) {
	items, lost := s.pop(position)
	s.arriving += int64(len(items))
	for i := range items {
		switch d := &items[i]; {
		case d.touched != nil:
			s.touchedBy(d)
		case d.position == position && !lost:
			with = append(with, *d)
		default:
			s.shown(d)
			s.flush(d.position)
		}
	}
	if lost {
		s.lose()
	}
	return with
}

// showAll notes what arrive has left.
func (s *shard) showAll(items []due) {
	for i := range items {
		s.shown(&items[i])
	}
}

// arrived says that all that arrived has been told. s.mu is held.
func (s *shard) arrived() {
	s.hub.results.due.Add(-s.arriving)
	s.arriving = 0
}

// lose makes all subscriptions to results lag: they get the newest. s.mu is
// held.
func (s *shard) lose() {
	w := s.hub.results
	var all []*subscription
	w.mu.Lock()
	for _, r := range w.mu.all {
		all = append(all, w.ordered(r, s)...)
	}
	w.mu.Unlock()
	slices.SortFunc(all, before)
	for _, sub := range all {
		if sub.state == live {
			s.lagResult(sub)
			sub.conn.letGo(0)
		}
	}
}

// subscribers returns those of a result in this shard.
func (s *shard) subscribers(r *result) []*subscription {
	w := s.hub.results
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ordered(r, s)
}

// touchedBy notes that the result of subscriptions is not what it was. s.mu is
// held.
func (s *shard) touchedBy(d *due) {
	for _, sub := range s.subscribers(d.touched) {
		x := sub.result
		x.touched = max(x.touched, d.position)
		if sub.state == live && x.lacks == 0 && d.position > x.known() {
			x.lacks = d.position
		}
	}
}

// known returns the position of the newest state that a subscription has or is
// to be told.
func (x *shared) known() uint64 {
	if x.next != nil {
		return x.next.position
	}
	return x.had.position
}

// follow makes a subscription to a result live: it has been told what it has.
// shard.mu is held.
func (sub *subscription) follow() {
	x := sub.result
	sub.state, x.lacks = live, 0
	if x.touched > x.had.position {
		x.lacks = x.had.position + 1
	}
}

// shown notes what the subscribers of results are to be told. s.mu is held.
func (s *shard) shown(d *due) {
	w := s.hub.results
	for i := range d.shown {
		x := &d.shown[i]
		for _, sub := range s.subscribers(x.r) {
			if sub.state != live {
				continue
			}
			of := sub.result
			if x.state != nil && x.state.position > of.known() {
				w.mu.Lock()
				w.hold(x.state)
				if of.next != nil {
					w.letGo(of.next)
				}
				of.next = x.state
				w.mu.Unlock()
			}
			if of.lacks > 0 && of.lacks <= d.position {
				if of.lacks = 0; of.touched > d.position {
					of.lacks = d.position + 1
				}
			}
			s.touch(sub.conn)
		}
		if x.state != nil {
			w.drop(x.state)
		}
	}
}

// heldGroup is changes of one commit, or of several that come as one.
type heldGroup struct {
	position uint64
	frames   []Frame
}

// flush hands the staged frames of a commit, and what is known of results there,
// to their connections. s.mu is held.
func (s *shard) flush(position uint64) {
	for i, c := range s.mu.touched {
		c.touched = false
		s.settle(c, position)
		s.mu.touched[i] = nil
	}
	s.mu.touched = s.mu.touched[:0]
	s.steps = s.steps[:0]
}

// settle hands a commit to a connection. One that wants commits whole gets none
// before it is known what it did to the results: what is held until then comes
// with the results, as if it had been one commit. s.mu is held.
func (s *shard) settle(c *Conn, position uint64) {
	if !c.o.Commits {
		s.stageResults(c)
		c.publish()
		c.marks = false
		return
	}
	if c.lacking() <= position {
		c.hold(position)
		c.letGo(0)
		return
	}
	n := 0
	for n < len(c.held) && c.held[n].position <= position {
		n++
	}
	if n > 0 {
		var all []Frame
		for _, g := range c.held[:n] {
			all = append(all, g.frames...)
		}
		c.staged, c.marks = append(all, c.staged...), true
		c.held = slices.Delete(c.held, 0, n)
	}
	later := c.held
	c.held = nil // nothing that comes below may overtake it
	s.stageResults(c)
	if c.marks {
		c.mark(position)
	}
	c.publish()
	c.held, c.marks = later, false
	c.letGo(0)
}

// lacking returns the first commit of which it is not known what it did to a
// result. shard.mu is held.
func (c *Conn) lacking() uint64 {
	first := uint64(math.MaxUint64)
	if c.results == 0 {
		return first
	}
	for _, sub := range c.subs {
		if x := sub.result; x != nil && sub.state == live && x.lacks > 0 {
			first = min(first, x.lacks)
		}
	}
	return first
}

// hold keeps what is staged of a commit. shard.mu is held.
func (c *Conn) hold(position uint64) {
	if !c.marks {
		return
	}
	if n := len(c.held); n > 0 && c.held[n-1].position == position {
		c.held[n-1].frames = append(c.held[n-1].frames, c.staged...)
	} else {
		c.held = append(c.held, heldGroup{position, c.staged})
	}
	c.staged, c.marks = nil, false
}

// letGo sends what is held of commits that lack nothing any more, and of those
// before upTo whatever they lack; it comes before what is staged. shard.mu is
// held.
func (c *Conn) letGo(upTo uint64) {
	if len(c.held) == 0 {
		return
	}
	staged := c.staged
	c.staged = nil
	upTo = max(upTo, c.lacking())
	n := 0
	for n < len(c.held) && c.held[n].position < upTo {
		c.staged = append(c.staged, c.held[n].frames...)
		c.mark(c.held[n].position)
		n++
	}
	c.held = slices.Delete(c.held, 0, n)
	c.publish()
	c.staged = staged
}

// flushPart hands over what is staged of a commit that goes on. s.mu is held.
func (s *shard) flushPart(position uint64) {
	for _, c := range s.mu.touched {
		if c.o.Commits && c.lacking() <= position {
			c.hold(position)
		} else {
			c.publish()
		}
	}
}

// mark says that a commit has been sent: to the whole connection, or, when some
// of its subscriptions lack a part of it, to each of the others. shard.mu is
// held.
func (c *Conn) mark(position uint64) {
	whole := true
	for _, sub := range c.subs {
		whole = whole && sub.complete(position)
	}
	if whole {
		c.staged = append(c.staged, c.notice(NoticeCommit, "", position))
		return
	}
	for _, id := range slices.Sorted(maps.Keys(c.subs)) {
		if c.subs[id].complete(position) {
			c.staged = append(c.staged, c.notice(NoticeCommit, id, position))
		}
	}
}

// complete reports whether a subscription has been sent everything up to a
// commit and nothing that lies behind it. shard.mu is held.
func (sub *subscription) complete(position uint64) bool {
	s := sub.conn.shard
	switch x := sub.result; {
	case sub.state != live:
		return false
	case x != nil:
		return x.next == nil && x.had.position <= position && (x.lacks == 0 || x.lacks > position)
	case s.mu.until >= position && sub.feed != s.mu.reading && sub.feed.done < position:
		return false // its part of the change index is read later
	}
	return sub.after <= position
}

// stageResults puts what a connection is to be told of results into its outbox.
// s.mu is held.
func (s *shard) stageResults(c *Conn) {
	if c.results == 0 {
		return
	}
	var due []*subscription
	for _, sub := range c.subs {
		if sub.result != nil && sub.result.next != nil {
			due = append(due, sub)
		}
	}
	slices.SortFunc(due, before)
	w := s.hub.results
	for _, sub := range due {
		x := sub.result
		next := x.next
		x.next = nil
		if sub.state == live {
			s.stageResult(sub, s.step(x.had, next, x.shape))
		}
		w.drop(next)
	}
}

// step returns the difference between two states, made once for all who need it
// at a commit. s.mu is held.
func (s *shard) step(from, to *resultState, shape *resultShape) *difference {
	for _, d := range s.steps {
		if d.from == from && d.to == to {
			return d
		}
	}
	d := between(from, to, shape)
	s.steps = append(s.steps, d)
	return d
}

// stageResult stages a difference for a live subscription as a whole, or makes
// it lag when its outbox is full. s.mu is held.
func (s *shard) stageResult(sub *subscription, d *difference) {
	c := sub.conn
	bodies, err := d.frames(c.o.Encoder)
	if err != nil {
		s.end(sub, err)
		return
	}
	cost := int64(0)
	for _, body := range bodies {
		cost += int64(len(sub.head)+len(body)) + frameCost
	}
	if len(bodies) > 0 && c.load.Load()+cost > s.hub.o.OutboxBytes {
		s.lagResult(sub)
		return
	}
	now := s.hub.o.Now()
	for _, body := range bodies {
		c.stage(Frame{Kind: ChangeFrame, Head: sub.head, Body: body, sub: sub})
		sub.count(now)
	}
	s.hub.results.replace(sub, d.to)
}
