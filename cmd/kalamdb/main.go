// Command kalamdb is the server: kalamdb [flags] [config.toml]. Its commands
// restore and check work on a data directory without a server.
//
// Exit codes: 0 stopped on request, 1 the start failed, 2 wrong usage, 3 the
// data directory is locked, foreign, newer or damaged, 4 the engine failed
// while running; nothing that was acknowledged is lost then. A crash ends with a
// signal. With --supervise the server is a child, started again after 4 and after
// signals: after 100 ms, twice as long each time up to 30 s, and anew once it has
// been up for a minute.
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
	"runtime/debug"
	"strings"
	"syscall"
	_ "time/tzdata" // AT TIME ZONE works on machines without zone files

	"kalamdb/internal/config"
	"kalamdb/internal/server"
)

// The exit codes.
const (
	exitStopped   = 0
	exitStart     = 1
	exitUsage     = 2
	exitDirectory = 3
	exitEngine    = 4
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "0.1.0-dev"

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

const usage = `kalamdb [flags] [config.toml]
kalamdb restore BACKUP --data-dir DIR [--archive PLACE [--until MOMENT]]
kalamdb check --data-dir DIR [--rebuild [--yes]]

The server of KalamDB. Without a file, server.toml is looked for in the working
directory and beside the program.

  --set section.key=value  set a key; wins over environment and file; repeatable
  --print-config           print the configuration in force and exit
  --supervise              run the server as a child and start it again when it crashes
  --accept-clock           take writes although the last commit is far ahead of the clock
  --version                print the version and exit
  --help                   print this and exit

restore copies a backup, a folder or a .tar.gz archive, to an empty data directory;
the first start with that directory puts it in place. --archive brings it up to the
end of an archive, or up to a MOMENT: a position, or a time as 2026-11-23T21:05:00Z. check reads all of a data
directory that no server uses, and exits with 3 when something is wrong. --rebuild
makes the list of its cold files anew from those files, says what it has found, and
asks before it puts that list in place; --yes answers for you.
`

// flags are the command line.
type flags struct {
	file                              string
	set                               []string
	printConfig, acceptClock, version bool
	supervise                         bool
}

// parse reads flags before and behind the one file.
func parse(args []string) (f flags, err error) {
	set := flag.NewFlagSet("kalamdb", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Func("set", "", func(v string) error { f.set = append(f.set, v); return nil })
	set.BoolVar(&f.printConfig, "print-config", false, "")
	set.BoolVar(&f.acceptClock, "accept-clock", false, "")
	set.BoolVar(&f.supervise, "supervise", false, "")
	set.BoolVar(&f.version, "version", false, "")
	for {
		if err := set.Parse(args); err != nil {
			return f, err
		}
		if set.NArg() == 0 {
			return f, nil
		}
		if f.file != "" {
			return f, fmt.Errorf("more than one configuration file: %s and %s", f.file, set.Arg(0))
		}
		f.file, args = set.Arg(0), set.Args()[1:]
	}
}

func run(args, env []string, stdout, stderr io.Writer) int {
	if code, ran := offline(args, stdout, stderr); ran {
		return code
	}
	f, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitStopped
	case err != nil:
		fmt.Fprintf(stderr, "kalamdb: %v\n\n%s", err, usage)
		return exitUsage
	case f.version:
		commit, date := build()
		fmt.Fprintln(stdout, strings.TrimSpace("kalamdb "+version+" "+commit+" "+date))
		return exitStopped
	}
	loaded, err := config.Load(config.Source{
		File: f.file, WorkDir: ".", BinaryDir: binaryDir(), Env: env, Set: f.set,
	})
	if err != nil {
		fmt.Fprintf(stderr, "kalamdb: configuration:\n%v\n", err)
		return exitStart
	}
	if f.printConfig {
		for _, w := range loaded.Warnings {
			fmt.Fprintf(stderr, "kalamdb: %s\n", w)
		}
		fmt.Fprint(stdout, loaded.Options.Print())
		return exitStopped
	}
	if f.supervise {
		return supervise(args, env, stdout, stderr)
	}
	return serve(f, loaded, stdout, stderr)
}

// serve runs the server until a signal asks it to stop.
func serve(f flags, loaded *config.Loaded, stdout, stderr io.Writer) int {
	// A crash ends with a signal: the exit code that the Go runtime would end with
	// means wrong usage here.
	debug.SetTraceback("crash")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	commit, date := build()
	s, err := server.Open(server.Options{
		Config: loaded.Options, ConfigFile: loaded.File, Warnings: loaded.Warnings, AcceptClock: f.acceptClock,
		Version: version, Commit: commit, BuildDate: date, Stdout: stdout, Stderr: stderr,
		Fatal: func(format string, args ...any) {
			fmt.Fprintf(stderr, "kalamdb: the engine has failed: "+format+"\n", args...)
			os.Exit(exitEngine)
		},
	})
	if err != nil {
		fmt.Fprintf(stderr, "kalamdb: %v\n", err)
		if server.RefusedDirectory(err) {
			return exitDirectory
		}
		return exitStart
	}
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	if err := s.Run(ctx); err != nil {
		fmt.Fprintf(stderr, "kalamdb: %v\n", err)
		return exitEngine
	}
	return exitStopped
}

// binaryDir is the folder of the program, or "." when that is not known.
func binaryDir() string {
	path, err := os.Executable()
	if err != nil {
		return "."
	}
	return filepath.Dir(path)
}

// build returns the commit and its date, as far as the tool chain has noted
// them.
func build() (commit, date string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", ""
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value[:min(len(s.Value), 12)]
		case "vcs.time":
			date = s.Value
		}
	}
	return commit, date
}
