package torture

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/test/torture/history"
)

const (
	// errorReserve is the space that nodes keep free where a disk gets full.
	errorReserve = 1 << 20
	// errorSpace is enough for any of these runs.
	errorSpace = 1 << 32
	// roundPoints is how many crash points of the long form stand for one round
	// of disk errors.
	roundPoints = 50
)

// TestDiskErrors lets reads, writes and syncs fail, syncs take long, the disk
// get full and the clock jump, under load. What was acknowledged is there
// afterwards.
func TestDiskErrors(t *testing.T) {
	scenarios := errorScenarios()
	rounds, least := len(scenarios), len(scenarios)/2
	if testing.Short() {
		rounds = least
	}
	if *flagPoints > 0 {
		rounds = max(rounds, *flagPoints/roundPoints)
		least = rounds
	}
	seed := runSeed(t)
	r := rand.New(rand.NewPCG(seed, 0))
	sum := newTally()
	pace := newPace(t, rounds, least)
	e := &errorRun{t: t, pace: pace, sum: sum, mem: disk.NewMem(), clock: newMemClock(), r: r, seed: seed}
	e.h = history.New(history.Options{Label: fmt.Sprintf("seed %d", seed), Relaxed: relaxedOf()})
	n, err := e.open(memShape{})
	if err == nil {
		err = memSetup(n)
	}
	if err == nil {
		err = n.close()
	}
	if err != nil {
		t.Fatal(err)
	}
	order := r.Perm(len(scenarios))
	round := 0
	for ; pace.more(round); round++ {
		s := scenarios[order[round%len(order)]]
		if err := e.round(round, s); err != nil {
			t.Errorf("seed %d, round %d, %s: %v", seed, round, s.name, err)
			break
		}
		if round%50 == 49 {
			t.Logf("%d of %d rounds of disk errors after %s, %d violations", round+1, rounds, time.Since(pace.begin).Round(time.Second), len(sum.violations))
		}
	}
	report(t, sum)
	sumLine(t, "errors", 0, 0, round, sum.counts)
	t.Logf("%d rounds of disk errors, full disks and clock jumps; %d ended the node, %d of them after the load", round, e.doomed, e.late)
	pace.shortened(round, "rounds")
	for _, v := range sum.violations {
		t.Error(v)
	}
	for _, b := range sum.broken {
		t.Error(b)
	}
}

// errorRun is a database whose disk and clock go wrong, round by round.
type errorRun struct {
	t      *testing.T
	pace   *pace
	sum    *tally
	mem    *disk.Mem
	clock  *memClock
	h      *history.History
	r      *rand.Rand
	seed   uint64
	doomed int // rounds that ended with the fatal call
	late   int // of them after the load
	policy atomic.Pointer[func(disk.Op) error]
}

// scenario is one way in which things go wrong.
type scenario struct {
	name  string
	shape memShape
	run   func(e *errorRun, n *node, l *load) (*node, error) // another node to go on with, or nil
}

// open opens a node whose operations the policy may refuse.
func (e *errorRun) open(shape memShape) (*node, error) {
	if shape.memTable == 0 {
		shape.memTable = 64 << 10
	}
	return openNode(disk.Inject(e.mem, func(op disk.Op) error {
		if f := e.policy.Load(); f != nil {
			return (*f)(op)
		}
		return nil
	}), e.clock, shape)
}

// set makes a policy the present one; nil lets everything pass.
func (e *errorRun) set(policy func(disk.Op) error) {
	if policy == nil {
		e.policy.Store(nil)
		return
	}
	e.policy.Store(&policy)
}

// until waits until so many more operations are acknowledged, the node is
// doomed, or it takes too long.
func (e *errorRun) until(n *node, acks int64) {
	target := e.h.Counts().Acked + acks
	end := time.Now().Add(3 * time.Second)
	for e.h.Counts().Acked < target && !n.doomed.Load() && time.Now().Before(end) {
		idle(100)
	}
}

