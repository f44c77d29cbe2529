package torture

import (
	"fmt"
	"maps"
	"slices"

	kalam "kalamdb/sdk/go"
)

// liveEvent is one thing that a subscriber of rows was told.
type liveEvent struct {
	kind        kalam.Kind
	id, op      int64
	seq, resume uint64
	unit        int32 // of the group; 0 without one
}

// liveMode is what a subscriber is being told.
type liveMode int8

const (
	liveLoading    liveMode = iota // rows that add up at Ready
	liveStrict                     // every change, one by one
	liveDifference                 // what differs after a gap, up to Ready
)

// next returns the mode in which an event is to be taken, and that behind it.
func (m liveMode) next(e *liveEvent) (of, then liveMode) {
	switch {
	case e.kind == kalam.Ready:
		return m, liveStrict
	case m == liveStrict && (e.kind == kalam.Snapshot || e.resume < e.seq):
		return liveDifference, liveDifference
	}
	return m, m
}

// version returns what an event tells of, nil if that never took place.
func (p *livePlace) version(e *liveEvent) *liveVersion {
	v := p.byOp[[2]int64{e.id, e.op}]
	if v != nil && e.kind == kalam.Delete {
		return v.next
	}
	return v
}

// learn takes the numbers of versions from what a subscriber was told.
func (s *liveSub) learn(m *liveModel, log []liveEvent) {
	mode := s.mode
	for i := range log {
		e := &log[i]
		var of liveMode
		of, mode = mode.next(e)
		if e.kind == kalam.Ready || e.kind == kalam.Delete && of != liveStrict {
			continue
		}
		v := s.place.version(e)
		if v == nil {
			m.violate(livePhantom, "%s was told (%s) of operation %d of row %d, which never took place", s.name, e.kind, e.op, e.id)
			s.broken = true
			return
		}
		m.learn(v, e.seq, s.name)
	}
}

// liveExpected is a change that a subscriber is to be told.
type liveExpected struct {
	kind kalam.Kind
	v    *liveVersion
	op   int64 // of the row that is shown
}

// peek finds the next change that concerns the subscriber, without taking it.
func (s *liveSub) peek() (x liveExpected, at int, ok bool) {
	for at = s.at; at < len(s.place.order); at++ {
		v := s.place.order[at]
		was := v.prev != nil && s.filter.matches(v.prev.row)
		is := s.filter.matches(v.row)
		switch {
		case was && is, is && v.prev != nil && v.prev.row != nil:
			return liveExpected{kalam.Update, v, v.op}, at, true
		case is:
			return liveExpected{kalam.Insert, v, v.op}, at, true
		case was:
			return liveExpected{kalam.Delete, v, v.prev.op}, at, true
		}
	}
	return x, at, false
}

// pass takes a change as told.
func (s *liveSub) pass(x liveExpected, at int) {
	s.at = at + 1
	if x.kind == kalam.Delete {
		delete(s.state, x.v.id)
	} else {
		s.state[x.v.id] = x.op
	}
}

// judge compares what was told since the last time with what took place.
// settled says that nothing more is to come.
func (s *liveSub) judge(m *liveModel, log []liveEvent, settled bool) {
	for i := range log {
		e := &log[i]
		var of liveMode
		of, s.mode = s.mode.next(e)
		switch {
		case s.broken:
			m.trace(s, log, i-1)
			return
		case of == liveStrict && e.kind == kalam.Ready && !s.replay: // nothing differs
			s.complete(m, e)
		case of == liveStrict && e.kind == kalam.Ready:
			if x, _, ok := s.peek(); ok && x.v.seq <= e.resume {
				s.fail(m, liveGap, "was told that all up to %d is told, and not of operation %d of row %d (%s) at %d", e.resume, x.v.op, x.v.id, x.kind, x.v.seq)
			}
		case of == liveStrict:
			s.strict(m, log, i)
		case e.kind == kalam.Ready:
			s.complete(m, e)
		case e.kind == kalam.Delete:
			s.gather()
			delete(s.told, e.id)
		default:
			s.gather()
			s.told[e.id] = e.op
		}
	}
	if !settled || s.broken {
		return
	}
	if s.mode != liveStrict {
		s.fail(m, liveGap, "was never told that it has everything")
	} else if x, _, ok := s.peek(); ok {
		s.fail(m, liveGap, "was not told of operation %d of row %d (%s) at %d", x.v.op, x.v.id, x.kind, x.v.seq)
	}
}

