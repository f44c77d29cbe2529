package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"kalamdb/internal/core"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
)

// Bounds of the slow log.
const (
	slowFile      = "slow.jsonl"
	slowMegabytes = 16
	slowBackups   = 1
	maxSlowRows   = 200 // of system.slow_queries
)

// slowLog writes a line of JSON for each statement that took long. The file is
// made with the first of them.
type slowLog struct {
	file *lumberjack.Logger
	log  *slog.Logger
}

func newSlowLog(dir string, l *slog.Logger) *slowLog {
	return &slowLog{&lumberjack.Logger{Filename: filepath.Join(dir, slowFile), MaxSize: slowMegabytes, MaxBackups: slowBackups}, l}
}

// slowLine is one line.
type slowLine struct {
	Time      string  `json:"timestamp"`
	Millis    int64   `json:"timestamp_ms"`
	Took      float64 `json:"duration_ms"`
	User      string  `json:"user_id"`
	TableType string  `json:"table_type"`
	Table     *string `json:"table_name"`
	Rows      int64   `json:"row_count"`
	Query     string  `json:"query"`
	Kind      string  `json:"kind"`
	Path      string  `json:"path"`
	ID        string  `json:"statement_id"`
	Request   string  `json:"request_id,omitempty"`
}

// write writes a line. A full disk must not stop a statement, so what the file
// refuses is only reported.
func (l *slowLog) write(s core.SlowStatement) {
	line := slowLine{
		Time: s.End.UTC().Format("2006-01-02T15:04:05.000Z"), Millis: s.End.UnixMilli(), Took: float64(s.Took) / float64(time.Millisecond),
		User: string(s.User), TableType: s.TableType, Rows: s.Rows, Query: s.Query, Kind: s.Kind, Path: s.Path, ID: s.ID, Request: s.RequestID,
	}
	if line.TableType == "" {
		line.TableType = "unknown"
	}
	if s.Table != "" {
		line.Table = &s.Table
	}
	text, err := json.Marshal(&line)
	if err == nil {
		_, err = l.file.Write(append(text, '\n'))
	}
	if err != nil {
		l.log.Warn("slow statement was not logged", "statement", s.ID, "error", err)
	}
}

func (l *slowLog) close() error { return l.file.Close() }

// slowRows returns the newest statements of the slow log, oldest first.
func (s *Server) slowRows(context.Context, relation.Caller) ([][]datum.Value, error) {
	text, err := tail(s.slow.file.Filename, maxLogTail)
	if err != nil {
		return nil, fmt.Errorf("read the slow log: %w", err)
	}
	var rows [][]datum.Value
	for line := range bytes.Lines(text) {
		var l slowLine
		if json.Unmarshal(line, &l) != nil {
			continue
		}
		table := datum.NullValue
		if l.Table != nil {
			table = datum.NewText(*l.Table)
		}
		rows = append(rows, []datum.Value{
			datum.NewText(l.Time), datum.NewInt(datum.BigInt, l.Millis), datum.NewDouble(l.Took), datum.NewText(l.User),
			datum.NewText(l.TableType), table, datum.NewInt(datum.BigInt, l.Rows), datum.NewText(l.Query),
		})
	}
	return rows[max(0, len(rows)-maxSlowRows):], nil
}
