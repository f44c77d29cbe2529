package live

import (
	"context"
	"math"
	"slices"

	"kalamdb/internal/schema"
)

// watched is what results read of one partition under one definition of its
// table.
type watched struct {
	feed *feed // its filters and their router; it has no subscriptions
	// blind says that the definition has changed: until the results are bound
	// anew each change may concern them.
	blind bool
	taps  map[string]*tap    // by watch.key
	by    map[*filter][]*tap // by filter of the feed
}

// tap is one watch of all results that share it.
type tap struct {
	filter  *filter
	needed  []int
	key     string
	results map[*result]int // and how often each has it
}

// tap lets changes that a watch concerns reach a result. w.mu is held.
func (w *results) tap(r *result, x *watch) {
	var at *watched
	for _, f := range w.mu.feeds[x.feed] {
		if f.feed.table.Version == x.table.Version && !f.blind {
			at = f
		}
	}
	if at == nil {
		at = &watched{feed: newFeed(x.feed, x.table), taps: make(map[string]*tap), by: make(map[*filter][]*tap)}
		w.mu.feeds[x.feed] = append(w.mu.feeds[x.feed], at)
		if w.active.Add(1) == 1 {
			w.mu.next = w.hub.ring.skip(w.hub.o.Shards)
		}
		w.hub.ring.listen(x.feed)
	}
	t := at.taps[x.key]
	if t == nil {
		fl := at.feed.filters[x.match.key]
		if fl == nil {
			fl = &filter{match: x.match}
			at.feed.filters[x.match.key] = fl
			at.feed.router.add(fl)
		}
		t = &tap{filter: fl, needed: x.needed, key: x.key, results: make(map[*result]int)}
		at.taps[x.key] = t
		at.by[fl] = append(at.by[fl], t)
	}
	t.results[r]++
	r.taps = append(r.taps, tapped{at, t})
}

// tapped is where a result is filed.
type tapped struct {
	at *watched
	t  *tap
}

// untap takes a result out of everything that it watches. w.mu is held.
func (w *results) untap(r *result) {
	for _, x := range r.taps {
		if x.t.results[r]--; x.t.results[r] > 0 {
			continue
		}
		delete(x.t.results, r)
		if len(x.t.results) > 0 {
			continue
		}
		fl := x.t.filter
		delete(x.at.taps, x.t.key)
		x.at.by[fl] = slices.DeleteFunc(x.at.by[fl], func(t *tap) bool { return t == x.t })
		if len(x.at.by[fl]) == 0 {
			delete(x.at.by, fl)
			delete(x.at.feed.filters, fl.match.key)
			x.at.feed.router.remove(fl)
		}
		if len(x.at.taps) == 0 {
			w.forget(x.at)
		}
	}
	r.taps = nil
}

// forget drops a partition that nobody watches. w.mu is held.
func (w *results) forget(at *watched) {
	k := at.feed.key
	w.mu.feeds[k] = slices.DeleteFunc(w.mu.feeds[k], func(f *watched) bool { return f == at })
	if len(w.mu.feeds[k]) == 0 {
		delete(w.mu.feeds, k)
	}
	w.active.Add(-1)
	w.hub.ring.ignore(k)
}

// read notes which results commits have touched until ctx ends.
func (w *results) read(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		}
		w.upTo(ctx, math.MaxUint64)
	}
}

// upTo notes what the ring has, until as many of its entries as named have been
// noted or there are no more. A shard does so before it hands out a commit: it
// has to know which results the commit touches.
func (w *results) upTo(ctx context.Context, next uint64) {
	if w.active.Load() == 0 {
		return
	}
	for more := true; more && ctx.Err() == nil; {
		more = w.noteSome(next)
	}
}

// noteSome notes a few entries of the ring and reports whether there may be
// more before next.
func (w *results) noteSome(next uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.noteMore(next)
}

