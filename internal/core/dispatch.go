package core

import (
	"context"
	"fmt"
	"strconv"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/ddl"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/parse"
)

// DMLMessage is the sentence of a statement that changed rows; clients read
// its first word.
func DMLMessage(verb string, n int64) string {
	return verb + " " + strconv.FormatInt(n, 10) + " row(s)"
}

// dispatch runs every statement but SELECT.
func (db *DB) dispatch(ctx context.Context, c *Conversation, p *prepared, view *relation.View, env *exec.Env, in path) (*Result, error) {
	s := c.session
	if p.table() != nil {
		return db.modify(ctx, c, p, env)
	}
	if message, done, err := c.transact(ctx, p.statement, env); err != nil {
		return nil, err
	} else if done {
		return &Result{Kind: Done, Buffered: true, Message: message}, nil
	}
	namespace := placeOf(p.statement, view, in)
	switch stmt := p.statement.(type) {
	case *parse.ShowNamespaces, *parse.ShowTables, *parse.ShowStorages, *parse.ShowStats, *parse.ShowColumns, *parse.ShowIndexes, *parse.Show, *parse.Describe:
		if show, ok := stmt.(*parse.Show); ok {
			if value, ok := c.setting(show.What); ok {
				return oneSetting(show.What, value), nil
			}
		}
		result, err := db.show(ctx, s, stmt, view, env, in)
		if action, target := lookOf(stmt, namespace); err == nil && action != "" {
			db.looked(ctx, s, action, target)
		}
		return result, err
	case *parse.Explain:
		return db.explain(ctx, c, stmt, p.explicit, view, env)
	case *parse.StorageFlush:
		return db.storageFlush(ctx, s, stmt, view, namespace)
	case *parse.StorageCheck:
		return db.storageCheck(stmt)
	case *parse.Cluster:
		return db.cluster(stmt, view)
	case *parse.KillQuery:
		return db.killQuery(ctx, s, stmt)
	case *parse.KillLive:
		return db.killLive(ctx, s, stmt)
	case *parse.NotYet:
		return nil, fault.New(fault.NotImplemented, "%s is not supported yet", stmt.Words)
	case *parse.ExecuteAs:
		return db.executeAs(ctx, c, stmt, env, p.explicit)
	case *parse.SetOption:
		return done(db.setOption(c, stmt))
	case *parse.ResetOption:
		return done(db.resetOption(c, stmt))
	case *parse.Subscribe:
		return db.subscribeTo(ctx, s, stmt, view, in)
	case *parse.ExportUser:
		return db.export(ctx, s)
	case *parse.EraseUser:
		return db.erase(ctx, s, stmt)
	case *parse.Backup:
		return db.backup(ctx, s, stmt)
	case *parse.Restore:
		return db.restore(ctx, s, stmt)
	case *parse.ShowBackup:
		return db.showBackup(ctx, s, stmt, view, env)
	case *parse.KillJob:
		return db.killJob(ctx, s, stmt)
	case *parse.Use:
		return done(db.use(c, stmt))
	}
	message, err := db.define(db.audited(ctx, s, p.statement, namespace), s, p.statement, namespace, in)
	if err = db.settled(ctx, err); err != nil {
		return nil, err
	}
	return &Result{Kind: Done, Buffered: true, Message: message}, nil
}

// define runs statements that change definitions, of the namespace given where
// they name none; a view finds its tables on the path. The connections of a user
// who was dropped, or whose role changed, end like his tokens do.
func (db *DB) define(ctx context.Context, s *auth.Session, stmt parse.Statement, namespace string, p path) (string, error) {
	in := func(n parse.Name) string {
		if n.Namespace != "" {
			return n.Namespace
		}
		return namespace
	}
	switch stmt := stmt.(type) {
	case *parse.CreateNamespace:
		return db.definer.CreateNamespace(ctx, s.UserID, stmt)
	case *parse.AlterNamespace:
		return db.definer.AlterNamespace(ctx, s.UserID, stmt)
	case *parse.DropNamespace:
		message, dropped, err := db.definer.DropNamespace(ctx, s.UserID, stmt)
		if err != nil {
			return "", err
		}
		for _, t := range dropped {
			db.maint.Dropped(t)
		}
		return message, nil
	case *parse.CreateTable:
		message, err := db.definer.CreateTable(ctx, s.UserID, in(stmt.Table), stmt)
		if t, ok := db.apply.Definitions().Table(in(stmt.Table), stmt.Table.Name); err == nil && ok && optionOf(stmt.Options, icebergOption) {
			db.maint.Redefined(ctx, s.UserID, nil, t)
		}
		return message, err
	case *parse.AlterTable:
		if ddl.IsSystemNamespace(in(stmt.Table)) {
			return "", fault.New(fault.InvalidOperation, "system table '%s.%s' cannot be altered", in(stmt.Table), stmt.Table.Name)
		}
		old, known := db.apply.Definitions().Table(in(stmt.Table), stmt.Table.Name)
		message, err := db.definer.AlterTable(ctx, s.UserID, in(stmt.Table), stmt)
		if err == nil && known {
			if t, lives := db.apply.Definitions().TableByID(old.ID); lives {
				db.maint.Redefined(ctx, s.UserID, old, t)
			}
		}
		return message, err
	case *parse.CreateIndex, *parse.DropIndex:
		return db.defineIndex(ctx, s, stmt, in)
	case *parse.DropTable:
		message, dropped, err := db.definer.DropTable(ctx, s.UserID, in(stmt.Table), stmt)
		if err != nil || dropped == nil {
			return message, err
		}
		if id := db.maint.Dropped(dropped); id != "" {
			message += ". Cleanup job: " + id
		}
		return message, nil
	case *parse.CreateSequence:
		return db.definer.CreateSequence(ctx, s.UserID, in(stmt.Sequence), stmt)
	case *parse.AlterSequence:
		return db.alterSequence(ctx, s, stmt, in(stmt.Sequence))
	case *parse.RenameObject:
		return db.definer.Rename(ctx, s.UserID, in(stmt.Object), stmt)
	case *parse.DropSequence:
		message, name, err := db.definer.DropSequence(ctx, s.UserID, in(stmt.Sequence), stmt)
		if name != "" {
			db.sequences.forget(name)
		}
		return message, err
	case *parse.CreateView:
		return db.createView(ctx, s, stmt, in(stmt.View), p)
	case *parse.DropView:
		return db.definer.DropView(ctx, s.UserID, in(stmt.View), stmt)
	case *parse.Comment:
		return db.definer.Comment(ctx, s.UserID, in(stmt.Name), stmt)
	case *parse.CreateStorage:
		return withoutText(stmt.ID)(db.definer.CreateStorage(ctx, s.UserID, stmt))
	case *parse.AlterStorage:
		return withoutText(stmt.ID)(db.definer.AlterStorage(ctx, s.UserID, stmt))
	case *parse.DropStorage:
		return db.definer.DropStorage(ctx, s.UserID, stmt)
	case *parse.CreateUser:
		return db.definer.CreateUserStatement(ctx, s, stmt)
	case *parse.AlterUser:
		message, err := db.definer.AlterUser(ctx, s, stmt)
		if err == nil && stmt.Field == "role" {
			db.hub.DisconnectUser(schema.UserID(stmt.User))
		}
		return message, err
	case *parse.DropUser:
		message, err := db.definer.DropUser(ctx, s, stmt)
		if err == nil {
			db.hub.DisconnectUser(schema.UserID(stmt.User))
		}
		return message, err
	}
	return "", fault.New(fault.NotImplemented, "this statement is not supported yet")
}

