package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kalamdb/internal/config"
	kalam "kalamdb/sdk/go"
)

// sdkBound is how long a subscriber may take to be told something.
const sdkBound = 20 * time.Second

// sdk returns a client of a server for one of its accounts.
func sdk(t *testing.T, o kalam.Options) *kalam.Client {
	t.Helper()
	if o.User == "" && o.Token == "" {
		o.Token = token("alice")
	}
	o.Namespace = "app"
	c, err := kalam.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func sdkLive(t *testing.T, c *kalam.Client) *kalam.Live {
	t.Helper()
	l, err := c.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func sdkRun(t *testing.T, c *kalam.Client, sql string, params ...any) []kalam.Result {
	t.Helper()
	response, err := c.Query(t.Context(), sql, params...)
	if err != nil {
		t.Fatalf("%.200s: %v", sql, err)
	}
	return response.Results
}

func sdkSubscribe(t *testing.T, l *kalam.Live, sql string, o kalam.SubscribeOptions) *kalam.Subscription {
	t.Helper()
	s, err := l.Subscribe(sql, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mirror keeps the rows that a subscription tells, by id.
type mirror struct {
	sub    *kalam.Subscription
	rows   map[string]string
	events map[kalam.Kind]int
	last   kalam.Event
	log    []string // of every event
}

func newMirror(s *kalam.Subscription) *mirror {
	return &mirror{sub: s, rows: map[string]string{}, events: map[kalam.Kind]int{}}
}

// next applies one event.
func (m *mirror) next(ctx context.Context) error {
	e, err := m.sub.Next(ctx)
	if err != nil {
		return err
	}
	m.last = e
	m.events[e.Kind]++
	var id string
	_ = json.Unmarshal(e.Row["id"], &id) // Ready has no row
	m.log = append(m.log, fmt.Sprintf("%s %s=%s @%d →%d", e.Kind, id, e.Row["n"], e.Seq, e.Resume))
	switch e.Kind {
	case kalam.Snapshot, kalam.Insert, kalam.Update:
		m.rows[id] = string(e.Row["n"])
	case kalam.Delete:
		delete(m.rows, id)
	}
	return nil
}

// until applies events until something holds.
func (m *mirror) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), sdkBound)
	defer cancel()
	for !holds() {
		if err := m.next(ctx); err != nil {
			t.Fatalf("%s: %v; %d rows, events %v", what, err, len(m.rows), m.events)
		}
	}
}

func (m *mirror) ready(t *testing.T) {
	t.Helper()
	before := m.events[kalam.Ready]
	m.until(t, "ready", func() bool { return m.events[kalam.Ready] > before })
}

// equals waits until the mirror holds exactly what the table does.
func (m *mirror) equals(t *testing.T, want map[string]string) {
	t.Helper()
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), sdkBound)
	defer cancel()
	for !maps.Equal(m.rows, want) {
		if err := m.next(ctx); err != nil {
			t.Fatalf("%v: the mirror has %v, the table %v; it was told\n%s", err, m.rows, want, strings.Join(m.log, "\n"))
		}
	}
}

// tableOf reads id and n of a table.
func tableOf(t *testing.T, c *kalam.Client, table string) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for _, r := range sdkRun(t, c, "SELECT id, n FROM "+table)[0].Rows {
		var id string
		if err := json.Unmarshal(r[0], &id); err != nil {
			t.Fatal(err)
		}
		rows[id] = string(r[1])
	}
	return rows
}

