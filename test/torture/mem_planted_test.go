package torture

import (
	"bytes"
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

// plantedPoints is how many crash points a run may take to notice a fault.
const plantedPoints = 600

// TestUnderPlantedFault is the run of TestCrashPoints that TestPlantedFaults
// starts in a process of its own, built with a fault.
func TestUnderPlantedFault(t *testing.T) {
	if !*flagPlanted {
		t.Skip("runs under TestPlantedFaults only")
	}
	sum := newTally()
	runCrashPoints(t, sum, plantedPoints, runSeed(t), false)
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
	for _, f := range chosen {
		t.Run(f.Name, func(t *testing.T) {
			if plant(t, f, seed) {
				caught++
			}
		})
	}
	t.Logf("planted faults caught %d of %d, of %d that there are", caught, len(chosen), known)
}

// plant runs one fault and reports whether it was caught.
func plant(t *testing.T, f faults.Fault, seed uint64) bool {
	temp := t.TempDir()
	overlay, err := f.Overlay("../..", temp)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	binary := filepath.Join(temp, "torture.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", overlay, "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build with %s: %v\n%s", f.Name, err, out)
	}
	began := time.Now()
	run := exec.CommandContext(ctx, binary, "-test.run", "^TestUnderPlantedFault$", "-test.timeout", "4m", "-planted", "-seed", fmt.Sprint(seed))
	run.Env = append(os.Environ(), "GOTRACEBACK=single")
	out, _ := run.CombinedOutput() // whether it fails is no matter, but what it says
	line := plantedLine.FindSubmatch(out)
	if line == nil {
		t.Errorf("%s: the run ended without a word:\n%s", f.Name, bytes.TrimSpace(out[:min(len(out), 4000)]))
		return false
	}
	found := strings.Fields(string(line[1]))
	if !slices.ContainsFunc(f.Classes, func(c string) bool { return slices.Contains(found, c) }) {
		t.Errorf("%s (%s) was not caught as %v; after %s points the run has found %v\n%s", f.Name, f.What, f.Classes, line[2], found, out[:min(len(out), 4000)])
		return false
	}
	faultLine(t, "memory", f.Name, found, string(line[2]))
	t.Logf("%s (%s): caught as %v after %s crash points, %s", f.Name, f.What, found, line[2], time.Since(began).Round(100*time.Millisecond))
	return true
}
