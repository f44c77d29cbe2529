// Package engine is the one home of Pebble: ordered keys, batches, snapshots.
//
// What it promises: a batch is applied as a whole, is visible when Apply
// returns and durable when Wait has returned. After durability is lost (see
// file fatal.go) no Apply and no Wait returns any more and no file is touched;
// instead Options.Fatal is called, which ends the process, or in tests the
// goroutine.
//
// Mutators and reads are functions of this room, not methods: the rooms above
// the store hold batches, snapshots and readers, and cannot call what they
// cannot import. A row key and its version are passed apart; every other key,
// and every bound, is plain bytes. Keys order bytewise, the versions of a row
// newest first.
//
// Goroutines: those of Pebble, and one per batch between Apply and the end of
// its sync; Close ends them. Locks: Pebble's own; a DB and a
// Snapshot may be used by many goroutines, a Batch or an Iter by one.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"

	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
)

// Sizes that an idle server does not pay for: the memtable and the cache grow
// with use.
const (
	defaultCacheBytes    = 64 << 20
	defaultMemTableBytes = 16 << 20
	memTablesMax         = 4  // writes stall while so many wait to be flushed
	l0StopWrites         = 24 // and while L0 is so deep
	openFilesMax         = 1000
	defaultBlockBytes    = 8 << 10
	indexBlockBytes      = 128 << 10
	bloomBits            = 10
)

// formatVersion is pinned: a newer Pebble must not change the files of a
// directory without a decision of ours.
const formatVersion = pebble.FormatTableFormatV6

// ErrCorrupt is in the chain of errors that say that files are damaged.
var ErrCorrupt = errors.New("engine files are damaged")

