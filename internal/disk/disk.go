// Package disk is the file system as the engine and the local cold storage
// see it.
//
// Real is the operating system's. Mem is a strict one in memory: what was not
// synced is lost in a crash clone, directory entries included, except for a
// part chosen by a seed. Engine and cold storage of a test share one Mem, so
// that a clone drops the unsynced bytes of both at one moment. Inject wraps
// either and lets a test refuse or delay single operations.
//
// Promises: an FS may be used by many goroutines. A File may be read at
// offsets by many goroutines; Write, WriteAt and Sync of one file are called
// one after the other. What Sync of a file has returned for is readable after
// a power cut, provided that the directory entry has been synced as well; no
// implementation repeats a sync that was refused.
//
// Goroutines: none. Locks: Mem.mu.
package disk

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"path"
	"syscall"
)

// ErrLocked is returned by Open with ModeLock while another holder, in this
// process or another, has the file.
var ErrLocked = errors.New("file is locked")

// NoFd is the descriptor of a file that the operating system does not know.
const NoFd = math.MaxUint

// Mode says what a file is opened for.
type Mode uint8

// The modes of Open.
const (
	// ModeRead opens what exists for reading. A directory opened so can be
	// synced, asked for its Stat and closed, nothing else.
	ModeRead Mode = iota
	// ModeCreate makes a new empty file in place of whatever had the name.
	// Links to and readers of the old one keep it.
	ModeCreate
	// ModeWrite opens for reading and writing in place and makes the file
	// when it is missing; Write begins at offset zero.
	ModeWrite
	// ModeLock opens as ModeWrite and holds an exclusive lock until Close.
	ModeLock
)

// FS is a tree of files. Paths are slash paths.
type FS interface {
	// Open opens a file as mode says.
	Open(name string, mode Mode) (File, error)
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// Rename gives a file or directory another name, replacing a file there.
	Rename(oldName, newName string) error
	// Link gives a file a second name, which must be free.
	Link(oldName, newName string) error
	// MkdirAll makes a directory and those above it; one that exists is fine.
	MkdirAll(dir string) error
	// List returns the names in a directory in order.
	List(dir string) ([]string, error)
	// Stat describes a file or directory.
	Stat(name string) (fs.FileInfo, error)
	// Usage returns the free and the total bytes of the device under path.
	Usage(path string) (free, total uint64, err error)
}

// File is an open file.
type File interface {
	io.ReadWriteCloser
	io.ReaderAt
	io.WriterAt
	// Sync returns when the bytes of a file and the length needed to read
	// them, or the entries of a directory, are on stable storage.
	Sync() error
	// Stat describes the file.
	Stat() (fs.FileInfo, error)
	// Fd is the operating system's descriptor, or NoFd.
	Fd() uintptr
}

// Create makes a new empty file.
func Create(fsys FS, name string) (File, error) { return fsys.Open(name, ModeCreate) }

// Open opens a file for reading.
func Open(fsys FS, name string) (File, error) { return fsys.Open(name, ModeRead) }

// Lock takes the lock file of the given name until it is closed. The error
// is ErrLocked when another holder has it.
func Lock(fsys FS, name string) (io.Closer, error) { return fsys.Open(name, ModeLock) }

// IsNotExist reports whether err says that a name does not exist.
func IsNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// IsFull reports whether err says that the device or a quota is full.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Exists reports whether a file or directory has the name.
func Exists(fsys FS, name string) (bool, error) {
	_, err := fsys.Stat(name)
	switch {
	case err == nil:
		return true, nil
	case IsNotExist(err):
		return false, nil
	}
	return false, err
}

// MakeDir makes a directory and those above it that are missing, and makes
// their entries durable.
func MakeDir(fsys FS, dir string) error {
	exists, err := Exists(fsys, dir)
	if err != nil || exists {
		return err
	}
	above := path.Dir(path.Clean(dir))
	if err := MakeDir(fsys, above); err != nil {
		return err
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	return SyncDir(fsys, above)
}

// SyncDir makes the entries of a directory durable.
func SyncDir(fsys FS, dir string) error {
	f, err := fsys.Open(dir, ModeRead)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close() // the refused sync is the error to report
		return err
	}
	return f.Close()
}

// ReadFile returns the bytes of a file.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name, ModeRead)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return data, err
}

// WriteFile replaces a file as a whole: after a crash the name has the old
// bytes or the new ones. It returns when the new ones are durable.
func WriteFile(fsys FS, name string, data []byte) error {
	temp := name + ".tmp"
	if err := writeSynced(fsys, temp, data); err != nil {
		_ = fsys.Remove(temp) // the write's error is the one to report
		return err
	}
	if err := fsys.Rename(temp, name); err != nil {
		return err
	}
	return SyncDir(fsys, path.Dir(name))
}

// writeSynced makes a file of the given bytes and syncs it.
func writeSynced(fsys FS, name string, data []byte) error {
	f, err := fsys.Open(name, ModeCreate)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// RemoveAll removes a file, or a directory with all in it. What does not
// exist is removed already. It goes on after an error and returns the first.
func RemoveAll(fsys FS, name string) error {
	info, err := fsys.Stat(name)
	if IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var first error
	if info.IsDir() {
		first = Empty(fsys, name)
	}
	if err := fsys.Remove(name); err != nil && !IsNotExist(err) && first == nil {
		first = err
	}
	return first
}

// Empty removes all that is in a directory and keeps the directory.
func Empty(fsys FS, dir string) error {
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	var first error
	for _, name := range names {
		if err := RemoveAll(fsys, path.Join(dir, name)); err != nil && first == nil {
			first = err
		}
	}
	return first
}
