package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"kalamdb/internal/cold"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
)

// Stage checks a backup and copies it to the staging folder of a data directory,
// from where the next start takes it. Whoever calls it holds the directory, as
// the server that has it open or by store.HoldDirectory. After an error nothing
// is staged.
func (s *Source) Stage(ctx context.Context, fsys disk.FS, dataDir string, progress func(done, total int64)) error {
	if err := store.ForgetStaged(fsys, dataDir); err != nil {
		return err
	}
	g := &stager{fs: fsys, dir: store.StagedDir(dataDir), source: s, progress: progress, total: s.manifest.Bytes()}
	err := g.run(ctx)
	if err == nil && s.Amend != nil {
		err = s.Amend(ctx, g.dir)
	}
	if err == nil {
		err = store.CompleteStaged(fsys, dataDir)
	}
	if disk.IsFull(err) {
		err = fault.Wrap(fault.DiskFull, err, "there is no room to stage the backup in %s", dataDir)
	}
	if err != nil {
		return errors.Join(err, store.ForgetStaged(fsys, dataDir))
	}
	return nil
}

// stager copies one backup to a staging folder.
type stager struct {
	fs       disk.FS
	dir      string
	source   *Source
	progress func(done, total int64)
	done     int64
	total    int64
	places   map[string][]string // of the segments, by checksum
	made     map[string]struct{} // folders
}

func (g *stager) run(ctx context.Context) error {
	g.made = map[string]struct{}{}
	g.places = map[string][]string{}
	for _, seg := range g.source.manifest.Segments {
		at := path.Join("storage", seg.Path)
		if seg.Storage != schema.LocalStorage {
			at = path.Join(store.OutsideName, seg.Checksum)
		}
		if !slices.Contains(g.places[seg.Checksum], at) {
			g.places[seg.Checksum] = append(g.places[seg.Checksum], at)
		}
	}
	for _, folder := range []string{"hot", "storage"} {
		if err := g.folder(path.Join(g.dir, folder)); err != nil {
			return err
		}
	}
	if err := g.source.each(ctx, g.put); err != nil {
		return err
	}
	for folder := range g.made {
		if err := disk.SyncDir(g.fs, folder); err != nil {
			return fmt.Errorf("sync %s: %w", folder, err)
		}
	}
	return g.compare()
}

// put copies one object to its places.
func (g *stager) put(o Object, from io.Reader) error {
	places := []string{o.Name}
	if o.segment != nil {
		places = g.places[o.Checksum]
	}
	first := path.Join(g.dir, places[0])
	if err := g.write(first, from); err != nil {
		return err
	}
	for _, other := range places[1:] {
		full := path.Join(g.dir, other)
		if err := g.folder(path.Dir(full)); err != nil {
			return err
		}
		if err := g.fs.Link(first, full); err != nil {
			return fmt.Errorf("link %s: %w", full, err)
		}
	}
	g.done += o.Size
	if g.progress != nil {
		g.progress(g.done, g.total)
	}
	return nil
}

// write writes a file and syncs it; its folder is synced at the end.
func (g *stager) write(name string, from io.Reader) error {
	if err := g.folder(path.Dir(name)); err != nil {
		return err
	}
	f, err := disk.Create(g.fs, name)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	_, err = io.Copy(f, from)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (g *stager) folder(name string) error {
	if _, known := g.made[name]; known {
		return nil
	}
	if err := disk.MakeDir(g.fs, name); err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	g.made[name] = struct{}{}
	return nil
}

// compare opens the staged engine and asks for every cold file that it names.
func (g *stager) compare() error {
	c, err := store.OpenCopy(g.fs, g.dir)
	if err != nil {
		return fault.Wrap(fault.InvalidParameter, err, "Backup '%s' is damaged: its engine files cannot be opened", g.source.from.text)
	}
	type place struct{ storage, path string }
	known := make(map[place]*Segment, len(g.source.manifest.Segments))
	for i := range g.source.manifest.Segments {
		s := &g.source.manifest.Segments[i]
		known[place{s.Storage, s.Path}] = s
	}
	err = eachKept(c.Reader(), func(f schema.File) error {
		s := known[place{f.StorageID, f.Path}]
		if s == nil || s.File != f.Number || s.Checksum != f.Checksum {
			return fault.New(fault.InvalidParameter, "Backup '%s' is not complete: its manifest does not name cold file %s of storage '%s'",
				g.source.from.text, f.Path, f.StorageID)
		}
		return nil
	})
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	return err
}

// PutOutside writes the cold files of a restored backup that belong to storages
// outside of the data directory to their places, where they are missing. It
// comes after the start that has taken the backup and before anything reads.
func PutOutside(ctx context.Context, fsys disk.FS, dataDir string, tier *cold.Tier, view *catalog.View) error {
	outside := store.OutsideDir(dataDir)
	exists, err := disk.Exists(fsys, outside)
	if err != nil || !exists {
		return err
	}
	err = eachKept(view.Reader(), func(f schema.File) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		kept := path.Join(outside, f.Checksum)
		if exists, err := disk.Exists(fsys, kept); err != nil || !exists {
			return err
		}
		st, ok := view.Definitions().Storage(f.StorageID)
		if !ok {
			return nil
		}
		return putOne(fsys, kept, tier, *st, f)
	})
	if err != nil {
		return fmt.Errorf("put restored cold files in their storages: %w", err)
	}
	return disk.RemoveAll(fsys, outside)
}

