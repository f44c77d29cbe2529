package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, fsys disk.FS) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{FS: fsys, Dir: "data", MemTableBytes: 1 << 20})
	must(t, err)
	return s
}

// put commits one key, and the position that goes with it.
func put(t testing.TB, s *store.Store, position uint64, sync bool) {
	t.Helper()
	b := s.NewBatch()
	defer b.Close()
	engine.Set(b.Engine(), fmt.Appendf(nil, "k%06d", position), []byte("value"))
	store.SetPosition(b, position)
	must(t, b.Commit(sync))
	must(t, b.Wait())
}

// TestRestart follows the clean mark and the sys entries over a clean and an
// unclean end.
func TestRestart(t *testing.T) {
	mem := disk.NewMem()
	s := open(t, mem)
	if !s.Clean() {
		t.Error("a new directory is not clean")
	}
	b := s.NewBatch()
	store.SetCeiling(b, 77)
	store.SetHistoryFloor(b, 33)
	store.SetLostRanges(b, []store.Range{{From: 1, To: 5}, {From: 9, To: 12}})
	store.SetNextNumber(b, store.NumberFile, 8)
	must(t, b.Commit(true))
	must(t, b.Wait())
	b.Close()
	put(t, s, 50, true)
	crashed := mem.CrashClone(1, 50)
	must(t, s.Close())

	s = open(t, mem)
	if !s.Clean() {
		t.Error("a closed directory is not clean")
	}
	checkSys(t, s)
	running := mem.CrashClone(2, 0)
	must(t, s.Close())

	for name, fsys := range map[string]*disk.Mem{"crashed": crashed, "crashed after a clean start": running} {
		s = open(t, fsys)
		if s.Clean() {
			t.Errorf("%s: the directory is clean", name)
		}
		checkSys(t, s)
		must(t, s.Close())
	}
}

func checkSys(t *testing.T, s *store.Store) {
	t.Helper()
	r := s.Reader()
	f := func(name string, want uint64, read func(store.Reader) (uint64, error)) {
		t.Helper()
		if got, err := read(r); err != nil || got != want {
			t.Errorf("%s is %d, %v; want %d", name, got, err, want)
		}
	}
	f("position", 50, store.Position)
	f("ceiling", 77, store.Ceiling)
	f("history floor", 33, store.HistoryFloor)
	f("next file", 8, func(r store.Reader) (uint64, error) { return store.NextNumber(r, store.NumberFile) })
	f("next table", 1, func(r store.Reader) (uint64, error) { return store.NextNumber(r, store.NumberTable) })
	ranges, err := store.LostRanges(r)
	if err != nil || fmt.Sprint(ranges) != "[{1 5} {9 12}]" {
		t.Errorf("lost ranges are %v, %v", ranges, err)
	}
	if lost := ranges[1]; lost.Contains(9) || !lost.Contains(10) || !lost.Contains(12) || lost.Contains(13) {
		t.Error("a range holds its first edge or not its last")
	}
}

func TestLostRangesForgotten(t *testing.T) {
	s := open(t, disk.NewMem())
	for _, ranges := range [][]store.Range{{{From: 1, To: 2}}, nil} {
		b := s.NewBatch()
		store.SetLostRanges(b, ranges)
		must(t, b.Commit(true))
		b.Close()
	}
	if ranges, err := store.LostRanges(s.Reader()); err != nil || len(ranges) != 0 {
		t.Errorf("lost ranges are %v, %v", ranges, err)
	}
	b := s.NewBatch()
	engine.SysPut(b.Engine(), "lost_ranges", []byte{1, 2, 3})
	engine.SysPut(b.Engine(), "position", []byte{1})
	must(t, b.Commit(true))
	b.Close()
	if _, err := store.LostRanges(s.Reader()); err == nil {
		t.Error("damaged ranges were read")
	}
	if _, err := store.Position(s.Reader()); err == nil {
		t.Error("a damaged position was read")
	}
	must(t, s.Close())
}

// TestBatchAndSnapshot covers what core sees of both.
func TestBatchAndSnapshot(t *testing.T) {
	s := open(t, disk.NewMem())
	put(t, s, 1, true)
	snap := s.Snapshot()
	b := s.NewBatch()
	if !b.Empty() {
		t.Error("a new batch is not empty")
	}
	store.SetPosition(b, 2)
	if got, err := store.Position(b.Reader()); err != nil || got != 2 || b.Empty() || b.Len() < 8 {
		t.Errorf("the batch reads %d, %v", got, err)
	}
	if got, _ := store.Position(s.Reader()); got != 1 {
		t.Errorf("an uncommitted batch is seen: %d", got)
	}
	must(t, b.Commit(false))
	must(t, b.Wait())
	b.Close()
	b.Close()
	if got, _ := store.Position(s.Reader()); got != 2 {
		t.Errorf("a committed batch is not seen: %d", got)
	}
	same := snap.Retain()
	must(t, snap.Close())
	if got, _ := store.Position(same.Reader()); got != 1 {
		t.Errorf("the snapshot moved to %d", got)
	}
	if st := s.Stats(); st.Snapshots != 1 || st.Batches != 0 || st.DiskBytes == 0 {
		t.Errorf("stats: %+v", st)
	}
	must(t, same.Close())
	if st := s.Stats(); st.Snapshots != 0 {
		t.Errorf("stats: %d snapshots are open", st.Snapshots)
	}
	must(t, s.Flush())
	must(t, s.Close())
}

