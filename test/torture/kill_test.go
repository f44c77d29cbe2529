package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	kalam "kalamdb/sdk/go"
	"kalamdb/test/torture/history"
)

const (
	killShort = 6 // cycles of a normal test
	// killLeast is how many cycles each of the two parts of it takes on a slow
	// machine.
	killLeast = 1
	// killToldBound is how long a follower may take to be told everything
	// after a start.
	killToldBound = 60 * time.Second
	// killSlowStart is how long a start takes before it is worth a line.
	killSlowStart = 5 * time.Second
	// killWorkBound is how long a cycle waits for its statements.
	killWorkBound = 5 * time.Second
	// killSeenBound is how long a follower may take where a planted fault was
	// seen: what it has kept back will not come.
	killSeenBound = 2 * time.Second
	// killStallNeed is how many statements must be answered while one follower
	// reads nothing, for its sake to count.
	killStallNeed = 50
)

// killSubscriber is a follower over either client.
type killSubscriber interface {
	start(context.Context) error
	serverEnded()
	serverAnswers(context.Context) error
	stop()
	has(map[int64]int64) (bool, <-chan struct{})
	quiet([]history.Row)
	base() *follower
}

func (f *follower) base() *follower { return f }

// TestKill kills the real server under writers, readers, flushes and
// subscribers, starts it again, and compares what everybody was told with what
// is there.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	cycles, long := *flagCycles, *flagCycles > 0
	if !long {
		cycles = killShort
	}
	seed := killSeed()
	path := buildServer(t, "")
	synced := cycles / 3
	killPart(t, path, seed, cycles-synced, long, true)
	killPart(t, path, seed+1, synced, long, false)
}

// killPart runs some cycles on a directory of their own, with or without writes
// that a crash may take back. A long run takes them all, however slow it is.
func killPart(t *testing.T, path string, seed uint64, cycles int, long, relaxed bool) {
	name := "synced"
	if relaxed {
		name = "relaxed"
	}
	t.Run(name, func(t *testing.T) {
		least := killLeast
		if long {
			least = cycles
		}
		pace := newPace(t, cycles, least)
		r := newKillRun(t, path, seed, killKind{relaxed: relaxed}, pace)
		r.open()
		whole := true
		for done := 0; whole && pace.more(done); done++ {
			r.turn()
			whole = !t.Failed() && len(r.history.Violations()) == 0
		}
		if whole {
			pace.shortened(int(r.cycle.Load()), "cycles")
		}
		r.report(time.Since(pace.begin))
	})
}

// newKillRun returns a run on an empty directory. It ends with the test, or with
// end.
func newKillRun(t *testing.T, path string, seed uint64, kind killKind, pace *pace) *killRun {
	t.Helper()
	r := &killRun{t: t, pace: pace, seed: seed, killKind: kind, clients: map[string]*kalam.Client{}, random: rand.New(rand.NewPCG(seed, 0)),
		history: history.New(history.Options{Label: fmt.Sprintf("seed %d", seed), Relaxed: relaxedTables(), MayExpire: kind.relaxed})}
	r.server = newKillServer(t, path)
	pace.atEnd(r.server.last)
	t.Cleanup(r.end)
	return r
}

// open starts the server, and makes tables and followers.
func (r *killRun) open() {
	r.t.Helper()
	took, err := r.server.start()
	if err != nil {
		r.fatal("%v", err)
	}
	r.started(took)
	r.define()
	r.gather()
	for _, f := range r.followers {
		if err := f.start(context.Background()); err != nil {
			r.fatal("%v", err)
		}
	}
}

// end ends the server first, so that nobody waits for it, and then who uses it.
func (r *killRun) end() {
	r.server.kill()
	if r.endLoad != nil {
		r.endLoad()
	}
	for _, f := range r.followers {
		f.stop()
	}
	for _, c := range r.clients {
		c.Close()
	}
}

// gather makes the followers: over the Go client and over plain sockets, with
// every change after a resume and with the difference, with a client that lives
// on and with one that ends.
func (r *killRun) gather() {
	place := func(table, scope string) *killPlace {
		for i := range r.places {
			if r.places[i].Table == table && r.places[i].Scope == scope {
				return &r.places[i]
			}
		}
		panic("no place " + table + "/" + scope)
	}
	sdk := func(name, table, scope, user string, replay, session bool, batch int) {
		r.followers = append(r.followers, &sdkFollower{follower: r.newFollower(name, place(table, scope), user, replay), session: session, batch: batch})
	}
	raw := func(name, table, scope, user string, replay bool, features string) *rawFollower {
		f := &rawFollower{follower: r.newFollower(name, place(table, scope), user, replay), features: features}
		f.marks = features != ""
		r.followers = append(r.followers, f)
		return f
	}
	for _, user := range killUsers {
		sdk("client of "+user, "app.own", user, user, true, false, 0)
	}
	sdk("client of alice, differences", "app.own", "alice", "alice", false, true, 10)
	raw("socket of bob, differences", "app.own", "bob", "bob", false, "")
	raw("socket of carol", "app.own", "carol", "carol", true, "")
	sdk("client of carol on the board", "app.board", killShared, "carol", true, false, 10)
	raw("socket of root on the board, marks", "app.board", killShared, "root", true, "features=commits")
	raw("socket of bob on the board, differences", "app.board", killShared, "bob", false, "")
	r.sleeper = raw("sleeping socket of alice on the board", "app.board", killShared, "alice", true, "features=commits,lagging")
	r.sleeper.narrow = true
	sdk("client of alice, relaxed", "app.loose", "alice", "alice", true, true, 0)
	raw("socket of bob, relaxed, marks", "app.loose", "bob", "bob", true, "features=commits")
	sdk("client of carol on the draft, differences", "app.draft", killShared, "carol", false, true, 0)
}

