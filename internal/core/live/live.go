// Package live delivers committed changes to subscribers.
//
// A Hub receives commits in order and hands each subscription the changes that
// its filter selects, in that order: registered first, snapshot second,
// changes after, so that nothing is missed and nothing comes twice. A
// subscription that cannot keep up becomes a cursor: it lags, is told so if it
// asked, reads the change index and goes live again. It is never silently
// thinned: what can no longer be read ends it with CURSOR_EXPIRED.
//
// A connection belongs to one shard, and every shard sees every commit. Within
// a shard a change goes from its table and scope over an index of the filters'
// equalities, ranges, prefixes and NULLs to each distinct filter that its old or
// new row may concern, once, is encoded once per distinct projection, and is put
// as head and shared body into bounded outboxes. The publisher of commits is
// never blocked: the ring it appends to is bounded in bytes, and a shard that the
// ring has left behind reads the change index.
//
// Results of joins, aggregates, DISTINCT and LIMIT are run again when a commit
// touches what they read, in the newest view, and differences are sent; see
// results. Groupings and DISTINCT over one table are not run again but moved on
// by the rows that have changed; see folding.
// A connection that wants commits whole gets the rows of such a commit together
// with what it did to the results; see shard.settle.
//
// Goroutines: one per shard, one that notes which results are touched, a few
// that run them, and one that lets present rows leave, started by Run. Whoever takes the frames of a
// connection also reads for its cursors; whoever subscribes reads the pages.
// Locks: shard.mu, then Conn.mu, results.mu, ring.mu, Presence.mu or Hub.mu. None is held while the store
// is read.
package live

