package ddl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"kalamdb/internal/auth"
	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// userAttempts is how often a change of a user's row is tried again when
// another change of the same row came first.
const userAttempts = 10

// errUnchanged ends a change of a user's row that has nothing to write.
var errUnchanged = errors.New("nothing to change")

// CreateUserStatement runs CREATE USER.
func (d *Definer) CreateUserStatement(ctx context.Context, s *auth.Session, stmt *parse.CreateUser) (string, error) {
	id := schema.UserID(stmt.User)
	if err := auth.CheckUserID(id); err != nil {
		return "", fault.Wrap(fault.InvalidDefinition, err, "%s", fault.Of(err).Message)
	}
	role, err := grantable(s, stmt.Role)
	if err != nil {
		return "", err
	}
	now := d.now()
	u := schema.UserRecord{ID: id, Role: role, Email: stmt.Email, StorageMode: strings.ToLower(stmt.StorageMode), StorageID: stmt.StorageID, CreatedAt: now, UpdatedAt: now}
	if u.StorageMode == "" {
		u.StorageMode = "table"
	}
	if err := checkStorageMode(u.StorageMode); err != nil {
		return "", err
	}
	if err := d.setCredentials(ctx, &u, stmt); err != nil {
		return "", err
	}
	if err := d.checkUserStorage(u.StorageID); err != nil {
		return "", err
	}
	exists := fmt.Sprintf("User '%s' already exists", id)
	if err := d.CreateUser(ctx, u); err != nil {
		if stmt.IfNotExists && fault.Is(err, fault.AlreadyExists) {
			return exists, nil
		}
		return "", err
	}
	return fmt.Sprintf("User '%s' created successfully", id), nil
}

// setCredentials fills in how the account proves who it is.
func (d *Definer) setCredentials(ctx context.Context, u *schema.UserRecord, stmt *parse.CreateUser) error {
	switch stmt.Auth {
	case "password":
		if err := d.o.Passwords.Check(stmt.Password); err != nil {
			return err
		}
		hash, err := d.o.Passwords.Hash(ctx, stmt.Password)
		if err != nil {
			return err
		}
		u.AuthType, u.PasswordHash = schema.AuthPassword, hash
	case "oauth":
		if stmt.AuthData != "" && !json.Valid([]byte(stmt.AuthData)) {
			return fault.New(fault.InvalidDefinition, "the identity of an OAUTH user must be a JSON object")
		}
		u.AuthType, u.AuthData = schema.AuthOAuth, stmt.AuthData
	case "internal":
		u.AuthType = schema.AuthInternal
	default:
		return fault.New(fault.InvalidDefinition, "CREATE USER needs WITH PASSWORD, WITH OAUTH or WITH INTERNAL")
	}
	return nil
}

// grantable reads a role that a session may give to others: nobody gives more
// than he has, and only system gives system.
func grantable(s *auth.Session, text string) (schema.Role, error) {
	if text == "" {
		return schema.RoleUser, nil
	}
	role, err := schema.ParseRole(text)
	if err != nil {
		return 0, err
	}
	if role == schema.RoleAnonymous {
		return 0, fault.New(fault.InvalidDefinition, "the role anonymous cannot be given to an account")
	}
	if role > s.Role {
		return 0, fault.New(fault.PermissionDenied, "role %s is not allowed to grant the role %s", s.Role, role)
	}
	return role, nil
}

func checkStorageMode(mode string) error {
	if mode != "table" && mode != "region" {
		return fault.New(fault.InvalidDefinition, "storage mode '%s' is unknown; use table or region", mode)
	}
	return nil
}

func (d *Definer) checkUserStorage(id string) error {
	if id == "" {
		return nil
	}
	if _, ok := d.o.Definitions().Storage(id); !ok {
		return fault.New(fault.ObjectNotFound, "Storage '%s' does not exist", id)
	}
	return nil
}

