package maint

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// Bounds of one compacted file.
const (
	compactMost  = 1024      // files that are made one
	compactBytes = 128 << 20 // their bytes together, but for a single one
)

// deadShare is which part of its rows a file must have lost to be written anew
// alone: one in four.
const deadShare = 4

// Compaction says which files are compacted by the clock. A statement compacts
// any two neighbours that are small.
type Compaction struct {
	// Enabled lets the schedule start compactions.
	Enabled bool
	// Every is the time between two looks of the schedule; 1 min when 0.
	Every time.Duration
	// MinSegments is how many small neighbours a scope must have for the schedule
	// to compact them; 5 when 0. MaxSegments is how many of them become one file
	// there; 8 when 0.
	MinSegments, MaxSegments int
	// UserRows and SharedRows are up to how many rows a file of a USER or SHARED
	// table is small; 10,000 and 25,000 when 0.
	UserRows, SharedRows int64
}

func (c Compaction) withDefaults() Compaction {
	c.Every = cmp.Or(c.Every, time.Minute)
	c.MinSegments = max(cmp.Or(c.MinSegments, 5), 2)
	c.MaxSegments = max(cmp.Or(c.MaxSegments, 8), c.MinSegments)
	c.UserRows = cmp.Or(c.UserRows, 10_000)
	c.SharedRows = cmp.Or(c.SharedRows, 25_000)
	return c
}

// small is up to how many rows a file of a table is small.
func (c *Compaction) small(t *schema.Table) uint64 {
	if t.PerUser() {
		return uint64(c.UserRows)
	}
	return uint64(c.SharedRows)
}

// CompactResult says what a compaction has done.
type CompactResult struct {
	Rows    int64 // have a new place
	Sources int   // files that were given up
	Files   int   // that took their place
	Bytes   int64 // of Files
}

// Compact writes small neighbours of the cold files of a USER or SHARED table
// as one, and those that have lost many rows without them, scope by scope. It
// finishes what was cut off first. A scope at a time it keeps flushes of the
// table waiting.
func (m *Maintainer) Compact(ctx context.Context, id schema.TableID) (CompactResult, error) {
	return m.compact(ctx, id, byStatement())
}

// compactRule says which runs of files are compacted.
type compactRule struct {
	least, most int  // small neighbours
	dead        bool // also files that have lost many rows
}

// compact does what a rule asks for, and shows other engines where rows are now.
func (m *Maintainer) compact(ctx context.Context, id schema.TableID, rule compactRule) (CompactResult, error) {
	result, err := m.compactFiles(ctx, id, rule)
	if err == nil {
		m.refresh(ctx, id)
	}
	return result, err
}

func (m *Maintainer) compactFiles(ctx context.Context, id schema.TableID, rule compactRule) (CompactResult, error) {
	var result CompactResult
	if m.first.err != nil {
		return result, m.first.err
	}
	scopes, err := m.prepareCompaction(ctx, id)
	var total, before int64
	for _, s := range scopes {
		total += 2 * s.rows
	}
	ctx = metered(ctx, total)
	for _, s := range scopes {
		if err == nil {
			err = m.compactScope(ctx, id, s.scope, rule, &result)
		}
		if before += 2 * s.rows; err == nil {
			reached(ctx, before)
		}
	}
	return result, err
}

// coldScope is a scope that has windows, of so many rows.
type coldScope struct {
	scope schema.Scope
	rows  int64
}

