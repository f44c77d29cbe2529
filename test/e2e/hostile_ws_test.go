package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/config"
)

// subscribe is the message of a client.
func subscribe(id, sql, options string) string {
	text, err := json.Marshal(map[string]any{"type": "subscribe", "subscription": map[string]any{"id": id, "sql": sql, "options": json.RawMessage(options)}})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestHostileFrames sends frames that RFC 6455 forbids, and some that it allows
// though hardly anybody sends them.
func TestHostileFrames(t *testing.T) {
	x := newTarget(t, nil)
	ping := `{"type":"ping"}`
	huge := func(length uint64) []byte {
		return append(binary.BigEndian.AppendUint64([]byte{final | frameText, masked | 127}, length), 1, 2, 3, 4)
	}
	for _, f := range []struct {
		name   string
		sent   []byte
		code   int    // of the close frame
		reason string // that it contains
	}{
		{"not masked", append(header(final|frameText, 0, len(ping)), ping...), 1002, ""},
		{"compressed bit", frame(final|reserved1|frameText, []byte(ping)), 1002, ""},
		{"reserved bit 2", frame(final|0x20|frameText, []byte(ping)), 1002, ""},
		{"reserved bit 3", frame(final|0x10|frameText, []byte(ping)), 1002, ""},
		{"opcode 3", frame(final|0x3, []byte(ping)), 1002, ""},
		{"opcode 11", frame(final|0xB, nil), 1002, ""},
		{"ping of 126 bytes", frame(final|framePing, make([]byte, 126)), 1002, ""},
		{"close of 126 bytes", frame(final|frameClose, append([]byte{3, 232}, bytes.Repeat([]byte("a"), 124)...)), 1002, ""},
		{"ping in fragments", frame(framePing, []byte("a")), 1002, ""},
		{"continuation of nothing", frame(final|frameContinued, []byte(ping)), 1002, ""},
		{"text within a text", append(frame(frameText, []byte(ping[:5])), frame(final|frameText, []byte(ping))...), 1002, ""},
		{"length with its highest bit", huge(1 << 63), 1002, ""},
		{"close of one byte", frame(final|frameClose, []byte{3}), 1002, ""},
		{"close 999", frame(final|frameClose, []byte{3, 231}), 1002, ""},
		{"close 1005", frame(final|frameClose, []byte{3, 237}), 1002, ""},
		{"close that is not UTF-8", frame(final|frameClose, []byte{3, 232, 0xff}), 1002, ""},
		{"text that is not UTF-8", frame(final|frameText, []byte("\xff\xfe")), 1007, ""},
		{"half a character in each fragment", append(frame(frameText, []byte("\xe2\x82")), frame(final|frameContinued, []byte("x"))...), 1007, ""},
		{"close", frame(final|frameClose, append([]byte{3, 232}, "bye"...)), 1000, ""},
		{"close without a code", frame(final|frameClose, nil), 0, ""},
		{"hello", frame(final|frameText, []byte("hello")), 1011, "Invalid message: "},
		{"nothing", frame(final|frameText, nil), 1011, "Invalid message: "},
		{"a list", frame(final|frameText, []byte(`[{"type":"ping"}]`)), 1011, "Invalid message: "},
		{"no type", frame(final|frameText, []byte(`{}`)), 1011, "Invalid message: "},
		{"unknown type", frame(final|frameText, []byte(`{"type":"drop"}`)), 1011, "Invalid message: "},
		{"type that is a number", frame(final|frameText, []byte(`{"type":7}`)), 1011, "Invalid message: "},
		{"no subscription", frame(final|frameText, []byte(`{"type":"subscribe"}`)), 1011, "Invalid message: "},
		{"no id", frame(final|frameText, []byte(`{"type":"subscribe","subscription":{"sql":"SELECT 1"}}`)), 1011, "Invalid message: "},
		{"no sql", frame(final|frameText, []byte(`{"type":"subscribe","subscription":{"id":"a"}}`)), 1011, "Invalid message: "},
		{"options that are a text", frame(final|frameText, []byte(subscribe("a", "SELECT * FROM app.open", `"all"`))), 1011, "Invalid message: "},
		{"batch_size below 0", frame(final|frameText, []byte(subscribe("a", "SELECT * FROM app.open", `{"batch_size":-1}`))), 1011, "Invalid message: "},
		{"last_rows beyond 32 bits", frame(final|frameText, []byte(subscribe("a", "SELECT * FROM app.open", `{"last_rows":4294967296}`))), 1011, "Invalid message: "},
		{"from below 0", frame(final|frameText, []byte(subscribe("a", "SELECT * FROM app.open", `{"from":-5}`))), 1011, "Invalid message: "},
		{"from with a fraction", frame(final|frameText, []byte(subscribe("a", "SELECT * FROM app.open", `{"from":1.5}`))), 1011, "Invalid message: "},
		{"from that is a word", frame(final|frameText, []byte(subscribe("a", "SELECT * FROM app.open", `{"from":"start"}`))), 1011, "Invalid message: "},
		{"half a character", frame(final|frameText, []byte(`{"type":"unsubscribe","subscription_id":"\ud800"}`)), 1011, "Invalid message: "},
		{"900,000 brackets", frame(final|frameText, []byte(`{"type":"ping","x":`+strings.Repeat("[", 900_000))), 1011, "Invalid message: "},
		{"900,000 brackets, closed", frame(final|frameText, []byte(`{"type":"ping","x":`+strings.Repeat("[", 450_000)+strings.Repeat("]", 450_000)+"}")), 1011, "Invalid message: "},
	} {
		t.Run(f.name, func(t *testing.T) {
			w := x.upgrade(t, "alice", "")
			w.raw(t, f.sent)
			if code, reason := w.closed(t); code != f.code || !strings.Contains(reason, f.reason) {
				t.Errorf("closed with %d %q, want %d %q", code, reason, f.code, f.reason)
			}
			x.unharmed(t)
		})
	}
	for _, f := range []struct {
		name string
		sent []byte
	}{
		{"a byte more than 1 MiB", frame(final|frameText, make([]byte, mib+1))},
		{"1 GiB promised", huge(1 << 30)},
		{"2 MiB in fragments", func() (all []byte) {
			first := byte(frameText)
			for range 32 {
				all = append(all, frame(first, bytes.Repeat([]byte(" "), 64<<10))...)
				first = frameContinued
			}
			return all
		}()},
	} {
		t.Run(f.name, func(t *testing.T) {
			w := x.upgrade(t, "alice", "")
			go func() { _, _ = w.c.Write(f.sent) }() // it is refused before its end
			if m := w.message(t); m.Type != "error" || m.Code != "MESSAGE_TOO_LARGE" || m.ID != "protocol" {
				t.Errorf("got %+v", m)
			}
			if code, _ := w.closed(t); code != 1009 {
				t.Errorf("closed with %d, want 1009", code)
			}
			x.unharmed(t)
		})
	}
	t.Run("allowed", func(t *testing.T) {
		w := x.upgrade(t, "alice", "")
		// A message in fragments of one byte, with a ping within, and one of
		// 1 MiB.
		message := subscribe("bits", "SELECT id FROM app.open", "null")
		first := byte(frameText)
		for i := range len(message) {
			if i == 10 {
				w.raw(t, frame(final|framePing, []byte("still there")))
			}
			if i == len(message)-1 {
				first |= final
			}
			w.raw(t, frame(first, []byte{message[i]}))
			first = frameContinued
		}
		if got := w.want(t, framePong); got != "still there" {
			t.Errorf("pong %q", got)
		}
		if m := w.message(t); m.Type != "subscription_ack" || m.ID != "bits" || m.BatchControl.Status != "ready" {
			t.Errorf("got %+v", m)
		}
		w.raw(t, frame(final|framePong, []byte("nobody asked")))
		w.say(t, ping[:len(ping)-1]+strings.Repeat(" ", mib-len(ping))+"}")
		w.say(t, ping)
		w.raw(t, frame(final|frameBinary, []byte{0x81}))
		if m := w.message(t); m.Code != "UNSUPPORTED_DATA" || m.ID != "protocol" || m.Message != "Binary not supported" {
			t.Errorf("got %+v", m)
		}
		w.say(t, `{"type":"unsubscribe","subscription_id":"never heard of"}`)
		w.say(t, `{"type":"next_batch","subscription_id":"never heard of","last_seq_id":null}`)
		if m := w.message(t); m.Code != "BATCH_FETCH_FAILED" || m.ID != "never heard of" || !strings.Contains(m.Message, "Not found: Subscription not found: never heard of") {
			t.Errorf("got %+v", m)
		}
		w.say(t, `{"type":"next_batch","subscription_id":"bits"}`)
		if m := w.message(t); m.Code != "BATCH_FETCH_FAILED" || m.Message != "Invalid operation: Subscription bits was created without initial data loading" {
			t.Errorf("got %+v", m)
		}
		x.unharmed(t)
	})
	x.bounded(t)
}

// TestHostileSubscriptions asks for what cannot be subscribed to. The socket
// stays open and serves the next.
func TestHostileSubscriptions(t *testing.T) {
	x := newTarget(t, func(o *config.Options) {
		o.RateLimit.MaxMessages = 1 << 20
		o.RateLimit.MaxSubscriptionsPerUser = 12
		o.WebSocket.MaxSubscriptionsPerConnection = 8
	})
	w := x.upgrade(t, "alice", "")
	n := 0
	f := func(sql, options, code string, words ...string) {
		t.Helper()
		n++
		id := fmt.Sprintf("s-%d", n)
		w.say(t, subscribe(id, sql, options))
		m := w.message(t)
		if m.Type != "error" || m.ID != id || m.Code != code {
			t.Errorf("%.100s: got %.500v, want %s", sql, m, code)
		}
		for _, word := range words {
			if !strings.Contains(m.Message, word) {
				t.Errorf("%.100s: message %q lacks %q", sql, m.Message, word)
			}
		}
	}
	f("", "{}", "INVALID_SQL")
	f("SELECT", "{}", "INVALID_SQL", "Invalid SQL: ")
	f("SELECT 1", "{}", "INVALID_SQL")
	f("SELECT * FROM open", "{}", "INVALID_SQL", "Invalid SQL: Query must use namespace.table format")
	f("SELECT * FROM app.open; SELECT * FROM app.open", "{}", "INVALID_SQL")
	f("INSERT INTO app.mine (id) VALUES (7)", "{}", "INVALID_SQL")
	f("DROP TABLE app.mine", "{}", "INVALID_SQL")
	f("SELECT * FROM app.open a JOIN app.mine b ON a.id = b.id", "{}", "INVALID_SQL")
	f("SELECT * FROM app.open, app.mine", "{}", "INVALID_SQL")
	f("SELECT MAX(id), MAX(id) FROM app.open", "{}", "INVALID_SQL")
	f("SELECT s, random() FROM app.open GROUP BY s", "{}", "INVALID_SQL")
	f("SELECT id, _seq FROM app.open", "{}", "INVALID_SQL", "_seq")
	f("SELECT id, _deleted FROM app.open", "{}", "INVALID_SQL", "_deleted")
	f("SELECT * FROM app.open WHERE "+strings.Repeat("(", 100_000), "{}", "UNSUPPORTED", "512 levels")
	f("SELECT '"+"\x00"+"' FROM app.open", "{}", "INVALID_SQL", "NUL")
	f("SELECT * FROM app.nothing", "{}", "NOT_FOUND", "Not found: Table not found: app.nothing")
	f("SELECT * FROM app.shut", "{}", "UNAUTHORIZED", "denied")
	f("SELECT * FROM system.users", "{}", "UNAUTHORIZED", "denied")
	f("SELECT nothing FROM app.open", "{}", "SUBSCRIPTION_FAILED", "nothing")
	f("SELECT * FROM app.open WHERE nothing = 1", "{}", "SUBSCRIPTION_FAILED", "nothing")
	f("SELECT * FROM app.open WHERE id = 'seven'", "{}", "CONVERSION_ERROR")
	f("SELECT * FROM app.open", `{"batch_size":50,"last_rows":51}`, "UNSUPPORTED", "last_rows (51) cannot exceed batch_size (50); paginated last_rows replay is not supported")
	f("SELECT * FROM app.open", `{"last_rows":1001}`, "UNSUPPORTED", "last_rows (1001) cannot exceed batch_size (1000)")
	f("SELECT * FROM app.open", `{"from":1}`, "CURSOR_EXPIRED")
	for _, blank := range []string{`""`, `" \n\t"`} {
		w.say(t, `{"type":"subscribe","subscription":{"id":`+blank+`,"sql":"SELECT * FROM app.open"}}`)
		if m := w.message(t); m.Code != "INVALID_SUBSCRIPTION_ID" || m.ID != "invalid_subscription" || m.Message != "Subscription ID cannot be empty" {
			t.Errorf("blank id: %+v", m)
		}
	}
	w.say(t, subscribe(strings.Repeat("x", 2000), "SELECT * FROM app.open", "null"))
	if m := w.message(t); m.Code != "INVALID_SUBSCRIPTION_ID" {
		t.Errorf("long id: %+v", m)
	}

	// Nothing of all that is registered; then come the limits.
	if rows := x.must(t, "root", "SELECT * FROM system.live").rows(t); len(rows) != 0 {
		t.Errorf("system.live has %v", rows)
	}
	accept := func(w *wire, id string) {
		t.Helper()
		w.say(t, subscribe(id, "SELECT * FROM app.open", "null"))
		if m := w.message(t); m.Type != "subscription_ack" || m.ID != id {
			t.Fatalf("%s: %+v", id, m)
		}
	}
	for i := range 8 {
		accept(w, fmt.Sprint("first-", i))
	}
	w.say(t, subscribe("ninth", "SELECT * FROM app.open", "null"))
	if m := w.message(t); m.Code != "UNSUPPORTED" || m.ID != "ninth" || m.Message != "Invalid operation: Maximum subscriptions (8) per connection exceeded" {
		t.Errorf("ninth of a socket: %+v", m)
	}
	second := x.upgrade(t, "alice", "")
	for i := range 4 {
		accept(second, fmt.Sprint("second-", i))
	}
	second.say(t, subscribe("thirteenth", "SELECT * FROM app.open", "null"))
	if m := second.message(t); m.Code != "SUBSCRIPTION_LIMIT_EXCEEDED" || m.ID != "thirteenth" || !strings.Contains(m.Message, "Maximum subscriptions reached") {
		t.Errorf("thirteenth of a user: %+v", m)
	}
	accept(x.upgrade(t, "bob", ""), "others are not counted")
	second.say(t, `{"type":"unsubscribe","subscription_id":"second-0"}`)
	accept(second, "second-again")
	x.unharmed(t)
}

// TestHostileWebSocketAuth authenticates wrongly, late or not at all.
func TestHostileWebSocketAuth(t *testing.T) {
	x := newTarget(t, func(o *config.Options) { o.WebSocket.AuthTimeout = time.Second })
	denied := func(t *testing.T, w *wire, words, reason string) {
		t.Helper()
		if text, want := w.want(t, frameText), fmt.Sprintf(`{"type":"auth_error","message":%q}`, words); text != want {
			t.Errorf("got %s, want %s", text, want)
		}
		if code, why := w.closed(t); code != 1008 || why != reason {
			t.Errorf("closed with %d %q, want 1008 %q", code, why, reason)
		}
	}
	authenticate := func(token string) string {
		return `{"type":"authenticate","method":"jwt","token":"` + token + `"}`
	}
	c := claims("alice")
	for name, bad := range map[string]string{
		"empty": "", "a word": "hello", "alg none": mint("none", "", c), "forged": mint("HS256", "another secret of at least 32 characters", c),
		"expired": mint("HS256", targetSecret, with(c, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})),
		"refresh": mint("HS256", targetSecret, with(c, map[string]any{"token_type": "refresh"})), "deleted user": token("gone"),
		"role": mint("HS256", targetSecret, with(c, map[string]any{"role": "dba"})),
	} {
		t.Run(name, func(t *testing.T) {
			w := x.upgrade(t, "", "")
			w.say(t, authenticate(bad))
			denied(t, w, "Invalid credentials", "Authentication failed")
		})
	}
	t.Run("subscribe first", func(t *testing.T) {
		w := x.upgrade(t, "", "")
		w.say(t, `{"type":"next_batch","subscription_id":"x"}`)
		w.say(t, `{"type":"unsubscribe","subscription_id":"x"}`)
		w.say(t, `{"type":"ping"}`)
		w.say(t, subscribe("x", "SELECT * FROM app.open", "{}"))
		if m := w.message(t); m.Code != "AUTH_REQUIRED" || m.ID != "subscribe" || m.Message != "Authentication required before subscribing" {
			t.Errorf("got %+v", m)
		}
		w.say(t, authenticate(token("alice")))
		if m := w.message(t); m.Type != "auth_success" {
			t.Errorf("got %+v", m)
		}
		w.say(t, authenticate("nonsense")) // a second one is checked like the first
		denied(t, w, "Invalid credentials", "Authentication failed")
	})
	t.Run("method", func(t *testing.T) {
		w := x.upgrade(t, "", "")
		w.say(t, `{"type":"authenticate","method":"basic","user":"root","password":"x"}`)
		if code, reason := w.closed(t); code != 1011 || !strings.Contains(reason, "Invalid message: ") {
			t.Errorf("closed with %d %q", code, reason)
		}
	})
	t.Run("200 that say nothing", func(t *testing.T) {
		silent := make([]*wire, 200)
		for i := range silent {
			silent[i] = x.upgrade(t, "", "")
		}
		start := time.Now()
		x.must(t, "alice", "SELECT * FROM app.mine")
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("a read took %s beside them", took)
		}
		for _, w := range silent {
			denied(t, w, "Authentication timeout - no auth message received within 1 seconds", "Authentication timeout")
		}
		x.unharmed(t)
	})
	t.Run("pings only", func(t *testing.T) { // do not put the timeout off
		w := x.upgrade(t, "", "")
		start := time.Now()
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					_, _ = w.c.Write(frame(final|frameText, []byte(`{"type":"ping"}`)))
				case <-stop:
					return
				}
			}
		}()
		denied(t, w, "Authentication timeout - no auth message received within 1 seconds", "Authentication timeout")
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
	})
	x.bounded(t)
}

// TestHostileMessageRate drops what a socket sends beyond its rate.
func TestHostileMessageRate(t *testing.T) {
	x := newTarget(t, func(o *config.Options) { o.RateLimit.MaxMessages = 10 })
	w := x.upgrade(t, "alice", "")
	var burst []byte
	for range 200 {
		burst = append(burst, frame(final|frameText, []byte(`{"type":"ping"}`))...)
	}
	w.raw(t, burst)
	m := w.message(t)
	if m.Code != "RATE_LIMIT_EXCEEDED" || m.ID != "rate_limit" || m.Message != "Too many messages" {
		t.Errorf("got %+v", m)
	}
	_ = w.c.(*net.TCPConn).CloseWrite()
	x.unharmed(t)
}
