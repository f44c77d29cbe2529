package maint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"time"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/core/job"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// eraseWait is how long an erasure waits at once for those who still read what it
// removes, before its job waits longer; eraseRounds how often it begins again
// because somebody has written meanwhile.
const (
	eraseWait   = 10 * time.Minute
	eraseRounds = 8
)

// eraseJob are the parameters of such a job.
type eraseJob struct {
	UserID schema.UserID `json:"user_id"`
}

// Erasure is what an erasure has removed.
type Erasure struct {
	Tables    int   // that had something of the user
	Rows      int64 // and events
	Files     int   // Parquet files of his own, files of FILE columns and exports
	Bytes     int64 // of Files
	Rewritten int   // Parquet files that he shared with others
}

// StartErase starts the erasure of a user and returns what the statement answers.
func (m *Maintainer) StartErase(ctx context.Context, user, actor schema.UserID) (string, error) {
	j, started, err := m.o.Jobs.Submit(ctx, m.eraseSpec(user, actor, false))
	if err != nil {
		return "", err
	}
	if !started {
		return fmt.Sprintf("Erasure of user '%s' is already queued or running. Job ID: %s", user, j.ID), nil
	}
	return fmt.Sprintf("Erasure of user '%s' started. Job ID: %s", user, j.ID), nil
}

func (m *Maintainer) eraseSpec(user, actor schema.UserID, again bool) job.Spec {
	text, err := json.Marshal(eraseJob{user})
	if err != nil {
		text = []byte("{}")
	}
	e := &eraser{m: m, user: user, again: again}
	return job.Spec{
		Type: "user_erase", Prefix: "ER", Key: "user_erase:" + string(user), Parameters: string(text), Actor: actor, Retries: job.MaxRetries,
		Run: func(ctx context.Context) (string, error) {
			err := e.run(ctx)
			return e.message(), err
		},
	}
}

// resumeErase says how an erasure goes on that a crash has interrupted: from its
// beginning, which finds what is left.
func (m *Maintainer) resumeErase(j schema.Job) (job.Spec, bool) {
	var e eraseJob
	if json.Unmarshal([]byte(j.Parameters), &e) != nil || e.UserID == "" {
		return job.Spec{}, false
	}
	return m.eraseSpec(e.UserID, j.Actor, true), true
}

// EraseUser removes all that the database has of a user. It may be called again
// after an error, and for a user of whom nothing is left.
func (m *Maintainer) EraseUser(ctx context.Context, user schema.UserID) (Erasure, error) {
	e := &eraser{m: m, user: user}
	err := e.run(ctx)
	return e.done, err
}

// eraser erases one user. What it has removed is counted over all tries.
type eraser struct {
	m     *Maintainer
	user  schema.UserID
	again bool // an earlier life has begun it
	done  Erasure

	step, steps int64
	touched     map[schema.TableID]struct{}
	files       map[uint64]struct{} // that are counted
	folders     map[folder]struct{} // that held files of his own
}

func (e *eraser) scope() schema.Scope { return schema.UserScope(e.user) }

// message is what system.jobs shows.
func (e *eraser) message() string {
	d := &e.done
	text := fmt.Sprintf("Erased user '%s': %d table(s), %d row(s), %d file(s), %d bytes; %d shared file(s) rewritten", e.user, d.Tables, d.Rows, d.Files, d.Bytes, d.Rewritten)
	if e.again {
		text += "; without what was removed before the server stopped"
	}
	return text
}

// advance says that one more step is done.
func (e *eraser) advance(ctx context.Context) {
	e.step++
	job.Progress(ctx, min(e.step, e.steps), e.steps)
}

// run closes the account first, so that nobody signs in any more, and then erases
// until nothing of the user is found. The bytes of the engine come last, when
// nobody can read them any more.
func (e *eraser) run(ctx context.Context) error {
	if e.m.first.err != nil {
		return e.m.first.err
	}
	if e.touched == nil {
		e.touched, e.files, e.folders = map[schema.TableID]struct{}{}, map[uint64]struct{}{}, map[folder]struct{}{}
	}
	if err := e.closeAccount(ctx); err != nil {
		return err
	}
	e.endLive()
	for round := 0; ; round++ {
		if err := e.erase(ctx); err != nil {
			return err
		}
		left, err := e.left()
		if err != nil {
			return err
		}
		if !left {
			break
		}
		if round == eraseRounds {
			return fault.New(fault.Conflict, "somebody writes rows of user '%s' all the time; erase the user again when that has ended", e.user)
		}
	}
	e.endLive()
	if err := e.readersGone(ctx); err != nil {
		return err
	}
	if err := e.removeManifests(); err != nil {
		return err
	}
	err := table.Scrub(ctx, e.m.o.Store, e.tables(), e.scope())
	e.advance(ctx)
	return err
}

