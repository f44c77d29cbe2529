package plan

import (
	"strconv"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// rowToJSON is the function that takes nothing but a row.
const rowToJSON = "row_to_json"

// takesRows are the functions and aggregates whose arguments may be whole rows,
// which they take as JSON objects.
var takesRows = map[string]bool{
	rowToJSON: true, "to_json": true, "to_jsonb": true, "json_agg": true, "jsonb_agg": true,
	"json_build_object": true, "jsonb_build_object": true, "json_build_array": true, "jsonb_build_array": true,
	"json_object_agg": true, "jsonb_object_agg": true,
}

// withRows replaces the arguments of a call that are whole rows.
func (b *binder) withRows(e *parse.Call, name string) (*parse.Call, error) {
	var out *parse.Call
	for i, a := range e.Args {
		object := b.rowObject(a)
		null, isLiteral := a.(*parse.Literal)
		switch {
		case object == nil && name == rowToJSON && !(isLiteral && null.Value.IsNull()):
			return nil, fault.At(fault.TypeMismatch, a.Pos(), "%s takes a row: the name of a table, a subquery in FROM or ROW(…)", rowToJSON)
		case object == nil:
			continue
		case out == nil:
			c := *e
			c.Args = append([]parse.Expr(nil), e.Args...)
			out = &c
		}
		out.Args[i] = object
	}
	if out == nil {
		return e, nil
	}
	return out, nil
}

// rowObject writes a whole row (t, t.* or ROW(…)) as the building of a JSON
// object; nil for every other expression.
func (b *binder) rowObject(e parse.Expr) parse.Expr {
	switch e := e.(type) {
	case *parse.Row:
		names := make([]string, len(e.Items))
		for i := range names {
			names[i] = "f" + strconv.Itoa(i+1)
		}
		return objectOf(names, e.Items, e.At)
	case *parse.Column:
		if e.Table == "" {
			return b.tableObject(e.Name, e.At)
		}
	case *parse.Star:
		if e.Table != "" {
			return b.tableObject(e.Table, e.At)
		}
	}
	return nil
}

// tableObject is the object of the columns of an item of FROM. The row that an
// outer join fills up is NULL.
func (b *binder) tableObject(name string, at parse.At) parse.Expr {
	if b.from == nil {
		own := b.table != nil && (name == b.alias || b.alias == "" && name == b.table.Name)
		if !own || b.table.Column(name) >= 0 {
			return nil
		}
		names := make([]string, len(b.table.Columns))
		for i, c := range b.table.Columns {
			names[i] = c.Name
		}
		return objectOf(names, columnsOf(name, names, at), at)
	}
	for f := b.from; f != nil; f = f.outer {
		if f.has(&parse.Column{At: at, Name: name}) {
			return nil
		}
		i, err := f.item("", name, at.Offset)
		if i == nil || err != nil {
			continue
		}
		if i.scalar {
			return nil
		}
		columns := columnsOf(name, i.names(), at)
		object := objectOf(i.names(), columns, at)
		if len(f.items) == 1 {
			return object
		}
		var none parse.Expr
		for _, c := range columns {
			var missing parse.Expr = &parse.Is{At: at, X: c, What: "null"}
			if none != nil {
				missing = &parse.Binary{At: at, Op: "and", L: none, R: missing}
			}
			none = missing
		}
		return &parse.Case{At: at, Whens: []parse.When{{If: none, Then: &parse.Literal{At: at, Slot: -1}}}, Else: object}
	}
	return nil
}

func columnsOf(table string, names []string, at parse.At) []parse.Expr {
	out := make([]parse.Expr, len(names))
	for i, n := range names {
		out[i] = &parse.Column{At: at, Table: table, Name: n}
	}
	return out
}

func objectOf(names []string, values []parse.Expr, at parse.At) parse.Expr {
	out := &parse.Call{At: at, Name: "json_build_object"}
	for i, n := range names {
		out.Args = append(out.Args, &parse.Literal{At: at, Value: datum.NewText(n), Slot: -1}, values[i])
	}
	return out
}
