package torture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/cold"
	"kalamdb/internal/core"
	"kalamdb/internal/core/live"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/test/torture/history"
)

// memClock runs on with every look, so that runs do not hang on the machine's.
type memClock struct{ micros atomic.Int64 }

func newMemClock() *memClock {
	c := &memClock{}
	c.micros.Store(time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC).UnixMicro())
	return c
}

func (c *memClock) now() time.Time { return time.UnixMicro(c.micros.Add(53)) }

// jump turns the clock by a span, back too.
func (c *memClock) jump(d time.Duration) { c.micros.Add(d.Microseconds()) }

// at returns a clock that shows now what this one shows.
func (c *memClock) at() *memClock {
	other := &memClock{}
	other.micros.Store(c.micros.Load())
	return other
}

// memShape is what a run varies about a node.
type memShape struct {
	memTable int64 // bytes until new keys go to a file
	outbox   int64 // bytes that wait for one connection
	ring     int64 // bytes of commits kept for the hub's shards
	reserve  int64 // free bytes that the store keeps; negative for none
}

// node is a whole database over a disk: all that the server opens but its edges.
type node struct {
	*core.DB
	clock  *memClock
	store  *store.Store
	cold   *cold.Tier
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
	err    error         // of Run
	doomed atomic.Bool   // the fatal call was made: in the binary the process has ended
	doom   chan struct{} // closed then
}

// memHistoryAge is longer than the clock of any run jumps: positions that are
// too old expire by right, and nobody could tell them from lost ones.
const memHistoryAge = 10_000 * time.Hour

