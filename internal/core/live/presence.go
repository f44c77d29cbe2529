package live

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// changeBytes is what a change of a present row is reckoned at beside its bytes.
const changeBytes = 160

// PresenceOptions bound what is present.
type PresenceOptions struct {
	// Announce calls make once, at its turn among the commits, with the next _seq of
	// their clock, and publishes what it returns, if anything, as one commit behind
	// those before it. The position of that is the _seq of its last change. It
	// returns when that is published. Required. make is called by the builder of
	// commits: it neither waits nor calls back.
	Announce func(ctx context.Context, make func(first uint64) []command.Change) error
	// MaxPerConnection bounds the rows that the connections of one session hold
	// together; 0 means 100.
	MaxPerConnection int
	// MaxRowBytes bounds the key and the row of one; 0 means 64 KiB.
	MaxRowBytes int
	// MaxBytes bounds all present rows together; 0 means 64 MiB.
	MaxBytes int64
	// HistoryBytes bounds the changes that are kept of one partition, for views of
	// earlier moments and for those who resume; 0 means 1 MiB.
	HistoryBytes int64
	// Since is the position that the process began at: nothing before it is known.
	Since uint64
	// OldestView returns the position of the oldest moment that is still read, so
	// that nothing is forgotten that it needs; nil means none is.
	OldestView func() uint64
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (o PresenceOptions) withDefaults() PresenceOptions {
	fault.Assert(o.Announce != nil, "presence needs positions")
	if o.MaxPerConnection <= 0 {
		o.MaxPerConnection = 100
	}
	if o.MaxRowBytes <= 0 {
		o.MaxRowBytes = 64 << 10
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 20
	}
	if o.HistoryBytes <= 0 {
		o.HistoryBytes = 1 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Presence keeps rows that are bound to connections. A row leaves when its
// connection has been gone for the grace time of its table, unless another
// connection of the same user and session has come meanwhile. Rows are in memory
// only; each change has a position of the commit clock, and what was present at
// an earlier moment is found from the changes since. It may be used by many
// goroutines. Locks: Presence.mu, held for a look.
type Presence struct {
	o    PresenceOptions
	wake chan struct{} // to Run: somebody has gone
	mu   struct {
		sync.Mutex
		parts   map[feedKey]*present
		holders map[holderKey]*holder
		conns   map[string]*holder // by connection
		bytes   int64              // of the rows
		history int64              // bytes of the changes
		// forgotten is the position up to which nobody knows what partitions were
		// like of which nothing is kept.
		forgotten uint64
	}
}

// holderKey names who holds rows: a session is chosen by the client and outlives
// its connection, so that whoever reconnects finds what he held.
type holderKey struct {
	user    schema.UserID
	session string
}

// holder holds rows for the connections of a session.
type holder struct {
	key   holderKey
	conns int
	gone  time.Time // when the last connection went, while there is none
	rows  map[*presentRow]struct{}
}

// presentRow is the newest version of a row.
type presentRow struct {
	part    *present
	key     string
	row     []byte
	seq     uint64
	version uint32
	grace   time.Duration
	holder  *holder
}

func (r *presentRow) cost() int64 { return changeBytes + int64(len(r.key)+len(r.row)) }

// present is one partition of one table.
type present struct {
	feed  feedKey
	rows  map[string]*presentRow
	log   []command.Change // the newest changes, oldest first
	bytes int64            // of the log
	floor uint64           // what was changed up to here is not in the log any more
}

// NewPresence returns a Presence in which nobody is.
func NewPresence(o PresenceOptions) *Presence {
	p := &Presence{o: o.withDefaults(), wake: make(chan struct{}, 1)}
	p.mu.parts = make(map[feedKey]*present)
	p.mu.holders = make(map[holderKey]*holder)
	p.mu.conns = make(map[string]*holder)
	p.mu.forgotten = p.o.Since
	return p
}

// Attach binds a connection to a session of a user, whose rows stay from now on.
// The empty session is one that only this connection has.
func (p *Presence) Attach(conn string, user schema.UserID, session string) {
	k := holderKey{user, "session " + session}
	if session == "" {
		k.session = "connection " + conn
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fault.Assert(p.mu.conns[conn] == nil, "connection %s is attached twice", conn)
	h := p.mu.holders[k]
	if h == nil {
		h = &holder{key: k, rows: make(map[*presentRow]struct{})}
		p.mu.holders[k] = h
	}
	h.conns++
	p.mu.conns[conn] = h
}

// Detach notes that a connection has ended. Its rows stay for their grace time,
// or go with the next Sweep when it was ended by an operator.
func (p *Presence) Detach(conn string, killed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.mu.conns[conn]
	if h == nil {
		return
	}
	delete(p.mu.conns, conn)
	if h.conns--; h.conns > 0 {
		return
	}
	if h.gone = p.o.Now(); killed {
		h.gone = time.Time{}
	}
	p.forget(h)
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// forget drops a holder that has neither connections nor rows. p.mu is held.
func (p *Presence) forget(h *holder) {
	if h.conns == 0 && len(h.rows) == 0 {
		delete(p.mu.holders, h.key)
	}
}

// Put makes a row present for as long as its connection is there, or replaces
// it, and returns its _seq.
func (p *Presence) Put(ctx context.Context, conn string, t *schema.Table, scope schema.Scope, key, row []byte) (seq uint64, err error) {
	if len(key)+len(row) > p.o.MaxRowBytes {
		return 0, fault.New(fault.LimitExceeded, "a present row has at most %d bytes, not %d", p.o.MaxRowBytes, len(key)+len(row))
	}
	feed := feedKey{t.ID, scope}
	next := &presentRow{key: string(key), row: bytes.Clone(row), version: t.Version, grace: time.Duration(t.Options.PresenceSeconds) * time.Second}
	var refused error
	err = p.o.Announce(ctx, func(first uint64) (made []command.Change) {
		made, refused = p.put(conn, feed, next, first)
		return made
	})
	if err == nil {
		err = refused
	}
	return next.seq, err
}

// put is Put at its turn.
func (p *Presence) put(conn string, feed feedKey, next *presentRow, position uint64) ([]command.Change, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.mu.conns[conn]
	if h == nil {
		return nil, errClosed
	}
	part := p.mu.parts[feed]
	if part == nil {
		part = &present{feed: feed, rows: make(map[string]*presentRow), floor: p.mu.forgotten}
	}
	old := part.rows[next.key]
	next.part, next.holder, next.seq = part, h, position
	added := next.cost()
	if old != nil && old.holder.key.user != h.key.user {
		return nil, fault.New(fault.DuplicateKey, "another user holds a present row with this key")
	}
	if (old == nil || old.holder != h) && len(h.rows) >= p.o.MaxPerConnection {
		return nil, fault.New(fault.LimitExceeded, "a session holds at most %d present rows", p.o.MaxPerConnection)
	}
	if old != nil {
		added -= old.cost()
	}
	if added > 0 && p.mu.bytes+added > p.o.MaxBytes {
		return nil, fault.New(fault.LimitExceeded, "present rows take at most %d bytes together", p.o.MaxBytes)
	}
	ch := command.Change{
		Table: feed.table, SchemaVersion: next.version, Scope: feed.scope, Op: command.Insert,
		Position: position, Seq: position, Key: []byte(next.key), Row: next.row,
	}
	if old != nil {
		ch.Op, ch.PrevSeq, ch.Old = command.Update, old.seq, old.row
		p.drop(old)
	}
	p.mu.parts[feed] = part
	part.rows[next.key] = next
	h.rows[next] = struct{}{}
	p.mu.bytes += next.cost()
	p.note(part, &ch)
	return []command.Change{ch}, nil
}

// Remove takes back a row that the session of a connection holds, and reports
// whether there was one.
func (p *Presence) Remove(ctx context.Context, conn string, t *schema.Table, scope schema.Scope, key []byte) (found bool, err error) {
	err = p.o.Announce(ctx, func(first uint64) []command.Change {
		p.mu.Lock()
		defer p.mu.Unlock()
		h, part := p.mu.conns[conn], p.mu.parts[feedKey{t.ID, scope}]
		if h == nil || part == nil || part.rows[string(key)] == nil || part.rows[string(key)].holder != h {
			return nil
		}
		found = true
		return p.leave([]*presentRow{part.rows[string(key)]}, first)
	})
	return found, err
}

// Sweep lets the rows leave whose grace is over, and returns when it should be
// called next; the zero time when nobody is gone. Due rows cost one position
// together; none cost nothing.
func (p *Presence) Sweep(ctx context.Context) (time.Time, error) {
	if due, next := p.due(p.o.Now()); len(due) == 0 {
		return next, nil
	}
	err := p.o.Announce(ctx, func(first uint64) []command.Change {
		p.mu.Lock()
		defer p.mu.Unlock()
		due, _ := p.overdue(p.o.Now()) // who has come back meanwhile keeps his rows
		return p.leave(due, first)
	})
	_, next := p.due(p.o.Now())
	return next, err
}

// due is overdue for those who do not hold p.mu.
func (p *Presence) due(now time.Time) (rows []*presentRow, next time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.overdue(now)
}

// overdue returns the rows whose grace is over in the order of their tables, scopes
// and keys, at most those of one slice, and when the next one's is. p.mu is held.
func (p *Presence) overdue(now time.Time) (rows []*presentRow, next time.Time) {
	for _, h := range p.mu.holders {
		if h.conns > 0 {
			continue
		}
		for r := range h.rows {
			at := h.gone.Add(r.grace)
			switch {
			case h.gone.IsZero() || !at.After(now):
				rows = append(rows, r)
			case next.IsZero() || at.Before(next):
				next = at
			}
		}
	}
	slices.SortFunc(rows, func(a, b *presentRow) int {
		return cmp.Or(cmp.Compare(a.part.feed.table, b.part.feed.table), cmp.Compare(a.part.feed.scope, b.part.feed.scope), cmp.Compare(a.key, b.key))
	})
	if len(rows) > command.SliceRows {
		rows, next = rows[:command.SliceRows], now
	}
	return rows, next
}

// leave ends rows and returns their changes. p.mu is held.
func (p *Presence) leave(rows []*presentRow, first uint64) []command.Change {
	made := make([]command.Change, 0, len(rows))
	for i, r := range rows {
		ch := command.Change{
			Table: r.part.feed.table, SchemaVersion: r.version, Scope: r.part.feed.scope, Op: command.Delete,
			Position: schema.SeqAt(first, len(rows)-1), Seq: schema.SeqAt(first, i), PrevSeq: r.seq,
			Key: []byte(r.key), Row: r.row, Old: r.row,
		}
		p.drop(r)
		p.note(r.part, &ch)
		made = append(made, ch)
	}
	return made
}

// drop takes a row out of its partition and from its holder. p.mu is held.
func (p *Presence) drop(r *presentRow) {
	delete(r.part.rows, r.key)
	delete(r.holder.rows, r)
	p.mu.bytes -= r.cost()
	p.forget(r.holder)
}

const (
	// keptHistory is how long changes of partitions are kept in which nobody is.
	keptHistory = 10 * time.Minute
	// sweepEvery is the longest time between two sweeps, sweepAgain the time to
	// the next attempt after one that was refused.
	sweepEvery, sweepAgain = time.Minute, time.Second
)

// run lets rows leave at their time until ctx ends.
func (p *Presence) run(ctx context.Context, logger *slog.Logger) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		now := p.o.Now()
		next, err := p.Sweep(ctx)
		wait := sweepEvery
		switch {
		case err != nil:
			wait = sweepAgain
			logger.Debug("present rows could not leave yet", "error", err)
		case !next.IsZero():
			wait = min(wait, max(next.Sub(now), 0))
		}
		upTo := schema.SeqFloor(now.Add(-keptHistory).UnixMicro())
		if p.o.OldestView != nil {
			upTo = min(upTo, p.o.OldestView())
		}
		p.Forget(upTo)
		timer.Reset(wait)
	}
}

// DropTable forgets a table that is no more.
func (p *Presence) DropTable(t schema.TableID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, part := range p.mu.parts {
		if k.table != t {
			continue
		}
		for _, r := range part.rows {
			p.drop(r)
		}
		p.mu.history -= part.bytes
		delete(p.mu.parts, k)
	}
}

// Forget drops the history of partitions in which nobody is and whose newest
// change is no younger than a position, such as that of the oldest open view.
func (p *Presence) Forget(upTo uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, part := range p.mu.parts {
		if n := len(part.log); len(part.rows) == 0 && (n == 0 || part.log[n-1].Seq <= upTo) {
			delete(p.mu.parts, k)
			p.mu.history -= part.bytes
			p.mu.forgotten = max(p.mu.forgotten, part.floor)
			if n > 0 {
				p.mu.forgotten = max(p.mu.forgotten, part.log[n-1].Seq)
			}
		}
	}
}

// note keeps a change, and lets the oldest ones of its partition go that do not
// fit; all of them when those of all partitions together do not. p.mu is held.
func (p *Presence) note(part *present, ch *command.Change) {
	cost := func(c *command.Change) int64 { return changeBytes + int64(len(c.Key)+len(c.Row)+len(c.Old)) }
	part.log = append(part.log, *ch)
	part.bytes += cost(ch)
	p.mu.history += cost(ch)
	most := p.o.HistoryBytes
	if p.mu.history > p.o.MaxBytes {
		most = 0
	}
	gone := 0
	for part.bytes > most && gone < len(part.log) {
		part.bytes -= cost(&part.log[gone])
		p.mu.history -= cost(&part.log[gone])
		part.floor = part.log[gone].Seq
		gone++
	}
	part.log = slices.Delete(part.log, 0, gone)
}

// Floor returns the position up to which changes of a partition are not known.
func (p *Presence) Floor(t schema.TableID, scope schema.Scope) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if part := p.mu.parts[feedKey{t, scope}]; part != nil {
		return part.floor
	}
	return p.mu.forgotten
}

// Rows returns what was present in a partition at a position, by key, and what is
// known to have left it before. It reports false when the changes since then are no longer all known.
func (p *Presence) Rows(t schema.TableID, scope schema.Scope, at uint64) ([]relation.PresentRow, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	part := p.mu.parts[feedKey{t, scope}]
	if part == nil {
		return nil, at >= p.mu.forgotten
	}
	if at < part.floor {
		return nil, false
	}
	then := make(map[string]relation.PresentRow, len(part.rows))
	for k, r := range part.rows {
		then[k] = relation.PresentRow{Key: []byte(k), Row: r.row, Seq: r.seq}
	}
	for i := len(part.log) - 1; i >= 0 && part.log[i].Seq > at; i-- {
		ch := &part.log[i]
		if ch.Op == command.Insert {
			delete(then, string(ch.Key))
			continue
		}
		then[string(ch.Key)] = relation.PresentRow{Key: ch.Key, Row: ch.Old, Seq: ch.PrevSeq}
	}
	for i := range part.log {
		ch := &part.log[i]
		if ch.Seq > at {
			break
		}
		if _, stays := then[string(ch.Key)]; ch.Op == command.Delete && (!stays || then[string(ch.Key)].Gone) {
			then[string(ch.Key)] = relation.PresentRow{Key: ch.Key, Row: ch.Row, Seq: ch.Seq, Gone: true}
		}
	}
	rows := make([]relation.PresentRow, 0, len(then))
	for _, r := range then {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b relation.PresentRow) int { return bytes.Compare(a.Key, b.Key) })
	return rows, true
}

// Changes returns the changes of a partition with from < _seq <= to, in their
// order. It reports false when some of them are not known any more.
func (p *Presence) Changes(t schema.TableID, scope schema.Scope, from, to uint64) ([]command.Change, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	part := p.mu.parts[feedKey{t, scope}]
	if part == nil {
		return nil, from >= p.mu.forgotten
	}
	if from < part.floor {
		return nil, false
	}
	low := sort.Search(len(part.log), func(i int) bool { return part.log[i].Seq > from })
	high := sort.Search(len(part.log), func(i int) bool { return part.log[i].Seq > to })
	return slices.Clone(part.log[low:max(low, high)]), true
}
