package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// suffering sums up what the crash runs have printed.
type suffering struct {
	figures map[string]int64 // by name, over all runs
	runs    []string
	faults  []string            // planted ones that were caught, with how
	caught  map[string]struct{} // their names
}

// planted is how many faults must be caught: 8 by the crash runs, 5 by the live
// run alone, 4 by the random programs against the tier.
const planted = 17

// torture runs the crash runs in their long form and prints their report; it
// returns the exit code.
func torture(out io.Writer, args []string) int {
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	cycles := flags.Int("cycles", 50, "how often the real server is killed")
	points := flags.Int("points", 10_000, "crash points on the disk in memory")
	operations := flags.Int("operations", 1_000_000, "operations of random programs against the cold tier")
	seed := flags.Uint64("seed", 0, "what the runs are drawn from; 0 draws it from the clock")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	s := suffering{figures: map[string]int64{}, caught: map[string]struct{}{}}
	drawn := "-seed=" + strconv.FormatUint(*seed, 10)
	ok := s.run(out, "./test/torture", "-cycles="+strconv.Itoa(*cycles), "-points="+strconv.Itoa(*points), drawn, "-faults")
	ok = s.run(out, "./test/metamorphic", "-operations="+strconv.Itoa(*operations), drawn, "-planted=tier-*") && ok
	return s.report(out, ok)
}

// run runs the tests of one package in their long form, prints what they say and
// takes it into account; it reports whether they passed.
func (s *suffering) run(out io.Writer, room string, flags ...string) bool {
	args := append([]string{"test", room, "-count=1", "-timeout=0", "-v", "-args"}, flags...)
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	printed, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(out, err)
		return false
	}
	scanner := bufio.NewScanner(printed)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		line := scanner.Text()
		if strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "seed ") {
			continue
		}
		fmt.Fprintln(out, line)
		s.read(line)
	}
	return cmd.Wait() == nil && scanner.Err() == nil
}

// read takes a line of the runs into account.
func (s *suffering) read(line string) {
	_, rest, ok := strings.Cut(line, "torture: ")
	if !ok {
		return
	}
	words := map[string]string{}
	for word := range strings.FieldsSeq(rest) {
		name, value, _ := strings.Cut(word, "=")
		words[name] = value
	}
	if fault := words["fault"]; fault != "" {
		s.caught[fault] = struct{}{}
		unit := "crash points"
		switch words["run"] {
		case "kill", "live":
			unit = "cycles"
		case "tier":
			unit = "operations of a short program"
		}
		s.faults = append(s.faults, fmt.Sprintf("%s: by %s in the %s run, after %s %s", fault, strings.ReplaceAll(words["classes"], "+", ", "), words["run"], words["after"], unit))
		return
	}
	s.runs = append(s.runs, words["run"])
	for name, value := range words {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			s.figures[name] += n
		}
	}
}

// report prints the sum of all runs.
func (s *suffering) report(out io.Writer, ok bool) int {
	fmt.Fprintf(out, "\ntorture report (runs: %s)\n", strings.Join(s.runs, ", "))
	for _, line := range [][2]string{
		{"cycles", "cycles"}, {"operations of random programs", "operations"}, {"reads compared with a model", "compared"}, {"differences", "difference"}, {"crash points", "points"}, {"rounds of disk errors and clock jumps", "rounds"}, {"acknowledged writes", "acked"},
		{"lost", "lost"}, {"phantom", "phantom"}, {"gaps", "gap"}, {"duplicates", "duplicate"}, {"reordered", "reorder"},
		{"torn", "torn"}, {"leaks", "leak"}, {"twofold", "twofold"},
	} {
		fmt.Fprintf(out, "%-40s %d\n", line[0], s.figures[line[1]])
	}
	fmt.Fprintf(out, "%-40s %d of %d\n", "planted faults caught", len(s.caught), planted)
	slices.Sort(s.faults)
	for _, f := range s.faults {
		fmt.Fprintf(out, "  %s\n", f)
	}
	if !ok || len(s.caught) < planted || len(s.runs) < 4 {
		fmt.Fprintln(out, "FAIL")
		return 1
	}
	fmt.Fprintln(out, "PASS")
	return 0
}