// TestSDKQuery: parameters of every kind, several statements, and refusals.
func TestSDKQuery(t *testing.T) {
	x := newTarget(t, nil)
	x.must(t, "root", "CREATE USER TABLE app.own (id BIGINT PRIMARY KEY, n INT, d DOUBLE, s TEXT, b BOOLEAN)")
	c := sdk(t, kalam.Options{URL: x.url, User: "alice", Password: "Alice-secret-1"})
	if n := sdkRun(t, c, "INSERT INTO own (id, n, d, s, b) VALUES ($1, $2, $3, $4, $5)", int64(1<<62), nil, 2.5, "it's <€> \n", true)[0].Count; n != 1 {
		t.Errorf("%d rows were inserted", n)
	}
	row := sdkRun(t, c, "SELECT id, n, d, s, b FROM own WHERE id = $1", int64(1<<62))[0]
	var text string
	if err := json.Unmarshal(row.Rows[0][3], &text); err != nil || text != "it's <€> \n" {
		t.Errorf("the text reads %q, %v", text, err)
	}
	got := fmt.Sprintf("%s %s %s %s", row.Rows[0][0], row.Rows[0][1], row.Rows[0][2], row.Rows[0][4])
	if want := fmt.Sprintf("%q null 2.5 true", fmt.Sprint(int64(1<<62))); got != want || row.Columns[0].Name != "id" || row.AsUser != "alice" {
		t.Errorf("%s of %+v, want %s", got, row, want)
	}
	if several := sdkRun(t, c, "SELECT 1; SELECT 2"); len(several) != 2 {
		t.Errorf("two statements have %d results", len(several))
	}
	f := func(code string, sql string, params ...any) {
		t.Helper()
		_, err := c.Query(t.Context(), sql, params...)
		var refused *kalam.Error
		if !errors.As(err, &refused) || refused.Code != code || refused.Status < 400 || refused.Temporary() {
			t.Errorf("%s: %v, want %s", sql, err, code)
		}
	}
	f("INVALID_SQL", "SELEC 1")
	f("SQL_EXECUTION_ERROR", "SELECT * FROM nothing")
	f("SQL_EXECUTION_ERROR", "INSERT INTO mine VALUES (1, 'again')")
	f("PERMISSION_DENIED", "CREATE NAMESPACE mine")
	f("PARAMS_WITH_BATCH", "SELECT $1; SELECT $1", 1)
	wrong := sdk(t, kalam.Options{URL: x.url, User: "alice", Password: "wrong"})
	var refused *kalam.Error
	if _, err := wrong.Query(t.Context(), "SELECT 1"); !errors.As(err, &refused) || refused.Code != "UNAUTHORIZED" || refused.Status != http.StatusUnauthorized {
		t.Errorf("a wrong password: %v", err)
	}
}

// logins counts the logins of a client.
type logins struct {
	mu   sync.Mutex
	seen int
}

func (l *logins) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/login") {
		l.mu.Lock()
		l.seen++
		l.mu.Unlock()
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (l *logins) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

// TestSDKTokenRenewal: a token that expires, or whose role has changed, is
// renewed, for statements and for sockets; nobody notices.
func TestSDKTokenRenewal(t *testing.T) {
	// Clocks may differ by a minute: these tokens are good for a second.
	x := newTarget(t, func(o *config.Options) { o.Auth.JWTExpiry = -59 * time.Second })
	counted := &logins{}
	c := sdk(t, kalam.Options{URL: x.url, User: "alice", Password: "Alice-secret-1", HTTP: &http.Client{Transport: counted}})
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(sdkBound); counted.count() < 3; <-ticker.C {
		if time.Now().After(end) {
			t.Fatal("the token was never renewed")
		}
		sdkRun(t, c, "SELECT 1")
	}

	proxy := newCutter(t, x.address)
	c = sdk(t, kalam.Options{URL: proxy.url, User: "alice", Password: "Alice-secret-1", HTTP: &http.Client{Transport: counted}})
	m := newMirror(sdkSubscribe(t, sdkLive(t, c), "SELECT id, s AS n FROM app.mine", kalam.SubscribeOptions{}))
	m.ready(t)
	x.must(t, "root", "ALTER USER 'alice' SET ROLE service") // ends the connection, and the token
	m.ready(t)
	roles["alice"] = "service" // of the tokens that tests mint
	defer func() { roles["alice"] = "user" }()
	x.must(t, "alice", "INSERT INTO app.mine VALUES (9, 'nine')")
	m.until(t, "the row after the renewal", func() bool { return m.rows["9"] == `"nine"` })
	x.must(t, "root", "DROP USER 'alice'")
	m.until(t, "the end", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), sdkBound)
		defer cancel()
		var refused *kalam.Error
		err := m.next(ctx)
		if err != nil && (!errors.As(err, &refused) || refused.Code != "UNAUTHORIZED") {
			t.Fatalf("the subscription of a dropped user ends with %v", err)
		}
		return err != nil
	})
}

