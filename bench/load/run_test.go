package load_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kalamdb/bench/load"
)

// plain asks for keys by path; the answer must be the key.
type plain struct{}

func (plain) Append(buf []byte, verb load.Verb, key, n int64) []byte {
	return fmt.Appendf(buf, "GET /%s/%d/%d HTTP/1.1\r\nHost: x\r\n\r\n", verb, key, n)
}

func (plain) Check(_ load.Verb, key, n int64, status int, body []byte) error {
	if want := fmt.Sprintf("%d/%d", key, n); status != 200 || string(body) != want {
		return fmt.Errorf("%d %q, want %q", status, body, want)
	}
	return nil
}

// serve answers requests of plain with what answer makes of their keys.
func serve(t *testing.T, answer func(verb, rest string) string) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					verb, rest, _ := strings.Cut(r.URL.Path[1:], "/")
					body := answer(verb, rest)
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				}
			}()
		}
	}()
	return l.Addr().String()
}

func same(_, rest string) string { return rest }

func TestClosedLoop(t *testing.T) {
	var asked atomic.Int64
	addr := serve(t, func(_, rest string) string {
		asked.Add(1)
		return rest
	})
	for _, conns := range []int{1, 7} {
		asked.Store(0)
		r, err := load.Run(load.Job{Addr: addr, Verb: load.Insert, First: load.FirstKey, Conns: conns, Warm: 10 * time.Millisecond, Measure: 300 * time.Millisecond}, plain{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Acked != asked.Load() || r.Operations < 1 || r.Operations > r.Acked || r.P50 <= 0 || r.P50 > r.Max || r.PerSecond <= 0 {
			t.Errorf("%d connections: %d asked, %+v", conns, asked.Load(), r)
		}
		if r.RequestBytes == 0 || r.ResponseBytes == 0 {
			t.Errorf("no sizes: %+v", r)
		}
	}
}

// TestEnds: a number of requests, or the rows there are, end a run before its
// time.
func TestEnds(t *testing.T) {
	addr := serve(t, same)
	f := func(job load.Job, want int64) {
		t.Helper()
		job.Addr, job.First, job.Conns = addr, load.FirstKey, 4
		r, err := load.Run(job, plain{})
		if err != nil || r.Acked != want {
			t.Errorf("%s: %d acknowledged, %v; want %d", job.Verb, r.Acked, err, want)
		}
	}
	f(load.Job{Verb: load.Insert, Requests: 1}, 1)
	f(load.Job{Verb: load.Insert, Requests: 101, Measure: time.Hour}, 101)
	f(load.Job{Verb: load.Delete, Keys: 33}, 33)
	f(load.Job{Verb: load.Delete, Keys: 2, Measure: time.Hour}, 2)
	f(load.Job{Verb: load.Update, Keys: 5, Requests: 12}, 12)
	f(load.Job{Verb: load.Select, Keys: 5, Requests: 12}, 12)
	f(load.Job{Verb: load.InsertRows, Requests: 3}, 3)
}

// TestOpenLoop: while the server stalls, requests go on being due, and their
// latency is counted from then.
func TestOpenLoop(t *testing.T) {
	const stall, rate = 100 * time.Millisecond, 1000.0
	var stalled atomic.Bool
	addr := serve(t, func(_, rest string) string {
		if !stalled.Swap(true) {
			<-time.After(stall)
		}
		return rest
	})
	r, err := load.Run(load.Job{Addr: addr, Verb: load.Insert, First: load.FirstKey, Conns: 1, Rate: rate, Measure: 2 * stall}, plain{})
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(rate * 2 * stall.Seconds()); r.Operations != want || r.Acked != want {
		t.Errorf("%d of %d requests that were due", r.Operations, want)
	}
	// Half of them were due during the stall and waited half of it on average; a
	// client that waits for the answer would have seen one slow request.
	if r.P90 < float64(stall.Microseconds())/4 || r.Max < float64(stall.Microseconds()) {
		t.Errorf("latencies hide the stall: %+v", r)
	}
}

func TestWrongAnswersEndTheRun(t *testing.T) {
	f := func(answer func(verb, rest string) string, job load.Job, want string) {
		t.Helper()
		job.Addr, job.First, job.Conns = serve(t, answer), load.FirstKey, 2
		if _, err := load.Run(job, plain{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	var asked atomic.Int64
	f(func(_, rest string) string {
		if asked.Add(1) == 20 {
			return "no"
		}
		return rest
	}, load.Job{Verb: load.Insert, Measure: time.Hour}, `answer for key 10000000`)
	f(func(_, rest string) string { return rest + "\r\n\r\n" }, load.Job{Verb: load.Insert, Measure: time.Hour}, "answer for key")
	f(same, load.Job{Verb: load.Update, Requests: 1}, "needs rows")
	f(same, load.Job{Verb: load.Insert}, "needs an end")
	f(same, load.Job{Verb: load.Insert, Requests: 1, Warm: time.Hour, Measure: time.Hour}, "nothing was answered within the window")
}

// TestServe is the inside of the load process.
func TestServe(t *testing.T) {
	job, err := json.Marshal(load.Job{Addr: serve(t, same), Verb: load.Insert, Conns: 1, Requests: 3})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := load.Serve(bytes.NewReader(job), &out, func(load.Job) (load.Dialect, error) { return plain{}, nil }); err != nil {
		t.Fatal(err)
	}
	var r load.Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Acked != 3 {
		t.Errorf("%s: %v", out.String(), err)
	}
	unknown := errors.New("unknown")
	if err := load.Serve(bytes.NewReader(job), &out, func(load.Job) (load.Dialect, error) { return nil, unknown }); !errors.Is(err, unknown) {
		t.Errorf("%v, want %v", err, unknown)
	}
}
