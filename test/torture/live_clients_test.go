package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"

	kalam "kalamdb/sdk/go"
	"kalamdb/test/torture/history"
)

// liveSocket is a WebSocket with its subscriptions, by the Go client.
type liveSocket struct {
	run   *liveRun
	name  string
	user  string
	live  *kalam.Live
	group *kalam.Group // nil: each subscription is read for itself
	mu    sync.Mutex
	subs  map[*kalam.Subscription]*liveSub
}

// liveSub is one subscriber.
type liveSub struct {
	name   string
	sql    string
	user   string
	socket *liveSocket
	client *kalam.Subscription
	// One of rows has a filter and a place, one of a result has that.
	filter  liveCondition
	place   *livePlace
	result  *liveResult
	replay  bool
	group   bool
	steady  bool // is never replaced
	retired bool // was closed by its client

	mu      sync.Mutex
	log     []liveEvent
	units   int32
	ready   bool
	err     error
	now     map[int64]int64   // operation by key
	rows    map[string]string // of a result, by key
	digest  liveDigest
	telling []liveTelling

	// The judge's own.
	mode   liveMode
	at     int
	state  map[int64]int64
	told   map[int64]int64
	last   *liveCommit
	broken bool
}

// fail notes what was told wrongly; nothing further is judged.
func (s *liveSub) fail(m *liveModel, class history.Class, format string, args ...any) {
	s.broken = true
	m.violate(class, "%s [%s] %s", s.name, s.sql, fmt.Sprintf(format, args...))
}

// openSocket connects a socket.
func (r *liveRun) openSocket(ctx context.Context, client *kalam.Client, name, user string, group bool) (*liveSocket, error) {
	l, err := client.Live(ctx)
	if err != nil {
		return nil, err
	}
	s := &liveSocket{run: r, name: name, user: user, live: l, subs: map[*kalam.Subscription]*liveSub{}}
	if group {
		s.group = l.Group(0)
		r.listeners.Go(s.follow)
	}
	return s, nil
}

// follow takes the units of a group until it is closed.
func (s *liveSocket) follow() {
	for {
		u, err := s.group.Next(context.Background())
		if err != nil {
			if !errors.Is(err, kalam.ErrClosed) {
				s.run.model.violate(liveEnded, "%s ends: %v", s.name, err)
			}
			return
		}
		s.mu.Lock()
		if u.Ended != nil {
			s.subs[u.Ended].end(u.Err)
		}
		touched := map[*liveSub]bool{}
		for i := range u.Events {
			sub := s.subs[u.Events[i].Subscription]
			if !touched[sub] {
				touched[sub] = true
				sub.units++
			}
			s.run.take(sub, &u.Events[i].Event)
		}
		for sub := range touched {
			if sub.result != nil && u.Position > 0 && !u.More {
				sub.answered(u.Position)
			}
		}
		s.mu.Unlock()
	}
}

// subscribe adds a subscriber to a socket.
func (s *liveSocket) subscribe(sub *liveSub, batch int) error {
	sub.socket, sub.user, sub.group = s, s.user, s.group != nil
	sub.now, sub.rows, sub.state = map[int64]int64{}, map[string]string{}, map[int64]int64{}
	o := kalam.SubscribeOptions{BatchSize: batch, Replay: sub.replay}
	var err error
	if s.group == nil {
		if sub.client, err = s.live.Subscribe(sub.sql, o); err == nil {
			s.run.listeners.Go(func() { s.run.listen(sub) })
		}
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.client, err = s.group.Subscribe(sub.sql, o); err == nil {
		s.subs[sub.client] = sub
	}
	return err
}

// listen takes the events of a subscription without a group.
func (r *liveRun) listen(sub *liveSub) {
	for {
		e, err := sub.client.Next(context.Background())
		if err != nil {
			sub.end(err)
			return
		}
		r.take(sub, &e)
	}
}

// end notes that a subscription is over.
func (s *liveSub) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !errors.Is(err, kalam.ErrClosed) {
		s.err = err
	}
}

// take notes one event.
func (r *liveRun) take(s *liveSub, e *kalam.Event) {
	r.deliveries.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.result != nil {
		r.takeResult(s, e)
		return
	}
	row := decodeCells(e.Row["id"], e.Row["op"], nil, nil)
	s.log = append(s.log, liveEvent{kind: e.Kind, id: row.ID, op: row.Op, seq: e.Seq, resume: e.Resume, unit: s.units})
	switch e.Kind {
	case kalam.Ready:
		s.ready = true
	case kalam.Delete:
		delete(s.now, row.ID)
	default:
		s.now[row.ID] = row.Op
		r.compareCells(s, row.ID, row.Op, e)
	}
}

