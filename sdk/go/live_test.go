package kalam

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// peer is the server's end of the sockets of one client: it says what the test
// lets it say.
type peer struct {
	t       *testing.T
	url     string
	sockets chan net.Conn // upgraded and not authenticated yet
	logins  chan string   // answers to logins
	conn    net.Conn
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{t: t, sockets: make(chan net.Conn, 8), logins: make(chan string, 8)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/login") {
			_, _ = io.WriteString(w, <-p.logins)
			return
		}
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Error(err)
			return
		}
		p.sockets <- conn
	}))
	p.url = server.URL
	t.Cleanup(func() {
		if p.conn != nil {
			_ = p.conn.Close()
		}
		server.Close()
	})
	return p
}

// accept takes the client's next socket and lets it in.
func (p *peer) accept() {
	p.t.Helper()
	p.acceptWith(`{"type":"auth_success","user":"ann","role":"user","protocol":{"features":["commits"]}}`)
}

func (p *peer) acceptWith(word string) {
	p.t.Helper()
	select {
	case p.conn = <-p.sockets:
	case <-time.After(patience):
		p.t.Fatal("the client did not connect")
	}
	p.send(word)
}

func (p *peer) send(text string) {
	p.t.Helper()
	if err := wsutil.WriteServerText(p.conn, []byte(text)); err != nil {
		p.t.Fatalf("send %s: %v", text, err)
	}
}

// expect reads the client's next message, which must be the given one.
func (p *peer) expect(want string) {
	p.t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	text, err := wsutil.ReadClientText(p.conn)
	if err != nil || string(text) != want {
		p.t.Fatalf("the client says %s, %v; want %s", text, err, want)
	}
}

// cut breaks the connection.
func (p *peer) cut() { _ = p.conn.Close() }

// connect returns a Live of the peer.
func (p *peer) connect(o Options) (*Client, *Live) {
	p.t.Helper()
	o.URL = p.url
	if o.User == "" {
		o.Token = "t"
	}
	c, err := New(o)
	if err != nil {
		p.t.Fatal(err)
	}
	type result struct {
		live *Live
		err  error
	}
	made := make(chan result, 1)
	go func() {
		l, err := c.Live(context.Background())
		made <- result{l, err}
	}()
	p.accept()
	r := <-made
	if r.err != nil {
		p.t.Fatal(r.err)
	}
	p.t.Cleanup(func() {
		_ = r.live.Close()
		c.Close()
	})
	return c, r.live
}

func subscribe(t *testing.T, l *Live, o SubscribeOptions) *Subscription {
	t.Helper()
	s, err := l.Subscribe("SELECT * FROM a.b", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// told reads the next event as text: kind, id, _seq, the position to resume at.
func told(t *testing.T, s *Subscription) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	e, err := s.Next(ctx)
	if err != nil {
		return "error " + err.Error()
	}
	text := fmt.Sprintf("%s %s @%d →%d", e.Kind, e.Row["id"], e.Seq, e.Resume)
	if e.Old != nil {
		text += fmt.Sprintf(" was %s", e.Old["n"])
	}
	return text
}

func expectEvents(t *testing.T, s *Subscription, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := told(t, s); got != w {
			t.Fatalf("the subscriber is told %q, want %q", got, w)
		}
	}
}

const (
	subscribeWhole = `{"type":"subscribe","subscription":{"id":"s1","sql":"SELECT * FROM a.b","options":{}}}`
	ack            = `{"type":"subscription_ack","subscription_id":"s1","batch_control":{"batch_num":0,"has_more":false,"status":"ready","last_seq_id":null}}`
)

func subscribeFrom(seq string) string {
	return `{"type":"subscribe","subscription":{"id":"s1","sql":"SELECT * FROM a.b","options":{"from":"` + seq + `"}}}`
}

func page(more bool, last string, rows ...string) string {
	return fmt.Sprintf(`{"type":"initial_data_batch","subscription_id":"s1","rows":[%s],"batch_control":{"has_more":%v,"last_seq_id":%s}}`, strings.Join(rows, ","), more, last)
}

func row(id, seq int) string { return fmt.Sprintf(`{"id":"%d","_seq":"%d"}`, id, seq) }

// mark says that everything up to a position has been told.
func mark(position int) string {
	return fmt.Sprintf(`{"type":"commit","subscription_id":"s1","position":"%d"}`, position)
}

