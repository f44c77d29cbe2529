package store

import (
	"sync/atomic"

	"kalamdb/internal/fault"
	"kalamdb/internal/store/internal/engine"
)

// Batch collects changes that are committed as one. Only the rooms under
// internal/store can add changes.
type Batch struct {
	store  *Store
	engine *engine.Batch
}

// NewBatch returns an empty batch, to be closed by the caller.
func (s *Store) NewBatch() *Batch {
	s.batches.Add(1)
	return &Batch{store: s, engine: s.db.NewBatch()}
}

// NewBlindBatch returns an empty batch without a Reader, which costs less to
// fill; bytes is about how large it will be. It is to be closed by the caller.
func (s *Store) NewBlindBatch(bytes int) *Batch {
	s.batches.Add(1)
	return &Batch{store: s, engine: s.db.NewBlindBatch(bytes)}
}

// Engine returns the batch as the rooms under internal/store change it.
func (b *Batch) Engine() *engine.Batch { return b.engine }

// Reader returns the newest applied state with the changes of the batch so
// far on top. A blind batch has none.
func (b *Batch) Reader() Reader { return b.engine }

// Len returns the size of the batch in bytes.
func (b *Batch) Len() int { return b.engine.Len() }

// Empty reports whether the batch holds no changes.
func (b *Batch) Empty() bool { return b.engine.Empty() }

// Commit makes the batch visible. With sync it is on its way to the disk and
// Wait returns when it is there; without, it gets there some time. An error
// means that nothing was applied. When durability is lost, the fatal call of
// the store's options ends the process.
func (b *Batch) Commit(sync bool) error { return b.store.db.Apply(b.engine, sync) }

// Wait returns when a batch committed with sync is durable, at once for any
// other. It may be called by another goroutine than Commit, after it.
func (b *Batch) Wait() error { return b.engine.Wait() }

// Close gives the batch back; a second call does nothing.
func (b *Batch) Close() {
	if b.engine == nil {
		return
	}
	b.engine.Close()
	b.engine = nil
	b.store.batches.Add(-1)
}

// Snapshot is the state at one moment. It is counted: it ends with the last
// Close.
type Snapshot struct {
	store  *Store
	engine *engine.Snapshot
	users  atomic.Int64
}

// Snapshot returns the newest applied state as it stands, to be closed by the
// caller.
func (s *Store) Snapshot() *Snapshot {
	snap := &Snapshot{store: s, engine: s.db.NewSnapshot()}
	snap.users.Store(1)
	s.snapshots.Add(1)
	return snap
}

// Reader returns the state as the rooms under internal/store read it.
func (s *Snapshot) Reader() Reader { return s.engine }

// Retain counts one user more, who must be kept out of a snapshot that may
// already have ended, and returns s.
func (s *Snapshot) Retain() *Snapshot {
	fault.Assert(s.users.Add(1) > 1, "snapshot retained after its end")
	return s
}

// Close counts one user less; the last one ends the snapshot.
func (s *Snapshot) Close() error {
	left := s.users.Add(-1)
	fault.Assert(left >= 0, "snapshot closed too often")
	if left > 0 {
		return nil
	}
	s.store.snapshots.Add(-1)
	return s.engine.Close()
}