func TestCheckpoint(t *testing.T) {
	mem := disk.NewMem()
	s := open(t, mem)
	for n := range uint64(100) {
		put(t, s, n+1, false)
	}
	must(t, s.Checkpoint("backup/one"))
	put(t, s, 101, true)
	if err := s.Checkpoint("backup/one"); err == nil {
		t.Error("a checkpoint was written over another")
	}
	copied, err := store.Open(store.Options{FS: mem.CrashClone(1, 0), Dir: "backup/one"})
	must(t, err)
	if got, err := store.Position(copied.Reader()); err != nil || got != 100 || copied.Clean() {
		t.Errorf("the copy stands at %d, %v, clean %v", got, err, copied.Clean())
	}
	must(t, copied.Close())
	must(t, s.Close())
}

func TestFull(t *testing.T) {
	mem := disk.NewMem()
	s, err := store.Open(store.Options{FS: mem, Reserve: 1 << 20})
	must(t, err)
	must(t, s.Full())
	mem.SetFree(1<<20 - 1)
	if err := s.Full(); !fault.Is(err, fault.DiskFull) {
		t.Errorf("full disk: %v", err)
	}
	mem.SetFree(1 << 20)
	must(t, s.Full())
	if free, err := s.FreeBytes(); err != nil || free != 1<<20 {
		t.Errorf("%d bytes are free, %v", free, err)
	}
	must(t, s.Close())
}

func TestClockSkew(t *testing.T) {
	mem := disk.NewMem()
	s := open(t, mem)
	at := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	position := uint64(at.Sub(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).Milliseconds())<<22 | 5
	if got := store.PositionTime(position); !got.Equal(at) {
		t.Errorf("the position is of %s, not %s", got, at)
	}
	put(t, s, position, true)
	must(t, s.Close())
	f := func(now time.Time, accept, want bool) {
		t.Helper()
		s, err := store.Open(store.Options{FS: mem, Dir: "data", Now: func() time.Time { return now }, AcceptClock: accept})
		must(t, err)
		reason, err := s.ReadOnlyReason()
		if err != nil || (reason != "") != want {
			t.Errorf("clock at %s: %q, %v", now, reason, err)
		}
		must(t, s.Close())
	}
	f(at, false, false)
	f(at.Add(-time.Hour), false, false)
	f(at.Add(-time.Hour-time.Second), false, true)
	f(at.Add(-time.Hour-time.Second), true, false)
	f(at.Add(1000*time.Hour), false, false)
}

// TestFatal loses durability: the commit does not return, and Close leaves no
// clean mark.
func TestFatal(t *testing.T) {
	mem := disk.NewMem()
	var armed atomic.Bool
	fsys := disk.Inject(mem, func(op disk.Op) error {
		if armed.Load() && op.Kind == disk.OpSync {
			return syscall.EIO
		}
		return nil
	})
	s, err := store.Open(store.Options{FS: fsys, Dir: "data", Fatal: func(string, ...any) { runtime.Goexit() }})
	must(t, err)
	put(t, s, 1, true)
	armed.Store(true)
	returned := make(chan bool, 1)
	go func() {
		acknowledged := false
		defer func() { returned <- acknowledged }()
		b := s.NewBatch()
		store.SetPosition(b, 2)
		if b.Commit(true) == nil && b.Wait() == nil {
			acknowledged = true
		}
	}()
	if <-returned {
		t.Error("a commit without sync was acknowledged")
	}
	if err := s.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("close: %v", err)
	}
	armed.Store(false)
	s, err = store.Open(store.Options{FS: mem.CrashClone(1, 0), Dir: "data"})
	must(t, err)
	if got, err := store.Position(s.Reader()); err != nil || got != 1 || s.Clean() {
		t.Errorf("position %d, %v, clean %v", got, err, s.Clean())
	}
	must(t, s.Close())
}

