// Command tpch answers the 22 queries of TPC-H with KalamDB and with DuckDB
// alone, holds the answers against each other, and prints the ratios of times.
//
// Generator and DuckDB come from PyPI, into a virtual environment in the folder
// of the run: tpchgen-cli makes the rows, the program loads them into SHARED
// tables of a fresh server over its API. Rounds of the queries alternate between
// the two; both run on one thread. It needs python3 with venv.
//
// Goroutines: none of its own. It ends with 1 when an answer differs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The versions that are installed from PyPI.
const (
	generator = "tpchgen-cli==4.0.0"
	reference = "duckdb==1.5.6"
)

// options are the command line.
type options struct {
	scale  string
	rounds int
	dir    string // of the run; "" is a temporary one
	binary string // kalamdb; "" builds it
	source string // of this program's files
	only   string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "tpch: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o := options{}
	set := flag.NewFlagSet("tpch", flag.ContinueOnError)
	set.StringVar(&o.scale, "scale", "0.1", "scale factor")
	set.IntVar(&o.rounds, "rounds", 3, "rounds of all queries on each side, in turn")
	set.StringVar(&o.dir, "dir", "", "folder for generator, rows and server; kept when given")
	set.StringVar(&o.binary, "kalamdb", "", "server to run; built when empty")
	set.StringVar(&o.source, "source", "bench/tpch", "folder of queries.sql, schema.sql and reference.py")
	set.StringVar(&o.only, "only", "", "numbers of queries divided by comma; all when empty")
	if err := set.Parse(args); err != nil {
		return err
	}
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "tpch")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	schema, queries, err := o.load()
	if err != nil {
		return err
	}
	if err := o.prepare(ctx, out); err != nil {
		return err
	}
	ours, err := startServer(ctx, &o)
	if err != nil {
		return err
	}
	defer ours.stop()
	start := time.Now()
	rows, err := ours.fill(ctx, schema, filepath.Join(o.dir, "rows"))
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	fmt.Fprintf(out, "loaded %d rows over the API in %s\n", rows, time.Since(start).Round(time.Second))
	theirs, err := startReference(ctx, &o)
	if err != nil {
		return err
	}
	defer theirs.stop()
	return compare(ctx, &o, queries, ours, theirs, out)
}

// query is one of the 22.
type query struct{ number, text string }

// load reads schema.sql and queries.sql.
func (o *options) load() (schema []string, queries []query, err error) {
	text, err := os.ReadFile(filepath.Join(o.source, "schema.sql"))
	if err != nil {
		return nil, nil, fmt.Errorf("%w; run it in the root of the repository", err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "CREATE TABLE ") {
			schema = append(schema, strings.TrimSpace(line))
		}
	}
	if text, err = os.ReadFile(filepath.Join(o.source, "queries.sql")); err != nil {
		return nil, nil, err
	}
	wanted := strings.Split(o.only, ",")
	for _, part := range strings.Split(string(text), "\n--- ")[1:] {
		number, body, _ := strings.Cut(part, "\n")
		if o.only == "" || slices.Contains(wanted, number) {
			queries = append(queries, query{number, strings.TrimSpace(body)})
		}
	}
	if len(queries) == 0 {
		return nil, nil, fmt.Errorf("there is no query %s", o.only)
	}
	return schema, queries, nil
}

// prepare installs what comes from PyPI, makes the rows and builds the server.
func (o *options) prepare(ctx context.Context, out io.Writer) error {
	rows := filepath.Join(o.dir, "rows")
	steps := [][]string{
		{"python3", "-m", "venv", o.python("")},
		{o.python("bin/pip"), "install", "-q", "--disable-pip-version-check", generator, reference},
		{o.python("bin/tpchgen-cli"), "csv", "-s", o.scale, "--output-dir", rows},
	}
	if o.binary == "" {
		o.binary = filepath.Join(o.dir, "kalamdb")
		steps = append(steps, []string{"go", "build", "-o", o.binary, "./cmd/kalamdb"})
	}
	for _, step := range steps {
		cmd := exec.CommandContext(ctx, step[0], step[1:]...)
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(step, " "), err, text)
		}
	}
	_, err := fmt.Fprintf(out, "scale %s, %s, %s\n", o.scale, generator, reference)
	return err
}

// python returns a path inside the virtual environment.
func (o *options) python(path string) string { return filepath.Join(o.dir, "python", path) }