// done is the result of a statement that answers with a sentence.
func done(message string, err error) (*Result, error) {
	if err != nil {
		return nil, err
	}
	return &Result{Kind: Done, Buffered: true, Message: message}, nil
}

// storageWork is what a STORAGE statement does to tables.
func storageWork(stmt *parse.StorageFlush) string {
	if stmt.Compact {
		return "compact"
	}
	return "flush"
}

// storageFlush starts the jobs of STORAGE FLUSH and STORAGE COMPACT.
func (db *DB) storageFlush(ctx context.Context, s *auth.Session, stmt *parse.StorageFlush, view *relation.View, namespace string) (*Result, error) {
	if stmt.All {
		in := ""
		if stmt.Namespace != nil {
			in = stmt.Namespace.Name
			if _, err := db.definer.Use(in); err != nil {
				return nil, err
			}
			if ddl.IsSystemNamespace(in) {
				return nil, fault.New(fault.InvalidOperation, "cannot %s the system namespace '%s'", storageWork(stmt), in)
			}
		}
		if stmt.Compact {
			return done(db.maint.StartCompactAll(ctx, s.UserID, in))
		}
		return done(db.maint.StartFlushAll(ctx, s.UserID, in))
	}
	if stmt.Table.Namespace != "" {
		namespace = stmt.Table.Namespace
	}
	t, err := view.Table(namespace, stmt.Table.Name)
	if err != nil {
		return nil, err
	}
	switch t.Kind {
	case schema.System:
		return nil, fault.New(fault.InvalidOperation, "cannot %s system table '%s'", storageWork(stmt), t.QualifiedName())
	case schema.Stream:
		return nil, fault.New(fault.InvalidOperation, "cannot %s STREAM table '%s': stream rows never go to the cold tier", storageWork(stmt), t.QualifiedName())
	}
	if stmt.Compact {
		return done(db.maint.StartCompact(ctx, s.UserID, t))
	}
	return done(db.maint.StartFlush(ctx, s.UserID, t))
}

// killJob cancels a job that waits or runs.
func (db *DB) killJob(ctx context.Context, s *auth.Session, stmt *parse.KillJob) (*Result, error) {
	j, err := db.jobs.Cancel(ctx, stmt.ID)
	if err != nil {
		return nil, err
	}
	db.tell(ctx, s, schema.AuditEntry{Action: "KILL_JOB", Target: j.ID})
	return &Result{Kind: Done, Buffered: true, Message: fmt.Sprintf("Job %s killed: %s", j.ID, j.Status)}, nil
}

// killLive ends a live query: one's own, or anybody's as administrator.
func (db *DB) killLive(ctx context.Context, s *auth.Session, stmt *parse.KillLive) (*Result, error) {
	sub, ok := db.hub.Find(stmt.ID)
	if !ok || sub.UserID != s.UserID && !s.Role.Admin() {
		if !s.Role.Admin() {
			return nil, fault.New(fault.PermissionDenied, "Admin privileges (DBA or System role) required for live queries of others")
		}
		return nil, fault.New(fault.ObjectNotFound, "Live query '%s' does not exist", stmt.ID)
	}
	db.hub.Kill(stmt.ID)
	db.tell(ctx, s, schema.AuditEntry{Action: "KILL_LIVE_QUERY", Target: stmt.ID, Subject: sub.UserID})
	return &Result{Kind: Done, Buffered: true, Message: fmt.Sprintf("Live query killed: %s", stmt.ID)}, nil
}
