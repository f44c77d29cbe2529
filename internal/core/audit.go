package core

import (
	"context"
	"strings"
	"unicode/utf8"

	"kalamdb/internal/auth"
	"kalamdb/internal/command"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// auditCell bounds target and details of one entry.
const auditCell = 4 << 10

// redacted stands for what no log may hold.
const redacted = "[REDACTED]"

// Audit writes an entry about something that no command changes, such as a
// login or a refusal, and returns when it is durable. Time, actor and address
// are filled in from the session where the entry has none.
func (db *DB) Audit(ctx context.Context, s *auth.Session, e schema.AuditEntry) error {
	now := db.o.Now().UnixMicro()
	trail := db.trail(s, e)
	_, err := db.apply.Commit(ctx, &command.Command{Time: now, Actor: s.Actor, Body: command.PutAudit{}, Trail: trail})
	return err
}

// tell writes an entry about what is done and cannot be taken back. Where the
// log cannot be written, as on a full disk, the operator learns of it.
func (db *DB) tell(ctx context.Context, s *auth.Session, e schema.AuditEntry) {
	if err := db.Audit(ctx, s, e); err != nil {
		db.o.Logger.Warn("audit entry is missing", "action", e.Action, "target", e.Target, "actor", s.Actor, "error", err)
	}
}

// trail completes an entry.
func (db *DB) trail(s *auth.Session, e schema.AuditEntry) *command.Trail {
	if e.Time == 0 {
		e.Time = db.o.Now().UnixMicro()
	}
	if e.Actor == "" {
		e.Actor = s.Actor
	}
	if e.IP == "" {
		e.IP = s.IP
	}
	if e.Subject == "" && s.UserID != s.Actor {
		e.Subject = s.UserID
	}
	e.Target, e.Details = cut(e.Target), cut(e.Details)
	return &command.Trail{Entries: []schema.AuditEntry{e}, Keep: uint64(db.o.AuditEntries)}
}

// cut shortens a text to what one cell of the log holds.
func cut(text string) string {
	if len(text) <= auditCell {
		return text
	}
	end := auditCell
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// trailKey is where a context carries the trail of the statement that runs.
type trailKey struct{}

// pendingTrail goes with the first command of its statement that is applied.
type pendingTrail struct {
	trail *command.Trail
	told  bool
}

// audited returns a context under which the next command that the rooms below
// commit also says in the audit log what the statement did. So whoever makes the
// command need not know of it, and the two are one commit.
func (db *DB) audited(ctx context.Context, s *auth.Session, stmt parse.Statement, namespace string) context.Context {
	e, ok := entryOf(stmt, namespace)
	if !ok {
		return ctx
	}
	return context.WithValue(ctx, trailKey{}, &pendingTrail{trail: db.trail(s, e)})
}

// auditor is a Committer that adds the trail of the context.
type auditor struct{ command.Committer }

// Commit commits c, with the trail of its context when it has none yet.
func (a auditor) Commit(ctx context.Context, c *command.Command) (command.Receipt, error) {
	p, ok := ctx.Value(trailKey{}).(*pendingTrail)
	if !ok || p.told {
		return a.Committer.Commit(ctx, c)
	}
	c.Trail = p.trail
	receipt, err := a.Committer.Commit(ctx, c)
	p.told = err == nil
	return receipt, err
}

// entryOf says what a statement did, without passwords and credentials, and
// whether the audit log wants to know.
func entryOf(stmt parse.Statement, namespace string) (schema.AuditEntry, bool) {
	in := func(n parse.Name) string {
		if n.Namespace != "" {
			return n.Namespace + "." + n.Name
		}
		return namespace + "." + n.Name
	}
	entry := func(action, target string, details ...string) (schema.AuditEntry, bool) {
		return schema.AuditEntry{Action: action, Target: target, Details: strings.Join(details, ", ")}, true
	}
	switch stmt := stmt.(type) {
	case *parse.CreateNamespace:
		return entry("CREATE_NAMESPACE", stmt.Name.Name)
	case *parse.AlterNamespace:
		if stmt.Description != nil {
			return entry("ALTER_NAMESPACE", stmt.Name.Name, "SET DESCRIPTION")
		}
		if stmt.NewName.Name != "" {
			return entry("ALTER_NAMESPACE", stmt.Name.Name, "RENAME TO "+stmt.NewName.Name)
		}
		return entry("ALTER_NAMESPACE", stmt.Name.Name, "SET OPTIONS "+optionNames(stmt.Options))
	case *parse.DropNamespace:
		if stmt.Cascade {
			return entry("DROP_NAMESPACE", stmt.Name.Name, "CASCADE")
		}
		return entry("DROP_NAMESPACE", stmt.Name.Name)
	case *parse.CreateTable:
		return entry("CREATE_TABLE", in(stmt.Table), tableDetails(stmt)...)
	case *parse.AlterTable:
		return entry("ALTER_TABLE", in(stmt.Table), alterDetails(stmt))
	case *parse.CreateIndex:
		if stmt.Metric != "" {
			return entry("CREATE_INDEX", in(stmt.Table), "Column: "+stmt.Columns[0].Name, "Metric: "+stmt.Metric)
		}
		return entry("CREATE_INDEX", in(stmt.Table), "Index: "+stmt.Index.Name)
	case *parse.DropIndex:
		if stmt.Table.Name != "" {
			return entry("DROP_INDEX", in(stmt.Table), "Index: "+stmt.Index.Name)
		}
		return entry("DROP_INDEX", in(stmt.Index))
	case *parse.DropTable:
		return entry("DROP_TABLE", in(stmt.Table))
	case *parse.CreateSequence:
		return entry("CREATE_SEQUENCE", in(stmt.Sequence))
	case *parse.DropSequence:
		return entry("DROP_SEQUENCE", in(stmt.Sequence))
	case *parse.CreateView:
		return entry("CREATE_VIEW", in(stmt.View))
	case *parse.DropView:
		return entry("DROP_VIEW", in(stmt.View))
	case *parse.Comment:
		return entry("COMMENT", in(stmt.Name), stmt.On)
	}
	if e, ok := objectEntry(stmt, in); ok {
		return e, true
	}
	return userEntry(stmt)
}

// objectEntry is entryOf for what belongs to a namespace beside tables.
func objectEntry(stmt parse.Statement, in func(parse.Name) string) (schema.AuditEntry, bool) {
	switch stmt := stmt.(type) {
	case *parse.CreateView:
		return schema.AuditEntry{Action: "CREATE_VIEW", Target: in(stmt.View)}, true
	case *parse.DropView:
		return schema.AuditEntry{Action: "DROP_VIEW", Target: in(stmt.View)}, true
	case *parse.CreateSequence:
		return schema.AuditEntry{Action: "CREATE_SEQUENCE", Target: in(stmt.Sequence)}, true
	case *parse.AlterSequence:
		e := schema.AuditEntry{Action: "ALTER_SEQUENCE", Target: in(stmt.Sequence)}
		if stmt.NewName.Name != "" {
			e.Details = "RENAME TO " + stmt.NewName.Name
		}
		return e, true
	case *parse.RenameObject:
		return schema.AuditEntry{Action: "ALTER_" + stmt.Kind, Target: in(stmt.Object), Details: "RENAME TO " + stmt.NewName.Name}, true
	case *parse.DropSequence:
		return schema.AuditEntry{Action: "DROP_SEQUENCE", Target: in(stmt.Sequence)}, true
	case *parse.Comment:
		if stmt.On == "NAMESPACE" {
			return schema.AuditEntry{Action: "COMMENT", Target: stmt.Name.Name, Details: stmt.On}, true
		}
		return schema.AuditEntry{Action: "COMMENT", Target: in(stmt.Name), Details: stmt.On}, true
	}
	return schema.AuditEntry{}, false
}

// userEntry is entryOf for statements about accounts and storages.
func userEntry(stmt parse.Statement) (schema.AuditEntry, bool) {
	e := schema.AuditEntry{}
	switch stmt := stmt.(type) {
	case *parse.CreateStorage:
		e.Action, e.Target, e.Details = "CREATE_STORAGE", stmt.ID, "Type: "+strings.ToLower(stmt.Type)
	case *parse.AlterStorage:
		e.Action, e.Target = "ALTER_STORAGE", stmt.ID
	case *parse.DropStorage:
		e.Action, e.Target = "DROP_STORAGE", stmt.ID
	case *parse.CreateUser:
		role := stmt.Role
		if role == "" {
			role = schema.RoleUser.String()
		}
		if r, err := schema.ParseRole(role); err == nil {
			role = r.String()
		}
		e.Action, e.Target = "CREATE_USER", stmt.User
		e.Details = "Role: " + capital(role) + ", Auth: " + capital(stmt.Auth)
		if stmt.Auth == "password" {
			e.Details += "(" + redacted + ")"
		}
	case *parse.AlterUser:
		e.Action, e.Target = "ALTER_USER", stmt.User
		value := stmt.Value
		switch stmt.Field {
		case "password":
			value = redacted
		case "role":
			if r, err := schema.ParseRole(value); err == nil {
				value = capital(r.String())
			}
		}
		if stmt.Null {
			value = "NULL"
		}
		words := strings.Split(stmt.Field, "_")
		for i := range words {
			words[i] = capital(words[i])
		}
		e.Details = "Set" + strings.Join(words, "") + "(" + value + ")"
	case *parse.DropUser:
		e.Action, e.Target = "DROP_USER", stmt.User
	default:
		return e, false
	}
	e.Subject = schema.UserID(e.Target)
	return e, true
}

// tableDetails names kind and columns of a new table.
func tableDetails(stmt *parse.CreateTable) []string {
	kind := stmt.Kind
	for _, o := range stmt.Options {
		if o.Name == "TYPE" {
			kind = o.Value
		}
	}
	details := []string{}
	if kind != "" {
		details = append(details, "Type: "+capital(kind))
	}
	names := make([]string, len(stmt.Columns))
	for i := range stmt.Columns {
		names[i] = stmt.Columns[i].Name.Name
	}
	return append(details, "Columns: "+strings.Join(names, " "))
}

// alterDetails names what changes, and of properties the access level only:
// what others are set to may be long or private.
func alterDetails(stmt *parse.AlterTable) string {
	if len(stmt.Properties) == 1 && stmt.Properties[0].Name == "ACCESS_LEVEL" {
		return "SET ACCESS LEVEL " + capital(stmt.Properties[0].Value)
	}
	if len(stmt.Properties) > 0 {
		return "SET " + optionNames(stmt.Properties)
	}
	return strings.ToUpper(string(stmt.Action))
}

func optionNames(options []parse.Option) string {
	names := make([]string, len(options))
	for i := range options {
		names[i] = options[i].Name
	}
	return strings.Join(names, " ")
}

// capital spells a word as 0.4.3 shows the names of its variants.
func capital(word string) string {
	word = strings.ToLower(word)
	switch word {
	case "":
		return ""
	case "oauth":
		return "OAuth"
	}
	return strings.ToUpper(word[:1]) + word[1:]
}