// TestSDKLive: a snapshot page by page, changes of every kind, refusals, and
// what Close leaves behind.
func TestSDKLive(t *testing.T) {
	x := newTarget(t, nil)
	c := sdk(t, kalam.Options{URL: x.url})
	x.must(t, "root", "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, n INT, note TEXT)")
	for i := range 25 {
		sdkRun(t, c, "INSERT INTO t VALUES ($1, $2, 'x')", i, i)
	}
	live := sdkLive(t, c)
	all := newMirror(sdkSubscribe(t, live, "SELECT id, n FROM app.t", kalam.SubscribeOptions{BatchSize: 10}))
	all.ready(t)
	if all.events[kalam.Snapshot] != 25 || !maps.Equal(all.rows, tableOf(t, c, "t")) || all.last.Resume == 0 {
		t.Errorf("events %v, last %+v", all.events, all.last)
	}
	newest := newMirror(sdkSubscribe(t, live, "SELECT id, n FROM app.t", kalam.SubscribeOptions{LastRows: 3, BatchSize: 2}))
	newest.ready(t)
	if want := []string{"22", "23", "24"}; !slices.Equal(slices.Sorted(maps.Keys(newest.rows)), want) {
		t.Errorf("the newest rows are %v, want %v", newest.rows, want)
	}
	big := newMirror(sdkSubscribe(t, live, "SELECT id, n FROM app.t WHERE n > 100", kalam.SubscribeOptions{NoSnapshot: true}))
	big.ready(t)
	from := all.last.Resume

	sdkRun(t, c, "UPDATE t SET n = 101, note = NULL WHERE id = 1")
	all.until(t, "update", func() bool { return all.events[kalam.Update] == 1 })
	if e := all.last; string(e.Row["n"]) != "101" || string(e.Old["n"]) != "1" || len(e.Old) != 3 || e.Seq != e.Resume {
		t.Errorf("the update is %v, was %v, at %d", e.Row, e.Old, e.Seq)
	}
	sdkRun(t, c, "INSERT INTO t VALUES (200, 200, 'y'); DELETE FROM t WHERE id = 200; UPDATE t SET n = 5 WHERE id = 1")
	big.until(t, "a row that leaves the filter", func() bool { return big.events[kalam.Delete] == 2 })
	if want := map[kalam.Kind]int{kalam.Ready: 1, kalam.Update: 1, kalam.Insert: 1, kalam.Delete: 2}; !maps.Equal(big.events, want) {
		t.Errorf("the filter was told %v, want %v", big.events, want)
	}
	all.equals(t, tableOf(t, c, "t"))

	// From a position: the difference, or each change.
	difference := newMirror(sdkSubscribe(t, live, "SELECT id, n FROM app.t", kalam.SubscribeOptions{From: from}))
	difference.ready(t)
	if want := map[string]string{"1": "5"}; !maps.Equal(difference.rows, want) {
		t.Errorf("the difference is %v, want %v", difference.rows, want)
	}
	replay := newMirror(sdkSubscribe(t, live, "SELECT id, n FROM app.t", kalam.SubscribeOptions{From: from, Replay: true}))
	replay.until(t, "each change", func() bool { return replay.events[kalam.Update] == 2 })
	if want := map[kalam.Kind]int{kalam.Ready: 1, kalam.Update: 2, kalam.Insert: 1, kalam.Delete: 1}; !maps.Equal(replay.events, want) {
		t.Errorf("the replay is %v, want %v", replay.events, want)
	}

	refused := func(code, sql string, o kalam.SubscribeOptions) {
		t.Helper()
		s := sdkSubscribe(t, live, sql, o)
		ctx, cancel := context.WithTimeout(t.Context(), sdkBound)
		defer cancel()
		var e *kalam.Error
		if _, err := s.Next(ctx); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: %v, want %s", sql, err, code)
		}
	}
	refused("INVALID_SQL", "SELECT COUNT(*), random() FROM app.t", kalam.SubscribeOptions{})
	refused("NOT_FOUND", "SELECT * FROM app.nothing", kalam.SubscribeOptions{})
	refused("UNAUTHORIZED", "SELECT * FROM app.shut", kalam.SubscribeOptions{})
	refused("CURSOR_EXPIRED", "SELECT * FROM app.t", kalam.SubscribeOptions{From: 1<<63 - 1})

	count := func(want int) {
		t.Helper()
		x.eventually(t, fmt.Sprintf("%d live queries", want), func() bool {
			return strings.Contains(x.must(t, "root", "SELECT COUNT(*) FROM system.live").String(), fmt.Sprintf(`["%d"]`, want))
		})
	}
	count(5)
	newest.sub.Close()
	count(4)
	if _, err := newest.sub.Next(t.Context()); err != nil && !errors.Is(err, kalam.ErrClosed) {
		t.Errorf("a closed subscription ends with %v", err)
	}
	if err := live.Close(); err != nil {
		t.Error(err)
	}
	count(0)
	all.until(t, "the end", func() bool { return errors.Is(all.next(t.Context()), kalam.ErrClosed) })
	c.Close()
	x.eventually(t, "the goroutines of the client end", func() bool {
		stacks := make([]byte, 1<<20)
		return !bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("sdk/go."))
	})
}

