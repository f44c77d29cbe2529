package exec

import (
	"context"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// storedEvery is how many stored rows are gathered between two looks at the
// context.
const storedEvery = 4096

// fillStored gathers the rows that a scan gives as they are stored: each is
// taken out of its bytes into one row and is gathered before the next, so no
// memory is taken for it. What is left comes by next.
func (s *groupStage) fillStored(ctx context.Context, scan *scanStage) error {
	q := s.x.query
	if len(q.Needed) > schema.RowReaderColumns || q.Needed == nil {
		return nil
	}
	if err := scan.open(ctx); err != nil {
		return err
	}
	rows, ok := scan.rows.(source.StoredRows)
	if !ok {
		return nil
	}
	table := scan.table.Definition()
	reader := table.NewRowReader(q.Needed)
	row, copied := make([]datum.Value, len(table.Columns)), s.x.computed(len(table.Columns))
	put := func(i int, v datum.Value) error {
		at := q.Needed[i]
		if copied[at] {
			v = v.Clone()
		}
		row[at] = v
		return nil
	}
	each := func(body []byte, seq uint64, deleted bool) error {
		if err := reader.Read(body, seq, deleted, put); err != nil {
			return err
		}
		return s.take(row, scan.filter)
	}
	for {
		n, err := rows.Stored(ctx, storedEvery, each)
		if err != nil || n < storedEvery {
			return err
		}
	}
}

// take gathers one row if it passes the filter.
func (s *groupStage) take(row []datum.Value, filter pred) error {
	s.x.env.BeginRow()
	if filter != nil {
		if t, err := filter(row, s.x.env); err != nil || t != isTrue {
			return err
		}
	}
	at, err := s.find(row)
	if err != nil {
		return err
	}
	return s.feed(row, s.groups[at].states)
}

// computed marks the columns that expressions compute with. Their texts must not
// share the memory of the stored row, for an expression may keep one as the key
// of what it has prepared. Those that are only grouped by, counted or compared
// are cloned by who keeps them.
func (x *execution) computed(columns int) []bool {
	marks := make([]bool, columns)
	mark := func(e plan.Expr) {
		plan.Walk(e, func(e plan.Expr) bool {
			if c, ok := e.(*plan.Col); ok {
				marks[c.Position] = true
			}
			return true
		})
	}
	q := x.query
	mark(q.Filter)
	alone := func(e plan.Expr) {
		if _, ok := e.(*plan.Col); !ok {
			mark(e)
		}
	}
	for _, e := range q.Groups {
		alone(e)
	}
	for i := range q.Aggregates {
		alone(q.Aggregates[i].X)
		mark(q.Aggregates[i].Filter)
	}
	return marks
}
