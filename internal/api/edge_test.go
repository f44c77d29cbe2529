package api

import (
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

func TestClientAddress(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f := func(peer, forwarded, real, want string, local bool) {
		t.Helper()
		got := clientOf(&net.TCPAddr{IP: net.ParseIP(peer)}, []byte(forwarded), []byte(real), proxies)
		if got != (auth.Client{IP: want, Local: local}) {
			t.Errorf("peer %s, forwarded %q, real %q: %+v, want %s %v", peer, forwarded, real, got, want, local)
		}
	}
	f("127.0.0.1", "", "", "127.0.0.1", true)
	f("::1", "", "", "::1", true)
	f("::ffff:127.0.0.1", "", "", "127.0.0.1", true)
	f("192.0.2.1", "", "", "192.0.2.1", false)
	// Only loopback and trusted proxies may forward.
	f("192.0.2.1", "198.51.100.7", "", "192.0.2.1", false)
	f("192.0.2.1", "127.0.0.1", "", "192.0.2.1", false)
	f("10.1.2.3", "198.51.100.7, 10.1.2.3", "", "198.51.100.7", false)
	f("10.1.2.3", "", "198.51.100.7", "198.51.100.7", false)
	f("127.0.0.1", "198.51.100.7", "198.51.100.8", "198.51.100.7", false)
	f("127.0.0.1", "198.51.100.7:4711", "", "198.51.100.7", false)
	f("127.0.0.1", "[2001:db8::1]:4711", "", "2001:db8::1", false)
	f("127.0.0.1", "unknown", "", "unknown", false)
	// Whoever claims to be here is taken for the peer.
	f("10.1.2.3", "127.0.0.1", "", "10.1.2.3", false)
	f("10.1.2.3", "localhost", "", "10.1.2.3", false)
	f("127.0.0.1", "127.0.0.1", "", "127.0.0.1", true)
	// A client behind a proxy on this machine cannot claim it either.
	f("127.0.0.1", "127.0.0.1, 198.51.100.7", "", "198.51.100.7", false)
	f("127.0.0.1", "::1, 198.51.100.7, 198.51.100.8", "", "198.51.100.8", false)
	f("127.0.0.1", strings.Repeat("x", 1000), "", strings.Repeat("x", 64), false)
}

// request runs a gate or cors step on a request made by hand.
func request(method, peer string, headers ...string) *fasthttp.RequestCtx {
	var r fasthttp.Request
	r.Header.SetMethod(method)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	ctx := &fasthttp.RequestCtx{}
	ctx.Init(&r, &net.TCPAddr{IP: net.ParseIP(peer)}, nil)
	return ctx
}

func TestGate(t *testing.T) {
	now := time.Unix(1000, 0)
	g := newGate(Protection{RequestsPerSecond: 2}.withDefaults(), nil, 3, 0, func() time.Time { return now })
	f := func(ip string, status int, words string) {
		t.Helper()
		ctx := request("GET", ip)
		if g.admit(ctx, auth.Client{IP: ip, Local: ip == "127.0.0.1"}, 10<<20, now) != (status == 200) {
			t.Errorf("%s: admitted is wrong", ip)
		}
		if ctx.Response.StatusCode() != status || !strings.Contains(string(ctx.Response.Body()), words) {
			t.Errorf("%s: %d %s", ip, ctx.Response.StatusCode(), ctx.Response.Body())
		}
	}
	f("192.0.2.1", 200, "")
	f("192.0.2.1", 200, "")
	for range 9 {
		f("192.0.2.1", 429, `{"error":"RATE_LIMIT_EXCEEDED","message":"Too many requests from your IP address","retry_after_seconds":1}`)
	}
	f("192.0.2.1", 429, `{"error":"IP_BANNED","message":"Your IP has been temporarily banned due to excessive requests","retry_after_seconds":300}`)
	now = now.Add(299 * time.Second)
	f("192.0.2.1", 429, "IP_BANNED")
	f("192.0.2.2", 200, "")
	for range 100 {
		f("127.0.0.1", 200, "")
	}
	now = now.Add(2 * time.Second)
	f("192.0.2.1", 200, "")
	f("192.0.2.1", 200, "")
	f("192.0.2.1", 429, "IP_BANNED") // the eleventh violation

	for range 100 {
		g.offend(string(rune('a'+len(g.mu.offenders))), now)
	}
	if len(g.mu.offenders) > 3 {
		t.Errorf("%d offenders are remembered", len(g.mu.offenders))
	}
}

func TestGateBody(t *testing.T) {
	g := newGate(Protection{MaxBody: 100}.withDefaults(), nil, 0, 0, time.Now)
	ctx := request("POST", "127.0.0.1", "Content-Length", "101")
	if g.admit(ctx, auth.Client{IP: "127.0.0.1", Local: true}, g.o.MaxBody, time.Now()) {
		t.Error("a body that is too large is admitted")
	}
	want := `{"error":"BODY_TOO_LARGE","message":"Request body exceeds maximum allowed size","size_bytes":101,"max_bytes":100}`
	if ctx.Response.StatusCode() != 413 || string(ctx.Response.Body()) != want {
		t.Errorf("%d %s", ctx.Response.StatusCode(), ctx.Response.Body())
	}
}

func TestGateConnections(t *testing.T) {
	g := newGate(Protection{Connections: 2}.withDefaults(), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, 0, 0, time.Now)
	open := func(ip string) net.Conn {
		c := &conn{remote: &net.TCPAddr{IP: net.ParseIP(ip)}}
		g.connection(c, fasthttp.StateNew)
		return c
	}
	f := func(ip string, ok bool) {
		t.Helper()
		ctx := request("GET", ip)
		if got := g.admit(ctx, auth.Client{IP: ip}, g.o.MaxBody, time.Now()); got != ok {
			t.Errorf("%s: %v %s", ip, got, ctx.Response.Body())
		}
	}
	first := open("192.0.2.1")
	for range 2 {
		open("192.0.2.1")
		open("10.0.0.1")
		open("10.0.0.1")
	}
	f("192.0.2.1", false)
	f("192.0.2.2", true)
	f("10.0.0.1", true)
	g.connection(first, fasthttp.StateClosed)
	g.connection(first, fasthttp.StateClosed)
	f("192.0.2.1", true)
	if now, peak := g.open(); now != 6 || peak != 7 {
		t.Errorf("%d connections are open, at most %d", now, peak)
	}
	// A connection that is handed over counts until it is given up.
	handed, left := open("192.0.2.5"), open("192.0.2.5")
	release := g.hold(handed)
	g.hold(left)
	g.connection(handed, fasthttp.StateHijacked)
	third := open("192.0.2.5")
	f("192.0.2.5", false)
	release()
	release()
	f("192.0.2.5", true)
	g.connection(left, fasthttp.StateClosed)
	if n := g.connectionsOf(netip.MustParseAddr("192.0.2.5")); n != 1 {
		t.Errorf("%d connections are counted, want 1", n)
	}
	early := open("192.0.2.5") // closed by its owner before it is known to be handed over
	g.hold(early)()
	g.connection(early, fasthttp.StateHijacked)
	if n := g.connectionsOf(netip.MustParseAddr("192.0.2.5")); n != 1 {
		t.Errorf("%d connections are counted, want 1", n)
	}
	g.hold(&conn{})()
	g.connection(third, fasthttp.StateClosed)
	g.connection(open("192.0.2.9"), fasthttp.StateActive)
	if n := g.closeAll(true); n != 6 {
		t.Errorf("%d connections were idle", n)
	}
	if n := g.closeAll(false); n != 7 {
		t.Errorf("%d connections were cut", n)
	}
}

// conn is a connection that knows where it comes from.
type conn struct {
	net.Conn
	remote net.Addr
}

func (c *conn) RemoteAddr() net.Addr { return c.remote }
func (c *conn) Close() error         { return nil }

func TestCORS(t *testing.T) {
	f := func(o CORS, method, origin, asked string, answered bool, want string) {
		t.Helper()
		ctx := request(method, "127.0.0.1", "Origin", origin, "Access-Control-Request-Method", asked,
			"Access-Control-Request-Headers", "X-Own")
		if asked == "" {
			ctx.Request.Header.Del("Access-Control-Request-Method")
		}
		c := newCORS(o)
		if c.answer(ctx) != answered {
			t.Errorf("%s from %s: answered is wrong", method, origin)
		}
		var got []string
		for k, v := range ctx.Response.Header.All() {
			if name := string(k); strings.HasPrefix(name, "Access-Control-") {
				got = append(got, strings.TrimPrefix(name, "Access-Control-")+"="+string(v))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s from %s:\ngot  %s\nwant %s", method, origin, strings.Join(got, " "), want)
		}
	}
	f(CORS{}, "POST", "https://a", "", false, "Allow-Origin=*")
	f(CORS{Origins: []string{"*"}}, "POST", "https://a", "", false, "Allow-Origin=*")
	f(CORS{Credentials: true}, "POST", "https://a", "", false, "Allow-Origin=https://a Allow-Credentials=true")
	own := CORS{Origins: []string{"https://a"}, Expose: []string{"X-A", "X-B"}, MaxAge: time.Hour}
	f(own, "GET", "https://a", "", false, "Allow-Origin=https://a Expose-Headers=X-A, X-B")
	f(own, "GET", "https://b", "", false, "")
	f(own, "OPTIONS", "https://b", "POST", true, "")
	f(own, "OPTIONS", "https://a", "", false, "Allow-Origin=https://a Expose-Headers=X-A, X-B")
	f(own, "OPTIONS", "https://a", "POST", true, "Allow-Origin=https://a Expose-Headers=X-A, X-B "+
		"Allow-Methods=GET, POST, PUT, DELETE, PATCH, OPTIONS "+
		"Allow-Headers=Authorization, Content-Type, Accept, Origin, X-Requested-With Max-Age=3600")
	f(CORS{Headers: []string{"*"}, Methods: []string{"POST"}}, "OPTIONS", "https://a", "POST", true,
		"Allow-Origin=* Allow-Methods=POST Allow-Headers=X-Own")
}

func TestDecodeJSON(t *testing.T) {
	f := func(body, sql, namespace string, params string, code fault.Code, words string) {
		t.Helper()
		q := &sqlRequest{}
		err := q.decodeJSON([]byte(body))
		if err == nil {
			err = q.checkNamespace()
		}
		if err == nil {
			err = q.convertParams()
		}
		if code != "" {
			if !fault.Is(err, code) || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: got %v, want %s %s", body, err, code, words)
			}
			return
		}
		var got []string
		for _, p := range q.params {
			got = append(got, p.Kind().String()+" "+p.String())
		}
		if err != nil || q.sql != sql || q.namespace != namespace || strings.Join(got, ", ") != params {
			t.Errorf("%s: %q %q %q, %v", body, q.sql, q.namespace, strings.Join(got, ", "), err)
		}
	}
	f(`{"sql":"SELECT 1"}`, "SELECT 1", "", "", "", "")
	f(" {\n\"other\" : {\"sql\":[1,\"}\"]} ,\t\"sql\" : \"a\\nb\\u00e9\" , \"x\":-1.5e3,\"y\":[ ] }\n", "a\nbé", "", "", "", "")
	f(`{"sql":"","params":null,"namespace_id":null}`, "", "", "", "", "")
	f(`{"sql":"s","namespace_id":"App"}`, "s", "app", "", "", "")
	f(`{"params":[null,true,false,"t\"x",1,-9223372036854775808,9007199254740993,2.0,1e3,9223372036854775808],"sql":"s"}`,
		"s", "", `NULL NULL, BOOLEAN true, BOOLEAN false, TEXT t"x, BIGINT 1, BIGINT -9223372036854775808, `+
			`BIGINT 9007199254740993, DOUBLE 2.0, DOUBLE 1000.0, DOUBLE 9223372036854776000.0`, "", "")
	f(`{"sql":"s","params":[]}`, "s", "", "", "", "")
	f(``, "", "", "", fault.InvalidInput, "empty")
	f(` `, "", "", "", fault.InvalidInput, "empty")
	f(`{"sql":`, "", "", "", fault.InvalidInput, "Invalid JSON payload: unexpected end")
	f(`{"sql":"a"} x`, "", "", "", fault.InvalidInput, "Invalid JSON payload")
	f("{\"sql\":\"\xff\"}", "", "", "", fault.InvalidInput, "UTF-8")
	f(`[]`, "", "", "", fault.InvalidInput, "not an object")
	f(`"sql"`, "", "", "", fault.InvalidInput, "not an object")
	f(`{}`, "", "", "", fault.InvalidInput, "missing field sql")
	f(`{"sql":1}`, "", "", "", fault.InvalidInput, "sql must be a string")
	f(`{"sql":null}`, "", "", "", fault.InvalidInput, "sql must be a string")
	f(`{"sql":"s","params":{}}`, "", "", "", fault.InvalidInput, "params must be an array")
	f(`{"sql":"s","namespace_id":1}`, "", "", "", fault.InvalidInput, "namespace_id must be a string")
	f(`{"sql":"s","namespace_id":""}`, "", "", "", fault.InvalidInput, "empty")
	f(`{"sql":"s","namespace_id":"a..b"}`, "", "", "", fault.InvalidInput, "must not contain")
	f(`{"sql":"s","namespace_id":"a/b"}`, "", "", "", fault.InvalidInput, "must not contain")
	f(`{"sql":"s","namespace_id":"a\\b"}`, "", "", "", fault.InvalidInput, "must not contain")
	f(`{"sql":"s","namespace_id":"a\u0000b"}`, "", "", "", fault.InvalidInput, "must not contain")
	f(`{"sql":"s","params":[1,[2],{}]}`, "", "", "", fault.InvalidParameter, "Parameter $2 invalid: ")
	f(`{"sql":"s","params":[{"a":[1,2]}]}`, "", "", "", fault.InvalidParameter, "not yet supported")
	f(`{"sql":"s","params":[1e400]}`, "", "", "", fault.InvalidParameter, "Parameter $1 invalid: the number is out of range")
	f(`{"sql":"a","sql":"b"}`, "", "", "", fault.InvalidInput, "sql is given twice")
	f(`{"sql":"a","params":null,"params":[1]}`, "", "", "", fault.InvalidInput, "params is given twice")
	f(`{"sql":"a","namespace_id":"a","namespace_id":"b"}`, "", "", "", fault.InvalidInput, "namespace_id is given twice")
	f(`{"sql":"\\ud800 \ud83c\udf75 \u00e9"}`, `\ud800 🍵 é`, "", "", "", "")
	f(`{"sql":"\ud83c"}`, "", "", "", fault.InvalidInput, "surrogate")
	f(`{"sql":"\ud83c\ud83c"}`, "", "", "", fault.InvalidInput, "surrogate")
	f(`{"sql":"\ud83c\n"}`, "", "", "", fault.InvalidInput, "surrogate")
	f(`{"sql":"\udf75"}`, "", "", "", fault.InvalidInput, "surrogate")
}

// FuzzDecodeJSON: whatever the body is, the reader does not panic, and what it
// takes is what the standard library reads.
func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(`{"sql":"a","params":[1,"x",null,{"a":[]}],"namespace_id":"n"}`))
	f.Add([]byte(`{"a":{"b":[{},[],"\""]},"sql":"\\\""}`))
	f.Add([]byte(`{"s\u0071l":"\ud83c\udf75 \u0000","params":[-1.5e3,true,9223372036854775808]}`))
	f.Add([]byte("\ufeff{\"sql\":\"é\"}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		q := &sqlRequest{}
		if q.decodeJSON(body) != nil {
			return
		}
		_ = q.convertParams()
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatalf("%s was taken, but: %v", body, err)
		}
		var sql, namespace string
		if err := json.Unmarshal(members["sql"], &sql); err != nil || sql != q.sql {
			t.Fatalf("%s: sql is %q, want %q, %v", body, q.sql, sql, err)
		}
		if raw := members["namespace_id"]; raw != nil {
			if err := json.Unmarshal(raw, &namespace); err != nil || namespace != q.namespace {
				t.Fatalf("%s: namespace_id is %q, want %q, %v", body, q.namespace, namespace, err)
			}
		}
	})
}

