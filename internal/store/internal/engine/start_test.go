package engine

import (
	"sync"
	"testing"

	"kalamdb/internal/disk"
)

// TestPowerCutsWhileStarting cuts the power before each operation of a start
// that moves the markers of a directory, and starts again: whichever of the
// changes of the directory have reached the disk, the engine is there.
func TestPowerCutsWhileStarting(t *testing.T) {
	mem := disk.NewMem()
	db, err := Open(mem, "hot", Options{})
	must(t, err)
	must(t, disk.SyncDir(mem, "/"))
	commit(t, db, 1, true)
	must(t, db.Close())
	mem = mem.CrashClone(0, 100)
	var mu sync.Mutex
	var cuts []*disk.Mem
	fsys := disk.Inject(mem, func(disk.Op) error {
		mu.Lock()
		defer mu.Unlock()
		for seed := range uint64(4) {
			cuts = append(cuts, mem.CrashClone(seed, 50))
		}
		return nil
	})
	db, err = Open(fsys, "hot", Options{MustExist: true})
	must(t, err)
	mu.Lock()
	made := cuts
	mu.Unlock()
	must(t, db.Close())
	if len(made) < 40 {
		t.Errorf("a start has %d operations only", len(made)/4)
	}
	for i, cut := range made {
		db, err := Open(cut, "hot", Options{MustExist: true})
		if err != nil {
			t.Fatalf("cut before operation %d: %v", i/4, err)
		}
		if got := countBatches(t, db); got != 1 {
			t.Errorf("cut before operation %d: %d batches are there", i/4, got)
		}
		must(t, db.Close())
	}
}
