package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"kalamdb/bench/live"
	"kalamdb/bench/load"
	"kalamdb/bench/proc"
	"kalamdb/bench/stat"
	"kalamdb/bench/target"
)

const (
	routingRatio     = 1.2 // of the latency with one subscription, with 100,000
	routingRatioMore = 1.5 // with a million
	routingBytes     = 150 // of a subscription
	snapshotRows     = 0.5 // million rows per second
	snapshotFew      = 1.0 // ms for a page of 1,000 rows
	missedRows       = 10_000
	missedLimit      = 5.0 // ms
)

// runRouting times the event of a row that one subscription of many selects, and
// what a subscription takes in memory.
func runRouting(ctx context.Context, b *bench) error {
	s, err := b.startKalam(ctx, filepath.Join(b.data, "routing"))
	if err != nil {
		return err
	}
	if _, err := s.sql(ctx, "CREATE NAMESPACE bench"); err != nil {
		return err
	}
	steps := []int{1, 10_000, 100_000, 1_000_000}
	settle := rested
	if b.short {
		steps, settle = []int{1, 100}, 200*time.Millisecond
	}
	steps = slices.DeleteFunc(steps, func(n int) bool { return n > b.crowd })
	job := live.Job{Scenario: live.Routing, Steps: steps, Rounds: b.rounds, Settle: settle, Job: load.Job{Conns: 1, Warm: b.warm(), Measure: b.window()}}
	for _, n := range steps {
		t := fmt.Sprintf("bench.crowd_%d", n)
		job.Tables = append(job.Tables, t)
		if _, err := s.sql(ctx, "CREATE TABLE "+t+" (id BIGINT PRIMARY KEY, v TEXT, n INT) WITH (TYPE = 'SHARED', ACCESS_LEVEL = 'PUBLIC', DURABILITY = 'relaxed')"); err != nil {
			return err
		}
	}
	r, err := b.listen(ctx, s, job)
	if err != nil {
		return err
	}
	if err := s.Stop(); err != nil {
		return err
	}
	b.report.Section("Routing: from an INSERT to its event at the one subscription of many that selects it, microseconds")
	b.report.Linef("A relaxed table for each line, all of them in one server; one row at a time, the tables in turn. Of 8 subscriptions 5 have an equality, one a range, one a LIKE prefix, one an OR. Anonymous memory was read %s after the last of them.", settle)
	p50 := func(q live.Quantiles) float64 { return q.P50 }
	one := r.Routes[0]
	var rows [][]string
	for i, n := range steps {
		var ratios []float64
		for k, q := range r.Routes[i] {
			ratios = append(ratios, q.P50/one[k].P50)
		}
		grown := float64(r.Memory[i+1].Anonymous - r.Memory[i].Anonymous)
		rows = append(rows, []string{fmt.Sprint(n), interval(summary(r.Routes[i], p50)), interval(summary(r.Routes[i], func(q live.Quantiles) float64 { return q.P99 })),
			interval(stat.Of(ratios)) + "x", digits(float64(r.Memory[i+1].Anonymous) / 1e6), digits(grown / float64(n))})
		switch n {
		case 100_000:
			b.report.AimAtMost("routing, p50 with 100,000 subscriptions, of that with one", stat.Of(ratios), routingRatio, "x")
		case 1_000_000:
			b.report.AimAtMost("routing, p50 with 1,000,000 subscriptions, of that with one", stat.Of(ratios), routingRatioMore, "x")
			b.report.AimAtMost("memory of a subscription, of 1,000,000", stat.Of([]float64{grown / float64(n)}), routingBytes, " bytes")
		}
	}
	b.report.Table([]string{"subscriptions", "p50 [95 %]", "p99", "p50 is", "anonymous MB then", "bytes per subscription"}, rows)
	return nil
}

// filled makes a table with rows that the live client knows.
func (b *bench) filled(ctx context.Context, s *server, table string, rows int64) error {
	_, err := s.sql(ctx, "CREATE TABLE "+table+" (id BIGINT PRIMARY KEY, v TEXT, n INT) WITH (TYPE = 'SHARED', ACCESS_LEVEL = 'PUBLIC', DURABILITY = 'relaxed')")
	if err != nil || rows == 0 {
		return err
	}
	_, err = b.drive(ctx, load.Job{Target: target.KalamDB, Addr: s.Addr, Token: s.Token, Table: table, Verb: load.InsertRows, First: load.FirstKey, Conns: 8, Requests: rows / load.RowsPerInsert})
	return err
}

