package live

import (
	"time"

	"kalamdb/internal/schema"
)

// slowAfter is how long frames may wait for a connection that takes none before
// it is called slow.
const slowAfter = 5 * time.Second

// Delivery says how far a subscription and its client are at one moment. Nothing
// of it is reckoned before somebody asks, but for the counters.
type Delivery struct {
	// Position is up to where every change that it selects has been put into
	// the outbox of its connection; 0 while it loads. That of a result is where
	// the newest result that it was given was read.
	Position uint64
	// Lag is by how much the newest commit that any subscription was waiting for
	// is younger than Position.
	Lag time.Duration
	// Queued is how many bytes of its frames the client has not taken.
	Queued int64
	// Delivered counts the change frames that the client has taken.
	Delivered int64
	// State is loading, lagging or live.
	State string
	// Idle is since when the client has not been heard of, Stalled since when it
	// has taken nothing though frames wait.
	Idle, Stalled time.Duration
	// Slow says that its outbox has overflowed and it has not caught up since,
	// or that it has stalled for five seconds.
	Slow bool
	// Upkeep is how it is kept: rows, folded or run.
	Upkeep string
}

var deliveryNames = [...]string{"loading", "lagging", "live", "gone"}

// outbox is what waits for a connection at one moment.
type outbox struct {
	bytes   map[*subscription]int64
	stalled time.Duration
}

// outbox returns what waits for the client.
func (c *Conn) outbox(now time.Time) outbox {
	c.mu.Lock()
	defer c.mu.Unlock()
	var o outbox
	if len(c.mu.queue) == 0 {
		return o
	}
	o.bytes = make(map[*subscription]int64)
	for i := range c.mu.queue {
		o.bytes[c.mu.queue[i].sub] += int64(c.mu.queue[i].Len())
	}
	o.stalled = max(0, now.Sub(time.UnixMicro(c.mu.since)))
	return o
}

// delivery returns how far a subscription is. shard.mu is held.
func (sub *subscription) delivery(now time.Time, head uint64, waiting *outbox) Delivery {
	d := Delivery{
		Queued: waiting.bytes[sub], Delivered: sub.delivered.Load(), State: deliveryNames[sub.state],
		Idle: max(0, now.Sub(time.UnixMicro(sub.conn.seen.Load()))), Stalled: waiting.stalled, Upkeep: sub.upkeep(),
	}
	d.Slow = sub.overflowed || d.Stalled >= slowAfter
	behind := true
	switch {
	case sub.state == loading:
	case sub.result != nil:
		d.Position = sub.result.had.position
		behind = sub.state != live || sub.conn.hub.results.behind(sub)
	case sub.state == live:
		d.Position = max(sub.after, sub.feed.done, sub.conn.shard.mu.position)
	default:
		d.Position = sub.reached
	}
	if behind && d.Position > 0 && head > d.Position {
		d.Lag = time.Duration(schema.SeqMillis(head)-schema.SeqMillis(d.Position)) * time.Millisecond
	}
	return d
}

// behind reports whether a newer result is due to a subscription than the one it
// has. shard.mu is held.
func (w *results) behind(sub *subscription) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := sub.result.of
	return r.queued || r.busy || r.again || r.state != sub.result.had
}

// newest returns the position of the newest commit that somebody listened to,
// 0 for none.
func (r *ring) newest() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kept := r.kept(); len(kept) > 0 {
		return kept[len(kept)-1].position
	}
	return r.mu.base
}

// delivered counts the change frames that a client takes.
func delivered(frames []Frame) {
	for i := range frames {
		if f := &frames[i]; f.Kind == ChangeFrame && f.sub != nil {
			f.sub.delivered.Add(1)
		}
	}
}
