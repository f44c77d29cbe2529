package plan

import "kalamdb/internal/datum"

// Settle returns e with its parameters and the user and role in effect replaced
// by constants, and what is computed of constants alone by its value, so that it
// can outlive the execution: the filter of a subscription.
func Settle(e Expr, env *Env) (Expr, error) {
	settled, err := rewrite(e, func(x Expr) (Expr, error) {
		switch x := x.(type) {
		case *Param:
			v, err := env.Param(x)
			if err != nil {
				return nil, err
			}
			t := x.Info.Type
			if t.Kind != v.Kind() && !v.IsNull() {
				t = v.Type()
			}
			return &Const{v, t}, nil
		case *Call:
			if x.Fn.Chapter == "Context" && x.Fn.Volatility == Stable && len(x.Args) == 0 {
				v, err := x.Fn.Invoke(env, nil)
				return &Const{v, x.T}, err
			}
		}
		return nil, nil
	})
	if err != nil || settled == nil {
		return settled, err
	}
	return folded(settled), nil
}

// folded computes what consists of constants, from below.
func folded(e Expr) Expr {
	old := e.operands()
	out := make([]Expr, len(old))
	changed := false
	for i, x := range old {
		out[i] = folded(x)
		changed = changed || out[i] != x
	}
	if changed {
		e = e.withOperands(out)
	}
	switch e := e.(type) {
	case *Call:
		return fold(e)
	case *Cast:
		c, ok := e.X.(*Const)
		if !ok || c.Value.IsNull() {
			return e
		}
		if v, err := datum.Cast(c.Value, e.To); err == nil && len(v.Text()) <= maxFolded {
			return &Const{v, e.To}
		}
	}
	return e
}

// Unsteady returns a function in a settled expression whose value may change
// while no row does, nil for none: chance, the clock, what is asked of the
// catalog. The rules of time zones come with the program.
func Unsteady(e Expr) *Function {
	var found *Function
	Walk(e, func(x Expr) bool {
		if c, ok := x.(*Call); ok {
			zoned := c.Fn.Chapter == "Date and time" && len(c.Args) > 1
			if c.Fn.Volatility == Volatile || c.Fn.Volatility == Stable && !zoned {
				found = c.Fn
			}
		}
		return found == nil
	})
	return found
}
