// Package maint does the work that keeps a database in order: it moves hot rows
// to the cold tier, removes files that nobody reads any more, forgets history
// and purges tombstones.
//
// It reads views and proposes commands, at most 2,048 rows each and fewer while
// statements come, so writers get their turn in between. Every step may be cut off: a file that no window names
// is removed at the next start, a window that does not cover its file yet is
// moved on, and the rest is done again.
//
// Goroutines: five in Run, one for what the clock asks for, one that removes
// events of streams, one that starts flushes by the policies of tables, one that
// removes files of FILE columns and one that ships commands to the archive;
// flushes and cleanups run as jobs, and each slice that waits for its fsync has
// one.
// Locks: Maintainer.mu, flushes.mu, streams.mu, blobs.mu, holds.mu, publishing.mu, archiveFigures.mu
// and traffic.mu, none held across I/O; Maintainer.shipping, held while one stretch is shipped.
package maint

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/core/job"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// sliceRows is how many rows one command moves at most.
const sliceRows = 2048

// DefaultGrace is how long replaced files stay by default.
const DefaultGrace = 10 * time.Minute

// Options say what a Maintainer works with.
type Options struct {
	// Committer takes the commands; required.
	Committer command.Committer
	// View returns the current durable moment, held for the caller; required.
	View func() *catalog.View
	// OldestView returns the position of the oldest open view; required.
	OldestView func() uint64
	// Jobs runs what statements start; required.
	Jobs *job.Runner
	// Cold reads and writes files; required.
	Cold *cold.Tier
	// Store is what backups copy; required for them.
	Store *store.Store
	// Version is the server's, for backups.
	Version string
	// Relations reads rows, hot and cold; required for building indexes.
	Relations *relation.Relations
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Logger gets what operators should know; slog.Default when nil.
	Logger *slog.Logger
	// HistoryAge and HistoryBytes bound what can be replayed; 1 h and 1 GiB
	// when 0.
	HistoryAge   time.Duration
	HistoryBytes int64
	// DeletedRetention is how long tombstones stay where the table does not
	// say; 7 days when 0, for ever when negative.
	DeletedRetention time.Duration
	// JobRetention is how long rows of finished jobs stay; 30 days when 0.
	JobRetention time.Duration
	// ExportRetention is how long archives of EXPORT USER DATA stay; a week when 0.
	ExportRetention time.Duration
	// Compaction says which small files become one by the clock.
	Compaction Compaction
	// Grace is how long a file stays after a compacted one has taken its place, for
	// readers of manifests; DefaultGrace when 0, none when negative.
	Grace time.Duration
	// OrphanAge is how old a file that nobody names must be to be removed;
	// DefaultOrphanAge when 0, never when negative. It is looked for as often.
	OrphanAge time.Duration
	// SliceRows is how many rows a flush or a compaction moves with one command,
	// and at most 2,048, which it is when 0.
	SliceRows int
	// SlicesAhead is how many slices may wait for their fsync while the next one
	// is applied; 3 when 0, none when negative.
	SlicesAhead int
	// Statements returns how many statements have come so far: while there are
	// some, flushes and compactions give way. They never do when it is nil.
	Statements func() int64
	// SortBytes is how many bytes of rows a flush puts in order in memory; 64
	// MiB when 0. Larger scopes are read in order, which is slower.
	SortBytes int64
	// Definitions returns the newest definitions; those of View when nil.
	Definitions func() *catalog.Definitions
	// Flush says when and how rows move to the cold tier.
	Flush FlushOptions
	// EndLive ends the subscriptions of a user with a fault, and his connections
	// when they have been told; nil where nobody subscribes.
	EndLive func(user schema.UserID, because error)
	// Archive says where commands are shipped to; Store keeps them.
	Archive ArchiveOptions
	// Tick is the time between two looks at history and files; 10 s when 0. PurgeEvery is the time between two looks for tombstones and old
	// jobs; 1 h when 0.
	Tick, PurgeEvery time.Duration
	// StreamTick is the time between two looks for events of streams whose time is
	// over, or that do not fit any more; 100 ms when 0.
	StreamTick time.Duration
}

// FlushOptions say when and how rows move to the cold tier.
type FlushOptions struct {
	// Every is the time between two counts of all tables with a FLUSH_POLICY; 60
	// s when 0. When it is negative no policy is obeyed.
	Every time.Duration
	// When one flush meets more than PackScopes users with fewer than MinFileRows
	// hot rows each, they share files; 64 and 10,000 when 0. With a negative
	// PackScopes each has its own.
	PackScopes  int
	MinFileRows int64
	// BytesPerSecond bounds the rows that flushes and compactions write to cold
	// files, all together and before compression; 64 MiB when 0, none when
	// negative.
	BytesPerSecond int64
}

