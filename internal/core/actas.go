package core

import (
	"context"
	"errors"
	"strings"

	"kalamdb/internal/auth"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/parse"
)

// executeAs runs the one statement of EXECUTE AS with the identity of its target
// and the role user. Acting as oneself changes nothing.
func (db *DB) executeAs(ctx context.Context, c *Conversation, stmt *parse.ExecuteAs, env *exec.Env, explicit int) (*Result, error) {
	n, err := parse.Normalize(stmt.Inner)
	if err != nil {
		return nil, within(stmt, err)
	}
	as := actor(c.session, stmt)
	if as == c.session {
		result, err := db.runOne(ctx, c, n, env.Params[:explicit])
		return result, within(stmt, err)
	}
	entry := schema.AuditEntry{Action: "EXECUTE_AS_USER", Target: stmt.User, Details: verbOf(stmt.Inner), Subject: as.UserID}
	pending := &pendingTrail{trail: db.trail(c.session, entry)}
	result, err := db.runOne(context.WithValue(ctx, trailKey{}, pending), c.as(as), n, env.Params[:explicit])
	if err != nil || pending.told {
		return result, within(stmt, err)
	}
	if err := db.Audit(ctx, c.session, entry); err != nil {
		result.Close()
		return nil, err
	}
	return result, nil
}

// verbOf returns the first word of a statement.
func verbOf(text string) string {
	for i, r := range text {
		if r < 'A' || r > 'z' {
			return strings.ToUpper(text[:i])
		}
	}
	return strings.ToUpper(text)
}

// denial is the cause of a refusal to act as another.
type denial struct{ entry schema.AuditEntry }

func (d *denial) Error() string { return d.entry.Details }

// deny makes a refusal to act as a user one that the audit log hears of.
func deny(s *auth.Session, target schema.UserID, role schema.Role, refusal error) error {
	f := fault.Of(refusal)
	return fault.Wrap(f.Code, &denial{schema.AuditEntry{
		Action: "EXECUTE_AS_USER_DENIED", Target: string(target), Subject: target,
		Details: "reason: role_not_allowed, role: " + s.Role.String() + ", target role: " + role.String(),
	}}, "%s", f.Message)
}

// heard writes the audit entry of a refusal that has one.
func (db *DB) heard(ctx context.Context, s *auth.Session, err error) {
	var d *denial
	if errors.As(err, &d) {
		db.tell(context.WithoutCancel(ctx), s, d.entry)
	}
}

// actor is the session that the inner statement of EXECUTE AS runs in.
func actor(s *auth.Session, stmt *parse.ExecuteAs) *auth.Session {
	if schema.UserID(stmt.User) == s.UserID {
		return s
	}
	return s.As(schema.UserID(stmt.User))
}

// within moves the place of a fault in the inner statement to its place in the
// whole one.
func within(stmt *parse.ExecuteAs, err error) error {
	var f *fault.Error
	if err == nil || !errors.As(err, &f) || f.Offset < 0 {
		return err
	}
	moved := *f
	moved.Offset += stmt.Offset
	return &moved
}

// authoriseAs decides whether a session may act as the target of EXECUTE AS,
// and whether the target may run the statement. Acting for others reaches what
// is private to them: rows of USER and STREAM tables, and what everybody may
// read.
func authoriseAs(s *auth.Session, stmt *parse.ExecuteAs, o *overlay) error {
	if err := auth.Allow(s, auth.Transact, 0, ""); err != nil {
		return err
	}
	role := schema.RoleUser
	record, known, err := o.view.User(schema.UserID(stmt.User))
	if err != nil {
		return err
	}
	if known {
		role = record.Role
	}
	if err := auth.AllowActAs(s, schema.UserID(stmt.User), role); err != nil {
		return deny(s, schema.UserID(stmt.User), role, err)
	}
	inner, exact, err := o.known(stmt.Inner)
	if err != nil {
		return within(stmt, err)
	}
	err = authoriseInner(s, stmt, inner, o)
	if err == nil || exact {
		return err
	}
	if inner, err = o.parse(stmt.Inner); err != nil { // for the place of the refusal
		return within(stmt, err)
	}
	return authoriseInner(s, stmt, inner, o)
}

// authoriseInner decides about the statement of EXECUTE AS whose target may be
// acted for.
func authoriseInner(s *auth.Session, stmt *parse.ExecuteAs, inner parse.Statement, o *overlay) error {
	reads, tables, ok := rowsOf(inner)
	if !ok {
		return fault.At(fault.InvalidInput, stmt.Offset, "EXECUTE AS USER takes SELECT, INSERT, UPDATE, DELETE, EXPORT USER DATA and SHOW EXPORT")
	}
	as := actor(s, stmt)
	for _, name := range tables {
		t := o.table(name)
		if as == s || t == nil || t.Kind != schema.Shared || reads && t.Options.Access == schema.Public {
			continue
		}
		return fault.At(fault.InvalidOperation, stmt.Offset+name.Offset,
			"EXECUTE AS USER is not allowed on SHARED tables (table '%s'). AS USER impersonation is only supported for USER and STREAM tables.", t.QualifiedName())
	}
	return within(stmt, authorise(as, inner, o))
}

// rowsOf returns the tables that a statement over rows names; reads says that
// it changes none of them.
func rowsOf(stmt parse.Statement) (reads bool, tables []parse.Name, ok bool) {
	switch stmt := stmt.(type) {
	case *parse.Select:
		return true, stmt.Tables, true
	case *parse.Insert:
		return false, stmt.Tables, true
	case *parse.Update:
		return false, stmt.Tables, true
	case *parse.Delete:
		return false, stmt.Tables, true
	case *parse.ExportUser:
		return true, nil, true
	case *parse.Show:
		return true, nil, stmt.What == "export"
	}
	return false, nil, false
}
