package config

import (
	"math"
	"time"
)

// key is one setting.
type key struct {
	name   string // section.name
	field  any    // pointer into Options: *string, *bool, *int, *int64, *float64, *time.Duration, *[]string
	preset string // the default as text, lists by comma
	help   string // one sentence
	limits
}

// limits say how the text of a key is read and what is allowed.
type limits struct {
	// unit turns an integer into a duration; 0 means text such as "10m".
	unit time.Duration
	// min and max bound numbers; a duration is bounded in its unit, or in
	// nanoseconds without one. max 0 means none.
	min, max int64
	// choices are the only texts allowed, if any.
	choices []string
	// secret values are masked wherever they are shown.
	secret bool
}

var (
	seconds  = limits{unit: time.Second, min: 1, max: 1 << 30}
	hours    = limits{unit: time.Hour, min: 1, max: 1 << 20}
	duration = limits{min: int64(time.Millisecond)}
	positive = limits{min: 1, max: math.MaxInt32}
	natural  = limits{max: math.MaxInt32}
	size     = limits{min: 1}
	secret   = limits{secret: true}
	share    = limits{} // a size that 0 leaves to memory.budget
	text     = limits{}
)

func between(low, high int64) limits    { return limits{min: low, max: high} }
func oneOf(choices ...string) limits    { return limits{choices: choices} }
func lasting(low time.Duration) limits  { return limits{min: int64(low)} }
func (k *key) secretSet() bool          { f, ok := k.field.(*string); return k.secret && ok && *f != "" }
func (o *Options) key(name string) *key { return find(o.keys(), name) }
func find(keys []key, name string) *key {
	for i := range keys {
		if keys[i].name == name {
			return &keys[i]
		}
	}
	return nil
}

// keys returns every key with pointers into o, in the order of the example.
func (o *Options) keys() []key {
	var all []key
	for _, section := range [][]key{
		o.Server.keys(), o.Storage.keys(), o.Memory.keys(), o.Commit.keys(), o.Transaction.keys(), o.Live.keys(), o.Flush.keys(), o.Flush.Compaction.keys(), o.Cold.keys(), o.Files.keys(), o.Exports.keys(), o.Archive.keys(), o.WebSocket.keys(),
		o.Limits.keys(), o.Analytics.keys(), o.Execution.keys(), o.RateLimit.keys(), o.Security.keys(), o.Security.CORS.keys(),
		o.Auth.keys(), o.Retention.keys(), o.Jobs.keys(), o.DBA.keys(), o.DDL.keys(), o.SQL.keys(), o.Logging.keys(), o.Tracing.keys(),
	} {
		all = append(all, section...)
	}
	return all
}

func (s *Server) keys() []key {
	return []key{
		{"server.host", &s.Host, "127.0.0.1", "Address to listen on; anything but loopback needs security.cors.allowed_origins and a strong auth.jwt_secret or none.", text},
		{"server.port", &s.Port, "2900", "Port to listen on; 0 takes a free one and prints it.", between(0, 65535)},
		{"server.node_id", &s.NodeID, "1", "Number of this node, the ten node bits of _seq and of SNOWFLAKE_ID.", between(0, 1023)},
		{"server.public_origin", &s.PublicOrigin, "", "Origin under which clients reach the server, such as https://db.example.com; empty means host and port.", text},
		{"server.shutdown_grace", &s.ShutdownGrace, "3s", "Time that requests get to end when the server stops.", lasting(0)},
		{"server.max_connections", &s.MaxConnections, "25000", "Open connections at one time; more are answered with 503.", positive},
		{"server.workers", &s.Workers, "0", "Read for compatibility; has no effect.", natural},
		{"server.enable_http2", &s.EnableHTTP2, "false", "Read for compatibility; has no effect, the server speaks HTTP/1.1.", text},
	}
}

func (s *Storage) keys() []key {
	return []key{
		{"storage.data_path", &s.DataPath, "./data", "Directory of all data.", text},
		{"storage.reserve", &s.Reserve, "256MiB", "Free disk space below which writes are refused.", limits{}},
		{"storage.max_clock_skew", &s.MaxClockSkew, "1h", "How far the last commit may be ahead of the clock at start; beyond it the server starts read-only.", duration},
		{"storage.shared_tables_template", &s.SharedTablesTemplate, "{namespace}/{tableName}", "Folder of a SHARED table's files below its storage.", text},
		{"storage.user_tables_template", &s.UserTablesTemplate, "{namespace}/{tableName}/{userId}", "Folder of a USER table's files below its storage.", text},
	}
}