import (
	"context"
	"hash/maphash"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// Options are what a Hub needs.
type Options struct {
	// Relations gives the views that snapshots and changes are read from;
	// required.
	Relations *relation.Relations
	// RingBytes bounds the commits kept for the shards; 0 means 64 MiB. What
	// falls out is read from the change index instead.
	RingBytes int64
	// OutboxBytes bounds the frames waiting for one connection; 0 means 1 MiB.
	// A full outbox turns its subscriptions into cursors.
	OutboxBytes int64
	// BatchBytes is where a batch of a snapshot is cut; 0 means 8 MiB.
	BatchBytes int
	// Shards is how many goroutines deliver; 0 means one per processor, at
	// most 8.
	Shards int
	// MaxPerUser bounds the subscriptions of a user over all his connections;
	// 0 means 10.
	MaxPerUser int
	// MaxPerConnection bounds those of one connection; 0 means 100.
	MaxPerConnection int
	// ResultRows and ResultBytes bound the result of one live join, aggregate,
	// DISTINCT or LIMIT; 0 means 10,000 rows and 8 MiB. ResultMemory bounds all
	// of them together; 0 means 256 MiB.
	ResultRows                int
	ResultBytes, ResultMemory int64
	// ResultWorkers is how many of them run at one time; 0 means half of the
	// processors.
	ResultWorkers int
	// ReadTimeout bounds reading one page of a snapshot; 0 means 30 s.
	ReadTimeout time.Duration
	// Presence keeps the rows that are bound to connections; nil when there are
	// none. Run lets them leave.
	Presence *Presence
	// NodeID is shown by system.live.
	NodeID uint16
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger is told of what subscribers must not see; nil means slog.Default.
	Logger *slog.Logger
}

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	orDefault := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	orDefault(&o.RingBytes, 64<<20)
	orDefault(&o.OutboxBytes, 1<<20)
	orDefault(&o.ResultBytes, 8<<20)
	orDefault(&o.ResultMemory, 256<<20)
	if o.ResultRows <= 0 {
		o.ResultRows = 10_000
	}
	if o.ResultWorkers <= 0 {
		o.ResultWorkers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if o.BatchBytes <= 0 {
		o.BatchBytes = 8 << 20
	}
	if o.Shards <= 0 {
		o.Shards = min(8, runtime.GOMAXPROCS(0))
	}
	if o.MaxPerUser <= 0 {
		o.MaxPerUser = 10
	}
	if o.MaxPerConnection <= 0 {
		o.MaxPerConnection = 100
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Hub knows all subscriptions of this process. It may be used by many
// goroutines.
type Hub struct {
	o        Options
	ring     *ring
	shards   []*shard
	seed     maphash.Seed
	results  *results
	counters counters
	readers  sync.Pool // *reader, for whoever reads for a cursor
	mu       struct {
		sync.Mutex
		conns   map[string]*Conn      // by connection id
		perUser map[schema.UserID]int // subscriptions
	}
}

// counters are the figures of Stats.
type counters struct {
	commits, evaluations, encodings, changes atomic.Int64
	lagged, resumed, missed, expired         atomic.Int64
	touched, runs, folds                     atomic.Int64
}

// Stats counts what a Hub has done since the start, and what it holds.
type Stats struct {
	Connections   int64
	Subscriptions int64
	Commits       int64 // commits that somebody was interested in
	Evaluations   int64 // filters applied to a change
	Encodings     int64 // bodies of change frames made
	Changes       int64 // change frames handed out
	Lagged        int64 // times a subscription became a cursor because its outbox was full
	Resumed       int64 // times such a one went live again
	Missed        int64 // times a shard read the change index because the ring had moved on
	Expired       int64 // subscriptions ended with CURSOR_EXPIRED
	Touched       int64 // times a commit touched what a result reads
	Runs          int64 // times the statement of a result was run
	Folds         int64 // times a result was found from the one before and what had changed
	RingBytes     int64
}

// NewHub returns a hub; Run makes it deliver.
func NewHub(o Options) *Hub {
	fault.Assert(o.Relations != nil, "a hub needs relations")
	o = o.withDefaults()
	h := &Hub{o: o, ring: newRing(o.RingBytes, o.Shards+1), seed: maphash.MakeSeed()}
	h.results = newResults(h)
	h.readers.New = func() any { return new(reader) }
	h.mu.conns = make(map[string]*Conn)
	h.mu.perUser = make(map[schema.UserID]int)
	for i := range o.Shards {
		h.shards = append(h.shards, newShard(h, i))
	}
	return h
}

// Run delivers until ctx ends. It returns after every shard has stopped.
func (h *Hub) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range h.shards {
		g.Go(func() error { return s.run(ctx) })
	}
	h.results.start(ctx, g)
	if h.o.Presence != nil {
		g.Go(func() error { h.o.Presence.run(ctx, h.o.Logger); return nil })
	}
	return g.Wait()
}

// Committed takes commits in their order, after they have become visible to
// new views. It never blocks on a subscriber.
func (h *Hub) Committed(commits []command.Commit) {
	for i := range commits {
		if h.o.Presence == nil {
			break
		}
		for _, id := range commits[i].Dropped {
			h.o.Presence.DropTable(id)
		}
	}
	noted := h.ring.append(commits)
	h.counters.commits.Add(int64(noted))
	if noted == 0 && h.results.due.Load() == 0 {
		return
	}
	for _, s := range h.shards {
		s.signal()
	}
	h.results.signal()
}

// Listens reports whether somebody is subscribed to a partition of a table. An
// event that is proposed afterwards reaches whoever was subscribed before.
func (h *Hub) Listens(t schema.TableID, scope schema.Scope) bool {
	return h.ring.hears(feedKey{t, scope})
}

// Stats returns the figures of the hub.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	connections, subscriptions := len(h.mu.conns), 0
	for _, n := range h.mu.perUser {
		subscriptions += n
	}
	h.mu.Unlock()
	c := &h.counters
	return Stats{
		Connections: int64(connections), Subscriptions: int64(subscriptions),
		Commits: c.commits.Load(), Evaluations: c.evaluations.Load(), Encodings: c.encodings.Load(),
		Changes: c.changes.Load(), Lagged: c.lagged.Load(), Resumed: c.resumed.Load(),
		Missed: c.missed.Load(), Expired: c.expired.Load(), Touched: c.touched.Load(), Runs: c.runs.Load(), Folds: c.folds.Load(), RingBytes: h.ring.size(),
	}
}
