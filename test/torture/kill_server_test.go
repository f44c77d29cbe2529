package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	// killPassword is that of every account.
	killPassword = "Torture-secret-1"
	// killStartBound is how long a start may take, with recovery, on a machine
	// that does other things too.
	killStartBound = 60 * time.Second
	// killEndBound is how long a process may take to end after SIGTERM.
	killEndBound = 60 * time.Second
	// buildBound is how long the compiler may take; most of what it needs was built
	// for these tests.
	buildBound = 8 * time.Minute
	// buildGrace is how long its children may hold on to their output then.
	buildGrace = 5 * time.Second
)

// buildServer builds the real server and returns its path. overlay names a file
// for go build -overlay; "" builds the tree as it is.
func buildServer(t *testing.T, overlay string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kalamdb")
	args := []string{"build", "-o", path}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildBound)
	defer cancel()
	command := exec.CommandContext(ctx, "go", append(args, "kalamdb/cmd/kalamdb")...)
	command.Dir, command.WaitDelay = filepath.Join("..", ".."), buildGrace
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, out)
	}
	return path
}

// killServer is the process of the server on a directory that outlives it.
type killServer struct {
	path, data, url string
	environment     []string
	cmd             *exec.Cmd
	pid             atomic.Int64  // of the process, for last
	ended           chan struct{} // closed when cmd has been waited for
	output          *killOutput
}

// killOutput keeps the end of what the processes print.
type killOutput struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// killOutputKept is how much of it, in bytes.
const killOutputKept = 64 << 10

func (o *killOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.b.Len() > killOutputKept {
		o.b.Next(o.b.Len() / 2)
	}
	return o.b.Write(p)
}

func (o *killOutput) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// newKillServer returns a server that does not run yet.
func newKillServer(t *testing.T, path string) *killServer {
	t.Helper()
	port := killPort(t)
	s := &killServer{path: path, data: t.TempDir(), url: fmt.Sprintf("http://127.0.0.1:%d", port), output: &killOutput{}}
	s.environment = append(os.Environ(),
		fmt.Sprintf("KALAMDB_SERVER_PORT=%d", port),
		"KALAMDB_DATA_DIR="+s.data,
		"KALAMDB_ROOT_PASSWORD="+killPassword,
		"KALAMDB_AUTH_BCRYPT_COST=4",
		"KALAMDB_LOG_LEVEL=info",
		"KALAMDB_STORAGE_RESERVE=1MiB",
		// Small, so that subscribers fall behind memory and read from disk.
		"KALAMDB_LIVE_OUTBOX_BYTES=64KiB",
		"KALAMDB_LIVE_RING_BYTES=1MiB",
		"KALAMDB_RATE_LIMIT_MAX_QUERIES_PER_SEC=1000000",
		"KALAMDB_RATE_LIMIT_MAX_SUBSCRIPTIONS_PER_USER=100",
		"KALAMDB_RATE_LIMIT_MAX_AUTH_REQUESTS_PER_IP_PER_SEC=100000",
	)
	return s
}

// killPort returns a free port below those that the system gives to callers:
// while nobody listens, one of many callers could be given the port that he
// calls, and would be connected with himself.
func killPort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20_000 + rand.IntN(10_000)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // taken
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no free port was found")
	return 0
}

// spawn runs the process and does not wait until it answers.
func (s *killServer) spawn() error {
	s.cmd = exec.Command(s.path)
	s.cmd.Env = s.environment
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.path, err)
	}
	s.pid.Store(int64(s.cmd.Process.Pid))
	ended, cmd := make(chan struct{}), s.cmd
	s.ended = ended
	go func() {
		_ = cmd.Wait() // its state is asked for where it matters
		s.pid.CompareAndSwap(int64(cmd.Process.Pid), 0)
		close(ended)
	}()
	return nil
}

// healthy waits until the process answers.
func (s *killServer) healthy() error {
	ctx, cancel := context.WithTimeout(context.Background(), killStartBound)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/health", nil)
		if err != nil {
			return err
		}
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ticker.C:
		case <-s.ended:
			return fmt.Errorf("the server ended with code %d\n%s", s.cmd.ProcessState.ExitCode(), s.output)
		case <-ctx.Done():
			return fmt.Errorf("the server did not answer: %w\n%s", ctx.Err(), s.output)
		}
	}
}

// start runs the process, waits until it answers and says how long that took.
func (s *killServer) start() (time.Duration, error) {
	begin := time.Now()
	if err := s.spawn(); err != nil {
		return 0, err
	}
	err := s.healthy()
	return time.Since(begin), err
}

// kill ends the process without a warning; it may have ended before.
func (s *killServer) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.ended
	s.cmd = nil
}

// last ends the process when nobody can wait for it any more.
func (s *killServer) last() {
	if pid := s.pid.Load(); pid != 0 {
		_ = syscall.Kill(int(pid), syscall.SIGKILL) // it may have ended
	}
}

// terminate asks the process to end, and waits; it must end with code 0.
func (s *killServer) terminate() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(killEndBound)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
		return errors.New("the server does not end after SIGTERM")
	}
	code := s.cmd.ProcessState.ExitCode()
	s.cmd = nil
	if code != 0 {
		return fmt.Errorf("the server ended with code %d after SIGTERM\n%s", code, s.output)
	}
	return nil
}

// freeze stops the process for a while and lets it go on.
func (s *killServer) freeze(d time.Duration) error {
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	elapse(d)
	return s.cmd.Process.Signal(syscall.SIGCONT)
}

// alive reports whether the process still runs.
func (s *killServer) alive() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// elapse lets time go by: what happens meanwhile is what is tested.
func elapse(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}
