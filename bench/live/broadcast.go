package live

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
)

// restBetween is how long servers rest between two rounds.
const restBetween = 5 * time.Millisecond

// round is one row on its way to everybody.
type round struct {
	number int
	key    int64
	body   []byte // of the first change, judged; all others must be equal
	got    int
	seen   [][]int // by socket and subscription: the round that came last
}

// broadcast inserts one row at a time and times the last of its deliveries,
// every second time through the ceiling program.
func (r *run) broadcast() error {
	at := &round{number: 1}
	event := func(s *socket, payload []byte) error { return at.take(s, payload) }
	for range r.job.Sockets {
		s, err := r.open(r.job.PerSocket, r.everything, event)
		if err != nil {
			return err
		}
		s.keep = true
		at.seen = append(at.seen, make([]int, r.job.PerSocket))
	}
	if err := r.connect(); err != nil {
		return err
	}
	total := r.job.Sockets * r.job.PerSocket
	// The first round warms and gives the bytes for the ceiling.
	if _, err := r.deliver(at, total); err != nil {
		return err
	}
	c, err := r.ceiling()
	if err != nil {
		return err
	}
	r.startCPU()
	var own time.Duration
	for range r.job.Rounds {
		rest := func() error { return r.rest(restBetween) }
		if err := rest(); err != nil {
			return err
		}
		began := time.Now()
		d, err := r.deliver(at, total)
		if err != nil {
			return err
		}
		own += time.Since(began)
		r.result.Broadcasts = append(r.result.Broadcasts, micros(d))
		if c == nil {
			continue
		}
		if err := rest(); err != nil {
			return err
		}
		if d, err = c.round(); err != nil {
			return err
		}
		r.result.Ceilings = append(r.result.Ceilings, micros(d))
	}
	r.endCPU(int64(r.job.Rounds))
	r.result.Answer = quantiles(&r.answers)
	r.result.Deliveries, r.result.Verified = total, int64(total*at.number)
	return r.rest(100 * time.Millisecond) // nothing more may come
}

// rest lets time pass and judges what comes meanwhile.
func (r *run) rest(d time.Duration) error {
	for until := time.Now().Add(d); ; {
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		if err := r.loop.turn(left); err != nil {
			return err
		}
	}
}

// deliver inserts a row and returns the time until everybody had it.
func (r *run) deliver(at *round, total int) (time.Duration, error) {
	at.number++
	at.got, at.body = 0, at.body[:0]
	at.key = r.job.First + r.next
	start := time.Now()
	if _, err := r.insert(); err != nil {
		return 0, err
	}
	var last time.Time
	err := r.loop.await("deliveries", func() bool {
		if at.got == total && last.IsZero() {
			last = time.Now()
		}
		return at.got == total && len(r.idle) > 0
	})
	if err != nil {
		return 0, fmt.Errorf("%w: %d of %d", err, at.got, total)
	}
	return last.Sub(start), nil
}

// take judges one delivery.
func (at *round) take(s *socket, payload []byte) error {
	i, body, err := split(payload)
	if err != nil {
		return err
	}
	if i >= len(at.seen[s.index]) {
		return fmt.Errorf("a change for subscription %d of socket %d", i, s.index)
	}
	if at.seen[s.index][i] == at.number {
		return fmt.Errorf("row %d came twice to subscription %d of socket %d", at.key, i, s.index)
	}
	at.seen[s.index][i] = at.number
	if at.got++; at.got > 1 {
		if !bytes.Equal(body, at.body) {
			return fmt.Errorf("subscription %d of socket %d got %.300q, others %.300q", i, s.index, body, at.body)
		}
		return nil
	}
	at.body = append(at.body, body...)
	key, err := inserted(body)
	if err == nil && key != at.key {
		err = fmt.Errorf("row %d came instead of %d", key, at.key)
	}
	return err
}

// ceilingClient has the same sockets and bytes at the ceiling program.
type ceilingClient struct {
	r       *run
	trigger *conn
	conns   []*conn
	request []byte
	total   int
	got     int
	at      round
}

// ceiling opens the sockets of the ceiling program and gives each the bytes that
// the server has sent to its twin. It returns nil when there is no ceiling.
func (r *run) ceiling() (*ceilingClient, error) {
	if r.job.Ceiling == "" {
		return nil, nil
	}
	c := &ceilingClient{r: r, request: make([]byte, len(r.writers[0].out))}
	for i, s := range r.sockets {
		twin := &socket{r: r, index: i, upgraded: true, event: func(s *socket, payload []byte) error { return c.at.take(s, payload) }}
		conn, err := r.loop.dial(r.job.Ceiling, twin.take)
		if err != nil {
			return nil, err
		}
		twin.c = conn
		c.conns = append(c.conns, conn)
		c.at.seen = append(c.at.seen, make([]int, r.job.PerSocket))
		r.result.Bytes += len(s.raw)
		hello := binary.BigEndian.AppendUint32(nil, uint32(len(s.raw)))
		if err := r.loop.write(conn, append(hello, s.raw...)); err != nil {
			return nil, err
		}
		s.keep, s.raw = false, nil
		c.total += r.job.PerSocket
	}
	c.at.key = r.job.First + r.next - 1
	var err error
	if c.trigger, err = r.trigger(len(c.request), len(c.conns)); err != nil {
		return nil, err
	}
	_, err = c.round() // warms
	return c, err
}

// trigger opens the connection whose requests set the ceiling going.
func (r *run) trigger(request, sockets int) (*conn, error) {
	ready := false
	c, err := r.loop.dial(r.job.Ceiling, func(data []byte) (int, error) { ready = true; return len(data), nil })
	if err != nil {
		return nil, err
	}
	hello := binary.BigEndian.AppendUint32(nil, 0)
	hello = append(hello, []byte(strconv.FormatBool(r.job.Synced))[0])
	hello = binary.BigEndian.AppendUint32(hello, uint32(request))
	hello = binary.BigEndian.AppendUint32(hello, uint32(sockets))
	if err := r.loop.write(c, hello); err != nil {
		return nil, err
	}
	return c, r.loop.await("the ceiling", func() bool { return ready })
}

// countedRequest is how long a request of a ceiling is whose bytes are counted.
const countedRequest = 128

// counted opens sockets of the ceiling that get the bytes in raw whenever a
// request comes on the connection that is returned; got counts them.
func (r *run) counted(raw [][]byte, got *int64) (*conn, error) {
	for _, bytes := range raw {
		c, err := r.loop.dial(r.job.Ceiling, func(data []byte) (int, error) { *got += int64(len(data)); return len(data), nil })
		if err != nil {
			return nil, err
		}
		hello := binary.BigEndian.AppendUint32(nil, uint32(len(bytes)))
		if err := r.loop.write(c, append(hello, bytes...)); err != nil {
			return nil, err
		}
	}
	return r.trigger(countedRequest, len(raw))
}

// round lets the ceiling write to everybody and returns the time until all had
// it.
func (c *ceilingClient) round() (time.Duration, error) {
	c.at.number++
	c.at.got, c.at.body = 0, c.at.body[:0]
	start := time.Now()
	if err := c.r.loop.write(c.trigger, c.request); err != nil {
		return 0, err
	}
	err := c.r.loop.await("deliveries of the ceiling", func() bool { return c.at.got == c.total })
	return time.Since(start), err
}
