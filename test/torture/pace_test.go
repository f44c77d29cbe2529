package torture

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// paceBudget is how long a short run goes on when it has done its least: a
	// slow machine gets fewer cycles, points and rounds.
	paceBudget = 60 * time.Second
	// paceStep is how long one of them may take. Everything that a step waits for
	// has a shorter bound of its own; what is caught here is a hang.
	paceStep = 4 * time.Minute
)

// pace bounds a run in time: it tells a short one when it has done enough, and
// ends the process of one that stands still.
type pace struct {
	t     *testing.T
	most  int // steps of a run
	least int // steps that it takes however slow they are
	begin time.Time
	guard *time.Timer
	mu    sync.Mutex
	end   func() // ends what must not outlive the process
}

// newPace begins a run of most steps. Where least is smaller, paceBudget may
// end it before.
func newPace(t *testing.T, most, least int) *pace {
	t.Helper()
	p := &pace{t: t, most: most, least: min(least, most), begin: time.Now()}
	p.guard = time.AfterFunc(paceStep, p.stuck)
	t.Cleanup(func() { p.guard.Stop() })
	return p
}

// more is called before each step with the number of those done, and reports
// whether there is to be another.
func (p *pace) more(done int) bool {
	p.step()
	if done >= p.most {
		return false
	}
	return done < p.least || p.least == p.most || time.Since(p.begin) < paceBudget
}

// step says that the run goes on.
func (p *pace) step() { p.allow(0) }

// allow says the same, and that the step takes so much longer than others.
func (p *pace) allow(more time.Duration) { p.guard.Reset(paceStep + more) }

// shortened logs that a run has done less than it was to.
func (p *pace) shortened(done int, what string) {
	if done < p.most {
		p.t.Logf("%d of %d %s, at least %d: the rest would take longer than %s", done, p.most, what, p.least, paceBudget)
	}
}

// atEnd says what must not outlive the process.
func (p *pace) atEnd(end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end = end
}

// stuck ends the process: nothing else can end goroutines that wait for ever.
func (p *pace) stuck() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end != nil {
		p.end()
	}
	fmt.Fprintf(os.Stderr, "--- STUCK: %s: no step has ended within %s; the goroutines:\n%s", p.t.Name(), paceStep, stacks())
	os.Exit(2)
}

// stacks tells where all goroutines are.
func stacks() string {
	var text strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		return err.Error()
	}
	return text.String()
}

// TestPace: a slow machine gets less, but never less than the least; a run that
// must do all of it does.
func TestPace(t *testing.T) {
	f := func(most, least int, slow bool, want int) {
		t.Helper()
		p := newPace(t, most, least)
		if slow {
			p.begin = p.begin.Add(-2 * paceBudget)
		}
		done := 0
		for p.more(done) {
			done++
		}
		if done != want {
			t.Errorf("a run of %d steps, at least %d, slow %v, takes %d; want %d", most, least, slow, done, want)
		}
	}
	f(6, 2, false, 6)
	f(6, 2, true, 2)
	f(6, 6, true, 6)
	f(1, 2, true, 1)
}

// TestDoomedCall: whoever asks a node that is doomed gets an answer, also when
// the node gives none any more.
func TestDoomedCall(t *testing.T) {
	n := &node{doom: make(chan struct{})}
	never, asked, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		<-asked
		n.doomed.Store(true)
		close(n.doom)
	}()
	_, err := ask(n, "a call that hangs", func() (int, error) {
		defer close(left)
		close(asked)
		<-never
		return 1, nil
	})
	if !errors.Is(err, errDoomed) {
		t.Errorf("a call of a doomed node ends with %v", err)
	}
	close(never)
	<-left
	if _, err := ask(n, "a call", func() (int, error) { t.Error("a doomed node was asked"); return 1, nil }); !errors.Is(err, errDoomed) {
		t.Errorf("a call after the end ends with %v", err)
	}
}
