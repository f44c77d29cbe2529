package kalam

import (
	"context"
	"sync"
)

// maxUnit is how many events a unit holds; a larger commit comes in several.
const maxUnit = 100_000

// Unit is what one commit means to the subscriptions of a Group: a program that
// applies a unit at once shows no half of a transaction.
type Unit struct {
	// Position is that of the commit. It is 0 for rows of a snapshot or of the
	// difference after a gap, which come a page at a time up to Ready, and from
	// servers that do not mark commits, which give a unit for each frame.
	Position uint64
	// Events are in the order of the commit.
	Events []GroupEvent
	// More says that the commit was too large for one unit and goes on in the
	// next.
	More bool
	// Ended is a subscription that the server has ended, for the reason Err;
	// such a unit has no events.
	Ended *Subscription
	Err   error
}

// GroupEvent is an event and whose it is.
type GroupEvent struct {
	Subscription *Subscription
	Event
}

// Group delivers the events of several subscriptions of a Live commit by commit.
// Its units are for one goroutine. Changes that a subscription gets while it
// lags or catches up come without those of the others.
type Group struct {
	live  *Live
	units chan Unit
	ended chan struct{} // closed when err is set
	once  sync.Once
	err   error
	// pending are the events of a commit that goes on. It belongs to the loop.
	pending []GroupEvent
}

// Group returns a group without subscriptions. buffer is how many units may wait
// for Next, 0 is 64; when it is full the socket is not read, and the server
// keeps what follows.
func (l *Live) Group(buffer int) *Group {
	if buffer <= 0 {
		buffer = 64
	}
	g := &Group{live: l, units: make(chan Unit, buffer), ended: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.err != nil {
		g.end(l.mu.err)
		return g
	}
	l.mu.groups[g] = struct{}{}
	return g
}

// Subscribe opens a live query whose events come by Next of the group.
func (g *Group) Subscribe(sql string, o SubscribeOptions) (*Subscription, error) {
	select {
	case <-g.ended:
		return nil, g.err
	default:
	}
	return g.live.subscribe(sql, o, g)
}

// Next returns the next unit. After the last one it returns the reason of the
// end: ErrClosed, or the server's *Error. When ctx ends first it returns ctx's
// error, and the group goes on.
func (g *Group) Next(ctx context.Context) (Unit, error) {
	select {
	case u := <-g.units:
		return u, nil
	default:
	}
	select {
	case u := <-g.units:
		return u, nil
	case <-g.ended:
		select {
		case u := <-g.units:
			return u, nil
		default:
			return Unit{}, g.err
		}
	case <-ctx.Done():
		return Unit{}, ctx.Err()
	}
}

// Close ends the group and its subscriptions. Units that wait can still be read.
func (g *Group) Close() {
	g.end(ErrClosed)
	l := g.live
	l.mu.Lock()
	delete(l.mu.groups, g)
	var subs []*Subscription
	for _, s := range l.mu.subs {
		if s.group == g {
			subs = append(subs, s)
		}
	}
	l.mu.Unlock()
	for _, s := range subs {
		s.Close()
	}
}

// end makes Next return err once the units that wait have been read.
func (g *Group) end(err error) {
	g.once.Do(func() {
		g.err = err
		close(g.ended)
	})
}

// add takes an event of the commit at hand.
func (g *Group) add(s *Subscription, e Event) error {
	select {
	case <-s.ended:
		return nil
	default:
	}
	g.pending = append(g.pending, GroupEvent{s, e})
	if len(g.pending) < maxUnit {
		return nil
	}
	u := Unit{Events: g.pending, More: true}
	g.pending = nil
	for _, e := range u.Events {
		e.Subscription.whole = e.Subscription.cursor
		e.Subscription.result.kept()
	}
	return g.deliver(u)
}

// flush delivers what is pending of a subscription, or of all if it is nil.
func (g *Group) flush(of *Subscription, position uint64) error {
	u := Unit{Position: position}
	if of == nil {
		u.Events, g.pending = g.pending, nil
	} else {
		u.Events, g.pending = g.split(of)
	}
	if len(u.Events) == 0 {
		return nil
	}
	for _, e := range u.Events {
		e.Subscription.whole = e.Subscription.cursor
		e.Subscription.result.kept()
	}
	return g.deliver(u)
}

// split parts the pending events into those of a subscription and the rest.
func (g *Group) split(of *Subscription) (its, rest []GroupEvent) {
	for _, e := range g.pending {
		if e.Subscription == of {
			its = append(its, e)
		} else {
			rest = append(rest, e)
		}
	}
	return its, rest
}

// drop forgets the events of commits whose end has not come: the server tells
// them again from where the subscription was before.
func (g *Group) drop(s *Subscription) {
	its, rest := g.split(s)
	g.pending = rest
	if len(its) > 0 {
		s.cursor = s.whole
		s.result.takeBack()
	}
}

// deliver waits while the program is slow.
func (g *Group) deliver(u Unit) error {
	select {
	case g.units <- u:
	case <-g.ended:
	case <-g.live.ctx.Done():
		return ErrClosed
	}
	return nil
}
