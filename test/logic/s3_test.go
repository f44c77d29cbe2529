package logic

import (
	"context"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"kalamdb/internal/core"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/testkit/s3"
)

// s3Config names the configuration whose cold files lie on an S3 server.
const s3Config = "cold-s3"

// s3Server is the one that the scripts of a run share, each with a bucket.
type s3Server struct{ *s3.Server }

// startS3 starts the server. It ends with the test.
func startS3(t *testing.T) *s3Server {
	t.Helper()
	return &s3Server{s3.Start(t)}
}

// storage makes a bucket and returns the row of a storage in it.
func (s *s3Server) storage() (schema.Storage, error) { return s.Storage(schema.LocalStorage) }

// checkUsed holds a run of all scripts to what it is for: cold files have come
// to lie in the buckets.
func (s *s3Server) checkUsed(t *testing.T) {
	t.Helper()
	files := 0
	if err := filepath.WalkDir(s.Root, func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, ".parquet") {
			files++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if files < s.Buckets() {
		t.Errorf("%d scripts have left %d cold files in their buckets", s.Buckets(), files)
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
