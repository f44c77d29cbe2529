package maint

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// rowStretch is a stretch of rows [from, to) of a file.
type rowStretch struct{ from, to uint64 }

// rewritePacked writes the packed files of a table anew that hold rows which no
// window names, without them. The others keep their numbers, so that nothing else
// changes: not their places, nor their marks. It returns how many files it wrote.
func (m *Maintainer) rewritePacked(ctx context.Context, id schema.TableID) (rewritten int, err error) {
	if err := m.claim(ctx, id); err != nil {
		return 0, err
	}
	defer m.giveBack(id)
	view := m.o.View()
	defer view.Release()
	t, ok := view.Definitions().TableByID(id)
	if !ok {
		return 0, nil
	}
	files, err := hollowFiles(ctx, view, t)
	if err != nil || len(files) == 0 {
		return 0, err
	}
	windows := map[uint64][]rowStretch{}
	for _, f := range files {
		windows[f.Number] = nil
	}
	if err := table.AllSegments(view.Reader(), t.ID, func(s schema.Segment) bool {
		if all, wanted := windows[s.File]; wanted {
			windows[s.File] = append(all, rowStretch{s.From, s.To})
		}
		return ctx.Err() == nil
	}); err != nil {
		return 0, err
	}
	folders := map[folder]struct{}{}
	for _, f := range files {
		st, ok := view.Definitions().Storage(f.StorageID)
		if !ok {
			return rewritten, fmt.Errorf("the storage %q of the cold file %s is unknown", f.StorageID, f.Path)
		}
		kept := windows[f.Number]
		slices.SortFunc(kept, func(a, b rowStretch) int { return cmp.Compare(a.from, b.from) })
		if err := m.rewriteFile(ctx, t, *st, f, kept); err != nil {
			return rewritten, err
		}
		rewritten++
		folders[folder{*st, path.Dir(f.Path)}] = struct{}{}
	}
	for at := range folders {
		m.export(t, "", at.storage, at.path)
	}
	return rewritten, ctx.Err()
}

// hollowFiles returns the packed files of a table with rows that no window names
// and that are not blank.
func hollowFiles(ctx context.Context, view *catalog.View, t *schema.Table) (hollow []schema.File, err error) {
	named := map[uint64]uint64{} // rows by file
	if err := table.AllSegments(view.Reader(), t.ID, func(s schema.Segment) bool {
		named[s.File] += s.To - s.From
		return ctx.Err() == nil
	}); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for number, rows := range named {
		f, ok, err := table.File(view.Reader(), number)
		if err != nil {
			return nil, err
		}
		if ok && f.State == schema.FileLive && f.Packed() && f.Rows > rows+f.Blank {
			hollow = append(hollow, f)
		}
	}
	slices.SortFunc(hollow, func(a, b schema.File) int { return cmp.Compare(a.Number, b.Number) })
	return hollow, nil
}

// rewriteFile writes one packed file anew, with blank rows for those that no
// window names, and puts it in the place of the former.
func (m *Maintainer) rewriteFile(ctx context.Context, t *schema.Table, st schema.Storage, f schema.File, kept []rowStretch) error {
	receipt, err := m.commit(ctx, &command.FileBegin{File: schema.File{
		StorageID: st.ID, Path: path.Dir(f.Path), Table: t.ID, State: schema.FileReserved, CreatedAt: m.o.Now().UnixMicro(),
	}})
	if err != nil {
		return fmt.Errorf("reserve a packed file for %s: %w", t.QualifiedName(), err)
	}
	w, err := m.o.Cold.Create(st, receipt.File.Path, t, cold.CreateOptions{Compression: t.Options.Compression, Rows: int64(f.Rows)})
	if err != nil {
		m.discard(context.WithoutCancel(ctx), receipt.File)
		return err
	}
	blank, err := m.copyStretches(ctx, t, st, f, kept, w)
	var info cold.FileInfo
	if err == nil {
		info, err = w.Finish()
	}
	if err == nil && info.Rows != f.Rows {
		err = fmt.Errorf("%d rows instead of %d", info.Rows, f.Rows)
	}
	if err != nil {
		w.Abort()
		m.discard(context.WithoutCancel(ctx), receipt.File)
		return fmt.Errorf("write %s: %w", receipt.File.Path, err)
	}
	anew := f
	anew.Path, anew.Size, anew.Checksum, anew.Statistics, anew.Blank = receipt.File.Path, info.Size, info.Checksum, info.Statistics, blank
	if _, err := m.commit(ctx, &command.SwapBytes{File: anew, By: receipt.File.Number}); err != nil {
		if !fault.Is(err, fault.ShuttingDown) { // else the next start knows what became of it
			m.discardUnless(context.WithoutCancel(ctx), receipt.File)
		}
		return fmt.Errorf("replace %s: %w", f.Path, err)
	}
	m.removable.Store(true)
	return nil
}

// copyStretches appends the rows of a file that stretches name, in order, and
// blank ones for the rest, of which it returns the number.
func (m *Maintainer) copyStretches(ctx context.Context, t *schema.Table, st schema.Storage, f schema.File, kept []rowStretch, w *cold.Writer) (blank uint64, err error) {
	rows, err := m.openRows(st, f, t, nil, 0, f.Rows)
	if err != nil {
		return 0, err
	}
	defer rows.close()
	pace, size := m.newStride(), int(f.Size/int64(max(f.Rows, 1)))
	next := uint64(0)
	for _, s := range append(kept, rowStretch{f.Rows, f.Rows}) {
		if s.from < next || s.to > f.Rows {
			return blank, fmt.Errorf("windows of the file overlap at row %d", s.from)
		}
		if err := w.Blank(s.from - next); err != nil {
			return blank, err
		}
		blank += s.from - next
		for next < s.to {
			row, number, err := rows.next(ctx)
			if err == nil && row == nil {
				err = fmt.Errorf("row %d is missing: %w", next, cold.ErrDamaged)
			}
			if err != nil {
				return blank, err
			}
			if number < s.from {
				continue
			}
			if err := pace.took(ctx, size); err != nil {
				return blank, err
			}
			if _, err := w.Append(row); err != nil {
				return blank, err
			}
			next = number + 1
		}
		w.Window()
	}
	return blank, nil
}
