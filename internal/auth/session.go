package auth

import (
	"context"
	"strings"
	"time"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// Root is the account that exists from the first start.
const Root schema.UserID = "root"

// rootEmail is what the row of Root shows.
const rootEmail = "root@localhost"

// maxUserID is the length of a user id in bytes.
const maxUserID = 128

// Session is an authenticated caller for the length of a request or of a
// connection. It is not changed once it is shared.
type Session struct {
	// UserID is who acts: whose partitions are read and written.
	UserID schema.UserID
	// Role is what UserID may do.
	Role schema.Role
	// Email is the address in the token, or "".
	Email string
	// Ends is when the token is not accepted any more; zero for sessions without
	// one.
	Ends time.Time
	// Actor is who authenticated. It differs from UserID under EXECUTE AS only.
	Actor schema.UserID
	// IP is the client's address after trusted proxies.
	IP string
	// Local says that the client is on this machine.
	Local bool
	// RequestID names the request in logs and audit rows.
	RequestID string
}

// As returns the session of EXECUTE AS: it acts as target with the role user.
// The caller has asked AllowActAs.
func (s *Session) As(target schema.UserID) *Session {
	c := *s
	c.UserID, c.Role, c.Email = target, schema.RoleUser, ""
	return &c
}

// Client is where a request comes from.
type Client struct {
	// IP is the address after trusted proxies.
	IP string
	// Local says that the address is this machine's.
	Local bool
}

// Users reads accounts. It may be called by many goroutines.
type Users interface {
	// User returns the newest committed row of a user; a deleted user is found
	// and has DeletedAt set.
	User(ctx context.Context, id schema.UserID) (schema.UserRecord, bool, error)
}

// Accounts changes accounts. Times are microseconds since the Unix epoch.
type Accounts interface {
	// RecordLogin stores what AfterLogin makes of the user's row, and reports
	// whether that differs from what was stored and whether it locks the account.
	RecordLogin(ctx context.Context, id schema.UserID, ok bool, at int64) (changed, locked bool, err error)
	// SetPassword replaces the password hash of a user.
	SetPassword(ctx context.Context, id schema.UserID, hash string, at int64) error
	// CreateUser adds a user, or answers ALREADY_EXISTS.
	CreateUser(ctx context.Context, u schema.UserRecord) error
}

// CheckUserID refuses ids that are empty, too long, or could be taken for a
// path by whoever stores files by user.
func CheckUserID(id schema.UserID) error {
	text := string(id)
	if text == "" || len(text) > maxUserID {
		return fault.New(fault.InvalidValue, "a user id has 1 to %d bytes, not %d", maxUserID, len(text))
	}
	if strings.Contains(text, "..") || strings.ContainsAny(text, "/\\\x00") {
		return fault.New(fault.InvalidValue, `a user id must not contain "..", "/", "\" or NUL`)
	}
	return nil
}
