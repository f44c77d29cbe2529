package store

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"kalamdb/internal/fault"
	"kalamdb/internal/store/internal/engine"
)

// The sys entries of the archive. The first belongs to whoever commits, the
// second to whoever ships, the third to backups; docs/format/keyspaces.md describes their values.
const (
	sysArchive       = "archive"
	sysArchiveShips  = "archive_shipped"
	sysArchiveBackup = "archive_backup"
)

// The versions of their values, and of those in the log keyspace.
const (
	archiveVersion   = 1
	archiveLength    = 1 + 1 + 16 + 8 + 8
	shipsVersion     = 1
	shipsLength      = 1 + 3*8
	logEntryVersion  = 1
	logEntryOverhead = 1 + 8
)

// ArchiveID names the history of one database. A copy that is restored begins a
// history of its own, with another name.
type ArchiveID [16]byte

// String returns the name in hex.
func (id ArchiveID) String() string { return hex.EncodeToString(id[:]) }

// ArchiveState says what the commits of a database leave for its archive.
type ArchiveState uint8

// The states of an archive. The numbers are stored.
const (
	// ArchiveOff keeps nothing.
	ArchiveOff ArchiveState = 0
	// ArchiveKeeping keeps every commit in the log keyspace until it is shipped.
	ArchiveKeeping ArchiveState = 1
	// ArchiveBroken keeps nothing more: what waited had reached its bound.
	ArchiveBroken ArchiveState = 2
)

// archiveEntry is the value of sysArchive.
type archiveEntry struct {
	state ArchiveState
	id    ArchiveID
	// from is the position behind which all commits are kept, through the one up
	// to which they are, once the archive is broken.
	from, through uint64
}

// ArchiveShips is how far the log has been shipped.
type ArchiveShips struct {
	// Next is the number of the file that is written next; the first is 1.
	Next uint64
	// Through is the last position in the files before it.
	Through uint64
	// Intent is the last position of the file that is being written, or 0. A
	// file of this number and end may be there already, whole.
	Intent uint64
}

// LogEntry is a command that waits to be shipped.
type LogEntry struct {
	// Position is the commit's, Prior that of the commit before it, which may
	// be one that the archive leaves out.
	Position, Prior uint64
	// Command is its bytes.
	Command []byte
}

// Archive is the log keyspace: what commits leave until it has been shipped.
// Keep is for the one goroutine that commits; all else for any.
type Archive struct {
	store *Store
	limit int64
	buf   []byte
	key   []byte

	mu struct {
		sync.Mutex
		archiveEntry
		resume   bool // the next commit begins to keep again
		backup   uint64
		bytes    int64
		commands int64
	}
}

// ArchiveStats are the figures of an archive.
type ArchiveStats struct {
	State ArchiveState
	ID    ArchiveID
	// From is the position behind which all commits are in the archive or wait
	// for it; Through the last one before the archive broke, or 0.
	From, Through uint64
	// Backup is the position of the newest backup of the whole database, or 0.
	Backup uint64
	// Bytes and Commands wait to be shipped.
	Bytes, Commands int64
}

// Archive returns the log keyspace, or nil while no archive is configured.
func (s *Store) Archive() *Archive { return s.archive }

// Stats returns the present figures.
func (a *Archive) Stats() ArchiveStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return ArchiveStats{State: a.mu.state, ID: a.mu.id, From: a.mu.from, Through: a.mu.through, Backup: a.mu.backup, Bytes: a.mu.bytes, Commands: a.mu.commands}
}