func change(kind, rows, old string) string {
	text := `{"type":"change","subscription_id":"s1","change_type":"` + kind + `"`
	if rows != "" {
		text += `,"rows":[` + rows + `]`
	}
	if old != "" {
		text += `,"old_values":[` + old + `]`
	}
	return text + `}`
}

// TestPages: a snapshot is asked for page by page, with the server's own
// spelling of the position; then come changes of each kind.
func TestPages(t *testing.T) {
	p := newPeer(t)
	_, l := p.connect(Options{})
	s := subscribe(t, l, SubscribeOptions{})
	p.expect(subscribeWhole)
	p.send(ack)
	p.send(page(true, "7310449231028224501", `{"id":"1","_seq":"7310449231028224500"}`, `{"id":"2","_seq":"7310449231028224501"}`))
	p.expect(`{"type":"next_batch","subscription_id":"s1","last_seq_id":7310449231028224501}`)
	p.send(page(false, "null"))
	p.send(`{"type":"commit","subscription_id":"s1","position":"7310449231028224501"}`)
	p.send(change("insert", `{"id":"3","_seq":"7310449231028224502"}`, ""))
	p.send(change("update", `{"id":"3","n":2,"_seq":"7310449231028224503"}`, `{"id":"3","n":1,"_seq":"7310449231028224502"}`))
	p.send(change("delete", "", `{"id":"3","_seq":"7310449231028224504"}`))
	p.send(change("delete", "", `{"row_id":"ann:7"}`)) // of a stream
	p.send(`{"type":"commit","position":"9"}`)         // of the connection
	p.send(`{"type":"error","subscription_id":"s1","code":"NOT_FOUND","message":"gone"}`)
	expectEvents(t, s,
		`snapshot "1" @7310449231028224500 →7310449231028224500`,
		`snapshot "2" @7310449231028224501 →7310449231028224501`,
		`ready  @0 →7310449231028224501`,
		`insert "3" @7310449231028224502 →7310449231028224502`,
		`update "3" @7310449231028224503 →7310449231028224503 was 1`,
		`delete "3" @7310449231028224504 →7310449231028224504`,
		`delete  @0 →7310449231028224504`,
		`error NOT_FOUND: gone`,
		`error NOT_FOUND: gone`)
	s.Close()
}

// TestResume: after a break the difference is asked for. Until its mark has
// come the position stays, and a break takes back what was told beyond it.
func TestResume(t *testing.T) {
	p := newPeer(t)
	_, l := p.connect(Options{})
	s := subscribe(t, l, SubscribeOptions{})
	p.expect(subscribeWhole)
	p.send(ack)
	p.send(page(true, "5", row(1, 4), row(2, 5)))
	p.expect(`{"type":"next_batch","subscription_id":"s1","last_seq_id":5}`)
	expectEvents(t, s, `snapshot "1" @4 →4`, `snapshot "2" @5 →5`)
	p.cut() // within a snapshot: its rows come in the order of positions

	p.accept()
	p.expect(subscribeFrom("5"))
	p.send(ack)
	p.send(page(false, "9", row(3, 9)))
	p.send(change("delete", "", row(1, 7)))
	expectEvents(t, s, `snapshot "3" @9 →5`, `delete "1" @7 →5`)
	p.cut() // within a difference

	expectEvents(t, s, `delete "3" @9 →5`)
	p.accept()
	p.expect(subscribeFrom("5"))
	p.send(ack)
	p.send(page(false, "9", row(3, 9)))
	p.send(change("delete", "", row(1, 7)))
	p.send(change("update", row(2, 13), row(2, 5)))
	p.send(mark(14))
	p.send(change("insert", row(4, 15), ""))
	expectEvents(t, s, `snapshot "3" @9 →5`, `delete "1" @7 →5`, `update "2" @13 →5 was `, `ready  @0 →14`, `insert "4" @15 →15`)
	p.send(mark(20)) // behind a commit, while it lags
	p.send(change("delete", "", row(4, 18)))
	expectEvents(t, s, `delete "4" @18 →20`)
	p.cut() // between changes

	p.accept()
	p.expect(subscribeFrom("20"))
	p.send(ack)
	p.send(page(false, "null"))
	p.send(mark(21))
	expectEvents(t, s, `ready  @0 →21`)
}

