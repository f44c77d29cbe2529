package load

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"kalamdb/bench/proc"
)

// drain is how long answers are awaited behind the end of the window.
const drain = 30 * time.Second

// run is a job under way.
type run struct {
	job     Job
	dialect Dialect
	keys    *keys
	poll    *poller
	conns   []*conn
	idle    []*conn // open loop: connections without a request

	start, from, until time.Time // of the warming, of the window, its end
	last               time.Time // of the last answer
	due                int64     // open loop: requests that were due so far
	flying             int
	exhausted          bool // no more keys

	latency  Histogram
	acked    int64
	response int
	request  int
	mark     [2]usage // at both ends of the window
	marked   int
}

// usage is CPU time of client and server.
type usage struct{ client, server time.Duration }

// conn is one connection with at most one request in flight.
type conn struct {
	fd      int
	in, out []byte
	key, n  int64
	sent    time.Time // open loop: when it was due
}

// Run does the job and returns what it has shown.
func Run(job Job, d Dialect) (Result, error) {
	if err := job.validate(); err != nil {
		return Result{}, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	poll, err := newPoller(job.Conns)
	if err != nil {
		return Result{}, err
	}
	defer poll.close()
	r := &run{job: job, dialect: d, keys: newKeys(job), poll: poll}
	defer r.close()
	if err := r.connect(); err != nil {
		return Result{}, err
	}
	r.start = time.Now()
	r.from = r.start.Add(job.Warm)
	r.until = r.from.Add(job.Measure)
	if job.Measure == 0 {
		r.until = r.from.Add(time.Hour)
	}
	if err := r.loop(); err != nil {
		return Result{}, err
	}
	if r.latency.Count() == 0 && job.Measure > 0 {
		return Result{}, errors.New("nothing was answered within the window")
	}
	return r.result(), nil
}

func (j Job) validate() error {
	switch {
	case j.Conns < 1:
		return errors.New("a job needs a connection")
	case j.Measure == 0 && j.Requests == 0 && j.Verb != Delete:
		return errors.New("a job needs an end: a time or a number of requests")
	case j.Keys < 1 && (j.Verb == Select || j.Verb == SelectParams || j.Verb == Update || j.Verb == Delete || j.Verb == Aggregate):
		return fmt.Errorf("%s needs rows", j.Verb)
	}
	return nil
}

func (r *run) connect() error {
	for range r.job.Conns {
		fd, err := r.poll.dial(r.job.Addr)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", r.job.Addr, err)
		}
		c := &conn{fd: fd, in: make([]byte, 0, 8<<10)}
		r.conns = append(r.conns, c)
		if o, ok := r.dialect.(Opener); ok {
			if err := r.poll.write(fd, o.Open(nil)); err != nil {
				return fmt.Errorf("open connection: %w", err)
			}
		}
	}
	return nil
}

func (r *run) close() {
	for _, c := range r.conns {
		r.poll.hangUp(c.fd)
	}
}

// loop sends and receives until the window has ended and nothing is in flight.
func (r *run) loop() error {
	if err := r.begin(); err != nil {
		return err
	}
	for {
		now := time.Now()
		r.markAt(now)
		if err := r.sendDue(now); err != nil {
			return err
		}
		if r.flying == 0 && r.over(now) {
			return nil
		}
		if now.Sub(r.until) > drain {
			return fmt.Errorf("%d requests were not answered within %s", r.flying, drain)
		}
		ready, err := r.poll.wait(r.patience(now))
		if err != nil {
			return fmt.Errorf("wait for answers: %w", err)
		}
		for _, i := range ready {
			if err := r.receive(r.conns[i]); err != nil {
				return err
			}
		}
	}
}

