package live_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"kalamdb/internal/core"
	"kalamdb/internal/disk"
)

// BenchmarkResultsUntouched commits rows that none of many subscriptions to
// results reads: each asks for a group of its own. Databases without any and with
// 1,000 take turns; what is reported are the medians of a write and their ratio.
func BenchmarkResultsUntouched(b *testing.B) {
	sizes := []int{0, 1000}
	times := make([][]time.Duration, len(sizes))
	dbs := make([]*database, len(sizes))
	for i, n := range sizes {
		db := openDB(b, disk.NewMem(), newClock(), func(o *core.Options) { o.Live.MaxPerUser, o.Live.MaxPerConnection = 1000, 1000 })
		db.exec("root", "CREATE NAMESPACE app; CREATE TABLE app.s (id BIGINT PRIMARY KEY, k BIGINT, v INT) WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC')")
		c := db.connect("c", "alice")
		for j := range n {
			if err := c.subscribe("s"+strconv.Itoa(j), fmt.Sprintf("SELECT COUNT(*) AS c, SUM(v) AS s FROM app.s WHERE k = %d", j), nil); err != nil {
				b.Fatal(err)
			}
			c.take()
		}
		dbs[i] = db
	}
	runs := dbs[1].Hub().Stats().Runs
	next := 0
	for b.Loop() {
		for i, db := range dbs {
			start := time.Now()
			db.exec("service", fmt.Sprintf("INSERT INTO app.s VALUES (%d, 5000, 1)", next))
			times[i] = append(times[i], time.Since(start))
		}
		next++
	}
	dbs[1].settle()
	none, many := median(times[0]), median(times[1])
	b.ReportMetric(float64(none.Microseconds()), "us/write-of-0")
	b.ReportMetric(float64(many.Microseconds()), "us/write-of-1000")
	b.ReportMetric(float64(many)/float64(none), "ratio")
	b.ReportMetric(float64(dbs[1].Hub().Stats().Runs-runs), "runs")
}
