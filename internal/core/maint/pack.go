package maint

import (
	"context"
	"fmt"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
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
	writer  *cold.Writer  // nil between two files
	later   *catalog.View // what is written, of a moment after the file was reserved
	known   *seenRows     // of the file
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
	if err := p.m.copyRows(ctx, p.later, p.table, scope, counts, p.writer, p.known); err != nil {
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
	p.release()
	p.later, p.known = p.m.since(p.view, p.table)
	p.writer, err = p.m.o.Cold.Create(p.storage, p.file.Path, t, cold.CreateOptions{Compression: t.Options.Compression, Rows: packRows})
	if err != nil {
		p.m.discard(context.WithoutCancel(ctx), p.file)
	}
	return err
}

// release gives the view of a file back.
func (p *packer) release() {
	if p.later != nil {
		p.later.Release()
	}
	p.later = nil
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
	moved, err := p.m.adoptPacked(ctx, p.table, p.storage, f, p.windows, p.known)
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

// abort gives up the file that is being written. After close it only gives back
// what is held.
func (p *packer) abort(ctx context.Context) {
	p.release()
	if p.writer != nil {
		p.writer.Abort()
		p.writer = nil
		p.m.discard(context.WithoutCancel(ctx), p.file)
	}
}

// adoptPacked moves the rows of a packed file into its windows, slice by slice.
// When it is cut off, scopes that have no window yet stay hot, and so does what
// is behind a window that was begun: the next flush writes it again.
func (m *Maintainer) adoptPacked(ctx context.Context, t *schema.Table, st schema.Storage, f schema.File, windows []schema.Segment, known *seenRows) (moved int64, err error) {
	keys, err := m.openKeys(t, st, f, 0)
	if err != nil {
		return 0, err
	}
	defer keys.close()
	b := m.newBelt(true)
	for err == nil {
		var slice []command.AdoptedRow
		var first uint64
		if slice, first, err = keys.next(ctx, b.rows()); err != nil || slice == nil {
			break
		}
		var parts []command.AdoptedPart
		n := len(slice)
		for at, end := first, first+uint64(n); at < end; {
			for windows[0].To <= at {
				windows = windows[1:]
			}
			to := min(end, windows[0].To)
			rows := slice[at-first : to-first]
			parts = append(parts, command.AdoptedPart{Scope: windows[0].Scope, From: at, Window: windows[0], Rows: rows, Sizes: known.sizes(at, rows)})
			at = to
		}
		err = b.propose(ctx, &command.AdoptPacked{File: f, Parts: parts}, n, n)
	}
	if err = b.end(ctx, err); err != nil {
		err = fmt.Errorf("adopt rows of %s: %w", f.Path, err)
	}
	return b.moved, err
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
