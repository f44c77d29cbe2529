package parse

import "kalamdb/internal/datum"

// TableExpr is one item of FROM.
type TableExpr interface {
	// Pos is the byte offset in the user's text, or -1.
	Pos() int
}

// Alias is the name that an item of FROM gets, and names for its columns from
// the left on. Both are folded; Name is "" without one.
type Alias struct {
	Name    string
	Columns []string
}

// The items of FROM.
type (
	// TableName is a table, a view or a query of WITH.
	TableName struct {
		At
		Name  Name
		Alias Alias
	}
	// Derived is a subquery, or VALUES, in FROM.
	Derived struct {
		At
		Select  *Select
		Alias   Alias
		Lateral bool
	}
	// TableFunction is a function in FROM, such as generate_series(1, 3).
	TableFunction struct {
		At
		Call       *Call
		Alias      Alias
		Lateral    bool
		Ordinality bool // WITH ORDINALITY
		// Table is what the first argument of VectorSearch names, else nil.
		Table *Name
	}
	// Join is L JOIN R.
	Join struct {
		At
		Kind    string // "inner", "left", "right", "full" or "cross"
		L, R    TableExpr
		Natural bool
		Using   []Name
		On      Expr // nil for USING, NATURAL and CROSS
		Alias   Alias
	}
)

// CTE is one query of WITH.
type CTE struct {
	At
	Name    string
	Columns []string // names for its columns, nil for its own
	Select  *Select
	// Materialized is "" or "materialized" or "not materialized".
	Materialized string
}

// SetOperation is L UNION|INTERSECT|EXCEPT [ALL] R.
type SetOperation struct {
	Op   string // "union", "intersect" or "except"
	All  bool
	L, R *Select
}

// Window is what stands behind OVER or in the WINDOW clause.
type Window struct {
	At
	// Name is the window of the WINDOW clause that OVER name means, or that
	// OVER (name …) begins with; in the WINDOW clause itself Base is the latter.
	Name      string
	Base      string
	Partition []Expr
	OrderBy   []Order
	Frame     *Frame // nil for the default
}

// Frame is ROWS|RANGE|GROUPS BETWEEN Start AND End.
type Frame struct {
	Mode       string // "rows", "range" or "groups"
	Start, End FrameBound
	Exclude    string // "", "current row", "group" or "ties"
}

// FrameBound is one end of a frame.
type FrameBound struct {
	Kind string // "unbounded preceding", "preceding", "current row", "following", "unbounded following"
	X    Expr   // of "preceding" and "following"
}

// The kinds of expressions that the grammar has beside those of one row.
type (
	// Row is ROW(a, b) or (a, b).
	Row struct {
		At
		Items []Expr
	}
	// Array is ARRAY[a, b].
	Array struct {
		At
		Items []Expr
	}
	// Subscript is X[Index] or, as a slice, X[Index:Upper]; both ends of a slice
	// may be nil.
	Subscript struct {
		At
		X            Expr
		Index, Upper Expr
		Slice        bool
	}
	// Field is (X).Name.
	Field struct {
		At
		X    Expr
		Name string
	}
	// Collate is X COLLATE "Name".
	Collate struct {
		At
		X    Expr
		Name string
	}
	// Quantified is X Op ANY|ALL (Y) over an array.
	Quantified struct {
		At
		X, Y Expr
		Op   string
		All  bool
	}
	// GroupingSets is GROUPING SETS, ROLLUP or CUBE in GROUP BY. Items are
	// expressions, Rows of them, or further GroupingSets; a Row without items is
	// the empty set.
	GroupingSets struct {
		At
		Kind  string // "sets", "rollup" or "cube"
		Items []Expr
	}
	// Grouping is GROUPING(a, b).
	Grouping struct {
		At
		Items []Expr
	}
	// ArrayCast is X::T[]; Element is T.
	ArrayCast struct {
		At
		X       Expr
		Element datum.Type
	}
)

// Conflict is ON CONFLICT.
type Conflict struct {
	At
	// Target are the columns of the conflict target, nil without one.
	Target []Name
	// Constraint is the name behind ON CONSTRAINT, "" without.
	Constraint string
	// TargetWhere is the predicate of a partial target, nil without.
	TargetWhere Expr
	// Set are the assignments of DO UPDATE; nil means DO NOTHING. EXCLUDED is a
	// qualifier of columns in them and in Where.
	Set   []Assignment
	Where Expr
}
