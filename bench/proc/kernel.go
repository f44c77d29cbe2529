package proc

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of CPU time in /proc/<pid>/stat.
const tick = 10 * time.Millisecond

// Memory is what /proc/<pid>/status says, in bytes.
type Memory struct {
	Anonymous int64 // RssAnon: what only this process holds
	Resident  int64 // VmRSS: with the clean pages of its files
	Threads   int
}

// OwnCPU is the CPU time of this process, user and system.
func OwnCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// CPU is the CPU time of a process so far, to 10 ms; 0 when it cannot be read.
func CPU(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name of the program stands in parentheses and may hold spaces.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const user, system = 11, 12
	if len(fields) <= system {
		return 0
	}
	u, _ := strconv.ParseInt(fields[user], 10, 64)
	s, _ := strconv.ParseInt(fields[system], 10, 64)
	return time.Duration(u+s) * tick
}

// PreciseCPU is the CPU time of the threads that a process has, in nanoseconds
// as the scheduler counts them. Threads that have ended are not in it.
func PreciseCPU(pid int) time.Duration {
	sum := time.Duration(0)
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is well formed
	for _, t := range tasks {
		text, err := os.ReadFile(t)
		if err != nil {
			continue // the thread has ended meanwhile
		}
		if f := strings.Fields(string(text)); len(f) > 0 {
			n, _ := strconv.ParseInt(f[0], 10, 64)
			sum += time.Duration(n)
		}
	}
	return sum
}

// MemoryOf reads the memory and the threads of a process.
func MemoryOf(pid int) (Memory, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, err
	}
	defer f.Close()
	var m Memory
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		field, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		n, _ := strconv.ParseInt(field, 10, 64)
		switch name {
		case "RssAnon":
			m.Anonymous = n << 10
		case "VmRSS":
			m.Resident = n << 10
		case "Threads":
			m.Threads = int(n)
		}
	}
	return m, lines.Err()
}
