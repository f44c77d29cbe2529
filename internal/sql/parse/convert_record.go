package parse

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"kalamdb/internal/datum"
)

// recordFunction converts a function in FROM with a list of columns. The JSON
// functions that take one become a subquery over the elements of the document,
// each column a member with a cast.
func (c *converter) recordFunction(f *pg.RangeFunction, call *Call) TableExpr {
	if len(call.Args) != 1 || call.Star || call.Variadic || f.GetOrdinality() {
		c.refuse("a column definition list in FROM")
		return nil
	}
	doc := call.Args[0]
	switch call.Name {
	case "json_to_recordset", "jsonb_to_recordset":
	case "json_to_record", "jsonb_to_record":
		doc = &Call{At: call.At, Name: "json_build_array", Args: []Expr{&Cast{At: call.At, X: doc, To: datum.Type{Kind: datum.JSON}}}}
	default:
		c.refuse("a column definition list in FROM")
		return nil
	}
	const elements, member = "elements", "value"
	q := &Select{Offset: call.Offset, Sources: []TableExpr{&TableFunction{
		At: call.At, Alias: Alias{Name: elements, Columns: []string{member}},
		Call: &Call{At: call.At, Name: "json_array_elements", Args: []Expr{doc}},
	}}}
	for _, n := range f.GetColdeflist() {
		d := n.GetColumnDef()
		t := d.GetTypeName()
		if len(t.GetArrayBounds()) > 0 || t.GetSetof() || t.GetPctType() {
			c.refuse("an array in a column definition list")
			return nil
		}
		name := c.name(d.GetColname())
		to := c.typeName(t)
		step := "->>"
		if to.Kind == datum.JSON {
			step = "->"
		}
		at := At{c.at(d.GetLocation())}
		value := &Binary{At: at, Op: step, L: &Column{At: at, Table: elements, Name: member},
			R: &Literal{At: at, Value: datum.NewText(name), Slot: -1}}
		q.Outputs = append(q.Outputs, Output{X: &Cast{At: at, X: value, To: to}, Alias: name})
	}
	return &Derived{At: call.At, Select: q, Alias: c.columnAlias(f.GetAlias()), Lateral: true}
}
