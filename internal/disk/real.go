package disk

import (
	"fmt"
	"io/fs"
	"os"
	"sort"
)

// What the database writes is for its own user alone.
const (
	filePerm = 0o600
	dirPerm  = 0o700
)

// Real returns the file system of the operating system.
func Real() FS { return realFS{} }

// realFS keeps nothing: every call goes to the operating system.
type realFS struct{}

func (realFS) Open(name string, mode Mode) (File, error) {
	switch mode {
	case ModeRead:
		return openReal(name, os.O_RDONLY)
	case ModeCreate:
		return createReal(name)
	case ModeWrite:
		return openReal(name, os.O_RDWR|os.O_CREATE)
	case ModeLock:
		f, err := openReal(name, os.O_RDWR|os.O_CREATE)
		if err != nil {
			return nil, err
		}
		if err := lockFile(f.File); err != nil {
			_ = f.Close() // the refused lock is the error to report
			return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
		}
		return f, nil
	}
	return nil, fmt.Errorf("open %s: unknown mode %d", name, mode)
}

func (realFS) Remove(name string) error { return os.Remove(name) }

func (realFS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }

func (realFS) Link(oldName, newName string) error { return os.Link(oldName, newName) }

func (realFS) MkdirAll(dir string) error { return os.MkdirAll(dir, dirPerm) }

func (realFS) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	sort.Strings(names)
	return names, err
}

func (realFS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (realFS) Usage(path string) (free, total uint64, err error) { return usage(path) }

// realFile is a file of the operating system; Sync is made cheaper where the
// system allows it.
type realFile struct {
	*os.File
	dir bool // a directory needs the full fsync
}

func openReal(name string, flags int) (*realFile, error) {
	f, err := os.OpenFile(name, flags, filePerm)
	if err != nil {
		return nil, err
	}
	file := &realFile{File: f}
	if flags == os.O_RDONLY {
		info, err := f.Stat()
		if err != nil {
			_ = f.Close() // nothing was written
			return nil, err
		}
		file.dir = info.IsDir()
	}
	return file, nil
}

// createReal removes what has the name first, so that a hard link to it,
// such as one in a checkpoint, keeps its bytes.
func createReal(name string) (File, error) {
	for {
		f, err := openReal(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		if err == nil {
			return f, nil
		}
		if !os.IsExist(err) {
			return nil, err
		}
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
	}
}

func (f *realFile) Sync() error {
	if f.dir {
		return f.File.Sync()
	}
	if err := syncData(f.File); err != nil {
		return &fs.PathError{Op: "sync", Path: f.Name(), Err: err}
	}
	return nil
}

// Preallocate reserves room for n bytes from offset on without changing the
// length of the file. It is a hint: where it is not supported it does nothing.
func Preallocate(f File, offset, n int64) error {
	if fd := f.Fd(); fd != NoFd {
		return preallocate(fd, offset, n)
	}
	return nil
}

// Prefetch asks the system to read n bytes at offset ahead of need. It is a
// hint.
func Prefetch(f File, offset, n int64) error {
	if fd := f.Fd(); fd != NoFd {
		return prefetch(fd, offset, n)
	}
	return nil
}

// WriteBack asks the system to start writing the first n bytes of a file to
// the device, so that a later Sync has less to wait for. It promises nothing.
func WriteBack(f File, n int64) error {
	if fd := f.Fd(); fd != NoFd {
		return writeBack(fd, n)
	}
	return nil
}
