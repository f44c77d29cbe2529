package torture

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kalam "kalamdb/sdk/go"
)

// flagLive asks for the long form of the live run.
var flagLive = flag.Bool("live", false, "the live run with 500 subscribers, 20 kills, 200 cuts and a million deliveries")

// liveSize is how much a live run does.
type liveSize struct {
	sockets, each int // subscribers
	results       int // distinct queries that are followed as results
	writers, rate int // commits per second, all together
	kills, cuts   int
	deliveries    int64
	most          time.Duration // of the load of one cycle
}

var (
	liveLong  = liveSize{sockets: 100, each: 5, results: 12, writers: 64, rate: 1500, kills: 20, cuts: 200, deliveries: 1_000_000, most: 3 * time.Minute}
	liveShort = liveSize{sockets: 16, each: 5, results: 6, writers: 16, rate: 600, kills: 2, cuts: 16, deliveries: 8_000, most: 8 * time.Second}
)

const (
	// liveStill is how long nothing may be told while something is lacking.
	liveStill = 40 * time.Second
	// liveStillFaulty is the same where something was planted.
	liveStillFaulty = 6 * time.Second
	// liveLook is how often the run looks whether something has been reached.
	liveLook = 20 * time.Millisecond
)

// liveUsers own the partitions of the USER table.
var liveUsers = []string{"ann", "ben", "cleo", "dora"}

// liveRun is a server, its subscribers and its writers.
type liveRun struct {
	t       *testing.T
	size    liveSize
	seed    uint64
	faulty  bool
	keys    int64
	random  *rand.Rand
	server  *killServer
	proxy   *liveProxy
	pace    *pace
	model   *liveModel
	clients map[string]*kalam.Client // to the server itself
	sockets []*liveSocket
	subs    []*liveSub
	gone    []*liveSub // closed in this cycle
	results []*liveResult
	moments map[string]*liveMoment
	writers []*liveWriter
	named   int

	ops, deliveries, unanswered atomic.Int64
	kills                       int
	loaded                      time.Duration // that writers wrote
	slowest                     time.Duration // until everybody had everything
	listeners                   sync.WaitGroup
}

// TestLive follows random queries through cuts and kills: each subscriber ends
// with the result of its query, and was told each change once and in order.
func TestLive(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	size := liveShort
	if *flagLive {
		size = liveLong
	}
	r := newLiveRun(t, buildServer(t, ""), killSeed(), size, false)
	defer r.end()
	r.setUp()
	for r.more() {
		r.turn()
	}
	for _, s := range r.subs {
		if err := r.selected(s); err != nil {
			t.Fatal(err)
		}
	}
	r.report()
}

func newLiveRun(t *testing.T, path string, seed uint64, size liveSize, faulty bool) *liveRun {
	t.Helper()
	r := &liveRun{t: t, size: size, seed: seed, faulty: faulty, keys: int64(size.writers * liveKeysEach), random: rand.New(rand.NewPCG(seed, 1)),
		model: newLiveModel(liveUsers), clients: map[string]*kalam.Client{}, moments: map[string]*liveMoment{}, pace: newPace(t, 1, 1)}
	t.Logf("live run: seed %d", seed)
	r.server = newKillServer(t, path)
	r.server.environment = append(r.server.environment,
		"KALAMDB_RATE_LIMIT_MAX_SUBSCRIPTIONS_PER_USER=10000", "KALAMDB_SECURITY_MAX_CONNECTIONS_PER_IP=10000",
		"KALAMDB_RATE_LIMIT_MAX_MESSAGES_PER_SEC=10000", "KALAMDB_LIVE_OUTBOX_BYTES=32KiB")
	r.pace.atEnd(r.server.last)
	r.proxy = newLiveProxy(t, strings.TrimPrefix(r.server.url, "http://"))
	return r
}

// setUp makes tables, writers, some rows, and the first subscribers.
func (r *liveRun) setUp() {
	r.t.Helper()
	if _, err := r.server.start(); err != nil {
		r.t.Fatal(err)
	}
	root := r.client("root", r.server.url)
	run := func(sql string) {
		r.t.Helper()
		if _, err := root.Query(context.Background(), sql); err != nil {
			r.t.Fatalf("%s: %v", sql, err)
		}
	}
	run("CREATE NAMESPACE live")
	run("CREATE SHARED TABLE live.board (" + liveColumns + ") WITH (ACCESS_LEVEL='public')")
	run("CREATE USER TABLE live.own (" + liveColumns + ")")
	proxied := map[string]*kalam.Client{}
	for _, u := range liveUsers {
		run(fmt.Sprintf("CREATE USER '%s' WITH PASSWORD '%s' ROLE service", u, killPassword))
		r.clients[u], proxied[u] = r.client(u, r.server.url), r.client(u, r.proxy.url())
		r.moments[u] = newLiveMoment(r.model.board, r.model.own[u])
	}
	for i := range r.size.writers {
		u := liveUsers[i%len(liveUsers)]
		r.writers = append(r.writers, &liveWriter{run: r, user: u, places: [2]*livePlace{r.model.board, r.model.own[u]}, first: int64(i * liveKeysEach),
			random: rand.New(rand.NewPCG(r.seed, uint64(i)<<8|2)), every: time.Second * time.Duration(r.size.writers) / time.Duration(r.size.rate)})
	}
	r.results = liveResults(r.random, r.size.results)
	for i, u := range liveUsers {
		s := r.socket(r.clients[u], fmt.Sprintf("observer %d", i+1), u, false)
		r.add(s, &liveSub{filter: liveEverything(), place: r.model.own[u], replay: true, steady: true}, "id, op")
		if i == 0 {
			r.add(s, &liveSub{filter: liveEverything(), place: r.model.board, replay: true, steady: true}, "id, op")
		}
	}
	for i := range r.size.sockets {
		u := liveUsers[i%len(liveUsers)]
		r.sockets = append(r.sockets, r.socket(proxied[u], fmt.Sprintf("socket %d", i+1), u, i%2 == 0))
		drawn := 0
		if i < 16 && (i%8 == 1 || i%8 == 2) { // some with and some without a group
			r.add(r.sockets[i], &liveSub{filter: liveEverything(), place: r.model.board, replay: i%2 == 0}, "*")
			drawn++
		}
		for range r.size.each - drawn {
			r.draw(r.sockets[i])
		}
	}
}