// TestCrashAnywhere cuts the power before random operations from the very
// first start on: every clone opens, with all that was acknowledged.
func TestCrashAnywhere(t *testing.T) {
	mem := disk.NewMem()
	random := rand.New(rand.NewPCG(5, 6))
	type cut struct {
		disk     *disk.Mem
		position uint64
	}
	cuts := make(chan cut, 200)
	var acknowledged atomic.Uint64
	cutting := make(chan struct{}, 1) // held by whoever cuts
	fsys := disk.Inject(mem, func(disk.Op) error {
		cutting <- struct{}{}
		defer func() { <-cutting }()
		position := acknowledged.Load()
		if position == 0 || random.IntN(10) == 0 {
			select {
			case cuts <- cut{mem.CrashClone(random.Uint64(), random.IntN(101)), position}:
			default:
			}
		}
		return nil
	})
	position := uint64(0)
	for range 3 {
		s := open(t, fsys)
		for range 30 {
			position++
			put(t, s, position, true)
			acknowledged.Store(position)
		}
		must(t, s.Close())
	}
	if len(cuts) < 50 {
		t.Errorf("the power was cut %d times only", len(cuts))
	}
	for len(cuts) > 0 {
		c := <-cuts
		s := open(t, c.disk)
		got, err := store.Position(s.Reader())
		if err != nil || got < c.position {
			t.Errorf("position %d was acknowledged, the clone stands at %d, %v", c.position, got, err)
		}
		must(t, s.Close())
	}
}

// TestTemp checks that tmp is there and emptied at every start.
func TestTemp(t *testing.T) {
	mem := disk.NewMem()
	s := open(t, mem)
	if s.TempDir() != "data/tmp" || s.Dir() != "data" || s.FS() != disk.FS(mem) {
		t.Errorf("places: %s, %s", s.TempDir(), s.Dir())
	}
	must(t, disk.MakeDir(mem, path.Join(s.TempDir(), "deep")))
	must(t, disk.WriteFile(mem, path.Join(s.TempDir(), "deep", "file"), []byte("x")))
	must(t, s.Close())
	s = open(t, mem)
	names, err := mem.List(s.TempDir())
	must(t, err)
	if len(names) != 0 {
		t.Errorf("tmp holds %s", strings.Join(names, " "))
	}
	must(t, s.Close())
}

// TestRealDisk runs once on the operating system's files.
func TestRealDisk(t *testing.T) {
	dir := path.Join(t.TempDir(), "some", "where")
	s, err := store.Open(store.Options{Dir: dir})
	must(t, err)
	put(t, s, 1, true)
	must(t, s.Checkpoint(dir+"-copy"))
	_, err = store.Open(store.Options{Dir: dir})
	var refused *store.OpenError
	if !errors.As(err, &refused) || refused.Kind != store.Locked {
		t.Errorf("second open: %v", err)
	}
	must(t, s.Close())
	for _, at := range []string{dir, dir + "-copy"} {
		s, err = store.Open(store.Options{Dir: at})
		must(t, err)
		if got, err := store.Position(s.Reader()); err != nil || got != 1 {
			t.Errorf("%s stands at %d, %v", at, got, err)
		}
		if free, err := s.FreeBytes(); err != nil || free == 0 {
			t.Errorf("%d bytes are free, %v", free, err)
		}
		must(t, s.Close())
	}
}

// TestShortLogAfterStop shows that a clean stop leaves the next start little to
// replay: the log is in tables then.
func TestShortLogAfterStop(t *testing.T) {
	for _, clean := range []bool{true, false} {
		mem := disk.NewMem()
		s := open(t, mem)
		for n := uint64(1); s.Stats().LogBytes <= 1<<20; n++ {
			b := s.NewBatch()
			ranges := make([]store.Range, 10_000)
			for i := range ranges {
				ranges[i] = store.Range{From: n<<40 + uint64(i)<<20, To: n<<40 + uint64(i)<<20 + 5}
			}
			store.SetLostRanges(b, ranges)
			must(t, b.Commit(true))
			must(t, b.Wait())
			b.Close()
		}
		before := tables(t, mem)
		if clean {
			must(t, s.Close())
			if after := tables(t, mem); !slices.ContainsFunc(after, func(name string) bool { return !slices.Contains(before, name) }) {
				t.Errorf("the stop has written no table: %q before, %q behind it", before, after)
			}
		} else {
			mem = mem.CrashClone(1, 50)
		}
		again := open(t, mem)
		if ranges, err := store.LostRanges(again.Reader()); err != nil || len(ranges) != 10_000 {
			t.Errorf("%d ranges, %v", len(ranges), err)
		}
		must(t, again.Close())
		if !clean {
			must(t, s.Close())
		}
	}
}

// tables lists the engine's table files.
func tables(t *testing.T, fsys disk.FS) []string {
	t.Helper()
	names, err := fsys.List("data/hot")
	must(t, err)
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".sst") })
}
