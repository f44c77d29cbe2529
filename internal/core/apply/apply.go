// Package apply is the only place where committed commands change stores.
//
// A Machine applies commands one after another, without clock or chance. Local
// runs one on this node: whoever commits waits in a bounded queue; the builder
// takes all who wait as one group, checks and applies them in one batch, and
// the publisher, once the group is on disk, makes its view current, tells
// subscribers, and answers.
//
// What it promises:
//
//   - A command is applied whole or not at all; a refused one adds nothing.
//   - A synced command is answered, and seen in View, after its fsync. So is a
//     refusal, since what it says may rest on a commit of the group before.
//   - Commits are published and answered in order. The order is view,
//     subscribers, receipts: who registers and then takes a view misses
//     nothing, and who was answered reads his own write.
//   - A relaxed command asks for no fsync; its position lies below a synced
//     ceiling, and after an unclean stop no position up to there is used again.
//   - After an error of the engine nothing is acknowledged any more.
//
// Goroutines: builder and publisher, both within Run. Locks: queue.mu, held for
// a look and a send, and settling.mu, held for a look.
package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
)

// Defaults of Options.
const (
	defaultQueueCommands = 4096
	defaultQueueBytes    = 64 << 20
	defaultMaxRows       = 200_000
	defaultMaxBytes      = 100 << 20
)

// Bounds of groups.
const (
	pendingMax       = 4 // groups between builder and publisher
	groupCommandsMax = 4096
	groupBytesMax    = 16 << 20 // a larger command is a group of its own
)

// errStopped is behind the fault of a command whose outcome nobody can tell.
var errStopped = errors.New("the commit loop ended before the command's outcome was known")

