package history

import (
	"fmt"
	"slices"
	"strings"
)

// Event is one change as a subscriber was told it.
type Event struct {
	Kind Kind
	// Row is the new row; of a delete its key, and its _seq that of the delete.
	// Owner and Op of a delete may be empty.
	Row Row
}

// copied is what a subscriber has of one row. Where the row is not there, it may
// be of any version from version to top: nobody can tell them apart.
type copied struct {
	version, top int
	present      bool
	seq          uint64
	stale        bool // a difference, or pages of later moments, may have skipped some versions
	touched      bool // changed since the last mark
}

// Subscription is a subscriber of all rows of a place and the copy that he keeps.
type Subscription struct {
	h        *History
	name     string
	place    Place
	floors   []int // of the moment it began, while its snapshot comes
	rows     [][]copied
	loading  bool // the snapshot has not come as a whole
	paged    bool
	fresh    bool   // no change has come since the snapshot
	marked   bool   // its mark has
	last     uint64 // _seq of the last change
	position uint64 // where it can be resumed
	from     uint64 // where it was
	lost     string // what it has seen and a crash has taken back
	adrift   bool   // a crash may have taken back its position, that of a relaxed operation
	recent   []told // the last things that it was told, oldest first
}

// recentMost is how many things a violation repeats.
const recentMost = 40

// told is one thing that a subscriber was told.
type told struct {
	what    string
	key, op int64
	seq     uint64
}

// note remembers one thing.
func (s *Subscription) note(what string, row Row) {
	if len(s.recent) == recentMost {
		s.recent = append(s.recent[:0:0], s.recent[recentMost/2:]...)
	}
	s.recent = append(s.recent, told{what: what, key: row.ID, op: row.Op, seq: row.Seq})
}

// fail notes a violation together with what came before. h.mu is held.
func (s *Subscription) fail(c Class, format string, args ...any) {
	var before strings.Builder
	for _, t := range s.recent {
		fmt.Fprintf(&before, "\n    %s key %d operation %d at %d", t.what, t.key, t.op, t.seq)
	}
	s.h.fail(c, "%s; it was told before:%s", fmt.Sprintf(format, args...), before.String())
}

// Subscribe records that a subscription is about to be opened, with a snapshot.
// One of the same name is forgotten.
func (h *History) Subscribe(name string, p Place) *Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &Subscription{h: h, name: name, place: p, loading: true, floors: h.floors(p)}
	h.subs[name] = s
	return s
}

// Subscription returns the subscription of a name in this history, nil when there is
// none. After a Fork it is how a subscriber's state is found in the fork.
func (h *History) Subscription(name string) *Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.subs[name]
}

// Unsubscribe forgets a subscription.
func (s *Subscription) Unsubscribe() {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if s.h.subs[s.name] == s {
		delete(s.h.subs, s.name)
	}
}

// Name returns what the subscription is called.
func (s *Subscription) Name() string { return s.name }

// Place returns what the subscription is of.
func (s *Subscription) Place() Place { return s.place }

// Position returns the position to resume at: the greatest of all that came. It
// reports false while the snapshot is not complete.
func (s *Subscription) Position() (uint64, bool) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	return s.position, !s.loading
}

// Snapshot takes rows of the snapshot, or of the difference after Resume. more
// says that further pages follow; they may be of later moments.
func (s *Subscription) Snapshot(rows []Row, more bool) {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	s.paged = s.paged || more
	s.note(fmt.Sprintf("page of %d, more %v", len(rows), more), Row{})
	found := h.sort(s.name, s.place, rows)
	for _, row := range rows {
		s.position = max(s.position, row.Seq)
	}
	for _, u := range h.units[s.place] {
		s.load(u, found.of(u))
	}
	if !more {
		s.loaded()
	}
}

