package server

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"kalamdb/internal/testkit"
)

// receiver is an OTLP/HTTP collector that keeps what it gets.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*wire.Span
	about map[string]string // the resource
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{about: map[string]string{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		var in collect.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &in)
		}
		if err != nil || q.URL.Path != "/v1/traces" || q.Header.Get("X-Key") != "open sesame" {
			t.Errorf("%s %v: %v", q.URL, q.Header, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, resource := range in.ResourceSpans {
			for _, a := range resource.Resource.Attributes {
				r.about[a.Key] = a.Value.GetStringValue()
			}
			for _, scope := range resource.ScopeSpans {
				r.spans = append(r.spans, scope.Spans...)
			}
		}
		answer, _ := proto.Marshal(&collect.ExportTraceServiceResponse{})
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(answer)
	}))
	t.Cleanup(r.Close)
	return r
}

// options are those of a server that sends to the receiver.
func (r *receiver) options(more ...string) []string {
	return append([]string{"tracing.endpoint=" + r.URL, "tracing.headers=X-Key=open sesame"}, more...)
}

// tree draws the spans below a parent, in the order of their beginning.
func (r *receiver) tree(parent []byte, indent string, show ...string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.below(parent, indent, show)
}

func (r *receiver) below(parent []byte, indent string, show []string) string {
	var of []*wire.Span
	for _, s := range r.spans {
		if string(s.ParentSpanId) == string(parent) {
			of = append(of, s)
		}
	}
	slices.SortFunc(of, func(a, b *wire.Span) int { return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano)) })
	var out strings.Builder
	for _, s := range of {
		out.WriteString(indent + s.Name)
		for _, a := range s.Attributes {
			if slices.Contains(show, a.Key) {
				value := a.Value.GetStringValue()
				if value == "" {
					value = fmt.Sprint(a.Value.GetIntValue())
				}
				fmt.Fprintf(&out, " %s=%s", a.Key[strings.LastIndexByte(a.Key, '.')+1:], value)
			}
		}
		if s.Status.GetCode() == wire.Status_STATUS_CODE_ERROR {
			out.WriteString(" !" + s.Status.Message)
		}
		out.WriteString("\n" + r.below(s.SpanId, indent+"  ", show))
	}
	return out.String()
}

const (
	callerTrace = "0af7651916cd43dd8448eb211c80319c"
	callerSpan  = "b7ad6b7169203331"
)

// call runs SQL for a caller who has a trace of his own.
func (r *running) call(t *testing.T, sql, parent string) int {
	t.Helper()
	body, err := json.Marshal(map[string]string{"sql": sql})
	if err != nil {
		t.Fatal(err)
	}
	q, err := http.NewRequest("POST", r.URL()+"/v1/api/sql", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+r.token)
	if parent != "" {
		q.Header.Set("traceparent", parent)
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode
}

// subscribe opens a live query over a socket of its own and waits for the answer.
func (r *running) subscribe(t *testing.T, sql, parent string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(r.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(c, "GET /v1/ws?compress=false HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a2FsYW1kYiBiZW5jaCBrZQ==\r\ntraceparent: %s\r\n\r\n", r.token, parent)
	in := bufio.NewReader(c)
	if answer, err := http.ReadResponse(in, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", answer, err)
	}
	socket := testkit.NewSocket(joined{c, in})
	if err := socket.Text(`{"type":"subscribe","subscription":{"id":"s","sql":"` + sql + `"}}`); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := socket.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(m.Payload), `"subscription_ack"`) || strings.Contains(string(m.Payload), `"error"`) {
			return
		}
	}
}

// joined is a connection that is read through a buffer.
type joined struct {
	net.Conn
	in *bufio.Reader
}

func (j joined) Read(p []byte) (int, error) { return j.in.Read(p) }

