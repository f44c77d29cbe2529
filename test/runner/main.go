// Command runner runs the project's checks in order and sums them up: `check`
// before every commit, `test` for everything, `fuzz` for the fuzz targets in
// turn, `torture` for the crash runs in full. It stops at nothing and fails when anything failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// step is one command of a run.
type step struct {
	name string
	dir  string // below the root, "" for the root
	args []string
	// tests says that the command prints go test's JSON events.
	tests bool
	// quiet commands must print nothing.
	quiet bool
}

// tally sums up what the tests reported.
type tally struct {
	out                     io.Writer
	passed, failed, skipped int
	records                 int
	configurations          map[string]bool
	broken                  []string // steps that failed
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: runner check | test | fuzz [-time=10s | -sum=1h] [-run=regexp] | torture [-cycles=50] [-points=10000] [-operations=1000000] [-seed=0]")
		os.Exit(2)
	}
	var steps []step
	switch os.Args[1] {
	case "check":
		steps = checkSteps()
	case "test":
		steps = testSteps()
	case "fuzz":
		os.Exit(fuzz(os.Stdout, os.Args[2:]))
	case "torture":
		os.Exit(torture(os.Stdout, os.Args[2:]))
	default:
		fmt.Fprintf(os.Stderr, "runner: unknown run %q; use check, test, fuzz or torture\n", os.Args[1])
		os.Exit(2)
	}
	os.Exit(run(os.Stdout, steps))
}

func goTest(name string, args ...string) step {
	return step{name: name, args: append([]string{"go", "test", "-json"}, args...), tests: true}
}

func checkSteps() []step {
	return append(staticSteps(),
		goTest("unit tests", "-short", "./internal/...", "./cmd/...", "./bench/...", "./test/runner"),
		in("sdk/go", goTest("sdk/go", "-short", "./...")),
		goTest("logic, hot", "./test/logic", "-args", "-config=hot"),
	)
}

func testSteps() []step {
	return append(staticSteps(),
		step{name: "build", args: []string{"go", "build", "-o", "bin/", "./cmd/kalamdb", "./cmd/kalam"}},
		goTest("packages", "./internal/...", "./cmd/...", "./bench/...", "./test/runner"),
		in("sdk/go", goTest("sdk/go", "./...")),
		goTest("logic", "-timeout=20m", "./test/logic", "-args", "-config=all"),
		goTest("dialogues and binaries", "-timeout=20m", "./test/protocol", "./test/e2e", "./test/upgrade"),
		goTest("torture", "-timeout=15m", "./test/torture/...", "./test/metamorphic"),
		goTest("race", "-race", "-short", "-timeout=20m", "./internal/core/...", "./internal/api/..."),
	)
}

// staticSteps are format, vet and the rules of the house.
func staticSteps() []step {
	return []step{
		{name: "format", args: []string{"gofmt", "-l", "bench", "cmd", "examples", "internal", "sdk", "test"}, quiet: true},
		{name: "vet", args: []string{"go", "vet", "./..."}},
		in("sdk/go", step{name: "vet sdk/go", args: []string{"go", "vet", "./..."}}),
		in("bench/ceilings", step{name: "vet bench/ceilings", args: []string{"go", "vet", "./..."}}),
		goTest("arch", "-count=1", "./internal/arch"),
	}
}

func in(dir string, s step) step {
	s.dir = dir
	return s
}

// run executes the steps and prints the sum; it returns the exit code. No steps
// at all is a failure: somebody has asked for something.
func run(out io.Writer, steps []step) int {
	sum := tally{out: out, configurations: map[string]bool{}}
	for _, s := range steps {
		start := time.Now()
		fmt.Fprintf(out, "=== %s\n", s.name)
		if !execute(s, &sum) {
			sum.broken = append(sum.broken, s.name)
			fmt.Fprintf(out, "--- FAIL: %s\n", s.name)
		}
		fmt.Fprintf(out, "    %s\n", time.Since(start).Round(time.Second))
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", sum.passed, sum.failed, sum.skipped)
	if len(sum.broken) > 0 || len(steps) == 0 {
		fmt.Fprintf(out, "FAIL: %s\n", strings.Join(sum.broken, "; "))
		return 1
	}
	names := make([]string, 0, len(sum.configurations))
	for name := range sum.configurations {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintf(out, "PASS: %d tests, %d SQL records, configurations: %s\n", sum.passed, sum.records, strings.Join(names, " "))
	return 0
}

func execute(s step, sum *tally) bool {
	cmd := exec.Command(s.args[0], s.args[1:]...)
	cmd.Dir = s.dir
	cmd.Stderr = os.Stderr
	printed, err := cmd.StdoutPipe()
	if err != nil {
		fmt.Fprintln(sum.out, err)
		return false
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(sum.out, err)
		return false
	}
	lines := 0
	scanner := bufio.NewScanner(printed)
	scanner.Buffer(nil, 16<<20)
	failures := newFailures()
	for scanner.Scan() {
		lines++
		if s.tests {
			failures.event(scanner.Bytes(), sum)
			continue
		}
		fmt.Fprintln(sum.out, scanner.Text())
	}
	ok := cmd.Wait() == nil && scanner.Err() == nil
	return ok && (!s.quiet || lines == 0)
}

// failures keeps the output of running tests, so that only that of failed ones
// is printed.
type failures struct{ output map[string][]string }

func newFailures() *failures { return &failures{output: map[string][]string{}} }

// event reads one line of go test -json.
func (f *failures) event(line []byte, sum *tally) {
	var e struct{ Action, Package, Test, Output string }
	if json.Unmarshal(line, &e) != nil {
		fmt.Fprintln(sum.out, string(line))
		return
	}
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case "output", "build-output":
		if e.Test == "" && (strings.HasPrefix(e.Output, "ok ") || strings.HasPrefix(e.Output, "FAIL") || e.Action == "build-output") {
			fmt.Fprint(sum.out, e.Output)
		}
		countRecords(e.Output, sum)
		if len(f.output[key]) < 400 {
			f.output[key] = append(f.output[key], e.Output)
		}
	case "pass", "fail", "skip":
		if e.Action == "fail" {
			fmt.Fprint(sum.out, strings.Join(f.output[key], ""))
		}
		delete(f.output, key)
		if e.Test == "" {
			return
		}
		switch e.Action {
		case "pass":
			sum.passed++
		case "fail":
			sum.failed++
		case "skip":
			sum.skipped++
		}
	}
}

var recordsLine = regexp.MustCompile(`corpus: configuration (\S+): (\d+) records`)

// countRecords reads the line that the SQL corpus prints for a configuration.
func countRecords(text string, sum *tally) {
	m := recordsLine.FindStringSubmatch(text)
	if m == nil {
		return
	}
	n, err := strconv.Atoi(m[2])
	if err != nil {
		return
	}
	sum.configurations[m[1]] = true
	sum.records += n
}
