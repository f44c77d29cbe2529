package exec

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"kalamdb/internal/fault"
)

// builders make values as large as their grammar allows.
var builders = []string{
	"repeat('x', 2147483647)",
	"repeat(repeat('x', 15000000), 2147483647)",
	"repeat('', 9223372036854775807) || repeat('xy', 9223372036854775807)",
	"lpad('x', 2147483647, 'yz')",
	"rpad('x', 9223372036854775807, 'yz')",
	"format('%2147483647s', 'x')",
	"format('%*s', 2147483647, 'x')",
	"format('%-*s|%1$*2$s', -2147483647, 'x')",
	"format(repeat('%1$s', 100000), repeat('x', 100000))",
	"concat(repeat('x', 15000000), repeat('x', 15000000))",
	"concat_ws(repeat('x', 7500000), 1, 2, 3, 4)",
	"replace(repeat('a', 15000000), 'a', repeat('b', 1000))",
	"translate(repeat('a', 15000000), 'a', '日')",
	"overlay(repeat('a', 15000000) placing repeat('b', 15000000) from 1)",
	"regexp_replace(repeat('a', 1000000), 'a', repeat('b', 60000), 'g')",
	"regexp_replace(repeat('a', 60000), '(a*)', repeat('\\1', 60000))",
	"regexp_split_to_array(repeat('a', 15000000), '')",
	"regexp_count(repeat('a', 15000000), '')",
	"string_to_array(repeat('a,', 7500000), ',')",
	"string_to_array(repeat('a', 15000000), NULL)",
	"array_fill('x'::text, ARRAY[2147483647])",
	"array_fill(repeat('x', 1000000), ARRAY[1000000])",
	"array_repeat('x', 9223372036854775807)",
	"array_repeat(repeat('x', 1000000), 1000000)",
	"array_to_string(array_fill('x'::text, ARRAY[1000000]), repeat('y', 1000))",
	"array_cat(array_fill(1, ARRAY[5000000]), array_fill(1, ARRAY[5000000]))",
	"encode(repeat('x', 15000000)::bytea, 'escape')",
	"jsonb_build_array(repeat('x', 15000000), repeat('x', 15000000))",
	"jsonb_build_object('a', repeat('x', 15000000), 'b', repeat('x', 15000000))",
	"to_jsonb(repeat(E'\\x01', 15000000))",
	"jsonb_pretty((repeat('[', 500) || repeat('1,', 1000000) || '1' || repeat(']', 500))::jsonb)",
	"jsonb_set(to_jsonb(array_fill(1, ARRAY[4000000])), '{0}', to_jsonb(repeat('x', 15000000)))",
	"to_jsonb(repeat('x', 15000000)) || to_jsonb(repeat('x', 15000000))",
	"to_char(1, repeat('9', 15000000))",
	"to_char(TIMESTAMP '2024-01-01', repeat('Month', 10000000))",
	"to_char(TIMESTAMP '2024-01-01', repeat('US', 500000)) || repeat('x', 16500000)",
	"quote_literal(repeat('''', 15000000))",
	"convert_from(repeat('x', 15000000)::bytea, 'latin1') || convert_from(repeat('x', 15000000)::bytea, 'latin1')",
}

// gatherers are aggregates over as many rows as a series gives.
var gatherers = []string{
	"SELECT string_agg(repeat('x', 100000), ',') FROM generate_series(1, 1000000000) AS s (g)",
	"SELECT array_agg(g) FROM generate_series(1, 9223372036854775807) AS s (g)",
	"SELECT json_agg(g) FROM generate_series(1, 1000000000) AS s (g)",
	"SELECT json_object_agg(g, repeat('x', 1000)) FROM generate_series(1, 1000000000) AS s (g)",
	"SELECT array_length(array_agg(repeat('x', 1000000)), 1) FROM generate_series(1, 1000000) AS s (g)",
}

const (
	builtTimeout = time.Second
	builtWithin  = builtTimeout + 2*time.Second
	builtMemory  = 256 << 20 // the values of one row, and copies of them
)

// TestBuiltValues feeds functions that build values the largest arguments, on
// both paths: each ends with a limit error, in time and in bounded memory.
func TestBuiltValues(t *testing.T) {
	if testing.Short() {
		t.Skip("builds large values")
	}
	engine := NewEngine(EngineOptions{Memory: 256 << 20})
	t.Cleanup(func() { _ = engine.Close() })
	try := func(path, text string, run func(ctx context.Context) error) {
		ctx, cancel := context.WithTimeout(context.Background(), builtTimeout)
		defer cancel()
		runtime.GC()
		peak := watchHeap()
		began := time.Now()
		err := run(ctx)
		took, most := time.Since(began), peak()
		if !fault.Is(err, fault.LimitExceeded) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s path: %s ends with %v", path, text, err)
		}
		if took > builtWithin || most > builtMemory {
			t.Errorf("%s path: %s took %v and %d MiB", path, text, took, most>>20)
		}
	}
	for _, text := range builders {
		try("row", text, func(context.Context) error {
			_, _, err := evaluate(text)
			return err
		})
		try("analytic", text, func(ctx context.Context) error {
			return runQuery(ctx, engine, "SELECT "+text+" FROM (VALUES (1)) AS v (one)")
		})
	}
	for _, text := range gatherers {
		try("analytic", text, func(ctx context.Context) error { return runQuery(ctx, engine, text) })
	}
}

// runQuery computes a query by DuckDB and drops its rows.
func runQuery(ctx context.Context, e *Engine, query string) error {
	tree, err := world{}.bindTree(query)
	if err != nil {
		return err
	}
	a, err := NewAnalytic(tree)
	if err != nil {
		return err
	}
	r, err := a.Run(ctx, e, world{}.opener(), testEnv(), Limits{})
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		rows, err := r.Next(ctx)
		if err != nil || rows == nil {
			return err
		}
	}
}

// watchHeap looks at the heap until the returned function is called, which gives
// by how much it had grown at most.
func watchHeap() func() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	start, most := m.HeapAlloc, m.HeapAlloc
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-done
		return most - start
	}
}
