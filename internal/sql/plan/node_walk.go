package plan

// Inputs returns the nodes that a node reads; those of a With are its queries,
// the repeated parts included, then its input. Queries within expressions are
// not among them.
func Inputs(n Node) []Node {
	switch n := n.(type) {
	case *Filter:
		return []Node{n.Input}
	case *Project:
		return []Node{n.Input}
	case *Join:
		return []Node{n.L, n.R}
	case *Aggregation:
		return []Node{n.Input}
	case *Windowing:
		return []Node{n.Input}
	case *Sort:
		return []Node{n.Input}
	case *Slice:
		return []Node{n.Input}
	case *Unique:
		return []Node{n.Input}
	case *SetOp:
		return []Node{n.A, n.B}
	case *With:
		var out []Node
		for _, q := range n.Queries {
			out = append(out, q.Root)
			if q.Step != nil {
				out = append(out, q.Step)
			}
		}
		return append(out, n.Input)
	}
	return nil
}

// change replaces the expressions of one node in place.
func change(n Node, each func(Expr) Expr) {
	one := func(x *Expr) {
		if *x != nil {
			*x = each(*x)
		}
	}
	switch n := n.(type) {
	case *Values:
		for _, row := range n.Rows {
			for i := range row {
				one(&row[i])
			}
		}
	case *TableCall:
		for i := range n.Args {
			one(&n.Args[i])
		}
	case *Filter:
		one(&n.X)
	case *Project:
		for i := range n.Outputs {
			one(&n.Outputs[i].X)
		}
	case *Join:
		one(&n.On)
	case *Aggregation:
		for i := range n.Groups {
			one(&n.Groups[i])
		}
		for i := range n.Aggregates {
			n.Aggregates[i] = n.Aggregates[i].with(each)
		}
	case *Windowing:
		for i := range n.Calls {
			n.Calls[i].change(each)
		}
	case *Sort:
		n.Order = eachOrder(n.Order, each)
	case *Slice:
		one(&n.Count)
		one(&n.Offset)
	case *Unique:
		n.On = eachOf(n.On, each)
	}
}

// Expressions returns the expressions of one node.
func Expressions(n Node) []Expr {
	var out []Expr
	visit(n, func(x Expr) { out = append(out, x) })
	return out
}

// visit calls each for the expressions of one node.
func visit(n Node, each func(Expr)) {
	order := func(items []OrderItem) {
		for _, o := range items {
			each(o.X)
		}
	}
	all := func(xs []Expr) {
		for _, x := range xs {
			if x != nil {
				each(x)
			}
		}
	}
	switch n := n.(type) {
	case *Values:
		for _, row := range n.Rows {
			all(row)
		}
	case *TableCall:
		all(n.Args)
	case *Filter:
		each(n.X)
	case *Project:
		for _, o := range n.Outputs {
			each(o.X)
		}
	case *Join:
		all([]Expr{n.On})
	case *Aggregation:
		all(n.Groups)
		for _, a := range n.Aggregates {
			all(a.operands())
		}
	case *Windowing:
		for i := range n.Calls {
			all(n.Calls[i].operands())
		}
	case *Sort:
		order(n.Order)
	case *Slice:
		all([]Expr{n.Count, n.Offset})
	case *Unique:
		all(n.On)
	case *SetOp:
		refs(n.L, each)
		refs(n.R, each)
	case *With:
		for _, q := range n.Queries {
			refs(q.Columns, each)
			refs(q.StepColumns, each)
		}
	}
}

func refs(columns []Ref, each func(Expr)) {
	for i := range columns {
		each(&columns[i])
	}
}

// operands are all expressions of the call.
func (w *WindowCall) operands() []Expr {
	out := append([]Expr(nil), w.Args...)
	if w.Aggregate != nil {
		out = append(out, w.Aggregate.operands()...)
	}
	out = append(out, w.Partition...)
	for _, o := range w.Order {
		out = append(out, o.X)
	}
	if w.Frame.Start.X != nil {
		out = append(out, w.Frame.Start.X)
	}
	if w.Frame.End.X != nil {
		out = append(out, w.Frame.End.X)
	}
	return out
}

// Nodes calls each for n and every node below it, those of queries within
// expressions included.
func Nodes(n Node, each func(Node)) {
	each(n)
	visit(n, func(x Expr) {
		Walk(x, func(x Expr) bool {
			if q, ok := x.(*Subquery); ok {
				Nodes(q.Root, each)
			}
			return true
		})
	})
	for _, in := range Inputs(n) {
		Nodes(in, each)
	}
}

// walkAll calls each for x and every expression below it, those of the nodes of
// its queries included.
func walkAll(x Expr, each func(Expr)) {
	Walk(x, func(x Expr) bool {
		each(x)
		switch x := x.(type) {
		case *Subquery:
			for i := range x.Columns {
				each(&x.Columns[i])
			}
			Nodes(x.Root, func(n Node) {
				visit(n, func(y Expr) {
					Walk(y, func(z Expr) bool {
						each(z)
						return true
					})
				})
			})
		case *AggRef:
			for _, y := range x.A.operands() {
				walkAll(y, each)
			}
		}
		return true
	})
}

// alter rewrites all expressions below a node in place. The tree belongs to one
// binding until it is finished.
func alter(n Node, changed func(Expr) (Expr, error)) error {
	var failed error
	Nodes(n, func(n Node) {
		change(n, func(x Expr) Expr {
			y, err := rewrite(x, changed)
			if err != nil {
				failed = err
				return x
			}
			return y
		})
	})
	return failed
}
