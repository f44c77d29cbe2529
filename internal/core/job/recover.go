package job

import (
	"context"
	"errors"
	"slices"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// Resume says how jobs of a type go on that a stop or a crash has interrupted:
// again returns the Spec of a row, or false for one that cannot go on. It is
// called before Run.
func (r *Runner) Resume(kind string, again func(schema.Job) (Spec, bool)) { r.kinds[kind] = again }

// HourKey is the idempotency key of what a schedule starts for a table: of one
// kind, table and hour there is one active job.
func HourKey(prefix, table string, at time.Time) string {
	return prefix + ":" + table + ":" + at.UTC().Format("2006-01-02-15")
}

// recover queues jobs again that another life of the server has left active, or
// marks them failed. A server that is read-only leaves them to its next start.
func (r *Runner) recover(ctx context.Context) error {
	err := r.each(func(j *schema.Job) error {
		if Finished(j) || r.isBorn(j.ID) {
			return nil
		}
		return r.revive(ctx, *j)
	})
	r.mu.Lock()
	r.mu.born = nil
	r.mu.Unlock()
	if fault.Is(err, fault.ReadOnly) {
		return nil
	}
	return err
}

// isBorn reports whether a job was submitted in this life.
func (r *Runner) isBorn(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, born := r.mu.born[id]
	return born
}

// revive queues one job again, or marks it failed.
func (r *Runner) revive(ctx context.Context, j schema.Job) error {
	was := j.Status
	r.o.Logger.Warn("job was interrupted", "job", j.ID, "type", j.Type, "status", was)
	failure := "the server stopped while the job was " + was
	if again, known := r.kinds[j.Type]; known {
		if was == schema.JobRunning {
			j.RetryCount++ // it may be the reason
		}
		if j.RetryCount > MaxRetries {
			failure += ", once too often"
		} else if spec, ok := again(j); ok {
			t := &task{spec: spec, job: j, done: make(chan struct{})}
			t.spec.Key, t.spec.Priority = j.IdempotencyKey, j.Priority
			t.job.Status, t.job.UpdatedAt = schema.JobQueued, r.o.Now().UnixMicro()
			if other, err := r.reserve(t); other == nil && err == nil {
				if err := r.put(ctx, t, t.job, false); err != nil {
					r.release(t)
					close(t.done)
					return err
				}
				r.enqueue(t)
				return nil
			}
			failure += ", and there was no place for it"
		}
	}
	now := r.o.Now().UnixMicro()
	j.Status, j.Message, j.FinishedAt, j.UpdatedAt = schema.JobFailed, failure, now, now
	return r.put(ctx, &task{}, j, false)
}

// resumable reports whether the next life goes on with a job.
func (r *Runner) resumable(t *task) bool { return r.kinds[t.job.Type] != nil }

// interrupt ends a job that runs as the server stops.
func (r *Runner) interrupt(ctx context.Context, t *task) {
	if !r.resumable(t) {
		r.finish(ctx, t, schema.JobFailed, "the server stopped while the job was running")
		return
	}
	r.mu.Lock()
	t.job.Status, t.job.UpdatedAt = schema.JobQueued, r.o.Now().UnixMicro()
	t.job.Message = "the server stopped while the job was running; it goes on at the next start"
	j := t.job
	r.mu.Unlock()
	if err := r.put(ctx, t, j, false); err != nil {
		r.o.Logger.Error("an interrupted job could not be written", "job", j.ID, "error", err)
	}
	r.release(t)
	close(t.done)
}

// leave ends the jobs that wait as the server stops.
func (r *Runner) leave(ctx context.Context) {
	r.mu.Lock()
	waiting := slices.Concat(r.mu.queue, r.mu.late)
	r.mu.queue, r.mu.late = nil, nil
	r.mu.Unlock()
	for _, t := range waiting {
		switch {
		case r.resumable(t): // its row says that it waits
			r.release(t)
			close(t.done)
		case t.job.Status == schema.JobRetrying:
			r.finish(ctx, t, schema.JobFailed, "the server stopped before the job was tried again: "+t.job.Message)
		default:
			r.finish(ctx, t, schema.JobFailed, "the server stopped before the job ran")
		}
	}
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

// errFound ends a search.
var errFound = errors.New("found")

// AnyBefore reports whether there is a job that finished before a time in
// microseconds since the Unix epoch.
func (r *Runner) AnyBefore(before int64) (bool, error) {
	err := r.each(func(j *schema.Job) error {
		if Finished(j) && j.FinishedAt < before {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}

// Prune removes rows of jobs that finished before a time in microseconds since
// the Unix epoch, and returns how many.
func (r *Runner) Prune(ctx context.Context, before int64) (removed int64, err error) {
	var old []string
	if err := r.each(func(j *schema.Job) error {
		if Finished(j) && j.FinishedAt < before {
			old = append(old, j.ID)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	for ids := range slices.Chunk(old, 1000) {
		receipt, err := r.o.Committer.Commit(ctx, &command.Command{
			Time: r.o.Now().UnixMicro(), Body: &command.DropJobs{IDs: ids},
		})
		if err != nil {
			return removed, err
		}
		removed += receipt.Rows
	}
	return removed, nil
}
