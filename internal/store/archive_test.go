package store

import (
	"bytes"
	"testing"

	"kalamdb/internal/disk"
)

// The entries of the archive have these bytes; docs/format/keyspaces.md.
func TestArchiveEntriesGolden(t *testing.T) {
	entry := archiveEntry{state: ArchiveBroken, id: ArchiveID{1, 2, 15: 16}, from: 5, through: 6}
	want := append([]byte{1, 2, 1, 2, 15 + 2: 16}, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6)
	if got := entry.encode(); !bytes.Equal(got, want) {
		t.Errorf("archive is %x", got)
	}
	if got, ok := decodeArchive(want); !ok || got != entry {
		t.Errorf("archive reads as %+v", got)
	}
	ships := ArchiveShips{Next: 1, Through: 2, Intent: 3}
	want = []byte{1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3}
	if got := ships.encode(); !bytes.Equal(got, want) {
		t.Errorf("archive_shipped is %x", got)
	}
	if got, ok := decodeShips(want); !ok || got != ships {
		t.Errorf("archive_shipped reads as %+v", got)
	}
	if got := logKey(nil, 258); !bytes.Equal(got, []byte{'w', 0, 0, 0, 0, 0, 0, 1, 2}) {
		t.Errorf("a key of the log is %x", got)
	}
}

// Without an archive there is nothing to ask and nothing is written; one that is
// turned off leaves nothing behind.
func TestArchiveOffAndOn(t *testing.T) {
	mem := disk.NewMem()
	open := func(bytes int64) *Store {
		t.Helper()
		s, err := Open(Options{FS: mem, Dir: "/d", ArchiveBytes: bytes})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(0)
	if s.Archive() != nil {
		t.Error("there is an archive")
	}
	if _, known, err := ArchiveIDOf(s.Reader()); known || err != nil {
		t.Errorf("the directory has a history: %v", err)
	}
	keep := func(s *Store, position uint64) {
		t.Helper()
		b := s.NewBatch()
		defer b.Close()
		err := s.Archive().Keep(b, position-1, position, func(dst []byte) ([]byte, error) { return append(dst, "command"...), nil })
		if err == nil {
			err = b.Commit(true)
		}
		if err == nil {
			err = b.Wait()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	waiting := func(s *Store) (n int) {
		t.Helper()
		if err := EachLogged(s.Reader(), 0, func(e LogEntry) bool {
			if string(e.Command) != "command" || e.Prior != e.Position-1 {
				t.Errorf("the log holds %+v", e)
			}
			n++
			return true
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	closed := func(s *Store) {
		t.Helper()
		s.Recovered()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	closed(s)
	s = open(1 << 20)
	id := s.Archive().Stats().ID
	for p := uint64(10); p < 20; p++ {
		keep(s, p)
	}
	before := s.Archive().Stats()
	closed(s)
	s = open(1 << 20)
	if now := s.Archive().Stats(); now != before || waiting(s) != 10 {
		t.Errorf("after a restart the figures are %+v, not %+v, and %d wait", now, before, waiting(s))
	}
	if err := s.Archive().Shipped(ArchiveShips{Next: 2, Through: 14}, before.Bytes/2, 5); err != nil || waiting(s) != 5 {
		t.Errorf("after half was shipped %d wait, %v", waiting(s), err)
	}
	closed(s)
	s = open(0)
	if n := waiting(s); n != 0 || s.Archive() != nil {
		t.Errorf("turned off it leaves %d commands", n)
	}
	closed(s)
	s = open(1 << 20)
	if now := s.Archive().Stats(); now.ID != id || now.State != ArchiveKeeping || now.Commands != 0 {
		t.Errorf("turned on again the figures are %+v", now)
	}
	if ships, err := s.Archive().Ships(); err != nil || ships.Next != 2 {
		t.Errorf("the next file has number %d, %v", ships.Next, err)
	}
	closed(s)
}
