package torture

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"kalamdb/test/torture/history"
)

// The classes of what the live run finds, beside those of the histories.
const (
	liveGap       = history.Gap
	liveDuplicate = history.Duplicate
	liveReorder   = history.Reorder
	livePhantom   = history.Phantom
	liveTorn      = history.Torn
	// liveWrong is a state that is not the result of the query.
	liveWrong history.Class = "wrong"
	// liveEnded is a subscription that the server ended for no reason.
	liveEnded history.Class = "ended"
)

// liveVersion is what one statement made of one row; row is nil for a delete.
type liveVersion struct {
	id, op     int64
	row        *liveRow
	prev, next *liveVersion
	commit     *liveCommit
	at         int // in place.order
	seq        uint64
	teller     string // who was told the seq first
}

// liveCommit is a statement or a transaction that took place.
type liveCommit struct {
	versions   []*liveVersion
	begin, end int64 // nanoseconds, between which it took place
	position   uint64
}

// livePlace is one partition of a table.
type livePlace struct {
	table, scope string // scope "" is a SHARED table
	heads        map[int64]*liveVersion
	byOp         map[[2]int64]*liveVersion
	fresh        []*liveVersion // whose order is not known yet
	order        []*liveVersion // by _seq
}

// liveModel is what is known of the tables: every commit by its acknowledged and,
// after a crash, by what was found of the others.
type liveModel struct {
	board *livePlace
	own   map[string]*livePlace

	mu         sync.Mutex
	fresh      []*liveCommit
	commits    int64
	versions   int64
	latest     uint64 // position of the last commit whose order is known
	begun      int64  // the latest begin of those
	violations []history.Violation
	label      string
	traces     []string // what was told around violations
}

func newLiveModel(users []string) *liveModel {
	place := func(table, scope string) *livePlace {
		return &livePlace{table: table, scope: scope, heads: map[int64]*liveVersion{}, byOp: map[[2]int64]*liveVersion{}}
	}
	m := &liveModel{board: place("live.board", ""), own: map[string]*livePlace{}}
	for _, u := range users {
		m.own[u] = place("live.own", u)
	}
	return m
}

func (m *liveModel) places() []*livePlace {
	all := []*livePlace{m.board}
	for _, p := range m.own {
		all = append(all, p)
	}
	return all
}

// violate notes a broken promise.
func (m *liveModel) violate(class history.Class, format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.violations = append(m.violations, history.Violation{Class: class, Text: m.label + ": " + fmt.Sprintf(format, args...)})
}

// liveChange is a change that a statement asks for.
type liveChange struct {
	place *livePlace
	id    int64
	op    int64
	row   *liveRow
}

// head returns the newest version of a row, nil for none.
func (m *liveModel) head(p *livePlace, id int64) *liveVersion {
	m.mu.Lock()
	defer m.mu.Unlock()
	return p.heads[id]
}

// took notes a commit that took place.
func (m *liveModel) took(changes []liveChange, begin, end int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &liveCommit{begin: begin, end: end}
	for _, ch := range changes {
		v := &liveVersion{id: ch.id, op: ch.op, row: ch.row, prev: ch.place.heads[ch.id], commit: c, at: -1}
		if v.prev != nil {
			v.prev.next = v
		}
		ch.place.heads[ch.id] = v
		ch.place.byOp[[2]int64{ch.id, ch.op}] = v
		ch.place.fresh = append(ch.place.fresh, v)
		c.versions = append(c.versions, v)
	}
	m.fresh = append(m.fresh, c)
	m.commits++
	m.versions += int64(len(changes))
}

// state returns the rows of a partition as they are.
func (p *livePlace) state() liveState {
	s := liveState{}
	for id, v := range p.heads {
		if v.row != nil {
			s[id] = v.row
		}
	}
	return s
}

// learn notes the _seq of a version as somebody was told it.
func (m *liveModel) learn(v *liveVersion, seq uint64, teller string) {
	switch {
	case v.seq == 0:
		v.seq, v.teller = seq, teller
	case v.seq != seq:
		m.violate(liveReorder, "%s was told that operation %d of row %d has _seq %d, %s that it has %d", teller, v.op, v.id, seq, v.teller, v.seq)
	}
}

// settle puts the new commits into their order, which subscribers have told, and
// checks that it is one: whole commits, none before one that was answered before
// it was asked for.
func (m *liveModel) settle() {
	for _, p := range m.places() {
		known := p.fresh[:0:0]
		for _, v := range p.fresh {
			if v.seq == 0 {
				m.violate(liveGap, "nobody was told of operation %d of row %d in %s %s, which took place", v.op, v.id, p.table, p.scope)
				continue
			}
			known = append(known, v)
		}
		slices.SortFunc(known, func(a, b *liveVersion) int { return cmp.Compare(a.seq, b.seq) })
		for _, v := range known {
			if n := len(p.order); n > 0 && p.order[n-1].seq >= v.seq {
				m.violate(liveReorder, "operation %d of row %d has _seq %d, not above the %d of operation %d", v.op, v.id, v.seq, p.order[n-1].seq, p.order[n-1].op)
			}
			v.at = len(p.order)
			p.order = append(p.order, v)
		}
		p.fresh = nil
	}
	m.settleCommits()
}

func (m *liveModel) settleCommits() {
	for _, c := range m.fresh {
		for _, v := range c.versions {
			c.position = max(c.position, v.seq)
		}
	}
	slices.SortFunc(m.fresh, func(a, b *liveCommit) int { return cmp.Compare(a.position, b.position) })
	for _, c := range m.fresh {
		first := slices.MinFunc(c.versions, func(a, b *liveVersion) int { return cmp.Compare(a.seq, b.seq) })
		if first.seq <= m.latest && first.seq > 0 {
			m.violate(liveTorn, "the commit at %d begins at %d, within the one at %d", c.position, first.seq, m.latest)
		}
		if m.begun > c.end {
			m.violate(liveReorder, "the commit at %d was answered %s before another in front of it was asked for", c.position, time.Duration(m.begun-c.end))
		}
		m.latest, m.begun = max(m.latest, c.position), max(m.begun, c.begin)
	}
	m.fresh = nil
}

// liveMoment replays the commits of a board and one partition, in their order.
type liveMoment struct {
	board, own    *livePlace
	states        [2]liveState
	boardAt, own0 int
}

func newLiveMoment(board, own *livePlace) *liveMoment {
	return &liveMoment{board: board, own: own, states: [2]liveState{{}, {}}}
}

// advance applies everything up to a position.
func (x *liveMoment) advance(position uint64) {
	apply := func(s liveState, p *livePlace, at int) int {
		for ; at < len(p.order) && p.order[at].seq <= position; at++ {
			v := p.order[at]
			if v.row == nil {
				delete(s, v.id)
			} else {
				s[v.id] = v.row
			}
		}
		return at
	}
	x.boardAt = apply(x.states[0], x.board, x.boardAt)
	x.own0 = apply(x.states[1], x.own, x.own0)
}
