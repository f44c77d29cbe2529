package exec

import (
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// access evaluates the bounds of a query once per execution.
type access struct {
	table     *schema.Table
	a         *plan.Access
	keys      [][]Eval
	low, high []Eval
	seq       []Eval
	index     *indexAccess // nil without one
	where     [][]Eval     // the values of each of a.Where
	// fixed is how many leading columns low and high bind by equality.
	fixed int
}

func (c *compiler) access(q *plan.Query) (*access, error) {
	if q.Table == nil {
		return nil, nil
	}
	out := &access{table: q.Table, a: &q.Access}
	for _, key := range q.Access.Keys {
		evals, err := c.values(key)
		if err != nil {
			return nil, err
		}
		out.keys = append(out.keys, evals)
	}
	var err error
	low, high := q.Access.Low.Values, q.Access.High.Values
	if out.low, err = c.values(low); err != nil {
		return nil, err
	}
	if out.high, err = c.values(high); err != nil {
		return nil, err
	}
	for out.fixed < min(len(low), len(high)) && low[out.fixed] == high[out.fixed] {
		out.fixed++
	}
	if out.index, err = c.index(q.Table, q.Access.Index); err != nil {
		return nil, err
	}
	for _, s := range q.Access.Seq {
		eval, err := c.value(s.X)
		if err != nil {
			return nil, err
		}
		out.seq = append(out.seq, eval)
	}
	for _, w := range q.Access.Where {
		evals, err := c.values(w.Values)
		if err != nil {
			return nil, err
		}
		out.where = append(out.where, evals)
	}
	return out, nil
}

// orders maps what plans ask for to what tables deliver.
var orders = map[plan.Order]source.Order{
	plan.OrderAny: source.Any, plan.OrderKey: source.ByKey, plan.OrderSeq: source.BySeq, plan.OrderSeqDesc: source.BySeqDesc,
}

// request says what to ask of the table. empty: nothing can be selected; exact:
// every row within the bounds is.
func (a *access) request(env *Env) (r source.Request, empty, exact bool, err error) {
	r = source.Request{Deleted: a.a.Deleted, Order: orders[a.a.Order]}
	exact = a.a.Exact
	if a.a.Empty {
		return r, true, exact, nil
	}
	if empty, exact, err = a.seqBounds(env, &r, exact); err != nil || empty {
		return r, empty, exact, err
	}
	if a.keys != nil {
		r.Keys, err = a.fullKeys(env)
		return r, len(r.Keys) == 0, exact, err
	}
	low, emptyLow, okLow, err := a.bound(env, a.low, a.a.Low.Inclusive)
	if err != nil {
		return r, false, false, err
	}
	high, emptyHigh, okHigh, err := a.bound(env, a.high, a.a.High.Inclusive)
	if err != nil {
		return r, false, false, err
	}
	r.Low, r.High = low, high
	r.Where = a.conditions(env)
	if a.index != nil && !r.Deleted {
		index, none, err := a.index.request(env)
		if err != nil || none {
			return r, none, false, err
		}
		r.Index = index
	}
	return r, emptyLow || emptyHigh, exact && okLow && okHigh, err
}

// conditions evaluates what segments are asked for. A value that cannot be
// computed is left to the filter, which may never be asked for it.
func (a *access) conditions(env *Env) []schema.Condition {
	all := make([]schema.Condition, 0, len(a.where))
next:
	for i, evals := range a.where {
		w := &a.a.Where[i]
		c := schema.Condition{Column: w.Column, Is: w.Is}
		for _, eval := range evals {
			v, err := eval(nil, env)
			if err != nil {
				continue next
			}
			if !v.IsNull() {
				c.Values = append(c.Values, v)
			}
		}
		all = append(all, c)
	}
	return all
}

// fit is what became of a value that is to bound a key column.
type fit uint8

const (
	fits  fit = iota
	never     // the column has no equal value
	null      // the value is NULL, so no comparison holds
)

// keyValue converts a value to the type of a key column, if that loses nothing.
func keyValue(v datum.Value, to datum.Type) (datum.Value, fit) {
	if v.IsNull() {
		return v, null
	}
	if v.Kind() == to.Kind {
		return v, fits
	}
	if to.Kind == datum.Decimal {
		to.Precision, to.Scale = 0, 0 // whatever the scale, the key is the same
	}
	w, err := datum.Cast(v, to)
	if err != nil || !datum.Comparable(w.Kind(), v.Kind()) || !datum.Equal(w, v) {
		return v, never
	}
	return w, fits
}

// fullKeys returns the keys to read, ascending and each once.
func (a *access) fullKeys(env *Env) ([][]datum.Value, error) {
	columns := a.table.KeyPositions()
	keys := make([][]datum.Value, 0, len(a.keys))
	for _, evals := range a.keys {
		key := make([]datum.Value, len(evals))
		whole := true
		for i, eval := range evals {
			v, err := eval(nil, env)
			if err != nil {
				return nil, err
			}
			column := &a.table.Columns[columns[i]]
			w, f := keyValue(v, column.Type)
			whole = whole && f == fits
			key[i] = w
		}
		if whole {
			keys = append(keys, key)
		}
	}
	if len(keys) > 1 {
		slices.SortFunc(keys, func(x, y []datum.Value) int { return slices.CompareFunc(x, y, datum.Compare) })
		keys = slices.CompactFunc(keys, func(x, y []datum.Value) bool { return slices.EqualFunc(x, y, datum.Equal) })
	}
	return keys, nil
}

// bound evaluates one end of a range. ok is false when a value cannot bound its
// column exactly and was left out.
func (a *access) bound(env *Env, evals []Eval, inclusive bool) (b source.Bound, empty, ok bool, err error) {
	columns := a.table.KeyPositions()
	b.Inclusive = inclusive
	for i, eval := range evals {
		v, err := eval(nil, env)
		if err != nil {
			return b, false, false, err
		}
		w, f := keyValue(v, a.table.Columns[columns[i]].Type)
		switch {
		case f == null, f == never && i < a.fixed:
			return b, true, true, nil
		case f == never:
			b.Inclusive = true // what is left binds by equality
			return b, false, false, nil
		}
		b.Values = append(b.Values, w)
	}
	return b, false, true, nil
}

// seqBounds narrows the bounds of _seq; what is not a whole number is left to
// the filter.
func (a *access) seqBounds(env *Env, r *source.Request, exact bool) (empty, stillExact bool, err error) {
	low, high := int64(0), int64(-1) // low < _seq, and _seq <= high unless -1
	for i, eval := range a.seq {
		v, err := eval(nil, env)
		if err != nil {
			return false, false, err
		}
		if v.IsNull() {
			return true, exact, nil
		}
		if !v.Kind().IsInteger() {
			exact = false
			continue
		}
		n, code := v.Int(), a.a.Seq[i].Code
		if code == plan.Lt || code == plan.Le || code == plan.Eq {
			most := n
			if code == plan.Lt {
				most--
			}
			if n <= 0 || most <= 0 {
				return true, exact, nil
			}
			if high < 0 || most < high {
				high = most
			}
		}
		if code == plan.Gt {
			low = max(low, n)
		} else if (code == plan.Ge || code == plan.Eq) && n > 0 {
			low = max(low, n-1)
		}
	}
	if high >= 0 && low >= high {
		return true, exact, nil
	}
	r.AfterSeq, r.UpToSeq = uint64(low), uint64(max(high, 0))
	return false, exact, nil
}