// openArchive settles at the start what the archive is: begun where it is
// configured and was not, ended where it is not and was. Commits come after.
func (s *Store) openArchive(restored bool) error {
	entry, known, err := readArchive(s.db)
	if err != nil {
		return err
	}
	if restored && known { // its history goes on elsewhere
		if err := s.commit(func(b *engine.Batch) {
			engine.SysDelete(b, sysArchive)
			engine.SysDelete(b, sysArchiveShips)
			engine.SysDelete(b, sysArchiveBackup)
			engine.DeleteRange(b, logKey(nil, 0), engine.PrefixEnd(logKey(nil, 0)[:1]))
		}); err != nil {
			return err
		}
		entry, known = archiveEntry{}, false
	}
	if s.options.ArchiveBytes <= 0 {
		if !known || entry.state == ArchiveOff {
			return nil
		}
		entry.state = ArchiveOff
		return s.commit(func(b *engine.Batch) {
			engine.SysPut(b, sysArchive, entry.encode())
			engine.DeleteRange(b, logKey(nil, 0), engine.PrefixEnd(logKey(nil, 0)[:1]))
		})
	}
	a := &Archive{store: s, limit: s.options.ArchiveBytes}
	if !known || entry.state == ArchiveOff {
		if !known {
			if _, err := rand.Read(entry.id[:]); err != nil {
				return fmt.Errorf("name the archive: %w", err)
			}
		}
		if entry.from, err = Position(s.db); err != nil {
			return err
		}
		entry.state, entry.through = ArchiveKeeping, 0
		if err := s.commit(func(b *engine.Batch) { engine.SysPut(b, sysArchive, entry.encode()) }); err != nil {
			return err
		}
	}
	a.mu.archiveEntry = entry
	if a.mu.backup, err = sysUintOr(s.db, sysArchiveBackup, 0); err != nil {
		return err
	}
	if err := EachLogged(s.db, 0, func(e LogEntry) bool {
		a.mu.bytes += e.size()
		a.mu.commands++
		return true
	}); err != nil {
		return err
	}
	s.archive = a
	return nil
}

func (e *LogEntry) size() int64 { return int64(len(e.Command) + logEntryOverhead + 9) }

// Keep adds a command to the batch that applies it. encode appends its bytes;
// it is not called when nothing is kept. Beyond the bound the archive breaks, in
// the same batch: from then on nothing is kept.
func (a *Archive) Keep(b *Batch, prior, position uint64, encode func(dst []byte) ([]byte, error)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.state != ArchiveKeeping {
		if !a.mu.resume {
			return nil
		}
		a.mu.state, a.mu.from, a.mu.through = ArchiveKeeping, prior, 0
		engine.SysPut(b.engine, sysArchive, a.mu.encode())
	}
	a.mu.resume = false
	value := binary.BigEndian.AppendUint64(append(a.buf[:0], logEntryVersion), prior)
	value, err := encode(value)
	if err != nil {
		return fmt.Errorf("encode a command for the archive: %w", err)
	}
	if a.buf = value; cap(a.buf) > 1<<20 {
		a.buf = nil
	}
	if a.mu.bytes+int64(len(value)) > a.limit {
		a.mu.state, a.mu.through = ArchiveBroken, prior
		engine.SysPut(b.engine, sysArchive, a.mu.encode())
		return nil
	}
	a.key = logKey(a.key[:0], position)
	engine.Set(b.engine, a.key, value)
	a.mu.bytes += int64(len(value) + len(a.key))
	a.mu.commands++
	return nil
}

// Resume lets a broken archive keep the commits that come after the next one
// that is proposed, and reports whether it is one that can: what was kept before
// must have been shipped, for there is a gap behind it.
func (a *Archive) Resume() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.resume = a.mu.state == ArchiveBroken && a.mu.commands == 0
	return a.mu.resume
}

// BackedUp notes durably that there is a backup of the whole database.
func (a *Archive) BackedUp(position uint64) error {
	if err := a.store.commit(func(b *engine.Batch) { putUint(b, sysArchiveBackup, position) }); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.backup = max(a.mu.backup, position)
	return nil
}

// Ships reads how far the log has been shipped.
func (a *Archive) Ships() (ArchiveShips, error) { return readShips(a.store.db) }

// Intend says durably that a file up to a position is about to be written. All
// commits up to there are durable then, relaxed ones too, so that the archive
// never holds what a crash takes back.
func (a *Archive) Intend(ships ArchiveShips) error { return a.putShips(ships, 0, 0, 0) }

// Shipped says durably that a file is in the archive, and drops what it holds.
func (a *Archive) Shipped(ships ArchiveShips, bytes, commands int64) error {
	return a.putShips(ships, ships.Through, bytes, commands)
}

