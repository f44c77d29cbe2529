package live

import (
	"context"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
)

// Check refuses a request before anybody looks at its SQL: the user has too
// many subscriptions, or the options contradict each other.
func (c *Conn) Check(r *Request) error {
	c.shard.mu.Lock()
	again := c.subs[r.ID] != nil
	c.shard.mu.Unlock()
	if !again && c.hub.subscriptions(c.o.User) >= c.hub.o.MaxPerUser {
		return errUserLimit
	}
	if r.Options == nil {
		return nil
	}
	return r.Options.Check()
}

// Check refuses options that contradict each other.
func (o *Snapshot) Check() error {
	switch {
	case o.HasLastRows && o.LastRows > o.batch():
		return fault.New(fault.LimitExceeded, "last_rows (%d) cannot exceed batch_size (%d); paginated last_rows replay is not supported", o.LastRows, o.batch())
	case o.Replay && !o.HasFrom:
		return fault.New(fault.InvalidOperation, "replay needs the option from, the position after which changes are wanted")
	}
	return nil
}

// errUserLimit refuses one subscription too many of a user.
var errUserLimit = fault.New(fault.SubscriptionLimit, "Maximum subscriptions reached")

// Subscribe begins a subscription: an acknowledgement, what its options ask
// for, and from then on each change. Frames before the changes wait for room in
// the outbox. An id in use is taken over. On an error nothing was sent, unless
// ctx or the connection ended.
func (c *Conn) Subscribe(ctx context.Context, q *Query) error {
	sub, err := c.register(q)
	if err != nil {
		return err
	}
	if err := c.begin(ctx, sub); err != nil {
		c.forget(sub)
		return err
	}
	return nil
}

// register adds a subscription to its feed, so that commits are kept for it.
func (c *Conn) register(q *Query) (*subscription, error) {
	r := q.request
	sub := &subscription{
		conn: c, id: r.ID,
		text: r.SQL, created: c.hub.o.Now(), query: q,
		head: c.o.Encoder.AppendHead(nil, r.ID),
	}
	sub.changed.Store(sub.created.UnixMicro())
	if r.Options != nil {
		sub.options = r.Options.JSON
	}
	s := c.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := c.subs[r.ID]; old != nil {
		old.silenced.Store(true)
		s.remove(old)
	}
	if len(c.subs) >= c.hub.o.MaxPerConnection {
		return nil, fault.New(fault.InvalidOperation, "Maximum subscriptions (%d) per connection exceeded", c.hub.o.MaxPerConnection)
	}
	if c.closed() {
		return nil, errClosed
	}
	if !c.hub.reserve(c.o.User) {
		return nil, errUserLimit
	}
	s.add(sub)
	return sub, nil
}

// forget takes back a subscription that could not begin.
func (c *Conn) forget(sub *subscription) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	sub.silenced.Store(true)
	c.shard.remove(sub)
}

// begin takes the view of the snapshot, sends the acknowledgement and the first
// batch, and makes the subscription live when that is all.
func (c *Conn) begin(ctx context.Context, sub *subscription) error {
	if sub.result != nil {
		return c.beginResult(ctx, sub)
	}
	v := c.hub.o.Relations.View()
	release := v.Release
	defer func() { release() }()
	q, err := c.settle(sub, v)
	if err != nil {
		return err
	}
	o := q.request.Options
	sub.page.upTo = v.Position()
	sub.least = sub.page.upTo
	if o != nil && o.HasFrom {
		if err := c.hub.reach(v, q, o); err != nil {
			return err
		}
		sub.page.last, sub.page.from = o.From, o.From
	}
	if o == nil || o.Replay {
		cursor := sub.page.upTo
		if o != nil {
			cursor = o.From
		}
		sub.page.none, sub.page.done = true, true
		release()
		release = func() {}
		return c.finish(ctx, sub, []Frame{c.ack(sub, q, BatchControl{Status: StatusReady})}, cursor)
	}
	sub.page.size = o.batch()
	b, err := c.firstBatch(ctx, v, sub, q)
	if err != nil {
		return err
	}
	release()
	release = func() {}
	return c.sendBatch(ctx, sub, q, b, c.ack(sub, q, b.Control))
}

// settle binds the query anew when its table was altered after it was bound.
// The shard may have bound it under a definition newer than the view's already.
func (c *Conn) settle(sub *subscription, v *relation.View) (*Query, error) {
	s := c.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := v.TableByID(sub.query.table.ID)
	if !ok || sub.state == gone {
		return nil, notFound(sub.query.table)
	}
	if sub.query.table.Version < t.Version {
		q, err := sub.query.rebound(v)
		if err != nil {
			return nil, err
		}
		sub.query = q
	}
	// The feed may have been made for an older definition whose end the shard
	// has not met yet.
	if sub.feed.table.Version < sub.query.table.Version {
		s.redefine(sub.feed, v)
	}
	return sub.query, nil
}