// TestUnsettled: what cannot be taken back ends the subscription.
func TestUnsettled(t *testing.T) {
	p := newPeer(t)
	_, l := p.connect(Options{})
	s := subscribe(t, l, SubscribeOptions{From: 1, Buffer: maxUnsettled + 10})
	p.expect(subscribeFrom("1"))
	rows := make([]string, maxUnsettled/10)
	for i := range 10 {
		for j := range rows {
			rows[j] = row(j, 2+i)
		}
		p.send(page(true, "5", rows...))
		p.expect(`{"type":"next_batch","subscription_id":"s1","last_seq_id":5}`)
	}
	p.send(page(false, "5", row(1, 99)))
	for range maxUnsettled + 1 {
		if e, err := s.Next(t.Context()); err != nil || e.Kind != Snapshot {
			t.Fatal(e, err)
		}
	}
	p.cut()
	expectEvents(t, s, "error "+ErrUnsettled.Error())
	p.accept() // the connection goes on for others
	other := subscribe(t, l, SubscribeOptions{NoSnapshot: true})
	p.expect(`{"type":"subscribe","subscription":{"id":"s2","sql":"SELECT * FROM a.b"}}`)
	p.send(strings.ReplaceAll(ack, `"s1"`, `"s2"`))
	p.send(strings.ReplaceAll(mark(7), `"s1"`, `"s2"`))
	expectEvents(t, other, `ready  @0 →7`)
}

// TestServerWithoutMarks: the last page, or an acknowledgement without one, is
// all that can be known to be complete.
func TestServerWithoutMarks(t *testing.T) {
	const old = `{"type":"auth_success","user":"ann","role":"user"}`
	p := newPeer(t)
	_, l := p.connect(Options{})
	s := subscribe(t, l, SubscribeOptions{})
	p.expect(subscribeWhole)
	p.cut()
	p.acceptWith(old)
	p.expect(subscribeWhole)
	p.send(ack)
	p.send(page(false, "5", row(1, 5)))
	expectEvents(t, s, `snapshot "1" @5 →5`, `ready  @0 →5`)
	p.cut()
	p.acceptWith(old)
	p.expect(subscribeFrom("5"))
	p.send(ack)
	p.send(page(false, "9", row(2, 9)))
	expectEvents(t, s, `snapshot "2" @9 →5`, `ready  @0 →9`)

	changes := subscribe(t, l, SubscribeOptions{NoSnapshot: true})
	p.expect(`{"type":"subscribe","subscription":{"id":"s2","sql":"SELECT * FROM a.b"}}`)
	p.send(strings.ReplaceAll(ack, `"s1"`, `"s2"`))
	expectEvents(t, changes, `ready  @0 →0`)
}

// TestModes: what each choice of options asks for, first and after a break, and
// when the subscriber is told that the snapshot is complete.
func TestModes(t *testing.T) {
	f := func(o SubscribeOptions, first, again string) {
		t.Helper()
		s := newSubscription(nil, "Q", o)
		s.id = "x"
		for i, want := range []string{first, again} {
			text, err := json.Marshal(s.request(i == 1))
			if err != nil {
				t.Fatal(err)
			}
			if want = `{"type":"subscribe","subscription":{"id":"x","sql":"Q"` + want + `}}`; string(text) != want {
				t.Errorf("%+v asks for %s, want %s", o, text, want)
			}
			s.cursor, s.ready = 7310449231028224501, true
		}
	}
	const from = `"from":"7310449231028224501"`
	f(SubscribeOptions{}, `,"options":{}`, `,"options":{`+from+`}`)
	f(SubscribeOptions{BatchSize: 10}, `,"options":{"batch_size":10}`, `,"options":{"batch_size":10,`+from+`}`)
	f(SubscribeOptions{LastRows: 20, BatchSize: 10}, `,"options":{"batch_size":20,"last_rows":20}`, `,"options":{"batch_size":10,`+from+`}`)
	f(SubscribeOptions{NoSnapshot: true}, ``, `,"options":{`+from+`}`)
	f(SubscribeOptions{Replay: true}, `,"options":{}`, `,"options":{`+from+`,"replay":"changes"}`)
	f(SubscribeOptions{From: 7}, `,"options":{"from":"7"}`, `,"options":{`+from+`}`)
	f(SubscribeOptions{From: 7, Replay: true}, `,"options":{"from":"7","replay":"changes"}`, `,"options":{`+from+`,"replay":"changes"}`)

	for _, o := range []SubscribeOptions{{LastRows: -1}, {BatchSize: -1}, {Buffer: -1}, {From: 1, NoSnapshot: true}, {From: 1, LastRows: 1}, {NoSnapshot: true, LastRows: 1}} {
		if err := o.check(); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
		if _, err := (&Live{}).Subscribe("Q", o); !errors.Is(err, ErrOptions) {
			t.Errorf("Subscribe with %+v: %v", o, err)
		}
	}

	p := newPeer(t)
	_, l := p.connect(Options{})
	s := subscribe(t, l, SubscribeOptions{NoSnapshot: true})
	p.expect(`{"type":"subscribe","subscription":{"id":"s1","sql":"SELECT * FROM a.b"}}`)
	p.send(ack)
	p.send(mark(2))
	expectEvents(t, s, `ready  @0 →2`)
	p.cut() // before the first change
	p.accept()
	p.expect(subscribeFrom("2")) // a difference: ready comes behind its rows
	p.send(ack)
	p.send(page(false, "4", row(2, 4)))
	p.send(mark(5))
	expectEvents(t, s, `snapshot "2" @4 →2`, `ready  @0 →5`)
}