// TestSDKSlow: a subscriber that does not read for a while is told everything
// in order when it does, also what outran the server's memory for it.
func TestSDKSlow(t *testing.T) {
	x := newTarget(t, func(o *config.Options) { o.Live.OutboxBytes = 64 << 10 })
	c := sdk(t, kalam.Options{URL: x.url})
	x.must(t, "root", "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, n INT, note TEXT)")
	sdkRun(t, c, "INSERT INTO t VALUES (1, 0, '')")
	m := newMirror(sdkSubscribe(t, sdkLive(t, c), "SELECT id, n, note FROM app.t", kalam.SubscribeOptions{Buffer: 1}))
	m.ready(t)
	const updates = 3000
	text := strings.Repeat("x", 2000) // more than sockets and outbox hold together
	for i := 1; i <= updates; i++ {
		sdkRun(t, c, "UPDATE t SET n = $1, note = $2 WHERE id = 1", i, text+fmt.Sprint(i))
	}
	for i := 1; i <= updates; i++ {
		want := fmt.Sprint(i)
		m.until(t, "update "+want, func() bool { return m.events[kalam.Update] == i })
		if m.rows["1"] != want {
			t.Fatalf("update %d tells %s", i, m.rows["1"])
		}
	}
}

// cutter stands between a client and a server, and breaks connections.
type cutter struct {
	url string
	mu  struct {
		sync.Mutex
		conns  map[net.Conn]struct{}
		random *rand.Rand // while not nil, a connection breaks after some bytes of the server
		cuts   int
	}
}

func newCutter(t *testing.T, address string) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{url: "http://" + listener.Addr().String()}
	c.mu.conns = map[net.Conn]struct{}{}
	var pumps sync.WaitGroup
	pumps.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", address)
			if err != nil {
				_ = near.Close()
				continue
			}
			c.mu.Lock()
			c.mu.conns[near], c.mu.conns[far] = struct{}{}, struct{}{}
			c.mu.Unlock()
			pumps.Go(func() { c.pump(far, near, 1<<40) })
			pumps.Go(func() { c.pump(near, far, c.budget()) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		c.cut()
		pumps.Wait()
	})
	return c
}

