package kalam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Waits between attempts to connect again.
const (
	firstWait = 250 * time.Millisecond
	lastWait  = 30 * time.Second
)

// ErrClosed says that a Live or a subscription has been closed.
var ErrClosed = errors.New("the subscription is closed")

// Kind says what an event is.
type Kind string

// The kinds of events.
const (
	Snapshot Kind = "snapshot" // a row that matched when the subscription began, or that matches after a gap
	Ready    Kind = "ready"    // the snapshot is complete; changes follow
	Insert   Kind = "insert"
	Update   Kind = "update"
	Delete   Kind = "delete"
)

// Event is one thing a subscription tells.
type Event struct {
	Kind Kind
	// Row is the row by column name, for Delete the last values that matched.
	// For Update it holds the key and every column that is not NULL.
	Row map[string]json.RawMessage
	// Old holds the previous values of changed columns, for Update.
	Old map[string]json.RawMessage
	// Seq is the position of the row.
	Seq uint64
}

// SubscribeOptions say what a subscription begins with.
type SubscribeOptions struct {
	// NoSnapshot asks for changes only.
	NoSnapshot bool
	// LastRows asks for the newest rows only; 0 is all.
	LastRows int
	// BatchSize is how many rows a page of the snapshot holds; 0 is 1,000.
	BatchSize int
	// From resumes after a position instead of taking a snapshot; 0 is none.
	From uint64
	// Replay, with From, asks for each change after it rather than for the
	// difference of the result.
	Replay bool
	// Buffer is how many events may wait for Next; 0 is 1,024. When it is full
	// the socket is not read, and the server keeps what follows.
	Buffer int
}

// Live carries subscriptions over one socket. It may be used by many
// goroutines. A subscription whose events nobody reads stops the others of its
// Live, for they share the socket.
type Live struct {
	client *Client
	ctx    context.Context // ends with Close; bounds the loop, not a request
	cancel context.CancelFunc
	done   chan struct{}
	mu     struct {
		sync.Mutex
		socket *socket // nil while there is none
		subs   map[string]*Subscription
		next   int
		err    error // why the Live ended
	}
}

// Subscription is one live query.
type Subscription struct {
	live    *Live
	id      string
	sql     string
	options SubscribeOptions
	events  chan Event
	ended   chan struct{} // closed when err is set
	err     error
	once    sync.Once
	// The loop alone uses these.
	cursor uint64 // greatest position seen
	ready  bool
}

// Live connects. The connection is kept until Close.
func (c *Client) Live(ctx context.Context) (*Live, error) {
	s, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	loop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &Live{client: c, ctx: loop, cancel: cancel, done: make(chan struct{})}
	l.mu.socket = s
	l.mu.subs = map[string]*Subscription{}
	go l.loop(s)
	return l, nil
}

// Close ends every subscription and waits for the connection's goroutine.
func (l *Live) Close() error {
	l.cancel()
	l.mu.Lock()
	if l.mu.socket != nil {
		l.mu.socket.close()
	}
	l.mu.Unlock()
	<-l.done
	return nil
}

// Subscribe opens a live query. The server's refusal comes from Next.
func (l *Live) Subscribe(sql string, o SubscribeOptions) (*Subscription, error) {
	if o.Buffer == 0 {
		o.Buffer = 1024
	}
	s := &Subscription{live: l, sql: sql, options: o, events: make(chan Event, o.Buffer), ended: make(chan struct{}), cursor: o.From}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.err != nil {
		return nil, l.mu.err
	}
	l.mu.next++
	s.id = "s" + strconv.Itoa(l.mu.next)
	l.mu.subs[s.id] = s
	if l.mu.socket != nil {
		// A socket that breaks here is noticed by the loop, which subscribes
		// again.
		_ = l.mu.socket.send(s.request(false))
	}
	return s, nil
}

// Next returns the next event. After the last one it returns the reason of the
// end: ErrClosed, the server's *Error, or ctx's.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	select {
	case e := <-s.events:
		return e, nil
	default:
	}
	select {
	case e := <-s.events:
		return e, nil
	case <-s.ended:
		select {
		case e := <-s.events:
			return e, nil
		default:
			return Event{}, s.err
		}
	case <-ctx.Done():
		return Event{}, ctx.Err()
	}
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	if _, ok := s.live.mu.subs[s.id]; !ok {
		return
	}
	delete(s.live.mu.subs, s.id)
	if s.live.mu.socket != nil {
		_ = s.live.mu.socket.send(map[string]any{"type": "unsubscribe", "subscription_id": s.id})
	}
	s.end(ErrClosed)
}

// end makes Next return err once the events that wait have been read.
func (s *Subscription) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.ended)
	})
}