// TestReplayModes: with Replay the acknowledgement of a resumption is all that
// comes before the changes, but not that of a snapshot.
func TestReplayModes(t *testing.T) {
	p := newPeer(t)
	_, l := p.connect(Options{})
	s := subscribe(t, l, SubscribeOptions{Replay: true})
	p.expect(subscribeWhole)
	p.send(ack)
	p.send(page(false, "4", row(1, 4)))
	p.send(mark(4))
	expectEvents(t, s, `snapshot "1" @4 →4`, `ready  @0 →4`)
	p.cut()
	p.accept()
	p.expect(`{"type":"subscribe","subscription":{"id":"s1","sql":"SELECT * FROM a.b","options":{"from":"4","replay":"changes"}}}`)
	p.send(ack)
	p.send(mark(4))
	p.send(change("insert", row(2, 5), ""))
	expectEvents(t, s, `ready  @0 →4`, `insert "2" @5 →5`)
}

// TestReplayAfterHalfASnapshot: rows of a snapshot that broke off are no state to
// replay changes upon, for later pages lack what changed meanwhile. What is
// lacking comes as a difference, and Ready behind it.
func TestReplayAfterHalfASnapshot(t *testing.T) {
	p := newPeer(t)
	_, l := p.connect(Options{})
	s := subscribe(t, l, SubscribeOptions{Replay: true})
	p.expect(subscribeWhole)
	p.send(ack)
	p.send(page(true, "4", row(1, 4)))
	p.expect(`{"type":"next_batch","subscription_id":"s1","last_seq_id":4}`)
	p.send(page(true, "8", row(3, 8))) // row 2 has changed before its page was read
	expectEvents(t, s, `snapshot "1" @4 →4`, `snapshot "3" @8 →8`)
	p.cut()
	p.accept()
	p.expect(subscribeFrom("8"))
	p.send(ack)
	p.send(page(false, "9", row(2, 9)))
	p.send(mark(10))
	expectEvents(t, s, `snapshot "2" @9 →8`, `ready  @0 →10`)
	p.cut()
	p.accept()
	p.expect(`{"type":"subscribe","subscription":{"id":"s1","sql":"SELECT * FROM a.b","options":{"from":"10","replay":"changes"}}}`)
}

