// Package testkit holds fixtures that tests of several rooms share: a database
// on the disk in memory, and a clock that tests turn by hand. Nothing but test
// files imports it.
//
// Goroutines: one per open Database, ended by Close. Locks: Clock.mu.
package testkit

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"kalamdb/internal/auth"
	"kalamdb/internal/cold"
	"kalamdb/internal/core"
	"kalamdb/internal/core/live"
	"kalamdb/internal/disk"
	"kalamdb/internal/store"
)

// dataDir is where a Database lives on its disk.
const dataDir = "data"

// Database is a core.DB on a disk in memory.
type Database struct {
	*core.DB
	Disk  *disk.Mem
	Clock *Clock

	store  *store.Store
	cold   *cold.Tier
	cancel context.CancelFunc
	done   chan error
	syncs  uint64 // calls of Sync
}

// Open opens a database on a disk, and waits until it takes statements. change,
// if not nil, may adjust the options.
func Open(mem *disk.Mem, clock *Clock, change func(*core.Options)) (*Database, error) {
	return open(mem, mem, clock, change)
}

// OpenHooked is Open with a hook that is called before every operation on the
// disk, as disk.Inject says.
func OpenHooked(mem *disk.Mem, hook func(disk.Op) error, clock *Clock, change func(*core.Options)) (*Database, error) {
	return open(mem, disk.Inject(mem, hook), clock, change)
}

func open(mem *disk.Mem, fsys disk.FS, clock *Clock, change func(*core.Options)) (*Database, error) {
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	fatal := func(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
	s, err := store.Open(store.Options{FS: fsys, Dir: dataDir, Fatal: fatal, Now: clock.Now, Logger: logger})
	if err != nil {
		return nil, err
	}
	tier := cold.New(cold.Options{FS: fsys, DataDir: dataDir})
	passwords, err := auth.NewPasswords(auth.PasswordOptions{Cost: 4})
	if err != nil {
		return nil, err
	}
	o := core.Options{
		Store: s, Cold: tier, Passwords: passwords, NodeID: 1, Now: clock.Now, Logger: logger, Fatal: fatal,
		Live: live.Options{MaxPerUser: 1000, MaxPerConnection: 1000},
	}
	if change != nil {
		change(&o)
	}
	db, err := core.Open(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &Database{DB: db, Disk: mem, Clock: clock, store: s, cold: tier, cancel: cancel, done: make(chan error, 1)}
	go func() { d.done <- db.Run(ctx) }()
	select {
	case <-db.Ready():
		return d, nil
	case err := <-d.done:
		cancel()
		return nil, fmt.Errorf("database ended while it started: %w", err)
	}
}

// Close ends the database cleanly.
func (d *Database) Close() error {
	d.cancel()
	err := <-d.done
	if closing := d.cold.Close(); err == nil {
		err = closing
	}
	if closing := d.store.Close(); err == nil {
		err = closing
	}
	return err
}

// Sync makes durable what was committed so far, relaxed commits too.
func (d *Database) Sync() error {
	b := d.store.NewBatch()
	defer b.Close()
	d.syncs++
	store.SetNextNumber(b, "testkit", d.syncs)
	if err := b.Commit(true); err != nil {
		return err
	}
	return b.Wait()
}

// Reader reads the hot store past everything above it.
func (d *Database) Reader() store.Reader { return d.store.Reader() }
