package maint

import (
	"context"
	"fmt"
	"slices"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// Bounds of one packed file; a flush goes on with another. What is known of its
// windows stays in memory until they have been adopted.
const (
	packWindows = 1 << 16
	packRows    = 4 << 20
	packBytes   = 256 << 20
)

// packer writes the rows of scopes that have few into files that they share.
type packer struct {
	m      *Maintainer
	view   *catalog.View
	table  *schema.Table
	result *FlushResult

	storage schema.Storage
	file    schema.File
	writer  *cold.Writer // nil between two files
	windows []schema.Segment
	files   int
}

// packs reports whether a flush of all scopes of a table meets so many with few
// rows that they share files.
func (m *Maintainer) packs(view *catalog.View, t *schema.Table) (bool, error) {
	if t.Kind != schema.User || m.o.Flush.PackScopes < 0 {
		return false, nil
	}
	small := 0
	err := table.HotScopes(view.Reader(), t, func(_ schema.Scope, c schema.Counts) bool {
		if c.HotRows < m.o.Flush.MinFileRows {
			small++
		}
		return small <= m.o.Flush.PackScopes
	})
	return small > m.o.Flush.PackScopes, err
}

// takes reports whether the rows of a scope go into a shared file: those of a
// user with a storage of his own do not.
func (p *packer) takes(scope schema.Scope, rows int64) (bool, error) {
	if rows >= p.m.o.Flush.MinFileRows {
		return false, nil
	}
	own := *p.table
	own.Options.UseUserStorage = false
	common, err := storageOf(p.view, &own, scope)
	if err != nil {
		return false, err
	}
	p.storage = common
	if !p.table.Options.UseUserStorage {
		return true, nil
	}
	st, err := storageOf(p.view, p.table, scope)
	return st.ID == common.ID, err
}

// add writes the rows of a scope, and completes the file when it is full.
func (p *packer) add(ctx context.Context, scope schema.Scope, counts schema.Counts) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	if err := p.m.copyRows(ctx, p.view, p.table, scope, counts, p.writer); err != nil {
		return fmt.Errorf("write %s: %w", p.file.Path, err)
	}
	window := p.writer.Window()
	if window.From == window.To {
		return nil
	}
	window.Table, window.Scope, window.File = p.table.ID, scope, p.file.Number
	p.windows = append(p.windows, window)
	if len(p.windows) < packWindows && p.writer.Rows() < packRows && p.writer.Bytes() < packBytes {
		return nil
	}
	return p.end(ctx)
}

// begin begins a file unless one is being written.
func (p *packer) begin(ctx context.Context) error {
	if p.writer != nil {
		return nil
	}
	t := p.table
	receipt, err := p.m.commit(ctx, &command.FileBegin{File: schema.File{
		StorageID: p.storage.ID, Path: cold.PackedFolderOf(p.storage, t), Table: t.ID, State: schema.FileReserved,
		CreatedAt: p.m.o.Now().UnixMicro(),
	}})
	if err != nil {
		return fmt.Errorf("reserve a packed file for %s: %w", t.QualifiedName(), err)
	}
	p.file, p.windows = receipt.File, p.windows[:0]
	p.writer, err = p.m.o.Cold.Create(p.storage, p.file.Path, t, cold.CreateOptions{Compression: t.Options.Compression, Rows: packRows})
	if err != nil {
		p.m.discard(context.WithoutCancel(ctx), p.file)
	}
	return err
}

// end completes the file and moves its rows.
func (p *packer) end(ctx context.Context) error {
	if p.writer == nil {
		return nil
	}
	w := p.writer
	p.writer = nil
	if len(p.windows) == 0 {
		w.Abort()
		p.m.discard(context.WithoutCancel(ctx), p.file)
		return nil
	}
	info, err := w.Finish()
	if err != nil {
		p.m.discard(context.WithoutCancel(ctx), p.file)
		return fmt.Errorf("write %s: %w", p.file.Path, err)
	}
	f := p.file
	f.Size, f.Checksum, f.Rows, f.Statistics, f.State = info.Size, info.Checksum, info.Rows, info.Statistics, schema.FileLive
	moved, err := p.m.adoptPacked(ctx, p.table, p.storage, f, p.windows)
	p.result.Rows += moved
	if err != nil {
		if !fault.Is(err, fault.ShuttingDown) { // else the next start knows what became of it
			p.m.discardUnless(context.WithoutCancel(ctx), f)
		}
		return err
	}
	p.files++
	p.result.Files++
	p.result.Bytes += f.Size
	p.m.stats.files.Add(1)
	return nil
}

