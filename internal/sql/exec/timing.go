package exec

import (
	"context"
	"time"

	"kalamdb/internal/datum"
)

// Timing says what one step of the row path has given, and how long that took,
// the steps below it included.
type Timing struct {
	Step string
	Rows int64
	Time time.Duration
}

// timedStage measures a stage. It stands in the chain only when that is asked
// for.
type timedStage struct {
	from stage
	to   *Timing
}

func (s *timedStage) next(ctx context.Context) ([][]datum.Value, error) {
	begin := time.Now()
	rows, err := s.from.next(ctx)
	s.to.Time += time.Since(begin)
	s.to.Rows += int64(len(rows))
	return rows, err
}

func (s *timedStage) close() { s.from.close() }

// timed measures a stage when the execution is timed.
func (x *execution) timed(step string, s stage) stage {
	if !x.timing {
		return s
	}
	t := &Timing{Step: step}
	x.timings = append(x.timings, t)
	return &timedStage{s, t}
}

// Timings returns what the steps of the row path have taken so far, the first
// one first: none unless Limits asked for them.
func (r *Result) Timings() []Timing {
	if r.execution == nil {
		return nil
	}
	out := make([]Timing, len(r.execution.timings))
	for i, t := range r.execution.timings {
		out[i] = *t
	}
	return out
}

func orStep(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}
