package engine

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// logger hands Pebble's errors on; its chatter is dropped.
type logger DB

func (l *logger) Infof(string, ...any) {}

func (l *logger) Errorf(format string, args ...any) {
	l.logger.Error("engine error", "detail", fmt.Sprintf(format, args...))
}

// Fatalf is called by Pebble when it cannot go on, and must not return.
func (l *logger) Fatalf(format string, args ...any) {
	db := (*DB)(l)
	db.breakDown("run", "engine", fmt.Errorf(format, args...))
	db.fatal(format, args...)
}

// events reports what an operator should see.
func (db *DB) events() *pebble.EventListener {
	return &pebble.EventListener{
		// A flush or compaction that was refused is tried again by Pebble with
		// new files; the present ones still hold everything.
		BackgroundError: func(err error) {
			db.logger.Error("engine background work refused", "err", err)
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			db.logger.Error("engine file damaged", "file", info.Path, "err", info.Details)
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			db.logger.Warn("engine writes stalled", "reason", info.Reason)
		},
	}
}
