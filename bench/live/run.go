package live

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"kalamdb/bench/load"
	"kalamdb/bench/proc"
)

// patience is how long anything that is due is waited for.
const patience = 30 * time.Second

// run is a job under way.
type run struct {
	job     Job
	dialect load.Dialect
	loop    *loop
	sockets []*socket
	writers []*writer
	idle    []*writer // without a request in flight
	next    int64     // keys dealt so far
	acked   int64
	answers load.Histogram
	result  Result
	cpu     [2]time.Duration // client and server when the measured part began
}

// Run does the job and returns what it has shown.
func Run(job Job, d load.Dialect) (Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l, err := newLoop()
	if err != nil {
		return Result{}, err
	}
	defer l.close()
	r := &run{job: job, dialect: d, loop: l}
	switch job.Scenario {
	case Latency:
		err = r.latency()
	case Broadcast:
		err = r.broadcast()
	case Idle:
		err = r.memory()
	case Crowd:
		err = r.crowd()
	case Sustained:
		err = r.sustained()
	case Routing:
		err = r.routing()
	case Snapshot:
		err = r.snapshot()
	case Resume:
		err = r.resume()
	default:
		err = fmt.Errorf("there is no scenario %q", job.Scenario)
	}
	return r.result, err
}

// startCPU begins what endCPU divides by the number of operations.
func (r *run) startCPU() { r.cpu = [2]time.Duration{proc.OwnCPU(), proc.CPU(r.job.ServerPID)} }

func (r *run) endCPU(operations int64) {
	if operations > 0 {
		r.result.ClientCPU = micros(proc.OwnCPU()-r.cpu[0]) / float64(operations)
		r.result.ServerCPU = micros(proc.CPU(r.job.ServerPID)-r.cpu[1]) / float64(operations)
	}
}

// writer is one connection that inserts, with at most one request in flight.
type writer struct {
	r    *run
	c    *conn
	key  int64
	sent time.Time
	out  []byte
}

// connect opens the connections that insert.
func (r *run) connect() error {
	for range max(r.job.Conns, 1) {
		w := &writer{r: r}
		var err error
		if w.c, err = r.loop.dial(r.job.Addr, w.take); err != nil {
			return err
		}
		r.writers, r.idle = append(r.writers, w), append(r.idle, w)
	}
	return nil
}

// verb is how rows are inserted.
func (r *run) verb() load.Verb { return cmp.Or(r.job.Verb, load.Insert) }

// keysOf is how many rows one request inserts.
func (r *run) keysOf() int64 { return r.verb().Keys() }

// insert sends the next row on a connection that has nothing in flight.
func (r *run) insert() (key int64, err error) {
	w := r.idle[len(r.idle)-1]
	r.idle = r.idle[:len(r.idle)-1]
	w.key = r.job.First + r.next
	r.next += r.keysOf()
	w.out = r.dialect.Append(w.out[:0], r.verb(), w.key, load.Number(w.key))
	w.sent = time.Now()
	return w.key, r.loop.write(w.c, w.out)
}

// take judges the answer to an INSERT.
func (w *writer) take(data []byte) (int, error) {
	status, body, size, err := response(data)
	if err != nil || size == 0 {
		return 0, err
	}
	if err := w.r.dialect.Check(w.r.verb(), w.key, load.Number(w.key), status, body); err != nil {
		return size, fmt.Errorf("answer for key %d: %w", w.key, err)
	}
	w.r.answers.Record(time.Since(w.sent))
	w.r.acked++
	w.r.idle = append(w.r.idle, w)
	return size, nil
}

var contentLength = []byte("\r\nContent-Length: ")

// response reads an HTTP response; size is 0 when it is not complete.
func response(data []byte) (status int, body []byte, size int, err error) {
	head := bytes.Index(data, headEnd)
	if head < 0 {
		return 0, nil, 0, nil
	}
	at := bytes.Index(data[:head], contentLength)
	if at < 0 || !bytes.HasPrefix(data, []byte("HTTP/1.1 ")) {
		return 0, nil, 0, fmt.Errorf("response %.200q", data)
	}
	digits, _, _ := bytes.Cut(data[at+len(contentLength):head+2], []byte("\r"))
	length, err1 := strconv.Atoi(string(digits))
	status, err2 := strconv.Atoi(string(data[9:12]))
	if err := errors.Join(err1, err2); err != nil || length < 0 {
		return 0, nil, 0, fmt.Errorf("response %.200q: %w", data, err)
	}
	if size = head + len(headEnd) + length; len(data) < size {
		return 0, nil, 0, nil
	}
	return status, data[head+len(headEnd) : size], size, nil
}

var (
	insertHead = []byte(`","change_type":"insert","rows":[{"id":"`)
	seqHead    = []byte(`,"_seq":"`)
	insertTail = []byte(`","_deleted":false}]}`)
)

// inserted judges the body of a change that must be the insert of one of the
// run's rows, and returns its key.
func inserted(body []byte) (int64, error) {
	rest, ok := bytes.CutPrefix(body, insertHead)
	key := int64(0)
	i := 0
	for ; ok && i < len(rest) && rest[i] >= '0' && rest[i] <= '9'; i++ {
		key = key*10 + int64(rest[i]-'0')
	}
	if !ok || i == 0 {
		return 0, fmt.Errorf("not an insert: %.300q", body)
	}
	var buf [load.TextBytes + 64]byte
	want := append(buf[:0], `","v":"`...)
	want = load.AppendText(want, key)
	want = append(want, `","n":`...)
	want = strconv.AppendInt(want, load.Number(key), 10)
	want = append(want, seqHead...)
	rest, ok = bytes.CutPrefix(rest[i:], want)
	seq, tail := bytes.CutSuffix(rest, insertTail)
	if !ok || !tail || len(seq) == 0 || len(bytes.Trim(seq, "0123456789")) != 0 {
		return 0, fmt.Errorf("row %d is not as it was inserted: %.400q", key, body)
	}
	return key, nil
}
