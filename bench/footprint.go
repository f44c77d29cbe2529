package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
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
	heldRows   = 110_000          // rows that are inserted before the memory is read again
	heldReads  = 200_000          // point reads behind them
	settling   = 5 * time.Second  // between the last request and the reading
	idling     = 10 * time.Second // in which CPU time of an idle server is read
	secret     = "a secret of the benchmark, 40 characters"
	startLimit = 200 // ms, the aim
	idleLimit  = 20  // MB, the aim
)

// runStart measures the time from the spawn of the process to its first
// answered query.
func runStart(ctx context.Context, b *bench) error {
	stopped, killed := filepath.Join(b.data, "start-stopped"), filepath.Join(b.data, "start-killed")
	if err := errors.Join(b.prepareStart(ctx, stopped, false), b.prepareStart(ctx, killed, true)); err != nil {
		return err
	}
	row := fmt.Sprintf("SELECT v FROM bench.held WHERE id = %d", int64(readKeys+heldRows/2))
	cases := []startCase{
		{name: "empty", query: "SELECT 1"},
		{name: "empty, with a password of root to hash (bcrypt, cost 12)", query: "SELECT 1", hash: true},
		{name: fmt.Sprintf("%d rows, after a stop", heldRows), from: stopped, query: row},
		{name: fmt.Sprintf("%d rows, after SIGKILL: their log is replayed", heldRows), from: killed, query: row},
	}
	for range b.rounds {
		for i := range cases {
			took, err := b.timeStart(ctx, cases[i])
			if err != nil {
				return fmt.Errorf("start, %s: %w", cases[i].name, err)
			}
			cases[i].took = append(cases[i].took, took)
		}
	}
	b.report.Section("Start, milliseconds from spawn to the first answered query")
	var rows [][]string
	for _, c := range cases {
		rows = append(rows, []string{c.name, interval(stat.Of(c.took))})
	}
	b.report.Table([]string{"directory", "median [95 %]"}, rows)
	b.report.AimAtMost("start, empty directory", stat.Of(cases[0].took), startLimit, " ms")
	b.report.AimAtMost(fmt.Sprintf("start, %d rows, after a stop", heldRows), stat.Of(cases[2].took), startLimit, " ms")
	return nil
}

// startCase is a way to start.
type startCase struct {
	name  string
	from  string // directory that is copied; "" begins with none
	query string
	hash  bool      // whether root gets a password
	took  []float64 // milliseconds
}

// prepareStart makes a directory with rows, left by a stop or by SIGKILL.
func (b *bench) prepareStart(ctx context.Context, dir string, kill bool) error {
	s, err := b.startKalam(ctx, dir, "auth.jwt_secret="+secret)
	if err != nil {
		return err
	}
	if err := b.hold(ctx, s); err != nil {
		return err
	}
	if kill {
		return s.Kill()
	}
	return s.Stop()
}

// timeStart starts a server on a directory of its own, asks one query and stops
// it again; the time is in milliseconds. The token is made here, because a login would hash a password.
func (b *bench) timeStart(ctx context.Context, c startCase) (took float64, err error) {
	dir := filepath.Join(b.data, "start")
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if c.from != "" {
		if err := os.CopyFS(dir, os.DirFS(c.from)); err != nil {
			return 0, err
		}
	}
	command := b.kalamCommand(dir, "auth.jwt_secret="+secret)
	if !c.hash {
		command.Env = append(command.Env, "KALAMDB_AUTH_ROOT_PASSWORD=")
	}
	p, err := b.start(ctx, "kalamdb", command, listening)
	if err != nil {
		return 0, err
	}
	s := &server{Process: p, Dir: dir, Token: rootToken(time.Now())}
	rows, err := s.sql(ctx, c.query)
	took = float64(time.Since(p.Started)) / float64(time.Millisecond)
	if err == nil && len(rows) != 1 {
		err = fmt.Errorf("%q answers %d rows", c.query, len(rows))
	}
	return took, errors.Join(err, p.Stop())
}

// rootToken signs a token of root with the secret that the server was given.
func rootToken(now time.Time) string {
	part := func(v any) string {
		text, _ := json.Marshal(v) // maps of strings and numbers always can
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]string{"alg": "HS256", "typ": "JWT"}) + "." + part(map[string]any{
		"sub": "root", "iss": "kalamdb", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"email": "root@localhost", "role": "system", "token_type": "access",
	})
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// hold inserts the rows whose memory is read.
func (b *bench) hold(ctx context.Context, s *server) error {
	if _, err := s.sql(ctx, "CREATE NAMESPACE bench"); err != nil {
		return err
	}
	if err := s.createTable(ctx, "bench.held", "sync"); err != nil {
		return err
	}
	job := load.Job{Target: target.KalamDB, Addr: s.Addr, Token: s.Token, Table: "bench.held", Verb: load.InsertRows,
		First: readKeys, Conns: 4, Requests: heldRows / load.RowsPerInsert}
	_, err := b.drive(ctx, job)
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

// runMemory reads memory, threads and CPU of a server that does nothing, before
// and after it has worked.
func runMemory(ctx context.Context, b *bench) error {
	var idle, busy, after footprint
	var cpu []float64
	settle, watch, reads := settling, idling, int64(heldReads)
	if b.short {
		settle, watch, reads = time.Second, time.Second, 2000
	}
	for round := range b.rounds {
		s, err := b.startKalam(ctx, filepath.Join(b.data, fmt.Sprintf("memory-%d", round)))
		if err != nil {
			return err
		}
		share, err := b.measureMemory(ctx, s, settle, watch, reads, &idle, &busy, &after)
		if err != nil {
			return err
		}
		cpu = append(cpu, share)
		if err := s.Stop(); err != nil {
			return err
		}
	}
	b.report.Section("Memory in MB, threads, idle CPU")
	b.report.Table([]string{"kalamdb", "anonymous (RssAnon)", "resident (VmRSS)", "threads"}, [][]string{
		idle.row(fmt.Sprintf("idle, %s after its start", settle)),
		busy.row(fmt.Sprintf("after %d inserts and %d reads, at once", heldRows, reads)),
		after.row(fmt.Sprintf("the same, %s later", settle)),
	})
	b.report.Linef("CPU of the idle server over %s: %s %% of one core", watch, interval(stat.Of(cpu)))
	b.report.AimAtMost("idle anonymous memory", stat.Of(idle.anonymous), idleLimit, " MB")
	return nil
}

func (b *bench) measureMemory(ctx context.Context, s *server, settle, watch time.Duration, reads int64, idle, busy, after *footprint) (float64, error) {
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	if err := idle.read(s.PID); err != nil {
		return 0, err
	}
	before := proc.PreciseCPU(s.PID)
	if err := pause(ctx, watch); err != nil {
		return 0, err
	}
	share := 100 * (proc.PreciseCPU(s.PID) - before).Seconds() / watch.Seconds()
	if err := b.hold(ctx, s); err != nil {
		return 0, err
	}
	_, err := b.drive(ctx, load.Job{Target: target.KalamDB, Addr: s.Addr, Token: s.Token, Table: "bench.held", Verb: load.Select,
		First: readKeys, Keys: heldRows, Conns: 16, Requests: reads})
	if err != nil {
		return 0, err
	}
	if err := busy.read(s.PID); err != nil {
		return 0, err
	}
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	return share, after.read(s.PID)
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
