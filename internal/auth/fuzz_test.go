package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// signed makes a token of any header and claims, signed as ours are.
func signed(header, claims string) string {
	b64 := base64.RawURLEncoding
	text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + b64.EncodeToString(mac.Sum(nil))
}

// FuzzToken: no token makes the checks panic; what is refused is refused in the
// same words each time; and what is taken says, read by somebody else, that it
// is ours, of a user who is there, and not over.
func FuzzToken(f *testing.F) {
	x := open(f)
	const header = `{"alg":"HS256","typ":"JWT"}`
	claims := func(text string) string {
		at := func(d time.Duration) string { return strconv.FormatInt(start.Add(d).Unix(), 10) }
		return strings.NewReplacer("EXP", at(time.Hour), "IAT", at(0)).Replace(text)
	}
	for _, text := range []string{
		`{"sub":"alice","iss":"kalamdb","iat":IAT,"exp":EXP,"email":null,"role":"user","token_type":"access"}`,
		`{"sub":"alice","iss":"kalamdb","exp":1e300,"token_type":"access"}`, `{"sub":"alice","iss":"kalamdb","exp":-1,"token_type":"access"}`,
		`{"sub":"alice","iss":"kalamdb","exp":"EXP","token_type":"access"}`, `{"sub":"nobody","iss":"kalamdb","exp":EXP,"token_type":"refresh"}`,
		`{"sub":"alice","iss":"kalamdb","exp":9223372036854775807.5,"nbf":-1e18,"token_type":"access","role":"dba"}`, `[]`, `null`, `{"sub":7}`,
	} {
		f.Add(header, claims(text), "", true)
	}
	f.Add(`{"alg":"none"}`, `{}`, "a.b.c", false)
	f.Add(`{"alg":"HS512","kid":"../x","crit":["b64"],"b64":false}`, claims(`{"sub":"alice","exp":EXP}`), "..", true)
	f.Fuzz(func(t *testing.T, header, claims, raw string, sign bool) {
		token := raw
		if sign {
			token = signed(header, claims)
		}
		ctx := context.Background()
		s, err := x.Authenticate(ctx, token)
		again, err2 := x.Authenticate(ctx, token) // it may come from the cache
		if (err == nil) != (err2 == nil) || err != nil && fault.CodeOf(err) != fault.CodeOf(err2) || err == nil && *s != *again {
			t.Fatalf("%q gives %+v, %v and then %+v, %v", token, s, err, again, err2)
		}
		_, refreshed := x.Refresh(ctx, token)
		if err == nil && refreshed == nil {
			t.Fatalf("%q is an access token and a refresh token", token)
		}
		for _, err := range []error{err, refreshed} {
			if code := fault.CodeOf(err); err != nil && code != fault.InvalidCredentials && code != fault.TokenExpired {
				t.Fatalf("%q: %v", token, err)
			}
		}
		if err == nil {
			checkTaken(t, token, s)
		}
	})
}

// checkTaken reads the claims of a token that was taken.
func checkTaken(t *testing.T, token string, s *Session) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q has %d parts", token, len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Sub, Iss  string
		TokenType string `json:"token_type"`
		Exp       json.Number
		Role      *string
	}
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatalf("%q was taken: %v", text, err)
	}
	if c.Sub != "alice" || s.UserID != "alice" || s.Actor != "alice" || s.Role != schema.RoleUser || c.Iss != issuer || c.TokenType != "access" {
		t.Fatalf("%q was taken for %+v", text, s)
	}
	if end, err := c.Exp.Float64(); err != nil || end < float64(start.Add(-leeway).Unix())-1 || c.Role != nil && *c.Role != "user" {
		t.Fatalf("%q was taken", text)
	}
	if !hmac.Equal([]byte(signed(mustDecode(t, parts[0]), string(text))), []byte(token)) {
		t.Fatalf("%q was taken, but is not signed", token)
	}
}

func mustDecode(t *testing.T, part string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// FuzzPassword: no hash from a row and no password make the comparison panic,
// and only what was hashed matches.
func FuzzPassword(f *testing.F) {
	p := passwords(f, PasswordOptions{})
	ctx := context.Background()
	const right = "a right password"
	hash, err := p.Hash(ctx, right)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(hash, right)
	f.Add(hash[:29], right)
	f.Add("$2a$31$"+hash[7:], "")
	f.Add("$2a$99$"+hash[7:], "\x00")
	f.Add("", strings.Repeat("x", 73))
	f.Fuzz(func(t *testing.T, stored, password string) {
		if cost, err := bcrypt.Cost([]byte(stored)); err == nil && cost > 5 {
			return // each step of the cost doubles the time
		}
		ok, err := p.matches(ctx, stored, password)
		// Bcrypt repeats a password with a NUL behind it, so that a longer text of
		// such repetitions is the same password.
		if ok && (err != nil || stored == hash && password != right && !strings.HasPrefix(password, right+"\x00")) {
			t.Fatalf("%q matches %q, %v", password, stored, err)
		}
		if stored == hash && password == right && !ok {
			t.Fatalf("%q does not match its hash: %v", password, err)
		}
		if err := p.Check(password); err != nil && fault.CodeOf(err) != fault.WeakPassword {
			t.Fatalf("%q is weak: %v", password, err)
		}
		_ = CheckUserID(schema.UserID(stored))
	})
}
