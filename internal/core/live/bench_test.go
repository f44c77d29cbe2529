package live_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"kalamdb/internal/core"
	"kalamdb/internal/disk"
)

// BenchmarkBroadcast commits a row that 100,000 subscriptions of 1,000
// connections select, and takes all their frames.
func BenchmarkBroadcast(b *testing.B) {
	const connections, each = 1000, 100
	db := openDB(b, disk.NewMem(), newClock(), func(o *core.Options) {
		o.Live.MaxPerUser, o.Live.MaxPerConnection, o.Live.OutboxBytes = connections*each, each, 1<<20
	})
	db.exec("root", "CREATE NAMESPACE app; CREATE TABLE app.s (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC')")
	clients := make([]*client, connections)
	for i := range clients {
		clients[i] = db.connect("c"+strconv.Itoa(i), "alice")
		for j := range each {
			if err := clients[i].subscribe("s"+strconv.Itoa(j), "SELECT * FROM app.s", nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	var frames []core.LiveFrame
	drain := func() (n int) {
		for _, c := range clients {
			for c.conn.Waiting() {
				frames, _ = c.conn.Take(context.Background(), frames[:0], 1<<20)
				n += len(frames)
			}
		}
		return n
	}
	drain()
	next := 0
	for b.Loop() {
		db.exec("service", fmt.Sprintf("INSERT INTO app.s VALUES (%d, 'a row for everybody')", next))
		next++
		db.settle()
		if n := drain(); n != connections*each {
			b.Fatalf("%d frames", n)
		}
	}
	b.ReportMetric(float64(connections*each)*float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

// BenchmarkRouted commits rows that one subscription of many selects, and takes
// its frame: the cost of a write must not grow with those it does not match.
// Databases with 1, 10,000 and 100,000 subscriptions take turns, so that what
// else the machine does meets all of them; what is reported are the medians, and
// their ratios to that of one subscription: "same" when every write is for the
// same one of them, "any" when each is for another, which nothing has in a cache.
func BenchmarkRouted(b *testing.B) {
	for _, kind := range []struct{ name, where string }{
		{"equal", "thread_id = %d"},
		{"two", "room = 1 AND thread_id = %d"},
		{"range", "thread_id BETWEEN %[1]d AND %[1]d"},
		{"prefix", "topic LIKE 't%d/%%'"},
	} {
		b.Run(kind.name, func(b *testing.B) {
			sizes := []int{1, 10_000, 100_000}
			var all []*crowd
			for _, n := range sizes {
				all = append(all, newCrowd(b, kind.where, n))
			}
			for b.Loop() {
				for _, c := range all {
					c.write(c.each*len(c.clients)/2, &c.same)
				}
				for _, c := range all {
					c.write(c.next*7919%(len(c.clients)*c.each), &c.any)
				}
			}
			same, any := median(all[0].same), median(all[0].any)
			b.ReportMetric(float64(same.Microseconds()), "us/write-of-1")
			for i, n := range sizes[1:] {
				b.ReportMetric(float64(median(all[i+1].same))/float64(same), fmt.Sprintf("same-ratio-of-%d", n))
				b.ReportMetric(float64(median(all[i+1].any))/float64(any), fmt.Sprintf("any-ratio-of-%d", n))
			}
			big := all[len(all)-1]
			b.ReportMetric(float64(big.db.Hub().Stats().Evaluations)/float64(big.next), "evaluations/write")
			b.ReportMetric(big.memory, "B/subscription")
		})
	}
}

// crowd is a database with many subscriptions.
type crowd struct {
	b       *testing.B
	db      *database
	clients []*client
	each    int     // subscriptions of a client
	memory  float64 // bytes per subscription
	frames  []core.LiveFrame
	next    int             // id of the next row
	same    []time.Duration // from a write to its frame
	any     []time.Duration
}

func newCrowd(b *testing.B, where string, n int) *crowd {
	each := min(n, 100)
	db := openDB(b, disk.NewMem(), newClock(), func(o *core.Options) {
		o.Live.MaxPerUser, o.Live.MaxPerConnection = n, each
	})
	db.exec("root", "CREATE NAMESPACE app; CREATE TABLE app.s (id BIGINT PRIMARY KEY, room INT, thread_id BIGINT, topic TEXT, body TEXT) WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC')")
	c := &crowd{b: b, db: db, clients: make([]*client, n/each), each: each}
	before := heap()
	for i := range c.clients {
		c.clients[i] = db.connect("c"+strconv.Itoa(i), "alice")
		for j := range each {
			if err := c.clients[i].subscribe("s"+strconv.Itoa(j), "SELECT * FROM app.s WHERE "+fmt.Sprintf(where, i*each+j), nil); err != nil {
				b.Fatal(err)
			}
		}
		c.frames, _ = c.clients[i].conn.Take(context.Background(), c.frames[:0], 1<<20)
	}
	clear(c.frames)
	c.memory = (float64(heap()) - float64(before)) / float64(n)
	return c
}

// write commits a row for one subscription and waits for its frame.
func (c *crowd) write(thread int, times *[]time.Duration) {
	start := time.Now()
	c.db.exec("service", fmt.Sprintf("INSERT INTO app.s VALUES (%d, 1, %d, 't%d/x', 'a row for one')", c.next, thread, thread))
	conn := c.clients[thread/c.each].conn
	for !conn.Waiting() {
		runtime.Gosched()
	}
	c.frames, _ = conn.Take(context.Background(), c.frames[:0], 1<<20)
	*times = append(*times, time.Since(start))
	c.next++
	if len(c.frames) != 1 {
		c.b.Fatalf("%d frames", len(c.frames))
	}
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// heap returns the bytes in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
