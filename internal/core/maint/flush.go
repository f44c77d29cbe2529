package maint

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// FlushResult says what a flush has moved.
type FlushResult struct {
	// Rows became cold; rows that were changed meanwhile stayed hot.
	Rows int64
	// Files were written, one per scope that had rows.
	Files int
	Bytes int64
	// Dropped counts windows whose rows have all been deleted since, and whose
	// files have gone.
	Dropped int64
}

// Flush moves the hot rows of a USER or SHARED table to the cold tier and
// returns when all have been moved. It waits for a flush of the table that runs
// already.
func (m *Maintainer) Flush(ctx context.Context, id schema.TableID) (FlushResult, error) {
	return m.flush(ctx, id, nil)
}

// FlushScopes is Flush of some partitions.
func (m *Maintainer) FlushScopes(ctx context.Context, id schema.TableID, scopes []schema.Scope) (FlushResult, error) {
	once := append(make([]schema.Scope, 0, len(scopes)), scopes...) // not nil, which means all
	slices.Sort(once)
	return m.flush(ctx, id, slices.Compact(once)) // one moment is written to one file only
}

// flush moves the hot rows of some partitions, of all when scopes is nil, and
// shows other engines what has moved.
func (m *Maintainer) flush(ctx context.Context, id schema.TableID, scopes []schema.Scope) (FlushResult, error) {
	result, err := m.flushRows(ctx, id, scopes)
	if err == nil {
		m.refresh(ctx, id)
	}
	return result, err
}

// flushRows moves the rows.
func (m *Maintainer) flushRows(ctx context.Context, id schema.TableID, scopes []schema.Scope) (result FlushResult, err error) {
	if m.first.err != nil {
		return result, m.first.err
	}
	if err := m.claim(ctx, id); err != nil {
		return result, err
	}
	defer m.giveBack(id)
	since := int64(0)
	if scopes == nil {
		since = m.began(id)
	}
	view := m.o.View()
	t, ok := view.Definitions().TableByID(id)
	if !ok {
		view.Release()
		return result, fault.New(fault.TableNotFound, "no table has the number %d", id)
	}
	hot, err := hotRows(view, t, scopes)
	if err == nil {
		err = m.flushTable(metered(ctx, 2*hot), view, t, scopes, &result)
	}
	view.Release() // it may be the last one that reads what goes now
	if err != nil {
		m.aged(id, since)
	}
	m.ended(id, err)
	if err == nil && result.Dropped > 0 {
		_, err = m.removeFiles(ctx, id)
	}
	return result, err
}

// hotRows counts the rows that a flush of some partitions finds, of all when
// scopes is nil.
func hotRows(view *catalog.View, t *schema.Table, scopes []schema.Scope) (rows int64, err error) {
	if scopes == nil {
		counts, err := table.TotalCounts(view.Reader(), t)
		return counts.HotRows, err
	}
	for _, scope := range scopes {
		counts, err := table.Counts(view.Reader(), t, scope)
		if err != nil {
			return 0, err
		}
		rows += counts.HotRows
	}
	return rows, nil
}

// flushTable moves the rows that a view shows.
func (m *Maintainer) flushTable(ctx context.Context, view *catalog.View, t *schema.Table, scopes []schema.Scope, result *FlushResult) error {
	if t.Kind != schema.User && t.Kind != schema.Shared {
		return fault.New(fault.InvalidOperation, "cannot flush %s table '%s'", t.Kind, t.QualifiedName())
	}
	moved, err := m.moveOn(ctx, view, t)
	result.Rows += moved
	if err != nil {
		return err
	}
	if err := m.dropWindows(ctx, view, t, result); err != nil {
		return err
	}
	if scopes != nil {
		return m.flushScopes(ctx, view, t, scopes, result)
	}
	pack, err := m.packs(view, t)
	if err != nil {
		return err
	}
	if pack {
		return m.flushPacked(ctx, view, t, result)
	}
	for after := schema.Scope(""); ; {
		scopes, err := table.Scopes(view.Reader(), t, after, 1000)
		if err != nil || len(scopes) == 0 {
			return err
		}
		if err := m.flushScopes(ctx, view, t, scopes, result); err != nil {
			return err
		}
		if after = scopes[len(scopes)-1]; after == "" {
			return nil // the one partition of a SHARED table
		}
	}
}

