package e2e

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/config"
	"kalamdb/internal/disk"
	"kalamdb/internal/server"
)

// targetSecret signs the tokens of tests, forged ones too.
const targetSecret = "the tests of bad input mint their own tokens"

// target is a whole server in this process, with tables that bad input must
// not change.
type target struct {
	url     string // of HTTP
	address string // host:port
	client  *http.Client
	held    string // what the tables held when the test began
}

// newTarget starts a server and fills it.
func newTarget(t *testing.T, change func(*config.Options)) *target {
	t.Helper()
	x := openTarget(t, change)
	x.fill(t)
	return x
}

// openTarget starts an empty server, and stops it with the test. change may
// adjust the configuration.
func openTarget(t *testing.T, change func(*config.Options)) *target {
	t.Helper()
	o := config.Defaults()
	o.Server.Port = 0
	o.Server.ShutdownGrace = time.Second
	o.Storage.DataPath = "data"
	o.Storage.Reserve = 0
	o.Auth.JWTSecret = targetSecret
	o.Auth.RootPassword = "Hostile-root-1"
	o.Auth.BcryptCost = 4
	o.RateLimit.MaxQueries = 1 << 20
	o.RateLimit.MaxAuthRequestsPerIP = 1 << 20
	o.Logging.LogToConsole = false
	o.Logging.LogsPath = t.TempDir()
	if change != nil {
		change(&o)
	}
	s, err := server.Open(server.Options{
		Config: o, FS: disk.NewMem(), Version: "hostile",
		Fatal: func(format string, args ...any) { panic(fmt.Sprintf(format, args...)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	x := &target{url: s.URL(), address: strings.TrimPrefix(s.URL(), "http://"), client: httpClient()}
	t.Cleanup(func() {
		x.client.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	if err := answers(x.url + "/health"); err != nil {
		t.Fatal(err)
	}
	return x
}

// httpClient has connections of its own.
func httpClient() *http.Client { return &http.Client{Transport: &http.Transport{}} }

// fill makes accounts and tables.
func (x *target) fill(t *testing.T) {
	t.Helper()
	for _, s := range []string{
		"CREATE NAMESPACE app",
		"CREATE USER 'alice' WITH PASSWORD 'Alice-secret-1' ROLE user",
		"CREATE USER 'bob' WITH PASSWORD 'Bobby-secret-1' ROLE user",
		"CREATE USER 'serve' WITH PASSWORD 'Serve-secret-1' ROLE service",
		"CREATE USER 'chief' WITH PASSWORD 'Chief-secret-1' ROLE dba",
		"CREATE USER 'gone' WITH PASSWORD 'Gones-secret-1' ROLE user",
		"DROP USER 'gone'",
		"CREATE SHARED TABLE app.open (id BIGINT PRIMARY KEY, n INT, small SMALLINT, d DOUBLE, m DECIMAL(10,2), s TEXT NOT NULL DEFAULT 'x', ts TIMESTAMP, j JSON, b BOOLEAN) WITH (ACCESS_LEVEL='public')",
		"CREATE SHARED TABLE app.shut (id BIGINT PRIMARY KEY, s TEXT) WITH (ACCESS_LEVEL='private')",
		"CREATE USER TABLE app.mine (id BIGINT PRIMARY KEY, s TEXT)",
		"CREATE STREAM TABLE app.flow (id BIGINT PRIMARY KEY, s TEXT) WITH (TTL_SECONDS=3600)",
		"INSERT INTO app.open (id, n, d, s) VALUES (1, 1, 1.5, 'one'), (2, 2, 2.5, 'two')",
		"INSERT INTO app.shut (id, s) VALUES (1, 'secret')",
		"INSERT INTO app.flow (id, s) VALUES (1, 'event')",
	} {
		x.must(t, "root", s)
	}
	x.must(t, "alice", "INSERT INTO app.mine (id, s) VALUES (1, 'of alice')")
	x.held = x.holds(t)
}

// holds describes everything that bad input could have changed. A row that was
// written again shows in its _seq.
func (x *target) holds(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, q := range []struct{ as, sql string }{
		{"root", "SELECT COUNT(*), SUM(id), MAX(_seq) FROM app.open"},
		{"root", "SELECT COUNT(*), SUM(id), MAX(_seq) FROM app.shut"},
		{"root", "SELECT COUNT(*) FROM app.mine"},
		{"alice", "SELECT COUNT(*), SUM(id), MAX(_seq) FROM app.mine"},
		{"root", "SELECT COUNT(*), MAX(_seq) FROM app.flow"},
		{"root", "SELECT namespace_id, table_name, schema_version FROM system.schemas ORDER BY 1, 2, 3"},
		{"root", "SELECT name FROM system.namespaces ORDER BY 1"},
		{"root", "SELECT user_id, role, deleted_at FROM system.users ORDER BY 1"},
		{"root", "SELECT storage_id FROM system.storages ORDER BY 1"},
	} {
		fmt.Fprintf(&all, "%s\n", x.must(t, q.as, q.sql).Results)
	}
	return all.String()
}

// unharmed reports whether the server answers and holds what it held.
func (x *target) unharmed(t *testing.T) {
	t.Helper()
	if now := x.holds(t); now != x.held {
		t.Errorf("the tables have changed:\n%s\nwere\n%s", now, x.held)
		x.held = now
	}
}

// roles of the accounts.
var roles = map[string]string{"root": "system", "chief": "dba", "serve": "service", "alice": "user", "bob": "user", "gone": "user"}

// claims are those of a good access token.
func claims(user string) map[string]any {
	now := time.Now()
	return map[string]any{"sub": user, "iss": "kalamdb", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "email": nil, "role": roles[user], "token_type": "access"}
}

// token mints a good one.
func token(user string) string { return mint("HS256", targetSecret, claims(user)) }

// with returns claims with some replaced; a nil value takes one away.
func with(c map[string]any, changes map[string]any) map[string]any {
	c = maps.Clone(c)
	for k, v := range changes {
		c[k] = v
		if v == nil {
			delete(c, k)
		}
	}
	return c
}

// mint makes a token as it is told; an unknown algorithm signs nothing.
func mint(algorithm, secret string, claims map[string]any) string {
	head, _ := json.Marshal(map[string]string{"alg": algorithm, "typ": "JWT"})
	body, _ := json.Marshal(claims)
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	sums := map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}
	sum, ok := sums[algorithm]
	if !ok {
		return text + "."
	}
	mac := hmac.New(sum, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// envelope is an answer of the SQL route.
type envelope struct {
	Status  string            `json:"status"`
	Results []json.RawMessage `json:"results"`
	Took    float64           `json:"took"`
	Error   *struct {
		Code    string  `json:"code"`
		Message string  `json:"message"`
		Details *string `json:"details"`
	} `json:"error"`
	status int
}

// String shows results as text.
func (e *envelope) String() string {
	return fmt.Sprintf("%d %s %s %v", e.status, e.Status, bytes.Join(func() (all [][]byte) {
		for _, r := range e.Results {
			all = append(all, r)
		}
		return all
	}(), []byte(",")), e.Error)
}

// rows of the only result.
func (e *envelope) rows(t *testing.T) [][]any {
	t.Helper()
	var r struct {
		Rows [][]any `json:"rows"`
	}
	if len(e.Results) != 1 {
		t.Fatalf("the answer has %d results", len(e.Results))
	}
	if err := json.Unmarshal(e.Results[0], &r); err != nil {
		t.Fatal(err)
	}
	return r.Rows
}

// must runs a statement that must succeed.
func (x *target) must(t *testing.T, user, sql string, params ...any) *envelope {
	t.Helper()
	body := map[string]any{"sql": sql}
	if params != nil {
		body["params"] = params
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	e := x.post(t, "Bearer "+token(user), text)
	if e.status != http.StatusOK || e.Status != "success" {
		t.Fatalf("%.200s: %.2000s", sql, e)
	}
	return e
}

// post sends a body to the SQL route and reads the envelope.
func (x *target) post(t *testing.T, authorization string, body []byte, header ...string) *envelope {
	t.Helper()
	if authorization != "" {
		header = append([]string{"Authorization", authorization}, header...)
	}
	response, text := x.send(t, http.MethodPost, "/v1/api/sql", bytes.NewReader(body), header...)
	e := &envelope{status: response.StatusCode}
	if err := json.Unmarshal(text, e); err != nil {
		t.Fatalf("answer %d %.500q: %v", response.StatusCode, text, err)
	}
	if e.Results == nil || e.Took <= 0 || (e.Error != nil) != (e.Status == "error") {
		t.Errorf("the envelope is not one: %.500s", text)
	}
	return e
}

// dial opens a bare connection that ends with the test.
func (x *target) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", x.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(startBound)); err != nil {
		t.Fatal(err)
	}
	return c
}
