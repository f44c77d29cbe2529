package maint_test

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/core/job"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
)

// testClock is a clock that tests turn by hand.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *testClock { return &testClock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// nodeOptions say how a node is opened.
type nodeOptions struct {
	// FS is the disk of the engine and the cold tier; a new Mem when nil.
	FS disk.FS
	// Dir is where the node keeps its files; dataDir when empty.
	Dir string
	// Clock is the only clock; a new one when nil.
	Clock *testClock
	// Cold are options of the tier; FS and DataDir are filled in.
	Cold cold.Options
	// Maint are options of the maintainer; what it works with is filled in.
	Maint maint.Options
	// ArchiveBytes bounds what waits for the archive of Maint.Archive; 0 keeps none.
	ArchiveBytes int64
	// Committer wraps the one that maint and jobs propose to.
	Committer func(command.Committer) command.Committer
	// Schedule runs maintenance by the clock, which is the real one then.
	Schedule bool
}

// node is a database below SQL: store, apply, cold tier, relations, jobs and
// maintenance. Maintenance runs by hand only.
type node struct {
	FS        disk.FS
	Clock     *testClock
	Store     *store.Store
	Apply     *apply.Local
	Cold      *cold.Tier
	Relations *relation.Relations
	Jobs      *job.Runner
	Maint     *maint.Maintainer

	t     testing.TB
	group *errgroup.Group
	stop  context.CancelFunc
}

// dataDir is where a node keeps its files.
const dataDir = "/data"

// openNode opens a node and closes it when the test ends.
func openNode(t testing.TB, o nodeOptions) *node {
	t.Helper()
	if o.FS == nil {
		o.FS = disk.NewMem()
	}
	if o.Clock == nil {
		o.Clock = newClock()
	}
	o.Dir = cmp.Or(o.Dir, dataDir)
	n := &node{FS: o.FS, Clock: o.Clock, t: t}
	quiet := slog.New(slog.DiscardHandler)
	var err error
	if n.Store, err = store.Open(store.Options{FS: o.FS, Dir: o.Dir, Now: o.Clock.Now, Reserve: -1, ArchiveBytes: o.ArchiveBytes}); err != nil {
		t.Fatal(err)
	}
	publish := func(commits []command.Commit) { n.Maint.Committed(commits) }
	if n.Apply, err = apply.Open(apply.Options{Store: n.Store, Now: o.Clock.Now, Publish: publish}); err != nil {
		t.Fatal(err)
	}
	o.Cold.FS, o.Cold.DataDir = o.FS, o.Dir
	n.Cold = cold.New(o.Cold)
	n.Relations = relation.New(relation.Options{Cold: n.Cold, View: n.Apply.View, Applied: n.Apply.Applied, Now: o.Clock.Now})
	committer := command.Committer(n.Apply)
	if o.Committer != nil {
		committer = o.Committer(committer)
	}
	n.Jobs = job.New(job.Options{Committer: committer, View: n.Apply.View, Now: o.Clock.Now, Logger: quiet, RetryDelay: 10 * time.Millisecond})
	o.Maint.Committer, o.Maint.View, o.Maint.OldestView = committer, n.Apply.View, n.Apply.OldestView
	o.Maint.Jobs, o.Maint.Cold, o.Maint.Now = n.Jobs, n.Cold, o.Clock.Now
	o.Maint.Store, o.Maint.Relations = n.Store, n.Relations
	if o.Maint.Logger == nil {
		o.Maint.Logger = quiet
	}
	n.Maint = maint.New(o.Maint)
	n.run(o.Schedule)
	t.Cleanup(n.Close)
	n.bootstrap()
	return n
}

// run starts what a server runs, the schedule of maintenance if it is asked for.
func (n *node) run(schedule bool) {
	ctx, stop := context.WithCancel(context.Background())
	jobs, stopJobs := context.WithCancel(context.Background())
	n.group = &errgroup.Group{}
	running := make(chan struct{})
	n.group.Go(func() error { return n.Apply.Run(ctx) })
	n.group.Go(func() error {
		defer close(running)
		return n.Jobs.Run(jobs)
	})
	if schedule {
		n.group.Go(func() error { return n.Maint.Run(jobs) })
	}
	n.stop = func() {
		stopJobs()
		<-running
		stop()
	}
}

// Close stops the node cleanly. It may be called more than once.
func (n *node) Close() {
	n.t.Helper()
	if n.stop == nil {
		return
	}
	n.stop()
	n.stop = nil
	if err := n.group.Wait(); err != nil {
		n.t.Error(err)
	}
	n.Apply.Close()
	if err := n.Cold.Close(); err != nil {
		n.t.Error(err)
	}
	if err := n.Store.Close(); err != nil {
		n.t.Error(err)
	}
}

// bootstrap makes what every database has.
func (n *node) bootstrap() {
	n.t.Helper()
	now := n.Clock.Now().UnixMicro()
	if _, ok := n.Apply.Definitions().Namespace(schema.DefaultNamespace); !ok {
		n.Commit(&command.PutNamespace{Create: true, Namespace: schema.Namespace{Name: schema.DefaultNamespace, CreatedAt: now, UpdatedAt: now}})
	}
	if _, ok := n.Apply.Definitions().Storage(schema.LocalStorage); !ok {
		n.Commit(&command.PutStorage{Create: true, Storage: n.Cold.LocalStorage(now)})
	}
}

// Commit proposes a command that must be accepted.
func (n *node) Commit(body command.Body) command.Receipt {
	n.t.Helper()
	receipt, err := n.TryCommit(body)
	if err != nil {
		n.t.Fatalf("%T: %v", body, err)
	}
	return receipt
}

// TryCommit proposes a command.
func (n *node) TryCommit(body command.Body) (command.Receipt, error) {
	return n.Apply.Commit(context.Background(), &command.Command{Time: n.Clock.Now().UnixMicro(), Body: body})
}
