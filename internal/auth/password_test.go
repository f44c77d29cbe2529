package auth

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"kalamdb/internal/fault"
)

func passwords(t testing.TB, o PasswordOptions) *Passwords {
	t.Helper()
	o.Cost = bcrypt.MinCost
	p, err := NewPasswords(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPasswordRules(t *testing.T) {
	f := func(o PasswordOptions, password, want string) {
		t.Helper()
		err := passwords(t, o).Check(password)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", password, err)
		case want != "" && (!fault.Is(err, fault.WeakPassword) || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: got %v, want %q", password, err, want)
		}
	}
	plain := PasswordOptions{}
	f(plain, "seven77", "at least 8 characters")
	f(plain, "eight888", "")
	f(plain, "ä€漢字äöüß", "")
	f(plain, strings.Repeat("x", 72), "")
	f(plain, strings.Repeat("x", 73), "at most 72")
	f(plain, strings.Repeat("漢", 25), "at most 72 bytes")
	for _, common := range []string{"password", "PassWord", "12345678", "passw0rd", "baseball", "trustno1"} {
		f(plain, common, "too common")
	}
	for _, fine := range []string{"password1", "testpass123", "TestPass123!"} {
		f(plain, fine, "")
	}
	f(PasswordOptions{AllowCommon: true}, "password", "")
	f(PasswordOptions{MinLength: 10, MaxLength: 12}, "ninechars", "at least 10")
	f(PasswordOptions{MinLength: 10, MaxLength: 12}, "thirteenchars", "at most 12")

	strict := PasswordOptions{Complexity: true}
	f(strict, "lowercase1!", "uppercase")
	f(strict, "UPPERCASE1!", "lowercase")
	f(strict, "NoDigits!!", "digit")
	f(strict, "NoSpecial1", "special character")
	f(strict, "Complete1!", "")

	off := PasswordOptions{Off: true}
	f(off, "", "")
	f(off, "password", "")
	f(off, strings.Repeat("x", 73), "at most 72")
}

func TestHash(t *testing.T) {
	ctx := context.Background()
	p := passwords(t, PasswordOptions{})
	hash, err := p.Hash(ctx, "correct horse")
	if err != nil || !strings.HasPrefix(hash, "$2b$04$") {
		t.Fatalf("Hash = %q, %v", hash, err)
	}
	f := func(hash, password string, want bool) {
		t.Helper()
		if got, err := p.matches(ctx, hash, password); err != nil || got != want {
			t.Errorf("matches(%q) = %v, %v", password, got, err)
		}
	}
	f(hash, "correct horse", true)
	f(hash, "Correct horse", false)
	f(hash, "", false)
	f("", "correct horse", false)
	f("", "no account has this password", false)
	f("not a hash", "correct horse", false)
	f(hash, strings.Repeat("x", 100), false)
	if _, err := p.Hash(ctx, strings.Repeat("x", 73)); !fault.Is(err, fault.WeakPassword) {
		t.Errorf("a password of 73 bytes: %v", err)
	}
}

// What unknown users are compared with is a hash that costs as much as others,
// not one that is refused at once for its shape.
func TestDummyHashIsCompared(t *testing.T) {
	p := passwords(t, PasswordOptions{})
	if err := bcrypt.CompareHashAndPassword(p.dummy, []byte("x")); err != bcrypt.ErrMismatchedHashAndPassword {
		t.Errorf("the comparison ends with %v", err)
	}
	if cost, err := bcrypt.Cost(p.dummy); err != nil || cost != bcrypt.MinCost {
		t.Errorf("it costs %d, %v", cost, err)
	}
}

// A password of more than 72 bytes must not match because bcrypt cuts it.
func TestLongPasswordDoesNotMatchItsHead(t *testing.T) {
	p := passwords(t, PasswordOptions{})
	head := strings.Repeat("x", 72)
	hash, err := p.Hash(context.Background(), head)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := p.matches(context.Background(), hash, head+"tail"); ok {
		t.Error("the tail was ignored")
	}
}

func TestHashQueueIsBounded(t *testing.T) {
	p := passwords(t, PasswordOptions{})
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	for range cap(p.queue) {
		p.queue <- struct{}{}
	}
	if _, err := p.Hash(context.Background(), "x"); !fault.Is(err, fault.ServerBusy) {
		t.Errorf("a full queue answers %v", err)
	}
	<-p.queue
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Hash(ctx, "x"); err != context.Canceled {
		t.Errorf("a cancelled caller gets %v", err)
	}
	if len(p.queue) != cap(p.queue)-1 {
		t.Error("a cancelled caller keeps its place")
	}
}

func TestLimiter(t *testing.T) {
	now := start
	l := NewLimiter(LimiterOptions{PerSecond: 3, Entries: 2, Idle: time.Minute, Now: func() time.Time { return now }})
	f := func(key string, want bool) {
		t.Helper()
		if got := l.Allow(key); got != want {
			t.Errorf("Allow(%s) = %v", key, got)
		}
	}
	f("a", true)
	f("a", true)
	f("a", true)
	f("a", false)
	f("b", true)
	now = now.Add(400 * time.Millisecond)
	f("a", true)
	f("a", false)
	now = now.Add(time.Hour)
	f("a", true) // never more than the bucket holds
	f("a", true)
	f("a", true)
	f("a", false)
	f("b", true)
	f("c", true) // forgets a, the longest idle
	if l.Len() != 2 {
		t.Errorf("%d keys are remembered", l.Len())
	}
	now = now.Add(time.Hour)
	f("d", true)
	if l.Len() != 1 {
		t.Errorf("idle keys are kept: %d", l.Len())
	}
}