// flushScopes moves the rows of partitions, each to a file of its own.
func (m *Maintainer) flushScopes(ctx context.Context, view *catalog.View, t *schema.Table, scopes []schema.Scope, result *FlushResult) error {
	for _, scope := range scopes {
		if err := m.flushScope(ctx, view, t, scope, result); err != nil {
			return err
		}
	}
	return nil
}

// flushScope moves the rows of one scope.
func (m *Maintainer) flushScope(ctx context.Context, view *catalog.View, t *schema.Table, scope schema.Scope, result *FlushResult) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	counts, err := table.Counts(view.Reader(), t, scope)
	if err != nil || counts.HotRows == 0 {
		return err
	}
	st, err := storageOf(view, t, scope)
	if err != nil {
		return err
	}
	receipt, err := m.commit(ctx, &command.FileBegin{File: schema.File{
		StorageID: st.ID, Path: cold.FolderOf(st, t, scope), Table: t.ID, Scope: scope, State: schema.FileReserved,
		CreatedAt: m.o.Now().UnixMicro(),
	}})
	if err != nil {
		return fmt.Errorf("reserve a file for %s: %w", t.QualifiedName(), err)
	}
	later, known := m.since(view, t)
	defer later.Release()
	f, window, err := m.write(ctx, later, t, st, receipt.File, counts, known)
	if err != nil || f.Rows == 0 {
		m.discard(context.WithoutCancel(ctx), receipt.File)
		return err
	}
	moved, err := m.adopt(ctx, t, st, f, window, 0, known)
	result.Rows += moved
	if err != nil {
		if !fault.Is(err, fault.ShuttingDown) { // else the next start knows what became of it
			m.discardUnless(context.WithoutCancel(ctx), f)
		}
		return err
	}
	result.Files++
	result.Bytes += f.Size
	m.stats.files.Add(1)
	m.export(t, scope, st, path.Dir(f.Path))
	return nil
}

// write writes the newest rows of a scope, as a view shows them, in order of
// _seq.
func (m *Maintainer) write(ctx context.Context, view *catalog.View, t *schema.Table, st schema.Storage, f schema.File, counts schema.Counts, known *seenRows) (schema.File, schema.Segment, error) {
	w, err := m.o.Cold.Create(st, f.Path, t, cold.CreateOptions{Compression: t.Options.Compression, Rows: counts.HotRows})
	if err != nil {
		return f, schema.Segment{}, err
	}
	if err := m.copyRows(ctx, view, t, f.Scope, counts, w, known); err != nil {
		w.Abort()
		return f, schema.Segment{}, fmt.Errorf("write %s: %w", f.Path, err)
	}
	return finishFile(w, t, f)
}

// finishFile completes a file and describes it with the window that it is to
// have.
func finishFile(w *cold.Writer, t *schema.Table, f schema.File) (schema.File, schema.Segment, error) {
	info, err := w.Finish()
	if err != nil {
		return f, schema.Segment{}, fmt.Errorf("write %s: %w", f.Path, err)
	}
	f.Size, f.Checksum, f.Rows, f.Statistics, f.State = info.Size, info.Checksum, info.Rows, info.Statistics, schema.FileLive
	return f, schema.Segment{
		Table: t.ID, Scope: f.Scope, File: f.Number, To: info.Rows, MinSeq: info.MinSeq, MaxSeq: info.MaxSeq,
		MinKey: info.MinKey, MaxKey: info.MaxKey, SchemaVersion: t.Version,
	}, nil
}

// roomBytes is how much is allocated at once for rows to be put in order.
const roomBytes = 64 << 10

// copyRows writes the live hot rows of a scope in order of _seq.
func (m *Maintainer) copyRows(ctx context.Context, view *catalog.View, t *schema.Table, scope schema.Scope, counts schema.Counts, w *cold.Writer, known *seenRows) error {
	a := &appender{ctx: ctx, table: t, writer: w, row: make([]datum.Value, len(t.Columns)), seq: t.Column(schema.SeqName), pace: m.newStride(), known: known}
	a.row[t.Column(schema.DeletedName)] = datum.NewBool(false)
	if counts.Bytes > m.o.SortBytes || counts.HotRows > m.o.SortBytes/64 {
		err := eachRow(ctx, view, t, scope, table.ScanOptions{Order: table.BySeq}, a.append)
		advance(ctx, a.steps%sliceRows)
		return err
	}
	rows, err := m.sortedRows(ctx, view, t, scope, a.pace.manners)
	if err != nil {
		return err
	}
	for _, v := range rows {
		if err := a.append(v); err != nil {
			return err
		}
	}
	advance(ctx, a.steps%sliceRows)
	return nil
}

