package server

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// garbageMin is how many bytes of garbage gather before a collection, however
// small the heap is; a heap that is larger is collected when it has doubled, as
// Go does by itself. A server at work has a few MiB of heap, which would
// otherwise be collected some hundred times a second.
const garbageMin = 24 << 20

// Percentages of garbage to live heap.
const (
	garbageUsual = 100
	garbageMost  = 1000
)

// garbage follows the size of the heap from collection to collection.
type garbage struct {
	mu      sync.Mutex
	percent int // in force
	ended   bool
}

// mark dies at each collection; its finalizer looks at the heap.
type mark struct{ of *garbage }

// letGarbageWait begins to follow the heap and returns what ends it. An operator
// who sets GOGC is left in charge.
func letGarbageWait() func() {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	g := &garbage{percent: garbageUsual}
	g.follow()
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.ended = true
		debug.SetGCPercent(garbageUsual)
	}
}

// follow sets the percentage for the heap as it is, and again at the next
// collection.
func (g *garbage) follow() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if live[0].Value.Kind() != metrics.KindUint64 {
		return // another version of Go
	}
	percent := garbagePercent(live[0].Value.Uint64())
	if diff := percent - g.percent; diff > g.percent/8 || -diff > g.percent/8 {
		debug.SetGCPercent(percent)
		g.percent = percent
	}
	runtime.SetFinalizer(&mark{g}, func(m *mark) { m.of.follow() })
}

// garbagePercent returns the garbage that a live heap may gather, in percent.
func garbagePercent(live uint64) int {
	return int(min(max(garbageMin*100/max(live, 1), garbageUsual), garbageMost))
}
