package kalam

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strconv"
)

// ErrUnanswered says that the connection broke, or there was none, before the
// server answered: whether a row is present is not known.
var ErrUnanswered = errors.New("the connection broke before the server answered")

// newSession returns a name that no other Live has.
func newSession() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// presenceMessage is present or absent.
type presenceMessage struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Table string `json:"table"`
	Row   any    `json:"row,omitempty"`
	Key   any    `json:"key,omitempty"`
}

// Present makes a row of a table with PRESENCE present, or replaces it, and
// returns its _seq. table has its namespace; row is written as a JSON object. The
// row leaves when the Live is closed, or has been without a connection for longer
// than the grace time of the table: whoever is back later, or meets a server that
// has been started again, calls Present again.
func (l *Live) Present(ctx context.Context, table string, row any) (seq uint64, err error) {
	f, err := l.ask(ctx, presenceMessage{Type: "present", Table: table, Row: row})
	if err != nil {
		return 0, err
	}
	return f.Seq, nil
}

// Absent takes back the rows of this Live that have the given columns, and reports
// whether there were any.
func (l *Live) Absent(ctx context.Context, table string, key any) (found bool, err error) {
	f, err := l.ask(ctx, presenceMessage{Type: "absent", Table: table, Key: key})
	if err != nil {
		return false, err
	}
	return f.Found, nil
}

// ask sends a message and waits for its answer.
func (l *Live) ask(ctx context.Context, m presenceMessage) (*frame, error) {
	answer := make(chan *frame, 1)
	l.mu.Lock()
	if l.mu.err != nil {
		defer l.mu.Unlock()
		return nil, l.mu.err
	}
	socket := l.mu.socket
	if socket == nil {
		l.mu.Unlock()
		return nil, ErrUnanswered
	}
	l.mu.next++
	m.ID = "presence " + strconv.Itoa(l.mu.next)
	l.mu.asked[m.ID] = answer
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.mu.asked, m.ID)
		l.mu.Unlock()
	}()
	if socket.send(m) != nil {
		return nil, ErrUnanswered
	}
	select {
	case f := <-answer:
		switch {
		case f == nil:
			return nil, ErrUnanswered
		case f.Type == "error":
			return nil, f.refusal()
		}
		return f, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.done:
		return nil, ErrClosed
	}
}

// answered passes a frame on to who has asked, and reports whether somebody has.
func (l *Live) answered(f *frame) bool {
	id := f.ID
	if f.Type == "error" {
		id = f.SubscriptionID
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	answer := l.mu.asked[id]
	if answer == nil {
		return false
	}
	delete(l.mu.asked, id)
	answer <- f
	return true
}

// unanswered tells those who have asked that their socket is broken. l.mu is held.
func (l *Live) unanswered() {
	for id, answer := range l.mu.asked {
		delete(l.mu.asked, id)
		answer <- nil
	}
}
