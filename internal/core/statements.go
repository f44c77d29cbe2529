package core

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

const (
	// watchEvery is how often callers are looked at.
	watchEvery = 250 * time.Millisecond
	// watchAge is the age of a request from which on its caller is looked at:
	// most end long before anybody could have lost his patience.
	watchAge = time.Second
)

// statements are those that run.
type statements struct {
	prefix string // of ids: one of a process that has ended means nothing
	now    func() time.Time
	last   atomic.Uint64
	talks  atomic.Uint32 // sessions that there were
	killed atomic.Int64
	gone   atomic.Int64 // whose caller went away
	times  times
	faults map[fault.Code]*atomic.Int64
	slow   slowLog
	tracer Tracer // or nil

	mu struct {
		sync.Mutex
		running map[uint64]*statement
	}
}

func newStatements(now func() time.Time, slow slowLog, tracer Tracer) *statements {
	s := &statements{prefix: "s" + strconv.FormatInt(now().UnixMilli(), 36) + "-", now: now, slow: slow, tracer: tracer, faults: map[fault.Code]*atomic.Int64{}}
	for _, code := range fault.Codes() {
		s.faults[code] = new(atomic.Int64)
	}
	s.mu.running = map[uint64]*statement{}
	return s
}

// statement is one that runs, from its beginning until its result is closed. It
// is in the context of all that is done for it, which ends when it is killed.
type statement struct {
	deadline
	all     *statements
	number  uint64
	session *auth.Session
	text    string
	request time.Time     // when its request began
	start   time.Time     // when it began itself
	gone    func() bool   // whether the caller has gone away, or nil
	backend int           // the number of its session
	chosen  *variables    // of its session
	origin  string        // of its session
	tx      *transaction  // the one it runs in, or nil
	in      string        // the id of tx, or ""
	span    StatementSpan // nil where nobody listens

	plan  atomic.Pointer[prepared] // once it is known
	reads atomic.Bool              // the first rows are there
	// rows and analytic belong to the goroutine that runs the statement.
	rows     int64
	analytic bool
}

// begin enters a statement. Its end must be called.
func (s *statements) begin(ctx context.Context, c *Conversation, n *parse.Normalized, limit time.Duration) *statement {
	x := &statement{all: s, number: s.last.Add(1), session: c.session, text: n.Text, start: time.Now(), gone: c.gone}
	x.backend, x.chosen, x.origin = c.backend, c.variables, c.origin
	if s.tracer != nil {
		ctx, x.span = s.tracer.Statement(ctx)
	}
	x.deadline.Context, x.deadline.at = ctx, x.start.Add(limit)
	if !c.until.IsZero() && c.until.Before(x.deadline.at) {
		x.deadline.at = c.until
	}
	if x.request = c.began; x.request.IsZero() {
		x.request = x.start
	}
	if c.tx != nil {
		x.tx, x.in = c.tx, c.tx.id
	}
	s.mu.Lock()
	s.mu.running[x.number] = x
	s.mu.Unlock()
	return x
}

// backend draws the number of a session, which PostgreSQL's clients take for that
// of a process.
func (s *statements) backend() int {
	for {
		if n := int(s.talks.Add(1) & math.MaxInt32); n > 0 {
			return n
		}
	}
}

// id names a statement.
func (x *statement) id() string { return x.all.prefix + strconv.FormatUint(x.number, 36) }

// end takes a statement off those that run and counts it, with the fault that
// ended it.
func (x *statement) end(err error) {
	s := x.all
	s.mu.Lock()
	_, running := s.mu.running[x.number]
	delete(s.mu.running, x.number)
	s.mu.Unlock()
	if !running {
		return
	}
	x.deadline.end()
	took := time.Since(x.start)
	kind := kindOf(x.plan.Load())
	s.times.add(kind, x.analytic, took)
	if err != nil {
		if n, ok := s.faults[fault.CodeOf(err)]; ok {
			n.Add(1)
		}
	}
	if s.slow.of(kind, took) {
		s.slow.tell(x, kind, took)
	}
	if x.span != nil {
		x.span.End(x.trace(kind, err))
	}
}

// fault turns what ended a statement into a fault, and tells a kill from a
// caller that went away.
func (x *statement) fault(err error, l Limits) error {
	err = asFault(err, l)
	if cause := x.cause(); cause != nil && fault.Is(err, fault.Cancelled) {
		return cause
	}
	return err
}

