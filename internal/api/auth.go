package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"kalamdb/internal/auth"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// Names of the cookies.
const (
	accessCookie  = "kalamdb_auth"
	refreshCookie = "kalamdb_refresh"
)

// Bounds of a login.
const (
	maxLoginUser     = 128
	maxLoginPassword = 256
	maxAuthBody      = 16 << 10
)

// userBody is how a user looks in answers.
type userBody struct {
	ID        schema.UserID `json:"id"`
	Role      string        `json:"role"`
	Name      *string       `json:"name"`
	Email     *string       `json:"email"`
	CreatedAt string        `json:"created_at"`
	UpdatedAt string        `json:"updated_at"`
}

func userBodyOf(u schema.UserRecord) userBody {
	b := userBody{ID: u.ID, Role: u.Role.String(), CreatedAt: instant(u.CreatedAt), UpdatedAt: instant(u.UpdatedAt)}
	if u.Email != "" {
		b.Email = &u.Email
	}
	return b
}

// instant writes microseconds since the Unix epoch as RFC 3339 in UTC.
func instant(micros int64) string { return moment(time.UnixMicro(micros)) }

func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999") + "+00:00" }

// grantBody answers a login or refresh.
type grantBody struct {
	User             userBody `json:"user"`
	AdminUIAccess    bool     `json:"admin_ui_access"`
	ExpiresAt        string   `json:"expires_at"`
	AccessToken      string   `json:"access_token"`
	RefreshToken     string   `json:"refresh_token"`
	RefreshExpiresAt string   `json:"refresh_expires_at"`
}

// meBody answers /me.
type meBody struct {
	User          userBody `json:"user"`
	AdminUIAccess bool     `json:"admin_ui_access"`
}

// refusal is the shape of errors of the auth routes.
type refusal struct {
	status  int
	Error   string `json:"error"`
	Message string `json:"message"`
}

// write answers with a value as JSON.
func write(ctx *fasthttp.RequestCtx, status int, v any) {
	isJSON(ctx, status)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the bodies of this file always encode
	ctx.SetBody(bytes.TrimRight(b.Bytes(), "\n"))
}

func writeRefusal(ctx *fasthttp.RequestCtx, r refusal) { write(ctx, r.status, r) }

// Refusals that several routes share. They are never written.
var (
	tooManyAttempts = refusal{429, "rate_limited", "Too many authentication attempts. Please retry shortly."}
	noCredentials   = refusal{401, "unauthorized", "Invalid credentials"}
)

// refuseAuth answers an auth route with a fault.
func (s *Server) refuseAuth(ctx *fasthttp.RequestCtx, err error) {
	err = s.timeAsFault(err)
	f := fault.Of(err)
	switch f.Code {
	case fault.TokenExpired, fault.InvalidCredentials:
		writeRefusal(ctx, noCredentials)
	case fault.MissingAuthorization:
		writeRefusal(ctx, refusal{401, "unauthorized", f.Message})
	case fault.AccountLocked:
		writeRefusal(ctx, refusal{401, "account_locked", f.Message})
	case fault.SetupRequired:
		writeRefusal(ctx, refusal{428, "setup_required", f.Message})
	case fault.PermissionDenied:
		writeRefusal(ctx, refusal{403, "forbidden", f.Message})
	case fault.RateLimitExceeded:
		writeRefusal(ctx, tooManyAttempts)
	case fault.InvalidInput:
		writeRefusal(ctx, refusal{400, "invalid_request", f.Message})
	case fault.WeakPassword:
		writeRefusal(ctx, refusal{400, "weak_password", f.Message})
	case fault.ServerBusy, fault.DiskFull, fault.ReadOnly, fault.ShuttingDown:
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
		writeRefusal(ctx, refusal{503, "unavailable", f.Sentence()})
	default:
		s.o.Logger.Error("authentication failed", "path", string(ctx.Path()), "error", err)
		writeRefusal(ctx, refusal{500, "internal_error", "Authentication failed"})
	}
}

// strict decodes a JSON object and refuses unknown fields.
func strict(ctx *fasthttp.RequestCtx, into any) error {
	body, err := readBody(ctx, maxAuthBody)
	if err != nil {
		return fault.New(fault.InvalidInput, "Invalid JSON payload: %s", err)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fault.New(fault.InvalidInput, "Invalid JSON payload: %s", plainJSONError(err))
	}
	if _, err := d.Token(); err != io.EOF {
		return fault.New(fault.InvalidInput, "Invalid JSON payload: text after the object")
	}
	return nil
}

