package job_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/core/job"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// stuck is a job's function that does not end by itself.
func stuck(running chan<- struct{}) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		running <- struct{}{}
		<-ctx.Done()
		return "", ctx.Err()
	}
}

// Those that can go on are queued again after a stop and after a crash, with
// their id, key and priority; those that say that they cannot are failed.
func TestResume(t *testing.T) {
	mem := disk.NewMem()
	running := make(chan struct{})
	again := func(l *life, run func(context.Context) (string, error)) {
		l.Resume("flush", func(j schema.Job) (job.Spec, bool) {
			return job.Spec{Run: run}, j.Parameters != "gone"
		})
	}
	l := live(t, mem, job.Options{Workers: 2})
	again(l, stuck(running))
	l.start()
	ids := map[string]string{}
	for _, s := range []job.Spec{
		{Key: "k", Parameters: "runs", Priority: 7}, {Parameters: "gone"}, {Parameters: "waits"}, {Parameters: "cancelled"},
	} {
		s.Type, s.Prefix, s.Run = "flush", "FL", stuck(running)
		j, _ := l.submit(s)
		ids[s.Parameters] = j.ID
		if len(ids) <= 2 {
			<-running
		}
	}
	if _, err := l.Cancel(context.Background(), ids["cancelled"]); err != nil {
		t.Fatal(err)
	}
	clone := mem.CrashClone(1, 0)
	l.end()

	for name, fs := range map[string]*disk.Mem{"a stop": mem, "a crash": clone} {
		next := live(t, fs, job.Options{Workers: 1})
		again(next, func(context.Context) (string, error) { return "went on", nil })
		if name == "a stop" {
			for _, which := range []string{"runs", "waits", "gone"} {
				if j, err := next.Wait(context.Background(), ids[which]); err != nil || j.Status != schema.JobQueued {
					t.Errorf("after %s %s is %+v, %v", name, which, j, err)
				}
			}
		}
		next.start()
		last, _ := next.submit(job.Spec{Prefix: "FL", Priority: -9, Run: func(context.Context) (string, error) { return "", nil }})
		next.ended(last.ID, schema.JobCompleted, "")
		next.ended(ids["runs"], schema.JobCompleted, "went on")
		next.ended(ids["waits"], schema.JobCompleted, "went on")
		next.ended(ids["cancelled"], schema.JobCancelled, "the job was cancelled")
		was := map[string]string{"a stop": "queued", "a crash": "running"}[name]
		next.ended(ids["gone"], schema.JobFailed, "the server stopped while the job was "+was)
		if j, err := next.Wait(context.Background(), ids["runs"]); err != nil || j.Priority != 7 || j.IdempotencyKey != "k" {
			t.Errorf("after %s the row is %+v, %v", name, j, err)
		}
		next.end()
	}
}

// A job that runs whenever the process dies may be the reason: it is not resumed
// for ever.
func TestResumeEnds(t *testing.T) {
	mem := disk.NewMem()
	running := make(chan struct{}, 1)
	var id string
	for life := range 5 {
		l := live(t, mem, job.Options{Workers: 1})
		l.Resume("flush", func(schema.Job) (job.Spec, bool) { return job.Spec{Run: stuck(running)}, true })
		l.start()
		switch life {
		case 0:
			j, _ := l.submit(job.Spec{Type: "flush", Prefix: "FL", Run: stuck(running)})
			id = j.ID
		case 4:
			fresh, _ := l.submit(job.Spec{Prefix: "FL", Run: func(context.Context) (string, error) { return "", nil }})
			l.ended(fresh.ID, schema.JobCompleted, "")
			l.ended(id, schema.JobFailed, "the server stopped while the job was running, once too often")
			continue
		}
		<-running
		mem = mem.CrashClone(uint64(life), 0)
		l.end()
	}
}

// jobModel is what a test knows of the jobs it has submitted.
type jobModel struct {
	t      *testing.T
	chance *rand.Rand
	life   *life
	disk   *disk.Mem
	ids    []string
	final  map[string]schema.Job // as first seen
}

// work decides by chance how a try ends.
func (m *jobModel) work(seed uint64) func(context.Context) (string, error) {
	chance := rand.New(rand.NewPCG(seed, 2))
	return func(ctx context.Context) (string, error) {
		job.Progress(ctx, int64(chance.IntN(100)), 100)
		wait := time.NewTimer(time.Duration(chance.IntN(3)) * time.Millisecond)
		defer wait.Stop()
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-wait.C:
		}
		return "done", []error{nil, nil, job.ErrSkip, errors.New("down")}[chance.IntN(4)]
	}
}