// follow makes a result count its rows and end its statement when it is closed.
func (x *statement) follow(r *Result, l Limits) {
	x.rows, x.analytic = r.Count, r.analytic
	if r.close == nil && r.next == nil {
		x.end(nil)
		return
	}
	var failed error
	next, end := r.next, r.close
	r.next = func(ctx context.Context) ([][]datum.Value, error) {
		batch, err := next(ctx)
		if err != nil {
			failed = x.fault(err, l)
			return nil, failed
		}
		if !r.Buffered {
			x.rows += int64(len(batch))
		}
		if !x.reads.Load() {
			x.reads.Store(true)
		}
		return batch, nil
	}
	r.close = func() {
		if end != nil {
			end()
		}
		x.end(failed)
	}
}

// list returns the running statements, the oldest first.
func (s *statements) list() []*statement {
	s.mu.Lock()
	list := make([]*statement, 0, len(s.mu.running))
	for _, x := range s.mu.running {
		list = append(list, x)
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b *statement) int { return cmp.Compare(a.number, b.number) })
	return list
}

// find returns a running statement by its id.
func (s *statements) find(id string) (*statement, bool) {
	digits, ours := strings.CutPrefix(id, s.prefix)
	number, err := strconv.ParseUint(digits, 36, 64)
	if !ours || err != nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.mu.running[number]
	return x, ok
}

// run cancels the statements of callers who have gone away, until ctx ends.
func (s *statements) run(ctx context.Context) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.watch(time.Now())
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *statements) watch(now time.Time) {
	for _, x := range s.list() {
		if x.gone == nil || now.Sub(x.request) < watchAge || !x.gone() {
			continue
		}
		if x.stop(fault.New(fault.Cancelled, "the caller has gone away")) {
			s.gone.Add(1)
		}
	}
}

// EndLongest ends the statement that has run longest of those that are not ending
// yet, for a reason, and reports whether there was one.
func (db *DB) EndLongest(reason error) bool {
	for _, x := range db.statements.list() {
		if x.cause() == nil && x.stop(reason) {
			return true
		}
	}
	return false
}

// GiveBack returns memory that the analytic path has freed to the operating
// system.
func (db *DB) GiveBack() { db.analytics.GiveBack() }

// stateOf says what a statement does.
func (x *statement) stateOf() string {
	switch {
	case x.cause() != nil:
		return "ending"
	case x.reads.Load():
		return "answering"
	case x.plan.Load() != nil:
		return "running"
	}
	return "planning"
}

// visible returns the statements that a caller may see: his own, and those of
// others as administrator.
func (s *statements) visible(c relation.Caller) []*statement {
	return slices.DeleteFunc(s.list(), func(x *statement) bool { return !c.Role.Admin() && x.session.UserID != c.User })
}

// viewRows returns the rows of system.statements.
func (s *statements) viewRows(_ context.Context, c relation.Caller) ([][]datum.Value, error) {
	now := time.Now()
	list := s.visible(c)
	rows := make([][]datum.Value, len(list))
	for i, x := range list {
		kind, in := datum.NullValue, datum.NullValue
		if p := x.plan.Load(); p != nil {
			kind = datum.NewText(kindOf(p).String())
		}
		if x.in != "" {
			in = datum.NewText(x.in)
		}
		rows[i] = []datum.Value{
			datum.NewText(x.id()), datum.NewText(string(x.session.UserID)), datum.NewText(string(x.session.Actor)),
			datum.NewText(x.session.IP), datum.NewText(x.session.RequestID), in, kind, datum.NewText(x.stateOf()),
			datum.NewInt(datum.Timestamp, x.start.UnixMicro()), datum.NewInt(datum.BigInt, now.Sub(x.start).Milliseconds()),
			datum.NewText(parse.Redact(x.text)),
		}
	}
	return rows, nil
}

// killQuery ends a running statement: one's own, or anybody's as administrator.
func (db *DB) killQuery(ctx context.Context, s *auth.Session, stmt *parse.KillQuery) (*Result, error) {
	x, ok := db.statements.find(stmt.ID)
	if !ok || x.session.UserID != s.UserID && !s.Role.Admin() {
		if !s.Role.Admin() {
			return nil, fault.New(fault.PermissionDenied, "Admin privileges (DBA or System role) required for statements of others")
		}
		return nil, fault.New(fault.ObjectNotFound, "Statement '%s' does not run", stmt.ID)
	}
	if x.stop(fault.New(fault.Cancelled, "the statement was killed by '%s'", s.UserID)) {
		db.statements.killed.Add(1)
	}
	db.tell(context.WithoutCancel(ctx), s, schema.AuditEntry{Action: "KILL_QUERY", Target: stmt.ID, Subject: x.session.UserID})
	return &Result{Kind: Done, Buffered: true, Message: fmt.Sprintf("Query killed: %s", stmt.ID)}, nil
}
