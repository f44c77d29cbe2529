package live_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"kalamdb/internal/core"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
)

// TestEverySubscriberEndsUpRight lets writers, subscribers of all sorts and
// slow readers loose on a hub whose ring and outboxes are far too small. Each
// subscriber keeps the result as the frames tell it; every frame must fit what
// it has, and at the end it must have what SELECT gives.
func TestEverySubscriberEndsUpRight(t *testing.T) {
	seeds := 3
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(strconv.Itoa(seed), func(t *testing.T) { runModel(t, uint64(seed)) })
	}
}

// modelQueries are what subscribers ask for; rows are named by id.
var modelQueries = []string{
	"SELECT * FROM app.%s",
	"SELECT id, v FROM app.%s WHERE k = 3",
	"SELECT id FROM app.%s WHERE k IN (1, 2)",
	"SELECT id, k FROM app.%s WHERE v > 50",
	"SELECT id, v FROM app.%s WHERE v %% 2 = 0 AND k = 1",
	"SELECT id FROM app.%s WHERE k = 1 OR v < 20",
}

func runModel(t *testing.T, seed uint64) {
	db := openDB(t, disk.NewMem(), newClock(), func(o *core.Options) {
		o.Live.OutboxBytes, o.Live.RingBytes, o.Live.BatchBytes, o.Live.Shards = 3000, 24<<10, 2000, 2
		o.Live.MaxPerUser, o.Live.MaxPerConnection = 1000, 1000
	})
	db.exec("root", "CREATE NAMESPACE app; CREATE TABLE app.s (id BIGINT PRIMARY KEY, k INT, v INT) WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC'); CREATE TABLE app.u (id BIGINT PRIMARY KEY, k INT, v INT) WITH (TYPE='USER')")
	random := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for i := range uint64(3) {
		writers.Go(func() { write(t, db, random(i), 120) })
	}
	clients := make([]*subscriber, 8)
	for i := range clients {
		c := newSubscriber(t, db, fmt.Sprintf("c%d", i), []string{"alice", "bob"}[i%2])
		clients[i] = c
		readers.Go(func() { c.read(random(uint64(100+i)), stop) })
		writers.Go(func() { c.act(random(uint64(200+i)), 25) })
	}
	writers.Wait()
	for _, c := range clients {
		c.catchUp()
	}
	close(stop)
	readers.Wait()
	for _, c := range clients {
		c.check()
	}
	t.Logf("%+v", db.Hub().Stats())
}

// write changes rows at random.
func write(t *testing.T, db *database, r *rand.Rand, statements int) {
	for range statements {
		user, table := []string{"alice", "bob"}[r.IntN(2)], "u"
		if r.IntN(2) == 0 {
			user, table = "service", "s"
		}
		id := r.IntN(40)
		var sql string
		switch r.IntN(10) {
		case 0, 1, 2:
			sql = fmt.Sprintf("INSERT INTO app.%s VALUES (%d, %d, %d)", table, id, r.IntN(5), r.IntN(100))
		case 3, 4:
			sql = fmt.Sprintf("UPDATE app.%s SET v = %d, k = %d WHERE id = %d", table, r.IntN(100), r.IntN(5), id)
		case 5:
			sql = fmt.Sprintf("UPDATE app.%s SET v = v + 1 WHERE k = %d", table, r.IntN(5))
		case 6, 7:
			sql = fmt.Sprintf("DELETE FROM app.%s WHERE id = %d", table, id)
		case 8:
			sql = fmt.Sprintf("UPDATE app.%s SET k = %d WHERE v > %d", table, r.IntN(5), r.IntN(100))
		case 9:
			var rows []string
			for range 30 {
				rows = append(rows, fmt.Sprintf("(%d, %d, %d)", 1000+r.IntN(1_000_000), r.IntN(5), r.IntN(100)))
			}
			sql = fmt.Sprintf("INSERT INTO app.%s VALUES %s", table, strings.Join(rows, ", "))
		}
		if err := db.try(user, sql); err != nil && !fault.Is(err, fault.DuplicateKey) && !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", sql, err)
		}
		if r.IntN(4) == 0 {
			runtime.Gosched()
		}
	}
}

// result is what a subscriber believes one of its queries selects.
type result struct {
	sql     string
	rows    map[string]uint64 // _seq by id
	cursor  uint64            // greatest _seq seen
	last    uint64            // _seq of the last change frame since the ack
	more    bool              // pages are missing
	paged   bool              // a row may have gone before its page was read
	partial bool              // it was cut off while pages were missing
	unsure  bool              // the deletes of a difference may not have come yet
	fresh   bool              // no change has come since the snapshot
	// owed is a position that the view of a difference does not lie above. A row
	// that left the result before that and came back before its delete was found
	// comes back without one.
	owed    uint64
	history []string // what was done with it
}

