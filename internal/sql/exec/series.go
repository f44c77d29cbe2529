package exec

import (
	"context"
	"encoding/base64"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// tableFunction starts a function in FROM. The returned function gives the next
// row, or nil at the end.
type tableFunction func(args []datum.Value) (next func() ([]datum.Value, error), err error)

// tableFunctions are the functions in FROM by name. It is never written after
// the program has started.
var tableFunctions = map[string]tableFunction{"generate_series": generateSeries}

// generateSeries counts from the first to the second argument.
func generateSeries(args []datum.Value) (func() ([]datum.Value, error), error) {
	for _, v := range args {
		if v.IsNull() {
			return func() ([]datum.Value, error) { return nil, nil }, nil
		}
	}
	at, last := args[0], args[1]
	step := datum.NewInt(datum.Int, 1)
	if len(args) > 2 {
		step = args[2]
	}
	zero := datum.NewInt(datum.Int, 0)
	if step.Kind() == datum.Interval {
		zero = datum.NewInterval(0, 0, 0)
	}
	direction := datum.Compare(step, zero)
	if direction == 0 {
		return nil, fault.New(fault.InvalidValue, "the step of GENERATE_SERIES must not be 0")
	}
	done := false
	row := make([]datum.Value, 1)
	return func() ([]datum.Value, error) {
		if done || datum.Compare(at, last)*direction > 0 {
			return nil, nil
		}
		row[0] = at
		next, err := datum.Add(at, step)
		if err != nil {
			done = true // the range of the type ends here, and so does the series
			return row, nil
		}
		at = next
		return row, nil
	}, nil
}

// seriesRows delivers a function in FROM.
type seriesRows struct {
	next  func() ([]datum.Value, error)
	types []datum.Type
	n     int64 // rows so far, for WITH ORDINALITY
	batch source.Batch
	cells []datum.Value
}

func openSeries(f tableFunction, args []datum.Value, types []datum.Type) func(context.Context) (source.Rows, error) {
	return func(context.Context) (source.Rows, error) {
		next, err := f(args)
		if err != nil {
			return nil, err
		}
		return &seriesRows{next: next, types: types}, nil
	}
}

// row returns the next row in the types of its columns, written to out.
func (r *seriesRows) row(out []datum.Value) (bool, error) {
	row, err := r.next()
	if err != nil || row == nil {
		return false, err
	}
	r.n++
	for i := range out {
		if i >= len(row) {
			out[i] = datum.NewInt(datum.BigInt, r.n)
			continue
		}
		if out[i], err = asColumn(row[i], r.types[i]); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Next implements source.Rows.
func (r *seriesRows) Next(ctx context.Context) (*source.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	width := len(r.types)
	if r.cells == nil {
		r.cells = make([]datum.Value, source.BatchRows*width)
	}
	r.batch.Rows = r.batch.Rows[:0]
	for i := range source.BatchRows {
		cells := r.cells[i*width : (i+1)*width : (i+1)*width]
		more, err := r.row(cells)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		r.batch.Rows = append(r.batch.Rows, cells)
	}
	if len(r.batch.Rows) == 0 {
		return nil, nil
	}
	return &r.batch, nil
}

// Close implements source.Rows.
func (r *seriesRows) Close() {}

// gatherSeries writes all rows of a function as one text, NULL for none.
func gatherSeries(f tableFunction, args []datum.Value, types []datum.Type) (datum.Value, error) {
	next, err := f(args)
	if err != nil {
		return datum.Value{}, err
	}
	r := &seriesRows{next: next, types: types}
	row := make([]datum.Value, len(types))
	var s strings.Builder
	var bytes []byte
	for {
		more, err := r.row(row)
		if err != nil {
			return datum.Value{}, err
		}
		if !more {
			break
		}
		if s.Len() > 0 {
			s.WriteString(gatherMark)
		}
		bytes = bytes[:0]
		for _, v := range row {
			bytes = datum.AppendValue(bytes, v)
		}
		s.WriteString(base64.RawStdEncoding.EncodeToString(bytes))
		if s.Len() > plan.MaxBuilt {
			return datum.Value{}, fault.New(fault.LimitExceeded, "a function in FROM may give at most %d bytes for one row around it", plan.MaxBuilt)
		}
	}
	if s.Len() == 0 {
		return datum.Value{}, nil
	}
	return datum.NewText(s.String()), nil
}
