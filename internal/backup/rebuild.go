package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"kalamdb/internal/cold"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// RebuildOptions say what is rebuilt and who hears of it.
type RebuildOptions struct {
	// Store is a staged copy of a data directory, which nobody else uses.
	Store *store.Store
	// Tier reads the cold files of that directory.
	Tier *cold.Tier
	// Found hears of each file that is missing, broken or foreign, or holds no row.
	Found func(line string)
	// Progress hears of files done.
	Progress func(done, total int64)
}

// RebuildReport is what a rebuild has found and written.
type RebuildReport struct {
	Tables, Taken, Windows            int
	Missing, Broken, Foreign, Useless int
	Rows, LostRows, IndexEntries      int64
	Removed                           int // entries of files without rows
}

// Rebuild makes the list of cold segments anew: from the places of cold rows,
// which say what is cold, and from the files of all storages, which are read to
// the last byte. A file that its places do not describe is not taken.
func Rebuild(ctx context.Context, o RebuildOptions) (RebuildReport, error) {
	b := &rebuild{o: o, claimed: map[place]struct{}{}}
	err := b.run(ctx)
	return b.report, err
}

// place names an object.
type place struct{ storage, path string }

// rebuild is one run.
type rebuild struct {
	o           RebuildOptions
	definitions *catalog.Definitions
	known       map[uint64]schema.File
	position    uint64
	claimed     map[place]struct{} // by entries and by files that were taken
	done, total int64
	report      RebuildReport
}

func (b *rebuild) run(ctx context.Context) (err error) {
	r := b.o.Store.Reader()
	if b.definitions, err = catalog.Load(r); err != nil {
		return err
	}
	if b.position, err = store.Position(r); err != nil {
		return err
	}
	var garbled []uint64
	if b.known, garbled, err = table.KnownFiles(r); err != nil {
		return err
	}
	for _, number := range garbled {
		b.o.Found(fmt.Sprintf("the entry of cold file %d is garbled; the file is looked for", number))
	}
	for _, f := range b.known {
		b.claimed[place{f.StorageID, f.Path}] = struct{}{}
	}
	tables := []*schema.Table{}
	for t := range b.definitions.AllTables() {
		if t.Kind == schema.User || t.Kind == schema.Shared {
			tables = append(tables, t)
		}
	}
	if err := table.ForgetFiles(b.o.Store, garbled); err != nil {
		return err
	}
	for _, t := range tables {
		if err := b.table(ctx, t); err != nil {
			return fmt.Errorf("rebuild table %s: %w", t.QualifiedName(), err)
		}
	}
	return b.others(ctx)
}

// table rebuilds one table.
func (b *rebuild) table(ctx context.Context, t *schema.Table) error {
	r := b.o.Store.Reader()
	placed, garbled, err := table.Placed(r, t)
	if err != nil {
		return err
	}
	counts, err := table.TotalCounts(r, t)
	if err != nil {
		return err
	}
	if len(placed) == 0 && counts.ColdRows > 0 {
		return fmt.Errorf("%d rows are cold and the places of all of them are gone: files alone do not tell which rows were deleted; restore a backup", counts.ColdRows)
	}
	if garbled > 0 {
		b.o.Found(fmt.Sprintf("table %s: the places of %d rows are garbled", t.QualifiedName(), garbled))
	}
	b.report.Tables++
	b.total += int64(len(placed))
	plan := table.Rebuild{Table: t, Known: b.known, Position: b.position}
	if plan.Files, err = b.files(ctx, t, placed); err != nil {
		return err
	}
	b.report.Taken += len(plan.Files)
	done, err := plan.Write(b.o.Store)
	b.report.Windows += done.Windows
	b.report.Rows += done.Rows
	b.report.LostRows += done.LostRows
	b.report.IndexEntries += done.Entries
	b.report.Removed += done.Removed
	return err
}

