package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"kalamdb/internal/core"
	"kalamdb/internal/fault"
	"kalamdb/test/torture/history"
)

// memTables are the tables of a run; every kind of durability and scope.
var memTables = []struct {
	name, kind string
	relaxed    bool
}{
	{"app.own", "USER", false},
	{"app.board", "SHARED", false},
	{"app.loose", "USER", true},
	{"app.draft", "SHARED", true},
}

// memPlaces are where rows are. SHARED tables are written by one account, which
// their rows name as their owner.
var memPlaces = []history.Place{
	{Table: "app.own", Scope: "alice"}, {Table: "app.own", Scope: "bob"}, {Table: "app.board", Scope: "shared"},
	{Table: "app.loose", Scope: "alice"}, {Table: "app.draft", Scope: "shared"},
}

// memUnits are the numbers of rows of the units of each place. The largest one
// makes log records that do not fit into one block of the log.
var memUnits = []int{1, 1, 2, 3, 5, 40}

// memSetup makes the tables.
func memSetup(n *node) error {
	for _, user := range []string{"alice", "bob"} {
		if _, err := n.exec("root", fmt.Sprintf("CREATE USER '%s' WITH PASSWORD 'Torture-secret-1' ROLE user", user)); err != nil {
			return err
		}
	}
	if _, err := n.exec("root", "CREATE NAMESPACE app"); err != nil {
		return err
	}
	for _, t := range memTables {
		options := "TYPE='" + t.kind + "'"
		if t.kind == "SHARED" {
			options += ", ACCESS_LEVEL='PUBLIC'"
		}
		if t.relaxed {
			options += ", DURABILITY='relaxed'"
		}
		sql := fmt.Sprintf("CREATE TABLE %s (id BIGINT PRIMARY KEY, op BIGINT NOT NULL, owner TEXT NOT NULL, pad TEXT) WITH (%s)", t.name, options)
		if _, err := n.exec("root", sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// memStatement returns the SQL of an operation.
func memStatement(op history.Op, r *rand.Rand) string {
	keys, p := op.Unit.Keys(), op.Unit.Place()
	where := fmt.Sprintf("id = %d", keys[0])
	switch {
	case len(keys) > 1 && r.IntN(2) == 0:
		where = fmt.Sprintf("id >= %d AND id <= %d", keys[0], keys[len(keys)-1])
	case len(keys) > 1:
		where = "id IN (" + strings.Trim(strings.ReplaceAll(fmt.Sprint(keys), " ", ", "), "[]") + ")"
	}
	pad := strings.Repeat("x", r.IntN(200))
	switch op.Kind {
	case history.Update:
		return fmt.Sprintf("UPDATE %s SET op = %d, pad = '%s' WHERE %s", p.Table, op.Number, pad, where)
	case history.Delete:
		return fmt.Sprintf("DELETE FROM %s WHERE %s", p.Table, where)
	}
	var rows []string
	for _, key := range keys {
		rows = append(rows, fmt.Sprintf("(%d, %d, '%s', '%s')", key, op.Number, p.Scope, pad))
	}
	return fmt.Sprintf("INSERT INTO %s (id, op, owner, pad) VALUES %s", p.Table, strings.Join(rows, ", "))
}

// memWrite sends one operation on a unit and records what was answered. It reports
// false when the writer of the unit must not go on, and the error where there
// was one.
func memWrite(n *node, h *history.History, u *history.Unit, r *rand.Rand) (bool, error) {
	present, known := h.Present(u)
	if !known {
		return false, nil
	}
	kind := history.Insert
	if present {
		kind = history.Update
		if r.IntN(4) == 0 {
			kind = history.Delete
		}
	}
	op := h.Begin(u, kind)
	rows, err := n.exec(u.Place().Scope, memStatement(op, r))
	switch {
	case err == nil:
		h.Acked(op, rows)
		return true, nil
	case errors.Is(err, errDoomed):
		h.Unknown(op)
		return false, nil
	case outcome(err):
		h.Refused(op)
		return true, err
	}
	h.Unknown(op)
	return false, err
}

// load is everybody who uses a node while it is tortured.
type load struct {
	t       *testing.T
	n       *node
	h       *history.History
	seed    uint64
	clients []*memClient
	ctx     context.Context
	cancel  context.CancelFunc
	wait    sync.WaitGroup
	// turns lets readers read: some times for each write, and while the log waits
	// for the disk.
	turns chan struct{}
	// tolerate says that statements and flushes may be refused.
	tolerate bool
}

// startLoad lets writers, readers, subscribers and flushes loose.
func startLoad(t *testing.T, n *node, h *history.History, clients []*memClient, seed uint64, tolerate bool) *load {
	l := &load{t: t, n: n, h: h, seed: seed, clients: clients, tolerate: tolerate, turns: make(chan struct{}, 16)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for i, p := range memPlaces {
		l.wait.Go(func() { l.write(p, l.random(uint64(i))) })
	}
	for i := range 2 {
		l.wait.Go(func() { l.read(l.random(uint64(20 + i))) })
	}
	l.wait.Go(func() { l.flush(l.random(40)) })
	for i, c := range clients {
		l.wait.Go(func() { l.listen(c, l.random(uint64(60+i))) })
	}
	return l
}

func (l *load) random(n uint64) *rand.Rand { return rand.New(rand.NewPCG(l.seed, n)) }

// going reports whether the load goes on.
func (l *load) going() bool { return l.ctx.Err() == nil && !l.n.doomed.Load() }

// turn lets readers read.
func (l *load) turn(times int) {
	for range times {
		select {
		case l.turns <- struct{}{}:
		default:
			return
		}
	}
}

// stop ends all of them. Answers that are due come before.
func (l *load) stop() {
	l.cancel()
	l.wait.Wait()
}

// failed reports an error that should not have come.
func (l *load) failed(who string, err error) {
	if err == nil || l.tolerate && !errors.Is(err, errStuck) || l.n.doomed.Load() || errors.Is(err, context.Canceled) {
		return
	}
	l.t.Errorf("seed %d: %s: %v", l.seed, who, err)
}

// write changes the units of a place one after the other.
func (l *load) write(p history.Place, r *rand.Rand) {
	var units []*history.Unit
	for i, rows := range memUnits {
		units = append(units, l.h.Unit(p, int64(i), rows))
	}
	for l.going() && len(units) > 0 {
		pick := r.IntN(len(units))
		if pick == len(units)-1 && r.IntN(4) > 0 {
			pick = 0
		}
		l.turn(3)
		more, err := memWrite(l.n, l.h, units[pick], r)
		l.failed("a writer of "+p.String(), err)
		if !more {
			units = slices.Delete(units, pick, pick+1)
		}
	}
}

// read reads places as a whole and by key.
func (l *load) read(r *rand.Rand) {
	for l.going() {
		select {
		case <-l.turns:
		case <-l.ctx.Done():
			return
		case <-l.n.doom:
			return
		}
		p := memPlaces[r.IntN(len(memPlaces))]
		read := l.h.BeginRead("a reader", p)
		if r.IntN(3) > 0 {
			id := int64(r.IntN(len(memUnits)))*100 + int64(r.IntN(2))
			rows, err := l.n.rows(p.Scope, fmt.Sprintf("%s%s WHERE id = %d", memColumns, p.Table, id))
			l.failed("a reader of "+p.String(), err)
			switch {
			case err != nil:
			case len(rows) == 0:
				read.Key(id, nil)
			default:
				read.Key(id, &rows[0])
			}
			continue
		}
		rows, err := l.n.rows(p.Scope, memColumns+p.Table)
		l.failed("a reader of "+p.String(), err)
		if err == nil {
			read.Scan(rows)
		}
	}
}

// flush moves rows to the cold tier, table after table.
func (l *load) flush(r *rand.Rand) {
	for l.going() {
		name := memTables[r.IntN(len(memTables))].name
		ctx, cancel := context.WithCancel(l.ctx)
		unhook := context.AfterFunc(l.n.ctx, cancel)
		if err := l.n.flush(ctx, name); !fault.Is(err, fault.Conflict) && l.ctx.Err() == nil {
			l.failed("a flush of "+name, err)
		}
		unhook()
		cancel()
	}
}

// listen takes what a subscriber is told; now and then it stops for a while, and
// now and then it cuts the connection and resumes or begins anew.
func (l *load) listen(c *memClient, r *rand.Rand) {
	defer func() { l.failed("a subscriber's end", c.close()) }()
	for l.going() {
		begin, o := c.open, memOptions(r)
		if r.IntN(4) == 0 { // pages of a snapshot while others write are of different moments
			begin, o.BatchSize = c.anew, []int{1000, 7, 7}[r.IntN(3)]
		}
		if err := begin(l.n, l.h, o); err != nil {
			if !errors.Is(err, errEnded) {
				l.failed("a subscriber", err)
			}
			return
		}
		for left := 20 + r.IntN(200); left > 0 && l.going(); left-- {
			select {
			case <-c.ready:
			case <-l.ctx.Done():
				return
			case <-l.n.doom:
				return
			}
			if r.IntN(20) == 0 {
				idle(200 + r.IntN(3000)) // its outbox fills, and it lags
			}
			err := c.take(1 + r.IntN(8000))
			if err != nil {
				l.ended(c, err)
				break
			}
		}
		l.failed("a subscriber's end", c.close())
	}
}

// ended judges a subscription that the server has ended while it was live.
func (l *load) ended(c *memClient, err error) {
	switch {
	case !l.going() || c.n.ctx.Err() != nil:
	case c.ended == fault.CursorExpired:
		c.sub.Expired()
	default:
		l.failed("a subscriber, "+string(c.ended), err)
	}
}

// memOptions draws how a subscription begins.
func memOptions(r *rand.Rand) core.LiveSnapshot {
	return core.LiveSnapshot{BatchSize: []int{1000, 1000, 7}[r.IntN(3)], Replay: r.IntN(2) == 0}
}

// memClients returns the subscribers of a run, half of them with commit marks.
func memClients() []*memClient {
	var all []*memClient
	for i, p := range memPlaces {
		for j := range 2 {
			all = append(all, &memClient{name: fmt.Sprintf("subscriber %d", 2*i+j), place: p, commits: j == 0})
		}
	}
	return all
}
