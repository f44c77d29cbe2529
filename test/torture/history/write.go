package history

import "fmt"

// Present reports whether the rows of a unit are there. It reports false for
// known while the outcome of an operation on it is open: its writer must not go
// on before a crash or a settled state has told.
func (h *History) Present(u *Unit) (present, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.states[u.index]
	return s.present(len(s.log)), s.settled == len(s.log)
}

// Begin records that an operation is about to be sent and gives it its number.
func (h *History) Begin(u *Unit, k Kind) Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.states[u.index]
	if s.settled != len(s.log) {
		panic(fmt.Sprintf("an operation on %s while the outcome of %d is open", u, s.log[len(s.log)-1].number))
	}
	if s.present(len(s.log)) == (k == Insert) {
		panic(fmt.Sprintf("%s of %s, whose rows are there: %v", k, u, k == Insert))
	}
	h.next++
	h.counts.Sent++
	s.log = append(s.log, entry{h.next, k, h.past + len(h.lazy)})
	return Op{Unit: u, Number: h.next, Kind: k, lazy: h.past + len(h.lazy)}
}

// Acked records that an operation was acknowledged, and how many rows the
// answer has named.
func (h *History) Acked(op Op, rows int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.Acked++
	s := &h.states[op.Unit.index]
	version := s.version(op.Number)
	if version < 0 {
		h.fail(Phantom, "%s was acknowledged although it is known not to have happened", op)
		return
	}
	if rows != int64(op.Unit.rows) {
		h.fail(Lost, "%s changed %d rows, not %d", op, rows, op.Unit.rows)
	}
	s.settled = max(s.settled, version)
	s.visible = max(s.visible, version)
	if h.relaxed(op.Unit.place) {
		h.lazy = append(h.lazy, ref{op.Unit.index, version})
		return
	}
	s.durable = max(s.durable, version)
	h.harden(op.lazy)
}

// harden notes that the first n relaxed operations, counted from the beginning,
// lie before a commit that is on disk, and so are themselves.
func (h *History) harden(n int) {
	for ; h.past+h.firm < n; h.firm++ {
		r := h.lazy[h.firm]
		s := &h.states[r.unit]
		s.durable = max(s.durable, r.version)
	}
}

// Refused records that an operation was answered with an error that says it was
// not carried out.
func (h *History) Refused(op Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.Refused++
	s := &h.states[op.Unit.index]
	version := s.version(op.Number)
	switch {
	case version < 0:
		return
	case s.visible >= version:
		h.fail(Phantom, "%s was refused, but somebody has seen it", op)
		s.settled = version
		return
	}
	h.dropAbove(s, version-1, "was refused")
}

// Unknown records that nobody can tell whether an operation was carried out.
func (h *History) Unknown(Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.Unknown++
}

// String names an operation and what it is for.
func (op Op) String() string {
	return fmt.Sprintf("operation %d (%s of %s)", op.Number, op.Kind, op.Unit)
}

// dropAbove takes back the versions of a unit above one. h.mu is held.
func (h *History) dropAbove(s *state, version int, why string) {
	for _, e := range s.log[version:] {
		h.refused[e.number] = why
	}
	s.log = s.log[:version:version]
	s.settled, s.visible, s.durable = version, min(s.visible, version), min(s.durable, version)
	if s.seqOf > version {
		s.seqOf, s.seqs = 0, nil
	}
}

// present reports whether the rows are there in a version.
func (s *state) present(version int) bool {
	return version > 0 && s.log[version-1].kind != Delete
}

// version returns the one that an operation has made, or -1.
func (s *state) version(number int64) int {
	for i := len(s.log) - 1; i >= 0 && s.log[i].number >= number; i-- {
		if s.log[i].number == number {
			return i + 1
		}
	}
	return -1
}

// absence returns the first and the last version from low on without rows, or
// -1 when there is none.
func (s *state) absence(low int) (first, last int) {
	first, last = -1, -1
	for v := low; v <= len(s.log); v++ {
		if s.present(v) {
			continue
		}
		if first < 0 {
			first = v
		}
		last = v
	}
	return first, last
}

// describe names what a version of a unit is.
func (s *state) describe(version int) string {
	if version == 0 {
		return "nothing"
	}
	e := s.log[version-1]
	return fmt.Sprintf("operation %d (%s)", e.number, e.kind)
}
