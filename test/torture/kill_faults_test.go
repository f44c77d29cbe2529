package torture

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kalamdb/test/torture/faults"
	"kalamdb/test/torture/history"
)

const (
	// killFaultCycles is how many cycles of one run a planted fault may stay
	// unseen.
	killFaultCycles = 6
	// killFaultRuns is how many runs it may, each on an empty directory. What a
	// fault does to a write that was not acknowledged breaks another promise than
	// the one that it is named for, or none, and may leave a server that answers
	// no more: that says nothing, and the next run does.
	killFaultRuns = 6
)

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
			seed := killSeed() + uint64(i)<<8
			pace := newPace(t, killFaultRuns, killFaultRuns)
			var runs []string
			for done := 0; pace.more(done); done++ {
				r, why := killUntilSeen(t, path, seed+uint64(done)<<16, f, pace)
				if r.saw(f) {
					return
				}
				runs = append(runs, fmt.Sprintf("seed %d, %d cycles: %s%s", r.seed, r.cycle.Load(), r.describe(), why))
				for _, v := range r.history.Violations()[:min(3, len(r.history.Violations()))] {
					runs = append(runs, v.String())
				}
			}
			t.Errorf("fault %s (%s) was not seen as %v in %d runs:\n%s", f.Name, f.What, f.Classes, killFaultRuns, strings.Join(runs, "\n"))
		})
	}
}

// killUntilSeen is one run with a planted fault. It says why it was cut short.
func killUntilSeen(t *testing.T, path string, seed uint64, f faults.Fault, pace *pace) (r *killRun, why string) {
	t.Helper()
	r = newKillRun(t, path, seed, killKind{faulty: true}, pace)
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case cutShort:
			why = "; cut short: " + cause.why
		default:
			panic(cause)
		}
	}()
	defer r.end()
	r.open()
	for range killFaultCycles {
		r.pace.step()
		r.turn()
		if r.seen(f) != "" {
			break
		}
	}
	return r, ""
}

// seen returns one of the classes of a fault that was found, "" for none.
func (r *killRun) seen(f faults.Fault) string {
	found := r.history.Counts().Violations
	at := slices.IndexFunc(f.Classes, func(c string) bool { return found[history.Class(c)] > 0 })
	if at < 0 {
		return ""
	}
	return f.Classes[at]
}

// saw reports whether the fault was caught, and prints how.
func (r *killRun) saw(f faults.Fault) bool {
	r.t.Helper()
	class := r.seen(f)
	if class == "" {
		return false
	}
	faultLine(r.t, "kill", f.Name, []string{class}, strconv.FormatInt(r.cycle.Load(), 10))
	found := r.history.Violations()
	if at := slices.IndexFunc(found, func(v history.Violation) bool { return string(v.Class) == class }); at >= 0 {
		r.t.Logf("kill run: fault %s (%s) was caught in cycle %d: %s; %s", f.Name, f.What, r.cycle.Load(), r.describe(), found[at])
	}
	return true
}

// killSeed is that of the flag, or one from the clock.
func killSeed() uint64 {
	if *flagSeed != 0 {
		return *flagSeed
	}
	return uint64(time.Now().UnixNano())
}
