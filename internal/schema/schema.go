// Package schema holds the definitions of what a database contains: namespaces,
// tables and their versions, columns, users, storages, jobs, roles and scopes.
//
// Values of this package are immutable once they have been shared: whoever
// changes a definition makes a copy. Nothing here reads a clock or a store.
// Goroutines: none. Locks: none.
package schema

import (
	"slices"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// TableID numbers a table. Numbers are never used twice, so a table created
// again under an old name shares nothing with the old one.
type TableID uint32

// UserID is the name of a user, 1 to 128 bytes.
type UserID string

// Kind says who sees the rows of a table and how long they live.
type Kind uint8

// The kinds of tables. The numbers are stored.
const (
	User   Kind = 1 // each user a private partition
	Shared Kind = 2 // one partition, access by level
	Stream Kind = 3 // each user a private partition of short-lived events
	System Kind = 4 // the catalog and views over running state, read only
)

// String returns the kind in lower case, as catalogs show it.
func (k Kind) String() string {
	switch k {
	case User:
		return "user"
	case Shared:
		return "shared"
	case Stream:
		return "stream"
	case System:
		return "system"
	}
	return "unknown"
}

// Scope names one partition of a table: the user whose rows they are, or ""
// for the one partition of a SHARED table. It is part of every storage key.
type Scope string

// SharedScope is the only partition of a SHARED table.
const SharedScope Scope = ""

// UserScope returns the partition of a user.
func UserScope(id UserID) Scope { return Scope(id) }

// Role is what an account may do, weakest first.
type Role uint8

// The roles. The numbers are stored.
const (
	RoleAnonymous Role = 0
	RoleUser      Role = 1
	RoleService   Role = 2
	RoleDBA       Role = 3
	RoleSystem    Role = 4
)

var roleNames = [...]string{"anonymous", "user", "service", "dba", "system"}

// String returns the role in lower case, as on the wire.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return "unknown"
}

// Admin reports whether the role is dba or system.
func (r Role) Admin() bool { return r >= RoleDBA }

// ParseRole reads a role with the synonyms that CREATE USER accepts.
func ParseRole(text string) (Role, error) {
	switch strings.ToLower(text) {
	case "anonymous":
		return RoleAnonymous, nil
	case "user", "viewer", "readonly":
		return RoleUser, nil
	case "service", "developer", "analyst":
		return RoleService, nil
	case "dba", "admin":
		return RoleDBA, nil
	case "system":
		return RoleSystem, nil
	}
	return 0, fault.New(fault.InvalidDefinition, "unknown role '%s'; use user, service, dba or system", text)
}

// Access is the access level of a SHARED table.
type Access string

// The access levels, spelled as stored and shown.
const (
	Public     Access = "public"
	Private    Access = "private"
	Restricted Access = "restricted"
	DBAOnly    Access = "dba"
)

// Durability says when a commit is answered: after its fsync, or before.
type Durability string

// The durabilities; empty means the server's default.
const (
	DurabilityDefault Durability = ""
	Sync              Durability = "sync"
	Relaxed           Durability = "relaxed"
)

// SystemColumn tells the columns that the store stamps from those of users.
type SystemColumn uint8

// The system columns.
const (
	NotSystem     SystemColumn = 0
	SeqColumn     SystemColumn = 1 // _seq, the version of the row
	DeletedColumn SystemColumn = 2 // _deleted, the tombstone flag
)

// Names of the system columns. UpdatedName is derived from _seq and can be
// selected by name; it is not part of any definition.
const (
	SeqName     = "_seq"
	DeletedName = "_deleted"
	UpdatedName = "_updated"
)

// ColumnID is stable over renames and never used twice in a table.
type ColumnID uint32

// Column is one column of a table version.
type Column struct {
	ID      ColumnID     `json:"id"`
	Name    string       `json:"name"`
	Type    datum.Type   `json:"type"`
	NotNull bool         `json:"not_null,omitempty"`
	Default *Default     `json:"default,omitempty"`
	System  SystemColumn `json:"system,omitempty"`
	Comment string       `json:"comment,omitempty"`
	// Missing is what rows older than the column show: the default it was
	// added with, encoded by datum.AppendValue; nil is NULL.
	Missing []byte `json:"missing,omitempty"`
	// Since is the table version that added the column; 0 or 1 for the first.
	Since uint32 `json:"since,omitempty"`
	// Unproven says that NotNull holds for what is written from now on, while
	// older rows are still being looked at.
	Unproven bool `json:"unproven,omitempty"`
	// Identity says who gives the numbers of a generated column.
	Identity Identity `json:"identity,omitempty"`
}

// Identity is GENERATED … AS IDENTITY.
type Identity string

// The kinds of identity columns, as stored; "" is none.
const (
	IdentityByDefault Identity = "by default" // a given value counts
	IdentityAlways    Identity = "always"     // none may be given
)

// Default is what an omitted column gets: a literal or a function.
type Default struct {
	// Function is "" for a literal, else one of NOW, SNOWFLAKE_ID, UUID_V7,
	// ULID, CURRENT_USER, or EXPRESSION for what Text says.
	Function string `json:"function,omitempty"`
	// Literal is the value encoded by datum.AppendValue.
	Literal []byte `json:"literal,omitempty"`
	// Text is the default as the user wrote it, for catalogs.
	Text string `json:"text,omitempty"`
	// Sequence is the one that a SERIAL column owns, as it was made.
	Sequence *Sequence `json:"sequence,omitempty"`
}

// Functions of defaults.
const (
	DefaultNow         = "NOW"
	DefaultSnowflake   = "SNOWFLAKE_ID"
	DefaultUUIDv7      = "UUID_V7"
	DefaultULID        = "ULID"
	DefaultCurrentUser = "CURRENT_USER"
	DefaultExpression  = "EXPRESSION"
)

