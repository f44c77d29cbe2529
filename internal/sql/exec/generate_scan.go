package exec

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec/internal/duck"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// opener opens a table at the moment and in the scope of the execution.
type opener func(*schema.Table) (source.Table, error)

// scanned is one scan of an execution, for EXPLAIN.
type scanned struct {
	node     *plan.Scan // nil for rows that no table gives
	estimate int64
	rows     atomic.Int64
	// files are those that DuckDB reads itself, and fileRows the rows in them.
	files    int
	fileRows int64
	tally    *source.Tally
	nanos    atomic.Int64 // that its rows took to come, of all threads together
	pieces   atomic.Int64 // that threads have taken of a shared scan
}

// countedPieces counts what the pieces of a scan deliver.
type countedPieces struct {
	source.Pieces
	of *scanned
}

func (p countedPieces) Next(ctx context.Context) (source.Rows, error) {
	rows, err := p.Pieces.Next(ctx)
	if rows == nil || err != nil {
		return nil, err
	}
	p.of.pieces.Add(1)
	return &countedRows{rows, p.of}, nil
}

// countedRows counts what a scan delivers.
type countedRows struct {
	source.Rows
	of *scanned
}

// Stored hands on what the rows can give as stored: none if they cannot.
func (r *countedRows) Stored(ctx context.Context, most int, each func(body []byte, seq uint64, deleted bool) error) (int, error) {
	stored, ok := r.Rows.(source.StoredRows)
	if !ok {
		return 0, nil
	}
	begin := time.Now()
	n, err := stored.Stored(ctx, most, each)
	r.of.nanos.Add(int64(time.Since(begin)))
	r.of.rows.Add(int64(n))
	return n, err
}

func (r *countedRows) Next(ctx context.Context) (*source.Batch, error) {
	begin := time.Now()
	batch, err := r.Rows.Next(ctx)
	r.of.nanos.Add(int64(time.Since(begin)))
	if batch != nil {
		r.of.rows.Add(int64(len(batch.Rows)))
	}
	return batch, err
}

// noRows is a scan that finds nothing.
type noRows struct{}

func (noRows) Next(ctx context.Context) (*source.Batch, error) { return nil, ctx.Err() }
func (noRows) Close()                                          {}

// addScan adds a scan to the statement and returns what reads it.
func (g *generator) addScan(s duck.Scan, node *plan.Scan) string {
	n := len(g.statement.Scans)
	about := &scanned{node: node, estimate: s.Rows}
	open, opening := s.Open, &g.opening
	s.Open = func(ctx context.Context) (source.Rows, error) {
		opening.Lock()
		rows, err := open(ctx)
		opening.Unlock()
		if err != nil {
			return nil, err
		}
		return &countedRows{rows, about}, nil
	}
	if share := s.Pieces; share != nil {
		s.Pieces = func(ctx context.Context) (source.Pieces, error) {
			pieces, err := share(ctx)
			if pieces == nil || err != nil {
				return nil, err
			}
			return countedPieces{pieces, about}, nil
		}
	}
	g.statement.Scans = append(g.statement.Scans, s)
	g.scans = append(g.scans, about)
	return "kscan(" + strconv.Itoa(n) + ")"
}

// scan reads a table.
func (g *generator) scan(n *plan.Scan) (*block, error) {
	table, err := g.open(n.Table)
	if err != nil {
		return nil, err
	}
	r, empty, err := g.request(n)
	if err != nil {
		return nil, err
	}
	r.Columns = append([]int{}, n.Needed...)
	r.Tally = &source.Tally{}
	alias := "t" + strconv.Itoa(n.Rel)
	s := duck.Scan{Positions: r.Columns, Table: n.Table}
	b := &block{}
	for i, p := range n.Needed {
		t := n.Table.Columns[p].Type
		s.Types = append(s.Types, t)
		b.cols = append(b.cols, column{place{n.Rel, p}, term{text: alias + ".c" + strconv.Itoa(i), t: t, plain: true}})
	}
	s.Rows, err = g.estimate(table, r, empty)
	if err != nil {
		return nil, err
	}
	if !empty {
		if divided, err := g.divide(n, table, r, s, alias); err != nil || divided != nil {
			return divided, err
		}
	}
	s.Open = func(ctx context.Context) (source.Rows, error) {
		if empty {
			return noRows{}, nil
		}
		return table.Scan(ctx, r)
	}
	if pieced, ok := table.(source.Pieced); ok && !empty {
		s.Pieces = func(ctx context.Context) (source.Pieces, error) { return pieced.Pieces(ctx, r, pieceRows) }
	}
	b.from = g.addScan(s, n) + " AS " + alias
	g.scans[len(g.scans)-1].tally = r.Tally
	return b, nil
}