func (s *Memory) keys() []key {
	return []key{
		{"memory.budget", &s.Budget, "0B", "Bytes of memory that the server may take, from which its parts have their sizes unless they are set; at least 512MiB. 0 means half of the memory of the machine or container, at most 2GiB.", share},
		{"memory.sorts", &s.Sorts, "0B", "Bytes that running sorts, groupings and DISTINCTs of single tables keep together; beyond it they get SERVER_BUSY. 0 means a quarter of memory.budget.", share},
		{"memory.hot_cache", &s.HotCache, "0B", "Bytes of cached blocks of hot rows. 0 means a thirty-second of memory.budget.", share},
		{"memory.memtable", &s.MemTable, "0B", "Bytes of new keys that go to a file together; four times as many may be in memory. 0 means a 128th of memory.budget, at most 64MiB.", share},
		{"memory.cold_cache", &s.ColdCache, "0B", "Bytes of cached pages of cold files. 0 means a thirty-second of memory.budget.", share},
	}
}

func (s *Commit) keys() []key {
	return []key{
		{"commit.durability", &s.Durability, "sync", "When a commit is answered: after its fsync (sync) or before (relaxed).", oneOf("sync", "relaxed")},
		{"commit.max_rows", &s.MaxRows, "200000", "Rows that one commit may change.", positive},
		{"commit.max_bytes", &s.MaxBytes, "0B", "Bytes that one commit may write. 0 means a sixteenth of memory.budget, at most 100MiB.", share},
		{"commit.queue_commands", &s.QueueCommands, "4096", "Commits that may wait; when it is full, writers get SERVER_BUSY.", positive},
		{"commit.queue_bytes", &s.QueueBytes, "0B", "Bytes of commits that may wait; when it is full, writers get SERVER_BUSY. Commits of a quarter of it and more have as much for themselves. 0 means a thirty-second of memory.budget.", share},
	}
}

func (s *Transaction) keys() []key {
	return []key{
		{"transaction.idle_timeout", &s.IdleTimeout, "300s", "Time between two statements of a transaction, after which it is rolled back.", duration},
		{"transaction.timeout", &s.Timeout, "1h", "Time from BEGIN to COMMIT, after which a transaction is rolled back.", duration},
		{"transaction.max_bytes", &s.MaxBytes, "0B", "Bytes that one transaction may stage before its COMMIT; commit.max_bytes bounds it too. 0 means a sixteenth of memory.budget, at most 100MiB.", share},
		{"transaction.memory", &s.Memory, "0B", "Bytes that all open transactions may stage together; beyond it they get SERVER_BUSY. 0 means an eighth of memory.budget.", share},
		{"transaction.max_open", &s.MaxOpen, "1000", "Transactions that may be open at one time; one more gets SERVER_BUSY.", positive},
	}
}

func (s *Live) keys() []key {
	return []key{
		{"live.history_age", &s.HistoryAge, "1h", "How long superseded versions stay readable for subscribers that resume.", duration},
		{"live.history_bytes", &s.HistoryBytes, "1GiB", "Bytes of superseded versions of all tables; the older end goes first.", size},
		{"live.ring_bytes", &s.RingBytes, "0B", "Bytes of recent changes kept in memory for delivery; subscribers behind it read from disk. 0 means a thirty-second of memory.budget.", share},
		{"live.outbox_bytes", &s.OutboxBytes, "1MiB", "Bytes waiting for one connection; beyond it its subscriptions lag and catch up.", size},
		{"live.result_rows", &s.ResultRows, "10000", "Rows that the result of one live join, aggregate, DISTINCT or LIMIT may have; more refuses or ends the subscription.", positive},
		{"live.result_bytes", &s.ResultBytes, "8MiB", "Bytes that one such result may take; more refuses or ends the subscription.", size},
		{"live.result_memory", &s.ResultMemory, "0B", "Bytes that all such results may take together; more refuses or ends subscriptions. 0 means a sixteenth of memory.budget.", share},
		{"live.result_workers", &s.ResultWorkers, "0", "Such results that are run at one time when commits touch them. 0 means half of the processors.", limits{max: 1024}},
		{"live.present_rows", &s.PresentRows, "100", "Rows of tables with PRESENCE that the connections of one session hold at most.", positive},
		{"live.present_bytes", &s.PresentBytes, "64MiB", "Bytes that all rows of tables with PRESENCE may take together, and their changes once more; more is refused.", size},
	}
}

