package live

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"kalamdb/bench/load"
	"kalamdb/bench/target"
)

// follower is a socket of any server, with its subscriptions.
type follower struct {
	r        *run
	c        *conn
	upgraded bool
	then     []byte // what is said when the WebSocket is open
	acked    int
	told     []int64 // deliveries by subscription
	raw      []byte  // what has come, while it is kept
}

// torrent is rows on their way to everybody, several at a time.
type torrent struct {
	r         *run
	feed      feed
	followers []*follower
	publisher *conn // of a server that answers nothing
	out       []byte
	flights   map[int64]*flying // by key
	spare     []*flying
	published int64
	arrived   int64 // rows that everybody has
	events    int64
	keep      bool
}

// flying is a row and how far it is.
type flying struct {
	got  int
	body []byte
}

// sustained publishes rows, Flight of them under way at a time, and counts the
// deliveries of the measured window.
func (r *run) sustained() error {
	t, err := r.follow()
	if err != nil {
		return err
	}
	// What is sent first warms, and gives the bytes for the ceiling.
	t.keep = r.job.Ceiling != ""
	batch := r.job.Flight * r.keysOf()
	for t.published < batch {
		if err := t.publish(); err != nil {
			return err
		}
	}
	if err := r.loop.await("deliveries", func() bool { return t.arrived == t.published }); err != nil {
		return fmt.Errorf("%w: %d of %d rows", err, t.arrived, t.published)
	}
	t.keep = false
	if err := t.pour(r.job.Warm); err != nil {
		return err
	}
	events, arrived, began := t.events, t.arrived, time.Now()
	r.startCPU()
	if err := t.pour(r.job.Measure); err != nil {
		return err
	}
	r.endCPU(t.events - events)
	seconds := time.Since(began).Seconds()
	r.result.PerSecond, r.result.EventsPerSecond = float64(t.arrived-arrived)/seconds, float64(t.events-events)/seconds
	if err := t.end(); err != nil {
		return err
	}
	if r.job.Ceiling != "" {
		return r.pourCeiling(t, int(batch))
	}
	return nil
}

// follow opens the sockets and awaits their subscriptions.
func (r *run) follow() (*torrent, error) {
	feed, err := r.feedOf()
	if err != nil {
		return nil, err
	}
	t := &torrent{r: r, feed: feed, flights: map[int64]*flying{}}
	hello, then := feed.hello(r.job.PerSocket)
	for range r.job.Sockets {
		f := &follower{r: r, then: then, told: make([]int64, r.job.PerSocket)}
		f.c, err = r.loop.dial(r.job.Addr, func(data []byte) (int, error) {
			used, err := feed.take(f, data, func(i int, body []byte) error { return t.take(f, i, body) })
			if t.keep {
				f.raw = append(f.raw, data[:used]...)
			}
			return used, err
		})
		if err != nil {
			return nil, err
		}
		t.followers = append(t.followers, f)
		if err := r.loop.write(f.c, hello); err != nil {
			return nil, err
		}
		if err := r.loop.await("subscriptions", func() bool { return f.acked == r.job.PerSocket }); err != nil {
			return nil, err
		}
	}
	if r.job.Target != target.NATS {
		return t, r.connect()
	}
	t.publisher, err = r.loop.dial(r.job.Addr, func(data []byte) (int, error) {
		return feed.take(&follower{r: r, c: t.publisher}, data, nil)
	})
	if err != nil {
		return nil, err
	}
	hello, _ = feed.hello(0)
	return t, r.loop.write(t.publisher, hello)
}