// budget is how many bytes a new connection may carry from the server.
func (c *cutter) budget() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.random == nil {
		return 1 << 40
	}
	c.mu.cuts++
	return 300 + c.mu.random.Int64N(6000)
}

// breaking sets after which number of bytes connections break from now on; nil
// is never. It breaks those that there are.
func (c *cutter) breaking(random *rand.Rand) (cuts int) {
	c.mu.Lock()
	c.mu.random = random
	cuts = c.mu.cuts
	c.mu.Unlock()
	c.cut()
	return cuts
}

func (c *cutter) pump(to, from net.Conn, budget int64) {
	_, _ = io.CopyN(to, from, budget) // it ends when either is closed
	_, _ = to.Close(), from.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.conns, to)
	delete(c.mu.conns, from)
}

// cut breaks every connection.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.mu.conns {
		_ = conn.Close()
	}
}

// work changes a table at random and returns when it has made so many changes;
// each change gives n a new number.
func work(t *testing.T, c *kalam.Client, random *rand.Rand, changes int, next *int) {
	t.Helper()
	for range changes {
		*next++
		id := random.IntN(40)
		switch random.IntN(4) {
		case 0:
			sdkRun(t, c, "DELETE FROM t WHERE id = $1", id)
		case 1:
			sdkRun(t, c, "UPDATE t SET n = $1 WHERE id < $2", *next, random.IntN(10))
		default:
			if sdkRun(t, c, "UPDATE t SET n = $1 WHERE id = $2", *next, id)[0].Count == 0 {
				sdkRun(t, c, "INSERT INTO t VALUES ($1, $2)", id, *next)
			}
		}
	}
}

// TestSDKResumeAfterCuts: connections break at any moment, in snapshots and in
// differences, while others write; each subscriber ends with the rows of the
// table.
func TestSDKResumeAfterCuts(t *testing.T) {
	x := newTarget(t, func(o *config.Options) { o.RateLimit.MaxSubscriptionsPerUser = 1000 })
	x.must(t, "root", "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, n INT)")
	writer := sdk(t, kalam.Options{URL: x.url})
	proxy := newCutter(t, x.address)
	random := rand.New(rand.NewPCG(1, 7)) // of what is written
	next := 0
	work(t, writer, random, 100, &next)
	live := sdkLive(t, sdk(t, kalam.Options{URL: proxy.url}))
	mirrors := []*mirror{
		newMirror(sdkSubscribe(t, live, "SELECT id, n FROM app.t", kalam.SubscribeOptions{BatchSize: 3})),
		newMirror(sdkSubscribe(t, live, "SELECT id, n FROM app.t", kalam.SubscribeOptions{})),
		newMirror(sdkSubscribe(t, live, "SELECT id, n FROM app.t", kalam.SubscribeOptions{Replay: true})),
	}
	cuts := 0
	for round := range uint64(6) {
		proxy.breaking(rand.New(rand.NewPCG(2, round)))
		work(t, writer, random, 60, &next)
		cuts = proxy.breaking(nil)
		want := tableOf(t, writer, "t")
		for _, m := range mirrors {
			m.equals(t, want)
		}
	}
	if cuts < 20 {
		t.Errorf("%d connections were broken, want more", cuts)
	}
}

// process starts the built server on a directory and returns it when it
// answers.
func process(t *testing.T, port, data string) *exec.Cmd {
	t.Helper()
	command := exec.Command(filepath.Join(binaries(t), "kalamdb"))
	command.Env = append(os.Environ(), "KALAMDB_SERVER_PORT="+port, "KALAMDB_DATA_DIR="+data, "KALAMDB_JWT_SECRET="+targetSecret,
		"KALAMDB_ROOT_PASSWORD=Root-secret-1", "KALAMDB_AUTH_BCRYPT_COST=4", "KALAMDB_RATE_LIMIT_MAX_AUTH_REQUESTS_PER_IP_PER_SEC=1000")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	if err := answers("http://127.0.0.1:" + port + "/health"); err != nil {
		t.Fatal(err)
	}
	return command
}