func (s *Flush) keys() []key {
	return []key{
		{"flush.check_interval_seconds", &s.CheckInterval, "60", "Seconds between two counts of all tables with a FLUSH_POLICY, which is obeyed in between as rows come; 0 obeys none.", limits{unit: time.Second, max: 1 << 30}},
		{"flush.max_bytes_per_second", &s.MaxBytesPerSecond, "64MiB", "Bytes of rows that all flushes and compactions together write to cold files in a second, before compression, so that statements stay fast; 0 for no bound.", limits{}},
	}
}

func (s *Compaction) keys() []key {
	return []key{
		{"flush.compaction.enabled", &s.Enabled, "false", "Make one of small cold files by the clock; STORAGE COMPACT does it at any time.", limits{}},
		{"flush.compaction.min_eligible_segments", &s.MinSegments, "5", "Small neighbours that a table or user must have before they become one.", limits{min: 2, max: 1024}},
		{"flush.compaction.max_segments_per_run", &s.MaxSegments, "8", "How many of them become one file.", limits{min: 2, max: 1024}},
		{"flush.compaction.user_max_segment_rows", &s.UserRows, "10000", "Rows up to which a file of a USER table is small.", positive},
		{"flush.compaction.shared_max_segment_rows", &s.SharedRows, "25000", "Rows up to which a file of a SHARED table is small.", positive},
	}
}

func (s *Cold) keys() []key {
	return []key{
		{"cold.grace", &s.Grace, "10m", "How long a file stays after a compacted one has taken its place, for those who have read a manifest.", limits{}},
		{"cold.orphan_age", &s.OrphanAge, "24h", "How old a cold file that nobody names is before it is removed; 0 keeps them all.", limits{}},
		{"cold.pack_scopes", &s.PackScopes, "64", "When one flush of a USER table meets more users than these with few rows each, they share files.", positive},
		{"cold.min_file_rows", &s.MinFileRows, "10000", "Hot rows from which on a user has a file of his own in such a flush.", limits{min: 1, max: math.MaxInt32}},
		{"cold.cache_bytes", &s.CacheBytes, "1GiB", "Bytes on disk that local copies of files of object storages may take; a statement that needs more at once is refused.", limits{min: 1 << 20}},
	}
}

func (s *Files) keys() []key {
	return []key{
		{"files.max_size_bytes", &s.MaxSize, "25MiB", "Bytes of one file of a FILE column, at most 100 MiB.", limits{min: 1, max: 100 << 20}},
		{"files.max_files_per_request", &s.MaxFiles, "20", "Files that one request may bring.", between(1, 48)},
		{"files.allowed_mime_types", &s.AllowedTypes, "", "Types that files may have, such as image/png or image/*; empty allows all.", text},
		{"files.max_uploads", &s.MaxUploads, "16", "Requests with files at one time; more get SERVER_BUSY. Their files lie in tmp of the data directory first.", between(1, 1024)},
	}
}

func (s *Exports) keys() []key {
	return []key{
		{"exports.retention", &s.Retention, "168h", "How long archives of EXPORT USER DATA stay in the data directory; a user has one of each day.", lasting(time.Hour)},
	}
}

func (s *Archive) keys() []key {
	return []key{
		{"archive.storage", &s.Storage, "", "Storage to which the commands of all commits are shipped, so that a backup can be brought up to any later moment. Empty ships none.", limits{}},
		{"archive.folder", &s.Folder, "archive", "Folder below its base. Each database needs one of its own.", limits{}},
		{"archive.interval", &s.Interval, "10s", "How long a command waits at most while the storage answers: what a lost machine may take with it.", duration},
		{"archive.segment_bytes", &s.SegmentBytes, "16MiB", "Bytes of commands that are shipped before that.", limits{min: 4 << 10, max: 256 << 20}},
		{"archive.max_bytes", &s.MaxBytes, "1GiB", "Bytes of commands that may wait while the storage does not answer. Beyond it commits go on and the archive is broken until the next backup of the whole database.", limits{min: 64 << 10}},
	}
}

