package plan

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// Query is a bound SELECT over at most one table, or the part of UPDATE and
// DELETE that finds rows. It is immutable.
type Query struct {
	// Table is what FROM names, nil without FROM.
	Table *schema.Table
	// Access says how the rows are reached; Filter decides all the same.
	Access Access
	// Filter is the WHERE clause, nil for none.
	Filter Expr
	// Grouped says that rows are gathered into groups; without Groups there is
	// exactly one.
	Grouped    bool
	Groups     []Expr
	Aggregates []Aggregate
	Having     Expr
	Outputs    []Output
	Distinct   bool
	// Order is what remains to be sorted; empty when the rows come in order.
	Order []OrderItem
	// Limit and Offset are nil for none.
	Limit, Offset Expr
	// Star says that the select list was exactly * or t.*.
	Star bool
	// Params are the parameters in the order of Param.Index; Explicit is how
	// many of $1, $2 … the statement uses at least.
	Params   []ParamInfo
	Explicit int
	// Needed are the positions of the columns that are read, ascending; nil
	// means all.
	Needed []int
}

// Output is one column of a result.
type Output struct {
	Name string
	X    Expr
	Type datum.Type
	// Column is the position in the table when X is a plain column, else -1.
	Column int
}

// OrderItem is one key of a sort, computed like an output.
type OrderItem struct {
	X          Expr
	Desc       bool
	NullsFirst bool
	// Output is the position of the output with the same value, or -1.
	Output int
}

// Aggregate is one aggregate over the rows of a group.
type Aggregate struct {
	Op       AggregateOp
	X        Expr   // nil for COUNT(*)
	Args     []Expr // the arguments behind the first; the analytic path only
	Distinct bool
	Filter   Expr        // nil for all rows
	Order    []OrderItem // in which it takes the rows; the analytic path only
	Type     datum.Type
}

// AggregateOp names an aggregate.
type AggregateOp uint8

// The aggregates. Those behind Max belong to the analytic path.
const (
	CountRows AggregateOp = iota + 1 // COUNT(*)
	Count
	Sum
	Avg
	Min
	Max
	StddevSamp
	StddevPop
	VarSamp
	VarPop
	BoolAnd
	BoolOr
	BitAnd
	BitOr
	BitXor
	StringAgg     // X, and the separator in Args
	JSONAgg       // NULLs included
	JSONObjectAgg // the key is X, the value in Args
	Corr          // of Y in X and X in Args, as all that follow to RegrSYY
	CovarPop
	CovarSamp
	RegrAvgX
	RegrAvgY
	RegrCount
	RegrIntercept
	RegrR2
	RegrSlope
	RegrSXX
	RegrSXY
	RegrSYY
	PercentileCont // X is the fraction, steady within a group; Order has the one value
	PercentileDisc // the same
	Mode           // no X; Order has the one value
	ApproxCountDistinct
	AnyValue
	ArrayAgg // NULLs included
)

var aggregateNames = [...]string{
	CountRows: "count", Count: "count", Sum: "sum", Avg: "avg", Min: "min", Max: "max",
	StddevSamp: "stddev_samp", StddevPop: "stddev_pop", VarSamp: "var_samp", VarPop: "var_pop",
	BoolAnd: "bool_and", BoolOr: "bool_or", BitAnd: "bit_and", BitOr: "bit_or", BitXor: "bit_xor",
	StringAgg: "string_agg", JSONAgg: "json_agg", JSONObjectAgg: "json_object_agg",
	Corr: "corr", CovarPop: "covar_pop", CovarSamp: "covar_samp",
	RegrAvgX: "regr_avgx", RegrAvgY: "regr_avgy", RegrCount: "regr_count", RegrIntercept: "regr_intercept", RegrR2: "regr_r2",
	RegrSlope: "regr_slope", RegrSXX: "regr_sxx", RegrSXY: "regr_sxy", RegrSYY: "regr_syy",
	PercentileCont: "percentile_cont", PercentileDisc: "percentile_disc", Mode: "mode",
	ApproxCountDistinct: "approx_count_distinct", AnyValue: "any_value", ArrayAgg: "array_agg",
}

// String returns the name as it is written.
func (o AggregateOp) String() string { return aggregateNames[o] }

