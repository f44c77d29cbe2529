package apply_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// crashPoints is how many moments a crash test looks at.
func crashPoints(t *testing.T) int {
	if testing.Short() {
		return 40
	}
	return 250
}

// witness knows what a running node has told anybody.
type witness struct {
	mu     sync.Mutex
	synced []seen // published commits that asked for an fsync
	lazy   []seen // published relaxed ones
}

type seen struct {
	position uint64
	scope    schema.Scope
	id       int64
}

// note takes published commits; ids below zero are of relaxed ones.
func (w *witness) note(commits []command.Commit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range commits {
		s := seen{position: c.Position}
		if len(c.Changes) == 0 {
			w.synced = append(w.synced, s)
			continue
		}
		s.scope = c.Changes[0].Scope
		if s.id = int64(c.Changes[0].PrevSeq); strings.HasPrefix(string(s.scope), "lazy") {
			w.lazy = append(w.lazy, s)
		} else {
			w.synced = append(w.synced, s)
		}
	}
}

func (w *witness) now() (synced, lazy []seen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.synced, w.lazy
}

// load runs writers until budget is closed, one change for each token: inserts,
// updates and deletes, each writer in a scope of its own, every third relaxed.
func (n *node) load(note *schema.Table, writers int, round int, budget <-chan struct{}, all *sync.WaitGroup) {
	for w := range writers {
		name, durability := "firm", schema.Sync
		if w%3 == 2 {
			name, durability = "lazy", schema.Relaxed
		}
		scope := schema.Scope(fmt.Sprint(name, round, "-", w))
		all.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(w), uint64(round)))
			var last uint64
			i := int64(-1)
			for range budget {
				i++
				body := insert(note, scope, i, strings.Repeat("x", chance.IntN(300)))
				switch {
				case i%5 == 3:
					body = update(note, scope, i-1, last, "updated")
				case i%5 == 4:
					body = remove(note, scope, i-2, last, "updated")
				}
				r, err := n.local.Commit(context.Background(), &command.Command{Time: moment0, Durability: durability, Body: body})
				if err != nil {
					n.t.Errorf("writer %s, change %d: %v", scope, i, err)
					return
				}
				last = r.FirstSeq
			}
		})
	}
}

// TestCrashTakesNothingBack clones the disk at random moments under load and
// opens the clones: what was published after its fsync is there, what was
// relaxed and is gone has expired, counters agree with the rows.
func TestCrashTakesNothingBack(t *testing.T) {
	points := crashPoints(t)
	const generations = 4
	d := disk.NewMem()
	var past witness // of the generations before, as far as they survived
	for generation := range generations {
		w := &witness{}
		n := openNode(t, options{disk: d, apply: apply.Options{Publish: w.note}})
		var note *schema.Table
		if generation == 0 {
			note = n.create("note", schema.User)
		} else {
			note, _ = n.local.Definitions().Table("app", "note")
		}
		const perPoint = 60
		budget := make(chan struct{}, perPoint)
		var all sync.WaitGroup
		n.load(note, 6, generation, budget, &all)
		chance := rand.New(rand.NewPCG(uint64(generation), 5))
		var next *disk.Mem
		for point := range points / generations {
			for range chance.IntN(perPoint) {
				budget <- struct{}{}
			}
			synced, lazy := w.now()
			clone := d.CrashClone(uint64(point), chance.IntN(101))
			all := append(append([]seen(nil), past.synced...), synced...)
			lost := append(append([]seen(nil), past.lazy...), lazy...)
			checkClone(t, clone.CrashClone(0, 100), all, lost)
			next = clone
			past = witness{synced: past.synced, lazy: past.lazy}
			if point == points/generations-1 {
				past.synced, past.lazy = all, lost
			}
		}
		close(budget)
		all.Wait()
		n.close()
		d = next
	}
}

