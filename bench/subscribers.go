package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"kalamdb/bench/live"
	"kalamdb/bench/load"
	"kalamdb/bench/stat"
	"kalamdb/bench/target"
)

const (
	idleRate     = 200 // inserts per second that leave the server idle
	loadedConns  = 64  // connections that load it
	broadcasts   = 40  // rows per round and shape
	rested       = 5 * time.Second
	liveLimit    = 2.0 // ms, the aim of p99
	fanoutLimit  = 3.0 // times the ceiling, the aim
	memoryLimit  = 12  // KiB per connection, the aim
	manyPerOne   = 20  // subscriptions of a connection, to see what a further one takes
	crowdSockets = 100
	crowdEach    = 100
)

// liveTables have subscribers; no other scenario writes to them.
var liveTables = []string{"bench.heard", "bench.heard_relaxed"}

// audience returns the shared server with the tables that have subscribers.
func (b *bench) audience(ctx context.Context) (*server, error) {
	s, err := b.kalam(ctx)
	if err != nil {
		return nil, err
	}
	return s, s.audience(ctx)
}

// audience makes the tables that have subscribers.
func (s *server) audience(ctx context.Context) error {
	for i, durability := range []string{"sync", "relaxed"} {
		_, err := s.sql(ctx, "CREATE TABLE IF NOT EXISTS "+liveTables[i]+
			" (id BIGINT PRIMARY KEY, v TEXT, n INT) WITH (TYPE = 'SHARED', ACCESS_LEVEL = 'PUBLIC', DURABILITY = '"+durability+"')")
		if err != nil {
			return err
		}
	}
	return nil
}

// listen runs one job of the live client in a process of its own, on keys that
// no other job has had.
func (b *bench) listen(ctx context.Context, s *server, job live.Job) (live.Result, error) {
	job.Target = target.KalamDB
	return b.listenTo(ctx, s, job)
}

// listenTo is listen for a job that names its target: KalamDB, or a peer with its
// address.
func (b *bench) listenTo(ctx context.Context, s *server, job live.Job) (live.Result, error) {
	const keysOfJob = 1_000_000
	if job.Target == target.KalamDB {
		job.Addr, job.Token, job.ServerPID = s.Addr, s.Token, s.PID
	}
	job.First = load.FirstKey + b.listened*keysOfJob
	b.listened++
	return pinned(b.pin, 1, func() (live.Result, error) {
		return load.Remote[live.Job, live.Result](ctx, exec.CommandContext(ctx, b.self, "live"), job)
	})
}

// heard is one line about latency: quantiles by round.
type heard struct {
	name     string
	rate     []float64
	due, ack []live.Quantiles
	cpu      []float64
}

func (h *heard) add(r live.Result) {
	h.rate, h.due, h.ack = append(h.rate, r.PerSecond), append(h.due, r.Live), append(h.ack, r.Answer)
	h.cpu = append(h.cpu, r.ServerCPU)
}

// summary sums up one figure of each round.
func summary[T any](rounds []T, f func(T) float64) stat.Summary {
	var values []float64
	for _, r := range rounds {
		values = append(values, f(r))
	}
	return stat.Of(values)
}

// row is the line of a table: quantiles of the events, p50 and p99 of the
// answers.
func (h *heard) row() []string {
	f := func(rounds []live.Quantiles, value func(live.Quantiles) float64) string {
		return digits(summary(rounds, value).Median)
	}
	p50, p99 := func(q live.Quantiles) float64 { return q.P50 }, func(q live.Quantiles) float64 { return q.P99 }
	return []string{
		h.name, digits(stat.Median(h.rate)), f(h.due, p50), f(h.due, func(q live.Quantiles) float64 { return q.P90 }), interval(summary(h.due, p99)),
		f(h.due, func(q live.Quantiles) float64 { return q.P999 }), f(h.due, func(q live.Quantiles) float64 { return q.Max }),
		f(h.ack, p50), f(h.ack, p99), digits(stat.Median(h.cpu)),
	}
}