// Every fault has a row, and what is not for everybody has public words.
func TestWires(t *testing.T) {
	for _, code := range fault.Codes() {
		w, ok := wires[code]
		if !ok || w.status < 400 || w.code == "" || w.socket == "" {
			t.Errorf("%s: %+v", code, w)
		}
		if !code.Info().Shown && publicWords[w.code] == "" {
			t.Errorf("%s is hidden, and %s has no public words", code, w.code)
		}
	}
	if len(wires) != len(fault.Codes()) {
		t.Error("there are rows for codes that do not exist")
	}
}

func TestReports(t *testing.T) {
	f := func(err error, sql string, admin bool, want string) {
		t.Helper()
		r := reportOf(err, sql, admin, "r1")
		got := strings.Join([]string{r.code, r.message, r.details, r.retry}, "|")
		if got != want {
			t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
		}
	}
	missing := fault.New(fault.TableNotFound, "table app.t does not exist")
	f(missing, "SELECT 1", false, "SQL_EXECUTION_ERROR|SQL statement failed||")
	f(missing, "SELECT 1", true, "SQL_EXECUTION_ERROR|Table not found: table app.t does not exist|SELECT 1|")
	f(fault.InStatement(missing, 2, "SELECT 2"), "SELECT 1; SELECT 2", true,
		"SQL_EXECUTION_ERROR|Statement 2 failed: Table not found: table app.t does not exist|SELECT 2|")
	f(fault.InStatement(missing, 2, "SELECT 2"), "SELECT 1; SELECT 2", false, "SQL_EXECUTION_ERROR|SQL statement failed||")
	f(fault.New(fault.DuplicateKey, "(1) exists"), "", false, "SQL_EXECUTION_ERROR|Primary key violation: (1) exists||")
	f(fault.Wrap(fault.Internal, errors.New("disk on fire"), "boom"), "s", true, "INTERNAL_ERROR|SQL request failed (request r1)|s|")
	f(errors.New("disk on fire"), "", false, "INTERNAL_ERROR|SQL request failed (request r1)||")
	f(fault.New(fault.ServerBusy, "the queue is full"), "", false, "SERVER_BUSY|the queue is full||1")
	syntax := fault.At(fault.Syntax, 9, "syntax error at or near \"FORM\"")
	f(syntax, "SELECT 1\nFORM t", true, "INVALID_SQL|Invalid SQL: syntax error at or near \"FORM\" at line 2 column 1|SELECT 1\nFORM t|")
	f(syntax, "SELECT ü FORM t", false, "INVALID_SQL|SQL statement is invalid or not allowed: syntax error at or near \"FORM\" at line 1 column 9||")
	f(fault.InStatement(syntax, 2, "SELECT 1 FORM t"), "SELECT 1; SELECT 1 FORM t", false,
		"INVALID_SQL|Statement 2 failed: SQL statement is invalid or not allowed: syntax error at or near \"FORM\" at line 1 column 10||")
	open := func(offset int) error { return fault.At(fault.BatchParseError, offset, "unterminated quote") }
	f(open(7), "SELECT 'x", true, "SQL_EXECUTION_ERROR|unterminated quote|SELECT 'x|")
	f(open(7), "SELECT 'x", false, "SQL_EXECUTION_ERROR|SQL statement failed||")
	f(open(17), "SELECT 1; SELECT 'x", false, "BATCH_PARSE_ERROR|Failed to parse SQL batch||")
	f(open(12), "SELECT ';', 'x", false, "SQL_EXECUTION_ERROR|SQL statement failed||")
	f(fault.New(fault.PermissionDenied, "no"), "", false, "PERMISSION_DENIED|Permission denied: no||")
}

