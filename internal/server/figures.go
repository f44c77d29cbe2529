package server

import (
	"context"
	"math"
	"net/http"
	"os"
	"runtime"
	"sort"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kalamdb/internal/api"
	"kalamdb/internal/core"
)

// figure is one number of one room: /metrics shows it as kalamdb_<name>,
// system.stats as <name>.
type figure struct {
	name    string
	help    string
	value   float64
	counter bool
	label   string               // value of the label "code", "" for none
	times   *core.StatementTimes // of a histogram by kind and path; value is nothing then
}

func counter(name, help string, v int64) figure {
	return figure{name: name, help: help, value: float64(v), counter: true}
}

func gauge[N int | int64 | uint64 | float64](name, help string, v N) figure {
	return figure{name: name, help: help, value: float64(v)}
}

// figures asks every room for its Stats.
func (s *Server) figures() []figure {
	var all []figure
	for _, room := range []func() []figure{
		s.edgeFigures, s.coreFigures, s.liveFigures, s.storeFigures, s.coldFigures, s.archiveFigures, s.processFigures,
	} {
		all = append(all, room()...)
	}
	return all
}

func (s *Server) edgeFigures() []figure {
	h, a := s.api.Stats(), s.auth.Stats()
	out := []figure{
		counter("http_requests_total", "Requests.", h.Requests),
		counter("http_refused_total", "Requests refused by protection of addresses.", h.Refused),
		counter("http_statements_total", "SQL requests that were run.", h.Statements),
		counter("http_aborted_total", "Streamed answers that were cut off.", h.Aborted),
		counter("http_panics_total", "Handlers that panicked.", h.Panics),
		gauge("active_connections", "Open HTTP connections.", h.Connections),
		gauge("active_connections_peak", "Most open HTTP connections at one time.", h.ConnectionsPeak),
		counter("auth_logins_total", "Successful logins.", a.Logins),
		counter("auth_failures_total", "Failed logins.", a.Failures),
		counter("auth_refused_total", "Attempts to authenticate over the rate.", a.Refused),
		counter("auth_tokens_total", "Tokens accepted.", a.Authenticated),
	}
	for code, n := range h.Faults {
		f := counter("http_faults_total", "SQL requests that failed, by fault.", n)
		f.label = string(code)
		out = append(out, f)
	}
	return out
}

func (s *Server) coreFigures() []figure {
	d := s.db.Stats()
	return append(statementFigures(&d.Running), []figure{
		counter("sql_requests_total", "SQL requests of all doors.", d.Statements),
		counter("sql_failures_total", "SQL requests that failed.", d.Failures),
		counter("sql_conflicts_total", "Statements run again because what they read had changed.", d.Conflicts),
		gauge("plan_cache_size", "Plans kept in memory.", d.Plans),
		gauge("sort_memory_bytes", "Bytes that running sorts and groupings keep.", d.SortBytes),
		counter("groupings_shared_total", "Groupings of one table that several threads have shared.", d.Shared),
		counter("plan_cache_hits_total", "Statements whose plan was kept.", d.PlanHits),
		counter("plan_cache_misses_total", "Statements whose plan was made.", d.PlanMisses),
		counter("commit_groups_total", "Batches written to the engine.", d.Apply.Groups),
		counter("commits_total", "Commands applied.", d.Apply.Commits),
		counter("commits_relaxed_total", "Commands applied without an fsync of their own.", d.Apply.Relaxed),
		counter("commit_rows_total", "Rows changed.", d.Apply.Rows),
		counter("commits_refused_total", "Commands not applied.", d.Apply.Refused),
		gauge("commit_queue_commands", "Commands that wait.", d.Apply.Queued),
		gauge("commit_queue_bytes", "Bytes of commands that wait.", d.Apply.Bytes),
		gauge("views", "Open views.", d.Apply.Views),
		gauge("transactions_open", "Explicit transactions that are open.", d.Transactions.Open),
		gauge("transactions_bytes", "Bytes that they have staged.", d.Transactions.Bytes),
		counter("transactions_begun_total", "Explicit transactions.", d.Transactions.Begun),
		counter("transactions_committed_total", "Explicit transactions that were committed.", d.Transactions.Committed),
		counter("transactions_rolled_back_total", "Explicit transactions that were rolled back.", d.Transactions.RolledBack),
		counter("transactions_conflicts_total", "Explicit transactions that another commit came before.", d.Transactions.Conflicts),
		gauge("job_queue", "Jobs that wait.", d.Jobs.Queued),
		gauge("job_running", "Jobs that run.", d.Jobs.Running),
		counter("flush_rows_total", "Rows moved to cold files.", d.Maint.FlushedRows),
		counter("flush_files_total", "Cold files adopted.", d.Maint.FlushedFiles),
		counter("cold_purged_rows_total", "Deleted rows purged.", d.Maint.PurgedRows),
		counter("cold_orphans_removed_total", "Cold files removed that nobody named.", d.Maint.Orphans),
		counter("cold_orphans_removed_bytes_total", "Their bytes.", d.Maint.OrphanBytes),
		counter("files_stored_total", "Files of FILE columns stored.", d.Files.Stored),
		counter("files_stored_bytes_total", "Their bytes.", d.Files.StoredBytes),
		counter("files_removed_total", "Files of FILE columns removed, as no row refers to them.", d.Files.Removed),
		counter("files_removed_bytes_total", "Their bytes.", d.Files.RemovedBytes),
		gauge("analytics_running", "Statements that run in DuckDB.", d.Analytics.Running),
		gauge("analytics_queue", "Statements that wait for DuckDB.", d.Analytics.Waiting),
		counter("analytics_statements_total", "Statements begun in DuckDB.", d.Analytics.Statements),
		counter("analytics_opened_total", "Times DuckDB was opened.", d.Analytics.Opened),
		counter("analytics_given_up_total", "Times DuckDB failed without a reason.", d.Analytics.GivenUp),
	}...)
}

