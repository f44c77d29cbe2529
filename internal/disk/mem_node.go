package disk

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// memSector is the unit in which unsynced bytes survive a crash or do not.
const memSector = 512

// memNode is a file or a directory. All of it is guarded by Mem.mu.
type memNode struct {
	modTime time.Time
	names   int // directory entries that name it
	opens   int // open files

	// Of a file.

	data      []byte
	syncedLen int            // length at the last sync
	before    map[int][]byte // synced bytes of sectors written since, by sector

	// Of a directory.

	entries map[string]*memNode // as a process sees it; nil for a file
	synced  map[string]*memNode // at the last sync
	changes [][]entry           // since then, oldest first, each whole or not at all
}

// entry is one name in a directory; a nil node means that the name goes.
type entry struct {
	name string
	node *memNode
}

func newMemDir() *memNode {
	return &memNode{
		modTime: time.Now(),
		entries: make(map[string]*memNode),
		synced:  make(map[string]*memNode),
	}
}

func (n *memNode) isDir() bool { return n.entries != nil }

// change applies entries to a directory and remembers them as unsynced.
func (n *memNode) change(entries ...entry) {
	apply(n.entries, entries)
	n.changes = append(n.changes, entries)
	n.modTime = time.Now()
}

func apply(to map[string]*memNode, entries []entry) {
	for _, e := range entries {
		if e.node == nil {
			delete(to, e.name)
		} else {
			to[e.name] = e.node
		}
	}
}

// sync makes the present state the one that a crash keeps.
func (n *memNode) sync() {
	if n.isDir() {
		n.synced = maps.Clone(n.entries)
		n.changes = nil
		return
	}
	n.syncedLen = len(n.data)
	clear(n.before)
}

// write puts p at offset, keeping the synced bytes that it covers.
func (n *memNode) write(p []byte, offset int) {
	end := offset + len(p)
	for sector := offset / memSector; sector*memSector < min(end, n.syncedLen); sector++ {
		if _, kept := n.before[sector]; kept {
			continue
		}
		if n.before == nil {
			n.before = make(map[int][]byte)
		}
		from := sector * memSector
		n.before[sector] = slices.Clone(n.data[from:min(from+memSector, n.syncedLen)])
	}
	if end > len(n.data) {
		old := len(n.data)
		n.data = slices.Grow(n.data, end-old)[:end]
		clear(n.data[old:])
	}
	copy(n.data[offset:], p)
	n.modTime = time.Now()
}

// info describes the node under the given name.
func (n *memNode) info(name string) fs.FileInfo {
	return memInfo{name: name, size: int64(len(n.data)), modTime: n.modTime, dir: n.isDir()}
}

// CrashClone returns the disk as it stands after a power cut at this moment:
// all synced bytes and entries, and each unsynced sector and change of a
// directory with a chance of percent in a hundred. Equal seeds choose alike.
// The clone shares nothing with m, which goes on; no lock is held in it.
func (m *Mem) CrashClone(seed uint64, percent int) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := cloner{
		random:  rand.New(rand.NewPCG(seed, uint64(percent))),
		percent: percent,
		done:    make(map[*memNode]*memNode),
	}
	clone := NewMem()
	clone.mu.root = c.node(m.mu.root)
	for _, node := range c.done {
		clone.mu.used += uint64(len(node.data))
	}
	if free := m.mu.limit - min(m.mu.used, m.mu.limit); m.mu.limit != memTotal {
		clone.mu.limit = clone.mu.used + free
	}
	return clone
}

// cloner makes the nodes of a crash clone.
type cloner struct {
	random  *rand.Rand
	percent int
	done    map[*memNode]*memNode // keeps hard links together
}

func (c *cloner) keep() bool { return c.random.IntN(100) < c.percent }

func (c *cloner) node(n *memNode) *memNode {
	if made, ok := c.done[n]; ok {
		made.names++
		return made
	}
	made := &memNode{modTime: n.modTime, names: 1}
	c.done[n] = made
	if n.isDir() {
		c.fillDir(made, n)
	} else {
		c.fillFile(made, n)
	}
	return made
}

func (c *cloner) fillDir(made, n *memNode) {
	kept := maps.Clone(n.synced)
	for _, change := range n.changes {
		if c.keep() {
			apply(kept, change)
		}
	}
	made.entries = make(map[string]*memNode, len(kept))
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		made.entries[name] = c.node(kept[name])
	}
	made.synced = maps.Clone(made.entries)
}

func (c *cloner) fillFile(made, n *memNode) {
	data := slices.Clone(n.data[:n.syncedLen])
	for _, sector := range slices.Sorted(maps.Keys(n.before)) {
		if !c.keep() {
			copy(data[sector*memSector:], n.before[sector])
		}
	}
	// The sector that the synced length ends in was counted above when it was
	// written over; here only its bytes beyond that length are at stake.
	for from := n.syncedLen; from < len(n.data); {
		to := min(from/memSector*memSector+memSector, len(n.data))
		if c.keep() {
			data = append(data, make([]byte, from-len(data))...)
			data = append(data, n.data[from:to]...)
		}
		from = to
	}
	made.data, made.syncedLen = data, len(data)
}