func (a *Archive) putShips(ships ArchiveShips, drop uint64, bytes, commands int64) error {
	err := a.store.commit(func(b *engine.Batch) {
		engine.SysPut(b, sysArchiveShips, ships.encode())
		if drop > 0 {
			engine.DeleteRange(b, logKey(nil, 0), logKey(nil, drop+1))
		}
	})
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.bytes -= bytes
	a.mu.commands -= commands
	return nil
}

// Size returns what an entry counts for in Stats.
func (e *LogEntry) Size() int64 { return e.size() }

// EachLogged visits the commands that wait behind a position, in order, until
// visit returns false.
func EachLogged(r Reader, after uint64, visit func(LogEntry) bool) (err error) {
	_, upper := engine.KeyspaceBounds(engine.KeyspaceLog)
	it, err := engine.NewIter(r, logKey(nil, after+1), upper)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		key := it.Key()
		value, err := it.Value()
		if err != nil {
			return err
		}
		if len(key) != 9 || len(value) < logEntryOverhead || value[0] != logEntryVersion {
			return fmt.Errorf("read the log of commands: %w", errSys)
		}
		if !visit(LogEntry{
			Position: binary.BigEndian.Uint64(key[1:]), Prior: binary.BigEndian.Uint64(value[1:]), Command: value[logEntryOverhead:],
		}) {
			return nil
		}
	}
	return it.Error()
}

// ArchiveIDOf returns the name of the history that a state belongs to, if it has
// ever been archived.
func ArchiveIDOf(r Reader) (ArchiveID, bool, error) {
	entry, known, err := readArchive(r)
	return entry.id, known, err
}

func logKey(dst []byte, position uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, engine.KeyspaceLog), position)
}

func (e *archiveEntry) encode() []byte {
	value := append([]byte{archiveVersion, byte(e.state)}, e.id[:]...)
	value = binary.BigEndian.AppendUint64(value, e.from)
	return binary.BigEndian.AppendUint64(value, e.through)
}

func readArchive(r Reader) (e archiveEntry, known bool, err error) {
	value, known, err := engine.SysGet(r, sysArchive)
	if err != nil || !known {
		return e, false, err
	}
	if e, known = decodeArchive(value); !known {
		return e, false, fmt.Errorf("read %s: %w", sysArchive, errSys)
	}
	return e, true, nil
}

func decodeArchive(value []byte) (e archiveEntry, ok bool) {
	if len(value) != archiveLength || value[0] != archiveVersion || value[1] > byte(ArchiveBroken) {
		return e, false
	}
	e.state = ArchiveState(value[1])
	copy(e.id[:], value[2:18])
	e.from, e.through = binary.BigEndian.Uint64(value[18:]), binary.BigEndian.Uint64(value[26:])
	return e, true
}

func (s *ArchiveShips) encode() []byte {
	value := []byte{shipsVersion}
	for _, n := range [...]uint64{s.Next, s.Through, s.Intent} {
		value = binary.BigEndian.AppendUint64(value, n)
	}
	return value
}

func readShips(r Reader) (ArchiveShips, error) {
	value, known, err := engine.SysGet(r, sysArchiveShips)
	if err != nil || !known {
		return ArchiveShips{Next: 1}, err
	}
	s, ok := decodeShips(value)
	if !ok {
		return s, fmt.Errorf("read %s: %w", sysArchiveShips, errSys)
	}
	return s, nil
}

func decodeShips(value []byte) (s ArchiveShips, ok bool) {
	if len(value) != shipsLength || value[0] != shipsVersion {
		return s, false
	}
	for i, n := range [...]*uint64{&s.Next, &s.Through, &s.Intent} {
		*n = binary.BigEndian.Uint64(value[1+8*i:])
	}
	return s, s.Next > 0
}

// ArchiveLag is how long ago a position was given out, 0 when it lies ahead.
func ArchiveLag(oldest uint64, now time.Time) time.Duration {
	return max(0, now.Sub(PositionTime(oldest)))
}

// String returns the state as operators read it.
func (s ArchiveState) String() string {
	switch s {
	case ArchiveOff:
		return "off"
	case ArchiveKeeping:
		return "keeping"
	case ArchiveBroken:
		return "broken"
	}
	fault.Assert(false, "state %d of an archive", uint8(s))
	return ""
}
