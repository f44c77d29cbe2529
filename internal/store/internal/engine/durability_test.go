package engine

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"kalamdb/internal/disk"
)

// numbered fills a batch that a reader can check as a whole: several keys of
// two keyspaces, and a counter that must come to the number of batches.
func numbered(b *Batch, n uint64) {
	for part := range byte(3) {
		key := binary.BigEndian.AppendUint64([]byte{'k', part}, n)
		Set(b, key, make([]byte, 200))
	}
	SetRow(b, []byte("row"), n, binary.AppendUvarint(nil, n))
	Merge(b, []byte("n"), AppendDelta(nil, 1))
}

// countBatches returns how many batches are in a state, and fails when one
// is there in part or is missing before another.
func countBatches(t *testing.T, r Reader) uint64 {
	t.Helper()
	value, _, err := Get(r, []byte("n"))
	must(t, err)
	counters, err := DecodeCounters(value)
	must(t, err)
	if len(counters) == 0 {
		counters = []int64{0}
	}
	count := uint64(counters[0])
	for part := range byte(3) {
		it, err := NewIter(r, []byte{'k', part}, []byte{'k', part + 1})
		must(t, err)
		n := uint64(0)
		for ok := it.First(); ok; ok = it.Next() {
			if n++; binary.BigEndian.Uint64(it.Key()[2:]) != n {
				t.Fatalf("part %d: key %d is missing before %x", part, n, it.Key())
			}
		}
		must(t, it.Close())
		if n != count {
			t.Fatalf("part %d has %d keys, the counter says %d", part, n, count)
		}
	}
	if _, at, ok, err := GetRow(r, []byte("row"), ^uint64(0)); err != nil || at != count || ok != (count > 0) {
		t.Fatalf("newest row version is %d, not %d: %v", at, count, err)
	}
	return count
}

// cut is a disk after a power cut and the number of batches that had been
// waited for before.
type cut struct {
	disk    *disk.Mem
	durable uint64
}

// TestCrashClones cuts the power before random operations on files in a run
// with flushes and compactions. Each clone holds all batches that were waited
// for, and with them a run of later ones without a gap or a part.
func TestCrashClones(t *testing.T) {
	const batches, clones = 1500, 60
	mem := disk.NewMem()
	var mu sync.Mutex // of random and cuts; operations come from many goroutines
	random := rand.New(rand.NewPCG(3, 4))
	var cuts []cut
	var durable atomic.Uint64
	fsys := disk.Inject(mem, func(op disk.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(batches/clones) == 0 && len(cuts) < clones {
			n := durable.Load()
			cuts = append(cuts, cut{mem.CrashClone(random.Uint64(), random.IntN(101)), n})
		}
		return nil
	})
	db, err := Open(fsys, "hot", Options{MemTableBytes: 64 << 10})
	must(t, err)
	must(t, disk.SyncDir(mem, "/"))
	mu.Lock()
	cuts = nil // those before the first start was complete
	mu.Unlock()

	for n := uint64(1); n <= batches; n++ {
		sync := n%3 > 0
		commit(t, db, n, sync)
		if sync {
			durable.Store(n)
		}
	}
	if got := countBatches(t, db); got != batches {
		t.Errorf("the run ended with %d batches of %d", got, batches)
	}
	if m := db.Metrics(); m.Flushes < 5 || m.Compactions == 0 {
		t.Errorf("the run saw %d flushes and %d compactions only", m.Flushes, m.Compactions)
	}
	must(t, db.Close())
	checkCuts(t, cuts, clones/3)
}

func checkCuts(t *testing.T, cuts []cut, least int) {
	t.Helper()
	longer := 0
	for i, c := range cuts {
		db, err := Open(c.disk, "hot", Options{MustExist: true})
		must(t, err)
		got := countBatches(t, db)
		if got < c.durable {
			t.Errorf("clone %d: %d batches were durable, %d are there", i, c.durable, got)
		}
		if got > c.durable {
			longer++
		}
		commit(t, db, got+1, true) // it can go on
		must(t, db.Close())
	}
	if longer == 0 || len(cuts) < least {
		t.Errorf("%d of %d clones kept a batch on its way: the test sees too little", longer, len(cuts))
	}
}

// ending is a fatal call for tests: it counts and ends the goroutine.
type ending struct{ calls atomic.Int64 }

func (e *ending) fatal(string, ...any) {
	e.calls.Add(1)
	runtime.Goexit()
}

