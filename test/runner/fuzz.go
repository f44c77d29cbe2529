package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// fuzzing is what the command line of `fuzz` asks for.
type fuzzing struct {
	each     time.Duration // for one target
	sum      time.Duration // for all together; 0 means each for every one
	parallel int
	only     *regexp.Regexp
	list     bool
}

// target is one fuzz target of the tree.
type target struct{ dir, name string }

func (t target) String() string { return t.dir + " " + t.name }

// finding is what a run of one target came to.
type finding struct {
	target
	took            time.Duration
	execs, interest int64
	corpus          int64
	failed          bool
	kept            string // the input that fails, below the target's folder
}

var (
	fuzzTarget   = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	fuzzProgress = regexp.MustCompile(`^fuzz: elapsed: .*, execs: (\d+) .*new interesting: (\d+) \(total: (\d+)\)`)
	fuzzKept     = regexp.MustCompile(`^\s*Failing input written to (\S+)`)
)

// parseFuzzing reads the arguments of `fuzz`.
func parseFuzzing(args []string) (fuzzing, error) {
	var f fuzzing
	var only string
	flags := flag.NewFlagSet("fuzz", flag.ContinueOnError)
	flags.DurationVar(&f.each, "time", 10*time.Second, "for each target")
	flags.DurationVar(&f.sum, "sum", 0, "for all targets together, in equal shares; it takes the place of -time")
	flags.IntVar(&f.parallel, "parallel", 1, "processes that look for inputs at one time")
	flags.StringVar(&only, "run", "", "only targets whose folder and name match, as in 'sql/parse FuzzParse'")
	flags.BoolVar(&f.list, "list", false, "print the targets and stop")
	if err := flags.Parse(args); err != nil {
		return f, err
	}
	var err error
	if f.only, err = regexp.Compile(only); err != nil {
		return f, fmt.Errorf("read -run: %w", err)
	}
	return f, nil
}

// targets finds all fuzz targets below a folder, in the order of their names.
func targets(root string, only *regexp.Regexp) ([]target, error) {
	var all []target
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || name == "bin" || len(name) > 1 && name[0] == '.' {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, m := range fuzzTarget.FindAllStringSubmatch(string(text), -1) {
			if t := (target{filepath.Dir(file), m[1]}); only.MatchString(t.String()) {
				all = append(all, t)
			}
		}
		return nil
	})
	sort.Slice(all, func(i, j int) bool { return all[i].String() < all[j].String() })
	return all, err
}

// fuzz runs the targets one after the other and returns the exit code. No
// target at all is a failure: somebody has asked for something.
func fuzz(out io.Writer, args []string) int {
	f, err := parseFuzzing(args)
	if err != nil {
		fmt.Fprintln(out, "FAIL:", err)
		return 2
	}
	all, err := targets(".", f.only)
	if err != nil || len(all) == 0 {
		fmt.Fprintf(out, "FAIL: there are no targets (%v)\n", err)
		return 1
	}
	if f.list {
		for _, t := range all {
			fmt.Fprintln(out, t)
		}
		return 0
	}
	if f.sum > 0 {
		f.each = max(time.Second, f.sum/time.Duration(len(all)))
	}
	sum := finding{}
	var broken []string
	for i, t := range all {
		r := f.run(t, out)
		sum.took += r.took
		sum.execs += r.execs
		sum.interest += r.interest
		fmt.Fprintf(out, "%3d/%d %s\n", i+1, len(all), r)
		if r.failed {
			broken = append(broken, t.String())
		}
	}
	fmt.Fprintf(out, "%d targets, %s, %d execs, %d new inputs, %d findings\n", len(all), sum.took.Round(time.Second), sum.execs, sum.interest, len(broken))
	if len(broken) > 0 {
		fmt.Fprintf(out, "FAIL: %s\n", strings.Join(broken, "; "))
		return 1
	}
	fmt.Fprintln(out, "PASS")
	return 0
}

// String is the line of the report.
func (r finding) String() string {
	result := "ok"
	if r.failed {
		result = "FOUND " + r.kept
	}
	return fmt.Sprintf("%-52s %5.0f s %12d execs %5d new of %5d inputs  %s", r.target, r.took.Seconds(), r.execs, r.interest, r.corpus, result)
}

// run looks for failing inputs of one target. What go test says is shown only
// when there are any.
func (f *fuzzing) run(t target, out io.Writer) finding {
	r := finding{target: t, failed: true}
	cmd := exec.Command("go", "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+f.each.String(), "-fuzzminimizetime=1s",
		"-parallel="+strconv.Itoa(f.parallel), ".")
	cmd.Dir = t.dir
	printed, err := cmd.StdoutPipe()
	if err != nil {
		fmt.Fprintln(out, err)
		return r
	}
	cmd.Stderr = cmd.Stdout
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(out, err)
		return r
	}
	var said []string
	lines := bufio.NewScanner(printed)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		if r.progress(line) {
			if r.took == 0 {
				begun = time.Now() // before that it was built
			}
			r.took = time.Since(begun)
			continue
		}
		if m := fuzzKept.FindStringSubmatch(line); m != nil {
			r.kept = m[1]
		}
		said = append(said, line)
	}
	r.failed = cmd.Wait() != nil || lines.Err() != nil
	if r.failed {
		fmt.Fprintln(out, strings.Join(said, "\n"))
	}
	return r
}

// progress takes the counters of a line, and reports whether it has any.
func (r *finding) progress(line string) bool {
	m := fuzzProgress.FindStringSubmatch(line)
	if m == nil {
		return strings.HasPrefix(line, "fuzz: elapsed:")
	}
	for i, n := range []*int64{&r.execs, &r.interest, &r.corpus} {
		*n, _ = strconv.ParseInt(m[i+1], 10, 64) // they are digits
	}
	return true
}
