package auth

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// issuer is the only issuer whose tokens are accepted.
const issuer = "kalamdb"

// leeway is how far the clocks of two machines may differ.
const leeway = 60 * time.Second

// maxToken is the length of a token in bytes; longer ones are not parsed.
const maxToken = 8 << 10

// tokenType tells the two tokens of a login apart.
type tokenType string

const (
	accessToken  tokenType = "access"
	refreshToken tokenType = "refresh"
)

// Token is a signed token and its end.
type Token struct {
	Text      string
	ExpiresAt time.Time
}

// claims are what a token says.
type claims struct {
	Subject   string           `json:"sub"`
	Issuer    string           `json:"iss"`
	IssuedAt  *jwt.NumericDate `json:"iat,omitempty"`
	NotBefore *jwt.NumericDate `json:"nbf,omitempty"`
	ExpiresAt *jwt.NumericDate `json:"exp,omitempty"`
	Email     *string          `json:"email"`
	Role      *string          `json:"role,omitempty"`
	TokenType tokenType        `json:"token_type,omitempty"`
}

// before reports whether a token was issued before a moment in microseconds,
// in whole seconds as tokens count them; 0 is no moment.
func (c *claims) before(micros int64) bool {
	if micros == 0 {
		return false
	}
	return c.IssuedAt == nil || c.IssuedAt.Unix() < micros/1_000_000
}

// The methods below are what the jwt library reads of claims.

// GetExpirationTime returns exp.
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.ExpiresAt, nil }

// GetIssuedAt returns iat.
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error) { return c.IssuedAt, nil }

// GetNotBefore returns nbf.
func (c *claims) GetNotBefore() (*jwt.NumericDate, error) { return c.NotBefore, nil }

// GetIssuer returns iss.
func (c *claims) GetIssuer() (string, error) { return c.Issuer, nil }

// GetSubject returns sub.
func (c *claims) GetSubject() (string, error) { return c.Subject, nil }

// GetAudience returns nothing: the audience of our own tokens is not checked.
func (c *claims) GetAudience() (jwt.ClaimStrings, error) { return nil, nil }

// tokens mints and checks tokens.
type tokens struct {
	secret []byte
	access time.Duration // lifetime of an access token
	now    func() time.Time
	parser *jwt.Parser
	seen   tokenCache
}

func newTokens(secret []byte, access time.Duration, now func() time.Time) *tokens {
	return &tokens{
		secret: secret, access: access, now: now,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithIssuer(issuer),
			jwt.WithLeeway(leeway),
			jwt.WithIssuedAt(),
			jwt.WithExpirationRequired(),
			jwt.WithTimeFunc(now),
		),
	}
}

// mint signs a token of a type for a user.
func (t *tokens) mint(u schema.UserRecord, kind tokenType) (Token, error) {
	now := t.now().Truncate(time.Second)
	lifetime := t.access
	if kind == refreshToken {
		lifetime *= 7
	}
	role := u.Role.String()
	c := &claims{
		Subject: string(u.ID), Issuer: issuer,
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
		Role: &role, TokenType: kind,
	}
	if u.Email != "" {
		c.Email = &u.Email
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(t.secret)
	if err != nil {
		return Token{}, fmt.Errorf("sign token: %w", err)
	}
	return Token{Text: text, ExpiresAt: now.Add(lifetime).UTC()}, nil
}

// check verifies signature, algorithm, issuer and times. Only a token that is
// right in everything but its end is TOKEN_EXPIRED.
func (t *tokens) check(text string) (*claims, error) {
	if c, ok := t.seen.find(text); ok {
		if t.now().After(c.ExpiresAt.Add(leeway)) {
			return nil, errExpired()
		}
		return c, nil
	}
	if len(text) > maxToken {
		return nil, errInvalid(errors.New("token is too long"))
	}
	c := &claims{}
	_, err := t.parser.ParseWithClaims(text, c, func(*jwt.Token) (any, error) { return t.secret, nil })
	switch {
	case err == nil && c.Subject == "":
		return nil, errInvalid(errors.New("token has no subject"))
	case err == nil:
		t.seen.add(text, c)
		return c, nil
	case errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenInvalidIssuer) &&
		!errors.Is(err, jwt.ErrTokenNotValidYet) && !errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return nil, errExpired()
	}
	return nil, errInvalid(err)
}

func errExpired() error { return fault.New(fault.TokenExpired, "Invalid credentials") }

func errInvalid(cause error) error {
	return fault.Wrap(fault.InvalidCredentials, cause, "Invalid credentials")
}

// maxSeen is the size of one generation of a tokenCache.
const maxSeen = 2048

// tokenCache remembers tokens whose signature has been verified, so that a
// request costs a lookup. When a generation is full it becomes the old one and
// the one before is forgotten.
type tokenCache struct {
	mu struct {
		sync.RWMutex
		young, old map[string]*claims
	}
}

func (c *tokenCache) find(text string) (*claims, bool) {
	c.mu.RLock()
	found, ok := c.mu.young[text]
	if ok {
		c.mu.RUnlock()
		return found, true
	}
	found, ok = c.mu.old[text]
	c.mu.RUnlock()
	if ok {
		c.add(text, found)
	}
	return found, ok
}

func (c *tokenCache) add(text string, verified *claims) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.young == nil || len(c.mu.young) >= maxSeen {
		c.mu.old, c.mu.young = c.mu.young, make(map[string]*claims, 64)
	}
	c.mu.young[text] = verified
}
