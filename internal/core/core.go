// Package core is the database: it executes SQL and opens live queries for
// authenticated sessions.
//
// A DB parses, authorises, plans and runs statements. A batch is authorised as
// a whole before any of it runs, by the one function that live queries and
// every other door call too. A caller who was answered reads his own write.
//
// A Conversation keeps the transaction of one client open between his
// statements; a request is one of its own.
//
// Goroutines: those of the rooms that Run starts (apply, live, job), and two of
// its own: one ends transactions that have lasted too long, the other statements
// whose callers have gone away. Locks: the plan cache's, statements.mu, looks.mu
// and transactions.mu, held for map operations only; transaction.mu, held while no
// statement runs, before transactions.mu; deadline.mu, before no other.
package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"kalamdb/internal/auth"
	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/core/ddl"
	"kalamdb/internal/core/job"
	"kalamdb/internal/core/live"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/core/write"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/store"
)

// Options say what a DB is made of. Store and Cold are required; they belong to
// the caller, who closes them after Run has returned.
type Options struct {
	// Store holds the hot rows and the catalog.
	Store *store.Store
	// Cold reads and writes the files of the cold tier.
	Cold *cold.Tier
	// Passwords checks and hashes passwords; required.
	Passwords *auth.Passwords
	// NodeID is 0 to 1023, the ten node bits of _seq.
	NodeID uint16
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Entropy fills bytes with chance, for generated ids; nil is the system's
	// source.
	Entropy func([]byte)
	// Logger gets what operators should know; nil is slog.Default.
	Logger *slog.Logger
	// Fatal ends the process when a commit can neither be applied nor refused.
	// It never returns; nil panics.
	Fatal func(format string, args ...any)

	// Origin is how clients reach the server, as http: or https: with host and
	// port; nil is http://localhost.
	Origin func() string
	// AuditEntries is how many of the newest entries system.audit_log keeps; 0 is
	// 100,000.
	AuditEntries int
	// Version is the server's, as VERSION() tells it.
	Version string
	// Recorder is what the server keeps of itself in the namespace dba.
	Recorder RecorderOptions
	// Cluster is what CLUSTER statements show and remove.
	Cluster ClusterOptions
	// Commit bounds and paces commits.
	Commit CommitOptions
	// Transactions bound explicit transactions.
	Transactions TransactionOptions
	// Live bounds live queries; see live.Options.
	Live live.Options
	// Presence bounds the rows that are bound to connections; its functions, clock
	// and positions are given by New.
	Presence live.PresenceOptions
	// Limits bound statements.
	Limits Limits
	// SlowStatement is from which time on Slow hears of a statement; 0 is never.
	// Slow is called by the goroutine that has run it.
	SlowStatement time.Duration
	Slow          func(SlowStatement)
	// Tracer hears of statements, commits and jobs; nil costs nothing.
	Tracer Tracer
	// Analytics bounds what runs in DuckDB.
	Analytics AnalyticsOptions
	// DeletedRetention is how long tombstones stay where the table does not
	// say; 0 is 7 days, negative is for ever.
	DeletedRetention time.Duration
	// Flush says when and how rows move to the cold tier; see maint.FlushOptions.
	Flush maint.FlushOptions
	// Compaction says which small cold files become one by the clock.
	Compaction maint.Compaction
	// ColdGrace is how long replaced cold files stay; see maint.Options.Grace.
	ColdGrace time.Duration
	// OrphanAge is how old cold files that nobody names are before they are removed;
	// see maint.Options.OrphanAge.
	OrphanAge time.Duration
	// Archive says where the commands of commits are shipped to; the Store keeps
	// them when its ArchiveBytes are set.
	Archive maint.ArchiveOptions
	// Jobs bounds background jobs.
	Jobs JobOptions
	// ExportRetention is how long archives of users stay; see maint.Options.
	ExportRetention time.Duration
	// Files bounds files of FILE columns.
	Files FileOptions
	// HistoryAge and HistoryBytes bound what can be replayed; 0 is 1 h, 1 GiB.
	HistoryAge   time.Duration
	HistoryBytes int64
	// DropWithSubscribers and DropNonemptyNamespace are those of ddl.Options.
	DropWithSubscribers   string
	DropNonemptyNamespace string
	// IgnoreForeignKeys is that of ddl.Options.
	IgnoreForeignKeys bool
}

// JobOptions bound background jobs; zero means the default.
type JobOptions struct {
	Workers   int           // 2 that run at once
	Queue     int           // 256 that wait
	Retention time.Duration // 30 days that rows of finished ones stay
}

