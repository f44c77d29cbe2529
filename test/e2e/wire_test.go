package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The opcodes and bits of RFC 6455, written by hand: the frames of these tests
// are those that no library writes.
const (
	frameText, frameBinary, frameClose, framePing, framePong = 0x1, 0x2, 0x8, 0x9, 0xA
	frameContinued                                           = 0x0
	final, reserved1                                         = 0x80, 0x40
	masked                                                   = 0x80
)

// wire is a WebSocket as bytes.
type wire struct {
	c  net.Conn
	in *bufio.Reader
}

// upgrade opens a WebSocket; user "" does not authenticate.
func (x *target) upgrade(t *testing.T, user, query string) *wire {
	t.Helper()
	c := x.dial(t)
	var key [16]byte
	_, _ = rand.Read(key[:])
	header := ""
	if user != "" {
		header = "Authorization: Bearer " + token(user) + "\r\n"
	}
	fmt.Fprintf(c, "GET /v1/ws%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n",
		query, base64.StdEncoding.EncodeToString(key[:]), header)
	w := &wire{c: c, in: bufio.NewReader(c)}
	r, err := http.ReadResponse(w.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %s", r.Status)
	}
	if user != "" {
		if text := w.want(t, frameText); !strings.Contains(text, `"type":"auth_success","user":"`+user+`"`) {
			t.Fatalf("first frame: %s", text)
		}
	}
	return w
}

// frame writes a frame of a client.
func frame(first byte, payload []byte) []byte {
	return masking(append(header(first, masked, len(payload)), 1, 2, 3, 4), payload)
}

// header writes the beginning of a frame up to the mask.
func header(first, mask byte, length int) []byte {
	switch {
	case length < 126:
		return []byte{first, mask | byte(length)}
	case length < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{first, mask | 126}, uint16(length))
	}
	return binary.BigEndian.AppendUint64([]byte{first, mask | 127}, uint64(length))
}

func masking(dst, payload []byte) []byte {
	for i, b := range payload {
		dst = append(dst, b^byte(i%4+1))
	}
	return dst
}

// say sends a text message.
func (w *wire) say(t *testing.T, message string) {
	t.Helper()
	w.raw(t, frame(final|frameText, []byte(message)))
}

func (w *wire) raw(t *testing.T, b []byte) {
	t.Helper()
	if _, err := w.c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// next reads a frame of the server. Compressed ones are inflated, pings are
// passed over.
func (w *wire) next() (op byte, payload []byte, err error) {
	for {
		var h [2]byte
		if _, err := io.ReadFull(w.in, h[:]); err != nil {
			return 0, nil, err
		}
		length := uint64(h[1])
		if h[0]&final == 0 || h[0]&0x70 != 0 || length > 127 {
			return 0, nil, fmt.Errorf("the server has sent a frame of %x %x", h[0], h[1])
		}
		more := map[uint64]int{126: 2, 127: 8}[length]
		if more > 0 {
			var long [8]byte
			if _, err := io.ReadFull(w.in, long[8-more:]); err != nil {
				return 0, nil, err
			}
			length = binary.BigEndian.Uint64(long[:])
		}
		payload = make([]byte, length)
		if _, err := io.ReadFull(w.in, payload); err != nil {
			return 0, nil, err
		}
		switch op = h[0] & 0xF; op {
		case framePing:
			continue
		case frameBinary:
			z, err := gzip.NewReader(bytes.NewReader(payload))
			if err != nil {
				return 0, nil, err
			}
			payload, err = io.ReadAll(z)
			return frameText, payload, err
		}
		return op, payload, nil
	}
}

// want reads a frame of a kind.
func (w *wire) want(t *testing.T, op byte) string {
	t.Helper()
	got, payload, err := w.next()
	if err != nil {
		t.Fatalf("want a frame %x: %v", op, err)
	}
	if got != op {
		t.Fatalf("a frame %x %.300q came, want %x", got, payload, op)
	}
	return string(payload)
}

// message reads a text message.
func (w *wire) message(t *testing.T) (m serverMessage) {
	t.Helper()
	text := w.want(t, frameText)
	m, err := decodeServer([]byte(text))
	if err != nil {
		t.Fatalf("%.300s: %v", text, err)
	}
	return m
}

func decodeServer(text []byte) (m serverMessage, err error) {
	err = json.Unmarshal(text, &m)
	return m, err
}

// closed reads the close frame, then the end.
func (w *wire) closed(t *testing.T) (code int, reason string) {
	t.Helper()
	t.Helper()
	payload := w.want(t, frameClose)
	if len(payload) >= 2 {
		code, reason = int(binary.BigEndian.Uint16([]byte(payload))), payload[2:]
	}
	if err := w.c.(*net.TCPConn).CloseWrite(); err != nil { // the server waits for that, or a second
		t.Fatal(err)
	}
	if err := w.c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.in.ReadByte(); err == nil {
		t.Error("a frame came behind the close frame")
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Error("the connection stays open behind the close frame")
	}
	return code, reason
}

// serverMessage is what the tests read of a message.
type serverMessage struct {
	Type         string           `json:"type"`
	ID           string           `json:"subscription_id"`
	Code         string           `json:"code"`
	Message      string           `json:"message"`
	Change       string           `json:"change_type"`
	Rows         []map[string]any `json:"rows"`
	Old          []map[string]any `json:"old_values"`
	BatchControl struct {
		Number  int         `json:"batch_num"`
		HasMore bool        `json:"has_more"`
		Status  string      `json:"status"`
		LastSeq json.Number `json:"last_seq_id"`
	} `json:"batch_control"`
	Schema []struct {
		Name string `json:"name"`
	} `json:"schema"`
}
