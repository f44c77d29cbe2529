// Package metamorphic runs random programs against the storage layer, under
// many options, and compares all that can be read with a plain model, and the
// answers under one config with those under another.
//
// A seed gives a program and its configs: -seed N runs it again. A failure is
// made short and printed as text that may be saved in testdata and is then run
// with every test.
package metamorphic

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

var (
	seedFlag     = flag.Uint64("seed", 0, "run this seed and, with -programs, those behind it")
	programsFlag = flag.Int("programs", 0, "how many programs to run")
	opsFlag      = flag.Int("ops", 60, "how many operations a program has")
	durationFlag = flag.Duration("duration", 0, "run programs for so long, from a seed of the clock on if none is given")
	countFlag    = flag.Int64("operations", 0, "run programs until they have come to so many operations, from a seed of the clock on if none is given")
	replayFlag   = flag.String("replay", "", "a file with configs and a program to run instead")
)

// configsOf returns what the program of a seed is run under: the plain one and
// others.
func configsOf(seed uint64) []config {
	r := rand.New(rand.NewPCG(seed, 2))
	return []config{plainConfig(), randomConfig(r), randomConfig(r)}
}

// tally counts what was done, over all configs: operations are changes of rows
// and all that is no read.
type tally struct {
	changes, flushes, compactions, refused, cuts, crashes, restarts, alters, others int64
	scans, gets, histories                                                          int64 // compared with the model
}

// operations is how many there were; reads are not among them.
func (t *tally) operations() int64 {
	return t.changes + t.flushes + t.compactions + t.crashes + t.restarts + t.alters + t.others
}

// try runs a program under configs and compares their answers.
func try(p program, configs []config) error { return tryCounted(p, configs, &tally{}) }

// tryCounted is try that adds to a tally.
func tryCounted(p program, configs []config, sum *tally) error {
	var first []answer
	for i, c := range configs {
		answers, err := run(p, c, sum)
		if err != nil {
			return fmt.Errorf("under %s: %w", c, err)
		}
		if i == 0 {
			first = answers
			continue
		}
		if err := agree(first, answers); err != nil {
			return fmt.Errorf("under %s and %s: %w", configs[0], c, err)
		}
	}
	return nil
}

// agree compares the answers under two configs: those to the same operation,
// where both are bound to be right. An operation inside of another may come
// later under one of them.
func agree(a, b []answer) error {
	known := map[int]answer{}
	for _, x := range a {
		known[x.label] = x
	}
	if len(a) != len(b) {
		return fmt.Errorf("%d answers and %d", len(a), len(b))
	}
	for _, y := range b {
		x, ok := known[y.label]
		if !ok {
			return fmt.Errorf("operation %d has an answer under one config only", y.label)
		}
		if !x.loose && !y.loose && x.text != y.text {
			return fmt.Errorf("operation %d answers\n  %s\nand\n  %s", y.label, x.text, y.text)
		}
	}
	return nil
}

// script prints configs and a program as they are saved and replayed.
func script(p program, configs []config) string {
	var b strings.Builder
	for _, c := range configs {
		b.WriteString(c.String() + "\n")
	}
	return b.String() + p.String()
}

// parseScript reads what script has printed.
func parseScript(text string) (p program, configs []config, err error) {
	var rest strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "config") {
			rest.WriteString(line)
			continue
		}
		c, err := parseConfig(strings.TrimSpace(line))
		if err != nil {
			return nil, nil, err
		}
		configs = append(configs, c)
	}
	if len(configs) == 0 {
		return nil, nil, errors.New("no config")
	}
	p, err = parseProgram(rest.String())
	return p, configs, err
}

// TestPrograms runs random programs.
func TestPrograms(t *testing.T) {
	if *replayFlag != "" {
		text, err := os.ReadFile(*replayFlag)
		if err != nil {
			t.Fatal(err)
		}
		p, configs, err := parseScript(string(text))
		if err != nil {
			t.Fatal(err)
		}
		report(t, p, configs, try(p, configs))
		return
	}
	seed, programs, long := *seedFlag, *programsFlag, *durationFlag > 0 || *countFlag > 0
	most := *durationFlag
	switch {
	case programs == 0 && seed != 0 && !long:
		programs = 1
	case programs == 0 && !long:
		programs, most = 40, 20*time.Second // for every day
	}
	if seed == 0 && long {
		seed = uint64(time.Now().Unix())
	}
	began, ran, first := time.Now(), 0, seed
	sum := &tally{}
	for ; (programs == 0 || ran < programs) && (most == 0 || time.Since(began) < most) && (*countFlag == 0 || sum.operations() < *countFlag); ran++ {
		p, configs := generate(seed, *opsFlag), configsOf(seed)
		if testing.Verbose() {
			fmt.Printf("seed %d\n", seed) // a panic elsewhere leaves it as the last line
		}
		if err := tryCounted(p, configs, sum); err != nil {
			t.Logf("seed %d of %d steps, after %+v", seed, *opsFlag, *sum)
			p, configs = shrink(p, configs, time.Minute)
			report(t, p, configs, try(p, configs))
			t.Fatalf("first: %v", err)
		}
		seed++
	}
	t.Logf("%d programs of %d steps under %d configs each, from seed %d on, in %s; %+v", ran, *opsFlag, len(configsOf(0)), first, time.Since(began).Round(time.Second), *sum)
	t.Logf("torture: run=tier operations=%d compared=%d difference=0", sum.operations(), sum.scans+sum.gets+sum.histories)
}

// report fails with a script that can be saved.
func report(t *testing.T, p program, configs []config, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%v\nsave this in testdata to run it again:\n%s", err, script(p, configs))
	}
}

// TestSaved runs the programs that have found something.
func TestSaved(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			p, configs, err := parseScript(d.Input)
			if err == nil {
				err = try(p, configs)
			}
			if err != nil {
				return err.Error() + "\n"
			}
			return "agreed\n"
		})
	}
}

// TestReplay shows that a script is read as it was printed, and that a seed
// always gives the same one.
func TestReplay(t *testing.T) {
	for seed := range uint64(50) {
		text := script(generate(seed, 80), configsOf(seed))
		if again := script(generate(seed, 80), configsOf(seed)); again != text {
			t.Fatalf("seed %d gives\n%s\nand\n%s", seed, text, again)
		}
		p, configs, err := parseScript(text)
		if err != nil {
			t.Fatal(err)
		}
		if again := script(p, configs); again != text {
			t.Fatalf("seed %d is read as\n%s\nprinted was\n%s", seed, again, text)
		}
	}
}
