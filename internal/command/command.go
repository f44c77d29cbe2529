// Package command holds the commands that change state, and what they answer.
//
// A command is a deterministic value with versioned bytes: applying the same
// commands in the same order to the same state gives the same state, on any
// node. So a command carries every time, random value and default that its
// proposer chose; only _seq is stamped when it is applied.
// Goroutines: none. Locks: none.
package command

import (
	"context"

	"kalamdb/internal/schema"
)

// Command is one unit of change: all of it is applied, or none.
type Command struct {
	// Time is the proposer's clock in microseconds since the Unix epoch.
	Time int64
	// Durability is Sync or Relaxed; the default counts as Sync.
	Durability schema.Durability
	// Actor is who caused it, for the audit trail.
	Actor schema.UserID
	// Body is what changes.
	Body Body
	// Trail is what the audit log says about it, if anything: it is kept when
	// the body is applied, in the same commit, and not when it is refused.
	Trail *Trail
	// OnApplied, if not nil, is called once by the builder as soon as the
	// command has been applied or refused, before its sync: then latches on its
	// rows may be let go. It must not block. It is not part of the bytes.
	OnApplied func()
	// Reads is what the proposer has read and nobody may have changed since, or
	// the command is refused with ErrStaleRead; nil for nothing. Whoever orders
	// commands asks before he does: it is not part of the bytes.
	Reads *Reads
}

// Reads are partitions of tables as they were at a position.
type Reads struct {
	At         uint64
	Partitions []Partition
}

// Partition is the rows of a table in one scope, read under a version of its
// definition.
type Partition struct {
	Table         schema.TableID
	SchemaVersion uint32
	Scope         schema.Scope
}

// Trail is entries of the audit log, at most MaxTrail.
type Trail struct {
	Entries []schema.AuditEntry
	// Keep is how many of the newest entries stay; 0 keeps all.
	Keep uint64
}

// MaxTrail is how many entries one command may bring.
const MaxTrail = 1024

// Body is one of the kinds of change of this package.
type Body interface{ body() }

// Op is what happens to a row. The numbers are stored.
type Op uint8

// The operations on rows.
const (
	Insert Op = 1
	Update Op = 2
	Delete Op = 3
)

// String returns the operation in lower case.
func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	}
	return "unknown"
}

// Write changes rows of tables. Rows are applied in order and get consecutive
// values of _seq; the position of the commit is the last of them.
type Write struct {
	Tables []TableWrite
}

// TableWrite is what a Write does to one table.
type TableWrite struct {
	Table schema.TableID
	// SchemaVersion is the version the rows were planned under; another one
	// in force refuses the command with ErrStaleSchema.
	SchemaVersion uint32
	Rows          []RowWrite
}

// RowWrite is one change of one row.
type RowWrite struct {
	Op    Op
	Scope schema.Scope
	// Key is the encoded primary key; for a STREAM delete it is empty.
	Key []byte
	// ReadSeq is the version an update or delete was computed from; another
	// newest version refuses the command with ErrStaleRow. For a STREAM delete
	// it is the event to hide. Inserts leave it 0.
	ReadSeq uint64
	// Fresh marks an insert whose key the server itself generated: it cannot
	// exist, so nothing is looked up.
	Fresh bool
	// Row is the new version, encoded by schema.Table.AppendRow; deletes carry
	// the values of the row they hide.
	Row []byte
	// Old is the superseded version when the writer read it from a cold file.
	Old []byte
	// Index is what the change means for each index of the table, in the order
	// of its definition.
	Index []schema.IndexEntry
}

// PutNamespace creates a namespace, or changes one when Create is false.
type PutNamespace struct {
	Namespace schema.Namespace
	Create    bool
}

// DropNamespace removes a namespace and every table in it.
type DropNamespace struct{ Name string }

// CreateTable adds a table; its ID and CreatedSeq are given when applied.
type CreateTable struct{ Table schema.Table }

// AlterTable replaces a definition by its next version.
type AlterTable struct {
	Table schema.Table
	// FromVersion is the version that must still be in force.
	FromVersion uint32
	// Empty refuses a table that has rows with ErrNotEmpty.
	Empty bool
}

// DropTable removes a table, all its versions, rows and file windows.
type DropTable struct{ Table schema.TableID }

// PutUser writes a user's row.
type PutUser struct {
	User schema.UserRecord
	// Create refuses an existing row; else FromUpdatedAt must be the stored one's
	// UpdatedAt, or 0 to overwrite without looking.
	Create        bool
	FromUpdatedAt int64
}

// PutStorage writes a storage; Create refuses an existing one.
type PutStorage struct {
	Storage schema.Storage
	Create  bool
}

// DropStorage removes a storage that no table uses.
type DropStorage struct{ ID string }

// PutJob writes a job's row.
type PutJob struct {
	Job    schema.Job
	Create bool
}

// DropJobs removes rows of finished jobs.
type DropJobs struct{ IDs []string }

// FileBegin reserves a number for a new cold file. The reply's Number is the
// file's; Folder is counted so that the base name batch-<N> is never reused.
type FileBegin struct {
	File schema.File // Path holds the folder; apply appends batch-<N>.parquet
}