// compareCells compares the other columns with what the operation wrote.
func (r *liveRun) compareCells(s *liveSub, id, op int64, e *kalam.Event) {
	want := liveRowOf(id, op, r.keys)
	for name, text := range map[string]string{"n": liveText(want.n), "s": want.s, "us": strings.ToUpper(want.s), "g": liveText(want.g)} {
		if raw, ok := e.Row[name]; ok && liveCell(raw) != text {
			r.model.violate(liveWrong, "%s was told (%s) that %s of operation %d of row %d is %s, not %s", s.name, e.Kind, name, op, id, raw, text)
		}
	}
}

// takeResult notes an event of a result. s.mu is held.
func (r *liveRun) takeResult(s *liveSub, e *kalam.Event) {
	if e.Kind == kalam.Ready {
		s.ready = true
		return
	}
	cells := make([]string, len(s.result.columns))
	for i, name := range s.result.columns {
		cells[i] = liveCell(e.Row[name])
	}
	key, text := liveCells(cells[:s.result.key]), liveCells(cells)
	was, there := s.rows[key]
	switch {
	case e.Kind == kalam.Delete:
		if !there || was != text && s.result.key > 0 {
			r.model.violate(liveWrong, "%s [%s] was told that %s is gone, which it has as %q", s.name, s.sql, text, was)
		}
		if was != text {
			return // the one row has been replaced already
		}
		delete(s.rows, key)
		s.digest -= digestOf(was)
		return
	case e.Kind == kalam.Insert && there:
		r.model.violate(liveDuplicate, "%s [%s] was told twice of %s", s.name, s.sql, text)
	case e.Kind == kalam.Update && !there:
		r.model.violate(liveGap, "%s [%s] was told that %s has changed, which it does not have", s.name, s.sql, text)
	}
	if there {
		s.digest -= digestOf(was)
	}
	s.rows[key] = text
	s.digest += digestOf(text)
}

// answered notes what the answer is at a position.
func (s *liveSub) answered(position uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.telling = append(s.telling, liveTelling{position, s.digest, s})
}

// has reports whether the subscriber has what the model says, now that nobody
// writes.
func (s *liveSub) has(want map[int64]int64, digest liveDigest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return true // that is found soon
	case s.result != nil:
		return s.ready && s.digest == digest
	}
	return s.ready && maps.Equal(s.now, want)
}

// drain returns what was told since the last time.
func (s *liveSub) drain() (log []liveEvent, told []liveTelling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log, told = s.log, s.telling
	s.log, s.telling = nil, nil
	return log, told
}

// wanted is the result of a query over rows.
func (s *liveSub) wanted(state liveState) map[int64]int64 {
	want := map[int64]int64{}
	for id, row := range state {
		if s.filter.matches(row) {
			want[id] = row.op
		}
	}
	return want
}

// selected asks the server for the query as a plain SELECT and compares.
func (r *liveRun) selected(s *liveSub) error {
	answer, err := r.clients[s.user].Query(context.Background(), s.sql)
	if err != nil {
		return fmt.Errorf("%s: %w", s.sql, err)
	}
	rows := answer.Results[0]
	place := map[string]int{}
	for i, c := range rows.Columns {
		place[c.Name] = i
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.result != nil {
		var digest liveDigest
		for _, row := range rows.Rows {
			var cells []string
			for _, name := range s.result.columns {
				cells = append(cells, liveCell(row[place[name]]))
			}
			digest += digestOf(liveCells(cells))
		}
		if digest != s.digest {
			s.fail(r.model, liveWrong, "has %d rows, SELECT gives %d others", len(s.rows), len(rows.Rows))
		}
		return nil
	}
	want := map[int64]int64{}
	for _, row := range rows.Rows {
		want[liveNumber(row[place["id"]])] = liveNumber(row[place["op"]])
	}
	if !maps.Equal(want, s.now) {
		s.fail(r.model, liveWrong, "does not have what SELECT gives: %s", differ(s.now, want))
	}
	return nil
}

func liveNumber(raw json.RawMessage) int64 {
	n, _ := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64) // 0 is no key and no operation
	return n
}
