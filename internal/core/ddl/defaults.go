package ddl

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
)

// generators are the functions that the writer has a short way for, with the
// kinds of columns that they fit.
var generators = map[string]struct {
	function string
	kinds    []datum.Kind
}{
	"now":               {schema.DefaultNow, nowKinds},
	"current_timestamp": {schema.DefaultNow, nowKinds},
	"snowflake_id":      {schema.DefaultSnowflake, []datum.Kind{datum.BigInt, datum.Text}},
	"uuid_v7":           {schema.DefaultUUIDv7, []datum.Kind{datum.UUID, datum.Text}},
	"ulid":              {schema.DefaultULID, []datum.Kind{datum.Text}},
	"current_user":      {schema.DefaultCurrentUser, []datum.Kind{datum.Text}},
	"current_user_id":   {schema.DefaultCurrentUser, []datum.Kind{datum.Text}},
	"kdb_current_user":  {schema.DefaultCurrentUser, []datum.Kind{datum.Text}},
}

var nowKinds = []datum.Kind{datum.Timestamp, datum.DateTime, datum.Date, datum.BigInt}

// defineDefault turns the DEFAULT of a column into a definition: a literal of
// the column's type, a generating function, or an expression that is computed
// when a row is written.
func (d *Definer) defineDefault(def *parse.ColumnDef) (*schema.Default, error) {
	if def.Default == nil {
		return nil, nil
	}
	if call, ok := def.Default.(*parse.Call); ok {
		if _, known := generators[call.Name]; known {
			return defaultFunction(def, call)
		}
	}
	if v, ok, err := constant(def.Default); ok || err != nil {
		if err != nil {
			return nil, err
		}
		return literalDefault(def, v)
	}
	if at := parse.FindSubquery(def.Default); at >= 0 {
		return nil, fault.At(fault.InvalidDefinition, at, "a subquery cannot stand in a DEFAULT")
	}
	x, err := plan.BindScalar(def.Default)
	if err != nil {
		return nil, err
	}
	volatility := plan.VolatilityOf(x)
	if volatility == plan.Volatile {
		if err := qualifiedSequences(x, def); err != nil {
			return nil, err
		}
		return &schema.Default{Function: schema.DefaultExpression, Text: def.DefaultText}, nil
	}
	v, err := d.o.Evaluate(x, "")
	if err != nil {
		return nil, err
	}
	literal, err := literalDefault(def, v)
	if err != nil || volatility == plan.Immutable {
		return literal, err
	}
	return &schema.Default{Function: schema.DefaultExpression, Text: def.DefaultText}, nil
}

// qualifiedSequences refuses a sequence without its namespace: whoever writes a
// row may have chosen another one.
func qualifiedSequences(x plan.Expr, def *parse.ColumnDef) error {
	var err error
	plan.Walk(x, func(e plan.Expr) bool {
		call, ok := e.(*plan.Call)
		if !ok || call.Fn.Name != "nextval" {
			return true
		}
		if c, ok := call.Args[0].(*plan.Const); ok && c.Value.Kind() == datum.Text && !strings.Contains(c.Value.Text(), ".") {
			err = fault.At(fault.InvalidDefinition, def.Default.Pos(), "column '%s': name the sequence '%.64s' of a DEFAULT with its namespace", def.Name.Name, c.Value.Text())
		}
		return true
	})
	return err
}

// literalDefault is the default that is the same for ever.
func literalDefault(def *parse.ColumnDef, v datum.Value) (*schema.Default, error) {
	if v.IsNull() {
		return nil, nil
	}
	typed, err := datum.Assign(v, def.Type)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidDefinition, err, "column '%s': the default is not of type %s: %s", def.Name.Name, def.Type, fault.Of(err).Message)
	}
	return &schema.Default{Literal: datum.AppendValue(nil, typed), Text: def.DefaultText}, nil
}

func defaultFunction(def *parse.ColumnDef, call *parse.Call) (*schema.Default, error) {
	if len(call.Args) > 0 {
		return nil, fault.At(fault.InvalidDefinition, call.Pos(), "the default function %s takes no arguments", call.Name)
	}
	g := generators[call.Name]
	for _, k := range g.kinds {
		if k == def.Type.Kind {
			return &schema.Default{Function: g.function, Text: def.DefaultText}, nil
		}
	}
	return nil, fault.At(fault.InvalidDefinition, call.Pos(), "column '%s' of type %s cannot have the default %s()", def.Name.Name, def.Type, call.Name)
}

// constant evaluates a literal, a sign before a number, or a cast of one; ok
// is false for anything else.
func constant(x parse.Expr) (v datum.Value, ok bool, err error) {
	switch x := x.(type) {
	case *parse.Literal:
		return x.Value, true, nil
	case *parse.Unary:
		if v, ok, err = constant(x.X); !ok || err != nil || x.Op == "+" {
			return v, ok, err
		}
		if x.Op == "-" {
			v, err = datum.Neg(v)
			return v, true, err
		}
	case *parse.Cast:
		if v, ok, err = constant(x.X); !ok || err != nil {
			return v, ok, err
		}
		v, err = datum.Cast(v, x.To)
		return v, true, err
	}
	return datum.Value{}, false, nil
}

// valueForAll returns the one value that a default gives to all rows which are
// older than its column; one is false when it differs from row to row.
func (d *Definer) valueForAll(c *schema.Column, actor schema.UserID) (v datum.Value, one bool, err error) {
	def := c.Default
	if def == nil {
		return v, true, nil
	}
	switch def.Function {
	case "":
		v, _, err = datum.DecodeValue(def.Literal)
		return v, true, err
	case schema.DefaultNow:
		v = datum.NewInt(datum.Timestamp, d.now())
		if c.Type.Kind == datum.BigInt {
			v = datum.NewInt(datum.BigInt, d.now())
		}
	case schema.DefaultCurrentUser:
		v = datum.NewText(string(actor))
	case schema.DefaultExpression:
		x, err := plan.BindDefault(def)
		if err != nil {
			return v, false, err
		}
		if plan.VolatilityOf(x) == plan.Volatile {
			return v, false, nil
		}
		if v, err = d.o.Evaluate(x, actor); err != nil || v.IsNull() {
			return v, true, err
		}
	default:
		return v, false, nil
	}
	v, err = datum.Assign(v, c.Type)
	return v, true, err
}
