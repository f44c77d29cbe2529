package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/disk"
)

// TestMem runs the scripts of testdata/mem. Each command works on one disk:
//
//	run            a line per operation; prints what differs from success
//	tree           every file with its bytes
//	crash seed= percent=   goes on with the crash clone
func TestMem(t *testing.T) {
	datadriven.Walk(t, "testdata/mem", func(t *testing.T, file string) {
		s := &script{fs: disk.NewMem(), open: map[string]disk.File{}}
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "run":
				return s.run(d.Input)
			case "tree":
				return tree(t, s.fs, "/")
			case "crash":
				var seed, percent int
				d.MaybeScanArgs(t, "seed", &seed)
				d.MaybeScanArgs(t, "percent", &percent)
				s.fs = s.fs.CrashClone(uint64(seed), percent)
				s.open = map[string]disk.File{}
				return tree(t, s.fs, "/")
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

// script is one disk and its open files by name.
type script struct {
	fs   *disk.Mem
	open map[string]disk.File
}

func (s *script) run(input string) string {
	var out strings.Builder
	for line := range strings.Lines(input) {
		line = strings.TrimSpace(line)
		if text, err := s.step(strings.Fields(line)); err != nil {
			fmt.Fprintf(&out, "%s: %v\n", line, err)
		} else if text != "" {
			fmt.Fprintf(&out, "%s: %s\n", line, text)
		}
	}
	return out.String()
}

func (s *script) step(words []string) (string, error) {
	name := words[1]
	switch words[0] {
	case "mkdir":
		return "", s.fs.MkdirAll(name)
	case "create", "write-in-place", "read", "lock":
		mode := map[string]disk.Mode{
			"create": disk.ModeCreate, "write-in-place": disk.ModeWrite, "read": disk.ModeRead, "lock": disk.ModeLock,
		}[words[0]]
		f, err := s.fs.Open(name, mode)
		if err == nil {
			s.open[name] = f
		}
		return "", err
	case "put": // put name bytes: appends where the file stands
		_, err := s.open[name].Write([]byte(words[2]))
		return "", err
	case "put-at": // put-at name offset bytes
		offset, _ := strconv.ParseInt(words[2], 10, 64)
		_, err := s.open[name].WriteAt([]byte(words[3]), offset)
		return "", err
	case "get":
		data, err := io.ReadAll(s.open[name])
		return string(data), err
	case "sync":
		return "", s.open[name].Sync()
	case "close":
		return "", s.open[name].Close()
	case "sync-dir":
		return "", disk.SyncDir(s.fs, name)
	case "remove":
		return "", s.fs.Remove(name)
	case "remove-all":
		return "", disk.RemoveAll(s.fs, name)
	case "rename":
		return "", s.fs.Rename(name, words[2])
	case "link":
		return "", s.fs.Link(name, words[2])
	case "write-file":
		return "", disk.WriteFile(s.fs, name, []byte(words[2]))
	case "make-dir":
		return "", disk.MakeDir(s.fs, name)
	case "free":
		n, _ := strconv.ParseUint(name, 10, 64)
		s.fs.SetFree(n)
		return "", nil
	case "usage":
		free, _, err := s.fs.Usage(name)
		return strconv.FormatUint(free, 10), err
	}
	return "", fmt.Errorf("unknown operation %s", words[0])
}

// tree lists every file below dir with its bytes.
func tree(t *testing.T, fsys disk.FS, dir string) string {
	t.Helper()
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, name := range names {
		full := path.Join(dir, name)
		info, err := fsys.Stat(full)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			fmt.Fprintf(&out, "%s/\n%s", full, tree(t, fsys, full))
			continue
		}
		data, err := disk.ReadFile(fsys, full)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(data)) != info.Size() {
			t.Errorf("%s has size %d and %d bytes", full, info.Size(), len(data))
		}
		fmt.Fprintf(&out, "%s %q\n", full, data)
	}
	return out.String()
}

// TestCrashCloneKeepsSectors writes over synced sectors and beyond them, and
// checks that a clone has each sector old or new as a whole, both kinds among
// many seeds, and that it shares no byte with the disk it came from.
func TestCrashCloneKeepsSectors(t *testing.T) {
	const sector, sectors = 512, 6
	m := disk.NewMem()
	f, err := m.Open("f", disk.ModeCreate)
	must(t, err)
	old := bytes.Repeat([]byte{'o'}, 4*sector)
	fresh := bytes.Repeat([]byte{'n'}, sectors*sector)
	write(t, f, old)
	must(t, f.Sync())
	must(t, disk.SyncDir(m, "/"))
	_, err = f.WriteAt(fresh, 0)
	must(t, err)

	var kept, lost, longer int
	for seed := range uint64(50) {
		data, err := disk.ReadFile(m.CrashClone(seed, 50), "f")
		must(t, err)
		if len(data) < len(old) {
			t.Fatalf("seed %d: synced length %d shrank to %d", seed, len(old), len(data))
		}
		if len(data) > len(old) {
			longer++
		}
		for i := 0; i < len(data); i += sector {
			part := data[i : i+sector]
			switch {
			case bytes.Equal(part, fresh[:sector]):
				kept++
			case bytes.Equal(part, old[:sector]), i >= len(old) && bytes.Equal(part, make([]byte, sector)):
				lost++
			default:
				t.Fatalf("seed %d: sector %d is torn", seed, i/sector)
			}
		}
	}
	if kept == 0 || lost == 0 || longer == 0 {
		t.Errorf("kept %d, lost %d, longer %d: every outcome must occur", kept, lost, longer)
	}

	clone := m.CrashClone(1, 100)
	must(t, f.Sync())
	_, err = f.WriteAt([]byte("later"), 0)
	must(t, err)
	data, err := disk.ReadFile(clone, "f")
	must(t, err)
	if !bytes.Equal(data, fresh) {
		t.Error("a write to the disk reached its clone")
	}
}

// TestCrashCloneRepeats checks that a seed decides all.
func TestCrashCloneRepeats(t *testing.T) {
	m := disk.NewMem()
	for i := range 20 {
		f, err := m.Open(fmt.Sprintf("f%d", i), disk.ModeCreate)
		must(t, err)
		write(t, f, bytes.Repeat([]byte{byte('a' + i)}, 3000))
		must(t, f.Close())
	}
	first := tree(t, m.CrashClone(7, 50), "/")
	if again := tree(t, m.CrashClone(7, 50), "/"); again != first {
		t.Error("the same seed made another clone")
	}
	if first == tree(t, m.CrashClone(8, 50), "/") {
		t.Error("another seed made the same clone")
	}
	if got := tree(t, m.CrashClone(7, 0), "/"); got != "" {
		t.Errorf("nothing was synced, but the clone holds %s", got)
	}
	if tree(t, m.CrashClone(7, 100), "/") != tree(t, m, "/") {
		t.Error("a clone that keeps all differs from the disk")
	}
}

// TestWriteFileIsAtomic cuts the power at every operation of a replacement.
func TestWriteFileIsAtomic(t *testing.T) {
	for stop := 0; ; stop++ {
		m := disk.NewMem()
		must(t, disk.WriteFile(m, "f", []byte("old")))
		count := 0
		cut := errors.New("cut off")
		fsys := disk.Inject(m, func(disk.Op) error {
			if count++; count > stop {
				return cut
			}
			return nil
		})
		err := disk.WriteFile(fsys, "f", []byte("new"))
		for seed := range uint64(10) {
			data, readErr := disk.ReadFile(m.CrashClone(seed, 50), "f")
			must(t, readErr)
			text := string(data)
			if text != "new" && (text != "old" || err == nil) {
				t.Fatalf("stopped after %d operations with %v: the file holds %q", stop, err, text)
			}
		}
		if err == nil {
			return
		}
	}
}

func TestMemFull(t *testing.T) {
	m := disk.NewMem()
	f, err := m.Open("f", disk.ModeCreate)
	must(t, err)
	m.SetFree(10)
	write(t, f, []byte("0123456789"))
	_, err = f.Write([]byte("x"))
	if !disk.IsFull(err) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write beyond the end of the disk: %v", err)
	}
	_, err = f.WriteAt([]byte("ab"), 0)
	must(t, err) // takes no room
	must(t, m.Remove("f"))
	if free, _, _ := m.Usage("/"); free != 0 {
		t.Errorf("an open file gave back %d bytes", free)
	}
	must(t, f.Close())
	if free, _, _ := m.Usage("/"); free != 10 {
		t.Errorf("%d bytes are free after the file went, not 10", free)
	}
}

func write(t *testing.T, f disk.File, p []byte) {
	t.Helper()
	if n, err := f.Write(p); err != nil || n != len(p) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(p), err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
