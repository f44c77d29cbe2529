package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"kalamdb/bench/load"
	"kalamdb/bench/proc"
	"kalamdb/bench/target"
)

const (
	peerToolchain = "GOTOOLCHAIN=go1.27.0" // what PocketBase 0.40 needs
	collection    = "bench"                // its table
)

var peerReady = regexp.MustCompile(`ready (\S+:\d+)`)

// peer is a program of bench/peers in one configuration.
type peer struct {
	label string
	args  []string
	// synced is whether it syncs each commit.
	synced bool
}

// peers are what operations are compared with; the first is as it comes.
func peers() []peer {
	return []peer{
		{label: "pocketbase"},
		{label: "pocketbase-full", args: []string{"-sync=full"}, synced: true},
	}
}

// peerLanes starts the peers.
func (b *bench) peerLanes(ctx context.Context) ([]*lane, error) {
	program := b.peerProgram(ctx)
	if program == "" {
		return nil, nil
	}
	var lanes []*lane
	for _, p := range peers() {
		process, err := b.startPeer(ctx, program, p, filepath.Join(b.data, p.label+"-data"))
		if err != nil {
			return nil, err
		}
		b.report.Linef("%-10s %s", p.label, peerFacts.FindString(process.Output()))
		lanes = append(lanes, &lane{label: p.label, target: target.PocketBase, process: process, synced: p.synced,
			table: collection, tables: map[string]*rows{}, count: countRecords(process.Addr)})
	}
	return lanes, nil
}

// peerProgram is the program of the peers, or "" when they are not measured: they
// were not wanted, or cannot be built, which the report says.
func (b *bench) peerProgram(ctx context.Context) string {
	if !b.peers || b.short {
		return ""
	}
	program, err := b.buildPeer(ctx)
	if err != nil {
		b.report.Linef("PocketBase is not measured: %v", err)
		return ""
	}
	return program
}

// buildPeer builds the program, once per run.
func (b *bench) buildPeer(ctx context.Context) (string, error) {
	program := filepath.Join(b.data, "pocketbase")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	command := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	command.Dir = filepath.Join("bench", "peers", "pocketbase")
	command.Env = append(os.Environ(), peerToolchain)
	if text, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build in %s: %w: %.500s", command.Dir, err, text)
	}
	return program, nil
}

// startPeer starts the program on a data directory.
func (b *bench) startPeer(ctx context.Context, program string, p peer, dir string) (*proc.Process, error) {
	return b.start(ctx, p.label, exec.Command(program, append([]string{"-dir", dir}, p.args...)...), peerReady)
}

// peerFacts finds what the program says of itself when it is ready.
var peerFacts = regexp.MustCompile(`version=.*`)

// countRecords asks PocketBase how many records its collection has.
func countRecords(addr string) func(context.Context, string) (int64, int64, error) {
	return func(ctx context.Context, _ string) (all, updated int64, err error) {
		if all, err = askTotal(ctx, addr, ""); err != nil {
			return 0, 0, err
		}
		updated, err = askTotal(ctx, addr, "n>="+strconv.Itoa(load.Updated))
		return all, updated, err
	}
}

// askTotal is one query over REST.
func askTotal(ctx context.Context, addr, filter string) (int64, error) {
	path := "http://" + addr + "/api/collections/" + collection + "/records?perPage=1&fields=id&filter=" + url.QueryEscape(filter)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var page struct {
		Total *int64 `json:"totalItems"`
	}
	if err := json.NewDecoder(response.Body).Decode(&page); err != nil {
		return 0, err
	}
	if page.Total == nil {
		return 0, fmt.Errorf("%s answers %d without a total", path, response.StatusCode)
	}
	return *page.Total, nil
}