// round opens the database, lets one thing go wrong under load, and judges what
// is there afterwards, on the same node or on the next one.
func (e *errorRun) round(number int, s scenario) error {
	label := fmt.Sprintf("seed %d, round %d, %s", e.seed, number, s.name)
	e.h = e.h.Fork(label)
	n, err := e.open(s.shape)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	clients := memClients()
	l := startLoad(e.t, n, e.h, clients, e.seed+uint64(number)*1000, true)
	e.until(n, 20+int64(e.r.IntN(40)))
	other, err := s.run(e, n, l)
	e.set(nil)
	l.stop()
	if err != nil {
		return err
	}
	if other != nil {
		n = other
	}
	doomed := n.doomed.Load()
	if !doomed {
		// What was refused may bring the end later: nobody has waited for it.
		err := e.compare(n, clients)
		if err == nil {
			err = n.close()
		}
		if doomed = errors.Is(err, errDoomed); doomed {
			e.late++
		} else if err != nil {
			return err
		}
	}
	if doomed {
		e.doomed++
		return e.after(s.shape)
	}
	e.sum.add(e.h, number)
	return nil
}

// after opens what a node that gave up has left on its disk.
func (e *errorRun) after(shape memShape) error {
	e.mem = e.mem.CrashClone(e.r.Uint64(), []int{0, 50, 100}[e.r.IntN(3)])
	e.mem.SetFree(errorSpace)
	again, err := e.open(shape)
	if err != nil {
		return fmt.Errorf("open after the node gave up: %w", err)
	}
	looks, err := again.looks(memPlaces)
	if err != nil {
		return err
	}
	e.h.Crashed(looks)
	if err := e.fences(again, memClients()); err != nil {
		return err
	}
	if err := again.close(); err != nil {
		return err
	}
	e.sum.add(e.h, 0)
	return nil
}

// compare looks at everything while nobody writes.
func (e *errorRun) compare(n *node, clients []*memClient) error {
	looks, err := n.looks(memPlaces)
	if err != nil {
		return err
	}
	e.h.Settled("afterwards", looks)
	return e.fences(n, clients)
}

func (e *errorRun) fences(n *node, clients []*memClient) error {
	for _, c := range clients {
		e.pace.step()
		if err := c.open(n, e.h, memOptions(e.r)); err != nil {
			return err
		}
		if err := fence(n, e.h, c, e.r); err != nil {
			return err
		}
		if err := c.close(); err != nil {
			return err
		}
	}
	return nil
}

// errorScenarios returns all of them.
func errorScenarios() []scenario {
	var all []scenario
	refuse := func(name string, kind disk.OpKind, of func(path string) bool) {
		all = append(all, scenario{name: string(kind) + " of " + name + " refused", run: func(e *errorRun, n *node, _ *load) (*node, error) {
			e.set(refusal(kind, of, e.r))
			e.until(n, 40)
			return nil, nil
		}})
	}
	log := func(path string) bool { return strings.HasSuffix(path, ".log") }
	table := func(path string) bool { return strings.HasSuffix(path, ".sst") }
	manifest := func(path string) bool { return strings.Contains(path, "MANIFEST") || strings.Contains(path, "marker.") }
	cold := func(path string) bool { return strings.Contains(path, ".parquet") }
	for _, kind := range []disk.OpKind{disk.OpWrite, disk.OpSync, disk.OpCreate} {
		refuse("the log", kind, log)
		refuse("a table of the engine", kind, table)
		refuse("the manifest", kind, manifest)
		refuse("a cold file", kind, cold)
	}
	refuse("a cold file", disk.OpRename, cold)
	refuse("a table of the engine", disk.OpRead, table)
	refuse("a cold file", disk.OpRead, cold)
	refuse("all", disk.OpSync, func(string) bool { return true })
	return append(all,
		scenario{name: "slow syncs", run: slowSyncs},
		scenario{name: "little space", shape: memShape{reserve: errorReserve}, run: littleSpace},
		scenario{name: "no space", run: noSpace},
		scenario{name: "the clock jumps", run: clockJumps},
		scenario{name: "the clock is wrong at a start", run: wrongClock})
}

// errRefused is what a refused operation says.
var errRefused = errors.New("input/output error of the torture run")

