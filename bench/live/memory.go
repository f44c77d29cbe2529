package live

import (
	"fmt"
	"time"

	"kalamdb/bench/load"
	"kalamdb/bench/proc"
)

// rare selects rows that nobody inserts, another set per number.
func (r *run) rare(i int) string {
	return fmt.Sprintf("SELECT * FROM %s WHERE n = %d", r.job.Table, -1-i)
}

// memory opens connections with PerSocket subscriptions each, step by step, and
// reads what the server holds when it has been left alone for a while.
func (r *run) memory() error {
	for _, step := range r.job.Steps {
		for len(r.sockets) < step {
			n := len(r.sockets) * r.job.PerSocket
			if _, err := r.open(r.job.PerSocket, func(i int) string { return r.rare(n + i) }, nothing); err != nil {
				return fmt.Errorf("socket %d: %w", len(r.sockets), err)
			}
		}
		if err := r.rest(r.job.Settle); err != nil {
			return err
		}
		m, err := proc.MemoryOf(r.job.ServerPID)
		if err != nil {
			return err
		}
		r.result.Memory = append(r.result.Memory, Memory{Connections: step, Anonymous: m.Anonymous, RSS: m.Resident})
	}
	return nil
}

// Slope is the growth per connection between the first and the last step, in
// bytes, of anonymous memory and of RSS.
func (r *Result) Slope() (anonymous, rss float64) {
	if len(r.Memory) < 2 {
		return 0, 0
	}
	a, b := r.Memory[0], r.Memory[len(r.Memory)-1]
	n := float64(b.Connections - a.Connections)
	return float64(b.Anonymous-a.Anonymous) / n, float64(b.RSS-a.RSS) / n
}

// crowd inserts rows, one at a time, that no subscription selects.
func (r *run) crowd() error {
	for len(r.sockets) < r.job.Sockets {
		n := len(r.sockets) * r.job.PerSocket
		if _, err := r.open(r.job.PerSocket, func(i int) string { return r.rare(n + i) }, nothing); err != nil {
			return err
		}
	}
	if err := r.connect(); err != nil {
		return err
	}
	start := time.Now()
	from := start.Add(r.job.Warm)
	until := from.Add(r.job.Measure)
	warming := true
	for now := start; now.Before(until); now = time.Now() {
		if warming && !now.Before(from) {
			warming = false
			r.answers = load.Histogram{}
			r.startCPU()
		}
		for len(r.idle) > 0 {
			if _, err := r.insert(); err != nil {
				return err
			}
		}
		if err := r.loop.turn(10 * time.Millisecond); err != nil {
			return err
		}
	}
	r.endCPU(r.answers.Count())
	r.result.PerSecond = float64(r.answers.Count()) / time.Since(from).Seconds()
	r.result.Answer = quantiles(&r.answers)
	return r.loop.await("answers", func() bool { return r.acked == r.next })
}
