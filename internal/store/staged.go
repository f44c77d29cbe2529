package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"kalamdb/internal/disk"
	"kalamdb/internal/store/internal/engine"
)

// The names of what a restore leaves for the next start. READY is written last
// and removed last: with it, the start puts the staged copy in the place of what
// is there; without it, the copy is not complete and is removed.
const (
	stagedName   = "restore"
	readyName    = "READY"
	clearedName  = "CLEARED"
	replacedName = "replaced"
	storageName  = "storage"
	restoredName = "restored"
)

// OutsideName is the folder in StagedDir for the cold files of storages outside
// of the data directory, each named by its checksum. The start moves it to
// OutsideDir.
const OutsideName = "outside"

// OutsideDir returns where a start leaves the cold files that are to be put in
// their storages.
func OutsideDir(dir string) string { return path.Join(dir, restoredName) }

// StagedDir returns the directory in a data directory where a copy waits for
// the next start: it holds FORMAT, hot and storage.
func StagedDir(dir string) string { return path.Join(dir, stagedName) }

// ForgetStaged removes a copy that waits, and what the restore before has
// replaced.
func ForgetStaged(fsys disk.FS, dir string) error {
	if err := dropReady(fsys, StagedDir(dir)); err != nil {
		return fmt.Errorf("give up %s: %w", StagedDir(dir), err)
	}
	for _, name := range []string{stagedName, replacedName} {
		if err := disk.RemoveAll(fsys, path.Join(dir, name)); err != nil {
			return fmt.Errorf("remove %s: %w", path.Join(dir, name), err)
		}
	}
	return disk.SyncDir(fsys, dir)
}

// CompleteStaged says durably that the copy in StagedDir is complete, so that
// the next start takes it. All else of it must be durable.
func CompleteStaged(fsys disk.FS, dir string) error {
	staged := StagedDir(dir)
	if err := disk.SyncDir(fsys, dir); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := disk.WriteFile(fsys, path.Join(staged, readyName), []byte(formatText)); err != nil {
		return fmt.Errorf("write %s: %w", path.Join(staged, readyName), err)
	}
	return nil
}

// HoldDirectory takes the lock of a data directory that no process may use
// meanwhile. It is made when it is missing.
func HoldDirectory(fsys disk.FS, dir string) (release func() error, err error) {
	d := directory{fs: fsys, path: dir}
	if err := disk.MakeDir(fsys, dir); err != nil {
		return nil, fmt.Errorf("make data directory %s: %w", dir, err)
	}
	lock, err := disk.Lock(fsys, d.join(lockName))
	if err != nil {
		return nil, d.refuse(Locked, "another process is using it")
	}
	return lock.Close, nil
}

// Vacant reports whether nothing but the remains of an interrupted restore is
// in a data directory.
func Vacant(fsys disk.FS, dir string) (bool, error) {
	names, err := fsys.List(dir)
	if disk.IsNotExist(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("list data directory %s: %w", dir, err)
	}
	for _, name := range names {
		switch name {
		case lockName, lostName:
		case stagedName:
			ready, err := disk.Exists(fsys, path.Join(dir, stagedName, readyName))
			if err != nil || ready {
				return false, err
			}
		default:
			return false, nil
		}
	}
	return true, nil
}

// isStaged reports whether a complete copy waits in the directory.
func (d *directory) isStaged() (bool, error) {
	text, err := disk.ReadFile(d.fs, path.Join(d.join(stagedName), readyName))
	if disk.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path.Join(d.join(stagedName), readyName), err)
	}
	if number, ok := parseFormat(string(text)); !ok || number > formatNumber {
		return false, d.refuse(Newer, "the copy that waits in %s was staged by another server", stagedName)
	}
	return true, nil
}

// exchange puts a staged copy in the place of what is there, which goes to
// replaced. It renames no folder, since a power cut may leave both names of one:
// while CLEARED is not there, what stands in the directory is the old state, and
// afterwards it is whatever was placed of the new one. Cut off anywhere, it goes
// on at the next start.
func (d *directory) exchange() error {
	staged, err := d.isStaged()
	if err != nil || !staged {
		return err
	}
	cleared := path.Join(d.join(stagedName), clearedName)
	done, err := disk.Exists(d.fs, cleared)
	if err == nil && !done {
		if err = d.clear(); err == nil {
			err = disk.WriteFile(d.fs, cleared, nil)
		}
	}
	if err == nil {
		err = d.placeStaged()
	}
	if err != nil {
		return fmt.Errorf("put the restored copy in place: %w", err)
	}
	d.restored = true
	return nil
}

// exchanged are the folders of a copy and what they are called in their place.
func exchanged() [3][2]string {
	return [...][2]string{{hotName, hotName}, {storageName, storageName}, {OutsideName, restoredName}}
}

