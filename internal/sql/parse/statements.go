package parse

import "kalamdb/internal/datum"

// AlterAction is a form of ALTER TABLE.
type AlterAction string

// The forms of ALTER TABLE.
const (
	SetProperties    AlterAction = "set properties"
	AddColumn        AlterAction = "add column"
	DropColumn       AlterAction = "drop column"
	ModifyColumn     AlterAction = "modify column"
	SetType          AlterAction = "set type"
	SetNotNull       AlterAction = "set not null"
	DropNotNull      AlterAction = "drop not null"
	SetDefault       AlterAction = "set default"
	DropDefault      AlterAction = "drop default"
	AddIdentity      AlterAction = "add identity"
	SetIdentity      AlterAction = "set identity"
	DropIdentity     AlterAction = "drop identity"
	RenameColumn     AlterAction = "rename column"
	RenameTable      AlterAction = "rename table"
	AddConstraint    AlterAction = "add constraint"
	DropConstraint   AlterAction = "drop constraint"
	RenameConstraint AlterAction = "rename constraint"
)

// The statements of KalamDB's own grammar.
type (
	// CreateNamespace is CREATE NAMESPACE or CREATE SCHEMA.
	CreateNamespace struct {
		Name        Name
		IfNotExists bool
	}
	// DropNamespace is DROP NAMESPACE or DROP SCHEMA (Schema true: needs CASCADE).
	DropNamespace struct {
		Name     Name
		IfExists bool
		Cascade  bool
		Schema   bool
	}
	// AlterNamespace sets options or the description, or gives another name.
	AlterNamespace struct {
		Name        Name
		Options     []Option
		Description *string
		NewName     Name // empty without RENAME TO
	}
	// Use is USE, USE NAMESPACE or SET NAMESPACE.
	Use struct{ Name Name }
	// ShowNamespaces is SHOW NAMESPACES.
	ShowNamespaces struct{}
	// ShowTables is SHOW TABLES [IN [NAMESPACE] ns].
	ShowTables struct{ Namespace *Name }
	// ShowStorages is SHOW STORAGES.
	ShowStorages struct{}
	// ShowStats is SHOW STATS FOR TABLE t or SHOW TABLE STATS t.
	ShowStats struct{ Table Name }
	// ShowColumns is SHOW COLUMNS FROM t.
	ShowColumns struct{ Table Name }
	// ShowIndexes is SHOW INDEXES FROM t.
	ShowIndexes struct{ Table Name }
	// Show is SHOW ALL, SHOW name, SHOW MANIFEST, SHOW EXPORT …
	// What is in lower case.
	Show struct{ What string }
	// Describe is DESCRIBE|DESC [TABLE] t [HISTORY]; Bare without TABLE.
	Describe struct {
		Table   Name
		History bool
		Bare    bool
	}
	// Explain is EXPLAIN [ANALYZE] [VERBOSE] statement.
	Explain struct {
		Analyze, Verbose bool
		// Format is "text" or "json".
		Format string
		Inner  Statement
	}
	// SetOption is SET [SESSION|LOCAL] name = value or SET … name TO value.
	SetOption struct {
		Name, Value string
		String      bool // Value was written as one string, and is its content
		Local       bool
	}

	// CreateTable is CREATE [USER|SHARED|STREAM] TABLE.
	CreateTable struct {
		Table       Name
		Kind        string // "user", "shared", "stream" or "" when neither prefix nor TYPE says
		IfNotExists bool
		Columns     []ColumnDef
		// Keys are the PRIMARY KEY clauses, inline ones too, each a column list.
		Keys    [][]Name
		Options []Option // TYPE included, names in upper case, as written order
		// Checks are the CHECK constraints, those of columns too.
		Checks []CheckDef
		// Unique are the UNIQUE constraints, those of columns too.
		Unique []UniqueDef
		// Foreign are the tables that foreign keys point to.
		Foreign []Name
		// Unsupported names a table constraint that is not enforced yet.
		Unsupported string
	}
	// CheckDef is a CHECK constraint.
	CheckDef struct {
		Name   Name // empty without CONSTRAINT
		X      Expr
		Text   string // X as written
		Offset int
	}
	// ColumnDef is one column of CREATE TABLE or ADD COLUMN.
	ColumnDef struct {
		Name        Name
		Type        datum.Type
		NotNull     bool
		Null        bool
		Default     Expr // nil for none
		DefaultText string
		Serial      bool // AUTO_INCREMENT, SERIAL, IDENTITY
		// Identity is "always" or "by default" for GENERATED … AS IDENTITY.
		Identity string
		// Sequence is what an IDENTITY says of its numbers, or nil.
		Sequence *SequenceOptions
		// Unsupported names a column constraint that is not enforced yet:
		// "COLLATE", …
		Unsupported string
	}
	// Option is one KEY = value. Values are text, number text, "true"/"false"
	// or "" with Null set.
	Option struct {
		Name   string
		Value  string
		Null   bool
		Quoted bool
		Offset int
	}
	// DropTable is DROP [USER|SHARED|STREAM] TABLE.
	DropTable struct {
		Table    Name
		Kind     string
		IfExists bool
	}
	// AlterTable is one operation of ALTER TABLE.
	AlterTable struct {
		Table    Name
		IfExists bool // ALTER TABLE IF EXISTS
		Action   AlterAction
		// Column is the column or the constraint that the operation names.
		Column Name
		// Guard is IF NOT EXISTS of what is added, or IF EXISTS of what is dropped.
		Guard bool
		// NewName is what is behind TO.
		NewName Name
		// Definition is the column of ADD COLUMN; of MODIFY COLUMN, SET TYPE,
		// SET DEFAULT and an identity what they say of it.
		Definition *ColumnDef
		// Checks are those of ADD COLUMN, or the one of ADD CONSTRAINT.
		Checks []CheckDef
		// Unique are those of ADD COLUMN, or the one of ADD CONSTRAINT.
		Unique []UniqueDef
		// Foreign are the tables that foreign keys of what is added point to.
		Foreign    []Name
		Properties []Option
	}

	// CreateSequence is CREATE SEQUENCE.
	CreateSequence struct {
		Sequence    Name
		IfNotExists bool
		Options     SequenceOptions
	}
	// SequenceOptions are those that are written; nil is the default.
	SequenceOptions struct {
		Start, Increment, Min, Max *int64
		NoMin, NoMax               bool // written as NO …
		Cycle, NoCycle             bool
		Type                       datum.Kind // of AS, or Null
		// Owner is the table of OWNED BY and OwnerColumn its column; NoOwner is
		// OWNED BY NONE.
		Owner, OwnerColumn Name
		NoOwner            bool
		// Restart and RestartAt are RESTART [WITH n].
		Restart   bool
		RestartAt *int64
	}
	// AlterSequence is ALTER SEQUENCE with options or RENAME TO.
	AlterSequence struct {
		Sequence Name
		IfExists bool
		Options  SequenceOptions
		NewName  Name // empty without RENAME TO
	}
	// RenameObject is ALTER VIEW or ALTER INDEX … RENAME TO.
	RenameObject struct {
		Kind     string // "VIEW" or "INDEX"
		Object   Name
		IfExists bool
		NewName  Name
	}
	// DropSequence is DROP SEQUENCE [IF EXISTS].
	DropSequence struct {
		Sequence Name
		IfExists bool
	}
	// CreateView is CREATE [OR REPLACE] VIEW.
	CreateView struct {
		View    Name
		Replace bool
		Columns []Name // as listed, or nil
		Select  *Select
		Text    string // of Select, as written
	}
	// DropView is DROP VIEW [IF EXISTS].
	DropView struct {
		View     Name
		IfExists bool
	}
	// Comment is COMMENT ON.
	Comment struct {
		On     string  // "TABLE", "COLUMN", "VIEW" or "NAMESPACE"
		Name   Name    // of the table, the view or the namespace
		Column Name    // of COLUMN
		Text   *string // nil removes the comment
	}

	// CreateUser is CREATE USER.
	CreateUser struct {
		User        string
		IfNotExists bool
		Auth        string // "password", "oauth", "internal"
		Password    string
		AuthData    string
		Role        string
		Email       string
		StorageMode string
		StorageID   string
	}
	// AlterUser is ALTER USER 'u' SET PASSWORD|ROLE|EMAIL|STORAGE_MODE|STORAGE_ID.
	AlterUser struct {
		User  string
		Field string // "password", "role", "email", "storage_mode", "storage_id"
		Value string
		Null  bool
	}
	// DropUser is DROP USER [IF EXISTS] 'u'.
	DropUser struct {
		User     string
		IfExists bool
	}

	// StorageFlush is STORAGE FLUSH TABLE t, or ALL [IN ns] when All; STORAGE
	// COMPACT the same when Compact.
	StorageFlush struct {
		Compact   bool
		Table     Name
		All       bool
		Namespace *Name
	}
	// KillLive is KILL LIVE QUERY 'id'.
	KillLive struct{ ID string }
	// KillJob is KILL JOB 'id'.
	KillJob struct{ ID string }

	// ExecuteAs is EXECUTE AS [USER] 'u' (statement).
	ExecuteAs struct {
		User   string
		Inner  string // text of the one inner statement
		Offset int    // where Inner begins in the text
	}
	// NotYet is a statement that KalamDB knows and this version does not run.
	// Words is how it begins, in upper case ("CREATE TOPIC"); Area is whose
	// rights it needs: "storage", "maintenance", "cluster", "topic", "consumer
	// group", "consume", "export", "policy",
	// "view", "routine", "table", "namespace", "transaction", "setting", "write".
	NotYet struct {
		Words string
		Area  string
	}
)

func (*CreateNamespace) statement() {}
func (*DropNamespace) statement()   {}
func (*AlterNamespace) statement()  {}
func (*Use) statement()             {}
func (*ShowNamespaces) statement()  {}
func (*ShowTables) statement()      {}
func (*ShowStorages) statement()    {}
func (*ShowStats) statement()       {}
func (*ShowColumns) statement()     {}
func (*ShowIndexes) statement()     {}
func (*Show) statement()            {}
func (*Describe) statement()        {}
func (*Explain) statement()         {}
func (*SetOption) statement()       {}
func (*CreateTable) statement()     {}
func (*DropTable) statement()       {}
func (*AlterTable) statement()      {}
func (*CreateView) statement()      {}
func (*CreateSequence) statement()  {}
func (*DropSequence) statement()    {}
func (*AlterSequence) statement()   {}
func (*RenameObject) statement()    {}
func (*DropView) statement()        {}
func (*Comment) statement()         {}
func (*CreateUser) statement()      {}
func (*AlterUser) statement()       {}
func (*DropUser) statement()        {}
func (*StorageFlush) statement()    {}
func (*KillLive) statement()        {}
func (*KillJob) statement()         {}
func (*ExecuteAs) statement()       {}
func (*NotYet) statement()          {}
