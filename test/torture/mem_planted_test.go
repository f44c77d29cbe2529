package torture

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kalamdb/test/torture/faults"
)

var (
	// flagPlanted says that this process was built with a planted fault: it ends
	// the run when the checker has found something, and says what.
	flagPlanted = flag.Bool("planted", false, "used by TestPlantedFaults for the runs that it starts")
	// flagFaults runs all planted faults, however long it takes.
	flagFaults = flag.Bool("faults", false, "plant every fault, not only those of the day")
)

const (
	// plantedPoints is how many crash points a run may take to notice a fault.
	plantedPoints = 600
	// plantedRuns is how many runs may end with nothing but other classes than
	// those of the fault: a run ends with the first point that shows anything.
	plantedRuns = 4
	// plantedBound is how long a run may take.
	plantedBound = 3 * time.Minute
)

// TestUnderPlantedFault is the run of TestCrashPoints that TestPlantedFaults
// starts in a process of its own, built with a fault.
func TestUnderPlantedFault(t *testing.T) {
	if !*flagPlanted {
		t.Skip("runs under TestPlantedFaults only")
	}
	sum := newTally()
	runCrashPoints(t, sum, newPace(t, plantedPoints, plantedPoints), runSeed(t), false)
	var found []string
	for class, n := range sum.counts.Violations {
		if n > 0 {
			found = append(found, string(class))
		}
	}
	slices.Sort(found)
	fmt.Printf("planted: classes [%s] points %d\n", strings.Join(found, " "), sum.points)
	for _, v := range sum.violations[:min(3, len(sum.violations))] {
		fmt.Println("planted:", v)
	}
	for _, b := range sum.broken {
		fmt.Println("planted: broken:", b)
	}
}

// plantedLine is what a run with a planted fault prints.
var plantedLine = regexp.MustCompile(`planted: classes \[(.*)\] points (\d+)`)

// TestPlantedFaults builds these tests with one fault each and wants the run to
// find it and to name its class.
func TestPlantedFaults(t *testing.T) {
	all, err := faults.Load("testdata/faults")
	if err != nil {
		t.Fatal(err)
	}
	seed := runSeed(t)
	var chosen []faults.Fault
	for _, f := range all {
		if f.Seen("memory") {
			chosen = append(chosen, f)
		}
	}
	known := len(chosen)
	if !*flagFaults {
		// The build of each takes longer than its run: two a day are enough here.
		first := time.Now().YearDay() * 2 % known
		chosen = []faults.Fault{chosen[first], chosen[(first+1)%known]}
		if testing.Short() {
			chosen = chosen[:1]
		}
	}
	caught := 0
	least := 1 // of a slow machine: its builds take long
	if *flagFaults {
		least = known
	}
	pace, done := newPace(t, len(chosen), least), 0
	for ; pace.more(done); done++ {
		f := chosen[done]
		t.Run(f.Name, func(t *testing.T) {
			if plant(t, f, seed, pace) {
				caught++
			}
		})
	}
	pace.shortened(done, "planted faults")
	t.Logf("planted faults caught %d of %d chosen, of %d that there are", caught, len(chosen), known)
}

// plant builds these tests with one fault, runs them until it is caught, and
// reports whether it was.
func plant(t *testing.T, f faults.Fault, seed uint64, pace *pace) bool {
	temp := t.TempDir()
	overlay, err := f.Overlay("../..", temp)
	if err != nil {
		t.Fatal(err)
	}
	pace.allow(buildBound)
	ctx, cancel := context.WithTimeout(context.Background(), buildBound)
	defer cancel()
	binary := filepath.Join(temp, "torture.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", overlay, "-o", binary, ".")
	build.WaitDelay = buildGrace
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build with %s: %v\n%s", f.Name, err, out)
	}
	began := time.Now()
	var runs []string
	for done := range uint64(plantedRuns) {
		pace.step()
		found, points, out := plantOnce(binary, seed+done)
		if !slices.ContainsFunc(f.Classes, func(c string) bool { return slices.Contains(found, c) }) {
			runs = append(runs, fmt.Sprintf("seed %d: found %v after %s points\n%s", seed+done, found, points, out[:min(len(out), 4000)]))
			continue
		}
		faultLine(t, "memory", f.Name, found, points)
		t.Logf("%s (%s): caught as %v after %s crash points of run %d, %s", f.Name, f.What, found, points, done+1, time.Since(began).Round(100*time.Millisecond))
		return true
	}
	t.Errorf("%s (%s) was not caught as %v in %d runs\n%s", f.Name, f.What, f.Classes, plantedRuns, strings.Join(runs, "\n"))
	return false
}

// plantOnce is one run of a binary with a fault: the classes that it has found,
// after how many crash points, and all that it printed.
func plantOnce(binary string, seed uint64) (found []string, points string, out []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), plantedBound)
	defer cancel()
	run := exec.CommandContext(ctx, binary, "-test.run", "^TestUnderPlantedFault$", "-test.timeout", plantedBound.String(), "-planted", "-seed", fmt.Sprint(seed))
	run.Env = append(os.Environ(), "GOTRACEBACK=single")
	run.WaitDelay = buildGrace
	out, _ = run.CombinedOutput() // whether it fails is no matter, but what it says
	line := plantedLine.FindSubmatch(out)
	if line == nil {
		return nil, "unknown", out // it ended without a word
	}
	return strings.Fields(string(line[1])), string(line[2]), out
}
