package parse

import (
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// operators are those that have a meaning in KalamDB.
var operators = map[string]bool{
	"=": true, "<>": true, "<": true, "<=": true, ">": true, ">=": true, "+": true, "-": true, "*": true, "/": true,
	"%": true, "||": true, "->": true, "->>": true, "#>": true, "#>>": true, "?": true, "@>": true, "<@": true, "~": true,
	"~*": true, "!~": true, "!~*": true, "^": true, "&": true, "|": true, "#": true, "<<": true, ">>": true,
	"?|": true, "?&": true, "#-": true, "&&": true, "^@": true, "<->": true, "<=>": true, "<#>": true,
}

// prefixes are the operators that stand before their one operand.
var prefixes = map[string]bool{"-": true, "+": true, "~": true, "@": true, "|/": true, "||/": true}

// expr converts an expression. It never returns nil.
func (c *converter) expr(n *pg.Node) Expr {
	switch v := n.GetNode().(type) {
	case *pg.Node_AConst:
		return c.literal(v.AConst)
	case *pg.Node_ParamRef:
		return &Param{At{c.at(v.ParamRef.GetLocation())}, int(v.ParamRef.GetNumber())}
	case *pg.Node_ColumnRef:
		return c.column(v.ColumnRef)
	case *pg.Node_AExpr:
		return c.operation(v.AExpr)
	case *pg.Node_BoolExpr:
		return c.boolean(v.BoolExpr)
	case *pg.Node_NullTest:
		not := v.NullTest.GetNulltesttype() == pg.NullTestType_IS_NOT_NULL
		return &Is{At{c.at(v.NullTest.GetLocation())}, c.expr(v.NullTest.GetArg()), "null", not}
	case *pg.Node_BooleanTest:
		return c.truth(v.BooleanTest)
	case *pg.Node_FuncCall:
		return c.call(v.FuncCall)
	case *pg.Node_SqlvalueFunction:
		return c.valueFunction(v.SqlvalueFunction)
	case *pg.Node_CoalesceExpr:
		return &Call{At: At{c.at(v.CoalesceExpr.GetLocation())}, Name: "coalesce", Args: c.exprs(v.CoalesceExpr.GetArgs())}
	case *pg.Node_MinMaxExpr:
		name := "greatest"
		if v.MinMaxExpr.GetOp() == pg.MinMaxOp_IS_LEAST {
			name = "least"
		}
		return &Call{At: At{c.at(v.MinMaxExpr.GetLocation())}, Name: name, Args: c.exprs(v.MinMaxExpr.GetArgs())}
	case *pg.Node_CaseExpr:
		return c.caseOf(v.CaseExpr)
	case *pg.Node_TypeCast:
		return c.cast(v.TypeCast)
	case *pg.Node_SubLink:
		return c.subquery(v.SubLink)
	case *pg.Node_SetToDefault:
		return &Default{At{c.at(v.SetToDefault.GetLocation())}}
	}
	return c.other(n)
}

// other converts what reaches beyond one row and plain values, and names what
// has no executor.
func (c *converter) other(n *pg.Node) Expr {
	switch v := n.GetNode().(type) {
	case *pg.Node_RowExpr:
		return &Row{At{c.at(v.RowExpr.GetLocation())}, c.exprs(v.RowExpr.GetArgs())}
	case *pg.Node_AArrayExpr:
		return &Array{At{c.at(v.AArrayExpr.GetLocation())}, c.exprs(v.AArrayExpr.GetElements())}
	case *pg.Node_AIndirection:
		return c.indirection(v.AIndirection)
	case *pg.Node_CollateClause:
		names := c.strings(v.CollateClause.GetCollname())
		return &Collate{At{c.at(v.CollateClause.GetLocation())}, c.expr(v.CollateClause.GetArg()), strings.Join(names, ".")}
	case *pg.Node_GroupingFunc:
		c.needs("GROUPING")
		return &Grouping{At{c.at(v.GroupingFunc.GetLocation())}, c.exprs(v.GroupingFunc.GetArgs())}
	case *pg.Node_CurrentOfExpr:
		return c.unsupported(-1, "WHERE CURRENT OF")
	case *pg.Node_NamedArgExpr:
		return c.unsupported(v.NamedArgExpr.GetLocation(), "a named argument")
	case *pg.Node_MultiAssignRef:
		return c.unsupported(-1, "an assignment to several columns")
	case *pg.Node_XmlExpr, *pg.Node_XmlSerialize:
		return c.unsupported(-1, "XML")
	case *pg.Node_JsonIsPredicate:
		return c.unsupported(v.JsonIsPredicate.GetLocation(), "IS JSON")
	}
	return c.unsupported(-1, "an expression of this form")
}

// indirection converts subscripts and fields.
func (c *converter) indirection(v *pg.A_Indirection) Expr {
	x := c.expr(v.GetArg())
	for _, n := range v.GetIndirection() {
		switch part := n.GetNode().(type) {
		case *pg.Node_AIndices:
			s := &Subscript{At: At{x.Pos()}, X: x, Slice: part.AIndices.GetIsSlice()}
			if s.Slice {
				s.Index, s.Upper = c.optional(part.AIndices.GetLidx()), c.optional(part.AIndices.GetUidx())
			} else {
				s.Index = c.expr(part.AIndices.GetUidx())
			}
			x = s
		case *pg.Node_String_:
			x = &Field{At{x.Pos()}, x, c.name(part.String_.GetSval())}
		default:
			return c.unsupported(int32(-1), "all fields of a value")
		}
	}
	return x
}

// exprs converts a list.
func (c *converter) exprs(nodes []*pg.Node) []Expr {
	out := make([]Expr, 0, len(nodes))
	for _, n := range nodes {
		out = append(out, c.expr(n))
	}
	return out
}

// column converts a reference to a column, or * in a select list.
func (c *converter) column(r *pg.ColumnRef) Expr {
	at := At{c.at(r.GetLocation())}
	fields := r.GetFields()
	names := c.strings(fields)
	for i := range names {
		names[i] = foldName(names[i])
	}
	if last := fields[len(fields)-1]; last.GetAStar() != nil {
		star := &Star{At: at}
		if len(names) > 0 {
			star.Table = names[len(names)-1]
		}
		return star
	}
	if len(names) == 4 && names[0] == catalogName {
		names = names[1:]
	}
	switch {
	case len(names) != len(fields) && len(fields) < 4, len(names) > 3:
		return c.unsupported(r.GetLocation(), "a field of a value")
	case len(names) == 1:
		return &Column{At: at, Name: names[0]}
	case len(names) == 2:
		return &Column{At: at, Table: names[0], Name: names[1]}
	}
	return &Column{At: at, Namespace: names[0], Table: names[1], Name: names[2]}
}

// operator returns the name of an operator.
func (c *converter) operator(names []*pg.Node) string {
	parts := c.strings(names)
	if len(parts) == 0 {
		return ""
	}
	return parts[len(parts)-1]
}

// operation converts operators and what the grammar treats as such.
func (c *converter) operation(e *pg.A_Expr) Expr {
	at := At{c.at(e.GetLocation())}
	op := c.operator(e.GetName())
	switch e.GetKind() {
	case pg.A_Expr_Kind_AEXPR_OP:
		return c.plainOperator(e, op)
	case pg.A_Expr_Kind_AEXPR_OP_ANY, pg.A_Expr_Kind_AEXPR_OP_ALL:
		return c.anyOf(e, op)
	case pg.A_Expr_Kind_AEXPR_DISTINCT:
		return &Binary{at, "is distinct from", c.expr(e.GetLexpr()), c.expr(e.GetRexpr())}
	case pg.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		return &Binary{at, "is not distinct from", c.expr(e.GetLexpr()), c.expr(e.GetRexpr())}
	case pg.A_Expr_Kind_AEXPR_NULLIF:
		return &Call{At: at, Name: "nullif", Args: []Expr{c.expr(e.GetLexpr()), c.expr(e.GetRexpr())}}
	case pg.A_Expr_Kind_AEXPR_IN:
		return &In{at, c.expr(e.GetLexpr()), c.exprs(e.GetRexpr().GetList().GetItems()), op == "<>"}
	case pg.A_Expr_Kind_AEXPR_LIKE, pg.A_Expr_Kind_AEXPR_ILIKE:
		return c.like(e, op)
	case pg.A_Expr_Kind_AEXPR_SIMILAR:
		return c.similar(e, op)
	case pg.A_Expr_Kind_AEXPR_BETWEEN, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN,
		pg.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		bounds := e.GetRexpr().GetList().GetItems()
		if len(bounds) != 2 {
			break
		}
		not := e.GetKind() == pg.A_Expr_Kind_AEXPR_NOT_BETWEEN || e.GetKind() == pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM
		symmetric := e.GetKind() == pg.A_Expr_Kind_AEXPR_BETWEEN_SYM || e.GetKind() == pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM
		return &Between{at, c.expr(e.GetLexpr()), c.expr(bounds[0]), c.expr(bounds[1]), not, symmetric}
	}
	return c.unsupported(e.GetLocation(), "operator "+op)
}

// similar converts SIMILAR TO: a match with the pattern as similar_to_escape
// rewrites it, which the grammar has already put around it.
func (c *converter) similar(e *pg.A_Expr, op string) Expr {
	at := At{c.at(e.GetLocation())}
	return &Binary{at, op, c.expr(e.GetLexpr()), c.expr(e.GetRexpr())}
}

// plainOperator converts an operator with one or two operands.
func (c *converter) plainOperator(e *pg.A_Expr, op string) Expr {
	at := At{c.at(e.GetLocation())}
	if e.GetLexpr().GetNode() == nil {
		if !prefixes[op] {
			return c.unsupported(e.GetLocation(), "operator "+op+" before its operand")
		}
		return &Unary{at, op, c.expr(e.GetRexpr())}
	}
	if !operators[op] || len(e.GetName()) > 1 && c.strings(e.GetName())[0] != "pg_catalog" {
		return c.unsupported(e.GetLocation(), "operator "+strings.Join(c.strings(e.GetName()), "."))
	}
	return &Binary{at, op, c.expr(e.GetLexpr()), c.expr(e.GetRexpr())}
}

// anyOf converts X = ANY (ARRAY[…]) and X <> ALL (ARRAY[…]), which are lists.
func (c *converter) anyOf(e *pg.A_Expr, op string) Expr {
	isAny := e.GetKind() == pg.A_Expr_Kind_AEXPR_OP_ANY
	if list := e.GetRexpr().GetAArrayExpr(); list != nil && (isAny && op == "=" || !isAny && op == "<>") {
		return &In{At{c.at(e.GetLocation())}, c.expr(e.GetLexpr()), c.exprs(list.GetElements()), !isAny}
	}
	if !operators[op] && !strings.Contains(op, "~~") {
		return c.unsupported(e.GetLocation(), "operator "+op)
	}
	return &Quantified{At{c.at(e.GetLocation())}, c.expr(e.GetLexpr()), c.expr(e.GetRexpr()), op, !isAny}
}

// like converts LIKE and ILIKE.
func (c *converter) like(e *pg.A_Expr, op string) Expr {
	l := &Like{At: At{c.at(e.GetLocation())}, X: c.expr(e.GetLexpr())}
	l.Insensitive = e.GetKind() == pg.A_Expr_Kind_AEXPR_ILIKE
	l.Not = strings.HasPrefix(op, "!")
	pattern := e.GetRexpr()
	if f := pattern.GetFuncCall(); f.GetFuncformat() == pg.CoercionForm_COERCE_EXPLICIT_CALL && len(f.GetArgs()) == 2 {
		if name := c.strings(f.GetFuncname()); len(name) == 2 && name[0] == "pg_catalog" && name[1] == "like_escape" {
			l.Pattern, l.Escape = c.expr(f.GetArgs()[0]), c.expr(f.GetArgs()[1])
			return l
		}
	}
	l.Pattern = c.expr(pattern)
	return l
}

// boolean converts AND, OR and NOT. Chains become balanced trees, so that a
// long one is not deep; the order from left to right is kept.
func (c *converter) boolean(b *pg.BoolExpr) Expr {
	at := At{c.at(b.GetLocation())}
	args := c.exprs(b.GetArgs())
	switch {
	case len(args) == 1 && b.GetBoolop() == pg.BoolExprType_NOT_EXPR:
		return &Unary{at, "not", args[0]}
	case len(args) > 1 && b.GetBoolop() == pg.BoolExprType_AND_EXPR:
		return balanced(at, "and", args)
	case len(args) > 1 && b.GetBoolop() == pg.BoolExprType_OR_EXPR:
		return balanced(at, "or", args)
	}
	return c.unsupported(b.GetLocation(), "a logical expression of this form")
}

func balanced(at At, op string, args []Expr) Expr {
	if len(args) == 1 {
		return args[0]
	}
	half := (len(args) + 1) / 2
	return &Binary{at, op, balanced(at, op, args[:half]), balanced(at, op, args[half:])}
}

// truth converts IS [NOT] TRUE, FALSE and UNKNOWN.
func (c *converter) truth(b *pg.BooleanTest) Expr {
	is := &Is{At: At{c.at(b.GetLocation())}, X: c.expr(b.GetArg())}
	switch b.GetBooltesttype() {
	case pg.BoolTestType_IS_TRUE:
		is.What = "true"
	case pg.BoolTestType_IS_NOT_TRUE:
		is.What, is.Not = "true", true
	case pg.BoolTestType_IS_FALSE:
		is.What = "false"
	case pg.BoolTestType_IS_NOT_FALSE:
		is.What, is.Not = "false", true
	case pg.BoolTestType_IS_UNKNOWN:
		is.What = "unknown"
	default:
		is.What, is.Not = "unknown", true
	}
	return is
}

// caseOf converts CASE.
func (c *converter) caseOf(e *pg.CaseExpr) Expr {
	out := &Case{At: At{c.at(e.GetLocation())}, Operand: c.optional(e.GetArg())}
	for _, n := range e.GetArgs() {
		w := n.GetCaseWhen()
		out.Whens = append(out.Whens, When{c.expr(w.GetExpr()), c.expr(w.GetResult())})
	}
	out.Else = c.optional(e.GetDefresult())
	return out
}

// integerOf returns the value of an integer constant.
func integerOf(n *pg.Node) (int, bool) {
	k := n.GetAConst()
	switch v := k.GetVal().(type) {
	case *pg.A_Const_Ival:
		return int(v.Ival.GetIval()), true
	case *pg.A_Const_Fval:
		i, err := strconv.Atoi(v.Fval.GetFval())
		return i, err == nil
	}
	return 0, false
}
