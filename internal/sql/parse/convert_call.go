package parse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"kalamdb/internal/datum"
)

// call converts a function or an aggregate.
func (c *converter) call(f *pg.FuncCall) Expr {
	names := c.strings(f.GetFuncname())
	for i := range names {
		names[i] = foldName(names[i])
	}
	special := f.GetFuncformat() == pg.CoercionForm_COERCE_SQL_SYNTAX
	if len(names) > 1 && names[0] == "pg_catalog" {
		names = names[1:]
	}
	out := &Call{At: At{c.at(f.GetLocation())}, Name: strings.Join(names, "."), Star: f.GetAggStar(), Distinct: f.GetAggDistinct()}
	if out.Name == "file" && len(f.GetArgs()) == 1 {
		if key, ok := c.fileKey(f.GetArgs()[0]); ok {
			out.Args = []Expr{key}
			return out
		}
	}
	out.Args = c.exprs(f.GetArgs())
	if special && out.Name == "position" && len(out.Args) == 2 {
		out.Args[0], out.Args[1] = out.Args[1], out.Args[0]
	}
	if out.Name == "file" || out.Name == "extract" {
		c.constant(out.Args)
	}
	out.Filter = c.optional(f.GetAggFilter())
	out.Variadic = f.GetFuncVariadic()
	if f.GetAggWithinGroup() {
		c.needs("WITHIN GROUP")
		out.Within = c.orderBy(f.GetAggOrder())
	} else {
		out.OrderBy = c.orderBy(f.GetAggOrder())
	}
	if f.GetOver() != nil {
		c.needs("a window function")
		out.Over = c.window(f.GetOver())
	}
	return out
}

// constant keeps the first argument out of the automatic parameters: the meaning
// of the call depends on it.
func (c *converter) constant(args []Expr) {
	if len(args) == 0 || c.slots == nil {
		return
	}
	if l, ok := args[0].(*Literal); ok && l.Slot >= 0 {
		c.slots.wrong = true
	}
}

// fileKey converts the key of FILE("key"), which names a part of the request
// and keeps its spelling.
func (c *converter) fileKey(n *pg.Node) (Expr, bool) {
	r := n.GetColumnRef()
	names := c.strings(r.GetFields())
	if r == nil || len(names) != 1 || len(r.GetFields()) != 1 {
		return nil, false
	}
	return &Literal{At: At{c.at(r.GetLocation())}, Value: datum.NewText(names[0]), Untyped: true, Slot: -1}, true
}

// valueFunction converts the functions that are written without brackets.
func (c *converter) valueFunction(f *pg.SQLValueFunction) Expr {
	out := &Call{At: At{c.at(f.GetLocation())}}
	switch f.GetOp() {
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_DATE:
		out.Name = "current_date"
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_TIME, pg.SQLValueFunctionOp_SVFOP_CURRENT_TIME_N:
		out.Name = "current_time"
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP, pg.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N:
		out.Name = "current_timestamp"
	case pg.SQLValueFunctionOp_SVFOP_LOCALTIME, pg.SQLValueFunctionOp_SVFOP_LOCALTIME_N:
		out.Name = "localtime"
	case pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP, pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N:
		out.Name = "localtimestamp"
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_ROLE:
		out.Name = "current_role"
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_USER, pg.SQLValueFunctionOp_SVFOP_USER:
		out.Name = "current_user"
	case pg.SQLValueFunctionOp_SVFOP_SESSION_USER:
		out.Name = "session_user"
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG:
		out.Name = "current_database"
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
		out.Name = "current_schema"
	default:
		return c.unsupported(f.GetLocation(), "a function of this form")
	}
	switch f.GetOp() {
	case pg.SQLValueFunctionOp_SVFOP_CURRENT_TIME_N, pg.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N,
		pg.SQLValueFunctionOp_SVFOP_LOCALTIME_N, pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N:
		if f.GetTypmod() != 6 {
			return c.unsupported(f.GetLocation(), strings.ToUpper(out.Name)+" with a precision")
		}
	}
	return out
}

// intervalUnits maps the masks of INTERVAL '…' UNIT to a unit.
var intervalUnits = map[int]string{
	1 << 2: "year", 1 << 1: "month", 1 << 3: "day", 1 << 10: "hour", 1 << 11: "minute", 1 << 12: "second",
}

// cast converts CAST, :: and TRY_CAST.
func (c *converter) cast(t *pg.TypeCast) Expr {
	out := &Cast{At: At{c.at(t.GetLocation())}, Try: c.text.tries[int(t.GetLocation())+c.shift]}
	name := t.GetTypeName()
	if unit, ok := c.intervalUnit(name); ok {
		out.To = datum.Type{Kind: datum.Interval}
		text, isText := t.GetArg().GetAConst().GetVal().(*pg.A_Const_Sval)
		if unit == "" || !isText {
			return c.unsupported(t.GetLocation(), "an INTERVAL with these fields")
		}
		if _, err := numberValue(strings.TrimSpace(text.Sval.GetSval())); err != nil {
			return c.unsupported(t.GetLocation(), "an INTERVAL with these fields")
		}
		out.X = &Literal{At: At{c.at(t.GetArg().GetAConst().GetLocation())}, Untyped: true, Slot: -1,
			Value: datum.NewText(strings.TrimSpace(text.Sval.GetSval()) + " " + unit)}
		return out
	}
	if name.GetSetof() || name.GetPctType() || len(name.GetArrayBounds()) > 1 {
		return c.unsupported(name.GetLocation(), "a type of this form")
	}
	if x := c.catalogCast(t); x != nil {
		return x
	}
	out.X = c.expr(t.GetArg())
	out.To = c.typeName(name)
	if names := c.strings(name.GetNames()); len(names) > 0 && len(name.GetArrayBounds()) == 0 {
		out.Canonical = foldName(names[len(names)-1]) == "jsonb"
	}
	if len(name.GetArrayBounds()) > 0 {
		return &ArrayCast{out.At, out.X, out.To}
	}
	return out
}

// intervalUnit reports whether a type is INTERVAL with fields, and which unit
// that is when it is a single one.
func (c *converter) intervalUnit(name *pg.TypeName) (string, bool) {
	names := c.strings(name.GetNames())
	if len(names) == 0 || names[len(names)-1] != "interval" || len(name.GetTypmods()) == 0 {
		return "", false
	}
	const fullRange = 0x7FFF
	mask, _ := integerOf(name.GetTypmods()[0])
	if mask == fullRange {
		return "", false
	}
	return intervalUnits[mask], true
}

// typeName converts the name of a type.
func (c *converter) typeName(t *pg.TypeName) datum.Type {
	names := c.strings(t.GetNames())
	if len(names) > 1 && names[0] == "pg_catalog" {
		names = names[1:]
	}
	name := strings.Join(names, ".")
	var args []int
	for i, m := range t.GetTypmods() {
		n, ok := integerOf(m)
		if !ok {
			c.fail(c.at(t.GetLocation()), syntaxError(c.src, c.at(t.GetLocation()), "the arguments of type %s must be numbers", name))
			return datum.Type{}
		}
		if name == "interval" && i == 0 {
			continue
		}
		args = append(args, n)
	}
	typ, err := datum.ParseType(name, args)
	c.fail(c.at(t.GetLocation()), err)
	return typ
}
