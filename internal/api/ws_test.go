package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/testkit"
)

// socketDB opens a database with a user alice and a table app.note.
func socketDB(t testing.TB, change func(*core.Options)) *core.DB {
	t.Helper()
	db, err := testkit.Open(disk.NewMem(), testkit.NewClock(), change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	execute(t, db.DB, "root", "CREATE USER 'alice' WITH PASSWORD 'correct horse' ROLE user; CREATE NAMESPACE app; CREATE TABLE app.note (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE='USER')")
	return db.DB
}

// execute runs SQL that must succeed.
func execute(t testing.TB, db *core.DB, user schema.UserID, sql string) {
	t.Helper()
	s := &auth.Session{UserID: user, Actor: user, Role: schema.RoleUser}
	if user == auth.Root {
		s.Role = schema.RoleSystem
	}
	results, err := db.Execute(context.Background(), s, core.Request{SQL: sql})
	if err != nil {
		t.Fatalf("%.80s: %v", sql, err)
	}
	for _, r := range results {
		r.Close()
	}
}

// sockets serves clients over pipes.
type sockets struct {
	*WebSockets
	t testing.TB
}

func openSockets(t testing.TB, db *core.DB, change func(*WebSocketOptions)) *sockets {
	t.Helper()
	passwords, err := auth.NewPasswords(auth.PasswordOptions{Cost: 4})
	if err != nil {
		t.Fatal(err)
	}
	users, err := auth.New(auth.Options{Users: db, Accounts: db.Accounts(), Passwords: passwords, Secret: []byte(secret), AttemptsPerSecond: 3, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	o := WebSocketOptions{DB: db, Auth: users}
	if change != nil {
		change(&o)
	}
	w, err := NewWebSockets(o)
	if err != nil {
		t.Fatal(err)
	}
	return &sockets{w, t}
}

// dial connects a client; ended is closed when the server is done with it.
func (w *sockets) dial(h hello) (client *testkit.Socket, ended chan struct{}) {
	ours, theirs := net.Pipe()
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		w.serve(ours, h)
		_ = ours.Close()
	}()
	return testkit.NewSocket(theirs), ended
}

// alice connects an authenticated client and reads the welcome.
func (w *sockets) alice(h hello) (*testkit.Socket, chan struct{}) {
	w.t.Helper()
	h.token = token(w.t, "alice", "user", nil)
	c, ended := w.dial(h)
	w.expect(c, `{"type":"auth_success","user":"alice","role":"user"`)
	return c, ended
}

// expect reads a message that begins with some text.
func (w *sockets) expect(c *testkit.Socket, want string) testkit.Received {
	w.t.Helper()
	m, err := c.Receive()
	got := string(m.Payload)
	if m.Kind == testkit.SocketClose {
		got = fmt.Sprintf("close %d %s", m.Code, m.Reason)
	}
	if err != nil || !strings.HasPrefix(got, want) {
		w.t.Fatalf("received %.200q (%v), want %q", got, err, want)
	}
	return m
}

// send sends a text message.
func (w *sockets) send(c *testkit.Socket, format string, args ...any) {
	w.t.Helper()
	if err := c.Text(fmt.Sprintf(format, args...)); err != nil {
		w.t.Fatal(err)
	}
}

// TestSocketTimes turns the clock of a bubble: the limits hold to the second.
func TestSocketTimes(t *testing.T) {
	db := socketDB(t, nil)
	run := func(name string, f func(t *testing.T, w *sockets)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, openSockets(t, db, nil)) })
		})
	}
	run("never authenticates", func(t *testing.T, w *sockets) {
		start := time.Now()
		c, ended := w.dial(hello{})
		w.send(c, `{"type":"ping"}`)
		w.expect(c, `{"type":"auth_error","message":"Authentication timeout - no auth message received within 3 seconds"}`)
		w.expect(c, "close 1008 Authentication timeout")
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("it took %s", took)
		}
		_ = c.Close()
		<-ended
	})
	run("answers pings, then falls silent", func(t *testing.T, w *sockets) {
		c, ended := w.alice(hello{})
		start := time.Now()
		for i := range 20 {
			f, err := c.ReceiveFrame()
			if err != nil || f.Kind != testkit.SocketPing || time.Since(start) != time.Duration(i+1)*15*time.Second {
				t.Fatalf("%v, a frame of kind %d after %s", err, f.Kind, time.Since(start))
			}
			if err := c.Frame(true, testkit.SocketPong, f.Payload); err != nil {
				t.Fatal(err)
			}
		}
		last := time.Now()
		c.Mute = true
		w.expect(c, "close 1000 Heartbeat timeout")
		if silent := time.Since(last); silent != time.Minute {
			t.Errorf("closed after %s", silent)
		}
		_ = c.Close()
		<-ended
		if w.Stats().Timeouts != 1 || w.Stats().Open != 0 {
			t.Errorf("%+v", w.Stats())
		}
	})
	run("outlives its token", func(t *testing.T, w *sockets) {
		c, ended := w.dial(hello{token: token(t, "alice", "user", jwt.MapClaims{"exp": time.Now().Add(5 * time.Minute).Unix()})})
		w.expect(c, `{"type":"auth_success"`)
		start := time.Now()
		w.expect(c, "close 1008 Token expired") // pings are answered meanwhile
		if took := time.Since(start); took < 6*time.Minute-time.Second || took > 6*time.Minute {
			t.Errorf("closed after %s, want five minutes and the leeway of one", took)
		}
		_ = c.Close()
		<-ended
		c, ended = w.dial(hello{token: token(t, "alice", "user", jwt.MapClaims{"exp": time.Now().Add(-55 * time.Second).Unix()})})
		w.expect(c, `{"type":"auth_success"`)
		start = time.Now()
		w.expect(c, "close 1008 Token expired")
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("closed after %s, want a heartbeat at most", took)
		}
		_ = c.Close()
		<-ended
	})
	run("lasts as long as a newer token of its user", func(t *testing.T, w *sockets) {
		until := func(d time.Duration) string {
			return token(t, "alice", "user", jwt.MapClaims{"exp": time.Now().Add(d).Unix()})
		}
		c, ended := w.dial(hello{token: until(5 * time.Minute)})
		w.expect(c, `{"type":"auth_success"`)
		start := time.Now()
		w.send(c, `{"type":"authenticate","method":"jwt","token":%q}`, until(10*time.Minute))
		w.expect(c, `{"type":"auth_success","user":"alice"`)
		w.send(c, `{"type":"authenticate","method":"jwt","token":%q}`, until(time.Minute))
		w.expect(c, `{"type":"auth_success","user":"alice"`)
		w.expect(c, "close 1008 Token expired")
		if took := time.Since(start); took < 11*time.Minute-time.Second || took > 11*time.Minute {
			t.Errorf("closed after %s, want ten minutes and the leeway of one", took)
		}
		_ = c.Close()
		<-ended
	})
	run("any frame keeps a socket open", func(t *testing.T, w *sockets) {
		c, ended := w.alice(hello{})
		stop := time.Now().Add(5 * time.Minute)
		go func() {
			for time.Now().Before(stop) {
				time.Sleep(50 * time.Second) // of the bubble's clock
				_ = c.Text(`{"type":"ping"}`)
			}
		}()
		c.Mute = true
		w.expect(c, "close 1000")
		if lasted := time.Since(stop); lasted < time.Minute {
			t.Errorf("closed %s after the last frame", lasted)
		}
		_ = c.Close()
		<-ended
	})
	run("never reads", func(t *testing.T, w *sockets) {
		c, ended := w.alice(hello{})
		start := time.Now()
		w.send(c, `{"type":"subscribe","subscription":{"id":"a","sql":"SELECT * FROM app.note","options":{}}}`)
		<-ended
		if took := time.Since(start); took != time.Minute {
			t.Errorf("it took %s", took)
		}
	})
	run("the server stops", func(t *testing.T, w *sockets) {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		c, ended := w.alice(hello{})
		waiting, ended2 := w.dial(hello{})
		synctest.Wait()
		stop()
		go w.expect(waiting, "close 1001 Server shutting down")
		w.expect(c, "close 1001 Server shutting down")
		if err := c.Frame(true, testkit.SocketClose, []byte("\x03\xe9")); err != nil {
			t.Error(err)
		}
		<-ended
		<-ended2
		if err := <-done; err != nil {
			t.Error(err)
		}
		if why := w.full(); why != "Server is shutting down" {
			t.Error(why)
		}
	})
	run("a client that does not answer a close", func(t *testing.T, w *sockets) {
		c, ended := w.alice(hello{})
		start := time.Now()
		w.send(c, `not JSON`)
		w.expect(c, "close 1011 Invalid message: ")
		<-ended
		if took := time.Since(start); took > closeWait {
			t.Errorf("it took %s", took)
		}
	})
}

