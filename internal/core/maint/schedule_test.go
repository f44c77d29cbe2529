package maint_test

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/job"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// policyTable is notesTable with a FLUSH_POLICY.
func policyTable(rows, seconds int64) schema.Table {
	t := notesTable()
	t.Options.FlushPolicy = schema.FlushPolicy{Rows: rows, IntervalSeconds: seconds}
	return t
}

// hot returns the hot and the cold rows of a scope.
func hot(t *testing.T, n *node, def *schema.Table, scope schema.Scope) (int64, int64) {
	t.Helper()
	view := n.Relations.View()
	defer view.Release()
	stats, err := view.TableStats(context.Background(), def, scope, false)
	if err != nil {
		t.Fatal(err)
	}
	return stats.HotRows, stats.ColdRows
}

// look lets the schedule look and waits for the flushes that it has started.
// It returns their rows of system.jobs that are new.
func look(t *testing.T, n *node, known map[string]bool) [][]datum.Value {
	t.Helper()
	if err := n.Maint.LookForFlushes(context.Background()); err != nil {
		t.Fatal(err)
	}
	return settled(t, n, known)
}

// settled waits for all jobs and returns the new ones.
func settled(t *testing.T, n *node, known map[string]bool) [][]datum.Value {
	t.Helper()
	var fresh [][]datum.Value
	for _, row := range jobRows(t, n) {
		id := row[0].Text()
		if known[id] {
			continue
		}
		known[id] = true
		if _, err := n.Jobs.Wait(context.Background(), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range jobRows(t, n) {
		if id := row[0].Text(); known[id] && !known["told "+id] {
			known["told "+id] = true
			fresh = append(fresh, row)
		}
	}
	return fresh
}

func jobRows(t *testing.T, n *node) [][]datum.Value {
	t.Helper()
	view := n.Relations.View()
	defer view.Release()
	return systemRows(t, view, "jobs")
}

// expectJob checks that one job has completed, with parameters.
func expectJob(t *testing.T, jobs [][]datum.Value, parameters ...string) {
	t.Helper()
	if len(jobs) != 1 || jobs[0][1].Text() != "flush" || jobs[0][2].Text() != "completed" {
		t.Fatalf("jobs %v", jobs)
	}
	for _, p := range parameters {
		if !strings.Contains(jobs[0][4].Text(), p) {
			t.Errorf("the job's parameters are %s, want %s", jobs[0][4].Text(), p)
		}
	}
}

// rows:N flushes the partition that has reached N, and it alone; one row less
// does nothing, and after the flush the count begins anew.
func TestPolicyByRows(t *testing.T) {
	n := openNode(t, nodeOptions{})
	def := n.Commit(&command.CreateTable{Table: policyTable(5, 0)}).Table
	known := map[string]bool{}
	insert(n, def, "alice", 0, 4)
	insert(n, def, "bob", 0, 4)
	if jobs := look(t, n, known); len(jobs) != 0 {
		t.Fatalf("4 rows started %v", jobs)
	}
	insert(n, def, "alice", 4, 5)
	expectJob(t, look(t, n, known), `"reason":"rows"`, `"flush_threshold":5`, `"table":"notes"`)
	if h, c := hot(t, n, def, "alice"); h != 0 || c != 5 {
		t.Errorf("alice has %d hot and %d cold rows", h, c)
	}
	if h, c := hot(t, n, def, "bob"); h != 4 || c != 0 {
		t.Errorf("bob has %d hot and %d cold rows", h, c)
	}
	if names := files(t, n.FS, "/data/storage"); len(names) != 2 || !strings.HasPrefix(names[0], "default/notes/alice/") {
		t.Errorf("the storage holds %q", names)
	}
	insert(n, def, "alice", 5, 9)
	if jobs := look(t, n, known); len(jobs) != 0 {
		t.Errorf("4 rows after the flush started %v", jobs)
	}
	change(t, n, def, "alice", 6, "")
	insert(n, def, "alice", 9, 10)
	if jobs := look(t, n, known); len(jobs) != 0 {
		t.Errorf("4 rows, one more deleted, started %v", jobs)
	}
	insert(n, def, "alice", 10, 11)
	expectJob(t, look(t, n, known))
}

// The count of unflushed rows is exact after a crash.
func TestPolicyAfterCrash(t *testing.T) {
	mem := disk.NewMem()
	n := openNode(t, nodeOptions{FS: mem})
	def := n.Commit(&command.CreateTable{Table: policyTable(5, 0)}).Table
	insert(n, def, "alice", 0, 4)
	for i, more := range []int{4, 5} {
		fs := mem.CrashClone(uint64(i), 0)
		after := openNode(t, nodeOptions{FS: fs, Clock: n.Clock})
		if h, _ := hot(t, after, def, "alice"); h != 4 {
			t.Fatalf("after the crash %d rows are hot", h)
		}
		insert(after, def, "alice", 4, more)
		if jobs := look(t, after, map[string]bool{}); len(jobs) != more-4 {
			t.Errorf("with %d rows: jobs %v", more, jobs)
		}
	}
}

// interval:S flushes the rows of all users S seconds after the oldest of them,
// also after a restart, and ALTER takes effect.
func TestPolicyByInterval(t *testing.T) {
	mem := disk.NewMem()
	n := openNode(t, nodeOptions{FS: mem})
	def := n.Commit(&command.CreateTable{Table: policyTable(1000, 300)}).Table
	known := map[string]bool{}
	if jobs := look(t, n, known); len(jobs) != 0 {
		t.Fatalf("an empty table started %v", jobs)
	}
	insert(n, def, "alice", 0, 3)
	n.Clock.Advance(200 * time.Second)
	insert(n, def, "bob", 0, 2)
	n.Clock.Advance(99 * time.Second)
	if jobs := look(t, n, known); len(jobs) != 0 {
		t.Fatalf("299 s started %v", jobs)
	}
	restarted := openNode(t, nodeOptions{FS: mem.CrashClone(1, 0), Clock: n.Clock})
	n.Clock.Advance(2 * time.Second)
	for _, n := range []*node{n, restarted} {
		expectJob(t, look(t, n, map[string]bool{}), `"reason":"interval"`)
		for _, scope := range []schema.Scope{"alice", "bob"} {
			if h, c := hot(t, n, def, scope); h != 0 || c == 0 {
				t.Errorf("%s has %d hot and %d cold rows", scope, h, c)
			}
		}
	}
	settled(t, n, known)
	n.Clock.Advance(time.Hour)
	if jobs := look(t, n, known); len(jobs) != 0 {
		t.Fatalf("nothing to flush started %v", jobs)
	}
	insert(n, def, "carol", 0, 1)
	next := def.Clone()
	next.Version++
	next.Options.FlushPolicy = schema.FlushPolicy{IntervalSeconds: 10}
	def = n.Commit(&command.AlterTable{Table: *next, FromVersion: def.Version}).Table
	n.Clock.Advance(11 * time.Second)
	expectJob(t, look(t, n, known))
	insert(n, def, "carol", 1, 2)
	next = def.Clone()
	next.Version++
	next.Options.FlushPolicy = schema.FlushPolicy{}
	n.Commit(&command.AlterTable{Table: *next, FromVersion: def.Version})
	n.Clock.Advance(time.Hour)
	if jobs := look(t, n, known); len(jobs) != 0 {
		t.Fatalf("a table without a policy started %v", jobs)
	}
}

// A flush by policy that fails leaves the rows hot, says why, and is tried again
// after a while; not at once.
func TestPolicyRetries(t *testing.T) {
	full := true
	mem := disk.NewMem()
	fs := disk.Inject(mem, func(op disk.Op) error {
		if full && strings.Contains(op.Path, "/storage/") {
			return syscall.ENOSPC
		}
		return nil
	})
	n := openNode(t, nodeOptions{FS: fs})
	def := n.Commit(&command.CreateTable{Table: policyTable(5, 60)}).Table
	known := map[string]bool{}
	for _, scope := range []schema.Scope{"alice", "bob"} {
		insert(n, def, scope, 0, 4)
	}
	insert(n, def, "alice", 4, 5)
	failed := look(t, n, known)
	if len(failed) != 1 || failed[0][2].Text() != "failed" || failed[0][5].Text() == "" {
		t.Fatalf("on a full disk: %v", failed)
	}
	if h, c := hot(t, n, def, "alice"); h != 5 || c != 0 {
		t.Errorf("after the failure %d rows are hot, %d cold", h, c)
	}
	if jobs := look(t, n, known); len(jobs) != 0 {
		t.Errorf("the flush began again at once: %v", jobs)
	}
	n.Clock.Advance(61 * time.Second)
	if jobs := look(t, n, known); len(jobs) == 0 || jobs[0][2].Text() != "failed" {
		t.Errorf("the second flush: %v", jobs)
	}
	full = false
	n.Clock.Advance(time.Hour)
	for _, j := range look(t, n, known) {
		if j[2].Text() != "completed" {
			t.Errorf("with room again: %v", j)
		}
	}
	for _, scope := range []schema.Scope{"alice", "bob"} {
		if h, c := hot(t, n, def, scope); h != 0 || c < 4 {
			t.Errorf("with room again %s has %d hot and %d cold rows", scope, h, c)
		}
	}
}

// The running schedule hears of commits: a partition that reaches its rows is
// flushed without waiting for the next count of all tables.
func TestScheduleFollowsCommits(t *testing.T) {
	n := openNode(t, nodeOptions{Maint: maint.Options{Flush: maint.FlushOptions{Every: time.Hour}}, Schedule: true})
	def := n.Commit(&command.CreateTable{Table: policyTable(5, 0)}).Table
	insert(n, def, "alice", 0, 3)
	began := time.Now()
	insert(n, def, "alice", 3, 6)
	for {
		rows := jobRows(t, n)
		if len(rows) > 0 {
			if _, err := n.Jobs.Wait(context.Background(), rows[0][0].Text()); err != nil {
				t.Fatal(err)
			}
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("no job after 10 s")
		}
		<-time.After(time.Millisecond)
	}
	t.Logf("the rows were cold %v after they had come", time.Since(began).Round(time.Millisecond))
	if h, c := hot(t, n, def, "alice"); h != 0 || c != 6 {
		t.Errorf("%d rows are hot, %d cold", h, c)
	}
	view := n.Relations.View()
	defer view.Release()
	if _, err := view.Open(def, "alice", relation.Caller{User: "alice"}); err != nil {
		t.Error(err)
	}
}

// What a policy starts has the key of its hour, waits behind statements, is tried
// again, and goes on after a restart; and no second flush starts beside it.
func TestPolicyJobs(t *testing.T) {
	mem := disk.NewMem()
	var held atomic.Bool
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	fs := disk.Inject(mem, func(op disk.Op) error {
		if op.Kind == disk.OpCreate && strings.HasSuffix(op.Path, ".parquet.tmp") && held.CompareAndSwap(true, false) {
			entered <- struct{}{}
			<-leave
		}
		return nil
	})
	n := openNode(t, nodeOptions{FS: fs})
	def := n.Commit(&command.CreateTable{Table: policyTable(0, 60)}).Table
	insert(n, def, "alice", 0, 4)
	held.Store(true)
	n.Clock.Advance(61 * time.Second)
	if err := n.Maint.LookForFlushes(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-entered
	said, err := n.Maint.StartFlush(context.Background(), "root", def)
	if err != nil || !strings.Contains(said, "already queued or running") {
		t.Errorf("a flush beside that of the policy: %q, %v", said, err)
	}
	view := n.Apply.View()
	jobs, err := catalog.Jobs().List(view.Reader(), "", 10)
	view.Release()
	if err != nil || len(jobs) != 1 {
		t.Fatalf("jobs %v, %v", jobs, err)
	}
	want := "FL:default:notes:" + n.Clock.Now().UTC().Format("2006-01-02-15")
	if j := jobs[0]; j.IdempotencyKey != want || j.Priority >= 0 || j.MaxRetries != job.MaxRetries {
		t.Errorf("the job has key %q, priority %d and %d retries, want key %q", j.IdempotencyKey, j.Priority, j.MaxRetries, want)
	}
	crashed := mem.CrashClone(1, 100)
	close(leave)
	n.Close()
	again := openNode(t, nodeOptions{FS: crashed, Clock: n.Clock})
	status, look := "", time.NewTicker(time.Millisecond)
	defer look.Stop()
	for range 30_000 { // it is found a moment after the start
		j, err := again.Jobs.Wait(context.Background(), jobs[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		if status = j.Status; status != schema.JobRunning {
			break
		}
		<-look.C
	}
	if status != schema.JobCompleted {
		t.Errorf("after the restart the job is %s", status)
	}
	if h, c := hot(t, again, def, "alice"); h != 0 || c != 4 {
		t.Errorf("after the restart %d rows are hot and %d cold", h, c)
	}
}

// Flushes take as long as the bound on bytes says, and end at once when they are
// told to.
func TestFlushKeepsPace(t *testing.T) {
	n := openNode(t, nodeOptions{Maint: maint.Options{Flush: maint.FlushOptions{BytesPerSecond: 64 << 10}}})
	def := n.Commit(&command.CreateTable{Table: notesTable()}).Table
	rows := command.TableWrite{Table: def.ID, SchemaVersion: 1}
	for id := range int64(400) {
		row := make([]datum.Value, len(def.Columns))
		row[0], row[1] = datum.NewInt(datum.BigInt, id), datum.NewText(strings.Repeat("x", 1000))
		rows.Rows = append(rows.Rows, command.RowWrite{Op: command.Insert, Scope: "alice", Key: datum.AppendKey(nil, row[0]), Row: def.AppendRow(nil, row)})
	}
	n.Commit(&command.Write{Tables: []command.TableWrite{rows}})
	ctx, stop := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer stop()
	if _, err := n.Maint.Flush(ctx, def.ID); err == nil {
		t.Error("400 kB were written in a fifth of a second at 64 KiB a second")
	}
	began := time.Now()
	if result, err := n.Maint.Flush(context.Background(), def.ID); err != nil || result.Rows != 400 {
		t.Fatalf("flush %+v, %v", result, err)
	}
	if took := time.Since(began); took < 3*time.Second {
		t.Errorf("400 kB took %s at 64 KiB a second", took)
	}
}