// clear keeps what is there in replaced and removes it from its place.
func (d *directory) clear() error {
	for _, names := range exchanged() {
		if err := d.linkAll(d.join(names[1]), path.Join(d.join(replacedName), names[1])); err != nil {
			return err
		}
	}
	return d.vacate()
}

// vacate removes what stands in the places of a copy.
func (d *directory) vacate() error {
	for _, names := range exchanged() {
		if err := disk.RemoveAll(d.fs, d.join(names[1])); err != nil {
			return err
		}
	}
	return disk.SyncDir(d.fs, d.path)
}

// placeStaged gives the files of the copy their names in the directory.
func (d *directory) placeStaged() error {
	if err := d.vacate(); err != nil {
		return err
	}
	for _, names := range exchanged() {
		if err := d.linkAll(path.Join(d.join(stagedName), names[0]), d.join(names[1])); err != nil {
			return err
		}
	}
	exists, err := disk.Exists(d.fs, d.join(formatName))
	if err == nil && !exists {
		err = disk.WriteFile(d.fs, d.join(formatName), []byte(formatText))
	}
	return err
}

// linkAll gives all files below a folder a second name below another, durably.
// A folder that does not exist has none.
func (d *directory) linkAll(from, to string) error {
	names, err := d.fs.List(from)
	if disk.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := disk.MakeDir(d.fs, to); err != nil {
		return err
	}
	for _, name := range names {
		info, err := d.fs.Stat(path.Join(from, name))
		if err != nil {
			return err
		}
		if info.IsDir() {
			err = d.linkAll(path.Join(from, name), path.Join(to, name))
		} else if err = d.fs.Link(path.Join(from, name), path.Join(to, name)); errors.Is(err, fs.ErrExist) {
			err = nil // before the last start was cut off
		}
		if err != nil {
			return err
		}
	}
	return disk.SyncDir(d.fs, to)
}

// dropStaged removes the remains of a copy: one that was put in place, or one
// that was never complete.
func (d *directory) dropStaged() error {
	staged := d.join(stagedName)
	exists, err := disk.Exists(d.fs, staged)
	if err != nil || !exists {
		return err
	}
	if err := dropReady(d.fs, staged); err != nil {
		return err
	}
	return disk.RemoveAll(d.fs, staged)
}

// dropReady durably takes the mark from a staged copy, if it has one.
func dropReady(fsys disk.FS, staged string) error {
	err := fsys.Remove(path.Join(staged, readyName))
	if disk.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return disk.SyncDir(fsys, staged)
}

// raiseCeiling says in a batch that positions up to the clock were seen by
// others: the state that a restore has replaced has given them out, and none of
// them may be used again or pass for known.
func (d *directory) raiseCeiling(r Reader, b *engine.Batch, now time.Time) error {
	ceiling, err := Ceiling(r)
	if err != nil {
		return err
	}
	ceiling = max(ceiling, d.replacedPosition())
	epoch := PositionTime(0)
	if ms := now.Sub(epoch).Milliseconds(); ms > 0 {
		ceiling = max(ceiling, uint64(ms)<<positionClockShift)
	}
	putUint(b, sysCeiling, ceiling)
	return nil
}

// replacedPosition returns the last position of the state that a restore has
// replaced, or zero. That state may be the reason for the restore, so it may be
// unreadable; then the clock alone is asked.
func (d *directory) replacedPosition() uint64 {
	db, err := engine.Open(d.fs, path.Join(d.join(replacedName), hotName), engine.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		return 0
	}
	position, err := Position(db)
	if err != nil {
		position = 0
	}
	ceiling, err := Ceiling(db)
	if err != nil {
		ceiling = 0
	}
	_ = db.Close() // it was only read
	return max(position, ceiling)
}

// Copy is a data directory that is only read: a checkpoint, or one that no
// process holds.
type Copy struct{ db *engine.DB }

// OpenCopy opens a copy.
func OpenCopy(fsys disk.FS, dir string) (*Copy, error) {
	d := directory{fs: fsys, path: dir}
	text, err := disk.ReadFile(fsys, d.join(formatName))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.join(formatName), err)
	}
	number, ok := parseFormat(string(text))
	switch {
	case !ok:
		return nil, d.refuse(Damaged, "FORMAT does not read \"kalamdb\" and a number")
	case number > formatNumber:
		return nil, d.refuse(Newer, "it has format %d; this server reads up to %d", number, formatNumber)
	}
	db, err := engine.Open(fsys, d.hot(), engine.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		return nil, d.engineFault(err)
	}
	return &Copy{db}, nil
}

// Reader returns the state of the copy.
func (c *Copy) Reader() Reader { return c.db }

// Verify reads all of the engine's files and compares their checksums.
func (c *Copy) Verify() error { return c.db.Verify() }

// Close closes the copy.
func (c *Copy) Close() error { return c.db.Close() }
