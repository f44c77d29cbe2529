package write

import (
	"context"
	"slices"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// given computes what has subqueries over rows that a statement has in hand. It
// is compiled once for all who run it.
type given struct {
	plan   *plan.Given
	source *exec.Analytic
}

// newGiven compiles a plan; nil without one.
func newGiven(p *plan.Given) (*given, error) {
	if p == nil {
		return nil, nil
	}
	source, err := exec.NewAnalytic(p.Source)
	return &given{p, source}, err
}

// over returns what is computed for each row, in their order. The rows are cut
// to the columns that the plan knows.
func (g *given) over(ctx context.Context, c *composer, view *relation.View, rows [][]datum.Value) ([][]datum.Value, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	open := func(t *schema.Table) (source.Table, error) {
		if t == g.plan.Table {
			return &handTable{t, g.plan.Width, rows}, nil
		}
		if err := unchanged(view, t); err != nil {
			return nil, err
		}
		return c.to.Open(view, t)
	}
	result, err := g.source.Run(ctx, c.writer.o.Analytics, open, c.outer, c.writer.o.Limits)
	if err != nil {
		return nil, err
	}
	defer result.Close()
	out, size := make([][]datum.Value, 0, len(rows)), int64(0)
	for {
		batch, err := result.Next(ctx)
		if err != nil {
			return nil, err
		}
		if batch == nil {
			fault.Assert(len(out) == len(rows), "%d rows computed for %d", len(out), len(rows))
			return out, nil
		}
		for _, row := range batch {
			if size += datum.RowSize(row); size > c.writer.o.MaxBytes {
				return nil, c.writer.tooManyBytes()
			}
			out = append(out, slices.Clone(row))
		}
	}
}

// handTable shows rows that a statement has in hand to a query.
type handTable struct {
	def   *schema.Table
	width int
	rows  [][]datum.Value
}

// Definition implements source.Table.
func (t *handTable) Definition() *schema.Table { return t.def }

// Count implements source.Table.
func (t *handTable) Count(context.Context) (int64, bool, error) { return int64(len(t.rows)), true, nil }

// Scan implements source.Table. The order and the bounds of a request are those
// of the number of a row, which nobody asks for: a query sorts by it.
func (t *handTable) Scan(ctx context.Context, _ source.Request) (source.Rows, error) {
	return &handRows{t: t}, ctx.Err()
}

type handRows struct {
	t    *handTable
	next int
}

// Next implements source.Rows.
func (r *handRows) Next(ctx context.Context) (*source.Batch, error) {
	n := min(len(r.t.rows)-r.next, source.BatchRows)
	if err := ctx.Err(); err != nil || n == 0 {
		return nil, err
	}
	batch := &source.Batch{Rows: make([][]datum.Value, n)}
	for i := range batch.Rows {
		row := make([]datum.Value, r.t.width+1)
		copy(row[:r.t.width], r.t.rows[r.next])
		row[r.t.width] = datum.NewInt(datum.BigInt, int64(r.next))
		batch.Rows[i], r.next = row, r.next+1
	}
	return batch, nil
}

// Close implements source.Rows.
func (r *handRows) Close() { r.next = len(r.t.rows) }
