package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"
)

const (
	startBound = 30 * time.Second // to the line that says the program is ready
	stopBound  = 20 * time.Second // from SIGTERM to SIGKILL
	keptOutput = 64 << 10         // bytes of output that are kept for messages
)

// Process is a program that runs.
type Process struct {
	Name string
	PID  int
	// Addr is host:port, taken from the line that said it is ready.
	Addr string
	// Started is when it was spawned.
	Started time.Time

	command *exec.Cmd
	output  *output
	done    chan struct{} // closed when the process has ended
	err     error         // why, set before done is closed
}

// Start runs command and waits until its output matches ready, whose first
// group is the address that it listens on.
func Start(ctx context.Context, name string, command *exec.Cmd, ready *regexp.Regexp) (*Process, error) {
	p := &Process{Name: name, command: command, done: make(chan struct{}),
		output: &output{ready: ready, found: make(chan string, 1)}}
	command.Stdout, command.Stderr = p.output, p.output
	p.Started = time.Now()
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.PID = command.Process.Pid
	go func() {
		p.err = command.Wait()
		close(p.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	select {
	case p.Addr = <-p.output.found:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("%s has ended: %w\n%s", name, errors.Join(p.err), p.Output())
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("wait for %s: %w\n%s", name, ctx.Err(), p.Output()), p.Kill())
	}
}

// Stop asks the process to end and waits; one that does not is killed, which is
// an error.
func (p *Process) Stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.Name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopBound):
		return errors.Join(fmt.Errorf("%s did not stop within %s", p.Name, stopBound), p.Kill())
	}
}

// Kill ends the process without a warning and waits for its end.
func (p *Process) Kill() error {
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	<-p.done
	return nil
}

// Output is the last that the process has printed.
func (p *Process) Output() string {
	p.output.mu.Lock()
	defer p.output.mu.Unlock()
	return p.output.mu.kept.String()
}

// output keeps what a process prints and looks for the line that says it is
// ready.
type output struct {
	ready *regexp.Regexp
	found chan string
	mu    struct {
		sync.Mutex
		kept  bytes.Buffer
		ready bool
	}
}

func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if over := o.mu.kept.Len() + len(text) - keptOutput; over > 0 {
		o.mu.kept.Next(over)
	}
	o.mu.kept.Write(text)
	if !o.mu.ready {
		if m := o.ready.FindSubmatch(o.mu.kept.Bytes()); m != nil {
			o.mu.ready = true
			o.found <- string(m[1])
		}
	}
	return len(text), nil
}
