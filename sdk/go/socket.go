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

// frame is any message of the server.
type frame struct {
	Type           string                       `json:"type"`
	SubscriptionID string                       `json:"subscription_id"`
	ChangeType     string                       `json:"change_type"`
	Rows           []map[string]json.RawMessage `json:"rows"`
	OldValues      []map[string]json.RawMessage `json:"old_values"`
	Control        struct {
		HasMore   bool            `json:"has_more"`
		Status    string          `json:"status"`
		LastSeqID json.RawMessage `json:"last_seq_id"`
	} `json:"batch_control"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// socket is one authenticated WebSocket.
type socket struct {
	conn    net.Conn
	reader  *bufio.Reader
	stop    chan struct{} // closed by close
	once    sync.Once
	writing sync.Mutex
	pinger  sync.WaitGroup
}

// dial connects and waits for the server's word that it knows the account.
func (c *Client) dial(ctx context.Context) (*socket, error) {
	token, err := c.Token(ctx)
	if err != nil {
		return nil, err
	}
	target := *c.base.JoinPath("/v1/ws")
	target.Scheme = map[string]string{"http": "ws", "https": "wss"}[target.Scheme]
	dialer := ws.Dialer{
		Timeout: authWait,
		Header:  ws.HandshakeHeaderHTTP(http.Header{"Authorization": {"Bearer " + token}}),
	}
	conn, buffered, _, err := dialer.Dial(ctx, target.String())
	if err != nil {
		return nil, fmt.Errorf("open WebSocket %s: %w", target.String(), err)
	}
	s := &socket{conn: conn, reader: buffered, stop: make(chan struct{})}
	if s.reader == nil {
		s.reader = bufio.NewReaderSize(conn, 16<<10)
	}
	if err := s.authenticated(); err != nil {
		s.close()
		var refused *Error
		if errors.As(err, &refused) {
			c.forget(token)
		}
		return nil, err
	}
	s.pinger.Add(1)
	go s.ping()
	return s, nil
}

// authenticated reads the first frame.
func (s *socket) authenticated() error {
	f, err := s.receive()
	if err != nil {
		return fmt.Errorf("wait for auth_success: %w", err)
	}
	switch f.Type {
	case "auth_success":
		return nil
	case "auth_error":
		return &Error{Code: "INVALID_CREDENTIALS", Message: f.Message}
	}
	return fmt.Errorf("wait for auth_success: the server sent %q", f.Type)
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

func (s *socket) send(message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	return s.write(ws.OpText, text)
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
func (s *socket) receive() (*frame, error) {
	reader := wsutil.Reader{Source: s.reader, State: ws.StateClientSide, MaxFrameSize: maxFrame, CheckUTF8: true}
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(silenceLimit)); err != nil {
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
		f := &frame{}
		if err := json.Unmarshal(text, f); err != nil {
			return nil, fmt.Errorf("decode frame: %w", err)
		}
		return f, nil
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

// close ends the socket; it may be called more than once.
func (s *socket) close() {
	s.once.Do(func() {
		close(s.stop)
		_ = s.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_ = s.conn.Close()
	})
	s.pinger.Wait()
}
