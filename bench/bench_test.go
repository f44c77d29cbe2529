package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets this program be the processes that it starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "load" || os.Args[1] == "ceiling" || os.Args[1] == "fsync" || os.Args[1] == "live") {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// TestShortRun measures inserts with the real binary, and compares what it
// acknowledged with what it counts; then what subscribers get.
func TestShortRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts the server")
	}
	path := filepath.Join(t.TempDir(), "report.txt")
	var stdout, stderr bytes.Buffer
	if code := run([]string{"-short", "-only", "insert,size,fanout,routing,snapshots,streams", "-dir", t.TempDir(), "-out", path}, nil, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != stdout.String() {
		t.Fatalf("the report is not what was printed: %v", err)
	}
	for _, want := range []string{"insert        sync", "c2", "echo", "kalamdb, bench.relaxed: ", "MB as built here", "insert, sync, 16 in flight, of C2",
		"fan-out, kalamdb, bench.flow, of the ceiling", "bytes per subscription", "resume, every change", "STREAM tables"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	for _, not := range []string{"update", "start", "NaN"} {
		if strings.Contains(string(text), "\n"+not) || strings.Contains(string(text), " "+not+" ") {
			t.Errorf("the report has %q:\n%s", not, text)
		}
	}
}

func TestArguments(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := run(args, nil, &stdout, &stderr)
		if code != 1 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%q: exit code %d, %s; want %q", args, code, stderr.String(), want)
		}
	}
	f("-only nonsense names neither", "-only", "nonsense")
	f("unexpected argument", "extra")
	f("must be positive", "-rounds", "0")
	f("no ceiling", "ceiling", "nonsense")
	var stdout, stderr bytes.Buffer
	if code := run([]string{"-help"}, nil, &stdout, &stderr); code != 0 || !strings.Contains(stderr.String(), "insert_params") {
		t.Errorf("-help: exit code %d, %s", code, stderr.String())
	}
}

func TestOnly(t *testing.T) {
	f := func(only, name string, want bool) {
		t.Helper()
		if got := (options{only: only}).wants(name); got != want {
			t.Errorf("-only %q wants %s: %t", only, name, got)
		}
	}
	f("", "insert", true)
	f("insert", "insert", true)
	f("insert", "insert_params", false)
	f("ins", "insert_params", true)
	f("update, select", "select", true)
	f("update,select", "delete", false)
}