// plainJSONError words an error of the decoder without names of Go.
func plainJSONError(err error) string {
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return "field " + mismatch.Field + " has the wrong type"
	case errors.As(err, &mismatch):
		return "the body is not an object"
	case errors.Is(err, io.EOF):
		return "the body is empty"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// named is a user under either of its two names.
type named struct {
	User     *string `json:"user"`
	Username *string `json:"username"`
}

// id returns the user, who must have been given under exactly one name.
func (n named) id() (schema.UserID, error) {
	switch {
	case n.User != nil && n.Username != nil:
		return "", fault.New(fault.InvalidInput, "Invalid JSON payload: duplicate field user")
	case n.User != nil:
		return schema.UserID(*n.User), nil
	case n.Username != nil:
		return schema.UserID(*n.Username), nil
	}
	return "", fault.New(fault.InvalidInput, "Invalid JSON payload: missing field user")
}

// login serves POST /v1/api/auth/login.
func (s *Server) login(ctx *fasthttp.RequestCtx, client auth.Client) {
	if !s.o.Auth.AllowAttempt(client.IP) {
		writeRefusal(ctx, tooManyAttempts)
		return
	}
	var in struct {
		named
		Password *string `json:"password"`
	}
	if err := strict(ctx, &in); err != nil {
		s.refuseAuth(ctx, err)
		return
	}
	id, err := in.id()
	switch {
	case err != nil:
	case in.Password == nil:
		err = fault.New(fault.InvalidInput, "Invalid JSON payload: missing field password")
	case len(id) > maxLoginUser:
		err = fault.New(fault.InvalidInput, "user is longer than %d bytes", maxLoginUser)
	case len(*in.Password) > maxLoginPassword:
		err = fault.New(fault.InvalidInput, "password is longer than %d bytes", maxLoginPassword)
	}
	if err != nil {
		s.refuseAuth(ctx, err)
		return
	}
	g, err := s.o.Auth.Login(s.requests, id, *in.Password, client)
	s.grant(ctx, g, err)
}

// grant answers with tokens and sets both cookies.
func (s *Server) grant(ctx *fasthttp.RequestCtx, g auth.Grant, err error) {
	if err != nil {
		s.refuseAuth(ctx, err)
		return
	}
	s.setCookie(ctx, accessCookie, g.Access)
	s.setCookie(ctx, refreshCookie, g.Refresh)
	write(ctx, fasthttp.StatusOK, grantBody{
		User: userBodyOf(g.User), AdminUIAccess: g.User.Role.Admin(),
		ExpiresAt: moment(g.Access.ExpiresAt), AccessToken: g.Access.Text,
		RefreshToken: g.Refresh.Text, RefreshExpiresAt: moment(g.Refresh.ExpiresAt),
	})
}

// refresh serves POST /v1/api/auth/refresh: the cookie first, then the header.
func (s *Server) refresh(ctx *fasthttp.RequestCtx, client auth.Client) {
	if !s.o.Auth.AllowAttempt(client.IP) {
		writeRefusal(ctx, tooManyAttempts)
		return
	}
	token := string(ctx.Request.Header.Cookie(refreshCookie))
	if token == "" {
		var err error
		if token, err = headerToken(ctx); err != nil {
			s.refuseAuth(ctx, err)
			return
		}
	}
	g, err := s.o.Auth.Refresh(s.requests, token)
	switch {
	case errors.Is(err, auth.ErrNotRefresh):
		writeRefusal(ctx, refusal{401, "unauthorized", "Refresh endpoint requires a refresh token"})
	case errors.Is(err, auth.ErrUserGone):
		writeRefusal(ctx, refusal{401, "unauthorized", "User no longer valid"})
	case errors.Is(err, auth.ErrRoleChanged):
		writeRefusal(ctx, refusal{401, "unauthorized", "Token role does not match user role"})
	default:
		s.grant(ctx, g, err)
	}
}

// headerToken returns the token of the Authorization header, in words for the
// auth routes.
func headerToken(ctx *fasthttp.RequestCtx) (string, error) {
	header := ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)
	if len(header) == 0 {
		return "", fault.New(fault.MissingAuthorization, "No auth token found")
	}
	token, ok := bearerToken(header)
	if !ok {
		return "", fault.New(fault.MissingAuthorization, "Authorization header must use Bearer token")
	}
	return token, nil
}

// me serves GET /v1/api/auth/me: the header first, then the cookie.
func (s *Server) me(ctx *fasthttp.RequestCtx, _ auth.Client) {
	token, err := headerToken(ctx)
	if cookie := ctx.Request.Header.Cookie(accessCookie); err != nil && len(cookie) > 0 &&
		len(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)) == 0 {
		token, err = string(cookie), nil
	}
	if err != nil {
		s.refuseAuth(ctx, err)
		return
	}
	u, err := s.o.Auth.Me(s.requests, token)
	if err != nil {
		s.refuseAuth(ctx, err)
		return
	}
	write(ctx, fasthttp.StatusOK, meBody{User: userBodyOf(u), AdminUIAccess: u.Role.Admin()})
}