// statementFigures tells of statements of all doors.
func statementFigures(d *core.StatementStats) []figure {
	out := []figure{
		gauge("statements_running", "Statements that run or are being read.", d.Running),
		counter("statements_killed_total", "Statements ended by KILL QUERY.", d.Killed),
		counter("statements_abandoned_total", "Statements ended because their callers had gone away.", d.Gone),
		counter("statements_slow_total", "Statements written to the slow log.", d.Slow),
	}
	for code, n := range d.Faults {
		f := counter("statement_faults_total", "Statements that failed, by fault.", n)
		f.label = string(code)
		out = append(out, f)
	}
	for i := range d.Times {
		out = append(out, figure{name: "statement_seconds", help: "Time of statements until their last row.", times: &d.Times[i]})
	}
	return out
}

func (s *Server) liveFigures() []figure {
	l, w := s.db.Stats().Live, s.sockets.Stats()
	return []figure{
		gauge("websocket_sessions", "Open WebSockets.", w.Open),
		counter("websocket_accepted_total", "WebSocket upgrades.", w.Accepted),
		counter("websocket_refused_total", "WebSocket upgrades refused.", w.Refused),
		counter("websocket_denied_total", "Failed authentications of WebSockets.", w.Denied),
		counter("websocket_timeouts_total", "WebSockets closed because the client was silent.", w.Timeouts),
		counter("websocket_messages_total", "Messages from WebSocket clients.", w.Messages),
		counter("websocket_frames_total", "Frames to WebSocket clients.", w.Frames),
		counter("websocket_bytes_total", "Bytes to WebSocket clients.", w.Bytes),
		gauge("live_connections", "Live connections.", l.Connections),
		gauge("active_subscriptions", "Live queries.", l.Subscriptions),
		counter("live_commits_total", "Commits that a live query was interested in.", l.Commits),
		counter("live_evaluations_total", "Filters applied to a change.", l.Evaluations),
		counter("live_encodings_total", "Bodies of change frames made.", l.Encodings),
		counter("live_changes_total", "Change frames handed out.", l.Changes),
		counter("live_lagged_total", "Times a subscription fell behind.", l.Lagged),
		counter("live_resumed_total", "Times a subscription caught up.", l.Resumed),
		counter("live_missed_total", "Times changes were read from disk because memory had moved on.", l.Missed),
		counter("live_expired_total", "Subscriptions ended because their position cannot be replayed.", l.Expired),
		counter("live_result_runs_total", "Times a live join, aggregate, DISTINCT or LIMIT was run again.", l.Runs),
		counter("live_result_folds_total", "Times a live aggregate or DISTINCT was moved on by the rows that had changed.", l.Folds),
		gauge("live_ring_bytes", "Bytes of recent changes in memory.", l.RingBytes),
	}
}