// files takes the files of a table, the newest first. A compaction that was cut off
// has left rows in two files with their places in the older one: the newer one
// takes them over, and its sources are looked at without them.
func (b *rebuild) files(ctx context.Context, t *schema.Table, placed map[uint64]*table.RebuiltFile) (taken []*table.RebuiltFile, err error) {
	done := map[uint64]struct{}{}
	for left := byNumber(placed); len(left) > 0; {
		f := left[0]
		left = left[1:]
		ok, err := b.take(ctx, t, f)
		if err != nil {
			return nil, err
		}
		if ok && f.Claims() > 0 {
			if err := f.Claim(b.o.Store); err != nil {
				return nil, err
			}
			if placed, _, err = table.Placed(b.o.Store.Reader(), t); err != nil {
				return nil, err
			}
			b.known[f.File.Number] = f.File
			left = slices.DeleteFunc(byNumber(placed), func(f *table.RebuiltFile) bool { _, ok := done[f.File.Number]; return ok })
			continue
		}
		if ok {
			taken = append(taken, f)
		}
		done[f.File.Number] = struct{}{}
		b.done++
		b.o.Progress(b.done, b.total)
	}
	return taken, nil
}

func byNumber(placed map[uint64]*table.RebuiltFile) []*table.RebuiltFile {
	files := make([]*table.RebuiltFile, 0, len(placed))
	for _, f := range placed {
		slices.SortFunc(f.Samples, func(a, b table.Sample) int { return cmp.Compare(a.Row, b.Row) })
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b *table.RebuiltFile) int { return cmp.Compare(b.File.Number, a.File.Number) })
	return files
}

// take finds the file that places name and reads it. It reports whether it is
// whole.
func (b *rebuild) take(ctx context.Context, t *schema.Table, f *table.RebuiltFile) (bool, error) {
	known, ok := b.known[f.File.Number]
	if ok && known.Table == t.ID {
		f.File = known
	} else if found, err := b.find(ctx, t, f); err != nil || !found {
		if err == nil {
			b.report.Missing++
			b.o.Found(fmt.Sprintf("missing: cold file %d of table %s, which has %d rows", f.File.Number, t.QualifiedName(), rowsOf(f)))
		}
		return false, err
	}
	problem, err := b.read(ctx, t, f)
	switch {
	case disk.IsNotExist(err):
		b.report.Missing++
		b.o.Found(fmt.Sprintf("missing: cold file %d (%s) of storage '%s', which has %d rows of table %s",
			f.File.Number, f.File.Path, f.File.StorageID, rowsOf(f), t.QualifiedName()))
		return false, nil
	case errors.Is(err, cold.ErrDamaged), errors.Is(err, cold.ErrForeign):
		problem = err.Error()
	case err != nil:
		return false, err
	}
	if problem != "" {
		b.report.Broken++
		b.o.Found(fmt.Sprintf("broken: cold file %d (%s) of storage '%s', which has %d rows of table %s: %s",
			f.File.Number, f.File.Path, f.File.StorageID, rowsOf(f), t.QualifiedName(), problem))
		return false, nil
	}
	return true, nil
}

func rowsOf(f *table.RebuiltFile) (rows int64) {
	for i := range f.Windows {
		rows += f.Windows[i].Rows
	}
	return rows
}

// read reads a file from its first byte to its last and compares it with its
// entry and its places.
func (b *rebuild) read(ctx context.Context, t *schema.Table, f *table.RebuiltFile) (problem string, err error) {
	st, ok := b.definitions.Storage(f.File.StorageID)
	if !ok {
		return fmt.Sprintf("its storage '%s' is unknown", f.File.StorageID), nil
	}
	e, err := b.o.Tier.Examine(*st, f.File.Path, t)
	if err != nil {
		return "", err
	}
	defer e.Close()
	f.Begin()
	f.Serial, _ = cold.NumberOf(f.File.Path) // 0 raises nothing
	r, last := b.o.Store.Reader(), uint64(0)
	if err := e.Sum(); err != nil {
		return "", err
	}
	if f.File.Checksum != "" && (f.File.Size != e.Size || f.File.Checksum != e.Checksum) {
		return "it does not hold the bytes that were written", nil
	}
	if err := e.Each(ctx, func(row uint64, key []byte, seq uint64) error {
		last = max(last, seq)
		return f.Row(r, row, key, seq)
	}); err != nil {
		return "", err
	}
	if f.File.Checksum == "" {
		f.File.CreatedAt = schema.SeqTime(last)
		f.File.Statistics = e.Statistics
	}
	f.File.Size, f.File.Checksum, f.File.Rows = e.Size, e.Checksum, e.Rows
	for i := range f.Windows {
		f.Windows[i].SchemaVersion = e.Version
	}
	if !f.Agrees() {
		return "it does not hold the rows that are said to be there", nil
	}
	return "", nil
}