// trace notes what a subscriber was told around a violation.
func (m *liveModel) trace(s *liveSub, log []liveEvent, at int) {
	for i := max(at-6, 0); i < min(at+6, len(log)); i++ {
		e := &log[i]
		m.traces = append(m.traces, fmt.Sprintf("%s: replay %v, event %d of %d: %s of row %d, operation %d at %d, resume %d, unit %d", s.name, s.replay, i, len(log), e.kind, e.id, e.op, e.seq, e.resume, e.unit))
	}
}

// gather begins a copy of the rows, for a difference to change.
func (s *liveSub) gather() {
	if s.told == nil {
		s.told = maps.Clone(s.state)
	}
}

// strict takes a change that must be the next one.
func (s *liveSub) strict(m *liveModel, log []liveEvent, i int) {
	e := &log[i]
	x, at, ok := s.peek()
	v := s.place.version(e)
	if ok && v == x.v && e.kind == x.kind && e.op == x.op {
		if s.group && i > 0 && s.last == v.commit && log[i-1].unit != e.unit && log[i-1].kind != kalam.Ready {
			s.fail(m, liveTorn, "was told the commit at %d in two units", v.commit.position)
			return
		}
		s.last = v.commit
		s.pass(x, at)
		return
	}
	told := func(y *liveEvent) bool { return s.place.version(y) == x.v && y.kind == x.kind }
	switch {
	case v.at < s.at:
		s.fail(m, liveDuplicate, "was told (%s) of operation %d of row %d at %d, behind %d", e.kind, e.op, e.id, e.seq, s.place.order[s.at-1].seq)
	case !ok:
		s.fail(m, liveWrong, "was told (%s) of operation %d of row %d, which does not concern it", e.kind, e.op, e.id)
	case v == x.v:
		s.fail(m, liveWrong, "was told of operation %d of row %d by %s, showing %d, instead of %s, showing %d", v.op, e.id, e.kind, e.op, x.kind, x.op)
	case slices.ContainsFunc(ptrs(log[i+1:]), told):
		s.fail(m, liveReorder, "was told (%s) of operation %d of row %d at %d before operation %d of row %d at %d", e.kind, v.op, e.id, e.seq, x.v.op, x.v.id, x.v.seq)
	default:
		s.fail(m, liveGap, "was told (%s) of operation %d of row %d at %d and never of operation %d of row %d (%s) at %d", e.kind, v.op, e.id, e.seq, x.v.op, x.v.id, x.kind, x.v.seq)
	}
}

func ptrs(log []liveEvent) []*liveEvent {
	all := make([]*liveEvent, len(log))
	for i := range log {
		all[i] = &log[i]
	}
	return all
}

// complete compares the rows of a snapshot, or with those of a difference, with
// what the query gives at the position that was named.
func (s *liveSub) complete(m *liveModel, e *liveEvent) {
	for {
		x, at, ok := s.peek()
		if !ok || x.v.seq > e.resume {
			s.at = max(s.at, min(at, len(s.place.order)))
			break
		}
		s.pass(x, at)
	}
	s.gather()
	if !maps.Equal(s.told, s.state) {
		s.fail(m, liveWrong, "has, when all up to %d is told, rows that are not the result: %s", e.resume, differ(s.told, s.state))
	}
	s.told = nil
}

// differ says what two sets of rows do not have in common.
func differ(has, want map[int64]int64) []string {
	var all []string
	for id, op := range want {
		if has[id] != op {
			all = append(all, liveText(id)+": has "+liveText(has[id])+", want "+liveText(op))
		}
	}
	for id, op := range has {
		if _, ok := want[id]; !ok {
			all = append(all, liveText(id)+": has "+liveText(op)+", want none")
		}
	}
	slices.Sort(all)
	return all[:min(len(all), 10)]
}

// liveTelling is an answer as it was told, and the moment that was named.
type liveTelling struct {
	position uint64
	digest   liveDigest
	sub      *liveSub
}

// judgeResults compares every answer that was told with that of the model at its
// moment.
func (x *liveMoment) judgeResults(m *liveModel, told []liveTelling) {
	slices.SortStableFunc(told, func(a, b liveTelling) int {
		switch {
		case a.position < b.position:
			return -1
		case a.position > b.position:
			return 1
		}
		return 0
	})
	answers := map[*liveResult]liveDigest{}
	var at uint64
	for _, t := range told {
		if t.sub.broken {
			continue
		}
		if t.position != at {
			at = t.position
			x.advance(at)
			clear(answers)
		}
		want, ok := answers[t.sub.result]
		if !ok {
			want, _ = t.sub.result.answer(x.states[0], x.states[1])
			answers[t.sub.result] = want
		}
		if want != t.digest {
			t.sub.fail(m, liveWrong, "was told an answer at %d that is not that of the query then", t.position)
		}
	}
}