// TestSocketErrors: a client is told all that concerns what it asked for, and
// nothing of the server's inside.
func TestSocketErrors(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		code, message := socketError(err)
		if got := code + "|" + message; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(fault.New(fault.TableNotFound, "table app.t does not exist"), "NOT_FOUND|Not found: Table not found: table app.t does not exist")
	f(errors.New("disk on fire"), "SUBSCRIPTION_FAILED|"+socketInternalWords)
	f(fault.New(fault.CursorExpired, "too old"), "CURSOR_EXPIRED|too old")
	f(fault.New(fault.PermissionDenied, "no"), "UNAUTHORIZED|Permission denied: no")
}

func TestRollUp(t *testing.T) {
	one := []*core.Result{{Kind: core.Inserted, Count: 3, AsUser: "bob"}}
	if got := rollUp(one, "alice"); len(got) != 1 || got[0] != one[0] {
		t.Errorf("a lone result is touched: %+v", got)
	}
	done, rows := &core.Result{Kind: core.Done}, &core.Result{Kind: core.Rows}
	got := rollUp([]*core.Result{
		{Kind: core.Deleted, Count: 1}, {Kind: core.Inserted, Count: 1, AsUser: "bob"}, done,
		{Kind: core.Inserted, Count: 2}, rows, {Kind: core.Updated, Count: 0}, {Kind: core.Deleted, Count: 4},
	}, "alice")
	if len(got) != 5 || got[0] != done || got[1] != rows {
		t.Fatalf("got %+v", got)
	}
	for i, want := range []string{"Inserted 3 row(s)", "Updated 0 row(s)", "Deleted 5 row(s)"} {
		if r := got[2+i]; r.Message != want || r.AsUser != "alice" {
			t.Errorf("sum %d is %+v, want %s", i, r, want)
		}
	}
}

