package exec

import (
	"cmp"
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/plan"
)

// pred compiles a condition.
func (c *compiler) pred(e plan.Expr) (pred, error) {
	switch e := e.(type) {
	case *plan.Logic:
		return c.logic(e)
	case *plan.Not:
		p, err := c.pred(e.X)
		if err != nil {
			return nil, err
		}
		return func(row []datum.Value, env *Env) (truth, error) {
			t, err := p(row, env)
			if t == isUnknown {
				return t, err
			}
			return isTrue - t, err
		}, nil
	case *plan.IsNull:
		x, err := c.value(e.X)
		if err != nil {
			return nil, err
		}
		not := e.Not
		return func(row []datum.Value, env *Env) (truth, error) {
			v, err := x(row, env)
			return truthOf(v.IsNull() != not), err
		}, nil
	case *plan.IsTruth:
		p, err := c.pred(e.X)
		if err != nil {
			return nil, err
		}
		want, not := truthOf(e.Want), e.Not
		return func(row []datum.Value, env *Env) (truth, error) {
			t, err := p(row, env)
			return truthOf((t == want) != not), err
		}, nil
	case *plan.In:
		return c.in(e)
	case *plan.Call:
		if e.Fn.Code != plan.NoCode {
			return c.comparison(e)
		}
	}
	x, err := c.value(e)
	if err != nil {
		return nil, err
	}
	return func(row []datum.Value, env *Env) (truth, error) {
		v, err := x(row, env)
		if v.IsNull() {
			return isUnknown, err
		}
		return truthOf(v.Bool()), err
	}, nil
}

// logic stops at the operand that decides.
func (c *compiler) logic(e *plan.Logic) (pred, error) {
	parts := make([]pred, len(e.Args))
	for i, x := range e.Args {
		p, err := c.pred(x)
		if err != nil {
			return nil, err
		}
		parts[i] = p
	}
	decides := truthOf(e.Or)
	return func(row []datum.Value, env *Env) (truth, error) {
		result := isTrue - decides
		for _, p := range parts {
			t, err := p(row, env)
			switch {
			case err != nil:
				return isUnknown, err
			case t == decides:
				return t, nil
			case t == isUnknown:
				result = isUnknown
			}
		}
		return result, nil
	}, nil
}

// holds reports whether an order of two values is what an operator asks for.
func holds(code plan.Code, order int) bool {
	switch code {
	case plan.Eq:
		return order == 0
	case plan.Ne:
		return order != 0
	case plan.Lt:
		return order < 0
	case plan.Le:
		return order <= 0
	case plan.Gt:
		return order > 0
	}
	return order >= 0
}

// comparison compiles = <> < <= > >=, with short cuts for what a column holds.
func (c *compiler) comparison(e *plan.Call) (pred, error) {
	code := e.Fn.Code
	r, err := c.value(e.Args[1])
	if err != nil {
		return nil, err
	}
	if col, ok := e.Args[0].(*plan.Col); ok {
		switch {
		case col.T.Kind.IsInteger():
			return compareInteger(col.Position, code, r), nil
		case col.T.Kind == datum.Text && (code == plan.Eq || code == plan.Ne):
			return compareText(col.Position, code == plan.Eq, r), nil
		}
	}
	l, err := c.value(e.Args[0])
	if err != nil {
		return nil, err
	}
	return func(row []datum.Value, env *Env) (truth, error) {
		a, err := l(row, env)
		if err != nil {
			return isUnknown, err
		}
		b, err := r(row, env)
		if err != nil || a.IsNull() || b.IsNull() {
			return isUnknown, err
		}
		return truthOf(holds(code, datum.Compare(a, b))), nil
	}, nil
}

func compareInteger(position int, code plan.Code, r Eval) pred {
	return func(row []datum.Value, env *Env) (truth, error) {
		b, err := r(row, env)
		a := &row[position]
		if err != nil || a.IsNull() || b.IsNull() {
			return isUnknown, err
		}
		if b.Kind().IsInteger() {
			return truthOf(holds(code, cmp.Compare(a.Int(), b.Int()))), nil
		}
		return truthOf(holds(code, datum.Compare(*a, b))), nil
	}
}

func compareText(position int, equal bool, r Eval) pred {
	return func(row []datum.Value, env *Env) (truth, error) {
		b, err := r(row, env)
		a := &row[position]
		if err != nil || a.IsNull() || b.IsNull() {
			return isUnknown, err
		}
		return truthOf((a.Text() == b.Text()) == equal), nil
	}
}

// longList is the number of elements from which IN looks into a set.
const longList = 8

// in compiles X IN (list).
func (c *compiler) in(e *plan.In) (pred, error) {
	x, err := c.value(e.X)
	if err != nil {
		return nil, err
	}
	list, err := c.values(e.List)
	if err != nil {
		return nil, err
	}
	var member func(v datum.Value, row []datum.Value, env *Env) (truth, error)
	switch {
	case len(list) < longList || slices.ContainsFunc(e.List, func(x plan.Expr) bool { return !plan.Steady(x) }):
		member = inList(list)
	case !slices.ContainsFunc(e.List, func(x plan.Expr) bool { _, ok := x.(*plan.Const); return !ok }):
		set, err := newSet(list, nil)
		if err != nil {
			return nil, err
		}
		member = func(v datum.Value, _ []datum.Value, _ *Env) (truth, error) { return set.holds(v), nil }
	case c.hoist:
		member = inSet(list, c.cell())
	default:
		member = inList(list)
	}
	not := e.Not
	return func(row []datum.Value, env *Env) (truth, error) {
		v, err := x(row, env)
		if err != nil || v.IsNull() {
			return isUnknown, err
		}
		t, err := member(v, row, env)
		if not && t != isUnknown {
			t = isTrue - t
		}
		return t, err
	}, nil
}

func inList(list []Eval) func(datum.Value, []datum.Value, *Env) (truth, error) {
	return func(v datum.Value, row []datum.Value, env *Env) (truth, error) {
		result := isFalse
		for _, x := range list {
			w, err := x(row, env)
			switch {
			case err != nil:
				return isUnknown, err
			case w.IsNull():
				result = isUnknown
			case datum.Equal(v, w):
				return isTrue, nil
			}
		}
		return result, nil
	}
}

// set is the elements of a long IN list.
type set struct {
	members map[string]struct{}
	null    bool
}

func newSet(list []Eval, env *Env) (*set, error) {
	s := &set{members: make(map[string]struct{}, len(list))}
	var buffer []byte
	for _, x := range list {
		v, err := x(nil, env)
		if err != nil {
			return nil, err
		}
		if v.IsNull() {
			s.null = true
			continue
		}
		buffer = datum.AppendHash(buffer[:0], v)
		s.members[string(buffer)] = struct{}{}
	}
	return s, nil
}

func (s *set) holds(v datum.Value) truth {
	var room [64]byte
	if _, ok := s.members[string(datum.AppendHash(room[:0], v))]; ok {
		return isTrue
	}
	if s.null {
		return isUnknown
	}
	return isFalse
}

// inSet builds the set when the first row asks for it.
func inSet(list []Eval, n int) func(datum.Value, []datum.Value, *Env) (truth, error) {
	return func(v datum.Value, _ []datum.Value, env *Env) (truth, error) {
		cell := env.Cell(n)
		if !cell.Done {
			cell.Done = true
			before := env.Built()
			cell.Any, cell.Err = newSet(list, env)
			env.Hold(before)
		}
		if cell.Err != nil {
			return isUnknown, cell.Err
		}
		return cell.Any.(*set).holds(v), nil
	}
}
