package kalam

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestNew(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:2900", "ftp://host", "http://", "http:///path", "://", "ws://host"} {
		if c, err := New(Options{URL: bad}); err == nil {
			t.Errorf("New(%q) = %v", bad, c.base)
		}
	}
	for _, good := range []string{"http://127.0.0.1:2900", "https://db.example.com/base/"} {
		c, err := New(Options{URL: good})
		if err != nil {
			t.Errorf("New(%q): %v", good, err)
			continue
		}
		c.Close()
	}
}

// answering returns a client of a server that answers by a function.
func answering(t *testing.T, o Options, answer http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	o.URL = server.URL + "/base"
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestRequest: what is sent, and how the answer is read.
func TestRequest(t *testing.T) {
	var body string
	c := answering(t, Options{Token: "secret", Namespace: "app"}, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		body = string(text)
		if r.Method != http.MethodPost || r.URL.Path != "/base/v1/api/sql" || r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s with %v", r.Method, r.URL, r.Header)
		}
		_, _ = io.WriteString(w, `{"status":"success","results":[{"schema":[{"name":"id","data_type":"BigInt","index":0,"flags":["pk"]},
			{"name":"d","data_type":{"Decimal":{"precision":4,"scale":2}},"index":1}],"rows":[["9223372036854775807",null]],"row_count":1,"as_user":"ann"},
			{"message":"Inserted 2 row(s)","row_count":2}],"took":1.5,"future":{}}`)
	})
	response, err := c.Query(context.Background(), "SELECT $1", nil, true, 7, -1.5, "tea")
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"sql":"SELECT $1","params":[null,true,7,-1.5,"tea"],"namespace_id":"app"}`; body != want {
		t.Errorf("the body is %s, want %s", body, want)
	}
	if response.Took != 1500*time.Microsecond || len(response.Results) != 2 {
		t.Errorf("%+v", response)
	}
	first := response.Results[0]
	if first.Columns[0].Name != "id" || string(first.Columns[0].Type) != `"BigInt"` || first.Columns[0].Flags[0] != "pk" || first.Columns[1].Index != 1 ||
		string(first.Rows[0][0]) != `"9223372036854775807"` || string(first.Rows[0][1]) != "null" || first.Count != 1 || first.AsUser != "ann" {
		t.Errorf("%+v", first)
	}
	if second := response.Results[1]; second.Message != "Inserted 2 row(s)" || second.Count != 2 || second.Rows != nil {
		t.Errorf("%+v", second)
	}
	if _, err := c.Query(context.Background(), "SELECT 1"); err != nil || body != `{"sql":"SELECT 1","namespace_id":"app"}` {
		t.Errorf("%v, body %s", err, body)
	}
	if _, err := c.Query(context.Background(), "SELECT $1", func() {}); err == nil {
		t.Error("a function is taken as a parameter")
	}
}

// TestRefusals: every way a request can fail is an error that says why.
func TestRefusals(t *testing.T) {
	status, text := 0, ""
	c := answering(t, Options{Token: "t"}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	})
	f := func(s int, answer string, want Error, temporary bool) {
		t.Helper()
		status, text = s, answer
		_, err := c.Query(context.Background(), "SELECT 1")
		var refused *Error
		if !errors.As(err, &refused) || *refused != want || refused.Temporary() != temporary {
			t.Errorf("%d %s: %#v, want %#v, temporary %v", s, answer, err, want, temporary)
		}
		if want := want.Code + ": " + want.Message; refused != nil && refused.Error() != want {
			t.Errorf("the text is %q, want %q", refused.Error(), want)
		}
	}
	f(400, `{"status":"error","results":[],"error":{"code":"INVALID_SQL","message":"near","details":"SELECT"}}`, Error{400, "INVALID_SQL", "near", "SELECT"}, false)
	f(401, `{"status":"error","error":{"code":"TOKEN_EXPIRED","message":"old"}}`, Error{401, "TOKEN_EXPIRED", "old", ""}, false)
	f(429, `{"status":"error","error":{"code":"RATE_LIMIT_EXCEEDED","message":"slow"}}`, Error{429, "RATE_LIMIT_EXCEEDED", "slow", ""}, true)
	f(409, `{"status":"error","error":{"code":"CONFLICT","message":"later"}}`, Error{409, "CONFLICT", "later", ""}, true)
	f(503, `{"status":"error","error":{"code":"SHUTTING_DOWN","message":"bye"}}`, Error{503, "SHUTTING_DOWN", "bye", ""}, true)
	f(502, `{}`, Error{502, "INTERNAL_ERROR", "Bad Gateway", ""}, true)

	status, text = 502, "<html>"+strings.Repeat("x", 1000)
	_, err := c.Query(context.Background(), "SELECT 1")
	if err == nil || !strings.Contains(err.Error(), "502 Bad Gateway") || len(err.Error()) > 400 {
		t.Errorf("an answer that is no JSON: %v", err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Query(cancelled, "SELECT 1"); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled request: %v", err)
	}
}

// TestLogin: an account logs in once, again when its token is not taken any
// more, and not forever.
func TestLogin(t *testing.T) {
	var logins, queries atomic.Int64
	good := "token-1"
	password := "right"
	c := answering(t, Options{User: "ann", Password: "right", Token: "ignored"}, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/login") {
			n := logins.Add(1)
			var body map[string]string
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body["user"] != "ann" || body["password"] != "right" {
				t.Errorf("login with %v, %v", body, err)
			}
			if password != "right" {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error":"unauthorized","message":"Invalid credentials"}`)
				return
			}
			_, _ = io.WriteString(w, `{"access_token":"token-`+string(rune('0'+n))+`"}`)
			return
		}
		queries.Add(1)
		if r.Header.Get("Authorization") != "Bearer "+good {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"status":"error","error":{"code":"TOKEN_EXPIRED","message":"old"}}`)
			return
		}
		_, _ = io.WriteString(w, `{"status":"success","results":[]}`)
	})
	f := func(wantLogins, wantQueries int64, wantCode string) {
		t.Helper()
		_, err := c.Query(context.Background(), "SELECT 1")
		var refused *Error
		if errors.As(err, &refused); (err == nil) != (wantCode == "") || refused != nil && refused.Code != wantCode {
			t.Errorf("%v, want %q", err, wantCode)
		}
		if l, q := logins.Load(), queries.Load(); l != wantLogins || q != wantQueries {
			t.Errorf("%d logins and %d queries, want %d and %d", l, q, wantLogins, wantQueries)
		}
	}
	f(1, 1, "")
	f(1, 2, "") // the token is kept
	good = "token-2"
	f(2, 4, "") // refused, login, again
	good = "never"
	f(3, 6, "TOKEN_EXPIRED") // one renewal, no more
	password = "wrong"
	f(4, 7, "UNAUTHORIZED") // refused, and so is the login
	f(5, 7, "UNAUTHORIZED") // there is no token: the query is not even tried
}

// TestTokenIsNotRenewed: a client that has only a token gets the refusal.
func TestTokenIsNotRenewed(t *testing.T) {
	var requests atomic.Int64
	c := answering(t, Options{Token: "old"}, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"status":"error","error":{"code":"TOKEN_EXPIRED","message":"old"}}`)
	})
	if _, err := c.Query(context.Background(), "SELECT 1"); err == nil || requests.Load() != 1 {
		t.Errorf("%d requests, %v", requests.Load(), err)
	}
}
