package torture

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/disk"
	"kalamdb/test/torture/history"
)

// flagPoints is how many crash points the long form takes.
var flagPoints = flag.Int("points", 0, "how many crash points are taken on the disk in memory; 0 is a few hundred")

// generationPoints is how many crash points are taken before a node ends and the
// next one goes on.
const generationPoints = 50

// pointBound is how long a node under load may go without a crash point.
const pointBound = 2 * time.Minute

// lineage is after how many generations a run begins with an empty database
// again: an old one has a long history, which every look walks through.
const lineage = 6

// Crash points of a short run, and how many of them a slow machine takes.
const (
	shortPoints = 150
	leastPoints = 40
)

// TestCrashPoints lets the power fail at random operations of the disk under
// load, and judges each of the disks that it leaves.
func TestCrashPoints(t *testing.T) {
	points, least := *flagPoints, *flagPoints
	if points == 0 {
		points, least = shortPoints, leastPoints
		if testing.Short() {
			points = least
		}
	}
	seed := runSeed(t)
	sum := newTally()
	runCrashPoints(t, sum, newPace(t, points, least), seed, true)
	report(t, sum)
	sumLine(t, "memory", 0, sum.points, 0, sum.counts)
	for _, v := range sum.violations {
		t.Error(v)
	}
	for _, b := range sum.broken {
		t.Error(b)
	}
	if c := sum.counts; c.Acked == 0 || c.Reads == 0 || c.Events == 0 || c.Resumes == 0 {
		t.Errorf("a run that does nothing shows nothing: %+v", c)
	}
}

// runSeed returns the seed of a run and prints it.
func runSeed(t *testing.T) uint64 {
	seed := *flagSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d; the same run again: go test ./test/torture -run '^%s$' -args -seed %d", seed, t.Name(), seed)
	return seed
}

