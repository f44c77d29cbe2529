package live_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kalamdb/internal/core"
	"kalamdb/internal/disk"
)

// resultSub is a subscription to a result as a client keeps it: rows by key, or
// how often each comes where there is none.
type resultSub struct {
	t       *testing.T
	c       *client
	id      string // "" is q
	sql     string
	columns []string
	key     []string
	rows    map[string]map[string]string
	counts  map[string]int
	keyed   bool
	sleeps  int
	frames  int
}

// rowText writes a row with its columns in order, absent ones as NULL.
func (s *resultSub) rowText(row map[string]string, columns []string) string {
	parts := make([]string, len(columns))
	for i, name := range columns {
		if parts[i] = row[name]; parts[i] == "" {
			parts[i] = "NULL"
		}
	}
	return strings.Join(parts, " ")
}

func rowOf(text string) map[string]string {
	row := map[string]string{}
	for _, word := range strings.Fields(text) {
		name, v, _ := strings.Cut(word, "=")
		row[name] = v
	}
	return row
}

// tell applies one frame.
func (s *resultSub) tell(frame string) {
	switch {
	case strings.HasPrefix(frame, "ack "):
		_, columns, _ := strings.Cut(frame, "columns=")
		columns, key, _ := strings.Cut(columns, " result key=")
		s.columns = strings.Split(columns, ",")
		s.rows, s.counts = map[string]map[string]string{}, map[string]int{}
		s.keyed = key != "" || strings.Contains(s.sql, "/* one */")
		if key != "" {
			s.key = strings.Split(key, ",")
		}
		if !strings.Contains(frame, " result ") { // rows of a table by their key
			s.keyed, s.key = true, []string{"id"}
		}
	case strings.HasPrefix(frame, "batch "):
		for _, line := range strings.Split(frame, "\n")[1:] {
			s.put(rowOf(line), nil)
		}
	case strings.HasPrefix(frame, "error "):
		s.t.Errorf("%s: %s", s.sql, frame)
	case strings.HasPrefix(frame, cmp.Or(s.id, "q")+": "):
		s.frames++
		frame = strings.TrimPrefix(frame, cmp.Or(s.id, "q")+": ")
		kind, rest, _ := strings.Cut(frame, " ")
		now, was, hasOld := strings.Cut(rest, "|")
		switch {
		case kind == "insert":
			s.put(rowOf(now), nil)
		case kind == "delete" && hasOld:
			s.put(nil, rowOf(was))
		default:
			s.put(rowOf(now), rowOf(was))
		}
	}
}

// put takes a row out and another in.
func (s *resultSub) put(row, old map[string]string) {
	if !s.keyed {
		if old != nil {
			text := s.rowText(old, s.columns)
			if s.counts[text]--; s.counts[text] < 0 {
				s.t.Errorf("%s: a row is deleted that is not there: %s", s.sql, text)
			}
		}
		if row != nil {
			s.counts[s.rowText(row, s.columns)]++
		}
		return
	}
	if old != nil {
		k := s.rowText(old, s.key)
		if s.rows[k] == nil {
			s.t.Errorf("%s: a row changes or goes that is not there: %s", s.sql, k)
		}
		delete(s.rows, k)
	}
	if row != nil {
		if slices.Contains(s.columns, "_deleted") {
			row["_deleted"] = "false" // which an update does not say
		}
		k := s.rowText(row, s.key)
		if s.rows[k] != nil {
			s.t.Errorf("%s: a row comes twice: %s", s.sql, k)
		}
		s.rows[k] = row
	}
}

// told returns what the client has, sorted.
func (s *resultSub) told() []string {
	var all []string
	for _, row := range s.rows {
		all = append(all, s.rowText(row, s.columns))
	}
	for text, n := range s.counts {
		for range n {
			all = append(all, text)
		}
	}
	slices.Sort(all)
	return all
}