// TestSocketRenewal: whoever authenticates again proves it again, as the same
// user.
func TestSocketRenewal(t *testing.T) {
	db := socketDB(t, nil)
	execute(t, db, "root", "CREATE USER 'bob' WITH PASSWORD 'correct horse' ROLE user")
	for name, bad := range map[string]string{
		"nonsense": "nonsense",
		"expired":  token(t, "alice", "user", jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}),
		"foreign":  token(t, "bob", "user", nil),
		"a role":   token(t, "alice", "dba", nil),
	} {
		t.Run(name, func(t *testing.T) {
			w := openSockets(t, db, nil)
			c, ended := w.alice(hello{})
			w.send(c, `{"type":"authenticate","method":"jwt","token":%q}`, token(t, "alice", "user", nil))
			w.expect(c, `{"type":"auth_success","user":"alice"`)
			w.send(c, `{"type":"authenticate","method":"jwt","token":%q}`, bad)
			w.expect(c, `{"type":"auth_error","message":"Invalid credentials"}`)
			w.expect(c, "close 1008 Authentication failed")
			_ = c.Close()
			<-ended
			if w.Stats().Denied != 1 {
				t.Errorf("%+v", w.Stats())
			}
		})
	}
	t.Run("attempts count", func(t *testing.T) {
		w := openSockets(t, db, nil) // three in a second
		c, _ := w.alice(hello{})
		for range 2 {
			w.send(c, `{"type":"authenticate","method":"jwt","token":%q}`, token(t, "alice", "user", nil))
			w.expect(c, `{"type":"auth_success"`)
		}
		w.send(c, `{"type":"authenticate","method":"jwt","token":%q}`, token(t, "alice", "user", nil))
		w.expect(c, `{"type":"auth_error","message":"Too many authentication attempts. Please retry shortly."}`)
		w.expect(c, "close 1008 Authentication failed")
		_ = c.Close()
	})
}

