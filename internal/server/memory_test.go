package server

import (
	"errors"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/config"
	"kalamdb/internal/fault"
)

// TestMemoryGuard: from half of the budget on what DuckDB has freed is given back
// from time to time; beyond the budget all that is unused is given back first, and
// a statement ends only when that is not enough.
func TestMemoryGuard(t *testing.T) {
	taken, back := int64(0), int64(0)
	var ended []error
	gave, trimmed := 0, 0
	g := &memoryGuard{
		budget:   100,
		taken:    func() (int64, bool) { return taken, true },
		trim:     func() { trimmed++ },
		giveBack: func() { gave++; taken -= back },
		end:      func(reason error) bool { ended = append(ended, reason); return len(ended) < 3 },
	}
	var given time.Time
	now := time.Unix(1, 0)
	step := func(memory, unused int64, wantGave, wantEnded int, wantNext time.Duration) {
		t.Helper()
		taken, back = memory, unused
		if next := g.look(now, &given); next != wantNext || gave != wantGave || len(ended) != wantEnded {
			t.Errorf("%d bytes, %d unused: given back %d times, %d statements ended, next look in %v", memory, unused, gave, len(ended), next)
		}
	}
	step(24, 0, 0, 0, lookSeldom)
	step(49, 0, 0, 0, lookOften)
	if trimmed != 0 {
		t.Errorf("given back below half of the budget")
	}
	step(50, 0, 0, 0, lookOften)
	step(99, 0, 0, 0, lookOften)
	if trimmed != 1 {
		t.Errorf("what was freed was given back %d times at once", trimmed)
	}
	step(105, 20, 1, 0, lookOften)
	step(120, 20, 1, 1, lookOften) // it has just been given back
	now = now.Add(giveBackEvery)
	step(130, 20, 2, 2, lookOften)
	step(130, 20, 2, 3, lookOften) // nothing runs any more
	if g.most.Load() != 130 || g.ended.Load() != 2 {
		t.Errorf("at most %d bytes, %d statements ended", g.most.Load(), g.ended.Load())
	}
	if !fault.Is(errors.Join(ended...), fault.LimitExceeded) || !strings.Contains(ended[0].Error(), "memory.budget") {
		t.Errorf("statements end with %v", ended)
	}
}

// TestGoKeepsToTheBudget: Go's limit is what the parts outside of its heap leave,
// while the server runs; that of an operator stays.
func TestGoKeepsToTheBudget(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	o := config.Defaults()
	o.Memory.Budget = 1 << 30
	if err := o.SettleMemory(); err != nil {
		t.Fatal(err)
	}
	before := debug.SetMemoryLimit(-1)
	end := bounded(&o)
	if got, want := debug.SetMemoryLimit(-1), int64(1<<30-3*(1<<27)-(1<<25)-4*(1<<23)); got != want {
		t.Errorf("Go may have %d bytes, not %d", got, want)
	}
	end()
	t.Setenv("GOMEMLIMIT", "1GiB")
	bounded(&o)()
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("Go was left with %d bytes", got)
	}
	if _, err := os.Stat("/proc/self/statm"); err == nil {
		if n, ok := anonymous(); !ok || n < 1<<20 {
			t.Errorf("this process takes %d bytes", n)
		}
	}
}