// FlushPolicy says when hot rows move to the cold tier; zero means not by that.
type FlushPolicy struct {
	Rows            int64 `json:"rows,omitempty"`
	IntervalSeconds int64 `json:"interval_seconds,omitempty"`
}

// Options are what the WITH clause of a table sets. Zero means the default.
type Options struct {
	StorageID          string      `json:"storage_id,omitempty"`
	UseUserStorage     bool        `json:"use_user_storage,omitempty"`
	FlushPolicy        FlushPolicy `json:"flush_policy,omitzero"`
	TTLSeconds         int64       `json:"ttl_seconds,omitempty"`
	Access             Access      `json:"access_level,omitempty"`
	Compression        string      `json:"compression,omitempty"`
	EvictionStrategy   string      `json:"eviction_strategy,omitempty"`
	MaxStreamSizeBytes int64       `json:"max_stream_size_bytes,omitempty"`
	// DeletedRetentionSeconds: 0 the server's default, -1 "off".
	DeletedRetentionSeconds int64      `json:"deleted_retention_seconds,omitempty"`
	Durability              Durability `json:"durability,omitempty"`
	Ephemeral               bool       `json:"ephemeral,omitempty"`
	MaxBuffer               int64      `json:"max_buffer,omitempty"`
	// StreamWindowSeconds is how long one window of a STREAM table is. It is
	// given with the table's first TTL and kept when the TTL changes, for it is
	// part of keys.
	StreamWindowSeconds int64 `json:"stream_window_seconds,omitempty"`
	// Location is the table's own path template below its storage.
	Location string `json:"location,omitempty"`
	// Pinned says that nobody has written Location: the table had another name
	// when its folder was chosen.
	Pinned bool `json:"pinned,omitempty"`
	// Iceberg says that other engines find the cold rows as an Apache Iceberg
	// table beside them.
	Iceberg bool `json:"iceberg,omitempty"`
	// PresenceSeconds is how long a row outlives its connection in a table whose
	// rows are bound to connections; 0 for all other tables.
	PresenceSeconds int64 `json:"presence_seconds,omitempty"`
}

// Table is one version of a table's definition.
type Table struct {
	ID        TableID `json:"id"`
	Namespace string  `json:"namespace"`
	Name      string  `json:"name"`
	Kind      Kind    `json:"kind"`
	// Version counts from 1 and grows with each effective ALTER.
	Version uint32 `json:"version"`
	// Columns in the order of SELECT *, system columns included.
	Columns []Column `json:"columns"`
	// Key holds the primary-key columns in key order; empty only for STREAM.
	Key          []ColumnID `json:"key,omitempty"`
	NextColumnID ColumnID   `json:"next_column_id"`
	// Checks are the CHECK constraints by name.
	Checks []Check `json:"checks,omitempty"`
	// Indexes are the secondary indexes in the order of their making.
	Indexes []Index `json:"indexes,omitempty"`
	// Vectors are the columns whose embeddings are searched.
	Vectors []VectorIndex `json:"vectors,omitempty"`
	Options Options       `json:"options"`
	Comment string        `json:"comment,omitempty"`
	// CreatedAt and UpdatedAt are microseconds since the Unix epoch.
	CreatedAt int64 `json:"created_at"`
	UpdatedAt int64 `json:"updated_at"`
	// CreatedSeq is the position of the commit that created the table.
	CreatedSeq uint64 `json:"created_seq"`
}

// EventDurability is how commits to a table without a DURABILITY of its own are
// made when it is a STREAM: its events are lost rather than waited for.
func (t *Table) EventDurability() Durability {
	if t.Options.Durability == DurabilityDefault {
		return Relaxed
	}
	return t.Options.Durability
}

// QualifiedName returns namespace.table.
func (t *Table) QualifiedName() string { return t.Namespace + "." + t.Name }

// Column returns the position of a column by its folded name, or -1.
func (t *Table) Column(name string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
}

// ColumnByID returns the position of a column by its id, or -1.
func (t *Table) ColumnByID(id ColumnID) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.ID == id })
}

// SystemPosition returns the position of a system column, or -1.
func (t *Table) SystemPosition(which SystemColumn) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.System == which })
}

// Stamp sets the system columns of a decoded row of the table.
func (t *Table) Stamp(row []datum.Value, seq uint64, deleted bool) {
	for i := range t.Columns {
		switch t.Columns[i].System {
		case SeqColumn:
			row[i] = datum.NewInt(datum.BigInt, int64(seq))
		case DeletedColumn:
			row[i] = datum.NewBool(deleted)
		}
	}
}

// KeyPositions returns the positions of the key columns in key order.
func (t *Table) KeyPositions() []int {
	out := make([]int, len(t.Key))
	for i, id := range t.Key {
		out[i] = t.ColumnByID(id)
	}
	return out
}

// IsKey reports whether the column at a position is part of the primary key.
func (t *Table) IsKey(position int) bool {
	return slices.Contains(t.Key, t.Columns[position].ID)
}

// Present reports whether the rows are bound to connections and in memory only.
func (t *Table) Present() bool { return t.Options.PresenceSeconds > 0 }

// PerUser reports whether the table has a partition per user.
func (t *Table) PerUser() bool { return t.Kind == User || t.Kind == Stream }

// Clone returns a copy that may be changed.
func (t *Table) Clone() *Table {
	c := *t
	c.Columns = slices.Clone(t.Columns)
	c.Key = slices.Clone(t.Key)
	c.Checks = slices.Clone(t.Checks)
	c.Indexes = slices.Clone(t.Indexes)
	c.Vectors = slices.Clone(t.Vectors)
	return &c
}
