package exec

import (
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// indexAccess evaluates what an index is asked for.
type indexAccess struct {
	table       *schema.Table
	x           *plan.IndexAccess
	equal, list []Eval
	low, high   []Eval // one, or none
}

func (c *compiler) index(t *schema.Table, x *plan.IndexAccess) (*indexAccess, error) {
	if x == nil {
		return nil, nil
	}
	out := &indexAccess{table: t, x: x}
	var err error
	if out.equal, err = c.values(x.Equal); err != nil {
		return nil, err
	}
	if out.list, err = c.values(x.List); err != nil {
		return nil, err
	}
	if x.Low != nil {
		if out.low, err = c.values([]plan.Expr{x.Low}); err != nil {
			return nil, err
		}
	}
	if x.High != nil {
		out.high, err = c.values([]plan.Expr{x.High})
	}
	return out, err
}

// request says what to ask of the index. empty: no row can be selected.
func (a *indexAccess) request(env *Env) (r *source.IndexRequest, empty bool, err error) {
	r = &source.IndexRequest{Index: a.x.Index.ID}
	var prefix []datum.Value
	for i, eval := range a.equal {
		v, f, err := a.value(env, eval, i)
		if err != nil || f != fits {
			return nil, true, err
		}
		prefix = append(prefix, v)
	}
	if len(a.list) > 0 {
		return a.each(env, r, prefix)
	}
	at := len(a.equal)
	both := source.Range{Low: source.Bound{Values: prefix, Inclusive: true}, High: source.Bound{Values: prefix, Inclusive: true}}
	for _, eval := range a.low {
		v, f, err := a.value(env, eval, at)
		switch {
		case err != nil || f == null:
			return nil, true, err
		case f == fits:
			both.Low = source.Bound{Values: append(slices.Clip(prefix), v), Inclusive: a.x.LowToo}
		}
	}
	for _, eval := range a.high {
		v, f, err := a.value(env, eval, at)
		switch {
		case err != nil || f == null:
			return nil, true, err
		case f == fits:
			both.High = source.Bound{Values: append(slices.Clip(prefix), v), Inclusive: a.x.HighToo}
		}
	}
	if len(both.Low.Values)+len(both.High.Values) == 0 {
		return nil, false, nil // nothing is left that would narrow
	}
	r.Ranges = []source.Range{both}
	return r, false, nil
}

// each asks for every value of the list behind the prefix.
func (a *indexAccess) each(env *Env, r *source.IndexRequest, prefix []datum.Value) (*source.IndexRequest, bool, error) {
	for _, eval := range a.list {
		v, f, err := a.value(env, eval, len(a.equal))
		if err != nil {
			return nil, false, err
		}
		if f != fits {
			continue
		}
		b := source.Bound{Values: append(slices.Clip(prefix), v), Inclusive: true}
		r.Ranges = append(r.Ranges, source.Range{Low: b, High: b})
	}
	return r, len(r.Ranges) == 0, nil
}

// value evaluates what column i of the index is compared with.
func (a *indexAccess) value(env *Env, eval Eval, i int) (datum.Value, fit, error) {
	v, err := eval(nil, env)
	if err != nil {
		return v, null, err
	}
	w, f := keyValue(v, a.table.Columns[a.table.ColumnByID(a.x.Index.Columns[i])].Type)
	return w, f, nil
}