// ack returns the frame that acknowledges a subscription.
func (c *Conn) ack(sub *subscription, q *Query, control BatchControl) Frame {
	return Frame{Kind: ReplyFrame, Body: c.o.Encoder.AppendAck(nil, &Ack{ID: sub.id, Control: control, Columns: q.shape.columns}), sub: sub}
}

// NextBatch sends the next page of a snapshot: rows after last, or after the
// last one sent when the client does not say.
func (c *Conn) NextBatch(ctx context.Context, id string, last uint64, hasLast bool) error {
	c.shard.mu.Lock()
	sub := c.subs[id]
	if sub == nil {
		sub = c.subs[c.name(id)]
	}
	c.shard.mu.Unlock()
	switch {
	case sub == nil:
		return fault.New(fault.ObjectNotFound, "Subscription not found: %s", id)
	case sub.page.none:
		return fault.New(fault.InvalidOperation, "Subscription %s was created without initial data loading", id)
	}
	if sub.result != nil {
		return c.nextResultBatch(ctx, sub)
	}
	if !hasLast {
		last = sub.page.last
	}
	v := c.hub.o.Relations.View()
	release := v.Release
	defer func() { release() }()
	q, err := c.settle(sub, v)
	if err != nil {
		return c.fail(sub, err)
	}
	if err := c.hub.replayable(v, q.table, q.o.Scope, sub.page.upTo); err != nil {
		return c.fail(sub, err)
	}
	b, err := c.batch(ctx, v, sub, q, last)
	if err != nil {
		return err
	}
	sub.page.view = v.Position()
	release()
	release = func() {}
	return c.sendBatch(ctx, sub, q, b)
}

// fail ends a subscription whose snapshot cannot go on; its error frame says
// why.
func (c *Conn) fail(sub *subscription, err error) error {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.shard.end(sub, err)
	return nil
}

// sendBatch sends a page behind what is given, and behind the last one what the
// difference still owes; then changes follow.
func (c *Conn) sendBatch(ctx context.Context, sub *subscription, q *Query, b *Batch, before ...Frame) error {
	frames := append(before, Frame{Kind: ReplyFrame, Body: c.o.Encoder.AppendBatch(nil, b), sub: sub})
	sub.page.number = b.Control.Number + 1
	if b.Control.HasLast {
		sub.page.last = b.Control.LastSeq
	}
	if b.Control.HasMore || sub.page.done {
		return c.sendAll(ctx, frames)
	}
	sub.page.done = true
	if sub.page.from == 0 {
		if c.o.Commits && sub.page.view > sub.page.upTo {
			// Pages of later moments lack rows that have changed since S. A crash
			// may take such a change back and leave S: nobody who goes on from S
			// would get the row. So the mark comes behind those changes.
			sub.gap = &gap{until: sub.page.view}
		}
		return c.finish(ctx, sub, frames, sub.page.upTo)
	}
	r := newRemoval(c, sub, q)
	for {
		more, err := r.next(ctx)
		if err != nil {
			_ = c.sendAll(ctx, frames) // ctx ends it, which the caller sees
			return c.fail(sub, err)
		}
		frames = append(frames, r.frames...)
		if !more {
			break
		}
		if err := c.sendAll(ctx, frames); err != nil {
			return err
		}
		frames = nil
	}
	sub.gap = r.rest()
	return c.finish(ctx, sub, frames, sub.page.upTo)
}

// sendAll sends frames as there is room.
func (c *Conn) sendAll(ctx context.Context, frames []Frame) error {
	for _, f := range frames {
		if err := c.Send(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// finish sends the last frames of a snapshot and lets the changes after the
// cursor follow at once: nothing that is committed later overtakes them.
func (c *Conn) finish(ctx context.Context, sub *subscription, frames []Frame, cursor uint64) error {
	return c.end(ctx, sub, frames, func() {
		if c.o.Commits && sub.gap == nil {
			c.push(c.unreckoned(NoticeCommit, sub.id, cursor))
		}
		sub.cursor, sub.reached, sub.state = cursor, cursor, lagging
		if sub.gap != nil || !c.shard.join(sub) {
			if sub.state == lagging {
				c.await(sub)
			}
		}
	})
}

// end waits for room, queues the last frames of a snapshot and lets follow say,
// under shard.mu, what comes behind them. A subscription that ended meanwhile
// gets nothing.
func (c *Conn) end(ctx context.Context, sub *subscription, frames []Frame, follow func()) error {
	cost := int64(0)
	for i := range frames {
		cost += frames[i].cost()
	}
	if err := c.wait(ctx, cost); err != nil {
		return err
	}
	s := c.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.state != loading {
		return nil
	}
	for _, f := range frames {
		c.push(f)
	}
	follow()
	return nil
}
