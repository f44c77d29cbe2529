package live

import (
	"fmt"
	"time"

	"kalamdb/bench/load"
)

// everything selects all rows of the table.
func (r *run) everything(int) string { return "SELECT * FROM " + r.job.Table }

// flight is an INSERT whose event is awaited.
type flight struct{ due, sent time.Time }

// latency inserts rows at a rate, or as fast as they are answered, and times the
// event of each at one subscriber.
func (r *run) latency() error {
	if err := r.connect(); err != nil {
		return err
	}
	var flights []flight // by key
	var seen int64
	var fromDue, fromSent load.Histogram
	var from, until time.Time
	event := func(_ *socket, payload []byte) error {
		now := time.Now()
		_, body, err := split(payload)
		if err != nil {
			return err
		}
		key, err := inserted(body)
		if err != nil {
			return err
		}
		i := key - r.job.First
		if i < 0 || i >= int64(len(flights)) || flights[i].due.IsZero() {
			return fmt.Errorf("row %d came twice, or was never inserted", key)
		}
		f := flights[i]
		flights[i] = flight{}
		seen++
		if !f.due.Before(from) && f.due.Before(until) {
			fromDue.Record(now.Sub(f.due))
			fromSent.Record(now.Sub(f.sent))
		}
		return nil
	}
	if _, err := r.open(1, r.everything, event); err != nil {
		return err
	}
	start := time.Now()
	from = start.Add(r.job.Warm)
	until = from.Add(r.job.Measure)
	warming := true
	for now := start; now.Before(until); now = time.Now() {
		if warming && !now.Before(from) {
			warming = false
			r.answers = load.Histogram{}
			r.startCPU()
		}
		wait := 10 * time.Millisecond
		for len(r.idle) > 0 {
			due := now
			if r.job.Rate > 0 {
				due = start.Add(time.Duration(float64(r.next) / r.job.Rate * float64(time.Second)))
				if due.After(now) {
					wait = min(wait, due.Sub(now))
					break
				}
			}
			flights = append(flights, flight{due: due, sent: time.Now()})
			if _, err := r.insert(); err != nil {
				return err
			}
		}
		if err := r.loop.turn(wait); err != nil {
			return err
		}
	}
	r.endCPU(r.answers.Count())
	r.result.PerSecond = float64(r.answers.Count()) / time.Since(from).Seconds()
	if err := r.loop.await("answers and events", func() bool { return r.acked == r.next && seen == r.next }); err != nil {
		return fmt.Errorf("%w: %d rows, %d answers, %d events", err, r.next, r.acked, seen)
	}
	if err := r.loop.turn(50 * time.Millisecond); err != nil { // nothing more may come
		return err
	}
	r.result.Live, r.result.FromSent, r.result.Answer = quantiles(&fromDue), quantiles(&fromSent), quantiles(&r.answers)
	r.result.Verified = seen
	return nil
}