func (s *Server) storeFigures() []figure {
	t := s.store.Stats()
	free, err := s.store.FreeBytes()
	if err != nil {
		free = 0
	}
	return []figure{
		gauge("store_disk_bytes", "Bytes of the engine's files.", t.DiskBytes),
		gauge("store_log_bytes", "Bytes of the engine's log.", t.LogBytes),
		gauge("store_memtable_bytes", "Bytes of keys not yet in files.", t.MemTableBytes),
		gauge("store_cache_bytes", "Bytes of cached blocks.", t.CacheBytes),
		counter("store_cache_hits_total", "Blocks found in the cache.", t.CacheHits),
		counter("store_cache_misses_total", "Blocks read from files.", t.CacheMisses),
		gauge("store_files", "Files of the engine.", t.Files),
		gauge("store_read_amplification", "Files a read may have to look into.", t.ReadAmp),
		counter("store_flushes_total", "Times keys in memory went to a file.", t.Flushes),
		counter("store_compactions_total", "Compactions of the engine.", t.Compactions),
		gauge("store_debt_bytes", "Bytes that compactions have still to move.", t.DebtBytes),
		gauge("store_snapshots", "Open views.", t.Snapshots),
		gauge("disk_free_bytes", "Free bytes under the data directory.", free),
	}
}

func (s *Server) coldFigures() []figure {
	c := s.cold.Stats()
	return []figure{
		counter("cold_pages_read_total", "Pages of cold files decoded.", c.PagesRead),
		counter("cold_pages_cached_total", "Pages of cold files found in the cache.", c.PagesCached),
		counter("cold_row_groups_total", "Row groups entered.", c.RowGroups),
		counter("cold_row_groups_pruned_total", "Row groups that statistics and bloom filters spared.", c.RowGroupsPruned),
		counter("cold_files_written_total", "Cold files written.", c.FilesWritten),
		counter("cold_files_removed_total", "Cold files removed.", c.FilesRemoved),
		gauge("cold_open_files", "Cold files open now.", c.OpenFiles),
		gauge("cold_cache_bytes", "Bytes of cached pages.", c.CacheBytes),
		counter("cold_fetched_files_total", "Cold files copied from object storages.", c.Fetched),
		counter("cold_fetched_bytes_total", "Bytes of cold files copied from object storages.", c.FetchedBytes),
		counter("cold_evicted_files_total", "Local copies of cold files given up for others.", c.Evicted),
		gauge("cold_copy_bytes", "Bytes of local copies of cold files.", c.CopyBytes),
		counter("cold_storage_retries_total", "Operations on object storages tried again.", c.Retries),
	}
}

// archiveFigures tells of the archive, where there is one.
func (s *Server) archiveFigures() []figure {
	if s.o.Config.Archive.Storage == "" {
		return nil
	}
	a := s.db.Stats().Maint.Archive
	broken, covered := 0, 0
	switch a.State {
	case "broken":
		broken = 1
	case "keeping":
		covered = 1
	}
	return []figure{
		gauge("archive_broken", "1 when commits are no longer archived, until the next backup of the whole database.", broken),
		gauge("archive_covered", "1 when a backup of the whole database and the archive reach up to now.", covered),
		gauge("archive_lag_commits", "Commits that wait to be shipped to the archive.", a.Commands),
		gauge("archive_lag_bytes", "Bytes of them.", a.Bytes),
		gauge("archive_lag_seconds", "Seconds since the oldest of them.", a.Lag.Seconds()),
		gauge("archive_position", "Last position that was shipped to the archive.", a.Through),
		counter("archive_files_total", "Files shipped to the archive.", a.Files),
		counter("archive_bytes_total", "Bytes shipped to the archive.", a.FileBytes),
		counter("archive_failures_total", "Times that shipping failed.", a.Failures),
	}
}

