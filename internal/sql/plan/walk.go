package plan

import (
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// Walk calls each for e and everything below it, parents first, until each
// returns false for a node, whose operands are then left out.
func Walk(e Expr, each func(Expr) bool) {
	if e == nil || !each(e) {
		return
	}
	for _, x := range e.operands() {
		Walk(x, each)
	}
}

// maxCopied bounds how many nodes a statement may have of which the text shows
// one: x BETWEEN a AND b holds x twice, and so does each that is nested in it.
const maxCopied = 1 << 18

// copies counts n further places where an operand stands.
func (b *binder) copies(x Expr, n, at int) error {
	b.copied += n * sizeOf(x, maxCopied)
	if b.copied > maxCopied {
		return fault.At(fault.LimitExceeded, at, "the operand here stands in too many comparisons; nested BETWEEN, CASE and comparisons of rows repeat theirs")
	}
	return nil
}

// sizeOf counts the nodes of an expression, at most most and a little more.
func sizeOf(x Expr, most int) int {
	n := 0
	Walk(x, func(x Expr) bool {
		n++
		if q, ok := x.(*Subquery); ok && n < most {
			Nodes(q.Root, func(node Node) {
				if n < most {
					visit(node, func(y Expr) { n += sizeOf(y, most-n) })
				}
			})
		}
		return n < most
	})
	return n
}

// Columns returns the positions of the columns that e reads, ascending.
func Columns(e Expr) []int {
	var out []int
	Walk(e, func(x Expr) bool {
		switch x := x.(type) {
		case *Col:
			out = append(out, x.Position)
		case *GroupRef:
			out = append(out, Columns(x.X)...)
		case *AggRef:
			out = append(out, x.A.columns()...)
		}
		return true
	})
	slices.Sort(out)
	return slices.Compact(out)
}

func (a Aggregate) columns() []int {
	var out []int
	for _, x := range a.operands() {
		out = append(out, Columns(x)...)
	}
	return out
}

// operands are all expressions of the aggregate.
func (a Aggregate) operands() []Expr {
	var out []Expr
	if a.X != nil {
		out = append(out, a.X)
	}
	out = append(out, a.Args...)
	for _, o := range a.Order {
		out = append(out, o.X)
	}
	if a.Filter != nil {
		out = append(out, a.Filter)
	}
	return out
}

// with returns the aggregate over changed operands.
func (a Aggregate) with(each func(Expr) Expr) Aggregate {
	if a.X != nil {
		a.X = each(a.X)
	}
	a.Args = eachOf(a.Args, each)
	a.Order = eachOrder(a.Order, each)
	if a.Filter != nil {
		a.Filter = each(a.Filter)
	}
	return a
}

func eachOf(xs []Expr, each func(Expr) Expr) []Expr {
	if xs == nil {
		return nil
	}
	out := make([]Expr, len(xs))
	for i, x := range xs {
		out[i] = each(x)
	}
	return out
}

func eachOrder(items []OrderItem, each func(Expr) Expr) []OrderItem {
	if items == nil {
		return nil
	}
	out := make([]OrderItem, len(items))
	for i, o := range items {
		out[i] = o
		out[i].X = each(o.X)
	}
	return out
}

// VolatilityOf returns the greatest volatility in e.
func VolatilityOf(e Expr) Volatility {
	most := Immutable
	Walk(e, func(x Expr) bool {
		if c, ok := x.(*Call); ok {
			most = max(most, c.Fn.Volatility)
		}
		return true
	})
	return most
}

// Steady reports whether e has one value for a whole execution: it reads no
// row and calls nothing volatile.
func Steady(e Expr) bool {
	steady := true
	Walk(e, func(x Expr) bool {
		switch x := x.(type) {
		case *Col, *GroupRef, *AggRef, *Ref, *Subquery:
			steady = false
		case *Call:
			steady = steady && x.Fn.Volatility != Volatile
		}
		return steady
	})
	return steady
}

// rewrite replaces nodes from the top: where change returns a node, that is
// taken and not looked into.
func rewrite(e Expr, change func(Expr) (Expr, error)) (Expr, error) {
	if e == nil {
		return nil, nil
	}
	switch y, err := change(e); {
	case err != nil:
		return nil, err
	case y != nil:
		return y, nil
	}
	old := e.operands()
	if len(old) == 0 {
		return e, nil
	}
	changed := false
	out := make([]Expr, len(old))
	for i, x := range old {
		y, err := rewrite(x, change)
		if err != nil {
			return nil, err
		}
		out[i] = y
		changed = changed || y != x
	}
	if !changed {
		return e, nil
	}
	return e.withOperands(out), nil
}

// EqCond says that a column equals a constant.
type EqCond struct {
	Column int
	Value  datum.Value
}

func equality(e *Call) (EqCond, bool) {
	if e.Fn.Code != Eq {
		return EqCond{}, false
	}
	for i, x := range e.Args {
		col, ok1 := x.(*Col)
		c, ok2 := e.Args[1-i].(*Const)
		if ok1 && ok2 && !c.Value.IsNull() {
			return EqCond{col.Position, c.Value}, true
		}
	}
	return EqCond{}, false
}