// prepareCompaction finishes what was cut off, drops windows without rows and
// returns the scopes that have windows.
func (m *Maintainer) prepareCompaction(ctx context.Context, id schema.TableID) ([]coldScope, error) {
	if err := m.claim(ctx, id); err != nil {
		return nil, err
	}
	defer m.giveBack(id)
	view := m.o.View()
	t, ok := view.Definitions().TableByID(id)
	var dropped FlushResult
	var err error
	switch {
	case !ok:
		err = fault.New(fault.TableNotFound, "no table has the number %d", id)
	case t.Kind != schema.User && t.Kind != schema.Shared:
		err = fault.New(fault.InvalidOperation, "cannot compact %s table '%s'", t.Kind, t.QualifiedName())
	default:
		if _, err = m.moveOn(ctx, view, t); err == nil {
			err = m.dropWindows(ctx, view, t, &dropped)
		}
	}
	view.Release() // it may be the last one that reads what goes now
	if err == nil && dropped.Dropped > 0 {
		_, err = m.removeFiles(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	view = m.o.View()
	defer view.Release()
	var scopes []coldScope
	err = table.AllSegments(view.Reader(), id, func(s schema.Segment) bool {
		if len(scopes) == 0 || scopes[len(scopes)-1].scope != s.Scope {
			scopes = append(scopes, coldScope{scope: s.Scope})
		}
		scopes[len(scopes)-1].rows += int64(s.To - s.From)
		return true
	})
	return scopes, err
}

// compactScope compacts the runs of one scope.
func (m *Maintainer) compactScope(ctx context.Context, id schema.TableID, scope schema.Scope, rule compactRule, result *CompactResult) error {
	if err := m.claim(ctx, id); err != nil {
		return err
	}
	defer m.giveBack(id)
	view := m.o.View()
	defer view.Release()
	t, ok := view.Definitions().TableByID(id)
	if !ok {
		return fault.New(fault.TableNotFound, "no table has the number %d", id)
	}
	runs, err := m.runs(view, t, scope, rule)
	for _, run := range runs {
		if err == nil {
			err = m.compactRun(ctx, view, t, scope, run, result)
		}
	}
	if err == nil {
		m.mendScope(t, scope)
	}
	return err
}

// candidate is a window that may be compacted.
type candidate struct {
	sourceFile
	live  uint64 // rows without a mark
	small bool
	dead  bool // it has lost many rows
}

// runs returns the neighbours of a scope that a rule makes one, oldest first.
func (m *Maintainer) runs(view *catalog.View, t *schema.Table, scope schema.Scope, rule compactRule) ([][]candidate, error) {
	all, err := m.candidates(view, t, scope)
	if err != nil {
		return nil, err
	}
	var runs [][]candidate
	var run []candidate
	var bytes int64
	end := func() {
		alone := len(run) > 0 && rule.dead && slices.ContainsFunc(run, func(c candidate) bool { return c.dead })
		if len(run) >= rule.least || alone {
			runs = append(runs, run)
		}
		run, bytes = nil, 0
	}
	for _, c := range all {
		if !c.small && !(c.dead && rule.dead) {
			end()
			continue
		}
		if len(run) == rule.most || len(run) > 0 && bytes+c.File.Size > compactBytes {
			end()
		}
		run, bytes = append(run, c), bytes+c.File.Size
	}
	end()
	return runs, nil
}

// candidates returns the windows of a scope in order of _seq. Those that are
// still being filled, or whose file other scopes share, are not small.
func (m *Maintainer) candidates(view *catalog.View, t *schema.Table, scope schema.Scope) ([]candidate, error) {
	segments, err := table.Segments(view.Reader(), t.ID, scope)
	if err != nil {
		return nil, err
	}
	all := make([]candidate, 0, len(segments))
	for _, s := range segments {
		c := candidate{}
		var ok bool
		if c.File, ok, err = table.File(view.Reader(), s.File); err != nil {
			return nil, err
		}
		c.Segment = s
		st, known := view.Definitions().Storage(c.File.StorageID)
		if ok && known && c.File.Scope == scope && !table.Packed(&c.File) && s.To == c.File.Rows {
			c.storage = *st
			marked := uint64(0)
			if _, err := table.EachMark(view.Reader(), s.File, s.From, s.To, func(uint64) bool { marked++; return true }); err != nil {
				return nil, err
			}
			c.live = s.To - s.From - marked
			c.small = c.live <= m.o.Compaction.small(t)
			c.dead = marked > 0 && marked >= (s.To-s.From)/deadShare
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(a.Segment.MinSeq, b.Segment.MinSeq) })
	return all, nil
}

// compactRun makes one file of a run, or none when no row of it is left.
func (m *Maintainer) compactRun(ctx context.Context, view *catalog.View, t *schema.Table, scope schema.Scope, run []candidate, result *CompactResult) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sources, numbers, live := make([]sourceFile, len(run)), make([]uint64, len(run)), uint64(0)
	for i, c := range run {
		sources[i], numbers[i], live = c.sourceFile, c.File.Number, live+c.live
	}
	var f schema.File
	var window schema.Segment
	st := sources[0].storage
	if live > 0 {
		var err error
		if st, err = storageOf(view, t, scope); err != nil {
			return err
		}
		receipt, err := m.commit(ctx, &command.FileBegin{File: schema.File{
			StorageID: st.ID, Path: cold.FolderOf(st, t, scope), Table: t.ID, Scope: scope, State: schema.FileReserved,
			CreatedAt: m.o.Now().UnixMicro(), Sources: numbers,
		}})
		if err != nil {
			return fmt.Errorf("reserve a file for %s: %w", t.QualifiedName(), err)
		}
		if f, window, err = m.writeRun(ctx, view, t, st, receipt.File, live, sources); err != nil {
			m.discard(context.WithoutCancel(ctx), receipt.File)
			return err
		}
	}
	moved, err := m.move(ctx, t, scope, st, f, window, 0, sources)
	result.Rows += moved
	m.removable.Store(true)
	if err != nil {
		if live > 0 && !fault.Is(err, fault.ShuttingDown) { // else the next start knows what became of it
			m.discardUnless(context.WithoutCancel(ctx), f)
		}
		return err
	}
	result.Sources += len(run)
	if live > 0 {
		result.Files++
		result.Bytes += f.Size
		m.exportOf(t, scope, st, f)
	}
	m.exportSources(t, scope, st, f, sources)
	return nil
}

// exportSources writes the manifests beside older files, where the newer one is
// not.
func (m *Maintainer) exportSources(t *schema.Table, scope schema.Scope, st schema.Storage, f schema.File, sources []sourceFile) {
	done := map[folderOf]struct{}{}
	if f.Number != 0 {
		done[folderAt(st, f)] = struct{}{}
	}
	for _, s := range sources {
		at := folderAt(s.storage, s.File)
		if _, known := done[at]; !known {
			done[at] = struct{}{}
			m.exportOf(t, scope, s.storage, s.File)
		}
	}
}

// writeRun writes the rows of a run that a view shows, in order of _seq, as the
// table is now.
func (m *Maintainer) writeRun(ctx context.Context, view *catalog.View, t *schema.Table, st schema.Storage, f schema.File, live uint64, sources []sourceFile) (schema.File, schema.Segment, error) {
	w, err := m.o.Cold.Create(st, f.Path, t, cold.CreateOptions{Compression: t.Options.Compression, Rows: int64(live)})
	if err != nil {
		return f, schema.Segment{}, err
	}
	for i := range sources {
		if err := m.copyWindow(ctx, view, t, &sources[i], w); err != nil {
			w.Abort()
			return f, schema.Segment{}, fmt.Errorf("write %s: %w", f.Path, err)
		}
	}
	return finishFile(w, t, f)
}

// copyWindow appends the rows of a window that have no mark.
func (m *Maintainer) copyWindow(ctx context.Context, view *catalog.View, t *schema.Table, s *sourceFile, w *cold.Writer) error {
	rows, err := m.openRows(s.storage, s.File, t, nil, s.Segment.From, s.Segment.To)
	if err != nil {
		return err
	}
	defer rows.close()
	marks, err := table.NewMarkScan(view.Reader(), s.File.Number)
	if err != nil {
		return err
	}
	pace, size := m.newStride(), int(s.File.Size/int64(max(s.File.Rows, 1)))
	for read := int64(1); err == nil; read++ {
		var row []datum.Value
		var number uint64
		if row, number, err = rows.next(ctx); err != nil || row == nil {
			advance(ctx, (read-1)%sliceRows)
			break
		}
		if read%sliceRows == 0 {
			advance(ctx, sliceRows)
		}
		var marked bool
		if marked, err = marks.Marked(number); err == nil && !marked {
			if err = pace.took(ctx, size); err == nil {
				_, err = w.Append(row)
			}
		}
	}
	if closeErr := marks.Close(); err == nil {
		err = closeErr
	}
	return err
}

// compactOn does the rest of a compaction that was cut off.
func (m *Maintainer) compactOn(ctx context.Context, view *catalog.View, t *schema.Table, st schema.Storage, w cold.SegmentFile, from uint64) error {
	all, err := m.candidates(view, t, w.Segment.Scope)
	if err != nil {
		return err
	}
	var sources []sourceFile // in the order in which their rows were written
	for _, number := range w.File.Sources {
		for _, c := range all {
			if c.File.Number == number {
				sources = append(sources, c.sourceFile)
			}
		}
	}
	if _, err := m.move(ctx, t, w.Segment.Scope, st, w.File, w.Segment, from, sources); err != nil {
		return err
	}
	m.removable.Store(true)
	m.exportOf(t, w.Segment.Scope, st, w.File)
	m.exportSources(t, w.Segment.Scope, st, w.File, sources)
	return nil
}
