package testkit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// handshakeBound is how long a server may take to accept a socket; a test that
// ends must not wait for one that hangs.
const handshakeBound = time.Minute

// The kinds of WebSocket frames.
const (
	SocketText   = 1
	SocketBinary = 2
	SocketClose  = 8
	SocketPing   = 9
	SocketPong   = 10
)

// Socket is the client side of a WebSocket, written by hand so that tests can
// break its rules.
type Socket struct {
	// Conn is the connection below.
	Conn net.Conn
	// Mute leaves pings unanswered.
	Mute bool

	r *bufio.Reader
}

// NewSocket returns the client side over a connection that is upgraded.
func NewSocket(c net.Conn) *Socket { return &Socket{Conn: c, r: bufio.NewReader(c)} }

// DialSocket upgrades a new connection. A refusal is returned as the answer to
// the request, without a socket.
func DialSocket(address string, header http.Header) (*Socket, *http.Response, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, err
	}
	c, err := net.DialTimeout("tcp", u.Host, handshakeBound)
	if err != nil {
		return nil, nil, err
	}
	if err := c.SetDeadline(time.Now().Add(handshakeBound)); err != nil {
		return nil, nil, err
	}
	s := NewSocket(c)
	request := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: header.Clone()}
	if request.Header == nil {
		request.Header = http.Header{}
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		if _, set := request.Header[name]; !set {
			request.Header[name] = []string{value}
		}
	}
	if err := request.Write(c); err != nil {
		return nil, nil, err
	}
	response, err := http.ReadResponse(s.r, request)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, response, c.Close()
	}
	return s, response, c.SetDeadline(time.Time{})
}

// Text sends a text message.
func (s *Socket) Text(message string) error { return s.Frame(true, SocketText, []byte(message)) }

// Frame sends one masked frame.
func (s *Socket) Frame(final bool, kind byte, payload []byte) error {
	_, err := s.Conn.Write(AppendSocketFrame(nil, final, kind, payload))
	return err
}

// AppendSocketFrame appends a masked frame as clients send it.
func AppendSocketFrame(dst []byte, final bool, kind byte, payload []byte) []byte {
	if final {
		kind |= 0x80
	}
	dst = append(dst, kind)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	mask := [4]byte{0x12, 0x34, 0x56, 0x78}
	dst = append(dst, mask[:]...)
	for i, b := range payload {
		dst = append(dst, b^mask[i%4])
	}
	return dst
}

// Received is one frame from the server.
type Received struct {
	Kind byte
	// Payload of a compressed message is what was compressed.
	Payload    []byte
	Compressed bool
	// Code and Reason are those of a close.
	Code   uint16
	Reason string
}

// ReceiveFrame returns the next frame of any kind.
func (s *Socket) ReceiveFrame() (Received, error) {
	var head [2]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return Received{}, err
	}
	if head[0]&0x70 != 0 || head[0]&0x80 == 0 || head[1]&0x80 != 0 {
		return Received{}, fmt.Errorf("the frame header %x is not one of a server", head)
	}
	length := uint64(head[1])
	extra := map[uint64]int{126: 2, 127: 8}[length]
	if extra > 0 {
		var wide [8]byte
		if _, err := io.ReadFull(s.r, wide[8-extra:]); err != nil {
			return Received{}, err
		}
		length = binary.BigEndian.Uint64(wide[:])
	}
	f := Received{Kind: head[0] & 0x0F, Payload: make([]byte, length)}
	if _, err := io.ReadFull(s.r, f.Payload); err != nil {
		return f, err
	}
	if f.Kind == SocketClose && length >= 2 {
		f.Code, f.Reason = binary.BigEndian.Uint16(f.Payload), string(f.Payload[2:])
	}
	return f, nil
}

// Receive returns the next message or close; it answers pings.
func (s *Socket) Receive() (Received, error) {
	for {
		f, err := s.ReceiveFrame()
		if err != nil {
			return f, err
		}
		switch f.Kind {
		case SocketPong:
			continue
		case SocketPing:
			if !s.Mute {
				if err := s.Frame(true, SocketPong, f.Payload); err != nil {
					return f, err
				}
			}
			continue
		case SocketBinary:
			return f.inflate()
		}
		return f, nil
	}
}

// inflate takes the compression off a binary message that has one.
func (f Received) inflate() (Received, error) {
	if !bytes.HasPrefix(f.Payload, []byte{0x1f, 0x8b}) {
		return f, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(f.Payload))
	if err != nil {
		return f, fmt.Errorf("inflate a message: %w", err)
	}
	f.Payload, err = io.ReadAll(z)
	f.Compressed = true
	return f, err
}

// Close cuts the connection.
func (s *Socket) Close() error { return s.Conn.Close() }
