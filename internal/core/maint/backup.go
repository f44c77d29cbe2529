package maint

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sync"

	"kalamdb/internal/backup"
	"kalamdb/internal/core/job"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// holds keep files that a running backup copies. They end with the process.
type holds struct {
	mu   sync.Mutex
	last int
	at   map[int]uint64 // positions by hold
}

// take keeps what is live at a position or removed later, until release.
func (h *holds) take(position uint64) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at == nil {
		h.at = map[int]uint64{}
	}
	h.last++
	id := h.last
	h.at[id] = position
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.at, id)
	}
}

// oldest is the least position that is held, or the greatest number.
func (h *holds) oldest() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	least := uint64(math.MaxUint64)
	for _, position := range h.at {
		least = min(least, position)
	}
	return least
}

// hold keeps the files of the present moment.
func (m *Maintainer) hold() (release func()) {
	view := m.o.View()
	defer view.Release() // what it shows cannot go before it is held
	return m.holds.take(view.Position())
}

// locate finds the place of a backup.
func (m *Maintainer) locate(text string) (backup.Target, error) {
	view := m.o.View()
	defer view.Release()
	return backup.Locate(m.o.Cold, text, m.o.Store.Dir(), view.Definitions().Storages())
}

// StartBackup starts a backup of the whole database and returns what the
// statement answers.
func (m *Maintainer) StartBackup(ctx context.Context, actor schema.UserID, text string) (string, error) {
	to, err := m.locate(text)
	if err == nil {
		err = to.Check()
	}
	if err != nil {
		return "", err
	}
	j, started, err := m.o.Jobs.Submit(ctx, job.Spec{
		Type: "backup", Prefix: "BK", Key: "backup", Parameters: placeParameters("target", text), Actor: actor,
		Run: func(ctx context.Context) (string, error) { return m.backup(ctx, to) },
	})
	if err != nil {
		return "", err
	}
	if !started {
		return "", fault.New(fault.InvalidOperation, "a backup is already queued or running. Job ID: %s", j.ID)
	}
	return fmt.Sprintf("Database backup started to '%s'. Job ID: %s", text, j.ID), nil
}

// backup makes a backup and says what it has done.
func (m *Maintainer) backup(ctx context.Context, to backup.Target) (string, error) {
	if err := m.resumeArchive(ctx); err != nil {
		return "", err
	}
	done, err := backup.Write(ctx, backup.Options{
		Store: m.o.Store, Tier: m.o.Cold, Hold: m.hold, Version: m.o.Version, Now: m.o.Now,
		Progress: report(ctx),
	}, to)
	if err == nil {
		err = m.backedUp(done.Position)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Backed up position %d to '%s': %d engine file(s), %d cold file(s) copied, %d already there, %d bytes written and verified",
		done.Position, to.Text(), done.EngineFiles, done.Copied, done.Reused, done.Bytes), nil
}

// StartRestore checks that a place holds a backup, starts the job that stages
// it, and returns what the statement answers.
func (m *Maintainer) StartRestore(ctx context.Context, actor schema.UserID, text string) (string, error) {
	from, err := m.locate(text)
	if err != nil {
		return "", err
	}
	source, err := backup.Open(from)
	if err != nil {
		return "", err
	}
	j, started, err := m.o.Jobs.Submit(ctx, job.Spec{
		Type: "restore", Prefix: "RS", Key: "restore", Parameters: placeParameters("source", text), Actor: actor,
		Run: func(ctx context.Context) (string, error) {
			if err := source.Stage(ctx, m.o.Store.FS(), m.o.Store.Dir(), report(ctx)); err != nil {
				return "", err
			}
			return fmt.Sprintf("Staged the backup of position %d from '%s': %d bytes verified; it takes effect when the server is started again",
				source.Manifest().Position, text, source.Manifest().Bytes()), nil
		},
	})
	if err != nil {
		return "", err
	}
	if !started {
		return "", fault.New(fault.InvalidOperation, "a restore is already queued or running. Job ID: %s", j.ID)
	}
	return fmt.Sprintf("Database restore started from '%s'; it takes effect when the server is started again. Job ID: %s", text, j.ID), nil
}

// BackupContents are what a backup says of itself.
type BackupContents struct {
	ID        string
	CreatedAt int64 // in microseconds since the Unix epoch
	Position  uint64
	Tables    []BackupTable
}

// BackupTable is what a backup holds of a table.
type BackupTable struct {
	Namespace, Name, Kind    string
	Version                  uint32
	HotRows, ColdRows, Files int64
	Bytes                    int64
}

// ReadBackup reads the manifest of a backup.
func (m *Maintainer) ReadBackup(text string) (BackupContents, error) {
	from, err := m.locate(text)
	if err != nil {
		return BackupContents{}, err
	}
	source, err := backup.Open(from)
	if err != nil {
		return BackupContents{}, err
	}
	all := source.Manifest()
	c := BackupContents{ID: all.ID, CreatedAt: all.CreatedAt, Position: all.Position}
	for _, t := range all.Tables {
		c.Tables = append(c.Tables, BackupTable{
			Namespace: t.Namespace, Name: t.Name, Kind: t.Kind, Version: t.Version,
			HotRows: t.HotRows, ColdRows: t.ColdRows, Files: t.Files, Bytes: t.Bytes,
		})
	}
	return c, nil
}

// PutRestored writes the cold files of a backup that this start has taken to
// storages outside of the data directory, where they are missing. Nobody may
// read before.
func (m *Maintainer) PutRestored(ctx context.Context) error {
	view := m.o.View()
	defer view.Release()
	return backup.PutOutside(ctx, m.o.Store.FS(), m.o.Store.Dir(), m.o.Cold, view)
}

// placeParameters are what system.jobs shows of a backup or a restore.
func placeParameters(name, place string) string {
	text, err := json.Marshal(map[string]string{name: place})
	if err != nil {
		return "{}"
	}
	return string(text)
}
