package duck_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/exec/internal/duck"
	"kalamdb/internal/sql/source"
)

var (
	bigint = datum.Type{Kind: datum.BigInt}
	text   = datum.Type{Kind: datum.Text}
)

// sequence is a table of the numbers from 0 and a text made of each.
func sequence(n int, make func(i int) string) *table {
	t := &table{types: []datum.Type{bigint, text}}
	for i := range n {
		t.rows = append(t.rows, []datum.Value{datum.NewInt(datum.BigInt, int64(i)), datum.NewText(make(i))})
	}
	return t
}

func idle(t *testing.T, e *duck.Engine) {
	t.Helper()
	if s := e.Stats(); s.Running != 0 || s.Waiting != 0 {
		t.Errorf("%d run and %d wait", s.Running, s.Waiting)
	}
}

// TestEndless: a statement that would run for ages ends with its context, soon,
// and the next one runs.
func TestEndless(t *testing.T) {
	e := duck.New(duck.Options{Memory: 64 << 20})
	defer e.Close()
	in := sequence(100_000, func(i int) string { return "" })
	slow := duck.Call{Result: bigint, Args: []datum.Type{bigint}, New: func() func([]datum.Value) (datum.Value, error) {
		return func(args []datum.Value) (datum.Value, error) { return args[0], nil }
	}}
	for _, text := range []string{
		"SELECT count(*) FROM kscan(0) a, kscan(0) b, kscan(0) c WHERE a.c0 + b.c0 * c.c0 = 7",
		"SELECT count(*) FROM kscan(0) a, kscan(0) b WHERE kfn_bigint(0, a.c0 + b.c0) = -1",
		"WITH RECURSIVE r(n) AS (SELECT 1::BIGINT UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
		"SELECT a.c0 FROM kscan(0) a, kscan(0) b, kscan(0) c ORDER BY a.c0 * b.c0 * c.c0 LIMIT 1",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		_, err := query(ctx, e, &duck.Statement{Text: text, Scans: []duck.Scan{in.scan()}, Calls: []duck.Call{slow}, Columns: []datum.Type{bigint}})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", text, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: ended after %s", text, took)
		}
		if n := in.open.Load(); n != 0 {
			t.Errorf("%s: %d scans are open", text, n)
		}
	}
	if got, err := query(t.Context(), e, &duck.Statement{Text: "SELECT 1::BIGINT", Columns: []datum.Type{bigint}}); err != nil || got[0][0].Int() != 1 {
		t.Errorf("%v, %v", got, err)
	}
	idle(t, e)
}

// TestCancelledBefore: a context that has ended starts nothing.
func TestCancelledBefore(t *testing.T) {
	e := duck.New(duck.Options{})
	defer e.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in := sequence(10, func(int) string { return "" })
	_, err := query(ctx, e, &duck.Statement{Text: "SELECT c0 FROM kscan(0)", Scans: []duck.Scan{in.scan()}, Columns: []datum.Type{bigint}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	idle(t, e)
}

// TestMemory: a grouping of many keys spills, or is refused where there is no
// room for that; files that were set aside are gone afterwards.
func TestMemory(t *testing.T) {
	in := sequence(400_000, func(i int) string { return fmt.Sprintf("%0100d", i) })
	s := &duck.Statement{Text: "SELECT count(*) FROM (SELECT c1, count(*) n, max(c0) m FROM kscan(0) GROUP BY c1)", Scans: []duck.Scan{in.scan()}, Columns: []datum.Type{bigint}}
	for _, c := range []struct {
		name   string
		o      duck.Options
		spills bool
	}{
		{"room", duck.Options{Memory: 48 << 20, TempDir: t.TempDir()}, true},
		{"little room", duck.Options{Memory: 24 << 20, TempDir: t.TempDir(), TempBytes: 1 << 20}, false},
		{"no room", duck.Options{Memory: 24 << 20}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := duck.New(c.o)
			got, err := query(t.Context(), e, s)
			switch {
			case c.spills && (err != nil || got[0][0].Int() != 400_000):
				t.Errorf("%v, %v", got, err)
			case !c.spills && !fault.Is(err, fault.LimitExceeded):
				t.Errorf("%v, %v", got, err)
			}
			idle(t, e)
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			if c.o.TempDir != "" {
				if left, err := os.ReadDir(c.o.TempDir); err != nil || len(left) > 0 {
					t.Errorf("%v are left, %v", left, err)
				}
			}
			if n := in.open.Load(); n != 0 {
				t.Errorf("%d scans are open", n)
			}
		})
	}
}

// TestLeftovers: what a killed process set aside is removed, and nothing else.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"instance-7/duckdb_temp_storage.tmp", "mine/file"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e := duck.New(duck.Options{TempDir: dir})
	if _, err := query(t.Context(), e, &duck.Statement{Text: "SELECT 1::BIGINT", Columns: []datum.Type{bigint}}); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "mine" {
		t.Errorf("%v are left, %v", left, err)
	}
}

