package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"kalamdb/bench/live"
	"kalamdb/bench/load"
	"kalamdb/bench/proc"
	"kalamdb/bench/stat"
	"kalamdb/bench/target"
)

const (
	fanoutSockets = 1000
	fanoutFlight  = 16  // requests under way
	fanoutShare   = 0.6 // of the ceiling, the aim
	fanoutPeer    = 3.0 // times centrifuge, the aim
	streamShare   = 300_000
)

// streamTable holds events in memory only as long as somebody follows them.
const streamTable = "bench.flow"

// stream makes the table of events.
func (s *server) stream(ctx context.Context) error {
	_, err := s.sql(ctx, "CREATE TABLE IF NOT EXISTS "+streamTable+" (id BIGINT PRIMARY KEY, v TEXT, n INT) WITH (TYPE = 'STREAM', TTL_SECONDS = 10)")
	return err
}

// pouring is one lane of sustained deliveries.
type pouring struct {
	label           string
	job             live.Job
	rows, events    []float64 // per second
	server, client  []float64 // microseconds per delivery
	ceiling, shares []float64
}

// fanoutPeers starts the servers of messages, or says why not.
func (b *bench) fanoutPeers(ctx context.Context) ([]*pouring, error) {
	if !b.peers || b.short {
		return nil, nil
	}
	program := filepath.Join(b.data, "fanout-peer")
	command := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	command.Dir, command.Env = filepath.Join("bench", "peers", "fanout"), os.Environ()
	if text, err := command.CombinedOutput(); err != nil {
		b.report.Linef("centrifuge and nats-server are not measured: %v: %.300s", err, text)
		return nil, nil
	}
	var lanes []*pouring
	for _, kind := range []string{target.Centrifuge, target.NATS} {
		p, err := b.start(ctx, kind, exec.Command(program, "-kind", kind), peerReady)
		if err != nil {
			return nil, err
		}
		b.report.Linef("%-10s %s", kind, peerFacts.FindString(p.Output()))
		lanes = append(lanes, &pouring{label: kind, job: peerJob(kind, p)})
	}
	return lanes, nil
}

func peerJob(kind string, p *proc.Process) live.Job {
	return live.Job{Job: load.Job{Target: kind, Addr: p.Addr, ServerPID: p.PID}}
}

// runFanout compares sustained deliveries of one row after another to many
// sockets with those of message servers and of the ceiling.
func runFanout(ctx context.Context, b *bench) error {
	s, err := b.audience(ctx)
	if err != nil {
		return err
	}
	if err := s.stream(ctx); err != nil {
		return err
	}
	ceiling, err := b.ceiling(ctx, fanoutCeiling)
	if err != nil {
		return err
	}
	b.report.Section("Fan-out: rows to everybody without a rest, deliveries per second")
	var lanes []*pouring
	for _, t := range append([]string{streamTable}, liveTables...) {
		lanes = append(lanes, &pouring{label: "kalamdb, " + t, job: live.Job{Ceiling: ceiling.Addr, Job: load.Job{Target: target.KalamDB, Table: t}}})
	}
	peers, err := b.fanoutPeers(ctx)
	if err != nil {
		return err
	}
	lanes = append(lanes, peers...)
	sockets := fanoutSockets
	if b.short {
		sockets = 10
	}
	for round := range b.rounds {
		for i := range lanes {
			l := lanes[(i+round)%len(lanes)]
			job := l.job
			job.Scenario, job.Sockets, job.PerSocket, job.Flight = live.Sustained, sockets, 1, fanoutFlight
			job.Conns, job.Warm, job.Measure = fanoutFlight, b.warm(), b.window()
			r, err := b.listenTo(ctx, s, job)
			if err != nil {
				return fmt.Errorf("%s: %w", l.label, err)
			}
			l.rows, l.events = append(l.rows, r.PerSecond), append(l.events, r.EventsPerSecond)
			l.server, l.client = append(l.server, r.ServerCPU), append(l.client, r.ClientCPU)
			for _, c := range r.Ceilings {
				l.ceiling, l.shares = append(l.ceiling, c), append(l.shares, r.EventsPerSecond/c)
			}
		}
	}
	b.reportFanout(lanes, sockets)
	return nil
}

func (b *bench) reportFanout(lanes []*pouring, sockets int) {
	b.report.Linef("%d sockets with a subscription each, %d publications under way, each a row of %d bytes of text. KalamDB commits each by an INSERT; centrifuge (no history) and nats-server (core) keep nothing. The ceiling writes what KalamDB wrote for %d rows with one write per socket, after no commit. Every delivery was judged: its row, its bytes, once to everybody.",
		sockets, fanoutFlight, load.TextBytes, fanoutFlight)
	var rows [][]string
	for _, l := range lanes {
		c, share := "-", "-"
		if len(l.ceiling) > 0 {
			c, share = interval(stat.Of(l.ceiling)), interval(stat.Of(l.shares))+"x"
		}
		rows = append(rows, []string{l.label, interval(stat.Of(l.rows)), interval(stat.Of(l.events)), digits(stat.Median(l.server)), digits(stat.Median(l.client)), c, share})
	}
	b.report.Table([]string{"lane", "rows per s", "deliveries per s [95 %]", "server us/delivery", "client us/delivery", "ceiling", "of the ceiling"}, rows)
	for _, l := range lanes {
		if len(l.shares) > 0 {
			b.report.AimAtLeast("fan-out, "+l.label+", of the ceiling", stat.Of(l.shares), fanoutShare, "x")
			continue
		}
		want := "-"
		for _, own := range lanes[:len(liveTables)+1] {
			ratio := stat.Of(stat.Ratios(own.events, l.events))
			verdict := "for orientation"
			if l.label == target.Centrifuge {
				want, verdict = fmt.Sprintf(">= %gx", fanoutPeer), Verdict(ratio.Median >= fanoutPeer)
			}
			b.report.Aim("fan-out, "+own.label+", of "+l.label, want, interval(ratio)+"x", verdict)
		}
	}
}
