package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"

	"kalamdb/internal/disk"
	"kalamdb/internal/store/internal/engine"
)

// formatNumber is the format that this server writes; it reads all up to it.
const formatNumber = 1

// formatText is what FORMAT holds.
const formatText = "kalamdb 1\n"

// The names in a data directory that the store knows.
const (
	formatName = "FORMAT"
	// newFormatName is FORMAT while a directory is being made: its presence
	// says that nothing in the directory has been promised to anybody yet.
	newFormatName = "FORMAT.new"
	// newFormatTemp is what writing FORMAT.new begins with.
	newFormatTemp = newFormatName + ".tmp"
	lockName      = "LOCK"
	hotName       = "hot"
	tempName      = "tmp"
	logsName      = "logs"
	// lostName stands in every new volume of some file systems.
	lostName = "lost+found"
)

// OpenKind says what is wrong with a data directory.
type OpenKind uint8

// The kinds of OpenError.
const (
	Locked  OpenKind = iota // another process holds it
	Foreign                 // it holds files of something else
	Newer                   // a newer server has written it
	Damaged                 // it cannot be read
)

// String returns the name of the kind.
func (k OpenKind) String() string {
	switch k {
	case Locked:
		return "locked"
	case Foreign:
		return "foreign"
	case Newer:
		return "newer"
	case Damaged:
		return "damaged"
	}
	return "unknown"
}

// OpenError says why a data directory was refused.
type OpenError struct {
	// Kind is the class of the refusal.
	Kind OpenKind
	// Dir is the directory.
	Dir string
	// Message is the reason, a clause about the directory.
	Message string
	cause   error
}

// Error returns the sentence and its cause.
func (e *OpenError) Error() string {
	text := fmt.Sprintf("data directory %s is %s: %s", e.Dir, e.Kind, e.Message)
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *OpenError) Unwrap() error { return e.cause }

// directory is a data directory on its way to be opened.
type directory struct {
	fs    disk.FS
	path  string
	fresh bool // it is being made: FORMAT is not there yet
	// restored says that a staged copy has been put in place by this start.
	restored bool
}

func (d *directory) join(name string) string { return path.Join(d.path, name) }

func (d *directory) hot() string { return d.join(hotName) }

func (d *directory) refuse(kind OpenKind, format string, args ...any) error {
	return &OpenError{Kind: kind, Dir: d.path, Message: fmt.Sprintf(format, args...)}
}

// enter judges the directory by FORMAT, takes its lock and leaves it ready for
// the engine. A directory that is refused has not been touched.
func (d *directory) enter() (io.Closer, error) {
	if err := d.judge(); err != nil {
		return nil, err
	}
	if err := disk.MakeDir(d.fs, d.path); err != nil {
		return nil, fmt.Errorf("make data directory %s: %w", d.path, err)
	}
	lock, err := disk.Lock(d.fs, d.join(lockName))
	if errors.Is(err, disk.ErrLocked) {
		return nil, d.refuse(Locked, "another process is using it")
	}
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", d.path, err)
	}
	// Another process may have made the directory between look and lock.
	if err = d.judge(); err == nil {
		err = d.exchange()
	}
	if err == nil && d.restored {
		err = d.judge()
	}
	if err == nil {
		err = d.prepare()
	}
	if err != nil {
		_ = lock.Close() // the first error is the one to report
		return nil, err
	}
	return lock, nil
}

// judge reads FORMAT, or without it decides whether the directory may be
// made here. It writes nothing.
func (d *directory) judge() error {
	text, err := disk.ReadFile(d.fs, d.join(formatName))
	if disk.IsNotExist(err) {
		// A staged copy is judged when it is in place.
		if staged, err := d.isStaged(); err != nil || staged {
			return err
		}
		d.fresh = true
		return d.judgeFresh()
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", d.join(formatName), err)
	}
	d.fresh = false
	number, ok := parseFormat(string(text))
	switch {
	case !ok:
		return d.refuse(Damaged, "FORMAT does not read \"kalamdb\" and a number")
	case number > formatNumber:
		return d.refuse(Newer, "it has format %d; this server reads up to %d", number, formatNumber)
	}
	hot, err := disk.Exists(d.fs, d.hot())
	if err != nil {
		return fmt.Errorf("look for %s: %w", d.hot(), err)
	}
	if !hot {
		if staged, err := d.isStaged(); err != nil || staged && !d.restored {
			return err
		}
		return d.refuse(Damaged, "FORMAT is there but %s is missing", hotName)
	}
	return nil
}

