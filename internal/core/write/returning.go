package write

import (
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
}

// newReturning compiles the outputs of RETURNING; nil without any.
func newReturning(t *schema.Table, outputs []plan.Output) (*returning, error) {
	if len(outputs) == 0 {
		return nil, nil
	}
	r := &returning{outputs: make([]exec.Eval, len(outputs)), seq: t.SystemPosition(schema.SeqColumn)}
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
	c.env.BeginRow()
	out := make([]datum.Value, len(r.outputs))
	for i, eval := range r.outputs {
		v, err := eval(whole, c.env)
		if err != nil {
			return err
		}
		out[i] = v
		c.given += int64(v.Size()) + 32
	}
	if limit := c.writer.o.Limits.MaxBytes; limit > 0 && c.given > limit {
		return fault.New(fault.LimitExceeded, "RETURNING gives more than %d bytes; return fewer columns, or raise limits.max_result_bytes", limit)
	}
	c.returned = append(c.returned, out)
	if written && len(r.late) > 0 {
		c.late = append(c.late, lateRow{len(c.returned) - 1, len(c.rows) - 1, whole})
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
