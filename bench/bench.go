package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"kalamdb/bench/load"
	"kalamdb/bench/proc"
)

// bench is one run: the processes it has started and the report it writes.
type bench struct {
	options
	report    *report
	self      string // this executable
	data      string // folder of all data of the run
	processes []*proc.Process
	ceilings  map[string]*proc.Process
	tabled    []*lane   // those with tables, KalamDB's first; nil before the first use
	server    *server   // the KalamDB that scenarios share; nil before the first use
	postgres  *postgres // nil where it is not measured
	listened  int64     // jobs of the live client so far
}

func newBench(ctx context.Context, o options, stdout io.Writer) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	data, err := os.MkdirTemp(o.dir, "kalamdb-bench-")
	if err != nil {
		return nil, err
	}
	build := o.binary == ""
	if o.binary, err = filepath.Abs(cmp.Or(o.binary, filepath.Join(data, "kalamdb"))); err != nil {
		return nil, err
	}
	b := &bench{options: o, report: newReport(stdout), self: self, data: data, ceilings: map[string]*proc.Process{}}
	if build {
		build := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "kalamdb/cmd/kalamdb")
		build.Env = append(os.Environ(), "CGO_ENABLED=1")
		if text, err := build.CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("build kalamdb: %w\n%s", err, text), os.RemoveAll(data))
		}
	}
	return b, nil
}

// close stops what still runs, last started first, and removes the data.
func (b *bench) close() error {
	var faults []error
	for i := len(b.processes) - 1; i >= 0; i-- {
		faults = append(faults, b.processes[i].Stop())
	}
	if b.postgres != nil {
		faults = append(faults, b.postgres.remove())
	}
	return errors.Join(errors.Join(faults...), os.RemoveAll(b.data))
}

// start runs a program until the end of the run, or until its Stop. ready finds
// the address in what it prints.
func (b *bench) start(ctx context.Context, name string, command *exec.Cmd, ready *regexp.Regexp) (*proc.Process, error) {
	p, err := pinned(b.pin, 0, func() (*proc.Process, error) { return proc.Start(ctx, name, command, ready) })
	if err != nil {
		return nil, err
	}
	b.processes = append(b.processes, p)
	return p, nil
}

// drive runs one job of the load client in a process of its own.
func (b *bench) drive(ctx context.Context, job load.Job) (load.Result, error) {
	return pinned(b.pin, 1, func() (load.Result, error) {
		return load.Remote[load.Job, load.Result](ctx, exec.CommandContext(ctx, b.self, "load"), job)
	})
}

// pinned runs f so that the processes it starts stay on one CPU, if asked for.
func pinned[T any](pin bool, cpu int, f func() (T, error)) (T, error) {
	if !pin {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var none T
	if err := proc.Pin(cpu); err != nil {
		return none, fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	value, err := f()
	return value, errors.Join(err, proc.Unpin())
}

// window is how long one operation is measured per round.
func (b *bench) window() time.Duration {
	return time.Duration(b.seconds * float64(time.Second))
}

// warm is what comes before the window.
func (b *bench) warm() time.Duration { return b.window() / 8 }
