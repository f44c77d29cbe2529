package job_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"kalamdb/internal/core/apply"
	"kalamdb/internal/core/job"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
)

// life is one life of a server that has nothing but jobs.
type life struct {
	*job.Runner
	t     *testing.T
	store *store.Store
	apply *apply.Local
	group errgroup.Group
	stop  func()
	start func()
}

// live opens a life on a disk; jobs run once start is called.
func live(t *testing.T, fs disk.FS, o job.Options) *life {
	t.Helper()
	l := &life{t: t}
	var err error
	if l.store, err = store.Open(store.Options{FS: fs, Dir: "/data", Reserve: -1, Now: o.Now}); err != nil {
		t.Fatal(err)
	}
	if l.apply, err = apply.Open(apply.Options{Store: l.store}); err != nil {
		t.Fatal(err)
	}
	o.Committer, o.View, o.Logger = l.apply, l.apply.View, slog.New(slog.DiscardHandler)
	l.Runner = job.New(o)
	ctx, stop := context.WithCancel(context.Background())
	jobs, stopJobs := context.WithCancel(context.Background())
	ended := make(chan struct{})
	started := false
	l.group.Go(func() error { return l.apply.Run(ctx) })
	l.start = func() {
		started = true
		l.group.Go(func() error {
			defer close(ended)
			return l.Run(jobs)
		})
	}
	l.stop = func() {
		stopJobs()
		if started {
			<-ended
		}
		stop()
	}
	t.Cleanup(l.end)
	return l
}

// end stops the life cleanly. It may be called more than once.
func (l *life) end() {
	l.t.Helper()
	if l.stop == nil {
		return
	}
	l.stop()
	l.stop = nil
	if err := l.group.Wait(); err != nil {
		l.t.Error(err)
	}
	l.apply.Close()
	if err := l.store.Close(); err != nil {
		l.t.Error(err)
	}
}

func (l *life) submit(s job.Spec) (schema.Job, bool) {
	l.t.Helper()
	j, started, err := l.Submit(context.Background(), s)
	if err != nil {
		l.t.Fatal(err)
	}
	return j, started
}

// ended waits for a job and compares how it ended.
func (l *life) ended(id, status, message string) {
	l.t.Helper()
	j, err := l.Wait(context.Background(), id)
	if err != nil || j.Status != status || j.Message != message {
		l.t.Errorf("job %s is %s: %q, %v; want %s: %q", id, j.Status, j.Message, err, status, message)
	}
	if job.Finished(&j) && (j.FinishedAt == 0 || j.FinishedAt < j.CreatedAt) {
		l.t.Errorf("job %s finished at %d", id, j.FinishedAt)
	}
}

func TestStates(t *testing.T) {
	l := live(t, disk.NewMem(), job.Options{})
	l.start()
	answer := func(message string, err error) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return message, err }
	}
	f := func(run func(context.Context) (string, error), status, message string) {
		t.Helper()
		j, started := l.submit(job.Spec{Type: "flush", Prefix: "FL", Parameters: `{"table":"t"}`, Actor: "root", Run: run})
		if !started || !strings.HasPrefix(j.ID, "FL-") || j.Status != schema.JobQueued {
			t.Errorf("submitted as %+v", j)
		}
		l.ended(j.ID, status, message)
	}
	f(answer("done", nil), schema.JobCompleted, "done")
	f(answer("", errors.New("disk on fire")), schema.JobFailed, "disk on fire")
	f(answer("", fault.Wrap(fault.DiskFull, errors.New("inner"), "the disk is full")), schema.JobFailed, "the disk is full")
	f(answer("nothing to do", job.ErrSkip), schema.JobSkipped, "nothing to do")
	if s := l.Stats(); s != (job.Stats{}) {
		t.Errorf("figures after all jobs %+v", s)
	}
}

// One key, one active job; afterwards the key is free.
func TestIdempotency(t *testing.T) {
	l := live(t, disk.NewMem(), job.Options{})
	l.start()
	hold, running := make(chan struct{}), make(chan struct{})
	first, _ := l.submit(job.Spec{Prefix: "FL", Key: "k", Run: func(context.Context) (string, error) {
		close(running)
		<-hold
		return "first", nil
	}})
	<-running
	second, started := l.submit(job.Spec{Prefix: "FL", Key: "k", Run: nil})
	if started || second.ID != first.ID || second.Status != schema.JobRunning {
		t.Errorf("the second is %+v, started %v", second, started)
	}
	close(hold)
	l.ended(first.ID, schema.JobCompleted, "first")
	third, started := l.submit(job.Spec{Prefix: "FL", Key: "k", Run: func(context.Context) (string, error) { return "third", nil }})
	if !started {
		t.Error("the key is still taken")
	}
	l.ended(third.ID, schema.JobCompleted, "third")
}

