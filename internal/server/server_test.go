package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kalamdb/internal/config"
)

// running is a server over a directory, as main would run it.
type running struct {
	*Server
	stop  context.CancelFunc
	ended chan error
	log   *syncBuffer
	token string
}

// syncBuffer is a buffer that a server may write to while a test reads it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs a server over a directory until it listens.
func start(t *testing.T, dir string, set ...string) *running {
	t.Helper()
	return startWith(t, dir, func(*Options) {}, set...)
}

func startWith(t *testing.T, dir string, change func(*Options), set ...string) *running {
	t.Helper()
	loaded, err := config.Load(config.Source{WorkDir: dir, BinaryDir: dir, Set: append([]string{
		"server.port=0", "storage.data_path=" + dir, "auth.bcrypt_cost=4", "auth.root_password=root's password",
		"storage.reserve=0", "rate_limit.max_queries_per_sec=100000",
	}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{ended: make(chan error, 1), log: &syncBuffer{}}
	listening, told := io.Pipe()
	o := Options{
		Config: loaded.Options, Version: "1.2.3", Commit: "abc", BuildDate: "today", Stdout: told, Stderr: r.log,
		Fatal: func(format string, args ...any) { panic(fmt.Sprintf(format, args...)) },
	}
	change(&o)
	if r.Server, err = Open(o); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() {
		r.ended <- r.Run(ctx)
		told.Close()
	}()
	line := make([]byte, 200)
	n, err := listening.Read(line)
	if want := "kalamdb 1.2.3 listening on " + r.URL() + "\n"; err != nil || string(line[:n]) != want {
		t.Fatalf("got %q, %v, want %q", line[:n], err, want)
	}
	t.Cleanup(func() { r.end(t) })
	r.login(t)
	return r
}

// end stops the server and waits for it; a second call does nothing.
func (r *running) end(t *testing.T) {
	t.Helper()
	if r.stop == nil {
		return
	}
	http.DefaultClient.CloseIdleConnections()
	r.stop()
	r.stop = nil
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func (r *running) do(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	q, err := http.NewRequest(method, r.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if r.token != "" {
		q.Header.Set("Authorization", "Bearer "+r.token)
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func (r *running) login(t *testing.T) {
	t.Helper()
	status, text := r.do(t, "POST", "/v1/api/auth/login", `{"user":"root","password":"root's password"}`)
	var grant struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(text), &grant); err != nil || status != 200 {
		t.Fatalf("login: %d %s", status, text)
	}
	r.token = grant.AccessToken
}

// rows runs SQL and returns the rows of its first result as text.
func (r *running) rows(t *testing.T, sql string) []string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"sql": sql})
	if err != nil {
		t.Fatal(err)
	}
	status, text := r.do(t, "POST", "/v1/api/sql", string(body))
	var answer struct {
		Results []struct{ Rows [][]any }
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 {
		t.Fatalf("%s: %d %s", sql, status, text)
	}
	var out []string
	for _, row := range answer.Results[0].Rows {
		out = append(out, strings.Trim(fmt.Sprint(row), "[]"))
	}
	return out
}

func TestDataSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	r.rows(t, "CREATE NAMESPACE app")
	r.rows(t, "CREATE SHARED TABLE app.note (id BIGINT PRIMARY KEY, body TEXT)")
	r.rows(t, "INSERT INTO app.note VALUES (1, 'tea'), (2, 'milk')")
	old := r.token
	r.end(t)
	if !strings.Contains(r.log.String(), "server has stopped") {
		t.Errorf("the log ends with %s", r.log)
	}

	r = start(t, dir)
	r.token = old // signed with the secret of the data directory
	if got := r.rows(t, "SELECT body FROM app.note ORDER BY id"); !slices.Equal(got, []string{"tea", "milk"}) {
		t.Errorf("after a restart: %v", got)
	}
}

// A clock that has been set back makes the server read-only until an operator
// has looked.
func TestClockSetBack(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	r.rows(t, "CREATE NAMESPACE app")
	r.end(t)

	before := func(o *Options) { o.Now = func() time.Time { return time.Now().Add(-2 * time.Hour) } }
	r = startWith(t, dir, before)
	if status, text := r.do(t, "POST", "/v1/api/sql", `{"sql":"CREATE NAMESPACE other"}`); status != 503 ||
		!strings.Contains(text, `"code":"READ_ONLY"`) || !strings.Contains(text, "--accept-clock") {
		t.Errorf("a write: %d %s", status, text)
	}
	if got := r.rows(t, "SELECT name FROM system.namespaces WHERE name = 'app'"); len(got) != 1 {
		t.Errorf("a read: %v", got)
	}
	if !strings.Contains(r.log.String(), "server is read-only") {
		t.Errorf("the log reads %s", r.log)
	}
	r.end(t)

	r = startWith(t, dir, func(o *Options) { before(o); o.AcceptClock = true })
	r.rows(t, "CREATE NAMESPACE other")
}

func TestViews(t *testing.T) {
	r := start(t, t.TempDir(), "server.node_id=7", "live.ring_bytes=32MiB", "storage.shared_tables_template=all/{namespace}-{tableName}")
	f := func(sql, want string) {
		t.Helper()
		if got := strings.Join(r.rows(t, sql), "; "); got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}
	f("SELECT value FROM system.settings WHERE name = 'live.ring_bytes'", "32MiB")
	f("SELECT value, category FROM system.settings WHERE name = 'auth.root_password'", "*** auth")
	f("SELECT metric_value FROM system.stats WHERE metric_name = 'server_version'", "1.2.3")
	f("SELECT metric_value FROM system.stats WHERE metric_name = 'total_users'", "1")
	f("SELECT metric_value FROM system.stats WHERE metric_name = 'max_connections'", "25000")
	f("SELECT shared_tables_template FROM system.storages", "all/{namespace}-{tableName}")
	f("SELECT node_id, is_self, is_leader, version FROM system.cluster", "7 true true 1.2.3")
	if got := r.rows(t, "SELECT message FROM system.server_logs"); len(got) < 2 ||
		!strings.HasPrefix(got[0], "server is starting") || !strings.HasPrefix(got[1], "server is listening") {
		t.Errorf("the log reads %q", got)
	}
	for _, name := range []string{
		"schema_cache_size", "schema_registry_size", "total_tables", "server_workers_effective", "memory_usage_mb",
		"memory_rss_mb", "memory_virtual_mb", "memory_usage_source", "pid", "plan_cache_size", "jobs_running",
		"active_connections", "active_subscriptions", "websocket_sessions", "uptime_seconds",
	} {
		if got := r.rows(t, "SELECT metric_value FROM system.stats WHERE metric_name = '"+name+"'"); len(got) != 1 || got[0] == "" {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func TestMetricsAndHealth(t *testing.T) {
	r := start(t, t.TempDir())
	r.rows(t, "SELECT 1")
	r.do(t, "POST", "/v1/api/sql", `{"sql":"SELEC"}`)
	_, page := r.do(t, "GET", "/metrics", "")
	for _, want := range []string{
		"kalamdb_http_statements_total 2", `kalamdb_http_faults_total{code="SYNTAX"} 1`, "# TYPE kalamdb_http_requests_total counter",
		"# TYPE kalamdb_active_connections gauge", "kalamdb_auth_logins_total 1", "kalamdb_commits_total ", "go_goroutines",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if _, text := r.do(t, "GET", "/health", ""); text != `{"status":"healthy","version":"1.2.3","api_version":"v1","build_date":"today"}` {
		t.Errorf("health is %s", text)
	}
	if _, text := r.do(t, "GET", "/v1/api/cluster/health", ""); !strings.Contains(text, `"api_addr":"`+r.URL()+`"`) {
		t.Errorf("cluster health is %s", text)
	}
}

// What Open has opened is closed when a later step fails.
func TestFailedStartLetsGo(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	port := strings.TrimPrefix(r.URL(), "http://127.0.0.1:")
	other := t.TempDir()
	options := config.Defaults()
	options.Storage.DataPath, options.Storage.Reserve = other, 0
	if _, err := fmt.Sscan(port, &options.Server.Port); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Options{Config: options})
	if err == nil || !strings.Contains(err.Error(), "listen on") || RefusedDirectory(err) {
		t.Fatalf("got %v", err)
	}
	options.Server.Port = 0
	options.Storage.DataPath = dir
	if _, err = Open(Options{Config: options}); !RefusedDirectory(err) {
		t.Errorf("a directory in use: %v", err)
	}
	start(t, other)
}

func TestLogs(t *testing.T) {
	dir := t.TempDir()
	var console bytes.Buffer
	l := newLogs(config.Logging{Level: "info", LogToConsole: true}, &console)
	log := l.logger().With("room", "test")
	log.Debug("hidden")
	log.Info("early", "n", 1)
	for range 2 * maxEarlyLogs {
		log.WithGroup("g").Info("many", "n", 2)
	}
	if err := l.open(dir); err != nil {
		t.Fatal(err)
	}
	log.Warn("late", "error", errors.New("odd"))
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	log.Info("after the end")
	if got := console.String(); strings.Contains(got, "hidden") || !strings.Contains(got, `msg=early room=test n=1`) || !strings.Contains(got, "after the end") {
		t.Errorf("the console shows %.300s", got)
	}
	text, err := os.ReadFile(filepath.Join(dir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != maxEarlyLogs+1 || !strings.Contains(lines[0], `"msg":"early","room":"test","n":1`) ||
		!strings.Contains(lines[len(lines)-1], `"late"`) {
		t.Errorf("the file has %d lines, from %s to %s", len(lines), lines[0], lines[len(lines)-1])
	}
	row, ok := logRow([]byte(lines[len(lines)-1]))
	if !ok || row[1].Text() != "WARN" || row[3].Text() != "test" || row[5].Text() != "late error=odd" {
		t.Errorf("the row is %v", row)
	}
	if _, ok := logRow([]byte("{cut")); ok {
		t.Error("half a line is a row")
	}
}

func TestLogLevels(t *testing.T) {
	for name, want := range map[string]slog.Level{
		"trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	} {
		if got := levelOf(name); got != want {
			t.Errorf("%s is %v", name, got)
		}
	}
}

func TestTail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	f := func(n int64, want string) {
		t.Helper()
		if got, err := tail(file, n); err != nil || string(got) != want {
			t.Errorf("tail of %d: %q, %v, want %q", n, got, err, want)
		}
	}
	f(10, "")
	if err := os.WriteFile(file, []byte("one\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(100, "one\ntwo\nthree\n")
	f(11, "two\nthree\n")
	f(10, "three\n")
	f(7, "three\n")
	f(3, "")
}

// TestSamples: every figure that dba.stats keeps is one of the server's, and the
// recorder writes them.
func TestSamples(t *testing.T) {
	r := start(t, t.TempDir(), "dba.stats_interval=20ms")
	if got := r.sample(); len(got) != len(sampled) {
		t.Errorf("%d figures are sampled, %d are named", len(got), len(sampled))
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		code, body := r.do(t, "POST", "/v1/api/sql", `{"sql":"SELECT COUNT(DISTINCT metric_name) FROM dba.stats"}`)
		if code == http.StatusOK && strings.Contains(body, fmt.Sprintf(`"rows":[["%d"]]`, len(sampled))) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %d %s", code, body)
		}
	}
}