// Maintainer does the work.
type Maintainer struct {
	o     Options
	first struct { // the first file number of this life; set by New
		number uint64
		err    error
	}
	removable atomic.Bool // files may wait for their removal
	stats     struct{ rows, files, removed, purged, orphans, orphanBytes atomic.Int64 }
	flushes   *flushes // what the schedule knows
	streams   *streams // what is known of STREAM tables
	blobs     *blobs
	holds     holds
	archive   archiveFigures
	published publishing
	shipping  sync.Mutex    // held by the one who ships
	pace      *rate.Limiter // nil for no bound
	traffic   traffic
	mu        struct {
		sync.Mutex
		busy map[schema.TableID]chan struct{} // tables being flushed; closed when done
	}
}

// New returns a Maintainer. Files that are reserved in this moment belong to an
// earlier life of the server and are removed by Run.
func New(o Options) *Maintainer {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&o.HistoryAge, time.Hour)
	set(&o.DeletedRetention, 7*24*time.Hour)
	set(&o.JobRetention, 30*24*time.Hour)
	set(&o.Grace, DefaultGrace)
	set(&o.OrphanAge, DefaultOrphanAge)
	set(&o.ExportRetention, DefaultExportRetention)
	set(&o.Tick, 10*time.Second)
	set(&o.PurgeEvery, time.Hour)
	set(&o.StreamTick, 100*time.Millisecond)
	set(&o.Flush.Every, time.Minute)
	o.Archive = o.Archive.withDefaults()
	if o.Flush.PackScopes == 0 {
		o.Flush.PackScopes = 64
	}
	if o.Flush.MinFileRows == 0 {
		o.Flush.MinFileRows = 10_000
	}
	if o.Definitions == nil {
		o.Definitions = func() *catalog.Definitions {
			view := o.View()
			defer view.Release()
			return view.Definitions()
		}
	}
	if o.HistoryBytes == 0 {
		o.HistoryBytes = 1 << 30
	}
	o.Compaction = o.Compaction.withDefaults()
	if o.SliceRows <= 0 || o.SliceRows > command.SliceRows {
		o.SliceRows = command.SliceRows
	}
	if o.SlicesAhead == 0 {
		o.SlicesAhead = slicesAhead
	}
	if o.SortBytes == 0 {
		o.SortBytes = 64 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	m := &Maintainer{o: o, flushes: newFlushes(), streams: newStreams(), blobs: newBlobs(), pace: newPace(o.Flush.BytesPerSecond)}
	m.traffic.statements, m.traffic.now = o.Statements, time.Now
	m.resumeJobs()
	m.removable.Store(true)
	m.mu.busy = map[schema.TableID]chan struct{}{}
	m.published.busy, m.published.due, m.published.at = map[folderOf]chan struct{}{}, map[schema.TableID]time.Time{}, map[schema.TableID]uint64{}
	view := o.View()
	defer view.Release()
	m.first.number, m.first.err = store.NextNumber(view.Reader(), store.NumberFile)
	return m
}

// Stats are figures since the start.
type Stats struct {
	FlushedRows, FlushedFiles, RemovedFiles, PurgedRows int64
	// Orphans are files that nobody named and that were removed, OrphanBytes their
	// bytes.
	Orphans, OrphanBytes int64

	Archive ArchiveStats
}

// Stats returns the figures.
func (m *Maintainer) Stats() Stats {
	return Stats{
		FlushedRows: m.stats.rows.Load(), FlushedFiles: m.stats.files.Load(), RemovedFiles: m.stats.removed.Load(), PurgedRows: m.stats.purged.Load(),
		Orphans: m.stats.orphans.Load(), OrphanBytes: m.stats.orphanBytes.Load(),
		Archive: m.ArchiveStats(),
	}
}

// Run recovers what an earlier life has left and then works by the clock until
// ctx ends. What goes wrong is logged and tried again at the next tick.
func (m *Maintainer) Run(ctx context.Context) error {
	if m.first.err != nil {
		return m.first.err
	}
	m.try(ctx, "recover cold files", m.Recover)
	m.try(ctx, "mend manifests", m.MendManifests)
	m.publishAll()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { m.schedule(ctx); return nil })
	g.Go(func() error { m.keepOrder(ctx); return nil })
	g.Go(func() error { m.keepStreams(ctx); return nil })
	g.Go(func() error { m.collect(ctx); return nil })
	g.Go(func() error { m.keepArchive(ctx); return nil })
	return g.Wait()
}