// refusal refuses one operation of a kind after some others, and often those
// behind it too.
func refusal(kind disk.OpKind, of func(path string) bool, r *rand.Rand) func(disk.Op) error {
	var mu sync.Mutex
	skip, times := r.IntN(12), []int{1, 3, 1 << 30}[r.IntN(3)]
	return func(op disk.Op) error {
		if op.Kind != kind || !of(op.Path) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if skip--; skip >= 0 || times == 0 {
			return nil
		}
		times--
		return errRefused
	}
}

// slowSyncs lets every sync take long. Nothing is refused for that.
func slowSyncs(e *errorRun, n *node, _ *load) (*node, error) {
	pause := 200 + e.r.IntN(2000)
	e.set(func(op disk.Op) error {
		if op.Kind == disk.OpSync {
			idle(pause)
		}
		return nil
	})
	e.until(n, 30)
	if n.doomed.Load() {
		return nil, errors.New("a slow disk has ended the node")
	}
	return nil, nil
}

// littleSpace leaves less than the reserve: writes are refused before the log is
// touched, reads go on, and space brings everything back.
func littleSpace(e *errorRun, n *node, _ *load) (*node, error) {
	u := e.h.Unit(memPlaces[0], 90, 1)
	e.mem.SetFree(errorReserve / 2)
	e.clock.jump(5 * time.Second)
	writes := func(want bool, what string) error {
		end := time.Now().Add(5 * time.Second)
		for {
			_, err := memWrite(n, e.h, u, e.r)
			switch {
			case want == (err == nil):
				return nil
			case err != nil && !fault.Is(err, fault.DiskFull):
				return fmt.Errorf("a write %s: %w", what, err)
			case n.doomed.Load():
				return fmt.Errorf("the node has ended %s", what)
			case time.Now().After(end):
				return fmt.Errorf("%s, a write still says: %w", what, err)
			}
			idle(100)
			e.clock.jump(time.Second)
		}
	}
	if err := writes(false, "on a full disk"); err != nil {
		return nil, err
	}
	if _, err := n.looks(memPlaces[2:3]); err != nil {
		return nil, fmt.Errorf("a read on a full disk: %w", err)
	}
	e.mem.SetFree(errorSpace)
	e.clock.jump(5 * time.Second)
	if err := writes(true, "after space has come back"); err != nil {
		return nil, err
	}
	e.until(n, 10)
	return nil, nil
}

// noSpace lets the disk fill up to the last byte, with no reserve.
func noSpace(e *errorRun, n *node, _ *load) (*node, error) {
	e.mem.SetFree(uint64(e.r.IntN(40_000)))
	e.until(n, 400)
	e.mem.SetFree(errorSpace)
	return nil, nil
}

// clockJumps turns the clock forward and back while everybody writes.
func clockJumps(e *errorRun, n *node, _ *load) (*node, error) {
	for _, d := range []time.Duration{40 * time.Minute, -70 * time.Minute, 3 * time.Hour, -20 * time.Minute, 25 * time.Minute} {
		e.clock.jump(d)
		e.until(n, 10)
	}
	if n.doomed.Load() {
		return nil, errors.New("a jump of the clock has ended the node")
	}
	return nil, nil
}

// wrongClock closes the database and starts it with a clock that is too far
// back: it only reads until the clock is right.
func wrongClock(e *errorRun, n *node, l *load) (*node, error) {
	l.stop()
	looks, err := n.looks(memPlaces)
	if err != nil {
		return nil, err
	}
	e.h.Settled("before the clock is set back", looks)
	if err := n.close(); err != nil {
		return nil, err
	}
	e.clock.jump(-5 * time.Hour)
	late, err := e.open(memShape{})
	if err != nil {
		return nil, fmt.Errorf("open with a wrong clock: %w", err)
	}
	if looks, err = late.looks(memPlaces); err != nil {
		return nil, err
	}
	e.h.Settled("with a wrong clock", looks)
	if _, err := memWrite(late, e.h, e.h.Unit(memPlaces[0], 91, 1), e.r); !fault.Is(err, fault.ReadOnly) {
		return nil, fmt.Errorf("a write with a wrong clock: %w", err)
	}
	if err := late.close(); err != nil {
		return nil, err
	}
	e.clock.jump(5*time.Hour + time.Minute)
	right, err := e.open(memShape{})
	if err != nil {
		return nil, fmt.Errorf("open with the right clock: %w", err)
	}
	return right, nil
}
