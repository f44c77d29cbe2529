package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/config"
)

// send sends a JSON body, and headers by name and value, and reads the whole
// answer.
func (x *target) send(t *testing.T, method, path string, body io.Reader, header ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequest(method, x.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := x.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, text
}

// ask sends a request and returns the status, the members of the answer and its
// cookies.
func (x *target) ask(t *testing.T, method, path, body string, header ...string) (int, map[string]any, []*http.Cookie) {
	t.Helper()
	answer, text := x.send(t, method, path, strings.NewReader(body), header...)
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatalf("%s %s: %d %q: %v", method, path, answer.StatusCode, text, err)
	}
	return answer.StatusCode, members, answer.Cookies()
}

func has(t *testing.T, what string, members map[string]any, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, ok := members[n]; !ok {
			t.Errorf("%s lacks %s: %v", what, n, members)
		}
	}
}

// TestClientLogin is the way of a client from a password to an answer.
func TestClientLogin(t *testing.T) {
	x := newTarget(t, nil)
	status, login, cookies := x.ask(t, "POST", "/v1/api/auth/login", `{"user":"chief","password":"Chief-secret-1"}`)
	if status != http.StatusOK {
		t.Fatal(status, login)
	}
	has(t, "login", login, "user", "admin_ui_access", "expires_at", "access_token", "refresh_token", "refresh_expires_at")
	user, _ := login["user"].(map[string]any)
	has(t, "user", user, "id", "role", "email", "created_at", "updated_at")
	if user["id"] != "chief" || user["role"] != "dba" || user["email"] != nil || login["admin_ui_access"] != true {
		t.Errorf("%v", login)
	}
	for _, name := range []string{"expires_at", "refresh_expires_at"} {
		if _, err := time.Parse(time.RFC3339, fmt.Sprint(login[name])); err != nil {
			t.Error(err)
		}
	}
	if len(cookies) != 2 || cookies[0].Name != "kalamdb_auth" || cookies[1].Name != "kalamdb_refresh" {
		t.Fatalf("%v", cookies)
	}
	for _, c := range cookies {
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure || !c.Expires.After(time.Now()) {
			t.Errorf("cookie %v", c)
		}
	}
	bearer := "Bearer " + fmt.Sprint(login["access_token"])
	if e := x.post(t, bearer, []byte(`{"sql":"SELECT 1"}`)); e.status != http.StatusOK {
		t.Error(e)
	}
	for _, c := range []struct {
		method, path string
		header       []string
		status       int
		member       string
		is           any
	}{
		{"GET", "/v1/api/auth/me", []string{"Authorization", bearer}, 200, "admin_ui_access", true},
		{"GET", "/v1/api/auth/me", []string{"Cookie", "kalamdb_auth=" + cookies[0].Value}, 200, "admin_ui_access", true},
		{"GET", "/v1/api/auth/me", nil, 401, "message", "No auth token found"},
		{"GET", "/v1/api/auth/me", []string{"Authorization", "Basic YTpi"}, 401, "message", "Authorization header must use Bearer token"},
		{"POST", "/v1/api/auth/refresh", []string{"Cookie", "kalamdb_refresh=" + cookies[1].Value}, 200, "admin_ui_access", true},
		{"POST", "/v1/api/auth/refresh", []string{"Authorization", "Bearer " + fmt.Sprint(login["refresh_token"])}, 200, "admin_ui_access", true},
		{"POST", "/v1/api/auth/refresh", []string{"Authorization", bearer}, 401, "error", "unauthorized"},
		{"POST", "/v1/api/auth/refresh", []string{"Authorization", "Basic YTpi"}, 401, "error", "unauthorized"},
		{"POST", "/v1/api/auth/logout", nil, 200, "message", "Logged out successfully"},
		{"POST", "/v1/api/sql", []string{"Authorization", "Basic YTpi"}, 401, "status", "error"},
		{"GET", "/v1/api/auth/status", nil, 200, "needs_setup", false},
		{"GET", "/health", nil, 200, "status", "healthy"},
		{"GET", "/v1/api/healthcheck", nil, 200, "api_version", "v1"},
		{"GET", "/v1/api/cluster/health", nil, 200, "is_leader", true},
		{"GET", "/health", []string{"X-Forwarded-For", "203.0.113.9"}, 403, "error", "Access denied. Health endpoint is localhost-only."},
		{"GET", "/v1/api/cluster/health", []string{"X-Forwarded-For", "203.0.113.9"}, 403, "error", "Access denied. Cluster health is localhost-only."},
		{"GET", "/v1/api/auth/status", []string{"X-Forwarded-For", "203.0.113.9"}, 403, "message", "Setup status can only be checked from localhost"},
		{"POST", "/v1/api/auth/setup", []string{"X-Forwarded-For", "203.0.113.9"}, 403, "message", "Server setup can only be performed from localhost"},
	} {
		if status, members, _ := x.ask(t, c.method, c.path, "{}", c.header...); status != c.status || members[c.member] != c.is {
			t.Errorf("%s %s %.60q: %d %v, want %d with %s %v", c.method, c.path, c.header, status, members, c.status, c.member, c.is)
		}
	}
	_, cluster, _ := x.ask(t, "GET", "/v1/api/cluster/health", "")
	has(t, "cluster health", cluster, "status", "version", "build_date", "is_cluster_mode", "cluster_id", "node_id", "is_leader", "total_groups", "groups_leading",
		"current_term", "last_applied", "millis_since_quorum_ack", "nodes")
	if cluster["total_groups"] != cluster["groups_leading"] {
		t.Errorf("%v", cluster)
	}
	nodes, _ := cluster["nodes"].([]any)
	if len(nodes) != 1 {
		t.Fatalf("%v", cluster)
	}
	self, _ := nodes[0].(map[string]any)
	has(t, "node", self, "memory_usage_mb", "cpu_usage_percent", "uptime_seconds", "uptime_human")
}