func (r *killRun) started(took time.Duration) {
	r.figures.starts++
	r.figures.slowestStart = max(r.figures.slowestStart, took)
	if took > killSlowStart {
		r.t.Logf("kill run: seed %d, cycle %d: the start took %s\n%s", r.seed, r.cycle.Load(), took.Round(time.Millisecond), r.server.output)
	}
}

// turn is one cycle: load, an end of the server at a random moment, a start, and
// a look at everything.
func (r *killRun) turn() {
	r.t.Helper()
	r.cycle.Add(1)
	r.history.Relabel(fmt.Sprintf("seed %d, cycle %d", r.seed, r.cycle.Load()))
	r.load(r.relaxed && r.random.IntN(3) > 0)
	wake := r.sleep()
	r.work(int64(r.random.IntN(60 << r.random.IntN(4))))
	if r.random.IntN(6) == 0 {
		r.freeze()
		elapse(time.Duration(r.random.IntN(100)) * time.Millisecond)
	}
	late := r.random.IntN(2) == 0
	if !late {
		wake()
	}
	clean := r.endServer()
	r.endLoad()
	for _, f := range r.followers {
		f.serverEnded()
	}
	r.hold()
	r.begin()
	r.pace.step()
	looks := r.look()
	r.pace.step()
	if clean {
		r.history.Settled("after a clean end", looks)
	} else {
		r.history.Crashed(looks)
	}
	r.letGo()
	for _, f := range r.followers {
		if err := f.serverAnswers(context.Background()); err != nil {
			r.fatal("%v", err)
		}
	}
	wake()
	r.compare(looks)
}

// work waits until so many more statements have been acknowledged, for a bounded
// time, and then a moment that no answer determines.
func (r *killRun) work(statements int64) {
	enough := r.history.Counts().Acked + statements
	deadline := time.NewTimer(killWorkBound)
	defer deadline.Stop()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for r.history.Counts().Acked < enough {
		select {
		case <-ticker.C:
		case <-deadline.C:
			return
		}
	}
	elapse(time.Duration(r.random.IntN(30_000)) * time.Microsecond)
}

// hold keeps what followers are told from the history until it knows what is
// there: what they ask for anew must be measured by that.
func (r *killRun) hold() {
	r.held = true
	for _, f := range r.followers {
		f.base().mu.Lock()
	}
}

func (r *killRun) letGo() {
	r.held = false
	for _, f := range r.followers {
		f.base().mu.Unlock()
	}
}

// sleep lets one follower stop reading in every second cycle.
func (r *killRun) sleep() (wake func()) {
	if r.random.IntN(2) == 0 {
		return func() {}
	}
	resume, before := r.sleeper.stall(), r.history.Counts().Acked
	asleep := true
	return func() {
		if asleep && r.history.Counts().Acked-before >= killStallNeed {
			r.figures.stalls++
		}
		asleep = false
		resume()
	}
}

func (r *killRun) freeze() {
	r.frozen.Add(1)
	r.figures.freezes++
	if err := r.server.freeze(time.Duration(20+r.random.IntN(300)) * time.Millisecond); err != nil {
		r.fatal("freeze: %v", err)
	}
}

// endServer ends the server: most times by SIGKILL, running or stopped, and
// reports whether it was asked to.
func (r *killRun) endServer() (clean bool) {
	if !r.server.alive() {
		r.fatal("the server has ended by itself\n%s", r.server.output)
	}
	switch r.random.IntN(8) {
	case 0:
		r.figures.stops++
		if err := r.server.terminate(); err != nil {
			r.fatal("%v", err)
		}
		return true
	case 1:
		if err := r.server.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			r.fatal("stop: %v", err)
		}
	}
	r.figures.kills++
	r.server.kill()
	return false
}

// begin starts the server; sometimes it is killed before it answers, once or
// several times.
func (r *killRun) begin() {
	if r.random.IntN(3) == 0 {
		for range 1 + r.random.IntN(3) {
			if err := r.server.spawn(); err != nil {
				r.fatal("%v", err)
			}
			elapse(time.Duration(r.random.IntN(120)) * time.Millisecond)
			if !r.server.alive() {
				r.fatal("the server has ended by itself\n%s", r.server.output)
			}
			r.figures.kills++
			r.figures.early++
			r.server.kill()
		}
	}
	took, err := r.server.start()
	if err != nil {
		r.fatal("%v", err)
	}
	r.started(took)
}

// cutShort ends a run in which a planted fault went so far that the server
// answers no more.
type cutShort struct{ why string }

// fatal ends the run.
func (r *killRun) fatal(format string, args ...any) {
	r.t.Helper()
	if r.held { // by this goroutine, which now goes on to stop the followers
		r.letGo()
	}
	why := fmt.Sprintf(format, args...)
	if r.faulty {
		panic(cutShort{why})
	}
	for _, v := range r.history.Violations() {
		r.t.Errorf("%s", v)
	}
	r.t.Fatalf("seed %d, cycle %d: %s", r.seed, r.cycle.Load(), why)
}

// complain notes what no client should meet. Of a planted fault it is one of the
// effects; the history says whether it is seen.
func (r *killRun) complain(format string, args ...any) {
	text := fmt.Sprintf("seed %d, cycle %d: %s", r.seed, r.cycle.Load(), fmt.Sprintf(format, args...))
	if r.faulty {
		r.t.Log(text)
		return
	}
	r.t.Error(text)
}
