package cold

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"sync"

	"kalamdb/internal/cold/internal/objstore"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// cacheFolder holds local copies of files of object stores, and what is being
// written to them, below the data directory. It is emptied at each start.
const cacheFolder = "cold-cache"

// fetchBytes is how much of a file is asked for at once.
const fetchBytes = 8 << 20

// remote is a storage in an object store, with the row that it was made of.
type remote struct {
	row   schema.Storage
	cloud *objstore.Cloud
}

// same reports whether a row reaches the same place in the same way.
func (r *remote) same(st schema.Storage) bool {
	return r.row.Type == st.Type && r.row.BaseDirectory == st.BaseDirectory && r.row.Config == st.Config && r.row.Credentials == st.Credentials
}

// cloud returns the objects of a storage that is not of type filesystem.
func (t *Tier) cloud(st schema.Storage) (*objstore.Cloud, error) {
	t.mu.Lock()
	r, ok := t.mu.remotes[st.ID]
	t.mu.Unlock()
	if ok && r.same(st) {
		return r.cloud, nil
	}
	o, err := cloudOf(st)
	if err != nil {
		return nil, err
	}
	if err := t.copies.begin(); err != nil {
		return nil, err
	}
	o.FS, o.Spool = t.options.FS, t.copies.folder
	o.Attempts, o.Delay, o.Deadline = t.options.Attempts, t.options.Delay, t.options.Deadline
	c, err := objstore.NewCloud(o)
	if err != nil {
		return nil, fault.New(fault.InvalidOperation, "storage '%s': %s", st.ID, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r, ok := t.mu.remotes[st.ID]; ok {
		if r.same(st) {
			_ = c.Close() // another was faster
			return r.cloud, nil
		}
		// Others may be at work with the older one: it ends with the tier.
		t.mu.former = append(t.mu.former, r.cloud)
	}
	t.mu.remotes[st.ID] = &remote{row: st, cloud: c}
	return c, nil
}

// copies are the local copies of files of object stores, of which every byte
// was checked against the file's sum when it came. Those that nobody reads go,
// least recently used first, when room is needed.
//
// Locks: mu, never held across I/O but for removals.
type copies struct {
	fs     disk.FS
	folder string
	most   int64
	start  struct {
		sync.Once
		err error
	}
	mu struct {
		sync.Mutex
		bytes int64 // of all copies, those that are coming included
		held  map[uint64]*localCopy
		tick  uint64
	}
	fetched, evicted counterPair
}

// counterPair counts files and their bytes; guarded by copies.mu.
type counterPair struct{ files, bytes int64 }

// localCopy is the copy of one file.
type localCopy struct {
	number uint64
	name   string
	size   int64
	users  int
	used   uint64
	gone   bool          // goes with its last user
	ready  chan struct{} // closed when it is there, or err says why not
	err    error
}

// begin empties the folder of what an earlier process has left, once.
func (c *copies) begin() error {
	c.start.Do(func() {
		names, err := c.fs.List(c.folder)
		if err != nil && !disk.IsNotExist(err) {
			c.start.err = fmt.Errorf("list %s: %w", c.folder, err)
			return
		}
		for _, name := range names {
			if err := c.fs.Remove(path.Join(c.folder, name)); err != nil && !disk.IsNotExist(err) {
				c.start.err = fmt.Errorf("empty %s: %w", c.folder, err)
				return
			}
		}
		if err := c.fs.MkdirAll(c.folder); err != nil {
			c.start.err = fmt.Errorf("make folder %s: %w", c.folder, err)
		}
	})
	return c.start.err
}

// open returns the copy of a file, which is fetched when it is not there, as an
// object that holds it until it is closed.
func (c *copies) open(f schema.File, bucket objstore.Bucket, idle func(number uint64) bool) (objstore.Object, int64, error) {
	l, mine, err := c.claim(f, idle)
	if err != nil {
		return nil, 0, err
	}
	if mine {
		l.err = c.fetch(l, f, bucket)
		close(l.ready)
	} else {
		<-l.ready
	}
	if l.err != nil {
		c.release(l, true)
		return nil, 0, l.err
	}
	file, err := disk.Open(c.fs, l.name)
	if err != nil {
		c.release(l, true)
		return nil, 0, fmt.Errorf("open %s: %w", l.name, err)
	}
	return &heldCopy{File: file, copies: c, copy: l}, l.size, nil
}

// claim counts a user of a copy. When there is none it makes room for one and
// tells the caller to fetch it.
func (c *copies) claim(f schema.File, idle func(number uint64) bool) (l *localCopy, mine bool, err error) {
	for {
		c.mu.Lock()
		c.mu.tick++
		if l, ok := c.mu.held[f.Bytes()]; ok && !l.gone {
			l.users++
			l.used = c.mu.tick
			c.mu.Unlock()
			return l, false, nil
		}
		victims := c.room(f.Size)
		if c.mu.bytes+f.Size <= c.most {
			l = &localCopy{
				number: f.Bytes(), name: path.Join(c.folder, fmt.Sprintf("%d-%d.parquet", f.Bytes(), c.mu.tick)),
				size: f.Size, users: 1, used: c.mu.tick, ready: make(chan struct{}),
			}
			c.mu.held[f.Bytes()] = l
			c.mu.bytes += f.Size
			c.mu.Unlock()
			c.delete(victims)
			return l, true, nil
		}
		oldest := c.oldest()
		c.mu.Unlock()
		c.delete(victims)
		// Readers that nobody uses are kept open for a while; those give way too.
		if freed := slices.ContainsFunc(oldest, idle); !freed {
			return nil, false, fault.New(fault.LimitExceeded, "the statement needs more files of object storages at once than fit into cold.cache_bytes (%d bytes): file %s has %d bytes", c.most, f.Path, f.Size)
		}
	}
}

// byUse puts copies in order, least recently used first.
func byUse(all []*localCopy) []*localCopy {
	slices.SortFunc(all, func(a, b *localCopy) int { return cmp.Compare(a.used, b.used) })
	return all
}

// oldest returns the files that are held, least recently used first.
func (c *copies) oldest() []uint64 {
	all := make([]*localCopy, 0, len(c.mu.held))
	for _, l := range c.mu.held {
		all = append(all, l)
	}
	numbers := make([]uint64, len(all))
	for i, l := range byUse(all) {
		numbers[i] = l.number
	}
	return numbers
}

// room takes copies without users out of the books until size fits, and returns
// them; mu is held.
func (c *copies) room(size int64) []*localCopy {
	var victims []*localCopy
	if c.mu.bytes+size <= c.most {
		return nil
	}
	all := make([]*localCopy, 0, len(c.mu.held))
	for _, l := range c.mu.held {
		if l.users == 0 {
			all = append(all, l)
		}
	}
	for _, l := range byUse(all) {
		if c.mu.bytes+size <= c.most {
			break
		}
		c.drop(l)
		c.evicted.files++
		c.evicted.bytes += l.size
		victims = append(victims, l)
	}
	return victims
}

// drop takes a copy out of the books; mu is held.
func (c *copies) drop(l *localCopy) {
	if c.mu.held[l.number] == l {
		delete(c.mu.held, l.number)
	}
	c.mu.bytes -= l.size
}

func (c *copies) delete(victims []*localCopy) {
	for _, l := range victims {
		_ = c.fs.Remove(l.name) // what stays is removed at the next start
	}
}

// release gives a copy back; a bad one goes with its last user.
func (c *copies) release(l *localCopy, bad bool) {
	c.mu.Lock()
	l.users--
	if bad && !l.gone {
		l.gone = true
		if c.mu.held[l.number] == l {
			delete(c.mu.held, l.number)
		}
	}
	last := l.users == 0 && l.gone
	if last {
		c.mu.bytes -= l.size
	}
	c.mu.Unlock()
	if last {
		c.delete([]*localCopy{l})
	}
}

// forget drops the copy of a file that has been removed.
func (c *copies) forget(number uint64) {
	c.mu.Lock()
	l, ok := c.mu.held[number]
	if ok {
		l.users++
	}
	c.mu.Unlock()
	if ok {
		c.release(l, true)
	}
}

// fetch brings a file, and believes it only when length and sum are those that
// the writer has counted.
func (c *copies) fetch(l *localCopy, f schema.File, bucket objstore.Bucket) error {
	object, size, err := bucket.Open(f.Path)
	if err != nil {
		return unreachable(f.StorageID, err)
	}
	defer func() { _ = object.Close() }() // it was only read
	if size != f.Size {
		return fmt.Errorf("cold file %s has %d bytes instead of %d: %w", f.Path, size, f.Size, ErrDamaged)
	}
	to, err := disk.Create(c.fs, l.name)
	if err != nil {
		return fmt.Errorf("create %s: %w", l.name, err)
	}
	sum := sha256.New()
	err = copyParts(io.MultiWriter(to, sum), object, size)
	if closeErr := to.Close(); err == nil {
		err = closeErr
	}
	if err == nil && f.Checksum != "" && hex.EncodeToString(sum.Sum(nil)) != f.Checksum {
		err = fmt.Errorf("cold file %s does not have the bytes that were written: %w", f.Path, ErrDamaged)
	}
	if err == nil {
		c.mu.Lock()
		c.fetched.files++
		c.fetched.bytes += size
		c.mu.Unlock()
	}
	return unreachable(f.StorageID, err)
}

func copyParts(to io.Writer, from io.ReaderAt, size int64) error {
	part := make([]byte, min(size, fetchBytes))
	for off := int64(0); off < size; {
		p := part[:min(int64(len(part)), size-off)]
		if n, err := from.ReadAt(p, off); n < len(p) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if _, err := to.Write(p); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}

// heldCopy is an open copy, which stays until it is closed.
type heldCopy struct {
	disk.File
	copies *copies
	copy   *localCopy
	once   sync.Once
}

// Close gives the copy back.
func (h *heldCopy) Close() error {
	var err error
	h.once.Do(func() {
		err = h.File.Close()
		h.copies.release(h.copy, false)
	})
	return err
}

// Interrupt ends what runs in object stores, so that nobody waits for a store
// that does not answer; what is asked afterwards fails.
func (t *Tier) Interrupt() {
	t.mu.Lock()
	clouds := t.mu.former
	t.mu.former = nil
	for _, r := range t.mu.remotes {
		clouds = append(clouds, r.cloud)
	}
	t.mu.Unlock()
	for _, c := range clouds {
		_ = c.Close() // it only gives connections back
	}
}
