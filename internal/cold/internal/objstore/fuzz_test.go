package objstore

import (
	"path"
	"strings"
	"testing"

	"kalamdb/internal/disk"
)

// FuzzName: an object of any name is refused, or is written, read, listed and
// removed below the base of its storage, and nothing else is touched.
func FuzzName(f *testing.F) {
	for _, name := range []string{"app/t/batch-1.parquet", "../x", "a/../../x", "/etc", "", ".", "a//b", "..a/..b", "a\x00b", "a/", "~", "%2e%2e/x"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		mem := disk.NewMem()
		if err := disk.WriteFile(mem, "other", []byte("untouched")); err != nil {
			t.Fatal(err)
		}
		s := NewFilesystem(mem, "data/storage")
		full, err := s.full(name)
		if err != nil {
			return
		}
		if !strings.HasPrefix(full, "data/storage/") || path.Clean(full) != full {
			t.Fatalf("%q is %q", name, full)
		}
		if err := s.Put(name, []byte("x")); err != nil {
			return // such as a name that the file system does not take
		}
		if data, err := s.Get(name); err != nil || string(data) != "x" {
			t.Fatalf("%q is read as %q, %v", name, data, err)
		}
		if err := s.Remove(name); err != nil {
			t.Fatalf("remove %q: %v", name, err)
		}
		if text, err := disk.ReadFile(mem, "other"); err != nil || string(text) != "untouched" {
			t.Fatalf("%q touches what is not its own: %q, %v", name, text, err)
		}
	})
}
