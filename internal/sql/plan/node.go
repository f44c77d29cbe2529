package plan

import (
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// Analytic is a bound SELECT of any shape: a tree of nodes for the analytic
// path. It is immutable.
type Analytic struct {
	Root Node
	// Outputs are the columns of the result; each X is a Ref into Root.
	Outputs []Output
	// Tables are all stored and system tables that are read, each once, those
	// behind views included: the caller needs the right to read each of them.
	Tables []*schema.Table
	// Views are the views that were expanded.
	Views []*schema.View
	// Params are as in Query.
	Params   []ParamInfo
	Explicit int
	// Limited says that the outermost SELECT has a LIMIT.
	Limited bool
	// Reason names the first construct that the row path does not have.
	Reason string
}

// Node is one step of an analytic plan: it turns rows into rows. The set of
// kinds is closed: One, Scan, Values, TableCall, Filter, Project, Join,
// Aggregation, Windowing, Sort, Slice, Unique, SetOp, With and Recall.
//
// A node with a Rel gives new columns: expressions above it read them as
// Ref{Rel, position}. Numbers of Rel are unique within a statement, so a
// correlated subquery or a lateral item of FROM reads outer rows in the same
// way. Nodes without Rel pass the columns of their inputs on.
type Node interface{ node() }

// Ref reads column Position of the node whose Rel it names.
type Ref struct {
	Rel, Position int
	Name          string
	T             datum.Type
}

// RelColumn is one column that a node with a Rel gives.
type RelColumn struct {
	Name string
	Type datum.Type
}

// Subquery is a query inside an expression.
type Subquery struct {
	Kind SubqueryKind
	// X are the operands on the left of IN, ANY and ALL, as many as Root gives
	// columns.
	X []Expr
	// Compare is the operator of ANY and ALL over two operands, as a Call whose
	// arguments are replaced: X[0] and the column of Root. In has Eq.
	Compare *Function
	Root    Node
	// Columns are what Root gives.
	Columns []Ref
	T       datum.Type
}

// SubqueryKind says what a subquery gives.
type SubqueryKind uint8

// The kinds of subqueries.
const (
	ScalarQuery SubqueryKind = iota + 1 // its one value, NULL for no row; a second row is a fault
	ExistsQuery                         // whether there is a row
	AnyQuery                            // whether Compare is true for some row; IN is Any with =
	AllQuery                            // whether Compare is true for all rows
	ArrayQuery                          // all values of its column
)

// The nodes that rows come from.
type (
	// One is a single row without columns: SELECT without FROM.
	One struct{}
	// Scan reads a table. Positions are those of the table's definition.
	Scan struct {
		Rel   int
		Table *schema.Table
		// Needed are the positions that the statement reads, ascending.
		Needed []int
		// Access narrows what is read, found from the conjuncts above that no
		// outer join stands between. They are applied all the same.
		Access Access
		// Filter are those conjuncts over Col of the table, for Access and for
		// EXPLAIN; nil for none. Executors need not apply it.
		Filter Expr
	}
	// Values gives rows of expressions.
	Values struct {
		Rel     int
		Columns []RelColumn
		Rows    [][]Expr
	}
	// TableCall gives the rows of a function in FROM.
	TableCall struct {
		Rel     int
		Fn      *TableFunction
		Args    []Expr
		Columns []RelColumn
		// Ordinality adds a last column that counts the rows from 1.
		Ordinality bool
	}
	// Recall reads the rows of a query of WITH.
	Recall struct {
		Rel     int
		Query   *CommonQuery
		Columns []RelColumn
	}
)

// The nodes that change rows.
type (
	// Filter keeps the rows for which X is true.
	Filter struct {
		Input Node
		X     Expr
	}
	// Project computes new columns.
	Project struct {
		Rel     int
		Input   Node
		Outputs []Output
	}
	// Join pairs rows; the result has the columns of both. Outer joins give
	// NULL for the columns of the side that has no partner.
	Join struct {
		Kind JoinKind
		L, R Node
		On   Expr // nil for a cross join
		// Lateral says that R reads columns of L.
		Lateral bool
	}
	// Aggregation gathers rows into groups. Its columns are the groups, then
	// the aggregates, then a BIGINT for each of Groupings: GROUPING of those
	// groups.
	Aggregation struct {
		Rel        int
		Input      Node
		Groups     []Expr
		Aggregates []Aggregate
		// Sets are the grouping sets, as indexes of Groups; nil is one set of
		// all of them. Without Groups and Sets there is exactly one group.
		Sets      [][]int
		Groupings [][]int
	}
	// Windowing adds a column for each call, behind those of its input, which
	// keep their Refs; the calls are columns 0, 1, … of Rel.
	Windowing struct {
		Rel   int
		Input Node
		Calls []WindowCall
	}
	// Sort orders rows. Only Slice, Unique with On, and the end of the statement
	// may rely on it.
	Sort struct {
		Input Node
		Order []OrderItem
	}
	// Slice is OFFSET and LIMIT; nil for none.
	Slice struct {
		Input         Node
		Count, Offset Expr
	}
	// Unique is DISTINCT over the columns of the Project below it, or DISTINCT
	// ON: the first row, in the order of the Sort below, of each value of On.
	Unique struct {
		Input Node
		On    []Expr
	}
	// SetOp combines rows of two inputs with as many columns; L and R are the
	// columns of the inputs in order, already of the common types.
	SetOp struct {
		Rel     int
		Op      SetOperation
		All     bool
		A, B    Node
		L, R    []Ref
		Columns []RelColumn
	}
	// With gives names to queries that Input recalls.
	With struct {
		Queries []*CommonQuery
		Input   Node
	}
)

// CommonQuery is one query of WITH.
type CommonQuery struct {
	// Number tells the queries of a statement apart; Name is as written.
	Number int
	Name   string
	// Root gives the rows; for a recursive query it is the part that begins.
	Root    Node
	Columns []Ref
	// Step is the part of a recursive query that is repeated over the rows that
	// are new, which it recalls; nil for others. All is UNION ALL.
	Step        Node
	StepColumns []Ref
	All         bool
	// Materialized asks for one evaluation, Inlined forbids it.
	Materialized, Inlined bool
}

// JoinKind says which rows without a partner a join keeps.
type JoinKind uint8

// The joins.
const (
	InnerJoin JoinKind = iota + 1
	LeftJoin
	RightJoin
	FullJoin
)

// SetOperation combines the rows of two queries.
type SetOperation uint8

// The set operations.
const (
	Union SetOperation = iota + 1
	Intersect
	Except
)

// WindowCall is a window function, or an aggregate over a window.
type WindowCall struct {
	// Name is the function, in lower case: "row_number", "rank", "lag", …; for
	// an aggregate Aggregate is set instead.
	Name      string
	Args      []Expr
	Aggregate *Aggregate
	Partition []Expr
	Order     []OrderItem
	Frame     WindowFrame
	T         datum.Type
}

// WindowFrame is the frame of a window; the zero value is the default.
type WindowFrame struct {
	Mode       string // "", "rows", "range" or "groups"
	Start, End WindowBound
	Exclude    string
}

// WindowBound is one end of a frame, spelled as in SQL.
type WindowBound struct {
	Kind string
	X    Expr
}

// TableFunction is an overload of a function that stands in FROM. The arguments
// of a call have the types that it takes.
type TableFunction struct {
	Name    string
	Aliases []string
	Doc     string

	call    Function // its arguments
	columns func(args []Expr) []RelColumn
	// named says that the columns keep their names under an alias.
	named bool
	rows  func(args []datum.Value) (Next, error)
}

func (*One) node()         {}
func (*Scan) node()        {}
func (*Values) node()      {}
func (*TableCall) node()   {}
func (*Recall) node()      {}
func (*Filter) node()      {}
func (*Project) node()     {}
func (*Join) node()        {}
func (*Aggregation) node() {}
func (*Windowing) node()   {}
func (*Sort) node()        {}
func (*Slice) node()       {}
func (*Unique) node()      {}
func (*SetOp) node()       {}
func (*With) node()        {}

// Type returns the column's type.
func (e *Ref) Type() datum.Type { return e.T }

// Type returns what the subquery gives.
func (e *Subquery) Type() datum.Type { return e.T }

func (e *Ref) operands() []Expr      { return nil }
func (e *Subquery) operands() []Expr { return e.X }

func (e *Ref) withOperands([]Expr) Expr { return e }
func (e *Subquery) withOperands(x []Expr) Expr {
	return &Subquery{e.Kind, x, e.Compare, e.Root, e.Columns, e.T}
}
