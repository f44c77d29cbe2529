package apply

import (
	"log/slog"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/store"
)

// Free space is asked for after so much time or so many bytes.
const (
	spaceInterval = 100 * time.Millisecond
	spaceBytes    = 16 << 20
)

// space watches the free space of the disk for the builder.
type space struct {
	store  *store.Store
	now    func() time.Time
	logger *slog.Logger
	asked  time.Time
	since  int   // bytes written since
	fault  error // DISK_FULL as of then, or nil
}

// full returns a DISK_FULL fault while less than the reserve is free.
func (s *space) full() error {
	now := s.now()
	if s.since < spaceBytes && now.Sub(s.asked) < spaceInterval && !now.Before(s.asked) {
		return s.fault
	}
	s.asked, s.since = now, 0
	err := s.store.Full()
	if err != nil && !fault.Is(err, fault.DiskFull) {
		s.logger.Warn("free space is not known", "error", err)
		err = nil
	}
	s.fault = err
	return err
}

// written notes bytes that went to the disk.
func (s *space) written(bytes int) { s.since += bytes }

// frees reports whether a command is carried out on a full disk: those that
// make room, or that keep what is known of jobs and positions true.
func frees(body command.Body) bool {
	switch b := command.Plain(body).(type) {
	case command.DropFiles, command.DropTable, command.DropNamespace, command.DropJobs, command.ForgetHistory,
		command.PurgeRows, command.ExpireStream, command.CutStream, command.DropBlobs, command.DropWindows, command.RaiseCeiling, command.LosePositions:
		return true
	case command.PutJob:
		return !b.Create
	}
	return false
}