// TestTraces: real requests to a real server arrive at a real collector as spans
// with the right parents, and no span tells a value.
func TestTraces(t *testing.T) {
	c := newReceiver(t)
	r := start(t, t.TempDir(), c.options("tracing.service_name=db-1")...)
	r.rows(t, "CREATE NAMESPACE a")
	r.rows(t, "CREATE TABLE a.t (id BIGINT PRIMARY KEY, v TEXT) WITH (TYPE='SHARED')")
	parent := "00-" + callerTrace + "-" + callerSpan + "-01"
	for _, sql := range []string{
		"INSERT INTO a.t VALUES (1, 'Tulip-Marigold'), (2, 'x')",
		"SELECT v FROM a.t WHERE id = 1",
		"SELECT COUNT(*) FROM a.t x JOIN a.t y ON x.id = y.id WHERE x.v <> 'Tulip-Marigold'",
		"SELECT v FROM a.t WHERE id = 'Tulip-Marigold'",
		"BEGIN; UPDATE a.t SET v = 'Tulip-Marigold' WHERE id = 2; COMMIT",
	} {
		r.call(t, sql, parent)
	}
	r.subscribe(t, "SELECT * FROM a.t WHERE v = 'Tulip-Marigold'", parent)
	r.call(t, "CREATE INDEX by_v ON a.t (v)", "")
	r.call(t, "STORAGE FLUSH TABLE a.t", "")
	deadline := time.Now().Add(20 * time.Second)
	for r.rows(t, "SELECT COUNT(*) FROM system.jobs WHERE status = 'completed'")[0] != "2" && time.Now().Before(deadline) {
		r.call(t, "SELECT 1", "")
	}
	r.end(t) // sends what is queued

	span, _ := hex.DecodeString(callerSpan)
	want := `POST /v1/api/sql status_code=200
  insert a.t path=row rows=2
    commit
POST /v1/api/sql status_code=200
  select a.t path=row rows=1
POST /v1/api/sql status_code=200
  select a.t path=analytic rows=1
POST /v1/api/sql status_code=400
  select a.t path=row rows=0 type=INVALID_VALUE !
POST /v1/api/sql status_code=200
  other path=row rows=0
  update a.t path=row rows=1
  other path=row rows=0
    commit
GET /v1/ws status_code=101
WebSocket subscribe
  subscribe a.t path=row rows=0
`
	if got := c.tree(span, "", "http.response.status_code", "kalamdb.path", "kalamdb.rows", "error.type"); got != want {
		t.Errorf("the caller's trace:\n%s\nwant\n%s", got, want)
	}
	roots := c.tree(nil, "", "kalamdb.job.type")
	for _, want := range []string{"\njob flush type=flush\n  commit\n", "\njob index_build type=index_build\n  commit\n", "POST /v1/api/auth/login\n"} {
		if !strings.Contains("\n"+roots, want) {
			t.Errorf("no %q in\n%s", want, roots)
		}
	}
	if c.about["service.name"] != "db-1" || c.about["service.version"] != "1.2.3" {
		t.Errorf("the resource is %v", c.about)
	}
	queries := map[string]bool{}
	for _, s := range c.spans {
		text := s.String()
		if strings.Contains(text, "Marigold") || strings.Contains(text, r.token) || strings.Contains(text, "root's password") {
			t.Errorf("a span tells a value: %s", text)
		}
		if string(s.ParentSpanId) == string(span) && hex.EncodeToString(s.TraceId) != callerTrace {
			t.Errorf("%s has left its trace", s.Name)
		}
		for _, a := range s.Attributes {
			if a.Key == "db.query.text" {
				queries[a.Value.GetStringValue()] = true
			}
		}
	}
	if !queries["INSERT INTO a.t VALUES (?, ?), (?, ?)"] || !queries["SELECT * FROM a.t WHERE v = ?"] {
		t.Errorf("the statements are %v", queries)
	}
}

// TestTracesAreSampled: what a caller does not keep is not kept, and the share
// counts for his traces too.
func TestTracesAreSampled(t *testing.T) {
	for _, x := range []struct {
		ratio, flags string
		want         bool
	}{{"1", "01", true}, {"1", "00", false}, {"0", "01", false}, {"0.5", "01", true}, {"0.05", "01", false}} {
		t.Run(x.ratio+" "+x.flags, func(t *testing.T) {
			c := newReceiver(t)
			r := start(t, t.TempDir(), c.options("tracing.sample_ratio="+x.ratio)...)
			// Of traces by share, the last eight bytes decide: these are a quarter of all.
			r.call(t, "SELECT 1", "00-00000000000000004000000000000000-"+callerSpan+"-"+x.flags)
			r.call(t, "SELECT 1", "nonsense")
			r.end(t)
			span, _ := hex.DecodeString(callerSpan)
			if got := c.tree(span, "") != ""; got != x.want {
				t.Errorf("kept: %v", got)
			}
		})
	}
}

// TestCollectorAway: a collector that is not there, or says nothing, costs one
// warning, and neither requests nor the end wait for it.
func TestCollectorAway(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_ = gone.Close()
	for name, address := range map[string]net.Addr{"gone": gone.Addr(), "silent": silent.Addr()} {
		t.Run(name, func(t *testing.T) {
			r := start(t, t.TempDir(), "tracing.endpoint=http://"+address.String(), "tracing.queue_spans=8", "tracing.timeout=300ms")
			begin := time.Now()
			const said = "the trace collector does not take spans"
			for n := 0; n < 500 || !strings.Contains(r.log.String(), said) && time.Since(begin) < 20*time.Second; n++ {
				if status := r.call(t, "SELECT 1", ""); status != 200 {
					t.Fatalf("answered %d", status)
				}
			}
			for range 500 {
				r.call(t, "SELECT 1", "")
			}
			begin = time.Now()
			r.end(t)
			if took := time.Since(begin); took > 4*time.Second {
				t.Errorf("the end took %s", took)
			}
			if n := strings.Count(r.log.String(), said); n != 1 {
				t.Errorf("%d warnings, want one:\n%s", n, r.log.String())
			}
		})
	}
}
