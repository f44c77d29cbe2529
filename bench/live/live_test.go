package live

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"kalamdb/bench/load"
)

// change is the payload of a change frame as the server writes it.
func change(subscription string, key int64) string {
	return fmt.Sprintf(`{"type":"change","subscription_id":"%s","change_type":"insert","rows":[{"id":"%d","v":"%s","n":%d,"_seq":"12345","_deleted":false}]}`,
		subscription, key, load.AppendText(nil, key), load.Number(key))
}

func TestChangesAreJudged(t *testing.T) {
	f := func(want, payload string) {
		t.Helper()
		got := ""
		if i, body, err := split([]byte(payload)); err != nil {
			got = err.Error()
		} else if key, err := inserted(body); err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprint(i, " ", key)
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", payload, got, want)
		}
	}
	good := change("s17", load.FirstKey)
	f("17 1000000000", good)
	f("change ", change("s", 7))
	f("change ", change("s1x", 7))
	f("not an insert", strings.Replace(good, "insert", "update", 1))
	f("row 1000000001 is not as it was inserted", strings.Replace(good, `"id":"1000000000"`, `"id":"1000000001"`, 1))
	f("row 1000000000 is not as it was inserted", strings.Replace(good, `"n":`, `"n":1`, 1))
	f("row 1000000000 is not as it was inserted", strings.Replace(good, `12345`, ``, 1))
	f("row 1000000000 is not as it was inserted", strings.Replace(good, `false`, `true`, 1))
}

// TestRoundsAreJudged: what is missing, doubled or different in one delivery of
// many does not pass.
func TestRoundsAreJudged(t *testing.T) {
	s := &socket{index: 0}
	begin := func() *round { return &round{number: 1, key: load.FirstKey, seen: [][]int{make([]int, 2)}} }
	f := func(want string, payloads ...string) {
		t.Helper()
		at, got := begin(), ""
		for _, p := range payloads {
			if err := at.take(s, []byte(p)); err != nil {
				got = err.Error()
			}
		}
		if !strings.HasPrefix(got, want) || want == "" && (got != "" || at.got != 2) {
			t.Errorf("%q with %d deliveries, want %q", got, at.got, want)
		}
	}
	f("", change("s0", load.FirstKey), change("s1", load.FirstKey))
	f("row 1000000000 came twice", change("s0", load.FirstKey), change("s0", load.FirstKey))
	f("subscription 1 of socket 0 got", change("s0", load.FirstKey), change("s1", load.FirstKey+1))
	f("row 1000000001 came instead of 1000000000", change("s0", load.FirstKey+1))
	f("a change for subscription 2", change("s2", load.FirstKey))
}

func TestFrames(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 1 << 16, 1<<16 + 1} {
		payload := bytes.Repeat([]byte("x"), n)
		data := []byte{final | opText}
		switch {
		case n < length16:
			data = append(data, byte(n))
		case n < 1<<16:
			data = binary.BigEndian.AppendUint16(append(data, length16), uint16(n))
		default:
			data = binary.BigEndian.AppendUint64(append(data, length64), uint64(n))
		}
		data = append(data, payload...)
		op, got, size := frame(append(data, "next"...))
		if op != opText || !bytes.Equal(got, payload) || size != len(data) {
			t.Errorf("a frame of %d bytes is read as kind %d, %d bytes, size %d", n, op, len(got), size)
		}
		for _, cut := range []int{0, 1, len(data) - 1} {
			if _, _, size := frame(data[:cut]); size != 0 {
				t.Errorf("%d bytes of a frame of %d pass for a whole one", cut, len(data))
			}
		}
	}
	if got := appendMasked(nil, opPong, []byte("ab")); string(got) != "\x8a\x82\x00\x00\x00\x00ab" {
		t.Errorf("%q", got)
	}
}

