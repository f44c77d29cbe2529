package auth

import (
	"context"
	"errors"
	"strconv"
	"time"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// maxFailures wrong passwords in a row lock an account for lockFor.
const (
	maxFailures = 5
	lockFor     = 15 * time.Minute
)

// noteEvery bounds how often a successful login is written.
const noteEvery = time.Minute

// Refusals of refresh that an edge words itself.
var (
	// ErrNotRefresh: the token is not a refresh token.
	ErrNotRefresh = errors.New("the token is not a refresh token")
	// ErrUserGone: the token's user does not exist any more.
	ErrUserGone = errNoUser
	// ErrRoleChanged: the user has another role now.
	ErrRoleChanged = errRole
)

// Grant is what a successful login or refresh gives.
type Grant struct {
	User    schema.UserRecord
	Access  Token
	Refresh Token
}

// AfterLogin returns the row of a user after an attempt to log in at a moment
// in microseconds, and whether it differs from what is stored. Success is noted
// at most once a minute.
func AfterLogin(u schema.UserRecord, ok bool, at int64) (schema.UserRecord, bool) {
	if ok {
		clean := u.FailedLoginAttempts == 0 && u.LockedUntil == 0
		if clean && at-u.LastLoginAt < noteEvery.Microseconds() {
			return u, false
		}
		u.FailedLoginAttempts, u.LockedUntil, u.LastLoginAt = 0, 0, at
		u.UpdatedAt = max(at, u.UpdatedAt+1)
		return u, true
	}
	if u.LockedUntil > at {
		return u, false
	}
	if u.LockedUntil != 0 { // an old lock has ended: counting starts again
		u.FailedLoginAttempts, u.LockedUntil = 0, 0
	}
	u.FailedLoginAttempts++
	if u.FailedLoginAttempts >= maxFailures {
		u.LockedUntil = at + lockFor.Microseconds()
	}
	u.UpdatedAt = max(at, u.UpdatedAt+1)
	return u, true
}

// Login checks a password and grants tokens. Unknown users, users without a
// password and wrong passwords are one answer at one price.
func (a *Auth) Login(ctx context.Context, id schema.UserID, password string, from Client) (Grant, error) {
	u, found, err := a.o.Users.User(ctx, id)
	if err != nil {
		return Grant{}, err
	}
	if id == Root && u.PasswordHash == "" {
		return Grant{}, a.refuseUnsetRoot(password, from)
	}
	now := a.o.Now().UnixMicro()
	if found && u.LockedUntil > now {
		a.stats.failures.Add(1)
		return Grant{}, errLocked(time.Duration(u.LockedUntil-now) * time.Microsecond)
	}
	usable := found && u.DeletedAt == 0 && u.AuthType != schema.AuthOAuth && u.PasswordHash != ""
	hash := ""
	if usable {
		hash = u.PasswordHash
	}
	right, err := a.o.Passwords.matches(ctx, hash, password)
	if err != nil {
		return Grant{}, err
	}
	if usable {
		a.record(ctx, u, right, now, from)
	}
	if !right {
		a.stats.failures.Add(1)
		return Grant{}, fault.New(fault.InvalidCredentials, "Invalid credentials")
	}
	a.stats.logins.Add(1)
	return a.grant(u)
}

// record notes an attempt in the user's row and in the audit log. A disk that is
// full must not keep an administrator out, and the answer to a wrong password
// stays the same whatever happens here.
//
// Of accounts of administrators each login and each failure is written, of all
// accounts that they were locked. A flood of wrong passwords is written as far as
// it counts: the attempts until an account is locked, nothing while it is, and
// nothing of names that are nobody's.
func (a *Auth) record(ctx context.Context, u schema.UserRecord, right bool, now int64, from Client) {
	changed, locked, err := a.o.Accounts.RecordLogin(ctx, u.ID, right, now)
	if err != nil {
		a.o.Logger.Warn("login was not recorded", "user", u.ID, "error", err)
	}
	switch {
	case locked:
		a.tell(ctx, u.ID, "ACCOUNT_LOCKED", "Role: "+u.Role.String()+", "+strconv.Itoa(maxFailures)+" wrong passwords", from)
	case !u.Role.Admin():
	case right:
		a.tell(ctx, u.ID, "LOGIN", "Role: "+u.Role.String(), from)
	case changed:
		a.tell(ctx, u.ID, "LOGIN_FAILED", "Role: "+u.Role.String(), from)
	}
}

// tell writes an entry of the audit log about an account.
func (a *Auth) tell(ctx context.Context, id schema.UserID, action, details string, from Client) {
	if a.o.Audit == nil {
		return
	}
	e := schema.AuditEntry{Actor: id, Action: action, Target: string(id), Details: details, IP: from.IP, Subject: id}
	if err := a.o.Audit(ctx, e); err != nil {
		a.o.Logger.Warn("audit entry is missing", "action", action, "user", id, "error", err)
	}
}

// refuseUnsetRoot answers logins as root before the setup. The empty password
// is how clients ask whether a setup is needed.
func (a *Auth) refuseUnsetRoot(password string, from Client) error {
	a.stats.failures.Add(1)
	switch {
	case password == "":
		return fault.New(fault.SetupRequired, "Server requires initial setup. Root password is not configured.")
	case from.Local:
		return fault.New(fault.InvalidCredentials, "Invalid credentials")
	}
	return fault.New(fault.PermissionDenied, "Access denied")
}

// grant mints the two tokens of a user.
func (a *Auth) grant(u schema.UserRecord) (Grant, error) {
	access, err := a.tokens.mint(u, accessToken)
	if err != nil {
		return Grant{}, err
	}
	refresh, err := a.tokens.mint(u, refreshToken)
	if err != nil {
		return Grant{}, err
	}
	return Grant{User: u, Access: access, Refresh: refresh}, nil
}

// Refresh grants a new pair of tokens for a refresh token. Its refusals wrap
// ErrNotRefresh, ErrUserGone and ErrRoleChanged.
func (a *Auth) Refresh(ctx context.Context, token string) (Grant, error) {
	c, err := a.tokens.check(token)
	if err != nil {
		return Grant{}, err
	}
	if c.TokenType != refreshToken {
		return Grant{}, errInvalid(ErrNotRefresh)
	}
	u, err := a.holder(ctx, c)
	if err != nil {
		return Grant{}, err
	}
	return a.grant(u)
}

// Me returns the user of an access token.
func (a *Auth) Me(ctx context.Context, token string) (schema.UserRecord, error) {
	c, err := a.tokens.check(token)
	if err != nil {
		return schema.UserRecord{}, err
	}
	if c.TokenType != accessToken {
		return schema.UserRecord{}, errInvalid(errors.New("the token is not an access token"))
	}
	return a.holder(ctx, c)
}

// NeedsSetup reports whether root has no password yet.
func (a *Auth) NeedsSetup(ctx context.Context) (bool, error) {
	root, _, err := a.o.Users.User(ctx, Root)
	return root.PasswordHash == "", err
}

// Refusals of Setup that an edge words itself.
var (
	// ErrConfigured: root has a password already.
	ErrConfigured = errors.New("the server has already been set up")
	// ErrBadUser: the name of the first user cannot be used.
	ErrBadUser = errors.New("the name cannot be used")
	// ErrUserExists: the first user exists already.
	ErrUserExists = errors.New("the user exists")
)

// Setup is the first act on a new server.
type Setup struct {
	User         schema.UserID // becomes a dba
	Password     string
	RootPassword string
	Email        string // of User, or ""
	From         Client
}

// SetUp gives root a password and creates the first administrator. It refuses
// with ErrConfigured, ErrBadUser, ErrUserExists or WEAK_PASSWORD before
// anything is written.
func (a *Auth) SetUp(ctx context.Context, s Setup) (schema.UserRecord, error) {
	select {
	case a.setup <- struct{}{}: // two setups at once would both find root unset
		defer func() { <-a.setup }()
	case <-ctx.Done():
		return schema.UserRecord{}, ctx.Err()
	}
	if err := a.checkSetup(ctx, s); err != nil {
		return schema.UserRecord{}, err
	}
	rootHash, err := a.o.Passwords.Hash(ctx, s.RootPassword)
	if err != nil {
		return schema.UserRecord{}, err
	}
	hash, err := a.o.Passwords.Hash(ctx, s.Password)
	if err != nil {
		return schema.UserRecord{}, err
	}
	now := a.o.Now().UnixMicro()
	u := schema.UserRecord{
		ID: s.User, Role: schema.RoleDBA, Email: s.Email, AuthType: schema.AuthPassword,
		PasswordHash: hash, CreatedAt: now, UpdatedAt: now,
	}
	// Root comes first: cut off between the two writes, the server is closed
	// to strangers and root can create the missing user.
	if err := a.o.Accounts.SetPassword(ctx, Root, rootHash, now); err != nil {
		return schema.UserRecord{}, err
	}
	if err := a.o.Accounts.CreateUser(ctx, u); err != nil {
		return schema.UserRecord{}, err
	}
	a.tell(ctx, u.ID, "SETUP", "Role: "+u.Role.String(), s.From)
	return u, nil
}

func (a *Auth) checkSetup(ctx context.Context, s Setup) error {
	needed, err := a.NeedsSetup(ctx)
	if err != nil {
		return err
	}
	if !needed {
		return ErrConfigured
	}
	if err := CheckUserID(s.User); err != nil || s.User == Root {
		return errors.Join(ErrBadUser, err)
	}
	if err := a.o.Passwords.Check(s.Password); err != nil {
		return weak("DBA user password: ", err)
	}
	if err := a.o.Passwords.Check(s.RootPassword); err != nil {
		return weak("Root password: ", err)
	}
	_, exists, err := a.o.Users.User(ctx, s.User)
	if err != nil {
		return err
	}
	if exists {
		return ErrUserExists
	}
	return nil
}

// weak says which of two passwords is weak.
func weak(which string, err error) error {
	return fault.New(fault.WeakPassword, "%s%s", which, fault.Of(err).Message)
}
