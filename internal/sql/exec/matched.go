package exec

import (
	"bytes"
	"context"
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// matchedMost is how many keys Each remembers before it reads all rows in full
// after all: a statement that changes more has most of its time elsewhere.
const matchedMost = 4096

// selective returns a request for the columns only that decide which rows of a
// whole table are selected, in the order that is fastest, or false where that
// would win nothing.
func (m *Matcher) selective(r source.Request) (source.Request, bool) {
	q := m.program.query
	if q.Filter == nil || len(q.Table.Key) == 0 || r.Keys != nil || r.Index != nil || r.Order != source.ByKey ||
		len(r.Low.Values) > 0 || len(r.High.Values) > 0 || plan.VolatilityOf(q.Filter) == plan.Volatile {
		return r, false
	}
	columns := plan.Columns(q.Filter)
	for _, id := range q.Table.Key {
		columns = append(columns, q.Table.ColumnByID(id))
	}
	slices.Sort(columns)
	r.Columns, r.Order = slices.Compact(columns), source.Any
	return r, true
}

// matched finds the keys of the selected rows, in their order, without reading
// what does not decide. It reports false when there are many.
func (m *Matcher) matched(ctx context.Context, s *scanStage) ([][]datum.Value, bool, error) {
	defer s.close()
	type found struct {
		order []byte
		key   []datum.Value
	}
	var all []found
	t := m.program.query.Table
	for {
		rows, err := s.next(ctx)
		if err != nil {
			return nil, false, err
		}
		if rows == nil {
			break
		}
		if len(all)+len(rows) > matchedMost {
			return nil, false, nil
		}
		for _, row := range rows {
			f := found{order: t.KeyOf(nil, row)}
			for _, id := range t.Key {
				f.key = append(f.key, row[t.ColumnByID(id)])
			}
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b found) int { return bytes.Compare(a.order, b.order) })
	keys := make([][]datum.Value, len(all))
	for i := range all {
		keys[i] = all[i].key
	}
	return keys, true, nil
}
