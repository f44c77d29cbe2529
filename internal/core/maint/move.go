package maint

import (
	"context"
	"errors"
	"fmt"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// moveRows is how many rows of a cold file are read at a time.
const moveRows = 256

// coldRows reads rows of a file one after another.
type coldRows struct {
	file  *cold.Reader
	scan  *cold.Scan
	rows  [][]datum.Value
	first uint64 // number of rows[0]
	n, at int
}

// openRows begins to read rows [from, to) of a file; columns nil means all.
func (m *Maintainer) openRows(st schema.Storage, f schema.File, t *schema.Table, columns []int, from, to uint64) (*coldRows, error) {
	r, err := m.o.Cold.Open(st, f)
	if err != nil {
		return nil, err
	}
	c := &coldRows{file: r, rows: make([][]datum.Value, moveRows)}
	if r.Rows() != f.Rows {
		r.Close()
		return nil, fmt.Errorf("cold file %s has %d rows instead of %d: %w", f.Path, r.Rows(), f.Rows, cold.ErrDamaged)
	}
	values := make([]datum.Value, moveRows*len(t.Columns))
	for i := range c.rows {
		c.rows[i] = values[i*len(t.Columns) : (i+1)*len(t.Columns)]
	}
	if c.scan, err = r.Scan(t, columns, from, to); err != nil {
		r.Close()
		return nil, err
	}
	return c, nil
}

// next returns the next row and its number, nil at the end. The row is valid
// until the next call.
func (c *coldRows) next(ctx context.Context) (row []datum.Value, number uint64, err error) {
	if c.at == c.n {
		if c.first, c.n, err = c.scan.Next(ctx, c.rows); err != nil || c.n == 0 {
			c.n, c.at = 0, 0
			return nil, 0, err
		}
		c.at = 0
	}
	c.at++
	return c.rows[c.at-1], c.first + uint64(c.at-1), nil
}

func (c *coldRows) close() {
	c.scan.Close()
	c.file.Close()
}

// sourceFile is a window that rows leave, with its file and storage.
type sourceFile struct {
	cold.SegmentFile
	storage schema.Storage
}

// mover proposes the slices that move rows of older files to a newer one. It
// reads keys and versions of the older files and only the versions of the newer
// one, so a move that was cut off goes on in the same way.
type mover struct {
	m      *Maintainer
	table  *schema.Table
	scope  schema.Scope
	file   schema.File // number 0 where no row is left
	window schema.Segment
	rows   *coldRows // of the newer file
	seq    int       // position of _seq
	wanted uint64    // _seq of the newer file's next row
	more   bool      // there is such a row
	slice  []command.MoveSource
	named  int
	span   uint64
	from   uint64 // number of the slice's first row in the newer file
	belt   *belt
	most   int // rows of the slice at hand
}

// move moves what is left of the sources to a file, from its row number on.
func (m *Maintainer) move(ctx context.Context, t *schema.Table, scope schema.Scope, st schema.Storage, f schema.File, window schema.Segment, from uint64, sources []sourceFile) (int64, error) {
	v := &mover{m: m, table: t, scope: scope, file: f, window: window, seq: t.Column(schema.SeqName), from: from, belt: m.newBelt(false)}
	if f.Number != 0 {
		var err error
		if v.rows, err = m.openRows(st, f, t, []int{v.seq}, from, window.To); err != nil {
			return 0, err
		}
		defer v.rows.close()
	}
	v.most = v.belt.rows()
	err := v.look(ctx)
	for i := range sources {
		if err == nil {
			err = v.source(ctx, &sources[i])
		}
	}
	switch {
	case err != nil:
	case v.more:
		err = fmt.Errorf("row with _seq %d of cold file %s has no source: %w", v.wanted, f.Path, cold.ErrDamaged)
	default:
		err = v.propose(ctx)
	}
	err = v.belt.end(ctx, err)
	return v.belt.moved, err
}

// look reads the version of the newer file's next row.
func (v *mover) look(ctx context.Context) error {
	if v.rows == nil {
		return nil
	}
	row, _, err := v.rows.next(ctx)
	if v.more = row != nil; v.more {
		v.wanted = uint64(row[v.seq].Int())
	}
	return err
}

// source adds the rows of a window to slices.
func (v *mover) source(ctx context.Context, s *sourceFile) error {
	rows, err := v.m.openRows(s.storage, s.File, v.table, append(v.table.KeyPositions(), v.seq), s.Segment.From, s.Segment.To)
	if err != nil {
		return err
	}
	defer rows.close()
	end, begun := s.Segment.From, false // begun: the slice has a part of this window
	for {
		row, number, err := rows.next(ctx)
		if err != nil {
			return err
		}
		if row == nil {
			break
		}
		if v.span == command.MoveSpan || v.named >= v.most {
			if err := v.propose(ctx); err != nil {
				return err
			}
			begun = false
		}
		if !begun {
			v.slice, begun = append(v.slice, command.MoveSource{File: s.File.Number, From: number}), true
		}
		part := &v.slice[len(v.slice)-1]
		end = number + 1
		part.To = end
		v.span++
		if seq := uint64(row[v.seq].Int()); v.more && seq == v.wanted {
			part.Rows = append(part.Rows, command.MovedRow{Row: number, Key: v.table.KeyOf(nil, row), Seq: seq})
			v.named++
			if err := v.look(ctx); err != nil {
				return err
			}
		}
	}
	if end != s.Segment.To {
		return fmt.Errorf("cold file %s ends before row %d: %w", s.File.Path, s.Segment.To, cold.ErrDamaged)
	}
	return nil
}

// propose moves the slice.
func (v *mover) propose(ctx context.Context) error {
	if v.span == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	body := &command.Move{Table: v.table.ID, Scope: v.scope, From: v.from, Sources: v.slice}
	if v.file.Number != 0 {
		body.File, body.Window = v.file, v.window
	}
	if err := v.belt.propose(ctx, body, v.named, int(v.span)); err != nil {
		return fmt.Errorf("move rows to %s: %w", v.file.Path, err)
	}
	v.from += uint64(v.named)
	v.slice, v.named, v.span = nil, 0, 0
	v.most = v.belt.rows()
	return nil
}

// moveOn does the rest of flushes and compactions that were cut off: of windows
// that end before their file does. It returns how many rows were flushed.
func (m *Maintainer) moveOn(ctx context.Context, view *catalog.View, t *schema.Table) (int64, error) {
	windows, err := unfinished(view, t)
	if err != nil {
		return 0, err
	}
	var flushed int64
	for _, w := range windows {
		st, ok := view.Definitions().Storage(w.File.StorageID)
		if !ok {
			return flushed, fault.New(fault.ObjectNotFound, "Storage '%s' does not exist", w.File.StorageID)
		}
		from := w.Segment.To
		w.Segment.To = w.File.Rows
		if len(w.File.Sources) > 0 {
			if err := m.compactOn(ctx, view, t, *st, w, from); err != nil {
				return flushed, err
			}
			continue
		}
		n, err := m.adopt(ctx, t, *st, w.File, w.Segment, from, nil)
		flushed += n
		if err != nil {
			return flushed, err
		}
		m.exportOf(t, w.Segment.Scope, *st, w.File)
	}
	return flushed, nil
}

// unfinished returns the windows that end before their file does.
func unfinished(view *catalog.View, t *schema.Table) ([]cold.SegmentFile, error) {
	var windows []cold.SegmentFile
	var failed error
	err := table.AllSegments(view.Reader(), t.ID, func(s schema.Segment) bool {
		f, ok, err := table.File(view.Reader(), s.File)
		if failed = err; err != nil {
			return false
		}
		if ok && f.Scope == s.Scope && !table.Packed(&f) && s.To < f.Rows {
			windows = append(windows, cold.SegmentFile{Segment: s, File: f})
		}
		return true
	})
	return windows, errors.Join(failed, err)
}
