package live

import (
	"context"

	"kalamdb/internal/fault"
)

// addResult registers a subscription with its result: what touches it is noted
// from here on. s.mu is held.
func (s *shard) addResult(sub *subscription) {
	w, q := s.hub.results, sub.query
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.mu.all[q.result.Share]
	if r == nil {
		r = &result{share: q.result.Share, o: q.result, shape: newResultShape(q.result), definitions: q.result.Definitions, subs: make(map[*subscription]struct{})}
		w.mu.all[r.share] = r
		for _, x := range q.watches {
			w.tap(r, x)
		}
	}
	r.subs[sub], r.order = struct{}{}, nil
	sub.result = &shared{of: r}
	sub.conn.subs[sub.id] = sub
	sub.conn.results++
	if sub.conn.o.Commits {
		w.bind(sub.conn, r, 1)
	}
}

// removeResult takes a subscription to a result out of everything. s.mu is held.
func (s *shard) removeResult(sub *subscription) {
	sub.state = gone
	delete(sub.conn.subs, sub.id)
	sub.conn.results--
	s.hub.release(sub.conn.o.User)
	sub.conn.letGo(0) // nothing waits for it any more
	w, r := s.hub.results, sub.result.of
	w.mu.Lock()
	defer w.mu.Unlock()
	if sub.result.had != nil {
		w.letGo(sub.result.had)
	}
	if sub.result.next != nil {
		w.letGo(sub.result.next)
		sub.result.next = nil
	}
	delete(r.subs, sub)
	r.order = nil
	if sub.conn.o.Commits {
		w.bind(sub.conn, r, -1)
	}
	if len(r.subs) > 0 {
		return
	}
	w.untap(r)
	if w.mu.all[r.share] == r {
		delete(w.mu.all, r.share)
	}
	w.unfold(r)
	if r.state != nil {
		w.letGo(r.state)
		r.state = nil
	}
}

// beginResult waits for a run that begins after the registration and sends the
// acknowledgement and the first page.
func (c *Conn) beginResult(ctx context.Context, sub *subscription) error {
	if err := c.firstRun(ctx, sub); err != nil {
		return err
	}
	o := sub.query.request.Options
	sub.page.upTo = sub.result.had.position
	if o == nil {
		sub.page.none, sub.page.done = true, true
		return c.finishResult(ctx, sub, []Frame{c.resultAck(sub, BatchControl{Status: StatusReady})})
	}
	sub.page.size = o.batch()
	b, err := c.resultPage(sub)
	if err != nil {
		return err
	}
	return c.sendResultPage(ctx, sub, b, c.resultAck(sub, b.Control))
}

// firstRun gives a subscription the result to begin with.
func (c *Conn) firstRun(ctx context.Context, sub *subscription) error {
	w, r := c.hub.results, sub.result.of
	done := make(chan error, 1)
	w.mu.Lock()
	r.waiters = append(r.waiters, done)
	w.enqueue(r)
	w.mu.Unlock()
	select {
	case err := <-done:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	case <-c.Done():
		return errClosed
	}
	for allowed := sub.query.result.Definitions; ; {
		newer, err := c.firstState(sub, allowed)
		if err != nil || !newer {
			return err
		}
		// It was bound before a definition changed that the run has met.
		v := w.hub.o.Relations.View()
		allowed = v.DefinitionsVersion()
		_, err = w.rebound(sub, v)
		v.Release()
		if err != nil {
			return err
		}
	}
}

// firstState gives a subscription that was bound under a version of the
// definitions the newest state, or reports that this is of a newer version.
func (c *Conn) firstState(sub *subscription, allowed uint64) (newer bool, err error) {
	w, r, s := c.hub.results, sub.result.of, c.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case sub.state == gone:
		return false, errClosed
	case r.definitions > allowed:
		return true, nil
	case r.state == nil: // the next run has failed already
		return false, fault.New(fault.ServerBusy, "the result is being read anew; subscribe again")
	case !r.shape.same(newResultShape(sub.query.result)):
		return false, errColumnsChanged
	}
	w.hold(r.state)
	sub.result.had, sub.result.shape = r.state, r.shape
	return false, nil
}

// resultAck acknowledges a subscription to a result.
func (c *Conn) resultAck(sub *subscription, control BatchControl) Frame {
	a := &Ack{ID: sub.id, Control: control, Columns: sub.result.shape.columns, Result: true}
	return Frame{Kind: ReplyFrame, Body: c.o.Encoder.AppendAck(nil, a), sub: sub}
}

