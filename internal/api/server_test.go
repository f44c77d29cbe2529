package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"kalamdb/internal/auth"
)

// post sends SQL as alice and returns status and body.
func (e *edge) post(t *testing.T, body io.Reader) (int, string) {
	t.Helper()
	r, err := http.NewRequest("POST", e.url+"/v1/api/sql", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token(t, "root", "system", nil))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestBodyLimits(t *testing.T) {
	e := serve(t, func(o *Options) { o.Protection.MaxBody = 4 << 20 })
	f := func(what string, body io.Reader, status int, words string) {
		t.Helper()
		if got, text := e.post(t, body); got != status || !strings.Contains(text, words) {
			t.Errorf("%s: %d %.200s, want %d %s", what, got, text, status, words)
		}
	}
	padded := func(sql string, n int) string {
		return `{"sql":"` + sql + `","pad":"` + strings.Repeat("x", n) + `"}`
	}
	f("small", strings.NewReader(padded("SELECT 1", 0)), 200, `"success"`)
	f("below the limit", strings.NewReader(padded("SELECT 1", 2<<20-100)), 200, `"success"`)
	f("above the limit of JSON", strings.NewReader(padded("SELECT 1", 2<<20)), 400, "INVALID_INPUT")
	f("above the limit of bodies", strings.NewReader(padded("SELECT 1", 4<<20)), 413, "BODY_TOO_LARGE")
	// Without a length the body is sent in chunks.
	f("chunked", io.MultiReader(strings.NewReader(padded("SELECT 1", 100_000))), 200, `"success"`)
	f("chunked, too long", io.MultiReader(strings.NewReader(padded("SELECT 1", 3<<20))), 400, "INVALID_INPUT")
	f("long SQL", strings.NewReader(padded(strings.Repeat("-", 1<<20)+" SELECT 1", 0)), 400, "SQL query too long")
}

// raw sends text on a connection of its own and returns what comes back until
// the server closes it or falls silent.
func (e *edge) raw(t *testing.T, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	out, _ := io.ReadAll(c) // ends by the deadline when the connection stays open
	return string(out)
}

func TestRawRequests(t *testing.T) {
	e := serve(t, nil)
	f := func(text, want string) {
		t.Helper()
		if got := e.raw(t, text); !strings.Contains(got, want) {
			t.Errorf("%.80q: got %.300q, want %q", text, got, want)
		}
	}
	bearer := "Authorization: Bearer " + token(t, "root", "system", nil) + "\r\n"
	body := `{"sql":"SELECT 1"}`
	f("GET /health HTTP/1.1\r\nHost: x\r\n\r\n", `"status":"healthy"`)
	f("GET /health HTTP/1.0\r\n\r\n", "Connection: close")
	f("nonsense\r\n\r\n", "HTTP/1.1 400")
	f("GET /health HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", headerBytes)+"\r\n\r\n", "HTTP/1.1 431")
	f("POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"+bearer+
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body), "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
	f("POST /v1/api/sql HTTP/1.1\r\nHost: x\r\n"+bearer+"Content-Length: 0\r\n\r\n", "the body is empty")
	f("POST /v1/api/sql HTTP/1.1\r\nHost: x\r\n"+bearer+"\r\n", "the body is empty")
	// Two requests on one connection; the first one's body is left unread.
	two := fmt.Sprintf("POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body) +
		"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
	f(two, "MISSING_AUTHORIZATION")
	f(two, `"status":"healthy"`)
}

func TestQueryRate(t *testing.T) {
	e := serve(t, func(o *Options) { o.QueriesPerSecond = 3 })
	limited := 0
	for range 6 {
		status, text := e.post(t, strings.NewReader(`{"sql":"SELECT 1"}`))
		if status == 429 {
			limited++
			if !strings.Contains(text, `"code":"RATE_LIMIT_EXCEEDED","message":"Too many queries per second. Please slow down."`) {
				t.Errorf("refusal reads %s", text)
			}
		}
	}
	if limited == 0 {
		t.Error("the rate is not limited")
	}
}

func TestMetricsAreLocal(t *testing.T) {
	e := serve(t, func(o *Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "figures") })
	})
	if got := e.raw(t, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasSuffix(got, "figures") {
		t.Errorf("got %q", got)
	}
	if got := e.raw(t, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"); !strings.Contains(got, "404") {
		t.Errorf("got %q", got)
	}
}

// A handler that panics answers 500 and leaves the server running.
func TestPanic(t *testing.T) {
	e := serve(t, nil)
	e.routes["/v1/api/auth/me"] = route{"GET", func(*fasthttp.RequestCtx, auth.Client) { panic("boom") }}
	got := e.raw(t, "GET /v1/api/auth/me HTTP/1.1\r\nHost: x\r\n\r\n")
	if !strings.Contains(got, "HTTP/1.1 500") || !strings.Contains(got, "INTERNAL_ERROR") || strings.Contains(got, "boom") {
		t.Errorf("got %q", got)
	}
	if !strings.Contains(e.log.String(), "boom") || e.Stats().Panics != 1 {
		t.Errorf("log: %s", e.log)
	}
	if got := e.raw(t, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.Contains(got, "healthy") {
		t.Errorf("got %q", got)
	}
}

// ending stops the server, waits for its end, and fails when that takes longer
// than limit.
func (e *edge) ending(t *testing.T, limit time.Duration) {
	t.Helper()
	began := time.Now()
	e.stop()
	select {
	case err := <-e.ended:
		if err != nil {
			t.Error(err)
		}
		e.ended <- nil // for the cleanup
	case <-time.After(10 * time.Second):
		t.Fatal("the server does not end")
	}
	if took := time.Since(began); took > limit {
		t.Errorf("the end took %v", took)
	}
	select {
	case <-e.Stopping():
	default:
		t.Error("Stopping is not closed")
	}
}

// Connections without a request do not use the grace up.
func TestShutdownOfIdleConnections(t *testing.T) {
	e := serve(t, func(o *Options) { o.ShutdownGrace = time.Minute })
	for range 3 {
		c, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	e.raw(t, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	e.ending(t, 5*time.Second)
}

// The end comes within the grace although a client takes nothing of a long
// answer.
func TestShutdownOfSlowClient(t *testing.T) {
	e := serve(t, nil)
	fill(t, e, 10_000)
	address := strings.TrimPrefix(e.url, "http://")
	slow, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	body := `{"sql":"` + longQuery + `"}`
	fmt.Fprintf(slow, "POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		token(t, "root", "system", nil), len(body), body)
	if line, err := bufio.NewReader(slow).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("got %q, %v", line, err)
	}
	e.ending(t, 2*time.Second)
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("the listener is still open")
	}
	if _, err := io.ReadAll(slow); err == nil && !strings.Contains(e.log.String(), "cut off") {
		t.Error("the slow answer was not cut off")
	}
}

// A port that is taken is an error of Listen.
func TestPortInUse(t *testing.T) {
	e := serve(t, nil)
	other, err := New(Options{Address: strings.TrimPrefix(e.url, "http://"), DB: e.o.DB, Auth: e.o.Auth})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "listen on") {
		t.Errorf("got %v", err)
	}
}
