package live_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kalamdb/internal/core"
	"kalamdb/internal/core/live"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
)

// TestRandomFilters commits random changes beside subscriptions with random
// filters of all that WHERE may say. After every commit the rows that a
// subscription has been told of are those that SELECT gives, whether it follows,
// pages, lags behind a full outbox, or resumes by difference or by replay. Each
// filter is subscribed to twice, once so that no index can route it: what is
// told must be the same.
func TestRandomFilters(t *testing.T) {
	seeds := 3
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			m := newFilterModel(t, uint64(seed))
			for m.commits < 100 && !t.Failed() {
				m.step()
			}
			s := m.db.Hub().Stats()
			t.Logf("%d commits, %d frames, %d evaluations, %d lagged", m.commits, m.frames, s.Evaluations, s.Lagged)
			if m.frames < 200 || s.Lagged == 0 {
				t.Errorf("too little happened: %+v", s)
			}
		})
	}
}

// filterModel is a table, subscriptions, and what they have been told.
type filterModel struct {
	t       *testing.T
	r       *rand.Rand
	db      *database
	subs    []*filterSub
	commits int
	frames  int
}

// filterSub is one filter on a connection of its own, as a client keeps it.
type filterSub struct {
	filter string
	list   string
	routed bool
	c      *client
	rows   map[string]uint64 // _seq by id
	more   bool              // pages are missing
	loose  bool              // a delete too many may come
	at     uint64            // the position that it was checked at
	sleeps int               // commits that it does not take frames for
	events []string          // since the last check
}

func newFilterModel(t *testing.T, seed uint64) *filterModel {
	m := &filterModel{t: t, r: rand.New(rand.NewPCG(seed, 11))}
	m.db = openDB(t, disk.NewMem(), newClock(), func(o *core.Options) {
		o.Live.OutboxBytes, o.Live.Shards = 2500, 2
	})
	m.db.exec("root", "CREATE NAMESPACE app; CREATE TABLE app.s ("+live.FilterColumns+") WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC')")
	for range 10 {
		m.commit()
	}
	for i := range 24 {
		filter := live.RandomFilter(m.r, m.r.IntN(4))
		list := []string{"*", "id", "id, k + 1 AS more, t"}[m.r.IntN(3)]
		for _, routed := range []bool{true, false} {
			s := &filterSub{filter: filter, list: list, routed: routed, rows: map[string]uint64{}}
			s.c = m.db.connect(fmt.Sprintf("c%d%t", i, routed), "alice")
			m.subs = append(m.subs, s)
			m.subscribe(s, &core.LiveSnapshot{})
			m.check(s)
		}
	}
	return m
}

// sql is the query; what is not routed has an alternative that is never true and
// that no index knows.
func (s *filterSub) sql() string {
	where := s.filter
	if !s.routed {
		where = "(" + where + ") OR k + v = -1000"
	}
	return "SELECT " + s.list + " FROM app.s WHERE " + where
}

func (m *filterModel) subscribe(s *filterSub, o *core.LiveSnapshot) {
	m.t.Helper()
	if m.r.IntN(3) == 0 {
		o.BatchSize = 3
	}
	m.while(s, func() error { return s.c.subscribe("q", s.sql(), o) })
	m.take(s)
}

// while takes frames until a request is done, which may wait for room.
func (m *filterModel) while(s *filterSub, request func() error) {
	done := make(chan error, 1)
	go func() { done <- request() }()
	for {
		select {
		case err := <-done:
			if err != nil {
				m.t.Errorf("%s: %v", s.sql(), err)
			}
			return
		case <-s.c.ready:
			m.drain(s)
		}
	}
}

// drain applies what is due.
func (m *filterModel) drain(s *filterSub) {
	for _, line := range s.c.take() {
		m.frames++
		m.apply(s, line)
	}
}

// step commits, and lets everybody who is awake have what there is; some fall
// asleep, some begin anew.
func (m *filterModel) step() {
	m.commit()
	for i := 0; i < len(m.subs); i += 2 {
		// A filter's two subscriptions do the same.
		pair := m.subs[i : i+2]
		act, nap := m.r.IntN(24), 1+m.r.IntN(12)
		for _, s := range pair {
			if s.sleeps > 0 {
				s.sleeps--
				continue
			}
			switch act {
			case 0:
				s.sleeps = nap
				continue
			case 1, 2:
				m.resume(s, act == 2)
			}
			m.take(s)
			m.check(s)
		}
		if pair[0].sleeps == 0 && act > 2 && !pair[0].loose && !slices.Equal(pair[0].events, pair[1].events) {
			m.t.Errorf("%s: routed\n%s\nnot routed\n%s", pair[0].filter, strings.Join(pair[0].events, "\n"), strings.Join(pair[1].events, "\n"))
		}
		pair[0].events, pair[1].events = nil, nil
	}
}

