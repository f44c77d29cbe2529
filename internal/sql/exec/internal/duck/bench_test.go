package duck_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/exec/internal/duck"
)

// metered returns a function that reports rows by the clock, and the processor
// time of a row, which a busy machine changes less.
func metered() func(b *testing.B, rows int) {
	used := func() time.Duration {
		var r syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail for this process
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	before := used()
	return func(b *testing.B, rows int) {
		all := float64(rows * b.N)
		b.ReportMetric(all/b.Elapsed().Seconds(), "rows/s")
		b.ReportMetric(float64(used()-before)/all, "cpu-ns/row")
	}
}

// BenchmarkScan reads rows that are in memory already.
func BenchmarkScan(b *testing.B) {
	in := &table{types: []datum.Type{bigint, text, text, {Kind: datum.Timestamp}, {Kind: datum.Double}, {Kind: datum.Bool}}}
	const rows = 200_000
	for i := range rows {
		in.rows = append(in.rows, []datum.Value{
			datum.NewInt(datum.BigInt, int64(i)), datum.NewText(fmt.Sprint("user-", i%1000)), datum.NewText(fmt.Sprintf("%040d", i)),
			datum.NewInt(datum.Timestamp, int64(i)*1e6), datum.NewDouble(float64(i)), datum.NewBool(i%2 == 0),
		})
	}
	for _, c := range []struct{ name, text string }{
		{"numbers-2", "SELECT sum(c0)::BIGINT + sum(c4)::BIGINT FROM kscan(0)"},
		{"group-text", "SELECT count(*) FROM (SELECT c1, count(*) FROM kscan(0) GROUP BY c1)"},
		{"columns-6", "SELECT (max(c0) + count(c1) + max(length(c2)) + count(c3) + max(c4) + count(c5))::BIGINT FROM kscan(0)"},
		{"call", "SELECT max(kfn_bigint(0, c0)) FROM kscan(0)"},
	} {
		b.Run(c.name, func(b *testing.B) {
			e := duck.New(duck.Options{})
			defer e.Close()
			s := &duck.Statement{Text: c.text, Scans: []duck.Scan{in.scan()}, Columns: []datum.Type{bigint}, Calls: []duck.Call{{
				Result: bigint, Args: []datum.Type{bigint}, New: func() func([]datum.Value) (datum.Value, error) {
					return func(args []datum.Value) (datum.Value, error) { return args[0], nil }
				}}}}
			report := metered()
			for b.Loop() {
				if _, err := query(b.Context(), e, s); err != nil {
					b.Fatal(err)
				}
			}
			report(b, rows)
		})
	}
}

// BenchmarkTiny is what a statement costs that does next to nothing.
func BenchmarkTiny(b *testing.B) {
	e := duck.New(duck.Options{})
	defer e.Close()
	in := sequence(10, func(i int) string { return "text" })
	for _, c := range []struct{ name, text string }{
		{"constant", "SELECT 1::BIGINT"},
		{"count-10", "SELECT count(*) FROM kscan(0)"},
		{"group-10", "SELECT count(*) FROM kscan(0) GROUP BY c1 ORDER BY 1"},
	} {
		b.Run(c.name, func(b *testing.B) {
			report := metered()
			for b.Loop() {
				if _, err := query(b.Context(), e, &duck.Statement{Text: c.text, Scans: []duck.Scan{in.scan()}, Columns: []datum.Type{bigint}}); err != nil {
					b.Fatal(err)
				}
			}
			report(b, 1)
		})
	}
}

// BenchmarkResult reads a result of many rows.
func BenchmarkResult(b *testing.B) {
	e := duck.New(duck.Options{})
	defer e.Close()
	in := sequence(100_000, func(i int) string { return fmt.Sprintf("%040d", i) })
	report := metered()
	for b.Loop() {
		rows, err := e.Query(b.Context(), &duck.Statement{Text: "SELECT c0, c1 FROM kscan(0)", Scans: []duck.Scan{in.scan()}, Columns: []datum.Type{bigint, text}})
		if err != nil {
			b.Fatal(err)
		}
		for {
			chunk, err := rows.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if chunk == nil {
				break
			}
		}
		rows.Close()
	}
	report(b, 100_000)
}
