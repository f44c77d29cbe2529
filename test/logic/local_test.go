package logic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"kalamdb/internal/api"
	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/testkit"
)

// frameBound is how long a frame that is due may take.
const frameBound = 60 * time.Second

// local is a database in this process, on a disk in memory.
type local struct {
	db    *testkit.Database
	ctx   context.Context // ends with the test
	conns int
	seed  uint64
	set   func(*core.Options) // what the corpus and its configuration want
}

// threads share a scan, however many processors there are.
const threads = 3

func newLocal(ctx context.Context, special func(*core.Options)) (*local, error) {
	set := func(o *core.Options) {
		o.Analytics.Threads = threads
		if special != nil {
			special(o)
		}
	}
	db, err := testkit.Open(disk.NewMem(), testkit.NewClock(), set)
	if err != nil {
		return nil, err
	}
	l := &local{db: db, ctx: ctx, set: set}
	return l, l.bootstrap()
}

// bootstrap makes the account root, as a server does on its first start.
func (l *local) bootstrap() error {
	passwords, err := auth.NewPasswords(auth.PasswordOptions{Cost: 4})
	if err != nil {
		return err
	}
	a, err := auth.New(auth.Options{Users: l.db, Accounts: l.db.Accounts(), Passwords: passwords, Secret: []byte(secret), Now: l.db.Clock.Now})
	if err != nil {
		return err
	}
	return a.Bootstrap(l.ctx, "")
}

func (l *local) session(a account) *auth.Session {
	id := schema.UserID(a.name)
	return &auth.Session{UserID: id, Actor: id, Role: a.role, IP: "127.0.0.1", Local: true}
}

func (l *local) addUser(a account) error {
	return l.db.Accounts().CreateUser(l.ctx, schema.UserRecord{ID: schema.UserID(a.name), Role: a.role, AuthType: schema.AuthInternal, CreatedAt: 1, UpdatedAt: 1})
}

func (l *local) execute(a account, namespace, sql string) outcome {
	results, err := l.db.Execute(l.ctx, l.session(a), core.Request{SQL: sql, Namespace: namespace})
	if err != nil {
		return refused(err)
	}
	var out outcome
	for _, r := range results {
		res, err := readResult(l.ctx, r)
		r.Close()
		if err != nil {
			return refused(err)
		}
		out.results = append(out.results, res)
	}
	return out
}

func refused(err error) outcome {
	f := fault.Of(err)
	return outcome{err: &refusal{code: f.Code, sentence: f.Sentence()}}
}

func readResult(ctx context.Context, r *core.Result) (result, error) {
	res := result{count: r.Count, message: r.Message}
	for _, c := range r.Columns {
		res.columns = append(res.columns, c.Name)
		res.types = append(res.types, typeLetter(c.Type.AppendWire(nil)))
	}
	for {
		rows, err := r.Next(ctx)
		if err != nil || rows == nil {
			return res, err
		}
		for _, row := range rows {
			cells := make([]string, len(row))
			for i := range row {
				raw, err := datum.AppendJSON(nil, row[i])
				if err != nil {
					return res, err
				}
				cells[i] = cell(raw)
			}
			res.rows = append(res.rows, cells)
		}
	}
}

func (l *local) flush(namespace, table string) error {
	_, err := l.db.Flush(l.ctx, namespace, table)
	return err
}

// restart reopens the database: cleanly, or from what a power cut leaves.
func (l *local) restart(crash bool) error {
	mem := l.db.Disk
	if crash {
		// Jobs and events are relaxed: what they lose is not for the corpus.
		if err := l.db.Sync(); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		l.seed++
		mem = mem.CrashClone(l.seed, 50)
	}
	if err := l.db.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	db, err := testkit.Open(mem, l.db.Clock, l.set)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	l.db = db
	return nil
}

func (l *local) advance(d time.Duration) error {
	l.db.Clock.Advance(d)
	return nil
}

func (l *local) userTables() []string {
	out := l.execute(root, "default", "SELECT namespace_id, table_name FROM system.schemas WHERE is_latest AND table_type IN ('user', 'shared')")
	if out.err != nil {
		return nil
	}
	var names []string
	for _, r := range out.results[0].rows {
		names = append(names, r[0]+"."+r[1])
	}
	return names
}

