package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"kalamdb/internal/config"
)

const (
	floodSockets = 16
	floodEach    = 500 // subscriptions that each of them asks for, at once
	floodPerOne  = 50  // that a connection may have
	floodPerUser = 300
)

// TestHostileFlood asks for 8,000 subscriptions at once where 300 are allowed:
// each one too many is told which limit it met, what is allowed works, and the
// client beside hears everything. Then one that subscribes and leaves again and
// again. In the end nothing is left of either.
func TestHostileFlood(t *testing.T) {
	x := newTarget(t, func(o *config.Options) {
		o.RateLimit.MaxMessages = 1 << 20
		o.RateLimit.MaxSubscriptionsPerUser = floodPerUser
		o.WebSocket.MaxSubscriptionsPerConnection = floodPerOne
	})
	x.must(t, "root", "CREATE SHARED TABLE app.flood (id BIGINT PRIMARY KEY) WITH (ACCESS_LEVEL='public')")
	x.held = x.holds(t)
	listener := x.upgrade(t, "bob", "")
	listener.say(t, subscribe("all", "SELECT * FROM app.flood", "null"))
	if m := listener.message(t); m.Type != "subscription_ack" {
		t.Fatalf("%+v", m)
	}
	sockets := make([]*wire, floodSockets)
	for i := range sockets {
		sockets[i] = x.upgrade(t, "alice", "")
	}
	counts := make([]map[string]int, floodSockets)
	var all sync.WaitGroup
	for i, w := range sockets {
		counts[i] = map[string]int{}
		all.Go(func() {
			for j := range floodEach {
				text := subscribe(fmt.Sprint("f", j), fmt.Sprintf("SELECT * FROM app.flood WHERE id = %d", -1-i*floodEach-j), "null")
				if _, err := w.c.Write(frame(final|frameText, []byte(text))); err != nil {
					t.Error(err)
					return
				}
			}
		})
		all.Go(func() {
			for range floodEach {
				_, payload, err := w.next()
				if err != nil {
					t.Error(err)
					return
				}
				m, err := decodeServer(payload)
				if err != nil {
					t.Error(err)
					return
				}
				counts[i][m.Type+m.Code]++
			}
		})
	}
	const rows = 50
	for i := range rows {
		x.must(t, "serve", fmt.Sprintf("INSERT INTO app.flood (id) VALUES (%d)", i))
	}
	for i := range rows {
		if m := listener.message(t); m.Type != "change" || fmt.Sprint(m.Rows[0]["id"]) != fmt.Sprint(i) {
			t.Fatalf("row %d came as %+v", i, m)
		}
	}
	all.Wait()
	total := map[string]int{}
	for i, c := range counts {
		if c["subscription_ack"] > floodPerOne {
			t.Errorf("socket %d has %d subscriptions", i, c["subscription_ack"])
		}
		for k, n := range c {
			total[k] += n
		}
	}
	if total["subscription_ack"] != floodPerUser || total["subscription_ack"]+total["errorSUBSCRIPTION_LIMIT_EXCEEDED"]+total["errorUNSUPPORTED"] != floodSockets*floodEach {
		t.Errorf("the answers were %v", total)
	}
	live := func(user string) int {
		return len(x.must(t, "root", "SELECT * FROM system.live WHERE user_id = '"+user+"'").rows(t))
	}
	if n := live("alice"); n != floodPerUser {
		t.Errorf("system.live has %d rows of alice", n)
	}
	for _, w := range sockets {
		w.c.Close()
	}
	x.eventually(t, "the subscriptions end with their sockets", func() bool { return live("alice") == 0 })

	w := x.upgrade(t, "alice", "")
	var flaps []byte
	for i := range 1000 {
		id := fmt.Sprint("again-", i)
		flaps = append(flaps, frame(final|frameText, []byte(subscribe(id, "SELECT * FROM app.flood WHERE id = -1", "null")))...)
		flaps = append(flaps, frame(final|frameText, []byte(`{"type":"unsubscribe","subscription_id":"`+id+`"}`))...)
	}
	w.raw(t, append(flaps, frame(final|frameText, []byte(subscribe("last", "SELECT * FROM app.flood WHERE id = -1", "null")))...))
	for m := w.message(t); m.ID != "last"; m = w.message(t) {
		if m.Type != "subscription_ack" { // of one that has not heard yet that it is over
			t.Fatalf("%+v", m)
		}
	}
	if n := live("alice"); n != 1 {
		t.Errorf("system.live has %d rows of alice", n)
	}
	w.c.Close()
	x.eventually(t, "it goes with its socket", func() bool { return live("alice") == 0 })
	x.unharmed(t)
	x.bounded(t)
}

