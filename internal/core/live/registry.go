package live

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// Subscription describes a live query at one moment.
type Subscription struct {
	LiveID       string
	ConnectionID string
	ID           string
	Namespace    string
	Table        string
	TableID      schema.TableID
	UserID       schema.UserID
	Query        string
	Options      string // JSON, "" for none
	Status       string // loading, active or lagging
	CreatedAt    time.Time
	ChangedAt    time.Time // when the last change was handed out
	Changes      int64     // how many were
	SeenAt       time.Time // when the client was last heard of
	Delivery
}

// subscriptions returns how many a user has.
func (h *Hub) subscriptions(id schema.UserID) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.perUser[id]
}

// reserve counts one more subscription of a user, if he may have it.
func (h *Hub) reserve(id schema.UserID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.perUser[id] >= h.o.MaxPerUser {
		return false
	}
	h.mu.perUser[id]++
	return true
}

// release takes one off.
func (h *Hub) release(id schema.UserID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.perUser[id]--; h.mu.perUser[id] <= 0 {
		delete(h.mu.perUser, id)
	}
}

// conn returns a connection by its id.
func (h *Hub) conn(id string) *Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.conns[id]
}

// connections returns all of them, in no order.
func (h *Hub) connections() []*Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*Conn, 0, len(h.mu.conns))
	for _, c := range h.mu.conns {
		all = append(all, c)
	}
	return all
}

// Connection describes a connection at one moment.
type Connection struct {
	ID       string
	User     schema.UserID
	Address  string
	OpenedAt time.Time
	SeenAt   time.Time // when the client was last heard of
}

// Connections returns all connections, the oldest first.
func (h *Hub) Connections() []Connection {
	open := h.connections()
	all := make([]Connection, len(open))
	for i, c := range open {
		all[i] = Connection{ID: c.o.ID, User: c.o.User, Address: c.o.Address, OpenedAt: c.opened, SeenAt: time.UnixMicro(c.seen.Load())}
	}
	slices.SortFunc(all, func(a, b Connection) int {
		return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), strings.Compare(a.ID, b.ID))
	})
	return all
}

// describe returns what is to be told of a subscription. shard.mu is held.
func (sub *subscription) describe() Subscription {
	t := sub.query.table
	return Subscription{
		LiveID: sub.liveID(), ConnectionID: sub.conn.o.ID, ID: sub.id,
		Namespace: t.Namespace, Table: t.Name, TableID: t.ID, UserID: sub.conn.o.User,
		Query: sub.text, Options: sub.options, Status: stateNames[sub.state],
		CreatedAt: sub.created, ChangedAt: time.UnixMicro(sub.changed.Load()),
		Changes: sub.changes.Load(), SeenAt: time.UnixMicro(sub.conn.seen.Load()),
	}
}

// List returns all subscriptions, oldest first.
func (h *Hub) List() []Subscription {
	var all []Subscription
	now, head := h.o.Now(), h.ring.newest()
	for _, c := range h.connections() {
		waiting := c.outbox(now)
		c.shard.mu.Lock()
		for _, sub := range c.subs {
			s := sub.describe()
			s.Delivery = sub.delivery(now, head, &waiting)
			all = append(all, s)
		}
		c.shard.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b Subscription) int {
		if d := a.CreatedAt.Compare(b.CreatedAt); d != 0 {
			return d
		}
		return strings.Compare(a.LiveID, b.LiveID)
	})
	return all
}

// find returns a subscription by its live id. The id is not taken apart, for
// its parts may contain the divider.
func (h *Hub) find(liveID string) *subscription {
	for _, c := range h.connections() {
		rest, ok := strings.CutPrefix(liveID, string(c.o.User)+"-"+c.o.ID+"-")
		if !ok {
			continue
		}
		c.shard.mu.Lock()
		sub := c.subs[rest]
		c.shard.mu.Unlock()
		if sub != nil {
			return sub
		}
	}
	return nil
}

// Find returns a subscription by its live id.
func (h *Hub) Find(liveID string) (Subscription, bool) {
	sub := h.find(liveID)
	if sub == nil {
		return Subscription{}, false
	}
	now := h.o.Now()
	head, waiting := h.ring.newest(), sub.conn.outbox(now)
	sub.conn.shard.mu.Lock()
	defer sub.conn.shard.mu.Unlock()
	s := sub.describe()
	if sub.state == gone {
		return s, false
	}
	s.Delivery = sub.delivery(now, head, &waiting)
	return s, true
}

