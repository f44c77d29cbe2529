package torture

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"kalamdb/internal/disk"
	"kalamdb/test/torture/history"
)

// tally sums up what runs have done and found.
type tally struct {
	mu         sync.Mutex
	points     int
	reopened   int // of them crashes of a start after a crash
	flushed    int // of them flushed after the look and looked at again
	continued  int // generations that went on from a crash point
	kinds      map[string]int
	counts     history.Counts
	violations []history.Violation
	broken     []string // what went wrong and is no matter of promises
	first      int      // the point that was the first to show a violation
}

func newTally() *tally { return &tally{kinds: map[string]int{}, first: -1} }

// add takes the counts and findings of a history.
func (t *tally) add(h *history.History, number int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Add(h.Counts())
	found := h.Violations()
	if len(found) > 0 && t.first < 0 {
		t.first = number
	}
	if room := 50 - len(t.violations); room > 0 {
		t.violations = append(t.violations, found[:min(room, len(found))]...)
	}
}

// fail notes what should work and does not, such as a clone that does not open.
func (t *tally) fail(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.broken) < 20 {
		t.broken = append(t.broken, fmt.Sprintf(format, args...))
	}
}

// bad reports whether anything was found.
func (t *tally) bad() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.violations) > 0 || len(t.broken) > 0
}

// check opens a crash point and judges what is there.
func (t *tally) check(p point, shape memShape) {
	r := rand.New(rand.NewPCG(p.seed, 1))
	fsys := disk.FS(p.disk)
	if r.IntN(5) == 0 {
		p.disk = t.crashAgain(p, shape, r)
		fsys = p.disk
	}
	t.mu.Lock()
	t.points++
	t.mu.Unlock()
	n, err := openNode(fsys, p.clock, shape)
	if err != nil {
		t.fail("%s: open: %v", label(p), err)
		return
	}
	if err := t.judge(p, n, r); err != nil {
		t.fail("%s: %v", label(p), err)
	}
	if err := n.close(); err != nil {
		t.fail("%s: close: %v", label(p), err)
	}
	t.add(p.h, p.number)
}

func label(p point) string {
	return fmt.Sprintf("point %d (seed %d, before %s)", p.number, p.seed, p.where)
}

// crashAgain opens a crash point and lets the power fail once more while it
// starts, or shortly after. It returns the disk of that moment.
func (t *tally) crashAgain(p point, shape memShape, r *rand.Rand) *disk.Mem {
	var mu sync.Mutex
	left := 1 + r.IntN(60)
	clone := p.disk
	percent, seed := r.IntN(101), r.Uint64()
	n, err := openNode(disk.Inject(p.disk, func(op disk.Op) error {
		if !changes(op) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if left--; left == 0 {
			clone = p.disk.CrashClone(seed, percent)
		}
		return nil
	}), p.clock.at(), shape)
	if err != nil {
		t.fail("%s: open for the first time: %v", label(p), err)
		return p.disk
	}
	if err := n.close(); err != nil {
		t.fail("%s: close after the first start: %v", label(p), err)
	}
	mu.Lock()
	defer mu.Unlock()
	if clone == p.disk { // the start did fewer operations
		return p.disk.CrashClone(seed, percent)
	}
	t.mu.Lock()
	t.reopened++
	t.mu.Unlock()
	return clone
}

// judge compares a recovered node with what is known, lets subscribers resume,
// and writes.
func (t *tally) judge(p point, n *node, r *rand.Rand) error {
	looks, err := n.looks(memPlaces)
	if err != nil {
		return err
	}
	p.h.Crashed(looks)
	clients := memClients()
	for range 2 {
		c := clients[r.IntN(len(clients))]
		if p.h.Subscription(c.name) == nil {
			continue
		}
		if err := t.resume(p, n, c, r); err != nil {
			return err
		}
	}
	if r.IntN(6) > 0 {
		return nil
	}
	t.mu.Lock()
	t.flushed++
	t.mu.Unlock()
	for _, table := range memTables {
		if err := n.flush(n.ctx, table.name); err != nil {
			return fmt.Errorf("flush %s: %w", table.name, err)
		}
	}
	if looks, err = n.looks(memPlaces); err != nil {
		return err
	}
	p.h.Settled("after a flush", looks)
	return nil
}

// resume lets a subscriber go on where he was and compares his copy with the
// rows, once one more operation has come to him.
func (t *tally) resume(p point, n *node, c *memClient, r *rand.Rand) error {
	c.commits = r.IntN(2) == 0
	if err := c.open(n, p.h, memOptions(r)); err != nil {
		return err
	}
	if err := fence(n, p.h, c, r); err != nil {
		return err
	}
	return c.close()
}

// fence sends one operation to the place of a subscriber, waits until he has it,
// and compares. Nobody else may write.
func fence(n *node, h *history.History, c *memClient, r *rand.Rand) error {
	u := h.Unit(c.place, int64(r.IntN(2)), 1)
	present, known := h.Present(u)
	if !known {
		return fmt.Errorf("%s is not settled", u)
	}
	kind := history.Insert
	if present {
		kind = history.Update
	}
	op := h.Begin(u, kind)
	rows, err := n.exec(c.place.Scope, memStatement(op, r))
	if err != nil {
		h.Unknown(op)
		return fmt.Errorf("write to the recovered database: %w", err)
	}
	h.Acked(op, rows)
	c.await(op) // what has not come by then is a gap
	scan, err := n.rows(c.place.Scope, memColumns+c.place.Table)
	if err != nil {
		return err
	}
	c.sub.Quiet(scan)
	return nil
}