func TestSocketRates(t *testing.T) {
	db := socketDB(t, nil)
	w := openSockets(t, db, func(o *WebSocketOptions) { o.MessagesPerSecond = 2 })
	c, _ := w.alice(hello{})
	w.send(c, `{"type":"ping"}`)
	w.send(c, `{"type":"authenticate","method":"jwt","token":%q}`, token(t, "alice", "user", nil))
	w.expect(c, `{"type":"auth_success"`)
	w.send(c, `{"type":"ping"}`)
	w.expect(c, `{"type":"error","subscription_id":"rate_limit","code":"RATE_LIMIT_EXCEEDED","message":"Too many messages"}`)
	_ = c.Close()
	for range 3 {
		c, ended := w.dial(hello{token: "wrong", client: auth.Client{IP: "192.0.2.1"}})
		w.expect(c, `{"type":"auth_error","message":"Invalid credentials"}`)
		w.expect(c, "close 1008 Authentication failed")
		_ = c.Close()
		<-ended
	}
	c, _ = w.dial(hello{token: "wrong", client: auth.Client{IP: "192.0.2.1"}})
	w.expect(c, `{"type":"auth_error","message":"Too many authentication attempts. Please retry shortly."}`)
	w.expect(c, "close 1008 Authentication failed")
	_ = c.Close()
}

// TestFramesTogether counts writes: the frames of a commit share one.
func TestFramesTogether(t *testing.T) {
	db := socketDB(t, nil)
	w := openSockets(t, db, nil)
	c, _ := w.alice(hello{})
	w.send(c, `{"type":"subscribe","subscription":{"id":"a","sql":"SELECT * FROM app.note"}}`)
	w.expect(c, `{"type":"subscription_ack"`)
	before := w.Stats()
	var rows []string
	for i := range 200 {
		rows = append(rows, fmt.Sprintf("(%d, 'a note')", i))
	}
	execute(t, db, "alice", "INSERT INTO app.note VALUES "+strings.Join(rows, ", "))
	for range 200 {
		w.expect(c, `{"type":"change","subscription_id":"a","change_type":"insert"`)
	}
	execute(t, db, "alice", "INSERT INTO app.note VALUES (1000, 'the last')")
	w.expect(c, `{"type":"change"`) // counters are written behind the frames
	after := w.Stats()
	if frames, writes := after.Frames-before.Frames, after.Writes-before.Writes; frames < 200 || writes > 4 {
		t.Errorf("%d frames in %d writes", frames, writes)
	}
	_ = c.Close()
}

