package live

import (
	"sync/atomic"
	"time"
)

// state says how a subscription gets its changes.
type state uint8

const (
	// loading: the client has not had the whole snapshot yet. The subscription
	// is a cursor that nobody reads for.
	loading state = iota
	// lagging: a cursor that the taker of the connection's frames reads for.
	lagging
	// live: its shard puts changes into the outbox as they are committed.
	live
	// gone: it has ended.
	gone
)

var stateNames = [...]string{"loading", "lagging", "active", "gone"}

// subscription is one live query of one connection.
type subscription struct {
	conn    *Conn
	feed    *feed
	id      string
	text    string // the SQL as the client sent it
	options string // the options as JSON, or ""
	created time.Time
	head    []byte // what begins its change frames

	// Guarded by shard.mu.
	state state
	query *Query
	group *group // while live
	slot  int    // its place in group.subs
	after uint64 // while live: changes up to this seq have been had otherwise

	// cursor is the seq up to which a loading or lagging subscription has had
	// all changes. It belongs to whoever reads for the cursor; a shard sets it
	// when it makes a live subscription one.
	cursor uint64
	// reached is what cursor was when the lock was held last. It is guarded by
	// shard.mu.
	reached uint64
	// least is the position of the view that the subscription began with. What
	// was committed before may not have been kept for it in the ring.
	least uint64
	// overflowed says that a full outbox made it a cursor, told that the client
	// knows.
	overflowed, told bool
	// open is the position of a commit whose changes have begun to be sent
	// and whose mark is due.
	open uint64
	// gap is what the snapshot's end still owes; see resume.go.
	gap *gap

	// result is what a subscription to a result has instead of a feed; nil for
	// one to rows.
	result *shared

	// page belongs to the goroutine that handles the client's requests.
	page page

	// silenced drops what still waits in the outbox: the client does not want
	// it any more.
	silenced atomic.Bool
	// changes counts the change frames; changed is when the last one was made,
	// in microseconds.
	changes atomic.Int64
	changed atomic.Int64
	// delivered counts those that the client has taken.
	delivered atomic.Int64
}

// liveID returns the name of the subscription among those of all connections.
func (s *subscription) liveID() string {
	return string(s.conn.o.User) + "-" + s.conn.o.ID + "-" + s.id
}

// page is where the snapshot of a subscription stands.
type page struct {
	none   bool   // it was opened without snapshot
	upTo   uint64 // S: rows beyond it come as changes
	view   uint64 // position of the moment of the last page, 0 for the first
	last   uint64 // _seq of the last row sent
	number uint32 // of the next batch
	size   int    // rows per batch
	done   bool   // the last batch has been sent
	from   uint64 // the position that a difference began at, 0 for none
}

// count notes a change frame.
func (s *subscription) count(now time.Time) {
	s.changes.Add(1)
	micros := now.UnixMicro()
	s.changed.Store(micros)
	s.conn.handed.Store(micros)
	s.conn.hub.counters.changes.Add(1)
}