// putOne writes a cold file unless it is there with the same bytes.
func putOne(fsys disk.FS, kept string, tier *cold.Tier, st schema.Storage, f schema.File) error {
	folder, err := tier.Folder(st, "")
	if err != nil {
		return err
	}
	want := Object{Name: f.Path, Size: f.Size, Checksum: f.Checksum}
	if there, size, err := folder.Read(f.Path); err == nil {
		same := size == f.Size && newChecked(there, want).drain() == nil
		_ = there.Close() // it was only read
		if same {
			return nil
		}
	}
	from, err := disk.Open(fsys, kept)
	if err != nil {
		return fmt.Errorf("open %s: %w", kept, err)
	}
	defer func() { _ = from.Close() }() // it is only read
	_, err = folder.Write(f.Path, newChecked(from, want))
	return err
}

// Check reads all of a data directory that no process holds: the engine's
// entries of definitions and files, and the bytes of every cold file. found
// hears of everything that is wrong.
func Check(ctx context.Context, fsys disk.FS, dataDir string, tier *cold.Tier, found func(problem string)) (Checked, error) {
	var sum Checked
	c, err := store.OpenCopy(fsys, dataDir)
	if err != nil {
		return sum, err
	}
	defer func() { _ = c.Close() }() // it is only read
	if err := c.Verify(); err != nil {
		found(err.Error())
	}
	definitions, err := catalog.Load(c.Reader())
	if err != nil {
		return sum, err
	}
	if sum.Position, err = store.Position(c.Reader()); err != nil {
		return sum, err
	}
	for range definitions.AllTables() {
		sum.Tables++
	}
	err = eachKept(c.Reader(), func(f schema.File) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		sum.Files++
		sum.Bytes += f.Size
		if problem := checkFile(tier, definitions, f); problem != "" {
			found(problem)
		}
		return nil
	})
	return sum, err
}

// Checked is what a check has looked at.
type Checked struct {
	Position      uint64
	Tables, Files int
	Bytes         int64
}

// checkFile compares a cold file with its row, and returns what is wrong.
func checkFile(tier *cold.Tier, definitions *catalog.Definitions, f schema.File) string {
	st, ok := definitions.Storage(f.StorageID)
	if !ok {
		return fmt.Sprintf("cold file %d (%s): its storage '%s' is unknown", f.Number, f.Path, f.StorageID)
	}
	folder, err := tier.Folder(*st, "")
	if err != nil {
		return fmt.Sprintf("cold file %d (%s) of storage '%s': %v", f.Number, f.Path, f.StorageID, err)
	}
	r, size, err := folder.Read(f.Path)
	switch {
	case disk.IsNotExist(err):
		return fmt.Sprintf("cold file %d (%s) of storage '%s' is missing", f.Number, f.Path, f.StorageID)
	case err != nil:
		return fmt.Sprintf("cold file %d (%s) of storage '%s': %v", f.Number, f.Path, f.StorageID, err)
	}
	defer func() { _ = r.Close() }() // it is only read
	if size != f.Size {
		return fmt.Sprintf("cold file %d (%s) of storage '%s' has %d bytes instead of %d", f.Number, f.Path, f.StorageID, size, f.Size)
	}
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return fmt.Sprintf("cold file %d (%s) of storage '%s': %v", f.Number, f.Path, f.StorageID, err)
	}
	if hex.EncodeToString(h.Sum(nil)) != f.Checksum {
		return fmt.Sprintf("cold file %d (%s) of storage '%s' does not hold the bytes that were written", f.Number, f.Path, f.StorageID)
	}
	return ""
}
