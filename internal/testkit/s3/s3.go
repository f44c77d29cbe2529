// Package s3 starts a real S3 server, versitygw, over a folder, for the tests of
// all rooms.
//
// Goroutines: none of its own; the server is a process that ends with its test.
// Locks: none.
package s3

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"kalamdb/internal/schema"
)

// The keys of the server.
const (
	Access = "test-access"
	Secret = "test-secret-0123456789"
)

// bound is how long the server may take to answer.
const bound = 30 * time.Second

// Server is a running S3 server.
type Server struct {
	// Endpoint is its URL, Host the part behind the scheme.
	Endpoint, Host string
	// Root is its folder: one folder in it per bucket.
	Root    string
	buckets atomic.Int64
}

// Start starts the server that `make s3server` builds from its own module,
// test/s3server. Without the program the test is skipped.
func Start(t testing.TB) *Server {
	t.Helper()
	program, err := find()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("bin/versitygw is missing; `make s3server` builds it")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := &Server{Endpoint: "http://" + address, Host: address, Root: t.TempDir()}
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, program, "--port", address, "--access", Access, "--secret", Secret, "--quiet", "posix", "--sidecar", t.TempDir(), s.Root)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.Wait() // it was killed
		if t.Failed() {
			t.Log(out.String())
		}
	})
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
	return s
}

// find returns where the program is: in bin of the module.
func find() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return filepath.Join(dir, "bin", "versitygw"), nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("there is no go.mod above %s", dir)
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// wait returns when the server answers a request, whatever it says.
func (s *Server) wait() error {
	for end := time.Now().Add(bound); ; <-time.After(20 * time.Millisecond) {
		answer, err := http.Get(s.Endpoint)
		if err == nil {
			return answer.Body.Close()
		}
		if time.Now().After(end) {
			return fmt.Errorf("the S3 server does not answer: %w", err)
		}
	}
}

// Bucket makes a bucket and returns its name.
func (s *Server) Bucket() (string, error) {
	name := fmt.Sprintf("bucket-%d", s.buckets.Add(1))
	return name, os.Mkdir(filepath.Join(s.Root, name), 0o755)
}

// Buckets is how many buckets were made.
func (s *Server) Buckets() int { return int(s.buckets.Load()) }

// Storage makes a bucket and returns the row of a storage in its folder base.
func (s *Server) Storage(id string) (schema.Storage, error) {
	bucket, err := s.Bucket()
	if err != nil {
		return schema.Storage{}, err
	}
	credentials, err := json.Marshal(map[string]string{"access_key_id": Access, "secret_access_key": Secret})
	if err != nil {
		return schema.Storage{}, err
	}
	config, err := json.Marshal(map[string]string{"region": "us-east-1", "endpoint": s.Endpoint})
	return schema.Storage{
		ID: id, Name: "Bucket of a test", Type: "s3", BaseDirectory: "s3://" + bucket + "/base", Credentials: string(credentials), Config: string(config),
	}, err
}
