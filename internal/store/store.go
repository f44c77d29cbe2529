// Package store is the door to the storage engine: it opens the data
// directory, gives out batches, snapshots and readers, and keeps the few
// entries that tell where the last run ended.
//
// What it promises: FORMAT is read before anything else is opened, and a
// directory that is newer, foreign or without a legible FORMAT is refused
// untouched. One process holds a directory. A batch is visible when Commit
// has returned and durable when Wait has. What batches and readers hold can
// be changed and read by the rooms under internal/store alone.
//
// Goroutines: those of the engine. Locks: none of its own; a Store may be
// used by many goroutines, a Batch by one, a Snapshot by many.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"sync/atomic"
	"time"

	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/store/internal/engine"
)

// defaultReserve is the free space below which writes are refused.
const defaultReserve = 256 << 20

// defaultClockSkew is how far the last position may be ahead of the clock.
const defaultClockSkew = time.Hour

// Options configures a Store.
type Options struct {
	// FS is the file system. The default is the operating system's.
	FS disk.FS
	// Dir is the data directory. The default is "data".
	Dir string
	// Fatal is called when durability is lost. It never returns: it ends the
	// process or, in tests, the calling goroutine. The default panics.
	Fatal func(format string, args ...any)
	// Reserve is the free space in bytes that Full keeps. The default is 256
	// MiB; a negative one keeps none.
	Reserve int64
	// MaxClockSkew is how far the last position may be ahead of the clock
	// before the server starts read-only. The default is one hour.
	MaxClockSkew time.Duration
	// AcceptClock overrides MaxClockSkew.
	AcceptClock bool
	// Now is the clock. The default is time.Now.
	Now func() time.Time
	// CacheBytes bounds the cache of blocks. The default is 64 MiB.
	CacheBytes int64
	// MemTableBytes is the size at which new keys go to a file. The default
	// is 16 MiB.
	MemTableBytes int64
	// BlockBytes is the size of a block of keys in a file: what one read takes
	// from the disk at least. The default is 8 KiB.
	BlockBytes int
	// ArchiveBytes bounds what waits to be shipped to the archive; 0 keeps none.
	ArchiveBytes int64
	// Logger takes warnings and errors. The default drops them.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = disk.Real()
	}
	if o.Dir == "" {
		o.Dir = "data"
	}
	if o.Reserve == 0 {
		o.Reserve = defaultReserve
	}
	if o.MaxClockSkew == 0 {
		o.MaxClockSkew = defaultClockSkew
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Store is an open data directory.
type Store struct {
	options   Options
	lock      io.Closer // LOCK, held until Close
	db        *engine.DB
	clean     bool         // the run before ended with Close
	recovered atomic.Bool  // what it may have lost is noted
	snapshots atomic.Int64 // open ones
	batches   atomic.Int64 // open ones
	archive   *Archive     // nil while none is configured
}

// Reader is a state that can be read by the rooms under internal/store.
type Reader = engine.Reader

// Open opens a data directory and makes it when it is missing or empty. What
// is wrong with the directory itself comes as an *OpenError.
func Open(o Options) (*Store, error) {
	o = o.withDefaults()
	d := directory{fs: o.FS, path: o.Dir}
	lock, err := d.enter()
	if err != nil {
		return nil, err
	}
	s := &Store{options: o, lock: lock}
	if err := s.openEngine(d); err != nil {
		_ = lock.Close() // the first error is the one to report
		return nil, err
	}
	return s, nil
}

// openEngine opens what is behind FORMAT and begins a run.
func (s *Store) openEngine(d directory) error {
	db, err := engine.Open(s.options.FS, d.hot(), engine.Options{
		MustExist:     !d.fresh,
		CacheBytes:    s.options.CacheBytes,
		MemTableBytes: s.options.MemTableBytes,
		BlockBytes:    s.options.BlockBytes,
		Fatal:         s.options.Fatal,
		Logger:        s.options.Logger,
	})
	if err != nil {
		return d.engineFault(err)
	}
	s.db = db
	if err = s.begin(d); err == nil {
		err = d.finish()
	}
	if err != nil {
		_ = db.Close() // the first error is the one to report
	}
	return err
}

// begin reads how the run before ended and durably marks this one as running.
func (s *Store) begin(d directory) error {
	format, known, err := sysUint(s.db, sysFormat)
	if err != nil {
		return d.engineFault(err)
	}
	switch {
	case known && format > formatNumber:
		return d.refuse(Newer, "its engine was written by format %d; this server reads up to %d", format, formatNumber)
	case known && format != formatNumber, !known && !d.fresh:
		return d.refuse(Damaged, "FORMAT says %d, the engine says %d", formatNumber, format)
	}
	_, s.clean, err = engine.SysGet(s.db, sysClean)
	if err != nil {
		return d.engineFault(err)
	}
	s.clean = (s.clean || d.fresh) && !d.restored
	var ceiling error
	err = s.commit(func(b *engine.Batch) {
		if !known {
			putUint(b, sysFormat, formatNumber)
		}
		if d.restored {
			ceiling = d.raiseCeiling(s.db, b, s.options.Now())
		}
		engine.SysDelete(b, sysClean)
	})
	if err == nil && ceiling != nil {
		err = d.engineFault(ceiling)
	}
	if err == nil {
		err = s.openArchive(d.restored)
	}
	return err
}

// commit applies a batch of the store's own and waits for it.
func (s *Store) commit(fill func(b *engine.Batch)) error {
	b := s.db.NewBatch()
	defer b.Close()
	fill(b)
	if err := s.db.Apply(b, true); err != nil {
		return err
	}
	return b.Wait()
}

// Clean reports whether the run before ended with Close. After any other end,
// relaxed commits may be missing, and so they may after a run that ended before
// it called Recovered.
func (s *Store) Clean() bool { return s.clean }

// Recovered says that it is durably noted what the run before may have lost.
// Until then Close does not mark a run that was not clean.
func (s *Store) Recovered() { s.recovered.Store(true) }

// FS returns the file system of the directory.
func (s *Store) FS() disk.FS { return s.options.FS }

// Dir returns the data directory.
func (s *Store) Dir() string { return s.options.Dir }

// TempDir returns the directory for files that need not outlive the process.
func (s *Store) TempDir() string { return path.Join(s.options.Dir, tempName) }

// Reader returns the newest applied state, durable or not.
func (s *Store) Reader() Reader { return s.db }

// FreeBytes returns the free space under the directory.
func (s *Store) FreeBytes() (uint64, error) {
	free, _, err := s.options.FS.Usage(s.options.Dir)
	if err != nil {
		return 0, fmt.Errorf("ask for free space of %s: %w", s.options.Dir, err)
	}
	return free, nil
}

// Full returns a DISK_FULL fault when less than the reserve is free.
func (s *Store) Full() error {
	if s.options.Reserve < 0 {
		return nil
	}
	free, err := s.FreeBytes()
	if err != nil {
		return err
	}
	if free < uint64(s.options.Reserve) {
		return fault.New(fault.DiskFull, "the disk is full: %d bytes are free and the server keeps %d; free some space and try again",
			free, s.options.Reserve)
	}
	return nil
}

// ReadOnlyReason returns why the server must start read-only, or nothing: the
// last position lies so far ahead of the clock that the clock must be wrong.
func (s *Store) ReadOnlyReason() (string, error) {
	last, err := Position(s.db)
	if err != nil || s.options.AcceptClock {
		return "", err
	}
	at := PositionTime(last)
	now := s.options.Now()
	if at.Sub(now) <= s.options.MaxClockSkew {
		return "", nil
	}
	return fmt.Sprintf("the last commit is of %s, but the clock says %s; set the clock, or start with --accept-clock",
		at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)), nil
}