func (s *WebSocket) keys() []key {
	return []key{
		{"websocket.auth_timeout_secs", &s.AuthTimeout, "3", "Seconds in which a connection must authenticate.", seconds},
		{"websocket.heartbeat_interval_secs", &s.HeartbeatInterval, "15", "Seconds between pings of the server.", seconds},
		{"websocket.client_timeout_secs", &s.ClientTimeout, "60", "Seconds of silence after which a connection is closed.", seconds},
		{"websocket.max_frame_bytes", &s.MaxFrameBytes, "8MiB", "Bytes of an outgoing frame; a batch is cut there, with has_more.", size},
		{"websocket.max_subscriptions_per_connection", &s.MaxSubscriptionsPerConnection, "100", "Subscriptions of one connection.", positive},
		{"websocket.compress_change_bytes", &s.CompressChangeBytes, "64KiB", "Change frames up to this size are not compressed, so that they can be shared.", size},
	}
}

func (s *Limits) keys() []key {
	return []key{
		{"limits.default_query_limit", &s.DefaultQueryLimit, "0", "Rows of a SELECT without LIMIT; 0 means no limit.", natural},
		{"limits.max_query_limit", &s.MaxQueryLimit, "0", "Rows of a SELECT with LIMIT; 0 means no limit.", natural},
		{"limits.max_result_bytes", &s.MaxResultBytes, "1GiB", "Bytes of one answer, a longer one is cut off by closing the connection; and of what one sort or grouping of a single table keeps, which memory.sorts bounds too.", size},
		{"limits.max_message_size", &s.MaxMessageSize, "1048576", "Bytes of SQL text in one request.", size},
	}
}

func (s *Analytics) keys() []key {
	return []key{
		{"analytics.memory", &s.Memory, "0B", "Bytes that joins, groupings and sorts of the analytic path may hold together; beyond it they are set aside in analytics.temp_dir. 0 means a quarter of memory.budget.", share},
		{"analytics.threads", &s.Threads, "0", "Threads that share a scan of more than 20,000 rows in one analytic statement; smaller ones have one. 0 means one per processor, at most 4.", between(0, 256)},
		{"analytics.connections", &s.Connections, "0", "Analytic statements that run at one time; 0 means one per processor.", natural},
		{"analytics.queue", &s.Queue, "64", "Analytic statements that wait for their turn; one more gets SERVER_BUSY.", positive},
		{"analytics.temp_dir", &s.TempDir, "", "Folder for what does not fit into analytics.memory; empty means analytics in the data directory.", text},
		{"analytics.temp_bytes", &s.TempBytes, "4GiB", "Bytes that analytics.temp_dir may grow to; beyond it a statement gets LIMIT_EXCEEDED.", size},
		{"analytics.idle_close", &s.IdleClose, "60s", "Time without analytic statements after which their memory is given back.", duration},
	}
}

func (s *Execution) keys() []key {
	return []key{
		{"execution.handler_timeout_seconds", &s.HandlerTimeout, "30", "Seconds a statement may run, with the reading of its rows.", seconds},
		{"execution.batch_timeout_seconds", &s.BatchTimeout, "300", "Seconds that all statements of one request may run together.", seconds},
		{"execution.max_parameters", &s.MaxParameters, "50", "Parameters of one statement.", positive},
		{"execution.max_parameter_size_bytes", &s.MaxParameterBytes, "524288", "Bytes of one parameter.", size},
		{"execution.sql_plan_cache_max_entries", &s.PlanCacheEntries, "200", "Plans kept in memory; when it is full the one unused longest goes.", positive},
		{"execution.max_expression_depth", &s.MaxExpressionDepth, "512", "Nesting of one expression.", between(8, 10_000)},
	}
}

