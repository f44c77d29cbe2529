package core

import (
	"context"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/parse"
)

// showBackups are the backups that this database has made.
const showBackups = `SELECT job_id, status, created_at, finished_at, parameters, message FROM system.jobs WHERE job_type = 'backup' ORDER BY job_id`

// backup starts the job of BACKUP DATABASE.
func (db *DB) backup(ctx context.Context, s *auth.Session, stmt *parse.Backup) (*Result, error) {
	if stmt.Namespace != nil {
		return nil, fault.New(fault.NotImplemented, "BACKUP DATABASE of one namespace is not supported yet; BACKUP DATABASE TO copies all of them")
	}
	message, err := db.maint.StartBackup(ctx, s.UserID, stmt.Path)
	if err == nil {
		db.tell(ctx, s, schema.AuditEntry{Action: "BACKUP_DATABASE", Target: stmt.Path})
	}
	return done(message, err)
}

// restore starts the job of RESTORE DATABASE.
func (db *DB) restore(ctx context.Context, s *auth.Session, stmt *parse.Restore) (*Result, error) {
	if stmt.Namespace != nil {
		return nil, fault.New(fault.NotImplemented, "RESTORE DATABASE of one namespace is not supported yet; RESTORE DATABASE FROM brings all of them back")
	}
	message, err := db.maint.StartRestore(ctx, s.UserID, stmt.Path)
	if err == nil {
		db.tell(ctx, s, schema.AuditEntry{Action: "RESTORE_DATABASE", Target: stmt.Path})
	}
	return done(message, err)
}

// showBackup says what a backup holds, or which backups were made.
func (db *DB) showBackup(ctx context.Context, s *auth.Session, stmt *parse.ShowBackup, view *relation.View, env *exec.Env) (*Result, error) {
	if stmt.Path == "" {
		return db.internal(ctx, s, view, env, showBackups)
	}
	c, err := db.maint.ReadBackup(stmt.Path)
	if err != nil {
		return nil, err
	}
	text, big := datum.Type{Kind: datum.Text}, datum.Type{Kind: datum.BigInt}
	columns := []Column{
		{Name: "backup_id", Type: text}, {Name: "created_at", Type: datum.Type{Kind: datum.Timestamp}}, {Name: "position", Type: big},
		{Name: "namespace_id", Type: text}, {Name: "table_name", Type: text}, {Name: "table_type", Type: text}, {Name: "schema_version", Type: datum.Type{Kind: datum.Int}},
		{Name: "hot_rows", Type: big}, {Name: "cold_rows", Type: big}, {Name: "files", Type: big}, {Name: "bytes", Type: big},
	}
	number := func(n int64) datum.Value { return datum.NewInt(datum.BigInt, n) }
	rows := make([][]datum.Value, len(c.Tables))
	for i, t := range c.Tables {
		rows[i] = []datum.Value{
			datum.NewText(c.ID), datum.NewInt(datum.Timestamp, c.CreatedAt), number(int64(c.Position)),
			datum.NewText(t.Namespace), datum.NewText(t.Name), datum.NewText(t.Kind), datum.NewInt(datum.Int, int64(t.Version)),
			number(t.HotRows), number(t.ColdRows), number(t.Files), number(t.Bytes),
		}
	}
	return buffered(columns, rows), nil
}
