package exec

import (
	"context"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// group is the state of one group.
type group struct {
	values []datum.Value
	states []state
}

// groupStage gathers rows into groups and hands on one row per group: the group
// values, then the aggregates.
type groupStage struct {
	from    stage
	x       *execution
	budget  *budget
	index   map[string]int
	groups  []group
	filled  bool
	key     []byte
	scratch []datum.Value
	out     [][]datum.Value
}

// grouped puts grouping behind a stage. Counting the rows of a whole table is
// answered by the table if it knows.
func (x *execution) grouped(ctx context.Context, from stage, t source.Table) (stage, error) {
	s := &groupStage{from: from, x: x, budget: x.newBudget(), scratch: make([]datum.Value, len(x.groups))}
	if t != nil && x.onlyCounts() {
		n, known, err := x.counted(ctx, t)
		if err != nil {
			from.close()
			return nil, err
		}
		if known {
			from.close()
			s.filled = true
			if err := s.single(); err != nil {
				return nil, err
			}
			for i := range s.groups[0].states {
				s.groups[0].states[i].n = n
			}
		}
	}
	return s, nil
}

// counted asks the table for the number of its live rows, or of those within the
// bounds of _seq when the filter is nothing else.
func (x *execution) counted(ctx context.Context, t source.Table) (n int64, known bool, err error) {
	if x.query.Filter == nil {
		return t.Count(ctx)
	}
	within, ok := t.(source.Counted)
	if !ok {
		return 0, false, nil
	}
	r, empty, exact, err := x.access.request(x.env)
	if err != nil || empty || !exact || r.Deleted || r.Keys != nil || r.Index != nil || len(r.Low.Values)+len(r.High.Values) > 0 {
		return 0, false, err
	}
	return within.CountWithin(ctx, r.AfterSeq, r.UpToSeq)
}

// onlyCounts reports whether all that is asked of a table is how many live rows
// it has, all or within bounds of _seq.
func (x *execution) onlyCounts() bool {
	q := x.query
	if q.Table == nil || q.Filter != nil && (!q.Access.Exact || len(q.Access.Seq) == 0) || q.Access.Empty || len(q.Groups) > 0 {
		return false
	}
	for _, a := range q.Aggregates {
		if a.Op != plan.CountRows || a.Filter != nil {
			return false
		}
	}
	return true
}

func (s *groupStage) close() {
	s.from.close()
	s.index, s.groups = nil, nil
}

func (s *groupStage) next(ctx context.Context) ([][]datum.Value, error) {
	if !s.filled {
		if err := s.fill(ctx); err != nil {
			return nil, err
		}
		s.filled = true
	}
	for len(s.groups) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(len(s.groups), source.BatchRows)
		s.out = s.out[:0]
		for i := range n {
			row, ok, err := s.row(&s.groups[i])
			if err != nil {
				return nil, err
			}
			if ok {
				s.out = append(s.out, row)
			}
		}
		s.groups = s.groups[n:]
		if len(s.out) > 0 {
			return s.out, nil
		}
	}
	return nil, nil
}

// row completes a group; ok is false when HAVING refuses it.
func (s *groupStage) row(g *group) (row []datum.Value, ok bool, err error) {
	row = append(make([]datum.Value, 0, len(g.values)+len(g.states)), g.values...)
	for i := range g.states {
		v, err := s.x.aggregates[i].result(&g.states[i])
		if err != nil {
			return nil, false, err
		}
		row = append(row, v)
	}
	return s.x.admit(row)
}

// admit asks HAVING for a row of a group.
func (x *execution) admit(row []datum.Value) (_ []datum.Value, ok bool, err error) {
	if x.having == nil {
		return row, true, nil
	}
	x.env.BeginRow()
	t, err := x.having(row, x.env)
	return row, t == isTrue, err
}

// single makes the one group of a query without GROUP BY.
func (s *groupStage) single() error {
	_, err := s.add(nil)
	return err
}

func (s *groupStage) add(values []datum.Value) (int, error) {
	g := group{states: make([]state, len(s.x.aggregates))}
	if len(values) > 0 {
		g.values = make([]datum.Value, len(values))
		for i, v := range values {
			g.values[i] = v.Clone()
		}
	}
	s.groups = append(s.groups, g)
	size := datum.RowSize(values) + int64(len(g.states)*stateBytes+len(s.key)+mapEntryBytes)
	return len(s.groups) - 1, s.budget.take(size)
}

func (s *groupStage) fill(ctx context.Context) error {
	defer s.from.close()
	if err := s.begin(); err != nil {
		return err
	}
	if scan, ok := s.from.(*scanStage); ok {
		if done, err := s.fillShared(ctx, scan); done || err != nil {
			s.index = nil
			return err
		}
	}
	err := s.drain(ctx, s.from)
	s.index = nil
	return err
}

// begin makes room for the first groups.
func (s *groupStage) begin() error {
	if len(s.x.groups) == 0 {
		return s.single()
	}
	s.index = map[string]int{}
	return nil
}

// drain gathers all rows of a stage.
func (s *groupStage) drain(ctx context.Context, from stage) error {
	if scan, ok := from.(*scanStage); ok {
		if err := s.fillStored(ctx, scan); err != nil {
			return err
		}
	}
	for {
		rows, err := from.next(ctx)
		if err != nil || rows == nil {
			return err
		}
		for _, row := range rows {
			if err := s.take(row, nil); err != nil {
				return err
			}
		}
	}
}

// find returns the group of a row.
func (s *groupStage) find(row []datum.Value) (int, error) {
	if s.index == nil {
		return 0, nil
	}
	for i, x := range s.x.groups {
		v, err := x(row, s.x.env)
		if err != nil {
			return 0, err
		}
		s.scratch[i] = v
	}
	s.key = appendHashes(s.key[:0], s.scratch)
	if at, known := s.index[string(s.key)]; known {
		return at, nil
	}
	at, err := s.add(s.scratch)
	s.index[string(s.key)] = at
	return at, err
}

// feed gives a row to all aggregates of its group.
func (s *groupStage) feed(row []datum.Value, states []state) error {
	for i := range states {
		if err := s.x.aggregates[i].add(&states[i], row, s.x.env, s.budget); err != nil {
			return err
		}
	}
	return nil
}
