package core

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// showIndexes lists the indexes of a table, that of its key first.
func showIndexes(n parse.Name, in scope) (*Result, error) {
	t, err := in.Table(n)
	if err != nil {
		return nil, err
	}
	text, boolean := datum.Type{Kind: datum.Text}, datum.Type{Kind: datum.Bool}
	columns := []Column{
		{Name: "index_name", Type: text}, {Name: "index_type", Type: text}, {Name: "columns", Type: text}, {Name: "is_unique", Type: boolean},
		{Name: "is_primary", Type: boolean}, {Name: "metric", Type: text}, {Name: "dimensions", Type: datum.Type{Kind: datum.Int}},
	}
	var rows [][]datum.Value
	ordered := func(name string, ids []schema.ColumnID, unique, primary bool) {
		names := make([]string, len(ids))
		for i, id := range ids {
			names[i] = t.Columns[t.ColumnByID(id)].Name
		}
		rows = append(rows, []datum.Value{
			datum.NewText(name), datum.NewText("btree"), datum.NewText(strings.Join(names, ", ")), datum.NewBool(unique), datum.NewBool(primary), {}, {},
		})
	}
	if len(t.Key) > 0 {
		ordered(t.Name+"_pkey", t.Key, true, true)
	}
	for i := range t.Indexes {
		x := &t.Indexes[i]
		ordered(x.Name, x.Columns, x.Unique, false)
	}
	for _, x := range t.Vectors {
		c := &t.Columns[t.ColumnByID(x.Column)]
		rows = append(rows, []datum.Value{
			datum.NewText(x.Name), datum.NewText("vector"), datum.NewText(c.Name), datum.NewBool(false), datum.NewBool(false),
			datum.NewText(string(x.Metric)), datum.NewInt(datum.Int, int64(c.Type.Dim)),
		})
	}
	return buffered(columns, rows), nil
}
