package live

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"kalamdb/bench/load"
)

var (
	batchHead = []byte(`{"type":"initial_data_batch","subscription_id":"s0"`)
	moreText  = []byte(`"has_more":true`)
	seqField  = []byte(`"_seq":"`)
	lastSeq   = []byte(`"last_seq_id":`)
)

// reader is one subscription that asks for what is there, or what was missed.
type reader struct {
	r       *run
	s       *follower
	rows    int
	pages   int
	done    bool
	first   time.Time // of the first page
	last    []byte    // position of the newest row
	changes func(body []byte) error
}

// ask opens a socket, subscribes, and reads pages until there are no more.
func (r *run) ask(options map[string]any, changes func([]byte) error) (*reader, error) {
	x := &reader{r: r, s: &follower{r: r}, changes: changes}
	var err error
	x.s.c, err = r.loop.dial(r.job.Addr, func(data []byte) (int, error) { return x.s.frames(data, x.message) })
	if err != nil {
		return nil, err
	}
	out := r.upgrade("/v1/ws?compress=false", "Authorization: Bearer "+r.job.Token+"\r\n")
	return x, r.loop.write(x.s.c, appendMasked(out, opText, subscribeMessage(0, r.everything(0), options)))
}

func (x *reader) message(payload []byte) error {
	switch {
	case bytes.HasPrefix(payload, batchHead):
		if x.pages++; x.pages == 1 {
			x.first = time.Now()
		}
		x.rows += bytes.Count(payload, rowKey)
		if !bytes.Contains(payload, moreText) {
			x.done = true
			return nil
		}
		at := bytes.LastIndex(payload, lastSeq)
		if at < 0 {
			return fmt.Errorf("a page without a position: %.300q", payload)
		}
		seq := payload[at+len(lastSeq):]
		seq = seq[:bytes.IndexAny(seq, ",}")]
		next := append([]byte(`{"type":"next_batch","subscription_id":"s0","last_seq_id":`), seq...)
		return x.r.loop.writeNow(x.s.c, appendMasked(nil, opText, append(next, '}')))
	case bytes.HasPrefix(payload, changeHead):
		_, body, err := split(payload)
		if err != nil {
			return err
		}
		if at := bytes.LastIndex(body, seqField); at >= 0 {
			seq, _, _ := bytes.Cut(body[at+len(seqField):], []byte(`"`))
			x.last = append(x.last[:0], seq...)
		}
		return x.changes(body)
	case bytes.HasPrefix(payload, ackHead):
		x.s.acked++
		return nil
	case bytes.HasPrefix(payload, authHead):
		return nil
	}
	return fmt.Errorf("message %.300q", payload)
}

// rowKey begins every row of a page.
var rowKey = []byte(`{"id":"`)

// snapshot subscribes to Keys rows, Rounds times, and times the first page and
// the last.
func (r *run) snapshot() error {
	for range r.job.Rounds {
		began := time.Now()
		x, err := r.ask(map[string]any{"batch_size": 1000}, func(body []byte) error { return fmt.Errorf("a change %.300q", body) })
		if err != nil {
			return err
		}
		if err := r.loop.await("rows", func() bool { return x.done }); err != nil {
			return fmt.Errorf("%w: %d rows in %d pages", err, x.rows, x.pages)
		}
		r.result.Took = append(r.result.Took, float64(time.Since(began))/float64(time.Millisecond))
		r.result.PageTook = append(r.result.PageTook, float64(x.first.Sub(began))/float64(time.Millisecond))
		if int64(x.rows) != r.job.Keys {
			return fmt.Errorf("%d rows came, there are %d", x.rows, r.job.Keys)
		}
		r.result.Verified += int64(x.rows)
		r.loop.drop(x.s.c)
	}
	return nil
}

// resume follows the table, leaves, lets Keys rows be inserted, and comes back
// with its position, Rounds times: each row must come once, in order.
func (r *run) resume() error {
	if err := r.connect(); err != nil {
		return err
	}
	next, want := r.job.First, int64(0)
	judge := func(body []byte) error {
		key, err := inserted(body)
		if err == nil && key != next {
			err = fmt.Errorf("row %d came instead of %d", key, next)
		}
		next++
		return err
	}
	insert := func(rows int64) error {
		for want += rows; r.next < want; {
			if _, err := r.insert(); err != nil {
				return err
			}
			if err := r.loop.await("an answer", func() bool { return len(r.idle) > 0 }); err != nil {
				return err
			}
		}
		return nil
	}
	arrived := func() bool { return next == r.job.First+want }
	x, err := r.ask(nil, judge)
	if err != nil {
		return err
	}
	if err := r.loop.await("the subscription", func() bool { return x.s.acked > 0 }); err != nil {
		return err
	}
	if err := insert(load.RowsPerInsert); err != nil {
		return err
	}
	for range r.job.Rounds {
		if err := r.loop.await("rows", arrived); err != nil {
			return err
		}
		r.loop.drop(x.s.c)
		from, err := strconv.ParseUint(string(x.last), 10, 64)
		if err != nil {
			return fmt.Errorf("no position: %w", err)
		}
		if err := insert(r.job.Keys); err != nil {
			return err
		}
		began := time.Now()
		if x, err = r.ask(map[string]any{"from": strconv.FormatUint(from, 10), "replay": "changes"}, judge); err != nil {
			return err
		}
		if err := r.loop.await("missed rows", arrived); err != nil {
			return fmt.Errorf("%w: %d of %d", err, next-r.job.First, want)
		}
		r.result.Took = append(r.result.Took, float64(time.Since(began))/float64(time.Millisecond))
		r.result.Verified += r.job.Keys
	}
	return r.rest(100 * time.Millisecond) // nothing more may come
}
