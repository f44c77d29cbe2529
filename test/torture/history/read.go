package history

import "fmt"

// Read is a read that has begun.
type Read struct {
	h      *History
	who    string
	place  Place
	floors []int // versions that it must see, by unit of the place
}

// BeginRead records that a reader is about to ask for rows of a place. What has
// been acknowledged or seen by now, it must see.
func (h *History) BeginRead(who string, p Place) *Read {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.Reads++
	return &Read{h: h, who: who, place: p, floors: h.floors(p)}
}

func (h *History) floors(p Place) []int {
	floors := make([]int, len(h.units[p]))
	for i, u := range h.units[p] {
		floors[i] = h.states[u.index].visible
	}
	return floors
}

// Scan ends a read of all rows of the place.
func (r *Read) Scan(rows []Row) {
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	found := r.h.sort(r.who, r.place, rows)
	for i, floor := range r.floors {
		u := r.h.units[r.place][i]
		r.h.judge(r.who, u, found.of(u), floor, true)
	}
	for i := len(r.floors); i < len(r.h.units[r.place]); i++ {
		u := r.h.units[r.place][i]
		r.h.judge(r.who, u, found.of(u), 0, true)
	}
}

// Key ends a read of one key; row is nil when there was none.
func (r *Read) Key(id int64, row *Row) {
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	u := r.h.unit(r.place, id/unitStride)
	if u == nil || id%unitStride >= int64(u.rows) {
		if row != nil {
			r.h.fail(Phantom, "%s found a row with key %d of %s, which nobody has written", r.who, id, r.place)
		}
		return
	}
	if row != nil && row.ID != id {
		r.h.fail(Twofold, "%s asked %s for key %d and got %d", r.who, r.place, id, row.ID)
		return
	}
	at := int(id % unitStride)
	floor := 0
	if u.local < len(r.floors) {
		floor = r.floors[u.local]
	}
	if row == nil {
		r.h.absent(r.who, u, at, floor)
		return
	}
	r.h.row(r.who, u, row, floor)
}

// sorted is the rows of a place by unit.
type sorted struct{ rows [][]*Row }

func (s sorted) of(u *Unit) []*Row {
	if u.local >= len(s.rows) || s.rows[u.local] == nil {
		return make([]*Row, u.rows)
	}
	return s.rows[u.local]
}

// sort puts rows beside the units that they belong to. Unknown keys, keys that
// come twice and rows of others are violations. h.mu is held.
func (h *History) sort(who string, p Place, rows []Row) sorted {
	units := h.units[p]
	byID := make(map[int64]*Unit, len(units))
	for _, u := range units {
		byID[u.id] = u
	}
	s := sorted{rows: make([][]*Row, len(units))}
	for i := range rows {
		row := &rows[i]
		if row.Owner != p.Scope {
			h.fail(Leak, "%s found in %s a row with key %d and operation %d that belongs to %q", who, p, row.ID, row.Op, row.Owner)
			continue
		}
		u := byID[row.ID/unitStride]
		if u == nil || row.ID < 0 || row.ID%unitStride >= int64(u.rows) {
			h.fail(Phantom, "%s found in %s a row with key %d and operation %d, a key that nobody has written", who, p, row.ID, row.Op)
			continue
		}
		if s.rows[u.local] == nil {
			s.rows[u.local] = make([]*Row, u.rows)
		}
		at := row.ID % unitStride
		if other := s.rows[u.local][at]; other != nil {
			h.fail(Twofold, "%s found key %d of %s twice, of operations %d and %d", who, row.ID, p, other.Op, row.Op)
		}
		s.rows[u.local][at] = row
	}
	return s
}

// judge looks at all rows of a unit, seen at one moment, and returns the version
// that they are of. What seen rows say is known from now on. h.mu is held.
func (h *History) judge(who string, u *Unit, rows []*Row, floor int, seen bool) int {
	s := &h.states[u.index]
	low, high := -1, -1
	lost := false
	for at, row := range rows {
		var version int
		if row == nil {
			version = h.absent(who, u, at, floor)
		} else {
			version = h.row(who, u, row, floor)
		}
		if version < 0 {
			lost = true
			continue
		}
		if low < 0 || version < low {
			low = version
		}
		high = max(high, version)
	}
	if lost {
		return max(high, floor)
	}
	if s.present(low) != s.present(high) || s.present(high) && low != high {
		h.fail(Torn, "%s found a part of an operation: rows of %s are of %s and of %s", who, u, s.describe(low), s.describe(high))
	}
	if seen && s.present(high) {
		h.saw(s, high)
	}
	return high
}