// runLive measures the time from an INSERT to its event at a subscriber of the
// whole table, idle and at half of what the same clients can write.
func runLive(ctx context.Context, b *bench) error {
	s, err := b.audience(ctx)
	if err != nil {
		return err
	}
	var lines []*heard
	for _, t := range liveTables {
		lines = append(lines, &heard{name: t + ", idle"}, &heard{name: t + ", at half of the maximum"})
	}
	for range b.rounds {
		for i, t := range liveTables {
			idle := live.Job{Scenario: live.Latency, Job: load.Job{Table: t, Conns: 1, Rate: idleRate, Warm: b.warm(), Measure: b.window()}}
			full := live.Job{Scenario: live.Latency, Job: load.Job{Table: t, Conns: loadedConns, Warm: b.warm(), Measure: b.window()}}
			r, err := b.listen(ctx, s, idle)
			if err != nil {
				return err
			}
			lines[2*i].add(r)
			if r, err = b.listen(ctx, s, full); err != nil {
				return err
			}
			half := full
			half.Rate = r.PerSecond / 2
			if r, err = b.listen(ctx, s, half); err != nil {
				return err
			}
			lines[2*i+1].add(r)
		}
	}
	b.report.Section("Live queries: from the moment an INSERT is due to its event, microseconds")
	b.report.Linef("One process and one clock; open loop; 1 connection that inserts when idle, %d when loaded; 1 subscriber of the whole table. Every event was judged.", loadedConns)
	var rows [][]string
	for _, l := range lines {
		rows = append(rows, l.row())
	}
	b.report.Table([]string{"table", "inserts per s", "p50", "p90", "p99 [95 %]", "p99.9", "max", "answer p50", "answer p99", "server us/op"}, rows)
	for i, l := range []*heard{lines[0], lines[2]} {
		b.report.AimAtMost("live p99, idle, "+[]string{"sync", "relaxed"}[i], summary(l.due, func(q live.Quantiles) float64 { return q.P99 / 1000 }), liveLimit, " ms")
	}
	return nil
}

// shape is how many sockets have how many subscriptions each.
type shape struct {
	sockets, each int
	aim           bool
}

// spread is what broadcasts of one shape on one table have shown.
type spread struct {
	shape
	table        string
	own, ceiling []float64 // microseconds to the last delivery
	last         live.Result
}

// runBroadcast times one row to many subscriptions, beside the ceiling that
// writes the same bytes to as many sockets.
func runBroadcast(ctx context.Context, b *bench) error {
	s, err := b.audience(ctx)
	if err != nil {
		return err
	}
	ceiling, err := b.ceiling(ctx, fanoutCeiling)
	if err != nil {
		return err
	}
	shapes := []shape{{1, 1, false}, {10, 100, true}, {1000, 1, true}, {100, 100, false}, {1000, 100, false}}
	rows := broadcasts
	if b.short {
		shapes, rows = []shape{{1, 1, false}, {5, 20, true}}, 5
	}
	var all []*spread
	for _, x := range shapes {
		for _, t := range liveTables {
			all = append(all, &spread{shape: x, table: t})
		}
	}
	for range b.rounds {
		for _, x := range all {
			job := live.Job{Scenario: live.Broadcast, Sockets: x.sockets, PerSocket: x.each, Rounds: rows,
				Ceiling: ceiling.Addr, Synced: x.table == liveTables[0], Job: load.Job{Table: x.table}}
			r, err := b.listen(ctx, s, job)
			if err != nil {
				return fmt.Errorf("%d sockets with %d subscriptions: %w", x.sockets, x.each, err)
			}
			x.own, x.ceiling, x.last = append(x.own, r.Broadcasts...), append(x.ceiling, r.Ceilings...), r
		}
	}
	b.reportBroadcast(all, rows)
	return nil
}

func (b *bench) reportBroadcast(all []*spread, each int) {
	b.report.Section("Broadcast: one INSERT to all subscriptions, microseconds until the last has it")
	b.report.Linef("%d rows per round, one at a time, every second one through the ceiling: the same sockets, the same bytes, one write each, after an fdatasync where the table is synced. Every delivery was judged: right row, right subscription, once.", 2*each)
	var rows [][]string
	for _, x := range all {
		h, c := &load.Histogram{}, &load.Histogram{}
		record(h, x.own)
		record(c, x.ceiling)
		us := func(h *load.Histogram, q float64) string {
			return digits(float64(h.Quantile(q)) / float64(time.Microsecond))
		}
		ratio := stat.Of(stat.Ratios(x.own, x.ceiling))
		name := fmt.Sprintf("%d x %d", x.sockets, x.each)
		rows = append(rows, []string{
			name, x.table, interval(stat.Of(x.own)), us(h, 0.9), us(h, 0.99), interval(stat.Of(x.ceiling)), us(c, 0.9), us(c, 0.99),
			interval(ratio) + "x", digits(float64(x.last.Deliveries) / stat.Median(x.own) * 1e6), digits(float64(x.last.Bytes)),
			digits(x.last.ServerCPU), digits(x.last.ClientCPU),
		})
		if x.aim {
			b.report.AimAtMost("broadcast to "+name+", "+x.table+", of the ceiling", ratio, fanoutLimit, "x")
		}
	}
	b.report.Table([]string{"sockets x subscriptions", "table", "p50 [95 %]", "p90", "p99", "ceiling p50", "p90", "p99", "kalamdb is", "deliveries per s", "bytes", "server us/row", "client us/row"}, rows)
}