// endLive ends the subscriptions of the user and then his connections.
func (e *eraser) endLive() {
	if e.m.o.EndLive != nil {
		e.m.o.EndLive(e.user, fault.New(fault.ObjectNotFound, "User '%s' has been erased", e.user))
	}
}

// tables returns the tables that may have rows of the user.
func (e *eraser) tables() (all []*schema.Table) {
	for t := range e.m.o.Definitions().AllTables() {
		if t.PerUser() {
			all = append(all, t)
		}
	}
	return all
}

// closeAccount leaves of the account that there was one, which keeps its tokens
// from being those of a later account with the id.
func (e *eraser) closeAccount(ctx context.Context) error {
	for {
		view := e.m.o.View()
		old, ok, err := catalog.Users().Get(view.Reader(), string(e.user))
		view.Release()
		if err != nil || !ok {
			return err
		}
		now := max(e.m.o.Now().UnixMicro(), old.UpdatedAt+1)
		bare := schema.UserRecord{ID: e.user, Role: schema.RoleUser, AuthType: schema.AuthInternal, UpdatedAt: old.UpdatedAt, DeletedAt: old.DeletedAt}
		if old == bare {
			return nil
		}
		bare.UpdatedAt = now
		if bare.DeletedAt == 0 {
			bare.DeletedAt = now
		}
		_, err = e.m.commit(ctx, &command.PutUser{User: bare, FromUpdatedAt: old.UpdatedAt})
		if err == nil || !errors.Is(err, command.ErrStaleRow) || ctx.Err() != nil {
			return err
		}
	}
}

// erase removes everything that is found now.
func (e *eraser) erase(ctx context.Context) error {
	tables := e.tables()
	e.step, e.steps = 0, int64(2*len(tables)+3)
	if err := e.eraseExports(ctx); err != nil {
		return err
	}
	e.advance(ctx)
	for _, t := range tables {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.eraseTable(ctx, t); err != nil {
			return err
		}
		e.advance(ctx)
	}
	for _, t := range tables {
		if t.Kind == schema.User {
			n, err := e.m.rewritePacked(ctx, t.ID)
			e.done.Rewritten += n
			if err == nil {
				err = e.m.erasePublished(ctx, t.ID)
			}
			if err != nil {
				return err
			}
		}
		e.advance(ctx)
	}
	err := e.removeFiles(ctx)
	e.advance(ctx)
	return err
}

// eraseTable erases what one table has of the user, while nobody flushes it.
func (e *eraser) eraseTable(ctx context.Context, t *schema.Table) error {
	if err := e.m.claim(ctx, t.ID); err != nil {
		return err
	}
	defer e.m.giveBack(t.ID)
	if _, lives := e.m.o.Definitions().TableByID(t.ID); !lives {
		return nil
	}
	blobs, err := e.eraseBlobs(ctx, t)
	if err != nil {
		return err
	}
	view := e.m.o.View()
	traces, err := table.Traces(view.Reader(), t, e.scope())
	view.Release()
	if err != nil {
		return err
	}
	if traces {
		receipt, err := e.m.commit(ctx, command.EraseScope{Table: t.ID, Scope: e.scope()})
		if err != nil && !errors.Is(err, command.ErrStaleSchema) {
			return fmt.Errorf("erase rows of %s: %w", t.QualifiedName(), err)
		}
		e.done.Rows += receipt.Rows
		e.m.removable.Store(true)
	}
	if _, known := e.touched[t.ID]; !known && (traces || blobs) {
		e.touched[t.ID] = struct{}{}
		e.done.Tables++
	}
	return e.discardReserved(ctx, t)
}

// eraseBlobs removes the files of FILE columns, and reports whether there were
// any.
func (e *eraser) eraseBlobs(ctx context.Context, t *schema.Table) (some bool, err error) {
	prefix := schema.BlobScope(t.ID, e.scope())
	for {
		var keys []schema.BlobKey
		var bytes int64
		view := e.m.o.View()
		_, err := catalog.EachBlob(view.Reader(), prefix, "", command.MaxBlobs, func(b schema.Blob) error {
			keys, bytes = append(keys, b.BlobKey), bytes+b.Size
			return nil
		})
		view.Release()
		if err != nil || len(keys) == 0 {
			return some, err
		}
		if err := e.holdsGone(ctx); err != nil {
			return some, err
		}
		if err := e.m.dropBlobs(ctx, keys, true); err != nil {
			return some, err
		}
		some = true
		e.done.Files += len(keys)
		e.done.Bytes += bytes
	}
}

// discardReserved removes what a flush has left that could not be completed.
func (e *eraser) discardReserved(ctx context.Context, t *schema.Table) error {
	var stale []schema.File
	err := e.m.eachFile(ctx, func(_ *catalog.View, f schema.File) error {
		if f.State == schema.FileReserved && f.Table == t.ID && (f.Scope == e.scope() || f.Packed()) {
			stale = append(stale, f)
		}
		return nil
	})
	for _, f := range stale {
		e.m.discard(ctx, f)
	}
	return err
}

