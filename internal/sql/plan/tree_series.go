package plan

import (
	"slices"
	"strings"

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
	case x.series == nil:
		if err := b.tree.source(e.Offset); err != nil {
			return nil, err
		}
		x.series, x.number = numbered(b.tree.next(), fn, args, columns)
		x.abreast = []abreast{{fn, args}}
		b.from.keys = append(b.from.keys[:len(b.from.keys):len(b.from.keys)], x.number)
	}
	return &Ref{x.series.Rel, x.besides(fn, args, columns[0]), columns[0].Name, columns[0].Type}, nil
}

// abreast is one of several functions in a select list that give rows side by
// side.
type abreast struct {
	fn   *TableFunction
	args []Expr
}

// besides returns the column of the series in which a function gives its values,
// and puts the function beside those that are there if it is not one of them.
func (e *extra) besides(fn *TableFunction, args []Expr, column RelColumn) int {
	for i, a := range e.abreast {
		if a.fn == fn && list(a.args) == list(args) {
			return i
		}
	}
	at := len(e.abreast)
	e.abreast = append(e.abreast, abreast{fn, args})
	n := e.series
	n.Fn = together(e.abreast)
	n.Args = append(n.Args[:len(n.Args):len(n.Args)], args...)
	n.Columns = slices.Insert(slices.Clone(n.Columns), at, column)
	e.number.Position++
	return at
}

// together makes one function of several: their rows side by side, as many as
// the longest gives, the others filled up with NULL.
func together(all []abreast) *TableFunction {
	names := make([]string, len(all))
	f := &TableFunction{call: Function{NullOK: true}}
	for i, a := range all {
		names[i] = a.fn.Signature()
		for j := range a.args {
			f.call.args = append(f.call.args, a.fn.call.pattern(j))
		}
	}
	f.Name = strings.Join(names, " beside ")
	f.call.Name = f.Name
	f.rows = func(args []value) (Next, error) {
		nexts := make([]Next, len(all))
		for i, a := range all {
			next, err := a.fn.Rows(args[:len(a.args):len(a.args)])
			if err != nil {
				return nil, err
			}
			nexts[i], args = next, args[len(a.args):]
		}
		row := make([]value, len(nexts))
		return func() ([]value, error) { return abreastRow(nexts, row) }, nil
	}
	return f
}

// abreastRow takes the next row of each function that still has one.
func abreastRow(nexts []Next, row []value) ([]value, error) {
	more := false
	for i, next := range nexts {
		row[i] = value{}
		if next == nil {
			continue
		}
		cells, err := next()
		switch {
		case err != nil:
			return nil, err
		case cells == nil:
			nexts[i] = nil
			continue
		}
		row[i], more = cells[0], true
	}
	if !more {
		return nil, nil
	}
	return row, nil
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
