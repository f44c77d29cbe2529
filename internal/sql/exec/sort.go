package exec

import (
	"cmp"
	"container/heap"
	"context"
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// sortKey computes one key of a sort.
type sortKey struct {
	eval             Eval
	output           int // the output with the same value, or -1
	desc, nullsFirst bool
}

func (c *compiler) sortKey(o plan.OrderItem) (sortKey, error) {
	k := sortKey{output: o.Output, desc: o.Desc, nullsFirst: o.NullsFirst}
	if _, plain := o.X.(*plan.Col); plain || k.output < 0 {
		k.output = -1
		eval, err := c.value(o.X)
		k.eval = eval
		return k, err
	}
	return k, nil
}

// compare orders two values by the key's direction.
func (k *sortKey) compare(a, b datum.Value) int {
	switch {
	case a.IsNull() && b.IsNull():
		return 0
	case a.IsNull():
		return nullOrder(k.nullsFirst)
	case b.IsNull():
		return -nullOrder(k.nullsFirst)
	case k.desc:
		return datum.Compare(b, a)
	}
	return datum.Compare(a, b)
}

func nullOrder(first bool) int {
	if first {
		return -1
	}
	return 1
}

// entry is a row that waits for its place.
type entry struct {
	keys, out []datum.Value
	number    int64 // the order of arrival
}

// sortStage gathers all rows, or the first most of them, and hands them on in
// order.
type sortStage struct {
	from    stage
	outputs []output
	keys    []sortKey
	env     *Env
	budget  *budget
	most    int64 // -1 for all
	// eager says that keys are taken from outputs, which are thus computed
	// first.
	eager bool

	entries []entry
	arena   []datum.Value
	block   int // rows of the last piece of arena
	filled  bool
	out     [][]datum.Value
}

// sorted puts a sort and the select list behind a stage.
func (x *execution) sorted(from stage, most int64) stage {
	s := &sortStage{from: from, outputs: x.outputs, keys: x.order, env: x.env, budget: x.newBudget(), most: most}
	for _, k := range s.keys {
		s.eager = s.eager || k.output >= 0
	}
	return s
}

func (s *sortStage) close() {
	s.from.close()
	s.entries, s.arena = nil, nil
}

func (s *sortStage) compare(a, b *entry) int {
	for i := range s.keys {
		if order := s.keys[i].compare(a.keys[i], b.keys[i]); order != 0 {
			return order
		}
	}
	return cmp.Compare(a.number, b.number)
}

func (s *sortStage) next(ctx context.Context) ([][]datum.Value, error) {
	if !s.filled {
		if err := s.fill(ctx); err != nil {
			return nil, err
		}
		s.filled = true
		slices.SortFunc(s.entries, func(a, b entry) int { return s.compare(&a, &b) })
	}
	if err := ctx.Err(); err != nil || len(s.entries) == 0 {
		return nil, err
	}
	n := min(len(s.entries), source.BatchRows)
	s.out = s.out[:0]
	for i := range n {
		s.out = append(s.out, s.entries[i].out)
	}
	s.entries = s.entries[n:]
	return s.out, nil
}

// fill reads all rows.
func (s *sortStage) fill(ctx context.Context) error {
	defer s.from.close()
	spare := s.blank()
	number := int64(0)
	for {
		rows, err := s.from.next(ctx)
		if err != nil || rows == nil {
			return err
		}
		for _, row := range rows {
			number++
			spare.number = number
			kept, err := s.offer(row, &spare)
			if err != nil {
				return err
			}
			if kept {
				spare = s.recycle()
			}
		}
	}
}

// blank returns an entry with room for its values.
func (s *sortStage) blank() entry {
	width := len(s.keys) + len(s.outputs)
	if len(s.arena) < width {
		s.block = min(max(2*s.block, 16), source.BatchRows)
		s.arena = make([]datum.Value, s.block*width)
	}
	room := s.arena[:width:width]
	s.arena = s.arena[width:]
	return entry{keys: room[:len(s.keys):len(s.keys)], out: room[len(s.keys):]}
}

// recycle returns the entry that has fallen out of a full heap, or a new one.
func (s *sortStage) recycle() entry {
	if s.most >= 0 && int64(len(s.entries)) > s.most {
		worst := heap.Pop(s).(entry)
		s.budget.used -= s.sizeOf(&worst)
		return worst
	}
	return s.blank()
}

func (s *sortStage) sizeOf(e *entry) int64 { return datum.RowSize(e.keys) + datum.RowSize(e.out) }

// offer computes a row into e and keeps it, unless it comes after all that a
// full heap holds.
func (s *sortStage) offer(row []datum.Value, e *entry) (kept bool, err error) {
	s.env.BeginRow()
	if s.eager {
		if err := s.project(row, e); err != nil {
			return false, err
		}
	}
	for i := range s.keys {
		if k := &s.keys[i]; k.output >= 0 {
			e.keys[i] = e.out[k.output]
		} else if e.keys[i], err = k.eval(row, s.env); err != nil {
			return false, err
		}
	}
	bounded := s.most >= 0
	if bounded && int64(len(s.entries)) == s.most && s.compare(e, &s.entries[0]) > 0 {
		return false, nil
	}
	if !s.eager {
		if err := s.project(row, e); err != nil {
			return false, err
		}
	}
	if err := s.budget.take(s.sizeOf(e)); err != nil {
		return false, err
	}
	if bounded {
		heap.Push(s, *e)
	} else {
		s.entries = append(s.entries, *e)
	}
	return true, nil
}

func (s *sortStage) project(row []datum.Value, e *entry) error {
	for i := range s.outputs {
		v, err := s.outputs[i].value(row, s.env)
		if err != nil {
			return err
		}
		e.out[i] = v
	}
	return nil
}

// The stage is a heap of its entries with the last one in order on top.

// Len returns the number of entries.
func (s *sortStage) Len() int { return len(s.entries) }

// Less puts what comes last on top.
func (s *sortStage) Less(i, j int) bool { return s.compare(&s.entries[i], &s.entries[j]) > 0 }

// Swap exchanges two entries.
func (s *sortStage) Swap(i, j int) { s.entries[i], s.entries[j] = s.entries[j], s.entries[i] }

// Push adds an entry.
func (s *sortStage) Push(x any) { s.entries = append(s.entries, x.(entry)) }

// Pop removes the last entry.
func (s *sortStage) Pop() any {
	last := s.entries[len(s.entries)-1]
	s.entries = s.entries[:len(s.entries)-1]
	return last
}