// Flush writes all applied changes to files.
func (s *Store) Flush() error { return s.db.Flush() }

// scrubWait is how long Scrub waits for tables to be removed that have been
// rewritten; scrubLook is the time between looks.
const (
	scrubWait = 30 * time.Second
	scrubLook = 20 * time.Millisecond
)

// Scrub rewrites the files of the engine that hold keys of ranges, and its logs,
// so that the bytes of deleted entries leave the disk. What an open snapshot can
// read stays, and tells nobody: the caller waits for old snapshots before.
func (s *Store) Scrub(ctx context.Context, ranges func(scrub func(lower, upper []byte) error) error) error {
	if err := s.db.Flush(); err != nil {
		return err
	}
	err := ranges(func(lower, upper []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return s.db.Compact(ctx, lower, upper)
	})
	if err == nil {
		err = s.db.RenewLogs()
	}
	if err != nil {
		return err
	}
	end := time.NewTimer(scrubWait)
	defer end.Stop()
	look := time.NewTicker(scrubLook)
	defer look.Stop()
	for s.db.Obsolete() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return nil // a reader holds a table: it goes when the reader ends
		case <-look.C:
		}
	}
	return nil
}

// Checkpoint writes a copy of the present state to dir, which must not exist:
// a data directory without tmp, logs and cold files, that Open accepts as
// one that was not closed. FORMAT is written last.
func (s *Store) Checkpoint(dir string) error {
	d := directory{fs: s.options.FS, path: dir}
	exists, err := disk.Exists(d.fs, dir)
	if err != nil {
		return fmt.Errorf("checkpoint to %s: %w", dir, err)
	}
	if exists {
		return fmt.Errorf("checkpoint to %s: the directory exists", dir)
	}
	if err := disk.MakeDir(d.fs, dir); err != nil {
		return fmt.Errorf("checkpoint to %s: %w", dir, err)
	}
	if err := s.db.Checkpoint(d.hot()); err != nil {
		return err
	}
	if err := disk.SyncDir(d.fs, dir); err != nil {
		return fmt.Errorf("checkpoint to %s: %w", dir, err)
	}
	if err := disk.WriteFile(d.fs, d.join(formatName), []byte(formatText)); err != nil {
		return fmt.Errorf("checkpoint to %s: %w", dir, err)
	}
	return nil
}