// resultQueries are the shapes; %[1]d and %[2]d are small numbers.
var resultQueries = []string{
	"SELECT COUNT(*) AS c, SUM(v) AS s, AVG(v) AS a, MIN(v) AS l, MAX(v) AS m FROM app.u WHERE v > %[1]d /* one */",
	"SELECT k, COUNT(*) AS c, SUM(v) AS s FROM app.u GROUP BY k",
	"SELECT k, MIN(v) AS l, MAX(v) AS m, COUNT(v) AS c FROM app.u WHERE k <> %[1]d GROUP BY k HAVING COUNT(*) > 1",
	"SELECT COUNT(*) AS c FROM app.u GROUP BY k",
	"SELECT SUM(f) AS s, COUNT(DISTINCT k) AS d FROM app.u /* one */",
	"SELECT DISTINCT k FROM app.u",
	"SELECT DISTINCT k, v FROM app.u WHERE v < %[2]d0",
	"SELECT id, v FROM app.u ORDER BY v DESC LIMIT %[2]d",
	"SELECT id, v, k FROM app.u WHERE k = %[1]d ORDER BY v, id LIMIT %[2]d OFFSET 1",
	"SELECT k FROM app.u ORDER BY v LIMIT 4",
	"SELECT * FROM app.u ORDER BY v LIMIT 3",
	"SELECT a.id AS aid, b.id AS bid, b.v FROM app.u a JOIN app.s b ON a.k = b.id",
	"SELECT a.id AS aid, b.id AS bid, b.v FROM app.u a LEFT JOIN app.s b ON a.k = b.id AND b.v > %[2]d0",
	"SELECT a.v, b.v AS w FROM app.u a LEFT JOIN app.s b ON a.k = b.id WHERE a.v < 60",
	"SELECT b.k, COUNT(*) AS c, SUM(a.v) AS s FROM app.u a JOIN app.s b ON a.k = b.id GROUP BY b.k",
	"SELECT a.id AS aid, b.id AS bid FROM app.u a JOIN app.s b ON a.k = b.id ORDER BY a.v DESC, a.id LIMIT 3",
	"SELECT a.id AS i, b.id AS j FROM app.s a JOIN app.s b ON a.k = b.id WHERE a.v > %[1]d0",
	"SELECT id FROM app.u WHERE k IN (SELECT k FROM app.s WHERE v > 50)",
	"WITH x AS (SELECT k, MAX(v) AS m FROM app.s GROUP BY k) SELECT u.id, x.m FROM app.u u JOIN x ON x.k = u.k",
	"SELECT k, COUNT(DISTINCT v) AS d, SUM(DISTINCT v) AS e, MIN(v + k) AS l FROM app.u GROUP BY k",
	"SELECT v % 3 AS m, MAX(id) AS x, MIN(v) AS l, COUNT(*) FILTER (WHERE k = %[1]d) AS c FROM app.u GROUP BY v % 3 HAVING MAX(v) > %[2]d0",
	"SELECT k, MAX(_seq) IS NULL AS n, COUNT(f) AS c, MIN(t) AS l, MAX(t) AS h FROM app.u WHERE v > 20 OR v IS NULL GROUP BY k ORDER BY MAX(t) DESC, k",
	"SELECT SUM(d) AS s, AVG(d) AS a, MIN(d) AS l, COUNT(d) AS c FROM app.u WHERE k < 4 /* one */",
	"SELECT k, SUM(d) AS s, AVG(d * 2) AS a, SUM(d / 3) AS q FROM app.s GROUP BY k",
	"SELECT d, COUNT(*) AS c FROM app.s GROUP BY d",
	"SELECT DISTINCT t, v IS NULL AS n FROM app.u WHERE t <> 'x%[1]d'",
	"SELECT DISTINCT COUNT(*) AS c FROM app.s GROUP BY k",
	"SELECT k FROM app.u UNION SELECT k FROM app.s",
	"SELECT k, SUM(v) AS s FROM app.s GROUP BY k ORDER BY SUM(v) DESC, k LIMIT 2",
}

