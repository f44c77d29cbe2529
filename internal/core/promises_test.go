package core_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/api"
	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// TestGeneratedKeysReplaceNothing: a generated key that somebody has written
// beforehand is a duplicate like any other.
func TestGeneratedKeysReplaceNothing(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE g; CREATE SHARED TABLE g.t (id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(), v TEXT)")
	mustRun(t, db, root, "INSERT INTO g.t (v) VALUES ('drawn')")
	const ahead = 5
	last := one(t, db, "SELECT MAX(id) FROM g.t")
	for i := 1; i <= ahead; i++ {
		mustRun(t, db, root, fmt.Sprintf("INSERT INTO g.t (id, v) VALUES (%s + %d, 'forged')", last, i))
	}
	refused := 0
	for range 2 * ahead {
		if _, err := run(db, root, "INSERT INTO g.t (v) VALUES ('mine')"); fault.Is(err, fault.DuplicateKey) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	rows, counted := mustRun(t, db, root, "SELECT * FROM g.t")[0], one(t, db, "SELECT COUNT(*) FROM g.t")
	forged := one(t, db, "SELECT COUNT(*) FROM g.t WHERE v = 'forged'")
	if refused != ahead || rows != counted || forged != fmt.Sprint(ahead) {
		t.Errorf("%d refused, %s rows, counted %s, of them %s forged", refused, rows, counted, forged)
	}
}

// TestPanicLetsGoOfLatches: a statement that panics leaves its keys to others.
func TestPanicLetsGoOfLatches(t *testing.T) {
	var broken bool
	db := openDB(t, func(o *core.Options) {
		o.Entropy = func(b []byte) {
			if broken {
				panic("no entropy")
			}
			clear(b)
		}
	})
	mustRun(t, db, root, "CREATE NAMESPACE l; CREATE SHARED TABLE l.t (id BIGINT PRIMARY KEY, v TEXT); INSERT INTO l.t VALUES (1, 'a')")
	broken = true
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the statement did not panic")
			}
		}()
		_, _ = run(db, root, "UPDATE l.t SET v = ULID() WHERE id = 1")
	}()
	broken = false
	done := make(chan error, 1)
	go func() {
		_, err := run(db, session("other", schema.RoleService), "UPDATE l.t SET v = 'b' WHERE id = 1")
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the key is latched for ever")
	}
}

