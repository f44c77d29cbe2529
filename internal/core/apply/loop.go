package apply

import (
	"errors"
	"runtime"
	"slices"

	"kalamdb/internal/command"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
)

// The ceiling of relaxed positions is raised by ceilingStep of clock at a time,
// when less than ceilingAhead is left.
const (
	ceilingStepMicros  = 10_000_000
	ceilingAheadMicros = 5_000_000
)

// group is what one batch has committed and who waits for it.
type group struct {
	requests []*request
	commits  []command.Commit
	users    []schema.UserID // whose rows changed
	batch    *store.Batch    // nil when every command was refused, and of an announcement
	view     *catalog.View   // nil when nothing has changed
	turn     bool            // it has taken the turn at the disk
}

// build makes groups until the queue is closed and empty. It reports false when
// the publisher ended before.
func (l *Local) build() bool {
	var held *request // taken, but of no use for the group before
	for {
		first := held
		if held = nil; first == nil {
			first = l.queue.take()
		}
		if first == nil {
			return true
		}
		if Alone(first.command) {
			l.commit([]*request{first}, false)
			continue
		}
		if !l.await() {
			return false
		}
		l.linger()
		var requests []*request
		requests, held = l.gather(first)
		l.commit(requests, true)
	}
}

// linger lets those who were just answered, or are about to ask, come into the
// group that is gathered next: the same commands in fewer groups cost less.
// It gives the processor away as long as the queue grows and no longer, so
// that whoever is alone does not wait.
func (l *Local) linger() {
	for waiting := -1; len(l.queue.commands) > waiting; {
		waiting = len(l.queue.commands)
		runtime.Gosched()
	}
}

// await takes the turn at the disk, when the group that had it before is there.
// A second fsync could not begin earlier: meanwhile all who come gather for
// the next group. Groups of one that must be alone take no turn: the writes
// behind them share the next fsync with them, and wait no longer for it.
func (l *Local) await() bool {
	select {
	case l.disk <- struct{}{}:
		return true
	case <-l.dead:
		return false
	}
}

// gather takes all who wait into the group of the first one, within its
// bounds. What belongs to the next group is held.
func (l *Local) gather(first *request) (requests []*request, held *request) {
	requests = append(requests, first)
	bytes := first.bytes
	for len(requests) < groupCommandsMax {
		r := l.queue.tryTake()
		if r == nil {
			return requests, nil
		}
		if bytes += r.bytes; bytes > groupBytesMax || Alone(r.command) {
			return requests, r
		}
		requests = append(requests, r)
	}
	return requests, nil
}

// commit builds a group, and where relaxed commits need it, one that raises the
// ceiling: before, when the group would reach it, or behind, ahead of need.
func (l *Local) commit(requests []*request, turn bool) {
	relaxed, bound := l.reach(requests)
	if relaxed && bound >= l.machine.Ceiling() {
		l.raise(bound)
	}
	if requests[0].announced != nil {
		l.announce(requests[0])
	} else {
		l.group(requests, turn)
	}
	if relaxed && bound+micros(ceilingAheadMicros) >= l.machine.Ceiling() {
		l.raise(bound)
	}
}

// reach reports whether a group has relaxed commands, and a position that its
// last one cannot reach.
func (l *Local) reach(requests []*request) (relaxed bool, bound uint64) {
	relaxed = slices.ContainsFunc(requests, func(r *request) bool { return r.command.Durability == schema.Relaxed })
	if !relaxed {
		return false, 0
	}
	at := schema.SeqTime(l.machine.Position())
	rows := 0
	for _, r := range requests {
		at = max(at, r.command.Time)
		n, _ := measure(r.command.Body)
		rows += max(n, 1)
	}
	const perMilli = 4096 // positions in a millisecond
	return true, schema.SeqFloor(at + int64(rows/perMilli+len(requests)+2)*1000)
}

// micros returns a span of clock as a distance of positions.
func micros(n int64) uint64 {
	return schema.SeqFloor(schema.SeqEpochMillis*1000+n) - schema.SeqFloor(schema.SeqEpochMillis*1000)
}

// raise makes a group that raises the ceiling above a position.
func (l *Local) raise(bound uint64) {
	now := l.o.Now().UnixMicro()
	to := schema.SeqFloor(max(now, schema.SeqTime(bound)) + ceilingStepMicros)
	r := &request{done: make(chan struct{}, 1), command: &command.Command{Time: now, Body: command.RaiseCeiling{To: to}}}
	l.group([]*request{r}, false)
}

