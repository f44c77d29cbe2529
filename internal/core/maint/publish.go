package maint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	"kalamdb/internal/cold"
	"kalamdb/internal/core/job"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// publishing is what is known of the tables that other engines read.
type publishing struct {
	mu   sync.Mutex
	busy map[folderOf]chan struct{}   // folders being written; closed when done
	due  map[schema.TableID]time.Time // tables to look at again
	at   map[schema.TableID]uint64    // what is published is of this position or a later one
}

// publishAgain is how long a table waits after the job that published it has
// failed for good.
const publishAgain = 5 * time.Minute

// publishEvery is how often a table is looked at on which nothing but deletes of
// cold rows, and no flush, may have happened.
const publishEvery = 10 * time.Minute

// publishedPlace says in a job's parameters what a dropped table leaves behind.
type publishedPlace struct {
	Storage string `json:"storage"`
	Folder  string `json:"folder"`
}

// publishKey is the idempotency key of the publications of a table.
func publishKey(t *schema.Table) string {
	return fmt.Sprintf("publish:%d:%s", t.ID, t.QualifiedName())
}

// PublishResult says what a publication has done.
type PublishResult struct {
	// Changed says that there was something to make known, Files and Rows what is
	// known now. Withdrawn says that the table is published no more.
	Changed, Withdrawn bool
	Files              int
	Rows               uint64
	Location           string
}

// Publish makes the cold rows of a table, as they are now, known to other engines
// as an Apache Iceberg table, or takes away what is known when the table has the
// option no more. It may be cut off anywhere and done again: readers go by the
// object that is written last.
func (m *Maintainer) Publish(ctx context.Context, id schema.TableID) (PublishResult, error) {
	view := m.o.View()
	defer view.Release()
	t, ok := view.Definitions().TableByID(id)
	if !ok {
		return PublishResult{}, nil
	}
	return m.publish(ctx, view, t, max(m.o.Grace, 0))
}

// placeOf returns where a table is published, nil when it is not.
func (m *Maintainer) placeOf(t *schema.Table) *publishedPlace {
	if !t.Options.Iceberg {
		return nil
	}
	st, ok := m.o.Definitions().Storage(cmp.Or(t.Options.StorageID, schema.LocalStorage))
	if !ok {
		return nil
	}
	return &publishedPlace{st.ID, cold.PublishedFolder(*st, t)}
}

// withdraw takes away what is published of a table that was dropped.
func (m *Maintainer) withdraw(ctx context.Context, id schema.TableID, at publishedPlace) error {
	st, ok := m.o.Definitions().Storage(at.Storage)
	if !ok {
		return nil
	}
	release, err := m.claimFolder(ctx, folderOf{at.Storage, at.Folder})
	if err != nil {
		return err
	}
	defer release()
	_, err = m.o.Cold.Withdraw(*st, at.Folder, id)
	return err
}

// withdrawAbove takes away what is published beside a file of a dropped table: the
// file is known until it is removed, so that no crash leaves the metadata behind.
// looked are the folders in which there is nothing any more.
func (m *Maintainer) withdrawAbove(ctx context.Context, f schema.File, looked map[folderOf]struct{}) error {
	dir := path.Dir(f.Path)
	if f.Scope != schema.SharedScope {
		dir = path.Dir(dir) // below it is what one user has, or many share
	}
	for ; dir != "." && dir != "/"; dir = path.Dir(dir) {
		at := folderOf{f.StorageID, path.Join(dir, cold.PublishedName)}
		if _, done := looked[at]; done {
			return nil
		}
		if err := m.withdraw(ctx, f.Table, publishedPlace{at.storage, at.path}); err != nil {
			return err
		}
		looked[at] = struct{}{}
	}
	return nil
}

// erasePublished publishes a table without the rows of an erased user and leaves
// nothing of what was published before. The bytes must go, whoever still reads.
func (m *Maintainer) erasePublished(ctx context.Context, id schema.TableID) error {
	view := m.o.View()
	defer view.Release()
	t, ok := view.Definitions().TableByID(id)
	if !ok || !t.Options.Iceberg && !m.publishDue(id) {
		return nil
	}
	_, err := m.publish(ctx, view, t, 0)
	return err
}

