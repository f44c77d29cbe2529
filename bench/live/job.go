package live

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"kalamdb/bench/load"
)

// Scenario is what a Job measures.
type Scenario string

// The scenarios.
const (
	// Latency inserts rows and waits for the event of each.
	Latency Scenario = "latency"
	// Broadcast inserts one row at a time and waits until everybody has it.
	Broadcast Scenario = "broadcast"
	// Idle opens connections and reads the memory of the server.
	Idle Scenario = "idle"
	// Crowd inserts rows beside subscriptions that select none of them.
	Crowd Scenario = "crowd"
	// Sustained publishes rows without a rest, to followers of any server.
	Sustained Scenario = "sustained"
	// Routing inserts rows that one subscription of many selects.
	Routing Scenario = "routing"
	// Snapshot subscribes to rows that are there.
	Snapshot Scenario = "snapshot"
	// Resume comes back to rows that were missed.
	Resume Scenario = "resume"
)

// Job is one run of the live client. Target, Addr, Token, Table, First, Conns,
// Rate, Warm, Measure and ServerPID of the load client mean the same here; the
// connections are those that insert.
type Job struct {
	load.Job
	Scenario Scenario
	// Sockets and PerSocket are how many subscriptions there are.
	Sockets, PerSocket int
	// Ceiling is the address of the ceiling program of a broadcast.
	Ceiling string
	// Synced says that the ceiling syncs before it writes.
	Synced bool
	// Rounds is how many rows are broadcast, or how often something is done.
	Rounds int
	// Flight is how many requests of a sustained run are under way.
	Flight int64
	// Tables and Steps are where a routing run inserts, and how many
	// subscriptions each has that do not want the row.
	Tables []string
	// Steps are the numbers of connections at which memory is read.
	Steps []int
	// Settle is how long the server is left alone before its memory is read.
	Settle time.Duration
}

// Quantiles are of durations, in microseconds.
type Quantiles struct {
	Count               int64
	P50, P90, P99, P999 float64
	Max                 float64
}

// Memory is what the server held at one step, in bytes.
type Memory struct {
	Connections    int
	Anonymous, RSS int64
}

// Result is what a run has shown. Which fields count depends on the scenario.
type Result struct {
	// Live is from the moment an insert was due to its event; FromSent from the
	// moment it was sent; Answer from then to its answer.
	Live, FromSent, Answer Quantiles
	PerSecond              float64 // inserts
	// Broadcasts hold one figure per round: microseconds until the last
	// delivery, of the server and of the ceiling.
	Broadcasts, Ceilings []float64
	Deliveries           int   // per round
	Bytes                int   // per round
	Verified             int64 // deliveries judged
	// EventsPerSecond are deliveries.
	EventsPerSecond float64
	// Routes hold the quantiles by table and round of a routing run.
	Routes [][]Quantiles
	// Took is in milliseconds, by round; PageTook, of a snapshot, is until its
	// first page.
	Took, PageTook []float64
	// Memory holds one entry per step.
	Memory []Memory
	// CPU time per operation in microseconds: an insert, or a broadcast row.
	ClientCPU, ServerCPU float64
}

// quantiles summarises a histogram.
func quantiles(h *load.Histogram) Quantiles {
	us := func(q float64) float64 { return micros(h.Quantile(q)) }
	return Quantiles{Count: h.Count(), P50: us(0.5), P90: us(0.9), P99: us(0.99), P999: us(0.999), Max: micros(h.Max())}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// Serve reads a Job from in, runs it and writes its Result to out: the inside
// of the client process.
func Serve(in io.Reader, out io.Writer, dialect func(load.Job) (load.Dialect, error)) error {
	var job Job
	if err := json.NewDecoder(in).Decode(&job); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	d, err := dialect(job.Job)
	if err != nil {
		return err
	}
	result, err := Run(job, d)
	if err != nil {
		return fmt.Errorf("%s on %s: %w", job.Scenario, job.Addr, err)
	}
	return json.NewEncoder(out).Encode(result)
}