// Options configures a Local.
type Options struct {
	// Store is what commands change.
	Store *store.Store
	// Publish is called by the publisher with the commits of each group, in
	// order, after their view has become current and before they are answered.
	// It must not block. The default does nothing.
	Publish func(commits []command.Commit)
	// NodeID is the number in every seq. The default is 0.
	NodeID uint16
	// QueueCommands and QueueBytes bound the commands that wait; a command more
	// is SERVER_BUSY. The defaults are 4,096 and 64 MiB. A single command may
	// be as large as MaxBytes when nothing else waits.
	QueueCommands int
	QueueBytes    int64
	// MaxRows and MaxBytes bound one commit; a larger one is LIMIT_EXCEEDED.
	// The defaults are 200,000 and 100 MiB.
	MaxRows  int
	MaxBytes int64
	// CachedUsers bounds the cache of User. The default is 10,000.
	CachedUsers int
	// Now is the clock for the ceiling of relaxed commits and for how often
	// free space is asked for. The default is time.Now.
	Now func() time.Time
	// Fatal is called when the engine cannot read what a command needs. It does
	// not return: it ends the process or, in tests, the goroutine. The default
	// panics.
	Fatal func(format string, args ...any)
	// Logger takes warnings. The default drops them.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Publish == nil {
		o.Publish = func([]command.Commit) {}
	}
	if o.QueueCommands <= 0 {
		o.QueueCommands = defaultQueueCommands
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = defaultQueueBytes
	}
	if o.MaxRows <= 0 {
		o.MaxRows = defaultMaxRows
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Fatal == nil {
		o.Fatal = func(format string, args ...any) { fault.Assert(false, format, args...) }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Local applies commands on this node. It is a command.Committer.
type Local struct {
	o        Options
	readOnly string // why no command is taken, or ""
	queue    queue
	disk     chan struct{} // one token: the turn of the group that waits for its fsync
	pending  chan *group   // from builder to publisher
	stopped  chan struct{} // closed when Run has ended
	dead     chan struct{} // closed when the publisher has ended

	machine *Machine       // the builder's
	archive *store.Archive // nil when nothing is archived
	space   space          // the builder's
	touched touched        // the builder's
	// unwritten says that the newest position is of an announcement: the
	// builder's.
	unwritten bool

	views       catalog.Views
	current     atomic.Pointer[catalog.View] // durable, for readers
	applied     atomic.Pointer[catalog.View] // for writers; may be taken back by a crash
	definitions atomic.Pointer[catalog.Definitions]
	users       *catalog.UserCache
	settling    settling
	stats       counters
}

var _ command.Committer = (*Local)(nil)

// Open recovers the state of a store. After an unclean stop with relaxed
// commits it notes durably which positions are lost.
func Open(o Options) (*Local, error) {
	o = o.withDefaults()
	machine, err := NewMachine(o.Store.Reader(), o.NodeID)
	if err != nil {
		return nil, fmt.Errorf("open apply: %w", err)
	}
	reason, err := o.Store.ReadOnlyReason()
	if err != nil {
		return nil, fmt.Errorf("open apply: %w", err)
	}
	l := &Local{
		o: o, readOnly: reason, machine: machine,
		touched: touched{floor: machine.Position(), last: map[partition]uint64{}},
		queue:   newQueue(o.QueueCommands, o.QueueBytes),
		disk:    make(chan struct{}, 1),
		pending: make(chan *group, pendingMax),
		stopped: make(chan struct{}),
		dead:    make(chan struct{}),
		space:   space{store: o.Store, now: o.Now, logger: o.Logger},
		users:   catalog.NewUserCache(o.CachedUsers),
		archive: o.Store.Archive(),
	}
	if machine.Ceiling() > machine.Position() && !o.Store.Clean() {
		if err := l.recover(); err != nil {
			return nil, fmt.Errorf("open apply: note lost positions: %w", err)
		}
	}
	o.Store.Recovered()
	if reason != "" {
		o.Logger.Warn("starting read-only", "reason", reason)
	}
	view := l.openView()
	l.applied.Store(view.Retain())
	l.current.Store(view)
	l.definitions.Store(machine.Definitions())
	return l, nil
}

// recover notes that relaxed commits up to the ceiling may be lost.
func (l *Local) recover() error {
	lost := &command.Command{Body: command.LosePositions{From: l.machine.Position(), To: l.machine.Ceiling()}}
	b := l.o.Store.NewBatch()
	defer b.Close()
	l.machine.Begin(l.o.Store.Reader(), b)
	if _, err := l.machine.Apply(lost); err != nil {
		return err
	}
	if _, err := l.machine.Finish(); err != nil {
		return err
	}
	if err := b.Commit(true); err != nil {
		return err
	}
	return b.Wait()
}

func (l *Local) openView() *catalog.View {
	m := l.machine
	return l.views.Open(l.o.Store.Snapshot(), m.Definitions(), m.Position(), m.History())
}

// Run drives builder and publisher until ctx ends, commits what is queued by
// then, and returns when both have stopped.
func (l *Local) Run(ctx context.Context) error {
	defer close(l.stopped)
	unhook := context.AfterFunc(ctx, l.queue.close)
	defer unhook()
	built, published := false, false
	var loops errgroup.Group
	loops.Go(func() error {
		defer close(l.pending)
		if built = l.build(); built {
			l.settleClock()
		}
		return nil
	})
	loops.Go(func() error {
		defer close(l.dead)
		defer l.queue.close() // the builder must not wait for work when the fatal call ended this loop
		l.publish()
		published = true
		return nil
	})
	_ = loops.Wait() // neither returns an error
	l.queue.close()
	if !built || !published {
		return errStopped
	}
	return nil
}

// Commit implements command.Committer.
func (l *Local) Commit(_ context.Context, c *command.Command) (command.Receipt, error) {
	r, err := l.enqueue(c)
	if err != nil {
		l.stats.refused.Add(1)
		if c.OnApplied != nil {
			c.OnApplied()
		}
		return command.Receipt{}, err
	}
	select {
	case <-r.done:
	case <-l.stopped:
		select {
		case <-r.done:
		default:
			r.notify() // both loops have ended
			return command.Receipt{}, fault.Wrap(fault.ShuttingDown, errStopped, "the server is stopping; whether the statement was carried out is not known")
		}
	}
	receipt, err := r.receipt, r.err
	l.queue.recycle(r)
	return receipt, err
}

// enqueue judges what can be judged without the state and takes a place in the
// queue.
func (l *Local) enqueue(c *command.Command) (*request, error) {
	if l.readOnly != "" {
		return nil, fault.New(fault.ReadOnly, "the server is read-only: %s", l.readOnly)
	}
	rows, bytes := measure(c.Body)
	bytes += measureTrail(c.Trail)
	if rows > l.o.MaxRows {
		return nil, fault.New(fault.LimitExceeded, "one commit changes at most %d rows (commit.max_rows), not %d", l.o.MaxRows, rows)
	}
	if bytes > l.o.MaxBytes {
		return nil, fault.New(fault.LimitExceeded, "one commit has at most %d bytes (commit.max_bytes), not %d", l.o.MaxBytes, bytes)
	}
	return l.queue.enqueue(c, bytes, nil)
}

// View returns the newest durable moment, which the caller releases.
func (l *Local) View() *catalog.View { return retain(&l.current) }

// Applied returns the newest applied moment for writers, which the caller
// releases. A crash may take it back; nobody may be told what it shows.
func (l *Local) Applied() *catalog.View { return retain(&l.applied) }

// retain takes hold of the view that a pointer names at this moment.
func retain(p *atomic.Pointer[catalog.View]) *catalog.View {
	for {
		v := p.Load()
		fault.Assert(v != nil, "view taken after Close")
		if v.TryRetain() {
			return v
		}
	}
}

// Settle returns when what Applied shows at this moment is durable and has been
// published, so that whoever read it may say what he saw.
func (l *Local) Settle(ctx context.Context) error {
	v := l.Applied()
	position := v.Position()
	v.Release()
	for {
		moved := l.settling.wait()
		if l.Position() >= position {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.stopped:
			return fault.Wrap(fault.ShuttingDown, errStopped, "the server is stopping")
		}
	}
}

// settling tells those who wait in Settle that the durable moment has moved.
type settling struct {
	mu    sync.Mutex
	moved chan struct{} // nil while nobody waits
}

// wait returns what the next move closes.
func (s *settling) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moved == nil {
		s.moved = make(chan struct{})
	}
	return s.moved
}

func (s *settling) move() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moved != nil {
		close(s.moved)
		s.moved = nil
	}
}

