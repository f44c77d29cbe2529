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

// seriesRows delivers a function in FROM.
type seriesRows struct {
	next  plan.Next
	types []datum.Type
	n     int64 // rows so far, for WITH ORDINALITY
	batch source.Batch
	cells []datum.Value
}

func openSeries(f *plan.TableFunction, args []datum.Value, types []datum.Type) func(context.Context) (source.Rows, error) {
	return func(context.Context) (source.Rows, error) {
		next, err := f.Rows(args)
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
func gatherSeries(f *plan.TableFunction, args []datum.Value, types []datum.Type) (datum.Value, error) {
	next, err := f.Rows(args)
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