// TestRefusedSync lets committers run until the disk refuses one operation.
// From then on nothing is acknowledged, and what was is on the disk.
func TestRefusedSync(t *testing.T) {
	f := func(name string, refuse func(op disk.Op) bool) {
		t.Run(name, func(t *testing.T) {
			mem := disk.NewMem()
			var armed, refused atomic.Bool
			fsys := disk.Inject(mem, func(op disk.Op) error {
				if armed.Load() && refuse(op) {
					refused.Store(true)
					return syscall.EIO
				}
				return nil
			})
			end := &ending{}
			db, err := Open(fsys, "hot", Options{MemTableBytes: 256 << 10, Fatal: end.fatal})
			must(t, err)
			must(t, disk.SyncDir(mem, "/"))

			acknowledged := runCommitters(t, db, &armed)
			if !refused.Load() {
				t.Error("the fault was never met")
			}
			if end.calls.Load() == 0 {
				t.Error("nobody was told")
			}
			if db.Broken() == nil {
				t.Error("the engine takes itself for sound")
			}
			clone := mem.CrashClone(1, 0)
			again, err := Open(clone, "hot", Options{})
			must(t, err)
			if got := countBatches(t, again); got < acknowledged {
				t.Errorf("%d batches were acknowledged, %d survive", acknowledged, got)
			}
			must(t, again.Close())
		})
	}
	log := func(op disk.Op) bool { return strings.HasSuffix(op.Path, ".log") }
	f("log sync", func(op disk.Op) bool { return op.Kind == disk.OpSync && log(op) })
	f("log write", func(op disk.Op) bool { return op.Kind == disk.OpWrite && log(op) })
	f("table sync", func(op disk.Op) bool { return op.Kind == disk.OpSync && strings.HasSuffix(op.Path, ".sst") })
	f("manifest sync", func(op disk.Op) bool {
		return op.Kind == disk.OpSync && strings.HasPrefix(path.Base(op.Path), "MANIFEST")
	})
	f("log create", func(op disk.Op) bool { return (op.Kind == disk.OpCreate || op.Kind == disk.OpRename) && log(op) })
	f("log close", func(op disk.Op) bool { return op.Kind == disk.OpClose && log(op) })
	f("manifest write", func(op disk.Op) bool {
		return op.Kind == disk.OpWrite && strings.HasPrefix(path.Base(op.Path), "MANIFEST")
	})
	f("directory sync", func(op disk.Op) bool { return op.Kind == disk.OpSync && op.Path == "hot" })
}

// TestRefusedTables refuses to write tables for a while, as a full disk does:
// the log goes on, nothing is lost, and the tables are written in the end.
func TestRefusedTables(t *testing.T) {
	var left atomic.Int64
	left.Store(2)
	mem := disk.NewMem()
	fsys := disk.Inject(mem, func(op disk.Op) error {
		if op.Kind == disk.OpCreate && strings.HasSuffix(op.Path, ".sst") && left.Add(-1) >= 0 {
			return syscall.ENOSPC
		}
		return nil
	})
	db, err := Open(fsys, "hot", Options{MemTableBytes: 256 << 10})
	must(t, err)
	for n := range uint64(300) {
		commit(t, db, n+1, true)
	}
	must(t, db.Flush())
	if left.Load() >= 0 || db.Broken() != nil {
		t.Errorf("%d refusals are left, broken: %v", left.Load(), db.Broken())
	}
	if got := countBatches(t, db); got != 300 {
		t.Errorf("%d batches are there, not 300", got)
	}
	must(t, db.Close())
}

// runCommitters applies numbered batches from one goroutine, waits for each
// in one of several others, and returns how many were acknowledged. It arms
// the fault on the way and returns when all goroutines have ended.
func runCommitters(t *testing.T, db *DB, armed *atomic.Bool) uint64 {
	const before, limit = 300, 20000
	var acknowledged atomic.Uint64
	queue := make(chan *Batch, limit) // the waiters end before the committer
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for b := range queue {
				late := db.Broken() != nil
				if err := b.Wait(); err != nil || late {
					t.Errorf("acknowledged after the refusal: %v", err)
				}
				acknowledged.Add(1)
			}
		})
	}
	wg.Go(func() {
		defer close(queue)
		for n := uint64(1); n <= limit; n++ {
			if n == before {
				armed.Store(true)
			}
			b := db.NewBatch()
			numbered(b, n)
			late := db.Broken() != nil
			if err := db.Apply(b, true); err != nil || late {
				t.Errorf("batch %d applied after the refusal: %v", n, err)
			}
			queue <- b
		}
		t.Error("all batches were applied")
	})
	wg.Wait()
	return acknowledged.Load()
}

