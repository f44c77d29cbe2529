// Package job runs the work that statements start and do not wait for.
//
// A job is a row of system.jobs and a function. It is queued, running, perhaps
// retrying, and then completed, failed, cancelled or skipped; every state is a
// committed command before anyone is told of it. A job with an idempotency key is
// not started while another with that key is active. Those that wait run by
// priority, and by age within one. A job that fails for a reason that may pass is
// tried again after a delay that grows, as often as its Spec allows.
//
// A stop or a crash interrupts jobs. Those of a kind that someone can Resume are
// queued again by the next Run, at most three times after they were running, so
// that a job that takes the process down does not do so for ever; the others are
// marked failed with the reason.
//
// At most Options.Queue jobs wait; more are refused with SERVER_BUSY.
//
// Goroutines: Options.Workers, started by Run; one keeps its thread while it runs
// a job, so that the thread's time is the job's. Locks: Runner.mu, never held
// while a command is proposed.
package job

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// Options say what a Runner works with.
type Options struct {
	// Committer takes the rows of jobs; required.
	Committer command.Committer
	// View returns the current moment, held for the caller; required.
	View func() *catalog.View
	// Workers is how many jobs run at once; 2 when 0.
	Workers int
	// Queue is how many jobs may wait; 256 when 0.
	Queue int
	// NodeID is shown with each job.
	NodeID uint16
	// RetryDelay is the time before the first retry, and doubles with each; 500 ms
	// when 0.
	RetryDelay time.Duration
	// Trace, if not nil, is called as a job begins to run and returns the context
	// that it runs under and what is to be called with its fault, if any.
	Trace func(ctx context.Context, kind, id string) (context.Context, func(error))
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Entropy feeds the ids; crypto/rand when nil.
	Entropy io.Reader
	// Logger gets what operators should know; slog.Default when nil.
	Logger *slog.Logger
}

// Spec is a job to be started.
type Spec struct {
	// Type is the kind of work, in lower case: "flush", "cleanup".
	Type string
	// Prefix begins the id: "FL", "CL".
	Prefix string
	// Key keeps a second job from starting while one with it is active; empty
	// for none.
	Key string
	// Priority puts a job before waiting ones with a smaller number.
	Priority int32
	// Retries is how often a job that fails for a reason that may pass is tried
	// again; 0 for never, at most MaxRetries.
	Retries int16
	// Relaxed makes the row of the job durable with whatever is committed next, for
	// a job that nobody misses after a crash: it costs no fsync of its own.
	Relaxed bool
	// Parameters is a JSON object for system.jobs.
	Parameters string
	// Actor is who asked for it.
	Actor schema.UserID
	// Run does the work. Its message is shown; ctx ends when the job is
	// cancelled or the server stops, and is what Progress takes. It may be called
	// again after an error, and goes on where it stopped.
	Run func(ctx context.Context) (message string, err error)
	// Unrun, if not nil, is called once in place of Run when the job ends before
	// its first try, and before its end is told: it takes back what whoever
	// submitted the job has done for it.
	Unrun func(ctx context.Context)
}

// MaxRetries is how often a job is tried again at most.
const MaxRetries = 3

// ErrSkip, returned by Spec.Run with a message, says that nothing had to be
// done.
var ErrSkip = errors.New("there was nothing to do")

// errCancelled is the cause of a context that KILL JOB ended.
var errCancelled = errors.New("the job was cancelled")

// Runner runs jobs.
type Runner struct {
	o     Options
	wake  chan struct{}                            // holds a token while the queue may not be empty
	kinds map[string]func(schema.Job) (Spec, bool) // written before Run
	mu    struct {
		sync.Mutex
		queue  []*task             // at most Options.Queue, by priority and age
		late   []*task             // those that wait for their next try
		active map[string]*task    // by job id: all that are not finished
		keys   map[string]*task    // by idempotency key
		born   map[string]struct{} // ids of this life, until those of earlier ones are recovered
	}
}

// task is a job that is not finished.
type task struct {
	spec    Spec
	job     schema.Job              // written by whoever runs it; guarded by Runner.mu
	cancel  context.CancelCauseFunc // guarded by Runner.mu; nil until it runs
	stopped bool                    // guarded by Runner.mu: to be cancelled as soon as it runs
	tried   bool                    // guarded by Runner.mu: Run was called
	due     time.Time               // guarded by Runner.mu: the next try of one that waits for it
	written time.Time               // guarded by Runner.mu: when progress was last committed
	heap    uint64                  // guarded by Runner.mu: bytes of the heap as it began to run
	done    chan struct{}           // closed when the final state is committed
}

