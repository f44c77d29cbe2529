package job_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/core/job"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// A job is tried again for what may pass, and as often as it asks for.
func TestRetries(t *testing.T) {
	l := live(t, disk.NewMem(), job.Options{RetryDelay: time.Millisecond})
	l.start()
	down := errors.New("the storage did not answer")
	f := func(retries int16, failures int, failure error, wantTries int, status, message string) {
		t.Helper()
		tries := 0
		j, _ := l.submit(job.Spec{Type: "flush", Prefix: "FL", Retries: retries, Run: func(context.Context) (string, error) {
			if tries++; tries <= failures {
				return "", failure
			}
			return "done", nil
		}})
		l.ended(j.ID, status, message)
		got, err := l.Wait(context.Background(), j.ID)
		if err != nil || tries != wantTries || int(got.RetryCount) != wantTries-1 || strings.Count(got.Trace, "node 0, worker ") != wantTries {
			t.Errorf("%d tries, want %d; the row is %+v", tries, wantTries, got)
		}
		if failed := status == schema.JobFailed; failed != (got.ExceptionTrace != "") {
			t.Errorf("the job is %s and its exception is %q", status, got.ExceptionTrace)
		}
	}
	f(3, 2, down, 3, schema.JobCompleted, "done")
	f(3, 9, down, 4, schema.JobFailed, "the storage did not answer")
	f(9, 9, down, 4, schema.JobFailed, "the storage did not answer")
	f(0, 9, down, 1, schema.JobFailed, "the storage did not answer")
	f(3, 9, fault.New(fault.DiskFull, "no room"), 4, schema.JobFailed, "no room")
	f(3, 9, fault.New(fault.InvalidOperation, "the index is gone"), 1, schema.JobFailed, "Invalid operation: the index is gone")
	f(3, 9, job.ErrSkip, 1, schema.JobSkipped, "")
}

// A job that waits for its next try holds no worker and can be cancelled.
func TestCancelBetweenTries(t *testing.T) {
	ctx := context.Background()
	l := live(t, disk.NewMem(), job.Options{Workers: 1, RetryDelay: time.Hour})
	l.start()
	tried := make(chan struct{}, 1)
	first, _ := l.submit(job.Spec{Prefix: "FL", Key: "k", Retries: 1, Run: func(context.Context) (string, error) {
		tried <- struct{}{}
		return "", errors.New("down")
	}})
	<-tried
	second, _ := l.submit(job.Spec{Prefix: "FL", Run: func(context.Context) (string, error) { return "meanwhile", nil }})
	l.ended(second.ID, schema.JobCompleted, "meanwhile")
	if s := l.Stats(); s != (job.Stats{Queued: 1}) {
		t.Errorf("figures %+v", s)
	}
	if other, started := l.submit(job.Spec{Prefix: "FL", Key: "k"}); started || other.ID != first.ID || other.Status != schema.JobRetrying {
		t.Errorf("another with its key: %+v, started %v", other, started)
	}
	if j, err := l.Cancel(ctx, first.ID); err != nil || j.Status != schema.JobCancelled {
		t.Errorf("cancelled between two tries it ends as %+v, %v", j, err)
	}
	if s := l.Stats(); s != (job.Stats{}) {
		t.Errorf("figures after all jobs %+v", s)
	}
}

// Those that wait run by priority, and by age within one.
func TestPriority(t *testing.T) {
	l := live(t, disk.NewMem(), job.Options{Workers: 1})
	var order strings.Builder
	var last schema.Job
	for _, s := range []struct {
		name     string
		priority int32
	}{{"a", 0}, {"b", 5}, {"c", -1}, {"d", 5}, {"e", 0}, {"f", 9}} {
		j, _ := l.submit(job.Spec{Prefix: "FL", Priority: s.priority, Run: func(context.Context) (string, error) {
			order.WriteString(s.name)
			return "", nil
		}})
		if s.name == "c" {
			last = j
		}
	}
	l.start()
	l.ended(last.ID, schema.JobCompleted, "")
	if got := order.String(); got != "fbdaec" {
		t.Errorf("they ran in the order %s", got)
	}
}

// What a job says of itself is seen while it runs, and kept with what it took.
func TestProgress(t *testing.T) {
	l := live(t, disk.NewMem(), job.Options{NodeID: 3})
	l.start()
	job.Progress(context.Background(), 1, 2) // nobody's
	half, goOn := make(chan struct{}), make(chan struct{})
	var block []byte
	runtime.GC() // what others have left must not go while the job is measured
	j, _ := l.submit(job.Spec{Prefix: "FL", Actor: "root", Run: func(ctx context.Context) (string, error) {
		job.Progress(ctx, 1, 0) // of nothing
		block = make([]byte, 32<<20)
		job.Progress(ctx, 21, 42)
		close(half)
		<-goOn
		sum := byte(0)
		for start := time.Now(); time.Since(start) < 30*time.Millisecond; {
			for i := range block {
				sum += block[i]
			}
		}
		job.Progress(ctx, 50, 42)
		return "done", nil
	}})
	<-half
	row := j
	row.Status = schema.JobRunning
	if l.Live(&row); row.Progress != 50 || row.MemoryUsed < 16<<20 {
		t.Errorf("while it runs %d%%, %d bytes", row.Progress, row.MemoryUsed)
	}
	row = j // of a moment in which it was queued
	if l.Live(&row); row.Progress != 0 {
		t.Errorf("a row of another state has %d%%", row.Progress)
	}
	close(goOn)
	l.ended(j.ID, schema.JobCompleted, "done")
	got, err := l.Wait(context.Background(), j.ID)
	if err != nil || got.Progress != 100 || got.MemoryUsed < 16<<20 || got.Elapsed < 30 || got.Actor != "root" || got.NodeID != 3 {
		t.Errorf("the row is %+v, %v", got, err)
	}
	if got.CPUUsed <= 0 || got.CPUUsed > got.Elapsed+10 {
		t.Errorf("%d ms of processor in %d ms", got.CPUUsed, got.Elapsed)
	}
}
