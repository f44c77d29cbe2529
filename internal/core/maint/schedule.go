package maint

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/job"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

const (
	// settle is how long commits are collected before their partitions are
	// counted: a writer of many rows costs a few looks, not one per commit.
	settle = 20 * time.Millisecond
	// countedMost bounds the partitions of a table whose growth is followed in
	// memory. Beyond it all are forgotten and counted anew when they are written.
	countedMost = 100_000
	// ripeMost bounds the partitions that one flush by rows takes.
	ripeMost = 10_000
	// agedMost is how many partitions are asked for the age of their oldest row
	// when nothing is known of a table, as after a start.
	agedMost = 10_000
	// retryLeast and retryMost bound the wait after a flush that failed; it
	// doubles with each failure.
	retryLeast = 5 * time.Second
	retryMost  = 10 * time.Minute
)

// flushes is what the schedule knows of tables with a FLUSH_POLICY.
type flushes struct {
	wake chan struct{} // holds a token while there may be something to start
	mu   struct {
		sync.Mutex
		look   bool // definitions have changed
		tables map[schema.TableID]*flushState
	}
}

// flushState is what is known of one table. It is a hint: what is counted in
// the store decides.
type flushState struct {
	// counted holds, by partition, the hot rows that were counted last and the
	// writes since then: never less than the partition has.
	counted map[schema.Scope]int64
	// ripe are partitions that may have reached the rows of the policy.
	ripe map[schema.Scope]struct{}
	// since is the time of the oldest row that may be hot, in microseconds since
	// the Unix epoch; 0 when none is known.
	since int64
	// retry and wait keep a failing flush from starting again at once.
	retry time.Time
	wait  time.Duration
}

func newFlushes() *flushes {
	f := &flushes{wake: make(chan struct{}, 1)}
	f.mu.tables = map[schema.TableID]*flushState{}
	return f
}

// state returns what is known of a table; flushes.mu is held.
func (f *flushes) state(id schema.TableID) *flushState {
	s, ok := f.mu.tables[id]
	if !ok {
		s = &flushState{counted: map[schema.Scope]int64{}, ripe: map[schema.Scope]struct{}{}}
		f.mu.tables[id] = s
	}
	return s
}

func (f *flushes) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Committed hears of commits after they have become visible. It does not block.
func (m *Maintainer) Committed(commits []command.Commit) {
	for i := range commits {
		if freed := commits[i].Freed; len(freed) > 0 {
			m.blobs.note(freed)
			m.blobs.signal()
		}
	}
	definitions := m.o.Definitions()
	wake := false
	for i := range commits {
		c := &commits[i]
		if len(c.Altered)+len(c.Dropped) > 0 {
			m.flushes.mu.Lock()
			m.flushes.mu.look = true
			m.flushes.mu.Unlock()
			wake = true
		}
		for rest := c.Changes; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].Table == rest[0].Table {
				n++
			}
			t, ok := definitions.TableByID(rest[0].Table)
			if ok && t.Kind == schema.Stream {
				m.streams.note(t, rest[:n], c.Position)
			}
			if ok && t.Options.FlushPolicy != (schema.FlushPolicy{}) && m.written(t, rest[:n]) {
				wake = true
			}
			rest = rest[n:]
		}
	}
	if wake && m.o.Flush.Every >= 0 {
		m.flushes.signal()
	}
}

// written notes changes of one table and reports whether the schedule has to
// look at it.
func (m *Maintainer) written(t *schema.Table, changes []command.Change) (wake bool) {
	m.flushes.mu.Lock()
	defer m.flushes.mu.Unlock()
	s := m.flushes.state(t.ID)
	if t.Options.FlushPolicy.IntervalSeconds > 0 && s.since == 0 {
		s.since, wake = schema.SeqTime(changes[0].Seq), true
	}
	rows := t.Options.FlushPolicy.Rows
	if rows == 0 {
		return wake
	}
	for i := range changes {
		if changes[i].Op == command.Delete {
			continue
		}
		scope := changes[i].Scope
		n, known := s.counted[scope]
		if !known {
			if len(s.counted) >= countedMost {
				clear(s.counted)
			}
			n = rows // nobody has counted it in this life
		}
		n++
		s.counted[scope] = n
		if n >= rows && len(s.ripe) < ripeMost {
			s.ripe[scope], wake = struct{}{}, true
		}
	}
	return wake
}

// began is told that a flush of all partitions is about to take its view: what
// is written from here on is of the next interval. It returns the age of what it
// will flush, for aged when that comes to nothing.
func (m *Maintainer) began(id schema.TableID) (since int64) {
	m.flushes.mu.Lock()
	defer m.flushes.mu.Unlock()
	if s, ok := m.flushes.mu.tables[id]; ok {
		since, s.since = s.since, 0
	}
	return since
}

// aged notes that a table has hot rows of a time, 0 for none.
func (m *Maintainer) aged(id schema.TableID, since int64) {
	m.flushes.mu.Lock()
	defer m.flushes.mu.Unlock()
	if s, ok := m.flushes.mu.tables[id]; ok && since != 0 && (s.since == 0 || since < s.since) {
		s.since = since
	}
}