// close completes the last file and writes the manifest.
func (p *packer) close(ctx context.Context) error {
	if err := p.end(ctx); err != nil {
		return err
	}
	if p.files > 0 {
		p.m.export(p.table, "", p.storage, cold.PackedFolderOf(p.storage, p.table))
	}
	return nil
}

// abort gives up the file that is being written. After close it does nothing.
func (p *packer) abort(ctx context.Context) {
	if p.writer != nil {
		p.writer.Abort()
		p.writer = nil
		p.m.discard(context.WithoutCancel(ctx), p.file)
	}
}

// adoptPacked moves the rows of a packed file into its windows, slice by slice.
// When it is cut off, scopes that have no window yet stay hot, and so does what
// is behind a window that was begun: the next flush writes it again.
func (m *Maintainer) adoptPacked(ctx context.Context, t *schema.Table, st schema.Storage, f schema.File, windows []schema.Segment) (moved int64, err error) {
	r, err := m.o.Cold.Open(st, f)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if r.Rows() != f.Rows {
		return 0, fmt.Errorf("cold file %s has %d rows instead of %d: %w", f.Path, r.Rows(), f.Rows, cold.ErrDamaged)
	}
	seq := t.Column(schema.SeqName)
	scan, err := r.Scan(t, append(t.KeyPositions(), seq), 0, f.Rows)
	if err != nil {
		return 0, err
	}
	defer scan.Close()
	values := make([]datum.Value, m.o.SliceRows*len(t.Columns))
	rows := slices.Collect(slices.Chunk(values, len(t.Columns)))
	for {
		first, n, err := scan.Next(ctx, rows)
		if err != nil || n == 0 {
			return moved, err
		}
		var parts []command.AdoptedPart
		for i := 0; i < n; {
			for windows[0].To <= first+uint64(i) {
				windows = windows[1:]
			}
			end := int(min(uint64(n), windows[0].To-first))
			part := command.AdoptedPart{Scope: windows[0].Scope, From: first + uint64(i), Window: windows[0], Rows: make([]command.AdoptedRow, 0, end-i)}
			for ; i < end; i++ {
				part.Rows = append(part.Rows, command.AdoptedRow{Key: t.KeyOf(nil, rows[i]), Seq: uint64(rows[i][seq].Int())})
			}
			parts = append(parts, part)
		}
		receipt, err := m.commit(ctx, &command.AdoptPacked{File: f, Parts: parts})
		if err != nil {
			return moved, fmt.Errorf("adopt rows %d to %d of %s: %w", first, first+uint64(n), f.Path, err)
		}
		moved += receipt.Rows
		advance(ctx, int64(n))
		m.stats.rows.Add(receipt.Rows)
	}
}

// packedText is what the manifest of a folder of packed files should say.
func packedText(view *catalog.View, t *schema.Table, st schema.Storage) ([]byte, error) {
	files := map[uint64]schema.File{}
	var windows []schema.Segment
	var failed error
	if err := table.AllSegments(view.Reader(), t.ID, func(s schema.Segment) bool {
		f, known := files[s.File]
		if !known {
			if f, _, failed = table.File(view.Reader(), s.File); failed != nil {
				return false
			}
			files[s.File] = f
		}
		if f.Packed() && f.StorageID == st.ID {
			windows = append(windows, s)
		}
		return true
	}); err != nil || failed != nil {
		return nil, firstOf(err, failed)
	}
	return cold.PackedManifestOf(t, windows, files).JSON()
}

// flushPacked moves the rows of all scopes of a table: those of scopes with few
// rows to files that they share, of others to their own.
func (m *Maintainer) flushPacked(ctx context.Context, view *catalog.View, t *schema.Table, result *FlushResult) error {
	p := &packer{m: m, view: view, table: t, result: result}
	defer p.abort(ctx)
	var failed error
	err := table.HotScopes(view.Reader(), t, func(scope schema.Scope, c schema.Counts) bool {
		if failed = ctx.Err(); failed != nil {
			return false
		}
		takes, err := p.takes(scope, c.HotRows)
		switch {
		case err != nil:
			failed = err
		case takes:
			failed = p.add(ctx, scope, c)
		default:
			failed = m.flushScope(ctx, view, t, scope, result)
		}
		return failed == nil
	})
	if err := firstOf(failed, err); err != nil {
		return err
	}
	return p.close(ctx)
}