// resume ends a subscription and begins it where it was last checked; what has
// come since is forgotten.
func (m *filterModel) resume(s *filterSub, replay bool) {
	s.c.conn.Unsubscribe("q")
	s.loose = !replay
	m.subscribe(s, &core.LiveSnapshot{HasFrom: true, From: s.at, Replay: replay})
}

// take applies all frames, and asks for the pages that are missing.
func (m *filterModel) take(s *filterSub) {
	for {
		m.drain(s)
		if !s.more || m.t.Failed() {
			return
		}
		m.while(s, func() error { return s.c.conn.NextBatch(m.t.Context(), "q", 0, false) })
	}
}

func (m *filterModel) apply(s *filterSub, line string) {
	first, rest, _ := strings.Cut(line, " ")
	switch first {
	case "ack":
		return
	case "batch":
		lines := strings.Split(rest, "\n")
		s.more = strings.Contains(lines[0], " more")
		s.loose = s.loose || s.more
		for _, row := range lines[1:] {
			id, seq := cells(row)
			s.rows[id] = seq
		}
		return
	case "q:":
	default:
		m.t.Errorf("%s: %s", s.sql(), line)
		return
	}
	s.events = append(s.events, rest)
	kind, rest, _ := strings.Cut(rest, " ")
	row, old, _ := strings.Cut(rest, "|")
	if kind == "delete" {
		row = old
	}
	id, seq := cells(row)
	have, known := s.rows[id]
	switch {
	case seq <= have:
		m.t.Errorf("%s: %s after %d", s.sql(), line, have)
	case kind == "insert" && known, kind == "delete" && !known && !s.loose:
		m.t.Errorf("%s: %s, and the row is there: %v", s.sql(), line, known)
	}
	if s.rows[id] = seq; kind == "delete" {
		delete(s.rows, id)
	}
}

// check compares what a subscription has with what SELECT gives.
func (m *filterModel) check(s *filterSub) {
	m.t.Helper()
	s.at = m.db.Position()
	want := map[string]uint64{}
	for _, row := range m.db.rows("alice", "SELECT id, _seq FROM app.s WHERE "+s.filter) {
		want[row[0]], _ = strconv.ParseUint(row[1], 10, 64)
	}
	if !maps.Equal(want, s.rows) {
		m.t.Errorf("after %d commits %s has\n%v\nand SELECT gives\n%v", m.commits, s.sql(), s.rows, want)
	}
}

// commit changes rows at random: one statement, or a few in a transaction.
func (m *filterModel) commit() {
	statements := make([]string, 1+max(0, m.r.IntN(6)-2))
	for i := range statements {
		statements[i] = m.statement()
	}
	sql := strings.Join(statements, "; ")
	if len(statements) > 1 {
		sql = "BEGIN; " + sql + "; COMMIT"
	}
	if err := m.db.try("service", sql); err != nil && !fault.Is(err, fault.DuplicateKey) {
		m.t.Fatalf("%s: %v", sql, err)
	}
	m.commits++
}

func (m *filterModel) statement() string {
	id := m.r.IntN(12)
	names := []string{"k", "v", "d", "n", "t", "b", "at", "doc"}
	values := live.RandomValues(m.r)
	switch m.r.IntN(8) {
	case 0, 1, 2:
		return fmt.Sprintf("INSERT INTO app.s VALUES (%d, %s)", id, strings.Join(values, ", "))
	case 3, 4:
		sets := make([]string, 0, len(names))
		for i, name := range names {
			if m.r.IntN(2) == 0 || i == 0 {
				sets = append(sets, name+" = "+values[i])
			}
		}
		return fmt.Sprintf("UPDATE app.s SET %s WHERE id = %d", strings.Join(sets, ", "), id)
	case 5:
		at := m.r.IntN(len(names))
		return fmt.Sprintf("UPDATE app.s SET %s = %s WHERE %s", names[at], values[at], live.RandomFilter(m.r, 1))
	case 6:
		return fmt.Sprintf("DELETE FROM app.s WHERE id = %d", id)
	}
	return "UPDATE app.s SET v = v + 1 WHERE k < 6"
}
