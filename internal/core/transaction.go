package core

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/core/write"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// TransactionOptions bound explicit transactions; zero means the default.
type TransactionOptions struct {
	IdleTimeout time.Duration // between two statements; 300 s
	Timeout     time.Duration // from BEGIN to COMMIT; 1 h
	MaxBytes    int64         // staged by one; 100 MiB
	Memory      int64         // staged by all; 256 MiB
	MaxOpen     int           // 1,000
}

func (o TransactionOptions) withDefaults() TransactionOptions {
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 300*time.Second)
	o.Timeout = cmp.Or(o.Timeout, time.Hour)
	o.MaxBytes = cmp.Or(o.MaxBytes, 100<<20)
	o.Memory = cmp.Or(o.Memory, 256<<20)
	o.MaxOpen = cmp.Or(o.MaxOpen, 1000)
	return o
}

// TransactionStats are figures of explicit transactions since the start.
type TransactionStats struct {
	Begun      int64
	Committed  int64
	RolledBack int64 // by their owner, after a failure or by a limit
	Conflicts  int64 // commits that another one came before
	Open       int   // now
	Bytes      int64 // staged now
}

// sweepEvery is how often transactions are looked for that nobody uses.
const sweepEvery = time.Second

// transactions knows those that are open and keeps them within their bounds.
type transactions struct {
	o      TransactionOptions
	now    func() time.Time
	writer *write.Writer

	bytes                                  atomic.Int64 // staged by all
	begun, committed, rolledBack, conflict atomic.Int64
	mu                                     struct {
		sync.Mutex
		open map[*transaction]struct{}
	}
}

func newTransactions(o TransactionOptions, now func() time.Time, w *write.Writer) *transactions {
	t := &transactions{o: o.withDefaults(), now: now, writer: w}
	t.mu.open = map[*transaction]struct{}{}
	return t
}

// transaction is an explicit transaction: what it stages, and since when. Its
// statements run one after another; between two of them a limit may end it.
type transaction struct {
	all      *transactions
	staged   *write.Transaction // touched by its statement, or while none runs
	id       string
	owner    schema.UserID
	origin   string
	snapshot uint64
	began    time.Time
	modes    modes
	queried  bool // a statement has read or changed rows; touched by its owner

	mu struct {
		sync.Mutex
		running int   // statements, and reads of their results
		ended   bool  // it holds nothing any more
		failed  error // what made it useless
		told    bool  // the owner knows
		used    time.Time
		rows    int
		bytes   int64
		tables  int
	}
}

// serializable is the isolation level that promises more than a snapshot.
const serializable = "serializable"

// modes of a transaction.
type modes struct {
	serializable bool
	readOnly     bool
	chained      bool // it takes the place of one that has just ended
}

// begin opens a transaction over the current durable moment.
func (t *transactions) begin(c *Conversation, id string, m modes) (*transaction, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.mu.open) >= t.o.MaxOpen && !m.chained {
		return nil, fault.New(fault.ServerBusy, "%d transactions are open already (transaction.max_open); try again", len(t.mu.open))
	}
	tx := &transaction{all: t, id: id, owner: c.session.UserID, origin: c.origin, began: t.now(), modes: m}
	tx.staged = t.writer.Begin(write.Bounds{MaxBytes: t.o.MaxBytes, Take: t.take, Serializable: m.serializable})
	tx.snapshot = tx.staged.Position()
	tx.mu.used = tx.began
	t.mu.open[tx] = struct{}{}
	t.begun.Add(1)
	return tx, nil
}

// take counts staged bytes of all transactions.
func (t *transactions) take(n int64) bool {
	if t.bytes.Add(n) > t.o.Memory && n > 0 {
		t.bytes.Add(-n)
		return false
	}
	return true
}

// enter begins a statement, or says why the transaction takes none; ends tells
// whether the statement is one that a failed transaction takes.
func (x *transaction) enter(ends func() bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mu.failed == nil {
		x.expire()
	}
	if x.mu.failed != nil && !ends() {
		x.mu.told = true
		return fault.Wrap(fault.FailedTransaction, x.mu.failed, "current transaction is aborted, commands ignored until end of transaction block: %s", fault.Of(x.mu.failed).Message)
	}
	x.mu.running++
	return nil
}

// leave ends a statement. One that has failed makes the transaction useless,
// but for what savepoints keep.
func (x *transaction) leave(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.running--
	x.mu.used = x.all.now()
	if err != nil {
		x.fail(err)
	}
	if !x.mu.ended {
		x.mu.rows, x.mu.bytes, x.mu.tables = x.staged.Size()
	}
}

// fail makes the transaction useless, but for what savepoints keep. The caller
// holds the lock, and his own is told.
func (x *transaction) fail(err error) {
	x.mu.told = true
	if x.mu.failed != nil {
		return
	}
	x.mu.failed = err
	if !x.staged.Savepoints() {
		x.drop()
	}
}

// refuse is fail for a text that did not come to run.
func (x *transaction) refuse(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fail(err)
}

