package torture

import (
	"fmt"
	"math/rand/v2"
	"path"
	"runtime"
	"strings"
	"sync"

	"kalamdb/internal/disk"
	"kalamdb/test/torture/history"
)

// idle lets others run for a while, without a clock.
func idle(rounds int) {
	for range rounds {
		runtime.Gosched()
	}
}

// point is a disk as a power cut at one moment leaves it, and what was known
// then.
type point struct {
	number int
	disk   *disk.Mem
	h      *history.History
	clock  *memClock
	where  string // the operation that had not been done yet
	seed   uint64
}

// crasher takes crash points out of a running node: it stands before each
// operation of the disk and draws whether the power fails there.
type crasher struct {
	mem   *disk.Mem
	h     *history.History
	clock *memClock
	label string
	out   chan point
	ended chan struct{} // closed by stop

	mu     sync.Mutex
	random *rand.Rand
	closed bool
	next   int             // number of the next point
	most   int             // points to take
	rate   int             // one in so many writes and syncs of the log
	kinds  map[string]int  // points by kind of operation
	turn   func(times int) // lets readers read, once there are some
	slow   bool            // syncs take their time now and then
}

// kindOf names the part of the database that an operation belongs to.
func kindOf(op disk.Op) string {
	base := path.Base(op.Path)
	part := "other"
	switch {
	case strings.HasSuffix(base, ".log"):
		part = "log"
	case strings.HasPrefix(base, "MANIFEST") || strings.HasPrefix(base, "marker."):
		part = "manifest"
	case strings.HasSuffix(base, ".sst"):
		part = "sstable"
	case strings.Contains(op.Path, "parquet") || strings.Contains(op.Path, "/cold") || strings.Contains(base, "manifest.json"):
		part = "cold file"
	}
	return part + " " + string(op.Kind)
}

// changes reports whether an operation changes the disk.
func changes(op disk.Op) bool {
	switch op.Kind {
	case disk.OpCreate, disk.OpRemove, disk.OpRename, disk.OpLink, disk.OpMkdir, disk.OpWrite, disk.OpSync:
		return true
	}
	return false
}

// hook is called before every operation.
func (c *crasher) hook(op disk.Op) error {
	if !changes(op) {
		return nil
	}
	c.mu.Lock()
	rate := c.rate
	log := strings.HasSuffix(op.Path, ".log")
	if !log {
		rate = (rate + 3) / 4
	}
	take := !c.closed && c.next < c.most && c.random.IntN(rate) == 0
	pause := 0
	if c.slow && log && op.Kind == disk.OpSync && (take || c.random.IntN(8) == 0) {
		pause = 20 + c.random.IntN(300)
	}
	var p point
	percent := 0
	if take {
		p = point{number: c.next, where: kindOf(op), seed: c.random.Uint64()}
		percent = []int{0, 100, c.random.IntN(101), c.random.IntN(101)}[c.random.IntN(4)]
		c.next++
		c.kinds[p.where]++
	}
	turn := c.turn
	c.mu.Unlock()
	if pause > 0 && turn != nil {
		turn(6)
	}
	idle(pause)
	if !take {
		return nil
	}
	p.h = c.h.Fork(fmt.Sprintf("%s, crash point %d before %s", c.label, p.number, p.where))
	p.disk = c.mem.CrashClone(p.seed, percent)
	p.h.Include(c.h)
	p.clock = c.clock.at()
	select {
	case c.out <- p:
	case <-c.ended:
	}
	return nil
}

// serve says how readers are made to read.
func (c *crasher) serve(turn func(times int)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn = turn
}

// stop takes no more points.
func (c *crasher) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.ended)
	}
}
