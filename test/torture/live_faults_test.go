package torture

import (
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"kalamdb/test/torture/faults"
	"kalamdb/test/torture/history"
)

// liveFaultRuns is how many short runs a planted fault may stay unseen.
const liveFaultRuns = 3

// TestLiveFaults plants faults into the server that only its subscribers can
// see: the short live run must fail, and name the promise that is broken. A
// normal test plants one, each day another.
func TestLiveFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds servers and starts processes")
	}
	all, err := faults.Load(filepath.Join("testdata", "faults"))
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(f faults.Fault) bool { return !f.Seen("live") })
	if len(all) == 0 {
		t.Fatal("no fault is for this run")
	}
	if !*flagFaults {
		day := time.Now().YearDay() % len(all)
		all = all[day : day+1]
	}
	for i, f := range all {
		t.Run(f.Name, func(t *testing.T) {
			overlay, err := f.Overlay(filepath.Join("..", ".."), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			path := buildServer(t, overlay)
			for done := range liveFaultRuns {
				r := newLiveRun(t, path, killSeed()+uint64(i)<<8+uint64(done)<<16, liveShort, true)
				r.setUp()
				for r.more() {
					r.turn()
				}
				r.end()
				at := slices.IndexFunc(r.model.violations, func(v history.Violation) bool { return slices.Contains(f.Classes, string(v.Class)) })
				if at >= 0 {
					v := r.model.violations[at]
					faultLine(t, "live", f.Name, []string{string(v.Class)}, strconv.Itoa(r.kills))
					t.Logf("live run: fault %s (%s) was caught: %s", f.Name, f.What, v)
					return
				}
				r.t.Logf("live run: seed %d: fault %s was not seen in %d deliveries; other violations: %d", r.seed, f.Name, r.deliveries.Load(), len(r.model.violations))
			}
			t.Errorf("fault %s (%s) was not seen as %v in %d runs", f.Name, f.What, f.Classes, liveFaultRuns)
		})
	}
}
