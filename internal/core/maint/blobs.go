package maint

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// freedMost is how many freed blobs wait by name; beyond it all are looked at.
const freedMost = 10_000

// blobPage is how many blobs one look at them reads at once.
const blobPage = 1000

// blobs is what the removal of files of FILE columns knows. Rows count their
// references in the store; here stand those whose count has come to none.
type blobs struct {
	wake  chan struct{}
	stats struct{ stored, storedBytes, removed, removedBytes atomic.Int64 }
	mu    struct {
		sync.Mutex
		freed   map[schema.BlobKey]struct{}
		all     bool // more were freed than stand there
		uploads map[*StoredBlobs]struct{}
	}
}

func newBlobs() *blobs {
	b := &blobs{wake: make(chan struct{}, 1)}
	b.mu.freed, b.mu.uploads, b.mu.all = map[schema.BlobKey]struct{}{}, map[*StoredBlobs]struct{}{}, true
	b.signal()
	return b
}

func (b *blobs) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// note adds freed blobs; they are removed when the collector wakes.
func (b *blobs) note(keys []schema.BlobKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range keys {
		if len(b.mu.freed) >= freedMost {
			b.mu.all = true
			return
		}
		b.mu.freed[k] = struct{}{}
	}
}

// take returns what was freed.
func (b *blobs) take() (keys []schema.BlobKey, all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k := range b.mu.freed {
		keys = append(keys, k)
	}
	all = b.mu.all
	clear(b.mu.freed)
	b.mu.all = false
	return keys, all
}

// settled returns below which id no blob belongs to an upload that goes on.
func (b *blobs) settled() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := uint64(math.MaxUint64)
	for u := range b.mu.uploads {
		id = min(id, u.after)
	}
	return id
}

// BlobStats are figures of files of FILE columns since the start.
type BlobStats struct{ Stored, StoredBytes, Removed, RemovedBytes int64 }

// BlobStats returns the figures.
func (m *Maintainer) BlobStats() BlobStats {
	s := &m.blobs.stats
	return BlobStats{s.stored.Load(), s.storedBytes.Load(), s.removed.Load(), s.removedBytes.Load()}
}

// NewBlob is a file that is to be kept.
type NewBlob struct {
	Name, MIME string
	Content    *cold.Staged
}

// StoredBlobs are files that are kept and that no row may refer to yet. Release
// ends that: those without a row are removed then.
type StoredBlobs struct {
	maintainer *Maintainer
	after      uint64 // their ids are greater
	// Blobs are in the order in which they were given.
	Blobs []schema.Blob
}

// StoreBlobs keeps files for a table and scope. They are durable when it returns;
// after an error nothing of them stays.
func (m *Maintainer) StoreBlobs(ctx context.Context, t *schema.Table, scope schema.Scope, files []NewBlob) (*StoredBlobs, error) {
	view := m.o.View()
	st, err := storageOf(view, t, scope)
	u := &StoredBlobs{maintainer: m, after: view.Position()}
	view.Release()
	if err != nil {
		return nil, err
	}
	begin := command.BeginBlobs{}
	for _, f := range files {
		begin.Blobs = append(begin.Blobs, schema.Blob{
			BlobKey: schema.BlobKey{Table: t.ID, Scope: scope}, Name: f.Name, Size: f.Content.Size, MIME: f.MIME,
			SHA256: f.Content.SHA256, StorageID: st.ID, Path: cold.FolderOf(st, t, scope),
		})
	}
	m.blobs.mu.Lock()
	m.blobs.mu.uploads[u] = struct{}{}
	m.blobs.mu.Unlock()
	receipt, err := m.commit(ctx, begin)
	u.Blobs = receipt.Blobs
	for i := range u.Blobs {
		if err != nil || ctx.Err() != nil {
			break
		}
		err = m.o.Cold.PutBlob(st, &u.Blobs[i], files[i].Content)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		u.Release(context.WithoutCancel(ctx))
		m.o.Logger.Warn("files could not be stored", "table", t.QualifiedName(), "storage", st.ID, "error", err)
		return nil, err
	}
	m.blobs.stats.stored.Add(int64(len(u.Blobs)))
	for i := range u.Blobs {
		m.blobs.stats.storedBytes.Add(u.Blobs[i].Size)
	}
	return u, nil
}

