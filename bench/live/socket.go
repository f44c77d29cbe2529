package live

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const (
	opText      = 0x1
	opClose     = 0x8
	opPing      = 0x9
	opPong      = 0xA
	final       = 0x80
	masked      = 0x80
	smallLength = 125
	length16    = 126
	length64    = 127
)

// appendMasked appends a client's frame. The mask is zero, so that the payload
// stays as it is.
func appendMasked(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, final|op)
	switch n := len(payload); {
	case n <= smallLength:
		dst = append(dst, masked|byte(n))
	default:
		dst = append(dst, masked|length16)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	}
	dst = append(dst, 0, 0, 0, 0)
	return append(dst, payload...)
}

// frame reads the first frame of a server in data; size is 0 when it is not
// complete.
func frame(data []byte) (op byte, payload []byte, size int) {
	if len(data) < 2 {
		return 0, nil, 0
	}
	head, length := 2, int(data[1])
	switch length {
	case length16:
		if head = 4; len(data) < head {
			return 0, nil, 0
		}
		length = int(binary.BigEndian.Uint16(data[2:]))
	case length64:
		if head = 10; len(data) < head {
			return 0, nil, 0
		}
		length = int(binary.BigEndian.Uint64(data[2:]))
	}
	if len(data)-head < length {
		return 0, nil, 0
	}
	return data[0] & 0xF, data[head : head+length], head + length
}

// socket is one client connection with its subscriptions: s0, s1, …
type socket struct {
	r        *run
	c        *conn
	index    int
	upgraded bool
	acked    int
	sql      func(i int) string
	event    func(s *socket, payload []byte) error
	// raw is what has come of the round at hand, if it is to be kept.
	raw  []byte
	keep bool
}

// open dials a socket and asks for n subscriptions. Who opens many awaits them
// together.
func (r *run) open(n int, sql func(i int) string, event func(*socket, []byte) error) (*socket, error) {
	s := &socket{r: r, index: len(r.sockets), sql: sql, event: event}
	var err error
	if s.c, err = r.loop.dial(r.job.Addr, s.take); err != nil {
		return nil, err
	}
	r.sockets = append(r.sockets, s)
	out := r.upgrade("/v1/ws?compress=false", "Authorization: Bearer "+r.job.Token+"\r\n")
	for i := range n {
		out = appendMasked(out, opText, subscribeMessage(i, sql(i), nil))
	}
	if err := r.loop.write(s.c, out); err != nil {
		return nil, err
	}
	return s, r.loop.await("subscribe", func() bool { return s.acked == n })
}

var headEnd = []byte("\r\n\r\n")

// take acts on what has come: the answer to the upgrade, then frames.
func (s *socket) take(data []byte) (used int, err error) {
	if !s.upgraded {
		if used, err = upgraded(data); used == 0 || err != nil {
			return 0, err
		}
		s.upgraded = true
	}
	for {
		op, payload, size := frame(data[used:])
		if size == 0 {
			return used, nil
		}
		if s.keep {
			s.raw = append(s.raw, data[used:used+size]...)
		}
		used += size
		switch op {
		case opText:
			err = s.message(payload)
		case opPing:
			err = s.r.loop.writeNow(s.c, appendMasked(nil, opPong, payload))
		case opPong:
		default:
			err = fmt.Errorf("frame of kind %d: %.200q", op, payload)
		}
		if err != nil {
			return used, err
		}
	}
}

var (
	changeHead = []byte(`{"type":"change","subscription_id":"s`)
	authHead   = []byte(`{"type":"auth_success",`)
	ackHead    = []byte(`{"type":"subscription_ack",`)
)

func (s *socket) message(payload []byte) error {
	switch {
	case bytes.HasPrefix(payload, changeHead):
		return s.event(s, payload)
	case bytes.HasPrefix(payload, ackHead):
		s.acked++
		return nil
	case bytes.HasPrefix(payload, authHead):
		return nil
	}
	return fmt.Errorf("message %.300q", payload)
}

// split returns the number of the subscription that a change is for, and what
// every subscription with the same projection gets.
func split(payload []byte) (subscription int, body []byte, err error) {
	text := payload[len(changeHead):]
	end := bytes.IndexByte(text, '"')
	if end < 1 {
		return 0, nil, fmt.Errorf("change %.300q", payload)
	}
	for _, c := range text[:end] {
		if c < '0' || c > '9' {
			return 0, nil, fmt.Errorf("change %.300q", payload)
		}
		subscription = subscription*10 + int(c-'0')
	}
	return subscription, text[end:], nil
}

// nothing is the event of subscriptions that must see none.
func nothing(_ *socket, payload []byte) error {
	return fmt.Errorf("a change that nobody asked for: %.300q", payload)
}