// saw notes that a version was seen: later reads see it too, and if the table
// is synced, so do those after a crash. h.mu is held.
func (h *History) saw(s *state, version int) {
	s.visible = max(s.visible, version)
	s.settled = max(s.settled, version)
	if !h.relaxed(s.unit.place) {
		s.durable = max(s.durable, version)
		h.harden(s.log[version-1].lazy)
	}
}

// row returns the version that a row is of, or -1 after a violation. h.mu is
// held.
func (h *History) row(who string, u *Unit, row *Row, floor int) int {
	s := &h.states[u.index]
	switch {
	case row.Owner != u.place.Scope:
		h.fail(Leak, "%s found in %s a row with key %d and operation %d that belongs to %q", who, u.place, row.ID, row.Op, row.Owner)
		return -1
	case s.version(row.Op) < 0:
		h.fail(Phantom, "%s found key %d of %s with %s", who, row.ID, u.place, h.never(row.Op))
		return -1
	}
	version := s.version(row.Op)
	if !s.present(version) {
		h.fail(Phantom, "%s found key %d of %s with the number of %s", who, row.ID, u.place, s.describe(version))
		return -1
	}
	if version < floor {
		h.fail(Lost, "%s found key %d of %s at %s; it should be at %s or later", who, row.ID, u.place, s.describe(version), s.describe(floor))
		return -1
	}
	h.number(who, s, row, version)
	h.saw(s, version)
	return version
}

// never says why nobody should have seen an operation.
func (h *History) never(number int64) string {
	if why, ok := h.refused[number]; ok {
		return fmt.Sprintf("operation %d, which %s", number, why)
	}
	return fmt.Sprintf("operation %d, which was never sent for it", number)
}

// number compares the _seq of a row with those that are known of its unit.
// h.mu is held.
func (h *History) number(who string, s *state, row *Row, version int) {
	if row.Seq == 0 {
		return
	}
	h.tell(s.unit.place, row.Seq)
	at := int(row.ID % unitStride)
	if version > s.seqOf {
		for _, seq := range s.seqs {
			if seq >= row.Seq {
				h.fail(Reorder, "%s found key %d of %s at _seq %d, below or at that of the version before, %d", who, row.ID, s.unit.place, row.Seq, seq)
				break
			}
		}
		s.seqOf, s.seqs = version, make([]uint64, s.unit.rows)
	}
	known := uint64(0)
	if s.seqs != nil {
		known = s.seqs[at]
	}
	switch {
	case version < s.seqOf:
		if known != 0 && row.Seq >= known {
			h.fail(Reorder, "%s found key %d of %s at _seq %d, above that of a later version, %d", who, row.ID, s.unit.place, row.Seq, known)
		}
	case known == 0:
		seqs := append([]uint64(nil), s.seqs...) // forks share the old ones
		seqs[at] = row.Seq
		s.seqs = seqs
	case known != row.Seq:
		h.fail(Twofold, "%s found key %d of %s, operation %d, at _seq %d; before it was at %d", who, row.ID, s.unit.place, row.Op, row.Seq, known)
	}
}

// tell notes that somebody was told of a change. h.mu is held.
func (h *History) tell(p Place, seq uint64) {
	if !h.relaxed(p) {
		h.sure = max(h.sure, seq)
	}
}

// absent returns the version that a missing row is of, or -1 after a violation.
// h.mu is held.
func (h *History) absent(who string, u *Unit, at, floor int) int {
	s := &h.states[u.index]
	first, _ := s.absence(floor)
	if first < 0 {
		h.fail(Lost, "%s did not find key %d of %s; it should be at %s or later", who, u.id*unitStride+int64(at), u.place, s.describe(floor))
		return -1
	}
	return first
}
