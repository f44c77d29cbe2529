package exec

import (
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/plan"
)

// Env is what one execution may see besides rows.
type Env = plan.Env

// Eval computes an expression over a row aligned to the table's columns; row is
// nil for expressions without columns. It may be called by several goroutines,
// each with an Env of its own.
type Eval func(row []datum.Value, env *Env) (datum.Value, error)

// truth is a value of three-valued logic.
type truth int8

const (
	isFalse truth = iota
	isTrue
	isUnknown
)

func truthOf(b bool) truth {
	if b {
		return isTrue
	}
	return isFalse
}

// value turns a truth into what SQL shows.
func (t truth) value() datum.Value {
	if t == isUnknown {
		return datum.Value{}
	}
	return datum.NewBool(t == isTrue)
}

// pred is an Eval for conditions, which saves building values.
type pred func(row []datum.Value, env *Env) (truth, error)

// Compile turns a bound expression into an Eval. A nil expression gives a nil
// Eval.
func Compile(e plan.Expr) (Eval, error) {
	if e == nil {
		return nil, nil
	}
	c := compiler{}
	return c.value(e)
}

// compiler compiles the expressions of one program.
type compiler struct {
	// groups is the number of group values that stand before the aggregates in
	// a row of a grouped query.
	groups int
	// hoist lets steady parts be computed once per execution, in cells.
	hoist bool
	cells int
}

func (c *compiler) cell() int {
	c.cells++
	return c.cells - 1
}

// value compiles any expression.
func (c *compiler) value(e plan.Expr) (Eval, error) {
	switch e := e.(type) {
	case *plan.Const:
		v := e.Value
		return func([]datum.Value, *Env) (datum.Value, error) { return v, nil }, nil
	case *plan.Param:
		return func(_ []datum.Value, env *Env) (datum.Value, error) { return env.Param(e) }, nil
	case *plan.Col:
		return at(e.Position), nil
	case *plan.GroupRef:
		return at(e.Index), nil
	case *plan.AggRef:
		return at(c.groups + e.Index), nil
	case *plan.Logic, *plan.Not, *plan.IsNull, *plan.IsTruth, *plan.In:
		return c.condition(e)
	}
	eval, err := c.composed(e)
	if err != nil || !c.hoist || !plan.Steady(e) {
		return eval, err
	}
	return c.once(eval), nil
}

// composed compiles the expressions that compute something.
func (c *compiler) composed(e plan.Expr) (Eval, error) {
	switch e := e.(type) {
	case *plan.Call:
		if e.Fn.Code != plan.NoCode {
			return c.condition(e)
		}
		return c.call(e)
	case *plan.Case:
		return c.caseOf(e)
	case *plan.Coalesce:
		return c.coalesce(e)
	case *plan.Cast:
		return c.cast(e)
	}
	return nil, fault.New(fault.Internal, "an expression of kind %T cannot be compiled", e)
}

func at(position int) Eval {
	return func(row []datum.Value, _ *Env) (datum.Value, error) { return row[position], nil }
}

// once keeps what eval gives for the whole execution; a fault too, but only
// when the value is asked for.
func (c *compiler) once(eval Eval) Eval {
	n := c.cell()
	return func(row []datum.Value, env *Env) (datum.Value, error) {
		cell := env.Cell(n)
		if !cell.Done {
			before := env.Built()
			cell.Value, cell.Err = eval(row, env)
			cell.Done = true
			env.Hold(before)
		}
		return cell.Value, cell.Err
	}
}

func (c *compiler) values(list []plan.Expr) ([]Eval, error) {
	out := make([]Eval, len(list))
	for i, e := range list {
		eval, err := c.value(e)
		if err != nil {
			return nil, err
		}
		out[i] = eval
	}
	return out, nil
}

// condition is the value of a truth.
func (c *compiler) condition(e plan.Expr) (Eval, error) {
	p, err := c.pred(e)
	if err != nil {
		return nil, err
	}
	return func(row []datum.Value, env *Env) (datum.Value, error) {
		t, err := p(row, env)
		return t.value(), err
	}, nil
}

