package kalam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Waits between attempts to connect again, after a first one at once.
const (
	firstWait = 250 * time.Millisecond
	lastWait  = 30 * time.Second
)

// messagesPerSecond is how many messages a socket sends at most; servers take
// 50 by default. One that takes fewer says so, and the Live slows down.
const messagesPerSecond = 40

// ErrClosed says that a Live or a subscription has been closed.
var ErrClosed = errors.New("the subscription is closed")

// Live carries subscriptions over one socket. It may be used by many
// goroutines. A subscription whose events nobody reads stops the others of its
// Live, for they share the socket.
type Live struct {
	client *Client
	ctx    context.Context // ends with Close; bounds the loop, not a request
	cancel context.CancelFunc
	done   chan struct{}
	pace   int // messages per second; the loop alone uses it
	// session is what present rows are bound to over reconnects.
	session string
	mu      struct {
		sync.Mutex
		socket *socket // nil while there is none
		subs   map[string]*Subscription
		groups map[*Group]struct{}
		next   int
		// asked are the questions about presence that are not answered yet.
		asked map[string]chan *frame
		err   error // why the Live ended
	}
}

// Live connects. ctx bounds the attempt; the connection is kept until Close.
func (c *Client) Live(ctx context.Context) (*Live, error) {
	loop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &Live{client: c, ctx: loop, cancel: cancel, done: make(chan struct{}), pace: messagesPerSecond, session: newSession()}
	s, err := c.dial(ctx, l.pace, l.session)
	if err != nil {
		cancel()
		return nil, err
	}
	l.mu.socket = s
	l.mu.subs, l.mu.groups = map[string]*Subscription{}, map[*Group]struct{}{}
	l.mu.asked = map[string]chan *frame{}
	go l.loop(s)
	return l, nil
}

// Close ends every subscription and waits for the goroutines. It always
// returns nil.
func (l *Live) Close() error {
	l.cancel()
	<-l.done
	return nil
}

// Subscribe opens a live query. Contradictory options are ErrOptions; what the
// server refuses is told by Next.
func (l *Live) Subscribe(sql string, o SubscribeOptions) (*Subscription, error) {
	return l.subscribe(sql, o, nil)
}

// subscribe opens a live query of a group, or of none.
func (l *Live) subscribe(sql string, o SubscribeOptions, g *Group) (*Subscription, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := newSubscription(l, sql, o)
	s.group = g
	l.mu.Lock()
	if l.mu.err != nil {
		l.mu.Unlock()
		return nil, l.mu.err
	}
	l.mu.next++
	s.id = "s" + strconv.Itoa(l.mu.next)
	l.mu.subs[s.id] = s
	socket, message := l.mu.socket, s.request(false)
	l.mu.Unlock()
	if socket != nil {
		// A socket that breaks here is noticed by the loop, which subscribes
		// again.
		_ = socket.send(message)
	}
	return s, nil
}

// forget takes a subscription out, and tells the server if it was there.
func (l *Live) forget(s *Subscription) {
	l.mu.Lock()
	_, there := l.mu.subs[s.id]
	delete(l.mu.subs, s.id)
	socket := l.mu.socket
	l.mu.Unlock()
	if there && socket != nil {
		_ = socket.send(unsubscribe(s.id)) // a broken socket has none
	}
}

// busyError ends a socket because the server has enough of this client for now.
type busyError struct{ refused *Error }

func (e *busyError) Error() string { return "the server is busy: " + e.refused.Error() }

// loop reads the socket, and connects again when it breaks: at once after a
// socket that was good for something, else after a wait that grows.
func (l *Live) loop(s *socket) {
	defer close(l.done)
	wait := time.Duration(0)
	for {
		useful, err := l.serve(s)
		s.close()
		l.takeBack()
		var busy *busyError
		switch {
		case !errors.As(err, &busy):
			if useful {
				wait = 0
			}
		case busy.refused.Code == codeRateLimit:
			l.pace = max(l.pace/2, 1)
		}
		if s, err = l.reconnect(&wait); err != nil {
			l.finish(err)
			return
		}
		l.resubscribe(s)
	}
}

// takeBack leaves each subscriber with what was told for good. When the Live is
// closed meanwhile, reconnect notices.
func (l *Live) takeBack() {
	l.mu.Lock()
	l.mu.socket = nil
	l.unanswered()
	subs := slices.Collect(maps.Values(l.mu.subs))
	l.mu.Unlock()
	for _, s := range subs {
		switch err := s.takeBack(); {
		case errors.Is(err, ErrUnsettled):
			if l.ended(s, err) != nil {
				return
			}
			l.forget(s)
		case err != nil:
			return
		}
	}
}

// serve handles the frames of one socket until it breaks, and reports whether
// there were any.
func (l *Live) serve(s *socket) (useful bool, err error) {
	stop := context.AfterFunc(l.ctx, s.abort)
	defer stop()
	for {
		f, err := s.receive()
		if err != nil {
			return useful, err
		}
		useful = true
		if err := l.handle(s, f); err != nil {
			return useful, err
		}
	}
}