// Release removes the files that no row refers to. What cannot be removed now is
// removed later.
func (u *StoredBlobs) Release(ctx context.Context) {
	m := u.maintainer
	m.blobs.mu.Lock()
	delete(m.blobs.mu.uploads, u)
	m.blobs.mu.Unlock()
	view := m.o.View()
	var keys []schema.BlobKey
	for i := range u.Blobs {
		b, ok, err := catalog.Blob(view.Reader(), u.Blobs[i].BlobKey)
		if err != nil || ok && b.References <= 0 {
			keys = append(keys, u.Blobs[i].BlobKey)
		}
	}
	view.Release()
	if len(keys) == 0 {
		return
	}
	if err := m.dropBlobs(ctx, keys, false); err != nil {
		m.o.Logger.Warn("files that no row refers to are removed later", "files", len(keys), "error", err)
	}
}

// dropBlobs removes those of some blobs that no row refers to; with erased all of
// them. Those that are left for later are noted.
func (m *Maintainer) dropBlobs(ctx context.Context, keys []schema.BlobKey, erased bool) error {
	for len(keys) > 0 {
		some := keys[:min(len(keys), command.MaxBlobs)]
		keys = keys[len(some):]
		receipt, err := m.commit(ctx, command.DropBlobs{Keys: some, Erased: erased})
		if err == nil {
			err = m.deleteBlobs(ctx, receipt.Blobs)
		}
		if err != nil {
			m.blobs.note(some)
			m.blobs.note(keys)
			return err
		}
	}
	return nil
}

// deleteBlobs deletes the bytes of marked blobs and forgets those that are gone.
func (m *Maintainer) deleteBlobs(ctx context.Context, marked []schema.Blob) error {
	var gone []schema.BlobKey
	var errs []error
	for i := range marked {
		b := &marked[i]
		st, ok := m.o.Definitions().Storage(b.StorageID)
		if !ok {
			errs = append(errs, fmt.Errorf("the storage %q of the file %s is unknown", b.StorageID, b.Path))
			continue
		}
		if err := m.o.Cold.RemoveBlob(*st, b); err != nil {
			errs = append(errs, err)
			continue
		}
		gone = append(gone, b.BlobKey)
		m.blobs.stats.removed.Add(1)
		m.blobs.stats.removedBytes.Add(b.Size)
	}
	if len(gone) > 0 {
		if _, err := m.commit(ctx, command.DropBlobs{Keys: gone, Deleted: true}); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// CollectBlobs removes the files whose rows have gone: those that commits have
// freed, and at the start of the server, or when there were too many to name,
// all that no row refers to. A backup that goes on keeps them.
func (m *Maintainer) CollectBlobs(ctx context.Context) error {
	if m.holds.oldest() != math.MaxUint64 {
		return nil
	}
	keys, all := m.blobs.take()
	if all {
		more, err := m.unneededBlobs(ctx, "")
		if err != nil {
			m.blobs.mu.Lock()
			m.blobs.mu.all = true
			m.blobs.mu.Unlock()
			return err
		}
		keys = append(keys, more...)
	}
	return m.dropBlobs(ctx, keys, false)
}

// unneededBlobs returns the blobs under a prefix that no row refers to, or whose
// table is gone.
func (m *Maintainer) unneededBlobs(ctx context.Context, prefix string) (keys []schema.BlobKey, err error) {
	settled := m.blobs.settled() // before the view, so that it shows no upload that began after
	view := m.o.View()
	defer view.Release()
	for after := ""; ; {
		after, err = catalog.EachBlob(view.Reader(), prefix, after, blobPage, func(b schema.Blob) error {
			_, lives := view.Definitions().TableByID(b.Table)
			if b.Removed || !lives || b.References <= 0 && b.ID <= min(settled, view.Position()) {
				keys = append(keys, b.BlobKey)
			}
			return ctx.Err()
		})
		if err != nil || after == "" {
			return keys, err
		}
	}
}

// collect removes files as they are freed until ctx ends.
func (m *Maintainer) collect(ctx context.Context) {
	tick := time.NewTicker(m.o.Tick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.blobs.wake:
		case <-tick.C:
		}
		m.try(ctx, "remove files of FILE columns", m.CollectBlobs)
	}
}

// ErrNoBlob says that there is no such file.
var ErrNoBlob = fault.New(fault.FileNotFound, "File not found")

// Blob returns what is known of a file and where it is.
func (m *Maintainer) Blob(k schema.BlobKey) (schema.Blob, schema.Storage, error) {
	view := m.o.View()
	defer view.Release()
	b, ok, err := catalog.Blob(view.Reader(), k)
	if err != nil {
		return b, schema.Storage{}, err
	}
	st, known := view.Definitions().Storage(b.StorageID)
	if !ok || b.Removed || !known {
		return b, schema.Storage{}, ErrNoBlob
	}
	return b, *st, nil
}