// runSnapshots times subscriptions to rows that are there, and returns to rows
// that were missed.
func runSnapshots(ctx context.Context, b *bench) error {
	s, err := b.audience(ctx)
	if err != nil {
		return err
	}
	few, many, missed := int64(1000), int64(1_000_000), int64(missedRows)
	if b.short {
		few, many, missed = 100, 5000, 200
	}
	b.report.Section("Snapshots and resumes, milliseconds")
	b.report.Linef("From the dialling of a socket to the last row, over TCP and WebSocket on the loopback, JSON of about 165 bytes per row, pages of 1,000. Every missed row was judged: right, once, in order.")
	var rows [][]string
	line := func(what string, n int64, took []float64) {
		rate := float64(n) / stat.Median(took) / 1000
		rows = append(rows, []string{what, fmt.Sprint(n), interval(stat.Of(took)), digits(rate)})
	}
	for i, n := range []int64{few, many} {
		table := fmt.Sprintf("bench.snapshot_%d", n)
		if err := b.filled(ctx, s, table, n); err != nil {
			return err
		}
		rounds := 10 * b.rounds
		if i == 1 {
			rounds = b.rounds
		}
		before, err := proc.MemoryOf(s.PID)
		if err != nil {
			return err
		}
		r, err := b.listen(ctx, s, live.Job{Scenario: live.Snapshot, Rounds: rounds, Job: load.Job{Table: table, Keys: n}})
		if err != nil {
			return err
		}
		after, err := proc.MemoryOf(s.PID)
		if err != nil {
			return err
		}
		line("subscribe", n, r.Took)
		if i == 0 {
			b.report.AimAtMost("subscribe with 1,000 rows", stat.Of(r.Took), snapshotFew, " ms")
			continue
		}
		var rates []float64
		for _, ms := range r.Took {
			rates = append(rates, float64(n)/ms/1000)
		}
		b.report.AimAtLeast("subscribe with 1,000,000 rows", stat.Of(rates), snapshotRows, " million rows per s")
		b.report.Linef("Anonymous memory of the server before and after the large ones: %s and %s MB.", digits(float64(before.Anonymous)/1e6), digits(float64(after.Anonymous)/1e6))
	}
	if err := b.filled(ctx, s, "bench.missed", 0); err != nil {
		return err
	}
	r, err := b.listen(ctx, s, live.Job{Scenario: live.Resume, Rounds: 2 * b.rounds, Job: load.Job{Table: "bench.missed", Keys: missed, Verb: load.InsertRows, Conns: 1}})
	if err != nil {
		return err
	}
	line("resume, every change", missed, r.Took)
	b.report.AimAtMost("resume over 10,000 missed rows", stat.Of(r.Took), missedLimit, " ms")
	b.report.Table([]string{"what", "rows", "ms to the last [95 %]", "million rows per s"}, rows)
	return nil
}

// runStreams measures a STREAM table: events per second to one subscriber,
// inserted by 50, their latency, and how soon they are gone.
func runStreams(ctx context.Context, b *bench) error {
	s, err := b.audience(ctx)
	if err != nil {
		return err
	}
	if err := s.stream(ctx); err != nil {
		return err
	}
	var rates, cpu []float64
	idle := &heard{name: "idle"}
	for range b.rounds {
		r, err := b.listenTo(ctx, s, live.Job{Scenario: live.Sustained, Sockets: 1, PerSocket: 1, Flight: fanoutFlight,
			Job: load.Job{Target: target.KalamDB, Table: streamTable, Verb: load.InsertRows, Conns: fanoutFlight, Warm: b.warm(), Measure: b.window()}})
		if err != nil {
			return err
		}
		rates, cpu = append(rates, r.EventsPerSecond), append(cpu, r.ServerCPU)
		if r, err = b.listen(ctx, s, live.Job{Scenario: live.Latency, Job: load.Job{Table: streamTable, Conns: 1, Rate: idleRate, Warm: b.warm(), Measure: b.window()}}); err != nil {
			return err
		}
		idle.add(r)
	}
	var gone []float64
	for i := range b.rounds {
		late, err := s.eviction(ctx, i)
		if err != nil {
			return err
		}
		gone = append(gone, late)
	}
	b.report.Section("STREAM tables")
	b.report.Linef("Events inserted by %d and delivered to one subscriber: %s per second, %s us of the server each. One at a time, idle: p50 %s us, p99 %s us. The last of 1,000 events was gone %s ms behind its TTL of one second, seen by COUNT(*) from outside.",
		load.RowsPerInsert, interval(stat.Of(rates)), digits(stat.Median(cpu)), interval(summary(idle.due, func(q live.Quantiles) float64 { return q.P50 })),
		interval(summary(idle.due, func(q live.Quantiles) float64 { return q.P99 })), interval(stat.Of(gone)))
	b.report.AimAtLeast("stream, events per second, inserted by 50", stat.Of(rates), streamShare, "")
	b.report.AimAtMost("stream, p99 of the event, idle", summary(idle.due, func(q live.Quantiles) float64 { return q.P99 / 1000 }), 1, " ms")
	b.report.AimAtMost("stream, events are gone behind their TTL", stat.Of(gone), 100, " ms")
	return nil
}

// eviction inserts events that live for a second and returns by how many
// milliseconds the last of them was late to leave.
func (s *server) eviction(ctx context.Context, i int) (float64, error) {
	table := fmt.Sprintf("bench.brief_%d", i)
	if _, err := s.sql(ctx, "CREATE TABLE "+table+" (id BIGINT PRIMARY KEY, v TEXT) WITH (TYPE = 'STREAM', TTL_SECONDS = 1)"); err != nil {
		return 0, err
	}
	if _, err := s.sql(ctx, "INSERT INTO "+table+" (id, v) SELECT n, 'event' FROM generate_series(1, 1000) AS g (n)"); err != nil {
		return 0, err
	}
	inserted := time.Now()
	for n := int64(1); n > 0; {
		var err error
		if n, err = s.number(ctx, "SELECT COUNT(*) FROM "+table); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(inserted)-time.Second) / float64(time.Millisecond), nil
}
