package history

import (
	"maps"
	"slices"
)

// Look is all that can be read of a place while nobody writes.
type Look struct {
	Place Place
	// Scan is all rows in the order of keys.
	Scan []Row
	// Others are further ways to read all rows of the place, by a name for
	// reports: by key, by _seq.
	Others map[string][]Row
	// Count is what COUNT(*) says; negative when nobody has asked.
	Count int64
}

// Fork returns a copy that goes on by itself, with the violations and counts
// yet to come only. It is what is known when a disk is about to be cloned.
func (h *History) Fork(label string) *History {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := New(h.o)
	f.o.Label = label
	f.units = maps.Clone(h.units)
	f.states = slices.Clone(h.states)
	for i := range f.states {
		f.states[i].log = slices.Clip(f.states[i].log)
	}
	f.refused = maps.Clone(h.refused)
	f.next, f.firm, f.lazy, f.past, f.sure = h.next, h.firm, slices.Clip(h.lazy), h.past, h.sure
	for name, s := range h.subs {
		c := *s
		c.h = f
		c.floors, c.recent = slices.Clone(s.floors), slices.Clip(s.recent)
		c.rows = make([][]copied, len(s.rows))
		for i := range s.rows {
			c.rows[i] = slices.Clone(s.rows[i])
		}
		f.subs[name] = &c
	}
	return f
}

// Include adds to a fork what was sent in the history that it comes from since:
// the clone may have it or not.
func (h *History) Include(from *History) {
	from.mu.Lock()
	next, units, lazy := from.next, maps.Clone(from.units), slices.Clip(from.lazy)
	logs := make([][]entry, len(from.states))
	fresh := make([]*Unit, len(from.states))
	for i := range from.states {
		logs[i], fresh[i] = slices.Clip(from.states[i].log), from.states[i].unit
	}
	from.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next, h.units, h.lazy = next, units, lazy // logs count what lies before them in lazy
	for i, log := range logs {
		if i == len(h.states) {
			h.states = append(h.states, state{unit: fresh[i]})
		}
		h.states[i].log = log
		h.states[i].settled = min(h.states[i].settled, len(log))
	}
}

// Crashed takes the word that the database ended and was opened again, and what
// is there now. Operations on the way have happened or not; what was taken back
// must not come again. It settles all units of the places that were looked at.
func (h *History) Crashed(looks []Look) { h.settle("after a crash", looks, true) }

// Settled compares what is there with what must be, while nobody writes and
// without a crash. Operations of unknown outcome have happened or not.
func (h *History) Settled(when string, looks []Look) { h.settle(when, looks, false) }

func (h *History) settle(when string, looks []Look, crash bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range looks {
		h.agree(when, &looks[i])
		h.recover(when, &looks[i], crash)
	}
	if crash {
		h.prefix(when)
		h.past += len(h.lazy)
		h.lazy, h.firm = nil, 0
		h.forget(h.shortened(looks))
	}
	for i := range looks {
		for _, u := range h.units[looks[i].Place] {
			s := &h.states[u.index]
			// What the database has now, it had on its disk when it was opened.
			h.dropAbove(s, s.settled, "a crash has taken back")
			if crash || !h.relaxed(u.place) {
				s.durable = s.settled
			}
			s.visible = s.settled
		}
	}
}

// agree compares the ways to read a place. h.mu is held.
func (h *History) agree(when string, l *Look) {
	if l.Count >= 0 && l.Count != int64(len(l.Scan)) {
		h.fail(Twofold, "%s COUNT(*) of %s is %d, a scan finds %d rows", when, l.Place, l.Count, len(l.Scan))
	}
	byID := make(map[int64]Row, len(l.Scan))
	for _, row := range l.Scan {
		byID[row.ID] = row
	}
	for _, how := range slices.Sorted(maps.Keys(l.Others)) {
		rows := l.Others[how]
		if len(rows) != len(l.Scan) {
			h.fail(Twofold, "%s %s finds %d rows in %s, a scan %d", when, how, len(rows), l.Place, len(l.Scan))
		}
		for _, row := range rows {
			if other, ok := byID[row.ID]; !ok || other != row {
				h.fail(Twofold, "%s %s finds %+v in %s, a scan %+v", when, how, row, l.Place, other)
			}
		}
	}
}

// recover finds the version of each unit of a place. h.mu is held.
func (h *History) recover(when string, l *Look, crash bool) {
	found := h.sort(when, l.Place, l.Scan)
	for _, u := range h.units[l.Place] {
		s := &h.states[u.index]
		floor := s.visible
		if crash {
			floor = s.durable
		}
		before := s.settled
		s.settled = floor
		version := h.judge(when, u, found.of(u), floor, true)
		s.settled, s.perhaps = version, version
		if crash && !s.present(version) {
			// Which of its deletes has left nothing, nobody can tell.
			_, s.settled = s.absence(version)
		}
		if !crash && version < before {
			s.settled = before
		}
	}
}

// prefix reports relaxed operations that are missing although a later one is
// there: a crash takes back the newest ones only. h.mu is held.
func (h *History) prefix(when string) {
	most := h.firm
	var by string
	for i := range h.states {
		s := &h.states[i]
		if !s.present(s.settled) {
			continue
		}
		if e := s.log[s.settled-1]; e.lazy-h.past > most {
			most, by = e.lazy-h.past, Op{s.unit, e.number, e.kind, 0}.String()
		}
	}
	for _, r := range h.lazy[:min(most, len(h.lazy))] {
		s := &h.states[r.unit]
		if s.settled < r.version && r.version <= len(s.log) {
			h.fail(Lost, "%s %s of %s is missing although %s, which was sent after its answer, is there", when, s.describe(r.version), s.unit, by)
		}
	}
}

// shortened reports whether a crash may have taken back relaxed operations of
// the places that were looked at. h.mu is held.
func (h *History) shortened(looks []Look) bool {
	for i := range looks {
		for _, u := range h.units[looks[i].Place] {
			if s := &h.states[u.index]; h.relaxed(u.place) && s.perhaps < len(s.log) {
				return true
			}
		}
	}
	return false
}

// forget notes in each subscription what it has seen and a crash has taken back,
// and with relaxed operations whose positions may be lost. h.mu is held.
func (h *History) forget(relaxed bool) {
	for _, sub := range h.subs {
		sub.adrift = sub.adrift || relaxed && sub.position > h.sure
		if relaxed && h.relaxed(sub.place) && sub.unsure() {
			sub.loading = true // it begins anew
		}
		for local, rows := range sub.rows {
			s := &h.states[h.units[sub.place][local].index]
			for at := range rows {
				c := &rows[at]
				if c.version > s.settled && sub.lost == "" {
					sub.lost = s.describe(c.version) + " of " + s.unit.String()
				}
				c.top = max(c.version, min(c.top, s.settled))
				if !c.present && c.version >= s.perhaps {
					c.top = max(c.top, s.settled)
				}
			}
		}
	}
}
