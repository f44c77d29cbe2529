package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"kalamdb/internal/api"
	"kalamdb/internal/auth"
	"kalamdb/internal/cold"
	"kalamdb/internal/config"
	"kalamdb/internal/core"
	"kalamdb/internal/core/live"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
)

// Options say what to run.
type Options struct {
	// Config is the configuration in force.
	Config config.Options
	// ConfigFile is where it comes from, for the log; Warnings are what was odd
	// about it.
	ConfigFile string
	Warnings   []string
	// AcceptClock takes writes although the last commit is far ahead of the
	// clock.
	AcceptClock bool
	// Version, Commit and BuildDate describe the binary.
	Version, Commit, BuildDate string
	// FS is the file system of the data; nil is the operating system's.
	FS disk.FS
	// Fatal ends the process when durability is lost. It never returns.
	Fatal func(format string, args ...any)
	// Stdout gets the line with the address, Stderr the log; nil discards.
	Stdout, Stderr io.Writer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Server is an opened server. Run must be called, for it closes what Open has
// opened.
type Server struct {
	o       Options
	logs    *logs
	log     *slog.Logger
	slow    *slowLog
	store   *store.Store
	cold    *cold.Tier
	db      *core.DB
	auth    *auth.Auth
	api     *api.Server
	sockets *api.WebSockets
	process *process
	tracing *tracing // or nil
	guard   *memoryGuard
	address net.Addr
}

// RefusedDirectory reports whether Open has failed because the data directory
// is locked, foreign, newer or damaged.
func RefusedDirectory(err error) bool {
	var refused *store.OpenError
	return errors.As(err, &refused)
}

// Open opens everything and takes the port. What fails is a reason not to
// start.
func Open(o Options) (*Server, error) {
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FS == nil {
		o.FS = disk.Real()
	}
	if err := o.Config.SettleMemory(); err != nil {
		return nil, err
	}
	s := &Server{o: o, process: newProcess(o.Now)}
	s.logs = newLogs(o.Config.Logging, o.Stderr)
	s.log = s.logs.logger()
	s.slow = newSlowLog(o.Config.LogsPath(), s.log)
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Server) open() error {
	for _, step := range []func() error{
		s.openStore, s.openLogs, s.openTracing, s.openCore, s.openEdge,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) openStore() (err error) {
	c := &s.o.Config.Storage
	reserve := c.Reserve
	if reserve == 0 {
		reserve = -1 // the store takes 0 for its default
	}
	s.store, err = store.Open(store.Options{
		FS: s.o.FS, Dir: c.DataPath, Fatal: s.o.Fatal, Reserve: reserve,
		MaxClockSkew: c.MaxClockSkew, AcceptClock: s.o.AcceptClock, Now: s.o.Now, Logger: s.log,
		CacheBytes: s.o.Config.Memory.HotCache, MemTableBytes: s.o.Config.Memory.MemTable, ArchiveBytes: s.archiveBytes(),
	})
	return err
}

// archiveBytes bounds what waits for the archive; 0 keeps nothing for it.
func (s *Server) archiveBytes() int64 {
	if s.o.Config.Archive.Storage == "" {
		return 0
	}
	return s.o.Config.Archive.MaxBytes
}

// openLogs begins the log file, now that the data directory is known to be
// ours, and says how the server was configured.
func (s *Server) openLogs() error {
	if err := s.logs.open(s.o.Config.LogsPath()); err != nil {
		return err
	}
	s.log.Info("server is starting", "version", s.o.Version, "commit", s.o.Commit,
		"config", s.o.ConfigFile, "data", s.o.Config.Storage.DataPath, "pid", os.Getpid(),
		"memory_budget", s.o.Config.Memory.Budget, "memory_of_go", s.o.Config.GoMemory(), "memory_of_analytics", s.o.Config.Analytics.Memory)
	for _, w := range s.o.Warnings {
		s.log.Warn("configuration", "warning", w)
	}
	return nil
}

func (s *Server) openTracing() (err error) {
	s.tracing, err = openTracing(s.o.Config.Tracing, s.o.Version, s.o.Config.Server.NodeID, s.log)
	return err
}

func (s *Server) openCore() error {
	c := &s.o.Config
	s.cold = cold.New(cold.Options{
		FS: s.o.FS, DataDir: c.Storage.DataPath,
		SharedTemplate: c.Storage.SharedTablesTemplate, UserTemplate: c.Storage.UserTablesTemplate,
		CacheBytes: c.Memory.ColdCache, FileCacheBytes: c.Cold.CacheBytes,
	})
	passwords, err := auth.NewPasswords(auth.PasswordOptions{
		Cost: c.Auth.BcryptCost, MinLength: c.Auth.MinPasswordLength, MaxLength: c.Auth.MaxPasswordLength,
		AllowCommon: c.Auth.DisableCommonPasswordCheck, Complexity: c.Auth.EnforcePasswordComplexity,
		Off: c.Auth.PasswordPolicy == "off",
	})
	if err != nil {
		return err
	}
	secret, err := c.TokenSecret()
	if err != nil {
		return err
	}
	o := s.coreOptions(passwords)
	if s.tracing != nil {
		o.Tracer = s.tracing
	}
	s.db, err = core.Open(o)
	if err != nil {
		return err
	}
	s.guard = s.newMemoryGuard()
	s.auth, err = auth.New(auth.Options{
		Users: s.db, Accounts: s.db.Accounts(), Passwords: passwords, Secret: secret,
		AccessLifetime: c.Auth.JWTExpiry, AttemptsPerSecond: c.RateLimit.MaxAuthRequestsPerIP,
		LimiterEntries: c.RateLimit.CacheMaxEntries, LimiterIdle: c.RateLimit.CacheTTL,
		Audit: func(ctx context.Context, e schema.AuditEntry) error {
			return s.db.Audit(ctx, &auth.Session{UserID: e.Actor, Actor: e.Actor}, e)
		},
		Now: s.o.Now, Logger: s.log,
	})
	return err
}

func (s *Server) coreOptions(passwords *auth.Passwords) core.Options {
	c := &s.o.Config
	return core.Options{
		Store: s.store, Cold: s.cold, Passwords: passwords,
		NodeID: uint16(c.Server.NodeID), Now: s.o.Now, Logger: s.log, Fatal: s.o.Fatal, Origin: s.origin,
		Commit: core.CommitOptions{
			Durability: schema.Durability(c.Commit.Durability), MaxRows: c.Commit.MaxRows,
			MaxBytes: c.Commit.MaxBytes, QueueCommands: c.Commit.QueueCommands, QueueBytes: c.Commit.QueueBytes,
		},
		Transactions: core.TransactionOptions{
			IdleTimeout: c.Transaction.IdleTimeout, Timeout: c.Transaction.Timeout,
			MaxBytes: c.Transaction.MaxBytes, Memory: c.Transaction.Memory, MaxOpen: c.Transaction.MaxOpen,
		},
		Live: live.Options{
			RingBytes: c.Live.RingBytes, OutboxBytes: c.Live.OutboxBytes, BatchBytes: int(c.WebSocket.MaxFrameBytes),
			ResultRows: c.Live.ResultRows, ResultBytes: c.Live.ResultBytes, ResultMemory: c.Live.ResultMemory, ResultWorkers: c.Live.ResultWorkers,
			MaxPerUser: c.RateLimit.MaxSubscriptionsPerUser, MaxPerConnection: c.WebSocket.MaxSubscriptionsPerConnection,
		},
		Presence: live.PresenceOptions{MaxPerConnection: c.Live.PresentRows, MaxBytes: c.Live.PresentBytes},
		Limits: core.Limits{
			DefaultQueryLimit: c.Limits.DefaultQueryLimit, MaxQueryLimit: c.Limits.MaxQueryLimit,
			MaxResultBytes: c.Limits.MaxResultBytes, MaxSQLBytes: int(c.Limits.MaxMessageSize),
			MaxParameters: c.Execution.MaxParameters, MaxParameterBytes: int(c.Execution.MaxParameterBytes),
			PlanCacheEntries: c.Execution.PlanCacheEntries, MaxDepth: c.Execution.MaxExpressionDepth,
			StatementTime: c.Execution.HandlerTimeout, BatchTime: c.Execution.BatchTimeout, MaxSortBytes: c.Memory.Sorts,
		},
		Analytics:     s.analyticsOptions(),
		SlowStatement: c.Logging.SlowQuery, Slow: s.slow.write,
		DeletedRetention: c.Retention.DefaultDeletedRetention, AuditEntries: c.Retention.AuditMaxEntries,
		Cluster: s.cluster(), Version: s.o.Version,
		Recorder: core.RecorderOptions{
			Tables: c.DBA.Tables, Every: c.DBA.StatsInterval, Keep: c.Retention.DBAStats, Sample: s.sample,
		},
		ExportRetention: c.Exports.Retention,
		Files: core.FileOptions{
			MaxBytes: c.Files.MaxSize, MaxFiles: c.Files.MaxFiles, Types: c.Files.AllowedTypes, Uploads: c.Files.MaxUploads,
		},
		Jobs:       core.JobOptions{Workers: c.Jobs.MaxConcurrent, Queue: c.Jobs.Queue, Retention: c.Jobs.Retention},
		HistoryAge: c.Live.HistoryAge, HistoryBytes: c.Live.HistoryBytes, Flush: s.flushOptions(), Compaction: s.compaction(), ColdGrace: cmp.Or(c.Cold.Grace, -1), OrphanAge: cmp.Or(c.Cold.OrphanAge, -1),
		Archive:             maint.ArchiveOptions{Storage: c.Archive.Storage, Folder: c.Archive.Folder, Every: c.Archive.Interval, SegmentBytes: c.Archive.SegmentBytes},
		IgnoreForeignKeys:   c.SQL.IgnoreForeignKeys,
		DropWithSubscribers: c.DDL.DropWithSubscribers, DropNonemptyNamespace: c.DDL.DropNonemptyNamespace,
	}
}

// flushOptions says when rows move to the cold tier: in the configuration 0
// turns the schedule off.
func (s *Server) flushOptions() maint.FlushOptions {
	c := &s.o.Config
	o := maint.FlushOptions{Every: c.Flush.CheckInterval, PackScopes: c.Cold.PackScopes, MinFileRows: c.Cold.MinFileRows, BytesPerSecond: cmp.Or(c.Flush.MaxBytesPerSecond, -1)}
	if o.Every == 0 {
		o.Every = -1
	}
	return o
}

// compaction says which cold files become one by the clock.
func (s *Server) compaction() maint.Compaction {
	c := &s.o.Config.Flush.Compaction
	return maint.Compaction{
		Enabled: c.Enabled, MinSegments: c.MinSegments, MaxSegments: c.MaxSegments, UserRows: c.UserRows, SharedRows: c.SharedRows,
		Every: s.o.Config.Flush.CheckInterval,
	}
}

// analyticsOptions bounds the analytic path. What it sets aside lies in the data
// directory where nothing else is said.
func (s *Server) analyticsOptions() core.AnalyticsOptions {
	c := &s.o.Config.Analytics
	dir := c.TempDir
	if dir == "" {
		dir = filepath.Join(s.o.Config.Storage.DataPath, "analytics")
	}
	return core.AnalyticsOptions{
		Memory: c.Memory, Threads: c.Threads, Connections: c.Connections, Queue: c.Queue,
		TempDir: dir, TempBytes: c.TempBytes, IdleClose: c.IdleClose,
	}
}

func (s *Server) openEdge() (err error) {
	s.registerViews()
	sockets := s.socketOptions()
	if s.tracing != nil {
		sockets.Tracer = s.tracing
	}
	if s.sockets, err = api.NewWebSockets(sockets); err != nil {
		return err
	}
	o := s.apiOptions() // it hands out the handler of sockets
	if s.tracing != nil {
		o.Tracer = s.tracing
	}
	if s.api, err = api.New(o); err != nil {
		return err
	}
	s.address, err = s.api.Listen()
	return err
}

func (s *Server) apiOptions() api.Options {
	c := &s.o.Config
	return api.Options{
		Address: c.Address(), DB: s.db, Auth: s.auth,
		WebSocket: s.sockets.Handle, Metrics: s.metrics(), Node: s.node,
		EventHeartbeat: c.WebSocket.HeartbeatInterval,
		Version:        s.o.Version, BuildDate: s.o.BuildDate,
		MaxConnections: c.Server.MaxConnections, ShutdownGrace: orNone(c.Server.ShutdownGrace),
		HandlerTimeout: c.Execution.HandlerTimeout, MaxSQLBytes: c.Limits.MaxMessageSize,
		MaxResultBytes: c.Limits.MaxResultBytes,
		Protection: api.Protection{
			Off:               !c.RateLimit.EnableConnectionProtection,
			MaxBody:           min(c.RateLimit.RequestBodyLimitBytes, c.Security.MaxRequestBodySize),
			RequestsPerSecond: c.RateLimit.MaxRequestsPerIP, Ban: c.RateLimit.BanDuration,
			Connections: c.RateLimit.MaxConnectionsPerIP,
		},
		MaxUpload:        c.Files.MaxSize*int64(c.Files.MaxFiles) + min(c.RateLimit.RequestBodyLimitBytes, c.Security.MaxRequestBodySize),
		QueriesPerSecond: c.RateLimit.MaxQueries,
		LimiterEntries:   c.RateLimit.CacheMaxEntries, LimiterIdle: c.RateLimit.CacheTTL,
		TrustedProxies: c.Security.ProxyRanges(),
		CORS: api.CORS{
			Origins: c.Security.CORS.AllowedOrigins, Methods: c.Security.CORS.AllowedMethods,
			Headers: c.Security.CORS.AllowedHeaders, Expose: c.Security.CORS.ExposeHeaders,
			Credentials: c.Security.CORS.AllowCredentials, MaxAge: c.Security.CORS.MaxAge,
		},
		CookieSecure: c.Auth.CookieSecure, AllowRemoteSetup: c.Auth.AllowRemoteSetup,
		Now: s.o.Now, Logger: s.log,
	}
}

func (s *Server) socketOptions() api.WebSocketOptions {
	c := &s.o.Config
	return api.WebSocketOptions{
		DB: s.db, Auth: s.auth,
		AuthTimeout: c.WebSocket.AuthTimeout, Heartbeat: c.WebSocket.HeartbeatInterval,
		ClientTimeout: c.WebSocket.ClientTimeout, MaxMessage: c.Security.MaxWSMessageSize,
		CompressChangeBytes: int(c.WebSocket.CompressChangeBytes), MessagesPerSecond: c.RateLimit.MaxMessages,
		MaxConnections: c.Server.MaxConnections, Origins: c.Security.CORS.AllowedOrigins,
		StrictOrigin: c.Security.StrictWSOriginCheck, TrustedProxies: c.Security.ProxyRanges(), Logger: s.log,
	}
}

// orNone says "none" in the edge's words, where 0 is the default.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// URL is where the server listens.
func (s *Server) URL() string { return "http://" + s.address.String() }

// Run serves until ctx ends or something fails, then ends everything in order.
func (s *Server) Run(ctx context.Context) error {
	defer letGarbageWait()()
	defer bounded(&s.o.Config)()
	err := s.run(ctx)
	s.log.Info("server has stopped", "uptime", s.process.uptime().String())
	return errors.Join(err, s.close())
}

func (s *Server) run(ctx context.Context) error {
	// Core outlives the edge: it gets a context of its own.
	coreContext, stopCore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCore()
	g, failed := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := s.db.Run(coreContext); err != nil {
			return fmt.Errorf("run the database: %w", err)
		}
		return nil
	})
	g.Go(func() error { return s.guard.run(coreContext) })
	g.Go(func() error {
		<-coreContext.Done()
		s.cold.Interrupt() // no upload keeps the stop waiting
		return nil
	})
	g.Go(func() error {
		defer stopCore() // the edge has ended: nobody proposes any more
		select {
		case <-s.db.Ready():
		case <-failed.Done():
			return nil
		}
		if err := s.auth.Bootstrap(failed, s.o.Config.Auth.RootPassword); err != nil {
			return fmt.Errorf("create root: %w", err)
		}
		s.announce()
		return s.runEdge(failed)
	})
	return g.Wait()
}