// pour publishes for a while.
func (t *torrent) pour(d time.Duration) error {
	for until := time.Now().Add(d); time.Now().Before(until); {
		for t.published-t.arrived < t.r.job.Flight*t.r.keysOf() && (t.publisher != nil || len(t.r.idle) > 0) {
			if err := t.publish(); err != nil {
				return err
			}
		}
		if err := t.r.loop.turn(10 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// publish sends the next rows.
func (t *torrent) publish() error {
	r := t.r
	for t.publisher == nil && len(r.idle) == 0 {
		if err := r.loop.turn(10 * time.Millisecond); err != nil {
			return err
		}
	}
	n := r.keysOf()
	key := r.job.First + r.next
	for i := range n {
		f := &flying{}
		if last := len(t.spare) - 1; last >= 0 {
			f, t.spare = t.spare[last], t.spare[:last]
		}
		f.got, f.body = 0, f.body[:0]
		t.flights[key+i] = f
	}
	t.published += n
	if t.publisher == nil {
		_, err := r.insert()
		return err
	}
	t.out = r.dialect.Append(t.out[:0], load.Insert, key, load.Number(key))
	r.next++
	return r.loop.write(t.publisher, t.out)
}

var rowHead = []byte(`{"id":"`)

// take judges one delivery: a row that is under way, the same bytes for
// everybody, and to everybody once.
func (t *torrent) take(s *follower, subscription int, body []byte) error {
	if subscription < 0 || subscription >= len(s.told) {
		return fmt.Errorf("a delivery for subscription %d", subscription)
	}
	at := bytes.Index(body, rowHead)
	if at < 0 {
		return fmt.Errorf("delivery %.300q", body)
	}
	digits, _, _ := bytes.Cut(body[at+len(rowHead):], []byte(`"`))
	key, err := strconv.ParseInt(string(digits), 10, 64)
	f := t.flights[key]
	switch {
	case err != nil || f == nil:
		return fmt.Errorf("row %q came once too often, or was never published", digits)
	case f.got == 0:
		if t.r.job.Target == target.KalamDB {
			_, err = inserted(body)
		}
		f.body = append(f.body, body...)
	case !bytes.Equal(f.body, body):
		err = fmt.Errorf("row %d is %.300q for one and %.300q for another", key, f.body, body)
	}
	f.got++
	t.events++
	s.told[subscription]++
	if f.got == t.r.job.Sockets*t.r.job.PerSocket {
		t.arrived++
		delete(t.flights, key)
		t.spare = append(t.spare, f)
	}
	return err
}

// end waits for what is under way: then everybody must have had as many rows as
// were published.
func (t *torrent) end() error {
	r := t.r
	if err := r.loop.await("deliveries", func() bool { return t.arrived == t.published && (t.publisher != nil || len(r.idle) == len(r.writers)) }); err != nil {
		return fmt.Errorf("%w: %d of %d rows", err, t.arrived, t.published)
	}
	if err := r.rest(50 * time.Millisecond); err != nil {
		return err
	}
	for i, f := range t.followers {
		for j, n := range f.told {
			if n != t.published {
				return fmt.Errorf("subscription %d of socket %d had %d of %d rows", j, i, n, t.published)
			}
		}
	}
	r.result.Verified = t.events
	return nil
}

// pourCeiling lets the ceiling write what the server wrote for a batch of rows, to
// as many sockets with one write each, two batches under way.
func (r *run) pourCeiling(t *torrent, batch int) error {
	var want, got int64
	var raw [][]byte
	for _, f := range t.followers {
		raw = append(raw, f.raw)
		want += int64(len(f.raw))
	}
	c, err := r.counted(raw, &got)
	if err != nil {
		return err
	}
	request := make([]byte, countedRequest)
	var sent int64
	pour := func(d time.Duration) error {
		for until := time.Now().Add(d); time.Now().Before(until); {
			for sent-got/want < 2 {
				if err := r.loop.write(c, request); err != nil {
					return err
				}
				sent++
			}
			if err := r.loop.turn(10 * time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	}
	if err := pour(r.job.Warm); err != nil {
		return err
	}
	began := time.Now()
	before := got
	if err := pour(r.job.Measure); err != nil {
		return err
	}
	perByte := float64(batch*r.job.Sockets*r.job.PerSocket) / float64(want)
	r.result.Ceilings = append(r.result.Ceilings, float64(got-before)*perByte/time.Since(began).Seconds())
	return r.loop.await("deliveries of the ceiling", func() bool { return got == sent*want })
}
