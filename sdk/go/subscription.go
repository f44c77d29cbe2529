package kalam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
)

// Kind says what an event is.
type Kind string

// The kinds of events.
const (
	Snapshot Kind = "snapshot" // a row that matched when the subscription began, or that matches after a gap
	Ready    Kind = "ready"    // the snapshot, or what there was to tell after a gap, is complete; changes follow
	Insert   Kind = "insert"
	Update   Kind = "update"
	Delete   Kind = "delete"
)

// Event is one thing a subscription tells. After a gap a row may be told, or
// deleted, once more; keeping rows by key makes that harmless.
type Event struct {
	Kind Kind
	// Row is the row by column name, for Delete the last values that matched.
	// For Update it holds the key and every column that is not NULL.
	Row map[string]json.RawMessage
	// Old holds the key and the previous values of changed columns, for Update.
	Old map[string]json.RawMessage
	// Seq is the version of the row; 0 for Ready and where the server names none.
	Seq uint64
	// Resume is what to give as From to go on behind this event; 0 for a join, an
	// aggregate, DISTINCT or LIMIT, which the Live reads anew after a gap. While the
	// difference after a gap is told it stays where the gap began. A program
	// that keeps rows over its own restarts first drops those whose Seq is
	// greater than the last Resume.
	Resume uint64
}

// ErrOptions says that options of a subscription contradict each other.
var ErrOptions = errors.New("contradictory options")

// ErrUnsettled ends a subscription whose connection broke while more of a
// difference had been told than the client keeps to take it back. Forget its
// rows and subscribe again.
var ErrUnsettled = errors.New("the connection broke within a difference that is too large to take back")

// maxUnsettled is how many rows of a difference are kept to take them back.
const maxUnsettled = 100_000

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
	// Replay asks, whenever the subscription resumes after a position, for each
	// change since rather than for the difference of the result. A snapshot that
	// broke off before Ready is gone on with as a difference.
	Replay bool
	// Params are the values of $1, $2, … in the query: nil, booleans, numbers and
	// texts.
	Params []any
	// Buffer is how many events may wait for Next; 0 is 1,024. When it is full
	// the socket is not read, and the server keeps what follows.
	Buffer int
}

func (o *SubscribeOptions) check() error {
	switch {
	case o.LastRows < 0 || o.BatchSize < 0 || o.Buffer < 0:
		return fmt.Errorf("%w: LastRows, BatchSize and Buffer cannot be negative", ErrOptions)
	case o.From > 0 && (o.NoSnapshot || o.LastRows > 0):
		return fmt.Errorf("%w: From takes no snapshot, so NoSnapshot and LastRows mean nothing beside it", ErrOptions)
	case o.NoSnapshot && o.LastRows > 0:
		return fmt.Errorf("%w: NoSnapshot and LastRows", ErrOptions)
	}
	if _, err := json.Marshal(o.Params); err != nil {
		return fmt.Errorf("%w: Params cannot be written as JSON: %w", ErrOptions, err)
	}
	return nil
}

// mode is what a subscription was last asked to begin with.
type mode int

const (
	wholeResult mode = iota // pages of rows, then changes
	difference              // pages of rows that changed, the deletes since, then changes
	changesOnly
)

// Subscription is one live query. Its events are for one goroutine.
type Subscription struct {
	live    *Live
	id      string
	sql     string
	options SubscribeOptions
	events  chan Event
	ended   chan struct{} // closed when err is set
	err     error
	once    sync.Once
	group   *Group // that its events go to, nil for Next
	// whole is the cursor behind the last commit that its group was told of.
	whole uint64
	// Set under live.mu when the query is asked for, before the loop can see an
	// answer; from then on for the loop alone.
	mode    mode
	began   bool   // the server has acknowledged it once
	settled bool   // Ready has been told on this socket
	ready   bool   // Ready has been told on any
	cursor  uint64 // all that matched up to here has been told
	// result is what has been told of a join, an aggregate, DISTINCT or LIMIT;
	// nil for rows of a table.
	result *held
	// unsettled are rows told beyond the cursor: what deletes them may lie
	// between the two.
	unsettled []Event
}

func newSubscription(l *Live, sql string, o SubscribeOptions) *Subscription {
	buffer := o.Buffer
	if buffer == 0 {
		buffer = 1024
	}
	return &Subscription{live: l, sql: sql, options: o, events: make(chan Event, buffer), ended: make(chan struct{}), cursor: o.From, whole: o.From}
}

// Next returns the next event. After the last one it returns the reason of the
// end: ErrClosed, or the server's *Error. When ctx ends first it returns ctx's
// error, and the subscription goes on. One of a Group has its events there.
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

// Close ends the subscription. Events that wait can still be read.
func (s *Subscription) Close() {
	s.end(ErrClosed)
	s.live.forget(s)
}

// end makes Next return err once the events that wait have been read.
func (s *Subscription) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.ended)
	})
}

// subscribeMessage asks for a subscription.
type subscribeMessage struct {
	Type         string `json:"type"`
	Subscription struct {
		ID      string       `json:"id"`
		SQL     string       `json:"sql"`
		Params  []any        `json:"params,omitempty"`
		Options *wireOptions `json:"options,omitempty"` // without them there is no snapshot
	} `json:"subscription"`
}

