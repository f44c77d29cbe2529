package api

import (
	"context"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/testkit"
)

// hereOf returns the rows of app.here as a user sees them, or the fault.
func hereOf(t *testing.T, db *core.DB, user schema.UserID) string {
	t.Helper()
	s := &auth.Session{UserID: user, Actor: user, Role: schema.RoleUser}
	results, err := db.Execute(context.Background(), s, core.Request{SQL: "SELECT who, room FROM app.here ORDER BY who"})
	if err != nil {
		t.Fatal(err)
	}
	defer results[0].Close()
	var words []string
	for {
		rows, err := results[0].Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if rows == nil {
			return strings.Join(words, " ")
		}
		for _, r := range rows {
			words = append(words, r[0].Text()+"="+r[1].Text())
		}
	}
}

// seqOf returns the _seq of a present_ack.
func seqOf(m testkit.Received) string {
	_, seq, _ := strings.Cut(string(m.Payload), `"_seq":"`)
	return strings.TrimSuffix(seq, `"}`)
}

// TestPresence: a row is there for all while its connection is, and its grace
// time longer; what it is and who may see it is told as of any row.
func TestPresence(t *testing.T) {
	clock := testkit.NewClock()
	opened, err := testkit.Open(disk.NewMem(), clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	db := opened.DB
	execute(t, db, "root", "CREATE USER 'alice' WITH PASSWORD 'correct horse' ROLE user; CREATE USER 'bob' WITH PASSWORD 'correct horse' ROLE user; CREATE NAMESPACE app; "+
		"CREATE SHARED TABLE app.here (who TEXT PRIMARY KEY, room TEXT NOT NULL DEFAULT 'hall', n INT CHECK (n > 0)) WITH (ACCESS_LEVEL='public', PRESENCE='1s'); "+
		"CREATE SHARED TABLE app.hidden (who TEXT PRIMARY KEY) WITH (PRESENCE='1s'); "+
		"CREATE USER TABLE app.own (who TEXT PRIMARY KEY) WITH (PRESENCE='1s'); CREATE SHARED TABLE app.kept (who TEXT PRIMARY KEY) WITH (ACCESS_LEVEL='public')")
	w := openSockets(t, db, nil)
	watch, _ := w.dial(hello{token: token(t, "bob", "user", nil), client: auth.Client{IP: "192.0.2.1"}})
	w.expect(watch, `{"type":"auth_success"`)
	w.send(watch, `{"type":"subscribe","subscription":{"id":"rows","sql":"SELECT who, room FROM app.here","options":{}}}`)
	w.expect(watch, `{"type":"subscription_ack"`)
	w.expect(watch, `{"type":"initial_data_batch","subscription_id":"rows","rows":[]`)

	c, ended := w.alice(hello{session: "phone", client: auth.Client{IP: "192.0.2.4"}})
	w.send(c, `{"type":"present","id":"p1","table":"app.here","row":{"who":"alice"}}`)
	first := seqOf(w.expect(c, `{"type":"present_ack","id":"p1","_seq":"`))
	w.expect(watch, `{"type":"change","subscription_id":"rows","change_type":"insert","rows":[{"who":"alice","room":"hall"`)
	w.send(c, `{"type":"present","id":"p2","table":"APP.here","row":{"who":"alice","room":"garden"}}`)
	second := seqOf(w.expect(c, `{"type":"present_ack","id":"p2","_seq":"`))
	w.expect(watch, `{"type":"change","subscription_id":"rows","change_type":"update","rows":[{`)
	if got := hereOf(t, db, "bob"); got != "alice=garden" {
		t.Errorf("bob sees %q", got)
	}
	// Who resumes is told what has changed since.
	late, _ := w.dial(hello{token: token(t, "bob", "user", nil), client: auth.Client{IP: "192.0.2.2"}})
	w.expect(late, `{"type":"auth_success"`)
	w.send(late, `{"type":"subscribe","subscription":{"id":"since","sql":"SELECT who, room FROM app.here","options":{"from":"%s"}}}`, first)
	w.expect(late, `{"type":"subscription_ack"`)
	w.expect(late, `{"type":"initial_data_batch","subscription_id":"since","rows":[{"who":"alice","room":"garden"`)
	w.send(late, `{"type":"subscribe","subscription":{"id":"each","sql":"SELECT who, room FROM app.here","options":{"from":"%s","replay":"changes"}}}`, first)
	w.expect(late, `{"type":"subscription_ack"`)
	w.expect(late, `{"type":"change","subscription_id":"each","change_type":"update"`)
	_ = late.Close()
	for message, want := range map[string]string{
		`"table":"app.here","row":{"who":"x","n":0}`:                             `"code":"CHECK_FAILED"`,
		`"table":"app.here","row":{"room":"x"}`:                                  `"code":"NOT_NULL"`,
		`"table":"app.here","row":{"who":"x","nothing":1}`:                       `"code":"COLUMN_NOT_FOUND"`,
		`"table":"app.nowhere","row":{"who":"x"}`:                                `"code":"TABLE_NOT_FOUND"`,
		`"table":"app.hidden","row":{"who":"x"}`:                                 `"code":"PERMISSION_DENIED"`,
		`"table":"app.kept","row":{"who":"x"}`:                                   `"code":"PERMISSION_DENIED"`,
		`"table":"app.note; DROP TABLE app.x","row":{"who":1}`:                   `"code":`,
		`"table":"here","row":{"who":"x"}`:                                       `"code":"INVALID_PARAMETER"`,
		`"table":"app.here","row":{}`:                                            `"code":"INVALID_PARAMETER"`,
		`"table":"app.here","row":{"who\" = 1) --":"x"}`:                         `"code":`,
		`"table":"app.here","row":{"who":"` + strings.Repeat("x", 70_000) + `"}`: `"code":"LIMIT_EXCEEDED"`,
	} {
		w.send(c, `{"type":"present","id":"bad",%s}`, message)
		if m := w.expect(c, `{"type":"error","subscription_id":"bad",`); !strings.Contains(string(m.Payload), want) {
			t.Errorf("%.80s: %s", message, m.Payload)
		}
	}
	w.send(watch, `{"type":"present","id":"mine","table":"app.here","row":{"who":"alice"}}`)
	w.expect(watch, `{"type":"error","subscription_id":"mine","code":"DUPLICATE_KEY"`)
	w.send(watch, `{"type":"absent","id":"away","table":"app.here","key":{"who":"alice"}}`)
	w.expect(watch, `{"type":"absent_ack","id":"away","found":false}`)
	w.send(watch, `{"type":"present","id":"own","table":"app.own","row":{"who":"bob"}}`)
	w.expect(watch, `{"type":"present_ack","id":"own"`)

	// The connection breaks, and another one of the session comes in time.
	_ = c.Close()
	<-ended
	c, ended = w.alice(hello{session: "phone", client: auth.Client{IP: "192.0.2.5"}})
	clock.Advance(2 * time.Second)
	w.send(c, `{"type":"present","id":"p3","table":"app.here","row":{"who":"alice 2"}}`)
	w.expect(c, `{"type":"present_ack","id":"p3"`)
	w.expect(watch, `{"type":"change","subscription_id":"rows","change_type":"insert","rows":[{"who":"alice 2"`)
	w.send(c, `{"type":"absent","id":"a","table":"app.here","key":{"who":"alice 2"}}`)
	w.expect(c, `{"type":"absent_ack","id":"a","found":true}`)
	w.expect(watch, `{"type":"change","subscription_id":"rows","change_type":"delete"`)
	if got := hereOf(t, db, "alice"); got != "alice=garden" {
		t.Errorf("after the reconnect there is %q", got)
	}
	// Nobody comes back.
	_ = c.Close()
	<-ended
	clock.Advance(2 * time.Second)
	w.expect(watch, `{"type":"change","subscription_id":"rows","change_type":"delete","old_values":[{"who":"alice"`)
	if got := hereOf(t, db, "bob"); got != "" {
		t.Errorf("after the grace time there is %q", got)
	}
	late, _ = w.dial(hello{token: token(t, "bob", "user", nil), client: auth.Client{IP: "192.0.2.3"}})
	w.expect(late, `{"type":"auth_success"`)
	w.send(late, `{"type":"subscribe","subscription":{"id":"left","sql":"SELECT who, room FROM app.here","options":{"from":"%s"}}}`, second)
	w.expect(late, `{"type":"subscription_ack"`)
	w.expect(late, `{"type":"initial_data_batch","subscription_id":"left","rows":[]`)
	w.expect(late, `{"type":"change","subscription_id":"left","change_type":"delete","old_values":[{"who":"alice"`)
	w.send(late, `{"type":"subscribe","subscription":{"id":"old","sql":"SELECT who, room FROM app.here","options":{"from":"1"}}}`)
	w.expect(late, `{"type":"error","subscription_id":"old","code":"CURSOR_EXPIRED"`)
	_ = late.Close()
	// An operator's end knows no grace.
	c, ended = w.alice(hello{client: auth.Client{IP: "192.0.2.99"}})
	w.send(c, `{"type":"present","id":"p4","table":"app.here","row":{"who":"alice"}}`)
	w.expect(c, `{"type":"present_ack","id":"p4"`)
	w.expect(watch, `{"type":"change","subscription_id":"rows","change_type":"insert"`)
	execute(t, db, "root", "DROP USER 'alice'")
	w.expect(watch, `{"type":"change","subscription_id":"rows","change_type":"delete"`)
	_ = c.Close()
	<-ended
	_ = watch.Close()
}

// TestPresencePacked: MessagePack in and out.
func TestPresencePacked(t *testing.T) {
	db := socketDB(t, nil)
	execute(t, db, "root", "CREATE USER TABLE app.here (who TEXT PRIMARY KEY) WITH (PRESENCE=5)")
	w := openSockets(t, db, nil)
	h := hello{}
	h.wish.Serialization = serializationPack
	c, ended := w.alice(h)
	message := appendPacked(nil, []byte(`{"type":"present","id":"p","table":"app.here","row":{"who":"alice"}}`))
	if err := c.Frame(true, testkit.SocketBinary, message); err != nil {
		t.Fatal(err)
	}
	m, err := c.Receive()
	if err != nil || m.Kind != testkit.SocketBinary {
		t.Fatalf("%v, kind %d: %q", err, m.Kind, m.Payload)
	}
	text, err := unpacked(m.Payload, 1<<20)
	if err != nil || !strings.HasPrefix(string(text), `{"type":"present_ack","id":"p","_seq":"`) {
		t.Errorf("%v: %s", err, text)
	}
	_ = c.Close()
	<-ended
}

// TestPresenceMessages: what cannot be read ends the socket.
func TestPresenceMessages(t *testing.T) {
	for text, want := range map[string]string{
		`{"type":"present","row":{"a":1}}`:                                                   "missing field `table`",
		`{"type":"present","table":"a.b"}`:                                                   "missing field `row`",
		`{"type":"absent","table":"a.b","row":{"a":1}}`:                                      "missing field `key`",
		`{"type":"present","table":"a.b","row":[1]}`:                                         "row must be a JSON object",
		`{"type":"present","id":"` + strings.Repeat("x", 1025) + `","table":"a.b","row":{}}`: "id must be at most 1024 bytes",
		`{"type":"authenticate","session":"` + strings.Repeat("x", 65) + `"}`:                "session must be at most 64 bytes",
	} {
		if _, err := decodeMessage([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
}
