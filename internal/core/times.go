package core

import (
	"sort"
	"sync/atomic"
	"time"

	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// statementKind groups statements in figures.
type statementKind uint8

// The kinds of statements.
const (
	kindOther statementKind = iota
	kindSelect
	kindInsert
	kindUpdate
	kindDelete
	kinds
)

func (k statementKind) String() string {
	return [kinds]string{"other", "select", "insert", "update", "delete"}[k]
}

// kindOf returns the kind of a plan; nil is that of a statement that was not
// understood.
func kindOf(p *prepared) statementKind {
	switch {
	case p == nil:
		return kindOther
	case p.query != nil || p.analytic != nil:
		return kindSelect
	case p.insert != nil:
		return kindInsert
	case p.update != nil:
		return kindUpdate
	case p.delete != nil:
		return kindDelete
	}
	if _, ok := p.statement.(*parse.Select); ok {
		return kindSelect
	}
	return kindOther
}

// timeBounds are the upper ends of the classes of statement times. It is never
// written.
var timeBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond,
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// times counts statements by kind, path and time.
type times [kinds][2]struct {
	classes [len(timeBounds) + 1]atomic.Uint64
	nanos   atomic.Int64
}

func (t *times) add(k statementKind, analytic bool, took time.Duration) {
	path := 0
	if analytic {
		path = 1
	}
	h := &t[k][path]
	h.classes[sort.Search(len(timeBounds), func(i int) bool { return took <= timeBounds[i] })].Add(1)
	h.nanos.Add(int64(took))
}

// StatementTimes is the histogram of the times that statements of a kind took on
// a path, from their beginning until their last row was handed out.
type StatementTimes struct {
	Kind    string // select, insert, update, delete, other
	Path    string // row or analytic
	Count   uint64
	Seconds float64            // of all
	Below   map[float64]uint64 // how many took no more than so many seconds
}

func (t *times) stats() []StatementTimes {
	var out []StatementTimes
	for k := range kinds {
		for path, name := range [...]string{"row", "analytic"} {
			h := &t[k][path]
			s := StatementTimes{Kind: k.String(), Path: name, Below: make(map[float64]uint64, len(timeBounds)), Seconds: time.Duration(h.nanos.Load()).Seconds()}
			for i := range h.classes {
				s.Count += h.classes[i].Load()
				if i < len(timeBounds) {
					s.Below[timeBounds[i].Seconds()] = s.Count
				}
			}
			if s.Count > 0 {
				out = append(out, s)
			}
		}
	}
	return out
}

// StatementStats says what runs and what has run.
type StatementStats struct {
	Running int
	Killed  int64 // by KILL QUERY
	Gone    int64 // because their callers went away
	Slow    int64 // written to the slow log
	Times   []StatementTimes
	Faults  map[fault.Code]int64 // statements that failed, by fault
}

func (s *statements) stats() StatementStats {
	out := StatementStats{
		Killed: s.killed.Load(), Gone: s.gone.Load(), Slow: s.slow.told.Load(), Times: s.times.stats(), Faults: map[fault.Code]int64{},
	}
	s.mu.Lock()
	out.Running = len(s.mu.running)
	s.mu.Unlock()
	for code, n := range s.faults {
		if v := n.Load(); v > 0 {
			out.Faults[code] = v
		}
	}
	return out
}