// TestClientSetup takes a server without a password of root into use.
func TestClientSetup(t *testing.T) {
	x := openTarget(t, func(o *config.Options) { o.Auth.RootPassword = "" })
	remote := []string{"X-Forwarded-For", "203.0.113.9"}
	f := func(path, body string, header []string, status int, code string) {
		t.Helper()
		got, members, _ := x.ask(t, "POST", "/v1/api/auth/"+path, body, header...)
		if got != status || code != "" && members["error"] != code {
			t.Errorf("%s %s %v: %d %v, want %d %s", path, body, header, got, members, status, code)
		}
	}
	probe := `{"user":"root","password":""}`
	f("login", probe, nil, 428, "setup_required")
	f("login", probe, remote, 428, "setup_required")
	f("login", `{"user":"root","password":"guess"}`, nil, 401, "unauthorized")
	f("login", `{"user":"root","password":"guess"}`, remote, 403, "forbidden")
	if _, members, _ := x.ask(t, "GET", "/v1/api/auth/status", ""); members["needs_setup"] != true {
		t.Errorf("%v", members)
	}
	f("setup", `{"user":"admin","password":"password","root_password":"Root-secret-1"}`, nil, 400, "weak_password")
	f("setup", `{"user":"admin","password":"Admin-secret-1","root_password":"short"}`, nil, 400, "weak_password")
	f("setup", `{"user":"root","password":"Admin-secret-1","root_password":"Root-secret-1"}`, nil, 400, "invalid_user")
	f("setup", `{"user":"../up","password":"Admin-secret-1","root_password":"Root-secret-1"}`, nil, 400, "invalid_user")
	f("login", probe, nil, 428, "setup_required") // nothing of these was done
	f("setup", `{"username":"admin","password":"Admin-secret-1","root_password":"Root-secret-1","email":"a@b.c"}`, nil, 200, "")
	f("setup", `{"user":"another","password":"Admin-secret-1","root_password":"Root-secret-1"}`, nil, 409, "already_configured")
	f("login", probe, nil, 401, "unauthorized")
	f("login", `{"user":"admin","password":"Admin-secret-1"}`, remote, 200, "")
	f("login", `{"user":"root","password":"Root-secret-1"}`, remote, 200, "")
}

// TestSubscribeTo sends over a WebSocket what SUBSCRIBE TO has answered over HTTP.
func TestSubscribeTo(t *testing.T) {
	x := newTarget(t, nil)
	x.must(t, "alice", "DELETE FROM app.mine WHERE id > 0")
	x.must(t, "alice", "INSERT INTO app.mine (id, s) VALUES (1, 'x'), (2, 'y')")
	row := x.must(t, "alice", "SUBSCRIBE TO app.mine WHERE s = 'x' OPTIONS (batch_size = 10)").rows(t)[0]
	if address, _ := row[1].(string); address != "ws"+strings.TrimPrefix(x.url, "http")+"/v1/ws" {
		t.Errorf("ws_url is %v, the server is at %s", row[1], x.url)
	}
	subscription, err := json.Marshal(row[2])
	if err != nil {
		t.Fatal(err)
	}
	w := x.upgrade(t, "alice", "")
	w.say(t, `{"type":"subscribe","subscription":`+string(subscription)+`}`)
	if m := w.message(t); m.Type != "subscription_ack" {
		t.Fatalf("received %+v", m)
	}
	if m := w.message(t); len(m.Rows) != 1 || m.Rows[0]["id"] != "1" {
		t.Errorf("the snapshot is %+v", m.Rows)
	}
}

