package catalog

import (
	"sync"
	"sync/atomic"

	"kalamdb/internal/fault"
	"kalamdb/internal/store"
)

// History says which positions can be replayed. It is immutable.
type History struct {
	// Floor is the position below which changes are forgotten.
	Floor uint64
	// Lost are positions that a crash took back.
	Lost []store.Range
}

// View is one moment: a snapshot of the engine, the definitions and the
// position of that moment. It is counted: whoever holds it calls Release once,
// and the last Release ends the snapshot.
type View struct {
	views       *Views
	snapshot    *store.Snapshot
	definitions *Definitions
	position    uint64
	history     History
	users       atomic.Int64
	prev, next  *View // neighbours among the open ones, under views.mu
}

// Views knows the open views, so that what the oldest one reads is kept.
type Views struct {
	mu struct {
		sync.Mutex
		oldest, newest *View
		open           int
	}
}

// Open returns a view, held by the caller, of a snapshot that it takes over.
// Views are opened in the order of their positions.
func (s *Views) Open(snapshot *store.Snapshot, d *Definitions, position uint64, h History) *View {
	v := &View{views: s, snapshot: snapshot, definitions: d, position: position, history: h}
	v.users.Store(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	v.prev = s.mu.newest
	if v.prev != nil {
		v.prev.next = v
	} else {
		s.mu.oldest = v
	}
	s.mu.newest = v
	s.mu.open++
	return v
}

// Oldest returns the position of the oldest open view. No file that a view of
// that position reads may be deleted.
func (s *Views) Oldest() (position uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.oldest == nil {
		return 0, false
	}
	return s.mu.oldest.position, true
}

// Count returns how many views are open.
func (s *Views) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.open
}

func (s *Views) remove(v *View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.prev != nil {
		v.prev.next = v.next
	} else {
		s.mu.oldest = v.next
	}
	if v.next != nil {
		v.next.prev = v.prev
	} else {
		s.mu.newest = v.prev
	}
	v.prev, v.next = nil, nil
	s.mu.open--
}

// Definitions returns the definitions of the moment.
func (v *View) Definitions() *Definitions { return v.definitions }

// Position returns the position of the last commit that the view shows.
func (v *View) Position() uint64 { return v.position }

// History returns which positions could be replayed at the moment.
func (v *View) History() History { return v.history }

// Reader returns the state as the rooms under internal/store read it.
func (v *View) Reader() store.Reader { return v.snapshot.Reader() }

// CheckCursor returns CURSOR_EXPIRED when the changes after a position cannot
// be given: they are forgotten, or a crash took the position back, or this
// database has never reached it.
func (v *View) CheckCursor(from uint64) error {
	const again = "subscribe again without a position"
	switch {
	case from < v.history.Floor:
		return fault.New(fault.CursorExpired, "position %d is older than %d, the first that can be resumed; %s",
			from, v.history.Floor, again)
	case from > v.position:
		return fault.New(fault.CursorExpired, "position %d lies ahead of the last one, %d; %s", from, v.position, again)
	}
	for _, lost := range v.history.Lost {
		if lost.Contains(from) {
			return fault.New(fault.CursorExpired, "position %d was lost in a crash; positions up to %d can be resumed; %s",
				from, lost.From, again)
		}
	}
	return nil
}

// Retain counts one user more. The caller holds the view already.
func (v *View) Retain() *View {
	fault.Assert(v.users.Add(1) > 1, "view retained after its end")
	return v
}

// TryRetain is Retain for a caller who may come too late; it reports whether
// he now holds the view.
func (v *View) TryRetain() bool {
	for {
		users := v.users.Load()
		if users == 0 {
			return false
		}
		if v.users.CompareAndSwap(users, users+1) {
			return true
		}
	}
}

// Release counts one user less; the last one ends the view. The error is the
// engine's, which has lost nothing by it.
func (v *View) Release() {
	left := v.users.Add(-1)
	fault.Assert(left >= 0, "view released too often")
	if left > 0 {
		return
	}
	v.views.remove(v)
	_ = v.snapshot.Close() // fails only when an iterator is still open
}
