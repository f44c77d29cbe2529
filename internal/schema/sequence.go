package schema

import "math"

// Sequence gives numbers one after another. Its state is kept apart, so that a
// number drawn changes no definition.
type Sequence struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Start     int64  `json:"start"`
	Increment int64  `json:"increment"`
	Min       int64  `json:"min"`
	Max       int64  `json:"max"`
	Cycle     bool   `json:"cycle,omitempty"`
	// Table and Column own the sequence of a SERIAL column: it goes with them.
	Table     TableID  `json:"table,omitempty"`
	Column    ColumnID `json:"column,omitempty"`
	CreatedAt int64    `json:"created_at"` // microseconds since the Unix epoch
}

// QualifiedName returns namespace.sequence.
func (s *Sequence) QualifiedName() string { return s.Namespace + "." + s.Name }

// SequenceState is how far a sequence has come.
type SequenceState struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Next is the number to give out next; Ended says that there is none.
	Next  int64 `json:"next"`
	Ended bool  `json:"ended,omitempty"`
	// Drawn says that a number has been drawn since the start, the last RESTART
	// or setval: Next stands a step behind it.
	Drawn bool `json:"drawn,omitempty"`
}

// QualifiedName returns namespace.sequence.
func (s *SequenceState) QualifiedName() string { return s.Namespace + "." + s.Name }

// Draw takes up to n numbers, the first of which it returns with how many they
// are, and moves the state behind them. None are left when it returns 0.
func (s *Sequence) Draw(state *SequenceState, n int64) (first, count int64) {
	if state.Ended {
		if !s.Cycle {
			return 0, 0
		}
		state.Ended, state.Next = false, s.Min
		if s.Increment < 0 {
			state.Next = s.Max
		}
	}
	first, state.Drawn = state.Next, true
	room := uint64(0) // how many more follow the first
	if s.Increment > 0 {
		room = (uint64(s.Max) - uint64(first)) / uint64(s.Increment)
	} else {
		room = (uint64(first) - uint64(s.Min)) / (-uint64(s.Increment))
	}
	count = n
	if uint64(n-1) >= room {
		count = int64(min(room, math.MaxInt64-1)) + 1
		state.Ended = true
	} else {
		state.Next = first + n*s.Increment
	}
	return first, count
}
