package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"kalamdb/internal/auth"
	"kalamdb/internal/fault"
	"kalamdb/internal/testkit"
)

// tape is a connection that plays what a client sends, then nothing more, and
// keeps what it is answered.
type tape struct {
	in     *bytes.Reader
	remote net.Addr
	mu     sync.Mutex
	out    bytes.Buffer
}

func newTape(sent []byte) *tape {
	return &tape{in: bytes.NewReader(sent), remote: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}
}

func (c *tape) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *tape) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *tape) Close() error                     { return nil }
func (c *tape) LocalAddr() net.Addr              { return c.remote }
func (c *tape) RemoteAddr() net.Addr             { return c.remote }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// answered returns what was written so far.
func (c *tape) answered() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.out.Bytes())
}

// FuzzRequest sends any request to a whole server. TOKEN stands for a good
// token of root. Whatever is sent, the answer is one of HTTP, its JSON is valid,
// and no request makes an internal error.
func FuzzRequest(f *testing.F) {
	e := serve(f, func(o *Options) {
		o.Logger = slog.New(slog.DiscardHandler)
		o.Protection.MaxBody = 1 << 20
	})
	good := token(f, "root", "system", jwt.MapClaims{"exp": time.Now().Add(24 * time.Hour).Unix()})
	sql := func(more, body string) {
		f.Add("POST /v1/api/sql", "Authorization: Bearer TOKEN\r\n"+more, []byte(body))
	}
	sql("", `{"sql":"SELECT 1 AS a; SELECT $1","params":["x"],"namespace_id":"app"}`)
	sql("X-Request-ID: a b\r\n", `{"sql":"CREATE NAMESPACE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY, v JSON); INSERT INTO app.t VALUES (1, '{}'); SELECT * FROM app.t"}`)
	sql("Content-Type: multipart/form-data; boundary=x\r\n", "--x\r\nContent-Disposition: form-data; name=\"sql\"\r\n\r\nSELECT 1\r\n--x\r\nContent-Disposition: form-data; name=\"params\"\r\n\r\n[1]\r\n--x--\r\n")
	sql("Content-Type: multipart/form-data; boundary=x\r\n", "--x\r\nContent-Disposition: form-data; name=\"sql\"\r\n\r\nCREATE NAMESPACE IF NOT EXISTS f; SELECT FILE(\"a\")\r\n--x\r\nContent-Disposition: form-data; name=\"file:a\"; filename=\"../../a\\b\"\r\nContent-Type: a/b\r\n\r\nbytes\r\n--x--\r\n")
	f.Add("GET /v1/files/app/note/f0001/1-a.txt?user_id=x", "Authorization: Bearer TOKEN\r\nRange: bytes=-1\r\n", []byte(nil))
	sql("Transfer-Encoding: chunked\r\n", "5\r\n{\"sql\r\n0\r\n\r\n")
	f.Add("POST /v1/api/auth/login", "", []byte(`{"user":"root","password":"x"}`))
	f.Add("POST /v1/api/auth/setup", "X-Forwarded-For: 10.0.0.1, [::1]:80\r\n", []byte(`{"username":"a","password":"p","root_password":"q","email":"e"}`))
	f.Add("POST /v1/api/auth/refresh", "Cookie: kalamdb_refresh=TOKEN; kalamdb_auth=\r\n", []byte(nil))
	f.Add("GET /v1/api/auth/me?a=%zz&&=", "Authorization: bearer  TOKEN \r\n", []byte(nil))
	f.Add("OPTIONS /v1/api/sql", "Origin: http://x\r\nAccess-Control-Request-Method: POST\r\n", []byte(nil))
	f.Add("GET /v1/ws?compress=false&features=lagging,commits", "Connection: Upgrade\r\nUpgrade: websocket\r\n", []byte(nil))
	f.Add("GET /health", "", []byte(nil))
	f.Fuzz(func(t *testing.T, line, headers string, body []byte) {
		request := fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\n%s", line, strings.ReplaceAll(headers, "TOKEN", good))
		if !strings.Contains(strings.ToLower(headers), "transfer-encoding") {
			request += fmt.Sprintf("Content-Length: %d\r\n", len(body))
		}
		c := newTape(append([]byte(request+"Connection: close\r\n\r\n"), body...))
		_ = e.http.ServeConn(c) // broken requests end in errors too
		checkAnswers(t, request, c.answered())
	})
}

