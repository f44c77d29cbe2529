package exec

import (
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/exec/internal/duck"
	"kalamdb/internal/sql/plan"
)

// asColumn gives a value the type of the column that it becomes.
func asColumn(v datum.Value, t datum.Type) (datum.Value, error) {
	switch {
	case v.IsNull():
		return v, nil
	case t.Kind == datum.Null:
		return datum.NewText(v.String()), nil
	case t.Kind == datum.Decimal:
		if v.Kind() == datum.Decimal && (t.Precision == 0 || v.Scale() == t.Scale && t.Precision == datum.MaxPrecision) {
			return v, nil
		}
		return datum.Cast(v, t)
	case v.Kind() == t.Kind:
		return v, nil
	}
	return datum.Cast(v, t)
}

// call hands an expression to DuckDB as a function that our code computes. Its
// arguments are the columns and the queries that the expression reads.
func (g *generator) call(b *block, e plan.Expr) (term, error) {
	t := e.Type()
	return g.calling(b, e, t, "", func(v datum.Value) (datum.Value, error) { return asColumn(v, t) })
}

// calling is call with something done to the value, which what tells apart.
func (g *generator) calling(b *block, e plan.Expr, t datum.Type, what string, then func(datum.Value) (datum.Value, error)) (term, error) {
	return g.callingAll(b, []plan.Expr{e}, t, what, func(row []datum.Value) (datum.Value, error) { return then(row[0]) })
}

// callingAll hands over a function of the values of several expressions.
func (g *generator) callingAll(b *block, list []plan.Expr, t datum.Type, what string, then func([]datum.Value) (datum.Value, error)) (term, error) {
	u := unit{g: g, b: b, at: map[place]int{}}
	c := compiler{hoist: true}
	evals := make([]Eval, len(list))
	volatile := false
	for i, e := range list {
		inside := plan.Replace(e, u.argument)
		if u.err != nil {
			return term{}, u.err
		}
		eval, err := c.value(inside)
		if err != nil {
			return term{}, err
		}
		evals[i] = eval
		what += " " + inside.String()
		volatile = volatile || plan.VolatilityOf(inside) == plan.Volatile
	}
	base, infos := g.env, g.tree.Params
	build := func() func([]datum.Value) (datum.Value, error) {
		env, err := base.Prepare(infos)
		if err == nil {
			env.Reserve(c.cells)
		}
		values := make([]datum.Value, len(evals))
		return func(row []datum.Value) (datum.Value, error) {
			if err != nil {
				return datum.Value{}, err
			}
			env.BeginRow()
			for i, eval := range evals {
				v, err := eval(row, env)
				if err != nil {
					return v, err
				}
				values[i] = v
			}
			return then(values)
		}
	}
	return g.calls(t, u.args, volatile, what, build), nil
}

// unit collects what the expressions of one call read, as its arguments.
type unit struct {
	g    *generator
	b    *block
	args []term
	at   map[place]int
	err  error
}

// argument exchanges columns and queries for arguments.
func (u *unit) argument(x plan.Expr) plan.Expr {
	var arg term
	var err error
	switch x := x.(type) {
	case *plan.Ref:
		at := place{x.Rel, x.Position}
		if n, ok := u.at[at]; ok {
			return argumentAt(n, x.T)
		}
		arg, err = u.g.resolve(u.b, x)
		u.at[at] = len(u.args)
	case *plan.Subquery:
		arg, err = u.g.subquery(u.b, x)
	default:
		return nil
	}
	if err != nil && u.err == nil {
		u.err = err
	}
	u.args = append(u.args, arg)
	return argumentAt(len(u.args)-1, x.Type())
}

func argumentAt(n int, t datum.Type) plan.Expr {
	return &plan.Col{Position: n, Name: "a" + strconv.Itoa(n), T: t}
}

// callOn has our code do something to the value of a term.
func (g *generator) callOn(x term, t datum.Type, what string, f func(datum.Value) (datum.Value, error)) term {
	build := func() func([]datum.Value) (datum.Value, error) {
		return func(row []datum.Value) (datum.Value, error) { return f(row[0]) }
	}
	return g.calls(t, []term{x}, false, what, build)
}

// calls adds a call to the statement. Equal keys mean equal functions: they are
// shared unless they are volatile.
func (g *generator) calls(t datum.Type, args []term, volatile bool, key string, build func() func([]datum.Value) (datum.Value, error)) term {
	var s strings.Builder
	types := make([]datum.Type, len(args))
	for i, a := range args {
		s.WriteString(", " + a.text)
		types[i] = a.t
	}
	key = t.String() + " " + key + s.String()
	n, shared := g.known[key]
	if !shared {
		n = len(g.statement.Calls)
		g.statement.Calls = append(g.statement.Calls, duck.Call{Result: t, Args: types, Volatile: volatile, New: build})
		if !volatile {
			g.known[key] = n
		}
	}
	name := "kfn_"
	if volatile {
		name = "kvf_"
	}
	return term{text: name + duck.Suffix(t) + "(" + strconv.Itoa(n) + s.String() + ")", t: t}
}

var bytesType = datum.Type{Kind: datum.Bytes}

// key writes what an expression is grouped and sorted by: its value where DuckDB
// orders it as we do, else its bytes as a key.
func (g *generator) key(b *block, e plan.Expr) (term, error) {
	x, ok, err := g.native(b, e)
	switch {
	case err != nil:
		return x, err
	case ok:
		return g.keyOf(x), nil
	case natural(e.Type()) && (e.Type().Kind != datum.Decimal || g.settled(e)):
		return g.call(b, e)
	}
	return g.calling(b, e, bytesType, "key ", keyBytes)
}

// keyOf is key for a term.
func (g *generator) keyOf(x term) term {
	if x.natural() {
		return x
	}
	return g.callOn(x, bytesType, "key", keyBytes)
}

func keyBytes(v datum.Value) (datum.Value, error) {
	if v.IsNull() {
		return v, nil
	}
	var room [64]byte
	return datum.NewBytes(datum.AppendKey(room[:0], v)), nil
}

// hashOf is what is equal exactly when our Equal says that values are, whatever
// their kinds.
func (g *generator) hashOf(x term) term {
	return g.callOn(x, bytesType, "hash", func(v datum.Value) (datum.Value, error) {
		if v.IsNull() {
			return v, nil
		}
		var room [64]byte
		return datum.NewBytes(datum.AppendHash(room[:0], v)), nil
	})
}