// String prints the aggregate so that equal text means equal meaning.
func (a Aggregate) String() string {
	var b strings.Builder
	b.WriteString(a.Op.String())
	b.WriteByte('(')
	if a.Distinct {
		b.WriteString("DISTINCT ")
	}
	within := a.Op == PercentileCont || a.Op == PercentileDisc || a.Op == Mode
	if a.X != nil {
		b.WriteString(a.X.String())
	} else if !within {
		b.WriteByte('*')
	}
	for _, x := range a.Args {
		b.WriteString(", " + x.String())
	}
	if within {
		b.WriteString(") WITHIN GROUP (")
	}
	for i, o := range a.Order {
		switch {
		case i > 0:
			b.WriteString(", ")
		case within:
			b.WriteString("ORDER BY ")
		default:
			b.WriteString(" ORDER BY ")
		}
		b.WriteString(o.String())
	}
	b.WriteByte(')')
	if a.Filter != nil {
		b.WriteString(" FILTER (WHERE ")
		b.WriteString(a.Filter.String())
		b.WriteByte(')')
	}
	return b.String()
}

// Insert is a bound INSERT.
type Insert struct {
	Table *schema.Table
	// Columns are the positions that values are given for, in their order.
	Columns []int
	// Rows are the VALUES; a nil expression is DEFAULT. Values are still to be
	// coerced to the type of their column.
	Rows [][]Expr
	// Query is the source of INSERT … SELECT, with an output per column; nil
	// for VALUES.
	Query *Query
	// Source is the source instead of Query where only the analytic path has
	// what it needs, with an output per column.
	Source *Analytic
	// Defaults are indexes of Columns that are DEFAULT in some rows of Source,
	// where the outputs behind those of Columns, one for each, are true.
	Defaults []int
	// Conflict is ON CONFLICT, nil without.
	Conflict *Conflict
	// Returning are outputs over the rows as they were written.
	Returning []Output
	// Given computes what subqueries in Returning give, from the columns of the
	// table; Returning reads it behind those. nil without any.
	Given    *Given
	Params   []ParamInfo
	Explicit int
}

// Conflict is ON CONFLICT: what happens to a row whose place is taken.
type Conflict struct {
	// Target are the positions of the columns that conflict, those of the key or
	// of a unique index, in the order of that; nil, which only DO NOTHING has,
	// is any of them.
	Target []int
	// Nothing is DO NOTHING: the row is left out, is neither counted nor
	// returned. Set and Where are then empty.
	Nothing bool
	// Set and Where, nil for always, are computed over a row twice as wide as
	// the table: first the columns of the row that is there, then those of the
	// row that was to be inserted (EXCLUDED), defaults filled in. A row for
	// which Where is not true is left as it is, neither counted nor returned.
	Set   []Assignment
	Where Expr
	// Given computes what has subqueries; Set and Where read it behind the
	// columns of both rows. nil without any.
	Given *Given
}

// Update is a bound UPDATE; its Query finds the rows and reads all columns.
type Update struct {
	Query
	// Source finds the rows instead of Query (of which only Table and Params are
	// then set) where only the analytic path can: FROM, WITH and subqueries. It
	// gives each row that is to change once: all columns of the table by
	// position, system columns included, then whatever Set and Returning read.
	Source *Analytic
	// Set is computed over the rows of Query, or of Source: the value of an item
	// is then a Col behind those of the table.
	Set []Assignment
	// Returning are outputs over the rows as they were written. With Source, a
	// Col behind those of the table is an output of Source for that row.
	Returning []Output
	// Given is as in Insert: behind the columns of the table and the outputs of
	// Source.
	Given *Given
}

// Assignment gives the column at a position a new value, computed over the old
// row; a nil X is DEFAULT. The value is still to be coerced.
type Assignment struct {
	Column int
	X      Expr
}

// Delete is a bound DELETE; its Query finds the rows and reads all columns.
type Delete struct {
	Query
	// Source is as in Update.
	Source *Analytic
	// Returning are outputs over the rows as they were, with Source as in Update;
	// so is Given.
	Returning []Output
	Given     *Given
}