// subscriber is a client that checks all it is told.
type subscriber struct {
	t  *testing.T
	db *database
	*client

	mu      sync.Mutex
	results map[string]*result // open ones, by id
	wrong   map[string]bool    // ids that have been reported
	next    int
}

func newSubscriber(t *testing.T, db *database, id, user string) *subscriber {
	return &subscriber{t: t, db: db, client: db.connect(id, user), results: map[string]*result{}, wrong: map[string]bool{}}
}

// read takes frames at an uneven pace until stop.
func (s *subscriber) read(r *rand.Rand, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-s.ready:
		}
		for range r.IntN(400) {
			runtime.Gosched()
		}
		s.take(1 + r.IntN(4000))
	}
}

// take applies what is due.
func (s *subscriber) take(most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frames, err := s.conn.Take(context.Background(), nil, most)
	if err != nil {
		s.t.Errorf("take: %v", err)
	}
	for _, f := range frames {
		s.apply(string(f.Head) + string(f.Body))
	}
}

// act opens, continues, resumes and ends subscriptions at random.
func (s *subscriber) act(r *rand.Rand, times int) {
	ctx := context.Background()
	for range times {
		ids, more := s.open()
		switch n := r.IntN(10); {
		case n < 4 || len(ids) == 0:
			s.begin(r)
		case n < 7 && len(more) > 0:
			if err := s.conn.NextBatch(ctx, more[r.IntN(len(more))], 0, false); err != nil {
				s.t.Errorf("next batch: %v", err)
			}
		case n < 9:
			s.resume(r, ids[r.IntN(len(ids))])
		default:
			s.drop(ids[r.IntN(len(ids))])
		}
		for range r.IntN(300) {
			runtime.Gosched()
		}
	}
}

// open returns the ids of open subscriptions, and those that lack pages.
func (s *subscriber) open() (ids, more []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, res := range s.results {
		ids = append(ids, id)
		if res.more {
			more = append(more, id)
		}
	}
	slices.Sort(ids)
	slices.Sort(more)
	return ids, more
}

// begin opens a new subscription.
func (s *subscriber) begin(r *rand.Rand) {
	s.mu.Lock()
	id := "q" + strconv.Itoa(s.next)
	s.next++
	table := []string{"s", "u"}[r.IntN(2)]
	res := &result{sql: fmt.Sprintf(modelQueries[r.IntN(len(modelQueries))], table), rows: map[string]uint64{}, fresh: true}
	s.results[id] = res
	s.mu.Unlock()
	s.must(s.subscribe(id, res.sql, &core.LiveSnapshot{BatchSize: []int{1000, 20, 3}[r.IntN(3)]}))
}

// drop ends a subscription and returns what it had.
func (s *subscriber) drop(id string) *result {
	s.mu.Lock()
	defer s.mu.Unlock()
	res := s.results[id]
	delete(s.results, id)
	s.conn.Unsubscribe(id)
	return res
}

// resume ends a subscription and opens it again from where it was.
func (s *subscriber) resume(r *rand.Rand, id string) {
	res := s.drop(id)
	if res.cursor == 0 || res.unsure {
		return
	}
	o := &core.LiveSnapshot{HasFrom: true, From: res.cursor, BatchSize: []int{1000, 3}[r.IntN(2)]}
	o.Replay = !res.more && !res.partial && r.IntN(2) == 0
	// What went between the last row of a snapshot and its view is told again.
	res.paged = res.paged || res.fresh
	res.partial, res.unsure = res.partial || res.more, !o.Replay
	res.note("resume from %d, replay %v", res.cursor, o.Replay)
	res.more, res.last = false, 0
	s.mu.Lock()
	s.results[id] = res
	if !o.Replay {
		res.owed = math.MaxUint64
	}
	s.mu.Unlock()
	s.must(s.subscribe(id, res.sql, o))
	s.mu.Lock()
	defer s.mu.Unlock()
	if !o.Replay {
		res.owed = s.db.Position()
	}
}

func (s *subscriber) must(err error) {
	if err != nil {
		s.t.Errorf("subscribe: %v", err)
	}
}

