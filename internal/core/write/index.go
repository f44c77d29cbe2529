package write

import (
	"bytes"
	"context"
	"slices"
	"strconv"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// entryOverhead is what an entry of an index counts for beside its bytes.
const entryOverhead = 48

// entries are what a change of a row means for the indexes of its table.
func entries(t *schema.Table, op command.Op, old, row []datum.Value) ([]schema.IndexEntry, error) {
	if len(t.Indexes) == 0 {
		return nil, nil
	}
	list := make([]schema.IndexEntry, len(t.Indexes))
	for i := range t.Indexes {
		x := &t.Indexes[i]
		if op != command.Insert {
			list[i].Old, _ = t.AppendIndexValues(nil, x, old)
		}
		if op == command.Delete {
			continue
		}
		if list[i].New, _ = t.AppendIndexValues(nil, x, row); len(list[i].New) > schema.MaxIndexBytes {
			return nil, fault.New(fault.LimitExceeded, "the values of index '%s' take %d bytes, at most %d fit an entry", x.Name, len(list[i].New), schema.MaxIndexBytes)
		}
	}
	return list, nil
}

// entryBytes is about what entries take in memory.
func entryBytes(list []schema.IndexEntry) (n int64) {
	for i := range list {
		n += int64(entryOverhead + len(list[i].Old) + len(list[i].New))
	}
	return n
}

// mergedEntries returns what two changes of a row after one another mean.
func mergedEntries(first, second []schema.IndexEntry) []schema.IndexEntry {
	if len(first) == 0 {
		return nil
	}
	list := make([]schema.IndexEntry, len(first))
	for i := range list {
		list[i] = schema.IndexEntry{Old: first[i].Old, New: second[i].New}
	}
	return list
}

// arbiters find the rows that the candidates of an INSERT … ON CONFLICT meet: by
// the key, by one unique index, or by all of them.
type arbiters struct {
	c       *composer
	view    *relation.View
	key     bool  // the key is one of them
	indexes []int // positions of unique indexes
	columns []int // of the target, the key without one
	taken   map[string]struct{}
}

func (c *composer) arbiters(view *relation.View) *arbiters {
	a := &arbiters{c: c, view: view, columns: c.conflict.plan.Target, taken: map[string]struct{}{}}
	key := c.table.KeyPositions()
	if a.columns == nil {
		a.columns = key
		a.key = true
	}
	a.key = a.key || slices.Equal(a.columns, key)
	for i := range c.table.Indexes {
		x := &c.table.Indexes[i]
		named := !a.key && slices.Equal(a.columns, c.table.IndexPositions(x))
		if x.Unique && (c.conflict.plan.Target == nil || named) {
			a.indexes = append(a.indexes, i)
			if named {
				break
			}
		}
	}
	return a
}

// meet returns the live row that a candidate meets, or nil; again says that a
// candidate before it has taken its place. A key that is none of the arbiters
// must be free.
func (a *arbiters) meet(ctx context.Context, n *candidate) (old []datum.Value, again bool, err error) {
	places := []string{"k" + string(n.key)}
	at := []int{-1}
	var values [][]byte
	for _, i := range a.indexes {
		v, null := a.c.table.AppendIndexValues(nil, &a.c.table.Indexes[i], n.row)
		if !null {
			places, at, values = append(places, "i"+strconv.Itoa(i)+":"+string(v)), append(at, i), append(values, v)
		}
	}
	for i, place := range places {
		if _, again = a.taken[place]; again && (i > 0 || a.key) {
			return nil, true, nil
		} else if again {
			return nil, false, a.c.duplicateKey(n.row)
		}
	}
	if old, err = a.c.present(ctx, a.view, n); err != nil || old != nil && a.key {
		return old, false, a.note(places, err)
	}
	held := old != nil
	for i, index := range at[1:] {
		holder, found, err := a.view.Holder(a.c.table, index, a.c.to.Scope, values[i])
		if err != nil {
			return nil, false, err
		}
		if found {
			old, err = a.c.live(ctx, a.view, holder)
			return old, false, a.note(places[1:], err)
		}
	}
	if held {
		return nil, false, a.c.duplicateKey(n.row)
	}
	return nil, false, a.note(places, nil)
}

// note remembers what a candidate has taken.
func (a *arbiters) note(places []string, err error) error {
	for _, place := range places {
		a.taken[place] = struct{}{}
	}
	return err
}

// distinct refuses changes of a statement whose values a unique index holds for
// another row of a state, or that two of them share. What the commit then still
// refuses is the change of another.
func (c *composer) distinct(ctx context.Context, view *relation.View) error {
	if !slices.ContainsFunc(c.table.Indexes, func(x schema.Index) bool { return x.Unique }) {
		return nil
	}
	own := make(map[string]struct{}, len(c.rows))
	for i := range c.rows {
		own[string(c.rows[i].Key)] = struct{}{}
	}
	for at := range c.table.Indexes {
		if !c.table.Indexes[at].Unique {
			continue
		}
		claims := make(map[string]struct{}, len(c.rows))
		for i := range c.rows {
			if i%256 == 255 && ctx.Err() != nil {
				return ctx.Err()
			}
			r := &c.rows[i]
			e := &r.Index[at]
			if len(e.New) == 0 || datum.HoldsNullKey(e.New) {
				continue
			}
			if _, twice := claims[string(e.New)]; twice {
				return c.duplicate(at, r)
			}
			claims[string(e.New)] = struct{}{}
			if bytes.Equal(e.Old, e.New) {
				continue
			}
			holder, found, err := view.Holder(c.table, at, r.Scope, e.New)
			if err != nil {
				return err
			}
			if _, ours := own[string(holder)]; found && !ours {
				return c.duplicate(at, r)
			}
		}
	}
	return nil
}

// duplicate is the fault for values that a unique index holds already.
func (c *composer) duplicate(at int, r *command.RowWrite) error {
	row := make([]datum.Value, len(c.table.Columns))
	if err := c.table.DecodeRow(r.Row, row); err != nil {
		return err
	}
	x := &c.table.Indexes[at]
	return c.table.DuplicateEntry(x, pick(row, c.table.IndexPositions(x)))
}
