package disk

import (
	"fmt"
	"io/fs"
	"math"
	"path"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// memTotal is the size of the device that a Mem pretends to be on.
const memTotal = 1 << 42

// Mem is a file system in memory that forgets in CrashClone what was not
// synced. Relative and absolute names mean the same tree.
type Mem struct {
	mu struct {
		sync.RWMutex
		root  *memNode
		locks map[*memNode]struct{} // files held with ModeLock
		used  uint64                // bytes in files that have a name or a reader
		limit uint64                // used may not pass it
	}
}

var _ FS = (*Mem)(nil)

// NewMem returns an empty disk with room for 4 TiB.
func NewMem() *Mem {
	m := &Mem{}
	m.mu.root = newMemDir()
	m.mu.locks = make(map[*memNode]struct{})
	m.mu.limit = memTotal
	return m
}

// SetFree sets how many bytes may still be written; a write beyond fails with
// syscall.ENOSPC. Removing files makes room again.
func (m *Mem) SetFree(bytes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.limit = m.mu.used + min(bytes, memTotal)
}

// Open opens a file as mode says.
func (m *Mem) Open(name string, mode Mode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.open(name, mode)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return f, nil
}

func (m *Mem) open(name string, mode Mode) (File, error) {
	node, dir, base, err := m.find(name)
	if err != nil {
		return nil, err
	}
	switch {
	case mode > ModeLock:
		return nil, fmt.Errorf("unknown mode %d", mode)
	case mode == ModeRead && node == nil:
		return nil, fs.ErrNotExist
	case mode != ModeRead && node != nil && node.isDir():
		return nil, syscall.EISDIR
	case node == nil || mode == ModeCreate:
		old := node
		node = &memNode{modTime: time.Now()}
		node.names = 1
		dir.change(entry{base, node})
		m.unname(old)
	case mode == ModeLock:
		if _, held := m.mu.locks[node]; held {
			return nil, ErrLocked
		}
	}
	if mode == ModeLock {
		m.mu.locks[node] = struct{}{}
	}
	node.opens++
	return &memFile{disk: m, node: node, name: base, mode: mode}, nil
}

// Remove removes a file or an empty directory.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	node, dir, base, err := m.find(name)
	switch {
	case err != nil:
	case node == nil:
		err = fs.ErrNotExist
	case dir == nil:
		err = syscall.EBUSY
	case node.isDir() && len(node.entries) > 0:
		err = syscall.ENOTEMPTY
	}
	if err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	dir.change(entry{base, nil})
	m.unname(node)
	return nil
}

// Rename gives a file or directory another name. Within one directory a crash
// keeps or loses it as a whole; between two, each side is kept or lost alone.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	node, oldDir, oldBase, err := m.find(oldName)
	if err == nil && (node == nil || oldDir == nil) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return &fs.PathError{Op: "rename", Path: oldName, Err: err}
	}
	target, newDir, newBase, err := m.find(newName)
	switch {
	case err != nil:
	case newDir == nil:
		err = syscall.EBUSY
	case target == node:
		return nil
	case target != nil && target.isDir():
		err = fs.ErrExist
	case node.isDir() && target != nil:
		err = syscall.ENOTDIR
	}
	if err != nil {
		return &fs.PathError{Op: "rename", Path: newName, Err: err}
	}
	if oldDir == newDir {
		oldDir.change(entry{oldBase, nil}, entry{newBase, node})
	} else {
		newDir.change(entry{newBase, node})
		oldDir.change(entry{oldBase, nil})
	}
	m.unname(target)
	return nil
}

// Link gives a file a second name.
func (m *Mem) Link(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	node, _, _, err := m.find(oldName)
	switch {
	case err != nil:
	case node == nil:
		err = fs.ErrNotExist
	case node.isDir():
		err = fs.ErrPermission
	}
	if err != nil {
		return &fs.PathError{Op: "link", Path: oldName, Err: err}
	}
	target, dir, base, err := m.find(newName)
	if err == nil && target != nil {
		err = fs.ErrExist
	}
	if err != nil {
		return &fs.PathError{Op: "link", Path: newName, Err: err}
	}
	node.names++
	dir.change(entry{base, node})
	return nil
}

// MkdirAll makes a directory and those above it.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.mu.root
	for _, base := range parts(dir) {
		next := at.entries[base]
		if next == nil {
			next = newMemDir()
			next.names = 1
			at.change(entry{base, next})
		}
		if !next.isDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		at = next
	}
	return nil
}

// List returns the names in a directory in order.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	node, _, _, err := m.find(dir)
	switch {
	case err != nil:
	case node == nil:
		err = fs.ErrNotExist
	case !node.isDir():
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: err}
	}
	names := make([]string, 0, len(node.entries))
	for name := range node.entries {
		names = append(names, name)
	}
	sort.Strings(names)
	return names, nil
}

// Stat describes a file or directory.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	node, _, base, err := m.find(name)
	if err == nil && node == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return node.info(base), nil
}

// Usage returns the room that SetFree has left.
func (m *Mem) Usage(string) (free, total uint64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.mu.used < m.mu.limit {
		free = m.mu.limit - m.mu.used
	}
	return free, memTotal, nil
}

// find returns the node of a name, nil when only its directory exists, and
// the directory that holds it, nil for the root. m.mu must be held.
func (m *Mem) find(name string) (node, dir *memNode, base string, err error) {
	node = m.mu.root
	for _, part := range parts(name) {
		if node == nil {
			return nil, nil, "", fs.ErrNotExist
		}
		if !node.isDir() {
			return nil, nil, "", syscall.ENOTDIR
		}
		dir, base = node, part
		node = node.entries[part]
	}
	return node, dir, base, nil
}

// parts cuts a name into the steps from the root.
func parts(name string) []string {
	clean := strings.Trim(path.Clean("/"+name), "/")
	if clean == "" {
		return nil
	}
	return strings.Split(clean, "/")
}

// unname notes that a node has lost a name. m.mu must be held.
func (m *Mem) unname(node *memNode) {
	if node != nil {
		node.names--
		m.release(node)
	}
}

// release gives the room of a node back that nobody can reach any more. A
// crash may bring it back; until then it does not count.
func (m *Mem) release(node *memNode) {
	if node.names == 0 && node.opens == 0 {
		m.mu.used -= uint64(len(node.data))
	}
}

// reserve counts n more bytes or reports that the disk is full.
func (m *Mem) reserve(n int) error {
	if n < 0 || uint64(n) > math.MaxUint64-m.mu.used || m.mu.used+uint64(n) > m.mu.limit {
		return syscall.ENOSPC
	}
	m.mu.used += uint64(n)
	return nil
}
