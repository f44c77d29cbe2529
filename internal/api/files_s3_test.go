package api

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kalamdb/internal/cold"
	"kalamdb/internal/core"
	"kalamdb/internal/disk"
	"kalamdb/internal/testkit/s3"
)

// objectStore is a storage on a real S3 server, with a proxy before it that spoils
// some requests.
type objectStore struct {
	root  string       // of its objects
	every atomic.Int64 // each so manieth request is spoiled; 0 is none, 1 all
	count atomic.Int64
}

// serveBucket makes tables with files whose storage is a bucket.
func serveBucket(t *testing.T) (*edge, *objectStore) {
	server := s3.Start(t)
	name, err := server.Bucket()
	if err != nil {
		t.Fatal(err)
	}
	b := &objectStore{root: filepath.Join(server.Root, name)}
	target := &url.URL{Scheme: "http", Host: server.Host}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.Out.URL.Scheme, p.Out.URL.Host = target.Scheme, target.Host
		p.Out.Host = p.In.Host // it is signed
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := b.count.Add(1)
		switch every := b.every.Load(); {
		case every == 0 || n%every != 0:
			proxy.ServeHTTP(w, r)
		case n%2 == 0:
			panic(http.ErrAbortHandler)
		default:
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("<Error><Code>SlowDown</Code></Error>"))
		}
	}))
	t.Cleanup(front.Close)
	mem := disk.NewMem()
	tier := cold.New(cold.Options{FS: mem, DataDir: "data", Delay: 10 * time.Millisecond})
	t.Cleanup(func() { _ = tier.Close() })
	db, accounts := openWith(t, mem, func(o *core.Options) { o.Cold = tier })
	e := serveDB(t, mem, db, accounts, nil)
	e.sql(t, "root", "system", fmt.Sprintf(`CREATE NAMESPACE app;
		CREATE STORAGE far TYPE s3 BUCKET '%s' REGION 'us-east-1' CREDENTIALS '{"access_key_id":"%s","secret_access_key":"%s"}' CONFIG '{"endpoint":"%s","path_style":true}';
		CREATE TABLE app.note (id BIGINT PRIMARY KEY, body TEXT, f FILE) WITH (TYPE='USER', STORAGE_ID='far');
		CREATE USER 'al' WITH PASSWORD 'Secret-123' ROLE user`, name, s3.Access, s3.Secret, front.URL))
	return e, b
}

// objects returns the names and bytes of what lies in the bucket, but for
// manifests.
func (b *objectStore) objects(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	if err := filepath.WalkDir(b.root, func(name string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // removed meanwhile
		}
		if err != nil || d.IsDir() || filepath.Ext(name) == ".json" {
			return err
		}
		body, err := os.ReadFile(name)
		if err == nil {
			found[strings.TrimPrefix(name, b.root+"/")] = string(body)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// waitFor waits until the bucket holds so many objects whose names hold a word.
func (b *objectStore) waitFor(t *testing.T, e *edge, what, word string, want int) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); ; <-time.After(10 * time.Millisecond) {
		n := 0
		found := b.objects(t)
		for name := range found {
			if strings.Contains(name, word) {
				n++
			}
		}
		if n == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %d objects with %q, want %d: %d in all\n%s", what, n, word, want, len(found), e.log)
		}
	}
}

// flush waits for the flush of a table.
func (e *edge) flush(t *testing.T, table string) {
	t.Helper()
	e.sql(t, "root", "system", "STORAGE FLUSH TABLE "+table)
	for end := time.Now().Add(60 * time.Second); ; <-time.After(5 * time.Millisecond) {
		answer := e.sql(t, "root", "system", "SELECT COUNT(*) FROM system.jobs WHERE finished_at IS NULL")
		if strings.Contains(answer, `[["0"]]`) || strings.Contains(answer, `[[0]]`) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the flush does not end: %s", answer)
		}
	}
	if answer := e.sql(t, "root", "system", "SELECT status, message FROM system.jobs ORDER BY created_at DESC LIMIT 1"); !strings.Contains(answer, "completed") {
		t.Fatalf("flush of %s: %s", table, answer)
	}
}

