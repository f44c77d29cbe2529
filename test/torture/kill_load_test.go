package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kalam "kalamdb/sdk/go"
	"kalamdb/test/torture/history"
)

const (
	// killUnits is how many units each writer changes.
	killUnits = 12
	// killRequestBound is how long one statement may take, over a frozen
	// process too.
	killRequestBound = 60 * time.Second
	// killNote is how long the notes of rows are, and killLongNote how long
	// those of SHARED tables: a follower who sleeps must fall behind.
	killNote, killLongNote = 400, 6_000
	// killShared is what rows of SHARED tables name as their owner.
	killShared = "shared"
	// killSlowest is the longest statement that the workload cares to wait for
	// while nobody freezes the server.
	killSlowest = 30 * time.Second
)

// killUsers own the partitions of the USER tables. The first one also changes
// the SHARED tables, together with root.
var killUsers = []string{"alice", "bob", "carol"}

// killTables are the tables of a run: two kinds, with and without a sync.
var killTables = []struct {
	name    string
	shared  bool
	relaxed bool
}{
	{"app.own", false, false},
	{"app.board", true, false},
	{"app.loose", false, true},
	{"app.draft", true, true},
}

// relaxedTables names those that may lose their newest operations.
func relaxedTables() (names []string) {
	for _, t := range killTables {
		if t.relaxed {
			names = append(names, t.name)
		}
	}
	return names
}

// killColumns is what every read and every subscription asks for; _seq comes by
// itself in subscriptions and is asked for in reads.
const killColumns = "id, op, owner"

// killRun is one run: a server, its accounts, and what is known of it.
type killRun struct {
	killKind
	t         *testing.T
	pace      *pace
	seed      uint64
	cycle     atomic.Int64
	server    *killServer
	history   *history.History
	clients   map[string]*kalam.Client
	random    *rand.Rand // of the driver: what happens in which cycle, and when
	held      bool       // the followers are held; the driver's own
	places    []killPlace
	followers []killSubscriber
	sleeper   *rawFollower
	figures   killFigures
	endLoad   func() // ends what load has begun, and waits for it
	// frozen counts the freezes, so that a slow answer can be told from one
	// that was held up.
	frozen atomic.Int64
}

// killKind says what a run is made for.
type killKind struct {
	relaxed bool // relaxed tables are written
	faulty  bool // the server has a planted fault, and may refuse what it should not
}

// killPlace is a place and who reads it.
type killPlace struct {
	history.Place
	user    string // who reads and subscribes
	writer  []string
	units   [][]*history.Unit // by writer
	relaxed bool
	note    int // bytes of a row's longest note
}

// killFigures are what a run has done.
type killFigures struct {
	starts, kills, stops, freezes, early, flushes, stalls int
	slowestStart                                          time.Duration
	slowestAnswer                                         atomic.Int64 // of a statement that no freeze held up, in nanoseconds
}

// query runs a statement for a user.
func (r *killRun) query(ctx context.Context, user, sql string, params ...any) (*kalam.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, killRequestBound)
	defer cancel()
	before, begin := r.frozen.Load(), time.Now()
	response, err := r.clients[user].Query(ctx, sql, params...)
	if took := time.Since(begin); err == nil && r.frozen.Load() == before {
		for old := r.figures.slowestAnswer.Load(); int64(took) > old; old = r.figures.slowestAnswer.Load() {
			if r.figures.slowestAnswer.CompareAndSwap(old, int64(took)) {
				break
			}
		}
	}
	if err != nil {
		return nil, err
	}
	if len(response.Results) == 0 {
		return nil, fmt.Errorf("%.80s: an answer without a result", sql)
	}
	return &response.Results[0], nil
}

// must runs a statement that cannot be refused.
func (r *killRun) must(user, sql string, params ...any) *kalam.Result {
	r.t.Helper()
	result, err := r.query(context.Background(), user, sql, params...)
	if err != nil {
		r.fatal("%s: %.100s: %v", user, sql, err)
	}
	return result
}

