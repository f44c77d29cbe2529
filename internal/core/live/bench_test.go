package live_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

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

// BenchmarkIrrelevant commits rows that none of 100,000 subscriptions with an
// equality selects.
func BenchmarkIrrelevant(b *testing.B) {
	const connections, each = 100, 1000
	db := openDB(b, disk.NewMem(), newClock(), func(o *core.Options) {
		o.Live.MaxPerUser, o.Live.MaxPerConnection = connections*each, each
	})
	db.exec("root", "CREATE NAMESPACE app; CREATE TABLE app.s (id BIGINT PRIMARY KEY, room INT) WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC')")
	for i := range connections {
		c := db.connect("c"+strconv.Itoa(i), "alice")
		for j := range each {
			if err := c.subscribe("s"+strconv.Itoa(j), fmt.Sprintf("SELECT * FROM app.s WHERE room = %d", i*each+j), nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	next := 0
	for b.Loop() {
		db.exec("service", fmt.Sprintf("INSERT INTO app.s VALUES (%d, -1)", next))
		next++
		db.settle()
	}
}