// CommitOptions bound and pace commits; zero means the default.
type CommitOptions struct {
	Durability    schema.Durability // Sync
	MaxRows       int               // 200,000
	MaxBytes      int64             // 100 MiB
	QueueCommands int               // 4,096
	QueueBytes    int64             // 64 MiB
}

// Limits bound statements; zero means the default.
type Limits struct {
	DefaultQueryLimit int           // rows of a SELECT without LIMIT; 0 is no limit
	MaxQueryLimit     int           // rows of a SELECT with LIMIT; 0 is no limit
	MaxResultBytes    int64         // 1 GiB
	MaxSQLBytes       int           // 1 MiB
	MaxParameters     int           // 50
	MaxParameterBytes int           // 524,288
	PlanCacheEntries  int           // 200
	MaxDepth          int           // 512
	StatementTime     time.Duration // 30 s
	BatchTime         time.Duration // 5 min, of all statements of one batch
	MaxStatements     int           // 10,000 in one batch
	MaxSortBytes      int64         // of all sorts and groupings of single tables together: MaxResultBytes
}

func (l Limits) withDefaults() Limits {
	set := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
	}
	set(&l.MaxSQLBytes, 1<<20)
	set(&l.MaxParameters, 50)
	set(&l.MaxParameterBytes, 512<<10)
	set(&l.PlanCacheEntries, 200)
	set(&l.MaxDepth, 512)
	set(&l.MaxStatements, 10_000)
	if l.MaxResultBytes == 0 {
		l.MaxResultBytes = 1 << 30
	}
	if l.MaxSortBytes == 0 {
		l.MaxSortBytes = l.MaxResultBytes
	}
	if l.StatementTime == 0 {
		l.StatementTime = 30 * time.Second
	}
	if l.BatchTime == 0 {
		l.BatchTime = 5 * time.Minute
	}
	return l
}

// DB is the database. Its methods may be called by many goroutines once Ready
// is closed.
type DB struct {
	o         Options
	apply     *apply.Local
	relations *relation.Relations
	writer    *write.Writer
	// transactions are those that conversations have open.
	transactions *transactions
	definer      *ddl.Definer
	hub          *live.Hub
	jobs         *job.Runner
	maint        *maint.Maintainer
	plans        *planCache
	ids          idSource
	sequences    sequences
	texts        *semaphore.Weighted // bytes of large texts that are being parsed
	memory       *exec.Memory        // of all sorts and groupings
	helpers      *exec.Helpers       // of groupings on the row path
	analytics    *exec.Engine        // of what the row path has not
	statements   *statements         // that run
	ready        chan struct{}       // closed when the catalog is complete
	uploads      chan struct{}       // holds a token for each request with files
	looks        looks
	stats        struct {
		statements, failures, conflicts atomic.Int64
	}
}

// Open composes the rooms over the store and the cold tier. Nothing runs, and
// nothing but reads of definitions works, until Run.
func Open(o Options) (*DB, error) {
	if o.Store == nil || o.Cold == nil || o.Passwords == nil {
		return nil, errors.New("open core: store, cold tier and passwords are required")
	}
	o = o.withDefaults()
	db := &DB{o: o, ready: make(chan struct{}), uploads: make(chan struct{}, o.Files.Uploads), plans: newPlanCache(o.Limits.PlanCacheEntries), texts: semaphore.NewWeighted(textRoom), memory: exec.NewMemory(o.Limits.MaxSortBytes), helpers: exec.NewHelpers(o.Analytics.threads() - 1)}
	db.analytics = o.Analytics.engine(o.Logger)
	db.statements = newStatements(o.Now, newSlowLog(o.SlowStatement, o.Slow), o.Tracer)
	if err := db.compose(); err != nil {
		return nil, fmt.Errorf("open core: %w", err)
	}
	return db, nil
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Commit.Durability == schema.DurabilityDefault {
		o.Commit.Durability = schema.Sync
	}
	if o.DeletedRetention == 0 {
		o.DeletedRetention = 7 * 24 * time.Hour
	}
	if o.HistoryAge == 0 {
		o.HistoryAge = time.Hour
	}
	if o.HistoryBytes == 0 {
		o.HistoryBytes = 1 << 30
	}
	if o.AuditEntries == 0 {
		o.AuditEntries = 100_000
	}
	o.Limits, o.Files = o.Limits.withDefaults(), o.Files.withDefaults()
	return o
}

