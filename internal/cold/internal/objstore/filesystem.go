package objstore

import (
	"fmt"
	"path"
	"strings"
	"sync"

	"kalamdb/internal/disk"
)

// durableMost bounds how many folders are remembered as durable; when it is
// reached all are forgotten, which costs a few syncs.
const durableMost = 1 << 14

// Filesystem is a storage inside one folder of a file system.
type Filesystem struct {
	fs   disk.FS
	base string
	mu   struct {
		sync.Mutex
		durable map[string]struct{} // folders whose entries above are synced
	}
}

// NewFilesystem returns the storage below base, which need not exist yet.
func NewFilesystem(fs disk.FS, base string) *Filesystem {
	f := &Filesystem{fs: fs, base: path.Clean(base)}
	f.mu.durable = map[string]struct{}{}
	return f
}

// Base returns the folder that holds all objects.
func (s *Filesystem) Base() string { return s.base }

// full returns the place of an object on the file system. The base is none.
func (s *Filesystem) full(name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	return path.Join(s.base, name), nil
}

// fileUpload is an object being written to the file system.
type fileUpload struct {
	storage *Filesystem
	file    disk.File
	final   string
	done    bool
}

// Create begins an object; one of the same name is replaced by Finish.
func (s *Filesystem) Create(name string) (Upload, error) {
	final, err := s.full(name)
	if err != nil {
		return nil, err
	}
	// A folder that was remembered may have been removed when it was empty; the
	// second round makes it anew.
	for round := 0; ; round++ {
		if err := s.makeFolder(path.Dir(final)); err != nil {
			return nil, err
		}
		f, err := disk.Create(s.fs, final+".tmp")
		if err == nil {
			return &fileUpload{storage: s, file: f, final: final}, nil
		}
		if !disk.IsNotExist(err) || round > 0 {
			return nil, fmt.Errorf("create %s.tmp: %w", final, err)
		}
		s.forget(path.Dir(final))
	}
}

// Write appends bytes to the object.
func (u *fileUpload) Write(p []byte) (int, error) { return u.file.Write(p) }

// Finish makes the object durable under its name.
func (u *fileUpload) Finish() error {
	u.done = true
	err := u.file.Sync()
	if closeErr := u.file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = u.storage.fs.Rename(u.final+".tmp", u.final)
	}
	if err != nil {
		_ = u.storage.fs.Remove(u.final + ".tmp") // the first error is the one to report
		return fmt.Errorf("finish %s: %w", u.final, err)
	}
	if err := disk.SyncDir(u.storage.fs, path.Dir(u.final)); err != nil {
		return fmt.Errorf("sync the folder of %s: %w", u.final, err)
	}
	return nil
}

// Abort gives the object up. After Finish it does nothing.
func (u *fileUpload) Abort() {
	if u.done {
		return
	}
	u.done = true
	_ = u.file.Close()                        // nothing of it is kept
	_ = u.storage.fs.Remove(u.final + ".tmp") // what stays is removed at start
	u.storage.removeEmpty(path.Dir(u.final))  // the folder may have been made for it
}

// Put writes a small object as a whole.
func (s *Filesystem) Put(name string, data []byte) error {
	u, err := s.Create(name)
	if err != nil {
		return err
	}
	if _, err := u.Write(data); err != nil {
		u.Abort()
		return fmt.Errorf("write %s: %w", name, err)
	}
	return u.Finish()
}

// Open opens an object for reading and returns its length.
func (s *Filesystem) Open(name string) (Object, int64, error) {
	full, err := s.full(name)
	if err != nil {
		return nil, 0, err
	}
	f, err := disk.Open(s.fs, full)
	if err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", full, err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close() // the refused question is the error to report
		return nil, 0, fmt.Errorf("stat %s: %w", full, err)
	}
	return f, info.Size(), nil
}

// Get reads a small object as a whole.
func (s *Filesystem) Get(name string) ([]byte, error) {
	full, err := s.full(name)
	if err != nil {
		return nil, err
	}
	return disk.ReadFile(s.fs, full)
}

