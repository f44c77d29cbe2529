package server

import "kalamdb/internal/core"

// sampled are the figures that dba.stats keeps, with their units: what a chart
// of the last days needs, and no more. It is never written.
var sampled = map[string]string{
	"memory_rss_bytes": "bytes", "cpu_usage_percent": "percent", "open_files_total": "count", "goroutines": "count",
	"active_connections": "count", "websocket_sessions": "count", "live_connections": "count", "active_subscriptions": "count",
	"sql_requests_total": "count", "sql_failures_total": "count", "commits_total": "count", "commit_rows_total": "count",
	"store_disk_bytes": "bytes", "disk_free_bytes": "bytes", "job_queue": "count", "job_running": "count",
}

// sample returns the figures for dba.stats.
func (s *Server) sample() []core.Metric {
	var out []core.Metric
	for _, f := range s.figures() {
		if unit, ok := sampled[f.name]; ok && f.label == "" {
			out = append(out, core.Metric{Name: f.name, Unit: unit, Value: f.value})
		}
	}
	return out
}
