package disk

import (
	"io"
	"io/fs"
	"syscall"
	"time"
)

// memFile is an open file of a Mem. Its fields but disk and node are guarded
// by Mem.mu.
type memFile struct {
	disk   *Mem
	node   *memNode
	name   string
	mode   Mode
	at     int64 // where Read and Write go on
	closed bool
}

var _ File = (*memFile)(nil)

func (f *memFile) Read(p []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	n, err := f.read(p, f.at)
	f.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

func (f *memFile) ReadAt(p []byte, offset int64) (int, error) {
	f.disk.mu.RLock()
	defer f.disk.mu.RUnlock()
	return f.read(p, offset)
}

func (f *memFile) read(p []byte, offset int64) (int, error) {
	switch {
	case f.closed:
		return 0, f.fault("read", fs.ErrClosed)
	case f.node.isDir():
		return 0, f.fault("read", syscall.EISDIR)
	case offset < 0:
		return 0, f.fault("read", fs.ErrInvalid)
	case len(p) == 0:
		return 0, nil
	case offset >= int64(len(f.node.data)):
		return 0, io.EOF
	}
	n := copy(p, f.node.data[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) Write(p []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	n, err := f.write(p, f.at)
	f.at += int64(n)
	return n, err
}

func (f *memFile) WriteAt(p []byte, offset int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.write(p, offset)
}

func (f *memFile) write(p []byte, offset int64) (int, error) {
	switch {
	case f.closed:
		return 0, f.fault("write", fs.ErrClosed)
	case f.mode == ModeRead:
		return 0, f.fault("write", fs.ErrPermission)
	case offset < 0:
		return 0, f.fault("write", fs.ErrInvalid)
	case len(p) == 0:
		return 0, nil
	}
	if grow := offset + int64(len(p)) - int64(len(f.node.data)); grow > 0 {
		if err := f.disk.reserve(int(grow)); err != nil {
			return 0, f.fault("write", err)
		}
	}
	f.node.write(p, int(offset))
	return len(p), nil
}

func (f *memFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return f.fault("sync", fs.ErrClosed)
	}
	f.node.sync()
	return nil
}

func (f *memFile) Stat() (fs.FileInfo, error) {
	f.disk.mu.RLock()
	defer f.disk.mu.RUnlock()
	if f.closed {
		return nil, f.fault("stat", fs.ErrClosed)
	}
	return f.node.info(f.name), nil
}

func (f *memFile) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return f.fault("close", fs.ErrClosed)
	}
	f.closed = true
	f.node.opens--
	f.disk.release(f.node)
	if f.mode == ModeLock {
		delete(f.disk.mu.locks, f.node)
	}
	return nil
}

func (f *memFile) Fd() uintptr { return NoFd }

func (f *memFile) fault(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

// memInfo describes a node at the moment of the question.
type memInfo struct {
	name    string
	size    int64
	modTime time.Time
	dir     bool
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) ModTime() time.Time { return i.modTime }
func (i memInfo) IsDir() bool        { return i.dir }
func (i memInfo) Sys() any           { return nil }

func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | dirPerm
	}
	return filePerm
}
