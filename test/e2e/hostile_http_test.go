package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/config"
)

// exchange is bytes that are sent on a bare connection, and how the server must
// answer.
type exchange struct {
	name   string
	sent   string
	status []int    // of the answers, in order; none means that the connection is closed
	words  []string // that the last body contains
	ended  bool     // the server closes the connection afterwards
}

// request writes a request to the SQL route with the token of root.
func request(headers, body string) string {
	return "POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token("root") + "\r\nContent-Type: application/json\r\n" + headers + "\r\n" + body
}

// sized is a request with a Content-Length.
func sized(body string) string {
	return request(fmt.Sprintf("Content-Length: %d\r\n", len(body)), body)
}

// chunked is a request in chunks of 64 KiB.
func chunked(body string) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(len(body), 64<<10)
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return request("Transfer-Encoding: chunked\r\n", b.String()+"0\r\n\r\n")
}

// TestHostileHTTP sends bytes that are not quite HTTP.
func TestHostileHTTP(t *testing.T) {
	x := newTarget(t, nil)
	const one, two = `{"sql":"SELECT 1"}`, `{"sql":"SELECT 22"}`
	drop := `{"sql":"DROP TABLE app.open"}`
	padded := func(n int) string { return `{"sql":"SELECT 1"` + strings.Repeat(" ", n-18) + "}" }
	for _, e := range []exchange{
		{name: "no HTTP", sent: "hello\r\n\r\n", status: []int{400}, ended: true},
		{name: "TLS", sent: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", status: []int{400}, ended: true},
		{name: "headers of 17 KiB", sent: "GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("a", 17<<10) + "\r\n\r\n", status: []int{431}, ended: true},
		{name: "10,000 headers", sent: "GET /health HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 10_000) + "\r\n", status: []int{431}, ended: true},
		{name: "unknown route", sent: "GET /v1/api/nothing HTTP/1.1\r\nHost: x\r\n\r\n", status: []int{404}},
		{name: "wrong method", sent: "DELETE /v1/api/sql HTTP/1.1\r\nHost: x\r\n\r\n", status: []int{404}},
		{name: "path that climbs", sent: "GET /v1/../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", status: []int{404}},
		{name: "NUL in the path", sent: "GET /v1/api/sql%00 HTTP/1.1\r\nHost: x\r\n\r\n", status: []int{404}},
		{name: "10 MiB and a byte announced, less sent", sent: request("Content-Length: 10485761\r\n", strings.Repeat(" ", 100<<10)), status: []int{413}, words: []string{`"error":"BODY_TOO_LARGE"`, `"size_bytes":10485761`, `"max_bytes":10485760`}, ended: true},
		{name: "2 MiB and a byte", sent: sized(padded(2*mib + 1)), status: []int{400}, words: []string{"INVALID_INPUT", "2097152"}},
		{name: "2 MiB", sent: sized(padded(2 * mib)), status: []int{200}},
		{name: "2 MiB and a byte in chunks", sent: chunked(padded(2*mib + 1)), status: []int{400}, words: []string{"INVALID_INPUT", "2097152"}},
		{name: "2 MiB in chunks", sent: chunked(padded(2 * mib)), status: []int{200}},
		{name: "11 MiB in chunks", sent: chunked(padded(11 * mib)), status: []int{400}, words: []string{"INVALID_INPUT", "2097152"}},
		{name: "chunk that is none", sent: request("Transfer-Encoding: chunked\r\n", "zz\r\n"), status: []int{400}, ended: true},
		{name: "negative length", sent: request("Content-Length: -1\r\n", drop), status: []int{400}, ended: true},
		{name: "two lengths", sent: request("Content-Length: 5\r\nContent-Length: 18\r\n", one), status: []int{400}, ended: true},
		{name: "length and chunks", sent: request("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), status: []int{400}, ended: true},
		{name: "no body", sent: request("", ""), status: []int{400}, words: []string{"INVALID_INPUT"}},
		{name: "three at once", sent: sized(one) + sized("{") + sized(two), status: []int{200, 400, 200}, words: []string{`[[22]]`}},
		{name: "fifty at once", sent: strings.Repeat(sized(one), 49) + sized(two), status: repeat(200, 50), words: []string{`[[22]]`}},
		{name: "nothing behind a broken one", sent: "hello\r\n\r\n" + sized(drop), status: []int{400}, ended: true},
		{name: "HTTP/1.0", sent: strings.Replace(sized(one), "HTTP/1.1", "HTTP/1.0", 1), status: []int{200}, ended: true},
		{name: "Connection: close", sent: strings.Replace(sized(one), "Host: x", "Host: x\r\nConnection: close", 1), status: []int{200}, ended: true},
		{name: "token in the query", sent: "POST /v1/api/sql?token=" + token("root") + " HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n" + one, status: []int{401}, words: []string{"MISSING_AUTHORIZATION"}},
		{name: "token in a cookie", sent: "POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nCookie: kalamdb_auth=" + token("root") + "\r\nContent-Length: 18\r\n\r\n" + one, status: []int{401}, words: []string{"MISSING_AUTHORIZATION"}},
		{name: "line breaks in a header", sent: strings.Replace(sized(one), "Host: x", "Host: x\r\nX-Request-ID: a\nb", 1), status: []int{400}, ended: true},
	} {
		t.Run(e.name, func(t *testing.T) {
			x.exchange(t, &e)
			x.unharmed(t)
		})
	}
	x.bounded(t)
}

func repeat(status, n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = status
	}
	return all
}

// exchange sends bytes and reads the answers.
func (x *target) exchange(t *testing.T, e *exchange) {
	t.Helper()
	c := x.dial(t)
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, e.sent)
		sent <- err // a refused body may not be read to its end
	}()
	in := bufio.NewReader(c)
	var last []byte
	for i, want := range e.status {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i+1, err)
		}
		if last, err = io.ReadAll(r.Body); err != nil {
			t.Fatalf("answer %d: %v", i+1, err)
		}
		if r.StatusCode != want {
			t.Fatalf("answer %d is %d %.300q, want %d", i+1, r.StatusCode, last, want)
		}
	}
	for _, w := range e.words {
		if !bytes.Contains(last, []byte(w)) {
			t.Errorf("%.300q lacks %q", last, w)
		}
	}
	if e.ended {
		if rest, err := io.ReadAll(in); len(rest) > 0 {
			t.Errorf("more came: %.300q, %v", rest, err)
		}
	}
	_ = c.Close()
	<-sent
}

