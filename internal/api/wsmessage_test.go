package api

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"kalamdb/internal/testkit"
)

// readServerFrame reads a frame of ours with the eyes of a client.
func readServerFrame(b []byte) (testkit.Received, error) {
	ours, theirs := net.Pipe()
	go func() {
		_, _ = ours.Write(b)
		_ = ours.Close()
	}()
	return testkit.NewSocket(theirs).ReceiveFrame()
}

func TestDecodeMessage(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		m, err := decodeMessage([]byte(text))
		got := ""
		switch {
		case err != nil:
			got = "error: " + err.Error()
		case m.kind == typeSubscribe:
			got = fmt.Sprintf("%s %q %q", m.kind, m.request.ID, m.request.SQL)
			if o := m.request.Options; o != nil {
				got += fmt.Sprintf(" %d %d/%v %d/%v %v %s", o.BatchSize, o.LastRows, o.HasLastRows, o.From, o.HasFrom, o.Replay, o.JSON)
			}
			if len(m.request.Params) > 0 {
				got += fmt.Sprint(" ", m.request.Params)
			}
			if m.refusal != nil {
				got += " refused: " + m.refusal.Error()
			}
		case m.kind == typeAuthenticate:
			got = fmt.Sprintf("%s %s %s %+v", m.kind, m.method, m.token, m.wish)
		default:
			got = strings.TrimSpace(fmt.Sprintf("%s %s %d/%v", m.kind, m.id, m.last, m.hasLast))
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	f(`{"type":"ping"}`, `ping  0/false`)
	f(` {"type" : "ping", "more": [1, {"x": null}]} `, `ping  0/false`)
	f(`{"type":"unsubscribe","subscription_id":"a"}`, `unsubscribe a 0/false`)
	f(`{"type":"next_batch","subscription_id":"a"}`, `next_batch a 0/false`)
	f(`{"type":"next_batch","subscription_id":"a","last_seq_id":null}`, `next_batch a 0/false`)
	// All 64 bits, as a number or as text.
	f(`{"type":"next_batch","subscription_id":"a","last_seq_id":7310449231028224001}`, `next_batch a 7310449231028224001/true`)
	f(`{"type":"next_batch","subscription_id":"a","last_seq_id":"18446744073709551615"}`, `next_batch a 18446744073709551615/true`)
	f(`{"type":"next_batch","subscription_id":"a","last_seq_id":18446744073709551616}`, "error: last_seq_id must be a whole number or a decimal string")
	f(`{"type":"next_batch","subscription_id":"a","last_seq_id":-1}`, "error: last_seq_id must be a whole number or a decimal string")
	f(`{"type":"next_batch","subscription_id":"a","last_seq_id":1.5}`, "error: last_seq_id must be a whole number or a decimal string")
	f(`{"type":"next_batch","subscription_id":"a","last_seq_id":{}}`, "error: last_seq_id must be a whole number or a decimal string")
	f(`{"type":"authenticate","method":"jwt","token":"t"}`, `authenticate jwt t {Serialization: Compression: Features:[]}`)
	f(`{"type":"authenticate","method":"jwt","token":"t","protocol":{"serialization":"msgpack","compression":"none","features":["lagging"]}}`,
		`authenticate jwt t {Serialization:msgpack Compression:none Features:[lagging]}`)
	f(`{"type":"subscribe","subscription":{"id":"a","sql":"S"}}`, `subscribe "a" "S"`)
	f(`{"type":"subscribe","subscription":{"id":"a","sql":"S","options":null}}`, `subscribe "a" "S"`)
	f(`{"type":"subscribe","subscription":{"id":"a","sql":"S","options":{}}}`, `subscribe "a" "S" 0 0/false 0/false false {}`)
	f(`{"type":"subscribe","subscription":{"id":"a","sql":"S","options":{ "batch_size": 5, "last_rows":0,"from":"7","auto_fetch_batches":true}}}`,
		`subscribe "a" "S" 5 0/true 7/true false {"batch_size":5,"last_rows":0,"from":"7","auto_fetch_batches":true}`)
	f(`{"type":"subscribe","subscription":{"id":"a","sql":"S","options":{"from_seq_id":7,"replay":"changes"}}}`,
		`subscribe "a" "S" 0 0/false 7/true true {"from_seq_id":7,"replay":"changes"}`)
	f(`{"type":"subscribe","subscription":{"id":"a","sql":"S","options":{"from":8,"from_seq_id":7,"replay":"all"}}}`,
		`subscribe "a" "S" 0 0/false 8/true false {"from":8,"from_seq_id":7,"replay":"all"} refused: Invalid operation: replay must be "changes" or "difference"`)
	f(`{"type":"subscribe","subscription":{"id":"a","sql":"S","options":{"batch_size":-1}}}`, "error: batch_size must not be negative")
	f(`{"type":"subscribe","subscription":{"id":"a","sql":"S","params":[1,"x", null]}}`, `subscribe "a" "S" [1 x NULL]`)
	f(`{"type":"subscribe","subscription":{"id":"a","sql":"S","params":null}}`, `subscribe "a" "S"`)
	f(`{"type":"subscribe","subscription":{"id":"a","sql":"S","params":{"1":2}}}`, `subscribe "a" "S" refused: Params must be a JSON array`)
	f(`{"type":"subscribe","subscription":{"id":"a","sql":"S","options":[]}}`, "error: the message must not be a JSON array")
	f(`{"type":"subscribe","subscription":{"id":"a"}}`, "error: missing field `subscription.sql`")
	f(`{"type":"subscribe","subscription":{"sql":"S"}}`, "error: missing field `subscription.id`")
	f(`{"type":"subscribe"}`, "error: missing field `subscription`")
	f(`{"type":"unsubscribe"}`, "error: missing field `subscription_id`")
	f(`{"type":"shout"}`, `error: unknown type "shout"`)
	f(`{"type":7}`, "error: type must not be a JSON number")
	f(`{}`, "error: missing field `type`")
	f(`[]`, "error: the message must not be a JSON array")
	f(`{"type":"ping"`, "error: unexpected end of JSON input")
	f(``, "error: unexpected end of JSON input")
}

// TestQueuedRequestsAreBounded: requests that wait are bounded in their number
// and in their bytes; then the client is not read.
func TestQueuedRequestsAreBounded(t *testing.T) {
	f := func(size int64, want int) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		s := &socket{ctx: ctx}
		s.work.running = true // nobody handles them
		for range want {
			s.enqueue(clientMessage{size: size})
		}
		cancel()
		for range 100 {
			s.enqueue(clientMessage{size: size}) // returns because the socket is over
		}
		if got := len(s.work.queue); got != want {
			t.Errorf("%d requests of %d bytes are queued, want %d", got, size, want)
		}
	}
	f(100, queuedRequests)
	f(queuedBytes/4, 4)
	f(queuedBytes, 1)
}
