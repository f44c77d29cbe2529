//go:build unix

package api

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestLeaving: a closed connection is seen, bytes that wait are left where they
// are, and a connection that is silent is not taken for a closed one.
func TestLeaving(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	gone := leaving(server)
	if gone() {
		t.Error("a silent client is taken for one who left")
	}
	if _, err := io.WriteString(client, "x"); err != nil {
		t.Fatal(err)
	}
	if err := server.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if gone() {
			t.Error("a client who has sent something is taken for one who left")
		}
	}
	b := make([]byte, 2)
	if n, err := server.Read(b); n != 1 || err != nil {
		t.Errorf("read %d, %v; want the one byte", n, err)
	}
	_ = client.Close()
	end := time.Now().Add(10 * time.Second)
	for !gone() {
		if time.Now().After(end) {
			t.Fatal("a client who closed is not seen to leave")
		}
	}
	_ = server.Close()
	if !gone() {
		t.Error("a connection closed here is not gone")
	}
}