// A clean stop leaves replayBytes of log to the next start, or more when the disk
// does not take them within lastFlush.
const (
	replayBytes = 1 << 20
	lastFlush   = 5 * time.Second
)

// Close durably marks the end of the run and closes the directory. All
// batches and snapshots must be closed. After durability was lost it leaves
// no mark, nor does a start that failed before it had recovered. A long log is written to a table first: the next start would have to
// read it, which takes longer than this.
func (s *Store) Close() error {
	err := s.db.Broken()
	if err == nil && s.db.Metrics().LogBytes > replayBytes && s.Full() == nil {
		_ = s.db.FlushFor(lastFlush) // what is not flushed is in the log
	}
	if err == nil && (s.clean || s.recovered.Load()) {
		err = s.commit(func(b *engine.Batch) { engine.SysPut(b, sysClean, []byte{1}) })
	}
	if closeErr := s.db.Close(); err == nil {
		err = closeErr
	}
	return errors.Join(err, s.lock.Close())
}

// Stats is what the store knows of its size and work.
type Stats struct {
	Snapshots int64 // open ones
	Batches   int64 // open ones

	DiskBytes     uint64 // all files of the engine, the log included
	LogBytes      uint64
	MemTableBytes uint64
	CacheBytes    int64
	CacheHits     int64
	CacheMisses   int64
	Files         int64
	ReadAmp       int
	Flushes       int64
	Compactions   int64
	DebtBytes     uint64 // what compactions have still to move
}

// Stats returns the present figures.
func (s *Store) Stats() Stats {
	m := s.db.Metrics()
	return Stats{
		Snapshots: s.snapshots.Load(),
		Batches:   s.batches.Load(),

		DiskBytes:     m.DiskBytes,
		LogBytes:      m.LogBytes,
		MemTableBytes: m.MemTableBytes,
		CacheBytes:    m.CacheBytes,
		CacheHits:     m.CacheHits,
		CacheMisses:   m.CacheMisses,
		Files:         m.Files,
		ReadAmp:       m.ReadAmp,
		Flushes:       m.Flushes,
		Compactions:   m.Compactions,
		DebtBytes:     m.DebtBytes,
	}
}
