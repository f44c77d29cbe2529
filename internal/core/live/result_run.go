package live

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// busyPause is how long a result waits that met a server too busy to run it.
const busyPause = 100 * time.Millisecond

// results keeps the results of joins, aggregates, DISTINCT and LIMIT that are
// subscribed to. One goroutine reads which of them a commit has touched; a few
// run those again, each in the newest view, and send what differs. Publishers,
// writers and the shards never wait for a run. While runs are slower than
// commits the commits in between are skipped: what is sent is the result at the
// position that it names.
//
// Locks: results.mu comes after shard.mu and before ring.mu; it is not held
// while a statement runs.
type results struct {
	hub    *Hub
	wake   chan struct{} // holds a token while the ring may have news
	tokens chan struct{} // a token for each worker that may find work
	active atomic.Int64  // partitions that are watched
	due    atomic.Int64  // what waits in the shards to be told
	limits resultLimits
	memory int64 // that all states together may take
	mu     struct {
		sync.Mutex
		all   map[string]*result // by ResultOptions.Share
		feeds map[feedKey][]*watched
		queue []*result // that have something to do, each once
		// bound are the results of the connections whose commits come whole, and
		// how often each has one: they are run in one view.
		bound   map[*Conn]map[*result]int
		running int
		next    uint64 // how many of the ring's entries have been noted
		newest  uint64 // the position of the last of them
		bytes   int64  // of all states that somebody holds
		folded  int64  // of all folds
	}
	resultEvent
}

// result is one statement for all who subscribe to it.
type result struct {
	share string

	// Guarded by results.mu.
	o      *ResultOptions
	shape  *resultShape
	taps   []tapped
	subs   map[*subscription]struct{}
	order  map[*shard][]*subscription // the same by shard, each in an order that chance has no part in; nil after a change
	marked int                        // how many of them want commits whole
	state  *resultState               // nil before the first run, and after one that failed
	viewed uint64                     // position of the view of the last run, which may go on
	shown  uint64                     // position of the view that subscribers were told of last
	queued bool
	busy   bool // a worker has it
	again  bool // it was touched while it ran
	// waiters want to know of the next run that begins.
	waiters []chan error
	folding
	// definitions is the version of the definitions that it is bound under.
	definitions uint64
}

// shared is the part of a subscription that only those to results have. But for
// of it is guarded by shard.mu.
type shared struct {
	of *result
	// had is what the client has, or is being given page by page, and shape how
	// it was told of it.
	had   *resultState
	shape *resultShape
	given int // rows of had that have been sent as pages
	// next is what the client is to be told, nil for nothing new.
	next *resultState
	// lacks is the first commit that has touched the result and is not in what
	// is known of it, 0 for none; touched is the last one that has.
	lacks, touched uint64
}

func newResults(h *Hub) *results {
	w := &results{
		hub: h, wake: make(chan struct{}, 1), tokens: make(chan struct{}, h.o.ResultWorkers),
		limits: resultLimits{h.o.ResultRows, h.o.ResultBytes}, memory: h.o.ResultMemory,
	}
	w.mu.all = make(map[string]*result)
	w.mu.feeds = make(map[feedKey][]*watched)
	w.mu.bound = make(map[*Conn]map[*result]int)
	return w
}

// signal says that the ring has news.
func (w *results) signal() {
	if w.active.Load() == 0 {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// start runs the goroutines in a group.
func (w *results) start(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return w.read(ctx) })
	for range cap(w.tokens) {
		g.Go(func() error { return w.work(ctx) })
	}
}

// work runs what is queued until ctx ends.
func (w *results) work(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.tokens:
		}
		for round := w.take(); round != nil && ctx.Err() == nil; round = w.take() {
			w.run(ctx, round)
		}
	}
}

// enqueue has a result run. w.mu is held.
func (w *results) enqueue(r *result) {
	switch {
	case r.busy:
		r.again = true
	case !r.queued:
		r.queued = true
		w.mu.queue = append(w.mu.queue, r)
		w.call()
	}
}

// call has a worker look for work.
func (w *results) call() {
	select {
	case w.tokens <- struct{}{}:
	default: // as many as there are workers will look
	}
}