func TestResponses(t *testing.T) {
	good := "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 2\r\n\r\n{}"
	for cut := range len(good) {
		if _, _, size, err := response([]byte(good[:cut])); size != 0 || err != nil {
			t.Fatalf("%d bytes: %d, %v", cut, size, err)
		}
	}
	status, body, size, err := response([]byte(good + "more"))
	if status != 200 || string(body) != "{}" || size != len(good) || err != nil {
		t.Errorf("%d %q %d %v", status, body, size, err)
	}
	for _, bad := range []string{"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "SIP/1.1 200\r\nContent-Length: 1\r\n\r\n"} {
		if _, _, _, err := response([]byte(bad)); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

// TestCeiling: each socket gets its own bytes, once per request.
func TestCeiling(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Ceiling(ctx, l, filepath.Join(t.TempDir(), "log")) }()
	dial := func(hello []byte) net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(hello); err != nil {
			t.Fatal(err)
		}
		return c
	}
	var sockets []net.Conn
	for _, text := range []string{"one", "three"} {
		sockets = append(sockets, dial(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)))
	}
	trigger := dial([]byte("\x00\x00\x00\x00t\x00\x00\x00\x02\x00\x00\x00\x02"))
	got := make([]byte, 1)
	if _, err := io.ReadFull(trigger, got); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := trigger.Write([]byte("go")); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"one", "three"} {
			got := make([]byte, len(want))
			if _, err := io.ReadFull(sockets[i], got); err != nil || string(got) != want {
				t.Fatalf("%q, %v; want %q", got, err, want)
			}
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// TestFeeds: deliveries are found in what each server says, wherever it is cut,
// and whatever else comes is refused.
func TestFeeds(t *testing.T) {
	text := func(payload string) string {
		if len(payload) <= smallLength {
			return string([]byte{final | opText, byte(len(payload))}) + payload
		}
		return string(binary.BigEndian.AppendUint16([]byte{final | opText, length16}, uint16(len(payload)))) + payload
	}
	const upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
	push := func(data string) string { return `{"push":{"channel":"bench","pub":{"data":` + data + `}}}` }
	r := &run{job: Job{PerSocket: 2}}
	f := func(name string, feed feed, want, stream string) {
		t.Helper()
		for cut := range len(stream) {
			s, got := &follower{r: r}, ""
			take := func(data string) (string, error) {
				used, err := feed.take(s, []byte(data), func(i int, body []byte) error { got += fmt.Sprint(i, " ", string(body), ";"); return nil })
				return data[used:], err
			}
			rest, err := take(stream[:cut])
			if err == nil {
				rest, err = take(rest + stream[cut:])
			}
			if err != nil {
				got = "refused"
			}
			if got += fmt.Sprint(s.acked); err != nil {
				got = "refused"
			}
			if got != want || err == nil && rest != "" {
				t.Fatalf("%s, cut at %d: %q with %q left, want %q", name, cut, got, rest, want)
			}
		}
	}
	f("kalamdb", kalamFeed{r}, `1 ","change_type":7};1`, upgrade+text(`{"type":"auth_success",}`)+text(`{"type":"subscription_ack",}`)+text(`{"type":"change","subscription_id":"s1","change_type":7}`))
	f("kalamdb, an error", kalamFeed{r}, "refused", upgrade+text(`{"type":"error"}`))
	f("centrifuge", centrifugeFeed{r}, `0 {"id":"1"};0 {"id":"2"};1`, upgrade+text(`{"id":1,"connect":{}}`+"\n"+`{"id":2,"subscribe":{}}`+"\n"+push(`{"id":"1"}`)+"\n"+push(`{"id":"2"}`)))
	f("centrifuge, an error", centrifugeFeed{r}, "refused", upgrade+text(`{"id":2,"error":{"code":103}}`))
	f("nats", natsFeed{}, `1 {"id":"1"};2`, "INFO {}\r\nPONG\r\nMSG bench 1 10\r\n{\"id\":\"1\"}\r\n")
	f("nats, an error", natsFeed{}, "refused", "-ERR 'Slow Consumer'\r\n")
}

// TestTorrentsAreJudged: a row that comes twice, differs, or is not known does
// not pass.
func TestTorrentsAreJudged(t *testing.T) {
	f := func(want string, bodies ...string) {
		t.Helper()
		r := &run{job: Job{Sockets: 1, PerSocket: 2}}
		x := &torrent{r: r, flights: map[int64]*flying{7: {}}}
		s, got := &follower{told: make([]int64, 2)}, ""
		for i, b := range bodies {
			if err := x.take(s, i%2, []byte(b)); err != nil {
				got = err.Error()
			}
		}
		if !strings.HasPrefix(got, want) || want == "" && (got != "" || x.arrived != 1) {
			t.Errorf("%q: %s with %d rows, want %q", bodies, got, x.arrived, want)
		}
	}
	f("", `{"id":"7"}`, `{"id":"7"}`)
	f(`row "7" came once too often`, `{"id":"7"}`, `{"id":"7"}`, `{"id":"7"}`)
	f(`row "8" came once too often`, `{"id":"8"}`)
	f("row 7 is", `{"id":"7"}`, `{"id":"7","n":1}`)
	f("delivery", `{}`)
}
