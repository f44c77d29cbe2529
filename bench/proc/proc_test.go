package proc_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"kalamdb/bench/proc"
)

var ready = regexp.MustCompile(`listening (\S+)`)

func TestProcess(t *testing.T) {
	p, err := proc.Start(t.Context(), "shell", exec.Command("sh", "-c", "echo first; echo listening 127.0.0.1:7; exec sleep 600"), ready)
	if err != nil {
		t.Fatal(err)
	}
	if p.Addr != "127.0.0.1:7" || !strings.Contains(p.Output(), "first\n") {
		t.Errorf("address %q, output %q", p.Addr, p.Output())
	}
	if m, err := proc.MemoryOf(p.PID); err != nil || m.Resident == 0 || m.Threads != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("a second stop: %v", err)
	}
	if _, err := proc.MemoryOf(p.PID); err == nil {
		t.Error("the process is still there")
	}
}

func TestProcessThatEnds(t *testing.T) {
	_, err := proc.Start(t.Context(), "shell", exec.Command("sh", "-c", "echo reason >&2; exit 3"), ready)
	if err == nil || !strings.Contains(err.Error(), "reason") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%v", err)
	}
}

func TestProcessThatIsNotReady(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := proc.Start(ctx, "shell", exec.Command("sleep", "600"), ready); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("%v", err)
	}
}

// TestCPU: the clocks go on while this process works.
func TestCPU(t *testing.T) {
	own, ticks, precise := proc.OwnCPU(), proc.CPU(os.Getpid()), proc.PreciseCPU(os.Getpid())
	for sum, begin := 0, time.Now(); proc.OwnCPU()-own < 50*time.Millisecond; sum++ {
		if time.Since(begin) > time.Minute {
			t.Fatal("the CPU clock stands")
		}
	}
	if d := proc.CPU(os.Getpid()) - ticks; d < 10*time.Millisecond {
		t.Errorf("/proc counts %s of 50 ms", d)
	}
	if d := proc.PreciseCPU(os.Getpid()) - precise; d < 25*time.Millisecond {
		t.Errorf("the scheduler counts %s of 50 ms", d)
	}
	if proc.CPU(0) != 0 {
		t.Error("a process that is not there has CPU time")
	}
}
