package live

import (
	"maps"
	"slices"
	"sort"
	"sync"

	"kalamdb/internal/command"
	"kalamdb/internal/schema"
)

const (
	// largeShare is the part of the ring that one commit may take; a larger
	// one is noted as a position only.
	largeShare = 16
	// entryCost and changeCost are what the ring reckons an entry and a change
	// at beside their bytes.
	entryCost, changeCost = 160, 160
	// maxLargeFeeds is how many feeds a large commit names; one that touches
	// more is taken to touch all.
	maxLargeFeeds = 1024
)

// feedKey names what a subscription listens to: one partition of one table.
type feedKey struct {
	table schema.TableID
	scope schema.Scope
}

// entry is one commit in the ring, or what is kept of it.
type entry struct {
	position uint64
	since    uint64           // what it changed has a _seq above this one
	changes  []command.Change // those of feeds that somebody listens to
	// large says that the changes are not here but in the change index; feeds
	// names those it touches, nil all.
	large            bool
	feeds            []feedKey
	dropped, altered []schema.TableID
	bytes            int64
}

// touches reports whether a large commit may have changed a feed.
func (e *entry) touches(k feedKey) bool {
	return e.large && (e.feeds == nil || slices.Contains(e.feeds, k))
}

// hole is what a reader of the ring did not read in time: the changes with
// since < _seq <= upTo. They are found in the change index.
type hole struct{ since, upTo uint64 }

// ring keeps the newest commits for the shards, bounded in bytes. Each shard
// reads it at its own pace.
type ring struct {
	limit int64
	mu    struct {
		sync.Mutex
		entries []entry                // those from head on are kept, oldest first
		head    int                    // entries before it have fallen out
		first   uint64                 // number of entries[head], counted from the start
		base    uint64                 // position of the newest entry that fell out
		seen    uint64                 // position of the newest commit that was appended, noted or not
		bytes   int64                  // of all kept entries
		feeds   map[feedKey]int        // how many shards listen to a feed
		tables  map[schema.TableID]int // how many feeds of a table are listened to
		readers []reading              // one per shard
	}
}

// reading is how far a shard has read the ring.
type reading struct {
	next uint64 // number of the entry to read next
	hole hole   // what fell out before it was read; upTo is 0 for nothing
}

// kept returns the entries of the ring. r.mu is held.
func (r *ring) kept() []entry { return r.mu.entries[r.mu.head:] }

func newRing(limit int64, readers int) *ring {
	r := &ring{limit: limit}
	r.mu.readers = make([]reading, readers)
	r.mu.feeds = make(map[feedKey]int)
	r.mu.tables = make(map[schema.TableID]int)
	return r
}

// listen notes that a shard wants the changes of a feed: commits appended
// from now on carry them.
func (r *ring) listen(k feedKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.feeds[k]++
	r.mu.tables[k.table]++
}

// ignore takes one listen back.
func (r *ring) ignore(k feedKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.feeds[k]--; r.mu.feeds[k] == 0 {
		delete(r.mu.feeds, k)
	}
	if r.mu.tables[k.table]--; r.mu.tables[k.table] == 0 {
		delete(r.mu.tables, k.table)
	}
}

// append adds what is wanted of the commits and returns how many it noted.
func (r *ring) append(commits []command.Commit) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	noted := 0
	for i := range commits {
		r.mu.seen = commits[i].Position
		e, ok := r.wanted(&commits[i])
		if !ok {
			continue
		}
		noted++
		r.mu.entries = append(r.mu.entries, e)
		r.mu.bytes += e.bytes
	}
	r.shrink()
	return noted
}

// shrink lets the oldest entries fall out until the rest fits. r.mu is held.
func (r *ring) shrink() {
	for r.mu.bytes > r.limit {
		oldest := &r.mu.entries[r.mu.head]
		for i := range r.mu.readers {
			r.mu.readers[i].lose(oldest, r.mu.first)
		}
		r.mu.bytes -= oldest.bytes
		r.mu.base = oldest.position
		*oldest = entry{}
		r.mu.head++
		r.mu.first++
	}
	// Moving the rest down only when half is empty costs each entry one move.
	if r.mu.head > len(r.mu.entries)/2 {
		r.mu.entries = slices.Delete(r.mu.entries, 0, r.mu.head)
		r.mu.head = 0
	}
}

// lose notes that the entry with a number falls out.
func (r *reading) lose(e *entry, number uint64) {
	if r.next != number {
		return
	}
	if r.hole.upTo == 0 {
		r.hole.since = e.since
	}
	r.hole.upTo = e.position
	r.next++
}

