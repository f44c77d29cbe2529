package metamorphic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/core/job"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/testkit"
)

// dataDir is where a node keeps its files.
const dataDir = "/data"

// node is a database below SQL, as core composes it: store, apply, cold tier,
// relations and maintenance. Nothing runs by the clock.
type node struct {
	fs        *disk.Mem
	clock     *testkit.Clock
	store     *store.Store
	apply     *apply.Local
	cold      *cold.Tier
	relations *relation.Relations
	maint     *maint.Maintainer
	hook      *hook
	faults    *diskFaults

	broken atomic.Pointer[string] // what the fatal call was told
	group  errgroup.Group
	stop   context.CancelFunc
}

// hook stands between maintenance and the commits that it proposes.
type hook struct {
	command.Committer
	before func(n int) error // called before commit n of an operation, from 1 on
	n      int
	synced atomic.Uint64 // position of the last one that was answered
}

// Commit asks before, then passes the command on.
func (h *hook) Commit(ctx context.Context, c *command.Command) (command.Receipt, error) {
	h.n++
	if h.before != nil {
		if err := h.before(h.n); err != nil {
			return command.Receipt{}, err
		}
	}
	receipt, err := h.Committer.Commit(ctx, c)
	for { // slices are answered by several goroutines
		seen := h.synced.Load()
		if seen >= receipt.Position || h.synced.CompareAndSwap(seen, receipt.Position) {
			break
		}
	}
	return receipt, err
}

// diskFaults refuses operations on the files of the cold tier. One goroutine
// uses it: maintenance and its reader take turns.
type diskFaults struct {
	armed bool
	left  int  // operations until the next refusal; 0 for no refusal
	once  bool // it is the only one
	hits  int
}

// errDisk is what a disk that refuses says.
var errDisk = errors.New("the disk refused")

// before decides about one operation on the disk.
func (f *diskFaults) before(o disk.Op) error {
	if !f.armed || f.left == 0 || o.Kind == disk.OpClose || !strings.HasPrefix(o.Path, dataDir+"/storage") {
		return nil
	}
	if f.left > 1 {
		f.left--
		return nil
	}
	if f.once {
		f.left = 0
	}
	f.hits++
	return errDisk
}

// errCut is what maintenance is told when its node is cut off.
var errCut = fault.New(fault.ShuttingDown, "the node was cut off")

// openNode opens a database on a disk.
func openNode(fs *disk.Mem, clock *testkit.Clock, c config) (_ *node, err error) {
	n := &node{fs: fs, clock: clock, faults: &diskFaults{}}
	quiet := slog.New(slog.DiscardHandler)
	fatal := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		n.broken.CompareAndSwap(nil, &text)
		runtime.Goexit()
	}
	if n.store, err = store.Open(store.Options{
		FS: fs, Dir: dataDir, Now: clock.Now, Reserve: -1, MaxClockSkew: 24 * time.Hour, Fatal: fatal,
		CacheBytes: c.cache, MemTableBytes: c.memTable, BlockBytes: int(c.block),
	}); err != nil {
		return nil, err
	}
	if n.apply, err = apply.Open(apply.Options{Store: n.store, Now: clock.Now, Fatal: fatal}); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	n.cold = cold.New(cold.Options{
		FS: disk.Inject(fs, n.faults.before), DataDir: dataDir, CacheBytes: c.pages, OpenFiles: int(c.openFiles), RowGroupRows: int(c.groupRows),
		RowGroupBytes: int(c.groupBytes), BloomRows: c.bloomRows,
	})
	n.relations = relation.New(relation.Options{Cold: n.cold, View: n.apply.View, Applied: n.apply.Applied, Now: clock.Now, Logger: quiet})
	n.hook = &hook{Committer: n.apply}
	jobs := job.New(job.Options{Committer: n.apply, View: n.apply.View, Now: clock.Now, Queue: 1 << 20, Logger: quiet})
	n.maint = maint.New(maint.Options{
		Committer: n.hook, View: n.apply.View, OldestView: n.apply.OldestView, Jobs: jobs, Cold: n.cold, Now: clock.Now, Logger: quiet,
		HistoryAge: time.Duration(c.historySeconds) * time.Second, HistoryBytes: c.historyBytes,
		DeletedRetention: time.Duration(c.retentionSeconds) * time.Second, SortBytes: c.sortBytes,
		Flush:      maint.FlushOptions{PackScopes: cmp.Or(int(c.packScopes), -1), MinFileRows: c.packRows},
		Compaction: maint.Compaction{UserRows: c.smallRows, SharedRows: c.smallRows},
		SliceRows:  int(c.sliceRows), Grace: cmp.Or(time.Duration(c.graceSeconds)*time.Second, -1),
	})
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.group.Go(func() error { return n.apply.Run(ctx) })
	if err := n.bootstrap(); err != nil {
		return n, err
	}
	return n, n.maint.MendManifests(ctx) // as the server does at its start
}

// bootstrap makes what every database has.
func (n *node) bootstrap() error {
	now := n.clock.Now().UnixMicro()
	if _, ok := n.apply.Definitions().Namespace(schema.DefaultNamespace); !ok {
		if _, err := n.commit(schema.Sync, &command.PutNamespace{
			Create: true, Namespace: schema.Namespace{Name: schema.DefaultNamespace, CreatedAt: now, UpdatedAt: now},
		}); err != nil {
			return err
		}
	}
	if _, ok := n.apply.Definitions().Storage(schema.LocalStorage); !ok {
		if _, err := n.commit(schema.Sync, &command.PutStorage{Create: true, Storage: n.cold.LocalStorage(now)}); err != nil {
			return err
		}
	}
	return nil
}

// commit proposes a command.
func (n *node) commit(d schema.Durability, body command.Body) (command.Receipt, error) {
	receipt, err := n.apply.Commit(context.Background(), &command.Command{Time: n.clock.Now().UnixMicro(), Durability: d, Body: body})
	if text := n.broken.Load(); text != nil {
		return receipt, errors.Join(errors.New(*text), err)
	}
	return receipt, err
}

// close ends the node. All views and scans must have been given back.
func (n *node) close() error {
	n.stop()
	err := n.group.Wait()
	n.apply.Close()
	return errors.Join(err, n.cold.Close(), n.store.Close())
}
