// Command kalam is the client shell of KalamDB.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"kalamdb/internal/cli"
)

// version is set when a release is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, version, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