func record(h *load.Histogram, microseconds []float64) {
	for _, v := range microseconds {
		h.Record(time.Duration(v * float64(time.Microsecond)))
	}
}

// runConnections measures what connections hold that are authenticated,
// subscribed and silent, and what a further subscription takes.
func runConnections(ctx context.Context, b *bench) error {
	steps, many, settle := []int{0, 1000, 5000, 10_000}, []int{0, 1000}, rested
	if b.short {
		steps, many, settle = []int{0, 50, 100}, []int{0, 50}, 200*time.Millisecond
	}
	var single, further live.Result
	for i, x := range []struct {
		steps  []int
		each   int
		result *live.Result
	}{{steps, 1, &single}, {many, manyPerOne, &further}} {
		s, err := b.startKalam(ctx, filepath.Join(b.data, fmt.Sprint("connections-", i)))
		if err != nil {
			return err
		}
		if _, err := s.sql(ctx, "CREATE NAMESPACE bench"); err != nil {
			return err
		}
		if err := s.audience(ctx); err != nil {
			return err
		}
		*x.result, err = b.listen(ctx, s, live.Job{Scenario: live.Idle, Steps: x.steps, PerSocket: x.each, Settle: settle, Job: load.Job{Table: liveTables[0]}})
		if err != nil {
			return err
		}
		if err := s.Stop(); err != nil {
			return err
		}
	}
	b.report.Section("Memory of idle connections")
	b.report.Linef("Authenticated, subscribed, silent; read %s after the last one was opened. Each subscription has a filter of its own.", settle)
	var rows [][]string
	for _, r := range []struct {
		each   int
		memory []live.Memory
	}{{1, single.Memory}, {manyPerOne, further.Memory}} {
		for _, m := range r.memory {
			rows = append(rows, []string{fmt.Sprint(m.Connections), fmt.Sprint(r.each), digits(float64(m.Anonymous) / 1e6), digits(float64(m.RSS) / 1e6)})
		}
	}
	b.report.Table([]string{"connections", "subscriptions each", "anonymous MB", "RSS MB"}, rows)
	anonymous, rss := single.Slope()
	all, _ := further.Slope()
	b.report.Linef("Per connection: %s KiB of anonymous memory, %s KiB of RSS; per further subscription %s KiB of anonymous memory.",
		digits(anonymous/1024), digits(rss/1024), digits((all-anonymous)/1024/(manyPerOne-1)))
	b.report.AimAtMost("memory per idle subscribed connection", stat.Of([]float64{anonymous / 1024}), memoryLimit, " KiB")
	return nil
}

// runCrowd measures inserts beside many subscriptions that select none of them.
func runCrowd(ctx context.Context, b *bench) error {
	s, err := b.audience(ctx)
	if err != nil {
		return err
	}
	sockets := crowdSockets
	if b.short {
		sockets = 2
	}
	crowds := [][2]int{{1, 1}, {sockets, crowdEach}}
	var answers [2][]live.Quantiles
	var cpu [2][]float64
	for round := range b.rounds {
		for i := range crowds {
			at := (i + round) % len(crowds)
			r, err := b.listen(ctx, s, live.Job{Scenario: live.Crowd, Sockets: crowds[at][0], PerSocket: crowds[at][1],
				Job: load.Job{Table: liveTables[0], Conns: 1, Warm: b.warm(), Measure: b.window()}})
			if err != nil {
				return err
			}
			answers[at], cpu[at] = append(answers[at], r.Answer), append(cpu[at], r.ServerCPU)
		}
	}
	b.report.Section("Inserts beside subscriptions that do not want them, microseconds")
	p50, p99 := func(q live.Quantiles) float64 { return q.P50 }, func(q live.Quantiles) float64 { return q.P99 }
	var rows [][]string
	for i, c := range crowds {
		rows = append(rows, []string{fmt.Sprint(c[0] * c[1]), interval(summary(answers[i], p50)), interval(summary(answers[i], p99)), digits(stat.Median(cpu[i]))})
	}
	b.report.Table([]string{"subscriptions", "answer p50", "answer p99", "server us/op"}, rows)
	return nil
}
