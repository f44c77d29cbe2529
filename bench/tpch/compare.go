package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// duckdb is the reference: a process with DuckDB and nothing else.
type duckdb struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startReference(ctx context.Context, o *options) (*duckdb, error) {
	d := &duckdb{cmd: exec.CommandContext(ctx, o.python("bin/python"), filepath.Join(o.source, "reference.py"),
		filepath.Join(o.dir, "rows"), filepath.Join(o.source, "schema.sql"), "1")}
	d.cmd.Stderr = os.Stderr
	var err error
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	pipe, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d.out = bufio.NewReaderSize(pipe, 1<<20)
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	_, err = d.read() // it has loaded
	return d, err
}

func (d *duckdb) stop() {
	_ = d.in.Close()
	_ = d.cmd.Wait()
}

func (d *duckdb) ask(_ context.Context, sql string) (answer, error) {
	line, err := json.Marshal(map[string]string{"sql": sql})
	if err != nil {
		return answer{}, err
	}
	if _, err := d.in.Write(append(line, '\n')); err != nil {
		return answer{}, err
	}
	return d.read()
}

func (d *duckdb) read() (answer, error) {
	line, err := d.out.ReadBytes('\n')
	if err != nil {
		return answer{}, fmt.Errorf("DuckDB has ended: %w", err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(line)))
	decoder.UseNumber()
	var reply struct {
		Error string  `json:"error"`
		MS    float64 `json:"ms"`
		Rows  [][]any `json:"rows"`
	}
	if err := decoder.Decode(&reply); err != nil {
		return answer{}, err
	}
	if reply.Error != "" {
		return answer{}, errors.New(reply.Error)
	}
	return answer{reply.Rows, time.Duration(reply.MS * float64(time.Millisecond))}, nil
}

// compare runs all queries on both sides in turn, holds the answers against each
// other and prints the medians. The times of KalamDB hold the request over HTTP
// and the decoding of its answer, those of DuckDB neither.
func compare(ctx context.Context, o *options, queries []query, ours *server, theirs *duckdb, out io.Writer) error {
	times := map[string][2][]float64{}
	wrong := 0
	for round := range o.rounds {
		for _, q := range queries {
			var got, want answer
			var err error
			sides := []func() error{
				func() error { got, err = ours.ask(ctx, q.text); return err },
				func() error { want, err = theirs.ask(ctx, q.text); return err },
			}
			if round%2 == 1 {
				slices.Reverse(sides)
			}
			for _, side := range sides {
				if err := side(); err != nil {
					return fmt.Errorf("query %s: %w", q.number, err)
				}
			}
			if err := equal(got.rows, want.rows); err != nil && round == 0 {
				wrong++
				fmt.Fprintf(out, "query %s: %v\n", q.number, err)
			}
			t := times[q.number]
			t[0] = append(t[0], got.took.Seconds())
			t[1] = append(t[1], want.took.Seconds())
			times[q.number] = t
		}
	}
	fmt.Fprintf(out, "%5s %12s %12s %8s\n", "query", "kalamdb ms", "duckdb ms", "ratio")
	product := 0.0
	for _, q := range queries {
		a, b := median(times[q.number][0]), median(times[q.number][1])
		product += math.Log(a / b)
		fmt.Fprintf(out, "%5s %12.1f %12.1f %8.2f\n", q.number, a*1000, b*1000, a/b)
	}
	fmt.Fprintf(out, "%d of %d answers are equal; geometric mean of the ratios %.2f, medians of %d rounds\n",
		len(queries)-wrong, len(queries), math.Exp(product/float64(len(queries))), o.rounds)
	if wrong > 0 {
		return fmt.Errorf("%d answers differ", wrong)
	}
	return nil
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// equal holds the rows of two answers against each other, in order; rows that
// the query's ORDER BY leaves in any order may stand in another.
func equal(got, want [][]any) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d rows, want %d", len(got), len(want))
	}
	if different(got, want) < 0 {
		return nil
	}
	at := different(got, want)
	byText := func(a, b []any) int { return strings.Compare(fmt.Sprint(a...), fmt.Sprint(b...)) }
	a, b := slices.Clone(got), slices.Clone(want)
	slices.SortFunc(a, byText)
	slices.SortFunc(b, byText)
	if different(a, b) < 0 {
		return nil
	}
	return fmt.Errorf("row %d is %v, want %v", at, got[at], want[at])
}

// different returns the first row in which two answers differ, or -1.
func different(got, want [][]any) int {
	for i := range got {
		if len(got[i]) != len(want[i]) {
			return i
		}
		for j := range got[i] {
			if !same(got[i][j], want[i][j]) {
				return i
			}
		}
	}
	return -1
}

// same compares two cells: numbers by value, since averages are decimals here
// and doubles there and integers of 64 bits travel as text.
func same(a, b any) bool {
	x, xOK := number(a)
	y, yOK := number(b)
	if xOK && yOK {
		return math.Abs(x-y) <= 1e-6*max(math.Abs(x), math.Abs(y), 1)
	}
	return fmt.Sprint(a) == fmt.Sprint(b)
}

func number(v any) (float64, bool) {
	text := ""
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = v
	default:
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}
