package cold

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// objectStore is the least of S3 that a tier reads: HEAD and ranged GET.
type objectStore struct {
	mu      sync.Mutex
	objects map[string][]byte
	asked   int
	busy    bool // answers nothing else
}

// ServeHTTP implements http.Handler.
func (s *objectStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	data, ok := s.objects[strings.TrimPrefix(r.URL.Path, "/bucket/")]
	s.asked++
	busy := s.busy
	s.mu.Unlock()
	if busy {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// farTier is a tier with a store of objects and room for so many bytes.
func farTier(t *testing.T, room int64) (*Tier, *objectStore, schema.Storage) {
	t.Helper()
	store := &objectStore{objects: map[string][]byte{}}
	server := httptest.NewServer(store)
	t.Cleanup(server.Close)
	tier := New(Options{FS: disk.NewMem(), DataDir: "data", FileCacheBytes: room, Attempts: 2, Delay: time.Millisecond, Deadline: 5 * time.Second})
	t.Cleanup(func() { _ = tier.Close() })
	st := schema.Storage{
		ID: "far", Type: "s3", BaseDirectory: "s3://bucket", Credentials: `{"access_key_id":"a","secret_access_key":"b"}`,
		Config: fmt.Sprintf(`{"endpoint":%q}`, server.URL),
	}
	return tier, store, st
}

// put makes a file of n bytes in the store.
func (s *objectStore) put(number uint64, n int) schema.File {
	data := bytes.Repeat([]byte{byte(number)}, n)
	sum := sha256.Sum256(data)
	f := schema.File{Number: number, Path: fmt.Sprintf("t/batch-%d.parquet", number), Size: int64(n), Checksum: hex.EncodeToString(sum[:])}
	s.objects[f.Path] = data
	return f
}

// Copies stay within their bound, serve again without asking, go least recently
// used first, and a file that finds no room says which key gives it some.
func TestCopies(t *testing.T) {
	tier, store, st := farTier(t, 100)
	bucket, err := tier.storage(st)
	if err != nil {
		t.Fatal(err)
	}
	open := func(f schema.File) io.Closer {
		t.Helper()
		o, size, err := tier.object(bucket, f)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, size)
		if _, err := o.ReadAt(got, 0); err != nil && err != io.EOF || !bytes.Equal(got, store.objects[f.Path]) {
			t.Fatalf("file %d reads as %d bytes, %v", f.Number, len(got), err)
		}
		return o
	}
	a, b, c := store.put(1, 40), store.put(2, 40), store.put(3, 40)
	first := open(a)
	_ = open(b).Close()
	asked := store.asked
	_ = open(b).Close()
	if store.asked != asked {
		t.Error("a copy that is there was fetched again")
	}
	_ = open(c).Close() // b goes, for a is in use
	if s := tier.Stats(); s.Evicted != 1 || s.CopyBytes != 80 || s.Fetched != 3 {
		t.Errorf("after three files: %+v", s)
	}
	second := open(b)
	if _, _, err := tier.object(bucket, c); !fault.Is(err, fault.LimitExceeded) || !strings.Contains(err.Error(), "cold.cache_bytes") {
		t.Errorf("without room: %v", err)
	}
	_, _ = first.Close(), second.Close()
	_ = open(c).Close()
	tier.forget(c.Number)
	if names, err := disk.FS.List(tier.options.FS, "data/"+cacheFolder); err != nil || len(names) > 2 {
		t.Errorf("the folder holds %q, %v", names, err)
	}
	if s := tier.Stats(); s.CopyBytes > 80 {
		t.Errorf("at the end: %+v", s)
	}
}

// A file of a store that does not answer is SERVER_BUSY, without what the store
// said, and it comes when the store answers again; one that is not there is not.
func TestCopiesOfABusyStore(t *testing.T) {
	tier, store, st := farTier(t, 100)
	bucket, err := tier.storage(st)
	if err != nil {
		t.Fatal(err)
	}
	f := store.put(1, 40)
	f.StorageID = st.ID
	for _, busy := range []bool{true, false} {
		store.mu.Lock()
		store.busy = busy
		store.mu.Unlock()
		o, _, err := tier.object(bucket, f)
		if busy && (!fault.Is(err, fault.ServerBusy) || fault.Of(err).Message != "the storage 'far' does not answer; try again in a moment") || !busy && err != nil {
			t.Errorf("busy %t: %v", busy, err)
		}
		if err == nil {
			_ = o.Close()
		}
	}
	f.Number, f.Path = 2, "t/other.parquet"
	if _, _, err := tier.object(bucket, f); err == nil || fault.Is(err, fault.ServerBusy) {
		t.Errorf("a missing file: %v", err)
	}
}

// Bytes that are not those that were written are never served.
func TestCopiesAreVerified(t *testing.T) {
	tier, store, st := farTier(t, 1000)
	bucket, err := tier.storage(st)
	if err != nil {
		t.Fatal(err)
	}
	f := store.put(1, 40)
	good := store.objects[f.Path]
	for _, bad := range [][]byte{bytes.Repeat([]byte{9}, 40), good[:39], nil} {
		if store.objects[f.Path] = bad; bad == nil {
			delete(store.objects, f.Path)
		}
		if _, _, err := tier.object(bucket, f); err == nil {
			t.Errorf("%d wrong bytes are served", len(bad))
		}
	}
	store.objects[f.Path] = good
	if _, _, err := tier.object(bucket, f); err != nil {
		t.Errorf("the right bytes after the wrong ones: %v", err)
	}
}

// What an earlier process has left is gone before anything is read.
func TestCopiesAreEmptiedAtStart(t *testing.T) {
	tier, _, st := farTier(t, 1000)
	left := "data/" + cacheFolder + "/7-1.parquet"
	if err := tier.options.FS.MkdirAll("data/" + cacheFolder); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(tier.options.FS, left, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := tier.storage(st); err != nil {
		t.Fatal(err)
	}
	if there, err := disk.Exists(tier.options.FS, left); there || err != nil {
		t.Errorf("it is there: %v, %v", there, err)
	}
}

func TestMasked(t *testing.T) {
	for given, want := range map[string]string{
		"": "", `{"secret_access_key":"x","access_key_id":"y"}`: `{"access_key_id":"***","secret_access_key":"***"}`,
		`{"a":{"b":"secret"}}`: `{"a":"***"}`, "secret": `{"credentials":"***"}`,
	} {
		if got := Masked(given); got != want {
			t.Errorf("%s is shown as %s", given, got)
		}
	}
}
