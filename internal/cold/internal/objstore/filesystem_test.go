package objstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kalamdb/internal/disk"
)

// An object is there as a whole or not at all, whichever step is refused.
func TestRefusedSteps(t *testing.T) {
	refused := errors.New("refused by the test")
	for _, step := range []string{"create", "write", "sync", "rename"} {
		mem := disk.NewMem()
		on := false
		fs := disk.Inject(mem, func(op disk.Op) error {
			if on && strings.Contains(op.Path, "object") && strings.Contains(fmt.Sprint(op.Kind), step) {
				return refused
			}
			return nil
		})
		s := NewFilesystem(fs, "/base")
		if err := s.Put("a/object", []byte("old")); err != nil {
			t.Fatal(err)
		}
		on = true
		err := s.Put("a/object", []byte("new"))
		on = false
		if step != "create" && !errors.Is(err, refused) {
			t.Errorf("%s: put says %v", step, err)
		}
		if data, err := s.Get("a/object"); err != nil || err == nil && string(data) != "old" && step != "create" {
			t.Errorf("%s: the object says %q, %v", step, data, err)
		}
		if names, err := s.List("a"); err != nil || len(names) != 1 {
			t.Errorf("%s: the folder holds %q, %v", step, names, err)
		}
	}
}

// What Finish has returned for survives a power cut, folders included, also
// after the folder was removed and made anew.
func TestDurableFolders(t *testing.T) {
	mem := disk.NewMem()
	s := NewFilesystem(mem, "/data/storage")
	for round := range 3 {
		if err := s.Put("x/y/z/object", []byte{byte(round)}); err != nil {
			t.Fatal(err)
		}
		clone := NewFilesystem(mem.CrashClone(uint64(round), 0), "/data/storage")
		if data, err := clone.Get("x/y/z/object"); err != nil || data[0] != byte(round) {
			t.Errorf("round %d: after a power cut %v, %v", round, data, err)
		}
		if err := s.Remove("x/y/z/object"); err != nil {
			t.Fatal(err)
		}
		clone = NewFilesystem(mem.CrashClone(uint64(round), 0), "/data/storage")
		if _, err := clone.Get("x/y/z/object"); !disk.IsNotExist(err) {
			t.Errorf("round %d: after a power cut the removed object is back: %v", round, err)
		}
		if ok, _ := disk.Exists(mem, "/data/storage/x"); ok {
			t.Errorf("round %d: empty folders remain", round)
		}
	}
	if ok, err := disk.Exists(mem, "/data/storage"); err != nil || !ok {
		t.Errorf("the base is gone: %v", err)
	}
	if err := s.Remove("x/none"); err != nil {
		t.Errorf("removing nothing: %v", err)
	}
	if names, err := s.List("nowhere"); err != nil || names != nil {
		t.Errorf("listing nothing: %q, %v", names, err)
	}
}

func TestAbort(t *testing.T) {
	mem := disk.NewMem()
	s := NewFilesystem(mem, "/base")
	u, err := s.Create("a/b/object")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	u.Abort()
	u.Abort()
	if names, err := s.List("."); err != nil || len(names) != 0 {
		t.Errorf("%q remain, %v", names, err)
	}
}