// Ready is closed when the database takes statements.
func (db *DB) Ready() <-chan struct{} { return db.ready }

// Run drives the database until ctx ends, then drains what is queued. Order of
// the end: live first, so that nobody waits for events that will not come;
// then jobs, which propose commands; then apply, which commits what they and
// the last statements have proposed; then what runs in DuckDB.
func (db *DB) Run(ctx context.Context) error {
	applyContext, stopApply := context.WithCancel(context.WithoutCancel(ctx))
	defer stopApply()
	engine, _ := errgroup.WithContext(applyContext)
	engine.Go(func() error { return db.apply.Run(applyContext) })

	rooms, roomsContext := errgroup.WithContext(ctx)
	if err := db.maint.PutRestored(ctx); err != nil {
		rooms.Go(func() error { return err }) // ends the rest
	}
	rooms.Go(func() error {
		if err := db.bootstrap(roomsContext); err != nil {
			return fmt.Errorf("bootstrap the catalog: %w", err)
		}
		close(db.ready)
		return nil
	})
	rooms.Go(func() error { return db.hub.Run(roomsContext) })
	rooms.Go(func() error { return db.jobs.Run(roomsContext) })
	rooms.Go(func() error { return db.maint.Run(roomsContext) })
	rooms.Go(func() error { return db.record(roomsContext) })
	rooms.Go(func() error { return db.transactions.run(roomsContext) })
	rooms.Go(func() error { return db.statements.run(roomsContext) })
	rooms.Go(func() error {
		<-roomsContext.Done()
		return nil
	})
	err := rooms.Wait()
	stopApply()
	err = errors.Join(err, engine.Wait(), db.analytics.Close())
	db.transactions.close()
	db.apply.Close()
	return err
}

// bootstrap makes what every database has: the namespaces default and system
// and the storage local.
func (db *DB) bootstrap(ctx context.Context) error {
	now := db.o.Now().UnixMicro()
	var bodies []command.Body
	for _, name := range []string{schema.DefaultNamespace, schema.SystemNamespace} {
		if _, ok := db.apply.Definitions().Namespace(name); !ok {
			bodies = append(bodies, &command.PutNamespace{Create: true, Namespace: schema.Namespace{Name: name, CreatedAt: now, UpdatedAt: now}})
		}
	}
	if _, ok := db.apply.Definitions().Storage(schema.LocalStorage); !ok {
		bodies = append(bodies, &command.PutStorage{Create: true, Storage: db.o.Cold.LocalStorage(now)})
	}
	for _, body := range bodies {
		if _, err := db.apply.Commit(ctx, &command.Command{Time: now, Body: body}); err != nil {
			return err
		}
	}
	if err := db.definer.Recover(ctx); err != nil {
		return err
	}
	return db.bootstrapTables(ctx)
}

// User returns the newest committed row of a user; it fulfils auth.Users.
func (db *DB) User(ctx context.Context, id schema.UserID) (schema.UserRecord, bool, error) {
	return db.apply.User(ctx, id)
}

// Accounts changes users on behalf of auth.
func (db *DB) Accounts() auth.Accounts { return db.definer }

// Hub delivers live queries.
func (db *DB) Hub() *live.Hub { return db.hub }

// Relations is where the server registers views over running state.
func (db *DB) Relations() *relation.Relations { return db.relations }

// Flush moves the hot rows of a table to the cold tier and waits for it.
func (db *DB) Flush(ctx context.Context, namespace, name string) (maint.FlushResult, error) {
	t, ok := db.apply.Definitions().Table(namespace, name)
	if !ok {
		return maint.FlushResult{}, fault.New(fault.TableNotFound, "table %s.%s does not exist", namespace, name)
	}
	return db.maint.Flush(ctx, t.ID)
}

// Maintain does now what maintenance does by the clock: it forgets history,
// ends the rows of streams and purges tombstones whose time has passed.
func (db *DB) Maintain(ctx context.Context) error {
	return errors.Join(db.maint.ForgetHistory(ctx), db.maint.ExpireStreams(ctx), db.maint.Purge(ctx))
}

// Position is the last published position.
func (db *DB) Position() uint64 {
	view := db.relations.View()
	defer view.Release()
	return view.Position()
}

func (db *DB) execLimits() exec.Limits {
	return exec.Limits{MaxBytes: min(db.o.Limits.MaxResultBytes, db.o.Limits.MaxSortBytes), Memory: db.memory, Helpers: db.helpers, FileRows: db.o.Analytics.FileRows}
}
