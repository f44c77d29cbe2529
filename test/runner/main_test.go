package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// module makes a module of a few files and returns its folder.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module tiny\n\ngo 1.26\n"
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	passing = "package tiny\n\nimport \"testing\"\n\nfunc TestFine(t *testing.T) { t.Log(\"corpus: configuration hot: 12 records\") }\n\nfunc TestLater(t *testing.T) { t.Skip(\"later\") }\n"
	failing = "package tiny\n\nimport \"testing\"\n\nfunc TestFine(t *testing.T) { t.Log(\"said by who passes\") }\n\nfunc TestBad(t *testing.T) { t.Error(\"one is not two\") }\n"
)

// TestRun: a run passes when every step does; whatever fails makes it fail,
// names the step and shows what the failed test said.
func TestRun(t *testing.T) {
	good := module(t, map[string]string{"tiny_test.go": passing})
	bad := module(t, map[string]string{"tiny_test.go": failing})
	broken := module(t, map[string]string{"tiny_test.go": "package tiny\n\nvar x int = \"text\"\n"})
	dies := module(t, map[string]string{"tiny_test.go": "package tiny\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestDies(t *testing.T) { os.Exit(3) }\n"})
	f := func(code int, steps []step, want ...string) {
		t.Helper()
		var out bytes.Buffer
		if got := run(&out, steps); got != code {
			t.Errorf("the run ended with code %d, want %d:\n%s", got, code, &out)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("the run does not say %q:\n%s", w, &out)
			}
		}
		if last := out.String()[strings.LastIndex(strings.TrimSpace(out.String()), "\n")+1:]; strings.HasPrefix(last, "PASS") != (code == 0) || strings.HasPrefix(last, "FAIL") != (code != 0) {
			t.Errorf("the last line is %q", last)
		}
	}
	tests := func(dir string) step { return in(dir, goTest("tests of "+filepath.Base(dir), "-count=1", "./...")) }
	f(0, []step{tests(good)}, "1 passed, 0 failed, 1 skipped", "PASS: 1 tests, 12 SQL records, configurations: hot")
	f(1, []step{tests(bad), tests(good)}, "--- FAIL: tests of "+filepath.Base(bad), "one is not two", "2 passed, 1 failed, 1 skipped", "FAIL: tests of")
	f(1, []step{tests(broken)}, "cannot use \"text\"", "FAIL: tests of")
	f(1, []step{tests(dies)}, "FAIL: tests of")
	f(1, []step{in(good, goTest("nothing there", "./none/..."))}, "FAIL: nothing there")
	f(0, []step{{name: "silent", args: []string{"true"}, quiet: true}})
	f(1, []step{{name: "speaks", args: []string{"echo", "tiny.go"}, quiet: true}}, "tiny.go", "FAIL: speaks")
	f(1, []step{{name: "false", args: []string{"false"}}}, "FAIL: false")
	f(1, []step{{name: "missing", args: []string{"no-such-command"}}}, "FAIL: missing")
	f(1, []step{{name: "lost", dir: "no-such-folder", args: []string{"true"}}}, "FAIL: lost")
	f(1, nil)
}

// TestTargets: every target of the tree is found, and no other function.
func TestTargets(t *testing.T) {
	target := func(name string) string {
		return "package tiny\n\nimport \"testing\"\n\n" + "func " + name + "(f *testing.F) { f.Fuzz(func(*testing.T, []byte) {}) }\n"
	}
	root := module(t, map[string]string{"a_test.go": target("FuzzOne"), "deep/b_test.go": target("FuzzTwo"), "deep/c_test.go": target("TestNot"),
		"d.go": "package tiny\n", "testdata/e_test.go": target("FuzzNot")})
	f := func(only, want string) {
		t.Helper()
		t.Chdir(root)
		all, err := targets(".", regexp.MustCompile(only))
		if got := fmt.Sprint(all); err != nil || got != want {
			t.Errorf("%s %v, want %s", got, err, want)
		}
	}
	f("", "[. FuzzOne deep FuzzTwo]")
	f("deep", "[deep FuzzTwo]")
	f("none", "[]")
}

