package maint

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"kalamdb/internal/backup"
	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
)

// ArchiveOptions say where commands are shipped to and when.
type ArchiveOptions struct {
	// Storage is the id of the storage; without one nothing is shipped. Folder is
	// the folder below its base.
	Storage, Folder string
	// Every is the longest that a command waits while the storage answers; 10 s
	// when 0. SegmentBytes of them are shipped before; 16 MiB when 0.
	Every        time.Duration
	SegmentBytes int64
}

func (o ArchiveOptions) withDefaults() ArchiveOptions {
	if o.Every == 0 {
		o.Every = 10 * time.Second
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 16 << 20
	}
	return o
}

// archiveLook is the time between two looks at how much waits.
const archiveLook = time.Second

// archiveFigures are what shipping has done since the start.
type archiveFigures struct {
	mu struct {
		sync.Mutex
		ArchiveStats
	}
}

// ArchiveStats are the figures of the archive.
type ArchiveStats struct {
	// State is "off", "keeping", "waiting for a backup" or "broken".
	State string
	// Through is the last position that was shipped.
	Through uint64
	// Commands and Bytes wait, the oldest of them for Lag.
	Commands, Bytes int64
	Lag             time.Duration
	// Files and FileBytes were shipped since the start; Failures were tried in
	// vain, the last time for Error, which is empty after a success.
	Files, FileBytes, Failures int64
	Error                      string
}

// ArchiveStats returns the present figures.
func (m *Maintainer) ArchiveStats() ArchiveStats {
	m.archive.mu.Lock()
	s := m.archive.mu.ArchiveStats
	m.archive.mu.Unlock()
	a := m.o.archived()
	if a == nil {
		s.State = store.ArchiveOff.String()
		return s
	}
	now := a.Stats()
	s.State, s.Commands, s.Bytes = now.State.String(), now.Commands, now.Bytes
	if now.State == store.ArchiveKeeping && (now.Backup == 0 || now.Backup < now.From) {
		s.State = "waiting for a backup"
	}
	ships, err := a.Ships()
	if err != nil {
		return s // the next shipping says why
	}
	s.Through = ships.Through
	if now.Commands > 0 {
		view := m.o.View()
		defer view.Release()
		_ = store.EachLogged(view.Reader(), ships.Through, func(e store.LogEntry) bool { // likewise
			s.Lag = store.ArchiveLag(e.Position, m.o.Now())
			return false
		})
	}
	return s
}

// archived returns the log of commands, or nil.
func (o *Options) archived() *store.Archive {
	if o.Store == nil || o.Archive.Storage == "" {
		return nil
	}
	return o.Store.Archive()
}

// keepArchive ships what commits leave until ctx ends.
func (m *Maintainer) keepArchive(ctx context.Context) {
	a := m.o.archived()
	if a == nil {
		return
	}
	look := time.NewTicker(min(archiveLook, m.o.Archive.Every))
	defer look.Stop()
	last, broken := m.o.Now(), false
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		s := a.Stats()
		if now := s.State == store.ArchiveBroken; now != broken {
			if broken = now; now {
				m.o.Logger.Error("the archive is broken: more waited for it than archive.max_bytes; commits go on and are not archived until the next backup of the whole database",
					"through", s.Through, "waiting_bytes", s.Bytes)
			}
		}
		if now := m.o.Now(); s.Bytes >= m.o.Archive.SegmentBytes || now.Sub(last) >= m.o.Archive.Every {
			last = now
			m.try(ctx, "ship commands to the archive", m.ShipArchive)
		}
	}
}

// ShipArchive ships all that waits for the archive.
func (m *Maintainer) ShipArchive(ctx context.Context) error {
	a := m.o.archived()
	if a == nil {
		return nil
	}
	m.shipping.Lock()
	defer m.shipping.Unlock()
	for {
		more, err := m.shipOne(ctx, a)
		m.noteShipping(err)
		if err != nil || !more {
			return err
		}
	}
}