// crowd is how many keys of cold rows a flush may pass by for a hot one: looking
// a row up costs as much as so many steps.
const crowd = 4

// sortedRows reads the live hot rows of a scope in order of _seq. Read by key and
// put in order in memory they cost a step each, and so does what history keeps of
// rows that flushes took before. Where there may be many of those, rows are read
// by _seq from the newest cold row on, behind which all hot rows should be; when
// one is missing they are read by key after all.
func (m *Maintainer) sortedRows(ctx context.Context, view *catalog.View, t *schema.Table, scope schema.Scope, c *manners) ([]table.Version, error) {
	counts, err := table.Counts(view.Reader(), t, scope)
	if err != nil {
		return nil, err
	}
	if counts.ColdRows/crowd > counts.HotRows {
		segments, err := table.Segments(view.Reader(), t.ID, scope)
		if err != nil {
			return nil, err
		}
		o := table.ScanOptions{Order: table.BySeq}
		for i := range segments {
			o.AfterSeq = max(o.AfterSeq, segments[i].MaxSeq)
		}
		rows, err := heldRows(ctx, view, t, scope, o, counts.HotRows, c)
		if err != nil || int64(len(rows)) == counts.HotRows {
			return rows, err
		}
	}
	rows, err := heldRows(ctx, view, t, scope, table.ScanOptions{Order: table.ByKey}, counts.HotRows, c)
	slices.SortFunc(rows, func(a, b table.Version) int { return cmp.Compare(a.Seq, b.Seq) })
	return rows, err
}

// heldRows reads rows, about so many, into memory.
func heldRows(ctx context.Context, view *catalog.View, t *schema.Table, scope schema.Scope, o table.ScanOptions, about int64, c *manners) ([]table.Version, error) {
	rows := make([]table.Version, 0, about)
	var room []byte // of rows, so that they share what is allocated
	err := eachRow(ctx, view, t, scope, o, func(v table.Version) error {
		if len(room)+len(v.Row) > cap(room) {
			room = make([]byte, 0, max(roomBytes, len(v.Row)))
		}
		room = append(room, v.Row...)
		rows = append(rows, table.Version{Seq: v.Seq, Row: room[len(room)-len(v.Row) : len(room) : len(room)]})
		return c.step(ctx)
	})
	return rows, err
}

// eachRow visits the live hot rows of a scope.
func eachRow(ctx context.Context, view *catalog.View, t *schema.Table, scope schema.Scope, o table.ScanOptions, visit func(table.Version) error) error {
	scan, err := table.NewScan(view.Reader(), t, scope, o)
	if err != nil {
		return err
	}
	for n := 0; err == nil && scan.Next(ctx); n++ {
		if n%sliceRows == 0 {
			err = ctx.Err()
		}
		if err == nil {
			err = visit(scan.Version())
		}
	}
	if err == nil {
		err = scan.Err()
	}
	if closeErr := scan.Close(); err == nil {
		err = closeErr
	}
	return err
}

// appender decodes rows and hands them to the writer of a file.
type appender struct {
	ctx    context.Context // of the one call that appends
	table  *schema.Table
	writer *cold.Writer
	row    []datum.Value
	seq    int   // position of _seq
	steps  int64 // rows so far
	pace   stride
	known  *seenRows // what has been written, or nil
}