func TestCancel(t *testing.T) {
	ctx := context.Background()
	l := live(t, disk.NewMem(), job.Options{Workers: 1, Queue: 2})
	l.start()
	running := make(chan struct{})
	wait := func(ctx context.Context) (string, error) {
		close(running)
		<-ctx.Done()
		return "", ctx.Err()
	}
	first, _ := l.submit(job.Spec{Prefix: "FL", Key: "first", Run: wait})
	<-running
	second, _ := l.submit(job.Spec{Prefix: "FL", Run: wait})
	third, _ := l.submit(job.Spec{Prefix: "FL", Key: "third", Run: wait})
	if _, _, err := l.Submit(ctx, job.Spec{Prefix: "FL", Run: wait}); !fault.Is(err, fault.ServerBusy) {
		t.Errorf("a job too many: %v", err)
	}
	if s := l.Stats(); s != (job.Stats{Queued: 2, Running: 1}) {
		t.Errorf("figures %+v", s)
	}
	if j, err := l.Cancel(ctx, second.ID); err != nil || j.Status != schema.JobCancelled || j.StartedAt != 0 {
		t.Errorf("a waiting job ends as %+v, %v", j, err)
	}
	l.CancelKey(ctx, "third")
	l.CancelKey(ctx, "unknown")
	l.ended(third.ID, schema.JobCancelled, "the job was cancelled")
	if j, err := l.Cancel(ctx, first.ID); err != nil || j.Status != schema.JobCancelled {
		t.Errorf("a running job ends as %+v, %v", j, err)
	}
	if _, err := l.Cancel(ctx, first.ID); !fault.Is(err, fault.InvalidOperation) {
		t.Errorf("a finished job: %v", err)
	}
}

// TestUnrun ends jobs before their first try, and after it: what was done for
// them is taken back before the end of the former is told, and by the job itself
// otherwise.
func TestUnrun(t *testing.T) {
	ctx := context.Background()
	l := live(t, disk.NewMem(), job.Options{Workers: 1})
	undone := map[string]int{} // written before the end of a job is told
	spec := func(name string, run func(context.Context) (string, error)) job.Spec {
		return job.Spec{Prefix: "IB", Key: name, Run: run, Unrun: func(context.Context) { undone[name]++ }}
	}
	running := make(chan struct{})
	wait := func(ctx context.Context) (string, error) {
		close(running)
		<-ctx.Done()
		return "", ctx.Err()
	}
	first, _ := l.submit(spec("killed as it runs", wait))
	second, _ := l.submit(spec("killed as it waits", wait))
	third, _ := l.submit(spec("ended by its key", wait))
	l.start()
	<-running
	if _, err := l.Cancel(ctx, second.ID); err != nil || undone["killed as it waits"] != 1 {
		t.Errorf("taken back %d times as the end is told, %v", undone["killed as it waits"], err)
	}
	l.CancelKey(ctx, "ended by its key")
	l.ended(third.ID, schema.JobCancelled, "the job was cancelled")
	if _, err := l.Cancel(ctx, first.ID); err != nil {
		t.Error(err)
	}
	done, _ := l.submit(spec("completed", func(context.Context) (string, error) { return "done", nil }))
	l.ended(done.ID, schema.JobCompleted, "done")
	again := make(chan struct{})
	l.submit(spec("stopped as it runs", func(ctx context.Context) (string, error) {
		close(again)
		<-ctx.Done()
		return "", ctx.Err()
	}))
	<-again
	l.submit(spec("stopped as it waits", wait))
	l.end()
	want := map[string]int{"killed as it waits": 1, "ended by its key": 1, "stopped as it waits": 1}
	if !maps.Equal(undone, want) {
		t.Errorf("taken back: %v, want %v", undone, want)
	}
}

// What a stop or a crash interrupts is failed, with the reason.
func TestInterruption(t *testing.T) {
	mem := disk.NewMem()
	l := live(t, mem, job.Options{Workers: 1})
	l.start()
	running := make(chan struct{})
	wait := func(ctx context.Context) (string, error) {
		close(running)
		<-ctx.Done()
		return "", ctx.Err()
	}
	first, _ := l.submit(job.Spec{Prefix: "FL", Run: wait})
	<-running
	second, _ := l.submit(job.Spec{Prefix: "FL", Run: wait})
	clone, other := mem.CrashClone(1, 0), mem.CrashClone(1, 0)
	l.end()

	stopped := live(t, mem, job.Options{})
	stopped.ended(first.ID, schema.JobFailed, "the server stopped while the job was running")
	stopped.ended(second.ID, schema.JobFailed, "the server stopped before the job ran")

	crashed := live(t, clone, job.Options{})
	fresh, _ := crashed.submit(job.Spec{Prefix: "FL", Run: func(context.Context) (string, error) { return "ran", nil }})
	crashed.start()
	crashed.ended(fresh.ID, schema.JobCompleted, "ran")
	crashed.ended(first.ID, schema.JobFailed, "the server stopped while the job was running")
	crashed.ended(second.ID, schema.JobFailed, "the server stopped while the job was queued")
	if _, err := crashed.Prune(context.Background(), 1<<62); err != nil {
		t.Fatal(err)
	}
	if _, err := crashed.Wait(context.Background(), first.ID); !fault.Is(err, fault.ObjectNotFound) {
		t.Errorf("a pruned job: %v", err)
	}

	// The clock was set back, so nothing can be written; the server runs all the
	// same, and says so.
	early := live(t, other, job.Options{Now: func() time.Time { return time.Now().Add(-48 * time.Hour) }})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- early.Run(ctx) }()
	if _, _, err := early.Submit(ctx, job.Spec{Prefix: "FL"}); !fault.Is(err, fault.ReadOnly) {
		t.Errorf("a job on a read-only server: %v", err)
	}
	select {
	case err := <-ended:
		t.Fatalf("the runner ended: %v", err)
	case <-time.After(50 * time.Millisecond): // it would have ended by now
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