func (m *Maintainer) noteShipping(err error) {
	m.archive.mu.Lock()
	defer m.archive.mu.Unlock()
	if err != nil {
		m.archive.mu.Failures++
		m.archive.mu.Error = err.Error()
		return
	}
	m.archive.mu.Error = ""
}

// shipOne ships one stretch and reports whether there was one.
func (m *Maintainer) shipOne(ctx context.Context, a *store.Archive) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	ships, err := a.Ships()
	if err != nil {
		return false, err
	}
	now := a.Stats()
	stretch := &backup.Stretch{ID: now.ID, Number: ships.Next, From: max(ships.Through, now.From)}
	size, err := m.stretch(stretch, ships)
	if err != nil || len(stretch.Entries) == 0 {
		return false, err
	}
	// The intention comes first: whoever is cut off behind it ships the same
	// stretch again, to the same name.
	if ships.Intent != stretch.Through {
		ships.Intent = stretch.Through
		if err := a.Intend(ships); err != nil {
			return false, err
		}
	}
	to, err := m.locateArchive()
	if err != nil {
		return false, err
	}
	if err := to.Claim(now.ID); err != nil {
		return false, err
	}
	written, err := to.Ship(stretch)
	if err != nil {
		return false, err
	}
	next := store.ArchiveShips{Next: ships.Next + 1, Through: stretch.Through}
	if err := a.Shipped(next, size, int64(len(stretch.Entries))); err != nil {
		return false, err
	}
	m.archive.mu.Lock()
	defer m.archive.mu.Unlock()
	m.archive.mu.Files++
	m.archive.mu.FileBytes += written
	return true, nil
}

// stretch fills a stretch with what waits: up to the intention of a shipping that
// was cut off, or as much as a file takes.
func (m *Maintainer) stretch(stretch *backup.Stretch, ships store.ArchiveShips) (size int64, err error) {
	view := m.o.View()
	defer view.Release()
	err = store.EachLogged(view.Reader(), ships.Through, func(e store.LogEntry) bool {
		if ships.Intent > 0 && e.Position > ships.Intent {
			return false
		}
		size += e.Size()
		e.Command = bytes.Clone(e.Command)
		stretch.Entries = append(stretch.Entries, e)
		stretch.Through = e.Position
		return ships.Intent > 0 || size < m.o.Archive.SegmentBytes
	})
	return size, err
}

// locateArchive finds the folder of the archive.
func (m *Maintainer) locateArchive() (*backup.Archive, error) {
	id := m.o.Archive.Storage
	if id == schema.LocalStorage {
		return nil, fault.New(fault.InvalidOperation, "archive.storage must not be '%s', which lies in the data directory", id)
	}
	st, ok := m.o.Definitions().Storage(id)
	if !ok {
		return nil, fault.New(fault.ObjectNotFound, "archive.storage names '%s', which does not exist; create it with CREATE STORAGE", id)
	}
	folder, err := m.o.Cold.Folder(*st, m.o.Archive.Folder)
	if err != nil {
		return nil, err
	}
	return backup.NewArchive(folder, strings.TrimSuffix(st.BaseDirectory, "/")+"/"+m.o.Archive.Folder), nil
}

// resumeArchive begins a broken archive anew in front of a backup of the whole
// database: what was kept before is shipped, and the commits from here on are
// kept again. Where the storage does not answer it stays broken.
func (m *Maintainer) resumeArchive(ctx context.Context) error {
	a := m.o.archived()
	if a == nil || a.Stats().State != store.ArchiveBroken {
		return nil
	}
	m.try(ctx, "ship commands to the archive", m.ShipArchive)
	if !a.Resume() {
		m.o.Logger.Error("the archive stays broken: what waits for it could not be shipped")
		return ctx.Err()
	}
	_, err := m.commit(ctx, command.PutAudit{}) // the next one, which everybody who comes later stands behind
	return err
}

// backedUp notes that a restore can begin from here.
func (m *Maintainer) backedUp(position uint64) error {
	if a := m.o.archived(); a != nil {
		return a.BackedUp(position)
	}
	return nil
}