// define makes accounts, tables and places.
func (r *killRun) define() {
	r.t.Helper()
	for _, user := range append([]string{"root"}, killUsers...) {
		c, err := kalam.New(kalam.Options{URL: r.server.url, User: user, Password: killPassword, HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}})
		if err != nil {
			r.t.Fatal(err)
		}
		r.clients[user] = c
	}
	r.must("root", "CREATE NAMESPACE app")
	for _, user := range killUsers {
		r.must("root", fmt.Sprintf("CREATE USER '%s' WITH PASSWORD '%s' ROLE service", user, killPassword))
	}
	for _, table := range killTables {
		kind, options := "USER", "DURABILITY='sync'"
		if table.relaxed {
			options = "DURABILITY='relaxed'"
		}
		if table.shared {
			kind, options = "SHARED", options+", ACCESS_LEVEL='public'"
		}
		r.must("root", fmt.Sprintf("CREATE %s TABLE %s (id BIGINT PRIMARY KEY, op BIGINT, owner TEXT, note TEXT) WITH (%s)", kind, table.name, options))
		if table.shared {
			r.place(table.name, killShared, "carol", table.relaxed, "alice", "root")
			continue
		}
		for _, user := range killUsers {
			r.place(table.name, user, user, table.relaxed, user, user)
		}
	}
}

// place makes a place with units of 1, 2, 3 and 7 rows for each of its writers.
func (r *killRun) place(table, scope, reader string, relaxed bool, writers ...string) {
	p := killPlace{Place: history.Place{Table: table, Scope: scope}, user: reader, writer: writers, relaxed: relaxed, note: killNote}
	if scope == killShared {
		p.note = killLongNote
	}
	for w := range writers {
		var units []*history.Unit
		for i := range killUnits {
			units = append(units, r.history.Unit(p.Place, int64(w*1000+i+1), []int{1, 2, 3, 7}[i%4]))
		}
		p.units = append(p.units, units)
	}
	r.places = append(r.places, p)
}

// write changes units of one writer until ctx ends or the server does not
// answer any more.
func (r *killRun) write(ctx context.Context, p *killPlace, writer int, random *rand.Rand) {
	for ctx.Err() == nil {
		u := p.units[writer][random.IntN(len(p.units[writer]))]
		present, known := r.history.Present(u)
		if !known {
			return // a crash will tell
		}
		kind := history.Insert
		if present {
			kind = history.Update
			if random.IntN(4) == 0 {
				kind = history.Delete
			}
		}
		op := r.history.Begin(u, kind)
		sql := statement(p, op, random)
		// The statement is not cut off with ctx: its answer is wanted.
		result, err := r.query(context.WithoutCancel(ctx), p.writer[writer], sql)
		switch {
		case err == nil:
			r.history.Acked(op, result.Count)
		case refused(err):
			r.history.Refused(op)
			if !strings.Contains(err.Error(), "BUSY") && !strings.Contains(err.Error(), "RATE_LIMIT") {
				r.complain("%s: %.100s: %v", op, sql, err)
				if !r.faulty {
					return
				}
			}
		default:
			r.history.Unknown(op)
			return
		}
	}
}

// refused reports whether an answer says that the statement was not carried
// out: all of the server's do, except those of a failure inside and of the end.
func refused(err error) bool {
	var e *kalam.Error
	return errors.As(err, &e) && (e.Status < http.StatusInternalServerError || e.Code == "SERVER_BUSY" || e.Code == "DISK_FULL" || e.Code == "READ_ONLY")
}

// statement is what carries out an operation; one in several spellings.
func statement(p *killPlace, op history.Op, random *rand.Rand) string {
	keys := op.Unit.Keys()
	texts := make([]string, len(keys))
	for i, key := range keys {
		texts[i] = strconv.FormatInt(key, 10)
	}
	where := "id IN (" + strings.Join(texts, ", ") + ")"
	switch {
	case len(keys) == 1:
		where = "id = " + texts[0]
	case random.IntN(2) == 0:
		where = fmt.Sprintf("id >= %d AND id <= %d", keys[0], keys[len(keys)-1])
	}
	switch op.Kind {
	case history.Insert:
		rows := make([]string, len(keys))
		note := strings.Repeat("n", random.IntN(p.note))
		for i, text := range texts {
			rows[i] = fmt.Sprintf("(%s, %d, '%s', '%s')", text, op.Number, p.Scope, note)
		}
		return "INSERT INTO " + p.Table + " (id, op, owner, note) VALUES " + strings.Join(rows, ", ")
	case history.Update:
		return fmt.Sprintf("UPDATE %s SET op = %d, note = '%s' WHERE %s", p.Table, op.Number, strings.Repeat("u", random.IntN(p.note)), where)
	}
	return "DELETE FROM " + p.Table + " WHERE " + where
}