// TestCompressedAndPing: large frames come compressed, pings are answered, and a
// frame that is no JSON breaks the socket, not the subscription.
func TestCompressedAndPing(t *testing.T) {
	p := newPeer(t)
	_, l := p.connect(Options{})
	s := subscribe(t, l, SubscribeOptions{})
	p.expect(subscribeWhole)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := io.WriteString(z, page(false, "4", row(1, 4))); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := wsutil.WriteServerBinary(p.conn, packed.Bytes()); err != nil {
		t.Fatal(err)
	}
	p.send(mark(4))
	expectEvents(t, s, `snapshot "1" @4 →4`, `ready  @0 →4`)
	if err := wsutil.WriteServerMessage(p.conn, ws.OpPing, []byte("there?")); err != nil {
		t.Fatal(err)
	}
	if f, err := ws.ReadFrame(p.conn); err != nil || f.Header.OpCode != ws.OpPong || string(ws.UnmaskFrame(f).Payload) != "there?" {
		t.Errorf("a ping is answered with %v, %v", f.Header.OpCode, err)
	}
	for _, broken := range []func() error{
		func() error { return wsutil.WriteServerText(p.conn, []byte(`{"type":`)) },
		func() error { return wsutil.WriteServerBinary(p.conn, []byte("not gzip")) },
		func() error { return wsutil.WriteServerMessage(p.conn, ws.OpClose, ws.NewCloseFrameBody(1001, "bye")) },
	} {
		if err := broken(); err != nil {
			t.Fatal(err)
		}
		p.accept()
		p.expect(subscribeFrom("4"))
	}
	p.send(ack)
	p.send(page(false, "null"))
	p.send(mark(4))
	p.send(change("insert", row(2, 5), ""))
	expectEvents(t, s, `ready  @0 →4`, `insert "2" @5 →5`)
}

// TestBusyServer: a server that has had enough gets the client again later,
// which keeps its subscriptions.
func TestBusyServer(t *testing.T) {
	p := newPeer(t)
	_, l := p.connect(Options{})
	s := subscribe(t, l, SubscribeOptions{})
	p.expect(subscribeWhole)
	p.send(`{"type":"error","subscription_id":"rate_limit","code":"RATE_LIMIT_EXCEEDED","message":"Too many messages"}`)
	p.accept()
	p.expect(subscribeWhole)
	p.send(ack)
	p.send(page(false, "4", row(1, 4)))
	p.send(mark(4))
	expectEvents(t, s, `snapshot "1" @4 →4`, `ready  @0 →4`)
	p.cut()
	p.acceptWith(`{"type":"auth_error","message":"Too many authentication attempts. Please retry shortly."}`)
	p.accept()
	p.expect(subscribeFrom("4"))
	// Its own predecessor still counts: that is not the subscriber's fault.
	p.send(`{"type":"error","subscription_id":"s1","code":"SUBSCRIPTION_LIMIT_EXCEEDED","message":"Maximum subscriptions reached"}`)
	p.accept()
	p.expect(subscribeFrom("4"))
	p.send(ack)
	p.send(page(false, "null"))
	p.send(mark(4))
	expectEvents(t, s, `ready  @0 →4`)
	// Another one beside it is.
	second := subscribe(t, l, SubscribeOptions{})
	p.expect(strings.ReplaceAll(subscribeWhole, `"s1"`, `"s2"`))
	p.send(`{"type":"error","subscription_id":"s2","code":"SUBSCRIPTION_LIMIT_EXCEEDED","message":"Maximum subscriptions reached"}`)
	expectEvents(t, second, `error SUBSCRIPTION_LIMIT_EXCEEDED: Maximum subscriptions reached`)
}