// Kill ends a subscription by its live id without a word to its client, and
// reports whether there was one.
func (h *Hub) Kill(liveID string) bool {
	sub := h.find(liveID)
	if sub == nil {
		return false
	}
	s := sub.conn.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	was := sub.state != gone
	sub.silenced.Store(true)
	s.remove(sub)
	return was
}

// Disconnect ends a connection and all its subscriptions, and reports how many
// those were. Its edge notices by Conn.Done.
func (h *Hub) Disconnect(connectionID string) int {
	c := h.conn(connectionID)
	if c == nil {
		return 0
	}
	c.shard.mu.Lock()
	n := len(c.subs)
	c.shard.mu.Unlock()
	c.killed.Store(true)
	c.Close()
	return n
}

// DisconnectUser ends all connections of a user, whose account was dropped or
// changed, and reports how many those were.
func (h *Hub) DisconnectUser(id schema.UserID) int {
	n := 0
	for _, c := range h.connections() {
		if c.o.User == id {
			c.killed.Store(true)
			c.Close()
			n++
		}
	}
	return n
}

// EndUser ends the subscriptions of a user, and those of others to rows of his,
// with a fault, and lets his connections end when they have been told. It returns
// how many subscriptions those were.
func (h *Hub) EndUser(id schema.UserID, because error) int {
	n := 0
	for _, c := range h.connections() {
		own := c.o.User == id
		c.shard.mu.Lock()
		for _, sub := range slices.SortedFunc(maps.Values(c.subs), func(a, b *subscription) int { return strings.Compare(a.id, b.id) }) {
			if own || sub.feed != nil && sub.feed.key.scope == schema.UserScope(id) {
				c.shard.end(sub, because)
				n++
			}
		}
		c.shard.mu.Unlock()
		if own {
			c.dismiss()
		}
	}
	return n
}

// OnTable returns how many subscriptions a table has.
func (h *Hub) OnTable(id schema.TableID) int {
	n := h.results.count(id, "")
	for _, s := range h.shards {
		s.mu.Lock()
		for f := range s.mu.tables[id] {
			n += len(f.subs)
		}
		s.mu.Unlock()
	}
	return n
}

// OfUser returns how many of the subscriptions of a table a user has.
func (h *Hub) OfUser(id schema.TableID, user schema.UserID) int {
	n := h.results.count(id, user)
	for _, s := range h.shards {
		s.mu.Lock()
		for f := range s.mu.tables[id] {
			for sub := range f.subs {
				if sub.conn.o.User == user {
					n++
				}
			}
		}
		s.mu.Unlock()
	}
	return n
}

// Rows returns the rows of system.live.
func (h *Hub) Rows(context.Context, relation.Caller) ([][]datum.Value, error) {
	at := func(t time.Time) datum.Value { return datum.NewInt(datum.Timestamp, t.UnixMicro()) }
	whole := func(n int64) datum.Value { return datum.NewInt(datum.BigInt, n) }
	list := h.List()
	rows := make([][]datum.Value, len(list))
	for i, s := range list {
		row := make([]datum.Value, 0, 23)
		for _, text := range []string{s.LiveID, s.ConnectionID, s.ID, s.Namespace, s.Table, string(s.UserID), s.Query} {
			row = append(row, datum.NewText(text))
		}
		options := datum.NullValue
		if v, err := datum.NewJSON(s.Options); err == nil {
			options = v
		}
		position, lag := datum.NullValue, datum.NullValue
		if s.Position > 0 {
			position, lag = whole(int64(s.Position)), whole(s.Lag.Milliseconds())
		}
		rows[i] = append(row, options, datum.NewText(s.Status), at(s.CreatedAt), at(s.ChangedAt),
			whole(s.Changes), whole(int64(h.o.NodeID)), at(s.SeenAt),
			position, lag, whole(s.Queued), whole(s.Delivered), datum.NewText(s.State),
			whole(s.Idle.Milliseconds()), whole(s.Stalled.Milliseconds()), datum.NewBool(s.Slow), datum.NewText(s.Upkeep))
	}
	return rows, nil
}

// Close ends all connections. The hub is not used afterwards.
func (h *Hub) Close() {
	for _, c := range h.connections() {
		c.Close()
	}
}