// randomChange is one statement over both tables.
func randomChange(r *rand.Rand) (user, sql string) {
	user, table := []string{"alice", "alice", "bob"}[r.IntN(3)], "u"
	if r.IntN(2) == 0 {
		user, table = "service", "s"
	}
	id := r.IntN(12)
	v := strconv.Itoa(r.IntN(100))
	if r.IntN(8) == 0 {
		v = "NULL"
	}
	switch r.IntN(8) {
	case 0, 1, 2:
		rows := make([]string, 1+r.IntN(3))
		for i := range rows {
			rows[i] = fmt.Sprintf("(%d, %d, %s, %d.%d, %d.%02d, 'x%d')", r.IntN(12)+20*i, r.IntN(6), v, r.IntN(10), 5*r.IntN(2), r.IntN(10), r.IntN(100), r.IntN(4))
		}
		return user, fmt.Sprintf("INSERT INTO app.%s VALUES %s ON CONFLICT (id) DO UPDATE SET k = EXCLUDED.k, v = EXCLUDED.v, d = EXCLUDED.d, t = NULL", table, strings.Join(rows, ", "))
	case 3:
		return user, fmt.Sprintf("UPDATE app.%s SET v = %s WHERE id = %d", table, v, id)
	case 4:
		return user, fmt.Sprintf("UPDATE app.%s SET k = %d WHERE k = %d", table, r.IntN(6), r.IntN(6))
	case 5:
		return user, fmt.Sprintf("UPDATE app.%s SET f = %d.5, d = d + 0.25 WHERE id < %d", table, r.IntN(10), id)
	case 6:
		return user, fmt.Sprintf("DELETE FROM app.%s WHERE id = %d", table, id)
	}
	return user, fmt.Sprintf("DELETE FROM app.%s WHERE v > %d AND id < %d", table, 40+r.IntN(60), id+20)
}

const resultTables = "CREATE NAMESPACE app; CREATE TABLE app.s (id BIGINT PRIMARY KEY, k INT, v INT, f DOUBLE, d DECIMAL(12, 2), t TEXT) WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC'); CREATE TABLE app.u (id BIGINT PRIMARY KEY, k INT, v INT, f DOUBLE, d DECIMAL(12, 2), t TEXT) WITH (TYPE='USER')"