func (c *compiler) call(e *plan.Call) (Eval, error) {
	args, err := c.values(e.Args)
	if err != nil {
		return nil, err
	}
	f1, f2, f3 := e.Fn.Fixed(len(args))
	strict := !e.Fn.NullOK
	switch {
	case f1 != nil:
		x := args[0]
		return func(row []datum.Value, env *Env) (datum.Value, error) {
			a, err := x(row, env)
			if err != nil || strict && a.IsNull() {
				return datum.Value{}, err
			}
			return env.Grown(f1(env, a))
		}, nil
	case f2 != nil:
		return call2(f2, args[0], args[1], strict), nil
	case f3 != nil:
		x, y, z := args[0], args[1], args[2]
		return func(row []datum.Value, env *Env) (datum.Value, error) {
			a, err := x(row, env)
			if err != nil {
				return a, err
			}
			b, err := y(row, env)
			if err != nil {
				return b, err
			}
			c, err := z(row, env)
			if err != nil || strict && (a.IsNull() || b.IsNull() || c.IsNull()) {
				return datum.Value{}, err
			}
			return env.Grown(f3(env, a, b, c))
		}, nil
	}
	fn := e.Fn
	return func(row []datum.Value, env *Env) (datum.Value, error) {
		values := make([]datum.Value, len(args))
		for i, x := range args {
			v, err := x(row, env)
			if err != nil {
				return v, err
			}
			values[i] = v
		}
		return env.Grown(fn.Invoke(env, values))
	}, nil
}

func call2(f func(*Env, datum.Value, datum.Value) (datum.Value, error), x, y Eval, strict bool) Eval {
	return func(row []datum.Value, env *Env) (datum.Value, error) {
		a, err := x(row, env)
		if err != nil {
			return a, err
		}
		b, err := y(row, env)
		if err != nil || strict && (a.IsNull() || b.IsNull()) {
			return datum.Value{}, err
		}
		return env.Grown(f(env, a, b))
	}
}

func (c *compiler) caseOf(e *plan.Case) (Eval, error) {
	conditions := make([]pred, len(e.Whens))
	results := make([]Eval, len(e.Whens)+1)
	var err error
	for i, w := range e.Whens {
		if conditions[i], err = c.pred(w.If); err != nil {
			return nil, err
		}
		if results[i], err = c.value(w.Then); err != nil {
			return nil, err
		}
	}
	if e.Else != nil {
		if results[len(e.Whens)], err = c.value(e.Else); err != nil {
			return nil, err
		}
	}
	return func(row []datum.Value, env *Env) (datum.Value, error) {
		for i, p := range conditions {
			t, err := p(row, env)
			if err != nil {
				return datum.Value{}, err
			}
			if t == isTrue {
				return results[i](row, env)
			}
		}
		if last := results[len(conditions)]; last != nil {
			return last(row, env)
		}
		return datum.Value{}, nil
	}, nil
}

func (c *compiler) coalesce(e *plan.Coalesce) (Eval, error) {
	args, err := c.values(e.Args)
	if err != nil {
		return nil, err
	}
	return func(row []datum.Value, env *Env) (v datum.Value, err error) {
		for _, x := range args {
			if v, err = x(row, env); err != nil || !v.IsNull() {
				return v, err
			}
		}
		return datum.Value{}, nil
	}, nil
}

func (c *compiler) cast(e *plan.Cast) (Eval, error) {
	x, err := c.value(e.X)
	if err != nil {
		return nil, err
	}
	to, try := e.To, e.Try
	return func(row []datum.Value, env *Env) (datum.Value, error) {
		v, err := x(row, env)
		if err != nil || v.IsNull() {
			return v, err
		}
		w, err := datum.Cast(v, to)
		if err != nil && try {
			return datum.Value{}, nil
		}
		return env.Grown(w, err)
	}, nil
}
