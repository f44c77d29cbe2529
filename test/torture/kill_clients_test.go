package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"kalamdb/internal/testkit"
	kalam "kalamdb/sdk/go"
	"kalamdb/test/torture/history"
)

// killRetry is how soon a follower tries again to reach the server.
const killRetry = 10 * time.Millisecond

// sdkFollower follows with the Go client, which finds the server again by
// itself.
type sdkFollower struct {
	*follower
	batch int
	// session says that the client is closed when the server ends and a new
	// one resumes at the position that was kept; otherwise one client lives on
	// through all the ends of the server.
	session bool
	live    *kalam.Live
	done    chan struct{}
	readies int
	loading []history.Row
}

// start opens the client and the subscription, when the server answers.
func (f *sdkFollower) start(ctx context.Context) error {
	live, err := f.run.clients[f.user].Live(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	f.live, f.done = live, make(chan struct{})
	sub, err := f.subscribe(f.sub != nil)
	if err != nil {
		return err
	}
	go f.listen(sub)
	return nil
}

// subscribe begins, or resumes where the last session has ended.
func (f *sdkFollower) subscribe(resume bool) (*kalam.Subscription, error) {
	o := kalam.SubscribeOptions{BatchSize: f.batch, Replay: f.replay, Buffer: 16}
	f.readies, f.loading = 0, nil
	if resume {
		o.From = f.broken()
	}
	if o.From == 0 {
		f.begin()
	} else {
		f.readies = 1
		if !f.replay {
			f.accepted() // nothing is taken for told before Ready
		}
	}
	return f.live.Subscribe(f.sql(), o)
}

// listen takes events until the client is closed.
func (f *sdkFollower) listen(sub *kalam.Subscription) {
	defer close(f.done)
	for {
		e, err := sub.Next(context.Background())
		var refused *kalam.Error
		switch {
		case err == nil:
			f.take(e)
			continue
		case errors.Is(err, kalam.ErrClosed):
			return
		case errors.As(err, &refused) && refused.Code == "CURSOR_EXPIRED":
			f.refusedResume()
			if sub, err = f.subscribe(false); err == nil {
				continue
			}
		}
		if !errors.Is(err, kalam.ErrClosed) {
			f.run.complain("%s ends: %v", f.name, err)
		}
		return
	}
}

// take acts on one event.
func (f *sdkFollower) take(e kalam.Event) {
	row := decodeCells(e.Row["id"], e.Row["op"], e.Row["owner"], nil)
	row.Seq = e.Seq
	switch e.Kind {
	case kalam.Snapshot:
		f.loading = append(f.loading, row)
	case kalam.Ready:
		f.ready()
		f.mu.Lock()
		f.position = max(f.position, e.Resume)
		f.mu.Unlock()
	case kalam.Insert:
		f.change(history.Event{Kind: history.Insert, Row: row})
	case kalam.Update:
		f.change(history.Event{Kind: history.Update, Row: row})
	case kalam.Delete:
		f.change(history.Event{Kind: history.Delete, Row: row})
	}
}

// ready takes what has been told since the connection was made as complete.
func (f *sdkFollower) ready() {
	f.readies++
	rows := f.loading
	f.loading = nil
	switch {
	case f.readies == 1:
		if f.batch > 0 {
			f.page(rows, true)
			rows = nil
		}
		f.page(rows, false)
	case f.replay:
		f.accepted()
	default:
		f.page(rows, false)
		f.mu.Lock()
		f.settle()
		f.mu.Unlock()
	}
}

// serverEnded is called when the server has ended and before it starts again.
func (f *sdkFollower) serverEnded() {
	if f.session {
		f.stop()
	}
}

// serverAnswers is called when the server has started.
func (f *sdkFollower) serverAnswers(ctx context.Context) error {
	if f.session {
		return f.start(ctx)
	}
	return nil
}

// stop closes the client and waits until all that it was told is noted.
func (f *sdkFollower) stop() {
	if f.live == nil {
		return
	}
	_ = f.live.Close() // always nil
	<-f.done
	f.live = nil
}

// rawFollower follows over a WebSocket of its own making, as clients of 0.4.3 do:
// it resumes at the greatest _seq that it has seen.
type rawFollower struct {
	*follower
	features string
	narrow   bool // takes little before it is read
	ctx      context.Context
	cancel   context.CancelFunc
	done     chan struct{}
	gate     struct {
		sync.Mutex
		shut chan struct{} // while not nil, nothing is read before it is closed
	}
	reading sync.Mutex // held while there is a connection
}

// rawFrame is any message of the server.
type rawFrame struct {
	Type    string                       `json:"type"`
	Code    string                       `json:"code"`
	Message string                       `json:"message"`
	Change  string                       `json:"change_type"`
	Rows    []map[string]json.RawMessage `json:"rows"`
	Old     []map[string]json.RawMessage `json:"old_values"`
	Control struct {
		HasMore bool            `json:"has_more"`
		LastSeq json.RawMessage `json:"last_seq_id"`
	} `json:"batch_control"`
	Position uint64 `json:"position,string"`
}

// errResume says that the server cannot resume.
var errResume = errors.New("the position has expired")

func (f *rawFollower) start(context.Context) error {
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.done = make(chan struct{})
	f.begin()
	go f.loop()
	return nil
}

// loop connects again whenever the connection breaks.
func (f *rawFollower) loop() {
	defer close(f.done)
	for f.ctx.Err() == nil {
		err := f.follow()
		if errors.Is(err, errResume) {
			f.refusedResume()
			f.begin()
		}
		waitOr(f.ctx, killRetry)
	}
}

// follow is one connection.
func (f *rawFollower) follow() error {
	token, err := f.run.clients[f.user].Token(f.ctx)
	if err != nil {
		return err
	}
	socket, _, err := testkit.DialSocket(f.run.server.url+"/v1/ws?"+f.features, http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		return err
	}
	if socket == nil {
		return errors.New("the upgrade was refused")
	}
	defer socket.Close()
	f.reading.Lock()
	defer f.reading.Unlock()
	stop := context.AfterFunc(f.ctx, func() { _ = socket.Close() })
	defer stop()
	if f.narrow {
		_ = socket.Conn.(*net.TCPConn).SetReadBuffer(32 << 10) // a hint to the system
	}
	options := map[string]any{}
	from := f.broken()
	switch {
	case from == 0:
		f.begin() // of a snapshot that was cut off nothing is kept
	case f.replay:
		options = map[string]any{"from": strconv.FormatUint(from, 10), "replay": "changes"}
	default:
		options = map[string]any{"from_seq_id": from}
	}
	message, err := json.Marshal(map[string]any{"type": "subscribe", "subscription": map[string]any{"id": "follow", "sql": f.sql(), "options": options}})
	if err != nil {
		return err
	}
	if err := socket.Text(string(message)); err != nil {
		return err
	}
	for {
		f.pass()
		received, err := socket.Receive()
		if err != nil {
			return err
		}
		if received.Kind == testkit.SocketClose {
			return fmt.Errorf("closed with %d %s", received.Code, received.Reason)
		}
		if err := f.take(socket, received.Payload, from > 0); err != nil {
			return err
		}
	}
}

// pass waits while the gate is shut.
func (f *rawFollower) pass() {
	f.gate.Lock()
	shut := f.gate.shut
	f.gate.Unlock()
	if shut == nil {
		return
	}
	select {
	case <-shut:
	case <-f.ctx.Done():
	}
}

// stall stops reading until the returned function is called.
func (f *rawFollower) stall() (resume func()) {
	shut := make(chan struct{})
	f.gate.Lock()
	f.gate.shut = shut
	f.gate.Unlock()
	return sync.OnceFunc(func() {
		f.gate.Lock()
		f.gate.shut = nil
		f.gate.Unlock()
		close(shut)
	})
}

// take acts on one message.
func (f *rawFollower) take(socket *testkit.Socket, text []byte, resumed bool) error {
	var m rawFrame
	if err := json.Unmarshal(text, &m); err != nil {
		f.run.complain("%s: the server sent %.200q: %v", f.name, text, err)
		return err
	}
	switch m.Type {
	case "subscription_ack":
		if resumed {
			f.accepted()
		}
	case "initial_data_batch":
		f.page(rawRows(m.Rows), m.Control.HasMore)
		if m.Control.HasMore {
			return socket.Text(fmt.Sprintf(`{"type":"next_batch","subscription_id":"follow","last_seq_id":%s}`, m.Control.LastSeq))
		}
	case "change":
		kind, rows := history.Insert, m.Rows
		switch m.Change {
		case "update":
			kind = history.Update
		case "delete":
			kind, rows = history.Delete, m.Old
		}
		for _, row := range rawRows(rows) {
			f.change(history.Event{Kind: kind, Row: row})
		}
	case "commit":
		f.mark(m.Position)
	case "lagging":
		f.mu.Lock()
		f.lagged++
		f.mu.Unlock()
	case "error":
		if m.Code == "CURSOR_EXPIRED" {
			return errResume
		}
		if m.Code != "SHUTTING_DOWN" && !strings.Contains(m.Code, "LIMIT") {
			f.run.complain("%s got the error %s", f.name, text)
		}
		return fmt.Errorf("%s: %s", m.Code, m.Message)
	}
	return nil
}

func rawRows(cells []map[string]json.RawMessage) []history.Row {
	rows := make([]history.Row, len(cells))
	for i, c := range cells {
		rows[i] = decodeCells(c["id"], c["op"], c["owner"], c["_seq"])
	}
	return rows
}

// serverEnded waits until all that had come before the end is noted. Who sleeps
// notes it later.
func (f *rawFollower) serverEnded() {
	f.gate.Lock()
	asleep := f.gate.shut != nil
	f.gate.Unlock()
	if !asleep {
		f.reading.Lock()
		defer f.reading.Unlock()
	}
}

func (f *rawFollower) serverAnswers(context.Context) error { return nil }

// stop ends the connection and waits for its goroutine.
func (f *rawFollower) stop() {
	if f.cancel == nil {
		return // it has never started
	}
	f.cancel()
	<-f.done
}