func (l *local) close() { _ = l.db.Close() }

func (l *local) connect(a account) (connection, error) {
	l.conns++
	ctx, cancel := context.WithCancel(l.ctx)
	ready := make(chan struct{}, 1)
	return &localConnection{
		db: l.db, session: l.session(a), ctx: ctx, cancel: cancel, ready: ready,
		conn: l.db.Hub().Connect(core.LiveConnOptions{
			ID: "c" + strconv.Itoa(l.conns), User: schema.UserID(a.name), Encoder: api.JSONFrames(),
			Ready: func() {
				select {
				case ready <- struct{}{}:
				default: // it will look anyway
				}
			},
		}),
	}, nil
}

// localConnection speaks to the hub as the WebSocket edge does.
type localConnection struct {
	db      *testkit.Database
	session *auth.Session
	conn    *core.LiveConn
	ctx     context.Context // ends with close
	cancel  context.CancelFunc
	ready   chan struct{} // frames may wait
	frames  [][]byte
}

func (c *localConnection) send(message string) error {
	var m struct {
		Type         string `json:"type"`
		Subscription struct {
			ID      string          `json:"id"`
			SQL     string          `json:"sql"`
			Options json.RawMessage `json:"options"`
		} `json:"subscription"`
		SubscriptionID string      `json:"subscription_id"`
		LastSeqID      json.Number `json:"last_seq_id"`
	}
	if err := json.Unmarshal([]byte(message), &m); err != nil {
		return err
	}
	var err error
	id := m.SubscriptionID
	switch m.Type {
	case "subscribe":
		id = m.Subscription.ID
		request := core.LiveRequest{ID: id, SQL: m.Subscription.SQL}
		if request.Options, err = snapshotOptions(m.Subscription.Options); err == nil {
			err = c.db.Subscribe(c.ctx, c.session, c.conn, request)
		}
	case "next_batch":
		last, parse := strconv.ParseUint(string(m.LastSeqID), 10, 64)
		err = c.conn.NextBatch(c.ctx, id, last, parse == nil)
	case "unsubscribe":
		c.conn.Unsubscribe(id)
	}
	if err != nil {
		return c.conn.Send(c.ctx, core.LiveFrame{Kind: core.LiveError, Head: api.JSONFrames().AppendError(nil, id, err)})
	}
	return nil
}

// snapshotOptions reads the options of a subscribe message.
func snapshotOptions(raw json.RawMessage) (*core.LiveSnapshot, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var o struct {
		BatchSize int         `json:"batch_size"`
		LastRows  *int        `json:"last_rows"`
		From      json.Number `json:"from"`
		Replay    string      `json:"replay"`
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, err
	}
	s := &core.LiveSnapshot{BatchSize: o.BatchSize, Replay: o.Replay == "changes", JSON: string(raw)}
	if o.LastRows != nil {
		s.LastRows, s.HasLastRows = *o.LastRows, true
	}
	if o.From != "" {
		from, err := strconv.ParseUint(string(o.From), 10, 64)
		if err != nil {
			return nil, err
		}
		s.From, s.HasFrom = from, true
	}
	return s, nil
}

func (c *localConnection) receive() ([]byte, error) {
	deadline := time.NewTimer(frameBound)
	defer deadline.Stop()
	for len(c.frames) == 0 {
		taken, err := c.conn.Take(c.ctx, nil, 1<<20)
		if err != nil {
			return nil, err
		}
		for i := range taken {
			c.frames = append(c.frames, append(append([]byte(nil), taken[i].Head...), taken[i].Body...))
		}
		if len(c.frames) > 0 {
			break
		}
		select {
		case <-c.ready:
		case <-c.conn.Done():
			return nil, errors.New("the connection has ended")
		case <-deadline.C:
			return nil, errors.New("a frame that is due did not come")
		}
	}
	next := c.frames[0]
	c.frames = c.frames[1:]
	return next, nil
}

func (c *localConnection) close() {
	c.cancel()
	c.conn.Close()
}
