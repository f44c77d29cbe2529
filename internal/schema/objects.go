package schema

import (
	"cmp"
	"path"
)

// Namespace groups tables. Its name is its id.
type Namespace struct {
	Name string `json:"name"`
	// Options is a JSON object as text, or "".
	Options     string `json:"options,omitempty"`
	Description string `json:"description,omitempty"`
	CreatedAt   int64  `json:"created_at"` // microseconds since the Unix epoch
	UpdatedAt   int64  `json:"updated_at"`
}

// AuthType says how an account proves who it is.
type AuthType string

// The kinds of accounts, spelled as stored.
const (
	AuthPassword AuthType = "password"
	AuthOAuth    AuthType = "oauth"
	AuthInternal AuthType = "internal"
)

// UserRecord is one row of system.users. Times are microseconds since the Unix
// epoch, 0 is NULL. A deleted user keeps its row.
type UserRecord struct {
	ID                  UserID   `json:"id"`
	PasswordHash        string   `json:"password_hash,omitempty"`
	Role                Role     `json:"role"`
	Email               string   `json:"email,omitempty"`
	AuthType            AuthType `json:"auth_type"`
	AuthData            string   `json:"auth_data,omitempty"`
	StorageMode         string   `json:"storage_mode,omitempty"`
	StorageID           string   `json:"storage_id,omitempty"`
	FailedLoginAttempts int32    `json:"failed_login_attempts,omitempty"`
	LockedUntil         int64    `json:"locked_until,omitempty"`
	LastLoginAt         int64    `json:"last_login_at,omitempty"`
	CreatedAt           int64    `json:"created_at"`
	UpdatedAt           int64    `json:"updated_at"`
	LastSeen            int64    `json:"last_seen,omitempty"`
	DeletedAt           int64    `json:"deleted_at,omitempty"`
	// TokensFrom is set when the id of a dropped account is used again: tokens
	// issued before were given to somebody else.
	TokensFrom int64 `json:"tokens_from,omitempty"`
}

// Storage is one row of system.storages: a place for cold files.
type Storage struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	Description    string `json:"description,omitempty"`
	Type           string `json:"type"` // "filesystem"
	BaseDirectory  string `json:"base_directory"`
	Credentials    string `json:"credentials,omitempty"`
	Config         string `json:"config,omitempty"`
	SharedTemplate string `json:"shared_template"`
	UserTemplate   string `json:"user_template"`
	CreatedAt      int64  `json:"created_at"`
	UpdatedAt      int64  `json:"updated_at"`
}

// LocalStorage is the id of the storage inside the data directory.
const LocalStorage = "local"

// DefaultNamespace is where unqualified names are looked up.
const DefaultNamespace = "default"

// SystemNamespace holds the catalog's tables and views.
const SystemNamespace = "system"

// Job is one row of system.jobs.
type Job struct {
	ID             string `json:"id"`
	Type           string `json:"type"`   // "flush", "cleanup", …
	Status         string `json:"status"` // new, queued, running, retrying, completed, failed, cancelled, skipped
	Parameters     string `json:"parameters,omitempty"`
	Message        string `json:"message,omitempty"`
	ExceptionTrace string `json:"exception_trace,omitempty"`
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	Queue          string `json:"queue,omitempty"`
	Priority       int32  `json:"priority,omitempty"`
	RetryCount     int16  `json:"retry_count,omitempty"`
	MaxRetries     int16  `json:"max_retries,omitempty"`
	MemoryUsed     int64  `json:"memory_used,omitempty"`
	CPUUsed        int64  `json:"cpu_used,omitempty"`
	CreatedAt      int64  `json:"created_at"`
	UpdatedAt      int64  `json:"updated_at"`
	StartedAt      int64  `json:"started_at,omitempty"`
	FinishedAt     int64  `json:"finished_at,omitempty"`
	NodeID         int64  `json:"node_id"`
	Actor          UserID `json:"actor,omitempty"`      // who asked for it
	Progress       int16  `json:"progress,omitempty"`   // in percent
	Elapsed        int64  `json:"elapsed_ms,omitempty"` // of all tries together
	Trace          string `json:"trace,omitempty"`      // where each try ran, a line each
}

// States of jobs.
const (
	JobQueued    = "queued"
	JobRunning   = "running"
	JobRetrying  = "retrying"
	JobCompleted = "completed"
	JobFailed    = "failed"
	JobCancelled = "cancelled"
	JobSkipped   = "skipped"
)

// FileState is where a cold file stands in its life.
type FileState uint8

// The states of a cold file. The numbers are stored.
const (
	FileReserved FileState = 1 // number and path are taken, no window names it
	FileLive     FileState = 2 // windows name it
	FileRemoved  FileState = 3 // no window names it; deleted when nobody reads it
)

// File is one Parquet object of the cold tier.
type File struct {
	Number    uint64    `json:"number"`
	StorageID string    `json:"storage_id"`
	Path      string    `json:"path"` // below the storage's base
	Table     TableID   `json:"table"`
	Scope     Scope     `json:"scope"`
	State     FileState `json:"state"`
	Size      int64     `json:"size,omitempty"`
	Checksum  string    `json:"checksum,omitempty"` // SHA-256 in hex
	Rows      uint64    `json:"rows,omitempty"`
	RemovedAt uint64    `json:"removed_at,omitempty"` // position
	CreatedAt int64     `json:"created_at"`
	// Statistics is JSON: per column id its least, greatest and null count.
	Statistics string `json:"statistics,omitempty"`
	// Sources are the files whose rows a compacted file takes over: what goes on
	// with a compaction that was cut off asks them for the rest.
	Sources []uint64 `json:"sources,omitempty"`
	// Windows counts the windows of a packed file, which many scopes share; 0 for
	// others.
	Windows uint64 `json:"windows,omitempty"`
	// Object is the number under which the bytes were reserved, where an erasure
	// has put them in the place of others; 0 is Number.
	Object uint64 `json:"object,omitempty"`
	// Blank counts the rows that no window names and that hold nothing any more.
	Blank uint64 `json:"blank,omitempty"`
}

// Bytes returns the number that the bytes of the file alone have, whatever
// number the file has.
func (f *File) Bytes() uint64 { return cmp.Or(f.Object, f.Number) }

// Packed reports whether the file is shared by scopes of a USER table.
func (f *File) Packed() bool { return path.Base(path.Dir(f.Path)) == PackedFolder }

// PackedFolder is the last element of a folder whose files hold windows of many
// scopes; the names of other folders begin otherwise.
const PackedFolder = "_packed"

// Segment is the window of a file's rows that belongs to one scope and is
// cold. The windows are the only truth about what is cold.
type Segment struct {
	Table         TableID `json:"table"`
	Scope         Scope   `json:"scope"`
	File          uint64  `json:"file"`
	From          uint64  `json:"from"` // row numbers [From, To)
	To            uint64  `json:"to"`
	MinSeq        uint64  `json:"min_seq"`
	MaxSeq        uint64  `json:"max_seq"`
	MinKey        []byte  `json:"min_key,omitempty"`
	MaxKey        []byte  `json:"max_key,omitempty"`
	SchemaVersion uint32  `json:"schema_version"`
}

// Location says where the newest version of a cold row is.
type Location struct {
	File uint64
	Row  uint64
	Seq  uint64
}

// Counts are the figures kept per table and scope.
type Counts struct {
	HotRows  int64
	ColdRows int64
	Bytes    int64
	// Tombstones are deleted rows that are not purged yet.
	Tombstones int64
	// OldestUnflushed is microseconds since the Unix epoch, 0 for none.
	OldestUnflushed int64
}
