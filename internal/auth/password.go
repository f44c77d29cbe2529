package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"kalamdb/internal/fault"
)

// maxBcrypt is how many bytes of a password bcrypt looks at.
const maxBcrypt = 72

// maxHashQueue is how many hashes may wait for a processor.
const maxHashQueue = 256

// commonPasswords are refused whatever their case. It is never written.
var commonPasswords = map[string]bool{
	"password": true, "12345678": true, "123456789": true, "1234567890": true, "87654321": true,
	"11111111": true, "00000000": true, "passw0rd": true, "p@ssw0rd": true, "baseball": true,
	"trustno1": true, "football": true, "sunshine": true, "princess": true, "superman": true,
	"iloveyou": true, "computer": true, "internet": true, "starwars": true, "whatever": true,
	"qwertyui": true, "qwertyuiop": true, "1q2w3e4r": true, "asdfghjkl": true, "abcd1234": true,
	"letmein1": true,
}

// PasswordOptions are the rules for passwords and the price of guessing them.
type PasswordOptions struct {
	// Cost is bcrypt's; 0 means 12.
	Cost int
	// MinLength and MaxLength are in characters; 0 means 8 and 72. bcrypt
	// limits passwords to 72 bytes whatever MaxLength says.
	MinLength, MaxLength int
	// AllowCommon switches the list of common passwords off.
	AllowCommon bool
	// Complexity asks for an upper and a lower case letter, a digit and a
	// special character.
	Complexity bool
	// Off switches every rule off, for tests.
	Off bool
}

// Passwords checks and hashes passwords. It may be used by many goroutines.
type Passwords struct {
	o     PasswordOptions
	dummy []byte        // a hash that no password has, compared for unknown users
	slots chan struct{} // a token per hash that may run at one time
	queue chan struct{} // a token per hash that may run or wait
}

// NewPasswords returns Passwords with the rules of o.
func NewPasswords(o PasswordOptions) (*Passwords, error) {
	if o.Cost == 0 {
		o.Cost = 12
	}
	if o.MinLength == 0 {
		o.MinLength = 8
	}
	if o.MaxLength == 0 {
		o.MaxLength = maxBcrypt
	}
	if o.Cost < bcrypt.MinCost || o.Cost > bcrypt.MaxCost {
		return nil, fmt.Errorf("bcrypt cost %d is not between %d and %d", o.Cost, bcrypt.MinCost, bcrypt.MaxCost)
	}
	return &Passwords{
		o: o,
		// Any salt and digest cost the same to compare with; making a real
		// hash would only slow the start down.
		dummy: fmt.Appendf(nil, "$2a$%02d$%s", o.Cost, strings.Repeat("e", 22+31)),
		// One processor stays free for statements while logins hash.
		slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)),
		queue: make(chan struct{}, maxHashQueue),
	}, nil
}

// Check refuses passwords that are against the rules, with WEAK_PASSWORD.
func (p *Passwords) Check(password string) error {
	if len(password) > maxBcrypt {
		return fault.New(fault.WeakPassword, "Password must be at most %d bytes long", maxBcrypt)
	}
	if p.o.Off {
		return nil
	}
	n := utf8.RuneCountInString(password)
	if n < p.o.MinLength {
		return fault.New(fault.WeakPassword, "Password must be at least %d characters long", p.o.MinLength)
	}
	if n > p.o.MaxLength {
		return fault.New(fault.WeakPassword, "Password must be at most %d characters long", p.o.MaxLength)
	}
	if !p.o.AllowCommon && commonPasswords[strings.ToLower(password)] {
		return fault.New(fault.WeakPassword, "Password is too common; choose another one")
	}
	if p.o.Complexity {
		return checkComplexity(password)
	}
	return nil
}

func checkComplexity(password string) error {
	var upper, lower, digit, special bool
	for _, r := range password {
		switch {
		case unicode.IsUpper(r):
			upper = true
		case unicode.IsLower(r):
			lower = true
		case unicode.IsDigit(r):
			digit = true
		case !unicode.IsLetter(r):
			special = true
		}
	}
	missing := ""
	switch {
	case !upper:
		missing = "uppercase letter"
	case !lower:
		missing = "lowercase letter"
	case !digit:
		missing = "digit"
	case !special:
		missing = "special character"
	default:
		return nil
	}
	return fault.New(fault.WeakPassword, "Password must contain at least one %s", missing)
}

// Hash returns the bcrypt hash of a password that Check has passed. When too
// many hashes wait it answers SERVER_BUSY.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	done, err := p.enter(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), p.o.Cost)
	if errors.Is(err, bcrypt.ErrPasswordTooLong) {
		return "", fault.New(fault.WeakPassword, "Password must be at most %d bytes long", maxBcrypt)
	}
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	// For the passwords that pass above, $2a$ and $2b$ are one algorithm;
	// clients look for the newer mark.
	return "$2b$" + strings.TrimPrefix(string(hash), "$2a$"), nil
}

// matches compares a password with a hash. With hash "" it costs the same and
// answers false.
func (p *Passwords) matches(ctx context.Context, hash, password string) (bool, error) {
	done, err := p.enter(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	if hash == "" || len(password) > maxBcrypt {
		bcrypt.CompareHashAndPassword(p.dummy, []byte(password[:min(len(password), maxBcrypt)]))
		return false, nil
	}
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil, nil
}

// enter waits for a processor to hash on.
func (p *Passwords) enter(ctx context.Context) (done func(), err error) {
	select {
	case p.queue <- struct{}{}:
	default:
		return nil, fault.New(fault.ServerBusy, "%d password checks are waiting; try again", maxHashQueue)
	}
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots; <-p.queue }, nil
	case <-ctx.Done():
		<-p.queue
		return nil, ctx.Err()
	}
}
