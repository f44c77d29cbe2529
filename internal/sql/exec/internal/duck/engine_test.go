package duck_test

import (
	"context"
	"sync/atomic"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/exec/internal/duck"
	"kalamdb/internal/sql/source"
)

// table is a table in memory that counts the scans that are open.
type table struct {
	types []datum.Type
	rows  [][]datum.Value
	batch int // rows of a batch, source.BatchRows if 0
	open  atomic.Int64
}

type tableRows struct {
	t      *table
	at     int
	closed bool
	batch  source.Batch
}

func (t *table) scan() duck.Scan {
	positions := make([]int, len(t.types))
	for i := range positions {
		positions[i] = i
	}
	return duck.Scan{Types: t.types, Positions: positions, Rows: int64(len(t.rows)), Open: func(context.Context) (source.Rows, error) {
		t.open.Add(1)
		return &tableRows{t: t}, nil
	}}
}

func (r *tableRows) Next(ctx context.Context) (*source.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.closed {
		panic("Next after Close")
	}
	size := r.t.batch
	if size == 0 {
		size = source.BatchRows
	}
	n := min(len(r.t.rows)-r.at, size)
	if n == 0 {
		return nil, nil
	}
	// As the contract has it, what was delivered before is overwritten.
	for i := range r.batch.Rows {
		r.batch.Rows[i] = nil
	}
	r.batch.Rows = append(r.batch.Rows[:0], r.t.rows[r.at:r.at+n]...)
	r.at += n
	return &r.batch, nil
}

func (r *tableRows) Close() {
	if !r.closed {
		r.closed = true
		r.t.open.Add(-1)
	}
}

// query returns all rows of a statement.
func query(ctx context.Context, e *duck.Engine, s *duck.Statement) ([][]datum.Value, error) {
	rows, err := e.Query(ctx, s)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all [][]datum.Value
	for {
		chunk, err := rows.Next(ctx)
		if err != nil || chunk == nil {
			return all, err
		}
		for _, row := range chunk {
			all = append(all, append([]datum.Value(nil), row...))
		}
	}
}

func TestSimple(t *testing.T) {
	e := duck.New(duck.Options{TempDir: t.TempDir()})
	defer e.Close()
	numbers := &table{types: []datum.Type{{Kind: datum.BigInt}, {Kind: datum.Text}}}
	for i := range int64(5000) {
		numbers.rows = append(numbers.rows, []datum.Value{datum.NewInt(datum.BigInt, i), datum.NewText("row")})
	}
	got, err := query(t.Context(), e, &duck.Statement{
		Text:    "SELECT count(*), sum(c0)::BIGINT, max(kfn_bigint(0, c0)) FROM kscan(0) WHERE c1 = $1",
		Scans:   []duck.Scan{numbers.scan()},
		Params:  []datum.Value{datum.NewText("row")},
		Columns: []datum.Type{{Kind: datum.BigInt}, {Kind: datum.BigInt}, {Kind: datum.BigInt}},
		Calls: []duck.Call{{Result: datum.Type{Kind: datum.BigInt}, Args: []datum.Type{{Kind: datum.BigInt}}, New: func() func([]datum.Value) (datum.Value, error) {
			return func(args []datum.Value) (datum.Value, error) {
				return datum.NewInt(datum.BigInt, 2*args[0].Int()), nil
			}
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got[0][0].Int() != 5000 || got[0][1].Int() != 5000*4999/2 || got[0][2].Int() != 9998 {
		t.Errorf("got %v", got)
	}
	if n := numbers.open.Load(); n != 0 {
		t.Errorf("%d scans are open", n)
	}
}
