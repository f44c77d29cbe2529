package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/config"
)

const (
	readerStatements = 100
	readerRows       = 500 // of each
)

// readerWork writes 50,000 changes into a table and returns how long it took.
func (x *target) readerWork(t *testing.T, table string) time.Duration {
	t.Helper()
	text := strings.Repeat("x", 200)
	start := time.Now()
	for i := range readerStatements {
		first := i * readerRows
		if i%10 == 9 {
			x.must(t, "serve", fmt.Sprintf("UPDATE %s SET s = 'again %d' WHERE id >= %d AND id < %d", table, i, first-2*readerRows, first-readerRows))
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "INSERT INTO %s (id, s) VALUES ", table)
		for j := range readerRows {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "(%d,'%s')", first+j, text)
		}
		x.must(t, "serve", b.String())
	}
	return time.Since(start)
}

func (x *target) readerTable(t *testing.T, table string) {
	t.Helper()
	x.must(t, "root", "CREATE SHARED TABLE "+table+" (id BIGINT PRIMARY KEY, s TEXT) WITH (ACCESS_LEVEL='public')")
	x.held = x.holds(t)
}

// told is one change as a reader heard it.
type told struct {
	change string
	id     string
	seq    string
}

func toldBy(m *serverMessage) (all []told) {
	rows := m.Rows
	if len(rows) == 0 {
		rows = m.Old
	}
	for _, r := range rows {
		all = append(all, told{m.Change, fmt.Sprint(r["id"]), fmt.Sprint(r["_seq"])})
	}
	return all
}

// TestHostileReader follows a table with a client that does not read while
// 50,000 changes are written. The writers do not wait for it, it takes no more
// memory than it may, and when it reads at last it hears the same as the client
// that kept up, in the same order.
func TestHostileReader(t *testing.T) {
	x := newTarget(t, nil)
	x.readerTable(t, "app.alone")
	x.readerTable(t, "app.followed")
	alone := x.readerWork(t, "app.alone")

	slow, quick := x.upgrade(t, "alice", ""), x.upgrade(t, "bob", "")
	for _, w := range []*wire{slow, quick} {
		w.say(t, subscribe("all", "SELECT * FROM app.followed", "null"))
		if m := w.message(t); m.Type != "subscription_ack" {
			t.Fatalf("%+v", m)
		}
	}
	heard := make(chan []told, 1)
	go func() {
		var all []told
		for len(all) < readerStatements*readerRows {
			_, payload, err := quick.next()
			if err != nil {
				break // fewer than the other will have heard
			}
			m, err := decodeServer(payload)
			if err != nil {
				break
			}
			all = append(all, toldBy(&m)...)
		}
		heard <- all
	}()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	followed := x.readerWork(t, "app.followed")
	t.Logf("50,000 changes took %s alone, %s with a client that does not read", alone, followed)
	if followed > 5*alone+5*time.Second {
		t.Errorf("writing took %s with a client that does not read, %s without", followed, alone)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 128<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
	want := <-heard
	if len(want) != readerStatements*readerRows {
		t.Fatalf("the quick reader heard %d changes", len(want))
	}
	var got []told
	for len(got) < len(want) {
		m := slow.message(t)
		if m.Type != "change" {
			t.Fatalf("after %d changes came %+v", len(got), m)
		}
		got = append(got, toldBy(&m)...)
	}
	if !slices.Equal(got, want) {
		i := 0
		for got[i] == want[i] {
			i++
		}
		t.Errorf("change %d is %v, the quick reader heard %v", i, got[i], want[i])
	}
	x.unharmed(t)
}

// TestHostileReaderGivenUp gives up a client that takes nothing for the client
// timeout. It resumes at what it has read, and ends with exactly the rows of
// the table.
func TestHostileReaderGivenUp(t *testing.T) {
	x := newTarget(t, func(o *config.Options) {
		o.WebSocket.ClientTimeout = 2 * time.Second
		o.WebSocket.HeartbeatInterval = 500 * time.Millisecond
	})
	x.readerTable(t, "app.followed")
	w := x.upgrade(t, "alice", "?compress=false")
	w.say(t, subscribe("all", "SELECT id, s FROM app.followed", "null"))
	if m := w.message(t); m.Type != "subscription_ack" {
		t.Fatalf("%+v", m)
	}
	x.readerWork(t, "app.followed")
	x.eventually(t, "the row in system.live goes", func() bool {
		return len(x.must(t, "root", "SELECT * FROM system.live").rows(t)) == 0
	})
	rows, last := map[string]string{}, uint64(0)
	note := func(m *serverMessage) {
		for _, r := range m.Rows {
			rows[fmt.Sprint(r["id"])] = fmt.Sprint(r["s"])
		}
		for _, c := range toldBy(m) {
			seq, err := strconv.ParseUint(c.seq, 10, 64)
			if err != nil || seq <= last {
				t.Fatalf("_seq %s behind %d", c.seq, last)
			}
			last = seq
		}
	}
	for {
		op, payload, err := w.next()
		if err != nil || op == frameClose {
			var network net.Error
			if errors.As(err, &network) && network.Timeout() {
				t.Fatal("the connection is still open")
			}
			break
		}
		m, err := decodeServer(payload)
		if err != nil {
			break // the last frame was cut off
		}
		note(&m)
	}
	if last == 0 || len(rows) == readerRows*readerStatements*9/10 {
		t.Fatalf("the client had read %d rows when it was given up", len(rows))
	}
	t.Logf("given up after %d rows", len(rows))

	w = x.upgrade(t, "alice", "")
	w.say(t, subscribe("all", "SELECT id, s FROM app.followed", fmt.Sprintf(`{"from":"%d"}`, last)))
	last = 0
	for more := true; more; {
		switch m := w.message(t); m.Type {
		case "subscription_ack":
		case "initial_data_batch":
			note(&m)
			if more = m.BatchControl.HasMore; more {
				w.say(t, fmt.Sprintf(`{"type":"next_batch","subscription_id":"all","last_seq_id":%s}`, m.BatchControl.LastSeq))
			}
		default:
			t.Fatalf("%+v", m)
		}
	}
	table := x.must(t, "alice", "SELECT id, s FROM app.followed").rows(t)
	if len(table) != len(rows) {
		t.Errorf("the client has %d rows, the table %d", len(rows), len(table))
	}
	for _, r := range table {
		if got := rows[fmt.Sprint(r[0])]; got != fmt.Sprint(r[1]) {
			t.Fatalf("row %v is %.20q with the client, %.20q in the table", r[0], got, r[1])
		}
	}
}

// eventually waits for something that needs no more than the start bound.
func (x *target) eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(startBound); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, startBound)
		}
	}
}

// TestHostileAnswerNotRead asks for large answers and does not take them; others
// are served, and the server still stops in time.
func TestHostileAnswerNotRead(t *testing.T) {
	x := newTarget(t, nil)
	x.readerTable(t, "app.large")
	x.readerWork(t, "app.large")
	for range 20 {
		c := x.dial(t)
		if _, err := io.WriteString(c, sized(`{"sql":"SELECT * FROM app.large"}`)); err != nil {
			t.Fatal(err)
		}
		// The first bytes show that the answer has begun.
		if _, err := io.ReadFull(c, make([]byte, 12)); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	for range 10 {
		x.must(t, "serve", "UPDATE app.large SET s = 'new' WHERE id = 1")
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("10 writes took %s beside answers that nobody takes", took)
	}
	x.unharmed(t)
	r, err := x.client.Get(x.url + "/health")
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(r, err)
	}
	_ = r.Body.Close()
}
