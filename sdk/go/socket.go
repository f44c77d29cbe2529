package kalam

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

const (
	maxFrame     = 64 << 20 // bytes of one message, inflated too
	authWait     = 10 * time.Second
	writeWait    = 30 * time.Second
	keepAlive    = 10 * time.Second
	silenceLimit = 60 * time.Second // without a frame, though pings are sent
)

// featureCommits asks for a mark where everything up to a position has been
// told. Servers without it are taken at their word that the last page is all.
const featureCommits = "commits"

// socket is one authenticated WebSocket.
type socket struct {
	conn    net.Conn
	reader  *bufio.Reader
	stop    chan struct{} // closed by abort
	once    sync.Once
	writing sync.Mutex
	pinger  sync.WaitGroup
	pace    pace
	marks   bool // the server says with marks what has been told
}

// dial connects and waits for the server's word that it knows the account. An
// account whose token is not taken any more logs in again, once.
func (c *Client) dial(ctx context.Context, messagesPerSecond int, session string) (*socket, error) {
	token, err := c.Token(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.open(ctx, token, messagesPerSecond, session)
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != codeCredentials {
		return s, err
	}
	c.forget(token)
	if c.o.User == "" {
		return nil, err
	}
	if token, err = c.Token(ctx); err != nil {
		return nil, err
	}
	return c.open(ctx, token, messagesPerSecond, session)
}

// open makes one authenticated socket.
func (c *Client) open(ctx context.Context, token string, messagesPerSecond int, session string) (*socket, error) {
	target := *c.base.JoinPath("/v1/ws")
	target.RawQuery = "features=" + featureCommits + "&session=" + session
	target.Scheme = map[string]string{"http": "ws", "https": "wss"}[target.Scheme]
	dialer := ws.Dialer{
		Timeout: authWait,
		Header:  ws.HandshakeHeaderHTTP(http.Header{"Authorization": {"Bearer " + token}}),
	}
	conn, buffered, _, err := dialer.Dial(ctx, target.String())
	if err != nil {
		return nil, fmt.Errorf("open WebSocket %s: %w", target.String(), err)
	}
	s := newSocket(conn, buffered, messagesPerSecond)
	stop := context.AfterFunc(ctx, s.abort)
	defer stop()
	if err := s.authenticated(); err != nil {
		s.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	s.pinger.Add(1)
	go s.ping()
	return s, nil
}

// newSocket returns a socket over a connection that is upgraded; buffered, if
// not nil, holds what the server has sent already.
func newSocket(conn net.Conn, buffered *bufio.Reader, messagesPerSecond int) *socket {
	if buffered == nil {
		buffered = bufio.NewReaderSize(conn, 16<<10)
	}
	return &socket{conn: conn, reader: buffered, stop: make(chan struct{}), pace: pace{perSecond: messagesPerSecond}}
}

// authenticated reads the first frame.
func (s *socket) authenticated() error {
	f, err := s.receiveWithin(authWait)
	if err != nil {
		return fmt.Errorf("wait for auth_success: %w", err)
	}
	switch f.Type {
	case "auth_success":
		s.marks = slices.Contains(f.Protocol.Features, featureCommits)
		return nil
	case "auth_error":
		return authError(f.Message)
	}
	return fmt.Errorf("wait for auth_success: the server sent %q", f.Type)
}

// authError tells by its words whether the server refuses the account or cannot
// look at it now: the frame has no code.
func authError(message string) *Error {
	code := codeCredentials
	switch {
	case strings.HasPrefix(message, "Too many"):
		code = codeRateLimit
	case message == "Authentication failed", strings.HasPrefix(message, "Authentication timeout"):
		return &Error{Status: http.StatusServiceUnavailable, Code: codeInternal, Message: message}
	}
	return &Error{Code: code, Message: message}
}

// ping keeps both ends sure of each other.
func (s *socket) ping() {
	defer s.pinger.Done()
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
			if s.write(ws.OpPing, nil) != nil {
				return
			}
		}
	}
}

// send writes a message, as fast as the server takes them.
func (s *socket) send(message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if wait := s.pace.next(time.Now()); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.stop:
			return net.ErrClosed
		}
	}
	return s.write(ws.OpText, text)
}

// pace spreads messages over time. After a pause a second's worth may go at
// once.
type pace struct {
	perSecond int
	mu        sync.Mutex
	free      time.Time // when the last message that was let through was due
}

// next returns how long the next message must wait.
func (p *pace) next(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if burst := now.Add(-time.Second); p.free.Before(burst) {
		p.free = burst
	}
	p.free = p.free.Add(time.Second / time.Duration(p.perSecond))
	return p.free.Sub(now)
}

func (s *socket) write(op ws.OpCode, payload []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return err
	}
	return wsutil.WriteClientMessage(s.conn, op, payload)
}

// receive returns the next message, answering control frames meanwhile.
func (s *socket) receive() (*frame, error) { return s.receiveWithin(silenceLimit) }

// receiveWithin bounds the server's silence.
func (s *socket) receiveWithin(limit time.Duration) (*frame, error) {
	reader := wsutil.Reader{Source: s.reader, State: ws.StateClientSide, MaxFrameSize: maxFrame, CheckUTF8: true}
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
			return nil, err
		}
		header, err := reader.NextFrame()
		if err != nil {
			return nil, err
		}
		if header.OpCode.IsControl() {
			if err := s.control(header, &reader); err != nil {
				return nil, err
			}
			continue
		}
		text, err := io.ReadAll(io.LimitReader(&reader, maxFrame))
		if err != nil {
			return nil, err
		}
		if header.OpCode == ws.OpBinary {
			if text, err = inflate(text); err != nil {
				return nil, err
			}
		}
		return decodeFrame(text)
	}
}

// control answers pings and ends on a close.
func (s *socket) control(header ws.Header, reader *wsutil.Reader) error {
	payload, err := io.ReadAll(io.LimitReader(reader, ws.MaxControlFramePayloadSize))
	if err != nil {
		return err
	}
	switch header.OpCode {
	case ws.OpPing:
		return s.write(ws.OpPong, payload)
	case ws.OpClose:
		code, reason := ws.ParseCloseFrameData(payload)
		return fmt.Errorf("the server closed the connection: %d %s", code, reason)
	}
	return nil
}

// inflate undoes gzip, which the server uses for large frames.
func inflate(text []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("open compressed frame: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, maxFrame))
	if err != nil {
		return nil, fmt.Errorf("read compressed frame: %w", err)
	}
	return out, z.Close()
}

// abort breaks the connection, so that whoever reads, writes or waits to write
// returns.
func (s *socket) abort() {
	s.once.Do(func() {
		close(s.stop)
		_ = s.conn.Close()
	})
}

// close ends the socket; it may be called more than once.
func (s *socket) close() {
	s.abort()
	s.pinger.Wait()
}
