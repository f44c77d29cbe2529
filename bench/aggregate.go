package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"kalamdb/bench/load"
	"kalamdb/bench/stat"
	"kalamdb/bench/target"
)

// runAggregate counts and sums whole tables of hot rows, beside the bare
// iteration of as many keys of as many bytes in the same engine.
func runAggregate(ctx context.Context, b *bench) error {
	s, err := b.kalam(ctx)
	if err != nil {
		return err
	}
	program := filepath.Join(b.data, "iterate")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir = filepath.Join("bench", "ceilings")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build in %s: %w: %.500s", build.Dir, err, text)
	}
	sizes := []int64{10_000, 100_000}
	if b.short {
		sizes = sizes[:1]
	}
	ours, memory, file := make([]sample, len(sizes)), make([]sample, len(sizes)), make([]sample, len(sizes))
	for round := range b.rounds {
		for i, n := range sizes {
			lanes := []func() error{
				func() error { return b.aggregate(ctx, s, n, &ours[i]) },
				func() error { return b.iterate(ctx, program, n, false, &memory[i]) },
				func() error { return b.iterate(ctx, program, n, true, &file[i]) },
			}
			for j := range lanes {
				if err := lanes[(j+round)%len(lanes)](); err != nil {
					return err
				}
			}
		}
	}
	b.report.Section("Aggregate over hot rows: SELECT COUNT(*), SUM(n), one in flight, beside the iteration of as many keys")
	var rows [][]string
	p50 := func(r load.Result) float64 { return r.P50 }
	for i, n := range sizes {
		for j, s := range []*sample{&ours[i], &memory[i], &file[i]} {
			ratio := ""
			if j > 0 {
				ratio = interval(stat.Of(stat.Ratios(ours[i].values(p50), s.values(p50)))) + "x"
			}
			label := []string{target.KalamDB, "pebble, memory", "pebble, file"}[j]
			rows = append(rows, append(append([]string{fmt.Sprint(n), label}, s.quantiles()...), ratio))
		}
	}
	b.report.Table([]string{"rows", "lane", "p50", "p90", "p99", "p99.9", "max", "p50 of kalamdb is"}, rows)
	return nil
}

// aggregate asks KalamDB; the table is filled on first use.
func (b *bench) aggregate(ctx context.Context, s *server, n int64, out *sample) error {
	table := fmt.Sprintf("bench.aggregated_%d", n)
	job := load.Job{Target: target.KalamDB, Addr: s.Addr, Token: s.Token, Table: table, First: readKeys, ServerPID: s.PID}
	if len(out.results) == 0 {
		if err := s.createTable(ctx, table, "relaxed"); err != nil {
			return err
		}
		fill := job
		fill.Verb, fill.Conns, fill.Requests = load.InsertRows, 4, n/load.RowsPerInsert
		if _, err := b.drive(ctx, fill); err != nil {
			return err
		}
	}
	job.Verb, job.Keys, job.Conns, job.Warm, job.Measure = load.Aggregate, n, 1, b.warm(), b.window()
	if b.short {
		job.Warm, job.Measure, job.Requests = 0, 0, 5
	}
	r, err := b.drive(ctx, job)
	out.results = append(out.results, r)
	return err
}

// iterate runs the program of bench/ceilings.
func (b *bench) iterate(ctx context.Context, program string, n int64, flush bool, out *sample) error {
	dir := filepath.Join(b.data, "iterate-data")
	command := exec.CommandContext(ctx, program, "-dir", dir, "-rows", fmt.Sprint(n), "-time", b.window().String(), fmt.Sprintf("-flush=%t", flush))
	command.Stderr = os.Stderr
	text, err := command.Output()
	if err != nil {
		return fmt.Errorf("run the iteration: %w", err)
	}
	var r load.Result
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("read the result of the iteration: %w", err)
	}
	out.results = append(out.results, r)
	return os.RemoveAll(dir)
}
