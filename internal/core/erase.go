package core

import (
	"context"

	"kalamdb/internal/auth"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// erase starts the job of ERASE USER. An id without account is erased too: its
// rows may have outlived it.
func (db *DB) erase(ctx context.Context, s *auth.Session, stmt *parse.EraseUser) (*Result, error) {
	id := schema.UserID(stmt.User)
	if id == s.UserID || id == s.Actor {
		return nil, fault.New(fault.InvalidOperation, "you cannot erase your own account")
	}
	u, _, err := db.User(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case id == auth.Root, u.Role == schema.RoleSystem:
		return nil, fault.New(fault.InvalidOperation, "the system user '%s' cannot be erased", id)
	case u.Role > s.Role:
		return nil, fault.New(fault.PermissionDenied, "role %s is not allowed to erase the %s user '%s'", s.Role, u.Role, id)
	}
	if err := db.Audit(ctx, s, schema.AuditEntry{Action: "ERASE_USER", Target: string(id), Subject: id}); err != nil {
		return nil, err
	}
	return done(db.maint.StartErase(ctx, id, s.Actor))
}

// endLive tells the subscribers of an erased user, and ends his connections when
// they have been told.
func (db *DB) endLive(user schema.UserID, because error) { db.hub.EndUser(user, because) }
