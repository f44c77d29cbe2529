package engine

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"kalamdb/internal/fault"
)

// blindRoomLeast is the size from which on a batch gets its room at once; smaller
// ones use that of batches before them.
const blindRoomLeast = 1 << 20

// Batch collects changes that are applied as one. One of NewBatch is a Reader:
// reads see the newest applied state and the batch's own changes so far.
type Batch struct {
	db     *DB
	pebble *pebble.Batch
	// done gets the outcome of Apply, and of a sync batch's fsync after it.
	done chan error
	held bool // Pebble may still use it
}

// NewBatch returns an empty batch, to be closed by the caller.
func (db *DB) NewBatch() *Batch {
	return &Batch{db: db, pebble: db.pebble.NewIndexedBatch()}
}

// NewBlindBatch returns an empty batch that cannot be read, and so needs no
// index of its own changes; bytes is about how large it will be. It is to be
// closed by the caller.
func (db *DB) NewBlindBatch(bytes int) *Batch {
	if bytes < blindRoomLeast {
		return &Batch{db: db, pebble: db.pebble.NewBatch()}
	}
	return &Batch{db: db, pebble: db.pebble.NewBatch(pebble.WithInitialSizeBytes(bytes))}
}

// Apply makes a batch visible to all new readers; its log record is written
// and, when sync is true, on its way to the disk: Wait returns when it is
// there. Batches are logged in the order of their Apply, so one that is
// durable means that all before it are. The caller goes on to Wait or Close;
// the batch takes no more changes. An error means that nothing was applied.
func (db *DB) Apply(b *Batch, sync bool) error {
	db.doom.check()
	b.done = make(chan error, 2)
	b.held = true
	go run(db.pebble, b.pebble, sync, b.done)
	err := db.doom.await(b.done)
	b.held = sync && err == nil
	if err != nil {
		return fmt.Errorf("apply batch: %w", err)
	}
	return nil
}

// run takes a batch through Pebble on a stack of its own. It touches nothing of
// the Batch, whose owner may have been ended.
func run(db *pebble.DB, b *pebble.Batch, sync bool, done chan<- error) {
	if !sync {
		done <- db.Apply(b, pebble.NoSync)
		return
	}
	err := db.ApplyNoSyncWait(b, pebble.Sync)
	done <- err
	if err == nil {
		done <- b.SyncWait()
	}
}

// Wait returns when a batch applied with sync is durable, at once for another
// one. It does not return when durability is lost. The error is always nil.
func (b *Batch) Wait() error {
	if !b.held {
		b.db.doom.check()
		return nil
	}
	err := b.db.doom.await(b.done)
	b.held = false
	if err != nil {
		b.db.doom.refuse("sync", "log", err)
		b.db.doom.end()
	}
	return nil
}

// Close gives the batch back. One that was applied with sync and not waited
// for is waited for first, since the log still reads it. After durability is
// lost, one that Pebble holds stays there.
func (b *Batch) Close() {
	if b.pebble == nil {
		return
	}
	if b.db.Broken() == nil && b.held {
		select {
		case <-b.done: // who cares for the outcome has called Wait
			b.held = false
		case <-b.db.doom.came:
		}
	}
	if !b.held {
		_ = b.pebble.Close() // reports misuse only, which Pebble panics about
	}
	b.pebble = nil
}

// Len returns the size of the batch in bytes.
func (b *Batch) Len() int { return b.pebble.Len() }

// Count returns the number of changes.
func (b *Batch) Count() int { return int(b.pebble.Count()) }

// Empty reports whether there are no changes.
func (b *Batch) Empty() bool { return b.pebble.Empty() }

// Reset forgets all changes of a batch that was not applied.
func (b *Batch) Reset() {
	fault.Assert(!b.held, "batch reset before its sync")
	b.pebble.Reset()
}

// Set stores a value under a key of any keyspace but row.
func Set(b *Batch, key, value []byte) {
	assertPlain(key)
	done(b.pebble.Set(key, value, nil))
}

// Delete removes a key of any keyspace but row; a missing one is fine.
func Delete(b *Batch, key []byte) {
	assertPlain(key)
	done(b.pebble.Delete(key, nil))
}

// Merge adds the bytes of AppendDelta to the counters under a key of any
// keyspace but row; missing ones start at zero. It reads nothing.
func Merge(b *Batch, key, delta []byte) {
	assertPlain(key)
	done(b.pebble.Merge(key, delta, nil))
}

// SetRow stores a version of a row.
func SetRow(b *Batch, key []byte, seq uint64, value []byte) {
	assertRow(key)
	op := b.pebble.SetDeferred(len(key)+rowTrailLen, len(value))
	putRow(op.Key, key, seq)
	copy(op.Value, value)
	done(op.Finish())
}

// DeleteRow removes one version of a row; a missing one is fine.
func DeleteRow(b *Batch, key []byte, seq uint64) {
	assertRow(key)
	op := b.pebble.DeleteDeferred(len(key) + rowTrailLen)
	putRow(op.Key, key, seq)
	done(op.Finish())
}

// DeleteRange removes all keys of [lower, upper), of rows all versions.
func DeleteRange(b *Batch, lower, upper []byte) {
	fault.Assert(len(lower) > 0 && len(upper) > 0, "range %x to %x is open", lower, upper)
	done(b.pebble.DeleteRange(appendBare(nil, lower), appendBare(nil, upper), nil))
}

// done stops a caller who changes a batch that was applied: Pebble refuses a
// change for no other reason.
func done(err error) {
	fault.Assert(err == nil, "change of a batch: %v", err)
}
