package kalam

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// tape is a connection that plays what a server sends, then nothing more, and
// counts what is written to it.
type tape struct {
	*bytes.Reader
	mu  sync.Mutex
	out bytes.Buffer
}

func (c *tape) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *tape) Close() error                     { return nil }
func (c *tape) LocalAddr() net.Addr              { return nil }
func (c *tape) RemoteAddr() net.Addr             { return nil }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// serverFrame is a frame as a server sends it.
func serverFrame(fin bool, op ws.OpCode, payload []byte) []byte {
	return ws.MustCompileFrame(ws.NewFrame(op, fin, payload))
}

func squeeze(text string) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write([]byte(text)) // to memory
	_ = z.Close()
	return out.Bytes()
}

// FuzzSocket: no bytes of a server make the reader panic or hold much more than
// has arrived; pings are answered by masked pongs and by nothing else.
func FuzzSocket(f *testing.F) {
	const text = `{"type":"change","subscription_id":"s1","change_type":"insert","rows":[{"id":1,"_seq":"7"}]}`
	f.Add(serverFrame(true, ws.OpText, []byte(text)))
	f.Add(serverFrame(true, ws.OpBinary, squeeze(text)))
	f.Add(append(serverFrame(false, ws.OpText, []byte(text[:9])), append(serverFrame(true, ws.OpPing, []byte("?")), serverFrame(true, ws.OpContinuation, []byte(text[9:]))...)...))
	f.Add(append(serverFrame(true, ws.OpPing, []byte("x")), serverFrame(true, ws.OpClose, []byte("\x03\xe8bye"))...))
	f.Add([]byte("\x82\x7f\x00\x00\x00\x00\x04\x00\x00\x00"))
	f.Add([]byte("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"))
	f.Add(serverFrame(true, ws.OpBinary, squeeze(text)[:20]))
	f.Fuzz(func(t *testing.T, sent []byte) {
		c := &tape{Reader: bytes.NewReader(sent)}
		s := newSocket(c, nil, messagesPerSecond)
		for {
			message, err := s.receive()
			if err != nil {
				break
			}
			if message == nil {
				t.Fatal("neither a message nor an error")
			}
		}
		for rest := bytes.NewReader(c.out.Bytes()); rest.Len() > 0; {
			frame, err := ws.ReadFrame(rest)
			if err != nil || frame.Header.OpCode != ws.OpPong || !frame.Header.Masked || !frame.Header.Fin {
				t.Fatalf("%q is answered %q", sent, c.out.Bytes())
			}
		}
	})
}

// FuzzSend: whatever a client sends is one masked text frame that holds it.
func FuzzSend(f *testing.F) {
	f.Add("subscribe", "a", "SELECT 1")
	f.Add("", "\xff\x00", string(bytes.Repeat([]byte("x"), 70_000)))
	f.Fuzz(func(t *testing.T, kind, id, sql string) {
		c := &tape{Reader: bytes.NewReader(nil)}
		message := map[string]string{"type": kind, "id": id, "sql": sql}
		if err := newSocket(c, nil, 1<<30).send(message); err != nil {
			t.Fatal(err)
		}
		rest := bytes.NewReader(c.out.Bytes())
		frame, err := ws.ReadFrame(rest)
		if err != nil || rest.Len() > 0 || frame.Header.OpCode != ws.OpText || !frame.Header.Fin || !frame.Header.Masked || frame.Header.Rsv != 0 {
			t.Fatalf("%v is sent as %q, %v", message, c.out.Bytes(), err)
		}
		want, err := json.Marshal(message)
		if got := ws.UnmaskFrame(frame).Payload; err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s is sent as %s", want, got)
		}
	})
}

// FuzzAnswer reads any answer of a server to a statement: an error or results,
// never a panic, and what is left of a failure is not empty.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"status":"success","results":[{"schema":[{"name":"a","data_type":"Int","index":0}],"rows":[[1]],"row_count":1}],"took":0.1}`))
	f.Add(400, []byte(`{"status":"error","results":[],"error":{"code":"INVALID_SQL","message":"m","details":null}}`))
	f.Add(429, []byte(`{"error":"RATE_LIMIT_EXCEEDED","message":"m","retry_after_seconds":1}`))
	f.Add(500, []byte(`{"error":{"code":7}}`))
	f.Add(200, []byte(`{"results":[null,{"rows":[null,[]]}]}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) { checkAnswer(t, status, body) })
}

// fixed answers every request alike.
type fixed struct {
	status int
	body   []byte
}

// RoundTrip returns the answer.
func (a fixed) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Status: http.StatusText(a.status), Request: r, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(a.body))}, nil
}

// checkAnswer lets a client meet an answer, to a statement and to a login.
func checkAnswer(t *testing.T, status int, body []byte) {
	t.Helper()
	if status < 200 || status > 599 {
		return
	}
	transport := &http.Client{Transport: fixed{status, body}}
	for _, user := range []string{"", "u"} {
		c, err := New(Options{URL: "http://x", User: user, Token: "t", HTTP: transport})
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Query(t.Context(), "SELECT 1", 1)
		if (err == nil) == (r == nil) {
			t.Fatalf("%d %q gives %v, %v", status, body, r, err)
		}
		if err != nil && err.Error() == "" {
			t.Fatalf("%d %q gives an error without words", status, body)
		}
	}
}

// FuzzURL: the address of a server is refused, or keeps its host when paths are
// put behind it.
func FuzzURL(f *testing.F) {
	f.Add("http://127.0.0.1:2900")
	f.Add("https://a/b?c#d")
	f.Add("http:///x")
	f.Add("ws://x")
	f.Add("http://[::1%25z]:1/%2f..")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := New(Options{URL: text})
		if err != nil {
			return
		}
		defer c.Close()
		if u := c.base.JoinPath("/v1/ws"); u.Host != c.base.Host || u.Scheme != c.base.Scheme {
			t.Fatalf("%q becomes %s", text, u)
		}
	})
}