func (s *RateLimit) keys() []key {
	return []key{
		{"rate_limit.enable_connection_protection", &s.EnableConnectionProtection, "true", "Whether requests and connections are limited per address; loopback is exempt.", text},
		{"rate_limit.request_body_limit_bytes", &s.RequestBodyLimitBytes, "10485760", "Bytes of a request body; loopback is not exempt.", size},
		{"rate_limit.max_requests_per_ip_per_sec", &s.MaxRequestsPerIP, "200", "Requests per second of one address.", positive},
		{"rate_limit.ban_duration_seconds", &s.BanDuration, "300", "Seconds an address is refused after ten violations; doubled, tripled and so on up to six times.", seconds},
		{"rate_limit.max_connections_per_ip", &s.MaxConnectionsPerIP, "100", "Open connections of one address.", positive},
		{"rate_limit.max_queries_per_sec", &s.MaxQueries, "100", "SQL requests per second of one user.", positive},
		{"rate_limit.max_messages_per_sec", &s.MaxMessages, "50", "WebSocket messages per second of one connection.", positive},
		{"rate_limit.max_subscriptions_per_user", &s.MaxSubscriptionsPerUser, "10", "Subscriptions of one user over all his connections.", positive},
		{"rate_limit.max_auth_requests_per_ip_per_sec", &s.MaxAuthRequestsPerIP, "20", "Logins, refreshes, setups and WebSocket authentications per second of one address; loopback is not exempt.", positive},
		{"rate_limit.cache_max_entries", &s.CacheMaxEntries, "1000", "Users and addresses whose rates are remembered.", positive},
		{"rate_limit.cache_ttl_seconds", &s.CacheTTL, "600", "Seconds an idle user or address is remembered.", seconds},
	}
}

func (s *Security) keys() []key {
	return []key{
		{"security.max_request_body_size", &s.MaxRequestBodySize, "10485760", "Bytes of a request body; the smaller of this and rate_limit.request_body_limit_bytes counts.", size},
		{"security.max_ws_message_size", &s.MaxWSMessageSize, "1048576", "Bytes of an incoming WebSocket message.", size},
		{"security.strict_ws_origin_check", &s.StrictWSOriginCheck, "false", "Whether WebSocket upgrades without an Origin header are refused.", text},
		{"security.trusted_proxy_ranges", &s.TrustedProxyRanges, "", "Networks (CIDR) of proxies whose X-Forwarded-For and X-Real-IP are believed.", text},
	}
}

func (s *CORS) keys() []key {
	return []key{
		{"security.cors.allowed_origins", &s.AllowedOrigins, "", "Origins that browsers may call from; empty or * means any.", text},
		{"security.cors.allowed_methods", &s.AllowedMethods, "GET,POST,PUT,DELETE,PATCH,OPTIONS", "Methods that browsers may use.", text},
		{"security.cors.allowed_headers", &s.AllowedHeaders, "Authorization,Content-Type,Accept,Origin,X-Requested-With", "Request headers that browsers may send; * means any.", text},
		{"security.cors.expose_headers", &s.ExposeHeaders, "", "Response headers that browsers may read.", text},
		{credentialsKey, &s.AllowCredentials, "false", "Whether browsers may send credentials; true when another key of this section is written and this one is not.", text},
		{"security.cors.max_age", &s.MaxAge, "3600", "Seconds a preflight may be cached.", limits{unit: time.Second, max: 1 << 30}},
	}
}

// credentialsKey has a default that depends on its section being written.
const credentialsKey = "security.cors.allow_credentials"

func (s *Auth) keys() []key {
	return []key{
		{"auth.jwt_secret", &s.JWTSecret, "", "Secret that signs tokens, at least 32 characters; empty means the one kept in jwt.key of the data directory.", secret},
		{"auth.jwt_expiry_hours", &s.JWTExpiry, "24", "Hours an access token lasts; a refresh token lasts seven times as long.", hours},
		{"auth.jwt_trusted_issuers", &s.JWTTrustedIssuers, "", "Issuers of external tokens, by comma; this version accepts its own tokens only.", text},
		{"auth.root_password", &s.RootPassword, "", "Password that root gets while he has none; empty means the server asks for a setup.", secret},
		{"auth.allow_remote_setup", &s.AllowRemoteSetup, "false", "Whether the setup may be done from another machine.", text},
		{"auth.cookie_secure", &s.CookieSecure, "true", "Whether cookies given over https are marked Secure.", text},
		{"auth.bcrypt_cost", &s.BcryptCost, "12", "Cost of a password hash; each step doubles it.", between(4, 20)},
		{"auth.min_password_length", &s.MinPasswordLength, "8", "Fewest characters of a password.", between(1, 72)},
		{"auth.max_password_length", &s.MaxPasswordLength, "72", "Most characters of a password.", between(1, 72)},
		{"auth.disable_common_password_check", &s.DisableCommonPasswordCheck, "false", "Whether well-known passwords are accepted.", text},
		{"auth.enforce_password_complexity", &s.EnforcePasswordComplexity, "false", "Whether passwords need upper and lower case letters, a digit and a special character.", text},
		{"auth.password_policy", &s.PasswordPolicy, "on", "Whether passwords are checked at all (on, off); off is for tests.", oneOf("on", "off")},
	}
}

