package write

import (
	"context"
	"errors"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// What staged changes count for beside their bytes, as in the queue of commits.
const (
	stagedRowBytes    = 64
	savepointBytes    = 128
	transactionHeader = 512
)

// Bounds of a transaction.
type Bounds struct {
	// MaxBytes bounds what it may stage (transaction.max_bytes).
	MaxBytes int64
	// Take asks for n bytes more of what all transactions may stage together,
	// and gives -n back; false refuses. nil always grants.
	Take func(n int64) bool
	// Serializable lets it commit only when nobody has changed since it began
	// what it has read.
	Serializable bool
}

// Transaction gathers what several statements change over one moment, to be
// committed as one command. It is used by one goroutine at a time and ended
// once, by Commit or Rollback; both let go of its moment.
type Transaction struct {
	writer *Writer
	bounds Bounds
	view   *relation.View // nil when it has ended
	staged *relation.Staged

	rows  int    // staged changes
	bytes int64  // of them and of what savepoints keep
	seq   uint64 // of the last staged row
	order uint64

	savepoints []savepoint
	undo       []undone // since the first savepoint
}

// savepoint is a place in the log of what can be undone.
type savepoint struct {
	name string
	undo int
}

// undone is a staged change that another has replaced.
type undone struct {
	table  *schema.Table
	scope  schema.Scope
	key    []byte
	before *relation.StagedRow // nil when there was none
}

// Begin starts a transaction over the current durable moment.
func (w *Writer) Begin(b Bounds) *Transaction {
	if b.MaxBytes == 0 || b.MaxBytes > w.o.MaxBytes {
		b.MaxBytes = w.o.MaxBytes
	}
	if b.Take == nil {
		b.Take = func(int64) bool { return true }
	}
	staged := relation.NewStaged()
	staged.NoteReads(b.Serializable)
	view := w.o.Relations.View().With(staged)
	return &Transaction{writer: w, bounds: b, view: view, staged: staged, seq: view.Position(), bytes: transactionHeader}
}

// Serialize says whether the transaction commits only when nobody has changed
// since it began what it has read. It must not have read anything yet.
func (t *Transaction) Serialize(on bool) {
	if on == t.bounds.Serializable {
		return
	}
	t.bounds.Serializable = on
	t.staged.NoteReads(on)
}

// View returns what the statements of the transaction see, held for the caller:
// its moment, and over it what it has staged.
func (t *Transaction) View() *relation.View {
	fault.Assert(t.view != nil, "view of a transaction that has ended")
	return t.view.Retain()
}

// Position returns the position of the last commit that the transaction sees.
func (t *Transaction) Position() uint64 { return t.view.Position() }

// Size returns how many changes are staged, about how many bytes they take, and
// how many tables they concern.
func (t *Transaction) Size() (rows int, bytes int64, tables int) {
	return t.rows, t.bytes, t.staged.Tables()
}

// stage takes over what one statement would commit: all of it, or nothing.
func (t *Transaction) stage(ctx context.Context, c *composer) (int64, error) {
	fault.Assert(t.view != nil && c.table.Kind != schema.Stream, "staging into table %s", c.table.QualifiedName())
	rows, room := t.rows, int64(0)
	for i := range c.rows {
		if i%256 == 255 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		r := &c.rows[i]
		before := t.staged.Find(c.table, r.Scope, r.Key)
		if room += t.room(r, before); before == nil {
			rows++
		}
		if r.Op != command.Insert || r.Fresh {
			continue
		}
		if err := t.unique(ctx, c.table, r); err != nil {
			return 0, err
		}
	}
	if err := c.distinct(ctx, t.view); err != nil {
		return 0, err
	}
	if rows > t.writer.o.MaxRows {
		return 0, fault.New(fault.LimitExceeded, "one commit may change at most %d rows (commit.max_rows), this transaction would change %d", t.writer.o.MaxRows, rows)
	}
	if err := t.take(room); err != nil {
		return 0, err
	}
	for i := range c.rows {
		t.put(c.table, &c.rows[i], c.env.Now)
	}
	return int64(len(c.rows)), nil
}

// seqOf returns the _seq that a change which has just been staged shows.
func (t *Transaction) seqOf(def *schema.Table, r *command.RowWrite) uint64 {
	if own := t.staged.Find(def, r.Scope, r.Key); own != nil {
		return own.Seq
	}
	return 0
}

// take counts bytes more against the bounds.
func (t *Transaction) take(n int64) error {
	if t.bytes+n > t.bounds.MaxBytes {
		return fault.New(fault.LimitExceeded, "one transaction may stage at most %d bytes (transaction.max_bytes), this one needs %d", t.bounds.MaxBytes, t.bytes+n)
	}
	if !t.bounds.Take(n) {
		return fault.New(fault.ServerBusy, "open transactions have staged all the bytes that they may (transaction.memory); try again")
	}
	t.bytes += n
	return nil
}

// unique refuses a key that the transaction sees.
func (t *Transaction) unique(ctx context.Context, def *schema.Table, r *command.RowWrite) error {
	_, _, deleted, _, found, err := t.view.Get(ctx, def, r.Scope, r.Key)
	if err != nil || !found || deleted {
		return err
	}
	row := make([]datum.Value, len(def.Columns))
	if err := def.DecodeRow(r.Row, row); err != nil {
		return err
	}
	return def.DuplicateKey(pick(row, def.KeyPositions()))
}

// room is the most that a change may need beside what is staged of its key.
func (t *Transaction) room(r *command.RowWrite, before *relation.StagedRow) int64 {
	n := cost(r)
	if before != nil {
		n += int64(len(before.Write.Old)) + entryBytes(before.Write.Index) // which the net change keeps
	}
	if len(t.savepoints) > 0 {
		n += stagedRowBytes // of the note that undoes it
	}
	return n
}

// put merges a change, whose room has been taken, into what is staged of its
// key, so that a commit changes each key once.
func (t *Transaction) put(def *schema.Table, r *command.RowWrite, now int64) {
	before := t.staged.Find(def, r.Scope, r.Key)
	left := t.room(r, before)
	next := &relation.StagedRow{Write: *r}
	if before != nil {
		next.Order = before.Order
		if next.Write = merged(&before.Write, r); next.Write.Op == 0 {
			next = nil
		}
	} else {
		t.order++
		next.Order = t.order
	}
	if next != nil {
		t.seq = schema.NextSeq(t.seq, now, 0)
		next.Seq = t.seq
		left -= cost(&next.Write)
	}
	t.replace(def, r.Scope, r.Key, next)
	if len(t.savepoints) > 0 {
		t.undo = append(t.undo, undone{def, r.Scope, r.Key, before})
		t.give(left - stagedRowBytes)
		return
	}
	t.give(left + costOf(before))
}

// replace stages a change, or none, and counts.
func (t *Transaction) replace(def *schema.Table, scope schema.Scope, key []byte, next *relation.StagedRow) {
	before := t.staged.Put(def, scope, key, next)
	if before != nil {
		t.rows--
	}
	if next != nil {
		t.rows++
	}
}

// give counts bytes less.
func (t *Transaction) give(n int64) {
	t.bytes -= n
	t.bounds.Take(-n)
}

// cost is about what a staged change takes.
func cost(w *command.RowWrite) int64 {
	return stagedRowBytes + int64(len(w.Key)+len(w.Row)+len(w.Old)+len(w.Scope)) + entryBytes(w.Index)
}

// costOf is cost of a change that may not be there.
func costOf(r *relation.StagedRow) int64 {
	if r == nil {
		return 0
	}
	return cost(&r.Write)
}

// merged returns the one change that two of the same key come to; its Op is 0
// when they come to none.
func merged(first, second *command.RowWrite) command.RowWrite {
	net := *first
	net.Index = mergedEntries(first.Index, second.Index)
	switch {
	case second.Op == command.Delete && first.Op == command.Insert:
		net.Op = 0
	case second.Op == command.Delete:
		net.Op, net.Row = command.Delete, first.Old
	case first.Op == command.Delete: // the row of the moment, under a new version
		net.Op, net.Row = command.Update, second.Row
	default:
		net.Row = second.Row
	}
	return net
}

// Commit proposes all that is staged as one command and ends the transaction,
// whatever comes of it. A change of others to a row or a table of it since it
// began is a CONFLICT.
func (t *Transaction) Commit(ctx context.Context, now time.Time, actor schema.UserID) (int64, error) {
	fault.Assert(t.view != nil, "commit of a transaction that has ended")
	defer t.Rollback()
	if t.rows == 0 {
		return 0, nil
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	writes, tables := t.staged.Writes()
	durability := schema.Relaxed
	for _, def := range tables {
		if t.writer.durability(def) != schema.Relaxed {
			durability = schema.Sync
		}
	}
	c := &command.Command{Time: Clock(now), Durability: durability, Actor: actor, Body: &command.Write{Tables: writes}}
	if t.bounds.Serializable {
		c.Reads = &command.Reads{At: t.view.Position(), Partitions: t.staged.Reads()}
	}
	receipt, err := t.writer.o.Committer.Commit(ctx, c)
	if err == nil {
		return receipt.Rows, nil
	}
	return 0, t.refusal(ctx, err, writes, tables)
}

// refusal words what the commit of a transaction has met. A key that exists now
// and did not when it was inserted is the change of another: a transaction that
// runs again sees it. The cause is not wrapped: the statement that asks for the
// commit is not to be run again by itself.
func (t *Transaction) refusal(ctx context.Context, err error, writes []command.TableWrite, tables []*schema.Table) error {
	switch {
	case errors.Is(err, command.ErrStaleRow):
		return fault.New(fault.Conflict, "another transaction has changed a row of this one since it began; nothing of it was written, and it may be run again")
	case errors.Is(err, command.ErrStaleRead):
		return fault.New(fault.Conflict, "another transaction has changed a table that this serializable one has read since it began; nothing of it was written, and it may be run again")
	case errors.Is(err, command.ErrStaleSchema):
		return fault.New(fault.Conflict, "a table of this transaction was altered or dropped since it began; nothing of it was written, and it may be run again")
	case fault.Is(err, fault.UniqueViolation):
		return fault.New(fault.Conflict, "another transaction has written values that a unique index of this one's tables holds once; nothing of it was written, and it may be run again")
	case !fault.Is(err, fault.DuplicateKey):
		return err
	}
	newest := t.writer.o.Relations.Applied()
	defer newest.Release()
	for i, def := range tables {
		for j := range writes[i].Rows {
			r := &writes[i].Rows[j]
			if r.Op != command.Insert {
				continue
			}
			_, _, deleted, _, found, looking := newest.Get(ctx, def, r.Scope, r.Key)
			if looking == nil && found && !deleted {
				return fault.New(fault.Conflict, "another transaction has inserted a key of this one since it began; nothing of it was written, and it may be run again")
			}
		}
	}
	return err
}

// Rollback forgets what is staged and lets go of the moment. It may be called
// more than once.
func (t *Transaction) Rollback() {
	if t.view == nil {
		return
	}
	t.view.Release()
	t.view = nil
	t.bounds.Take(-(t.bytes - transactionHeader))
	t.staged, t.savepoints, t.undo = relation.NewStaged(), nil, nil
	t.rows, t.bytes = 0, transactionHeader
}

// Savepoint marks the present place under a name. Among several of one name the
// newest counts.
func (t *Transaction) Savepoint(name string) error {
	if err := t.take(savepointBytes + int64(len(name))); err != nil {
		return err
	}
	t.savepoints = append(t.savepoints, savepoint{name, len(t.undo)})
	return nil
}

// RollbackTo undoes what came after a savepoint, which stays.
func (t *Transaction) RollbackTo(name string) error {
	at, err := t.find(name)
	if err != nil {
		return err
	}
	to := t.savepoints[at].undo
	for i := len(t.undo) - 1; i >= to; i-- {
		u := &t.undo[i]
		t.give(stagedRowBytes + costOf(t.staged.Find(u.table, u.scope, u.key)))
		t.replace(u.table, u.scope, u.key, u.before)
	}
	t.undo = t.undo[:to]
	t.drop(at + 1)
	return nil
}

// Release forgets a savepoint and those after it; what came after them stays.
func (t *Transaction) Release(name string) error {
	at, err := t.find(name)
	if err != nil {
		return err
	}
	t.drop(at)
	if at == 0 {
		for i := range t.undo {
			t.give(stagedRowBytes + costOf(t.undo[i].before))
		}
		t.undo = nil
	}
	return nil
}

// Savepoints reports whether there is a place to roll back to.
func (t *Transaction) Savepoints() bool { return len(t.savepoints) > 0 }

// find returns the newest savepoint of a name.
func (t *Transaction) find(name string) (int, error) {
	for i := len(t.savepoints) - 1; i >= 0; i-- {
		if t.savepoints[i].name == name {
			return i, nil
		}
	}
	return 0, fault.New(fault.SavepointNotFound, "savepoint \"%s\" does not exist", name)
}

// drop forgets the savepoints from a place on.
func (t *Transaction) drop(from int) {
	for _, s := range t.savepoints[from:] {
		t.give(savepointBytes + int64(len(s.name)))
	}
	t.savepoints = t.savepoints[:from]
}
