package parse

import "kalamdb/internal/datum"

// Statement is one parsed statement. Its kinds are the types of this file and
// of statements.go.
type Statement interface{ statement() }

// Name is a possibly qualified name, folded to lower case. Offset is where it
// stands in the user's text.
type Name struct {
	Namespace string // "" when unqualified
	Name      string
	Offset    int
}

// Expr is a parsed expression.
type Expr interface {
	// Pos is the byte offset in the user's text, or -1.
	Pos() int
}

// At is the place of an expression; every kind embeds it.
type At struct{ Offset int }

// Pos returns the offset.
func (a At) Pos() int { return a.Offset }

// The kinds of expressions.
type (
	// Literal is a constant. Slot is its index in Normalized.Literals when it
	// has become an automatic parameter, else -1.
	Literal struct {
		At
		Value datum.Value // integers: the narrowest of INT, BIGINT, DECIMAL; 1.5: DECIMAL; 1e3: DOUBLE; text: TEXT
		// Untyped marks a quoted string, which takes the type its place asks
		// for, as in PostgreSQL.
		Untyped bool
		Slot    int
	}
	// Param is $n; Index counts from 1.
	Param struct {
		At
		Index int
	}
	// Column is a reference to a column: c, t.c or ns.t.c.
	Column struct {
		At
		Namespace string // of the qualifier, or ""
		Table     string // qualifier or ""
		Name      string
	}
	// Star is * or t.* in a select list.
	Star struct {
		At
		Table string
	}
	// Unary is "-", "+", "~" or "not".
	Unary struct {
		At
		Op string
		X  Expr
	}
	// Binary is an operator of two operands: and or = <> < <= > >= + - * / % ||
	// -> ->> #> #>> ? @> ~ ~* !~ !~* ^ & | # << >> , "is distinct from",
	// "is not distinct from".
	Binary struct {
		At
		Op   string
		L, R Expr
	}
	// Is is X IS [NOT] NULL | TRUE | FALSE | UNKNOWN.
	Is struct {
		At
		X    Expr
		What string // "null", "true", "false", "unknown"
		Not  bool
	}
	// In is X [NOT] IN (List).
	In struct {
		At
		X    Expr
		List []Expr
		Not  bool
	}
	// Between is X [NOT] BETWEEN [SYMMETRIC] Low AND High.
	Between struct {
		At
		X, Low, High Expr
		Not          bool
		Symmetric    bool
	}
	// Like is X [NOT] LIKE|ILIKE Pattern [ESCAPE Escape].
	Like struct {
		At
		X, Pattern, Escape Expr
		Insensitive        bool
		Not                bool
	}
	// Call is a function or an aggregate. Special forms arrive as calls too:
	// EXTRACT(f FROM x) is "extract"('f', x), SUBSTRING is "substring",
	// POSITION(a IN b) is "position"(a, b), TRIM is "btrim"/"ltrim"/"rtrim",
	// OVERLAY is "overlay", CURRENT_USER is "current_user" without arguments,
	// COALESCE, NULLIF, GREATEST, LEAST keep their names, X AT TIME ZONE z is
	// "timezone"(z, x).
	Call struct {
		At
		Name     string
		Args     []Expr
		Star     bool // COUNT(*)
		Distinct bool
		Filter   Expr // FILTER (WHERE …)
		OrderBy  []Order
		// Over makes it a window function; nil without OVER.
		Over *Window
		// Within are the items of WITHIN GROUP (ORDER BY …).
		Within []Order
		// Variadic marks VARIADIC before the last argument.
		Variadic bool
	}
	// Case is CASE [Operand] WHEN … THEN … ELSE … END.
	Case struct {
		At
		Operand Expr
		Whens   []When
		Else    Expr
	}
	// Cast is CAST(X AS T), X::T or TRY_CAST(X AS T).
	Cast struct {
		At
		X   Expr
		To  datum.Type
		Try bool
		// Canonical is a cast to JSONB, which orders the document.
		Canonical bool
	}
	// Subquery is an embedded SELECT: "scalar", "exists", "in", "any", "all" or
	// "array". NOT IN is "not" over "in". X may be a Row.
	Subquery struct {
		At
		Kind   string
		X      Expr
		Op     string
		Select *Select
		// Item is which output a scalar one gives, from 1, where
		// SET (a, b) = (SELECT …) has several; else 0.
		Item int
	}
	// Default is the word DEFAULT in VALUES or SET.
	Default struct{ At }
	// Unsupported is what the grammar takes and no executor has yet; binding it
	// answers NOT_IMPLEMENTED naming What.
	Unsupported struct {
		At
		What string
	}
)

