package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"

	"kalamdb/internal/api"
	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// maxLogTail bounds what system.server_logs reads of the log file.
const maxLogTail = 1 << 20

// registerViews gives the views over running state their rows.
func (s *Server) registerViews() {
	views := map[string]relation.Produce{
		"stats":        s.statsRows,
		"settings":     s.settingsRows,
		"server_logs":  s.logRows,
		"cluster":      s.clusterRows,
		"slow_queries": s.slowRows,
	}
	for name, rows := range views {
		def, ok := s.db.Relations().Definition(schema.SystemNamespace, name)
		fault.Assert(ok, "view system.%s has no columns", name)
		s.db.Relations().Register(def, rows)
	}
}

func (s *Server) statsRows(ctx context.Context, _ relation.Caller) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, stat := range s.stats(ctx) {
		rows = append(rows, []datum.Value{datum.NewText(stat[0]), datum.NewText(stat[1])})
	}
	return rows, nil
}

func (s *Server) settingsRows(context.Context, relation.Caller) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, set := range s.o.Config.Settings() {
		rows = append(rows, []datum.Value{
			datum.NewText(set.Name), datum.NewText(set.Value), datum.NewText(set.Description), datum.NewText(set.Category),
		})
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i][0].Text() < rows[j][0].Text() })
	return rows, nil
}

func (s *Server) clusterRows(context.Context, relation.Caller) ([][]datum.Value, error) {
	n := s.node()
	text, null := datum.NewText, datum.NullValue
	whole := func(v int64) datum.Value { return datum.NewInt(datum.BigInt, v) }
	small := func(v int64) datum.Value { return datum.NewInt(datum.Int, v) }
	return [][]datum.Value{{
		text("standalone"), whole(int64(n.ID)), text("leader"), text("active"), text(""), text(n.Address),
		datum.NewBool(true), datum.NewBool(true), small(1), small(1), whole(int64(n.CurrentTerm)),
		whole(int64(n.LastApplied)), whole(int64(n.LastApplied)), whole(int64(n.LastApplied)), datum.NewInt(datum.SmallInt, 100),
		whole(0), text(n.Hostname), text(s.o.Version), whole(totalMemoryMB()), whole(int64(n.MemoryMB)),
		datum.NewFloat(float32(n.CPUPercent)), whole(int64(n.Uptime / time.Second)), text(api.Human(n.Uptime)),
		textOr(runtime.GOOS, null), textOr(runtime.GOARCH, null),
	}}, nil
}

func textOr(s string, otherwise datum.Value) datum.Value {
	if s == "" {
		return otherwise
	}
	return datum.NewText(s)
}

// counted are the statistics that SQL knows, by name. It is never written.
var counted = [...][2]string{
	{"total_users", "SELECT COUNT(*) FROM system.users WHERE deleted_at IS NULL"},
	{"total_namespaces", "SELECT COUNT(*) FROM system.namespaces"},
	{"total_tables", "SELECT COUNT(*) FROM system.tables WHERE table_type <> 'system'"},
	{"total_storages", "SELECT COUNT(*) FROM system.storages"},
	{"total_jobs", "SELECT COUNT(*) FROM system.jobs"},
	{"jobs_running", "SELECT COUNT(*) FROM system.jobs WHERE status = 'running'"},
	{"jobs_queued", "SELECT COUNT(*) FROM system.jobs WHERE status = 'queued'"},
	{"jobs_failed", "SELECT COUNT(*) FROM system.jobs WHERE status = 'failed'"},
	{"total_live_queries", "SELECT COUNT(*) FROM system.live"},
	{"schema_registry_size", "SELECT COUNT(*) FROM system.tables"},
	{"schema_cache_size", "SELECT COUNT(*) FROM system.tables"},
}

// catalogStats counts what the catalog holds, by asking for it. What cannot be
// counted now is left out.
func (s *Server) catalogStats(ctx context.Context) [][2]string {
	self := &auth.Session{UserID: auth.Root, Actor: auth.Root, Role: schema.RoleSystem, Local: true, RequestID: "system.stats"}
	var out [][2]string
	for _, c := range counted {
		n, err := s.count(ctx, self, c[1])
		if err != nil {
			s.log.Warn("statistic is missing", "name", c[0], "error", err)
			continue
		}
		out = append(out, [2]string{c[0], n})
	}
	return out
}

// count runs a SELECT of one value.
func (s *Server) count(ctx context.Context, as *auth.Session, sql string) (string, error) {
	results, err := s.db.Execute(ctx, as, core.Request{SQL: sql})
	if err != nil {
		return "", err
	}
	defer results[0].Close()
	rows, err := results[0].Next(ctx)
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return "", fmt.Errorf("%s: %d rows", sql, len(rows))
	}
	return rows[0][0].String(), nil
}

// logRows returns the newest lines of the log, oldest first.
func (s *Server) logRows(context.Context, relation.Caller) ([][]datum.Value, error) {
	text, err := tail(filepath.Join(s.o.Config.LogsPath(), logFile), maxLogTail)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	var rows [][]datum.Value
	for line := range bytes.Lines(text) {
		if row, ok := logRow(line); ok {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// tail returns whole lines of at most n bytes at the end of a file.
func tail(file string, n int64) ([]byte, error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	start := max(0, end-n)
	text, err := io.ReadAll(io.NewSectionReader(f, start, end-start))
	if start > 0 {
		_, text, _ = bytes.Cut(text, []byte("\n")) // the first line is cut
	}
	return text, err
}

// logRow turns a line of the log into a row; values are written behind the
// message.
func logRow(line []byte) ([]datum.Value, bool) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var fields map[string]any
	if d.Decode(&fields) != nil {
		return nil, false
	}
	var extra []string
	for name, v := range fields {
		switch name {
		case "time", "level", "msg", "room":
		default:
			extra = append(extra, fmt.Sprintf("%s=%v", name, v))
		}
	}
	sort.Strings(extra)
	message := strings.Join(append([]string{fmt.Sprint(fields["msg"])}, extra...), " ")
	target := datum.NullValue
	if room, ok := fields["room"].(string); ok {
		target = datum.NewText(room)
	}
	return []datum.Value{
		datum.NewText(fmt.Sprint(fields["time"])), datum.NewText(fmt.Sprint(fields["level"])),
		datum.NullValue, target, datum.NullValue, datum.NewText(message),
	}, true
}
