package server

import (
	"context"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"kalamdb/internal/config"
	"kalamdb/internal/fault"
)

// How often the memory of the process is looked at: while there is plenty, and
// from a quarter of the budget on. A look takes some microseconds; in the shorter
// time a runaway statement takes a few MiB beyond its bounds.
const (
	lookSeldom = 250 * time.Millisecond
	lookOften  = 10 * time.Millisecond
	// giveBackEvery is how often unused memory is given back at most: beyond the
	// budget it costs a collection.
	giveBackEvery = 500 * time.Millisecond
)

// memoryGuard holds the process to memory.budget. The parts have bounds of their
// own, and Go collects its garbage in time for what they leave; but DuckDB takes
// some of its memory without counting it, an allocator keeps what was freed, and
// values being built add up. From half of the budget on the guard gives back what
// DuckDB has freed, which its allocator would keep; beyond the budget it gives back
// all that nobody uses, and when that is not enough it ends the statement that has
// run longest.
type memoryGuard struct {
	budget int64
	// end ends a statement for a reason and reports whether there was one.
	end func(reason error) bool
	// trim returns what the analytic path has freed to the operating system, and
	// giveBack all that is not used.
	trim, giveBack func()
	trimmed        time.Time // when trim was called last
	// taken is the memory of the process that no file backs, or false where the
	// system does not tell.
	taken func() (int64, bool)

	most  atomic.Int64 // seen so far
	ended atomic.Int64 // statements
}

// bounded makes Go keep to what the budget leaves it, until the returned function
// is called. An operator who sets GOMEMLIMIT is left in charge.
func bounded(c *config.Options) func() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	before := debug.SetMemoryLimit(c.GoMemory())
	return func() { debug.SetMemoryLimit(before) }
}

// run looks until ctx ends.
func (g *memoryGuard) run(ctx context.Context) error {
	if _, ok := g.taken(); !ok {
		return nil
	}
	timer := time.NewTimer(lookSeldom)
	defer timer.Stop()
	var given time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-timer.C:
			timer.Reset(g.look(now, &given))
		}
	}
}

// look does what must be done and returns when to look again. given is when
// memory was given back last.
func (g *memoryGuard) look(now time.Time, given *time.Time) time.Duration {
	taken, _ := g.taken()
	g.most.Store(max(g.most.Load(), taken))
	switch {
	case taken < g.budget/4:
		return lookSeldom
	case taken < g.budget:
		if taken >= g.budget/2 && now.Sub(g.trimmed) >= giveBackEvery {
			g.trim()
			g.trimmed = now
		}
		return lookOften
	}
	// Far beyond it there is no time for a collection first.
	if taken < g.budget+g.budget/16 && now.Sub(*given) >= giveBackEvery {
		g.giveBack()
		*given = now
		if taken, _ = g.taken(); taken < g.budget {
			return lookOften
		}
	}
	if g.end(fault.New(fault.LimitExceeded, "the server would need more than the %d bytes of its memory.budget; ask for less at a time", g.budget)) {
		g.ended.Add(1)
	}
	if now.Sub(*given) >= giveBackEvery {
		g.giveBack()
		*given = now
	}
	return lookOften
}

// anonymous is the memory of this process that no file backs.
func anonymous() (int64, bool) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text))
	if len(fields) < 3 {
		return 0, false
	}
	resident, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0, false
	}
	shared, err := strconv.ParseInt(fields[2], 10, 64)
	return (resident - shared) * int64(os.Getpagesize()), err == nil
}

// newMemoryGuard guards this process and the statements of its database.
func (s *Server) newMemoryGuard() *memoryGuard {
	return &memoryGuard{
		budget: s.o.Config.Memory.Budget, end: s.db.EndLongest, taken: anonymous,
		trim: s.db.GiveBack,
		giveBack: func() {
			s.db.GiveBack()
			debug.FreeOSMemory()
		},
	}
}