// Adopt moves a slice of hot rows into a window of a file, at most SliceRows rows.
type Adopt struct {
	File   schema.File    // complete: size, checksum, rows, statistics
	Scope  schema.Scope   // whose window
	From   uint64         // first row number of the slice
	Rows   []AdoptedRow   // in file order
	Window schema.Segment // the window once the whole file has been adopted
	// Sizes are the bytes of the rows where the proposer has read them since the
	// file was reserved, or nil. They spare looking rows up and change no outcome:
	// they are not part of the bytes.
	Sizes []int32
}

// AdoptedRow names one row of a file by its key and version.
type AdoptedRow struct {
	Key []byte
	Seq uint64
}

// DropFiles forgets files after their bytes have been deleted.
type DropFiles struct{ Numbers []uint64 }

// SliceRows is how many rows or entries one maintenance command touches.
const SliceRows = 2048

// ForgetHistory raises the history floor and deletes superseded versions and
// their change entries of whole windows of time up to, and not including, a
// window, at most SliceRows of them: while Receipt.More is set the command is
// proposed again.
type ForgetHistory struct {
	Window uint64 // first window that stays
	Floor  uint64 // positions below it can no longer be replayed
}

// PurgeRows removes keys with all their versions: hard delete. Only purge,
// erasure and tests propose it; no statement on USER or SHARED tables does. It
// has at most SliceRows keys and is proposed again while Receipt.More is set. A
// key of a STREAM table is the _seq of the event, eight bytes big-endian.
type PurgeRows struct {
	Table schema.TableID
	Scope schema.Scope
	Keys  [][]byte
	// Before protects newer versions: keys whose newest _seq is at or above it
	// stay. 0 protects none.
	Before uint64
}

// ExpireStream removes the windows of a STREAM table that ended at or before a
// position.
type ExpireStream struct {
	Table  schema.TableID
	Before uint64
}

// CutStream removes the events of a STREAM table before a position though their
// time is not over: of one partition, or with an empty scope of all. The place is
// marked, so that nobody resumes before it.
type CutStream struct {
	Table  schema.TableID
	Scope  schema.Scope
	Before uint64
}

// DropWindows removes the windows of a scope of which no row is cold any more;
// files that no window names then are removed at its position. It is refused
// with CONFLICT while a row is cold or a window is still being filled.
type DropWindows struct {
	Table schema.TableID
	Scope schema.Scope
}

// PutAudit changes nothing; it carries a Trail of what needs no other command,
// such as a refusal.
type PutAudit struct{}

// RaiseCeiling raises the synced ceiling of relaxed positions.
type RaiseCeiling struct{ To uint64 }

// LosePositions notes positions that a crash took back, in (From, To].
type LosePositions struct{ From, To uint64 }

func (Write) body()         {}
func (PutNamespace) body()  {}
func (DropNamespace) body() {}
func (CreateTable) body()   {}
func (AlterTable) body()    {}
func (DropTable) body()     {}
func (PutUser) body()       {}
func (PutStorage) body()    {}
func (DropStorage) body()   {}
func (PutJob) body()        {}
func (DropJobs) body()      {}
func (FileBegin) body()     {}
func (Adopt) body()         {}
func (DropFiles) body()     {}
func (ForgetHistory) body() {}
func (PurgeRows) body()     {}
func (ExpireStream) body()  {}
func (CutStream) body()     {}
func (DropWindows) body()   {}
func (PutAudit) body()      {}
func (RaiseCeiling) body()  {}
func (LosePositions) body() {}

// Receipt answers a committed command.
type Receipt struct {
	// Position is the commit's place: its last _seq.
	Position uint64
	// FirstSeq is the _seq of the first row of a Write.
	FirstSeq uint64
	// First is the first number that AdvanceSequence has drawn; Rows is how many.
	First int64
	// Rows counts the rows that changed, or that were adopted or purged.
	Rows int64
	// More says that a maintenance command stopped at its bound.
	More bool
	// Table is the definition as stored, for CreateTable and AlterTable.
	Table *schema.Table
	// Dropped are the definitions that DropTable and DropNamespace removed.
	Dropped []*schema.Table
	// File is the reservation that FileBegin made.
	File schema.File
	// Blobs are what BeginBlobs has made known or DropBlobs has marked.
	Blobs []schema.Blob
}

// Committer proposes commands. It has one implementation on a single node and
// will have a second one with the cluster.
type Committer interface {
	// Commit returns when the command is durable (or published, if relaxed)
	// and visible to every reader. ctx bounds the wait for a place in the queue
	// only: once queued the outcome is always awaited. The command must not be
	// changed afterwards.
	Commit(ctx context.Context, c *Command) (Receipt, error)
}

// Change is one committed change of a row, as subscribers and topics see it.
// The byte slices are shared and must not be written to.
type Change struct {
	Table schema.TableID
	// SchemaVersion is the version in force when the change was committed.
	SchemaVersion uint32
	Scope         schema.Scope
	Op            Op
	// Position is the commit's; changes of one commit share it.
	Position uint64
	Seq      uint64
	PrevSeq  uint64 // the version it superseded, 0 for an insert
	Key      []byte
	// Row is the new version (for a delete: the values of the tombstone), Old
	// the superseded one; both encoded by schema.Table.AppendRow.
	Row []byte
	Old []byte
}

// Commit is what one command changed, in order.
type Commit struct {
	Position uint64
	Changes  []Change
	// Dropped names tables that ended with this commit; Altered those with a
	// new definition.
	Dropped []schema.TableID
	Altered []schema.TableID
	// Freed are blobs that no row refers to any more.
	Freed []schema.BlobKey
}
