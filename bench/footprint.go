package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"kalamdb/bench/load"
	"kalamdb/bench/proc"
	"kalamdb/bench/stat"
	"kalamdb/bench/target"
)

const (
	heldRows  = 110_000          // rows that are inserted before the memory is read again
	heldReads = 200_000          // point reads behind them
	settling  = 5 * time.Second  // between the last request and the reading
	idling    = 10 * time.Second // in which CPU time of an idle server is read
	idleLimit = 20               // MB, the aim
)

// startEmpty starts a server on a directory of its own: KalamDB, or PocketBase
// when its program is given.
func (b *bench) startEmpty(ctx context.Context, dir, program string) (*lane, error) {
	if program != "" {
		p, err := b.startPeer(ctx, program, peers()[0], dir)
		return &lane{label: peers()[0].label, target: target.PocketBase, process: p, table: collection}, err
	}
	s, err := b.startKalam(ctx, dir)
	if err != nil {
		return nil, err
	}
	return s.heldLane(ctx)
}

// heldTable is where KalamDB has the rows whose memory is read.
const heldTable = "bench.held"

// heldLane creates the table.
func (s *server) heldLane(ctx context.Context) (*lane, error) {
	if _, err := s.sql(ctx, "CREATE NAMESPACE bench"); err != nil {
		return nil, err
	}
	if err := s.createTable(ctx, heldTable, "sync"); err != nil {
		return nil, err
	}
	return &lane{label: target.KalamDB, target: target.KalamDB, process: s.Process, token: s.Token, table: heldTable}, nil
}

// readHeld reads rows that were inserted.
func (b *bench) readHeld(ctx context.Context, l *lane, reads int64) error {
	_, err := b.drive(ctx, load.Job{Target: l.target, Addr: l.process.Addr, Token: l.token, Table: l.table, Verb: load.Select,
		First: readKeys, Keys: heldRows, Conns: 16, Requests: reads})
	return err
}

// footprint is what a server takes at one moment.
type footprint struct {
	anonymous, resident, threads []float64
}

func (f *footprint) read(pid int) error {
	m, err := proc.MemoryOf(pid)
	f.anonymous = append(f.anonymous, float64(m.Anonymous)/1e6)
	f.resident = append(f.resident, float64(m.Resident)/1e6)
	f.threads = append(f.threads, float64(m.Threads))
	return err
}

func (f *footprint) row(what string) []string {
	return []string{what, interval(stat.Of(f.anonymous)), interval(stat.Of(f.resident)), interval(stat.Of(f.threads))}
}

// memory is what the rounds of one server have shown.
type memory struct {
	label             string
	program           string // of a peer
	idle, busy, after footprint
	cpu               []float64 // per cent of one core while idle
}

// runMemory reads memory, threads and CPU of servers that do nothing, before and
// after they have worked.
func runMemory(ctx context.Context, b *bench) error {
	settle, watch, reads := settling, idling, int64(heldReads)
	if b.short {
		settle, watch, reads = time.Second, time.Second, 2000
	}
	subjects := []*memory{{label: target.KalamDB}}
	if program := b.peerProgram(ctx); program != "" {
		subjects = append(subjects, &memory{label: peers()[0].label, program: program})
	}
	for round := range b.rounds {
		for _, m := range subjects {
			dir := filepath.Join(b.data, fmt.Sprintf("memory-%s-%d", m.label, round))
			// A peer takes its time for as many rows; once must do.
			work := m.program == "" || round == 0
			if err := b.measureMemory(ctx, m, dir, settle, watch, reads, work); err != nil {
				return fmt.Errorf("memory of %s: %w", m.label, err)
			}
		}
	}
	b.report.Section("Memory in MB, threads, idle CPU")
	var rows [][]string
	for _, m := range subjects {
		rows = append(rows,
			m.idle.row(fmt.Sprintf("%s idle, %s after its start", m.label, settle)),
			m.busy.row(fmt.Sprintf("%s after %d inserts and %d reads, at once", m.label, heldRows, reads)),
			m.after.row(fmt.Sprintf("%s the same, %s later", m.label, settle)))
	}
	b.report.Table([]string{"", "anonymous (RssAnon)", "resident (VmRSS)", "threads"}, rows)
	for _, m := range subjects {
		b.report.Linef("CPU of idle %s over %s: %s %% of one core", m.label, watch, interval(stat.Of(m.cpu)))
	}
	b.report.AimAtMost("idle anonymous memory", stat.Of(subjects[0].idle.anonymous), idleLimit, " MB")
	return nil
}

// measureMemory is one round of one server, on a directory of its own.
func (b *bench) measureMemory(ctx context.Context, m *memory, dir string, settle, watch time.Duration, reads int64, work bool) error {
	l, err := b.startEmpty(ctx, dir, m.program)
	if err != nil {
		return err
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	if err := m.idle.read(l.process.PID); err != nil {
		return err
	}
	before := proc.PreciseCPU(l.process.PID)
	if err := pause(ctx, watch); err != nil {
		return err
	}
	m.cpu = append(m.cpu, 100*(proc.PreciseCPU(l.process.PID)-before).Seconds()/watch.Seconds())
	if work {
		if _, err := b.fill(ctx, l, l.table, readKeys, heldRows); err != nil {
			return err
		}
		if err := b.readHeld(ctx, l, reads); err != nil {
			return err
		}
		if err := m.busy.read(l.process.PID); err != nil {
			return err
		}
		if err := pause(ctx, settle); err != nil {
			return err
		}
		if err := m.after.read(l.process.PID); err != nil {
			return err
		}
	}
	return errors.Join(l.process.Stop(), os.RemoveAll(dir))
}

// pause waits, or ends early with ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// runSize reports how large the binary is.
func runSize(_ context.Context, b *bench) error {
	size, err := fileSize(b.binary)
	if err != nil {
		return err
	}
	b.report.Section("Binary")
	b.report.Linef("%.1f MB as built here", float64(size)/1e6)
	stripped := filepath.Join(b.data, "kalamdb-stripped")
	if err := exec.Command("strip", "-o", stripped, b.binary).Run(); err == nil {
		if size, err = fileSize(stripped); err == nil {
			b.report.Linef("%.1f MB stripped", float64(size)/1e6)
		}
	}
	return nil
}
