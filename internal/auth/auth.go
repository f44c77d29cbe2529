package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// Options are what an Auth needs.
type Options struct {
	// Users and Accounts read and change users; both are required.
	Users    Users
	Accounts Accounts
	// Passwords is required.
	Passwords *Passwords
	// Secret signs tokens; required.
	Secret []byte
	// AccessLifetime is how long an access token lasts; 0 means 24 h. A refresh
	// token lasts seven times as long.
	AccessLifetime time.Duration
	// AttemptsPerSecond bounds login, refresh, setup and WebSocket
	// authentication per address; 0 means 20.
	AttemptsPerSecond int
	// LimiterEntries and LimiterIdle bound the memory of that limit; zero
	// means the defaults of LimiterOptions.
	LimiterEntries int
	LimiterIdle    time.Duration
	// Audit writes what auth has to say to the audit log; nil writes nothing.
	Audit func(context.Context, schema.AuditEntry) error
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger is told of what a caller must not see; nil means slog.Default.
	Logger *slog.Logger
}

// Auth authenticates callers. It may be used by many goroutines.
type Auth struct {
	o        Options
	tokens   *tokens
	attempts *Limiter
	setup    chan struct{} // holds a token while a setup runs
	stats    struct{ logins, failures, refused, authenticated atomic.Int64 }
}

// Stats counts what an Auth has done since the start.
type Stats struct {
	Logins        int64 // successful ones
	Failures      int64 // wrong passwords, unknown and locked accounts
	Refused       int64 // attempts over the rate
	Authenticated int64 // tokens accepted
}

// New returns an Auth, or all that is missing from its options.
func New(o Options) (*Auth, error) {
	var faults []error
	if o.Users == nil || o.Accounts == nil || o.Passwords == nil {
		faults = append(faults, errors.New("auth needs users, accounts and passwords"))
	}
	if len(o.Secret) == 0 {
		faults = append(faults, errors.New("auth needs a secret"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if o.AccessLifetime == 0 {
		o.AccessLifetime = 24 * time.Hour
	}
	if o.AttemptsPerSecond == 0 {
		o.AttemptsPerSecond = 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Auth{
		o:      o,
		tokens: newTokens(o.Secret, o.AccessLifetime, o.Now),
		attempts: NewLimiter(LimiterOptions{
			PerSecond: o.AttemptsPerSecond, Entries: o.LimiterEntries, Idle: o.LimiterIdle, Now: o.Now,
		}),
		setup: make(chan struct{}, 1),
	}, nil
}

// AllowAttempt takes one attempt to authenticate from an address.
func (a *Auth) AllowAttempt(ip string) bool {
	if a.attempts.Allow(ip) {
		return true
	}
	a.stats.refused.Add(1)
	return false
}

// Authenticate returns the session of an access token; the caller fills in
// where the request comes from. The user's stored row decides: he must exist,
// not be deleted, and have the role that the token claims.
//
// A lock after wrong passwords is not looked at: otherwise anyone who knows a
// name could end that user's running sessions.
func (a *Auth) Authenticate(ctx context.Context, token string) (*Session, error) {
	c, err := a.tokens.check(token)
	if err != nil {
		return nil, err
	}
	if c.TokenType != accessToken {
		return nil, errInvalid(fmt.Errorf("token type is %q", c.TokenType))
	}
	u, err := a.holder(ctx, c)
	if err != nil {
		return nil, err
	}
	a.stats.authenticated.Add(1)
	s := &Session{UserID: u.ID, Actor: u.ID, Role: u.Role, Ends: c.ExpiresAt.Add(leeway)}
	if c.Email != nil {
		s.Email = *c.Email
	}
	return s, nil
}

// holder reads the user of verified claims.
func (a *Auth) holder(ctx context.Context, c *claims) (schema.UserRecord, error) {
	u, ok, err := a.o.Users.User(ctx, schema.UserID(c.Subject))
	switch {
	case err != nil:
		return u, err
	case !ok || u.DeletedAt != 0 || c.before(u.TokensFrom):
		return u, errInvalid(errNoUser)
	case c.Role != nil && *c.Role != u.Role.String():
		return u, errInvalid(errRole)
	}
	return u, nil
}

var (
	errNoUser = errors.New("the token's user does not exist")
	errRole   = errors.New("the token's role is not the user's")
)

// Stats returns the counters.
func (a *Auth) Stats() Stats {
	return Stats{
		Logins: a.stats.logins.Load(), Failures: a.stats.failures.Load(),
		Refused: a.stats.refused.Load(), Authenticated: a.stats.authenticated.Load(),
	}
}

// Bootstrap makes sure that the account root exists. A configured password
// becomes root's while he has none; a password that was set is left alone.
func (a *Auth) Bootstrap(ctx context.Context, password string) error {
	root, ok, err := a.o.Users.User(ctx, Root)
	if err != nil {
		return err
	}
	hash := ""
	if password != "" && root.PasswordHash == "" {
		if hash, err = a.o.Passwords.Hash(ctx, password); err != nil {
			return fmt.Errorf("set the password of root: %w", err)
		}
	}
	now := a.o.Now().UnixMicro()
	if !ok {
		return a.o.Accounts.CreateUser(ctx, schema.UserRecord{
			ID: Root, Role: schema.RoleSystem, Email: rootEmail, AuthType: schema.AuthInternal,
			PasswordHash: hash, CreatedAt: now, UpdatedAt: now,
		})
	}
	if hash == "" {
		return nil
	}
	return a.o.Accounts.SetPassword(ctx, Root, hash, now)
}

// errLocked says how long an account stays locked.
func errLocked(left time.Duration) error {
	minutes := int64((left + time.Minute - 1) / time.Minute)
	return fault.New(fault.AccountLocked, "Account locked. Try again in %d minute(s).", max(1, minutes))
}
