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

// BenchmarkResultsFolded commits rows one by one below the live aggregate of a
// table with 100,000 rows: by the rows that changed, and, with a LIMIT that
// changes nothing, by running the statement. Both databases take turns. A write
// is timed until its difference has been told, and beside it how many commits the
// writer alone gets through.
func BenchmarkResultsFolded(b *testing.B) {
	const rows, commits = 100_000, 200
	sql := "SELECT k, COUNT(*) AS c, SUM(v) AS s, MAX(v) AS m FROM app.s GROUP BY k"
	texts := []string{sql, sql + " ORDER BY k LIMIT 1000"}
	names := []string{"folded", "run"}
	dbs, clients := make([]*database, 2), make([]*client, 2)
	for i, text := range texts {
		db := openDB(b, disk.NewMem(), newClock(), nil)
		db.exec("root", "CREATE NAMESPACE app; CREATE TABLE app.s (id BIGINT PRIMARY KEY, k BIGINT, v INT) WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC')")
		for from := 0; from < rows; from += 1000 {
			db.exec("service", fmt.Sprintf("INSERT INTO app.s SELECT g, g %% 20, g %% 977 FROM generate_series(%d, %d) AS t(g)", from, from+999))
		}
		dbs[i], clients[i] = db, db.connect("c", "alice")
		if err := clients[i].subscribe("s", text, nil); err != nil {
			b.Fatal(err)
		}
		clients[i].take()
	}
	next := rows
	told, alone := make([][]time.Duration, 2), make([]time.Duration, 2)
	for b.Loop() {
		for i, db := range dbs {
			start := time.Now()
			db.exec("service", fmt.Sprintf("INSERT INTO app.s VALUES (%d, %d, 1)", next, next%20))
			db.settle()
			told[i] = append(told[i], time.Since(start))
			clients[i].take()
		}
		next++
	}
	for i, db := range dbs {
		start := time.Now()
		for n := range commits {
			db.exec("service", fmt.Sprintf("INSERT INTO app.s VALUES (%d, %d, 1)", next+n, n%20))
		}
		alone[i] = time.Since(start)
		db.settle()
		clients[i].take()
		b.ReportMetric(float64(median(told[i]).Microseconds()), "us/told-"+names[i])
		b.ReportMetric(commits/alone[i].Seconds(), "commits/s-"+names[i])
	}
	b.ReportMetric(float64(median(told[1]))/float64(median(told[0])), "ratio")
}