// noteMore does so. w.mu is held.
func (w *results) noteMore(next uint64) bool {
	if w.mu.next >= next {
		return false
	}
	var lost hole
	var upTo uint64
	w.entries, lost, upTo = w.hub.ring.read(w.hub.o.Shards, w.entries[:0], entriesAtOnce)
	if lost.upTo == 0 && len(w.entries) == 0 {
		return false
	}
	w.note(w.entries, lost, upTo)
	clear(w.entries)
	return true
}

// note marks what commits have touched, and all after a hole: what fell out of
// the ring may have touched any. w.mu is held.
func (w *results) note(entries []entry, lost hole, next uint64) {
	w.mu.next = next
	if lost.upTo > 0 {
		w.mu.newest = lost.upTo
		for _, r := range w.mu.all {
			w.touchBlindly(r, lost.upTo)
		}
		return
	}
	for i := range entries {
		w.noteOne(&entries[i])
	}
}

// noteOne marks what one commit has touched. w.mu is held.
func (w *results) noteOne(e *entry) {
	w.mu.newest = e.position
	for i := range e.changes {
		ch := &e.changes[i]
		for _, at := range w.mu.feeds[feedKey{ch.Table, ch.Scope}] {
			w.generation++
			if err := w.event.decode(at.feed.table, ch); err != nil || at.blind {
				w.touchAll(at, e.position)
				continue
			}
			w.change(at, e.position)
		}
	}
	if e.large {
		for k, feeds := range w.mu.feeds {
			for _, at := range feeds {
				if e.touches(k) {
					w.touchAll(at, e.position)
				}
			}
		}
	}
	w.redefined(e.dropped, e.position)
	w.redefined(e.altered, e.position)
}

// redefined marks what reads tables whose definition has changed. w.mu is held.
func (w *results) redefined(tables []schema.TableID, position uint64) {
	for _, id := range tables {
		for k, feeds := range w.mu.feeds {
			if k.table != id {
				continue
			}
			for _, at := range feeds {
				at.blind = true
				w.touchAll(at, position)
			}
		}
	}
}

// change marks the results that the decoded event concerns. w.mu is held.
func (w *results) change(at *watched, position uint64) {
	w.found, w.hash = at.feed.candidates(w.found[:0], &w.event, w.generation, w.hash)
	for _, fl := range w.found {
		w.hub.counters.evaluations.Add(1)
		if fl.env == nil {
			env := fl.match.env()
			fl.env = &env
		}
		v, err := w.event.judge(fl.match, fl.env)
		if err == nil && v == untouched {
			continue
		}
		for _, t := range at.by[fl] {
			if err == nil && v == updated && t.alike(&w.event) {
				continue
			}
			for r := range t.results {
				r.pend(position, w.event.change)
				w.touch(r, position)
			}
		}
	}
}

// alike reports whether an update has left all alone that is read.
func (t *tap) alike(e *event) bool {
	if t.needed == nil || !e.hasWas {
		return false
	}
	for _, at := range t.needed {
		if !identical(e.row[at], e.was[at]) {
			return false
		}
	}
	return true
}

// touchAll marks every result that watches a partition. w.mu is held.
func (w *results) touchAll(at *watched, position uint64) {
	for _, t := range at.taps {
		for r := range t.results {
			w.touchBlindly(r, position)
		}
	}
}

// touchBlindly marks a result of which it is not known what has changed. w.mu is
// held.
func (w *results) touchBlindly(r *result, position uint64) {
	r.lose(position)
	w.touch(r, position)
}

// touch has a result run again, unless it shows the commit at a position. w.mu
// is held.
func (w *results) touch(r *result, position uint64) {
	if position > r.shown && r.marked > 0 {
		w.spread(r, &due{position: position, touched: r})
	}
	if position > r.viewed {
		w.hub.counters.touched.Add(1)
		w.enqueue(r)
	}
}

// resultEvent is memory for one change at a time, guarded by results.mu.
type resultEvent struct {
	event      event
	generation uint64
	found      []*filter
	hash       []byte
	entries    []entry
}

// skip lets a reader of the ring begin behind its last entry and returns its
// number.
func (r *ring) skip(reader int) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.mu.first + uint64(len(r.kept()))
	r.mu.readers[reader] = reading{next: next}
	return next
}
