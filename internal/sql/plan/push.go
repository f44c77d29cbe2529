package plan

import (
	"slices"

	"kalamdb/internal/schema"
)

// pushConditions tells the scans below a node which conditions all rows meet
// that the statement needs of them.
func pushConditions(root Node) {
	given := map[*Scan][]Expr{}
	Nodes(root, func(n Node) {
		switch n := n.(type) {
		case *Filter:
			for _, x := range conjuncts(n.X) {
				push(n.Input, x, given)
			}
		case *Join:
			for _, x := range conjuncts(n.On) {
				if n.Kind == InnerJoin || n.Kind == RightJoin {
					push(n.L, x, given)
				}
				if n.Kind == InnerJoin || n.Kind == LeftJoin {
					push(n.R, x, given)
				}
			}
		}
	})
	spread(root, nil, given)
	showDeleted(root)
	Nodes(root, func(n Node) {
		if s, ok := n.(*Scan); ok {
			s.narrow(given[s])
		}
	})
}

// conjuncts are the conditions of which all must hold.
func conjuncts(x Expr) []Expr {
	switch e := x.(type) {
	case nil:
		return nil
	case *Logic:
		if !e.Or {
			return e.Args
		}
	}
	return []Expr{x}
}

// push hands a condition down to the one scan whose columns it reads.
func push(n Node, x Expr, given map[*Scan][]Expr) {
	switch n := n.(type) {
	case *Filter:
		push(n.Input, x, given)
	case *Sort:
		push(n.Input, x, given)
	case *With:
		push(n.Input, x, given)
	case *Unique:
		if n.On == nil {
			push(n.Input, x, given)
		}
	case *Project:
		if y, ok := through(x, n.Rel, func(i int) Expr { return n.Outputs[i].X }); ok {
			push(n.Input, y, given)
		}
	case *Aggregation:
		// A group has the rows that meet what its own columns have to.
		if y, ok := through(x, n.Rel, n.group); ok && n.Sets == nil && len(n.Groups) > 0 {
			push(n.Input, y, given)
		}
	case *SetOp:
		if y, ok := through(x, n.Rel, func(i int) Expr { return &n.L[i] }); ok {
			push(n.A, y, given)
		}
		if y, ok := through(x, n.Rel, func(i int) Expr { return &n.R[i] }); ok {
			push(n.B, y, given)
		}
	case *Join:
		if n.Kind == InnerJoin || n.Kind == LeftJoin {
			push(n.L, x, given)
		}
		if n.Kind == InnerJoin || n.Kind == RightJoin {
			push(n.R, x, given)
		}
	case *Scan:
		if y, ok := n.overRow(x); ok {
			given[n] = append(given[n], y)
		}
	}
}

// group returns what gives a column, nil for an aggregate.
func (n *Aggregation) group(i int) Expr {
	if i < len(n.Groups) {
		return n.Groups[i]
	}
	return nil
}

// through rewrites a condition over the columns of one node to what gives them;
// ok is false when it reads anything else or must not be evaluated twice.
func through(x Expr, rel int, column func(int) Expr) (Expr, bool) {
	ok := true
	y, _ := rewrite(x, func(e Expr) (Expr, error) {
		if r, is := e.(*Ref); is {
			if r.Rel == rel {
				if given := column(r.Position); given != nil {
					return given, nil
				}
			}
			ok = false
			return e, nil
		}
		return nil, nil
	})
	Walk(y, func(e Expr) bool {
		if _, is := e.(*Subquery); is {
			ok = false
		}
		return ok
	})
	return y, ok && VolatilityOf(y) != Volatile
}

// overRow rewrites a condition over the columns of a scan to one over the rows
// of its table.
func (s *Scan) overRow(x Expr) (Expr, bool) {
	reads := false
	y, ok := through(x, s.Rel, func(i int) Expr {
		reads = true
		return &Col{i, s.Table.Columns[i].Name, s.Table.Columns[i].Type}
	})
	return y, ok && reads
}