// TestRandomResults commits random changes beside subscriptions of each shape.
// After every commit what a subscription has been told is what SELECT gives,
// whether it follows, pages, or lags behind a full outbox, before and after rows
// went cold.
func TestRandomResults(t *testing.T) {
	commits := 60
	if testing.Short() {
		commits = 20
	}
	r := rand.New(rand.NewPCG(7, uint64(commits)))
	db := openDB(t, disk.NewMem(), newClock(), func(o *core.Options) { o.Live.OutboxBytes, o.Live.Shards = 600, 2 })
	db.exec("root", resultTables)
	var subs []*resultSub
	for i, text := range resultQueries {
		s := &resultSub{t: t}
		s.sql = strings.NewReplacer("%[1]d", strconv.Itoa(r.IntN(4)), "%[2]d", strconv.Itoa(1+r.IntN(6))).Replace(text)
		s.c = db.connect(fmt.Sprintf("c%d", i), []string{"alice", "bob"}[i%5/4])
		subs = append(subs, s)
		beginResult(t, s, r)
	}
	frames, lagged := 0, int64(0)
	for range commits {
		user, sql := randomChange(r)
		db.exec(user, sql)
		if r.IntN(20) == 0 {
			for _, name := range []string{"s", "u"} {
				if _, err := db.Flush(context.Background(), "app", name); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, s := range subs {
			if s.sleeps > 0 {
				s.sleeps--
				continue
			}
			if r.IntN(10) == 0 {
				s.sleeps = r.IntN(6)
			}
			if r.IntN(25) == 0 {
				beginResult(t, s, r)
			}
			for _, f := range s.c.takeAll() {
				s.tell(f)
			}
			checkResult(t, db, s, sql)
		}
		if t.Failed() {
			return
		}
	}
	for _, s := range subs {
		frames += s.frames
	}
	lagged = db.Hub().Stats().Lagged
	stats := db.Hub().Stats()
	t.Logf("%d frames, %d lagged, %d runs, %d folds", frames, lagged, stats.Runs, stats.Folds)
	if !testing.Short() && (frames < commits || lagged == 0 || stats.Folds < int64(commits)) {
		t.Errorf("too little happened: %d frames, %d lagged, %d folds", frames, lagged, stats.Folds)
	}
}

// beginResult subscribes, or subscribes anew.
func beginResult(t *testing.T, s *resultSub, r *rand.Rand) {
	t.Helper()
	for _, f := range s.c.takeAll() { // the outbox may be full
		_ = f
	}
	o := &core.LiveSnapshot{}
	if r.IntN(3) == 0 {
		o.BatchSize = 2
	}
	if err := s.c.subscribe("q", s.sql, o); err != nil {
		t.Fatalf("%s: %v", s.sql, err)
	}
	for more := true; more; {
		more = false
		for _, f := range s.c.takeAll() {
			s.tell(f)
			more = more || strings.HasPrefix(f, "batch ") && strings.Contains(strings.Split(f, "\n")[0], " more")
		}
		if more {
			if err := s.c.conn.NextBatch(context.Background(), "q", 0, false); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// takeAll returns all frames that are due.
func (c *client) takeAll() []string {
	c.db.settle()
	return c.take()
}

func checkResult(t *testing.T, db *database, s *resultSub, after string) {
	t.Helper()
	var want []string
	for _, row := range db.rows(s.c.user, s.sql) {
		if strings.HasPrefix(s.sql, "SELECT * ") {
			row[slices.Index(s.columns, "_seq")] = "#" + row[slices.Index(s.columns, "_seq")]
		}
		want = append(want, strings.Join(row, " "))
	}
	slices.Sort(want)
	if got := s.told(); !slices.Equal(got, want) {
		t.Errorf("%s after %s: told\n%s\nSELECT gives\n%s", s.sql, after, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestResultsNameTheirCommit lets a writer go on without waiting: however many
// commits a run skips, what has been told when a mark comes is the result at the
// commit that it names.
func TestResultsNameTheirCommit(t *testing.T) {
	const commits = 300
	db := openDB(t, disk.NewMem(), newClock(), func(o *core.Options) { o.Live.OutboxBytes = 3000 })
	db.exec("root", resultTables)
	s := &resultSub{t: t, sql: "SELECT k, COUNT(*) AS c, SUM(v) AS s FROM app.u GROUP BY k"}
	s.c = db.connect("c", "alice", "commits")
	if err := s.c.subscribe("q", s.sql, &core.LiveSnapshot{}); err != nil {
		t.Fatal(err)
	}
	oracle := map[uint64]string{}
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range commits {
			if err := db.try("alice", fmt.Sprintf("INSERT INTO app.u VALUES (%d, %d, %d, 0, 0, NULL)", i, i%3, i)); err != nil {
				t.Errorf("insert: %v", err)
			}
		}
	}()
	states := []string{""}
	counts, sums := [3]int{}, [3]int{}
	for i := range commits {
		counts[i%3]++
		sums[i%3] += i
		var all []string
		for k := range 3 {
			if counts[k] > 0 {
				all = append(all, fmt.Sprintf("%d %d %d", k, counts[k], sums[k]))
			}
		}
		states = append(states, strings.Join(all, ";"))
	}
	at, marks := 0, 0
	check := func() {
		for _, f := range s.c.drain() {
			s.tell(f)
			if !strings.HasPrefix(f, "commit ") {
				continue
			}
			marks++
			now := strings.Join(s.told(), ";")
			found := slices.Index(states[at:], now)
			if found < 0 {
				t.Fatalf("behind mark %s the client has %q, which is the result of no later commit", f, now)
			}
			at += found
			_, position, _ := strings.Cut(f, "#")
			n, _ := strconv.ParseUint(position, 10, 64)
			oracle[n] = now
		}
	}
	for done := false; !done; {
		select {
		case <-written:
			done = true
		case <-s.c.ready:
		}
		check()
	}
	db.settle()
	check()
	if at != commits {
		t.Errorf("at the end the client has the result of commit %d, not %d", at, commits)
	}
	// The history of the table tells what the result was at each position.
	for _, row := range db.rows("alice", "SELECT _seq, id FROM app.u ORDER BY id") {
		seq, _ := strconv.ParseUint(row[0], 10, 64)
		id, _ := strconv.Atoi(row[1])
		if got, marked := oracle[seq]; marked && got != states[id+1] {
			t.Errorf("the mark of commit %d came with %q, not %q", id, got, states[id+1])
		}
	}
	t.Logf("%d marks, %+v", marks, db.Hub().Stats())
}

// drain returns the frames that are due without waiting for anybody.
func (c *client) drain() []string {
	var lines []string
	for c.conn.Waiting() {
		frames, err := c.conn.Take(context.Background(), nil, 1<<20)
		if err != nil {
			return lines
		}
		for _, f := range frames {
			lines = append(lines, string(f.Head)+string(f.Body))
		}
	}
	return lines
}