// group applies commands in one batch, hands it to the engine, and passes the
// group on to the publisher.
func (l *Local) group(requests []*request, turn bool) {
	g := &group{requests: requests[:0], batch: l.o.Store.NewBlindBatch(room(requests)), turn: turn}
	full := l.space.full()
	sync := false
	l.machine.Begin(l.o.Store.Reader(), g.batch)
	for _, r := range requests {
		err := full
		if err == nil || frees(r.command.Body) {
			err = l.apply(g, r)
		}
		if stale(err) {
			l.answer(r, err) // the proposer looks again, and sees only what is applied
			continue
		}
		r.err = err
		sync = sync || err == nil && r.command.Durability != schema.Relaxed
		g.requests = append(g.requests, r)
	}
	accepted, err := l.machine.Finish()
	if err != nil {
		l.fatal(err)
	}
	if accepted == 0 {
		g.batch.Close()
		g.batch = nil
	} else {
		l.hand(g, sync)
	}
	for _, r := range g.requests {
		r.notify()
	}
	select {
	case l.pending <- g:
	case <-l.dead: // nobody is answered any more
	}
}

// room is about how many bytes of a batch commands fill: a row has a second key,
// that of its change.
func room(requests []*request) int {
	bytes := int64(0)
	for _, r := range requests {
		bytes += r.bytes
	}
	return int(bytes + bytes/8)
}

// apply applies one command to the batch of a group.
func (l *Local) apply(g *group, r *request) error {
	if l.staleReads(r.command.Reads) {
		return command.ErrStaleRead
	}
	prior := l.machine.Position()
	o, err := l.machine.Apply(r.command)
	if err != nil {
		if !Refusal(err) {
			l.fatal(err)
		}
		return err
	}
	if l.archive != nil {
		l.keep(g, r.command, prior, o.Receipt.Position)
	}
	r.receipt = o.Receipt
	g.commits = append(g.commits, o.Commit)
	l.touched.note(&o.Commit)
	if o.User != "" {
		g.users = append(g.users, o.User)
	}
	l.stats.rows.Add(o.Receipt.Rows)
	if r.command.Durability == schema.Relaxed {
		l.stats.relaxed.Add(1)
	}
	return nil
}

// hand gives a batch to the engine and shows it to writers.
func (l *Local) hand(g *group, sync bool) {
	l.space.written(g.batch.Len())
	if err := g.batch.Commit(sync); err != nil {
		l.fatal(err)
	}
	g.view = l.openView()
	l.applied.Swap(g.view.Retain()).Release()
	l.definitions.Store(g.view.Definitions()) // last, so that Settle waits for whoever has seen them
	l.unwritten = false
	l.stats.groups.Add(1)
	l.stats.commits.Add(int64(len(g.commits)))
}

// fatal ends the process: the state in memory and the one on disk may differ.
func (l *Local) fatal(err error) {
	l.o.Fatal("apply: %v", err)
	panic("the fatal call of apply returned")
}

// answer ends a command that was refused before its group.
func (l *Local) answer(r *request, err error) {
	r.notify()
	l.stats.refused.Add(1)
	r.err = err
	r.done <- struct{}{}
}

// stale reports whether an error tells the proposer to look again.
func stale(err error) bool {
	return errors.Is(err, command.ErrStaleRow) || errors.Is(err, command.ErrStaleSchema) || errors.Is(err, command.ErrStaleRead)
}

// publish makes groups current in their order, once they are on disk. The
// builder goes on as soon as that is so, while this one answers.
func (l *Local) publish() {
	for g := range l.pending {
		if g.batch != nil {
			if err := g.batch.Wait(); err != nil {
				l.fatal(err)
			}
		}
		if g.turn {
			<-l.disk
			runtime.Gosched() // to the builder: the disk shall not wait for answers
		}
		if g.view != nil {
			l.show(g)
		}
		for _, r := range g.requests {
			if r.err != nil {
				l.stats.refused.Add(1)
			}
			r.done <- struct{}{}
		}
	}
}

// show makes the view of a group current and tells subscribers.
func (l *Local) show(g *group) {
	if g.batch != nil {
		g.batch.Close()
	}
	old := l.current.Swap(g.view)
	for _, id := range g.users {
		l.users.Forget(id)
	}
	l.o.Publish(g.commits)
	old.Release()
	l.settling.move()
}