func (m *jobModel) open(fs *disk.Mem) {
	m.disk = fs
	m.life = live(m.t, fs, job.Options{Workers: 2, Queue: 20, RetryDelay: time.Millisecond})
	m.life.Resume("flush", func(j schema.Job) (job.Spec, bool) {
		seed, err := strconv.ParseUint(j.Parameters, 10, 64)
		return job.Spec{Run: m.work(seed)}, err == nil
	})
	m.life.start()
	// Workers begin when all is recovered; until then a key may have an active row
	// of the last life too.
	first, _ := m.life.submit(job.Spec{Prefix: "BK", Priority: 9, Run: func(context.Context) (string, error) { return "done", nil }})
	m.ids = append(m.ids, first.ID)
	m.life.ended(first.ID, schema.JobCompleted, "done")
}

// check compares the rows with what is known.
func (m *jobModel) check() {
	m.t.Helper()
	view := m.life.apply.View()
	defer view.Release()
	keys := map[string]string{}
	rows, err := catalog.Jobs().List(view.Reader(), "", 10_000)
	if err != nil || len(rows) != len(m.ids) {
		m.t.Fatalf("there are %d rows of %d jobs, %v", len(rows), len(m.ids), err)
	}
	for _, j := range rows {
		if !slices.Contains(m.ids, j.ID) {
			m.t.Fatalf("nobody submitted %+v", j)
		}
		if known, ended := m.final[j.ID]; ended && known != j {
			m.t.Fatalf("the end of a job has changed from %+v to %+v", known, j)
		}
		if job.Finished(&j) {
			m.final[j.ID] = j
			continue
		}
		if other := keys[j.IdempotencyKey]; other != "" && j.IdempotencyKey != "" {
			m.t.Fatalf("%s and %s are active with key %s", other, j.ID, j.IdempotencyKey)
		}
		keys[j.IdempotencyKey] = j.ID
	}
}

func (m *jobModel) step() {
	switch n := m.chance.IntN(100); {
	case n < 60:
		s := job.Spec{Type: "flush", Prefix: "FL", Priority: int32(m.chance.IntN(3)), Retries: int16(m.chance.IntN(4))}
		seed := m.chance.Uint64()
		s.Run, s.Parameters = m.work(seed), strconv.FormatUint(seed, 10)
		if m.chance.IntN(3) == 0 {
			s.Type, s.Prefix = "backup", "BK"
		}
		if m.chance.IntN(2) == 0 {
			s.Key = fmt.Sprint("key", m.chance.IntN(4))
		}
		j, started, err := m.life.Submit(context.Background(), s)
		switch {
		case err == nil && started:
			m.ids = append(m.ids, j.ID)
		case err == nil && (j.IdempotencyKey != s.Key || !slices.Contains(m.ids, j.ID)):
			m.t.Fatalf("instead of a job with key %s runs %+v", s.Key, j)
		}
	case n < 70 && len(m.ids) > 0:
		id := m.ids[len(m.ids)-1-m.chance.IntN(min(len(m.ids), 8))]
		if j, err := m.life.Cancel(context.Background(), id); err == nil && j.Status != schema.JobCancelled {
			m.t.Fatalf("the cancelled job is %+v", j)
		}
	case n < 96:
		m.check()
	case n < 98: // the power goes
		m.check()
		clone := m.disk.CrashClone(m.chance.Uint64(), 50) // holds every end that was seen
		m.life.end()
		m.open(clone)
	default: // a clean stop
		m.life.end()
		m.open(m.disk)
	}
}

// TestJobsAgainstModel submits, cancels, stops and crashes by chance: every
// acknowledged job has one row, an end that was seen stays, a key has one active
// job, and in the end nothing is left over.
func TestJobsAgainstModel(t *testing.T) {
	seed, steps := uint64(time.Now().UnixNano()), 1500
	if testing.Short() {
		steps = 300
	}
	t.Logf("seed %d", seed)
	m := &jobModel{t: t, chance: rand.New(rand.NewPCG(seed, 1)), final: map[string]schema.Job{}}
	m.open(disk.NewMem())
	for range steps {
		m.step()
	}
	states := map[string]int{}
	for _, id := range m.ids {
		j, err := m.life.Wait(context.Background(), id)
		if err != nil || !job.Finished(&j) || j.RetryCount > job.MaxRetries+1 {
			t.Fatalf("in the end there is %+v, %v", j, err)
		}
		if j.Status == schema.JobCompleted && (j.Message != "done" || j.Progress != 100) {
			t.Errorf("completed is %+v", j)
		}
		if strings.HasPrefix(j.Message, "the server stopped") && strings.HasPrefix(id, "FL") && !strings.Contains(j.Message, "once too often") && !strings.Contains(j.Message, "no place") {
			t.Errorf("a job that can go on was given up: %+v", j)
		}
		states[j.Status]++
	}
	m.check()
	if s := m.life.Stats(); s != (job.Stats{}) {
		t.Errorf("figures after all jobs %+v", s)
	}
	t.Logf("%d jobs: %v", len(m.ids), states)
}
