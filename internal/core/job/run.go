package job

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// maxExceptionBytes is how much of an error's text a row keeps, and of its trace.
const maxExceptionBytes = 4 << 10

// work runs one job after the other.
func (r *Runner) work(ctx context.Context, worker int) error {
	for {
		if ctx.Err() != nil {
			return nil
		}
		t, rest := r.take()
		if t == nil {
			r.idle(ctx, rest)
			continue
		}
		r.signal() // there may be more for the others
		r.run(ctx, t, worker)
	}
}

// idle waits until there may be something to do: for a while, unless rest is 0.
func (r *Runner) idle(ctx context.Context, rest time.Duration) {
	var due <-chan time.Time
	if rest > 0 {
		timer := time.NewTimer(rest)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-r.wake:
	case <-due:
	}
}

// run tries a job once and commits what came of it.
func (r *Runner) run(ctx context.Context, t *task, worker int) {
	own, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := r.o.Now()
	r.mu.Lock()
	t.cancel = cancel
	t.job.Status, t.job.UpdatedAt = schema.JobRunning, began.UnixMicro()
	if t.job.StartedAt == 0 {
		t.job.StartedAt = t.job.UpdatedAt
	}
	t.heap, t.written = heapBytes(), time.Now()
	j := t.job
	if t.stopped {
		cancel(errCancelled)
	}
	r.mu.Unlock()
	if err := r.put(ctx, t, j, false); err != nil {
		if ctx.Err() != nil {
			r.interrupt(context.WithoutCancel(ctx), t)
			return
		}
		r.finish(context.WithoutCancel(ctx), t, schema.JobFailed, describe(err))
		return
	}
	r.mu.Lock()
	t.tried = true
	r.mu.Unlock()
	start := time.Now()
	message, used, err := r.timed(context.WithValue(own, taskKey{}, handle{r, t}), &t.spec, j.ID)
	length := time.Since(start)
	if err == nil || errors.Is(err, ErrSkip) {
		r.account(t, worker, began, length, used, nil)
		status := schema.JobCompleted
		if err != nil {
			status = schema.JobSkipped
		}
		r.finish(context.WithoutCancel(ctx), t, status, message)
		return
	}
	r.account(t, worker, began, length, used, err)
	r.broken(ctx, own, t, err)
}

// broken decides about a job whose try has ended with an error.
func (r *Runner) broken(ctx, own context.Context, t *task, err error) {
	end := context.WithoutCancel(ctx)
	switch {
	case errors.Is(context.Cause(own), errCancelled):
		r.finish(end, t, schema.JobCancelled, errCancelled.Error())
	case ctx.Err() != nil:
		r.interrupt(end, t)
	case t.job.RetryCount < t.job.MaxRetries && mayPass(err):
		r.retry(end, t, err)
	default:
		r.o.Logger.Error("job failed", "job", t.job.ID, "type", t.job.Type, "error", err)
		r.finish(end, t, schema.JobFailed, describe(err))
	}
}

// mayPass reports whether an error may be gone the next time: the disk, the
// network or the queue, not what a definition or a row says.
func mayPass(err error) bool {
	switch fault.CodeOf(err) {
	case fault.Internal, fault.ServerBusy, fault.DiskFull, fault.Timeout, fault.Conflict:
		return true
	}
	return false
}

// retry lets a job wait for its next try.
func (r *Runner) retry(ctx context.Context, t *task, err error) {
	r.mu.Lock()
	delay := r.o.RetryDelay << t.job.RetryCount
	t.job.RetryCount++
	t.job.Status, t.job.Message, t.job.UpdatedAt = schema.JobRetrying, describe(err), r.o.Now().UnixMicro()
	j := t.job
	r.mu.Unlock()
	r.o.Logger.Warn("job is tried again", "job", j.ID, "type", j.Type, "retry", j.RetryCount, "delay", delay, "error", err)
	if err := r.put(ctx, t, j, false); err != nil {
		r.finish(ctx, t, schema.JobFailed, describe(err))
		return
	}
	if !r.postpone(t, delay) {
		r.finish(ctx, t, schema.JobCancelled, errCancelled.Error())
	}
}

// timed runs the function of a job on a thread of its own and returns the
// processor time that the thread took.
func (r *Runner) timed(ctx context.Context, spec *Spec, id string) (message string, used time.Duration, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	message, err = r.perform(ctx, spec, id)
	return message, threadTime() - before, err
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

// account adds what a try took to the row of its job, and where it ran.
func (r *Runner) account(t *task, worker int, began time.Time, length, used time.Duration, failure error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	outcome := "ended"
	t.job.ExceptionTrace = ""
	if failure != nil {
		outcome = "broke off"
		t.job.ExceptionTrace = clip(failure.Error())
	}
	t.sample()
	t.job.CPUUsed += used.Milliseconds()
	t.job.Elapsed += length.Milliseconds()
	line := fmt.Sprintf("node %d, worker %d, %s: %s after %d ms", r.o.NodeID, worker, began.UTC().Format(time.RFC3339), outcome, length.Milliseconds())
	if t.job.Trace != "" {
		line = t.job.Trace + "\n" + line
	}
	t.job.Trace = clip(line)
}

// clip cuts a text that a row keeps.
func clip(text string) string {
	if len(text) <= maxExceptionBytes {
		return text
	}
	return text[:maxExceptionBytes] + " …"
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
	r.mu.Lock()
	tried := t.tried
	r.mu.Unlock()
	if !tried && t.spec.Unrun != nil {
		t.spec.Unrun(ctx)
	}
	now := r.o.Now().UnixMicro()
	r.mu.Lock()
	t.job.Status, t.job.Message, t.job.FinishedAt, t.job.UpdatedAt = status, message, now, now
	if status == schema.JobCompleted {
		t.job.Progress = 100
	}
	j := t.job
	r.mu.Unlock()
	if err := r.put(ctx, t, j, false); err != nil {
		// The next start recovers the row.
		r.o.Logger.Error("the end of a job could not be written", "job", j.ID, "status", status, "error", err)
	}
	r.release(t)
	close(t.done)
}

// put commits a state of a job.
func (r *Runner) put(ctx context.Context, t *task, j schema.Job, create bool) error {
	durability := schema.Sync
	if t.spec.Relaxed {
		durability = schema.Relaxed
	}
	_, err := r.o.Committer.Commit(ctx, &command.Command{
		Time: j.UpdatedAt, Actor: j.Actor, Durability: durability, Body: &command.PutJob{Job: j, Create: create},
	})
	return err
}