// parseFormat reads the number from the text of FORMAT.
func parseFormat(text string) (uint64, bool) {
	digits, ok := strings.CutPrefix(text, "kalamdb ")
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(strings.TrimRight(digits, "\r\n"), 10, 64)
	if errors.Is(err, strconv.ErrRange) { // a number all the same: the greatest
		return number, true
	}
	return number, err == nil && number > 0
}

// judgeFresh refuses a directory without FORMAT that holds more than the
// remains of a first start: those are known by FORMAT.new.
func (d *directory) judgeFresh() error {
	names, err := d.fs.List(d.path)
	if disk.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list data directory %s: %w", d.path, err)
	}
	begun, err := disk.Exists(d.fs, d.join(newFormatName))
	if err != nil {
		return fmt.Errorf("look for %s: %w", d.join(newFormatName), err)
	}
	for _, name := range names {
		known, err := d.mayPrecede(name, begun)
		if err != nil {
			return fmt.Errorf("look at %s: %w", d.join(name), err)
		}
		if !known {
			return d.refuse(Foreign, "it has no FORMAT but holds %q; choose an empty directory", name)
		}
	}
	return nil
}

// mayPrecede reports whether a name may stand in a directory without FORMAT.
func (d *directory) mayPrecede(name string, begun bool) (bool, error) {
	switch name {
	case newFormatName, newFormatTemp, lockName, logsName, lostName:
		return true, nil
	case hotName, tempName:
		if begun {
			return true, nil
		}
	}
	info, err := d.fs.Stat(d.join(name))
	if err != nil || !info.IsDir() {
		return false, err
	}
	inside, err := d.fs.List(d.join(name))
	return len(inside) == 0, err
}

// prepare says durably that a fresh directory is being made, and removes what
// an interrupted first start has left.
func (d *directory) prepare() error {
	if !d.fresh {
		return nil
	}
	if err := disk.WriteFile(d.fs, d.join(newFormatName), []byte(formatText)); err != nil {
		return fmt.Errorf("write %s: %w", d.join(newFormatName), err)
	}
	if err := disk.RemoveAll(d.fs, d.hot()); err != nil {
		return fmt.Errorf("remove %s: %w", d.hot(), err)
	}
	return nil
}

// finish empties tmp, removes the remains of a restore, and makes FORMAT appear
// once all else of a fresh directory is durable.
func (d *directory) finish() error {
	if err := d.dropStaged(); err != nil {
		return fmt.Errorf("remove %s: %w", d.join(stagedName), err)
	}
	if err := disk.RemoveAll(d.fs, d.join(tempName)); err != nil {
		return fmt.Errorf("empty %s: %w", d.join(tempName), err)
	}
	if err := d.fs.MkdirAll(d.join(tempName)); err != nil {
		return fmt.Errorf("make %s: %w", d.join(tempName), err)
	}
	if !d.fresh {
		return nil
	}
	err := disk.SyncDir(d.fs, d.path)
	if err == nil {
		err = d.fs.Rename(d.join(newFormatName), d.join(formatName))
	}
	if err == nil {
		err = disk.SyncDir(d.fs, d.path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", d.join(formatName), err)
	}
	return nil
}

// engineFault tells files that are damaged from a disk that refuses work.
func (d *directory) engineFault(err error) error {
	var errno syscall.Errno
	refused := errors.As(err, &errno) || errors.Is(err, fs.ErrPermission)
	switch {
	case errors.Is(err, disk.ErrLocked):
		return &OpenError{Kind: Locked, Dir: d.path, Message: "another process is using its engine", cause: err}
	case errors.Is(err, engine.ErrCorrupt), disk.IsNotExist(err), !refused:
		return &OpenError{Kind: Damaged, Dir: d.path, Message: "the engine cannot read its files", cause: err}
	}
	return err
}
