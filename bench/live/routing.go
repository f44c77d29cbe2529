package live

import (
	"fmt"
	"time"

	"kalamdb/bench/load"
	"kalamdb/bench/proc"
	"kalamdb/bench/target"
)

// crowdPerSocket is how many subscriptions of the crowd share a socket.
const crowdPerSocket = 10_000

// passed selects rows of a table that nobody inserts, another set per number and
// not all by the same kind of condition.
func passed(table string, i int) string {
	from := "SELECT * FROM " + table + " WHERE "
	switch i % 8 {
	case 5:
		return fmt.Sprintf("%sn BETWEEN %d AND %d", from, -10*i-9, -10*i-5)
	case 6:
		return fmt.Sprintf("%sv LIKE 'nobody %d %%'", from, i)
	case 7:
		return fmt.Sprintf("%sn = %d OR v = 'nobody %d'", from, -10*i-1, i)
	}
	return fmt.Sprintf("%sn = %d", from, -10*i-1)
}

// routing gives each table its crowd, then inserts into them in turn, one row at
// a time, and times the event at the one subscription that selects it.
func (r *run) routing() error {
	memory := func(step int) error {
		if err := r.rest(r.job.Settle); err != nil {
			return err
		}
		m, err := proc.MemoryOf(r.job.ServerPID)
		r.result.Memory = append(r.result.Memory, Memory{Connections: step, Anonymous: m.Anonymous, RSS: m.Resident})
		return err
	}
	if err := memory(0); err != nil {
		return err
	}
	var at *flight
	var events load.Histogram
	event := func(_ *socket, payload []byte) error {
		_, body, err := split(payload)
		if err != nil {
			return err
		}
		key, err := inserted(body)
		if err != nil || at == nil || key != r.job.First+r.next-1 {
			return fmt.Errorf("row %d came twice, or was never inserted: %w", key, err)
		}
		events.Record(time.Since(at.sent))
		at = nil
		r.result.Verified++
		return nil
	}
	for i, table := range r.job.Tables {
		for n := 0; n < r.job.Steps[i]; n += crowdPerSocket {
			if _, err := r.open(min(crowdPerSocket, r.job.Steps[i]-n), func(j int) string { return passed(table, n+j) }, nothing); err != nil {
				return fmt.Errorf("subscription %d of %s: %w", n, table, err)
			}
		}
		if _, err := r.open(1, func(int) string { return "SELECT * FROM " + table + " WHERE n >= 0" }, event); err != nil {
			return err
		}
		if err := memory(r.job.Steps[i]); err != nil {
			return err
		}
	}
	if err := r.connect(); err != nil {
		return err
	}
	r.result.Routes = make([][]Quantiles, len(r.job.Tables))
	for round := range r.job.Rounds {
		for i := range r.job.Tables {
			i = (i + round) % len(r.job.Tables)
			warm := time.Now().Add(r.job.Warm)
			events = load.Histogram{}
			for until := warm.Add(r.job.Measure); time.Now().Before(until); {
				if now := time.Now(); now.Before(warm) {
					events = load.Histogram{}
				}
				at = &flight{sent: time.Now()}
				if err := r.insertInto(r.job.Tables[i]); err != nil {
					return err
				}
				if err := r.loop.await("the event", func() bool { return at == nil && len(r.idle) > 0 }); err != nil {
					return err
				}
			}
			r.result.Routes[i] = append(r.result.Routes[i], quantiles(&events))
		}
	}
	return r.rest(100 * time.Millisecond) // nothing more may come
}

// insertInto is insert for one of several tables.
func (r *run) insertInto(table string) error {
	job := r.job.Job
	job.Table = table
	d, err := target.New(job)
	if err != nil {
		return err
	}
	r.dialect = d
	_, err = r.insert()
	return err
}
