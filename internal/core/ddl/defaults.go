package ddl

import (
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// defineDefault turns the DEFAULT of a column into a definition: a literal of
// the column's type, or one of the generating functions.
func defineDefault(def *parse.ColumnDef) (*schema.Default, error) {
	if def.Default == nil {
		return nil, nil
	}
	if call, ok := def.Default.(*parse.Call); ok {
		return defaultFunction(def, call)
	}
	v, err := constant(def.Default)
	if err != nil {
		return nil, err
	}
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
	var function string
	var kinds []datum.Kind
	switch call.Name {
	case "now", "current_timestamp":
		function, kinds = schema.DefaultNow, []datum.Kind{datum.Timestamp, datum.DateTime, datum.Date, datum.BigInt}
	case "snowflake_id":
		function, kinds = schema.DefaultSnowflake, []datum.Kind{datum.BigInt, datum.Text}
	case "uuid_v7":
		function, kinds = schema.DefaultUUIDv7, []datum.Kind{datum.UUID, datum.Text}
	case "ulid":
		function, kinds = schema.DefaultULID, []datum.Kind{datum.Text}
	case "current_user", "current_user_id", "kdb_current_user":
		function, kinds = schema.DefaultCurrentUser, []datum.Kind{datum.Text}
	default:
		return nil, fault.At(fault.FunctionNotFound, call.Pos(), "function %s does not exist or cannot be a default; use a literal, NOW(), SNOWFLAKE_ID(), UUID_V7(), ULID() or CURRENT_USER()", call.Name)
	}
	if len(call.Args) > 0 {
		return nil, fault.At(fault.InvalidDefinition, call.Pos(), "the default function %s takes no arguments", call.Name)
	}
	for _, k := range kinds {
		if k == def.Type.Kind {
			return &schema.Default{Function: function, Text: def.DefaultText}, nil
		}
	}
	return nil, fault.At(fault.InvalidDefinition, call.Pos(), "column '%s' of type %s cannot have the default %s()", def.Name.Name, def.Type, call.Name)
}

// constant evaluates what may stand as a literal default: a literal, a sign
// before a number, or a cast of one.
func constant(x parse.Expr) (datum.Value, error) {
	switch x := x.(type) {
	case *parse.Literal:
		return x.Value, nil
	case *parse.Unary:
		v, err := constant(x.X)
		if err != nil || x.Op == "+" {
			return v, err
		}
		if x.Op == "-" {
			return datum.Neg(v)
		}
	case *parse.Cast:
		v, err := constant(x.X)
		if err != nil {
			return v, err
		}
		return datum.Cast(v, x.To)
	}
	return datum.Value{}, fault.At(fault.NotImplemented, x.Pos(), "a default must be a literal or one of NOW(), SNOWFLAKE_ID(), UUID_V7(), ULID(), CURRENT_USER()")
}