// begin puts a request on every connection of a closed loop; in an open loop
// all are idle.
func (r *run) begin() error {
	if r.job.Rate > 0 {
		r.idle = append(r.idle, r.conns...)
		return nil
	}
	for _, c := range r.conns {
		if err := r.send(c, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// over reports that nothing more is sent.
func (r *run) over(now time.Time) bool { return r.exhausted || !now.Before(r.until) }

// sendDue sends what an open loop owes, as far as connections are free.
func (r *run) sendDue(now time.Time) error {
	for r.job.Rate > 0 && len(r.idle) > 0 && !r.exhausted {
		at := r.dueAt(r.due)
		if at.After(now) || !at.Before(r.until) {
			return nil
		}
		r.due++
		c := r.idle[len(r.idle)-1]
		r.idle = r.idle[:len(r.idle)-1]
		if err := r.send(c, at); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) dueAt(i int64) time.Time {
	return r.start.Add(time.Duration(float64(i) / r.job.Rate * float64(time.Second)))
}

// patience is how long the loop may sleep: to the next request that is due, or
// the next end of the window.
func (r *run) patience(now time.Time) time.Duration {
	wait := 100 * time.Millisecond
	if r.marked == 0 {
		wait = min(wait, r.from.Sub(now))
	} else if r.marked == 1 && r.until.After(now) {
		wait = min(wait, r.until.Sub(now))
	}
	if r.job.Rate > 0 && len(r.idle) > 0 && !r.exhausted {
		if at := r.dueAt(r.due); at.Before(r.until) {
			wait = min(wait, at.Sub(now))
		}
	}
	return max(wait, 0)
}

func (r *run) send(c *conn, at time.Time) error {
	key, n, ok := r.keys.next()
	if !ok {
		r.exhausted = true
		return nil
	}
	c.key, c.n, c.sent = key, n, at
	c.out = r.dialect.Append(c.out[:0], r.job.Verb, key, n)
	r.request = len(c.out)
	r.flying++
	if err := r.poll.write(c.fd, c.out); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	return nil
}

// receive reads what has come and judges it when it is a whole response.
func (r *run) receive(c *conn) error {
	in, err := r.poll.read(c.fd, c.in)
	if err != nil {
		return fmt.Errorf("read response after %d answers: %w", r.acked, err)
	}
	c.in = in
	status, body, size, err := parseResponse(c.in)
	if errors.Is(err, errIncomplete) {
		return nil
	}
	if err != nil {
		return err
	}
	if size != len(c.in) {
		return fmt.Errorf("%d bytes behind the response: %.80q", len(c.in)-size, c.in[size:])
	}
	if err := r.dialect.Check(r.job.Verb, c.key, c.n, status, body); err != nil {
		return fmt.Errorf("answer for key %d: %w", c.key, err)
	}
	now := time.Now()
	r.response = max(r.response, size)
	c.in = c.in[:0]
	r.flying--
	r.answered(c, now)
	if r.job.Rate > 0 {
		r.idle = append(r.idle, c)
		return nil
	}
	if r.over(now) {
		return nil
	}
	return r.send(c, now)
}

// answered counts one answer. A closed loop measures what is answered within
// the window, an open one what was due within it, however late it came.
func (r *run) answered(c *conn, now time.Time) {
	r.acked++
	r.last = now
	at := now
	if r.job.Rate > 0 {
		at = c.sent
	}
	if at.Before(r.from) || !at.Before(r.until) {
		return
	}
	r.latency.Record(now.Sub(c.sent))
}

// markAt reads the CPU clocks when the window begins and when it ends.
func (r *run) markAt(now time.Time) {
	if r.marked == 0 && !now.Before(r.from) || r.marked == 1 && r.over(now) && (r.flying == 0 || !now.Before(r.until)) {
		r.mark[r.marked] = usage{client: proc.OwnCPU(), server: proc.CPU(r.job.ServerPID)}
		r.marked++
	}
}

func (r *run) result() Result {
	end := r.until
	if r.exhausted || end.After(r.last) || r.job.Rate > 0 && r.last.After(end) {
		end = r.last // what an open loop was late with counts against its rate
	}
	result := r.latency.Result(end.Sub(r.from).Seconds())
	result.Acked, result.RequestBytes, result.ResponseBytes = r.acked, r.request, r.response
	if result.Operations > 0 && r.marked == 2 {
		n := float64(result.Operations)
		result.ClientCPU = micros(r.mark[1].client-r.mark[0].client) / n
		result.ServerCPU = micros(r.mark[1].server-r.mark[0].server) / n
	}
	return result
}
