package exec

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// Helpers bounds the goroutines beside their own that groupings of the row path
// take, all together. A grouping that finds none free runs alone. It is used by
// many goroutines.
type Helpers struct {
	free   chan struct{}
	shared atomic.Int64
}

// NewHelpers returns n of them; nil and those of 0 give none.
func NewHelpers(n int) *Helpers {
	h := &Helpers{free: make(chan struct{}, max(n, 0))}
	for range cap(h.free) {
		h.free <- struct{}{}
	}
	return h
}

// Shared returns how many groupings have had help.
func (h *Helpers) Shared() int64 { return h.shared.Load() }

// take takes all that are free.
func (h *Helpers) take() (n int) {
	if h == nil {
		return 0
	}
	for {
		select {
		case <-h.free:
			n++
		default:
			return n
		}
	}
}

// give gives n back.
func (h *Helpers) give(n int) {
	for range n {
		h.free <- struct{}{}
	}
}

// shares reports whether the rows of the query may be gathered in any order by
// several goroutines, with one answer: floats are not added then, nor is called
// what asks or changes more than its arguments.
func (x *execution) shares() bool {
	q := x.query
	if q.Table == nil || plan.VolatilityOf(q.Filter) != plan.Immutable {
		return false
	}
	for _, e := range q.Groups {
		if plan.VolatilityOf(e) != plan.Immutable {
			return false
		}
	}
	for i := range x.aggregates {
		a := &x.aggregates[i]
		sums := a.op == plan.Sum || a.op == plan.Avg
		if a.distinct || sums && isFloat(a.kind) || plan.VolatilityOf(q.Aggregates[i].X) != plan.Immutable || plan.VolatilityOf(q.Aggregates[i].Filter) != plan.Immutable {
			return false
		}
	}
	return true
}

// fillShared gathers the rows of a large table together with helpers: each
// gathers what it takes into groups of its own, which are merged in the end. It
// reports whether it has; if not, nothing has been read.
func (s *groupStage) fillShared(ctx context.Context, scan *scanStage) (bool, error) {
	pieced, ok := scan.table.(source.Pieced)
	if !ok || !s.x.shares() {
		return false, nil
	}
	n := s.x.helpers.take()
	if n == 0 {
		return false, nil
	}
	defer s.x.helpers.give(n)
	pieces, err := pieced.Pieces(ctx, scan.request, pieceRows)
	if pieces == nil || err != nil {
		return false, err
	}
	defer pieces.Close()
	s.x.helpers.shared.Add(1)
	others := make([]*groupStage, n)
	for i := range others {
		if others[i], err = s.another(); err != nil {
			return false, err
		}
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, o := range append(others, s) {
		all.Go(func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("gather rows: %v\n%s", p, debug.Stack())
				}
			}()
			return o.gather(ctx, scan, pieces)
		})
	}
	if err := all.Wait(); err != nil {
		return false, err
	}
	for _, o := range others {
		if err := s.merge(o); err != nil {
			return false, err
		}
	}
	return true, nil
}

// another returns a stage for one more goroutine.
func (s *groupStage) another() (*groupStage, error) {
	x := *s.x
	var err error
	if x.env, err = s.x.env.Prepare(x.query.Params); err != nil {
		return nil, err
	}
	x.env.Reserve(x.cells)
	o := &groupStage{x: &x, budget: s.x.newBudget(), scratch: make([]datum.Value, len(x.groups))}
	return o, o.begin()
}

// gather takes pieces until none is left.
func (s *groupStage) gather(ctx context.Context, scan *scanStage, pieces source.Pieces) error {
	for {
		rows, err := pieces.Next(ctx)
		if rows == nil || err != nil {
			return err
		}
		own := &scanStage{table: scan.table, rows: rows, filter: scan.filter, env: s.x.env}
		if err := s.drain(ctx, own); err != nil {
			own.close()
			return err
		}
	}
}

// merge adds the groups of another stage.
func (s *groupStage) merge(o *groupStage) error {
	for key, from := range o.index {
		at, known := s.index[key]
		if !known {
			s.key = append(s.key[:0], key...)
			var err error
			if at, err = s.add(o.groups[from].values); err != nil {
				return err
			}
			s.index[key] = at
		}
		if err := s.mergeStates(s.groups[at].states, o.groups[from].states); err != nil {
			return err
		}
	}
	if o.index == nil {
		return s.mergeStates(s.groups[0].states, o.groups[0].states)
	}
	return nil
}

func (s *groupStage) mergeStates(to, from []state) error {
	for i := range to {
		if err := s.x.aggregates[i].merge(&to[i], &from[i], s.budget); err != nil {
			return err
		}
	}
	return nil
}