// publish is Publish of a table at a moment. What it replaces stays for a grace.
func (m *Maintainer) publish(ctx context.Context, view *catalog.View, t *schema.Table, grace time.Duration) (result PublishResult, err error) {
	st, ok := view.Definitions().Storage(cmp.Or(t.Options.StorageID, schema.LocalStorage))
	if !ok {
		return result, nil // nothing of the table can be there
	}
	release, err := m.claimFolder(ctx, folderOf{st.ID, cold.PublishedFolder(*st, t)})
	if err != nil {
		return result, err
	}
	defer release()
	if now, lives := m.o.Definitions().TableByID(t.ID); !lives || now.Options.Iceberg != t.Options.Iceberg {
		return result, nil // whoever has changed that sees to it
	}
	if !t.Options.Iceberg {
		result.Location = cold.PublishedFolder(*st, t)
		result.Withdrawn, err = m.o.Cold.Withdraw(*st, result.Location, t.ID)
		return result, err
	}
	p, err := m.o.Cold.Publication(*st, t)
	if err != nil {
		return result, err
	}
	result.Location = p.Location()
	w := &publisher{m: m, view: view, table: t, to: p, versions: map[uint32]*schema.Table{}}
	if err := w.gather(ctx); err != nil {
		return result, err
	}
	result.Files = len(w.files)
	for i := range w.files {
		result.Rows += w.files[i].Rows
		if d := w.files[i].Deletes; d != nil {
			result.Rows -= d.Rows
		}
	}
	if result.Changed, err = p.Commit(w.files, view.Position(), m.o.Now()); err != nil {
		return result, err
	}
	m.showed(t.ID, view.Position())
	m.publishAt(t.ID, m.o.Now().Add(publishEvery))
	waiting, err := p.Sweep(m.o.Now(), grace)
	if err != nil && grace == 0 {
		return result, err
	}
	if err != nil {
		// What is published is right; only what nobody names is left for later.
		m.o.Logger.Warn("objects of a former publication could not be removed", "table", t.QualifiedName(), "error", err)
	}
	if waiting > 0 {
		m.publishAt(t.ID, m.o.Now().Add(max(m.o.Grace, m.o.Tick)))
	}
	return result, nil
}