// String prints the plan for EXPLAIN and tests, one step a line.
func (q *Query) String() string {
	var b strings.Builder
	line := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
		}
		b.WriteByte('\n')
	}
	if q.Table == nil {
		line("one row")
	} else {
		line(q.Access.describe(q.Table))
		if q.Needed != nil {
			line("read: ", orElse(q.columnNames(), "nothing"))
		}
	}
	if q.Filter != nil {
		line("filter: ", q.Filter.String())
	}
	if q.Grouped {
		line("group: ", orElse(list(q.Groups), "all rows"))
		for _, a := range q.Aggregates {
			line("aggregate: ", a.String(), " ", a.Type.String())
		}
	}
	if q.Having != nil {
		line("having: ", q.Having.String())
	}
	if q.Star {
		line("output: *")
	} else {
		for _, o := range q.Outputs {
			line("output: ", o.Name, " ", o.Type.String(), " = ", o.X.String())
		}
	}
	if q.Distinct {
		line("distinct")
	}
	for _, o := range q.Order {
		line("sort: ", o.String())
	}
	if q.Limit != nil {
		line("limit: ", q.Limit.String())
	}
	if q.Offset != nil {
		line("offset: ", q.Offset.String())
	}
	return b.String()
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// String prints the key and its direction.
func (o OrderItem) String() string {
	text := o.X.String()
	if o.Desc {
		text += " DESC"
	}
	if o.NullsFirst != o.Desc {
		if o.NullsFirst {
			return text + " NULLS FIRST"
		}
		return text + " NULLS LAST"
	}
	return text
}

func (q *Query) columnNames() string {
	names := make([]string, len(q.Needed))
	for i, p := range q.Needed {
		names[i] = q.Table.Columns[p].Name
	}
	return strings.Join(names, ", ")
}

func list(xs []Expr) string {
	text := make([]string, len(xs))
	for i, x := range xs {
		text[i] = x.String()
	}
	return strings.Join(text, ", ")
}

// String prints the target and the rows.
func (p *Insert) String() string {
	var b strings.Builder
	names := make([]string, len(p.Columns))
	for i, c := range p.Columns {
		names[i] = p.Table.Columns[c].Name
	}
	b.WriteString("insert into " + p.Table.QualifiedName() + " (" + strings.Join(names, ", ") + ")\n")
	for _, row := range p.Rows {
		text := make([]string, len(row))
		for i, x := range row {
			text[i] = "DEFAULT"
			if x != nil {
				text[i] = x.String()
			}
		}
		b.WriteString("row: " + orElse(strings.Join(text, ", "), "DEFAULT VALUES") + "\n")
	}
	switch {
	case p.Query != nil:
		b.WriteString(p.Query.String())
	case p.Source != nil:
		b.WriteString(p.Source.String())
	}
	if p.Conflict != nil {
		b.WriteString(p.Conflict.show(p.Table))
	}
	return b.String() + returning(p.Returning) + p.Given.show("returning")
}

// show prints ON CONFLICT.
func (c *Conflict) show(t *schema.Table) string {
	names := make([]string, len(c.Target))
	for i, p := range c.Target {
		names[i] = t.Columns[p].Name
	}
	text := "on conflict (" + orElse(strings.Join(names, ", "), "any") + ")"
	if c.Nothing {
		return text + " nothing\n"
	}
	text += " update\n" + assigned(t, c.Set)
	if c.Where != nil {
		text += "where: " + c.Where.String() + "\n"
	}
	return text + c.Given.show("on conflict")
}

func assigned(t *schema.Table, set []Assignment) string {
	text := ""
	for _, a := range set {
		x := "DEFAULT"
		if a.X != nil {
			x = a.X.String()
		}
		text += "set: " + t.Columns[a.Column].Name + " = " + x + "\n"
	}
	return text
}

func returning(outputs []Output) string {
	text := ""
	for _, o := range outputs {
		text += "returning: " + o.Name + " " + o.Type.String() + " = " + o.X.String() + "\n"
	}
	return text
}

// String prints the query and the assignments.
func (p *Update) String() string {
	text := "update\n" + p.Query.String()
	if p.Source != nil {
		text = "update " + p.Table.QualifiedName() + "\n" + p.Source.String()
	}
	return text + assigned(p.Table, p.Set) + returning(p.Returning) + p.Given.show("returning")
}

// String prints the query.
func (p *Delete) String() string {
	text := "delete\n" + p.Query.String()
	if p.Source != nil {
		text = "delete from " + p.Table.QualifiedName() + "\n" + p.Source.String()
	}
	return text + returning(p.Returning) + p.Given.show("returning")
}