// TestStreams: a result of any size needs the memory of a chunk, and may be left
// early.
func TestStreams(t *testing.T) {
	e := duck.New(duck.Options{Memory: 32 << 20})
	defer e.Close()
	in := sequence(3000, func(i int) string { return strings.Repeat("x", 100) })
	rows, err := e.Query(t.Context(), &duck.Statement{
		Text:  "SELECT a.c0, b.c1 FROM kscan(0) a, kscan(0) b", // 900 MB
		Scans: []duck.Scan{in.scan()}, Columns: []datum.Type{bigint, text},
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for seen < 2_000_000 {
		chunk, err := rows.Next(t.Context())
		if err != nil || chunk == nil {
			t.Fatalf("after %d rows: %v", seen, err)
		}
		seen += len(chunk)
	}
	rows.Close()
	rows.Close()
	if chunk, err := rows.Next(t.Context()); chunk != nil || err != nil {
		t.Errorf("after Close: %v, %v", chunk, err)
	}
	if n := in.open.Load(); n != 0 {
		t.Errorf("%d scans are open", n)
	}
	idle(t, e)
}

// TestStorm: statements that are cancelled anywhere leave nothing behind.
func TestStorm(t *testing.T) {
	for threads := range 2 {
		t.Run(fmt.Sprint(threads+1), func(t *testing.T) { storm(t, threads+1) })
	}
}

func storm(t *testing.T, threads int) {
	e := duck.New(duck.Options{Memory: 128 << 20, Threads: threads, Connections: 3, IdleClose: time.Millisecond})
	before := runtime.NumGoroutine()
	in := sequence(20_000, func(i int) string { return fmt.Sprint("text of more than twelve bytes ", i%100) })
	call := duck.Call{Result: text, Args: []datum.Type{text}, New: func() func([]datum.Value) (datum.Value, error) {
		return func(args []datum.Value) (datum.Value, error) { return datum.NewText(args[0].Text() + "!"), nil }
	}}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(g), 1))
			for range 25 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(chance.IntN(40_000))*time.Microsecond)
				got, err := query(ctx, e, &duck.Statement{
					Text:  "SELECT kfn_varchar(0, a.c1), count(*), max(b.c1) FROM kscan(0) a JOIN kscan(0) b USING (c0) GROUP BY 1",
					Scans: []duck.Scan{in.scan()}, Calls: []duck.Call{call}, Columns: []datum.Type{text, bigint, text},
				})
				if err == nil && (len(got) != 100 || got[0][1].Int() != 200) {
					t.Errorf("%d groups", len(got))
				}
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if n := in.open.Load(); n != 0 {
		t.Errorf("%d scans are open", n)
	}
	idle(t, e)
	if s := e.Stats(); s.GivenUp != 0 {
		t.Errorf("%+v", s)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("%d goroutines were %d", runtime.NumGoroutine(), before)
}

// gated is a table whose rows come when they are let through.
type gated struct {
	begun   chan struct{}
	through chan struct{}
}

func (g *gated) scan() duck.Scan {
	return duck.Scan{Types: []datum.Type{bigint}, Positions: []int{0}, Open: func(context.Context) (source.Rows, error) { return g, nil }}
}

func (g *gated) Next(ctx context.Context) (*source.Batch, error) {
	g.begun <- struct{}{}
	select {
	case <-g.through:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *gated) Close() {}

// TestGate: one statement runs, one waits, the next is refused; who waits ends
// with the context, or when the engine closes.
func TestGate(t *testing.T) {
	e := duck.New(duck.Options{Connections: 1, Queue: 1})
	g := &gated{begun: make(chan struct{}), through: make(chan struct{})}
	s := &duck.Statement{Text: "SELECT c0 FROM kscan(0)", Scans: []duck.Scan{g.scan()}, Columns: []datum.Type{bigint}}
	results := make(chan error, 4)
	start := func(ctx context.Context) {
		_, err := query(ctx, e, s)
		results <- err
	}
	waiting := func() {
		for e.Stats().Waiting == 0 {
			runtime.Gosched()
		}
	}
	go start(t.Context())
	<-g.begun
	ctx, cancel := context.WithCancel(t.Context())
	go start(ctx)
	waiting()
	if _, err := e.Query(t.Context(), s); !fault.Is(err, fault.ServerBusy) {
		t.Errorf("the third: %v", err)
	}
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the second: %v", err)
	}
	go start(t.Context())
	waiting()
	g.through <- struct{}{}
	if err := <-results; err != nil {
		t.Errorf("the first: %v", err)
	}
	<-g.begun
	go start(t.Context())
	waiting()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-results; !fault.Is(err, fault.ShuttingDown) {
			t.Errorf("at the end: %v", err)
		}
	}
	if _, err := e.Query(t.Context(), s); !fault.Is(err, fault.ShuttingDown) {
		t.Errorf("after Close: %v", err)
	}
	idle(t, e)
}

// TestCloseBetween: rows that nobody reads are ended by Close, and say so.
func TestCloseBetween(t *testing.T) {
	e := duck.New(duck.Options{})
	in := sequence(100_000, func(int) string { return "text of more than twelve bytes" })
	rows, err := e.Query(t.Context(), &duck.Statement{Text: "SELECT c1 FROM kscan(0)", Scans: []duck.Scan{in.scan()}, Columns: []datum.Type{text}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := rows.Next(t.Context()); !fault.Is(err, fault.ShuttingDown) {
		t.Error(err)
	}
	rows.Close()
	if n := in.open.Load(); n != 0 {
		t.Errorf("%d scans are open", n)
	}
	if e.Stats().Open {
		t.Error("the instance is open")
	}
}

// TestIdle: the instance is closed when nothing has run for a while, and opened
// again.
func TestIdle(t *testing.T) {
	e := duck.New(duck.Options{IdleClose: time.Millisecond})
	defer e.Close()
	if e.Stats().Open {
		t.Error("New has opened an instance")
	}
	for i := range int64(3) {
		if _, err := query(t.Context(), e, &duck.Statement{Text: "SELECT 1::BIGINT", Columns: []datum.Type{bigint}}); err != nil {
			t.Fatal(err)
		}
		for e.Stats().Open {
			runtime.Gosched()
		}
		if n := e.Stats().Opened; n != i+1 {
			t.Errorf("%d instances were opened", n)
		}
	}
}
