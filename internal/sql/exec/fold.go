package exec

import (
	"context"
	"errors"
	"math/bits"
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// endsMost is how many of the least, or greatest, values of a group a fold keeps
// for MIN and MAX. When all of them have gone and there were more, the table has
// to be read again.
const endsMost = 32

// ErrUnfold says that a fold cannot go on from what it knows: the rows have to be
// read again.
var ErrUnfold = errors.New("the rows have to be read again")

// Foldable reports whether the answer of the query can be kept while rows come
// and go: a grouping or DISTINCT without LIMIT, of values whose order of arrival
// does not show.
func (p *Program) Foldable() bool {
	q := p.query
	if q.Table == nil || q.Access.Empty || q.Access.Deleted || q.Limit != nil || q.Offset != nil {
		return false
	}
	if !q.Grouped {
		return q.Distinct && len(q.Order) == 0 && !slices.ContainsFunc(q.Outputs, func(o plan.Output) bool { return !telling(o.Type) })
	}
	return !slices.ContainsFunc(q.Groups, func(x plan.Expr) bool { return !telling(x.Type()) }) &&
		!slices.ContainsFunc(q.Aggregates, func(a plan.Aggregate) bool { return !foldable(a) })
}

// foldable reports whether an aggregate can take rows back.
func foldable(a plan.Aggregate) bool {
	switch a.Op {
	case plan.CountRows:
		return true
	case plan.Count:
		return !a.Distinct || telling(a.X.Type())
	case plan.Min, plan.Max:
		return telling(a.X.Type())
	case plan.Sum, plan.Avg:
		k := a.X.Type().Kind
		return k.IsInteger() || k == datum.Decimal
	}
	return false
}

// telling reports whether values of a type that are equal look alike. Decimals
// do when they have one scale, which a fold sees to.
func telling(t datum.Type) bool {
	switch t.Kind {
	case datum.Bool, datum.SmallInt, datum.Int, datum.BigInt, datum.Decimal, datum.Text, datum.Bytes,
		datum.UUID, datum.Date, datum.Time, datum.Timestamp, datum.DateTime:
		return true
	}
	return false
}

// Fold is the answer of a grouping or of DISTINCT that rows are added to and
// taken from. It belongs to one goroutine at a time. After an error it is of no
// use any more.
type Fold struct {
	x       *execution
	budget  budget
	index   map[string]*foldGroup
	groups  []*foldGroup // in the order in which they came, but for those that took the place of one that went
	key     []byte
	scratch []datum.Value
}

// foldGroup is a group that has rows.
type foldGroup struct {
	key    string
	place  int // in Fold.groups
	rows   int64
	values []datum.Value
	states []foldState
	bytes  int64
}

// foldState is a state that values can be taken from.
type foldState struct {
	state
	times map[string]int64 // how often each value came, for DISTINCT
	ends  []foldEnd        // for MIN and MAX, the wanted one first
	cut   bool             // there may be more values behind ends
}

// foldEnd is a value and how often it came.
type foldEnd struct {
	v datum.Value
	n int64
}

// foldEndBytes is about what one takes beside its value.
const foldEndBytes = 48

// Fold reads the rows of t and keeps what their answer is made of, in so many
// bytes at most; Limits are those of each answer.
func (p *Program) Fold(ctx context.Context, t source.Table, env *Env, o Limits, most int64) (*Fold, error) {
	x, err := p.execution(env, o)
	if err != nil {
		return nil, err
	}
	n := len(p.groups)
	if !p.query.Grouped {
		n = len(p.outputs)
	}
	f := &Fold{x: x, budget: budget{max: most}, scratch: make([]datum.Value, n), index: make(map[string]*foldGroup)}
	if n == 0 {
		if _, err := f.group(); err != nil {
			return nil, err
		}
	}
	rows, err := x.rows(ctx, t, -1)
	if err != nil {
		return nil, err
	}
	defer rows.close()
	for {
		batch, err := rows.next(ctx)
		if err != nil || batch == nil {
			return f, err
		}
		for _, row := range batch {
			x.env.BeginRow()
			if err := f.shift(row, 1); err != nil {
				return nil, err
			}
		}
	}
}

// Bytes returns about how many the fold takes.
func (f *Fold) Bytes() int64 { return f.budget.used }

// Change takes a row of the table out and puts another in; nil is none. Rows that
// the query does not select have no effect.
func (f *Fold) Change(was, row []datum.Value) error {
	// What comes goes first, so that a group does not end between the two.
	if row != nil {
		if err := f.move(row, 1); err != nil {
			return err
		}
	}
	if was != nil {
		return f.move(was, -1)
	}
	return nil
}

// move adds a row that the query selects, or takes it out.
func (f *Fold) move(row []datum.Value, by int64) error {
	f.x.env.BeginRow()
	if f.x.filter != nil {
		t, err := f.x.filter(row, f.x.env)
		if err != nil || t != isTrue {
			return err
		}
	}
	return f.shift(row, by)
}

// shift adds a row, or takes it out.
func (f *Fold) shift(row []datum.Value, by int64) error {
	if err := f.name(row); err != nil {
		return err
	}
	f.key = appendHashes(f.key[:0], f.scratch)
	g := f.index[string(f.key)]
	switch {
	case g == nil && by < 0:
		return ErrUnfold
	case g == nil:
		var err error
		if g, err = f.group(); err != nil {
			return err
		}
	case !slices.EqualFunc(g.values, f.scratch, sameScale):
		return ErrUnfold
	}
	if g.rows += by; g.rows < 0 {
		return ErrUnfold
	}
	used := f.budget.used
	for i := range g.states {
		if err := f.x.aggregates[i].shift(&g.states[i], row, f.x.env, &f.budget, by); err != nil {
			return err
		}
	}
	g.bytes += f.budget.used - used
	if g.rows == 0 && len(f.scratch) > 0 {
		f.end(g)
	}
	return nil
}

// sameScale reports whether two equal values look alike as well.
func sameScale(a, b datum.Value) bool {
	return a.IsNull() == b.IsNull() && a.Kind() == b.Kind() && a.Scale() == b.Scale()
}

// name finds the values that name the group of a row.
func (f *Fold) name(row []datum.Value) (err error) {
	for i := range f.scratch {
		if f.x.query.Grouped {
			f.scratch[i], err = f.x.groups[i](row, f.x.env)
		} else {
			f.scratch[i], err = f.x.outputs[i].value(row, f.x.env)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// group begins the group that key and scratch name.
func (f *Fold) group() (*foldGroup, error) {
	g := &foldGroup{key: string(f.key), place: len(f.groups), states: make([]foldState, len(f.x.aggregates))}
	g.values = make([]datum.Value, len(f.scratch))
	for i, v := range f.scratch {
		g.values[i] = v.Clone()
	}
	g.bytes = datum.RowSize(g.values) + int64(len(g.states)*(stateBytes+foldEndBytes)+2*len(g.key)+2*mapEntryBytes)
	f.groups = append(f.groups, g)
	f.index[g.key] = g
	return g, f.budget.take(g.bytes)
}

// end drops a group that has no rows any more.
func (f *Fold) end(g *foldGroup) {
	last := len(f.groups) - 1
	f.groups[g.place] = f.groups[last]
	f.groups[g.place].place = g.place
	f.groups[last] = nil
	f.groups = f.groups[:last]
	delete(f.index, g.key)
	f.budget.used -= g.bytes
}

// shift adds what a row has for the aggregate, or takes it out.
func (a *aggregate) shift(s *foldState, row []datum.Value, env *Env, b *budget, by int64) error {
	if a.filter != nil {
		t, err := a.filter(row, env)
		if err != nil || t != isTrue {
			return err
		}
	}
	if a.x == nil {
		s.n += by
		return nil
	}
	v, err := a.x(row, env)
	if err != nil || v.IsNull() {
		return err
	}
	if a.distinct {
		if same, err := s.again(v, b, by); err != nil || same {
			return err
		}
	}
	if s.n += by; s.n < 0 {
		return ErrUnfold
	}
	switch a.op {
	case plan.Sum, plan.Avg:
		return s.shiftSum(v, by)
	case plan.Min:
		return s.shiftEnd(v, b, by, 1)
	case plan.Max:
		return s.shiftEnd(v, b, by, -1)
	}
	return nil
}

// again counts a value and reports whether it was there before and is still.
func (s *foldState) again(v datum.Value, b *budget, by int64) (bool, error) {
	var room [64]byte
	key := datum.AppendHash(room[:0], v)
	cost := int64(len(key)) + mapEntryBytes
	if s.times == nil {
		s.times = make(map[string]int64)
	}
	n := s.times[string(key)] + by
	switch {
	case n < 0:
		return false, ErrUnfold
	case n == 0:
		delete(s.times, string(key))
		return false, b.take(-cost)
	}
	s.times[string(key)] = n
	if n == 1 && by > 0 {
		return false, b.take(cost)
	}
	return true, nil
}

// shiftSum adds to the sum, or takes from it. Decimals of different scales are
// not summed: the sum would keep the scale of one that has gone.
func (s *foldState) shiftSum(v datum.Value, by int64) (err error) {
	switch {
	case v.Kind() == datum.Decimal && s.n == 0:
		s.v = datum.Value{}
	case v.Kind() == datum.Decimal && s.v.IsNull():
		s.v = v.Clone()
	case v.Kind() == datum.Decimal && v.Scale() != s.v.Scale():
		return ErrUnfold
	case v.Kind() == datum.Decimal && by > 0:
		s.v, err = datum.Add(s.v, v)
	case v.Kind() == datum.Decimal:
		s.v, err = datum.Sub(s.v, v)
	case by > 0:
		return s.sum(v)
	default:
		var borrow uint64
		s.lo, borrow = bits.Sub64(s.lo, uint64(v.Int()), 0)
		s.hi -= v.Int()>>63 + int64(borrow)
	}
	return err
}

// shiftEnd counts a value for MIN, or for MAX with sign -1.
func (s *foldState) shiftEnd(v datum.Value, b *budget, by int64, sign int) error {
	at, found := slices.BinarySearchFunc(s.ends, v, func(e foldEnd, v datum.Value) int { return sign * datum.Compare(e.v, v) })
	cost := func(v datum.Value) int64 { return int64(len(v.Bytes())) + foldEndBytes }
	switch {
	case found && !sameScale(s.ends[at].v, v):
		return ErrUnfold
	case found:
		if s.ends[at].n += by; s.ends[at].n > 0 {
			return nil
		}
		gone := cost(s.ends[at].v)
		s.ends = slices.Delete(s.ends, at, at+1)
		if len(s.ends) == 0 && s.cut {
			if s.n > 0 {
				return ErrUnfold
			}
			s.cut = false
		}
		s.first()
		return b.take(-gone)
	case at == len(s.ends) && s.cut: // it lies among those that are not kept
		return nil
	case by < 0:
		return ErrUnfold
	}
	if at == endsMost { // the list is full, and v lies behind it
		s.cut = true
		return nil
	}
	if len(s.ends) == endsMost {
		last := s.ends[endsMost-1].v
		s.ends, s.cut = s.ends[:endsMost-1], true
		if err := b.take(-cost(last)); err != nil {
			return err
		}
	}
	s.ends = slices.Insert(s.ends, at, foldEnd{v.Clone(), 1})
	s.first()
	return b.take(cost(v))
}

// first makes the wanted value the result.
func (s *foldState) first() {
	s.v = datum.Value{}
	if len(s.ends) > 0 {
		s.v = s.ends[0].v
	}
}

// Each calls each with every row of the answer. A row is valid until each
// returns.
func (f *Fold) Each(ctx context.Context, each func([]datum.Value) error) error {
	if !f.x.query.Grouped {
		for _, g := range f.groups {
			if err := each(g.values); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
	x := *f.x // the budgets are of this answer
	x.budgets = nil
	defer x.release()
	r := &Result{outputs: x.query.Outputs, budget: &budget{max: x.max}}
	var err error
	if r.stage, err = x.finish(&foldStage{x: &x, rest: f.groups}, -1, 0, -1); err != nil {
		return err
	}
	defer r.Close()
	return r.Each(ctx, each)
}

// foldStage hands on one row per group of a fold.
type foldStage struct {
	x    *execution
	rest []*foldGroup
	out  [][]datum.Value
}

func (s *foldStage) close() { s.rest = nil }

func (s *foldStage) next(ctx context.Context) ([][]datum.Value, error) {
	for len(s.rest) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(len(s.rest), source.BatchRows)
		s.out = s.out[:0]
		for _, g := range s.rest[:n] {
			row, ok, err := s.x.foldRow(g)
			if err != nil {
				return nil, err
			}
			if ok {
				s.out = append(s.out, row)
			}
		}
		s.rest = s.rest[n:]
		if len(s.out) > 0 {
			return s.out, nil
		}
	}
	return nil, nil
}

// foldRow completes a group; ok is false when HAVING refuses it.
func (x *execution) foldRow(g *foldGroup) (row []datum.Value, ok bool, err error) {
	row = append(make([]datum.Value, 0, len(g.values)+len(g.states)), g.values...)
	for i := range g.states {
		v, err := x.aggregates[i].result(&g.states[i].state)
		if err != nil {
			return nil, false, err
		}
		row = append(row, v)
	}
	return x.admit(row)
}
