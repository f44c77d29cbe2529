package engine

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// complaintInterval keeps a disk that is full from filling the server's log.
const complaintInterval = 10 * time.Second

// logger hands Pebble's errors on; its chatter is dropped.
type logger DB

func (l *logger) Infof(string, ...any) {}

func (l *logger) Errorf(format string, args ...any) {
	l.logger.Error("engine error", "detail", fmt.Sprintf(format, args...))
}

// Fatalf is called by Pebble when it cannot go on, and must not return.
func (l *logger) Fatalf(format string, args ...any) {
	l.doom.giveUp(fmt.Errorf(format, args...))
}

// events reports what an operator should see.
func (db *DB) events() *pebble.EventListener {
	return &pebble.EventListener{
		// A flush or compaction that was refused is tried again by Pebble with
		// new files; the present ones still hold everything.
		BackgroundError: func(err error) {
			now := time.Now().UnixNano()
			last := db.complained.Load()
			if now-last > int64(complaintInterval) && db.complained.CompareAndSwap(last, now) {
				db.logger.Error("engine background work refused", "err", err)
			}
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			db.logger.Error("engine file damaged", "file", info.Path, "err", info.Details)
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			db.logger.Warn("engine writes stalled", "reason", info.Reason)
		},
	}
}