// TestDroppedAccountStaysOut: neither a session nor a token of a dropped account
// opens anything, even when its id is used again.
func TestDroppedAccountStaysOut(t *testing.T) {
	db := openDB(t, nil)
	passwords, err := auth.NewPasswords(auth.PasswordOptions{Cost: 4})
	if err != nil {
		t.Fatal(err)
	}
	door, err := auth.New(auth.Options{
		Users: db, Accounts: db.Accounts(), Passwords: passwords, Secret: []byte("a secret of at least thirty-two characters"), Now: db.Clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, db, root, "CREATE NAMESPACE a; CREATE USER TABLE a.t (id BIGINT PRIMARY KEY); CREATE USER 'ann' WITH PASSWORD 'a-long-secret-1' ROLE user")
	grant, err := door.Login(t.Context(), "ann", "a-long-secret-1", auth.Client{})
	if err != nil {
		t.Fatal(err)
	}
	session, err := door.Authenticate(t.Context(), grant.Access.Text)
	if err != nil {
		t.Fatal(err)
	}
	subscribe := func(id string) error {
		c := db.Hub().Connect(core.LiveConnOptions{ID: id, User: "ann", Encoder: api.JSONFrames()})
		defer c.Close()
		return db.Subscribe(t.Context(), session, c, core.LiveRequest{ID: "s", SQL: "SELECT * FROM a.t"})
	}
	if err := subscribe("before"); err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		if _, err := door.Authenticate(t.Context(), grant.Access.Text); !fault.Is(err, fault.InvalidCredentials) {
			t.Errorf("%s the access token: %v", when, err)
		}
		if _, err := door.Refresh(t.Context(), grant.Refresh.Text); !fault.Is(err, fault.InvalidCredentials) {
			t.Errorf("%s the refresh token: %v", when, err)
		}
	}
	mustRun(t, db, root, "DROP USER 'ann'")
	refused("after the drop")
	if err := subscribe("after"); !fault.Is(err, fault.InvalidCredentials) {
		t.Errorf("a live query of a dropped user: %v", err)
	}
	db.Clock.Advance(2 * time.Second)
	mustRun(t, db, root, "CREATE USER 'ann' WITH PASSWORD 'another-secret-2' ROLE user")
	refused("of the account before")
	grant, err = door.Login(t.Context(), "ann", "another-secret-2", auth.Client{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := door.Authenticate(t.Context(), grant.Access.Text); err != nil {
		t.Errorf("the new account's token: %v", err)
	}
	mustRun(t, db, root, "ALTER USER 'ann' SET ROLE service")
	if err := subscribe("role"); !fault.Is(err, fault.InvalidCredentials) {
		t.Errorf("a live query with a role that was taken away: %v", err)
	}
}

// TestShowTellsNothingOfOthers: what SHOW gives everybody leaves out tables that
// the caller may not read, and the scopes of other users.
func TestShowTellsNothingOfOthers(t *testing.T) {
	db := openDB(t, nil)
	alice, bob := session("alice", schema.RoleUser), session("bob", schema.RoleUser)
	mustRun(t, db, root, `CREATE NAMESPACE s; CREATE USER TABLE s.mine (id BIGINT PRIMARY KEY);
		CREATE TABLE s.hidden (id BIGINT PRIMARY KEY, covert TEXT) WITH (TYPE='SHARED', ACCESS_LEVEL='DBA')`)
	mustRun(t, db, alice, "INSERT INTO s.mine VALUES (111111)")
	mustRun(t, db, bob, "INSERT INTO s.mine VALUES (424242)")
	mustRun(t, db, root, "INSERT INTO s.hidden VALUES (535353, 'x')")
	for _, name := range []string{"mine", "hidden"} {
		if _, err := db.Flush(t.Context(), "s", name); err != nil {
			t.Fatal(err)
		}
	}
	all := func(s *auth.Session, sql string) string {
		results, err := db.Execute(t.Context(), s, core.Request{SQL: sql})
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		defer results[0].Close()
		var text strings.Builder
		for {
			rows, err := results[0].Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if rows == nil {
				return text.String()
			}
			for _, row := range rows {
				for _, v := range row {
					text.WriteString(v.String() + " ")
				}
			}
		}
	}
	for _, sql := range []string{"SHOW MANIFEST", "SHOW TABLES", "SHOW TABLES IN s", "SHOW STORAGES", "SHOW NAMESPACES"} {
		got := all(alice, sql)
		for _, word := range []string{"bob", "424242", "535353", "hidden", "covert"} {
			if strings.Contains(got, word) {
				t.Errorf("%s tells alice of %s: %s", sql, word, got)
			}
		}
	}
	if got := all(alice, "SHOW MANIFEST"); !strings.Contains(got, "111111") {
		t.Errorf("alice does not find her own rows: %s", got)
	}
	if got := all(root, "SHOW MANIFEST"); !strings.Contains(got, "424242") || !strings.Contains(got, "535353") {
		t.Errorf("an administrator does not see everything: %s", got)
	}
}

// TestPlansAreBoundedInBytes: long statements push each other out of the cache
// before they are many.
func TestPlansAreBoundedInBytes(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE p; CREATE SHARED TABLE p.t (a BIGINT PRIMARY KEY)")
	for i := range 60 {
		mustRun(t, db, root, "SELECT a AS x"+strings.Repeat("x", i)+strings.Repeat(", a + a AS y", 1200)+" FROM p.t")
	}
	if plans := db.Stats().Plans; plans == 0 || plans > 40 {
		t.Errorf("%d plans of 14 KiB each are kept", plans)
	}
}
