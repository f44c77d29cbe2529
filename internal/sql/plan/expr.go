package plan

import (
	"kalamdb/internal/datum"
)

// Expr is a bound, typed expression. The set of kinds is closed: Const, Param,
// Col, Call, Logic, Not, IsNull, IsTruth, In, Case, Coalesce, Cast, GroupRef
// and AggRef; in an Analytic, Ref and Subquery instead of Col, GroupRef and
// AggRef. Values of these types are never changed once bound.
type Expr interface {
	// Type is what the expression gives; Kind Null where nothing says.
	Type() datum.Type
	// String prints the expression so that equal text means equal meaning.
	String() string

	operands() []Expr
	withOperands([]Expr) Expr
	appendTo(dst []byte) []byte
}

type (
	// Const is a value known when the statement is bound.
	Const struct {
		Value datum.Value
		T     datum.Type
	}
	// Param is a parameter of the statement, given or automatic. Index counts
	// in ParamInfos; exec reads it through Env.Param.
	Param struct {
		Index int
		Info  ParamInfo
	}
	// Col is the column at a position of the table's definition.
	Col struct {
		Position int
		Name     string
		T        datum.Type
	}
	// Call applies an operator or a function of the catalogue.
	Call struct {
		Fn   *Function
		Args []Expr
		T    datum.Type
	}
	// Logic is AND, or OR, of two or more operands.
	Logic struct {
		Or   bool
		Args []Expr
	}
	// Not is the negation of a truth value.
	Not struct{ X Expr }
	// IsNull is X IS [NOT] NULL.
	IsNull struct {
		X   Expr
		Not bool
	}
	// IsTruth is X IS [NOT] TRUE or FALSE.
	IsTruth struct {
		X    Expr
		Want bool
		Not  bool
	}
	// In is X [NOT] IN (List). Every element can be compared with X.
	In struct {
		X    Expr
		List []Expr
		Not  bool
	}
	// Case is CASE WHEN … with boolean conditions; Else may be nil.
	Case struct {
		Whens []When
		Else  Expr
		T     datum.Type
	}
	// Coalesce is the first operand that is not NULL; later ones are not
	// evaluated.
	Coalesce struct {
		Args []Expr
		T    datum.Type
	}
	// Cast converts X; a Try gives NULL where a cast is a fault. Implicit ones
	// were put in by the binder.
	Cast struct {
		X        Expr
		To       datum.Type
		Try      bool
		Implicit bool
	}
	// GroupRef is the value of Query.Groups[Index] for the group.
	GroupRef struct {
		Index int
		X     Expr
	}
	// AggRef is the value of Query.Aggregates[Index] for the group.
	AggRef struct {
		Index int
		A     Aggregate
	}
)

// When is one arm of a Case.
type When struct{ If, Then Expr }

var boolType = datum.Type{Kind: datum.Bool}

// Type returns the type of the constant.
func (e *Const) Type() datum.Type { return e.T }

// Type returns the type the parameter is converted to.
func (e *Param) Type() datum.Type { return e.Info.Type }

// Type returns the column's type.
func (e *Col) Type() datum.Type { return e.T }

// Type returns the result type of the call.
func (e *Call) Type() datum.Type { return e.T }

// Type returns BOOLEAN.
func (e *Logic) Type() datum.Type { return boolType }

// Type returns BOOLEAN.
func (e *Not) Type() datum.Type { return boolType }

// Type returns BOOLEAN.
func (e *IsNull) Type() datum.Type { return boolType }

// Type returns BOOLEAN.
func (e *IsTruth) Type() datum.Type { return boolType }

// Type returns BOOLEAN.
func (e *In) Type() datum.Type { return boolType }

// Type returns the common type of the arms.
func (e *Case) Type() datum.Type { return e.T }

// Type returns the common type of the operands.
func (e *Coalesce) Type() datum.Type { return e.T }

// Type returns the target type.
func (e *Cast) Type() datum.Type { return e.To }

// Type returns the type of the group expression.
func (e *GroupRef) Type() datum.Type { return e.X.Type() }

// Type returns the result type of the aggregate.
func (e *AggRef) Type() datum.Type { return e.A.Type }

func (e *Const) operands() []Expr    { return nil }
func (e *Param) operands() []Expr    { return nil }
func (e *Col) operands() []Expr      { return nil }
func (e *Call) operands() []Expr     { return e.Args }
func (e *Logic) operands() []Expr    { return e.Args }
func (e *Not) operands() []Expr      { return []Expr{e.X} }
func (e *IsNull) operands() []Expr   { return []Expr{e.X} }
func (e *IsTruth) operands() []Expr  { return []Expr{e.X} }
func (e *Coalesce) operands() []Expr { return e.Args }
func (e *Cast) operands() []Expr     { return []Expr{e.X} }
func (e *GroupRef) operands() []Expr { return nil }
func (e *AggRef) operands() []Expr   { return nil }

func (e *In) operands() []Expr { return append([]Expr{e.X}, e.List...) }

func (e *Case) operands() []Expr {
	out := make([]Expr, 0, 2*len(e.Whens)+1)
	for _, w := range e.Whens {
		out = append(out, w.If, w.Then)
	}
	if e.Else != nil {
		out = append(out, e.Else)
	}
	return out
}

func (e *Const) withOperands([]Expr) Expr    { return e }
func (e *Param) withOperands([]Expr) Expr    { return e }
func (e *Col) withOperands([]Expr) Expr      { return e }
func (e *GroupRef) withOperands([]Expr) Expr { return e }
func (e *AggRef) withOperands([]Expr) Expr   { return e }

func (e *Call) withOperands(x []Expr) Expr     { return &Call{e.Fn, x, e.T} }
func (e *Logic) withOperands(x []Expr) Expr    { return &Logic{e.Or, x} }
func (e *Not) withOperands(x []Expr) Expr      { return &Not{x[0]} }
func (e *IsNull) withOperands(x []Expr) Expr   { return &IsNull{x[0], e.Not} }
func (e *IsTruth) withOperands(x []Expr) Expr  { return &IsTruth{x[0], e.Want, e.Not} }
func (e *In) withOperands(x []Expr) Expr       { return &In{x[0], x[1:], e.Not} }
func (e *Coalesce) withOperands(x []Expr) Expr { return &Coalesce{x, e.T} }
func (e *Cast) withOperands(x []Expr) Expr     { return &Cast{x[0], e.To, e.Try, e.Implicit} }

func (e *Case) withOperands(x []Expr) Expr {
	c := &Case{Whens: make([]When, len(e.Whens)), T: e.T}
	for i := range c.Whens {
		c.Whens[i] = When{x[2*i], x[2*i+1]}
	}
	if e.Else != nil {
		c.Else = x[len(x)-1]
	}
	return c
}