func (r *liveRun) client(user, url string) *kalam.Client {
	r.t.Helper()
	c, err := kalam.New(kalam.Options{URL: url, User: user, Password: killPassword, HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

func (r *liveRun) socket(c *kalam.Client, name, user string, group bool) *liveSocket {
	r.t.Helper()
	s, err := r.openSocket(context.Background(), c, name, user, group)
	if err != nil {
		r.t.Fatalf("%s: %v", name, err)
	}
	return s
}

// draw adds a random subscriber to a socket.
func (r *liveRun) draw(s *liveSocket) {
	if s.group != nil && r.random.IntN(4) == 0 {
		q := r.results[r.random.IntN(len(r.results))]
		r.add(s, &liveSub{result: q, sql: q.sql}, "")
		return
	}
	sub := &liveSub{filter: liveFilter(r.random, r.keys), place: r.model.board, replay: r.random.IntN(2) == 0}
	if r.random.IntN(3) == 0 {
		sub.place = r.model.own[s.user]
	}
	r.add(s, sub, []string{"id, op", "id, op", "id, op, n, s", "*", "id, op, UPPER(s) AS us, g"}[r.random.IntN(5)])
}

// add subscribes.
func (r *liveRun) add(s *liveSocket, sub *liveSub, columns string) {
	r.t.Helper()
	r.named++
	sub.name = fmt.Sprintf("subscriber %d on %s", r.named, s.name)
	if sub.result == nil {
		sub.sql = "SELECT " + columns + " FROM " + sub.place.table + " WHERE " + sub.filter.sql
	}
	batch := 0
	if r.random.IntN(3) == 0 {
		batch = 3 + r.random.IntN(20)
	}
	if err := s.subscribe(sub, batch); err != nil {
		r.t.Fatalf("%s: %s: %v", sub.name, sub.sql, err)
	}
	r.subs = append(r.subs, sub)
}

// more reports whether there is to be another cycle.
func (r *liveRun) more() bool {
	r.pace.allow(r.size.most)
	return !r.t.Failed() && len(r.model.violations) == 0 && r.kills < r.size.kills
}

// turn is one cycle: load and harm, a kill, load again, and then everybody must
// have everything.
func (r *liveRun) turn() {
	r.t.Helper()
	began, share := time.Now(), int64(r.kills+1)
	r.model.label = fmt.Sprintf("seed %d, cycle %d", r.seed, r.kills+1)
	stop := r.load()
	r.trouble(share)
	r.server.kill()
	r.kills++
	stop()
	if _, err := r.server.start(); err != nil {
		r.t.Fatal(err)
	}
	for _, w := range r.writers {
		if err := w.resolve(); err != nil {
			r.t.Fatalf("a writer asks what became of its request: %v", err)
		}
	}
	stop = r.load()
	elapse(time.Duration(200+r.random.IntN(600)) * time.Millisecond)
	stop()
	took := r.converge()
	r.verify()
	c := r.proxy
	r.t.Logf("live run: cycle %d of %d took %s: %d commits (%.0f per s), %d deliveries, %d cuts, %d stalls, %d slow; %s", r.kills, r.size.kills,
		time.Since(began).Round(time.Millisecond), r.model.commits, float64(r.model.commits)/r.loaded.Seconds(), r.deliveries.Load(), c.cuts.Load(), c.stalls.Load(), c.delays.Load(), took)
}

// load lets all writers write until stop is called.
func (r *liveRun) load() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	began := time.Now()
	for _, w := range r.writers {
		all.Go(func() { w.write(ctx) })
	}
	return func() {
		cancel()
		all.Wait()
		r.loaded += time.Since(began)
	}
}

// trouble harms connections and replaces subscribers until the cycle has its
// share of cuts and deliveries, or has taken long enough.
func (r *liveRun) trouble(share int64) {
	deadline := time.Now().Add(r.size.most)
	enough := func(n, all int64) bool { return n*int64(r.size.kills) >= all*share }
	for time.Now().Before(deadline) {
		cut := enough(r.proxy.cuts.Load(), int64(r.size.cuts))
		if cut && enough(r.deliveries.Load(), r.size.deliveries) {
			return
		}
		elapse(time.Duration(10+r.random.IntN(2*int(liveLook/time.Millisecond))) * time.Millisecond * 4)
		if !cut || r.random.IntN(8) == 0 {
			r.proxy.harm(r.random)
		}
		if r.random.IntN(4) == 0 {
			r.replace()
		}
	}
}

// replace closes one subscriber and draws another on its socket.
func (r *liveRun) replace() {
	i := r.random.IntN(len(r.subs))
	old := r.subs[i]
	if old.steady {
		return
	}
	r.subs = slices.Delete(r.subs, i, i+1)
	old.retired = true
	r.gone = append(r.gone, old)
	old.client.Close()
	r.draw(old.socket)
}

// converge waits until everybody has what the model says, and says how it went.
func (r *liveRun) converge() string {
	began, moved, last := time.Now(), time.Now(), int64(-1)
	still := liveStill
	if r.faulty {
		still = liveStillFaulty
	}
	board := r.model.board.state()
	waiting := slices.Clone(r.subs)
	for {
		waiting = slices.DeleteFunc(waiting, func(s *liveSub) bool { return r.satisfied(s, board) })
		took := time.Since(began)
		if len(waiting) == 0 {
			r.slowest = max(r.slowest, took)
			return "all had everything after " + took.Round(time.Millisecond).String()
		}
		if n := r.deliveries.Load(); n != last {
			last, moved = n, time.Now()
		}
		r.pace.step()
		if time.Since(moved) > still {
			for _, s := range waiting[:min(3, len(waiting))] {
				r.t.Logf("live run: seed %d: %s [%s] does not get what it lacks; ready %v", r.seed, s.name, s.sql, s.ready)
			}
			return fmt.Sprintf("%d lack something", len(waiting))
		}
		elapse(liveLook)
	}
}

// satisfied reports whether a subscriber has what its query gives.
func (r *liveRun) satisfied(s *liveSub, board liveState) bool {
	if s.result != nil {
		digest, _ := s.result.answer(board, r.model.own[s.user].state())
		return s.has(nil, digest)
	}
	if s.place == r.model.board {
		return s.has(s.wanted(board), 0)
	}
	return s.has(s.wanted(s.place.state()), 0)
}

// verify judges all that was told since the last time.
func (r *liveRun) verify() {
	all := append(slices.Clone(r.subs), r.gone...)
	logs := make([][]liveEvent, len(all))
	told := map[string][]liveTelling{}
	for i, s := range all {
		var answers []liveTelling
		logs[i], answers = s.drain()
		told[s.user] = append(told[s.user], answers...)
		if s.result == nil {
			s.learn(r.model, logs[i])
		}
		if s.err != nil {
			s.fail(r.model, liveEnded, "was ended: %v", s.err)
		}
	}
	r.model.settle()
	board := r.model.board.state()
	for i, s := range all {
		switch {
		case s.broken:
		case s.result == nil:
			s.judge(r.model, logs[i], !s.retired)
		case !s.retired && !r.satisfied(s, board):
			_, rows := s.result.answer(board, r.model.own[s.user].state())
			slices.Sort(rows)
			s.fail(r.model, liveWrong, "has the rows %.300q, the answer is %.300q", slices.Sorted(maps.Values(s.rows)), rows)
		}
	}
	for u, answers := range told {
		r.moments[u].judgeResults(r.model, answers)
	}
	r.gone = nil
	for range 10 {
		if err := r.selected(r.subs[r.random.IntN(len(r.subs))]); err != nil {
			r.t.Fatal(err)
		}
	}
}

// report fails the test if anything was found, and says what was done.
func (r *liveRun) report() {
	r.t.Helper()
	for _, v := range r.model.violations[:min(20, len(r.model.violations))] {
		r.t.Errorf("%s", v)
	}
	for _, line := range r.model.traces[:min(40, len(r.model.traces))] {
		r.t.Log(line)
	}
	r.t.Logf("torture: run=live seed=%d subscribers=%d sockets=%d kills=%d cuts=%d stalls=%d slowed=%d commits=%d rows=%d per_second=%.0f unanswered=%d deliveries=%d violations=%d; all had everything after at most %s",
		r.seed, len(r.subs), r.size.sockets, r.kills, r.proxy.cuts.Load(), r.proxy.stalls.Load(), r.proxy.delays.Load(), r.model.commits, r.model.versions,
		float64(r.model.commits)/r.loaded.Seconds(), r.unanswered.Load(), r.deliveries.Load(), len(r.model.violations), r.slowest.Round(time.Millisecond))
}

// end closes everything.
func (r *liveRun) end() {
	for _, s := range append(r.subs, r.gone...) {
		_ = s.socket.live.Close() // always nil; once more does no harm
	}
	r.proxy.close()
	r.server.kill()
	r.listeners.Wait()
}