// claimFolder takes a folder of metadata, and waits for the one who has it.
func (m *Maintainer) claimFolder(ctx context.Context, f folderOf) (release func(), err error) {
	for {
		m.published.mu.Lock()
		done, busy := m.published.busy[f]
		if !busy {
			m.published.busy[f] = make(chan struct{})
		}
		m.published.mu.Unlock()
		if !busy {
			return func() {
				m.published.mu.Lock()
				defer m.published.mu.Unlock()
				close(m.published.busy[f])
				delete(m.published.busy, f)
			}, nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// publisher gathers the cold files of a table at a moment.
type publisher struct {
	m        *Maintainer
	view     *catalog.View
	table    *schema.Table
	to       *cold.Publication
	files    []cold.PublishedFile
	versions map[uint32]*schema.Table // nil for one that is unknown
}

// gather describes every file that has a window, by number.
func (w *publisher) gather(ctx context.Context) error {
	windows := map[uint64][]schema.Segment{}
	if err := table.AllSegments(w.view.Reader(), w.table.ID, func(s schema.Segment) bool {
		windows[s.File] = append(windows[s.File], s)
		return true
	}); err != nil {
		return err
	}
	for _, number := range slices.Sorted(maps.Keys(windows)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, ok, err := table.File(w.view.Reader(), number)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("cold file %d of table %s is unknown: %w", number, w.table.QualifiedName(), cold.ErrDamaged)
		}
		of := windows[number]
		slices.SortFunc(of, func(a, b schema.Segment) int { return cmp.Compare(a.From, b.From) })
		if err := w.add(ctx, &f, of); err != nil {
			return err
		}
	}
	return nil
}

// add describes one file, or a copy of it when other engines cannot tell from its
// rows what they mean here.
func (w *publisher) add(ctx context.Context, f *schema.File, windows []schema.Segment) error {
	st, ok := w.view.Definitions().Storage(f.StorageID)
	if !ok {
		return fmt.Errorf("storage '%s' of cold file %s is unknown", f.StorageID, f.Path)
	}
	written, err := w.version(windows[0].SchemaVersion)
	if err != nil {
		return err
	}
	var out cold.PublishedFile
	if f.Packed() || written == nil || !cold.ReadsAlone(w.table, written) {
		if out, err = w.copyFile(ctx, *st, f, windows); err != nil {
			return err
		}
	} else {
		out = w.to.File(*st, f, written)
		if w.table.Kind == schema.User {
			user := string(f.Scope)
			out.Scope = &user
		}
	}
	if err := w.to.Delete(&out, f.Number, func(each func(uint64) error) error {
		return eachDead(ctx, w.view, f, windows, each)
	}); err != nil {
		return err
	}
	if out.Deletes == nil || out.Deletes.Rows < out.Rows {
		w.files = append(w.files, out)
	}
	return nil
}

// version returns a version of the table's definition, nil when it is unknown.
func (w *publisher) version(number uint32) (*schema.Table, error) {
	if number == w.table.Version {
		return w.table, nil
	}
	t, known := w.versions[number]
	if known {
		return t, nil
	}
	t, ok, err := catalog.TableVersion(w.view.Reader(), w.table.ID, number)
	if err != nil {
		return nil, err
	}
	if !ok {
		t = nil
	}
	w.versions[number] = t
	return t, nil
}

// eachDead visits the rows of a file that do not count, in ascending order: those
// outside of the windows, and those with a mark.
func eachDead(ctx context.Context, view *catalog.View, f *schema.File, windows []schema.Segment, each func(row uint64) error) error {
	next, at := uint64(0), 0 // the first row not looked at, and the window it is in or before
	var failed error
	// outside visits the rows below a number that no window has.
	outside := func(below uint64) error {
		for next < below {
			switch {
			case at < len(windows) && windows[at].To <= next:
				at++
				continue
			case at < len(windows) && windows[at].From <= next:
				next = min(windows[at].To, below)
				continue
			case next%sliceRows == 0 && ctx.Err() != nil:
				return ctx.Err()
			}
			if err := each(next); err != nil {
				return err
			}
			next++
		}
		return nil
	}
	err := table.Marks(view.Reader(), f.Number, func(row, _ uint64) bool {
		if row >= f.Rows {
			return false
		}
		if failed = outside(row); failed != nil {
			return false
		}
		for at < len(windows) && windows[at].To <= row {
			at++
		}
		if at < len(windows) && windows[at].From <= row { // else it is outside, and comes with the others there
			failed = each(row)
			next = row + 1
		}
		return failed == nil
	})
	if err := firstOf(failed, err); err != nil {
		return err
	}
	return outside(f.Rows)
}

// copyFile makes sure of a copy of a file: all its rows under their numbers, as
// the table is now, each with its user.
func (w *publisher) copyFile(ctx context.Context, st schema.Storage, f *schema.File, windows []schema.Segment) (cold.PublishedFile, error) {
	mark := []byte{}
	for _, s := range windows {
		if f.Packed() {
			mark = fmt.Appendf(mark, "%d %d %q\n", s.From, s.To, s.Scope)
		}
	}
	return w.to.Copy(f, mark, func(out *cold.Writer) error {
		rows, err := w.m.openRows(st, *f, w.table, nil, 0, f.Rows)
		if err != nil {
			return err
		}
		defer rows.close()
		pace, size := w.m.newStride(), int(f.Size/int64(max(f.Rows, 1)))
		at, inside := 0, false
		for {
			row, number, err := rows.next(ctx)
			if err != nil || row == nil {
				return err
			}
			if err := pace.took(ctx, size); err != nil {
				return err
			}
			for at < len(windows) && number >= windows[at].To {
				at++
				out.Window()
			}
			if now := at < len(windows) && number >= windows[at].From; now != inside || !now {
				inside = now
				out.Window() // rows outside come in any order, and may be blank
			}
			if w.table.Kind == schema.User {
				user := datum.NewText(string(f.Scope))
				if f.Packed() && inside {
					user = datum.NewText(string(windows[at].Scope))
				}
				row = append(row[:len(row):len(row)], user)
			}
			if _, err := out.Append(row); err != nil {
				return err
			}
		}
	})
}

// refresh publishes a table again after its cold rows have changed. They have
// moved all the same when it fails: the clock tries again.
func (m *Maintainer) refresh(ctx context.Context, id schema.TableID) {
	if t, ok := m.o.Definitions().TableByID(id); !ok || !t.Options.Iceberg {
		return
	}
	if _, err := m.Publish(ctx, id); err != nil {
		m.publishAt(id, m.o.Now())
		if ctx.Err() == nil {
			m.o.Logger.Error("a table could not be published", "table", id, "error", err)
		}
	}
}

// showed says that what is published of a table is of a position.
func (m *Maintainer) showed(id schema.TableID, position uint64) {
	m.published.mu.Lock()
	defer m.published.mu.Unlock()
	m.published.at[id] = max(m.published.at[id], position)
}

// shows reports whether what is published of a table is of a position or later.
func (m *Maintainer) shows(id schema.TableID, position uint64) bool {
	m.published.mu.Lock()
	defer m.published.mu.Unlock()
	return m.published.at[id] >= position
}

// Redefined is told of a table that was made or altered; old is nil for one that
// was made. A job publishes it, or takes back what was published.
func (m *Maintainer) Redefined(ctx context.Context, actor schema.UserID, old, now *schema.Table) {
	was := old != nil && old.Options.Iceberg
	if !now.Options.Iceberg && !was || old != nil && old.Version == now.Version {
		return
	}
	if _, _, err := m.o.Jobs.Submit(ctx, m.publishJob(actor, now)); err != nil {
		m.o.Logger.Error("the publication of a table could not be started", "table", now.QualifiedName(), "error", err)
	}
	m.publishAt(now.ID, m.o.Now()) // the job may have begun before the change
}

func (m *Maintainer) publishJob(actor schema.UserID, t *schema.Table) job.Spec {
	return job.Spec{
		Type: "publish", Prefix: "PU", Key: publishKey(t), Parameters: parameters(t, "iceberg"), Actor: actor, Retries: job.MaxRetries,
		Run: func(ctx context.Context) (string, error) {
			result, err := m.Publish(ctx, t.ID)
			if err != nil {
				m.publishAt(t.ID, m.o.Now().Add(publishAgain))
				return "", err
			}
			return publishMessage(t, result), nil
		},
	}
}

// publishMessage is what system.jobs shows of a publication that has ended.
func publishMessage(t *schema.Table, r PublishResult) string {
	switch {
	case r.Withdrawn:
		return fmt.Sprintf("Table '%s' is published no more: removed %s", t.QualifiedName(), r.Location)
	case r.Location == "":
		return fmt.Sprintf("Table '%s' is gone", t.QualifiedName())
	}
	return fmt.Sprintf("Published %d cold row(s) in %d file(s) of table '%s' at %s", r.Rows, r.Files, t.QualifiedName(), r.Location)
}

// publishAt says when the clock looks at a table again, at the latest.
func (m *Maintainer) publishAt(id schema.TableID, at time.Time) {
	m.published.mu.Lock()
	defer m.published.mu.Unlock()
	if due, known := m.published.due[id]; !known || at.Before(due) {
		m.published.due[id] = at
	}
}

// publishDue reports whether the clock looks at a table again.
func (m *Maintainer) publishDue(id schema.TableID) bool {
	m.published.mu.Lock()
	defer m.published.mu.Unlock()
	_, due := m.published.due[id]
	return due
}

// PublishDue publishes the tables whose time has come: after a failure, and when
// replaced objects have had their grace. What fails goes on as a job, which tries
// again and is seen in system.jobs.
func (m *Maintainer) PublishDue(ctx context.Context) error {
	now := m.o.Now()
	m.published.mu.Lock()
	var ripe []schema.TableID
	for id, due := range m.published.due {
		if !due.After(now) {
			ripe = append(ripe, id)
			delete(m.published.due, id)
		}
	}
	m.published.mu.Unlock()
	slices.Sort(ripe)
	var errs []error
	for _, id := range ripe {
		_, err := m.Publish(ctx, id)
		if err == nil {
			continue
		}
		errs = append(errs, fmt.Errorf("publish table %d: %w", id, err))
		m.publishAt(id, now.Add(publishAgain))
		if t, ok := m.o.Definitions().TableByID(id); ok && ctx.Err() == nil {
			if _, _, err := m.o.Jobs.Submit(ctx, m.publishJob("", t)); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// publishAll says that every published table is looked at, and every table of a
// local storage that may have been published: what a crash has cut off goes on.
func (m *Maintainer) publishAll() {
	for t := range m.o.Definitions().AllTables() {
		if t.Kind != schema.User && t.Kind != schema.Shared {
			continue
		}
		st, ok := m.o.Definitions().Storage(cmp.Or(t.Options.StorageID, schema.LocalStorage))
		if t.Options.Iceberg || ok && (st.Type == "" || st.Type == "filesystem") && t.Version > 1 {
			m.publishAt(t.ID, m.o.Now())
		}
	}
}
