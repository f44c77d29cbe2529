package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/disk"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// TestSysGolden pins names and bytes of the entries of sys, as
// docs/format/keyspaces.md draws them.
func TestSysGolden(t *testing.T) {
	mem := disk.NewMem()
	s := open(t, mem)
	b := s.NewBatch()
	store.SetPosition(b, 0x0102030405060708)
	store.SetCeiling(b, 77)
	store.SetHistoryFloor(b, 33)
	store.SetLostRanges(b, []store.Range{{From: 1, To: 5}, {From: 9, To: 12}})
	for i, n := range []store.Number{store.NumberTable, store.NumberIndex, store.NumberFile, "folder/app/note"} {
		store.SetNextNumber(b, n, uint64(i+2))
	}
	must(t, b.Commit(true))
	must(t, b.Wait())
	b.Close()
	must(t, s.Close())

	// The clean mark is there between Close and Open only.
	db, err := engine.Open(mem, "data/hot", engine.Options{ReadOnly: true})
	must(t, err)
	defer func() { must(t, db.Close()) }()
	datadriven.RunTest(t, "testdata/sys", func(t *testing.T, td *datadriven.TestData) string {
		lower, upper := engine.KeyspaceBounds(engine.KeyspaceSys)
		it, err := engine.NewIter(db, lower, upper)
		must(t, err)
		var out strings.Builder
		for ok := it.First(); ok; ok = it.Next() {
			value, err := it.Value()
			must(t, err)
			fmt.Fprintf(&out, "%q = %x\n", it.Key(), value)
		}
		must(t, it.Close())
		return out.String()
	})
}
