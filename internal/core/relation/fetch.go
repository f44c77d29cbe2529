package relation

import (
	"cmp"
	"context"
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// fetch fills rows[i] with the user columns of the row at places[i]. Only the
// wanted positions are filled; nil means all. Rows are read file by file in
// order of their numbers, so that each page is looked up once.
func (c *coldFiles) fetch(ctx context.Context, columns []int, places []schema.Location, rows [][]datum.Value) error {
	order := make([]int, len(places))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(places[a].File, places[b].File), cmp.Compare(places[a].Row, places[b].Row))
	})
	columns = c.userColumns(columns)
	numbers, into := make([]uint64, 0, len(places)), make([][]datum.Value, 0, len(places))
	for from := 0; from < len(order); {
		file := places[order[from]].File
		numbers, into = numbers[:0], into[:0]
		for from < len(order) && places[order[from]].File == file {
			numbers = append(numbers, places[order[from]].Row)
			into = append(into, rows[order[from]])
			from++
		}
		r, err := c.reader(file)
		if err != nil {
			return err
		}
		if err := r.Fetch(ctx, c.def, columns, numbers, into); err != nil {
			return err
		}
		if c.tally != nil {
			c.tally.AddGroups(r.Groups(numbers), 0)
		}
	}
	for i, place := range places {
		c.def.Stamp(rows[i], place.Seq, false)
	}
	return nil
}

// userColumns leaves the wanted positions that files are read for: _seq is
// known from the place of a row, and no row of a file is deleted.
func (c *coldFiles) userColumns(columns []int) []int {
	users := make([]int, 0, len(c.def.Columns))
	if columns == nil {
		for i := range c.def.Columns {
			if c.def.Columns[i].System == schema.NotSystem {
				users = append(users, i)
			}
		}
		return users
	}
	for _, i := range columns {
		if c.def.Columns[i].System == schema.NotSystem {
			users = append(users, i)
		}
	}
	return users
}
