package logic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kalamdb/internal/core"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
)

// s3Config names the configuration whose cold files lie on an S3 server.
const s3Config = "cold-s3"

// The keys of the server that a run starts.
const (
	s3Access = "corpus-access"
	s3Secret = "corpus-secret-0123456789"
)

// s3Bound is how long the server may take to answer.
const s3Bound = 30 * time.Second

// s3Server is the one that the scripts of a run share, each with a bucket.
type s3Server struct {
	endpoint string
	root     string // its folder: one folder per bucket
	buckets  atomic.Int64
}

// startS3 starts the server that `make s3server` builds. It ends with the test.
func startS3(t *testing.T) *s3Server {
	t.Helper()
	program, err := filepath.Abs("../../bin/versitygw")
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
	s := &s3Server{endpoint: "http://" + address, root: t.TempDir()}
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, program, "--port", address, "--access", s3Access, "--secret", s3Secret, "--quiet",
		"posix", "--sidecar", t.TempDir(), s.root)
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

// wait returns when the server answers a request, whatever it says.
func (s *s3Server) wait() error {
	for end := time.Now().Add(s3Bound); ; <-time.After(20 * time.Millisecond) {
		answer, err := http.Get(s.endpoint)
		if err == nil {
			return answer.Body.Close()
		}
		if time.Now().After(end) {
			return fmt.Errorf("the S3 server does not answer: %w", err)
		}
	}
}

// storage makes a bucket and returns the row of a storage in it.
func (s *s3Server) storage() (schema.Storage, error) {
	bucket := fmt.Sprintf("corpus-%d", s.buckets.Add(1))
	if err := os.Mkdir(filepath.Join(s.root, bucket), 0o755); err != nil {
		return schema.Storage{}, err
	}
	credentials, err := json.Marshal(map[string]string{"access_key_id": s3Access, "secret_access_key": s3Secret})
	if err != nil {
		return schema.Storage{}, err
	}
	config, err := json.Marshal(map[string]string{"region": "us-east-1", "endpoint": s.endpoint})
	return schema.Storage{
		ID: schema.LocalStorage, Name: "Bucket of a script", Type: "s3", BaseDirectory: "s3://" + bucket + "/base",
		Credentials: string(credentials), Config: string(config),
	}, err
}

// checkUsed holds a run of all scripts to what it is for: cold files have come
// to lie in the buckets.
func (s *s3Server) checkUsed(t *testing.T) {
	t.Helper()
	files := 0
	if err := filepath.WalkDir(s.root, func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, ".parquet") {
			files++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if files < int(s.buckets.Load()) {
		t.Errorf("%d scripts have left %d cold files in their buckets", s.buckets.Load(), files)
	}
}

// open makes a database whose storage local lies in a bucket, so that scripts
// need not name it: the row is there before the first start would make it.
func (s *s3Server) open(ctx context.Context) (backend, error) {
	st, err := s.storage()
	if err != nil {
		return nil, err
	}
	var failed error
	l, err := newLocal(ctx, func(o *core.Options) {
		row := o.Cold.LocalStorage(o.Now().UnixMicro())
		row.Name, row.Type, row.BaseDirectory, row.Credentials, row.Config = st.Name, st.Type, st.BaseDirectory, st.Credentials, st.Config
		if err := insertStorage(o.Store, row); err != nil {
			failed = err
		}
	})
	if err == nil {
		err = failed
	}
	return l, err
}

// insertStorage writes the row of a storage into a store that nobody else has
// open, unless it is there.
func insertStorage(s *store.Store, row schema.Storage) error {
	definitions, err := catalog.Load(s.Reader())
	if err != nil {
		return err
	}
	if _, known := definitions.Storage(row.ID); known {
		return nil // a restart
	}
	b := s.NewBatch()
	defer b.Close()
	e := &catalog.Edit{Reader: s.Reader(), Batch: b, Definitions: definitions, Position: definitions.Version() + 1}
	if err := e.InsertStorage(row); err != nil {
		return err
	}
	store.SetPosition(b, e.Position)
	if err := b.Commit(true); err != nil {
		return err
	}
	return b.Wait()
}
