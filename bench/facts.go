package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// facts says what was measured, where, and how.
func (b *bench) facts() {
	r := b.report
	r.Linef("KalamDB benchmark, %s UTC", time.Now().UTC().Format("2006-01-02 15:04"))
	r.Section("Machine and method")
	r.Linef("machine    %s, %d CPUs, %s memory, Linux %s", field("/proc/cpuinfo", "model name"), runtime.NumCPU(), field("/proc/meminfo", "MemTotal"), first("/proc/sys/kernel/osrelease"))
	r.Linef("data       %s", fileSystem(b.data))
	r.Linef("load       %s when the run began", loadAverage())
	r.Linef("software   %s; built by %s; tree %s", output(b.binary, "--version"), runtime.Version(), output("git", "describe", "--always", "--dirty"))
	r.Linef("rounds     %d, lanes rotating; %g s per lane and round behind %s of warming; medians of the rounds", b.rounds, b.seconds, b.warm())
	r.Linef("client     one thread, raw HTTP/1.1 with keep-alive, as many connections as in flight; a process of its own; %s", b.layout())
	r.Linef("server     default configuration but for rate limits; SQL over HTTP (the WebSocket door takes no statements)")
	r.Linef("us/op      CPU time per operation, user and system, of server and client")
}

func (b *bench) layout() string {
	if b.pin {
		return "servers pinned to CPU 0, the client to CPU 1"
	}
	return "nothing is pinned"
}

// field finds a line "name : value" of a file of the kernel.
func field(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if n, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(n) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func first(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

func loadAverage() string {
	f := strings.Fields(first("/proc/loadavg"))
	if len(f) < 3 {
		return "unknown"
	}
	return strings.Join(f[:3], " ")
}

// fileSystem says on what the data lies: the mount with the longest path above
// it.
func fileSystem(dir string) string {
	best, text := "", "unknown"
	for line := range strings.Lines(first("/proc/self/mounts")) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(dir+"/", strings.TrimSuffix(f[1], "/")+"/") || len(f[1]) < len(best) {
			continue
		}
		best, text = f[1], fmt.Sprintf("%s on %s (%s)", f[2], f[0], f[3])
	}
	return text
}

func output(name string, args ...string) string {
	text, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