// Options configures a DB.
type Options struct {
	// ReadOnly refuses every Apply and writes no file. The default is false.
	ReadOnly bool
	// MustExist refuses to make an engine where there is none. The default is
	// false.
	MustExist bool
	// CacheBytes bounds the cache of blocks. The default is 64 MiB.
	CacheBytes int64
	// MemTableBytes is the size at which new keys go to a file. The default
	// is 16 MiB.
	MemTableBytes int64
	// BlockBytes is the size of a block of keys in a file. The default is 8
	// KiB.
	BlockBytes int
	// Fatal is called when durability is lost. It never returns: it ends the
	// process or, in tests, the calling goroutine. The default panics.
	Fatal func(format string, args ...any)
	// Logger takes warnings and errors. The default drops them.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.CacheBytes <= 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.MemTableBytes <= 0 {
		o.MemTableBytes = defaultMemTableBytes
	}
	if o.BlockBytes <= 0 {
		o.BlockBytes = defaultBlockBytes
	}
	if o.Fatal == nil {
		o.Fatal = func(format string, args ...any) { fault.Assert(false, format, args...) }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// DB is an open engine.
type DB struct {
	pebble *pebble.DB
	logger *slog.Logger
	doom   *doom
	files  *fileSystem

	complained atomic.Int64 // Unix time in nanoseconds of the last complaint
}

// Open opens the engine in dir and makes it when dir is empty or missing.
func Open(fsys disk.FS, dir string, o Options) (*DB, error) {
	o = o.withDefaults()
	db := &DB{logger: o.Logger, doom: newDoom(o.Fatal)}
	if err := db.open(fsys, dir, o); err != nil {
		return nil, fmt.Errorf("open engine %s: %w", dir, mark(err))
	}
	db.doom.armed.Store(true)
	return db, nil
}

// open opens Pebble on a stack of its own, on which it may give up.
func (db *DB) open(fsys disk.FS, dir string, o Options) error {
	done := make(chan error, 1)
	go func() {
		defer func() { // Pebble panics over some refused syncs
			if r := recover(); r != nil {
				fault.Assert(db.doom.cause() != nil, "open: %v", r)
				done <- db.doom.cause()
			}
		}()
		cache := pebble.NewCache(o.CacheBytes)
		defer cache.Unref() // Pebble holds its own reference
		p, err := pebble.Open(dir, db.pebbleOptions(fsys, cache, o))
		db.pebble = p
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-db.doom.stuck:
		return db.doom.cause()
	}
}

func (db *DB) pebbleOptions(fsys disk.FS, cache *pebble.Cache, o Options) *pebble.Options {
	db.files = &fileSystem{disk: fsys, doom: db.doom}
	p := &pebble.Options{
		Cache:                       cache,
		Comparer:                    newComparer(),
		Merger:                      newMerger(),
		FS:                          db.files,
		FormatMajorVersion:          formatVersion,
		ReadOnly:                    o.ReadOnly,
		ErrorIfNotExists:            o.MustExist,
		MemTableSize:                uint64(o.MemTableBytes),
		MemTableStopWritesThreshold: memTablesMax,
		L0StopWritesThreshold:       l0StopWrites,
		MaxOpenFiles:                openFilesMax,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      (*logger)(db),
		EventListener:               db.events(),
	}
	filter := bloom.FilterPolicy(bloomBits)
	for i := range p.Levels {
		p.Levels[i] = pebble.LevelOptions{
			BlockSize:      o.BlockBytes,
			IndexBlockSize: indexBlockBytes,
			FilterPolicy:   filter,
			// Hot rows are read often; the cold tier is where they get small.
			Compression: func() *sstable.CompressionProfile { return sstable.SnappyCompression },
		}
	}
	return p
}

// Broken returns why nothing can be made durable any more, or nil.
func (db *DB) Broken() error { return db.doom.cause() }

// mark adds ErrCorrupt to errors of damaged files.
func mark(err error) error {
	if err != nil && pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// Flush writes all applied changes to files, those of relaxed batches too.
func (db *DB) Flush() error {
	if err := db.doom.outlive(db.pebble.Flush); err != nil {
		return fmt.Errorf("flush engine: %w", mark(err))
	}
	return nil
}

// FlushFor is Flush for those who do not depend on it: it gives up when the disk
// does not take the files within limit.
func (db *DB) FlushFor(limit time.Duration) error {
	var flushed <-chan struct{}
	err := db.doom.outlive(func() (err error) {
		flushed, err = db.pebble.AsyncFlush()
		return err
	})
	if err != nil {
		return fmt.Errorf("flush engine: %w", mark(err))
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-flushed:
	case <-db.doom.came:
	case <-timer.C:
		return fmt.Errorf("flush engine: not done within %s", limit)
	}
	return db.Broken()
}

// Compact rewrites the files that hold keys of [lower, upper), so that what
// was deleted there takes no room.
func (db *DB) Compact(ctx context.Context, lower, upper []byte) error {
	err := db.doom.outlive(func() error {
		return db.pebble.Compact(ctx, appendBare(nil, lower), appendBare(nil, upper), false)
	})
	if err != nil {
		return fmt.Errorf("compact engine: %w", mark(err))
	}
	return nil
}

// Obsolete returns how many tables wait for their removal, or for the readers
// that still use them.
func (db *DB) Obsolete() int64 {
	m := db.pebble.Metrics()
	return m.Table.ObsoleteCount + m.Table.ZombieCount
}

// logsKept is how many logs are kept to be written again, and how many may be
// written or flushed now.
const logsKept = memTablesMax + 1 + memTablesMax

// RenewLogs writes all applied changes to tables and lets none of the logs that
// held them stay, not even to be written again.
func (db *DB) RenewLogs() error {
	db.files.fresh.Store(true)
	defer db.files.fresh.Store(false)
	for range logsKept {
		if err := db.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// Checkpoint writes a copy of the present state to dir, which must not exist;
// files are linked where the disk can. All applied batches are in it.
func (db *DB) Checkpoint(dir string) error {
	err := db.doom.outlive(func() error { return db.pebble.Checkpoint(dir, pebble.WithFlushedWAL()) })
	if err != nil {
		return fmt.Errorf("checkpoint engine to %s: %w", dir, mark(err))
	}
	return nil
}

// Verify reads all entries of all files, whose checksums are compared on the
// way, and checks their order.
func (db *DB) Verify() error {
	if err := db.doom.outlive(func() error { return db.pebble.CheckLevels(nil) }); err != nil {
		return fmt.Errorf("verify engine: %w", mark(err))
	}
	return nil
}

// Close ends the engine after all its snapshots, iterators and batches are
// closed; one left open is an error. After a breakdown nothing is written any
// more: the files are left as a crash would leave them.
func (db *DB) Close() error {
	if err := db.Broken(); err != nil {
		return fmt.Errorf("close engine: %w", err)
	}
	if err := db.doom.outlive(db.pebble.Close); err != nil {
		return fmt.Errorf("close engine: %w", mark(err))
	}
	return nil
}

// Metrics is what the engine knows of its size and work.
type Metrics struct {
	DiskBytes     uint64 // all files, the log included
	LogBytes      uint64 // live bytes of the log
	MemTableBytes uint64
	CacheBytes    int64
	CacheHits     int64
	CacheMisses   int64
	Files         int64 // tables in all levels
	ReadAmp       int   // tables a point read may have to ask
	Flushes       int64
	Compactions   int64
	DebtBytes     uint64 // what compactions have still to move
}

// Metrics returns the present figures.
func (db *DB) Metrics() Metrics {
	m := db.pebble.Metrics()
	total := m.Total()
	return Metrics{
		DiskBytes:     m.DiskSpaceUsage(),
		LogBytes:      m.WAL.Size,
		MemTableBytes: m.MemTable.Size,
		CacheBytes:    m.BlockCache.Size,
		CacheHits:     m.BlockCache.Hits,
		CacheMisses:   m.BlockCache.Misses,
		Files:         total.TablesCount,
		ReadAmp:       m.ReadAmp(),
		Flushes:       m.Flush.Count,
		Compactions:   m.Compact.Count,
		DebtBytes:     m.Compact.EstimatedDebt,
	}
}
