package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// How long the server is waited for after a crash.
const (
	firstDelay = 100 * time.Millisecond
	lastDelay  = 30 * time.Second
	steadyTime = time.Minute // up so long, a server begins again at firstDelay
)

// supervisor runs the server as a child and starts it again when it has crashed.
type supervisor struct {
	program string
	args    []string
	env     []string
	stdout  io.Writer
	stderr  io.Writer
	log     *slog.Logger
	signals <-chan os.Signal // what it is told to do
}

// supervise runs the server under a supervisor until it is stopped, or ends with
// a code that says that another start would end like it.
func supervise(args, env []string, stdout, stderr io.Writer) int {
	program, err := os.Executable()
	if err != nil {
		fmt.Fprintf(stderr, "kalamdb: %v\n", err)
		return exitStart
	}
	// The child is told to end when the thread that has started it does, so the
	// thread must be one that stays.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	s := &supervisor{
		program: program, args: unsupervised(args), env: env, stdout: stdout, stderr: stderr,
		log: slog.New(slog.NewTextHandler(stderr, nil)).With("room", "supervise"), signals: signals,
	}
	return s.run()
}

// unsupervised returns the arguments of the child.
func unsupervised(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "-supervise" || a == "--supervise" })
}

// run starts the server until it need not be started again, and returns its exit
// code.
func (s *supervisor) run() int {
	delay := firstDelay
	for {
		start := time.Now()
		code, how, stopped := s.once()
		if stopped || final(code) {
			return code
		}
		up := time.Since(start)
		delay = after(delay, up)
		s.log.Error("server has crashed and is started again", "how", how, "up", up.String(), "in", delay.String())
		select {
		case <-time.After(delay):
		case <-s.signals:
			return exitStopped // nothing runs
		}
		delay *= 2
	}
}

// after is how long to wait after a crash, of a server that was up for a time.
func after(delay, up time.Duration) time.Duration {
	if up >= steadyTime {
		return firstDelay
	}
	return min(delay, lastDelay)
}

// final reports whether a server that ended with a code is not started again:
// stopped on request, or for a reason that another start would meet too. Crashes
// end with a signal, so they have none of these codes.
func final(code int) bool {
	switch code {
	case exitStopped, exitStart, exitUsage, exitDirectory:
		return true
	}
	return false
}

// once runs the server, handing signals on, and returns how it ended: its exit
// code, or -1 after a signal. stopped says that it was asked to end.
func (s *supervisor) once() (code int, how string, stopped bool) {
	child := exec.Command(s.program, s.args...)
	child.Env, child.Stdout, child.Stderr = s.env, s.stdout, s.stderr
	child.SysProcAttr = attributes()
	if err := child.Start(); err != nil {
		s.log.Error("server does not start", "error", err)
		return exitStart, err.Error(), false
	}
	s.log.Info("server is started", "pid", child.Process.Pid)
	ended := make(chan struct{})
	go func() {
		_ = child.Wait() // its state says more than the error
		close(ended)
	}()
	for {
		select {
		case sig := <-s.signals:
			stopped = true
			_ = child.Process.Signal(sig) // it may have ended
		case <-ended:
			state := child.ProcessState
			return state.ExitCode(), state.String(), stopped
		}
	}
}
