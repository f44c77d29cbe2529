package relation

import (
	"context"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// infoViewRows lists the views that users have made, and the server's own, whose
// text is none of SQL.
func infoViewRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	no := textOf("NO")
	for _, o := range v.objects(c) {
		if o.kind != "v" {
			continue
		}
		text := datum.Value{}
		if o.view != nil && c.Role.Admin() { // who alone make views
			text = textOf(o.view.Text)
		}
		rows = append(rows, []datum.Value{
			textOf(catalogName), textOf(o.def.Namespace), textOf(o.name), text, textOf("NONE"), no, no, no, no, no,
		})
	}
	return rows, nil
}

// keyed returns the stored tables that a caller may use.
func (v *View) keyed(c Caller) []*schema.Table {
	var tables []*schema.Table
	for _, t := range v.usable(c) {
		if t.Kind != schema.System {
			tables = append(tables, t)
		}
	}
	return tables
}

func infoConstraintRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, t := range v.keyed(c) {
		add := func(name, kind string) {
			rows = append(rows, []datum.Value{
				textOf(catalogName), textOf(t.Namespace), textOf(name), textOf(catalogName), textOf(t.Namespace), textOf(t.Name),
				textOf(kind), textOf("NO"), textOf("NO"), textOf("YES"), {},
			})
		}
		if len(t.Key) > 0 {
			add(keyName(t), "PRIMARY KEY")
		}
		for i := range t.Indexes {
			if t.Indexes[i].Constraint {
				add(t.Indexes[i].Name, "UNIQUE")
			}
		}
		for i := range t.Checks {
			add(t.Checks[i].Name, "CHECK")
		}
	}
	return rows, nil
}

func infoKeyRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, t := range v.keyed(c) {
		add := func(constraint string, columns []schema.ColumnID) {
			for n, id := range columns {
				rows = append(rows, []datum.Value{
					textOf(catalogName), textOf(t.Namespace), textOf(constraint), textOf(catalogName), textOf(t.Namespace), textOf(t.Name),
					textOf(t.Columns[t.ColumnByID(id)].Name), intOf(n + 1), {},
				})
			}
		}
		add(keyName(t), t.Key)
		for i := range t.Indexes {
			if t.Indexes[i].Constraint {
				add(t.Indexes[i].Name, t.Indexes[i].Columns)
			}
		}
	}
	return rows, nil
}

// infoUsageRows lists the columns that each constraint names.
func infoUsageRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, t := range v.keyed(c) {
		add := func(constraint string, columns []schema.ColumnID) {
			for _, id := range columns {
				if at := t.ColumnByID(id); at >= 0 {
					rows = append(rows, []datum.Value{
						textOf(catalogName), textOf(t.Namespace), textOf(t.Name), textOf(t.Columns[at].Name), textOf(catalogName),
						textOf(t.Namespace), textOf(constraint),
					})
				}
			}
		}
		add(keyName(t), t.Key)
		for i := range t.Indexes {
			if t.Indexes[i].Constraint {
				add(t.Indexes[i].Name, t.Indexes[i].Columns)
			}
		}
		for i := range t.Checks {
			add(t.Checks[i].Name, t.Checks[i].Columns)
		}
	}
	return rows, nil
}

func infoCheckRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, t := range v.keyed(c) {
		for i := range t.Checks {
			rows = append(rows, []datum.Value{
				textOf(catalogName), textOf(t.Namespace), textOf(t.Checks[i].Name), textOf("(" + t.Checks[i].Text + ")"),
			})
		}
	}
	return rows, nil
}