// Remove deletes an object and what an interrupted upload of it has left, then
// those folders above it that have become empty, but never the base. When it
// returns no power cut brings the object back. An object that does not exist
// is deleted already.
func (s *Filesystem) Remove(name string) error {
	full, err := s.full(name)
	if err != nil {
		return err
	}
	for _, victim := range []string{full, full + ".tmp"} {
		if err := s.fs.Remove(victim); err != nil && !disk.IsNotExist(err) {
			return fmt.Errorf("remove %s: %w", victim, err)
		}
	}
	left := s.removeEmpty(path.Dir(full))
	if err := disk.SyncDir(s.fs, left); err != nil && !disk.IsNotExist(err) {
		return fmt.Errorf("sync folder %s: %w", left, err)
	}
	return nil
}

// List returns the names in a folder in order, those of the base for "."; a
// missing folder is empty.
func (s *Filesystem) List(folder string) ([]string, error) {
	full := s.base
	if folder != "." {
		var err error
		if full, err = s.full(folder); err != nil {
			return nil, err
		}
	}
	names, err := s.fs.List(full)
	if disk.IsNotExist(err) {
		return nil, nil
	}
	return names, err
}

// Walk visits all objects below a folder. What goes away meanwhile is passed over.
func (s *Filesystem) Walk(folder string, visit func(Entry) error) error {
	names, err := s.List(folder)
	if err != nil {
		return fmt.Errorf("list folder %s: %w", folder, err)
	}
	for _, name := range names {
		name = path.Join(folder, name)
		info, err := s.fs.Stat(path.Join(s.base, name))
		switch {
		case disk.IsNotExist(err):
		case err != nil:
			return fmt.Errorf("look at %s: %w", name, err)
		case info.IsDir():
			err = s.Walk(name, visit)
		default:
			err = visit(Entry{Name: name, Size: info.Size(), Modified: info.ModTime()})
		}
		if err != nil && !disk.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// Usage returns the free and the total bytes under the base.
func (s *Filesystem) Usage() (free, total uint64, err error) { return s.fs.Usage(s.base) }

// MakeBase creates the base folder durably.
func (s *Filesystem) MakeBase() error { return s.makeFolder(s.base) }

// makeFolder creates a folder and syncs every entry that leads to it, once per
// folder and life of the process.
func (s *Filesystem) makeFolder(folder string) error {
	s.mu.Lock()
	_, known := s.mu.durable[folder]
	s.mu.Unlock()
	if known {
		return nil
	}
	if err := s.fs.MkdirAll(folder); err != nil {
		return fmt.Errorf("make folder %s: %w", folder, err)
	}
	for dir := folder; dir != s.base; dir = path.Dir(dir) {
		if err := disk.SyncDir(s.fs, path.Dir(dir)); err != nil {
			return fmt.Errorf("sync folder %s: %w", path.Dir(dir), err)
		}
	}
	if err := s.syncAboveBase(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.durable) >= durableMost {
		clear(s.mu.durable)
	}
	s.mu.durable[folder] = struct{}{}
	return nil
}

// syncAboveBase syncs the folders that lead to the base. Those nearest to the
// root may belong to others and refuse to be opened, so errors end the walk
// once the base's own entry is durable.
func (s *Filesystem) syncAboveBase() error {
	parent := path.Dir(s.base)
	if err := disk.SyncDir(s.fs, parent); err != nil {
		return fmt.Errorf("sync folder %s: %w", parent, err)
	}
	for parent != path.Dir(parent) {
		parent = path.Dir(parent)
		if disk.SyncDir(s.fs, parent) != nil {
			return nil
		}
	}
	return nil
}

// removeEmpty removes a folder and those above it while they are empty, and
// returns the first that is left. A folder that is not empty refuses, which ends
// the walk.
func (s *Filesystem) removeEmpty(folder string) (left string) {
	for folder != s.base && strings.HasPrefix(folder, s.base) {
		s.forget(folder)
		if err := s.fs.Remove(folder); err != nil && !disk.IsNotExist(err) {
			return folder
		}
		folder = path.Dir(folder)
	}
	return folder
}

// forget drops what is remembered of a folder.
func (s *Filesystem) forget(folder string) {
	s.mu.Lock()
	delete(s.mu.durable, folder)
	s.mu.Unlock()
}
