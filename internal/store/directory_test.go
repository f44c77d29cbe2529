package store_test

import (
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/disk"
	"kalamdb/internal/store"
)

// TestDirectory runs the scripts of testdata/directory. Each begins with an
// empty disk on which the data directory is /data:
//
//	make       a line per file, "path text", or directory, "path/"
//	start      opens and closes it as a server does; prints the outcome, and
//	           with untouched that no byte of the disk has changed
//	tree       the names in it
//	remove     a line per path
func TestDirectory(t *testing.T) {
	datadriven.Walk(t, "testdata/directory", func(t *testing.T, file string) {
		mem := disk.NewMem()
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "make":
				for line := range strings.Lines(d.Input) {
					name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
					if strings.HasSuffix(name, "/") {
						must(t, disk.MakeDir(mem, name))
						continue
					}
					must(t, disk.MakeDir(mem, path.Dir(name)))
					must(t, disk.WriteFile(mem, name, []byte(strings.ReplaceAll(text, `\n`, "\n"))))
				}
			case "remove":
				for line := range strings.Lines(d.Input) {
					must(t, disk.RemoveAll(mem, strings.TrimSpace(line)))
				}
			case "damage":
				damage(t, mem, d)
			case "start":
				return start(t, mem)
			case "tree":
				return strings.Join(contents(t, mem, "/data", false), "\n")
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			return ""
		})
	})
}

// start opens the directory, changes the position and closes it. A refusal
// must leave every byte as it was; a lock file may have come.
func start(t *testing.T, mem *disk.Mem) string {
	t.Helper()
	before := strings.Join(contents(t, mem, "/", true), "\n")
	s, err := store.Open(store.Options{FS: mem, Dir: "/data"})
	if err != nil {
		after := strings.Join(contents(t, mem, "/", true), "\n")
		touched := "untouched"
		if before != after {
			touched = "touched"
		}
		var refused *store.OpenError
		if !errors.As(err, &refused) {
			return fmt.Sprintf("%s: %v", touched, err)
		}
		return fmt.Sprintf("%s, %s: data directory %s: %s", refused.Kind, touched, refused.Dir, refused.Message)
	}
	position, err := store.Position(s.Reader())
	must(t, err)
	clean := s.Clean()
	put(t, s, position+1, true)
	must(t, s.Close())
	return fmt.Sprintf("opened at position %d, clean %v", position, clean)
}

// damage turns the bytes of the one file in dir= that begins with prefix=.
func damage(t *testing.T, mem *disk.Mem, d *datadriven.TestData) {
	t.Helper()
	var dir, prefix string
	d.ScanArgs(t, "dir", &dir)
	d.ScanArgs(t, "prefix", &prefix)
	names, err := mem.List(dir)
	must(t, err)
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		data, err := disk.ReadFile(mem, path.Join(dir, name))
		must(t, err)
		for i := range data {
			data[i] ^= 0x5a
		}
		must(t, disk.WriteFile(mem, path.Join(dir, name), data))
	}
}

// contents lists what is below dir, with bytes on demand. The files of the
// engine are only counted as one, and locks, which are empty, not at all when
// bytes are asked for.
func contents(t *testing.T, fsys disk.FS, dir string, bytes bool) []string {
	t.Helper()
	names, err := fsys.List(dir)
	must(t, err)
	var all []string
	for _, name := range names {
		full := path.Join(dir, name)
		info, err := fsys.Stat(full)
		must(t, err)
		switch {
		case info.IsDir():
			all = append(all, full+"/")
			if bytes || name != "hot" {
				all = append(all, contents(t, fsys, full, bytes)...)
			}
		case !bytes:
			all = append(all, full)
		case name != "LOCK":
			data, err := disk.ReadFile(fsys, full)
			must(t, err)
			all = append(all, fmt.Sprintf("%s %x", full, data))
		}
	}
	return all
}

// TestLocked opens a directory that is held.
func TestLocked(t *testing.T) {
	mem := disk.NewMem()
	s := open(t, mem)
	_, err := store.Open(store.Options{FS: mem, Dir: "data"})
	var refused *store.OpenError
	if !errors.As(err, &refused) || refused.Kind != store.Locked {
		t.Errorf("second open: %v", err)
	}
	put(t, s, 1, true)
	must(t, s.Close())
	s = open(t, mem)
	must(t, s.Close())
}

// TestOpenRefusals refuses one operation after the other while a directory is
// opened for the first time and closed. Each ends in an error that does not
// blame the directory and leaves no lock, or in the fatal call; the next start
// succeeds.
func TestOpenRefusals(t *testing.T) {
	for n := 1; ; n++ {
		mem := disk.NewMem()
		var count atomic.Int64
		fsys := disk.Inject(mem, func(op disk.Op) error {
			if op.Kind != disk.OpClose && count.Add(1) == int64(n) {
				return syscall.EIO
			}
			return nil
		})
		ended := true // unless openAndClose returns
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			err = openAndClose(fsys)
			ended = false
		}()
		<-done
		var refused *store.OpenError
		switch {
		case errors.As(err, &refused):
			t.Errorf("operation %d: %v", n, err)
		case err != nil && !errors.Is(err, syscall.EIO):
			t.Errorf("operation %d: the cause is lost: %v", n, err)
		case !ended:
			lock, lockErr := lockOf(mem)
			must(t, lockErr)
			must(t, lock.Close())
		}
		s := open(t, mem.CrashClone(uint64(n), 50))
		must(t, s.Close())
		if count.Load() < int64(n) {
			return
		}
	}
}

func openAndClose(fsys disk.FS) error {
	s, err := store.Open(store.Options{FS: fsys, Dir: "data", Fatal: func(string, ...any) { runtime.Goexit() }})
	if err != nil {
		return err
	}
	return s.Close()
}

// lockOf takes the lock of the data directory, or one elsewhere when the
// directory was never made.
func lockOf(mem *disk.Mem) (io.Closer, error) {
	lock, err := disk.Lock(mem, "data/LOCK")
	if disk.IsNotExist(err) {
		return disk.Lock(mem, "LOCK")
	}
	return lock, err
}