// runEdge serves both protocols. They end together: requests and sockets share
// the grace.
func (s *Server) runEdge(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.api.Run(ctx) })
	g.Go(func() error { return s.sockets.Run(ctx) })
	return g.Wait()
}

// announce says where clients find the server, on one line.
func (s *Server) announce() {
	fmt.Fprintf(s.o.Stdout, "kalamdb %s listening on %s\n", s.o.Version, s.URL())
	if reason, err := s.store.ReadOnlyReason(); err != nil || reason != "" {
		s.log.Warn("server is read-only", "reason", reason, "error", err)
	}
	s.log.Info("server is listening", "address", s.address.String(), "started_in", s.process.uptime().String())
}

// close ends the files, the store and the log, whatever of them was opened.
func (s *Server) close() error {
	var faults []error
	if s.cold != nil {
		faults = append(faults, s.cold.Close())
	}
	if s.store != nil {
		faults = append(faults, s.store.Close())
	}
	if s.tracing != nil {
		s.tracing.close()
	}
	return errors.Join(append(faults, s.slow.close(), s.logs.close())...)
}

// node describes this process to health answers.
func (s *Server) node() api.Node {
	usage := s.process.usage()
	cluster := s.db.Cluster()
	return api.Node{
		CurrentTerm: cluster.Term, LastApplied: cluster.LastApplied,
		ID: s.o.Config.Server.NodeID, Address: s.origin(), Hostname: s.process.hostname,
		MemoryMB: usage.resident >> 20, CPUPercent: usage.cpuPercent, Uptime: s.process.uptime(),
	}
}

// origin is how others reach the server.
func (s *Server) origin() string {
	if o := s.o.Config.Server.PublicOrigin; o != "" {
		return strings.TrimRight(o, "/")
	}
	return s.URL()
}
