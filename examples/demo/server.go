package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// startBound is how long a start may take.
const startBound = 60 * time.Second

// raisedLimits are printed, for a loader is no ordinary client.
const raisedLimits = "rate_limit.max_queries_per_sec, rate_limit.max_auth_requests_per_ip_per_sec"

// server is the server's process.
type server struct {
	path, data, url string
	environment     []string
	cmd             *exec.Cmd
	output          *lockedBuffer
}

// lockedBuffer collects what a process prints.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newServer(path, data string) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return nil, err
	}
	return &server{
		path: path, data: data, url: fmt.Sprintf("http://127.0.0.1:%d", port), output: &lockedBuffer{},
		environment: append(os.Environ(),
			fmt.Sprintf("KALAMDB_SERVER_PORT=%d", port),
			"KALAMDB_SERVER_HOST=127.0.0.1",
			"KALAMDB_DATA_DIR="+data,
			"KALAMDB_ROOT_PASSWORD="+password,
			"KALAMDB_LOG_LEVEL=warn",
			"KALAMDB_RATE_LIMIT_MAX_QUERIES_PER_SEC=1000000",
			"KALAMDB_RATE_LIMIT_MAX_AUTH_REQUESTS_PER_IP_PER_SEC=100000",
		),
	}, nil
}

// start runs the process and waits until it answers.
func (s *server) start(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	s.cmd = exec.Command(s.path)
	s.cmd.Env = s.environment
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w; run make build first", s.path, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		if response, err := http.Get(s.url + "/health"); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return time.Since(begin), nil
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("the server did not answer: %w\n%s", ctx.Err(), s.output)
		}
	}
}

// kill ends the process without a warning.
func (s *server) kill() error {
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	var exit *exec.ExitError
	if err := s.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	s.cmd = nil
	return nil
}

// stop asks the process to end, and waits.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
	s.cmd = nil
}