// When is one arm of a CASE.
type When struct{ If, Then Expr }

// Order is one item of ORDER BY.
type Order struct {
	X     Expr
	Desc  bool
	Nulls string // "", "first", "last"
}

// Output is one item of a select list or RETURNING.
type Output struct {
	X Expr
	// Alias is the name given with AS, else "". Quoted aliases keep their
	// spelling.
	Alias string
}

// Select is a query. A SELECT over at most one table that needs nothing but
// what one row, or one group of rows, shows has From and Alias and an empty
// Complex. Every other one sets Complex to the name of the first such construct
// ("JOIN", "WITH", "UNION", "a window function", "a subquery in FROM", …); only
// the analytic path can answer it.
type Select struct {
	Offset int // where the statement begins
	// With are the queries of WITH, in order; Recursive is WITH RECURSIVE.
	With      []CTE
	Recursive bool
	// Set is a set operation; then only With, OrderBy, LimitCount, LimitStart
	// and Tables are used beside it.
	Set *SetOperation
	// Values are the rows of VALUES; likewise.
	Values     [][]Expr
	Distinct   bool
	DistinctOn []Expr
	Outputs    []Output
	From       *Name // the one table, nil without FROM or with Sources
	Alias      string
	// Sources are the items of FROM when it is not one plain table.
	Sources []TableExpr
	Where   Expr
	GroupBy []Expr
	// GroupDistinct is GROUP BY DISTINCT.
	GroupDistinct bool
	Having        Expr
	// Windows are those of the WINDOW clause.
	Windows    []Window
	OrderBy    []Order
	LimitCount Expr
	LimitStart Expr
	Complex    string
	// Refused names a construct that no executor has ("FOR UPDATE").
	Refused string
	// Tables are all tables named anywhere in the statement, for authorisation;
	// names of its own WITH queries are left out. Only the outermost SELECT has
	// them.
	Tables []Name
}

// Insert is INSERT INTO … VALUES, SELECT or DEFAULT VALUES.
type Insert struct {
	Table    Name
	Alias    string
	Columns  []Name // as written, folded; nil without a list
	Values   [][]Expr
	Select   *Select
	Defaults bool // DEFAULT VALUES
	// Overriding is OVERRIDING SYSTEM VALUE ("system") or USER VALUE ("user").
	Overriding string
	// Conflict is ON CONFLICT, nil without.
	Conflict  *Conflict
	Returning []Output
	// With are the queries of WITH before it.
	With      []CTE
	Recursive bool
	// Complex and Refused are as in Select.
	Complex, Refused string
	// Tables are all tables named anywhere in the statement, the target first.
	Tables []Name
}

// Assignment is one item of SET.
type Assignment struct {
	Column Name
	X      Expr
}

// Update is UPDATE … SET … WHERE.
type Update struct {
	Table Name
	Alias string
	Set   []Assignment
	Where Expr
	// From are the items of UPDATE … FROM.
	From      []TableExpr
	Returning []Output
	// With are the queries of WITH before it.
	With      []CTE
	Recursive bool
	// Complex and Refused are as in Select; FROM sets Complex too.
	Complex, Refused string
	// Tables are all tables named anywhere in the statement, the target first.
	Tables []Name
}

// Delete is DELETE FROM … WHERE.
type Delete struct {
	Table Name
	Alias string
	Where Expr
	// Using are the items of DELETE … USING.
	Using     []TableExpr
	Returning []Output
	// With are the queries of WITH before it.
	With      []CTE
	Recursive bool
	// Complex and Refused are as in Select; USING sets Complex too.
	Complex, Refused string
	// Tables are all tables named anywhere in the statement, the target first.
	Tables []Name
}

func (*Select) statement() {}
func (*Insert) statement() {}
func (*Update) statement() {}
func (*Delete) statement() {}