// load takes the rows of one unit from a page. The one page of a snapshot shows
// one moment; of later pages and of differences only the rows themselves tell.
// h.mu is held.
func (s *Subscription) load(u *Unit, rows []*Row) {
	whole := s.floors != nil && !s.paged
	if whole {
		s.h.judge(s.name, u, rows, s.floor(u), true)
	}
	state, have := &s.h.states[u.index], s.of(u)
	for at, row := range rows {
		if row == nil {
			continue
		}
		version := state.version(row.Op)
		if !whole {
			version = s.h.row(s.name, u, row, 0)
		}
		if version < 0 {
			continue
		}
		if version < have[at].version {
			s.fail(Reorder, "%s got key %d of %s in a snapshot at %s, after it had been at %s", s.name, row.ID, s.place,
				state.describe(version), state.describe(have[at].version))
		}
		have[at] = copied{version: version, top: version, present: true, seq: row.Seq, stale: s.paged, touched: true}
	}
}

// floor returns the version of a unit that the snapshot must show. h.mu is held.
func (s *Subscription) floor(u *Unit) int {
	if u.local < len(s.floors) {
		return s.floors[u.local]
	}
	return 0
}

// loaded ends a snapshot: rows that did not come are not there. h.mu is held.
func (s *Subscription) loaded() {
	s.loading, s.fresh, s.marked = false, true, false
	if s.floors == nil {
		return // a difference
	}
	for _, u := range s.h.units[s.place] {
		state := &s.h.states[u.index]
		floor := s.floor(u)
		have := s.of(u)
		for at := range have {
			if have[at].present {
				if s.paged && have[at].version < floor {
					s.fail(Lost, "%s got a snapshot with key %d of %s at %s; it should be at %s or later", s.name, u.id*unitStride+int64(at), s.place,
						state.describe(have[at].version), state.describe(floor))
				}
				continue
			}
			first, last := state.absence(floor)
			if s.paged || first < 0 {
				first, last = floor, max(floor, last) // a change may have taken it from its page, and is to come before the mark
			}
			have[at] = copied{version: first, top: last, stale: s.paged}
		}
	}
	s.floors = nil
}

// of returns the copies of a unit's rows. h.mu is held.
func (s *Subscription) of(u *Unit) []copied {
	for len(s.rows) <= u.local {
		s.rows = append(s.rows, make([]copied, s.h.units[s.place][len(s.rows)].rows))
	}
	return s.rows[u.local]
}

// Resume records that the subscription was accepted again at Position. With
// replay every change after it is to come, else the difference, in Snapshot and
// then deletes.
func (s *Subscription) Resume(replay bool) {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.Resumes++
	s.note(fmt.Sprintf("resumed, replay %v", replay), Row{Seq: s.position})
	if s.lost != "" {
		s.fail(Gap, "%s was resumed at %d although it has seen what a crash has taken back: %s", s.name, s.position, s.lost)
		s.lost = ""
	}
	if s.adrift { // the crash has left its position
		s.adrift, h.sure = false, max(h.sure, s.position)
	}
	s.last, s.loading, s.paged, s.from = 0, !replay, false, s.position
	if replay {
		s.last = s.position
	}
	for _, rows := range s.rows {
		for i := range rows {
			c := &rows[i]
			c.stale = c.stale || !replay || s.fresh && !c.present
			if replay && s.fresh && !s.marked && !c.present {
				c.version = 0 // the last change of a row that is not there has no _seq in a snapshot: it comes again, and those before
			}
		}
	}
}

// Expired records that the subscription was refused with the error that says
// that it cannot be resumed at Position. It begins anew with Subscribe. Positions
// belong to all tables: the snapshot of a synced one may stand at a relaxed
// operation on another, and is refused with it.
func (s *Subscription) Expired() {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.Expired++
	if s.lost == "" && !s.adrift && !h.o.MayExpire && !h.relaxed(s.place) {
		s.fail(Gap, "%s was told that position %d has expired although nothing was lost", s.name, s.position)
	}
}

