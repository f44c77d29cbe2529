package maint

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"kalamdb/internal/cold"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// DefaultOrphanAge is how old an orphan must be by default.
const DefaultOrphanAge = 24 * time.Hour

// orphansMost bounds what one walk of a storage takes; the rest is for the next.
const orphansMost = 10_000

// RemoveOrphans deletes cold files, and the beginnings of such, that nobody names:
// what a crash, a lost answer of an object store or an older state of the database
// has left. Nothing is taken for one but what bears a name that this database has
// given out in that folder, is named by no entry in a moment after it was seen,
// and has not been changed for Options.OrphanAge. A storage that cannot be listed
// loses nothing, and the others are gone through all the same.
func (m *Maintainer) RemoveOrphans(ctx context.Context) error {
	if m.o.OrphanAge < 0 {
		return nil
	}
	view := m.o.View()
	var storages []schema.Storage
	for st := range view.Definitions().Storages() {
		storages = append(storages, *st)
	}
	view.Release()
	var errs []error
	for _, st := range storages {
		if err := m.removeOrphansOf(ctx, st); err != nil {
			errs = append(errs, fmt.Errorf("look for orphans in storage %s: %w", st.ID, err))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(errs...)
}

// errEnough ends a walk that has met enough.
var errEnough = errors.New("enough orphans")

func (m *Maintainer) removeOrphansOf(ctx context.Context, st schema.Storage) error {
	// Nearly all files are named. Hashes of their paths do to pass over them: who is
	// taken for another is met by a later walk, under another seed.
	seed, named := maphash.MakeSeed(), map[uint64]struct{}{}
	if err := m.eachFile(ctx, func(_ *catalog.View, f schema.File) error {
		if f.StorageID == st.ID {
			named[maphash.String(seed, f.Path)] = struct{}{}
		}
		return nil
	}); err != nil {
		return err
	}
	before := m.o.Now().Add(-m.o.OrphanAge)
	seen := map[string]int64{} // the bytes of what may be an orphan
	err := m.o.Cold.Walk(ctx, st, func(f cold.Found) error {
		file := strings.TrimSuffix(f.Path, ".tmp")
		if _, ours := cold.NumberOf(file); !ours || !f.Modified.Before(before) {
			return nil
		}
		if _, known := named[maphash.String(seed, file)]; known {
			return nil
		}
		if seen[file] += f.Size; len(seen) == orphansMost {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if len(seen) == 0 {
		return nil
	}
	return m.removeUnnamed(ctx, st, seen)
}

// removeUnnamed deletes those files that still nobody names and whose names were
// given out. An entry is there before its file and goes after it.
func (m *Maintainer) removeUnnamed(ctx context.Context, st schema.Storage, seen map[string]int64) error {
	if err := m.eachFile(ctx, func(_ *catalog.View, f schema.File) error {
		if f.StorageID == st.ID {
			delete(seen, f.Path)
		}
		return nil
	}); err != nil {
		return err
	}
	view := m.o.View()
	defer view.Release()
	files, bytes := 0, int64(0)
	var errs []error
	for _, file := range slices.Sorted(maps.Keys(seen)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		given, err := table.GaveName(view.Reader(), st.ID, file)
		if err == nil && given {
			if err = m.o.Cold.Remove(st, schema.File{StorageID: st.ID, Path: file}); err == nil {
				m.o.Logger.Info("removing a file that nobody names", "storage", st.ID, "path", file, "bytes", seen[file])
				files, bytes = files+1, bytes+seen[file]
			}
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	m.stats.orphans.Add(int64(files))
	m.stats.orphanBytes.Add(bytes)
	return errors.Join(errs...)
}
