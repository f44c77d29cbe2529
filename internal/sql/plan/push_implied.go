package plan

// spread tells the scans below a node what follows from several conditions
// together: of a.id = b.id and a.id = 5 that b.id = 5. known are conditions that
// all rows of the node have to meet.
func spread(n Node, known []Expr, given map[*Scan][]Expr) {
	visit(n, func(x Expr) {
		Walk(x, func(x Expr) bool {
			if q, ok := x.(*Subquery); ok {
				spread(q.Root, nil, given)
			}
			return true
		})
	})
	switch n := n.(type) {
	case *Filter:
		spread(n.Input, both(known, conjuncts(n.X)), given)
	case *Sort:
		spread(n.Input, known, given)
	case *Project:
		var below []Expr
		for _, x := range known {
			if y, ok := through(x, n.Rel, func(i int) Expr { return n.Outputs[i].X }); ok {
				below = append(below, y)
			}
		}
		spread(n.Input, below, given)
	case *Join:
		spreadJoin(n, known, given)
	default:
		for _, in := range Inputs(n) {
			spread(in, nil, given)
		}
	}
}

// spreadJoin does so for a join: what the kept side of an outer join has to meet
// follows for the other side too, but not the other way round.
func spreadJoin(n *Join, known []Expr, given map[*Scan][]Expr) {
	all := both(known, conjuncts(n.On))
	more := implied(all)
	left, right := known, known
	switch n.Kind {
	case InnerJoin:
		left, right = both(all, more), both(all, more)
		for _, x := range more {
			push(n.L, x, given)
			push(n.R, x, given)
		}
	case LeftJoin:
		right = nil
		for _, x := range more {
			push(n.R, x, given)
		}
	case RightJoin:
		left = nil
		for _, x := range more {
			push(n.L, x, given)
		}
	default:
		left, right = nil, nil
	}
	spread(n.L, left, given)
	spread(n.R, right, given)
}

func both(a, b []Expr) []Expr { return append(a[:len(a):len(a)], b...) }

// maxImplied bounds what is looked at for conclusions.
const maxImplied = 256

// implied returns the equalities of columns with steady values that follow.
func implied(all []Expr) []Expr {
	type place struct{ rel, position int }
	at := func(r *Ref) place { return place{r.Rel, r.Position} }
	values := map[place]*Call{}
	var pairs [][2]*Ref
	for _, x := range all[:min(len(all), maxImplied)] {
		c, ok := x.(*Call)
		if !ok || c.Fn.Code != Eq {
			continue
		}
		l, isL := c.Args[0].(*Ref)
		r, isR := c.Args[1].(*Ref)
		switch {
		case isL && isR && l.T == r.T:
			pairs = append(pairs, [2]*Ref{l, r}, [2]*Ref{r, l})
		case isL && Steady(c.Args[1]):
			values[at(l)] = c
		case isR && Steady(c.Args[0]):
			values[at(r)] = &Call{c.Fn, []Expr{r, c.Args[0]}, c.T}
		}
	}
	var out []Expr
	for again := true; again; {
		again = false
		for _, p := range pairs {
			from, ok := values[at(p[0])]
			if _, known := values[at(p[1])]; !ok || known {
				continue
			}
			c := &Call{from.Fn, []Expr{p[1], from.Args[1]}, from.T}
			values[at(p[1])] = c
			out = append(out, c)
			again = true
		}
	}
	return out
}