// TestClientSubscription is what clients rely on from the upgrade to the end of
// a subscription.
func TestClientSubscription(t *testing.T) {
	x := newTarget(t, nil)
	sockets := make([]*wire, 8)
	for i := range sockets {
		sockets[i] = x.upgrade(t, "alice", "?serialization=json")
	}
	w := sockets[0]
	x.must(t, "alice", "DELETE FROM app.mine WHERE id > 0")
	w.say(t, `{"type":"subscribe","subscription":{"id":"empty","sql":"SELECT * FROM app.mine -- all of them","options":{}}}`)
	if m := w.message(t); m.Type != "subscription_ack" || m.BatchControl.Number != 0 || m.BatchControl.HasMore || m.BatchControl.Status != "ready" || len(m.Schema) != 4 {
		t.Errorf("ack of an empty table: %+v", m)
	}
	if m := w.message(t); m.Type != "initial_data_batch" || len(m.Rows) != 0 || m.BatchControl.Status != "ready" {
		t.Errorf("batch of an empty table: %+v", m)
	}
	live := x.must(t, "root", "SELECT subscription_id, user_id, query FROM system.live").rows(t)
	if want := []any{"empty", "alice", "SELECT * FROM app.mine -- all of them"}; len(live) != 1 || !slices.Equal(live[0], want) {
		t.Errorf("system.live: %v, want %v", live, want)
	}
	start := time.Now()
	for id := range 12 {
		x.must(t, "alice", "INSERT INTO app.mine (id, s) VALUES ($1, 'x')", id)
	}
	for id := range 12 {
		if m := w.message(t); m.Change != "insert" || len(m.Rows) != 1 || m.Rows[0]["id"] != fmt.Sprint(id) || m.Rows[0]["_deleted"] != false || m.Rows[0]["_seq"] == nil {
			t.Fatalf("insert %d: %+v", id, m)
		}
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("12 inserts arrived after %s", took)
	}
	w.say(t, `{"type":"unsubscribe","subscription_id":"empty"}`)
	x.eventually(t, "the row in system.live goes", func() bool {
		return len(x.must(t, "root", "SELECT * FROM system.live").rows(t)) == 0
	})

	// Pages of five, by next_batch; a row changed meanwhile comes as an update.
	w.say(t, `{"type":"subscribe","subscription":{"id":"pages","sql":"SELECT s FROM app.mine","options":{"batch_size":5,"auto_fetch_batches":true,"version_domain":{}}}}`)
	if m := w.message(t); m.Type != "subscription_ack" || !m.BatchControl.HasMore || m.BatchControl.Status != "loading" {
		t.Errorf("ack: %+v", m)
	}
	x.must(t, "alice", "UPDATE app.mine SET s = 'y' WHERE id = 11")
	seen := 0
	for number, status := range []string{"loading", "loading_batch", "ready"} {
		m := w.message(t)
		if m.Type != "initial_data_batch" || m.BatchControl.Number != number || m.BatchControl.Status != status || m.BatchControl.HasMore == (status == "ready") {
			t.Fatalf("batch %d: %+v", number, m)
		}
		seen += len(m.Rows)
		for _, r := range m.Rows {
			if len(r) != 2 || r["_seq"] == nil || r["s"] == nil {
				t.Errorf("more than was asked for: %v", r)
			}
		}
		if m.BatchControl.HasMore {
			w.say(t, fmt.Sprintf(`{"type":"next_batch","subscription_id":"pages","last_seq_id":%s}`, m.BatchControl.LastSeq))
		}
	}
	if m := w.message(t); m.Change != "update" || m.Rows[0]["s"] != "y" || m.Rows[0]["id"] != "11" || seen != 11 && seen != 12 {
		t.Errorf("after %d rows: %+v", seen, m)
	}

	// A socket authenticates by a message without protocol, as the first that
	// were written for the newer documentation do.
	late := x.upgrade(t, "", "?compress=false")
	late.say(t, `{"type":"authenticate","method":"jwt","token":"`+token("bob")+`"}`)
	if text := late.want(t, frameText); text != `{"type":"auth_success","user":"bob","role":"user","protocol":{"serialization":"json","compression":"none"}}` {
		t.Error(text)
	}
	for _, s := range sockets {
		_ = s.c.Close()
	}
	x.eventually(t, "the rows of closed sockets go", func() bool {
		return len(x.must(t, "root", "SELECT * FROM system.live").rows(t)) == 0
	})
}