// TestCompression looks at what is compressed, and what never is.
func TestCompression(t *testing.T) {
	db := socketDB(t, nil)
	w := openSockets(t, db, func(o *WebSocketOptions) { o.CompressChangeBytes = 2000 })
	long := strings.Repeat("all work and no play ", 200)
	execute(t, db, "alice", "INSERT INTO app.note VALUES (1, '"+long+"')")
	f := func(compressed bool) {
		t.Helper()
		c, _ := w.alice(hello{compressed: compressed})
		w.send(c, `{"type":"subscribe","subscription":{"id":"a","sql":"SELECT * FROM app.note","options":{}}}`)
		if m := w.expect(c, `{"type":"subscription_ack"`); m.Compressed != (compressed && len(m.Payload) >= compressFrom) {
			t.Errorf("the ack of %d bytes is compressed: %v", len(m.Payload), m.Compressed)
		}
		if m := w.expect(c, `{"type":"initial_data_batch"`); m.Compressed != compressed {
			t.Errorf("the batch is compressed: %v", m.Compressed)
		}
		execute(t, db, "alice", "UPDATE app.note SET body = 'short' WHERE id = 1")
		w.expect(c, `{"type":"change"`)
		execute(t, db, "alice", "UPDATE app.note SET body = '"+long+"' WHERE id = 1")
		if m := w.expect(c, `{"type":"change"`); m.Compressed != compressed {
			t.Errorf("the long change is compressed: %v", m.Compressed)
		}
		w.send(c, `{"type":"subscribe","subscription":{"id":"b","sql":"SELECT %s FROM app.note","options":{}}}`, strings.Repeat("x", 600))
		if m := w.expect(c, `{"type":"error"`); m.Compressed {
			t.Error("the error is compressed")
		}
		_ = c.Close()
	}
	f(true)
	f(false)
}

// TestSlowReader lets a client fall far behind: it is told so, and has every
// change in order at the end.
func TestSlowReader(t *testing.T) {
	db := socketDB(t, func(o *core.Options) { o.Live.OutboxBytes, o.Live.RingBytes = 4000, 32<<10 })
	w := openSockets(t, db, nil)
	c, _ := w.alice(hello{wish: protocolWish{Features: []string{featureLagging, featureCommits, "unknown"}}})
	w.send(c, `{"type":"subscribe","subscription":{"id":"a","sql":"SELECT id FROM app.note"}}`)
	w.expect(c, `{"type":"subscription_ack"`)
	const commits, rows = 60, 20
	for i := range commits {
		var values []string
		for j := range rows {
			values = append(values, fmt.Sprintf("(%d, 'a note')", i*rows+j))
		}
		execute(t, db, "alice", "INSERT INTO app.note VALUES "+strings.Join(values, ", "))
	}
	next, told, resumed, open := 0, 0, 0, 0
	for next < commits*rows || open > 0 || told > resumed {
		m, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Type string
			Rows []struct{ ID string }
		}
		if err := json.Unmarshal(m.Payload, &f); err != nil {
			t.Fatal(err)
		}
		switch f.Type {
		case "change":
			if len(f.Rows) != 1 || f.Rows[0].ID != fmt.Sprint(next) {
				t.Fatalf("after %d changes: %s", next, m.Payload)
			}
			next++
			open++
		case "commit":
			open = 0
		case "lagging":
			told++
		case "resumed":
			resumed++
		default:
			t.Fatalf("%s", m.Payload)
		}
	}
	if told == 0 {
		t.Error("the client was not told that it lags")
	}
	_ = c.Close()
}

// TestSocketNotANumber: JSON has no NaN; a live query that meets one says so and
// others go on.
func TestSocketNotANumber(t *testing.T) {
	db := socketDB(t, nil)
	execute(t, db, "root", "CREATE TABLE app.odd (id BIGINT PRIMARY KEY, d DOUBLE) WITH (TYPE='USER')")
	execute(t, db, "alice", "INSERT INTO app.odd VALUES (1, 'NaN')")
	w := openSockets(t, db, nil)
	c, ended := w.alice(hello{})
	subscribe := func(id, sql, options string) {
		w.send(c, `{"type":"subscribe","subscription":{"id":%q,"sql":%q%s}}`, id, sql, options)
	}
	subscribe("all", "SELECT * FROM app.odd", `,"options":{"batch_size":10}`)
	w.expect(c, `{"type":"error","subscription_id":"all","code":"CONVERSION_ERROR","message":"Execution error: column d: DOUBLE value NaN cannot be sent as JSON"`)
	subscribe("live", "SELECT id, d FROM app.odd", "")
	w.expect(c, `{"type":"subscription_ack","subscription_id":"live"`)
	subscribe("ids", "SELECT id FROM app.odd", "")
	w.expect(c, `{"type":"subscription_ack","subscription_id":"ids"`)
	execute(t, db, "alice", "INSERT INTO app.odd VALUES (2, 'Infinity')")
	got := map[string]bool{}
	for range 2 {
		var m struct {
			Type, Code string
			ID         string `json:"subscription_id"`
		}
		frame, err := c.Receive()
		if err != nil || json.Unmarshal(frame.Payload, &m) != nil {
			t.Fatalf("%v %s", err, frame.Payload)
		}
		got[m.Type+" "+m.ID+" "+m.Code] = true
	}
	if !got["error live CONVERSION_ERROR"] || !got["change ids "] {
		t.Errorf("got %v", got)
	}
	_ = c.Close()
	<-ended
}
