package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"kalamdb/internal/backup"
	"kalamdb/internal/cold"
	"kalamdb/internal/disk"
	"kalamdb/internal/store"
)

// errWaiting refuses a rebuild of a directory that a restore has been staged for.
var errWaiting = errors.New("a restored copy waits in it; start the server once, or remove the folder restore")

// RebuildOptions say what is rebuilt and who is asked.
type RebuildOptions struct {
	DataDir string
	// Yes puts the new list in place without asking.
	Yes bool
	// In is where the answer comes from.
	In io.Reader
}

// Rebuild makes the list of cold segments of a data directory that no server uses
// anew, from the places of its rows and the files of its storages. It works on a
// copy, prints what it has found, asks, and puts the copy in place as a restore
// does; until then the directory is as it was.
func Rebuild(ctx context.Context, o RebuildOptions, out io.Writer) (err error) {
	fsys := disk.Real()
	dataDir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return fmt.Errorf("find the data directory: %w", err)
	}
	exists, err := disk.Exists(fsys, filepath.Join(dataDir, "FORMAT"))
	if err == nil && !exists {
		err = errors.New("there is no FORMAT in it")
	}
	if err != nil {
		return fmt.Errorf("rebuild %s: %w", dataDir, err)
	}
	release, err := store.HoldDirectory(fsys, dataDir)
	if err != nil {
		return err
	}
	agreed, err := rebuildHeld(ctx, fsys, dataDir, o, out)
	if err = errors.Join(err, release()); err != nil || !agreed {
		return err
	}
	// Opening puts the copy in place; a start that comes first does the same.
	s, err := store.Open(store.Options{FS: fsys, Dir: dataDir, Reserve: -1})
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	fmt.Fprintln(out, "the new list is in place; the state before is kept in the folder replaced")
	return nil
}

// rebuildHeld makes the copy and asks whether it is to be put in place.
func rebuildHeld(ctx context.Context, fsys disk.FS, dataDir string, o RebuildOptions, out io.Writer) (agreed bool, err error) {
	waiting, err := store.IsStaged(fsys, dataDir)
	if err == nil && waiting {
		err = errWaiting
	}
	if err == nil {
		err = store.StageSelf(fsys, dataDir)
	}
	if err != nil {
		return false, fmt.Errorf("rebuild %s: %w", dataDir, err)
	}
	defer func() {
		if !agreed {
			err = errors.Join(err, store.ForgetStaged(fsys, dataDir))
		}
	}()
	report, err := rebuildCopy(ctx, fsys, dataDir, out)
	if err != nil {
		return false, fmt.Errorf("rebuild %s: %w", dataDir, err)
	}
	fmt.Fprintf(out, "%d tables: %d files taken with %d cold rows in %d windows; %d missing, %d broken, %d left, %d foreign; %d rows lost\n",
		report.Tables, report.Taken, report.Rows, report.Windows, report.Missing, report.Broken, report.Useless, report.Foreign, report.LostRows)
	if !o.Yes && !ask(o.In, out) {
		fmt.Fprintln(out, "nothing was changed")
		return false, nil
	}
	if err := store.CompleteStaged(fsys, dataDir); err != nil {
		return false, err
	}
	return true, nil
}

// rebuildCopy rebuilds the staged copy of a directory.
func rebuildCopy(ctx context.Context, fsys disk.FS, dataDir string, out io.Writer) (report backup.RebuildReport, err error) {
	tier := cold.New(cold.Options{FS: fsys, DataDir: dataDir})
	defer func() { err = errors.Join(err, tier.Close()) }()
	s, err := store.Open(store.Options{FS: fsys, Dir: store.StagedDir(dataDir), Reserve: -1})
	if err != nil {
		return report, err
	}
	defer func() {
		s.Recovered()
		err = errors.Join(err, s.Close())
	}()
	last := int64(0)
	return backup.Rebuild(ctx, backup.RebuildOptions{
		Store: s, Tier: tier,
		Found: func(line string) { fmt.Fprintln(out, line) },
		Progress: func(done, total int64) {
			if done/100 > last {
				last = done / 100
				fmt.Fprintf(out, "%d of %d files read\n", done, total)
			}
		},
	})
}

// ask waits for an answer; anything but y and yes is no.
func ask(in io.Reader, out io.Writer) bool {
	fmt.Fprint(out, "put this list in place of the one that is there? [y/N] ")
	if in == nil {
		return false
	}
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && answer == "" {
		fmt.Fprintln(out)
		return false
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}