// checkAnswers reads all answers of a connection.
func checkAnswers(t *testing.T, request string, text []byte) {
	t.Helper()
	method, _, _ := strings.Cut(request, " ")
	for r := bufio.NewReader(bytes.NewReader(text)); ; {
		if _, err := r.Peek(1); err != nil {
			return
		}
		a, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%q is answered %.300q: %v", request, text, err)
		}
		body, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatalf("%q is answered %.300q: %v", request, text, err)
		}
		if a.StatusCode == http.StatusInternalServerError {
			t.Fatalf("%q is answered %d %s", request, a.StatusCode, body)
		}
		if strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") && len(body) > 0 && !json.Valid(body) {
			t.Fatalf("%q is answered %d %.300q, which is not JSON", request, a.StatusCode, body)
		}
	}
}

// FuzzSocket sends any bytes behind the upgrade, as somebody who is known. What
// comes back is frames of a server: JSON in text, gzip of it in binary.
func FuzzSocket(f *testing.F) {
	w := openSockets(f, socketDB(f, nil), func(o *WebSocketOptions) {
		o.Logger = slog.New(slog.DiscardHandler)
		o.MessagesPerSecond = 1000
		passwords, err := auth.NewPasswords(auth.PasswordOptions{Cost: 4})
		if err != nil {
			f.Fatal(err)
		}
		if o.Auth, err = auth.New(auth.Options{Users: o.DB, Accounts: o.DB.Accounts(), Passwords: passwords, Secret: []byte(secret), AttemptsPerSecond: 1 << 30}); err != nil {
			f.Fatal(err)
		}
	})
	execute(f, w.o.DB, "alice", "INSERT INTO app.note (id, body) VALUES (1, 'a'), (2, 'b'), (3, NULL)")
	good := token(f, "alice", "user", jwt.MapClaims{"exp": time.Now().Add(24 * time.Hour).Unix()})
	text := func(parts ...string) []byte {
		var sent []byte
		for _, p := range parts {
			sent = append(sent, clientFrame(true, opText, p)...)
		}
		return sent
	}
	f.Add(true, text(`{"type":"subscribe","subscription":{"id":"a","sql":"SELECT * FROM app.note","options":{"batch_size":1}}}`,
		`{"type":"next_batch","subscription_id":"a","last_seq_id":"1"}`, `{"type":"unsubscribe","subscription_id":"a"}`))
	f.Add(true, text(`{"type":"subscribe","subscription":{"id":"","sql":"SELEC"}}`, `{"type":"ping"}`, `{"type":"authenticate","method":"jwt","token":"x"}`))
	f.Add(true, text(`{"type":"subscribe","subscription":{"id":"b","sql":"SELECT id FROM app.note WHERE id > 1","options":{"from":"0","replay":"changes","last_rows":2}}}`))
	execute(f, w.o.DB, "root", "CREATE SHARED TABLE app.here (who TEXT PRIMARY KEY, n INT) WITH (ACCESS_LEVEL='public', PRESENCE=1)")
	f.Add(true, text(`{"type":"present","id":"p","table":"app.here","row":{"who":"alice","n":1}}`, `{"type":"present","table":"app.here","row":{"who\"":null}}`,
		`{"type":"absent","id":"a","table":"app.here","key":{"who":"alice"}}`))
	f.Add(false, text(`{"type":"present","table":"app.here","row":{"who":"x"}}`, `{"type":"authenticate","method":"jwt","token":"`+good+`","session":"phone"}`))
	f.Add(false, text(`{"type":"authenticate","method":"jwt","token":"`+good+`","protocol":{"compression":"none","features":["commits","lagging"]}}`, `{"type":"ping"}`))
	f.Add(true, []byte(clientFrame(false, opText, `{"type":`)+clientFrame(true, opPing, "?")+clientFrame(true, 0, `"ping"}`)+clientFrame(true, opClose, "\x03\xe8bye")))
	f.Add(true, []byte(clientFrame(true, opBinary, "x")+"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, known bool, sent []byte) {
		h := hello{compressed: true, wish: protocolWish{Features: []string{featureCommits}}, client: auth.Client{IP: "127.0.0.1", Local: true}}
		if known {
			h.token = good
		}
		c := newTape(sent)
		w.serve(c, h)
		checkFrames(t, sent, c)
		if w.Stats().Open != 0 {
			t.Fatal("a socket that has ended is open")
		}
	})
}

