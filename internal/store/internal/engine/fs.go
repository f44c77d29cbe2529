package engine

import (
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"kalamdb/internal/disk"
)

// fileSystem shows a disk.FS to Pebble and watches for the end of durability.
type fileSystem struct {
	disk disk.FS
	doom *doom
	// fresh makes new logs of new files instead of old ones, whose bytes stay
	// behind what is written over them.
	fresh atomic.Bool
}

var _ vfs.FS = (*fileSystem)(nil)

// vital reports whether Pebble cannot go on when a change of the file of that
// name is refused: the log, the manifest and the markers that name one.
func vital(name string) bool {
	base := path.Base(name)
	return strings.HasSuffix(base, ".log") || strings.HasPrefix(base, "MANIFEST-") || strings.HasPrefix(base, "marker.")
}

// tableRetryDelay slows Pebble down, which tries at once again to write a
// table that was refused, for as long as it takes.
const tableRetryDelay = 100 * time.Millisecond

// change does one operation that changes a file or a directory.
func (s *fileSystem) change(op, name string, do func() error) error {
	s.doom.hold()
	err := do()
	switch {
	case err == nil || disk.IsNotExist(err):
	case vital(name):
		s.doom.come(op, name, err)
	case s.doom.armed.Load():
		time.Sleep(tableRetryDelay)
	}
	return err
}

func (s *fileSystem) open(name string, mode disk.Mode, opts ...vfs.OpenOption) (wrapped vfs.File, err error) {
	open := func() error {
		f, err := s.disk.Open(name, mode)
		if err != nil {
			return err
		}
		opened := &file{File: f, fs: s, name: name}
		if mode != disk.ModeRead && strings.HasSuffix(name, ".log") {
			opened.log = &logFile{}
			if info, err := f.Stat(); err == nil {
				opened.log.length = info.Size()
			}
		}
		wrapped = opened
		return nil
	}
	if mode == disk.ModeRead {
		err = open()
	} else {
		err = s.change("open", name, open)
	}
	if err != nil {
		return nil, err
	}
	for _, o := range opts {
		o.Apply(wrapped)
	}
	return wrapped, nil
}

// Create makes the entries before a marker durable first: Pebble syncs the
// directory once for a manifest and the marker that names it, and not every
// file system keeps the order of the two.
func (s *fileSystem) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(path.Base(name), "marker.manifest.") {
		err := s.change("sync", name, func() error { return disk.SyncDir(s.disk, path.Dir(name)) })
		if err != nil {
			return nil, err
		}
	}
	return s.open(name, disk.ModeCreate)
}

func (s *fileSystem) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return s.open(name, disk.ModeRead, opts...)
}

func (s *fileSystem) OpenReadWrite(name string, _ vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return s.open(name, disk.ModeWrite, opts...)
}

func (s *fileSystem) OpenDir(name string) (vfs.File, error) { return s.open(name, disk.ModeRead) }

func (s *fileSystem) ReuseForWrite(oldName, newName string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	if s.fresh.Load() {
		if err := s.Remove(oldName); err != nil && !disk.IsNotExist(err) {
			return nil, err
		}
		return s.open(newName, disk.ModeCreate)
	}
	if err := s.Rename(oldName, newName); err != nil {
		return nil, err
	}
	return s.open(newName, disk.ModeWrite)
}

// Link is of no concern to doom: Pebble copies what it cannot link.
func (s *fileSystem) Link(oldName, newName string) error {
	s.doom.hold()
	return s.disk.Link(oldName, newName)
}

// Remove is of no concern to doom: what stays is removed at the next start. But
// before a marker goes, the one that Pebble has made in its place must be
// durable: where the two changes of the directory may reach the disk in any
// order, a power cut would leave none.
func (s *fileSystem) Remove(name string) error {
	s.doom.hold()
	if strings.HasPrefix(path.Base(name), "marker.") {
		if err := s.change("sync", name, func() error { return disk.SyncDir(s.disk, path.Dir(name)) }); err != nil {
			return err
		}
	}
	return s.disk.Remove(name)
}

func (s *fileSystem) RemoveAll(name string) error {
	s.doom.hold()
	return disk.RemoveAll(s.disk, name)
}

func (s *fileSystem) Rename(oldName, newName string) error {
	return s.change("rename", newName, func() error { return s.disk.Rename(oldName, newName) })
}

func (s *fileSystem) MkdirAll(dir string, _ os.FileMode) error {
	s.doom.hold()
	return s.disk.MkdirAll(dir)
}

func (s *fileSystem) Lock(name string) (io.Closer, error) { return disk.Lock(s.disk, name) }
func (s *fileSystem) List(dir string) ([]string, error)   { return s.disk.List(dir) }

func (s *fileSystem) Stat(name string) (vfs.FileInfo, error) { return describe(s.disk.Stat(name)) }

func (s *fileSystem) PathBase(name string) string    { return path.Base(name) }
func (s *fileSystem) PathJoin(elem ...string) string { return path.Join(elem...) }
func (s *fileSystem) PathDir(name string) string     { return path.Dir(name) }

func (s *fileSystem) GetDiskUsage(name string) (vfs.DiskUsage, error) {
	free, total, err := s.disk.Usage(name)
	return vfs.DiskUsage{AvailBytes: free, TotalBytes: total, UsedBytes: total - min(free, total)}, err
}

func (s *fileSystem) Unwrap() vfs.FS { return nil }

// file shows a disk.File to Pebble.
type file struct {
	disk.File
	fs   *fileSystem
	name string
	log  *logFile // nil for other files and for readers
}

var _ vfs.File = (*file)(nil)

func (f *file) Write(p []byte) (n int, err error) {
	err = f.fs.change("write", f.name, func() error {
		if f.log != nil {
			if err := f.log.ahead(f.File, len(p)); err != nil {
				return err
			}
		}
		n, err = f.File.Write(p)
		return err
	})
	return n, err
}

func (f *file) WriteAt(p []byte, offset int64) (n int, err error) {
	err = f.fs.change("write", f.name, func() error {
		n, err = f.File.WriteAt(p, offset)
		return err
	})
	return n, err
}

func (f *file) Close() error {
	if !vital(f.name) {
		return f.File.Close() // readers go on closing theirs
	}
	return f.fs.change("close", f.name, f.File.Close)
}

func (f *file) Sync() error {
	f.fs.doom.hold()
	err := f.File.Sync()
	if err != nil {
		f.fs.doom.come("sync", f.name, err)
	}
	return err
}

func (f *file) SyncData() error { return f.Sync() }

// SyncTo only asks the system to begin writing; Pebble syncs the file as a
// whole before it relies on it.
func (f *file) SyncTo(length int64) (fullSync bool, err error) {
	return false, disk.WriteBack(f.File, length)
}

func (f *file) Preallocate(offset, length int64) error {
	return disk.Preallocate(f.File, offset, length)
}

func (f *file) Prefetch(offset, length int64) error { return disk.Prefetch(f.File, offset, length) }

func (f *file) Stat() (vfs.FileInfo, error) { return describe(f.File.Stat()) }

// fileInfo adds what Pebble asks of a device, which nothing here depends on.
type fileInfo struct{ fs.FileInfo }

func (fileInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

func describe(info fs.FileInfo, err error) (vfs.FileInfo, error) {
	if err != nil {
		return nil, err
	}
	return fileInfo{info}, nil
}