// untold returns what made the transaction useless when its owner does not know
// of it yet: his COMMIT must not pass for a success.
func (x *transaction) untold() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mu.failed == nil || x.mu.told {
		return nil
	}
	return fault.Wrap(fault.FailedTransaction, x.mu.failed, "%s", fault.Of(x.mu.failed).Message)
}

// watch makes an error while a result is read a failure of its transaction.
func (r *Result) watch(x *transaction) {
	inner := r.next
	if inner == nil {
		return
	}
	r.next = func(ctx context.Context) ([][]datum.Value, error) {
		x.mu.Lock()
		x.mu.running++
		x.mu.Unlock()
		rows, err := inner(ctx)
		x.leave(err)
		return rows, err
	}
}

// view returns what the transaction sees, held for the caller, or nil when it
// holds nothing any more.
func (x *transaction) view() *relation.View {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mu.ended {
		return nil
	}
	return x.staged.View()
}

// failure returns what made the transaction useless, or nil.
func (x *transaction) failure() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mu.failed
}

// expire ends a transaction that has lasted too long. The caller holds the
// lock, and no statement runs.
func (x *transaction) expire() {
	now, o := x.all.now(), &x.all.o
	switch {
	case x.mu.ended || x.mu.running > 0:
		return
	case now.Sub(x.began) >= o.Timeout:
		x.mu.failed = fault.New(fault.Timeout, "transaction '%s' was rolled back: it was open for %s (transaction.timeout)", x.id, o.Timeout)
	case now.Sub(x.mu.used) >= o.IdleTimeout:
		x.mu.failed = fault.New(fault.Timeout, "transaction '%s' was rolled back: no statement came for %s (transaction.idle_timeout)", x.id, o.IdleTimeout)
	default:
		return
	}
	x.drop()
}

// drop lets go of what the transaction holds. The caller holds the lock.
func (x *transaction) drop() {
	if x.mu.ended {
		return
	}
	x.mu.ended = true
	x.staged.Rollback()
	x.all.forget(x)
	x.all.rolledBack.Add(1)
}

// end rolls back. It may be called more than once.
func (x *transaction) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.drop()
}

// rollbackTo goes back to a savepoint, from a failure too.
func (x *transaction) rollbackTo(name string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.mu.ended {
		return fault.Wrap(fault.FailedTransaction, x.mu.failed, "current transaction is aborted, commands ignored until end of transaction block")
	}
	if err := x.staged.RollbackTo(name); err != nil {
		return err
	}
	x.mu.failed = nil
	return nil
}

// commit proposes what is staged. The transaction is over, whatever comes of it.
func (x *transaction) commit(ctx context.Context) error {
	_, err := x.staged.Commit(ctx, x.all.now(), x.owner)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.ended = true
	x.all.forget(x)
	switch {
	case err == nil:
		x.all.committed.Add(1)
	case fault.Is(err, fault.Conflict):
		x.all.conflict.Add(1)
	default:
		x.all.rolledBack.Add(1)
	}
	return err
}

func (t *transactions) forget(x *transaction) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.open, x)
}

// list returns the open transactions, the oldest first.
func (t *transactions) list() []*transaction {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]*transaction, 0, len(t.mu.open))
	for x := range t.mu.open {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b *transaction) int { return cmp.Or(a.began.Compare(b.began), cmp.Compare(a.id, b.id)) })
	return list
}

// sweep ends the transactions that have lasted too long.
func (t *transactions) sweep() {
	for _, x := range t.list() {
		x.mu.Lock()
		x.expire()
		x.mu.Unlock()
	}
}

// run sweeps until ctx ends; then it ends all that are left.
func (t *transactions) run(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.sweep()
		case <-ctx.Done():
			return nil
		}
	}
}

// close ends all transactions; no statement runs any more.
func (t *transactions) close() {
	for _, x := range t.list() {
		x.end()
	}
}

func (t *transactions) stats() TransactionStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return TransactionStats{
		Begun: t.begun.Load(), Committed: t.committed.Load(), RolledBack: t.rolledBack.Load(), Conflicts: t.conflict.Load(),
		Open: len(t.mu.open), Bytes: t.bytes.Load(),
	}
}

// rows returns the rows of system.transactions.
func (t *transactions) rows(context.Context, relation.Caller) ([][]datum.Value, error) {
	now, list := t.now(), t.list()
	rows := make([][]datum.Value, len(list))
	number := func(n int64) datum.Value { return datum.NewInt(datum.BigInt, n) }
	for i, x := range list {
		x.mu.Lock()
		state := "idle"
		switch {
		case x.mu.failed != nil:
			state = "failed"
		case x.mu.running > 0:
			state = "active"
		}
		rows[i] = []datum.Value{
			datum.NewText(x.id), datum.NewText(string(x.owner)), datum.NewText(x.origin), datum.NewText(state),
			number(now.Sub(x.began).Milliseconds()), number(now.Sub(x.mu.used).Milliseconds()),
			number(int64(x.mu.rows)), number(x.mu.bytes), number(int64(x.mu.tables)), number(int64(x.snapshot)),
		}
		x.mu.Unlock()
	}
	return rows, nil
}
