package torture

import (
	"maps"
	"sync"

	"kalamdb/test/torture/history"
)

// follower is a subscriber of all rows of a place that outlives the server. What
// it is told goes to the history; it keeps a copy of its own only to know when
// it has been told enough.
type follower struct {
	run   *killRun
	name  string
	place *killPlace
	user  string
	// replay says that a resume asks for every change, not for the difference.
	replay bool
	// marks says that the server tells where commits end.
	marks bool

	mu       sync.Mutex
	sub      *history.Subscription
	rows     map[int64]int64 // operation by key
	position uint64          // to resume at; 0 is nothing yet
	// pending is a difference that may not be complete. Its deletes come last
	// and nothing tells their end to a client without marks: what was cut off
	// is forgotten and asked for again.
	pending *difference
	changed chan struct{} // closed and replaced when something was told
	lagged  int
	expired int
}

// difference is what a resume tells of a gap.
type difference struct {
	rows    []history.Row
	deletes []history.Event
}

func (r *killRun) newFollower(name string, place *killPlace, user string, replay bool) *follower {
	return &follower{run: r, name: name, place: place, user: user, replay: replay,
		rows: map[int64]int64{}, changed: make(chan struct{})}
}

// sql is what it subscribes to.
func (f *follower) sql() string { return "SELECT " + killColumns + ", note FROM " + f.place.Table }

// begin is called before the subscription is asked for with a snapshot.
func (f *follower) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sub = f.run.history.Subscribe(f.name, f.place.Place)
	f.rows, f.position, f.pending = map[int64]int64{}, 0, nil
}

// accepted is called when the server has taken a resume at f.position.
func (f *follower) accepted() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.replay {
		f.sub.Resume(true)
		return
	}
	f.pending = &difference{}
}

// broken is called when the connection has ended. It returns where to resume, 0
// for not at all.
func (f *follower) broken() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = nil
	if _, complete := f.sub.Position(); !complete {
		return 0
	}
	return f.position
}

// refusedResume is called when the server says that it cannot resume.
func (f *follower) refusedResume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sub.Expired()
	f.expired++
}

// page takes rows of a snapshot or of a difference.
func (f *follower) page(rows []history.Row, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.tell()
	if f.pending != nil {
		f.pending.rows = append(f.pending.rows, rows...)
		return
	}
	f.sub.Snapshot(rows, more)
	f.keep(rows)
}

// keep notes rows in the copy. f.mu is held.
func (f *follower) keep(rows []history.Row) {
	for _, row := range rows {
		f.rows[row.ID] = row.Op
		f.position = max(f.position, row.Seq)
	}
}

// change takes one change.
func (f *follower) change(e history.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.tell()
	if f.pending != nil {
		if e.Kind == history.Delete {
			f.pending.deletes = append(f.pending.deletes, e)
			return
		}
		if !f.marks {
			f.settle()
		}
	}
	f.apply(e)
}

// apply notes one change. f.mu is held.
func (f *follower) apply(e history.Event) {
	f.sub.Event(e)
	f.position = max(f.position, e.Row.Seq)
	if e.Kind == history.Delete {
		delete(f.rows, e.Row.ID)
		return
	}
	f.rows[e.Row.ID] = e.Row.Op
}

// settle takes a difference as complete. f.mu is held.
func (f *follower) settle() {
	if f.pending == nil {
		return
	}
	d := f.pending
	f.pending = nil
	f.sub.Resume(false)
	f.sub.Snapshot(d.rows, false)
	f.keep(d.rows)
	for _, e := range d.deletes {
		f.apply(e)
	}
}

// mark takes the server's word that everything up to a position was sent.
func (f *follower) mark(position uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.tell()
	f.settle()
	f.sub.Mark(position)
	f.position = max(f.position, position)
}

// tell wakes who waits for something to be told. f.mu is held.
func (f *follower) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// has reports whether the follower has exactly these rows, and returns what
// tells of a change. A difference that leads to them is complete.
func (f *follower) has(want map[int64]int64) (bool, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, complete := f.sub.Position(); !complete {
		return false, f.changed
	}
	rows := f.rows
	if f.pending != nil {
		rows = maps.Clone(f.rows)
		for _, row := range f.pending.rows {
			rows[row.ID] = row.Op
		}
		for _, e := range f.pending.deletes {
			delete(rows, e.Row.ID)
		}
	}
	if !maps.Equal(rows, want) {
		return false, f.changed
	}
	f.settle()
	return true, f.changed
}

// quiet compares what the follower has with what is there.
func (f *follower) quiet(rows []history.Row) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	f.sub.Quiet(rows)
}