// Event takes one change.
func (s *Subscription) Event(e Event) {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.Events++
	s.note(e.Kind.String(), e.Row)
	u := h.unit(s.place, e.Row.ID/unitStride)
	switch {
	case e.Row.Owner != s.place.Scope && (e.Kind != Delete || e.Row.Owner != ""):
		s.fail(Leak, "%s of %s was told the %s of key %d, operation %d, of %q", s.name, s.place, e.Kind, e.Row.ID, e.Row.Op, e.Row.Owner)
		return
	case u == nil || e.Row.ID%unitStride >= int64(u.rows):
		s.fail(Phantom, "%s was told the %s of key %d of %s, which nobody has written", s.name, e.Kind, e.Row.ID, s.place)
		return
	}
	have := &s.of(u)[e.Row.ID%unitStride]
	if e.Row.Seq <= s.last {
		class, what := Reorder, "after a later change"
		if e.Row.Seq == s.last || e.Row.Seq == have.seq {
			class, what = Duplicate, "twice"
		}
		s.fail(class, "%s was told the %s of key %d of %s, operation %d, at _seq %d %s, %d", s.name, e.Kind, e.Row.ID, s.place, e.Row.Op, e.Row.Seq, what, s.last)
		return
	}
	s.last, s.fresh = e.Row.Seq, false
	s.position = max(s.position, e.Row.Seq)
	h.tell(s.place, e.Row.Seq)
	version := s.named(u, have, &e)
	if version < 0 {
		return
	}
	s.follow(u, have, &e, version)
	h.saw(&h.states[u.index], version)
	top := version
	if e.Kind == Delete && have.stale {
		_, top = h.states[u.index].absence(version) // which of its deletes it is, nobody can tell
	}
	*have = copied{version: version, top: top, present: e.Kind != Delete, seq: e.Row.Seq, touched: true}
}

// named returns the version that an event brings, or -1. h.mu is held.
func (s *Subscription) named(u *Unit, have *copied, e *Event) int {
	h, state := s.h, &s.h.states[u.index]
	if e.Kind != Delete {
		version := state.version(e.Row.Op)
		switch {
		case version < 0:
			s.fail(Phantom, "%s was told the %s of key %d of %s with %s", s.name, e.Kind, e.Row.ID, s.place, h.never(e.Row.Op))
			return -1
		case !state.present(version):
			s.fail(Phantom, "%s was told the %s of key %d of %s with the number of %s", s.name, e.Kind, e.Row.ID, s.place, state.describe(version))
			return -1
		}
		h.number(s.name, state, &e.Row, version)
		return version
	}
	for v := have.version + 1; v <= len(state.log); v++ {
		if !state.present(v) {
			return v
		}
	}
	if !have.present && (have.stale || have.top > have.version) {
		*have = copied{version: have.version, top: len(state.log), seq: e.Row.Seq}
		return -1
	}
	class := Phantom
	if !have.present {
		class = Duplicate
	}
	s.fail(class, "%s was told the delete of key %d of %s, which it has at %s, and no later delete was sent", s.name, e.Row.ID, s.place, state.describe(have.version))
	return -1
}

// follow compares the version that an event brings with the one before. h.mu is
// held.
func (s *Subscription) follow(u *Unit, have *copied, e *Event, version int) {
	state := &s.h.states[u.index]
	switch {
	case version <= have.version && !(version == have.version && !have.present && have.stale):
		class := Reorder
		if version == have.version {
			class = Duplicate
		}
		s.fail(class, "%s was told %s of key %d of %s although it had been told %s", s.name, state.describe(version), e.Row.ID, s.place, state.describe(have.version))
	case have.stale:
	case version > have.top+1:
		s.fail(Gap, "%s was told %s of key %d of %s after %s and not what lies between, %s to %s (known to have happened up to %s)", s.name, state.describe(version), e.Row.ID, s.place,
			state.describe(have.version), state.describe(have.version+1), state.describe(version-1), state.describe(state.settled))
	case e.Kind != state.log[version-1].kind:
		s.fail(Phantom, "%s was told an %s of key %d of %s, but it is %s", s.name, e.Kind, e.Row.ID, s.place, state.describe(version))
	}
}