// reconnect dials until it succeeds or the Live is closed. A refusal of the
// account is final.
func (l *Live) reconnect(wait *time.Duration) (*socket, error) {
	for {
		timer := time.NewTimer(*wait)
		select {
		case <-timer.C:
		case <-l.ctx.Done():
			timer.Stop()
			return nil, ErrClosed
		}
		*wait = min(max(2**wait, firstWait), lastWait)
		s, err := l.client.dial(l.ctx, l.pace, l.session)
		if err == nil {
			return s, nil
		}
		var refused *Error
		if errors.As(err, &refused) && !refused.Temporary() {
			return nil, refused
		}
	}
}

// resubscribe asks for every subscription on a new socket. If that breaks,
// serve notices.
func (l *Live) resubscribe(s *socket) {
	l.mu.Lock()
	l.mu.socket = s
	messages := make([]subscribeMessage, 0, len(l.mu.subs))
	for _, sub := range l.mu.subs {
		messages = append(messages, sub.request(true))
	}
	l.mu.Unlock()
	for _, m := range messages {
		if s.send(m) != nil {
			return
		}
	}
}

// finish ends every subscription.
func (l *Live) finish(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.err = err
	for g := range l.mu.groups {
		g.end(err)
	}
	clear(l.mu.groups)
	for id, s := range l.mu.subs {
		s.end(err)
		delete(l.mu.subs, id)
	}
}

// handle acts on one frame.
func (l *Live) handle(socket *socket, f *frame) error {
	if f.Type == "error" && f.Code == codeRateLimit {
		// One of the messages was not taken, and nobody says which.
		return &busyError{f.refusal()}
	}
	if l.answered(f) {
		return nil
	}
	if f.Type == "commit" && f.SubscriptionID == "" {
		return l.committed(f.Position)
	}
	l.mu.Lock()
	s := l.mu.subs[f.SubscriptionID]
	l.mu.Unlock()
	switch {
	case s == nil && f.Type == "subscription_ack": // closed before it was asked for
		return socket.send(unsubscribe(f.SubscriptionID))
	case s == nil: // closed meanwhile, or not about a subscription
		return nil
	}
	if err := l.tell(socket, s, f); err != nil || s.group == nil {
		return err
	}
	if f.Type == "commit" {
		return s.group.flush(s, f.Position)
	}
	if !s.settled || !socket.marks {
		return s.group.flush(s, 0)
	}
	return nil
}

// committed ends a commit for all subscriptions of the socket.
func (l *Live) committed(position uint64) error {
	l.mu.Lock()
	groups := slices.Collect(maps.Keys(l.mu.groups))
	l.mu.Unlock()
	for _, g := range groups {
		if err := g.flush(nil, position); err != nil {
			return err
		}
	}
	return nil
}

// tell passes a frame on to its subscription.
func (l *Live) tell(socket *socket, s *Subscription, f *frame) error {
	switch f.Type {
	case "subscription_ack":
		s.began = true
		if f.Result && s.result == nil {
			s.result = heldOf(f)
		}
		if s.mode == changesOnly && !socket.marks {
			return s.settle(0)
		}
	case "initial_data_batch":
		return s.batch(socket, f)
	case "change":
		return s.change(f)
	case "commit":
		return s.settle(f.Position)
	case "error":
		return l.refused(s, f)
	}
	return nil
}

// refused ends a subscription. One that had begun before the socket broke, and
// now meets its own predecessor, whose end the server has not noticed yet, is
// tried again.
func (l *Live) refused(s *Subscription, f *frame) error {
	if s.began && f.Code == codeSubscriptionLimit {
		return &busyError{f.refusal()}
	}
	l.mu.Lock()
	delete(l.mu.subs, s.id)
	l.mu.Unlock()
	return l.ended(s, f.refusal())
}

// ended ends a subscription, and says so to its group.
func (l *Live) ended(s *Subscription, err error) error {
	if s.group == nil {
		s.end(err)
		return nil
	}
	if err := s.group.flush(s, 0); err != nil {
		return err
	}
	s.end(err)
	return s.group.deliver(Unit{Ended: s, Err: err})
}

// frame is any message of the server.
type frame struct {
	Type           string                       `json:"type"`
	SubscriptionID string                       `json:"subscription_id"`
	ChangeType     string                       `json:"change_type"`
	Rows           []map[string]json.RawMessage `json:"rows"`
	OldValues      []map[string]json.RawMessage `json:"old_values"`
	Control        struct {
		HasMore   bool            `json:"has_more"`
		LastSeqID json.RawMessage `json:"last_seq_id"`
	} `json:"batch_control"`
	Position uint64 `json:"position,string"`
	ID       string `json:"id"`
	Seq      uint64 `json:"_seq,string"`
	Found    bool   `json:"found"`
	Code     string `json:"code"`
	Message  string `json:"message"`
	Result   bool   `json:"result"`
	Schema   []struct {
		Name  string   `json:"name"`
		Flags []string `json:"flags"`
	} `json:"schema"`
	Protocol struct {
		Features []string `json:"features"`
	} `json:"protocol"`
}

func (f *frame) refusal() *Error { return &Error{Code: f.Code, Message: f.Message} }

// decodeFrame reads a message of the server.
func decodeFrame(text []byte) (*frame, error) {
	f := &frame{}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, fmt.Errorf("decode frame: %w", err)
	}
	return f, nil
}