// TestHostileConnections opens more connections than the server may have, then
// fewer again.
func TestHostileConnections(t *testing.T) {
	const most = 40
	x := newTarget(t, func(o *config.Options) { o.Server.MaxConnections = most })
	x.client.CloseIdleConnections()
	hello := "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
	var open []net.Conn
	refused := 0
	for range 4 * most {
		c := x.dial(t)
		if _, err := c.Write([]byte(hello)); err != nil {
			c.Close()
			refused++
			continue
		}
		text := make([]byte, 4096)
		n, _ := c.Read(text)
		switch got := string(text[:n]); {
		case strings.HasPrefix(got, "HTTP/1.1 200 "):
			open = append(open, c)
		case strings.HasPrefix(got, "HTTP/1.1 503 "):
			refused++
		default:
			t.Fatalf("connection %d got %.300q", len(open)+refused, got)
		}
	}
	if len(open) > most || len(open) < most/2 || refused == 0 {
		t.Errorf("%d connections are open, %d were refused", len(open), refused)
	}
	for _, c := range open {
		c.Close()
	}
	x.eventually(t, "there is room again", func() bool {
		answer, err := x.client.Get(x.url + "/health")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	x.unharmed(t)
}

// TestHostileHalfOpen leaves connections whose other end is gone without a word,
// some within a frame: they neither answer pings nor read. Each is given up
// after the client timeout, and what it had is free again.
func TestHostileHalfOpen(t *testing.T) {
	const sockets = 40
	x := newTarget(t, func(o *config.Options) {
		o.WebSocket.ClientTimeout = 3 * time.Second
		o.WebSocket.HeartbeatInterval = time.Second
		o.RateLimit.MaxSubscriptionsPerUser = sockets
	})
	all := make([]*wire, sockets)
	for i := range all {
		all[i] = x.upgrade(t, "alice", "")
		all[i].say(t, subscribe("gone", "SELECT * FROM app.open WHERE id = -1", "null"))
		if m := all[i].message(t); m.Type != "subscription_ack" {
			t.Fatalf("%+v", m)
		}
		switch i % 4 {
		case 1: // a header and no more
			all[i].raw(t, frame(final|frameText, []byte(`{"type":"ping"}`))[:3])
		case 2: // half of a text
			all[i].raw(t, frame(final|frameText, []byte(`{"type":"ping"}`))[:12])
		case 3: // a fragment
			all[i].raw(t, frame(frameText, []byte(`{"type":`)))
		}
	}
	x.eventually(t, "all are given up", func() bool {
		return len(x.must(t, "root", "SELECT * FROM system.live").rows(t)) == 0
	})
	for i, w := range all {
		op, payload, err := w.next()
		if err != nil || op != frameClose || len(payload) < 2 || binary.BigEndian.Uint16(payload) != 1000 || string(payload[2:]) != "Heartbeat timeout" {
			t.Errorf("socket %d was left with %x %q, %v", i, op, payload, err)
		}
		w.c.Close()
	}
	w := x.upgrade(t, "alice", "")
	w.say(t, subscribe("new", "SELECT * FROM app.open WHERE id = -1", "null"))
	if m := w.message(t); m.Type != "subscription_ack" {
		t.Errorf("got %+v", m)
	}
	x.unharmed(t)
	x.bounded(t)
}
