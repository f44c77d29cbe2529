package exec

import (
	"kalamdb/internal/datum"
	"kalamdb/internal/sql/plan"
)

// conjunction splits a condition on rows into the parts that must all be true.
// Parts that give a truth for every row come first, the others keep their order:
// both paths ask in this order, so that they meet the same faults although DuckDB
// moves what it can compute by itself to where it reads.
func conjunction(e plan.Expr) []plan.Expr {
	var certain, others []plan.Expr
	var split func(plan.Expr)
	split = func(e plan.Expr) {
		l, ok := e.(*plan.Logic)
		switch {
		case ok && !l.Or:
			for _, x := range l.Args {
				split(x)
			}
		case neverFails(e):
			certain = append(certain, e)
		default:
			others = append(others, e)
		}
	}
	split(e)
	return append(certain, others...)
}

// neverFails reports whether an expression gives a value for all rows and
// parameters. It looks at its form alone.
func neverFails(e plan.Expr) bool {
	good := true
	plan.Walk(e, func(x plan.Expr) bool {
		switch x := x.(type) {
		case *plan.Cast:
			good = good && (x.Try || !castFails(x))
		case *plan.Call:
			good = good && (x.Fn.Code != plan.NoCode || steadfast[x.Fn.Name])
		case *plan.Subquery:
			good = false
		}
		return good
	})
	return good
}

// rowCondition compiles what rows must fulfil. It ends at the first part that is
// not true, be it false or unknown.
func (c *compiler) rowCondition(e plan.Expr) (pred, error) {
	list := conjunction(e)
	parts := make([]pred, len(list))
	for i, x := range list {
		p, err := c.pred(x)
		if err != nil {
			return nil, err
		}
		parts[i] = p
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return func(row []datum.Value, env *Env) (truth, error) {
		for _, p := range parts {
			if t, err := p(row, env); t != isTrue || err != nil {
				return t, err
			}
		}
		return isTrue, nil
	}, nil
}

// conjuncts writes a condition on rows as parts that DuckDB may move apart. The
// first part that can fail and those behind it become one, which asks them in
// the order of the row path and keeps them from rows that those before refuse.
func (g *generator) conjuncts(b *block, e plan.Expr) ([]string, error) {
	var guards []plan.Expr
	var out []string
	write := func(e plan.Expr) error {
		x, err := g.value(b, e)
		out = append(out, x.text)
		return err
	}
	guarded := false
	for _, p := range conjunction(e) {
		fails := g.fails(p)
		switch {
		case holdsQuery(p):
			whole := p
			if len(guards) > 0 && fails {
				whole = &plan.Logic{Args: append(guards[:len(guards):len(guards)], p)}
			}
			if err := write(whole); err != nil {
				return nil, err
			}
			continue
		case !fails && !guarded:
			if err := write(p); err != nil {
				return nil, err
			}
		default:
			guarded = true
		}
		guards = append(guards, &plan.IsTruth{X: p, Want: true})
	}
	if !guarded {
		return out, nil
	}
	var whole plan.Expr = &plan.Logic{Args: guards}
	if len(guards) == 1 {
		whole = guards[0].(*plan.IsTruth).X
	}
	err := write(whole)
	return out, err
}
