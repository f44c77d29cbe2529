package config

import (
	"net"
	"path/filepath"
	"strconv"
	"time"
)

// Options is the configuration in force. Its fields are documented in keys.go,
// by the key that sets them.
type Options struct {
	Server      Server
	Storage     Storage
	Memory      Memory
	Commit      Commit
	Transaction Transaction
	Live        Live
	Flush       Flush
	Cold        Cold
	Files       Files
	Archive     Archive
	Exports     Exports
	WebSocket   WebSocket
	Limits      Limits
	Analytics   Analytics
	Execution   Execution
	RateLimit   RateLimit
	Security    Security
	Auth        Auth
	Retention   Retention
	Jobs        Jobs
	DBA         DBA
	DDL         DDL
	SQL         SQL
	Logging     Logging
	Tracing     Tracing
}

// Server is section [server].
type Server struct {
	Host           string
	Port           int
	NodeID         int
	PublicOrigin   string
	ShutdownGrace  time.Duration
	MaxConnections int
	Workers        int  // no effect
	EnableHTTP2    bool // no effect
}

// Storage is section [storage].
type Storage struct {
	DataPath             string
	Reserve              int64
	MaxClockSkew         time.Duration
	SharedTablesTemplate string
	UserTablesTemplate   string
}

// Memory is section [memory].
type Memory struct {
	Budget    int64
	Sorts     int64
	HotCache  int64
	MemTable  int64
	ColdCache int64
}

// Commit is section [commit].
type Commit struct {
	Durability    string
	MaxRows       int
	MaxBytes      int64
	QueueCommands int
	QueueBytes    int64
}

// Transaction is section [transaction].
type Transaction struct {
	IdleTimeout time.Duration
	Timeout     time.Duration
	MaxBytes    int64
	Memory      int64
	MaxOpen     int
}

// Live is section [live].
type Live struct {
	HistoryAge   time.Duration
	HistoryBytes int64
	RingBytes    int64
	OutboxBytes  int64
	// Bounds of the results of joins, aggregates, DISTINCT and LIMIT.
	ResultRows    int
	ResultBytes   int64
	ResultMemory  int64
	ResultWorkers int
	// Bounds of rows that are bound to connections.
	PresentRows  int
	PresentBytes int64
}

// Flush is section [flush].
type Flush struct {
	CheckInterval     time.Duration
	MaxBytesPerSecond int64
	Compaction        Compaction
}

// Compaction is section [flush.compaction].
type Compaction struct {
	Enabled                  bool
	MinSegments, MaxSegments int
	UserRows, SharedRows     int64
}

// Files is section [files].
type Files struct {
	MaxSize      int64
	MaxFiles     int
	AllowedTypes []string
	MaxUploads   int
}

// Exports is section [exports].
type Exports struct {
	Retention time.Duration
}

// Cold is section [cold].
type Cold struct {
	Grace       time.Duration
	OrphanAge   time.Duration
	PackScopes  int
	MinFileRows int64
	CacheBytes  int64
}

// Archive is section [archive].
type Archive struct {
	Storage, Folder        string
	Interval               time.Duration
	SegmentBytes, MaxBytes int64
}

// WebSocket is section [websocket].
type WebSocket struct {
	AuthTimeout                   time.Duration
	HeartbeatInterval             time.Duration
	ClientTimeout                 time.Duration
	MaxFrameBytes                 int64
	MaxSubscriptionsPerConnection int
	CompressChangeBytes           int64
}

// Limits is section [limits].
type Limits struct {
	DefaultQueryLimit int
	MaxQueryLimit     int
	MaxResultBytes    int64
	MaxMessageSize    int64
}

// Analytics is section [analytics].
type Analytics struct {
	Memory      int64
	Threads     int
	Connections int
	Queue       int
	TempDir     string
	TempBytes   int64
	IdleClose   time.Duration
}

// Execution is section [execution].
type Execution struct {
	HandlerTimeout     time.Duration
	BatchTimeout       time.Duration
	MaxParameters      int
	MaxParameterBytes  int64
	PlanCacheEntries   int
	MaxExpressionDepth int
}

// RateLimit is section [rate_limit].
type RateLimit struct {
	EnableConnectionProtection bool
	RequestBodyLimitBytes      int64
	MaxRequestsPerIP           int
	BanDuration                time.Duration
	MaxConnectionsPerIP        int
	MaxQueries                 int
	MaxMessages                int
	MaxSubscriptionsPerUser    int
	MaxAuthRequestsPerIP       int
	CacheMaxEntries            int
	CacheTTL                   time.Duration
}

// Security is section [security].
type Security struct {
	MaxRequestBodySize  int64
	MaxWSMessageSize    int64
	StrictWSOriginCheck bool
	TrustedProxyRanges  []string
	CORS                CORS
}

// CORS is section [security.cors].
type CORS struct {
	AllowedOrigins   []string
	AllowedMethods   []string
	AllowedHeaders   []string
	ExposeHeaders    []string
	AllowCredentials bool
	MaxAge           time.Duration
}

// Auth is section [auth].
type Auth struct {
	JWTSecret                  string
	JWTExpiry                  time.Duration
	JWTTrustedIssuers          string
	RootPassword               string
	AllowRemoteSetup           bool
	CookieSecure               bool
	BcryptCost                 int
	MinPasswordLength          int
	MaxPasswordLength          int
	DisableCommonPasswordCheck bool
	EnforcePasswordComplexity  bool
	PasswordPolicy             string
}

// Retention is section [retention].
type Retention struct {
	DefaultDeletedRetention time.Duration
	AuditMaxEntries         int
	DBAStats                time.Duration
}

// Jobs is section [jobs].
type Jobs struct {
	MaxConcurrent int
	Queue         int
	Retention     time.Duration
}

// DBA is section [dba].
type DBA struct {
	Tables        bool
	StatsInterval time.Duration
}

// SQL is section [sql].
type SQL struct {
	IgnoreForeignKeys bool
}

// DDL is section [ddl].
type DDL struct {
	DropWithSubscribers   string
	DropNonemptyNamespace string
}

// Logging is section [logging].
type Logging struct {
	Level        string
	LogsPath     string
	LogToConsole bool
	SlowQuery    time.Duration
}

// Tracing is section [tracing].
type Tracing struct {
	Endpoint    string
	Headers     string
	SampleRatio float64
	ServiceName string
	QueueSpans  int
	Timeout     time.Duration
}

// Address returns host:port as the server listens on it.
func (o *Options) Address() string {
	return net.JoinHostPort(o.Server.Host, strconv.Itoa(o.Server.Port))
}

// LogsPath returns the folder of the log files.
func (o *Options) LogsPath() string {
	if o.Logging.LogsPath != "" {
		return o.Logging.LogsPath
	}
	return filepath.Join(o.Storage.DataPath, "logs")
}

// Loopback reports whether the server listens on this machine only.
func (o *Options) Loopback() bool {
	if o.Server.Host == "localhost" {
		return true
	}
	ip := net.ParseIP(o.Server.Host)
	return ip != nil && ip.IsLoopback()
}