// checkClone opens a crashed disk and compares it with what was seen.
func checkClone(t *testing.T, d *disk.Mem, synced, lazy []seen) {
	t.Helper()
	s, err := store.Open(store.Options{FS: d, Dir: "data", Now: clockAt(moment0), Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	recovered, err := store.Position(s.Reader())
	if err != nil {
		t.Fatal(err)
	}
	local, err := apply.Open(apply.Options{Store: s, Now: clockAt(moment0), NodeID: 1})
	if err != nil {
		t.Fatal(err)
	}
	view := local.View()
	greatest := uint64(0)
	for _, c := range synced {
		greatest = max(greatest, c.position)
		if c.position > recovered {
			t.Errorf("synced commit %d was published and is lost: recovered up to %d", c.position, recovered)
		}
	}
	for _, c := range lazy {
		greatest = max(greatest, c.position)
		err := view.CheckCursor(c.position)
		if c.position > recovered && !fault.Is(err, fault.CursorExpired) {
			t.Errorf("relaxed commit %d is lost (recovered up to %d) and its position still passes: %v", c.position, recovered, err)
		}
	}
	if err := view.CheckCursor(recovered); err != nil {
		t.Errorf("the last recovered position: %v", err)
	}
	if next := schema.NextSeq(local.Position(), moment0, 1); next <= greatest {
		t.Errorf("the next position is %d, but %d has been seen", next, greatest)
	}
	if note, ok := view.Definitions().Table("app", "note"); ok {
		checkCounts(t, view, note)
	}
	view.Release()
	local.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// checkCounts compares the counters of all partitions with their rows, and the
// rows by key with those by seq.
func checkCounts(t *testing.T, view *catalog.View, note *schema.Table) {
	t.Helper()
	scopes, err := table.Scopes(view.Reader(), note, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, scope := range scopes {
		counts, err := table.Counts(view.Reader(), note, scope)
		if err != nil {
			t.Fatal(err)
		}
		var found [2]schema.Counts
		for i, order := range []table.Order{table.ByKey, table.BySeq} {
			scan, err := table.NewScan(view.Reader(), note, scope, table.ScanOptions{Order: order})
			if err != nil {
				t.Fatal(err)
			}
			for scan.Next(context.Background()) {
				found[i].HotRows++
				found[i].Bytes += int64(len(scan.Version().Row))
			}
			if err := errors.Join(scan.Err(), scan.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if want := (schema.Counts{HotRows: counts.HotRows, Bytes: counts.Bytes}); found[0] != want || found[1] != want || counts.ColdRows != 0 {
			t.Errorf("%s: counted %+v, found %+v by key and %+v by seq", scope, counts, found[0], found[1])
		}
	}
}

// TestCeilingIsWrittenForRelaxedCommitsOnly looks at sys before and after.
func TestCeilingIsWrittenForRelaxedCommitsOnly(t *testing.T) {
	n := openNode(t, options{})
	defer n.close()
	note := n.create("note", schema.User)
	n.must(insert(note, "al", 1, "x"))
	ceiling := func() uint64 {
		c, err := store.Ceiling(n.store.Reader())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if got := ceiling(); got != 0 {
		t.Errorf("the ceiling is %d before any relaxed commit", got)
	}
	relaxed := func(id, time int64) uint64 {
		r, err := n.local.Commit(context.Background(), &command.Command{Time: time, Durability: schema.Relaxed, Body: insert(note, "al", id, "x")})
		if err != nil {
			t.Fatal(err)
		}
		return r.Position
	}
	if p := relaxed(2, moment0); p >= ceiling() {
		t.Errorf("relaxed commit %d is not below the ceiling %d", p, ceiling())
	}
	first := ceiling()
	if relaxed(3, moment0+1_000_000); ceiling() != first {
		t.Error("the ceiling was raised with 9 s left")
	}
	relaxed(4, moment0+6_000_000)
	n.must(insert(note, "al", 40, "behind the raise"))
	if ceiling() <= first {
		t.Error("the ceiling was not raised ahead of need")
	}
	if p := relaxed(5, moment0+60_000_000); p >= ceiling() {
		t.Errorf("relaxed commit %d, a minute later, is not below the ceiling %d", p, ceiling())
	}
	// One that has a group of its own needs it as much.
	job := &command.PutJob{Job: schema.Job{ID: "CL-1", Type: "cleanup", Status: schema.JobQueued}, Create: true}
	alone, err := n.local.Commit(context.Background(), &command.Command{Time: moment0 + 120_000_000, Durability: schema.Relaxed, Body: job})
	if err != nil || alone.Position >= ceiling() {
		t.Errorf("the row of a job at %d is not below the ceiling %d: %v", alone.Position, ceiling(), err)
	}
	stats := n.local.Stats()
	if stats.Relaxed != 5 {
		t.Errorf("%d relaxed commits are counted, want 5", stats.Relaxed)
	}
}

// TestCleanStopLosesNothing keeps relaxed commits over a clean restart.
func TestCleanStopLosesNothing(t *testing.T) {
	d := disk.NewMem()
	n := openNode(t, options{disk: d})
	note := n.create("note", schema.User)
	r, err := n.local.Commit(context.Background(), &command.Command{Time: moment0, Durability: schema.Relaxed, Body: insert(note, "al", 1, "x")})
	if err != nil {
		t.Fatal(err)
	}
	n.close()
	n = openNode(t, options{disk: d.CrashClone(1, 0)})
	defer n.close()
	if err := n.checkCursor(r.Position); err != nil {
		t.Error(err)
	}
	if lost := n.lost(); len(lost) > 0 {
		t.Errorf("lost ranges after a clean stop: %v", lost)
	}
}

func (n *node) lost() []store.Range {
	view := n.local.View()
	defer view.Release()
	return view.History().Lost
}

// TestLostRangesLeaveWithHistory crashes twice and forgets what was before.
func TestLostRangesLeaveWithHistory(t *testing.T) {
	d := disk.NewMem()
	var note *schema.Table
	for crash := range 2 {
		n := openNode(t, options{disk: d})
		if crash == 0 {
			note = n.create("note", schema.User)
		}
		time := moment0 + int64(crash)*60_000_000
		var r command.Receipt
		for i := range int64(2) { // the first may share the fsync of the ceiling
			var err error
			body := insert(note, "al", 2*int64(crash)+i, "x")
			r, err = n.local.Commit(context.Background(), &command.Command{Time: time, Durability: schema.Relaxed, Body: body})
			if err != nil {
				t.Fatal(err)
			}
		}
		next := d.CrashClone(1, 0)
		n.close()
		d = next
		n = openNode(t, options{disk: d})
		if err := n.checkCursor(r.Position); !fault.Is(err, fault.CursorExpired) {
			t.Errorf("crash %d: the lost position %d: %v", crash, r.Position, err)
		}
		if got := len(n.lost()); got != crash+1 {
			t.Errorf("crash %d: %d lost ranges", crash, got)
		}
		next = d.CrashClone(1, 0)
		n.close()
		d = next
	}
	n := openNode(t, options{disk: d})
	defer n.close()
	n.must(command.ForgetHistory{Window: table.HistoryWindow(n.local.Position()) - 2})
	if got := len(n.lost()); got != 1 {
		t.Errorf("%d lost ranges after the first one was forgotten, want 1", got)
	}
}

// TestStartThatFailsForgetsNoCrash ends a start behind a crash in order, but
// before the lost positions were noted, as one without a secret does.
func TestStartThatFailsForgetsNoCrash(t *testing.T) {
	d := disk.NewMem()
	n := openNode(t, options{disk: d})
	note := n.create("note", schema.User)
	var lost uint64
	for id := range int64(2) { // the first may share the fsync of the ceiling
		r, err := n.local.Commit(context.Background(), &command.Command{Time: moment0, Durability: schema.Relaxed, Body: insert(note, "al", id, "x")})
		if err != nil {
			t.Fatal(err)
		}
		lost = r.Position
	}
	next := d.CrashClone(1, 0)
	n.close()
	s, err := store.Open(store.Options{FS: next, Dir: "data", Now: clockAt(moment0), Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	n = openNode(t, options{disk: next})
	defer n.close()
	if err := n.checkCursor(lost); !fault.Is(err, fault.CursorExpired) || len(n.lost()) != 1 {
		t.Errorf("the lost position %d: %v; lost ranges %v", lost, err, n.lost())
	}
	if p := n.must(insert(note, "al", 3, "x")).Position; p <= lost {
		t.Errorf("position %d after %d was given out", p, lost)
	}
}

// TestFailedSyncAcknowledgesNothing lets the log fail under load: the loops end
// through the fatal call and nobody is told of success any more.
func TestFailedSyncAcknowledgesNothing(t *testing.T) {
	var broken atomic.Bool
	var calls atomic.Int64
	mem := disk.NewMem()
	faulty := disk.Inject(mem, func(op disk.Op) error {
		if broken.Load() && op.Kind == disk.OpSync && strings.HasSuffix(op.Path, ".log") {
			return errors.New("the disk is gone")
		}
		return nil
	})
	fatal := func(string, ...any) {
		calls.Add(1)
		runtime.Goexit()
	}
	n := openNode(t, options{disk: faulty, fatal: fatal})
	note := n.create("note", schema.User)
	n.must(insert(note, "al", 1, "before"))
	broken.Store(true)
	var all sync.WaitGroup
	for w := range 20 {
		all.Go(func() {
			for i := range int64(20) {
				_, err := n.commit(insert(note, schema.Scope(fmt.Sprint("u", w)), i, "x"))
				if err == nil {
					t.Error("a commit was acknowledged after its sync had failed")
				}
			}
		})
	}
	all.Wait()
	if calls.Load() == 0 {
		t.Error("the fatal call was not made")
	}
	if err := n.stop(); err == nil {
		t.Error("Run ended without an error")
	}
	for _, c := range n.published()[3:] {
		t.Errorf("commit %d was published", c.Position)
	}
}
