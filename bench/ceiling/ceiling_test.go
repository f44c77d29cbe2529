package ceiling

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAnswer(t *testing.T) {
	for _, size := range []int{45, 100, 140, 141, 142, 1043, 1044, 1045, 70_000} {
		text, err := Answer(size)
		if err != nil || len(text) != size {
			t.Errorf("answer of %d bytes has %d: %v", size, len(text), err)
		}
	}
	if text, err := Answer(10); err == nil {
		t.Errorf("an answer of 10 bytes: %q", text)
	}
}

// converse sends requests on one connection and compares the answers.
func converse(t *testing.T, l net.Listener, p Preamble, requests int) {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want, err := Answer(int(p.Response))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	request := bytes.Repeat([]byte("q"), int(p.Request))
	if _, err := c.Write(p.Append(nil)); err != nil {
		t.Fatal(err)
	}
	for range requests {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestEcho(t *testing.T) {
	l := listen(t)
	go func() { _ = Echo(l) }()
	converse(t, l, Preamble{Request: 300, Response: 120}, 5)
}

// TestSynced: what was answered is in the file.
func TestSynced(t *testing.T) {
	l := listen(t)
	path := filepath.Join(t.TempDir(), "log")
	go func() { _ = Synced(l, path) }()
	const requests, kept = 5, 40
	converse(t, l, Preamble{Request: 300, Response: 120, Kept: kept}, requests)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text := make([]byte, requests*kept+1)
	if _, err := io.ReadFull(f, text); err != nil {
		t.Fatal(err)
	}
	if want := append(bytes.Repeat([]byte("q"), requests*kept), 0); !bytes.Equal(text, want) {
		t.Errorf("the file begins with %q", text)
	}
}

func TestLogWraps(t *testing.T) {
	log, err := openLog(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.file.Close()
	log.at = logBytes - 2
	if err := log.append([]byte("abc")); err != nil || log.at != 3 {
		t.Errorf("at %d, %v", log.at, err)
	}
	if info, err := log.file.Stat(); err != nil || info.Size() != logBytes {
		t.Errorf("the log has grown: %v, %v", info, err)
	}
}

func TestFsyncLoop(t *testing.T) {
	for _, callers := range []int{1, 8} {
		r, err := FsyncLoop(filepath.Join(t.TempDir(), "log"), callers, 100, 30*time.Millisecond)
		if err != nil || r.Operations < 1 || r.PerSecond <= 0 {
			t.Errorf("%d callers: %+v, %v", callers, r, err)
		}
	}
}