// find looks for a file whose entry is gone among those that nobody claims, in
// the folders where its scopes have files. Rows are told by their _seq.
func (b *rebuild) find(ctx context.Context, t *schema.Table, f *table.RebuiltFile) (bool, error) {
	for st := range b.definitions.Storages() {
		folders := []string{cold.PackedFolderOf(*st, t)}
		if len(f.Windows) == 1 {
			folders = append(folders, cold.FolderOf(*st, t, f.Windows[0].Scope))
		}
		for _, folder := range folders {
			found, err := b.findIn(ctx, t, f, st, folder)
			if err != nil || found {
				return found, err
			}
		}
	}
	return false, nil
}

func (b *rebuild) findIn(ctx context.Context, t *schema.Table, f *table.RebuiltFile, st *schema.Storage, folder string) (bool, error) {
	in, err := b.o.Tier.Folder(*st, "")
	if err != nil {
		return false, err
	}
	names, err := in.List(folder)
	if err != nil && !disk.IsNotExist(err) {
		return false, err
	}
	for _, name := range names {
		at := place{st.ID, path.Join(folder, name)}
		if _, taken := b.claimed[at]; taken {
			continue
		}
		if _, ours := cold.NumberOf(at.path); !ours {
			continue
		}
		same, err := b.same(ctx, t, f, st, at.path)
		if err != nil {
			return false, err
		}
		if !same {
			continue
		}
		b.claimed[at] = struct{}{}
		f.File.StorageID, f.File.Path = st.ID, at.path
		if !f.File.Packed() {
			f.File.Scope = f.Windows[0].Scope
		}
		return true, nil
	}
	return false, nil
}

// same reports whether a file holds the rows by which another is known.
func (b *rebuild) same(ctx context.Context, t *schema.Table, f *table.RebuiltFile, st *schema.Storage, at string) (bool, error) {
	e, err := b.o.Tier.Examine(*st, at, t)
	if err != nil {
		if errors.Is(err, cold.ErrDamaged) || errors.Is(err, cold.ErrForeign) || disk.IsNotExist(err) {
			return false, nil // it is reported with those that nobody claims
		}
		return false, err
	}
	defer e.Close()
	rows := make([]uint64, len(f.Samples))
	for i, s := range f.Samples {
		rows[i] = s.Row
	}
	seqs, err := e.Seqs(ctx, rows)
	if errors.Is(err, cold.ErrDamaged) {
		return false, nil
	}
	if err != nil || len(seqs) != len(f.Samples) {
		return false, err
	}
	for i, s := range f.Samples {
		if seqs[i] != s.Seq {
			return false, nil
		}
	}
	return true, nil
}

// others reports Parquet files that belong to no row.
func (b *rebuild) others(ctx context.Context) error {
	for st := range b.definitions.Storages() {
		err := b.o.Tier.Walk(ctx, *st, func(f cold.Found) error {
			if _, taken := b.claimed[place{st.ID, f.Path}]; taken || !strings.HasSuffix(f.Path, ".parquet") {
				return nil
			}
			if _, ours := cold.NumberOf(f.Path); ours {
				b.report.Useless++
				b.o.Found(fmt.Sprintf("left: %s of storage '%s' holds no row that is said to be there", f.Path, st.ID))
				return nil
			}
			b.report.Foreign++
			b.o.Found(fmt.Sprintf("foreign: %s of storage '%s'", f.Path, st.ID))
			return nil
		})
		if err != nil {
			return fmt.Errorf("look through storage %q: %w", st.ID, err)
		}
	}
	return nil
}