type wireOptions struct {
	BatchSize int    `json:"batch_size,omitempty"`
	LastRows  int    `json:"last_rows,omitempty"`
	From      string `json:"from,omitempty"`
	Replay    string `json:"replay,omitempty"`
}

// request is the subscribe message, to begin or to resume. live.mu is held.
func (s *Subscription) request(resume bool) subscribeMessage {
	m := subscribeMessage{Type: "subscribe"}
	m.Subscription.ID, m.Subscription.SQL, m.Subscription.Params = s.id, s.sql, s.options.Params
	s.settled = false
	o := &wireOptions{BatchSize: s.options.BatchSize}
	switch {
	case s.result != nil:
		s.mode = wholeResult
		s.result.renew()
	case s.cursor > 0 && (resume || s.options.From > 0):
		s.mode = difference
		o.From = strconv.FormatUint(s.cursor, 10)
		// A snapshot that broke off is gone on with as a difference: its later pages
		// lack rows that changed meanwhile, so that no single moment stands behind
		// it from which changes could be told one by one.
		if s.options.Replay && (s.ready || s.options.From > 0 || s.options.NoSnapshot) {
			s.mode, o.Replay = changesOnly, "changes"
		}
	case s.options.NoSnapshot:
		s.mode, o = changesOnly, nil
	default:
		s.mode = wholeResult
		if n := s.options.LastRows; n > 0 {
			o.LastRows, o.BatchSize = n, max(o.BatchSize, n)
		}
	}
	m.Subscription.Options = o
	return m
}

func unsubscribe(id string) any {
	return map[string]string{"type": "unsubscribe", "subscription_id": id}
}

// nextBatch asks for the page behind a row.
type nextBatch struct {
	Type           string          `json:"type"`
	SubscriptionID string          `json:"subscription_id"`
	LastSeqID      json.RawMessage `json:"last_seq_id,omitempty"`
}

// batch delivers a page of the snapshot and asks for the next.
func (s *Subscription) batch(socket *socket, f *frame) error {
	for _, row := range f.Rows {
		if s.result != nil && s.result.again && !s.result.news(row) {
			continue
		}
		if err := s.deliver(Event{Kind: Snapshot, Row: row, Seq: seqOf(row)}); err != nil {
			return err
		}
	}
	if s.result != nil && s.result.again && !f.Control.HasMore {
		for _, row := range s.result.gone() {
			if err := s.deliver(Event{Kind: Delete, Row: row, Seq: seqOf(row)}); err != nil {
				return err
			}
		}
	}
	switch {
	case f.Control.HasMore:
		return socket.send(nextBatch{"next_batch", s.id, f.Control.LastSeqID})
	case !socket.marks:
		return s.settle(0)
	}
	return nil
}

// settle notes that everything up to a position has been told.
func (s *Subscription) settle(position uint64) error {
	for _, e := range s.unsettled {
		position = max(position, e.Seq)
	}
	s.unsettled = nil
	s.cursor = max(s.cursor, position)
	if s.settled {
		return nil
	}
	s.settled, s.ready = true, true
	return s.deliver(Event{Kind: Ready})
}

// takeBack deletes the rows that were told beyond the cursor when the socket
// broke: what comes from there tells those again that still match.
func (s *Subscription) takeBack() error {
	if s.group != nil {
		s.group.drop(s)
	}
	if len(s.unsettled) > maxUnsettled {
		return ErrUnsettled
	}
	rows := s.unsettled
	s.unsettled = nil
	for _, e := range rows {
		if err := s.hand(Event{Kind: Delete, Row: e.Row, Seq: e.Seq, Resume: s.cursor}); err != nil {
			return err
		}
	}
	if s.group != nil {
		return s.group.flush(s, 0)
	}
	return nil
}

// change delivers the rows of a change frame.
func (s *Subscription) change(f *frame) error {
	rows := f.Rows
	if f.ChangeType == string(Delete) {
		rows = f.OldValues
	}
	for i, row := range rows {
		e := Event{Kind: Kind(f.ChangeType), Row: row, Seq: seqOf(row)}
		if e.Kind == Update && i < len(f.OldValues) {
			e.Old = f.OldValues[i]
		}
		if err := s.deliver(e); err != nil {
			return err
		}
	}
	return nil
}

// deliver hands an event over and notes how far the subscriber has come.
func (s *Subscription) deliver(e Event) error {
	switch {
	case s.settled || s.mode != difference:
		s.cursor = max(s.cursor, e.Seq)
	case e.Kind != Delete && len(s.unsettled) <= maxUnsettled:
		// Its deletes come last, whatever their positions.
		s.unsettled = append(s.unsettled, e)
	}
	e.Resume = s.cursor
	if s.result != nil {
		e.Resume = 0
		if e.Kind != Ready {
			s.result.tell(&e, s.group != nil)
		}
	}
	return s.hand(e)
}

// hand waits while the subscriber is slow.
func (s *Subscription) hand(e Event) error {
	if s.group != nil {
		return s.group.add(s, e)
	}
	select {
	case s.events <- e:
	case <-s.ended:
	case <-s.live.ctx.Done():
		return ErrClosed
	}
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
