// Package job runs the work that statements start and do not wait for.
//
// A job is a row of system.jobs and a function. It is queued, running, and then
// completed, failed, cancelled or skipped; every state is a committed command
// before anyone is told of it. A job with an idempotency key is not started
// while another with that key is active. Jobs do not outlive the process: those
// that a crash interrupted are marked failed when Run begins, with the reason,
// and whoever wants the work starts it again; the work itself goes on where it
// stopped.
//
// At most Options.Queue jobs wait; more are refused with SERVER_BUSY.
//
// Goroutines: Options.Workers, started by Run. Locks: Runner.mu, never held
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
	"slices"
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
	// Parameters is a JSON object for system.jobs.
	Parameters string
	// Actor is who asked for it.
	Actor schema.UserID
	// Run does the work. Its message is shown; ctx ends when the job is
	// cancelled or the server stops.
	Run func(ctx context.Context) (message string, err error)
}

// ErrSkip, returned by Spec.Run with a message, says that nothing had to be
// done.
var ErrSkip = errors.New("there was nothing to do")

// errCancelled is the cause of a context that KILL JOB ended.
var errCancelled = errors.New("the job was cancelled")

// Runner runs jobs.
type Runner struct {
	o    Options
	wake chan struct{} // holds a token while the queue may not be empty
	mu   struct {
		sync.Mutex
		queue  []*task          // at most Options.Queue, oldest first
		active map[string]*task // by job id: queued and running ones
		keys   map[string]*task // by idempotency key
	}
}

// task is a job that is not finished.
type task struct {
	spec    Spec
	job     schema.Job              // written by whoever runs it; guarded by Runner.mu
	cancel  context.CancelCauseFunc // guarded by Runner.mu; nil until it runs
	stopped bool                    // guarded by Runner.mu: to be cancelled as soon as it runs
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
	r := &Runner{o: o, wake: make(chan struct{}, 1)}
	r.mu.active = map[string]*task{}
	r.mu.keys = map[string]*task{}
	return r
}

// Run runs jobs until ctx ends; then the running ones are told to stop and the
// waiting ones are marked failed.
func (r *Runner) Run(ctx context.Context) error {
	if err := r.recover(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("recover jobs: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	for range r.o.Workers {
		g.Go(func() error { return r.work(ctx) })
	}
	err := g.Wait()
	for t := r.take(); t != nil; t = r.take() {
		r.finish(context.WithoutCancel(ctx), t, schema.JobFailed, "the server stopped before the job ran")
	}
	return err
}

// recover marks jobs failed that another life of the server has left active. A
// server that is read-only leaves them to its next start.
func (r *Runner) recover(ctx context.Context) error {
	err := r.each(func(j *schema.Job) error {
		if Finished(j) || r.find(j.ID) != nil {
			return nil
		}
		now := r.o.Now().UnixMicro()
		failed := *j
		failed.Message = "the server stopped while the job was " + j.Status
		failed.Status, failed.FinishedAt, failed.UpdatedAt = schema.JobFailed, now, now
		r.o.Logger.Warn("job was interrupted", "job", j.ID, "status", j.Status)
		return r.put(ctx, failed, "", false)
	})
	if fault.Is(err, fault.ReadOnly) {
		return nil
	}
	return err
}

// each visits every row of system.jobs.
func (r *Runner) each(visit func(*schema.Job) error) error {
	view := r.o.View()
	defer view.Release()
	for after := ""; ; {
		jobs, err := catalog.Jobs().List(view.Reader(), after, 1000)
		if err != nil || len(jobs) == 0 {
			return err
		}
		for i := range jobs {
			if err := visit(&jobs[i]); err != nil {
				return err
			}
		}
		after = jobs[len(jobs)-1].ID
	}
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
		CreatedAt: now, UpdatedAt: now, NodeID: int64(r.o.NodeID),
	}}
	if other, err := r.reserve(t); err != nil || other != nil {
		if other != nil {
			j = *other
		}
		return j, false, err
	}
	j = t.job
	if err := r.put(ctx, j, s.Actor, true); err != nil {
		r.release(t)
		close(t.done)
		return schema.Job{}, false, err
	}
	r.mu.Lock()
	r.mu.queue = append(r.mu.queue, t)
	r.mu.Unlock()
	r.signal()
	return j, true, nil
}

// reserve takes a place for a task, or returns the active job with its key.
func (r *Runner) reserve(t *task) (*schema.Job, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if other, ok := r.mu.keys[t.spec.Key]; ok && t.spec.Key != "" {
		j := other.job
		return &j, nil
	}
	if len(r.mu.active) >= r.o.Queue+r.o.Workers {
		return nil, fault.New(fault.ServerBusy, "%d jobs are waiting already; try again later", r.o.Queue)
	}
	r.mu.active[t.job.ID] = t
	if t.spec.Key != "" {
		r.mu.keys[t.spec.Key] = t
	}
	return nil, nil
}

// release gives the place of a task back.
func (r *Runner) release(t *task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.active, t.job.ID)
	if t.spec.Key != "" {
		delete(r.mu.keys, t.spec.Key)
	}
}

