package write

import (
	"context"
	"slices"

	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/plan"
)

// Outcome is what a statement has done.
type Outcome struct {
	// Count is how many rows were changed.
	Count int64
	// Rows are the outputs of RETURNING for each changed row, in the order of
	// the changes; nil without RETURNING.
	Rows [][]datum.Value
}

// returning is a RETURNING clause that is compiled once for all who run it.
type returning struct {
	outputs []exec.Eval
	// seq is the position of _seq, -1 for none; late are the outputs that read
	// it, which only the commit gives.
	seq  int
	late []int
	// given computes what has subqueries, nil without any.
	given *given
}

// waitingRow is a row that was changed, for which subqueries are still to be
// computed; change is its position in rows.
type waitingRow struct {
	row     []datum.Value
	written bool
	change  int
}

// newReturning compiles the outputs of RETURNING; nil without any.
func newReturning(t *schema.Table, outputs []plan.Output, computed *plan.Given) (*returning, error) {
	if len(outputs) == 0 {
		return nil, nil
	}
	r := &returning{outputs: make([]exec.Eval, len(outputs)), seq: t.SystemPosition(schema.SeqColumn)}
	var err error
	if r.given, err = newGiven(computed); err != nil {
		return nil, err
	}
	for i, o := range outputs {
		eval, err := exec.Compile(o.X)
		if err != nil {
			return nil, err
		}
		r.outputs[i] = typed(eval, o.Type)
		if slices.Contains(plan.Columns(o.X), r.seq) {
			r.late = append(r.late, i)
		}
	}
	return r, nil
}

// typed brings decimals to the scale of the output's type, as SELECT does.
func typed(eval exec.Eval, t datum.Type) exec.Eval {
	if t.Kind != datum.Decimal || t.Precision == 0 {
		return eval
	}
	return func(row []datum.Value, env *exec.Env) (datum.Value, error) {
		v, err := eval(row, env)
		if err != nil || v.IsNull() {
			return v, err
		}
		return datum.Cast(v, t)
	}
}

// give computes RETURNING for a change that has just been added. behind are the
// columns of the statement's source behind those of the table. A row as written
// shows the version of its commit, which is filled in when that is known; until
// then it is computed with one of the future, so that a fault in it prevents the
// commit.
func (c *composer) give(op command.Op, row, behind []datum.Value) error {
	r := c.returning
	if r == nil {
		return nil
	}
	whole := make([]datum.Value, 0, len(c.table.Columns)+len(behind))
	whole = append(append(whole, row[:len(c.table.Columns)]...), behind...)
	written := op != command.Delete
	if written {
		c.table.Stamp(whole, schema.NextSeq(0, c.env.Now, 0), false)
	}
	if r.given == nil {
		return c.answer(waitingRow{whole, written, len(c.rows) - 1})
	}
	whole = whole[:r.given.plan.Width]
	if c.given += datum.RowSize(whole); c.tooMuchGiven() {
		return c.givesTooMuch()
	}
	c.waiting = append(c.waiting, waitingRow{whole, written, len(c.rows) - 1})
	return nil
}

// subqueries computes RETURNING for the rows that wait for their subqueries.
func (c *composer) subqueries(ctx context.Context) error {
	if len(c.waiting) == 0 {
		return nil
	}
	view := c.writer.view(c.to)
	defer view.Release()
	if err := unchanged(view, c.table); err != nil {
		return err
	}
	rows := make([][]datum.Value, len(c.waiting))
	for i := range c.waiting {
		rows[i] = c.waiting[i].row
	}
	computed, err := c.returning.given.over(ctx, c, view, rows)
	if err != nil {
		return err
	}
	waiting := c.waiting
	c.waiting = nil
	for i, w := range waiting {
		w.row = append(w.row, computed[i]...)
		if err := c.answer(w); err != nil {
			return err
		}
	}
	return nil
}

func (c *composer) tooMuchGiven() bool {
	limit := c.writer.o.Limits.MaxBytes
	return limit > 0 && c.given > limit
}

func (c *composer) givesTooMuch() error {
	return fault.New(fault.LimitExceeded, "RETURNING gives more than %d bytes; return fewer columns, or raise limits.max_result_bytes", c.writer.o.Limits.MaxBytes)
}

// answer computes the outputs of a row that is complete.
func (c *composer) answer(w waitingRow) error {
	r := c.returning
	c.env.BeginRow()
	out := make([]datum.Value, len(r.outputs))
	for i, eval := range r.outputs {
		v, err := eval(w.row, c.env)
		if err != nil {
			return err
		}
		out[i] = v
		c.given += int64(v.Size()) + 32
	}
	if c.tooMuchGiven() {
		return c.givesTooMuch()
	}
	c.returned = append(c.returned, out)
	if w.written && len(r.late) > 0 {
		c.late = append(c.late, lateRow{len(c.returned) - 1, w.change, w.row})
	}
	return nil
}

// lateRow is a row whose outputs wait for its _seq.
type lateRow struct {
	output, change int // positions in returned and rows
	row            []datum.Value
}

// outcome is what the statement has done when it is committed or staged; seq
// returns the version that change i got.
func (c *composer) outcome(count int64, seq func(i int) uint64) (Outcome, error) {
	for _, l := range c.late {
		l.row[c.returning.seq] = datum.NewInt(datum.BigInt, int64(seq(l.change)))
		c.env.BeginRow()
		for _, i := range c.returning.late {
			v, err := c.returning.outputs[i](l.row, c.env)
			if err != nil {
				return Outcome{}, err
			}
			c.returned[l.output][i] = v
		}
	}
	if c.returning != nil && c.returned == nil {
		c.returned = [][]datum.Value{}
	}
	return Outcome{count, c.returned}, nil
}
