package core_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"kalamdb/internal/api"
	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/testkit"
)

// openDB opens a database that is closed when the test ends.
func openDB(t testing.TB, change func(*core.Options)) *testkit.Database {
	t.Helper()
	db, err := testkit.Open(disk.NewMem(), testkit.NewClock(), change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func session(user string, role schema.Role) *auth.Session {
	return &auth.Session{UserID: schema.UserID(user), Actor: schema.UserID(user), Role: role}
}

var root = session("root", schema.RoleSystem)

// run executes a request, reads its rows away, and returns the messages.
func run(db *testkit.Database, s *auth.Session, sql string) ([]string, error) {
	results, err := db.Execute(context.Background(), s, core.Request{SQL: sql})
	if err != nil {
		return nil, err
	}
	var messages []string
	for _, r := range results {
		defer r.Close()
		rows := 0
		for {
			batch, err := r.Next(context.Background())
			if err != nil {
				return nil, err
			}
			if batch == nil {
				break
			}
			rows += len(batch)
		}
		messages = append(messages, fmt.Sprintf("%s%d", r.Message, rows))
	}
	return messages, nil
}

func mustRun(t testing.TB, db *testkit.Database, s *auth.Session, sql string) []string {
	t.Helper()
	messages, err := run(db, s, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return messages
}

// options of a table of each column of the rights table.
var kinds = map[string]string{
	"user":       "TYPE='USER'",
	"public":     "TYPE='SHARED', ACCESS_LEVEL='PUBLIC'",
	"private":    "TYPE='SHARED', ACCESS_LEVEL='PRIVATE'",
	"restricted": "TYPE='SHARED', ACCESS_LEVEL='RESTRICTED'",
	"dba":        "TYPE='SHARED', ACCESS_LEVEL='DBA'",
	"stream":     "TYPE='STREAM', TTL_SECONDS=60",
}

// TestRights tries every cell of testdata/rights.txt with real statements and
// subscriptions.
func TestRights(t *testing.T) {
	text, err := os.ReadFile("testdata/rights.txt")
	if err != nil {
		t.Fatal(err)
	}
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE r")
	cells := 0
	var header []string
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
			continue
		case words[0] == "role":
			header = words[1:]
			continue
		}
		role, err := schema.ParseRole(words[0])
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range words[1:] {
			var got strings.Builder
			for _, op := range "RWCAD" {
				if allowed(t, db, role, header[i], op) {
					got.WriteRune(op)
				}
				cells++
			}
			if g := got.String(); g != strings.Trim(want, "-") {
				t.Errorf("role %s on a %s table may %q, want %q", role, header[i], g, want)
			}
		}
	}
	if want := 5 * 7 * 5; cells != want {
		t.Errorf("%d cells were tried, want %d", cells, want)
	}
}

// allowed tries one operation and reports whether it was not refused for
// rights. Refusals of another kind, such as altering what cannot be altered, do
// not count.
func allowed(t *testing.T, db *testkit.Database, role schema.Role, kind string, op rune) bool {
	t.Helper()
	s := session("someone", role)
	name := "system.users"
	if kind != "system" {
		name = "r.t_" + kind
		mustRun(t, db, root, "DROP TABLE IF EXISTS "+name+"; DROP TABLE IF EXISTS r.made; CREATE TABLE "+name+" (id BIGINT PRIMARY KEY, v TEXT) WITH ("+kinds[kind]+")")
	}
	var verdicts []bool
	try := func(sql string) {
		_, err := run(db, s, sql)
		verdicts = append(verdicts, !fault.Is(err, fault.PermissionDenied))
	}
	switch op {
	case 'R':
		try("SELECT * FROM " + name)
		if kind != "system" {
			verdicts = append(verdicts, maySubscribe(db, s, name))
		}
	case 'W':
		if kind == "system" {
			return false // read only for everybody, tested by the corpus
		}
		try("INSERT INTO " + name + " VALUES (1, 'x')")
		try("UPDATE " + name + " SET v = 'y' WHERE id = 1")
		try("DELETE FROM " + name + " WHERE id = 1")
	case 'C':
		if kind == "system" {
			return false
		}
		try("CREATE TABLE r.made (id BIGINT PRIMARY KEY) WITH (" + kinds[kind] + ")")
	case 'A':
		if kind == "system" {
			return false
		}
		try("ALTER TABLE " + name + " SET ACCESS LEVEL PUBLIC")
	case 'D':
		if kind == "system" {
			return false
		}
		try("DROP TABLE " + name)
	}
	for _, v := range verdicts[1:] {
		if v != verdicts[0] {
			t.Errorf("role %s on %s: the doors of %c disagree: %v", role, name, op, verdicts)
		}
	}
	return verdicts[0]
}

// maySubscribe opens a live query.
func maySubscribe(db *testkit.Database, s *auth.Session, table string) bool {
	c := db.Hub().Connect(core.LiveConnOptions{ID: "rights", User: s.UserID, Encoder: api.JSONFrames()})
	defer c.Close()
	err := db.Subscribe(context.Background(), s, c, core.LiveRequest{ID: "s", SQL: "SELECT * FROM " + table})
	return !fault.Is(err, fault.PermissionDenied)
}

// TestBatchIsAuthorisedFirst: a statement that may not run keeps those before
// it from running, also when the table does not exist before the batch.
func TestBatchIsAuthorisedFirst(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE b; CREATE USER TABLE b.mine (id BIGINT PRIMARY KEY)")
	alice, worker := session("alice", schema.RoleUser), session("worker", schema.RoleService)
	refused := func(s *auth.Session, sql string) {
		t.Helper()
		if _, err := run(db, s, sql); !fault.Is(err, fault.PermissionDenied) {
			t.Errorf("%s as %s: %v, want PERMISSION_DENIED", sql, s.Role, err)
		}
	}
	refused(alice, "INSERT INTO b.mine VALUES (1); CREATE NAMESPACE c")
	refused(alice, "INSERT INTO b.mine VALUES (2); SELECT * FROM system.users")
	refused(alice, "CREATE USER TABLE b.made (id BIGINT PRIMARY KEY); DROP TABLE b.made")
	refused(worker, "CREATE TABLE b.secret (id BIGINT PRIMARY KEY) WITH (TYPE='SHARED', ACCESS_LEVEL='DBA'); SELECT * FROM b.secret")
	refused(worker, "CREATE TABLE b.open (id BIGINT PRIMARY KEY); ALTER TABLE b.open SET ACCESS LEVEL DBA; INSERT INTO b.open VALUES (1)")
	if got := mustRun(t, db, alice, "SELECT * FROM b.mine"); got[0] != "0" {
		t.Errorf("a refused batch left %s rows", got[0])
	}
	for _, name := range []string{"made", "secret", "open"} {
		if _, err := run(db, root, "SELECT * FROM b."+name); !fault.Is(err, fault.TableNotFound) {
			t.Errorf("a refused batch left table b.%s: %v", name, err)
		}
	}
	mustRun(t, db, worker, "CREATE TABLE b.ours (id BIGINT PRIMARY KEY); INSERT INTO b.ours VALUES (1); USE b; INSERT INTO ours VALUES (2)")
	if got := mustRun(t, db, worker, "SELECT * FROM b.ours"); got[0] != "2" {
		t.Errorf("b.ours has %s rows, want 2", got[0])
	}
}