// request is the subscribe message, to begin or to resume.
func (s *Subscription) request(resume bool) any {
	subscription := map[string]any{"id": s.id, "sql": s.sql}
	options := map[string]any{}
	if s.options.BatchSize > 0 {
		options["batch_size"] = s.options.BatchSize
	}
	switch {
	case s.cursor > 0 && (resume || s.options.From > 0):
		options["from"] = strconv.FormatUint(s.cursor, 10)
		if s.options.Replay {
			options["replay"] = "changes"
		}
	case s.options.NoSnapshot:
		options = nil
	case s.options.LastRows > 0:
		options["last_rows"] = s.options.LastRows
		options["batch_size"] = max(s.options.BatchSize, s.options.LastRows)
	}
	if options != nil {
		subscription["options"] = options
	}
	return map[string]any{"type": "subscribe", "subscription": subscription}
}

// loop reads the socket, and connects again when it breaks.
func (l *Live) loop(s *socket) {
	defer close(l.done)
	for {
		err := l.serve(s)
		s.close()
		if l.ctx.Err() == nil {
			s, err = l.reconnect(err)
		}
		if l.ctx.Err() != nil {
			err = ErrClosed
		}
		if err != nil {
			l.finish(err)
			return
		}
	}
}

// serve handles the frames of one socket until it breaks.
func (l *Live) serve(s *socket) error {
	for {
		f, err := s.receive()
		if err != nil {
			return err
		}
		if err := l.handle(s, f); err != nil {
			return err
		}
	}
}

// reconnect dials until it succeeds or the Live is closed, and subscribes
// again. A refusal of the account is final.
func (l *Live) reconnect(cause error) (*socket, error) {
	l.mu.Lock()
	l.mu.socket = nil
	l.mu.Unlock()
	wait := firstWait
	for {
		s, err := l.client.dial(l.ctx)
		if err == nil {
			l.mu.Lock()
			l.mu.socket = s
			for _, sub := range l.mu.subs {
				sub.ready = false
				if err = s.send(sub.request(true)); err != nil {
					break
				}
			}
			l.mu.Unlock()
			return s, nil
		}
		var refused *Error
		if errors.As(err, &refused) {
			return nil, refused
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("connect again: %w", errors.Join(cause, err))
		}
		wait = min(2*wait, lastWait)
	}
}

// finish ends every subscription.
func (l *Live) finish(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.err = err
	for id, s := range l.mu.subs {
		s.end(err)
		delete(l.mu.subs, id)
	}
}

// handle acts on one frame.
func (l *Live) handle(socket *socket, f *frame) error {
	l.mu.Lock()
	s := l.mu.subs[f.SubscriptionID]
	l.mu.Unlock()
	if s == nil {
		return nil // closed meanwhile, or not about a subscription
	}
	switch f.Type {
	case "subscription_ack":
		if f.Control.Status == "ready" && (s.options.NoSnapshot || s.options.Replay) {
			return l.deliverReady(s)
		}
	case "initial_data_batch":
		return l.batch(socket, s, f)
	case "change":
		return l.change(s, f)
	case "error":
		l.mu.Lock()
		delete(l.mu.subs, s.id)
		l.mu.Unlock()
		s.end(&Error{Code: f.Code, Message: f.Message})
	}
	return nil
}

// batch delivers a page of the snapshot and asks for the next.
func (l *Live) batch(socket *socket, s *Subscription, f *frame) error {
	for _, row := range f.Rows {
		if err := l.deliver(s, Event{Kind: Snapshot, Row: row, Seq: seqOf(row)}); err != nil {
			return err
		}
	}
	if !f.Control.HasMore {
		return l.deliverReady(s)
	}
	return socket.send(map[string]any{"type": "next_batch", "subscription_id": s.id, "last_seq_id": f.Control.LastSeqID})
}

func (l *Live) deliverReady(s *Subscription) error {
	s.ready = true
	return l.deliver(s, Event{Kind: Ready, Seq: s.cursor})
}

// change delivers the rows of a change frame.
func (l *Live) change(s *Subscription, f *frame) error {
	rows := f.Rows
	if f.ChangeType == string(Delete) {
		rows = f.OldValues
	}
	for i, row := range rows {
		e := Event{Kind: Kind(f.ChangeType), Row: row, Seq: seqOf(row)}
		if e.Kind == Update && i < len(f.OldValues) {
			e.Old = f.OldValues[i]
		}
		if err := l.deliver(s, e); err != nil {
			return err
		}
	}
	return nil
}

// deliver hands an event over, waiting while the subscriber is slow.
func (l *Live) deliver(s *Subscription, e Event) error {
	select {
	case s.events <- e:
	case <-s.ended:
		return nil
	case <-l.ctx.Done():
		return ErrClosed
	}
	s.cursor = max(s.cursor, e.Seq)
	return nil
}

// seqOf reads _seq, which travels as a decimal string.
func seqOf(row map[string]json.RawMessage) uint64 {
	raw := row["_seq"]
	if len(raw) > 1 && raw[0] == '"' {
		raw = raw[1 : len(raw)-1]
	}
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
