package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"kalamdb/bench/load"
	"kalamdb/bench/target"
)

// The largest commit: as many rows as commit.max_rows allows by default, each so
// long that together they come near commit.max_bytes.
const (
	largestRows  = 200_000
	largestText  = 400
	besideReads  = 1000 // offered per second
	besideWrites = 500
)

// runLargest measures reads and inserts of others while the largest commit is
// made and applied, and asks for one row more, which must be refused and write
// nothing.
func runLargest(ctx context.Context, b *bench) error {
	s, err := b.kalam(ctx)
	if err != nil {
		return err
	}
	n := int64(largestRows)
	if b.short {
		n = 2000
	}
	if err := s.createTable(ctx, "bench.beside", "sync"); err != nil {
		return err
	}
	if _, err := s.sql(ctx, "CREATE SHARED TABLE bench.largest (id BIGINT PRIMARY KEY, v TEXT)"); err != nil {
		return err
	}
	job := load.Job{Target: target.KalamDB, Addr: s.Addr, Token: s.Token, Table: "bench.beside", ServerPID: s.PID, First: readKeys}
	fill := job
	fill.Verb, fill.Conns, fill.Requests = load.InsertRows, 4, 200
	if _, err := b.drive(ctx, fill); err != nil {
		return err
	}
	names := []string{"alone", "beside the largest commit"}
	var reads, inserts [2]sample
	var commits sample
	next := int64(insertKeys)
	for round := range int64(b.rounds) {
		for beside := range names {
			bulk := func() (float64, error) { return 0, nil }
			if beside == 1 {
				bulk = func() (float64, error) { return b.largest(ctx, s, round, n) }
			}
			r, w, took, err := b.besides(ctx, job, next, bulk)
			if err != nil {
				return err
			}
			next += w.Acked
			reads[beside].results, inserts[beside].results = append(reads[beside].results, r), append(inserts[beside].results, w)
			if beside == 1 {
				commits.results = append(commits.results, load.Result{P50: took})
			}
		}
	}
	b.report.Section(fmt.Sprintf("Others while a commit of %d rows is made and applied", n))
	b.report.Linef("INSERT … SELECT of %d rows with %d bytes of text each; it takes %s ms (median). Microseconds; open loop, %d point selects and %d single synced inserts per second.",
		n, largestText, digits(commits.median(func(r load.Result) float64 { return r.P50 })/1000), besideReads, besideWrites)
	var rows [][]string
	for i, name := range names {
		rows = append(rows, append([]string{"select", name}, reads[i].quantiles()...), append([]string{"insert", name}, inserts[i].quantiles()...))
	}
	b.report.Table([]string{"operation", "", "p50", "p90", "p99", "p99.9", "max"}, rows)
	return b.oneMore(ctx, s)
}

// besides offers reads and inserts while f runs, and at least for the window; it
// returns what they have shown, and how long f took in microseconds.
func (b *bench) besides(ctx context.Context, job load.Job, next int64, f func() (float64, error)) (reads, inserts load.Result, took float64, err error) {
	window := max(b.window(), 3*time.Second)
	if b.short {
		window = time.Second
	}
	read, insert := job, job
	read.Verb, read.Keys, read.Conns, read.Rate, read.Measure = load.Select, 10_000, 16, besideReads, window
	insert.Verb, insert.First, insert.Conns, insert.Rate, insert.Measure = load.Insert, next, 16, besideWrites, window
	done := make(chan error, 2)
	go func() {
		var err error
		reads, err = b.drive(ctx, read)
		done <- err
	}()
	go func() {
		var err error
		inserts, err = b.drive(ctx, insert)
		done <- err
	}()
	timer := time.NewTimer(window / 8) // the others are under way then
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	took, err = f()
	return reads, inserts, took, errors.Join(err, <-done, <-done)
}

// largest makes one commit of n rows that were not there.
func (b *bench) largest(ctx context.Context, s *server, round, n int64) (float64, error) {
	begin := time.Now()
	_, err := s.sql(ctx, insertLargest(round*n+1, n))
	return float64(time.Since(begin)) / float64(time.Microsecond), err
}

func insertLargest(first, n int64) string {
	return fmt.Sprintf("INSERT INTO bench.largest (id, v) SELECT s.n, repeat('x', %d) FROM generate_series(%d, %d) AS s (n)", largestText, first, first+n-1)
}

// oneMore asks for a row more than one commit may have.
func (b *bench) oneMore(ctx context.Context, s *server) error {
	before, err := s.number(ctx, "SELECT COUNT(*) FROM bench.largest")
	if err != nil {
		return err
	}
	_, err = s.sql(ctx, insertLargest(1_000_000_000, largestRows+1))
	switch {
	case err == nil:
		return fmt.Errorf("a commit of %d rows was not refused", largestRows+1)
	case !strings.Contains(err.Error(), "commit.max_rows") || !strings.Contains(err.Error(), fmt.Sprint(largestRows+1)):
		return fmt.Errorf("the refusal of %d rows does not say how many they are and which key bounds them: %w", largestRows+1, err)
	}
	after, countErr := s.number(ctx, "SELECT COUNT(*) FROM bench.largest")
	if countErr != nil {
		return countErr
	}
	if after != before {
		return fmt.Errorf("a refused commit has written %d rows", after-before)
	}
	_, words, _ := strings.Cut(err.Error(), "answers ")
	b.report.Linef("One row more is refused and nothing is written: %.300s", words)
	return nil
}