func TestTook(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := string(appendTook(nil, d)); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
	f(0, "0.001")
	f(-time.Second, "0.001")
	f(214*time.Microsecond, "0.214")
	f(3127*time.Microsecond, "3.127")
	f(time.Minute+5*time.Millisecond, "60005.000")
}

func TestHuman(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := Human(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
	f(9*time.Second, "9s")
	f(61*time.Second, "1m 1s")
	f(time.Hour+2*time.Second, "1h 0m 2s")
	f(49*time.Hour, "2d 1h 0m 0s")
}

func TestInstant(t *testing.T) {
	if got := instant(1777888800000000); got != "2026-05-04T10:00:00+00:00" {
		t.Error(got)
	}
	if got := instant(1777888800120000); got != "2026-05-04T10:00:00.12+00:00" {
		t.Error(got)
	}
}

func TestSchemaFlags(t *testing.T) {
	got := string(appendSchema(nil, []core.Column{
		{Name: "id", Type: datum.Type{Kind: datum.BigInt}, PrimaryKey: true, NotNull: true},
		{Name: `a"b`, Type: datum.DecimalType(10, 2)},
		{Name: "u", Type: datum.Type{Kind: datum.Text}, Unique: true},
		{Name: "_seq", Type: datum.Type{Kind: datum.BigInt}, NotNull: true},
	}))
	want := `[{"name":"id","data_type":"BigInt","index":0,"flags":["pk","nn","uq"]},` +
		`{"name":"a\"b","data_type":{"Decimal":{"precision":10,"scale":2}},"index":1},` +
		`{"name":"u","data_type":"Text","index":2,"flags":["uq"]},` +
		`{"name":"_seq","data_type":"BigInt","index":3,"flags":["nn"]}]`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMask(t *testing.T) {
	columns := []core.Column{{Name: "user_id"}, {Name: "password_hash"}, {Name: "credentials"}}
	row := []datum.Value{datum.NewText("bob"), datum.NewText("$2b$…"), datum.NullValue}
	f := func(admin bool, want string) {
		t.Helper()
		got, err := appendRow(nil, row, maskOf(columns, admin), false)
		if err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	f(true, `["bob","$2b$…",null]`)
	f(false, `["bob","***",null]`)
}