// keepOrder does what the clock asks for until ctx ends.
func (m *Maintainer) keepOrder(ctx context.Context) {
	tick := time.NewTicker(m.o.Tick)
	defer tick.Stop()
	purge := time.NewTicker(m.o.PurgeEvery)
	defer purge.Stop()
	looked := m.o.Now()  // for files to compact
	var walked time.Time // for orphans
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.try(ctx, "forget history", m.ForgetHistory)
			m.try(ctx, "remove files", m.RemoveFiles)
			m.try(ctx, "publish tables", m.PublishDue)
			if now := m.o.Now(); now.Sub(looked) >= m.o.Compaction.Every {
				looked = now
				m.try(ctx, "start compactions", m.CompactByRule)
			}
		case <-purge.C:
			m.try(ctx, "purge tombstones", m.Purge)
			m.try(ctx, "prune jobs", m.PruneJobs)
			m.try(ctx, "remove exports", m.RemoveExports)
			if now := m.o.Now(); now.Sub(walked) >= m.o.OrphanAge {
				walked = now
				m.try(ctx, "remove orphans", m.RemoveOrphans)
			}
		}
	}
}

// try runs one piece of work and logs what goes wrong.
func (m *Maintainer) try(ctx context.Context, what string, work func(context.Context) error) {
	if err := work(ctx); err != nil && ctx.Err() == nil {
		m.o.Logger.Error("maintenance was interrupted", "work", what, "error", err)
	}
}

// commit proposes a command of the server itself.
func (m *Maintainer) commit(ctx context.Context, body command.Body) (command.Receipt, error) {
	return m.o.Committer.Commit(ctx, &command.Command{Time: m.o.Now().UnixMicro(), Body: body})
}

// claim takes a table for a flush, and waits for the one that has it.
func (m *Maintainer) claim(ctx context.Context, id schema.TableID) error {
	for {
		m.mu.Lock()
		done, busy := m.mu.busy[id]
		if !busy {
			m.mu.busy[id] = make(chan struct{})
		}
		m.mu.Unlock()
		if !busy {
			return nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *Maintainer) giveBack(id schema.TableID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.mu.busy[id])
	delete(m.mu.busy, id)
}

// Recover removes what an earlier life has reserved and never filled, and moves
// windows on that do not cover their file yet.
func (m *Maintainer) Recover(ctx context.Context) error {
	var stale []schema.File
	unfinished := map[schema.TableID]struct{}{}
	var order []schema.TableID
	if err := m.eachFile(ctx, func(_ *catalog.View, f schema.File) error {
		switch {
		case f.Number >= m.first.number:
		case f.State == schema.FileReserved:
			stale = append(stale, f)
		case f.State == schema.FileLive:
			if _, known := unfinished[f.Table]; !known {
				unfinished[f.Table] = struct{}{}
				order = append(order, f.Table)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, f := range stale {
		m.o.Logger.Info("removing a cold file that was never filled", "file", f.Number, "path", f.Path)
		m.discard(ctx, f)
	}
	for _, id := range order {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := m.resume(ctx, id); err != nil {
			m.o.Logger.Error("a flush could not be moved on", "table", id, "error", err)
		}
	}
	return m.RemoveFiles(ctx)
}

// resume claims a table and moves its unfinished windows on.
func (m *Maintainer) resume(ctx context.Context, id schema.TableID) (int64, error) {
	if err := m.claim(ctx, id); err != nil {
		return 0, err
	}
	defer m.giveBack(id)
	view := m.o.View()
	defer view.Release()
	t, ok := view.Definitions().TableByID(id)
	if !ok {
		return 0, nil
	}
	return m.moveOn(ctx, view, t)
}

// eachFile visits every cold file of one moment by number.
func (m *Maintainer) eachFile(ctx context.Context, visit func(*catalog.View, schema.File) error) error {
	view := m.o.View()
	defer view.Release()
	for after := uint64(0); ; {
		files, err := table.Files(view.Reader(), after, 1000)
		if err != nil || len(files) == 0 {
			return err
		}
		for _, f := range files {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := visit(view, f); err != nil {
				return err
			}
		}
		after = files[len(files)-1].Number
	}
}

// storageOf returns the storage of a scope's files: the table's, or the user's
// own where the table allows it.
func storageOf(view *catalog.View, t *schema.Table, scope schema.Scope) (schema.Storage, error) {
	id := t.Options.StorageID
	if id == "" {
		id = schema.LocalStorage
	}
	if t.Options.UseUserStorage && t.Kind == schema.User {
		user, ok, err := catalog.Users().Get(view.Reader(), string(scope))
		if err != nil {
			return schema.Storage{}, err
		}
		if ok && user.StorageID != "" {
			if st, known := view.Definitions().Storage(user.StorageID); known {
				return *st, nil
			}
		}
	}
	st, ok := view.Definitions().Storage(id)
	if !ok {
		return schema.Storage{}, fault.New(fault.ObjectNotFound, "Storage '%s' does not exist", id)
	}
	return *st, nil
}