// TestSDKResumeAfterKill: the server is killed and started again; a subscriber
// gets the difference, another one each change in order, and none is told what
// was not acknowledged and did not happen.
func TestSDKResumeAfterKill(t *testing.T) {
	port, data := freePort(t), t.TempDir()
	url := "http://127.0.0.1:" + port
	server := process(t, port, data)
	root := sdk(t, kalam.Options{URL: url, User: "root", Password: "Root-secret-1"})
	sdkRun(t, root, "CREATE NAMESPACE app; CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, n INT); INSERT INTO app.t VALUES (0, 0), (1, 0)")
	live := sdkLive(t, root)
	difference := newMirror(sdkSubscribe(t, live, "SELECT id, n FROM app.t", kalam.SubscribeOptions{}))
	each := newMirror(sdkSubscribe(t, live, "SELECT id, n FROM app.t WHERE id = 0", kalam.SubscribeOptions{Replay: true}))
	difference.ready(t)
	each.ready(t)
	counted := 0
	for round := 1; round <= 3; round++ {
		for range 20 {
			counted++
			sdkRun(t, root, "UPDATE t SET n = n + 1 WHERE id = 0")
		}
		sdkRun(t, root, fmt.Sprintf("DELETE FROM t WHERE id = %d; INSERT INTO t VALUES (%d, 0)", round, round+1))
		if err := server.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = server.Wait()
		server = process(t, port, data)
		sdkRun(t, root, "UPDATE t SET n = n + 1 WHERE id = 0")
		counted++
		difference.equals(t, tableOf(t, root, "t"))
		for each.rows["0"] != fmt.Sprint(counted) {
			was := each.events[kalam.Update]
			each.until(t, "the next update", func() bool { return each.events[kalam.Update] > was })
			if want := fmt.Sprint(each.events[kalam.Update]); each.rows["0"] != want {
				t.Fatalf("update %s tells %s", want, each.rows["0"])
			}
		}
	}
	if want := map[kalam.Kind]int{kalam.Snapshot: 1, kalam.Ready: 4, kalam.Update: counted}; !maps.Equal(each.events, want) {
		t.Errorf("the replay is %v, want %v", each.events, want)
	}
}

// TestSDKFiles sends files and reads them back.
func TestSDKFiles(t *testing.T) {
	x := newTarget(t, nil)
	x.must(t, "root", "CREATE USER TABLE app.sdk_file (id BIGINT PRIMARY KEY, f FILE)")
	c := sdk(t, kalam.Options{URL: x.url, User: "alice", Password: "Alice-secret-1"})
	body := strings.Repeat("0123456789", 300_000)
	if _, err := c.Upload(t.Context(), `INSERT INTO sdk_file VALUES ($1, FILE("a"))`, []kalam.File{{Key: "a", Name: `x "y".txt`, Type: "text/plain", Body: strings.NewReader(body)}}, 7); err != nil {
		t.Fatal(err)
	}
	ref, err := kalam.ParseFileRef(sdkRun(t, c, "SELECT f FROM sdk_file WHERE id = 7")[0].Rows[0][0])
	if err != nil || ref.Size != int64(len(body)) || ref.Name != `x "y".txt` {
		t.Fatalf("%+v %v", ref, err)
	}
	r, err := c.Download(t.Context(), "app.sdk_file", ref, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != body {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	var refused *kalam.Error
	if _, err := c.Upload(t.Context(), "SELECT 1", []kalam.File{{Key: "a", Body: strings.NewReader(body)}}); !errors.As(err, &refused) || refused.Code != "EXTRA_FILE" {
		t.Errorf("an extra file: %v", err)
	}
	ref.ID = "12"
	if _, err := c.Download(t.Context(), "app.sdk_file", ref, ""); !errors.As(err, &refused) || refused.Code != "FILE_NOT_FOUND" {
		t.Errorf("a file that is not there: %v", err)
	}
}