// TestFilesInBucket keeps files in a bucket, also where every third request
// fails: they are read whole and in part while their rows are hot and when they
// are cold, and go with the last row, cold or not, and with the table.
func TestFilesInBucket(t *testing.T) {
	for _, every := range []int64{0, 3} {
		t.Run(fmt.Sprintf("every %d", every), func(t *testing.T) {
			e, b := serveBucket(t)
			b.every.Store(every)
			bodies := []string{"", "small", strings.Repeat("content ", 100_000)}
			for i, body := range bodies {
				if status, answer := e.upload(t, "al", "user", fmt.Sprintf(`INSERT INTO app.note VALUES (%d, 'x', FILE("a"))`, i), sent{"a", "a.txt", "text/plain", body}); status != 200 {
					t.Fatalf("upload %d: %d %s", i, status, answer)
				}
			}
			where := make([]string, len(bodies))
			for i := range bodies {
				where[i] = "/v1/files/app/note/f0001/" + e.cell(t, "al", "user", fmt.Sprintf("SELECT f FROM app.note WHERE id = %d", i)).ID + "-a.txt"
			}
			read := func(when string) {
				t.Helper()
				for i, body := range bodies {
					if r := e.cell(t, "al", "user", fmt.Sprintf("SELECT f FROM app.note WHERE id = %d", i)); r.Size != int64(len(body)) {
						t.Errorf("%s: file %d has %d bytes, not %d", when, i, r.Size, len(body))
					}
					if status, text := e.ask(t, "GET", where[i], "al", "user", "", nil, nil); status != 200 || text != body {
						t.Errorf("%s: file %d: %d, %d bytes", when, i, status, len(text))
					}
				}
				e.ranges(t, where[2], bodies[2])
			}
			read("hot")
			b.waitFor(t, e, "stored", "/f0001/", 3)
			e.flush(t, "app.note")
			b.waitFor(t, e, "flushed", ".parquet", 1)
			read("cold")
			if status, answer := e.upload(t, "al", "user", `UPDATE app.note SET f = FILE("a") WHERE id = 0`, sent{"a", "b.txt", "text/plain", "second"}); status != 200 {
				t.Fatalf("replace: %d %s", status, answer)
			}
			b.waitFor(t, e, "replaced", "-b.txt", 1)
			b.waitFor(t, e, "replaced", "-a.txt", 2)
			e.sql(t, "al", "user", "DELETE FROM app.note WHERE id = 2") // it is cold
			b.waitFor(t, e, "deleted", "/f0001/", 2)
			if status, _ := e.ask(t, "GET", where[2], "al", "user", "", nil, nil); status != 404 {
				t.Errorf("a deleted file: %d", status)
			}
			e.flush(t, "app.note")
			if r := e.cell(t, "al", "user", "SELECT f FROM app.note WHERE id = 0"); r.Name != "b.txt" {
				t.Errorf("the file that was replaced is %+v", r)
			}
			e.sql(t, "root", "system", "DROP TABLE app.note")
			b.waitFor(t, e, "dropped", "", 0)
			if left := e.stored(t); len(left) != 0 {
				t.Errorf("on the local disk remain %d files", len(left))
			}
		})
	}
}

// TestFilesWithoutBucket: while the object store answers nothing, an upload is
// refused and leaves neither row nor file, a download is refused, and a row can
// be deleted; its file goes when the store is back. A file that is not what was
// stored is never sent to its end.
func TestFilesWithoutBucket(t *testing.T) {
	e, b := serveBucket(t)
	body := strings.Repeat("content ", 100_000)
	for i := range 3 {
		if status, answer := e.upload(t, "al", "user", fmt.Sprintf(`INSERT INTO app.note VALUES (%d, 'x', FILE("a"))`, i), sent{"a", "a.txt", "text/plain", body}); status != 200 {
			t.Fatalf("upload: %d %s", status, answer)
		}
	}
	where := func(i int) string {
		return "/v1/files/app/note/f0001/" + e.cell(t, "al", "user", fmt.Sprintf("SELECT f FROM app.note WHERE id = %d", i)).ID + "-a.txt"
	}
	first := where(0)
	b.every.Store(1)
	status, answer := e.upload(t, "al", "user", `INSERT INTO app.note VALUES (9, 'x', FILE("a"))`, sent{"a", "c.txt", "text/plain", "x"})
	if status != 503 || !strings.Contains(answer, "SERVER_BUSY") || strings.Contains(answer, s3.Secret) {
		t.Errorf("an upload without the store: %d %s", status, answer)
	}
	if status, text := e.ask(t, "GET", first, "al", "user", "", nil, nil); status != 503 || !strings.Contains(text, "SERVER_BUSY") {
		t.Errorf("a download without the store: %d %s", status, text)
	}
	e.sql(t, "al", "user", "DELETE FROM app.note WHERE id = 1")
	b.every.Store(0)
	if answer := e.sql(t, "al", "user", "SELECT COUNT(*) FROM app.note"); !strings.Contains(answer, "2") {
		t.Errorf("rows: %s", answer)
	}
	b.waitFor(t, e, "the store is back", "/f0001/", 2)
	if status, text := e.ask(t, "GET", first, "al", "user", "", nil, nil); status != 200 || text != body {
		t.Errorf("the store is back: %d, %d bytes", status, len(text))
	}
	for name, whole := range b.objects(t) {
		if strings.Contains(name, filepath.Base(first)) {
			if err := os.WriteFile(filepath.Join(b.root, name), []byte("X"+whole[1:]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := http.NewRequest("GET", e.url+first, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token(t, "al", "user", nil))
	damaged, err := http.DefaultClient.Do(r)
	if err == nil {
		_, err = io.Copy(io.Discard, damaged.Body)
		_ = damaged.Body.Close() // what was read of it counts
	}
	if err == nil {
		t.Error("a damaged file came whole")
	}
}
