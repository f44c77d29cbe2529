package auth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// book is a user table in memory.
type book struct {
	mu   sync.Mutex
	rows map[schema.UserID]schema.UserRecord
	fail error // what every change answers, if not nil
}

func (b *book) User(_ context.Context, id schema.UserID) (schema.UserRecord, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, ok := b.rows[id]
	return u, ok, nil
}

func (b *book) change(id schema.UserID, f func(schema.UserRecord) schema.UserRecord) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	b.rows[id] = f(b.rows[id])
	return nil
}

func (b *book) RecordLogin(_ context.Context, id schema.UserID, ok bool, at int64) (changed, locked bool, err error) {
	err = b.change(id, func(u schema.UserRecord) schema.UserRecord {
		u, changed = AfterLogin(u, ok, at)
		locked = changed && u.LockedUntil > at
		return u
	})
	return changed, locked, err
}

func (b *book) SetPassword(_ context.Context, id schema.UserID, hash string, at int64) error {
	return b.change(id, func(u schema.UserRecord) schema.UserRecord {
		u.PasswordHash, u.UpdatedAt = hash, at
		return u
	})
}

func (b *book) CreateUser(_ context.Context, u schema.UserRecord) error {
	return b.change(u.ID, func(schema.UserRecord) schema.UserRecord { return u })
}

const secret = "a secret of at least thirty-two characters"

var start = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

// fixture is an Auth over a book whose clock is turned by hand.
type fixture struct {
	*Auth
	book *book
	now  time.Time
}