// AlterUser runs ALTER USER. A plain user may change his own password and
// e-mail; everything else needs dba or system.
func (d *Definer) AlterUser(ctx context.Context, s *auth.Session, stmt *parse.AlterUser) (string, error) {
	id := schema.UserID(stmt.User)
	own := id == s.UserID && (stmt.Field == "password" || stmt.Field == "email")
	if !own {
		if err := auth.Allow(s, auth.ManageUsers, 0, ""); err != nil {
			return "", err
		}
	}
	var hash string
	if stmt.Field == "password" {
		if err := d.o.Passwords.Check(stmt.Value); err != nil {
			return "", err
		}
		h, err := d.o.Passwords.Hash(ctx, stmt.Value)
		if err != nil {
			return "", err
		}
		hash = h
	}
	err := d.changeUser(ctx, s.UserID, id, func(u *schema.UserRecord) error {
		if u.Role > s.Role {
			return fault.New(fault.PermissionDenied, "role %s is not allowed to change the %s user '%s'", s.Role, u.Role, id)
		}
		return d.alterField(s, u, stmt, hash)
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("User '%s' altered successfully", id), nil
}

func (d *Definer) alterField(s *auth.Session, u *schema.UserRecord, stmt *parse.AlterUser, hash string) error {
	switch stmt.Field {
	case "password":
		if u.AuthType == schema.AuthOAuth {
			return fault.New(fault.InvalidOperation, "user '%s' signs in with OAUTH and has no password", u.ID)
		}
		u.PasswordHash, u.FailedLoginAttempts, u.LockedUntil = hash, 0, 0
	case "role":
		role, err := grantable(s, stmt.Value)
		if err != nil {
			return err
		}
		u.Role = role
	case "email":
		u.Email = stmt.Value
	case "storage_mode":
		u.StorageMode = strings.ToLower(stmt.Value)
		return checkStorageMode(u.StorageMode)
	case "storage_id":
		if err := d.checkUserStorage(stmt.Value); err != nil {
			return err
		}
		u.StorageID = stmt.Value
	default:
		return fault.New(fault.InvalidDefinition, "ALTER USER cannot set '%s'", stmt.Field)
	}
	return nil
}

// DropUser runs DROP USER: the row stays, marked as deleted, and the account's
// tokens stop working at once.
func (d *Definer) DropUser(ctx context.Context, s *auth.Session, stmt *parse.DropUser) (string, error) {
	id := schema.UserID(stmt.User)
	if id == auth.Root {
		return "", fault.New(fault.InvalidOperation, "the user 'root' cannot be dropped")
	}
	err := d.changeUser(ctx, s.UserID, id, func(u *schema.UserRecord) error {
		if u.Role > s.Role {
			return fault.New(fault.PermissionDenied, "role %s is not allowed to drop the %s user '%s'", s.Role, u.Role, id)
		}
		u.DeletedAt = d.now()
		return nil
	})
	if stmt.IfExists && fault.Is(err, fault.ObjectNotFound) {
		return fmt.Sprintf("User '%s' does not exist (skipped)", id), nil
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("User '%s' dropped successfully", id), nil
}

// CreateUser adds a user, or answers ALREADY_EXISTS. A dropped user's id can
// be used again, his tokens cannot.
func (d *Definer) CreateUser(ctx context.Context, u schema.UserRecord) error {
	old, found, err := d.o.User(ctx, u.ID)
	if err != nil {
		return err
	}
	body := &command.PutUser{User: u, Create: true}
	if found && old.DeletedAt != 0 {
		body.Create, body.FromUpdatedAt = false, old.UpdatedAt
		body.User.UpdatedAt = max(u.UpdatedAt, old.UpdatedAt+1)
		body.User.TokensFrom = u.CreatedAt
	}
	_, err = d.commit(ctx, u.ID, body)
	return err
}

// RecordLogin stores what a successful or failed login makes of a user's row.
func (d *Definer) RecordLogin(ctx context.Context, id schema.UserID, ok bool, at int64) (changed, locked bool, err error) {
	err = d.changeUser(ctx, id, id, func(u *schema.UserRecord) error {
		next, differs := auth.AfterLogin(*u, ok, at)
		if !differs {
			return errUnchanged
		}
		*u = next
		locked = next.LockedUntil > at
		return nil
	})
	switch {
	case errors.Is(err, errUnchanged):
		return false, false, nil
	case err != nil:
		return false, false, err
	}
	return true, locked, nil
}

// SetPassword replaces the password hash of a user.
func (d *Definer) SetPassword(ctx context.Context, id schema.UserID, hash string, _ int64) error {
	return d.changeUser(ctx, id, id, func(u *schema.UserRecord) error {
		u.PasswordHash, u.FailedLoginAttempts, u.LockedUntil = hash, 0, 0
		return nil
	})
}

// changeUser reads a user's newest row, lets change work on it and commits it,
// again if another change came first.
func (d *Definer) changeUser(ctx context.Context, actor, id schema.UserID, change func(*schema.UserRecord) error) error {
	for attempt := 1; ; attempt++ {
		u, found, err := d.o.User(ctx, id)
		if err != nil {
			return err
		}
		if !found || u.DeletedAt != 0 {
			return fault.New(fault.ObjectNotFound, "User '%s' does not exist", id)
		}
		from := u.UpdatedAt
		if err := change(&u); err != nil {
			return err
		}
		u.UpdatedAt = max(d.now(), from+1)
		_, err = d.commit(ctx, actor, &command.PutUser{User: u, FromUpdatedAt: from})
		if !errors.Is(err, command.ErrStaleRow) {
			return err
		}
		if attempt == userAttempts {
			return fault.New(fault.Conflict, "user '%s' is being changed by others; send the statement again", id)
		}
	}
}
