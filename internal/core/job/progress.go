package job

import (
	"context"
	"runtime/metrics"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/schema"
)

// progressEvery is the time between two commits of a job's progress. What is
// shown meanwhile is what the process knows.
const progressEvery = time.Minute

// taskKey finds the handle of a job in the context of its function.
type taskKey struct{}

type handle struct {
	runner *Runner
	task   *task
}

// Progress says how far the job that runs under a context is: done of total, in
// whatever unit. It may be called by any goroutine that the job's function waits
// for, as often as it likes; outside of a job it does nothing.
func Progress(ctx context.Context, done, total int64) {
	h, ok := ctx.Value(taskKey{}).(handle)
	if !ok || total <= 0 {
		return
	}
	if j, due := h.runner.progress(h.task, done, total); due {
		// Durable with whatever is committed next: a lost percentage costs nothing.
		_, err := h.runner.o.Committer.Commit(ctx, &command.Command{
			Time: j.UpdatedAt, Actor: j.Actor, Durability: schema.Relaxed, Body: &command.PutJob{Job: j},
		})
		if err != nil && ctx.Err() == nil {
			h.runner.o.Logger.Warn("the progress of a job could not be written", "job", j.ID, "error", err)
		}
	}
}

// progress notes how far a job is and reports whether its row is to be written.
func (r *Runner) progress(t *task, done, total int64) (j schema.Job, due bool) {
	percent := int16(float64(min(max(done, 0), total)) / float64(total) * 100)
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.job.Status != schema.JobRunning {
		return j, false
	}
	changed := percent != t.job.Progress
	t.job.Progress = percent
	if !changed {
		return j, false
	}
	t.sample()
	now := time.Now()
	if now.Sub(t.written) < progressEvery {
		return j, false
	}
	t.written, t.job.UpdatedAt = now, r.o.Now().UnixMicro()
	return t.job, true
}

// Live completes the row of a job that this process runs with what is not
// written yet: how far it is and what it has taken.
func (r *Runner) Live(j *schema.Job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.mu.active[j.ID]; ok && t.job.Status == j.Status {
		j.Progress, j.MemoryUsed = t.job.Progress, t.job.MemoryUsed
	}
}

// sample notes by how much the heap of the process has grown at most since the
// job began. Runner.mu is held.
func (t *task) sample() {
	if now := heapBytes(); now > t.heap {
		t.job.MemoryUsed = max(t.job.MemoryUsed, int64(now-t.heap))
	}
}

// heapBytes is how much the objects of the heap take, those not yet collected
// too.
func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