// New returns a Runner. Jobs are queued until Run.
func New(o Options) *Runner {
	if o.Workers <= 0 {
		o.Workers = 2
	}
	if o.Queue <= 0 {
		o.Queue = 256
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Entropy == nil {
		o.Entropy = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.RetryDelay <= 0 {
		o.RetryDelay = 500 * time.Millisecond
	}
	r := &Runner{o: o, wake: make(chan struct{}, 1), kinds: map[string]func(schema.Job) (Spec, bool){}}
	r.mu.born = map[string]struct{}{}
	r.mu.active = map[string]*task{}
	r.mu.keys = map[string]*task{}
	return r
}

// Run runs jobs until ctx ends; then the running ones are told to stop. Those
// that the next life can resume stay queued, the others are marked failed.
func (r *Runner) Run(ctx context.Context) error {
	if err := r.recover(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("recover jobs: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	for n := range r.o.Workers {
		g.Go(func() error { return r.work(ctx, n+1) })
	}
	err := g.Wait()
	r.leave(context.WithoutCancel(ctx))
	return err
}

// Finished reports whether a job has reached its last state.
func Finished(j *schema.Job) bool {
	switch j.Status {
	case schema.JobCompleted, schema.JobFailed, schema.JobCancelled, schema.JobSkipped:
		return true
	}
	return false
}

// Submit queues a job and returns its row. When one with its key is active,
// that one is returned and started is false.
func (r *Runner) Submit(ctx context.Context, s Spec) (j schema.Job, started bool, err error) {
	id, err := r.newID(s.Prefix)
	if err != nil {
		return schema.Job{}, false, err
	}
	now := r.o.Now().UnixMicro()
	t := &task{spec: s, done: make(chan struct{}), job: schema.Job{
		ID: id, Type: s.Type, Status: schema.JobQueued, Parameters: s.Parameters, IdempotencyKey: s.Key, Queue: "default",
		Priority: s.Priority, MaxRetries: min(max(s.Retries, 0), MaxRetries), Actor: s.Actor,
		CreatedAt: now, UpdatedAt: now, NodeID: int64(r.o.NodeID),
	}}
	if other, err := r.reserve(t); err != nil || other != nil {
		if other != nil {
			j = *other
		}
		return j, false, err
	}
	j = t.job
	if err := r.put(ctx, t, j, true); err != nil {
		r.release(t)
		close(t.done)
		return schema.Job{}, false, err
	}
	r.enqueue(t)
	return j, true, nil
}

// newID returns a prefix with a unique part that grows with time.
func (r *Runner) newID(prefix string) (string, error) {
	var chance [5]byte
	if _, err := io.ReadFull(r.o.Entropy, chance[:]); err != nil {
		return "", fmt.Errorf("draw a job id: %w", err)
	}
	return fmt.Sprintf("%s-%011x%s", prefix, r.o.Now().UnixMilli(), hex.EncodeToString(chance[:])), nil
}

// Wait returns a job's row once it is finished.
func (r *Runner) Wait(ctx context.Context, id string) (schema.Job, error) {
	if t := r.find(id); t != nil {
		select {
		case <-t.done:
		case <-ctx.Done():
			return schema.Job{}, ctx.Err()
		}
	}
	return r.read(id)
}

func (r *Runner) read(id string) (schema.Job, error) {
	view := r.o.View()
	defer view.Release()
	j, ok, err := catalog.Jobs().Get(view.Reader(), id)
	if err == nil && !ok {
		err = fault.New(fault.ObjectNotFound, "Job '%s' not found", id)
	}
	return j, err
}

// Cancel ends a job that is not finished and returns its row when it has ended.
func (r *Runner) Cancel(ctx context.Context, id string) (schema.Job, error) {
	r.mu.Lock()
	t := r.mu.active[id]
	waited := t != nil && r.stop(t)
	r.mu.Unlock()
	if t == nil {
		j, err := r.read(id)
		if err == nil {
			err = fault.New(fault.InvalidOperation, "Job '%s' is %s already", id, j.Status)
		}
		return schema.Job{}, err
	}
	if waited {
		r.finish(context.WithoutCancel(ctx), t, schema.JobCancelled, errCancelled.Error())
	}
	j, err := r.Wait(ctx, id)
	if err == nil && j.Status != schema.JobCancelled { // it ended by itself meanwhile
		return schema.Job{}, fault.New(fault.InvalidOperation, "Job '%s' is %s already", id, j.Status)
	}
	return j, err
}

// CancelKey ends the active job with an idempotency key, if there is one, and
// does not wait for it.
func (r *Runner) CancelKey(ctx context.Context, key string) {
	r.mu.Lock()
	t := r.mu.keys[key]
	waited := t != nil && r.stop(t)
	r.mu.Unlock()
	if waited {
		r.finish(context.WithoutCancel(ctx), t, schema.JobCancelled, errCancelled.Error())
	}
}

// Active returns the job that is not finished and has an idempotency key.
func (r *Runner) Active(key string) (schema.Job, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.mu.keys[key]
	if !ok {
		return schema.Job{}, false
	}
	return t.job, true
}

// Stats are the figures of a Runner: Queued waits, for a worker or for its next
// try.
type Stats struct{ Queued, Running int }

// Stats returns how many jobs wait and run.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	waiting := len(r.mu.queue) + len(r.mu.late)
	return Stats{Queued: waiting, Running: len(r.mu.active) - waiting}
}