// apply takes one frame into account. s.mu is held.
func (s *subscriber) apply(line string) {
	first, rest, _ := strings.Cut(line, " ")
	switch first {
	case "ack":
		return
	case "batch":
		s.applyBatch(rest)
		return
	case "error":
		s.t.Errorf("%s: %s", s.conn.ID(), line)
		return
	}
	res := s.results[strings.TrimSuffix(first, ":")]
	if res == nil {
		if !s.wrong[strings.TrimSuffix(first, ":")] {
			s.t.Errorf("a frame of nobody: %s", line)
		}
		return
	}
	if err := res.change(rest); err != nil {
		s.t.Errorf("%s %s (%s): %s: %v; %s", s.conn.ID(), first, res.sql, rest, err, strings.Join(res.history, "; "))
		s.wrong[strings.TrimSuffix(first, ":")] = true
		delete(s.results, strings.TrimSuffix(first, ":"))
		s.conn.Unsubscribe(strings.TrimSuffix(first, ":"))
	}
}

func (s *subscriber) applyBatch(text string) {
	lines := strings.Split(text, "\n")
	id, control, _ := strings.Cut(lines[0], " ")
	res := s.results[id]
	if res == nil {
		s.t.Errorf("a batch of nobody: %s", lines[0])
		return
	}
	res.more = strings.Contains(control, " more")
	res.note("batch %s", control)
	res.paged = res.paged || res.more
	for _, row := range lines[1:] {
		id, seq := cells(row)
		res.rows[id] = seq
		res.cursor = max(res.cursor, seq)
	}
}

func (res *result) note(format string, args ...any) {
	res.history = append(res.history, fmt.Sprintf(format, args...))
}

// cells returns the id and the _seq of a row as textFrames writes it.
func cells(row string) (id string, seq uint64) {
	for cell := range strings.FieldsSeq(row) {
		if v, ok := strings.CutPrefix(cell, "id="); ok {
			id = v
		} else if v, ok := strings.CutPrefix(cell, "_seq=#"); ok {
			seq, _ = strconv.ParseUint(v, 10, 64)
		}
	}
	return id, seq
}

// change applies a change frame, or says why it does not fit.
func (res *result) change(text string) error {
	kind, rest, _ := strings.Cut(text, " ")
	row, old, _ := strings.Cut(rest, "|")
	if kind == "delete" {
		row = old
	}
	id, seq := cells(row)
	have, known := res.rows[id]
	if seq <= res.last {
		return fmt.Errorf("it comes after %d", res.last)
	}
	res.last, res.cursor = seq, max(res.cursor, seq)
	res.unsure = res.unsure && kind == "delete"
	res.fresh = false
	switch kind {
	case "insert":
		if known && have > res.owed && !res.partial && !res.paged {
			return fmt.Errorf("the row is there, at %d", have)
		}
		res.rows[id] = seq
	case "update":
		if _, before := cells(old); known && before != have && before > res.owed && !res.partial && !res.paged {
			return fmt.Errorf("the row is at %d", have)
		}
		res.rows[id] = seq
	case "delete":
		if !known && !res.partial && !res.paged {
			return errors.New("there is no such row")
		}
		delete(res.rows, id)
	}
	return nil
}

// catchUp reads the pages that are missing and waits until all has come.
func (s *subscriber) catchUp() {
	for {
		_, more := s.open()
		if len(more) == 0 {
			break
		}
		for _, id := range more {
			s.must(s.conn.NextBatch(context.Background(), id, 0, false))
		}
		for s.conn.Waiting() {
			runtime.Gosched()
		}
	}
	for {
		s.db.settle()
		if !s.conn.Waiting() {
			break
		}
		runtime.Gosched()
	}
}

// check compares each result with what SELECT gives.
func (s *subscriber) check() {
	s.take(1 << 30)
	for id, res := range s.results {
		want := map[string]uint64{}
		for _, row := range s.db.rows(s.user, "SELECT id, _seq FROM"+strings.SplitN(res.sql, "FROM", 2)[1]) {
			want[row[0]], _ = strconv.ParseUint(row[1], 10, 64)
		}
		for id2, seq := range want {
			if got, ok := res.rows[id2]; !ok || got != seq {
				s.t.Errorf("%s %s (%s): row %s is at %d, not %d; %s", s.conn.ID(), id, res.sql, id2, seq, got, strings.Join(res.history, "; "))
			}
		}
		for id2, seq := range res.rows {
			if _, ok := want[id2]; !ok {
				s.t.Errorf("%s %s (%s): row %s, last seen at %d, is not there; %s", s.conn.ID(), id, res.sql, id2, seq, strings.Join(res.history, "; "))
			}
		}
	}
}
