// Package cold keeps rows that have left the hot store, in Parquet files of
// storages, and reads them back by row number.
//
// It knows files, not which rows of them count: windows, marks and locations
// are the store's. A file is written once, under its final name only when all
// of it is durable, and never changed. Columns are matched by column id, so a
// file shows any later definition of its table: dropped columns are skipped,
// new ones show what they were added with, widened ones are converted.
//
// Promises: point reads decode one page per column and keep it in a cache
// bounded by Options.CacheBytes; scans decode each page once and hold one page
// per column; at most Options.OpenFiles files are open beside those in use.
// Files of object stores are read from local copies, whose bytes are checked
// when they come and which are bounded by Options.FileCacheBytes.
//
// Goroutines: none. Locks: Tier.mu, pageCache.mu, statistics.mu and copies.mu, never one
// inside the other and never held across I/O.
package cold

import (
	"cmp"
	"container/list"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kalamdb/internal/cold/internal/objstore"
	"kalamdb/internal/cold/internal/parquet"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
)

// localFolder is the base of the storage "local" below the data directory.
const localFolder = "storage"

// ErrDamaged says that a file does not hold the bytes that were written.
var ErrDamaged = parquet.ErrDamaged

// Options say where files are and how much memory reading takes.
type Options struct {
	// FS is the file system of local storages; disk.Real() when nil.
	FS disk.FS
	// DataDir holds the base of the storage local.
	DataDir string
	// CacheBytes bounds the decoded pages that point reads keep; 64 MiB when 0.
	CacheBytes int64
	// OpenFiles bounds the files kept open while nobody reads them; 128 when 0.
	OpenFiles int
	// RowGroupRows and RowGroupBytes bound a row group; 32,768 and 32 MiB when 0.
	RowGroupRows, RowGroupBytes int
	// SharedTemplate and UserTemplate are the folders of tables in the storage
	// local when it is made; the Default… when empty.
	SharedTemplate, UserTemplate string
	// FileCacheBytes bounds the local copies of files of object stores
	// (cold.cache_bytes); 1 GiB when 0.
	FileCacheBytes int64
	// Attempts, Delay and Deadline say how often an operation on an object store
	// is tried, how long the second attempt waits and how long one may take; 5,
	// 200 ms and 20 s when 0.
	Attempts        int
	Delay, Deadline time.Duration
	// BloomRows is from how many rows on a file has bloom filters; 1,024 when 0.
	BloomRows int64
}

// Tier is the door to all storages.
type Tier struct {
	options Options
	cache   *pageCache
	copies  *copies // of files of object stores
	staged  staging
	stats   struct {
		pagesRead, pagesCached, rowGroups, groupsPruned, filesWritten, filesRemoved atomic.Int64
	}
	statistics statistics // of files, read once
	mu         struct {
		sync.Mutex
		storages map[string]objstore.Bucket // of type filesystem, by base folder
		remotes  map[string]*remote         // object stores, by id
		former   []*objstore.Cloud          // object stores before they were altered
		open     map[uint64]*Reader         // by file number
		idle     *list.List                 // of *Reader without users, least recently used first
	}
}

// Stats are figures of the tier since its start.
type Stats struct {
	// PagesRead counts pages decoded, PagesCached those found in the cache.
	PagesRead, PagesCached int64
	// RowGroups counts row groups that scans and point reads have entered.
	RowGroups int64
	// RowGroupsPruned counts those that statistics and bloom filters spared.
	RowGroupsPruned int64
	// FilesWritten and FilesRemoved count files.
	FilesWritten, FilesRemoved int64
	// Fetched and FetchedBytes count copies made of files of object stores,
	// Evicted those that gave way; CopyBytes is what they take now. Retries counts
	// operations on object stores that were tried again.
	Fetched, FetchedBytes, Evicted, CopyBytes, Retries int64
	// OpenFiles is how many files are open now, CacheBytes what the cache holds.
	OpenFiles  int
	CacheBytes int64
}

// New returns a tier; nothing is read or written before it is used.
func New(o Options) *Tier {
	if o.FS == nil {
		o.FS = disk.Real()
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 64 << 20
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = 128
	}
	o.SharedTemplate = cmp.Or(o.SharedTemplate, DefaultSharedTemplate)
	o.UserTemplate = cmp.Or(o.UserTemplate, DefaultUserTemplate)
	if o.BloomRows <= 0 {
		o.BloomRows = 1024
	}
	t := &Tier{options: o, cache: newPageCache(o.CacheBytes)}
	if o.FileCacheBytes <= 0 {
		o.FileCacheBytes = 1 << 30
	}
	t.copies = &copies{fs: o.FS, folder: path.Join(o.DataDir, cacheFolder), most: o.FileCacheBytes}
	t.copies.mu.held = map[uint64]*localCopy{}
	t.mu.storages = map[string]objstore.Bucket{}
	t.mu.remotes = map[string]*remote{}
	t.mu.open = map[uint64]*Reader{}
	t.mu.idle = list.New()
	return t
}