// newID returns a prefix with a unique part that grows with time.
func (r *Runner) newID(prefix string) (string, error) {
	var chance [5]byte
	if _, err := io.ReadFull(r.o.Entropy, chance[:]); err != nil {
		return "", fmt.Errorf("draw a job id: %w", err)
	}
	return fmt.Sprintf("%s-%011x%s", prefix, r.o.Now().UnixMilli(), hex.EncodeToString(chance[:])), nil
}

func (r *Runner) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take returns the oldest waiting task, or nil.
func (r *Runner) take() *task {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.mu.queue) == 0 {
		return nil
	}
	t := r.mu.queue[0]
	r.mu.queue = slices.Delete(r.mu.queue, 0, 1)
	return t
}

func (r *Runner) find(id string) *task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.active[id]
}

// work runs one job after the other.
func (r *Runner) work(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return nil
		}
		t := r.take()
		if t == nil {
			select {
			case <-ctx.Done():
				return nil
			case <-r.wake:
			}
			continue
		}
		r.signal() // there may be more for the others
		r.run(ctx, t)
	}
}

// run takes a job through its states.
func (r *Runner) run(ctx context.Context, t *task) {
	own, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	now := r.o.Now().UnixMicro()
	r.mu.Lock()
	t.cancel = cancel
	t.job.Status, t.job.StartedAt, t.job.UpdatedAt = schema.JobRunning, now, now
	j := t.job
	if t.stopped {
		cancel(errCancelled)
	}
	r.mu.Unlock()
	if err := r.put(ctx, j, t.spec.Actor, false); err != nil {
		r.finish(context.WithoutCancel(ctx), t, schema.JobFailed, describe(err))
		return
	}
	message, err := r.perform(own, &t.spec, j.ID)
	status := schema.JobCompleted
	switch {
	case err == nil:
	case errors.Is(err, ErrSkip):
		status = schema.JobSkipped
	case errors.Is(context.Cause(own), errCancelled):
		status, message = schema.JobCancelled, errCancelled.Error()
	case ctx.Err() != nil:
		status, message = schema.JobFailed, "the server stopped while the job was running"
	default:
		status, message = schema.JobFailed, describe(err)
		r.o.Logger.Error("job failed", "job", j.ID, "type", j.Type, "error", err)
	}
	r.finish(context.WithoutCancel(ctx), t, status, message)
}

// describe is what system.jobs shows of an error: the sentence of a fault, or
// the operator's text, since administrators alone read it.
func describe(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Sentence()
	}
	return err.Error()
}

// finish commits the last state of a job and tells those who wait.
func (r *Runner) finish(ctx context.Context, t *task, status, message string) {
	now := r.o.Now().UnixMicro()
	r.mu.Lock()
	t.job.Status, t.job.Message, t.job.FinishedAt, t.job.UpdatedAt = status, message, now, now
	j := t.job
	r.mu.Unlock()
	if err := r.put(ctx, j, t.spec.Actor, false); err != nil {
		// The next start marks the row failed.
		r.o.Logger.Error("the end of a job could not be written", "job", j.ID, "status", status, "error", err)
	}
	r.release(t)
	close(t.done)
}

func (r *Runner) put(ctx context.Context, j schema.Job, actor schema.UserID, create bool) error {
	_, err := r.o.Committer.Commit(ctx, &command.Command{
		Time: j.UpdatedAt, Actor: actor, Body: &command.PutJob{Job: j, Create: create},
	})
	return err
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

// Cancel ends a queued or running job and returns its row when it has ended.
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
	return r.Wait(ctx, id)
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

// stop takes a task out of the queue and reports that, or tells the one that
// runs or is about to. Runner.mu is held.
func (r *Runner) stop(t *task) bool {
	if i := slices.Index(r.mu.queue, t); i >= 0 {
		r.mu.queue = slices.Delete(r.mu.queue, i, i+1)
		return true
	}
	t.stopped = true
	if t.cancel != nil {
		t.cancel(errCancelled)
	}
	return false
}

// perform runs the function of a job.
func (r *Runner) perform(ctx context.Context, spec *Spec, id string) (message string, err error) {
	if r.o.Trace == nil {
		return spec.Run(ctx)
	}
	ctx, end := r.o.Trace(ctx, spec.Type, id)
	err = errStopped // unless it returns
	defer func() {
		if errors.Is(err, ErrSkip) {
			end(nil)
			return
		}
		end(err)
	}()
	message, err = spec.Run(ctx)
	return message, err
}

// errStopped is how a trace shows a job that panicked.
var errStopped = errors.New("the job did not return")

// Prune removes rows of jobs that finished before a time in microseconds since
// the Unix epoch.
func (r *Runner) Prune(ctx context.Context, before int64) error {
	var old []string
	if err := r.each(func(j *schema.Job) error {
		if Finished(j) && j.FinishedAt < before {
			old = append(old, j.ID)
		}
		return nil
	}); err != nil {
		return err
	}
	for ids := range slices.Chunk(old, 1000) {
		if _, err := r.o.Committer.Commit(ctx, &command.Command{
			Time: r.o.Now().UnixMicro(), Body: &command.DropJobs{IDs: ids},
		}); err != nil {
			return err
		}
	}
	return nil
}

// Stats are the figures of a Runner.
type Stats struct{ Queued, Running int }

// Stats returns how many jobs wait and run.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Stats{Queued: len(r.mu.queue), Running: len(r.mu.active) - len(r.mu.queue)}
}