// logout serves POST /v1/api/auth/logout. Tokens stay valid until they end.
func (s *Server) logout(ctx *fasthttp.RequestCtx, _ auth.Client) {
	for _, name := range []string{accessCookie, refreshCookie} {
		s.setCookie(ctx, name, auth.Token{ExpiresAt: time.Unix(0, 0)})
	}
	write(ctx, fasthttp.StatusOK, struct {
		Message string `json:"message"`
	}{"Logged out successfully"})
}

// setCookie sets one of the two cookies.
func (s *Server) setCookie(ctx *fasthttp.RequestCtx, name string, t auth.Token) {
	c := fasthttp.AcquireCookie()
	defer fasthttp.ReleaseCookie(c)
	c.SetKey(name)
	c.SetValue(t.Text)
	c.SetPath("/")
	c.SetHTTPOnly(true)
	c.SetSameSite(fasthttp.CookieSameSiteStrictMode)
	c.SetExpire(t.ExpiresAt)
	c.SetSecure(s.o.CookieSecure && s.overHTTPS(ctx))
	ctx.Response.Header.SetCookie(c)
}

// overHTTPS reports whether the client spoke https, as a trusted proxy says.
func (s *Server) overHTTPS(ctx *fasthttp.RequestCtx) bool {
	return ctx.IsTLS() || trusted(addrOf(ctx.RemoteAddr()), s.o.TrustedProxies) &&
		string(ctx.Request.Header.Peek("X-Forwarded-Proto")) == "https"
}

// setupStatus serves GET /v1/api/auth/status.
func (s *Server) setupStatus(ctx *fasthttp.RequestCtx, client auth.Client) {
	if !client.Local && !s.o.AllowRemoteSetup {
		writeRefusal(ctx, refusal{403, "forbidden", "Setup status can only be checked from localhost"})
		return
	}
	needed, err := s.o.Auth.NeedsSetup(s.requests)
	if err != nil {
		s.refuseAuth(ctx, err)
		return
	}
	message := "Server is configured and ready."
	if needed {
		message = "Server requires initial setup. Root password is not configured."
	}
	write(ctx, fasthttp.StatusOK, struct {
		NeedsSetup       bool   `json:"needs_setup"`
		Message          string `json:"message"`
		LocalAuthEnabled bool   `json:"local_auth_enabled"`
	}{needed, message, true})
}

// setup serves POST /v1/api/auth/setup.
func (s *Server) setup(ctx *fasthttp.RequestCtx, client auth.Client) {
	if !client.Local && !s.o.AllowRemoteSetup {
		writeRefusal(ctx, refusal{403, "forbidden", "Server setup can only be performed from localhost"})
		return
	}
	if !s.o.Auth.AllowAttempt(client.IP) {
		writeRefusal(ctx, refusal{429, "rate_limited", "Too many setup attempts. Please retry shortly."})
		return
	}
	in, err := decodeSetup(ctx)
	if err != nil {
		s.refuseAuth(ctx, err)
		return
	}
	in.From = client
	u, err := s.o.Auth.SetUp(s.requests, in)
	switch {
	case err == nil:
		write(ctx, fasthttp.StatusOK, struct {
			User    userBody `json:"user"`
			Message string   `json:"message"`
		}{userBodyOf(u), "Server setup complete. Root password configured and DBA user '" + string(u.ID) +
			"' created. Please login to continue."})
	case errors.Is(err, auth.ErrConfigured):
		writeRefusal(ctx, refusal{409, "already_configured", "Server has already been configured. Root password is set."})
	case errors.Is(err, auth.ErrBadUser):
		writeRefusal(ctx, refusal{400, "invalid_user", "The user name is empty, reserved or has characters that are not allowed"})
	case errors.Is(err, auth.ErrUserExists), fault.Is(err, fault.AlreadyExists):
		writeRefusal(ctx, refusal{409, "user_exists", "User '" + string(in.User) + "' already exists"})
	default:
		s.refuseAuth(ctx, err)
	}
}

func decodeSetup(ctx *fasthttp.RequestCtx) (auth.Setup, error) {
	var in struct {
		named
		Password     *string `json:"password"`
		RootPassword *string `json:"root_password"`
		Email        *string `json:"email"`
	}
	if err := strict(ctx, &in); err != nil {
		return auth.Setup{}, err
	}
	id, err := in.id()
	if err != nil {
		return auth.Setup{}, err
	}
	if in.Password == nil || in.RootPassword == nil {
		return auth.Setup{}, fault.New(fault.InvalidInput, "Invalid JSON payload: password and root_password are required")
	}
	s := auth.Setup{User: id, Password: *in.Password, RootPassword: *in.RootPassword}
	if in.Email != nil {
		s.Email = *in.Email
	}
	return s, nil
}