// Stats returns the figures of the tier.
func (t *Tier) Stats() Stats {
	t.mu.Lock()
	open := len(t.mu.open)
	retries := int64(0)
	for _, r := range t.mu.remotes {
		retries += r.cloud.Retries()
	}
	t.mu.Unlock()
	t.copies.mu.Lock()
	defer t.copies.mu.Unlock()
	return Stats{
		Fetched: t.copies.fetched.files, FetchedBytes: t.copies.fetched.bytes, Evicted: t.copies.evicted.files,
		CopyBytes: t.copies.mu.bytes, Retries: retries,
		PagesRead: t.stats.pagesRead.Load(), PagesCached: t.stats.pagesCached.Load(),
		RowGroups: t.stats.rowGroups.Load(), RowGroupsPruned: t.stats.groupsPruned.Load(), FilesWritten: t.stats.filesWritten.Load(),
		FilesRemoved: t.stats.filesRemoved.Load(), OpenFiles: open, CacheBytes: t.cache.size(),
	}
}

// Base returns the folder that holds the objects of a storage. The storage
// local may leave it to the data directory.
func (t *Tier) Base(st schema.Storage) string {
	base := strings.TrimPrefix(st.BaseDirectory, "file://")
	if base == "" {
		base = path.Join(t.options.DataDir, localFolder)
	}
	return path.Clean(base)
}

// storage returns the objects of a storage.
func (t *Tier) storage(st schema.Storage) (objstore.Bucket, error) {
	if st.Type != "" && st.Type != "filesystem" {
		return t.cloud(st)
	}
	base := t.Base(st)
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.mu.storages[base]
	if !ok {
		s = objstore.NewFilesystem(t.options.FS, base)
		t.mu.storages[base] = s
	}
	return s, nil
}

// PutManifest writes the manifest of a folder: an export, never read back.
func (t *Tier) PutManifest(st schema.Storage, folder string, manifest []byte) error {
	s, err := t.storage(st)
	if err != nil {
		return err
	}
	return s.Put(path.Join(folder, manifestName), manifest)
}

// Manifest reads the manifest of a folder as it stands there, to compare it with
// what it should be.
func (t *Tier) Manifest(st schema.Storage, folder string) ([]byte, error) {
	s, err := t.storage(st)
	if err != nil {
		return nil, err
	}
	return s.Get(path.Join(folder, manifestName))
}

// RemoveManifest deletes the manifest of a folder, and the folder when that
// was the last object in it.
func (t *Tier) RemoveManifest(st schema.Storage, folder string) error {
	s, err := t.storage(st)
	if err != nil {
		return err
	}
	return s.Remove(path.Join(folder, manifestName))
}

// Remove deletes a file, what an interrupted upload of it has left, and the
// folders that have become empty. Open readers go on reading.
func (t *Tier) Remove(st schema.Storage, f schema.File) error {
	s, err := t.storage(st)
	if err != nil {
		return err
	}
	t.forget(f.Bytes())
	if err := s.Remove(f.Path); err != nil {
		return err
	}
	t.stats.filesRemoved.Add(1)
	return nil
}

// Close closes the files that nobody reads.
func (t *Tier) Close() error {
	t.mu.Lock()
	var idle []*Reader
	for e := t.mu.idle.Front(); e != nil; e = e.Next() {
		idle = append(idle, e.Value.(*Reader))
	}
	for _, r := range idle {
		t.drop(r)
	}
	t.mu.Unlock()
	err := closeAll(idle)
	t.Interrupt()
	return err
}

// LocalStorage returns the row of the storage inside the data directory, which
// every database has. It leaves its base to the tier, so that a data directory
// may be moved. now is in microseconds since the Unix epoch.
func (t *Tier) LocalStorage(now int64) schema.Storage {
	return schema.Storage{
		ID: schema.LocalStorage, Name: "Local Storage", Description: "Files below the data directory", Type: "filesystem",
		SharedTemplate: t.options.SharedTemplate, UserTemplate: t.options.UserTemplate, CreatedAt: now, UpdatedAt: now,
	}
}
