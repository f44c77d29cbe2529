package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"kalamdb/internal/backup"
	"kalamdb/internal/cold"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
)

// ErrProblems says that a check has found something, which it has printed.
var ErrProblems = errors.New("the data directory is not whole")

// errNotVacant refuses a restore over something else.
var errNotVacant = errors.New("it is not empty; choose an empty directory, or use RESTORE DATABASE in the running server")

// RestoreOptions say what is restored.
type RestoreOptions struct {
	// From is the place of the backup: a folder or a file of this machine.
	From string
	// DataDir is the empty data directory.
	DataDir string
	// Archive is the folder that commands were shipped to, a path or a URL below
	// a storage of the backup; "" applies none. Until is the last of them.
	Archive string
	Until   Until
}

// Restore copies a backup to an empty data directory without a server, and
// brings it up to a later moment by an archive. The first start with that
// directory puts it in place.
func Restore(ctx context.Context, o RestoreOptions, out io.Writer) (err error) {
	fsys, dataDir := disk.Real(), o.DataDir
	if dataDir, err = filepath.Abs(dataDir); err != nil {
		return fmt.Errorf("find the data directory: %w", err)
	}
	vacant, err := store.Vacant(fsys, dataDir)
	if err == nil && !vacant {
		err = errNotVacant
	}
	if err != nil {
		return fmt.Errorf("restore into %s: %w", dataDir, err)
	}
	tier := cold.New(cold.Options{FS: fsys, DataDir: dataDir})
	defer func() { err = errors.Join(err, tier.Close()) }()
	target, err := backup.Locate(tier, o.From, dataDir, func(func(*schema.Storage) bool) {})
	if err != nil {
		return err
	}
	source, err := backup.Open(target)
	if err != nil {
		return err
	}
	release, err := store.HoldDirectory(fsys, dataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if o.Archive != "" {
		r := replayer{dataDir: dataDir, archive: o.Archive, tier: tier, until: o.Until, out: out}
		source.Amend = r.run
	}
	if err := source.Stage(ctx, fsys, dataDir, progress(out)); err != nil {
		return err
	}
	m := source.Manifest()
	fmt.Fprintf(out, "restored the backup of %s, position %d: %d tables, %d cold files, %d bytes verified; start kalamdb with storage.data_path = %q\n",
		store.PositionTime(m.Position).UTC().Format("2006-01-02T15:04:05Z"), m.Position, len(m.Tables), len(m.Segments), m.Bytes(), dataDir)
	return nil
}

// progress prints a line whenever another tenth is done.
func progress(out io.Writer) func(done, total int64) {
	last := int64(0)
	return func(done, total int64) {
		if total == 0 {
			return
		}
		if tenth := done * 10 / total; tenth > last {
			last = tenth
			fmt.Fprintf(out, "%d %% of %d bytes\n", tenth*10, total)
		}
	}
}

// Check reads all of a data directory that no server uses, prints what is wrong
// and returns ErrProblems then.
func Check(ctx context.Context, dataDir string, out io.Writer) (err error) {
	fsys := disk.Real()
	exists, err := disk.Exists(fsys, filepath.Join(dataDir, "FORMAT"))
	if err == nil && !exists {
		err = errors.New("there is no FORMAT in it")
	}
	if err != nil {
		return fmt.Errorf("check %s: %w", dataDir, err)
	}
	release, err := store.HoldDirectory(fsys, dataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	tier := cold.New(cold.Options{FS: fsys, DataDir: dataDir})
	defer func() { err = errors.Join(err, tier.Close()) }()
	problems := 0
	sum, err := backup.Check(ctx, fsys, dataDir, tier, func(problem string) {
		problems++
		fmt.Fprintln(out, problem)
	})
	if err != nil {
		return fmt.Errorf("check %s: %w", dataDir, err)
	}
	fmt.Fprintf(out, "position %d, %d tables, %d cold files with %d bytes: %d problems\n", sum.Position, sum.Tables, sum.Files, sum.Bytes, problems)
	if problems > 0 {
		return ErrProblems
	}
	return nil
}