// TestAccountRefused: a token that is not taken any more is renewed once; the
// refusal of the account ends the subscriptions, for good.
func TestAccountRefused(t *testing.T) {
	const refusal = `{"type":"auth_error","message":"Invalid credentials"}`
	p := newPeer(t)
	p.logins <- `{"access_token":"one"}`
	_, l := p.connect(Options{User: "ann", Password: "x"})
	s := subscribe(t, l, SubscribeOptions{})
	p.expect(subscribeWhole)
	p.cut()
	p.logins <- `{"access_token":"two"}`
	p.acceptWith(refusal)
	p.accept()
	p.expect(subscribeWhole)
	p.cut()
	p.logins <- `{"error":"unauthorized","message":"Invalid credentials"}`
	p.acceptWith(refusal)
	expectEvents(t, s, `error UNAUTHORIZED: Invalid credentials`)
	if _, err := l.Subscribe("Q", SubscribeOptions{}); err == nil {
		t.Error("an ended Live takes subscriptions")
	}

	c, err := New(Options{URL: p.url, Token: "bad"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	failed := make(chan error, 1)
	go func() {
		_, err := c.Live(context.Background())
		failed <- err
	}()
	p.acceptWith(refusal)
	var refused *Error
	if err := <-failed; !errors.As(err, &refused) || refused.Code != "INVALID_CREDENTIALS" {
		t.Errorf("a Live with a bad token: %v", err)
	}
}

// TestClose: what is closed tells so after the events that wait, a slow
// subscriber does not keep Close from returning, and no goroutine is left.
func TestClose(t *testing.T) {
	p := newPeer(t)
	c, l := p.connect(Options{})
	s := subscribe(t, l, SubscribeOptions{Buffer: 1})
	p.expect(subscribeWhole)
	p.send(ack)
	p.send(page(false, "5", row(1, 4), row(2, 5))) // the second does not fit
	other := subscribe(t, l, SubscribeOptions{})
	p.expect(strings.ReplaceAll(subscribeWhole, `"s1"`, `"s2"`))
	expectEvents(t, s, `snapshot "1" @4 →4`)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := other.Next(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with a cancelled context: %v", err)
	}
	s.Close()
	s.Close()
	p.expect(`{"subscription_id":"s1","type":"unsubscribe"}`)
	for {
		if got := told(t, s); got == "error "+ErrClosed.Error() {
			break
		} else if !strings.HasPrefix(got, "snapshot") && !strings.HasPrefix(got, "ready") {
			t.Fatalf("a closed subscription tells %q", got)
		}
	}
	// The server acknowledges what was closed meanwhile: it is told again.
	p.send(ack)
	p.expect(`{"subscription_id":"s1","type":"unsubscribe"}`)

	if err := l.Close(); err != nil {
		t.Error(err)
	}
	expectEvents(t, other, "error "+ErrClosed.Error())
	if _, err := l.Subscribe("Q", SubscribeOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed Live subscribes: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	c.Close()
	for _, name := range []string{"(*Live).loop", "(*socket).ping"} {
		gone(t, name)
	}
}

// gone waits until no goroutine runs a function: one that has said so may take
// a moment to end.
func gone(t *testing.T, name string) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	for end := time.Now().Add(patience); bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte(name)); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%s still runs:\n%s", name, stacks)
		}
	}
}

// TestPace: a second's worth of messages goes at once, the rest one by one.
func TestPace(t *testing.T) {
	p := pace{perSecond: 4}
	now := time.Unix(1000, 0)
	for i, want := range []time.Duration{0, 0, 0, 0, 250, 500} {
		if got := max(p.next(now), 0); got != want*time.Millisecond {
			t.Errorf("message %d waits %s, want %d ms", i, got, want)
		}
	}
	if got := p.next(now.Add(time.Hour)); got > 0 {
		t.Errorf("after an hour a message waits %s", got)
	}
}

func TestSeqOf(t *testing.T) {
	f := func(raw string, want uint64) {
		t.Helper()
		if got := seqOf(map[string]json.RawMessage{"_seq": json.RawMessage(raw)}); got != want {
			t.Errorf("seqOf(%s) = %d, want %d", raw, got, want)
		}
	}
	f(`"7310449231028224501"`, 7310449231028224501)
	f(`7310449231028224501`, 7310449231028224501)
	f(`"18446744073709551615"`, 1<<64-1)
	for _, none := range []string{``, `null`, `""`, `"`, `"-1"`, `"1.5"`, `"x"`, `{}`, `18446744073709551616`} {
		f(none, 0)
	}
}

// FuzzFrame: no message of a server makes the client panic.
func FuzzFrame(f *testing.F) {
	for _, text := range []string{ack, page(true, "4", row(1, 4)), change("update", row(1, 4), row(1, 3)), `{"rows":[null]}`, `[]`, `{"type":1}`,
		`{"type":"change","subscription_id":"s1","change_type":"delete","old_values":[{"_seq":"\""}]}`, `{"type":"error","subscription_id":"s1","code":"RATE_LIMIT_EXCEEDED"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		message, err := decodeFrame(text)
		if err != nil {
			return
		}
		near, far := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		defer near.Close()
		l := &Live{ctx: context.Background()}
		s := newSubscription(l, "Q", SubscribeOptions{Buffer: 1 + len(text)})
		s.id = "s1"
		l.mu.subs = map[string]*Subscription{s.id: s}
		_ = l.handle(newSocket(near, nil, messagesPerSecond), message)
	})
}
