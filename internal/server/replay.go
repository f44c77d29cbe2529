package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"kalamdb/internal/backup"
	"kalamdb/internal/cold"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
)

// Until is the last commit that a restore applies.
type Until struct {
	// Position is the greatest one that is applied.
	Position uint64
	// Exact says that a position was given, which the archive must reach; a time
	// may lie behind its last commit.
	Exact bool
}

// errUntil says how a moment is written.
var errUntil = errors.New("a moment is a position, or a time such as 2026-11-23T21:05:00Z")

// lastYear is one whose positions have their bits.
const lastYear = 2090

// ParseUntil reads a position or a time; nothing is the end of the archive.
func ParseUntil(text string) (Until, error) {
	if text == "" {
		return Until{Position: math.MaxUint64}, nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return Until{Position: n, Exact: true}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return Until{}, fmt.Errorf("%q: %w", text, errUntil)
	}
	// The whole millisecond belongs to it.
	next := schema.SeqFloor(at.UnixMicro() + 1000)
	if next == 0 || at.Year() > lastYear {
		return Until{}, fmt.Errorf("%q lies before 2024 or after %d: %w", text, lastYear, errUntil)
	}
	return Until{Position: next - 1}, nil
}

// replayer brings a restored copy up to a later moment.
type replayer struct {
	dataDir, archive string
	tier             *cold.Tier
	until            Until
	out              io.Writer
}

// run applies what the archive holds behind the copy in a directory.
func (r *replayer) run(ctx context.Context, dir string) error {
	id, from, archive, err := r.open(dir)
	if err != nil {
		return err
	}
	if r.until.Position < from {
		return fmt.Errorf("the backup is of position %d (%s), which is after the moment to restore; take an older backup", from, clock(from))
	}
	commands, err := archive.Replay(id, from, r.until.Position)
	if err != nil {
		return err
	}
	copied, err := store.Open(store.Options{FS: disk.Real(), Dir: dir, Reserve: -1})
	if err != nil {
		return err
	}
	done, err := apply.Replay(ctx, copied, commands.Next)
	copied.Recovered()
	if err = errors.Join(err, copied.Close()); err != nil {
		return err
	}
	switch {
	case r.until.Exact && commands.Last() < r.until.Position && from < r.until.Position:
		return fmt.Errorf("the archive ends at position %d (%s), before %d; leave --until out to restore up to its end", max(from, commands.Last()), clock(max(from, commands.Last())), r.until.Position)
	case commands.Last() < r.until.Position && r.until.Position != math.MaxUint64:
		fmt.Fprintf(r.out, "the archive ends at %s, before the moment to restore: commits between the two, if there were any, are not in it\n", clock(max(from, commands.Last())))
	}
	fmt.Fprintf(r.out, "applied %d archived commands up to position %d, %s\n", done.Commands, done.Position, clock(done.Position))
	return nil
}

// open reads of a copy which history it belongs to and how far it goes, and
// finds the archive, for which the copy's storages may be needed.
func (r *replayer) open(dir string) (id store.ArchiveID, from uint64, archive *backup.Archive, err error) {
	c, err := store.OpenCopy(disk.Real(), dir)
	if err != nil {
		return id, 0, nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	id, archived, err := store.ArchiveIDOf(c.Reader())
	if err != nil {
		return id, 0, nil, err
	}
	if !archived {
		return id, 0, nil, errors.New("no archive was configured when the backup was made: none can follow it")
	}
	if from, err = store.Position(c.Reader()); err != nil {
		return id, 0, nil, err
	}
	definitions, err := catalog.Load(c.Reader())
	if err != nil {
		return id, 0, nil, err
	}
	archive, err = backup.LocateArchive(r.tier, r.archive, r.dataDir, definitions.Storages())
	return id, from, archive, err
}

func clock(position uint64) string {
	return store.PositionTime(position).UTC().Format("2006-01-02T15:04:05.000Z")
}