// pieceRows is from how many rows on threads share a scan: below it, what they
// win does not pay for waking them.
const pieceRows = 20_000

// request evaluates the bounds of a scan.
func (g *generator) request(n *plan.Scan) (source.Request, bool, error) {
	q := &plan.Query{Table: n.Table, Access: n.Access}
	if !fixedAccess(&q.Access) {
		q.Access = plan.Access{Deleted: n.Access.Deleted, Where: q.Access.Where}
	}
	q.Access.Where = slices.DeleteFunc(slices.Clone(q.Access.Where), func(w plan.Where) bool {
		return slices.ContainsFunc(w.Values, func(x plan.Expr) bool { return !plan.Fixed(x) })
	})
	c := compiler{}
	a, err := c.access(q)
	if err != nil {
		return source.Request{}, false, err
	}
	r, empty, _, err := a.request(g.env)
	r.Order = source.Any
	return r, empty, err
}

// fixedAccess reports whether the bounds are the same for the whole statement.
func fixedAccess(a *plan.Access) bool {
	lists := append([][]plan.Expr{a.Low.Values, a.High.Values, a.Index.Values()}, a.Keys...)
	for _, s := range a.Seq {
		lists = append(lists, []plan.Expr{s.X})
	}
	for _, list := range lists {
		for _, x := range list {
			if !plan.Fixed(x) {
				return false
			}
		}
	}
	return true
}

// estimate is how many rows a scan may give; 0 is unknown.
func (g *generator) estimate(t source.Table, r source.Request, empty bool) (int64, error) {
	if empty {
		return 1, nil
	}
	if r.Keys != nil {
		return int64(len(r.Keys)), nil
	}
	n, known, err := t.Count(g.ctx)
	if err != nil || !known {
		return 0, err
	}
	n = max(n, 1)
	if len(r.Low.Values)+len(r.High.Values) > 0 || r.AfterSeq > 0 || r.UpToSeq > 0 {
		n = max(n/4, 1) // as good a guess as any
	}
	return n, nil
}

// values gives rows of expressions. Those that read no other rows are computed
// by us and scanned.
func (g *generator) values(n *plan.Values) (*block, error) {
	alias := "t" + strconv.Itoa(n.Rel)
	types := make([]datum.Type, len(n.Columns))
	b := &block{}
	for i, c := range n.Columns {
		types[i] = c.Type
		b.cols = append(b.cols, column{place{n.Rel, i}, term{text: alias + ".c" + strconv.Itoa(i), t: c.Type, plain: true}})
	}
	for _, row := range n.Rows {
		for _, x := range row {
			if readsRows(x) {
				return b, g.dependentValues(n, b, alias)
			}
		}
	}
	rows, err := compileRows(n.Rows)
	if err != nil {
		return nil, err
	}
	env := g.env
	open := func(context.Context) (source.Rows, error) {
		out := &keptRows{}
		for _, cells := range rows {
			env.BeginRow()
			row := make([]datum.Value, len(cells))
			for i, eval := range cells {
				v, err := eval(nil, env)
				if err == nil {
					v, err = asColumn(v, types[i])
				}
				if err != nil {
					return nil, err
				}
				row[i] = v
			}
			out.rows = append(out.rows, row)
		}
		return out, nil
	}
	b.from = g.addScan(duck.Scan{Types: types, Positions: upTo(len(types)), Open: open, Rows: int64(len(rows))}, nil) + " AS " + alias
	return b, nil
}

func compileRows(rows [][]plan.Expr) ([][]Eval, error) {
	out := make([][]Eval, len(rows))
	c := compiler{}
	for i, row := range rows {
		evals, err := c.values(row)
		if err != nil {
			return nil, err
		}
		out[i] = evals
	}
	return out, nil
}

// readsRows reports whether an expression needs columns or a query.
func readsRows(e plan.Expr) bool {
	reads := false
	plan.Walk(e, func(x plan.Expr) bool {
		switch x.(type) {
		case *plan.Ref, *plan.Subquery:
			reads = true
		}
		return !reads
	})
	return reads
}

// dependentValues writes VALUES over rows around it.
func (g *generator) dependentValues(n *plan.Values, b *block, alias string) error {
	var rows []string
	for _, row := range n.Rows {
		list := make([]string, len(row))
		for i, x := range row {
			t, err := g.value(nil, x)
			if err != nil {
				return err
			}
			if t, err = g.bring(t, n.Columns[i].Type); err != nil {
				return err
			}
			list[i] = t.text + " AS c" + strconv.Itoa(i)
		}
		rows = append(rows, "SELECT "+strings.Join(list, ", "))
	}
	b.from = "(" + strings.Join(rows, " UNION ALL ") + ") AS " + alias
	return nil
}

