package backup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"kalamdb/internal/cold"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
)

// The names in an archive.
const (
	archiveName   = "archive.json"
	stretchSuffix = ".commands"
	archiveKind   = "kalamdb-archive"
)

// Archive is the folder that the commands of one database are shipped to.
type Archive struct {
	text   string
	folder *cold.Folder
}

// NewArchive returns the archive in a folder, which text names to people.
func NewArchive(folder *cold.Folder, text string) *Archive { return &Archive{text, folder} }

// LocateArchive finds the archive that a text names: a path of this machine, or
// a URL below the base of a storage.
func LocateArchive(tier *cold.Tier, text, dataDir string, storages iter.Seq[*schema.Storage]) (*Archive, error) {
	t, err := Locate(tier, text, dataDir, storages)
	if err != nil {
		return nil, err
	}
	if t.archive != "" {
		return nil, fault.New(fault.InvalidParameter, "'%s' is no folder of an archive", text)
	}
	return &Archive{text, t.folder}, nil
}

// Text is how the place was written.
func (a *Archive) Text() string { return a.text }

// owner is the text of archive.json.
type owner struct {
	Kind    string `json:"kind"`
	Version int    `json:"version"`
	ID      string `json:"id"`
}

// Claim makes the folder an archive of one history, and refuses one that belongs
// to another.
func (a *Archive) Claim(id store.ArchiveID) error {
	known, some, err := a.owner()
	if err != nil {
		return err
	}
	if some {
		if known != id.String() {
			return fault.New(fault.InvalidOperation, "the archive at '%s' belongs to another database (%s); give this one (%s) a folder of its own with archive.folder", a.text, known, id)
		}
		return nil
	}
	if err := a.folder.Make(); err != nil {
		return fmt.Errorf("make the archive at '%s': %w", a.text, err)
	}
	text, err := json.Marshal(owner{archiveKind, 1, id.String()})
	if err != nil {
		return fmt.Errorf("encode %s: %w", archiveName, err)
	}
	if err := a.folder.Put(archiveName, text); err != nil {
		return fmt.Errorf("write %s to the archive: %w", archiveName, err)
	}
	// Of two that come at once, the second one has written last.
	if known, _, err = a.owner(); err == nil && known != id.String() {
		err = fault.New(fault.InvalidOperation, "the archive at '%s' was just taken by another database (%s)", a.text, known)
	}
	return err
}

func (a *Archive) owner() (id string, some bool, err error) {
	text, err := a.folder.Get(archiveName)
	if disk.IsNotExist(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read %s of the archive at '%s': %w", archiveName, a.text, err)
	}
	var o owner
	if json.Unmarshal(text, &o) != nil || o.Kind != archiveKind || len(o.ID) != 2*len(store.ArchiveID{}) {
		return "", false, fault.New(fault.InvalidParameter, "%s at '%s' is damaged, or of something else", archiveName, a.text)
	}
	if o.Version != 1 {
		return "", false, fault.New(fault.InvalidParameter, "the archive at '%s' has version %d; this server reads version 1", a.text, o.Version)
	}
	return o.ID, true, nil
}

// Ship writes a file and reads it back. One that is there already with the same
// bytes, from before a crash, is left; any other is of a second server.
func (a *Archive) Ship(s *Stretch) (size int64, err error) {
	raw, err := s.encode()
	if err != nil {
		return 0, err
	}
	name := stretchName(s.Number)
	there, err := a.read(name)
	switch {
	case err == nil && bytes.Equal(there, raw):
		return int64(len(raw)), nil
	case err == nil:
		if old, broken := decodeStretch(there); broken == nil {
			if s.equal(old) { // an older server has packed it
				return int64(len(there)), nil
			}
			return 0, fault.New(fault.InvalidOperation, "file %s is in the archive at '%s' already, with commits up to position %d: a second server writes there", name, a.text, old.Through)
		}
	case !disk.IsNotExist(err):
		return 0, fmt.Errorf("look for %s in the archive: %w", name, err)
	}
	if _, err := a.folder.Write(name, bytes.NewReader(raw)); err != nil {
		return 0, fmt.Errorf("write %s to the archive: %w", name, err)
	}
	if there, err = a.read(name); err != nil {
		return 0, fmt.Errorf("read %s of the archive back: %w", name, err)
	}
	if !bytes.Equal(there, raw) {
		return 0, fmt.Errorf("read %s of the archive back: %w", name, errDamaged)
	}
	return int64(len(raw)), nil
}