// checkFrames reads what a server has sent.
func checkFrames(t *testing.T, sent []byte, c *tape) {
	t.Helper()
	reader := testkit.NewSocket(newTape(c.answered()))
	closed := false
	for {
		m, err := reader.Receive()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%q is answered %q: %v", sent, c.answered(), err)
		}
		switch {
		case closed:
			t.Fatalf("%q is answered behind a close: %q", sent, c.answered())
		case m.Kind == testkit.SocketClose:
			closed = true
			if !utf8.ValidString(m.Reason) || m.Code == 1005 || m.Code == 1006 {
				t.Fatalf("%q closes with %d %q", sent, m.Code, m.Reason)
			}
		case m.Kind == testkit.SocketText || m.Compressed:
			if !json.Valid(m.Payload) {
				t.Fatalf("%q is answered %q, which is not JSON", sent, m.Payload)
			}
			if bytes.Contains(m.Payload, []byte(socketInternalWords)) {
				t.Fatalf("%q is answered %q", sent, m.Payload)
			}
		}
	}
}

// FuzzHello reads any headers and arguments of an upgrade, and where a request
// says that it comes from: a client that is not here never counts as local.
func FuzzHello(f *testing.F) {
	w := openSockets(f, socketDB(f, nil), func(o *WebSocketOptions) {
		o.Origins, o.TrustedProxies = []string{"http://here"}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	f.Add("compress=false&features=lagging", "Bearer x", "kalamdb.jwt.abc, chat", "192.0.2.1, 127.0.0.1", "::1", "http://here", "dGhlIHNhbXBsZSBub25jZQ==", true)
	f.Add("", "", "", "localhost", "[::ffff:127.0.0.1]:80", "", "", false)
	f.Add("%zz=&&compression=none", "Basic", "kalamdb.jwt.", ",", "0.0.0.0", "null", "=", true)
	f.Fuzz(func(t *testing.T, query, authorization, protocol, forwarded, real, origin, key string, proxied bool) {
		peer := "192.0.2.9"
		if proxied {
			peer = "10.0.0.1"
		}
		ctx := request("GET", peer, "Authorization", authorization, "Sec-WebSocket-Protocol", protocol, "X-Forwarded-For", forwarded,
			"X-Real-IP", real, "Origin", origin, "Connection", "keep-alive, Upgrade", "Upgrade", "WebSocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", key)
		ctx.URI().SetQueryString(query)
		h := w.greet(ctx)
		if h.client.Local || len(h.client.IP) > 64 || !proxied && h.client.IP != peer {
			t.Fatalf("forwarded %q, real %q from %s is %+v", forwarded, real, peer, h.client)
		}
		if len(h.token) > len(authorization)+len(protocol)+1 {
			t.Fatalf("%q and %q give the token %q", authorization, protocol, h.token)
		}
		if echoed := string(ctx.Response.Header.Peek("Sec-WebSocket-Protocol")); echoed != "" && !strings.Contains(protocol, echoed) {
			t.Fatalf("%q is echoed as %q", protocol, echoed)
		}
		status, why := w.refusal(ctx)
		if status == 0 && origin != "" && origin != "http://here" {
			t.Fatalf("the origin %q is let in", origin)
		}
		if status != 0 && (status < 400 || why == "") {
			t.Fatalf("%d %q", status, why)
		}
	})
}

// FuzzParams: parameters as JSON become one value each or are refused with a
// documented code, the same from a form as from an object.
func FuzzParams(f *testing.F) {
	for _, text := range []string{`[1,-9223372036854775808,1.5,"x",true,null]`, `[1e400]`, ` null `, `{}`, `[[1]]`, `["\ud83d\ude00","\ud800"]`, `[`, `[1,]`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var form, object sqlRequest
		err := form.setFormParams(text)
		if err == nil {
			err = form.convertParams()
		}
		if err != nil {
			if code := fault.CodeOf(err); code != fault.InvalidParameter {
				t.Fatalf("%q: %s %v", text, code, err)
			}
			return
		}
		if len(form.params) > len(text) {
			t.Fatalf("%d parameters out of %q", len(form.params), text)
		}
		if !utf8.Valid(text) || len(bytes.TrimSpace(text)) == 0 {
			return
		}
		if err := object.decodeJSON([]byte(`{"sql":"s","params":` + string(text) + `}`)); err != nil {
			t.Fatalf("%q is taken from a form, but: %v", text, err)
		}
		if err := object.convertParams(); err != nil || fmt.Sprint(object.params) != fmt.Sprint(form.params) {
			t.Fatalf("%q is %v in a form and %v in an object, %v", text, form.params, object.params, err)
		}
	})
}