// narrow finds the way to the rows that meet the conditions.
func (s *Scan) narrow(given []Expr) {
	if len(given) == 0 {
		return
	}
	s.Filter = logic(false, given)
	deleted := s.Access.Deleted
	s.Access.find(s.Table, s.Filter)
	s.Access.Deleted = s.Access.Deleted || deleted
}

// showDeleted lets a scan give tombstones where a condition names _deleted, other
// than to leave them out.
func showDeleted(root Node) {
	scans := map[int]*Scan{}
	Nodes(root, func(n Node) {
		if s, ok := n.(*Scan); ok {
			scans[s.Rel] = s
		}
	})
	look := func(x Expr) {
		Walk(x, func(e Expr) bool {
			r, ok := e.(*Ref)
			if !ok || scans[r.Rel] == nil {
				return true
			}
			s := scans[r.Rel]
			if s.Table.Columns[r.Position].System == schema.DeletedColumn && !aliveRef(x, r) {
				s.Access.Deleted = true
			}
			return true
		})
	}
	Nodes(root, func(n Node) {
		var all []Expr
		switch n := n.(type) {
		case *Filter:
			all = conjuncts(n.X)
		case *Join:
			all = conjuncts(n.On)
		}
		for _, x := range all {
			look(x)
		}
	})
}

// aliveRef reports whether a conjunct says of a column no more than that it is
// false.
func aliveRef(x Expr, deleted *Ref) bool {
	y, _ := rewrite(x, func(e Expr) (Expr, error) {
		if r, ok := e.(*Ref); ok && r.Rel == deleted.Rel && r.Position == deleted.Position {
			return &Col{r.Position, r.Name, r.T}, nil
		}
		return nil, nil
	})
	return onlyAlive(y, deleted.Position)
}

// prune leaves out what nothing reads: outputs of subqueries become NULL, and
// scans list the columns that they have to give.
func prune(a *Analytic) {
	p := pruning{live: map[int]map[int]bool{}, projects: map[int]*Project{}}
	Nodes(a.Root, func(n Node) {
		switch n := n.(type) {
		case *Project:
			p.projects[n.Rel] = n
		case *Unique:
			if pr, ok := n.Input.(*Project); ok && n.On == nil {
				p.whole(pr)
			}
		}
	})
	for _, o := range a.Outputs {
		p.read(o.X)
	}
	Nodes(a.Root, func(n Node) {
		if _, ok := n.(*Project); !ok {
			visit(n, p.read)
		}
	})
	for len(p.todo) > 0 {
		r := p.todo[len(p.todo)-1]
		p.todo = p.todo[:len(p.todo)-1]
		if n := p.projects[r.Rel]; n != nil {
			p.read(n.Outputs[r.Position].X)
		}
	}
	for rel, n := range p.projects {
		for i := range n.Outputs {
			if !p.live[rel][i] {
				n.Outputs[i].X = &Const{value{}, n.Outputs[i].Type}
			}
		}
	}
	Nodes(a.Root, func(n Node) {
		switch n := n.(type) {
		case *Scan:
			n.Needed = []int{}
			for i := range p.live[n.Rel] {
				n.Needed = append(n.Needed, i)
			}
			slices.Sort(n.Needed)
		case *TableCall:
			if last := len(n.Columns) - 1; n.Ordinality && !p.live[n.Rel][last] {
				n.Ordinality, n.Columns = false, n.Columns[:last]
			}
		}
	})
}

// pruning is what is read of each node.
type pruning struct {
	live     map[int]map[int]bool
	projects map[int]*Project
	todo     []*Ref
}

// read marks what an expression reads.
func (p *pruning) read(x Expr) {
	walkAll(x, func(e Expr) {
		r, ok := e.(*Ref)
		if !ok || p.live[r.Rel][r.Position] {
			return
		}
		if p.live[r.Rel] == nil {
			p.live[r.Rel] = map[int]bool{}
		}
		p.live[r.Rel][r.Position] = true
		p.todo = append(p.todo, r)
	})
}

// whole marks all columns of a Project.
func (p *pruning) whole(n *Project) {
	for i, o := range n.Outputs {
		p.read(&Ref{n.Rel, i, o.Name, o.Type})
	}
}
