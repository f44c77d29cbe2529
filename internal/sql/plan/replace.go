package plan

// Replace returns e with parts of it exchanged, from the top: where change
// returns an expression, that is taken and not looked into.
func Replace(e Expr, change func(Expr) Expr) Expr {
	out, _ := rewrite(e, func(x Expr) (Expr, error) { return change(x), nil }) // change cannot fail
	return out
}

// Fixed reports whether e has one value for a whole execution: it reads no row,
// asks no query and calls nothing volatile.
func Fixed(e Expr) bool {
	fixed := true
	Walk(e, func(x Expr) bool {
		switch x := x.(type) {
		case *Col, *GroupRef, *AggRef, *Ref, *Subquery:
			fixed = false
		case *Call:
			fixed = fixed && x.Fn.Volatility != Volatile
		}
		return fixed
	})
	return fixed
}
