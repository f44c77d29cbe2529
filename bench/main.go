package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"kalamdb/bench/live"
	"kalamdb/bench/load"
	"kalamdb/bench/sql"
	"kalamdb/bench/target"
)

// options are the command line.
type options struct {
	short   bool
	rounds  int
	seconds float64
	only    string
	rows    int64
	binary  string // kalamdb to measure; "" builds it
	dir     string // where data goes; "" is a temporary folder
	out     string // report; "" is one of bench/results for a full run
	peers   bool
	pin     bool
	crowd   int // most subscriptions of the scenario "routing"
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program: the driver, or one of the processes that it starts.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var err error
	switch {
	case len(args) > 0 && args[0] == "load":
		err = load.Serve(stdin, stdout, target.New)
	case len(args) > 1 && args[0] == "ceiling":
		err = serveCeiling(args[1], args[2:], stdout)
	case len(args) > 0 && args[0] == "live":
		err = live.Serve(stdin, stdout, target.New)
	case len(args) > 0 && args[0] == "sql":
		err = sql.Serve(stdin, stdout)
	case len(args) > 0 && args[0] == "fsync":
		err = runFsync(args[1:], stdout)
	default:
		err = drive(args, stdout, stderr)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

const usage = `go run ./bench [flags]

Measures KalamDB beside ceilings, PocketBase and PostgreSQL and writes a report into
bench/results. Run it on a quiet machine; see bench/doc.go.

`

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.Usage = func() {
		fmt.Fprint(stderr, usage)
		set.PrintDefaults()
		fmt.Fprintf(stderr, "\nscenarios: %s\noperations: %s\n", strings.Join(scenarioNames(), " "), strings.Join(operationNames(), " "))
	}
	set.BoolVar(&o.short, "short", false, "one short round with few rows: shows that it works, measures nothing")
	set.IntVar(&o.rounds, "rounds", 5, "rounds, interleaved")
	set.Float64Var(&o.seconds, "seconds", 2, "seconds that one operation of one lane is measured, per round")
	set.StringVar(&o.only, "only", "", "scenarios and operations to run, by comma, by the beginning of their names; all when empty")
	set.Int64Var(&o.rows, "rows", 50_000, "rows that stand in the tables which are read and updated")
	set.StringVar(&o.binary, "kalamdb", "", "binary to measure; built from this tree when empty")
	set.StringVar(&o.dir, "dir", "", "where the data goes while it runs; a temporary folder when empty")
	set.StringVar(&o.out, "out", "", "file of the report, - for none; when empty, a file of bench/results if everything is run")
	set.BoolVar(&o.peers, "peers", true, "measure PocketBase and PostgreSQL too; clients are built by go build, which may fetch what they need, PostgreSQL 15 is that of Debian's package postgresql-15")
	set.BoolVar(&o.pin, "pin", false, "run servers on CPU 0 and the load client on CPU 1")
	set.IntVar(&o.crowd, "crowd", 1_000_000, "most subscriptions beside which rows are routed; a million takes minutes and some GB")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if o.short {
		o.rounds, o.seconds, o.rows = 1, 0.15, 2000
	}
	if o.rounds < 1 || o.seconds <= 0 || o.rows < 1 || o.crowd < 1 {
		return o, errors.New("rounds, seconds, rows and crowd must be positive")
	}
	return o, o.checkOnly()
}

// words are what -only asks for.
func (o options) words() []string {
	return strings.FieldsFunc(o.only, func(r rune) bool { return r == ',' || r == ' ' })
}

// wants reports whether -only asks for name: by the whole of it, or by its
// beginning where no name is that short.
func (o options) wants(name string) bool {
	for _, w := range o.words() {
		if w == name || strings.HasPrefix(name, w) && !slices.Contains(names(), w) {
			return true
		}
	}
	return o.only == ""
}

func (o options) checkOnly() error {
	for _, w := range o.words() {
		if !slices.ContainsFunc(names(), func(name string) bool { return strings.HasPrefix(name, w) }) {
			return fmt.Errorf("-only %s names neither a scenario nor an operation", w)
		}
	}
	return nil
}

// names are what -only may ask for.
func names() []string { return append(scenarioNames(), operationNames()...) }

// drive runs the scenarios and writes the report.
func drive(args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := newBench(ctx, o, stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	begin := time.Now()
	b.facts()
	for _, s := range scenarios() {
		if !s.wanted(o) {
			continue
		}
		fmt.Fprintf(stderr, "%s  %s\n", time.Since(begin).Round(time.Second), s.name)
		if err := s.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	b.report.finish(time.Since(begin))
	return b.save()
}

// save writes the report where it belongs: full runs to bench/results.
func (b *bench) save() error {
	path := b.out
	if path == "-" || path == "" && (b.only != "" || b.short) {
		return nil
	}
	if path == "" {
		path = filepath.Join("bench", "results", time.Now().UTC().Format("2006-01-02-1504")+"-"+runtime.GOARCH+".txt")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make folder of reports: %w", err)
	}
	if err := os.WriteFile(path, []byte(b.report.String()), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