// TestProgress reads what go test says while it looks for inputs.
func TestProgress(t *testing.T) {
	f := func(line string, is bool, want finding) {
		t.Helper()
		var got finding
		if got.progress(line) != is || got != want {
			t.Errorf("%q gives %+v", line, got)
		}
	}
	f("fuzz: elapsed: 3s, execs: 108521 (36148/sec), new interesting: 4 (total: 21)", true, finding{execs: 108521, interest: 4, corpus: 21})
	f("fuzz: elapsed: 0s, gathering baseline coverage: 0/192 completed", true, finding{})
	f("fuzz: minimizing 36-byte failing input file", false, finding{})
	f("ok  \ttiny\t1.0s", false, finding{})
}

// TestProgram runs the program itself: its exit code is that of the run.
func TestProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and fuzzes")
	}
	program := filepath.Join(t.TempDir(), "runner")
	if text, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	fuzz := func(body string) string {
		return module(t, map[string]string{"a_test.go": "package tiny\n\nimport \"testing\"\n\n" + "func FuzzIt(f *testing.F) {\n\tf.Add([]byte(\"seed\"))\n\tf.Fuzz(func(t *testing.T, b []byte) {" + body + "})\n}\n"})
	}
	f := func(dir string, code int, want string, args ...string) {
		t.Helper()
		command := exec.Command(program, args...)
		command.Dir = dir
		text, err := command.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if got := command.ProcessState.ExitCode(); got != code || !strings.Contains(string(text), want) {
			t.Errorf("runner %v ended with code %d, want %d and %q:\n%s", args, got, code, want, text)
		}
	}
	f(fuzz(""), 0, "1 targets, 1s, ", "fuzz", "-time=1s")
	f(fuzz(""), 0, " 0 findings\nPASS\n", "fuzz", "-sum=1s")
	f(fuzz(""), 0, ". FuzzIt\n", "fuzz", "-list")
	f(fuzz(" t.Fatal(\"found\") "), 1, "\nFAIL: . FuzzIt", "fuzz", "-time=1s")
	f(fuzz(" if len(b) > 9 { t.Fatal(\"found\") } "), 1, "FOUND testdata/fuzz/FuzzIt/", "fuzz", "-time=60s")
	f(fuzz(" undefined() "), 1, "undefined", "fuzz", "-time=1s")
	f(fuzz(""), 2, "FAIL", "fuzz", "-run=(")
	f(t.TempDir(), 1, "FAIL", "fuzz")
	f(t.TempDir(), 1, "\nFAIL: ", "check")
	f(t.TempDir(), 2, "unknown run", "dance")
	f(t.TempDir(), 2, "usage", []string{}...)
}

// TestTortureReport sums up what the crash runs print; too few faults caught, or
// a run that is missing, is a failure.
func TestTortureReport(t *testing.T) {
	f := func(code int, ok bool, lines []string, want ...string) {
		t.Helper()
		s := suffering{figures: map[string]int64{}, caught: map[string]struct{}{}}
		for _, line := range lines {
			s.read(line)
		}
		var out strings.Builder
		if got := s.report(&out, ok); got != code {
			t.Errorf("exit code %d, want %d", got, code)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("no %q in\n%s", w, out.String())
			}
		}
	}
	lines := []string{
		"    a_test.go:1: torture: run=kill cycles=50 points=0 acked=7 lost=0 gap=1",
		"    a_test.go:1: torture: run=memory cycles=0 points=100 acked=5 lost=0 gap=2",
		"    a_test.go:1: torture: run=errors rounds=3 acked=1",
		"    a_test.go:1: torture: run=tier operations=1000 compared=70 difference=0",
		"    a_test.go:1: something else",
	}
	for i := range planted {
		lines = append(lines, fmt.Sprintf("torture: fault=f%d run=memory classes=gap+torn after=%d", i, i))
	}
	lines = append(lines, "torture: fault=f1 run=kill classes=gap after=2")
	f(0, true, lines, "crash points                             100\n", "acknowledged writes                      13\n", "gaps                                     3\n",
		"planted faults caught                    17 of 17\n", "f1: by gap, torn in the memory run, after 1 crash points", "f1: by gap in the kill run, after 2 cycles", "PASS")
	f(1, false, lines, "FAIL")
	f(1, true, lines[:7], "2 of 17", "FAIL")
	f(1, true, lines[1:], "FAIL")
}