// Mark takes the word of the server that everything up to a position was sent:
// no operation is there in part.
func (s *Subscription) Mark(position uint64) {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.loading {
		return
	}
	s.note("mark", Row{Seq: position})
	if position < s.last {
		s.fail(Reorder, "%s got the mark of commit %d after a change at %d", s.name, position, s.last)
	}
	s.position = max(s.position, position)
	if position == s.from {
		return // it was resumed within a commit, the rest of which follows
	}
	s.marked = true
	s.whole()
	for local, rows := range s.rows {
		state := &h.states[h.units[s.place][local].index]
		for i := range rows {
			c := &rows[i]
			if c.stale && !c.present {
				s.missing(state, c, i)
			}
			c.stale, c.touched = false, false
		}
	}
}

// unsure reports whether rows may be missing from the copy whose last change has
// a greater _seq than any that came: without the mark nobody can tell. h.mu is
// held.
func (s *Subscription) unsure() bool {
	late := func(c copied) bool { return c.stale && !c.present }
	return !s.marked && (s.fresh || slices.ContainsFunc(s.rows, func(rows []copied) bool { return slices.ContainsFunc(rows, late) }))
}

// missing settles at a mark since when a row has not been there. h.mu is held.
func (s *Subscription) missing(state *state, c *copied, at int) {
	first, last := state.absence(c.version)
	if first < 0 {
		s.fail(Gap, "%s got a mark and lacks key %d of %s, which should be at %s or later", s.name, state.unit.id*unitStride+int64(at), s.place, state.describe(c.version))
		return
	}
	c.version, c.top = first, max(c.top, last) // it may have come and gone
}

// whole reports units of which the copy has a part of an operation only. h.mu is
// held.
func (s *Subscription) whole() {
	for local, rows := range s.rows {
		u := s.h.units[s.place][local]
		if len(rows) < 2 || !slices.ContainsFunc(rows, func(c copied) bool { return c.touched }) {
			continue
		}
		state := &s.h.states[u.index]
		for _, c := range rows[1:] {
			first := rows[0]
			if c.present == first.present && (c.version == first.version || !c.present) {
				continue
			}
			s.fail(Torn, "%s has rows of %s of %s and of %s although the commit was sent", s.name, u, state.describe(first.version), state.describe(c.version))
			break
		}
	}
}

// Quiet compares the copy with the rows that are there. No operation may be on
// its way, and the subscriber must have been told everything.
func (s *Subscription) Quiet(rows []Row) {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.loading {
		s.fail(Gap, "%s never got the rest of its snapshot of %s", s.name, s.place)
		return
	}
	found := h.sort(s.name, s.place, rows)
	for _, u := range h.units[s.place] {
		have := s.of(u)
		for at, row := range found.of(u) {
			key := u.id*unitStride + int64(at)
			state := &h.states[u.index]
			switch c := &have[at]; {
			case row == nil && c.present:
				s.fail(Gap, "%s still has key %d of %s at %s; it is gone", s.name, key, s.place, state.describe(c.version))
			case row != nil && !c.present:
				s.fail(Gap, "%s does not have key %d of %s, which is there with operation %d", s.name, key, s.place, row.Op)
			case row != nil && state.version(row.Op) != c.version:
				s.fail(Gap, "%s has key %d of %s at %s; it is there with operation %d", s.name, key, s.place, state.describe(c.version), row.Op)
			case row != nil && row.Seq != 0 && c.seq != 0 && row.Seq != c.seq:
				s.fail(Twofold, "%s has key %d of %s at _seq %d; it is there at %d", s.name, key, s.place, c.seq, row.Seq)
			}
		}
	}
}

// Reached reports whether all rows of an operation's unit are at its version or a
// later one in the copy.
func (s *Subscription) Reached(op Op) bool {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	version := h.states[op.Unit.index].version(op.Number)
	for _, c := range s.of(op.Unit) {
		if c.version < version {
			return false
		}
	}
	return version > 0 && !s.loading
}
