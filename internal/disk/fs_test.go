package disk_test

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"kalamdb/internal/disk"
)

// TestFS asks the same of both file systems.
func TestFS(t *testing.T) {
	f := func(name string, fsys disk.FS, dir string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			must(t, disk.MakeDir(fsys, dir+"/a/b"))
			t.Run("files", func(t *testing.T) { testFiles(t, fsys, dir) })
			t.Run("names", func(t *testing.T) { testNames(t, fsys, dir) })
			t.Run("locks", func(t *testing.T) { testLocks(t, fsys, dir) })
		})
	}
	f("real", disk.Real(), t.TempDir())
	f("mem", disk.NewMem(), "/some/where")
	f("injected", disk.Inject(disk.NewMem(), func(disk.Op) error { return nil }), "/some/where")
}

func testFiles(t *testing.T, fsys disk.FS, dir string) {
	name := dir + "/a/f"
	f, err := fsys.Open(name, disk.ModeCreate)
	must(t, err)
	must(t, disk.Preallocate(f, 0, 1<<16))
	write(t, f, []byte("hello"))
	must(t, disk.WriteBack(f, 5))
	must(t, f.Sync())
	info, err := f.Stat()
	must(t, err)
	if info.Size() != 5 || info.IsDir() || info.Name() != "f" || info.ModTime().IsZero() {
		t.Errorf("stat: %v bytes, directory %v, name %q", info.Size(), info.IsDir(), info.Name())
	}
	must(t, f.Close())

	f, err = fsys.Open(name, disk.ModeWrite)
	must(t, err)
	_, err = f.WriteAt([]byte("LO there"), 3)
	must(t, err)
	p := make([]byte, 20)
	n, err := f.ReadAt(p, 3)
	if string(p[:n]) != "LO there" || err != io.EOF {
		t.Errorf("read at 3: %q, %v", p[:n], err)
	}
	must(t, disk.Prefetch(f, 0, 3))
	data, err := io.ReadAll(f)
	if string(data) != "helLO there" || err != nil {
		t.Errorf("read all: %q, %v", data, err)
	}
	must(t, f.Close())
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("a closed file was written")
	}

	r, err := disk.Open(fsys, name)
	must(t, err)
	if _, err := r.Write([]byte("x")); err == nil {
		t.Error("a file open for reading was written")
	}
	// A new file in its place leaves the reader the old one.
	must(t, disk.WriteFile(fsys, name, []byte("other")))
	if data, err := io.ReadAll(r); string(data) != "helLO there" || err != nil {
		t.Errorf("read the replaced file: %q, %v", data, err)
	}
	must(t, r.Close())
	if _, err := disk.Open(fsys, dir+"/none"); !disk.IsNotExist(err) {
		t.Errorf("open a missing file: %v", err)
	}
}

func testNames(t *testing.T, fsys disk.FS, dir string) {
	list := func(want ...string) {
		t.Helper()
		got, err := fsys.List(dir + "/a/b")
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("list: %q, %v; want %q", got, err, want)
		}
	}
	at := dir + "/a/b/"
	must(t, disk.WriteFile(fsys, at+"two", []byte("2")))
	must(t, disk.WriteFile(fsys, at+"one", []byte("1")))
	list("one", "two")
	must(t, fsys.Link(at+"one", at+"uno"))
	if err := fsys.Link(at+"one", at+"two"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("link over a file: %v", err)
	}
	must(t, fsys.Rename(at+"two", at+"one"))
	list("one", "uno")
	if data, err := disk.ReadFile(fsys, at+"uno"); string(data) != "1" || err != nil {
		t.Errorf("the linked file holds %q, %v", data, err)
	}
	if err := fsys.Remove(dir + "/a/b"); err == nil {
		t.Error("a directory with files was removed")
	}
	must(t, disk.MakeDir(fsys, at+"deep/er"))
	must(t, disk.Empty(fsys, dir+"/a/b"))
	list()
	must(t, disk.RemoveAll(fsys, dir+"/a/b"))
	must(t, disk.RemoveAll(fsys, dir+"/a/b"))
	if ok, err := disk.Exists(fsys, dir+"/a/b"); ok || err != nil {
		t.Errorf("removed directory exists: %v, %v", ok, err)
	}
	if err := fsys.Remove(dir + "/a/b"); !disk.IsNotExist(err) {
		t.Errorf("remove a missing file: %v", err)
	}
	if free, total, err := fsys.Usage(dir); err != nil || free == 0 || total < free {
		t.Errorf("usage: %d free of %d, %v", free, total, err)
	}
}

func testLocks(t *testing.T, fsys disk.FS, dir string) {
	first, err := disk.Lock(fsys, dir+"/LOCK")
	must(t, err)
	if _, err := disk.Lock(fsys, dir+"/LOCK"); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	must(t, first.Close())
	again, err := disk.Lock(fsys, dir+"/LOCK")
	must(t, err)
	must(t, again.Close())
}

// TestMemConcurrent lets many goroutines write, sync, list and clone at once.
func TestMemConcurrent(t *testing.T) {
	m := disk.NewMem()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := string(rune('a' + i))
			for range 50 {
				if err := disk.WriteFile(m, name, []byte(name+name)); err != nil {
					t.Error(err)
				}
				data, err := disk.ReadFile(m.CrashClone(uint64(i), 30), name)
				if err != nil || string(data) != name+name {
					t.Errorf("clone holds %q, %v", data, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestInject refuses one kind of operation and sees the others.
func TestInject(t *testing.T) {
	refused := errors.New("refused")
	seen := map[disk.OpKind]int{}
	m := disk.NewMem()
	fsys := disk.Inject(m, func(op disk.Op) error {
		seen[op.Kind] += 1 + op.Bytes
		if op.Kind == disk.OpSync && op.Path == "f.tmp" {
			return refused
		}
		return nil
	})
	if err := disk.WriteFile(fsys, "f", []byte("four")); !errors.Is(err, refused) {
		t.Errorf("write with refused sync: %v", err)
	}
	if names, _ := m.List("/"); len(names) != 0 {
		t.Errorf("left behind: %q", names)
	}
	for kind, want := range map[disk.OpKind]int{
		disk.OpCreate: 1, disk.OpWrite: 5, disk.OpSync: 1, disk.OpClose: 1, disk.OpRemove: 1, disk.OpRename: 0,
	} {
		if seen[kind] != want {
			t.Errorf("%s: seen %d, want %d", kind, seen[kind], want)
		}
	}
}
