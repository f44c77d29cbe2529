package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"

	"kalamdb/bench/ceiling"
	"kalamdb/bench/live"
	"kalamdb/bench/proc"
)

// The ceiling programs, by the word behind "bench ceiling".
const (
	echoCeiling     = "echo"     // TCP, bytes out for bytes in
	syncedCeiling   = "c2"       // the same, after a shared fsync
	httpCeiling     = "http"     // net/http with an empty handler
	fastHTTPCeiling = "fasthttp" // fasthttp with an empty handler
	fanoutCeiling   = "fanout"   // the same bytes to each of many sockets
)

var listening = regexp.MustCompile(`listening (?:on )?(?:http://)?(\S+:\d+)`)

// serveCeiling is the process of one ceiling.
func serveCeiling(kind string, args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("ceiling", flag.ContinueOnError)
	path := set.String("log", "", "file that c2 writes")
	if err := set.Parse(args); err != nil {
		return err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "listening %s\n", l.Addr())
	switch kind {
	case echoCeiling:
		return ceiling.Echo(l)
	case syncedCeiling:
		return ceiling.Synced(l, *path)
	case fanoutCeiling:
		return live.Ceiling(context.Background(), l, *path)
	case httpCeiling:
		return ceiling.EmptyHTTP(l)
	case fastHTTPCeiling:
		return ceiling.EmptyFastHTTP(l)
	}
	return fmt.Errorf("no ceiling %q", kind)
}

// ceiling returns the running ceiling program of a kind, started on first use.
func (b *bench) ceiling(ctx context.Context, kind string) (*proc.Process, error) {
	if p, ok := b.ceilings[kind]; ok {
		return p, nil
	}
	command := exec.Command(b.self, "ceiling", kind, "-log", filepath.Join(b.data, kind+".log"))
	p, err := b.start(ctx, "ceiling "+kind, command, listening)
	if err != nil {
		return nil, err
	}
	b.ceilings[kind] = p
	return p, nil
}