// keptRows are rows in memory.
type keptRows struct {
	rows  [][]datum.Value
	batch source.Batch
}

func (r *keptRows) Next(ctx context.Context) (*source.Batch, error) {
	if err := ctx.Err(); err != nil || len(r.rows) == 0 {
		return nil, err
	}
	n := min(len(r.rows), source.BatchRows)
	r.batch.Rows, r.rows = r.rows[:n], r.rows[n:]
	return &r.batch, nil
}

func (r *keptRows) Close() { r.rows = nil }

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// recall reads a query of WITH.
func (g *generator) recall(n *plan.Recall) (*block, error) {
	terms, ok := g.recalled[n.Query.Number]
	if !ok {
		return nil, fault.New(fault.Internal, "a query of WITH is recalled before it is there")
	}
	alias := "t" + strconv.Itoa(n.Rel)
	b := &block{from: commonName(n.Query) + " AS " + alias}
	for i, x := range terms {
		x.text, x.plain = alias+".c"+strconv.Itoa(i), true
		b.cols = append(b.cols, column{place{n.Rel, i}, x})
	}
	return b, nil
}

func commonName(q *plan.CommonQuery) string { return "w" + strconv.Itoa(q.Number) }

// with writes WITH before its input.
func (g *generator) with(n *plan.With) (*block, error) {
	word := "WITH "
	var list []string
	for _, q := range n.Queries {
		text, err := g.commonQuery(q)
		if err != nil {
			return nil, err
		}
		if q.Step != nil {
			word = "WITH RECURSIVE "
		}
		list = append(list, text)
	}
	b, err := g.node(n.Input)
	if err != nil {
		return nil, err
	}
	if b.with != "" {
		b = g.derive(b)
	}
	b.with = word + strings.Join(list, ", ") + " "
	return b, nil
}

func (g *generator) commonQuery(q *plan.CommonQuery) (string, error) {
	var to []datum.Type
	for i := range q.StepColumns {
		to = append(to, q.StepColumns[i].T)
	}
	text, terms, err := g.selection(q.Root, q.Columns, to, q.Step != nil && !q.All)
	if err != nil {
		return "", err
	}
	names := make([]string, len(terms))
	for i := range names {
		names[i] = "c" + strconv.Itoa(i)
	}
	if len(names) == 0 {
		names = []string{"c0"}
	}
	g.recalled[q.Number] = terms
	as := " AS ("
	switch {
	case q.Step != nil:
		step, _, err := g.selection(q.Step, q.StepColumns, to, !q.All)
		if err != nil {
			return "", err
		}
		word := " UNION "
		if q.All {
			word = " UNION ALL "
		}
		text = "(" + text + ")" + word + "(" + step + ")"
	case q.Materialized:
		as = " AS MATERIALIZED ("
	case q.Inlined:
		as = " AS NOT MATERIALIZED ("
	}
	return commonName(q) + "(" + strings.Join(names, ", ") + ")" + as + text + ")", nil
}

// alike gives equal values of a type one form, so that DuckDB finds rows that a
// recursion has met before. It compares intervals by their length, as we do, and
// knows the two zeros of a float, but neither inside what carries an array.
func (g *generator) alike(x term) (term, error) {
	element := x.t
	if x.t.Kind == datum.Array {
		element = x.t.Element()
	}
	inside := x.t.Kind == datum.Array
	switch {
	case element.Kind == datum.Decimal && (inside || element.Precision == 0), inside && isFloat(element.Kind):
		return g.callOn(x, x.t, "alike", oneForm), nil
	case x.t.Kind == datum.Interval || natural(element):
		return x, nil
	}
	return x, fault.New(fault.NotImplemented, "WITH RECURSIVE with UNION over a column of type %s is not supported; UNION ALL is", x.t)
}

// oneForm takes the zeros at the end of a decimal away and the sign of a zero.
func oneForm(v datum.Value) (datum.Value, error) {
	switch v.Kind() {
	case datum.Array:
		items := v.Items()
		for i, item := range items {
			var err error
			if items[i], err = oneForm(item); err != nil {
				return v, err
			}
		}
		return datum.NewArray(v.ElementKind(), items), nil
	case datum.Decimal:
		text := v.DecimalString()
		_, fraction, _ := strings.Cut(text, ".")
		return datum.Truncate(v, len(strings.TrimRight(fraction, "0")))
	case datum.Float:
		if v.Float() == 0 {
			return datum.NewFloat(0), nil
		}
	case datum.Double:
		if v.Float() == 0 {
			return datum.NewDouble(0), nil
		}
	}
	return v, nil
}

