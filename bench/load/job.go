package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// Verb is an operation that servers are asked for.
type Verb string

// The verbs. Keys are Job.First and what follows.
const (
	// Insert adds one row per request, each under a new key.
	Insert Verb = "insert"
	// InsertParams is Insert with the values beside the statement.
	InsertParams Verb = "insert_params"
	// InsertRows adds RowsPerInsert rows per request.
	InsertRows Verb = "insert_rows"
	// InsertTransaction adds as many by as many statements in one transaction.
	InsertTransaction Verb = "insert_transaction"
	// Select reads one of Job.Keys rows, chosen evenly.
	Select Verb = "select"
	// SelectParams is Select with the key beside the statement.
	SelectParams Verb = "select_params"
	// Update changes N of one of Job.Keys rows, in turn.
	Update Verb = "update"
	// Delete removes each of Job.Keys rows once.
	Delete Verb = "delete"
	// Aggregate counts Job.Keys rows and adds up their N.
	Aggregate Verb = "aggregate"
)

// RowsPerInsert is how many rows InsertRows adds.
const RowsPerInsert = 50

// Keys is how many keys one request of the verb takes.
func (v Verb) Keys() int64 {
	if v == InsertRows || v == InsertTransaction {
		return RowsPerInsert
	}
	return 1
}

// Dialect says operations in the language of one server and judges its
// answers. It is used by one goroutine.
type Dialect interface {
	// Append appends the bytes of a whole HTTP request. n is what the row's N
	// becomes (Update), what it is (Select, Insert), or the number of rows
	// (Aggregate). Requests of one verb should have one length.
	Append(buf []byte, verb Verb, key, n int64) []byte
	// Check returns an error unless the answer says that the operation was
	// done: one row changed, or the right row read. body is not kept.
	Check(verb Verb, key, n int64, status int, body []byte) error
}

// Opener is implemented by dialects that say something first on every
// connection, to which nothing is answered.
type Opener interface {
	Open(buf []byte) []byte
}

// Job is one run of the load client.
type Job struct {
	Target string // names the dialect
	Addr   string // host:port
	Token  string // access token, where the target has them
	Table  string // table or collection
	Verb   Verb
	First  int64 // first key
	Keys   int64 // rows that are there from First on, for verbs on rows
	// Updates is how many updates came before, so that each sets another number:
	// one that changes nothing is no update.
	Updates int64
	Conns   int // connections, each with at most one request in flight
	// Rate is how many requests per second are due; 0 means a closed loop.
	Rate float64
	// Requests ends the run after so many; 0 means no limit.
	Requests int64
	Warm     time.Duration // what comes before the measured window
	Measure  time.Duration // the window; 0 means until Requests or Keys are used up
	// RequestBytes and ResponseBytes are what ceilings imitate; KeptBytes of a
	// request are what they make durable.
	RequestBytes, ResponseBytes, KeptBytes int
	ServerPID                              int // whose CPU time is read; 0 means nobody's
}

// Result is what a run has shown. Times are in microseconds.
type Result struct {
	Operations int64   // answered within the window
	Seconds    float64 // of the window
	Acked      int64   // answered with success in all, outside of the window too
	PerSecond  float64
	P50, P90   float64
	P99, P999  float64
	Max        float64
	// CPU time per operation, of client and server.
	ClientCPU, ServerCPU float64
	// Bytes of the last request and the longest response.
	RequestBytes, ResponseBytes int
}

// Serve reads a Job from in, runs it, and writes its Result to out: the inside
// of the load process.
func Serve(in io.Reader, out io.Writer, dialect func(Job) (Dialect, error)) error {
	var job Job
	if err := json.NewDecoder(in).Decode(&job); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	d, err := dialect(job)
	if err != nil {
		return err
	}
	result, err := Run(job, d)
	if err != nil {
		return fmt.Errorf("%s %s on %s with %d connections: %w", job.Target, job.Verb, job.Addr, job.Conns, err)
	}
	return json.NewEncoder(out).Encode(result)
}

// Remote runs a job of this package or of another in a process of its own, the
// given command, which takes it on standard input and answers with its result.
func Remote[Job, Result any](ctx context.Context, command *exec.Cmd, job Job) (result Result, err error) {
	text, err := json.Marshal(job)
	if err != nil {
		return result, err
	}
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(text), &stdout, &stderr
	if err := command.Run(); err != nil {
		return result, fmt.Errorf("client process: %w: %s", errors.Join(ctx.Err(), err), bytes.TrimSpace(stderr.Bytes()))
	}
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		return result, fmt.Errorf("read result of the client process: %w", err)
	}
	return result, nil
}