func (s *Server) processFigures() []figure {
	u := s.process.usage()
	return []figure{
		gauge("memory_rss_bytes", "Resident memory.", u.resident),
		gauge("memory_virtual_bytes", "Virtual memory.", u.virtual),
		gauge("memory_budget_bytes", "Memory that the server may take: memory.budget.", s.o.Config.Memory.Budget),
		gauge("memory_most_bytes", "Most memory that no file backs so far, as seen every 10 ms where it is scarce.", s.guard.most.Load()),
		counter("memory_ended_total", "Statements ended because the budget was used up.", s.guard.ended.Load()),
		gauge("cpu_usage_percent", "Share of one processor.", u.cpuPercent),
		gauge("uptime_seconds", "Seconds since the start.", math.Floor(s.process.uptime().Seconds())),
		gauge("open_files_total", "Open file descriptors.", openFiles()),
		gauge("goroutines", "Goroutines.", runtime.NumGoroutine()),
	}
}

// collector hands the figures to Prometheus.
type collector struct{ figures func() []figure }

// Describe says nothing: the figures are known when they are collected.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends all figures.
func (c collector) Collect(to chan<- prometheus.Metric) {
	for _, f := range c.figures() {
		if t := f.times; t != nil {
			d := prometheus.NewDesc("kalamdb_"+f.name, f.help, []string{"kind", "path"}, nil)
			to <- prometheus.MustNewConstHistogram(d, t.Count, t.Seconds, t.Below, t.Kind, t.Path)
			continue
		}
		kind := prometheus.GaugeValue
		if f.counter {
			kind = prometheus.CounterValue
		}
		if f.label == "" {
			to <- prometheus.MustNewConstMetric(prometheus.NewDesc("kalamdb_"+f.name, f.help, nil, nil), kind, f.value)
			continue
		}
		d := prometheus.NewDesc("kalamdb_"+f.name, f.help, []string{"code"}, nil)
		to <- prometheus.MustNewConstMetric(d, kind, f.value, f.label)
	}
}

// metrics returns the page for Prometheus.
func (s *Server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{s.figures}, collectors.NewGoCollector())
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// stats returns the rows of system.stats, by name: the figures, and the names
// that existing clients ask for.
func (s *Server) stats(ctx context.Context) [][2]string {
	u := s.process.usage()
	c := &s.o.Config
	number := func(n int) string { return strconv.Itoa(n) }
	out := [][2]string{
		{"server_version", s.o.Version},
		{"server_build_date", s.o.BuildDate},
		{"server_git_commit", s.o.Commit},
		{"server_git_branch", ""},
		{"server_workers_configured", number(c.Server.Workers)},
		{"server_workers_effective", number(runtime.GOMAXPROCS(0))},
		{"max_connections", number(c.Server.MaxConnections)},
		{"connection_backlog", "4096"},
		{"cpu_logical_cores", number(runtime.NumCPU())},
		{"cpu_physical_cores", number(physicalCores())},
		{"uptime_human", api.Human(s.process.uptime())},
		{"open_files_limit", strconv.FormatUint(openFilesLimit(), 10)},
		{"memory_usage_mb", strconv.FormatUint(u.resident>>20, 10)},
		{"memory_rss_mb", strconv.FormatUint(u.resident>>20, 10)},
		{"memory_virtual_mb", strconv.FormatUint(u.virtual>>20, 10)},
		{"memory_usage_source", u.source},
		{"pid", number(os.Getpid())},
		{"node_id", number(c.Server.NodeID)},
		{"cluster_mode", "false"},
		{"cluster_id", "standalone"},
		{"cluster_api_addr", s.origin()},
		{"cluster_rpc_addr", ""},
		{"raft_group_count", "1"},
		{"user_shards", "1"},
		{"shared_shards", "1"},
		{"topic_cache_topic_count", "0"},
		{"topic_cache_total_routes", "0"},
		{"topic_cache_table_route_count", "0"},
	}
	if a := s.db.Stats().Maint.Archive; s.o.Config.Archive.Storage != "" {
		out = append(out, [2]string{"archive_state", a.State}, [2]string{"archive_error", a.Error})
	}
	for _, f := range s.figures() {
		name := f.name
		if f.times != nil {
			name, f.value = name+"_"+f.times.Kind+"_"+f.times.Path+"_count", float64(f.times.Count)
		}
		if f.label != "" {
			name += "_" + f.label
		}
		out = append(out, [2]string{name, strconv.FormatFloat(f.value, 'f', -1, 64)})
	}
	out = append(out, s.catalogStats(ctx)...)
	sort.Slice(out, func(i, j int) bool { return out[i][0] < out[j][0] })
	return out
}