func (s *Retention) keys() []key {
	return []key{
		{"retention.default_deleted_retention_hours", &s.DefaultDeletedRetention, "168", "Hours deleted rows stay readable as such where a table does not say.", hours},
		{"retention.audit_max_entries", &s.AuditMaxEntries, "100000", "Newest entries that system.audit_log keeps.", positive},
		{"retention.dba_stats_retention_days", &s.DBAStats, "7", "Days that samples of dba.stats are kept.", limits{unit: 24 * time.Hour, min: 1, max: 36_500}},
	}
}

func (s *Jobs) keys() []key {
	return []key{
		{"jobs.max_concurrent", &s.MaxConcurrent, "2", "Background jobs that run at once.", between(1, 64)},
		{"jobs.queue", &s.Queue, "256", "Background jobs that wait; more are refused.", between(1, 100_000)},
		{"jobs.retention_days", &s.Retention, "30", "Days that rows of finished jobs stay in system.jobs.", limits{unit: 24 * time.Hour, min: 1, max: 36_500}},
	}
}

func (s *DBA) keys() []key {
	return []key{
		{"dba.tables", &s.Tables, "true", "Whether the namespace dba with notifications and stats is made at start where it is missing.", text},
		{"dba.stats_interval", &s.StatsInterval, "30s", "Time between two samples of dba.stats; 0s takes none.", lasting(0)},
	}
}

func (s *SQL) keys() []key {
	return []key{
		{"sql.ignore_foreign_keys", &s.IgnoreForeignKeys, "false", "Whether FOREIGN KEY and REFERENCES are passed over, which nothing enforces, instead of refused.", text},
	}
}

func (s *DDL) keys() []key {
	return []key{
		{"ddl.drop_with_subscribers", &s.DropWithSubscribers, "end", "What DROP TABLE does to live queries: end them, or refuse.", oneOf("end", "refuse")},
		{"ddl.drop_nonempty_namespace", &s.DropNonemptyNamespace, "drop", "What DROP NAMESPACE does to tables: drop them, or refuse.", oneOf("drop", "refuse")},
	}
}

func (s *Logging) keys() []key {
	return []key{
		{"logging.level", &s.Level, "info", "Least level that is logged.", oneOf("debug", "info", "warn", "error", "trace")},
		{"logging.logs_path", &s.LogsPath, "", "Folder of server.jsonl; empty means logs below the data directory.", text},
		{"logging.log_to_console", &s.LogToConsole, "true", "Whether the log is also written to standard error.", text},
		{"logging.slow_query", &s.SlowQuery, "1s", "Time from which on a SELECT, INSERT, UPDATE or DELETE is written to slow.jsonl, without its values; 0 writes none.", duration},
	}
}

func (s *Tracing) keys() []key {
	return []key{
		{"tracing.endpoint", &s.Endpoint, "", "URL of an OTLP/HTTP collector that gets traces, such as http://127.0.0.1:4318/v1/traces; empty makes none.", text},
		{"tracing.headers", &s.Headers, "", "Headers that the collector asks for, as name=value by comma.", secret},
		{"tracing.sample_ratio", &s.SampleRatio, "1", "Share of traces that are kept, 0 to 1, also of those that callers began; what a caller does not keep is never kept.", limits{max: 1}},
		{"tracing.service_name", &s.ServiceName, "kalamdb", "Name of this server in traces.", text},
		{"tracing.queue_spans", &s.QueueSpans, "2048", "Spans that wait for the collector; more are dropped.", between(1, 1<<20)},
		{"tracing.timeout", &s.Timeout, "5s", "Time that the collector has to take a batch of spans.", duration},
	}
}
