package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"kalamdb/internal/fault"
)

// TestLongAnswers: an error within the first 64 KiB has a status of its own; a
// later one, and an answer beyond its bound, end the connection so that the
// body cannot be taken for a whole one.
func TestLongAnswers(t *testing.T) {
	e := serve(t, func(o *Options) { o.MaxResultBytes = 400_000 })
	run := func(sql string) (status int, body string, err error) {
		t.Helper()
		r, err := http.NewRequest("POST", e.url+"/v1/api/sql", strings.NewReader(fmt.Sprintf(`{"sql":%q}`, sql)))
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
		return answer.StatusCode, string(text), err
	}
	must := func(sql string) {
		t.Helper()
		if status, text, err := run(sql); status != fasthttp.StatusOK || err != nil {
			t.Fatalf("%.60s: %d %.300s %v", sql, status, text, err)
		}
	}
	must("CREATE NAMESPACE app; CREATE SHARED TABLE app.t (id INT PRIMARY KEY, v TEXT)")
	for i := range 40 { // 400,000 characters in all
		values := make([]string, 50)
		for j := range values {
			values[j] = fmt.Sprintf("(%d, '%s')", i*50+j, strings.Repeat("x", 200))
		}
		must("INSERT INTO app.t VALUES " + strings.Join(values, ", "))
	}
	f := func(sql string, wantStatus int, wantErr bool, words string) {
		t.Helper()
		status, text, err := run(sql)
		if status != wantStatus || (err != nil) != wantErr || !strings.Contains(text, words) {
			t.Errorf("%s: %d, %d bytes, %v; want %d", sql, status, len(text), err, wantStatus)
		}
		if wantErr && strings.HasSuffix(text, "}") {
			t.Errorf("%s: a cut answer ends like a whole one", sql)
		}
	}
	f("SELECT id, v FROM app.t WHERE id < 1000 ORDER BY id", 200, false, `"row_count":1000`)
	f("SELECT id, 1 / (id - 5) FROM app.t ORDER BY id", 400, false, "division by zero")
	f("SELECT id, SUBSTR(v, 1, 100), 1 / (id - 1900) FROM app.t", 200, true, `"success"`)
	f("SELECT id, v FROM app.t", 200, true, `"success"`)
}

// TestAuthRefusals: what keeps an auth route from writing is 503 and worth
// another try; a fault of ours says nothing of its cause.
func TestAuthRefusals(t *testing.T) {
	e := serve(t, nil)
	f := func(err error, status int, want string) {
		t.Helper()
		var ctx fasthttp.RequestCtx
		e.refuseAuth(&ctx, err)
		if got := string(ctx.Response.Body()); ctx.Response.StatusCode() != status || !strings.HasPrefix(got, want) {
			t.Errorf("%v: %d %s", err, ctx.Response.StatusCode(), got)
		}
		if retry := string(ctx.Response.Header.Peek("Retry-After")); (retry == "1") != (status == 503) {
			t.Errorf("%v: Retry-After is %q", err, retry)
		}
	}
	for _, code := range []fault.Code{fault.ServerBusy, fault.DiskFull, fault.ReadOnly, fault.ShuttingDown} {
		f(fault.New(code, "later"), 503, `{"error":"unavailable","message":"later"`)
	}
	f(fault.New(fault.InvalidCredentials, "x"), 401, `{"error":"unauthorized","message":"Invalid credentials"`)
	f(fault.Wrap(fault.Internal, errors.New("disk on fire"), "boom"), 500, `{"error":"internal_error","message":"Authentication failed"`)
}

// TestHTTP2IsNotSpoken: a client that begins with HTTP/2 is told so in HTTP/1.1.
func TestHTTP2IsNotSpoken(t *testing.T) {
	e := serve(t, nil)
	if got := e.raw(t, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 4") {
		t.Errorf("got %.200q", got)
	}
}

// TestRoutesThatAreNotThere: what 0.4.3 or newer versions serve and this one
// does not is an unknown path, as any other.
func TestRoutesThatAreNotThere(t *testing.T) {
	e := serve(t, nil)
	for _, path := range []string{
		"/v1/api/topics/consume", "/v1/api/topics/ack", "/ui", "/ui/runtime-config.js",
		"/v1/api/auth/login-options", "/v1/api/openapi.json", "/api/sql", "/ws",
	} {
		for _, method := range []string{"GET", "POST"} {
			if got := e.raw(t, method+" "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 404") {
				t.Errorf("%s %s: %.60q", method, path, got)
			}
		}
	}
}

// TestStreamPanics: an answer that panics behind its handler is cut off, and the
// process goes on.
func TestStreamPanics(t *testing.T) {
	e := serve(t, nil)
	boom := &stream{
		reply: &reply{q: &sqlRequest{server: e.Server}, buf: []byte("{")}, ctx: t.Context(),
		extend: func() error { panic("boom") },
	}
	if _, err := boom.WriteTo(io.Discard); err == nil {
		t.Error("the answer has ended well")
	}
	if !strings.Contains(e.log.String(), "boom") || e.Stats().Panics != 1 {
		t.Errorf("log: %s", e.log)
	}
}
