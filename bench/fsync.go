package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"time"

	"kalamdb/bench/ceiling"
	"kalamdb/bench/load"
	"kalamdb/bench/stat"
)

// runFsync is the process of the loop without a network.
func runFsync(args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("fsync", flag.ContinueOnError)
	path := set.String("log", "", "file that is written")
	callers := set.Int("callers", 1, "callers that wait for a sync")
	d := set.Duration("time", time.Second, "how long")
	if err := set.Parse(args); err != nil {
		return err
	}
	r, err := ceiling.FsyncLoop(*path, *callers, load.RowBytes, *d)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(r)
}

// runDisk measures what the disk gives: syncs of rows without a network.
func runDisk(ctx context.Context, b *bench) error {
	callers := []int{1, 16, 64, 256}
	results := make([][]load.Result, len(callers))
	for range b.rounds {
		for i, n := range callers {
			command := exec.CommandContext(ctx, b.self, "fsync", "-log", filepath.Join(b.data, "fsync.log"), "-callers", fmt.Sprint(n), "-time", b.window().String())
			text, err := command.Output()
			if err != nil {
				return fmt.Errorf("run the fsync loop: %w", err)
			}
			var r load.Result
			if err := json.Unmarshal(text, &r); err != nil {
				return fmt.Errorf("read the result of the fsync loop: %w", err)
			}
			results[i] = append(results[i], r)
		}
	}
	b.report.Section("Disk: shared fdatasync of 100-byte rows, no network")
	var rows [][]string
	for i, n := range callers {
		s := sample{results: results[i]}
		rows = append(rows, append([]string{fmt.Sprint(n), interval(stat.Of(s.rates()))}, s.quantiles()...))
	}
	b.report.Table([]string{"callers", "per s [95 %]", "p50", "p90", "p99", "p99.9", "max"}, rows)
	return nil
}
