package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"gopkg.in/natefinch/lumberjack.v2"

	"kalamdb/internal/config"
)

// Bounds of the log.
const (
	logFile      = "server.jsonl"
	logMegabytes = 64 // of one file
	logBackups   = 3  // beside the current file
	maxEarlyLogs = 256
)

// logs writes text to the console and JSON lines to a file. What is logged
// before the file is open is kept, bounded, and written to it then.
type logs struct {
	level   slog.Level
	console slog.Handler // nil for none
	mu      struct {
		sync.Mutex
		file    *lumberjack.Logger
		handler slog.Handler // of file, nil until it is open
		early   []early
	}
}

// early is a record that waits for the file.
type early struct {
	record slog.Record
	wrap   func(slog.Handler) slog.Handler
}

func newLogs(c config.Logging, stderr io.Writer) *logs {
	l := &logs{level: levelOf(c.Level)}
	if c.LogToConsole {
		l.console = slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: l.level})
	}
	return l
}

func levelOf(name string) slog.Level {
	switch name {
	case "debug", "trace":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// open begins the file in a folder.
func (l *logs) open(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make log folder: %w", err)
	}
	file := &lumberjack.Logger{
		Filename: filepath.Join(dir, logFile), MaxSize: logMegabytes, MaxBackups: logBackups,
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.file = file
	l.mu.handler = slog.NewJSONHandler(file, &slog.HandlerOptions{Level: l.level})
	var faults []error
	for _, e := range l.mu.early {
		faults = append(faults, e.wrap(l.mu.handler).Handle(context.Background(), e.record))
	}
	l.mu.early = nil
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("write log file %s: %w", file.Filename, err)
	}
	return nil
}

func (l *logs) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.handler = nil
	if l.mu.file == nil {
		return nil
	}
	return l.mu.file.Close()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(&logHandler{logs: l, wrap: func(h slog.Handler) slog.Handler { return h }})
}

// logHandler is a slog.Handler over both places.
type logHandler struct {
	logs *logs
	wrap func(slog.Handler) slog.Handler // adds the attributes and groups so far
}

// Enabled reports whether a level is logged.
func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.logs.level }

// Handle writes a record to both places. A full disk must not stop the server,
// so what the file refuses is only reported.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	var faults []error
	if h.logs.console != nil {
		faults = append(faults, h.wrap(h.logs.console).Handle(ctx, r))
	}
	h.logs.mu.Lock()
	file := h.logs.mu.handler
	if file == nil && h.logs.mu.file == nil && len(h.logs.mu.early) < maxEarlyLogs {
		h.logs.mu.early = append(h.logs.mu.early, early{r.Clone(), h.wrap})
	}
	h.logs.mu.Unlock()
	if file != nil {
		faults = append(faults, h.wrap(file).Handle(ctx, r))
	}
	return errors.Join(faults...)
}

// WithAttrs returns a handler that adds attributes.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.logs, func(to slog.Handler) slog.Handler { return h.wrap(to).WithAttrs(attrs) }}
}

// WithGroup returns a handler that opens a group.
func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.logs, func(to slog.Handler) slog.Handler { return h.wrap(to).WithGroup(name) }}
}