func open(t testing.TB) *fixture {
	t.Helper()
	x := &fixture{book: &book{rows: map[schema.UserID]schema.UserRecord{}}, now: start}
	var err error
	x.Auth, err = New(Options{
		Users: x.book, Accounts: x.book, Passwords: passwords(t, PasswordOptions{}), Secret: []byte(secret),
		Now: func() time.Time { return x.now }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Bootstrap(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	x.add(t, "alice", schema.RoleUser, "alice's password")
	return x
}

func (x *fixture) add(t testing.TB, id schema.UserID, role schema.Role, password string) {
	t.Helper()
	hash, err := x.o.Passwords.Hash(context.Background(), password)
	if err != nil {
		t.Fatal(err)
	}
	x.book.rows[id] = schema.UserRecord{ID: id, Role: role, AuthType: schema.AuthPassword, PasswordHash: hash, Email: "a@b.c"}
}

func (x *fixture) login(id, password string) (Grant, error) {
	return x.Login(context.Background(), schema.UserID(id), password, Client{IP: "10.0.0.1"})
}

func wantCode(t *testing.T, what string, err error, code fault.Code) {
	t.Helper()
	if code == "" && err != nil || code != "" && !fault.Is(err, code) {
		t.Errorf("%s: got %v, want %q", what, err, code)
	}
}

func TestLoginAndTokens(t *testing.T) {
	x := open(t)
	ctx := context.Background()
	g, err := x.login("alice", "alice's password")
	if err != nil {
		t.Fatal(err)
	}
	if want := start.Add(24 * time.Hour); !g.Access.ExpiresAt.Equal(want) {
		t.Errorf("access ends %v, want %v", g.Access.ExpiresAt, want)
	}
	if want := start.Add(7 * 24 * time.Hour); !g.Refresh.ExpiresAt.Equal(want) {
		t.Errorf("refresh ends %v, want %v", g.Refresh.ExpiresAt, want)
	}
	s, err := x.Authenticate(ctx, g.Access.Text)
	if err != nil || *s != (Session{UserID: "alice", Actor: "alice", Role: schema.RoleUser, Email: "a@b.c", Ends: g.Access.ExpiresAt.Add(leeway).Local()}) {
		t.Errorf("Authenticate = %+v, %v", s, err)
	}
	_, err = x.Authenticate(ctx, g.Refresh.Text)
	wantCode(t, "refresh token as access", err, fault.InvalidCredentials)
	_, err = x.Refresh(ctx, g.Access.Text)
	wantCode(t, "access token as refresh", err, fault.InvalidCredentials)
	if !errors.Is(err, ErrNotRefresh) {
		t.Errorf("access token as refresh: %v", err)
	}
	if _, err := x.Refresh(ctx, g.Refresh.Text); err != nil {
		t.Error(err)
	}
	if u, err := x.Me(ctx, g.Access.Text); err != nil || u.ID != "alice" {
		t.Errorf("Me = %v, %v", u.ID, err)
	}
	_, err = x.Me(ctx, g.Refresh.Text)
	wantCode(t, "me with a refresh token", err, fault.InvalidCredentials)
	x.checkStoredRow(t, g)
}

// checkStoredRow: what the row says now counts, not what the token said then.
func (x *fixture) checkStoredRow(t *testing.T, g Grant) {
	t.Helper()
	ctx := context.Background()
	f := func(change func(u *schema.UserRecord), want fault.Code, cause error) {
		t.Helper()
		u := x.book.rows["alice"]
		change(&u)
		x.book.rows["alice"] = u
		_, err := x.Authenticate(ctx, g.Access.Text)
		wantCode(t, "after a change", err, want)
		_, err = x.Refresh(ctx, g.Refresh.Text)
		if want != "" && !errors.Is(err, cause) {
			t.Errorf("refresh after a change: %v", err)
		}
	}
	f(func(u *schema.UserRecord) { u.Role = schema.RoleDBA }, fault.InvalidCredentials, ErrRoleChanged)
	f(func(u *schema.UserRecord) { u.Role = schema.RoleUser }, "", nil)
	f(func(u *schema.UserRecord) { u.LockedUntil = x.now.Add(time.Hour).UnixMicro() }, "", nil)
	f(func(u *schema.UserRecord) { u.DeletedAt = 1 }, fault.InvalidCredentials, ErrUserGone)
	delete(x.book.rows, "alice")
	_, err := x.Authenticate(ctx, g.Access.Text)
	wantCode(t, "user without a row", err, fault.InvalidCredentials)
}

func TestTokenForgeries(t *testing.T) {
	x := open(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := jwt.MapClaims{
		"sub": "alice", "iss": "kalamdb", "iat": start.Unix(), "exp": start.Add(time.Hour).Unix(),
		"email": nil, "role": "user", "token_type": "access", "aud": []string{"any"},
	}
	sign := func(m jwt.SigningMethod, key any, change jwt.MapClaims) string {
		c := maps.Clone(good)
		for k, v := range change {
			if c[k] = v; v == "absent" {
				delete(c, k)
			}
		}
		text, err := jwt.NewWithClaims(m, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	f := func(what, token string, want fault.Code) {
		t.Helper()
		for range 2 { // the second time it may come from the cache
			_, err := x.Authenticate(context.Background(), token)
			wantCode(t, what, err, want)
		}
	}
	hs := func(change jwt.MapClaims) string { return sign(jwt.SigningMethodHS256, []byte(secret), change) }
	at := func(d time.Duration) int64 { return start.Add(d).Unix() }

	f("good", hs(nil), "")
	f("without role", hs(jwt.MapClaims{"role": "absent"}), "")
	f("without iat", hs(jwt.MapClaims{"iat": "absent"}), "")
	f("fractional times", hs(jwt.MapClaims{"exp": float64(at(time.Hour)) + 0.5}), "")
	f("alg none", sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil), fault.InvalidCredentials)
	f("RS256", sign(jwt.SigningMethodRS256, key, nil), fault.InvalidCredentials)
	f("HS512", sign(jwt.SigningMethodHS512, []byte(secret), nil), fault.InvalidCredentials)
	f("wrong secret", sign(jwt.SigningMethodHS256, []byte("another"), nil), fault.InvalidCredentials)
	f("cut", strings.TrimSuffix(hs(nil), "A")[:50], fault.InvalidCredentials)
	f("no signature", hs(nil)[:strings.LastIndexByte(hs(nil), '.')+1], fault.InvalidCredentials)
	f("empty", "", fault.InvalidCredentials)
	f("garbage", "a.b.c", fault.InvalidCredentials)
	f("huge", strings.Repeat("x", 1<<20), fault.InvalidCredentials)
	f("wrong issuer", hs(jwt.MapClaims{"iss": "https://elsewhere"}), fault.InvalidCredentials)
	f("no issuer", hs(jwt.MapClaims{"iss": "absent"}), fault.InvalidCredentials)
	f("no subject", hs(jwt.MapClaims{"sub": "absent"}), fault.InvalidCredentials)
	f("unknown subject", hs(jwt.MapClaims{"sub": "mallory"}), fault.InvalidCredentials)
	f("refresh", hs(jwt.MapClaims{"token_type": "refresh"}), fault.InvalidCredentials)
	f("no type", hs(jwt.MapClaims{"token_type": "absent"}), fault.InvalidCredentials)
	f("role mismatch", hs(jwt.MapClaims{"role": "dba"}), fault.InvalidCredentials)
	f("role in capitals", hs(jwt.MapClaims{"role": "User"}), fault.InvalidCredentials)
	f("issued in the future", hs(jwt.MapClaims{"iat": at(2 * time.Minute)}), fault.InvalidCredentials)
	f("issued within leeway", hs(jwt.MapClaims{"iat": at(30 * time.Second)}), "")
	f("not yet valid", hs(jwt.MapClaims{"nbf": at(2 * time.Minute)}), fault.InvalidCredentials)
	f("no end", hs(jwt.MapClaims{"exp": "absent"}), fault.InvalidCredentials)
	f("expired", hs(jwt.MapClaims{"exp": at(-2 * time.Minute)}), fault.TokenExpired)
	f("expired within leeway", hs(jwt.MapClaims{"exp": at(-30 * time.Second)}), "")
	f("expired and foreign", hs(jwt.MapClaims{"exp": at(-2 * time.Minute), "iss": "x"}), fault.InvalidCredentials)
	f("expired with wrong secret", sign(jwt.SigningMethodHS256, []byte("another"), jwt.MapClaims{"exp": at(-time.Hour)}), fault.InvalidCredentials)

	token := hs(nil)
	f("before its end", token, "")
	x.now = start.Add(2 * time.Hour)
	f("after its end, remembered", token, fault.TokenExpired)
}

func TestTokenCacheIsBounded(t *testing.T) {
	var c tokenCache
	for i := range 3*maxSeen + 1 {
		c.add(strings.Repeat("x", i%64)+string(rune(i)), &claims{})
	}
	if n := len(c.mu.young) + len(c.mu.old); n > 2*maxSeen {
		t.Errorf("%d tokens are remembered", n)
	}
}

func TestWrongPasswordsLock(t *testing.T) {
	x := open(t)
	_, unknown := x.login("nobody", "wrong")
	for range maxFailures {
		_, err := x.login("alice", "wrong")
		wantCode(t, "wrong password", err, fault.InvalidCredentials)
		if err.Error() != unknown.Error() {
			t.Errorf("an unknown user answers %v, a wrong password %v", unknown, err)
		}
	}
	_, err := x.login("alice", "alice's password")
	wantCode(t, "right password while locked", err, fault.AccountLocked)
	if !strings.Contains(err.Error(), "15 minute") {
		t.Errorf("lock reads %v", err)
	}
	x.now = x.now.Add(14*time.Minute + 30*time.Second)
	if _, err := x.login("alice", "alice's password"); err == nil || !strings.Contains(err.Error(), "1 minute") {
		t.Errorf("lock reads %v", err)
	}
	x.now = x.now.Add(time.Minute)
	_, err = x.login("alice", "wrong")
	wantCode(t, "first failure after a lock", err, fault.InvalidCredentials)
	_, err = x.login("alice", "alice's password")
	wantCode(t, "right password after a lock", err, "")
	if u := x.book.rows["alice"]; u.FailedLoginAttempts != 0 || u.LockedUntil != 0 || u.LastLoginAt == 0 {
		t.Errorf("row after a login: %+v", u)
	}
}

func TestAccountsWithoutPassword(t *testing.T) {
	x := open(t)
	x.book.rows["empty"] = schema.UserRecord{ID: "empty", Role: schema.RoleUser, AuthType: schema.AuthPassword}
	x.add(t, "oauth", schema.RoleUser, "a password")
	x.add(t, "gone", schema.RoleUser, "a password")
	oauth, gone := x.book.rows["oauth"], x.book.rows["gone"]
	oauth.AuthType, gone.DeletedAt = schema.AuthOAuth, 1
	x.book.rows["oauth"], x.book.rows["gone"] = oauth, gone
	for _, id := range []string{"empty", "oauth", "gone"} {
		for _, password := range []string{"", "a password"} {
			_, err := x.login(id, password)
			wantCode(t, id, err, fault.InvalidCredentials)
		}
		if x.book.rows[schema.UserID(id)].FailedLoginAttempts != 0 {
			t.Errorf("%s: failures are counted", id)
		}
	}
}

// When the row cannot be written, logins still work.
func TestLoginOnReadOnlyServer(t *testing.T) {
	x := open(t)
	x.book.fail = fault.New(fault.ReadOnly, "read only")
	_, err := x.login("alice", "alice's password")
	wantCode(t, "right", err, "")
	_, err = x.login("alice", "wrong")
	wantCode(t, "wrong", err, fault.InvalidCredentials)
}

func TestAfterLoginWritesOncePerMinute(t *testing.T) {
	u, changed := AfterLogin(schema.UserRecord{}, true, 100e6)
	if !changed || u.LastLoginAt != 100e6 {
		t.Errorf("first login: %+v, %v", u, changed)
	}
	if _, changed = AfterLogin(u, true, 159e6); changed {
		t.Error("a second login within a minute is written")
	}
	if _, changed = AfterLogin(u, true, 160e6); !changed {
		t.Error("a login after a minute is not written")
	}
	u.FailedLoginAttempts = 1
	if v, changed := AfterLogin(u, true, 101e6); !changed || v.FailedLoginAttempts != 0 {
		t.Error("failures are not cleared")
	}
	u.LockedUntil = 200e6
	if _, changed := AfterLogin(u, false, 150e6); changed {
		t.Error("a failure while locked is written")
	}
}

func TestRootAndSetup(t *testing.T) {
	x := open(t)
	ctx := context.Background()
	root := x.book.rows[Root]
	if root.Role != schema.RoleSystem || root.AuthType != schema.AuthInternal || root.Email != "root@localhost" {
		t.Errorf("root is %+v", root)
	}
	_, err := x.login("root", "")
	wantCode(t, "probe", err, fault.SetupRequired)
	_, err = x.login("root", "guess")
	wantCode(t, "remote guess", err, fault.PermissionDenied)
	_, err = x.Login(ctx, Root, "guess", Client{Local: true})
	wantCode(t, "local guess", err, fault.InvalidCredentials)

	good := Setup{User: "admin", Password: "admin's password", RootPassword: "root's password"}
	refuse := func(change func(*Setup), want error, code fault.Code, words string) {
		t.Helper()
		s := good
		change(&s)
		_, err := x.SetUp(ctx, s)
		if want != nil && !errors.Is(err, want) || code != "" && !fault.Is(err, code) {
			t.Errorf("got %v, want %v %v", err, want, code)
		}
		if !strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want words %q", err, words)
		}
		if x.book.rows[Root].PasswordHash != "" {
			t.Error("a refused setup has changed root")
		}
	}
	refuse(func(s *Setup) { s.User = "" }, ErrBadUser, "", "")
	refuse(func(s *Setup) { s.User = "a/b" }, ErrBadUser, "", "")
	refuse(func(s *Setup) { s.User = "root" }, ErrBadUser, "", "")
	refuse(func(s *Setup) { s.User = "alice" }, ErrUserExists, "", "")
	refuse(func(s *Setup) { s.Password = "short" }, nil, fault.WeakPassword, "DBA user password: Password must")
	refuse(func(s *Setup) { s.RootPassword = "short" }, nil, fault.WeakPassword, "Root password: Password must")

	u, err := x.SetUp(ctx, good)
	if err != nil || u.Role != schema.RoleDBA || u.ID != "admin" {
		t.Fatalf("SetUp = %+v, %v", u, err)
	}
	if _, err := x.SetUp(ctx, good); !errors.Is(err, ErrConfigured) {
		t.Errorf("second setup: %v", err)
	}
	_, err = x.login("root", "")
	wantCode(t, "empty password after setup", err, fault.InvalidCredentials)
	_, err = x.login("root", "root's password")
	wantCode(t, "root after setup", err, "")
	_, err = x.login("admin", "admin's password")
	wantCode(t, "admin after setup", err, "")
}

func TestBootstrapPassword(t *testing.T) {
	x := open(t)
	ctx := context.Background()
	if err := x.Bootstrap(ctx, "from the environment"); err != nil {
		t.Fatal(err)
	}
	if err := x.Bootstrap(ctx, "another one"); err != nil {
		t.Fatal(err)
	}
	_, err := x.login("root", "from the environment")
	wantCode(t, "configured password", err, "")
	_, err = x.login("root", "another one")
	wantCode(t, "password configured later", err, fault.InvalidCredentials)
}

func TestAttemptsAreLimited(t *testing.T) {
	x := open(t)
	n := 0
	for range 100 {
		if x.AllowAttempt("10.0.0.1") {
			n++
		}
	}
	if n != 20 || !x.AllowAttempt("10.0.0.2") || x.Stats().Refused != 80 {
		t.Errorf("%d attempts pass, stats %+v", n, x.Stats())
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := New(Options{}); err == nil || !strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "users") {
		t.Errorf("New = %v", err)
	}
}

// TestLoginsAreAudited: administrators leave an entry at each login and failure,
// others when they are locked, and a flood no more than that.
func TestLoginsAreAudited(t *testing.T) {
	x := open(t)
	x.add(t, "boss", schema.RoleDBA, "boss's password")
	var told []string
	x.o.Audit = func(_ context.Context, e schema.AuditEntry) error {
		if e.IP != "10.0.0.1" || e.Subject != e.Actor || e.Target != string(e.Actor) {
			t.Errorf("%+v", e)
		}
		told = append(told, e.Action+" "+e.Target+" "+e.Details)
		return nil
	}
	want := func(what string, entries ...string) {
		t.Helper()
		if got := strings.Join(told, "; "); got != strings.Join(entries, "; ") {
			t.Errorf("%s: %s", what, got)
		}
		told = nil
	}
	try := func(id, password string, times int) {
		for range times {
			_, _ = x.login(id, password)
		}
	}
	try("boss", "boss's password", 2)
	want("two logins of an administrator", "LOGIN boss Role: dba", "LOGIN boss Role: dba")
	try("alice", "alice's password", 1)
	try("alice", "wrong", 4)
	try("nobody", "wrong", 20)
	want("a user, and nobody")
	try("alice", "wrong", 30)
	want("a user is locked", "ACCOUNT_LOCKED alice Role: user, 5 wrong passwords")
	try("boss", "wrong", 30)
	failed := "LOGIN_FAILED boss Role: dba"
	want("a flood", failed, failed, failed, failed, "ACCOUNT_LOCKED boss Role: dba, 5 wrong passwords")
	x.now = x.now.Add(lockFor + time.Second)
	try("boss", "boss's password", 1)
	want("after the lock", "LOGIN boss Role: dba")
}
