package live

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// widthMost bounds the room that is made for the frames of a commit before they
// are known.
const widthMost = 256

// ConnOptions describe a connection.
type ConnOptions struct {
	// ID names the connection; unique in the hub.
	ID string
	// Address is the client's, for system.sessions.
	Address string
	// User is whose subscriptions they are.
	User schema.UserID
	// Encoder makes its frames; required.
	Encoder Encoder
	// Presence says that rows may be bound to the connection, and Session which
	// connections of the user hold them together; "" is only this one.
	Presence bool
	Session  string
	// Lagging and Commits are the features that the client has named.
	Lagging, Commits bool
	// Ready is called whenever Take may have something to return, or the
	// connection has ended. It is called under locks of the hub, so it must
	// neither wait nor call the hub; nil means that the owner asks by himself.
	Ready func()
}

// Conn is one client connection. Subscribe, NextBatch and Unsubscribe are
// called by one goroutine at a time, Take by one other; the rest by any.
type Conn struct {
	hub    *Hub
	shard  *shard
	o      ConnOptions
	opened time.Time
	// load is what waits in the outbox, staged frames included.
	load atomic.Int64
	// seen is when the client was last heard of, in microseconds.
	seen atomic.Int64
	// killed says that an operator ended it: present rows get no grace.
	killed atomic.Bool
	// handed is when a change frame was made for it last, in microseconds.
	handed atomic.Int64

	// Guarded by shard.mu.
	subs    map[string]*subscription
	staged  []Frame     // frames of the commit at hand
	width   int         // how many there were last time
	touched bool        // it is in shard.mu.touched
	marks   bool        // changes of the commit at hand have been staged: its mark is due
	results int         // how many of subs are to results
	held    []heldGroup // changes of commits that lack what they do to a result

	mu struct {
		sync.Mutex
		// queue holds the frames due, in order. One with a cursor stands for
		// what is to be read for it.
		queue  []Frame
		closed bool
		last   bool // it is closed when the queue has been taken
		// since is when the oldest frame of the queue came, or when frames were
		// taken last, in microseconds; meaningless while nothing waits.
		since int64
		// room is closed when the outbox got emptier or the connection has
		// ended, done when it has ended; nil when nobody waits.
		room, done chan struct{}
	}
}

// Connect registers a connection; Close ends it.
func (h *Hub) Connect(o ConnOptions) *Conn {
	c := &Conn{
		hub: h, o: o, opened: h.o.Now(),
		shard: h.shards[maphash.String(h.seed, o.ID)%uint64(len(h.shards))],
		subs:  make(map[string]*subscription),
	}
	c.Touch()
	if c.present() {
		h.o.Presence.Attach(o.ID, o.User, o.Session)
	}
	h.mu.Lock()
	h.mu.conns[o.ID] = c
	h.mu.Unlock()
	return c
}

func (c *Conn) present() bool { return c.o.Presence && c.hub.o.Presence != nil }

// ID returns the name of the connection.
func (c *Conn) ID() string { return c.o.ID }

// User returns whose connection it is.
func (c *Conn) User() schema.UserID { return c.o.User }

// ready says that Take may have frames.
func (c *Conn) ready() {
	if c.o.Ready != nil {
		c.o.Ready()
	}
}

// Done is closed when the connection has ended, by Close or by the hub.
func (c *Conn) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.done == nil {
		c.mu.done = make(chan struct{})
		if c.mu.closed {
			close(c.mu.done)
		}
	}
	return c.mu.done
}

func (c *Conn) closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.closed
}

// Touch notes that the client was heard of.
func (c *Conn) Touch() { c.seen.Store(c.hub.o.Now().UnixMicro()) }

// Close ends the connection and all its subscriptions. It may be called more
// than once.
func (c *Conn) Close() {
	c.mu.Lock()
	if c.mu.closed {
		c.mu.Unlock()
		return
	}
	c.mu.closed = true
	c.mu.queue = nil
	if c.mu.done != nil {
		close(c.mu.done)
	}
	c.letIn()
	c.mu.Unlock()
	c.ready()
	if c.present() {
		c.hub.o.Presence.Detach(c.o.ID, c.killed.Load())
	}
	c.shard.mu.Lock()
	for _, sub := range c.subs {
		c.shard.remove(sub)
	}
	c.staged, c.held = nil, nil
	c.shard.mu.Unlock()
	c.hub.mu.Lock()
	if c.hub.mu.conns[c.o.ID] == c {
		delete(c.hub.mu.conns, c.o.ID)
	}
	c.hub.mu.Unlock()
}

// dismiss closes the connection when what is due has been taken.
func (c *Conn) dismiss() {
	c.killed.Store(true)
	c.mu.Lock()
	c.mu.last = true
	empty := len(c.mu.queue) == 0
	c.mu.Unlock()
	if empty {
		c.Close()
	}
}

// errClosed answers calls on a connection that has ended.
var errClosed = fault.New(fault.Cancelled, "the connection is closed")

