package engine

import (
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"kalamdb/internal/disk"
)

// fileSystem shows a disk.FS to Pebble. It reports every refused sync, and
// every refused write of the log, to broken before Pebble learns of it, so
// that nothing can be acknowledged in between.
type fileSystem struct {
	disk   disk.FS
	broken func(op, name string, err error)
}

var _ vfs.FS = (*fileSystem)(nil)

func (s *fileSystem) open(name string, mode disk.Mode, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.disk.Open(name, mode)
	if err != nil {
		return nil, err
	}
	wrapped := &file{File: f, fs: s, name: name, log: strings.HasSuffix(name, ".log")}
	for _, o := range opts {
		o.Apply(wrapped)
	}
	return wrapped, nil
}

func (s *fileSystem) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
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
	if err := s.disk.Rename(oldName, newName); err != nil {
		return nil, err
	}
	return s.open(newName, disk.ModeWrite)
}

func (s *fileSystem) Link(oldName, newName string) error   { return s.disk.Link(oldName, newName) }
func (s *fileSystem) Remove(name string) error             { return s.disk.Remove(name) }
func (s *fileSystem) RemoveAll(name string) error          { return disk.RemoveAll(s.disk, name) }
func (s *fileSystem) Rename(oldName, newName string) error { return s.disk.Rename(oldName, newName) }
func (s *fileSystem) MkdirAll(dir string, _ os.FileMode) error {
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
	log  bool // a write-ahead log, whose writes may not fail unnoticed
}

var _ vfs.File = (*file)(nil)

func (f *file) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	if err != nil && f.log {
		f.fs.broken("write", f.name, err)
	}
	return n, err
}

func (f *file) Sync() error {
	err := f.File.Sync()
	if err != nil {
		f.fs.broken("sync", f.name, err)
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