// eraseExports removes the archives of the user and the jobs that made them.
func (e *eraser) eraseExports(ctx context.Context) error {
	key := "user_export:" + string(e.user)
	e.m.o.Jobs.CancelKey(ctx, key)
	if err := e.await(ctx, "an export of the user", func() (bool, error) {
		_, active := e.m.o.Jobs.Active(key)
		return !active, nil
	}); err != nil {
		return err
	}
	root, err := e.m.exports()
	if err != nil {
		return err
	}
	mine := cold.EncodeName(string(e.user))
	names, err := root.List(mine)
	if err != nil {
		return fmt.Errorf("list the exports of the user: %w", err)
	}
	for _, name := range names {
		full := path.Join(mine, name)
		if r, size, err := root.Open(full); err == nil {
			e.done.Bytes += size
			e.done.Files++
			if err := r.Close(); err != nil {
				return err
			}
		}
		if err := root.Remove(full); err != nil {
			return err
		}
	}
	for {
		list, err := e.m.Exports(ctx, e.user, blobPage)
		if err != nil || len(list) == 0 {
			return err
		}
		ids := make([]string, len(list))
		for i := range list {
			ids[i] = list[i].Job.ID
		}
		if _, err := e.m.commit(ctx, &command.DropJobs{IDs: ids}); err != nil {
			return err
		}
	}
}

// mine visits the cold files that hold, or held, bytes of the user alone, or that
// an erasure has replaced.
func (e *eraser) mine(ctx context.Context, visit func(*catalog.View, schema.File)) error {
	return e.m.eachFile(ctx, func(view *catalog.View, f schema.File) error {
		if f.Scope == e.scope() || f.State == schema.FileRemoved && f.Packed() {
			visit(view, f)
		}
		return nil
	})
}

// removeFiles waits for the removal of files until none is left.
func (e *eraser) removeFiles(ctx context.Context) error {
	if err := e.mine(ctx, func(view *catalog.View, f schema.File) {
		if _, counted := e.files[f.Number]; counted {
			return
		}
		e.files[f.Number] = struct{}{}
		if f.Scope != e.scope() {
			return
		}
		e.done.Files++
		e.done.Bytes += f.Size
		if st, ok := view.Definitions().Storage(f.StorageID); ok {
			e.folders[folder{*st, path.Dir(f.Path)}] = struct{}{}
		}
	}); err != nil {
		return err
	}
	return e.await(ctx, "cold files of the user", func() (bool, error) {
		if _, err := e.m.removeFiles(ctx, 0); err != nil {
			return false, err
		}
		left := 0
		err := e.mine(ctx, func(*catalog.View, schema.File) { left++ })
		return left == 0, err
	})
}

// left reports whether something of the user has come meanwhile.
func (e *eraser) left() (bool, error) {
	view := e.m.o.View()
	defer view.Release()
	for t := range view.Definitions().AllTables() {
		if !t.PerUser() {
			continue
		}
		some, err := table.Traces(view.Reader(), t, e.scope())
		if err == nil && !some {
			_, err = catalog.EachBlob(view.Reader(), schema.BlobScope(t.ID, e.scope()), "", 1, func(schema.Blob) error {
				some = true
				return nil
			})
		}
		if some || err != nil {
			return some, err
		}
	}
	return false, nil
}

// removeManifests removes what describes the files of the user to other readers.
func (e *eraser) removeManifests() error {
	definitions := e.m.o.Definitions()
	for _, t := range e.tables() {
		if t.Kind != schema.User {
			continue
		}
		for st := range definitions.Storages() {
			e.folders[folder{*st, cold.FolderOf(*st, t, e.scope())}] = struct{}{}
		}
	}
	for at := range e.folders {
		if err := e.m.o.Cold.RemoveManifest(at.storage, at.path); err != nil {
			return err
		}
	}
	return nil
}

// holdsGone waits until no backup copies files.
func (e *eraser) holdsGone(ctx context.Context) error {
	return e.await(ctx, "a backup", func() (bool, error) { return e.m.holds.oldest() == math.MaxUint64, nil })
}

// readersGone waits until no view shows what was there before.
func (e *eraser) readersGone(ctx context.Context) error {
	view := e.m.o.View()
	position := view.Position()
	view.Release()
	return e.await(ctx, "statements that began before", func() (bool, error) { return e.m.o.OldestView() >= position, nil })
}

// await waits until there is nothing more to wait for. Its error lets the job try
// again later.
func (e *eraser) await(ctx context.Context, what string, over func() (bool, error)) error {
	end := time.NewTimer(eraseWait)
	defer end.Stop()
	look := time.NewTicker(cleanupLook)
	defer look.Stop()
	for {
		done, err := over()
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return fault.New(fault.Conflict, "the erasure of user '%s' waits for %s", e.user, what)
		case <-look.C:
		}
	}
}