// read reads a file as a whole.
func (a *Archive) read(name string) ([]byte, error) {
	f, size, err := a.folder.Read(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it is only read
	if size > stretchMost {
		return nil, errStretch
	}
	return io.ReadAll(f)
}

func stretchName(number uint64) string { return fmt.Sprintf("%016x%s", number, stretchSuffix) }

// numbers returns the numbers of the files in order.
func (a *Archive) numbers() ([]uint64, error) {
	names, err := a.folder.List(".")
	if err != nil && !disk.IsNotExist(err) {
		return nil, fmt.Errorf("list the archive at '%s': %w", a.text, err)
	}
	var all []uint64
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, stretchSuffix)
		if n, err := strconv.ParseUint(digits, 16, 64); ok && err == nil && name == stretchName(n) {
			all = append(all, n)
		}
	}
	return all, nil
}

// open reads one file and checks that it is what its name says.
func (a *Archive) open(number uint64, id store.ArchiveID) (*Stretch, error) {
	name := stretchName(number)
	raw, err := a.read(name)
	if err == nil {
		var s *Stretch
		if s, err = decodeStretch(raw); err == nil {
			switch {
			case s.ID != id:
				return nil, fault.New(fault.InvalidParameter, "file %s of the archive at '%s' is of another database (%s)", name, a.text, s.ID)
			case s.Number != number:
				return nil, fault.New(fault.InvalidParameter, "file %s of the archive at '%s' holds what belongs to %s", name, a.text, stretchName(s.Number))
			}
			return s, nil
		}
	}
	return nil, fault.Wrap(fault.InvalidParameter, err, "file %s of the archive at '%s' cannot be read: %v", name, a.text, err)
}

// Replay is the commands of an archive behind a position.
type Replay struct {
	archive *Archive
	id      store.ArchiveID
	numbers []uint64
	until   uint64
	at      uint64 // everything up to here has been given out
	rest    []store.LogEntry
	last    uint64 // the last position in the archive's files so far
	over    bool
}

// Replay begins to read commands behind the position of a backup, up to a
// position. id is the history that the backup belongs to.
func (a *Archive) Replay(id store.ArchiveID, from, until uint64) (*Replay, error) {
	if known, some, err := a.owner(); err != nil {
		return nil, err
	} else if !some {
		return nil, fault.New(fault.ObjectNotFound, "there is no archive at '%s': %s is missing", a.text, archiveName)
	} else if known != id.String() {
		return nil, fault.New(fault.InvalidParameter, "the archive at '%s' is of another database (%s) than the backup (%s)", a.text, known, id)
	}
	numbers, err := a.numbers()
	if err != nil {
		return nil, err
	}
	if len(numbers) == 0 {
		return nil, fault.New(fault.InvalidParameter, "the archive at '%s' holds no commits yet", a.text)
	}
	r := &Replay{archive: a, id: id, until: until, at: from}
	// The file that goes beyond the backup: their ends rise with their numbers.
	low, high := 0, len(numbers)
	for low < high {
		middle := (low + high) / 2
		s, err := a.open(numbers[middle], id)
		if err != nil {
			return nil, err
		}
		if r.last = max(r.last, s.Through); s.Through > from {
			high = middle
		} else {
			low = middle + 1
		}
	}
	r.numbers = numbers[low:]
	return r, nil
}

// Last is the last position that was seen in the archive.
func (r *Replay) Last() uint64 { return r.last }

// Next returns the next command, or false at the end. A file that is missing or
// damaged is named.
func (r *Replay) Next() (store.LogEntry, bool, error) {
	for {
		for len(r.rest) > 0 {
			e := r.rest[0]
			r.rest = r.rest[1:]
			if e.Position > r.until {
				r.over = true
				return store.LogEntry{}, false, nil
			}
			if e.Position > r.at {
				r.at = e.Position
				return e, true, nil
			}
		}
		if r.over || len(r.numbers) == 0 {
			return store.LogEntry{}, false, nil
		}
		if err := r.load(); err != nil {
			return store.LogEntry{}, false, err
		}
	}
}

// load reads the next file, which must begin where the one before has ended.
func (r *Replay) load() error {
	s, err := r.archive.open(r.numbers[0], r.id)
	if err != nil {
		return err
	}
	if r.at == r.until {
		r.over = true // what may be missing comes after what is asked for
		return nil
	}
	if s.From > r.at {
		return fault.New(fault.InvalidParameter, "the archive at '%s' has a gap: the commits behind position %d (%s), up to %d (%s), are in no file before %s",
			r.archive.text, r.at, when(r.at), s.From, when(s.From), stretchName(s.Number))
	}
	r.numbers = r.numbers[1:]
	r.rest, r.last = s.Entries, max(r.last, s.Through)
	return nil
}

// when tells the time of a position.
func when(position uint64) string {
	return store.PositionTime(position).UTC().Format("2006-01-02T15:04:05.000Z")
}
