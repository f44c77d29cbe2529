package api

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/testkit"
)

// TestUpgradeReadAhead: frames that come in the same packet as the upgrade, more
// of them than the HTTP server reads at once, are neither lost nor reordered
// when the connection is taken out of its hands.
func TestUpgradeReadAhead(t *testing.T) {
	db := socketDB(t, nil)
	w := openSockets(t, db, nil)
	e := serve(t, func(o *Options) { o.WebSocket = w.Handle })
	for _, requests := range []int{0, 1, 40} {
		c, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		var sent strings.Builder
		fmt.Fprintf(&sent, "GET /v1/ws?compress=false HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a2FsYW1kYiBiZW5jaCBrZQ==\r\n\r\n", token(t, "alice", "user", nil))
		for i := range requests {
			sent.WriteString(clientFrame(true, opText, fmt.Sprintf(`{"type":"next_batch","subscription_id":"%0900d"}`, i)))
		}
		if _, err := c.Write([]byte(sent.String())); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(c)
		answer, err := http.ReadResponse(in, nil)
		if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v, %v", answer, err)
		}
		socket := testkit.NewSocket(joined{in, c})
		w.expect(socket, `{"type":"auth_success"`)
		for i := range requests {
			w.expect(socket, fmt.Sprintf(`{"type":"error","subscription_id":"%0900d","code":"BATCH_FETCH_FAILED"`, i))
		}
		if _, err := c.Write([]byte(clientFrame(true, opClose, "\x03\xe8"))); err != nil {
			t.Fatal(err)
		}
		w.expect(socket, "close 1000")
	}
}

// joined is a connection that is read through a buffer.
type joined struct {
	in *bufio.Reader
	net.Conn
}

func (j joined) Read(p []byte) (int, error) { return j.in.Read(p) }