// resultPage takes the next rows of what a subscription is being given.
func (c *Conn) resultPage(sub *subscription) (*Batch, error) {
	b := &Batch{ID: sub.id, Control: BatchControl{Number: sub.page.number}}
	had := sub.result.had
	var row Row
	for n := 0; n < sub.page.size && sub.result.given < len(had.rows); n++ {
		if n > 0 && len(b.Rows) >= c.hub.o.BatchBytes {
			break
		}
		row.reset()
		sub.result.shape.full(&row, had.rows[sub.result.given].values, had.position)
		var err error
		if b.Rows, err = c.o.Encoder.AppendRow(b.Rows, &row); err != nil {
			return nil, err
		}
		b.Ends = append(b.Ends, len(b.Rows))
		sub.result.given++
	}
	b.Control.HasMore = sub.result.given < len(had.rows)
	b.Control.HasLast, b.Control.LastSeq = len(b.Ends) > 0, had.position
	switch {
	case !b.Control.HasMore:
		b.Control.Status = StatusReady
	case sub.page.number == 0:
		b.Control.Status = StatusLoading
	default:
		b.Control.Status = StatusLoadingBatch
	}
	return b, nil
}

// nextResultBatch sends the next page of a result. The server knows where the
// client stands, for all rows have one position.
func (c *Conn) nextResultBatch(ctx context.Context, sub *subscription) error {
	if sub.page.done {
		b := &Batch{ID: sub.id, Control: BatchControl{Number: sub.page.number, Status: StatusReady}}
		sub.page.number++
		return c.Send(ctx, Frame{Kind: ReplyFrame, Body: c.o.Encoder.AppendBatch(nil, b), sub: sub})
	}
	b, err := c.resultPage(sub)
	if err != nil {
		return c.fail(sub, err)
	}
	return c.sendResultPage(ctx, sub, b)
}

// sendResultPage sends a page behind what is given; behind the last one changes
// follow.
func (c *Conn) sendResultPage(ctx context.Context, sub *subscription, b *Batch, before ...Frame) error {
	frames := append(before, Frame{Kind: ReplyFrame, Body: c.o.Encoder.AppendBatch(nil, b), sub: sub})
	sub.page.number = b.Control.Number + 1
	if b.Control.HasMore {
		return c.sendAll(ctx, frames)
	}
	sub.page.done = true
	return c.finishResult(ctx, sub, frames)
}

// finishResult sends the last frames of a snapshot and lets what has changed
// since follow.
func (c *Conn) finishResult(ctx context.Context, sub *subscription, frames []Frame) error {
	return c.end(ctx, sub, frames, func() {
		if c.o.Commits {
			c.push(c.unreckoned(NoticeCommit, sub.id, sub.result.had.position))
		}
		if c.hub.results.newest(sub) == sub.result.had {
			sub.follow()
			return
		}
		sub.state = lagging
		c.await(sub)
	})
}

// newest returns the state that a subscription is to come to. shard.mu is held.
func (w *results) newest(sub *subscription) *resultState {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := sub.result.of.state; s != nil {
		return s
	}
	return sub.result.had
}

// replace notes what a client has been told. shard.mu is held.
func (w *results) replace(sub *subscription, to *resultState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold(to)
	w.letGo(sub.result.had)
	sub.result.had = to
}

// lagResult makes a live subscription to a result lag: it gets one difference
// when its outbox has been taken. s.mu is held.
func (s *shard) lagResult(sub *subscription) {
	c := sub.conn
	sub.state, sub.overflowed = lagging, true
	s.hub.counters.lagged.Add(1)
	if c.o.Lagging && !sub.told {
		sub.told = true
		c.push(c.unreckoned(NoticeLagging, sub.id, sub.result.had.position))
	}
	c.await(sub)
}

// advanceResult appends what leads a lagging subscription to the newest state,
// and lets it go on live.
func (c *Conn) advanceResult(sub *subscription, dst []Frame) []Frame {
	s := c.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.state != lagging {
		return dst
	}
	to := c.hub.results.newest(sub)
	d := between(sub.result.had, to, sub.result.shape)
	bodies, err := d.frames(c.o.Encoder)
	if err != nil {
		s.end(sub, err)
		return dst
	}
	now := s.hub.o.Now()
	for _, body := range bodies {
		dst = append(dst, Frame{Kind: ChangeFrame, Head: sub.head, Body: body, sub: sub})
		sub.count(now)
	}
	if to != sub.result.had {
		c.hub.results.replace(sub, to)
	}
	notice := func(kind string) {
		dst = append(dst, Frame{Kind: NoticeFrame, Body: c.o.Encoder.AppendNotice(nil, &Notice{Kind: kind, ID: sub.id, Position: to.position})})
	}
	if c.o.Commits && len(bodies) > 0 {
		notice(NoticeCommit)
	}
	if sub.told {
		sub.told = false
		notice(NoticeResumed)
	}
	if sub.overflowed {
		sub.overflowed = false
		s.hub.counters.resumed.Add(1)
	}
	sub.follow()
	return dst
}