// Definitions returns the newest applied definitions.
func (l *Local) Definitions() *catalog.Definitions { return l.definitions.Load() }

// Position returns the position of the newest durable moment.
func (l *Local) Position() uint64 {
	v := l.View()
	defer v.Release()
	return v.Position()
}

// OldestView returns the position of the oldest open view: no file that it
// reads may be deleted.
func (l *Local) OldestView() uint64 {
	position, _ := l.views.Oldest()
	return position
}

// User returns the newest durable row of a user, from a bounded cache.
func (l *Local) User(_ context.Context, id schema.UserID) (schema.UserRecord, bool, error) {
	return l.users.Get(id, l.View)
}

// AppliedUser returns the newest applied row of a user, for who is about to
// change it: a change of an older row is refused at once, and tried again.
func (l *Local) AppliedUser(_ context.Context, id schema.UserID) (schema.UserRecord, bool, error) {
	v := l.Applied()
	defer v.Release()
	return catalog.Users().Get(v.Reader(), string(id))
}

// ReadOnly returns why no command is taken, or "".
func (l *Local) ReadOnly() string { return l.readOnly }

// Close lets go of the current views, so that the store can be closed. Run must
// have returned, and nobody may ask for a view any more.
func (l *Local) Close() {
	for _, p := range [...]*atomic.Pointer[catalog.View]{&l.current, &l.applied} {
		if v := p.Swap(nil); v != nil {
			v.Release()
		}
	}
}

// counters are updated by both loops.
type counters struct {
	groups, commits, relaxed, rows, refused atomic.Int64
}

// Stats is what the loop has done since Open.
type Stats struct {
	Groups  int64 // batches
	Commits int64 // commands that were applied
	Relaxed int64 // of them without an fsync of their own
	Rows    int64 // rows that they changed
	Refused int64 // commands that were not applied
	Queued  int   // commands that wait now
	Bytes   int64 // their bytes
	Views   int   // open views
}

// Stats returns the present figures.
func (l *Local) Stats() Stats {
	queued, bytes := l.queue.load()
	return Stats{
		Groups: l.stats.groups.Load(), Commits: l.stats.commits.Load(), Relaxed: l.stats.relaxed.Load(),
		Rows: l.stats.rows.Load(), Refused: l.stats.refused.Load(),
		Queued: queued, Bytes: bytes, Views: l.views.Count(),
	}
}
