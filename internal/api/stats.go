package api

import (
	"crypto/rand"
	"encoding/hex"
	"runtime/debug"
	"strconv"
	"sync/atomic"

	"kalamdb/internal/fault"
)

// Stats counts what a Server has done since the start.
type Stats struct {
	Requests        int64                // all of them
	Refused         int64                // by protection of addresses
	Statements      int64                // SQL requests that were run
	Aborted         int64                // streamed answers that were cut off
	Panics          int64                // handlers that panicked
	Connections     int64                // open now, WebSockets excepted
	ConnectionsPeak int64                // most at one time
	Faults          map[fault.Code]int64 // SQL requests that failed, by fault
}

// counters are the atomics behind Stats. The map is complete when it is made.
type counters struct {
	requests, refused, statements, aborted, panics atomic.Int64
	faults                                         map[fault.Code]*atomic.Int64
}

func newFaultCounters() map[fault.Code]*atomic.Int64 {
	c := make(map[fault.Code]*atomic.Int64)
	for _, code := range fault.Codes() {
		c[code] = new(atomic.Int64)
	}
	return c
}

func (c *counters) failed(code fault.Code) {
	if n, ok := c.faults[code]; ok {
		n.Add(1)
	}
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	open, peak := s.gate.open()
	out := Stats{
		Requests: s.stats.requests.Load(), Refused: s.stats.refused.Load(),
		Statements: s.stats.statements.Load(), Aborted: s.stats.aborted.Load(),
		Panics: s.stats.panics.Load(), Connections: int64(open), ConnectionsPeak: int64(peak),
		Faults: make(map[fault.Code]int64),
	}
	for code, n := range s.stats.faults {
		if v := n.Load(); v > 0 {
			out.Faults[code] = v
		}
	}
	return out
}

// requestIDs names requests that came without a name: the start of this
// process and a number.
type requestIDs struct {
	prefix string
	last   *atomic.Uint64
}

func newRequestIDs() requestIDs {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails; crypto/rand ends the process instead
	return requestIDs{prefix: hex.EncodeToString(random[:]) + "-", last: new(atomic.Uint64)}
}

func (r requestIDs) next() string {
	return r.prefix + strconv.FormatUint(r.last.Add(1), 16)
}

// stack is the goroutine's trace for the log, bounded.
func stack() string {
	text := debug.Stack()
	return string(text[:min(len(text), 16<<10)])
}
