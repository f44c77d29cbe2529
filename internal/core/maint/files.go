package maint

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// discard removes a file that no window names, and its reservation. What cannot
// be removed now is removed at the next start.
func (m *Maintainer) discard(ctx context.Context, f schema.File) {
	view := m.o.View()
	st, ok := view.Definitions().Storage(f.StorageID)
	view.Release()
	if !ok {
		m.o.Logger.Error("the storage of a cold file is unknown", "file", f.Number, "storage", f.StorageID)
		return
	}
	err := m.o.Cold.Remove(*st, f)
	if err == nil {
		_, err = m.commit(ctx, &command.DropFiles{Numbers: []uint64{f.Number}})
	}
	if err != nil {
		m.o.Logger.Error("a cold file could not be removed", "file", f.Number, "path", f.Path, "error", err)
	}
}

// discardUnless discards a file unless a window names it.
func (m *Maintainer) discardUnless(ctx context.Context, f schema.File) {
	view := m.o.View()
	now, ok, err := table.File(view.Reader(), f.Number)
	view.Release()
	if err == nil && ok && now.State == schema.FileReserved {
		m.discard(ctx, f)
	}
}

// folderOf names the folder of a file.
type folderOf struct{ storage, path string }

func folderAt(st schema.Storage, f schema.File) folderOf { return folderOf{st.ID, path.Dir(f.Path)} }

// RemoveFiles deletes the files that no window names and no open view can read,
// one by one, and the manifests of folders that no file is left in. It looks
// only when a table or a window was dropped since all such files were gone.
func (m *Maintainer) RemoveFiles(ctx context.Context) error {
	if !m.removable.Swap(false) {
		return nil
	}
	found, err := m.removeFiles(ctx, 0)
	if err != nil || found.waiting > 0 {
		m.removable.Store(true)
	}
	return err
}

// removal is what one look at the files has found.
type removal struct {
	ready   []schema.File // may be deleted
	waiting int           // an open view may read them, or they are in their grace
	bytes   int64         // of ready
}

// removeFiles deletes what may be deleted, of one table when it is not 0.
func (m *Maintainer) removeFiles(ctx context.Context, of schema.TableID) (removal, error) {
	oldest := min(m.o.OldestView(), m.holds.oldest())
	var found removal
	kept := map[folderOf]struct{}{}
	if err := m.eachFile(ctx, func(view *catalog.View, f schema.File) error {
		replaced, err := m.inGrace(view, f)
		switch {
		case err != nil:
			return err
		case f.State != schema.FileRemoved:
			kept[folderOf{f.StorageID, path.Dir(f.Path)}] = struct{}{}
		case of != 0 && f.Table != of:
		case oldest < f.RemovedAt || replaced:
			found.waiting++
			kept[folderOf{f.StorageID, path.Dir(f.Path)}] = struct{}{}
		default:
			found.ready = append(found.ready, f)
			found.bytes += f.Size
		}
		return nil
	}); err != nil {
		return found, err
	}
	var errs []error
	looked := map[folderOf]struct{}{}
	for _, f := range found.ready {
		if err := ctx.Err(); err != nil {
			return found, err
		}
		if err := m.removeFile(ctx, f, kept, looked); err != nil {
			errs = append(errs, err)
		}
	}
	return found, errors.Join(errs...)
}

// leftoverWait is how long Leftovers waits for readers that are about to end.
const leftoverWait = 2 * time.Second

// Leftovers removes the files that may go and returns how many files of a
// storage have no window and stay a while: an open view may read them, a backup
// copies them, or they are in their grace. It waits a moment for readers to end.
// Those files that cannot be removed do not count.
func (m *Maintainer) Leftovers(ctx context.Context, storage string) (int, error) {
	end := time.NewTimer(leftoverWait)
	defer end.Stop()
	look := time.NewTicker(cleanupLook)
	defer look.Stop()
	for {
		left, err := m.leftovers(ctx, storage)
		if err != nil || left == 0 {
			return left, err
		}
		select {
		case <-ctx.Done():
			return left, ctx.Err()
		case <-end.C:
			return left, nil
		case <-look.C:
		}
	}
}

func (m *Maintainer) leftovers(ctx context.Context, storage string) (int, error) {
	if _, err := m.removeFiles(ctx, 0); err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		m.o.Logger.Warn("cold files could not be removed before their storage is dropped", "storage", storage, "error", err)
	}
	oldest := min(m.o.OldestView(), m.holds.oldest())
	left := 0
	err := m.eachFile(ctx, func(view *catalog.View, f schema.File) error {
		if f.StorageID != storage || f.State != schema.FileRemoved {
			return nil
		}
		replaced, err := m.inGrace(view, f)
		if oldest < f.RemovedAt || replaced {
			left++
		}
		return err
	})
	return left, err
}

// inGrace reports whether a removed file stays a while, for those who have read a
// manifest that names it: its scope has other files, and it was removed a short
// time ago.
func (m *Maintainer) inGrace(view *catalog.View, f schema.File) (bool, error) {
	if f.State != schema.FileRemoved || m.o.Grace < 0 || m.o.Now().UnixMicro() >= schema.SeqTime(f.RemovedAt)+m.o.Grace.Microseconds() {
		return false, nil
	}
	t, lives := view.Definitions().TableByID(f.Table)
	if !lives {
		return false, nil
	}
	if t.Options.Iceberg && !m.shows(t.ID, f.RemovedAt) {
		return true, nil // what is published of the table may name it until it is published anew
	}
	segments, err := table.Segments(view.Reader(), f.Table, f.Scope)
	return len(segments) > 0, err
}

// removeFile deletes one file and forgets it, and what other engines were shown of
// a dropped table before.
func (m *Maintainer) removeFile(ctx context.Context, f schema.File, kept, looked map[folderOf]struct{}) error {
	view := m.o.View()
	st, ok := view.Definitions().Storage(f.StorageID)
	_, lives := view.Definitions().TableByID(f.Table)
	if lives {
		kept[folderOf{f.StorageID, path.Dir(f.Path)}] = struct{}{} // its manifest says what is there now
	}
	view.Release()
	if ok && !lives {
		if err := m.withdrawAbove(ctx, f, looked); err != nil {
			return err
		}
	}
	if !ok {
		m.o.Logger.Warn("a cold file stays, for its storage was dropped", "file", f.Number, "path", f.Path, "storage", f.StorageID)
	} else if err := m.removeObjects(*st, f, kept); err != nil {
		return err
	}
	_, err := m.commit(ctx, &command.DropFiles{Numbers: []uint64{f.Number}})
	if fault.Is(err, fault.ObjectNotFound) {
		return nil // a flush and the clock look for files at one time, and the other was faster
	}
	if err != nil {
		return fmt.Errorf("forget file %d: %w", f.Number, err)
	}
	m.stats.removed.Add(1)
	return nil
}

// removeObjects deletes the bytes of a file, and the manifest beside it when no
// other file is kept there.
func (m *Maintainer) removeObjects(st schema.Storage, f schema.File, kept map[folderOf]struct{}) error {
	folder := folderOf{f.StorageID, path.Dir(f.Path)}
	if _, others := kept[folder]; !others {
		if err := m.o.Cold.RemoveManifest(st, folder.path); err != nil {
			return err
		}
	}
	return m.o.Cold.Remove(st, f)
}