// Take appends the frames that are due, about most bytes of them, and returns
// at once. Frames must be written in this order. When there are more, Ready is
// called again. With a nil dst nothing is copied. Besides emptying the outbox it reads the change index
// for one of the connection's cursors.
func (c *Conn) Take(ctx context.Context, dst []Frame, most int) ([]Frame, error) {
	c.mu.Lock()
	if c.mu.closed {
		c.mu.Unlock()
		return dst, errClosed
	}
	taken, bytes := 0, 0
	own, had := dst == nil, len(dst)
	if own {
		dst = c.mu.queue[:0] // what is handed out stands there already
	}
	var cursor *subscription
	for taken < len(c.mu.queue) && (taken == 0 || bytes < most) && cursor == nil {
		f := c.mu.queue[taken]
		if !own {
			c.mu.queue[taken] = Frame{}
		}
		taken++
		if cursor = f.cursor; cursor != nil {
			continue
		}
		c.load.Add(-f.cost())
		if f.sub == nil || !f.sub.silenced.Load() {
			bytes += f.Len()
			dst = append(dst, f)
		}
	}
	if own {
		clear(c.mu.queue[len(dst):taken])
		dst = dst[:len(dst):len(dst)]
	}
	c.mu.queue = c.mu.queue[taken:]
	more := len(c.mu.queue) > 0
	if more {
		c.mu.since = c.hub.o.Now().UnixMicro()
	} else {
		c.mu.queue = nil
	}
	over := c.mu.last && !more
	c.letIn()
	c.mu.Unlock()
	if over {
		defer c.Close() // what was taken is still written
	}
	if cursor != nil {
		dst = c.advance(ctx, cursor, dst)
	}
	delivered(dst[had:])
	if more {
		c.ready()
	}
	return dst, nil
}

// letIn lets those look again who wait for room. c.mu is held.
func (c *Conn) letIn() {
	if c.mu.room != nil {
		close(c.mu.room)
		c.mu.room = nil
	}
}

// stage takes a change frame of the commit at hand, or reports that the outbox
// is full. shard.mu is held.
func (c *Conn) stage(f Frame) bool {
	cost := f.cost()
	if c.load.Load()+cost > c.hub.o.OutboxBytes {
		return false
	}
	c.load.Add(cost)
	if c.staged == nil {
		c.staged = make([]Frame, 0, min(max(c.width, 1), widthMost))
	}
	c.staged, c.marks = append(c.staged, f), true
	return true
}

// publish moves the staged frames into the outbox. shard.mu is held.
func (c *Conn) publish() {
	if len(c.staged) == 0 {
		return
	}
	c.mu.Lock()
	switch {
	case c.mu.closed:
	case len(c.mu.queue) == 0:
		c.mu.queue, c.mu.since = c.staged, c.handed.Load()
	default:
		c.mu.queue = append(c.mu.queue, c.staged...)
	}
	c.mu.Unlock()
	c.width, c.staged = len(c.staged), nil
	c.ready()
}

// enqueue puts a frame into the queue. c.mu is held.
func (c *Conn) enqueue(f Frame) {
	if c.mu.closed {
		return
	}
	if len(c.mu.queue) == 0 {
		c.mu.since = c.hub.o.Now().UnixMicro()
	}
	c.mu.queue = append(c.mu.queue, f)
}

// push puts a frame that is due by the client's own doing into the outbox,
// full or not.
func (c *Conn) push(f Frame) {
	c.load.Add(f.cost())
	c.mu.Lock()
	c.enqueue(f)
	c.mu.Unlock()
	c.ready()
}

// await lets Take read for a cursor when what is due before has been taken.
func (c *Conn) await(sub *subscription) {
	c.mu.Lock()
	c.enqueue(Frame{cursor: sub})
	c.mu.Unlock()
	c.ready()
}

// Send queues a frame of the edge's own behind what is due. It waits while the
// outbox is full.
func (c *Conn) Send(ctx context.Context, f Frame) error {
	if err := c.wait(ctx, f.cost()); err != nil {
		return err
	}
	c.push(f)
	return nil
}

// wait returns when the outbox has room for cost bytes, or is empty.
func (c *Conn) wait(ctx context.Context, cost int64) error {
	fits := func() bool {
		load := c.load.Load()
		return load <= 0 || load+cost <= c.hub.o.OutboxBytes
	}
	for !fits() {
		c.mu.Lock()
		if c.mu.closed {
			c.mu.Unlock()
			return errClosed
		}
		if c.mu.room == nil {
			c.mu.room = make(chan struct{})
		}
		room := c.mu.room
		c.mu.Unlock()
		if fits() { // somebody may have taken frames meanwhile
			break
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// notice returns a notice frame and reckons its cost.
func (c *Conn) notice(kind, id string, position uint64) Frame {
	f := c.unreckoned(kind, id, position)
	c.load.Add(f.cost())
	return f
}

// unreckoned returns a notice frame for push, which reckons its cost.
func (c *Conn) unreckoned(kind, id string, position uint64) Frame {
	return Frame{Kind: NoticeFrame, Body: c.o.Encoder.AppendNotice(nil, &Notice{Kind: kind, ID: id, Position: position})}
}

// name returns the subscription that a client means: its own id, or the live
// id.
func (c *Conn) name(id string) string {
	return strings.TrimPrefix(id, string(c.o.User)+"-"+c.o.ID+"-")
}

// Unsubscribe ends a subscription without a word; what still waits for it is
// dropped. An unknown id is no fault.
func (c *Conn) Unsubscribe(id string) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	sub := c.subs[id]
	if sub == nil {
		sub = c.subs[c.name(id)]
	}
	if sub != nil {
		sub.silenced.Store(true)
		c.shard.remove(sub)
	}
}
