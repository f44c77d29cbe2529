package write

import (
	"context"
	"slices"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/plan"
)

// conflict is an ON CONFLICT clause that is compiled once for all who run it.
type conflict struct {
	plan  *plan.Conflict
	set   []exec.Eval // nil entries mean DEFAULT
	where exec.Eval   // nil for always
	given *given      // nil without subqueries
}

// newConflict compiles ON CONFLICT; nil without.
func newConflict(p *plan.Conflict) (*conflict, error) {
	if p == nil {
		return nil, nil
	}
	c := &conflict{plan: p}
	var err error
	if c.given, err = newGiven(p.Given); err != nil {
		return nil, err
	}
	if c.set, err = compileSet(p.Set); err != nil {
		return nil, err
	}
	if p.Where != nil {
		c.where, err = exec.Compile(p.Where)
	}
	return c, err
}

// candidate is a complete row that may meet one that is there.
type candidate struct {
	key   []byte
	fresh bool
	row   []datum.Value
}

// resolve turns the candidates of an INSERT … ON CONFLICT into changes: what
// their keys hold decides. The caller holds the latches of few keys; of many the
// checks at the commit tell when something has come between, and the statement
// runs again.
func (c *composer) resolve(ctx context.Context, view *relation.View) error {
	if err := c.exceeded(); err != nil {
		return err
	}
	candidates := c.candidates
	c.candidates, c.bytes = nil, 0
	find := c.arbiters(view)
	decided := make([]decision, 0, len(candidates))
	for i := range candidates {
		if i%256 == 255 && ctx.Err() != nil {
			return ctx.Err()
		}
		n := &candidates[i]
		old, again, err := find.meet(ctx, n)
		if old != nil {
			view.NoteRead(c.table, c.to.Scope)
		}
		switch {
		case err != nil:
			return err
		case (again || old != nil) && c.conflict.plan.Nothing:
			continue
		case again:
			return fault.New(fault.InvalidOperation, "ON CONFLICT DO UPDATE cannot change a row twice: key (%s) is given twice", datum.List(pick(n.row, find.columns)))
		}
		decided = append(decided, decision{n, old})
	}
	return c.decide(ctx, view, decided)
}

// decision is a candidate that takes a free place, or meets a row.
type decision struct {
	n   *candidate
	old []datum.Value // nil for a free place
}

// decide turns decisions into changes, in their order.
func (c *composer) decide(ctx context.Context, view *relation.View, decided []decision) error {
	var computed [][]datum.Value
	if g := c.conflict.given; g != nil {
		var pairs [][]datum.Value
		for _, d := range decided {
			if d.old != nil {
				pairs = append(pairs, slices.Concat(d.old, d.n.row))
			}
		}
		var err error
		if computed, err = g.over(ctx, c, view, pairs); err != nil {
			return err
		}
	}
	for i, d := range decided {
		var err error
		switch {
		case i%256 == 255 && ctx.Err() != nil:
			err = ctx.Err()
		case d.old == nil:
			err = c.insertCandidate(d.n)
		case computed != nil:
			err = c.merge(slices.Concat(d.old, d.n.row, computed[0]))
			computed = computed[1:]
		default:
			err = c.merge(slices.Concat(d.old, d.n.row))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// present returns the live row that has the key of a candidate, or nil.
func (c *composer) present(ctx context.Context, view *relation.View, n *candidate) ([]datum.Value, error) {
	if n.fresh {
		return nil, nil
	}
	return c.live(ctx, view, n.key)
}

// live returns the live row of a key, or nil.
func (c *composer) live(ctx context.Context, view *relation.View, key []byte) ([]datum.Value, error) {
	stored, seq, deleted, _, found, err := view.Get(ctx, c.table, c.to.Scope, key)
	if err != nil || !found || deleted {
		return nil, err
	}
	row := make([]datum.Value, len(c.table.Columns))
	if err := c.table.DecodeRow(stored, row); err != nil {
		return nil, err
	}
	c.table.Stamp(row, seq, false)
	return row, nil
}

// insertCandidate adds a row whose place is free.
func (c *composer) insertCandidate(n *candidate) error {
	index, err := entries(c.table, command.Insert, nil, n.row)
	if err != nil {
		return err
	}
	err = c.add(command.RowWrite{
		Op: command.Insert, Scope: c.to.Scope, Key: n.key, Fresh: n.fresh, Row: c.table.AppendRow(nil, n.row), Index: index,
	})
	if err != nil {
		return err
	}
	return c.give(command.Insert, n.row, nil)
}

// merge applies DO UPDATE to the row that is there, behind which stand the one
// that was to be inserted and what was computed for both.
func (c *composer) merge(both []datum.Value) error {
	c.env.BeginRow()
	if c.conflict.where != nil {
		v, err := c.conflict.where(both, c.env)
		if err != nil || v.IsNull() || !v.Bool() {
			return err
		}
	}
	return c.update(both, c.conflict.plan.Set, c.conflict.set)
}
