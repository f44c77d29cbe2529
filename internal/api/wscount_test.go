package api

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"kalamdb/internal/testkit"
)

// TestSocketsAreCounted: a socket counts for its address until it is closed,
// and a refused upgrade no longer than any request.
func TestSocketsAreCounted(t *testing.T) {
	var sockets *WebSockets
	e := serve(t, func(o *Options) {
		var err error
		if sockets, err = NewWebSockets(WebSocketOptions{DB: o.DB, Auth: o.Auth, MaxConnections: 2}); err != nil {
			t.Fatal(err)
		}
		o.WebSocket = sockets.Handle
	})
	http.DefaultClient.CloseIdleConnections()
	here := netip.MustParseAddr("127.0.0.1")
	count := func(want int) {
		t.Helper()
		look, limit := time.NewTicker(time.Millisecond), time.After(5*time.Second)
		defer look.Stop()
		for e.gate.connectionsOfPeer(here) != want {
			select {
			case <-look.C:
			case <-limit:
				t.Fatalf("%d connections are counted, want %d", e.gate.connectionsOfPeer(here), want)
			}
		}
	}
	dial := func() (*testkit.Socket, *http.Response) {
		t.Helper()
		s, answer, err := testkit.DialSocket(e.url+"/v1/ws", http.Header{"Authorization": {"Bearer " + token(t, "root", "system", nil)}})
		if err != nil {
			t.Fatal(err)
		}
		if s != nil {
			if _, err := s.Receive(); err != nil {
				t.Fatal(err)
			}
		}
		return s, answer
	}
	one, _ := dial()
	two, _ := dial()
	count(2)
	if s, answer := dial(); s != nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a third socket is let in: %v", answer)
	}
	count(2)
	_ = one.Close()
	count(1)
	three, _ := dial()
	count(2)
	_, _ = two.Close(), three.Close()
	count(0)
}