// wanted returns the entry of a commit, or false when nobody listens to
// anything it changed. r.mu is held.
func (r *ring) wanted(c *command.Commit) (entry, bool) {
	e := entry{position: c.Position, since: c.Position - 1, bytes: entryCost}
	if len(r.mu.tables) == 0 {
		return e, false
	}
	if len(c.Changes) > 0 {
		e.since = c.Changes[0].Seq - 1
	}
	e.dropped = r.listened(c.Dropped)
	e.altered = r.listened(c.Altered)
	count, from := 0, 0
	for from < len(c.Changes) {
		to := r.run(c.Changes, from)
		if r.wants(&c.Changes[from]) {
			count += to - from
			for i := from; i < to; i++ {
				ch := &c.Changes[i]
				e.bytes += changeCost + int64(len(ch.Key)+len(ch.Row)+len(ch.Old))
			}
		}
		from = to
	}
	switch {
	case count == 0:
		return e, e.dropped != nil || e.altered != nil
	case e.bytes > r.limit/largeShare:
		e.large, e.feeds, e.bytes = true, r.named(c.Changes), entryCost
	case count == len(c.Changes):
		e.changes = c.Changes
	default:
		e.changes = make([]command.Change, 0, count)
		for from := 0; from < len(c.Changes); {
			to := r.run(c.Changes, from)
			if r.wants(&c.Changes[from]) {
				e.changes = append(e.changes, c.Changes[from:to]...)
			}
			from = to
		}
	}
	return e, true
}

// run returns the end of the changes from one on that belong to one feed.
func (r *ring) run(changes []command.Change, from int) int {
	to := from + 1
	for to < len(changes) && changes[to].Table == changes[from].Table && changes[to].Scope == changes[from].Scope {
		to++
	}
	return to
}

// hears reports whether somebody wants the changes of a feed.
func (r *ring) hears(k feedKey) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.feeds[k] > 0
}

func (r *ring) wants(ch *command.Change) bool {
	return r.mu.tables[ch.Table] > 0 && r.mu.feeds[feedKey{ch.Table, ch.Scope}] > 0
}

// named lists the wanted feeds of a large commit, nil when there are too many.
func (r *ring) named(changes []command.Change) []feedKey {
	seen := make(map[feedKey]struct{})
	for from := 0; from < len(changes); from = r.run(changes, from) {
		if !r.wants(&changes[from]) {
			continue
		}
		seen[feedKey{changes[from].Table, changes[from].Scope}] = struct{}{}
		if len(seen) > maxLargeFeeds {
			return nil
		}
	}
	return slices.Collect(maps.Keys(seen))
}

// listened keeps the tables that somebody listens to.
func (r *ring) listened(tables []schema.TableID) (kept []schema.TableID) {
	for _, t := range tables {
		if r.mu.tables[t] > 0 {
			kept = append(kept, t)
		}
	}
	return kept
}

// read appends up to most entries that a reader has not read yet. What fell out
// before comes first, and alone: the hole, and the number of the entry behind
// it.
func (r *ring) read(reader int, dst []entry, most int) (_ []entry, lost hole, next uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := &r.mu.readers[reader]
	if at.hole.upTo > 0 {
		lost, at.hole = at.hole, hole{}
		return dst, lost, at.next
	}
	rest := r.kept()[at.next-r.mu.first:]
	n := min(most, len(rest))
	at.next += uint64(n)
	return append(dst, rest[:n]...), lost, at.next
}

// since returns the entries after a position and before number next, oldest
// first. It reports false when some of them have fallen out, or when they are
// more than most: the publisher waits while they are copied.
func (r *ring) since(position, next uint64, most int) ([]entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.base > position || next < r.mu.first {
		return nil, false
	}
	known := r.kept()
	known = known[:min(next-r.mu.first, uint64(len(known)))]
	at := sort.Search(len(known), func(i int) bool { return known[i].position > position })
	if len(known)-at > most {
		return nil, false
	}
	return slices.Clone(known[at:]), true
}

// handled returns the position up to which a reader that has handled all that it
// read has missed no commit; 0 while it has more to read.
func (r *ring) handled(reader int) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := &r.mu.readers[reader]
	if at.hole.upTo > 0 || at.next != r.mu.first+uint64(len(r.kept())) {
		return 0
	}
	return r.mu.seen
}

func (r *ring) size() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.bytes
}
