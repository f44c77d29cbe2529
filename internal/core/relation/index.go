package relation

import (
	"context"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
)

// IndexTable returns the table that has an index of a namespace.
func (v *View) IndexTable(namespace, name string) (*schema.Table, bool) {
	for t := range v.moment.Definitions().Tables(namespace) {
		if t.Index(name) >= 0 {
			return t, true
		}
	}
	return nil, false
}

// EachRow calls each with every live row of a partition, hot and cold, by key,
// with the columns at the given positions. A row is valid until each returns.
func (v *View) EachRow(ctx context.Context, t *schema.Table, scope schema.Scope, columns []int, each func(row []datum.Value) error) error {
	opened, err := v.Open(t, scope, Caller{})
	if err != nil {
		return err
	}
	rows, err := opened.Scan(ctx, source.Request{Columns: columns, Order: source.ByKey})
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		batch, err := rows.Next(ctx)
		if err != nil || batch == nil {
			return err
		}
		for _, row := range batch.Rows {
			if err := each(row); err != nil {
				return err
			}
		}
	}
}