// openNode opens a database and waits until it takes statements.
func openNode(fsys disk.FS, clock *memClock, shape memShape) (*node, error) {
	n := &node{clock: clock, done: make(chan struct{}), doom: make(chan struct{})}
	fatal := func(string, ...any) {
		if n.doomed.CompareAndSwap(false, true) {
			close(n.doom)
		}
		runtime.Goexit()
	}
	logger := slog.New(slog.DiscardHandler)
	passwords, err := auth.NewPasswords(auth.PasswordOptions{Cost: 4})
	if err != nil {
		return nil, err
	}
	if shape.reserve == 0 {
		shape.reserve = -1
	}
	n.store, err = store.Open(store.Options{
		FS: fsys, Dir: "data", Fatal: fatal, Now: clock.now, Logger: logger,
		MemTableBytes: shape.memTable, CacheBytes: 1 << 20, Reserve: shape.reserve,
	})
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	n.cold = cold.New(cold.Options{FS: fsys, DataDir: "data"})
	n.DB, err = core.Open(core.Options{
		Store: n.store, Cold: n.cold, Passwords: passwords, NodeID: 1, Now: clock.now, Logger: logger, Fatal: fatal,
		HistoryAge: memHistoryAge,
		Live: live.Options{
			MaxPerUser: 10_000, MaxPerConnection: 100, OutboxBytes: shape.outbox, RingBytes: shape.ring, Shards: 2,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(n.done)
		n.err = n.Run(n.ctx)
	}()
	select {
	case <-n.Ready():
		return n, nil
	case <-n.done:
		n.cancel()
		return nil, fmt.Errorf("the database ended while it started: %w", n.err)
	case <-n.doom:
		n.cancel()
		return nil, fmt.Errorf("the database gave up while it started")
	}
}

// close ends the database cleanly. One that is doomed is left as it lies: in the
// binary the process has ended.
func (n *node) close() error {
	_, err := ask(n, "the end of the database", func() (struct{}, error) {
		n.cancel()
		<-n.done
		if n.err != nil {
			return struct{}{}, fmt.Errorf("run: %w", n.err)
		}
		n.Hub().Close()
		if err := n.cold.Close(); err != nil {
			return struct{}{}, fmt.Errorf("close the cold tier: %w", err)
		}
		return struct{}{}, n.store.Close()
	})
	return err
}

// askBound is how long any call of a node may take; none does unless it hangs.
const askBound = 2 * time.Minute

// errDoomed says that a call was not answered before the fatal call was made.
var errDoomed = errors.New("the node has given up")

// errStuck says that a call was not answered at all.
var errStuck = errors.New("a call of the node does not return")

// ask runs a call of the node on a goroutine of its own, which is left behind
// when the node is doomed: where the log was refused Pebble stands still with
// its locks held, and whoever asks it for anything waits for ever. In the binary
// the process has ended. The answer comes by value, so that who was left behind
// tells nobody anything later.
func ask[T any](n *node, what string, call func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	if n.doomed.Load() {
		return answer{}.value, errDoomed
	}
	go func() { // the fatal call may end this goroutine
		defer n.outlive()
		value, err := call()
		answers <- answer{value, err}
	}()
	bound := time.NewTimer(askBound)
	defer bound.Stop()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-n.doom:
	case <-bound.C:
		return answer{}.value, fmt.Errorf("%w: %s, within %s; the goroutines:\n%s", errStuck, what, askBound, stacks())
	}
	select {
	case a := <-answers: // it came before the end
		return a.value, a.err
	default:
		return answer{}.value, errDoomed
	}
}

// outlive is deferred by goroutines that ask a node which may be doomed. What
// they meet then, no process would have lived to see.
func (n *node) outlive() {
	if n.doomed.Load() {
		_ = recover() // any end will do
	}
}

// memSession returns the session of a user; root may do everything.
func memSession(user string) *auth.Session {
	s := &auth.Session{UserID: schema.UserID(user), Actor: schema.UserID(user), Role: schema.RoleUser}
	switch user {
	case "root":
		s.Role = schema.RoleSystem
	case "shared":
		s.Role = schema.RoleService
	}
	return s
}

// exec runs statements and returns how many rows they changed.
func (n *node) exec(user, sql string) (int64, error) {
	return ask(n, sql, func() (int64, error) {
		results, err := n.Execute(n.ctx, memSession(user), core.Request{SQL: sql})
		if err != nil {
			return 0, err
		}
		count := int64(0)
		for _, r := range results {
			count += r.Count
			r.Close()
		}
		return count, nil
	})
}

// rows reads rows of the form id, op, owner, _seq.
func (n *node) rows(user, sql string) ([]history.Row, error) {
	return ask(n, sql, func() ([]history.Row, error) { return n.read(user, sql) })
}

// read does what rows does, for ever on a node that is doomed meanwhile.
func (n *node) read(user, sql string) ([]history.Row, error) {
	results, err := n.Execute(n.ctx, memSession(user), core.Request{SQL: sql})
	if err != nil {
		return nil, err
	}
	defer results[0].Close()
	var all []history.Row
	for {
		batch, err := results[0].Next(n.ctx)
		if err != nil || batch == nil {
			return all, err
		}
		for _, v := range batch {
			row := history.Row{ID: v[0].Int()}
			if len(v) > 1 {
				row.Op, row.Owner, row.Seq = v[1].Int(), v[2].Text(), uint64(v[3].Int())
			}
			all = append(all, row)
		}
	}
}

// flush moves the rows of a table to the cold tier.
func (n *node) flush(ctx context.Context, table string) error {
	namespace, name, _ := strings.Cut(table, ".")
	_, err := ask(n, "a flush of "+table, func() (struct{}, error) {
		_, err := n.Flush(ctx, namespace, name)
		return struct{}{}, err
	})
	return err
}

// count runs a SELECT COUNT(*).
func (n *node) count(user, sql string) (int64, error) {
	rows, err := n.rows(user, sql)
	if err != nil || len(rows) != 1 {
		return 0, fmt.Errorf("%s: %d rows, %w", sql, len(rows), err)
	}
	return rows[0].ID, nil
}

// columns is what every read asks for.
const memColumns = "SELECT id, op, owner, _seq FROM "

// look reads a place in every way there is.
func (n *node) look(p history.Place) (history.Look, error) {
	l := history.Look{Place: p, Others: map[string][]history.Row{}}
	var err error
	if l.Scan, err = n.rows(p.Scope, memColumns+p.Table); err != nil {
		return l, err
	}
	if l.Count, err = n.count(p.Scope, "SELECT COUNT(*) FROM "+p.Table); err != nil {
		return l, err
	}
	if l.Others["a read by _seq"], err = n.rows(p.Scope, memColumns+p.Table+" WHERE _seq > 0 ORDER BY _seq"); err != nil {
		return l, err
	}
	var keyed []history.Row
	for i, row := range l.Scan {
		if i%3 != 0 && i != len(l.Scan)-1 {
			keyed = append(keyed, row)
			continue
		}
		found, err := n.rows(p.Scope, fmt.Sprintf("%s%s WHERE id = %d", memColumns, p.Table, row.ID))
		if err != nil {
			return l, err
		}
		keyed = append(keyed, found...)
	}
	l.Others["a read by key"] = keyed
	return l, nil
}

// looks reads all places.
func (n *node) looks(places []history.Place) ([]history.Look, error) {
	var all []history.Look
	for _, p := range places {
		l, err := n.look(p)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", p, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// outcome says what an error of a statement tells about what became of it.
func outcome(err error) (refused bool) {
	return err != nil && !fault.Is(err, fault.ShuttingDown) && !fault.Is(err, fault.Internal) && !fault.Is(err, fault.Cancelled) && !fault.Is(err, fault.Timeout)
}
