package api

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// events is an open stream of events.
type events struct {
	t    testing.TB
	body io.ReadCloser
	in   *bufio.Scanner
	id   string // of the last event that had one
}

// follow asks for a live query and returns its events, or the refusal.
func (e *edge) follow(t testing.TB, r *http.Request) (*events, string) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return nil, fmt.Sprint(answer.StatusCode, " ", string(text))
	}
	if kind := answer.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("Content-Type %q", kind)
	}
	s := &events{t: t, body: answer.Body, in: bufio.NewScanner(answer.Body)}
	t.Cleanup(func() { _ = s.body.Close() })
	return s, ""
}

// next returns type and data of the next event, "" at the end.
func (s *events) next() string {
	s.t.Helper()
	var kind, data string
	for s.in.Scan() {
		name, value, _ := strings.Cut(s.in.Text(), ": ")
		switch {
		case name == "event":
			kind = value
		case name == "id":
			s.id = value
		case name == "data":
			data = value
		case name == "" && data != "":
			return kind + " " + data
		}
	}
	return ""
}

// want reads an event that must be of a type and hold words.
func (s *events) want(kind string, words ...string) {
	s.t.Helper()
	got := s.next()
	for _, w := range append(words, kind+" ") {
		if !strings.Contains(got, w) {
			s.t.Fatalf("event %.300s, want %s with %s", got, kind, w)
		}
	}
}

// live returns a request for a live query as root.
func (e *edge) live(t testing.TB, query url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequest("GET", e.url+livePath+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token(t, "root", "system", nil))
	return r
}

// TestEvents: a stream begins with the whole snapshot, goes on with each change,
// names a position with each mark, and goes on from there exactly.
func TestEvents(t *testing.T) {
	e := serve(t, func(o *Options) { o.EventHeartbeat = 20 * time.Millisecond })
	sql := func(text string) {
		t.Helper()
		if status, body := e.post(t, strings.NewReader(fmt.Sprintf(`{"sql":%q}`, text))); status != 200 {
			t.Fatalf("%s: %s", text, body)
		}
	}
	sql("CREATE NAMESPACE app; CREATE TABLE app.note (id BIGINT PRIMARY KEY, doc JSON) WITH (TYPE='SHARED')")
	sql("INSERT INTO app.note VALUES (1, '{}'), (2, '{}'), (3, '{}'), (4, '{}'), (5, '{}')")
	query := url.Values{"sql": {"SELECT id, doc FROM app.note WHERE id <> $1"}, "params": {"[3]"}, "options": {`{"batch_size":2}`}}
	first, refused := e.follow(t, e.live(t, query))
	if first == nil {
		t.Fatal(refused)
	}
	first.want("subscription_ack", `"subscription_id":"live"`, `"has_more":true`)
	first.want("initial_data_batch", `"id":"1"`, `"id":"2"`, `"has_more":true`)
	first.want("initial_data_batch", `"id":"4"`, `"id":"5"`, `"has_more":false`)
	first.want("commit", `"position":"`)
	if first.id == "" {
		t.Fatal("the snapshot has no id to resume at")
	}
	sql("INSERT INTO app.note VALUES (6, '{\"a\":\n\r1}'), (3000, NULL)")
	first.want("change", `"change_type":"insert"`, `"id":"6"`)
	first.want("change", `"id":"3000"`)
	first.want("commit")
	at := first.id
	_ = first.body.Close()
	sql("DELETE FROM app.note WHERE id = 1; UPDATE app.note SET doc = '[]' WHERE id = 4")

	for _, replay := range []bool{false, true} {
		if replay {
			query.Set("options", `{"replay":"changes"}`)
		}
		r := e.live(t, query)
		r.Header.Set("Last-Event-ID", at)
		again, refused := e.follow(t, r)
		if again == nil {
			t.Fatal(refused)
		}
		again.want("subscription_ack")
		if replay {
			again.want("commit", at) // everything up to there was sent before
			again.want("change", `"change_type":"delete"`, `"id":"1"`)
			again.want("commit")
			again.want("change", `"change_type":"update"`, `"id":"4"`)
		} else {
			again.want("initial_data_batch", `"id":"4"`)
			again.want("change", `"change_type":"delete"`, `"id":"1"`)
		}
		again.want("commit")
		if replay {
			sql("DROP TABLE app.note")
			again.want("error", "app.note")
			if got := again.next(); got != "" {
				t.Errorf("behind the end comes %s", got)
			}
		}
		_ = again.body.Close()
	}
}

// TestRefusedEvents: what is wrong is said with a status before the first event.
func TestRefusedEvents(t *testing.T) {
	e := serve(t, nil)
	if status, body := e.post(t, strings.NewReader(`{"sql":"CREATE NAMESPACE app; CREATE TABLE app.note (id BIGINT PRIMARY KEY) WITH (TYPE='SHARED')"}`)); status != 200 {
		t.Fatal(body)
	}
	good := "SELECT * FROM app.note"
	f := func(what string, r *http.Request, want string) {
		t.Helper()
		if s, got := e.follow(t, r); s != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %.300s, want %s", what, got, want)
		}
	}
	get := func(name, value string) *http.Request {
		q := url.Values{"sql": {good}}
		q.Set(name, value)
		return e.live(t, q)
	}
	f("nothing", e.live(t, nil), "400 ")
	f("no SELECT", get("sql", "DELETE FROM app.note"), "400 ")
	f("unknown table", get("sql", "SELECT * FROM app.nothing"), "Table not found: app.nothing")
	f("unsteady filter", get("sql", good+" WHERE id < random()"), "400 ")
	f("parameters", get("params", "{}"), "Params must be a JSON array")
	f("options", get("options", "[]"), "options: ")
	anonymous := e.live(t, url.Values{"sql": {good}})
	anonymous.Header.Del("Authorization")
	f("no token", anonymous, "401 ")
	forged := e.live(t, url.Values{"sql": {good}})
	forged.Header.Set("Authorization", "Bearer x.y.z")
	f("forged token", forged, "401 ")
	last := e.live(t, url.Values{"sql": {good}})
	last.Header.Set("Last-Event-ID", "yesterday")
	f("id of no event", last, "Last-Event-ID must be a whole number")
	method := e.live(t, url.Values{"sql": {good}})
	method.Method = "DELETE"
	f("method", method, "404 ")

	// A page cannot set the header: its cookie speaks for it.
	page := e.live(t, url.Values{"sql": {good}})
	page.Header.Set("Cookie", accessCookie+"="+strings.TrimPrefix(page.Header.Get("Authorization"), "Bearer "))
	page.Header.Del("Authorization")
	if s, refused := e.follow(t, page); s == nil {
		t.Errorf("with a cookie: %s", refused)
	} else {
		s.want("subscription_ack")
		s.want("initial_data_batch", `"rows":[]`)
		s.want("commit")
		e.stop() // the server says good-bye
		s.want("error", "stopping")
		if got := s.next(); got != "" {
			t.Errorf("behind the end comes %s", got)
		}
	}
}
