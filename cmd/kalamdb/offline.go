package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"kalamdb/internal/server"
)

// offline are the commands that work on a data directory without a server.
const (
	commandRestore = "restore"
	commandCheck   = "check"
)

// offline runs the command that args begin with, and reports whether they begin
// with one. A file of that name is still a configuration file with ./ before it.
func offline(args []string, stdout, stderr io.Writer) (code int, ran bool) {
	if len(args) == 0 || args[0] != commandRestore && args[0] != commandCheck {
		return 0, false
	}
	o, err := parseOffline(args)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stdout, usage)
			return exitStopped, true
		}
		fmt.Fprintf(stderr, "kalamdb: %v\n\n%s", err, usage)
		return exitUsage, true
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch {
	case args[0] == commandRestore:
		err = server.Restore(ctx, o.restore, stdout)
	case o.rebuild:
		err = server.Rebuild(ctx, server.RebuildOptions{DataDir: o.restore.DataDir, Yes: o.yes, In: os.Stdin}, stdout)
	default:
		err = server.Check(ctx, o.restore.DataDir, stdout)
	}
	switch {
	case err == nil:
		return exitStopped, true
	case server.RefusedDirectory(err), errors.Is(err, server.ErrProblems):
		fmt.Fprintf(stderr, "kalamdb: %v\n", err)
		return exitDirectory, true
	}
	fmt.Fprintf(stderr, "kalamdb: %v\n", err)
	return exitStart, true
}

// offlineFlags are the command line of an offline command.
type offlineFlags struct {
	restore      server.RestoreOptions
	rebuild, yes bool
}

// parseOffline reads flags before and behind the place of the backup.
func parseOffline(args []string) (o offlineFlags, err error) {
	command := args[0]
	set := flag.NewFlagSet(command, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&o.restore.DataDir, "data-dir", "", "")
	until := ""
	if command == commandRestore {
		set.StringVar(&o.restore.Archive, "archive", "", "")
		set.StringVar(&until, "until", "", "")
	}
	if command == commandCheck {
		set.BoolVar(&o.rebuild, "rebuild", false, "")
		set.BoolVar(&o.yes, "yes", false, "")
	}
	for args = args[1:]; ; {
		if err := set.Parse(args); err != nil {
			return o, err
		}
		if set.NArg() == 0 {
			break
		}
		if command == commandCheck || o.restore.From != "" {
			return o, fmt.Errorf("%s: one argument too many: %s", command, set.Arg(0))
		}
		o.restore.From, args = set.Arg(0), set.Args()[1:]
	}
	if o.restore.DataDir == "" {
		return o, fmt.Errorf("%s: --data-dir is missing", command)
	}
	if o.yes && !o.rebuild {
		return o, errors.New("check: --yes needs --rebuild")
	}
	if command == commandRestore && o.restore.From == "" {
		return o, errors.New("restore: the place of the backup is missing")
	}
	if until != "" && o.restore.Archive == "" {
		return o, errors.New("restore: --until needs --archive")
	}
	if o.restore.Until, err = server.ParseUntil(until); err != nil {
		return o, fmt.Errorf("restore: --until %w", err)
	}
	return o, nil
}
