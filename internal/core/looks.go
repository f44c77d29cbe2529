package core

import (
	"context"
	"sync"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/command"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// Bounds of what the audit log hears of looking: the same look of the same
// administrator once in lookEvery, and so many in that time of all together.
const (
	lookEvery = time.Minute
	maxLooks  = 1024
)

// look is one kind of looking.
type look struct {
	actor          schema.UserID
	action, target string
}

// looks are those that were written lately.
type looks struct {
	mu struct {
		sync.Mutex
		last map[look]time.Time
	}
}

// first reports whether a look is to be written, and notes it then.
func (l *looks) first(k look, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.mu.last[k]; ok && now.Sub(at) < lookEvery {
		return false
	}
	if len(l.mu.last) >= maxLooks {
		for k, at := range l.mu.last {
			if now.Sub(at) >= lookEvery {
				delete(l.mu.last, k)
			}
		}
		if len(l.mu.last) >= maxLooks {
			return false
		}
	}
	if l.mu.last == nil {
		l.mu.last = map[look]time.Time{}
	}
	l.mu.last[k] = now
	return true
}

// looked writes that an administrator has looked at definitions or subscribed to
// a table. Others leave no entry: they see their own only, and are many. What
// somebody saw needs no sync of its own.
func (db *DB) looked(ctx context.Context, s *auth.Session, action, target string) {
	now := db.o.Now()
	if !s.Role.Admin() || !db.looks.first(look{s.Actor, action, cut(target)}, now) {
		return
	}
	_, err := db.apply.Commit(context.WithoutCancel(ctx), &command.Command{
		Time: now.UnixMicro(), Durability: schema.Relaxed, Actor: s.Actor, Body: command.PutAudit{},
		Trail: db.trail(s, schema.AuditEntry{Action: action, Target: target}),
	})
	if err != nil {
		db.o.Logger.Warn("audit entry is missing", "action", action, "target", target, "actor", s.Actor, "error", err)
	}
}

// lookOf returns action and target of a statement that shows definitions. SHOW
// of a setting, which clients ask at each connection, is none.
func lookOf(stmt parse.Statement, namespace string) (action, target string) {
	in := func(n parse.Name) string {
		if n.Namespace != "" {
			return n.Namespace + "." + n.Name
		}
		return namespace + "." + n.Name
	}
	switch stmt := stmt.(type) {
	case *parse.ShowNamespaces:
		return "SHOW", "NAMESPACES"
	case *parse.ShowStorages:
		return "SHOW", "STORAGES"
	case *parse.ShowTables:
		if stmt.Namespace != nil {
			return "SHOW", "TABLES IN " + stmt.Namespace.Name
		}
		return "SHOW", "TABLES"
	case *parse.ShowColumns:
		return "SHOW", "COLUMNS FROM " + in(stmt.Table)
	case *parse.ShowStats:
		return "SHOW", "STATS"
	case *parse.Show:
		if stmt.What == "manifest" {
			return "SHOW", "MANIFEST"
		}
	case *parse.Describe:
		return "DESCRIBE", in(stmt.Table)
	}
	return "", ""
}