// selection writes a node as a SELECT of the given columns: in the types of to,
// or as they come. Where they are told apart by what carries them, values of one
// meaning get one form.
func (g *generator) selection(n plan.Node, columns []plan.Ref, to []datum.Type, apart bool) (string, []term, error) {
	b, err := g.node(n)
	if err != nil {
		return "", nil, err
	}
	list := make([]string, len(columns))
	terms := make([]term, len(columns))
	for i := range columns {
		x, err := g.resolve(b, &columns[i])
		if err != nil {
			return "", nil, err
		}
		if to != nil {
			x, err = g.bring(x, to[i])
		}
		if apart && err == nil {
			x, err = g.alike(x)
		}
		if err != nil {
			return "", nil, err
		}
		list[i], terms[i] = x.text, x
		if to != nil {
			list[i] = castAlways(x)
		}
	}
	return b.query(list), terms, nil
}

// castAlways spells out the physical type, for DuckDB would find one of its own
// between two queries.
func castAlways(x term) string {
	return "CAST(" + x.text + " AS " + duck.Physical(x.t) + ")"
}

var setWords = [...]string{plan.Union: " UNION ", plan.Intersect: " INTERSECT ", plan.Except: " EXCEPT "}

// setOperation combines two queries.
func (g *generator) setOperation(n *plan.SetOp) (*block, error) {
	to := make([]datum.Type, len(n.Columns))
	names := make([]string, len(n.Columns))
	plain := true
	alias := "t" + strconv.Itoa(n.Rel)
	out := &block{}
	for i, c := range n.Columns {
		to[i], names[i] = c.Type, "c"+strconv.Itoa(i)
		plain = plain && natural(c.Type)
		out.cols = append(out.cols, column{place{n.Rel, i}, term{text: alias + "." + names[i], t: c.Type, plain: true}})
	}
	l, _, err := g.selection(n.A, n.L, to, false)
	if err != nil {
		return nil, err
	}
	r, _, err := g.selection(n.B, n.R, to, false)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = []string{"c0"}
	}
	as := ") AS " + alias + "(" + strings.Join(names, ", ") + ")"
	switch {
	case plain || n.Op == plan.Union && n.All:
		word := setWords[n.Op]
		if n.All {
			word += "ALL "
		}
		out.from = "((" + l + ")" + word + "(" + r + ")" + as
		return out, nil
	case n.Op == plan.Union:
		out.from = "((" + l + ") UNION ALL (" + r + ")" + as
		return g.distinct(out), nil
	}
	return g.setByKey(n, l, r, out), nil
}

// setByKey is INTERSECT and EXCEPT over columns that are compared by their keys.
// Equal rows are counted on both sides, so that ALL pairs them off.
func (g *generator) setByKey(n *plan.SetOp, l, r string, out *block) *block {
	side := func(text string) (from, alias string, keys int) {
		inner, alias := g.name("q"), g.name("q")
		names, list, parts := []string{}, []string{}, []string{}
		for i, c := range out.cols {
			name := "c" + strconv.Itoa(i)
			names = append(names, name)
			x := c.term
			x.text = inner + "." + name
			key := g.keyOf(x).text
			list = append(list, x.text, key+" AS h"+strconv.Itoa(i))
			parts = append(parts, key)
		}
		list = append(list, "row_number() OVER (PARTITION BY "+strings.Join(parts, ", ")+") AS n")
		return "(SELECT " + strings.Join(list, ", ") + " FROM (" + text + ") AS " + inner + "(" + strings.Join(names, ", ") + ")) AS " + alias, alias, len(parts)
	}
	a, left, keys := side(l)
	b, right, _ := side(r)
	var match []string
	for i := range keys {
		h := ".h" + strconv.Itoa(i)
		match = append(match, left+h+" IS NOT DISTINCT FROM "+right+h)
	}
	if n.All {
		match = append(match, left+".n = "+right+".n")
	} else {
		out.where = append(out.where, left+".n = 1")
	}
	word := "EXISTS"
	if n.Op == plan.Except {
		word = "NOT EXISTS"
	}
	out.where = append(out.where, word+" (SELECT 1 FROM "+b+" WHERE "+strings.Join(match, " AND ")+")")
	out.from = a
	for i := range out.cols {
		out.cols[i].text = left + ".c" + strconv.Itoa(i)
	}
	return out
}