func (a *appender) append(v table.Version) error {
	if err := a.pace.took(a.ctx, len(v.Row)); err != nil {
		return err
	}
	if err := a.table.DecodeRow(v.Row, a.row); err != nil {
		return err
	}
	a.row[a.seq] = datum.NewInt(datum.BigInt, int64(v.Seq))
	_, err := a.writer.Append(a.row)
	if a.known != nil {
		a.known.add(a.writer.Key(), v)
	}
	if a.steps++; a.steps%sliceRows == 0 {
		advance(a.ctx, sliceRows)
	}
	return err
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// exportOf writes the manifest beside a file.
func (m *Maintainer) exportOf(t *schema.Table, scope schema.Scope, st schema.Storage, f schema.File) {
	m.export(t, scope, st, path.Dir(f.Path))
}

// export writes the manifest of a scope. It is for other readers only, so a
// failure is logged and the next flush writes it again.
func (m *Maintainer) export(t *schema.Table, scope schema.Scope, st schema.Storage, folder string) {
	view := m.o.View()
	defer view.Release()
	if _, lives := view.Definitions().TableByID(t.ID); !lives {
		return // it was dropped meanwhile, and its folder goes
	}
	if err := m.writeManifest(view, t, scope, st, folder); err != nil {
		m.o.Logger.Error("a manifest could not be written", "table", t.QualifiedName(), "folder", folder, "error", err)
	}
}

func (m *Maintainer) writeManifest(view *catalog.View, t *schema.Table, scope schema.Scope, st schema.Storage, folder string) error {
	text, err := manifestText(view, t, scope, st, folder)
	if err != nil {
		return err
	}
	return m.o.Cold.PutManifest(st, folder, text)
}

// manifestText is what the manifest of a folder should say.
func manifestText(view *catalog.View, t *schema.Table, scope schema.Scope, st schema.Storage, folder string) ([]byte, error) {
	if path.Base(folder) == schema.PackedFolder {
		return packedText(view, t, st)
	}
	segments, err := table.Segments(view.Reader(), t.ID, scope)
	if err != nil {
		return nil, err
	}
	var windows []cold.SegmentFile
	for _, s := range segments {
		f, ok, err := table.File(view.Reader(), s.File)
		if err != nil {
			return nil, err
		}
		if ok && f.StorageID == st.ID && path.Dir(f.Path) == folder {
			windows = append(windows, cold.SegmentFile{Segment: s, File: f})
		}
	}
	return cold.ManifestOf(t, scope, windows).JSON()
}

// deadScopes returns the scopes of a table that have windows and no cold row.
func deadScopes(ctx context.Context, view *catalog.View, t *schema.Table, most int) ([]schema.Scope, error) {
	var dead []schema.Scope
	var failed error
	last, begun := schema.Scope(""), false
	err := table.AllSegments(view.Reader(), t.ID, func(s schema.Segment) bool {
		if failed = ctx.Err(); failed != nil {
			return false
		}
		if begun && s.Scope == last {
			return true
		}
		last, begun = s.Scope, true
		counts, err := table.Counts(view.Reader(), t, s.Scope)
		if failed = err; err == nil && counts.ColdRows == 0 {
			dead = append(dead, s.Scope)
		}
		return err == nil && len(dead) < most
	})
	return dead, firstOf(failed, err)
}

// deadMost is how many scopes lose their windows in one flush.
const deadMost = 10_000

// dropWindows forgets windows of which every row has been deleted.
func (m *Maintainer) dropWindows(ctx context.Context, view *catalog.View, t *schema.Table, result *FlushResult) error {
	dead, err := deadScopes(ctx, view, t, deadMost)
	if err != nil {
		return err
	}
	packed := map[folder]struct{}{} // each is exported once, for it lists many scopes
	for _, scope := range dead {
		segments, err := table.Segments(view.Reader(), t.ID, scope)
		if err != nil {
			return err
		}
		receipt, err := m.commit(ctx, &command.DropWindows{Table: t.ID, Scope: scope})
		if fault.Is(err, fault.Conflict) {
			continue // a flush that was cut off has moved a row since
		}
		if err != nil {
			return fmt.Errorf("drop windows of %s: %w", t.QualifiedName(), err)
		}
		result.Dropped += receipt.Rows
		m.removable.Store(true)
		for _, at := range m.folders(view, segments) {
			if path.Base(at.path) == schema.PackedFolder {
				packed[at] = struct{}{}
				continue
			}
			m.export(t, scope, at.storage, at.path)
		}
	}
	for at := range packed {
		m.export(t, "", at.storage, at.path)
	}
	return nil
}

// folder is a folder of a storage.
type folder struct {
	storage schema.Storage
	path    string
}

// folders returns the folders that the files of windows are in.
func (m *Maintainer) folders(view *catalog.View, segments []schema.Segment) []folder {
	var all []folder
	for _, s := range segments {
		f, ok, err := table.File(view.Reader(), s.File)
		if err != nil || !ok {
			continue
		}
		st, ok := view.Definitions().Storage(f.StorageID)
		at := folder{path: path.Dir(f.Path)}
		if ok {
			at.storage = *st
		}
		if ok && !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	return all
}
