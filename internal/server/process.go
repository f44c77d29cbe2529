package server

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// process measures the running process.
type process struct {
	started  time.Time
	hostname string
	now      func() time.Time
	mu       struct {
		sync.Mutex
		at   time.Time     // of the last measure
		cpu  time.Duration // used until then
		last usage
	}
}

// usage is what the process takes.
type usage struct {
	resident, virtual uint64 // bytes
	source            string // where they come from
	cpuPercent        float64
}

func newProcess(now func() time.Time) *process {
	p := &process{started: now(), now: now}
	p.hostname, _ = os.Hostname() // "" is shown where there is none
	p.mu.at = p.started
	return p
}

func (p *process) uptime() time.Duration { return p.now().Sub(p.started) }

// usage measures at most once a second; the processor's share is that since
// the last measure.
func (p *process) usage() usage {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	passed := now.Sub(p.mu.at)
	if passed < time.Second && p.mu.last.source != "" {
		return p.mu.last
	}
	u := memory()
	cpu := processorTime()
	if passed > 0 {
		u.cpuPercent = float64((cpu-p.mu.cpu)*1000/passed) / 10
	}
	p.mu.at, p.mu.cpu, p.mu.last = now, cpu, u
	return u
}

// memory reads what the kernel says, or else what the runtime knows.
func memory() usage {
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		fields := strings.Fields(string(text))
		if len(fields) > 1 {
			page := uint64(os.Getpagesize())
			virtual, _ := strconv.ParseUint(fields[0], 10, 64)
			resident, _ := strconv.ParseUint(fields[1], 10, 64)
			return usage{resident: resident * page, virtual: virtual * page, source: "/proc/self/statm"}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{resident: m.HeapInuse + m.StackInuse, virtual: m.Sys, source: "runtime"}
}

// openFiles counts file descriptors, or returns -1.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(entries)
}

// totalMemoryMB is the memory of the machine, or 0.
func totalMemoryMB() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "MemTotal:" {
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes >> 10
		}
	}
	return 0
}

// physicalCores counts the cores behind the logical processors of the machine,
// or returns the number of those where the kernel does not tell.
func physicalCores() int {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.NumCPU()
	}
	cores := map[[2]string]bool{}
	socket := ""
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "physical id":
			socket = strings.TrimSpace(value)
		case "core id":
			cores[[2]string{socket, strings.TrimSpace(value)}] = true
		}
	}
	if len(cores) == 0 {
		return runtime.NumCPU()
	}
	return len(cores)
}