// TestHostileSlow holds many connections open with requests that never end:
// others are served meanwhile, and the server stops in time.
func TestHostileSlow(t *testing.T) {
	x := newTarget(t, nil)
	const n = 200
	begin := sized(`{"sql":"SELECT 1"}`)
	slow := make([]net.Conn, 0, n)
	for i := range n {
		c := x.dial(t)
		cut := i * len(begin) / n // some stop in the headers, some in the body
		if _, err := io.WriteString(c, begin[:max(cut, 1)]); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	start := time.Now()
	for range 20 {
		x.must(t, "alice", "SELECT * FROM app.mine")
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("20 reads took %s beside %d slow requests", took, n)
	}
	// Headers have five seconds; then the connection is answered or closed.
	if _, err := bufio.NewReader(slow[0]).ReadByte(); err == nil {
		t.Log("half a header was answered")
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Error("half a header keeps its connection")
	}
	x.unharmed(t)
}

// TestHostileLogin guesses passwords and sends bodies that are none.
func TestHostileLogin(t *testing.T) {
	x := newTarget(t, nil)
	post := func(path, body string, header ...string) (int, string) {
		t.Helper()
		answer, text := x.send(t, http.MethodPost, path, strings.NewReader(body), header...)
		return answer.StatusCode, string(text)
	}
	_, unknown := post("/v1/api/auth/login", `{"user":"nobody","password":"Alice-secret-1"}`)
	_, wrong := post("/v1/api/auth/login", `{"user":"alice","password":"Alice-secret-2"}`)
	_, deleted := post("/v1/api/auth/login", `{"user":"gone","password":"Gones-secret-1"}`)
	if unknown != wrong || deleted != wrong || !strings.Contains(wrong, `"error":"unauthorized"`) || !strings.Contains(wrong, "Invalid credentials") {
		t.Errorf("answers differ: %s, %s, %s", unknown, wrong, deleted)
	}
	refresh := mint("HS256", targetSecret, with(claims("alice"), map[string]any{"token_type": "refresh"}))
	for _, c := range []struct {
		name, path, body, header string
		status                   int
	}{
		{"nothing", "login", "", "", 400}, {"half", "login", `{"user":`, "", 400}, {"a list", "login", "[]", "", 400},
		{"unknown member", "login", `{"user":"alice","password":"Alice-secret-1","role":"system"}`, "", 400},
		{"name of a number", "login", `{"user":7,"password":"Alice-secret-1"}`, "", 400},
		{"no password", "login", `{"user":"alice"}`, "", 400},
		{"name of 129 bytes", "login", `{"user":"` + strings.Repeat("a", 129) + `","password":"x"}`, "", 400},
		{"password of 257 bytes", "login", `{"user":"alice","password":"` + strings.Repeat("a", 257) + `"}`, "", 400},
		{"3 MiB", "login", strings.Repeat(" ", 3*mib), "", 400},
		{"empty password of root", "login", `{"user":"root","password":""}`, "", 401},
		{"SQL in the name", "login", `{"user":"' OR 1=1 --","password":"x"}`, "", 401},
		{"name", "login", `{"username":"alice","password":"Alice-secret-1"}`, "", 200},
		{"access token", "refresh", "", "Bearer " + token("alice"), 401},
		{"Basic", "refresh", "", "Basic YTpi", 401},
		{"nothing", "refresh", "", "", 401},
		{"of a role that is gone", "refresh", "", "Bearer " + mint("HS256", targetSecret, with(claims("alice"), map[string]any{"token_type": "refresh", "role": "dba"})), 401},
		{"of a deleted user", "refresh", "", "Bearer " + mint("HS256", targetSecret, with(claims("gone"), map[string]any{"token_type": "refresh"})), 401},
		{"good", "refresh", "", "Bearer " + refresh, 200},
		{"again", "setup", `{"user":"new","password":"Brand-new-secret-1","root_password":"Brand-new-secret-2"}`, "", 409},
		{"unknown member", "setup", `{"user":"new","password":"Brand-new-secret-1","root_password":"Brand-new-secret-2","x":1}`, "", 400},
	} {
		t.Run(c.path+" "+c.name, func(t *testing.T) {
			header := []string{}
			if c.header != "" {
				header = []string{"Authorization", c.header}
			}
			if status, text := post("/v1/api/auth/"+c.path, c.body, header...); status != c.status {
				t.Errorf("%d %.300s, want %d", status, text, c.status)
			}
			x.unharmed(t)
		})
	}
	t.Run("locked", func(t *testing.T) {
		for range 5 {
			post("/v1/api/auth/login", `{"user":"bob","password":"not it"}`)
		}
		if status, text := post("/v1/api/auth/login", `{"user":"bob","password":"Bobby-secret-1"}`); status != http.StatusUnauthorized || !strings.Contains(text, "account_locked") {
			t.Errorf("%d %s after five wrong passwords", status, text)
		}
		x.must(t, "bob", "SELECT 1") // his sessions go on
	})
}

// TestHostileLoginRate bounds attempts of an address, this machine included.
func TestHostileLoginRate(t *testing.T) {
	x := newTarget(t, func(o *config.Options) { o.RateLimit.MaxAuthRequestsPerIP = 5 })
	limited := 0
	for range 30 {
		answer, err := x.client.Post(x.url+"/v1/api/auth/login", "application/json", strings.NewReader(`{"user":"nobody","password":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode == http.StatusTooManyRequests {
			limited++
			if want := `{"error":"rate_limited","message":"Too many authentication attempts. Please retry shortly."}`; string(text) != want {
				t.Fatalf("%s, want %s", text, want)
			}
		}
	}
	if limited == 0 {
		t.Error("30 attempts at once were all heard")
	}
}