// report prints what a run has done.
func report(t *testing.T, sum *tally) {
	c := sum.counts
	t.Logf("%d crash points (%d in a start after a crash, %d flushed and read again, %d gone on from), %d operations sent, %d acknowledged, %d reads, %d events, %d resumed, %d expired",
		sum.points, sum.reopened, sum.flushed, sum.continued, c.Sent, c.Acked, c.Reads, c.Events, c.Resumes, c.Expired)
	var found []string
	for _, class := range history.Classes() {
		found = append(found, fmt.Sprintf("%s %d", class, c.Violations[class]))
	}
	t.Log(strings.Join(found, ", "))
	var kinds []string
	for kind, n := range sum.kinds {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(kinds)
	if len(kinds) > 0 {
		t.Log("before: " + strings.Join(kinds, ", "))
	}
}

// memShapeOf draws how a node is made.
func memShapeOf(r *rand.Rand) memShape {
	return memShape{
		memTable: []int64{64 << 10, 128 << 10, 512 << 10}[r.IntN(3)],
		outbox:   []int64{3000, 20_000, 1 << 20}[r.IntN(3)],
		ring:     []int64{24 << 10, 1 << 20}[r.IntN(2)],
	}
}

// runCrashPoints takes crash points out of one generation of nodes after the
// other. A generation goes on from the one before as it was closed, or from one
// of its crash points. all says that it goes on even if some points are bad.
func runCrashPoints(t *testing.T, sum *tally, pace *pace, seed uint64, all bool) {
	r := rand.New(rand.NewPCG(seed, 0))
	var mem *disk.Mem
	var clock *memClock
	var h *history.History
	taken := 0
	defer func() { pace.shortened(taken, "crash points") }()
	for generation := 0; pace.more(taken); generation++ {
		if generation%lineage == 0 {
			var err error
			if mem, clock, h, err = newDatabase(seed); err != nil {
				t.Fatal(err)
			}
		}
		g := &generationRun{t: t, sum: sum, mem: mem, clock: clock, h: h, r: r, seed: seed + uint64(generation)*1000, shape: memShapeOf(r), first: taken, all: all, pace: pace}
		last, err := g.run(min(generationPoints, pace.most-taken))
		if err != nil {
			t.Errorf("seed %d, generation %d: %v", seed, generation, err)
			return
		}
		taken += g.taken
		if last != nil {
			mem, clock, h = last.disk, last.clock, last.h
			sum.continued++
		} else {
			h = g.h
		}
		if generation%10 == 9 {
			t.Logf("%d of %d crash points after %s, %d violations", taken, pace.most, time.Since(pace.begin).Round(time.Second), len(sum.violations))
		}
		if !all && sum.bad() {
			return
		}
	}
}

// newDatabase makes an empty database with the tables of a run.
func newDatabase(seed uint64) (*disk.Mem, *memClock, *history.History, error) {
	mem, clock := disk.NewMem(), newMemClock()
	h := history.New(history.Options{Label: fmt.Sprintf("seed %d", seed), Relaxed: relaxedOf()})
	n, err := openNode(mem, clock, memShape{})
	if err == nil {
		err = memSetup(n)
	}
	if err == nil {
		err = n.close()
	}
	return mem, clock, h, err
}

func relaxedOf() (names []string) {
	for _, t := range memTables {
		if t.relaxed {
			names = append(names, t.name)
		}
	}
	return names
}

// generationRun is one node's life.
type generationRun struct {
	t     *testing.T
	sum   *tally
	mem   *disk.Mem
	clock *memClock
	h     *history.History
	r     *rand.Rand
	seed  uint64
	shape memShape
	first int
	taken int
	all   bool // go on after a violation
	pace  *pace
}

// run opens the node, takes points under load, checks them, and ends the node.
// It returns the point to go on from, nil for the disk as it was closed.
func (g *generationRun) run(points int) (*point, error) {
	out := make(chan point, 2)
	c := &crasher{
		mem: g.mem, h: g.h, clock: g.clock, label: fmt.Sprintf("seed %d", g.seed), out: out, ended: make(chan struct{}),
		random: rand.New(rand.NewPCG(g.seed, 99)), next: g.first, most: g.first + points, rate: 6 + g.r.IntN(30),
		kinds: g.sum.kinds, slow: g.r.IntN(3) > 0,
	}
	goOn := -1
	if g.r.IntN(2) == 0 {
		goOn = g.first + points - 1
	}
	var last *point
	done := make(chan struct{})
	var idle error // no crash point came
	go func() {    // the power may fail while the node starts
		defer close(done)
		defer c.stop()
		for g.taken < points && g.pace.more(g.first+g.taken) {
			var p point
			select {
			case p = <-out:
			case <-time.After(pointBound):
				idle = fmt.Errorf("no operation of the disk was a crash point within %s; the goroutines:\n%s", pointBound, stacks())
				return
			}
			g.taken++
			if p.number == goOn {
				last = g.keep(p)
			}
			g.sum.check(p, g.shape)
			if !g.all && g.sum.bad() {
				return
			}
		}
	}()
	n, err := openNode(disk.Inject(g.mem, c.hook), g.clock, g.shape)
	if err != nil {
		return nil, err
	}
	if looks, err := n.looks(memPlaces); err != nil {
		return nil, err
	} else if g.h.Counts().Sent > 0 {
		g.h.Settled("after a start", looks)
	}
	clients := memClients()
	l := startLoad(g.t, n, g.h, clients, g.seed, false)
	c.serve(l.turn)
	<-done
	l.stop()
	if idle != nil {
		return nil, idle
	}
	if !g.all && g.sum.bad() {
		g.sum.add(g.h, g.first)
		return nil, nil
	}
	if last != nil {
		return last, g.crashed(n, last)
	}
	return nil, g.settled(n, clients)
}

// keep returns a copy of a point to go on from.
func (g *generationRun) keep(p point) *point {
	kept := p
	kept.h = p.h.Fork(fmt.Sprintf("seed %d", g.seed+1000))
	kept.disk = p.disk.CrashClone(0, 100)
	kept.clock = p.clock.at()
	return &kept
}

// crashed leaves a node behind and settles the history of the point that the
// next one goes on from.
func (g *generationRun) crashed(n *node, p *point) error {
	if err := n.close(); err != nil {
		return err
	}
	g.sum.add(g.h, g.first)
	again, err := openNode(p.disk, p.clock, g.shape)
	if err != nil {
		return err
	}
	looks, err := again.looks(memPlaces)
	if err != nil {
		return err
	}
	p.h.Crashed(looks)
	// This node fails too, so that what it has found must be durable.
	disk := p.disk.CrashClone(p.seed, 0)
	if err := again.close(); err != nil {
		return err
	}
	p.disk = disk
	return nil
}

// settled compares everything with everybody while nobody writes, closes the
// node, and forks the history, so that its findings are counted once.
func (g *generationRun) settled(n *node, clients []*memClient) error {
	for _, c := range clients {
		g.pace.step()
		if err := c.open(n, g.h, memOptions(g.r)); err != nil {
			return err
		}
		if err := fence(n, g.h, c, g.r); err != nil {
			return err
		}
		if err := c.close(); err != nil {
			return err
		}
	}
	looks, err := n.looks(memPlaces)
	if err != nil {
		return err
	}
	g.h.Settled("at the end", looks)
	if err := n.close(); err != nil {
		return err
	}
	g.sum.add(g.h, g.first)
	g.h = g.h.Fork(fmt.Sprintf("seed %d", g.seed+1000))
	return nil
}