// ripened notes partitions that may have reached the rows of their policy.
func (m *Maintainer) ripened(id schema.TableID, scopes []schema.Scope) {
	m.flushes.mu.Lock()
	defer m.flushes.mu.Unlock()
	if s, ok := m.flushes.mu.tables[id]; ok {
		for _, scope := range scopes {
			s.ripe[scope] = struct{}{}
		}
	}
}

// ended is told how a flush has ended: one that failed is not started again at
// once.
func (m *Maintainer) ended(id schema.TableID, err error) {
	m.flushes.mu.Lock()
	defer m.flushes.mu.Unlock()
	s, ok := m.flushes.mu.tables[id]
	if !ok {
		return
	}
	if err == nil {
		s.wait, s.retry = 0, time.Time{}
	} else {
		s.wait = min(max(2*s.wait, retryLeast), retryMost)
		s.retry = m.o.Now().Add(s.wait)
	}
	m.flushes.signal()
}

// later keeps the schedule from a table whose flush is on its way already.
func (m *Maintainer) later(id schema.TableID) {
	m.flushes.mu.Lock()
	defer m.flushes.mu.Unlock()
	if s, ok := m.flushes.mu.tables[id]; ok {
		s.retry = m.o.Now().Add(time.Second)
	}
}

// schedule starts flushes by the policies of tables until ctx ends.
func (m *Maintainer) schedule(ctx context.Context) {
	if m.o.Flush.Every < 0 {
		return
	}
	m.try(ctx, "look for tables to flush", m.LookForFlushes)
	every := time.NewTicker(m.o.Flush.Every)
	defer every.Stop()
	next := time.NewTimer(m.untilNext())
	defer next.Stop()
	for {
		look := false
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			look = true
		case <-next.C:
		case <-m.flushes.wake:
			select {
			case <-ctx.Done():
				return
			case <-time.After(settle):
			}
		}
		m.flushes.mu.Lock()
		look, m.flushes.mu.look = look || m.flushes.mu.look, false
		m.flushes.mu.Unlock()
		if look {
			m.try(ctx, "look for tables to flush", m.LookForFlushes)
		} else {
			m.try(ctx, "start flushes", m.startDue)
		}
		next.Reset(m.untilNext())
	}
}

// untilNext is how long nothing falls due, if nothing is written.
func (m *Maintainer) untilNext() time.Duration {
	now := m.o.Now()
	wait := m.o.Flush.Every
	definitions := m.o.Definitions()
	m.flushes.mu.Lock()
	defer m.flushes.mu.Unlock()
	for id, s := range m.flushes.mu.tables {
		t, ok := definitions.TableByID(id)
		if !ok {
			continue
		}
		at, some := time.Time{}, len(s.ripe) > 0
		if seconds := t.Options.FlushPolicy.IntervalSeconds; seconds > 0 && s.since != 0 && !some {
			at, some = time.UnixMicro(s.since).Add(time.Duration(seconds)*time.Second), true
		}
		if !some {
			continue
		}
		if at.Before(s.retry) {
			at = s.retry
		}
		wait = min(wait, at.Sub(now))
	}
	return max(wait, settle)
}

// LookForFlushes counts the hot rows of every table with a FLUSH_POLICY and
// starts the flushes that are due. The schedule does so at the start, after
// changes of definitions and every Flush.Every; in between it follows commits.
func (m *Maintainer) LookForFlushes(ctx context.Context) error {
	view := m.o.View()
	defer view.Release()
	known := map[schema.TableID]struct{}{}
	for t := range view.Definitions().AllTables() {
		if t.Kind != schema.User && t.Kind != schema.Shared || t.Options.FlushPolicy == (schema.FlushPolicy{}) {
			continue
		}
		known[t.ID] = struct{}{}
		if err := m.lookAt(ctx, view, t); err != nil {
			return err
		}
	}
	m.flushes.mu.Lock()
	for id := range m.flushes.mu.tables {
		if _, ok := known[id]; !ok {
			delete(m.flushes.mu.tables, id)
		}
	}
	m.flushes.mu.Unlock()
	return m.startDue(ctx)
}

// lookAt counts one table.
func (m *Maintainer) lookAt(ctx context.Context, view *catalog.View, t *schema.Table) error {
	policy := t.Options.FlushPolicy
	ripe := map[schema.Scope]struct{}{}
	var hot []schema.Scope
	var failed error
	if err := table.HotScopes(view.Reader(), t, func(scope schema.Scope, c schema.Counts) bool {
		if policy.Rows > 0 && c.HotRows >= policy.Rows && len(ripe) < ripeMost {
			ripe[scope] = struct{}{}
		}
		if policy.IntervalSeconds > 0 && len(hot) < agedMost {
			hot = append(hot, scope)
		}
		failed = ctx.Err()
		return failed == nil
	}); err != nil || failed != nil {
		return firstOf(err, failed)
	}
	m.flushes.mu.Lock()
	s := m.flushes.state(t.ID)
	for scope := range ripe {
		s.ripe[scope] = struct{}{}
	}
	unknown := s.since == 0
	m.flushes.mu.Unlock()
	if !unknown || len(hot) == 0 {
		return nil
	}
	oldest := int64(math.MaxInt64)
	for _, scope := range hot {
		c, err := table.Counts(view.Reader(), t, scope)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if c.OldestUnflushed > 0 {
			oldest = min(oldest, c.OldestUnflushed)
		}
	}
	m.flushes.mu.Lock()
	defer m.flushes.mu.Unlock()
	if s := m.flushes.state(t.ID); oldest != math.MaxInt64 && (s.since == 0 || oldest < s.since) {
		s.since = oldest
	}
	return nil
}