// read asks for rows of a place in every way until ctx ends or the server does
// not answer any more.
func (r *killRun) read(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		p := &r.places[random.IntN(len(r.places))]
		var err error
		switch random.IntN(4) {
		case 0:
			err = r.scan(ctx, "a reader", p, "")
		case 1:
			err = r.scan(ctx, "a reader by _seq", p, " WHERE _seq > 0 ORDER BY _seq DESC")
		default:
			units := p.units[random.IntN(len(p.units))]
			keys := units[random.IntN(len(units))].Keys()
			err = r.readKey(ctx, "a reader by key", p, keys[random.IntN(len(keys))])
		}
		if err != nil {
			return
		}
	}
}

// scan reads all rows of a place; more may say how.
func (r *killRun) scan(ctx context.Context, who string, p *killPlace, more string) error {
	read := r.history.BeginRead(who, p.Place)
	rows, err := r.rows(ctx, p.user, "SELECT "+killColumns+", _seq FROM "+p.Table+more)
	if err == nil {
		read.Scan(rows)
	}
	return err
}

// readKey reads one row.
func (r *killRun) readKey(ctx context.Context, who string, p *killPlace, key int64) error {
	read := r.history.BeginRead(who, p.Place)
	rows, err := r.rows(ctx, p.user, fmt.Sprintf("SELECT %s, _seq FROM %s WHERE id = %d", killColumns, p.Table, key))
	switch {
	case err != nil:
		return err
	case len(rows) == 0:
		read.Key(key, nil)
	default:
		for i := range rows {
			read.Key(key, &rows[i])
		}
	}
	return nil
}

// rows asks for rows and decodes them.
func (r *killRun) rows(ctx context.Context, user, sql string) ([]history.Row, error) {
	result, err := r.query(ctx, user, sql)
	if err != nil {
		return nil, err
	}
	rows := make([]history.Row, len(result.Rows))
	for i, cells := range result.Rows {
		if len(cells) != 4 {
			return nil, fmt.Errorf("a row of %d cells", len(cells))
		}
		rows[i] = decodeCells(cells[0], cells[1], cells[2], cells[3])
	}
	return rows, nil
}

// decodeCells reads what every row has; what cannot be read stays 0, which is no
// key and no operation.
func decodeCells(id, op, owner, seq json.RawMessage) (row history.Row) {
	row.ID, _ = strconv.ParseInt(strings.Trim(string(id), `"`), 10, 64)
	row.Op, _ = strconv.ParseInt(strings.Trim(string(op), `"`), 10, 64)
	row.Seq, _ = strconv.ParseUint(strings.Trim(string(seq), `"`), 10, 64)
	row.Owner = strings.Trim(string(owner), `"`)
	return row
}

// flush moves rows into files again and again.
func (r *killRun) flush(ctx context.Context, random *rand.Rand) (flushes int) {
	for ctx.Err() == nil {
		table := killTables[random.IntN(len(killTables))].name
		if _, err := r.query(ctx, "root", "STORAGE FLUSH TABLE "+table); err != nil && !refused(err) {
			return flushes
		}
		flushes++
		waitOr(ctx, time.Duration(5+random.IntN(60))*time.Millisecond)
	}
	return flushes
}

// waitOr lets time go by, less if ctx ends.
func waitOr(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// load runs writers, readers and flushes until endLoad is called.
func (r *killRun) load(relaxed bool) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var stream uint64
	random := func() *rand.Rand {
		stream++
		return rand.New(rand.NewPCG(r.seed, uint64(r.cycle.Load())<<16|stream))
	}
	for i := range r.places {
		p := &r.places[i]
		for w := range p.writer {
			if own := random(); relaxed || !p.relaxed {
				all.Go(func() { r.write(ctx, p, w, own) })
			}
		}
	}
	for range 2 {
		own := random()
		all.Go(func() { r.read(ctx, own) })
	}
	own, flushes := random(), 0
	all.Go(func() { flushes = r.flush(ctx, own) })
	r.endLoad = sync.OnceFunc(func() {
		cancel()
		all.Wait()
		r.figures.flushes += flushes
	})
}