// take returns a queued result and all queued ones that must be shown at the
// same commits, nil for none. While one of these is being run the others wait.
func (w *results) take() []*result {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.mu.queue {
		family := w.family(r)
		if slices.ContainsFunc(family, func(r *result) bool { return r.busy }) {
			continue
		}
		round := slices.DeleteFunc(family, func(r *result) bool { return !r.queued })
		for _, r := range round {
			r.queued, r.busy = false, true
		}
		w.mu.queue = slices.DeleteFunc(w.mu.queue, func(r *result) bool { return r.busy })
		w.mu.running++
		return round
	}
	return nil
}

// family returns a result and those that a connection binds it to, directly or
// by way of others. w.mu is held.
func (w *results) family(r *result) []*result {
	all := []*result{r}
	if r.marked == 0 {
		return all
	}
	found := map[*result]bool{r: true}
	met := make(map[*Conn]bool)
	for i := 0; i < len(all); i++ {
		for sub := range all[i].subs {
			bound := w.mu.bound[sub.conn]
			if len(bound) < 2 || met[sub.conn] {
				continue
			}
			met[sub.conn] = true
			for r := range bound {
				if !found[r] {
					found[r] = true
					all = append(all, r)
				}
			}
		}
	}
	return all
}

// run brings results to a newer position and their subscribers with them.
func (w *results) run(ctx context.Context, round []*result) {
	v := w.hub.o.Relations.View()
	defer v.Release()
	position, waiting := w.begin(round, v)
	told, errs := make([]shownResult, 0, len(round)), make([]error, len(round))
	for i, r := range round {
		if w.wanted(r) {
			var shown shownResult
			if shown, errs[i] = w.refresh(ctx, r, v, position); shown.r != nil {
				told = append(told, shown)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.show(position, told)
	for i := range round { // what others are told is on its way first
		for _, c := range waiting[i] {
			c <- errs[i]
		}
	}
	w.mu.running--
	for _, r := range round {
		r.busy = false
		if r.again {
			r.again = false
			w.enqueue(r)
		}
	}
	if len(w.mu.queue) > 0 {
		w.call()
	}
}

// wanted reports whether somebody subscribes to a result.
func (w *results) wanted(r *result) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(r.subs) > 0
}

// refresh brings one result to a position and returns what its subscribers are to
// be told.
func (w *results) refresh(ctx context.Context, r *result, v *relation.View, position uint64) (shownResult, error) {
	if err := w.rebind(r, v); err != nil {
		w.endAll(r, err)
		return shownResult{}, err
	}
	w.mu.Lock()
	o, shape, old := r.o, r.shape, r.state
	w.mu.Unlock()
	next, err := w.compute(ctx, r, o, v, position)
	switch {
	case errors.Is(err, errAgain):
		return shownResult{}, err
	case err != nil && ctx.Err() != nil:
		return shownResult{}, err
	case fault.Is(err, fault.ServerBusy):
		w.later(r)
		return shownResult{}, err
	case err != nil:
		w.endAll(r, err)
		return shownResult{}, err
	}
	if old != nil && old.alike(next) {
		w.drop(next)
		return shownResult{r: r}, nil
	}
	w.install(r, next)
	return shownResult{r, next, shape}, nil
}

// compute finds the result at a position; the caller holds it once.
func (w *results) compute(ctx context.Context, r *result, o *ResultOptions, v *relation.View, position uint64) (*resultState, error) {
	limit := w.hub.o.ReadTimeout
	run, cancel := context.WithTimeoutCause(ctx, limit, fault.New(fault.Timeout, "Handler execution timeout: exceeded %s", limit))
	defer cancel()
	c := collecting{state: &resultState{position: position, at: make(map[string]int)}, o: o, most: w.limits}
	if err := w.collect(run, r, v, &c); err != nil {
		if cause := context.Cause(run); cause != nil && errors.Is(err, context.DeadlineExceeded) {
			err = cause
		}
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.yield(c.state.bytes)
	if w.mu.bytes+c.state.bytes > w.memory {
		return nil, fault.New(fault.LimitExceeded, "the results of live joins, aggregates, DISTINCT and LIMIT take more than %d bytes together (live.result_memory)", w.memory)
	}
	w.mu.bytes += c.state.bytes
	c.state.holders = 1
	return c.state, nil
}

// install makes a state the newest of a result.
func (w *results) install(r *result, next *resultState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := r.state
	if len(r.subs) == 0 { // all have gone meanwhile
		w.letGo(next)
		next = nil
	}
	r.state = next
	if old != nil {
		w.letGo(old)
	}
}

// hold keeps a state in the account. w.mu is held.
func (w *results) hold(s *resultState) { s.holders++ }

// letGo takes a state out of the account with its last holder. w.mu is held.
func (w *results) letGo(s *resultState) {
	if s.holders--; s.holders == 0 {
		w.mu.bytes -= s.bytes
	}
}

func (w *results) drop(s *resultState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.letGo(s)
}

// later has a result run again when the server may be less busy.
func (w *results) later(r *result) {
	time.AfterFunc(busyPause, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.enqueue(r)
	})
}

// rebind binds a result under the definitions of a view when they have changed,
// and ends those who may not read it any more.
func (w *results) rebind(r *result, v *relation.View) error {
	version := v.DefinitionsVersion()
	w.mu.Lock()
	same, o := r.definitions == version, r.o
	w.mu.Unlock()
	if same {
		return nil
	}
	touched := false
	for i := range o.Reads {
		t, ok := v.TableByID(o.Reads[i].Table.ID)
		if !ok {
			return notFound(o.Reads[i].Table)
		}
		touched = touched || t.Version != o.Reads[i].Table.Version
	}
	var q *Query
	refused := error(errColumnsChanged)
	for _, sub := range w.subscribers(r) {
		bound, err := w.rebound(sub, v)
		if err != nil {
			refused = err
			w.end(sub, err)
			continue
		}
		q = bound
		if !touched {
			break // whoever might read it still may
		}
	}
	if q == nil {
		return refused
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.o, r.definitions = q.result, version
	w.unfold(r)
	r.unfoldable = false
	r.lose(w.mu.newest) // some of what it changed may not have been kept
	r.shape = newResultShape(q.result)
	w.untap(r)
	for _, x := range q.watches {
		w.tap(r, x)
	}
	return nil
}

// errColumnsChanged ends a subscription whose rows would look different.
var errColumnsChanged = fault.New(fault.InvalidOperation, "the columns of the result have changed; subscribe again")

// rebound binds the statement of one subscriber anew.
func (w *results) rebound(sub *subscription, v *relation.View) (*Query, error) {
	s := sub.conn.shard
	s.mu.Lock()
	was := sub.query
	s.mu.Unlock()
	o, err := was.result.Rebind(v)
	if err != nil {
		return nil, err
	}
	if !newResultShape(o).same(newResultShape(was.result)) {
		return nil, errColumnsChanged
	}
	return NewResult(was.request, o)
}

// subscribers returns those of a result in an order that chance has no part in.
func (w *results) subscribers(r *result) []*subscription {
	w.mu.Lock()
	subs := slices.Collect(maps.Keys(r.subs))
	w.mu.Unlock()
	slices.SortFunc(subs, before)
	return subs
}

// before orders subscriptions in a way that chance has no part in.
func before(a, b *subscription) int {
	return cmp.Or(strings.Compare(a.conn.o.ID, b.conn.o.ID), strings.Compare(a.id, b.id))
}

// endAll ends every subscription to a result that has begun; who waits for its
// beginning is told of the fault by run.
func (w *results) endAll(r *result, err error) {
	for _, sub := range w.subscribers(r) {
		w.end(sub, err)
	}
}

func (w *results) end(sub *subscription, err error) {
	s := sub.conn.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.result.had != nil {
		s.end(sub, err)
	}
}

// idle reports whether all that was committed has been noted and run.
func (w *results) idle() bool {
	w.hub.ring.mu.Lock()
	end := w.hub.ring.mu.first + uint64(len(w.hub.ring.kept()))
	w.hub.ring.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	behind := w.active.Load() > 0 && w.mu.next != end
	return !behind && len(w.mu.queue) == 0 && w.mu.running == 0 && w.due.Load() == 0
}

// count returns how many subscriptions to results read a table, those of one
// user if he is named.
func (w *results) count(id schema.TableID, user schema.UserID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, r := range w.mu.all {
		if !slices.ContainsFunc(r.o.Reads, func(x Read) bool { return x.Table.ID == id }) {
			continue
		}
		for sub := range r.subs {
			if user == "" || sub.conn.o.User == user {
				n++
			}
		}
	}
	return n
}