// TestPipeline holds the fsync of the log back: batches are applied and seen
// meanwhile, none is acknowledged, and one fsync serves all that waited.
func TestPipeline(t *testing.T) {
	const batches = 20
	var syncs atomic.Int64
	var hold atomic.Bool
	release := make(chan struct{})
	fsys := disk.Inject(disk.NewMem(), func(op disk.Op) error {
		if op.Kind == disk.OpSync && strings.HasSuffix(op.Path, ".log") {
			syncs.Add(1)
			if hold.Load() {
				<-release
			}
		}
		return nil
	})
	db, err := Open(fsys, "hot", Options{})
	must(t, err)
	hold.Store(true)
	first := syncs.Load()

	var acknowledged atomic.Int64
	var wg sync.WaitGroup
	for n := range uint64(batches) {
		b := db.NewBatch()
		numbered(b, n+1)
		must(t, db.Apply(b, true))
		if got := countBatches(t, db); got != n+1 {
			t.Fatalf("applied %d batches, a reader sees %d", n+1, got)
		}
		wg.Go(func() {
			defer b.Close()
			if err := b.Wait(); err != nil {
				t.Error(err)
			}
			acknowledged.Add(1)
		})
	}
	if got := acknowledged.Load(); got != 0 {
		t.Errorf("%d batches were acknowledged before their fsync", got)
	}
	hold.Store(false)
	close(release)
	wg.Wait()
	if got := syncs.Load() - first; got > 3 {
		t.Errorf("%d batches took %d fsyncs", batches, got)
	}
	must(t, db.Close())
}

// TestConcurrentCommitters applies batches of many goroutines in the order of
// a lock and waits for them outside of it; the log keeps that order.
func TestConcurrentCommitters(t *testing.T) {
	fsys := disk.NewMem()
	db, err := Open(fsys, "hot", Options{})
	must(t, err)
	must(t, disk.SyncDir(fsys, "/"))
	var mu sync.Mutex
	next := uint64(0)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 40 {
				mu.Lock()
				next++
				mine := next
				b := db.NewBatch()
				numbered(b, mine)
				err := db.Apply(b, true)
				mu.Unlock()
				if err == nil {
					err = b.Wait()
				}
				b.Close()
				if err != nil {
					t.Error(err)
				}
				if i%10 == 0 {
					checkClone(t, fsys.CrashClone(uint64(worker), 30), mine)
				}
			}
		})
	}
	wg.Wait()
	must(t, db.Close())
}

func checkClone(t *testing.T, clone *disk.Mem, durable uint64) {
	db, err := Open(clone, "hot", Options{})
	if err != nil {
		t.Error(err)
		return
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	value, _, err := Get(db, []byte("n"))
	counters, decodeErr := DecodeCounters(value)
	if err != nil || decodeErr != nil || len(counters) != 1 || uint64(counters[0]) < durable {
		t.Errorf("clone counts %v after %d batches were acknowledged: %v %v", counters, durable, err, decodeErr)
	}
}

// TestCheckpoint copies a running engine, relaxed batches included, and goes
// on in both.
func TestCheckpoint(t *testing.T) {
	fsys := disk.NewMem()
	db, err := Open(fsys, "hot", Options{MemTableBytes: 256 << 10})
	must(t, err)
	for n := range uint64(500) {
		commit(t, db, n+1, n%3 == 0)
	}
	must(t, db.Checkpoint("copy"))
	commit(t, db, 501, true)

	again, err := Open(fsys.CrashClone(1, 0), "copy", Options{})
	must(t, err)
	if got := countBatches(t, again); got != 500 {
		t.Errorf("the copy holds %d batches, not 500", got)
	}
	must(t, again.Close())
	again, err = Open(fsys, "copy", Options{})
	must(t, err)
	commit(t, again, 501, true)
	must(t, again.Flush())
	if err := db.Checkpoint("copy"); err == nil {
		t.Error("a checkpoint was written over another")
	}
	must(t, again.Close())
	if got := countBatches(t, db); got != 501 {
		t.Errorf("the original holds %d batches, not 501", got)
	}
	must(t, db.Close())
}

func commit(t *testing.T, db *DB, n uint64, sync bool) {
	t.Helper()
	b := db.NewBatch()
	defer b.Close()
	numbered(b, n)
	must(t, db.Apply(b, sync))
	must(t, b.Wait())
}

// TestReadOnly opens what another run has left and refuses changes.
func TestReadOnly(t *testing.T) {
	fsys := disk.NewMem()
	if _, err := Open(fsys, "hot", Options{MustExist: true}); err == nil {
		t.Error("an engine that must exist was made")
	}
	db, err := Open(fsys, "hot", Options{})
	must(t, err)
	commit(t, db, 1, true)
	must(t, db.Close())

	db, err = Open(fsys, "hot", Options{ReadOnly: true})
	must(t, err)
	if got := countBatches(t, db); got != 1 {
		t.Errorf("%d batches are there, not 1", got)
	}
	b := db.NewBatch()
	numbered(b, 2)
	if err := db.Apply(b, true); err == nil {
		t.Error("a batch was applied read-only")
	}
	b.Close()
	must(t, db.Close())
}

// TestLeaks checks that Close names what was left open.
func TestLeaks(t *testing.T) {
	db, err := Open(disk.NewMem(), "hot", Options{})
	must(t, err)
	s := db.NewSnapshot()
	if err := db.Close(); err == nil || !strings.Contains(fmt.Sprint(err), "snapshot") {
		t.Errorf("close with an open snapshot: %v", err)
	}
	_ = s // it belongs to an engine that is gone
}