// due is a flush to be started.
type due struct {
	table *schema.Table
	// scopes are the partitions that have reached the rows of the policy; nil
	// when the interval has passed, for all.
	scopes []schema.Scope
}

// startDue starts the flushes whose rows or time have been reached.
func (m *Maintainer) startDue(ctx context.Context) error {
	var errs []error
	for _, d := range m.takeDue() {
		since := int64(0)
		if d.scopes == nil {
			since = m.began(d.table.ID)
		}
		started, err := m.startOne(ctx, d, since)
		if err == nil && started {
			continue
		}
		m.aged(d.table.ID, since)
		m.ripened(d.table.ID, d.scopes)
		if err == nil {
			m.later(d.table.ID)
			continue
		}
		m.ended(d.table.ID, err)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// takeDue takes what has fallen due out of the books; what is still too much
// when it has been flushed comes back with the next write or look.
func (m *Maintainer) takeDue() []due {
	now := m.o.Now()
	definitions := m.o.Definitions()
	m.flushes.mu.Lock()
	defer m.flushes.mu.Unlock()
	var all []due
	for id, s := range m.flushes.mu.tables {
		t, ok := definitions.TableByID(id)
		if !ok || now.Before(s.retry) {
			continue
		}
		policy := t.Options.FlushPolicy
		if policy.IntervalSeconds > 0 && s.since != 0 && now.UnixMicro()-s.since >= policy.IntervalSeconds*1e6 {
			all = append(all, due{table: t})
		}
		if len(s.ripe) == 0 {
			continue
		}
		scopes := make([]schema.Scope, 0, len(s.ripe))
		for scope := range s.ripe {
			scopes = append(scopes, scope)
		}
		clear(s.ripe)
		if policy.Rows > 0 {
			all = append(all, due{t, scopes})
		}
	}
	return all
}

// startOne starts a flush unless there is nothing for it to do. It returns false
// when one of its kind is queued or running.
func (m *Maintainer) startOne(ctx context.Context, d due, since int64) (started bool, err error) {
	t := d.table
	spec := job.Spec{
		Type: "flush", Prefix: "FL", Key: m.clockKey("FL", t), Priority: byClock, Retries: job.MaxRetries, Parameters: flushParameters(t, "interval"),
	}
	var scopes []schema.Scope // nil for all
	if d.scopes == nil {
		if some, err := m.pending(t); err != nil || !some {
			return true, err
		}
	} else {
		ripe, err := m.ripe(t, d.scopes)
		if err != nil || len(ripe) == 0 {
			return true, err
		}
		spec.Parameters = flushParameters(t, "rows")
		if t.PerUser() {
			spec.Key, scopes = flushRowsKey(t), ripe
		}
	}
	if _, busy := m.active("FL", flushKey(t), t); busy && scopes == nil {
		return false, nil
	}
	spec.Run = func(ctx context.Context) (string, error) {
		result, err := m.flush(ctx, t.ID, scopes)
		if err != nil {
			m.aged(t.ID, since)
			m.ripened(t.ID, d.scopes)
			return "", err
		}
		return flushMessage(t, result), nil
	}
	_, started, err = m.o.Jobs.Submit(ctx, spec)
	return started, err
}

// ripe counts partitions and returns those that have reached the rows of the
// policy.
func (m *Maintainer) ripe(t *schema.Table, scopes []schema.Scope) ([]schema.Scope, error) {
	before := make([]int64, len(scopes))
	m.flushes.mu.Lock()
	for i, scope := range scopes {
		before[i] = m.flushes.state(t.ID).counted[scope]
	}
	m.flushes.mu.Unlock()
	view := m.o.View()
	defer view.Release()
	hot := make([]int64, len(scopes))
	for i, scope := range scopes {
		n, err := table.HotRows(view.Reader(), t, scope)
		if err != nil {
			return nil, err
		}
		hot[i] = n
	}
	m.flushes.mu.Lock()
	defer m.flushes.mu.Unlock()
	s := m.flushes.state(t.ID)
	var ripe []schema.Scope
	for i, scope := range scopes {
		if hot[i] >= t.Options.FlushPolicy.Rows {
			ripe = append(ripe, scope)
			delete(s.counted, scope) // counted anew after the flush
			continue
		}
		// What was written since stands in no view yet, or is counted twice.
		if now, ok := s.counted[scope]; ok && now >= before[i] {
			s.counted[scope] = hot[i] + now - before[i]
		}
	}
	return ripe, nil
}
