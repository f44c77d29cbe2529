package plan

import (
	"strconv"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/parse"
)

// arraysOf returns the arguments of UNNEST(ARRAY[…], …), nil for any other call.
func arraysOf(c *parse.Call) []*parse.Array {
	if c.Name != "unnest" || c.Star || c.Distinct || c.Filter != nil || c.Over != nil || len(c.OrderBy)+len(c.Within) > 0 {
		return nil
	}
	var out []*parse.Array
	for _, x := range c.Args {
		array, ok := x.(*parse.Array)
		if !ok {
			return nil
		}
		out = append(out, array)
	}
	return out
}

// unnest binds UNNEST over arrays that are written out: rows of their elements,
// side by side, the shorter ones filled up with NULL.
func (b *binder) unnest(s *parse.TableFunction, arrays []*parse.Array, left *relation) (*relation, error) {
	n := &Values{Rel: b.tree.next()}
	rows := 0
	for _, a := range arrays {
		rows = max(rows, len(a.Items))
	}
	n.Rows = make([][]Expr, rows)
	for i, a := range arrays {
		cells, err := b.lateralArgs(a.Items, left)
		if err != nil {
			return nil, err
		}
		t, err := b.unify(cells, placesOf(a.Items), "ARRAY")
		if err != nil {
			return nil, err
		}
		if t.Kind == datum.Null {
			t = textType
		}
		name := "unnest"
		if len(arrays) == 1 && s.Alias.Name != "" {
			name = s.Alias.Name
		}
		if i > 0 {
			name += strconv.Itoa(i + 1)
		}
		n.Columns = append(n.Columns, RelColumn{name, t})
		for r := range n.Rows {
			cell := Expr(&Const{datum.Value{}, t})
			if r < len(cells) {
				cell = b.place(b.settle(cells[r]))
			}
			n.Rows[r] = append(n.Rows[r], cell)
		}
	}
	if s.Ordinality {
		n.Columns = append(n.Columns, RelColumn{"ordinality", bigintType})
		for r := range n.Rows {
			n.Rows[r] = append(n.Rows[r], &Const{datum.NewInt(datum.BigInt, int64(r)+1), bigintType})
		}
	}
	out := &relation{node: n, rels: []int{n.Rel}, unkeyed: true}
	columns := make([]named, len(n.Columns))
	for i, c := range n.Columns {
		columns[i] = named{c.Name, &Ref{n.Rel, i, c.Name, c.Type}}
	}
	return out, out.under(&item{name: "unnest", columns: columns}, s.Alias, s.Offset)
}
