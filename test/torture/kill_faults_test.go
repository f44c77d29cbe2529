package torture

import (
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"kalamdb/test/torture/faults"
)

// killFaultCycles is how many cycles a planted fault may stay unseen.
const killFaultCycles = 12

// TestKillFaults plants faults into the real server and kills it: the run must
// fail, and name the promise that is broken. A normal test plants one, each day
// another. Faults that only a power cut can show are left to the disk in memory:
// what a killed process has written stays in the memory of the system.
func TestKillFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds servers and starts processes")
	}
	all, err := faults.Load(filepath.Join("testdata", "faults"))
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(f faults.Fault) bool { return !f.Seen("kill") })
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
			r := newKillRun(t, path, killSeed()+uint64(i)<<8, false)
			r.faulty = true
			for range killFaultCycles {
				r.turnUntilSeen()
				if len(r.history.Violations()) > 0 {
					break
				}
			}
			r.mustSee(f)
		})
	}
}

// turnUntilSeen is a cycle that a planted fault may cut short.
func (r *killRun) turnUntilSeen() {
	r.t.Helper()
	defer func() {
		if cause := recover(); cause != nil {
			if _, seen := cause.(faultSeen); !seen {
				panic(cause)
			}
		}
	}()
	r.turn()
}

// mustSee fails unless one of the classes of a fault was found.
func (r *killRun) mustSee(f faults.Fault) {
	r.t.Helper()
	found := r.history.Violations()
	for _, v := range found {
		if slices.Contains(f.Classes, string(v.Class)) {
			faultLine(r.t, "kill", f.Name, []string{string(v.Class)}, strconv.FormatInt(int64(r.cycle.Load()), 10))
			r.t.Logf("kill run: fault %s (%s) was caught in cycle %d: %s; %s", f.Name, f.What, r.cycle.Load(), r.describe(), v)
			return
		}
	}
	r.t.Errorf("fault %s (%s) was not seen as %v in %d cycles with seed %d: %s", f.Name, f.What, f.Classes, r.cycle.Load(), r.seed, r.describe())
	for _, v := range found[:min(len(found), 10)] {
		r.t.Errorf("%s", v)
	}
}

// killSeed is that of the flag, or one from the clock.
func killSeed() uint64 {
	if *flagSeed != 0 {
		return *flagSeed
	}
	return uint64(time.Now().UnixNano())
}
