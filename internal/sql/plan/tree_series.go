package plan

import (
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// rowsInList binds a function that gives rows in a select list: each row of the
// SELECT is given as often as the function gives one for it.
func (b *binder) rowsInList(e *parse.Call, name string) (Expr, error) {
	f := fault.At(fault.NotImplemented, e.Offset, "function %s gives rows and can only stand in FROM or at the top of a select list", name)
	if b.tree == nil {
		return nil, &beyond{fault.Of(f), "a function that gives rows"}
	}
	x := b.extra
	if name == parse.VectorSearch {
		return nil, fault.At(fault.NotImplemented, e.Offset, "function %s gives two columns and can only stand in FROM", name)
	}
	if !x.listing || !x.windowing || e.Star || e.Distinct || e.Filter != nil || e.Over != nil || len(e.OrderBy)+len(e.Within) > 0 {
		return nil, f
	}
	args, err := b.exprs(e.Args)
	if err != nil {
		return nil, err
	}
	fn, columns, err := b.tableCall(tableFunctions[name], args, &parse.TableFunction{At: e.At, Call: e})
	if err != nil {
		return nil, err
	}
	for i := range args {
		args[i] = b.place(b.settle(args[i]))
	}
	switch {
	case len(columns) != 1:
		return nil, fault.At(fault.NotImplemented, e.Offset, "function %s gives %d columns and can only stand in FROM", name, len(columns))
	case x.series != nil && (x.series.Fn != fn || list(x.series.Args) != list(args)):
		return nil, fault.At(fault.NotImplemented, e.Offset, "only one function that gives rows can stand in a select list; FROM takes several")
	case x.series == nil:
		if err := b.tree.source(e.Offset); err != nil {
			return nil, err
		}
		var number *Ref
		x.series, number = numbered(b.tree.next(), fn, args, columns)
		b.from.keys = append(b.from.keys[:len(b.from.keys):len(b.from.keys)], number)
	}
	return &Ref{x.series.Rel, 0, columns[0].Name, columns[0].Type}, nil
}

// withSeries puts the function of the select list beside the rows of a node.
func (e *extra) withSeries(n Node) Node {
	if e.series == nil {
		return n
	}
	if _, ok := n.(*One); ok {
		return e.series
	}
	reads := false
	for _, x := range e.series.Args {
		walkAll(x, func(x Expr) {
			_, ok := x.(*Ref)
			reads = reads || ok
		})
	}
	return &Join{Kind: InnerJoin, L: n, R: e.series, Lateral: reads}
}
