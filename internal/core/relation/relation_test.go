package relation_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/testkit"
)

// open returns a database on a new disk.
func open(t *testing.T) *testkit.Database {
	t.Helper()
	db, err := testkit.Open(disk.NewMem(), testkit.NewClock(), nil)
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

// run executes statements and prints rows and messages.
func run(db *testkit.Database, s *auth.Session, sql string) string {
	ctx := context.Background()
	results, err := db.Execute(ctx, s, core.Request{SQL: sql})
	if err != nil {
		return fmt.Sprintf("error %s: %s\n", fault.CodeOf(err), fault.Of(err).Sentence())
	}
	var out strings.Builder
	for _, r := range results {
		if r.Kind == core.Rows {
			for {
				rows, err := r.Next(ctx)
				if err != nil {
					fmt.Fprintf(&out, "error %v\n", err)
				}
				if rows == nil || err != nil {
					break
				}
				for _, row := range rows {
					cells := make([]string, len(row))
					for i, v := range row {
						cells[i] = v.String()
					}
					fmt.Fprintln(&out, strings.Join(cells, " | "))
				}
			}
		}
		r.Close()
	}
	if out.Len() == 0 {
		return "ok\n"
	}
	return out.String()
}

// seqs finds values of _seq, which depend on how many commits came before.
var seqs = regexp.MustCompile(`[0-9]{17,}`)

// TestSystemTables runs statements: "sql [user=name] [role=role]" executes its
// input, "flush table=t" moves the rows of a table.
func TestSystemTables(t *testing.T) {
	datadriven.Walk(t, "testdata/system", func(t *testing.T, path string) {
		db := open(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "sql":
				user, role := "root", "system"
				d.MaybeScanArgs(t, "user", &user)
				d.MaybeScanArgs(t, "role", &role)
				parsed, err := schema.ParseRole(role)
				if err != nil {
					d.Fatalf(t, "%v", err)
				}
				return seqs.ReplaceAllString(run(db, session(user, parsed), d.Input), "#")
			case "flush":
				var name string
				d.ScanArgs(t, "table", &name)
				result, err := db.Flush(context.Background(), "app", name)
				if err != nil {
					return err.Error() + "\n"
				}
				return fmt.Sprintf("%d rows to %d files\n", result.Rows, result.Files)
			case "advance":
				db.Clock.Advance(time.Hour)
				return "ok\n"
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

// TestDefinitions pins name, type, nullability and key of every column.
func TestDefinitions(t *testing.T) {
	db := open(t)
	missing := map[string]bool{}
	const all = "SELECT table_schema || '.' || table_name FROM information_schema.tables WHERE table_type = 'VIEW'"
	for line := range strings.Lines(run(db, session("root", schema.RoleSystem), all)) {
		missing[strings.TrimSpace(line)] = true
	}
	datadriven.RunTest(t, "testdata/definitions", func(t *testing.T, d *datadriven.TestData) string {
		delete(missing, d.Cmd)
		view := db.Relations().View()
		defer view.Release()
		namespace, name, _ := strings.Cut(d.Cmd, ".")
		def, err := view.Table(namespace, name)
		if err != nil {
			return err.Error() + "\n"
		}
		var out strings.Builder
		for i := range def.Columns {
			c := &def.Columns[i]
			fmt.Fprintf(&out, "%s %s", c.Name, c.Type)
			if !c.NotNull {
				out.WriteString(" NULL")
			}
			if def.IsKey(i) {
				out.WriteString(" KEY")
			}
			out.WriteByte('\n')
		}
		return out.String()
	})
	for name := range missing {
		t.Errorf("testdata/definitions does not pin %s", name)
	}
}

// Every row of a system table has a cell of the right kind for each column, and
// NULL only where the definition says so.
func TestRowsFitDefinitions(t *testing.T) {
	db := open(t)
	root := session("root", schema.RoleSystem)
	for _, sql := range []string{
		"CREATE NAMESPACE app",
		"CREATE USER TABLE app.a (id BIGINT PRIMARY KEY, body TEXT DEFAULT 'x', v DECIMAL(10,2), e EMBEDDING(3)) WITH (FLUSH_POLICY='rows:5,interval:60')",
		"CREATE SHARED TABLE app.b (x INT, y TEXT, PRIMARY KEY (y, x)) WITH (ACCESS_LEVEL='PUBLIC')",
		"CREATE STREAM TABLE app.c (body TEXT) WITH (TTL_SECONDS=10)",
		"ALTER TABLE app.b SET ACCESS LEVEL PRIVATE",
		"INSERT INTO app.a (id) VALUES (1), (2)",
		"INSERT INTO app.b VALUES (1, 'one')",
		"STORAGE FLUSH ALL IN app",
	} {
		if got := run(db, root, sql); strings.HasPrefix(got, "error") {
			t.Fatalf("%s: %s", sql, got)
		}
	}
	for _, name := range []string{"a", "b"} {
		if _, err := db.Flush(context.Background(), "app", name); err != nil {
			t.Fatal(err)
		}
	}
	view := db.Relations().View()
	defer view.Release()
	rows := 0
	for _, line := range strings.Split(strings.TrimSpace(run(db, root, "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'VIEW'")), "\n") {
		namespace, name, _ := strings.Cut(line, " | ")
		def, err := view.Table(namespace, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range scan(t, view, def, source.Request{Order: source.ByKey}) {
			rows++
			if len(row) != len(def.Columns) {
				t.Fatalf("%s has %d cells, want %d", def.QualifiedName(), len(row), len(def.Columns))
			}
			for i, v := range row {
				c := &def.Columns[i]
				if v.IsNull() && c.NotNull || !v.IsNull() && v.Kind() != c.Type.Kind {
					t.Errorf("%s.%s is %s of kind %v", def.QualifiedName(), c.Name, v, v.Kind())
				}
			}
		}
	}
	if rows < 400 {
		t.Errorf("only %d rows were looked at", rows)
	}
}

// scan returns copies of the rows of a request.
func scan(t *testing.T, view *relation.View, def *schema.Table, r source.Request) [][]datum.Value {
	t.Helper()
	ctx := context.Background()
	opened, err := view.Open(def, "", relation.Caller{User: "root", Role: schema.RoleSystem, Now: 1})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := opened.Scan(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all [][]datum.Value
	for {
		batch, err := rows.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if batch == nil {
			return all
		}
		for _, row := range batch.Rows {
			all = append(all, slices.Clone(row))
		}
	}
}

// Registered views replace the empty ones, under their second names too.
func TestRegister(t *testing.T) {
	db := open(t)
	def, ok := db.Relations().Definition("system", "live")
	if !ok {
		t.Fatal("there is no definition of system.live")
	}
	db.Relations().Register(def, func(context.Context, relation.Caller) ([][]datum.Value, error) {
		row := make([]datum.Value, len(def.Columns))
		row[0] = datum.NewText("root-1-a")
		return [][]datum.Value{row}, nil
	})
	root := session("root", schema.RoleSystem)
	for _, name := range []string{"live", "live_queries"} {
		if got := run(db, root, "SELECT live_id FROM system."+name); got != "root-1-a\n" {
			t.Errorf("system.%s shows %q", name, got)
		}
	}
}

// More users than a page are listed once each, and found by name.
func TestManyUsers(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	for i := range 2345 {
		u := schema.UserRecord{ID: schema.UserID(fmt.Sprintf("user%04d", i)), Role: schema.RoleUser, AuthType: schema.AuthOAuth, CreatedAt: 1, UpdatedAt: 1}
		if err := db.Accounts().CreateUser(ctx, u); err != nil {
			t.Fatal(err)
		}
	}
	view := db.Relations().View()
	defer view.Release()
	def, err := view.Table("system", "users")
	if err != nil {
		t.Fatal(err)
	}
	rows := scan(t, view, def, source.Request{})
	if len(rows) != 2345 || rows[1000][0].Text() != "user1000" || rows[2344][0].Text() != "user2344" {
		t.Errorf("%d users", len(rows))
	}
	key := func(name string) []datum.Value { return []datum.Value{datum.NewText(name)} }
	rows = scan(t, view, def, source.Request{Keys: [][]datum.Value{key("user2000"), key("nobody"), key("user0001"), key("user2000")}})
	if len(rows) != 2 || rows[0][0].Text() != "user0001" || rows[1][4].Text() != "OAuth" {
		t.Errorf("by name %v", rows)
	}
	rows = scan(t, view, def, source.Request{
		Order: source.ByKey, Low: source.Bound{Values: key("user0999")}, High: source.Bound{Values: key("user1001"), Inclusive: true},
	})
	if len(rows) != 2 || rows[0][0].Text() != "user1000" {
		t.Errorf("in a range %v", rows)
	}
}

// Events of a stream are gone from queries when their TTL is over.
func TestStreamExpiry(t *testing.T) {
	db := open(t)
	root := session("root", schema.RoleSystem)
	for _, sql := range []string{
		"CREATE NAMESPACE app", "CREATE STREAM TABLE app.c (id INT PRIMARY KEY, body TEXT) WITH (TTL_SECONDS=10)",
		"INSERT INTO app.c VALUES (2, 'a'), (1, 'b')",
	} {
		if got := run(db, root, sql); strings.HasPrefix(got, "error") {
			t.Fatalf("%s: %s", sql, got)
		}
	}
	db.Clock.Advance(9 * time.Second)
	if got := run(db, root, "INSERT INTO app.c VALUES (3, 'c'); SELECT id, body FROM app.c WHERE id < 9 ORDER BY id"); got != "1 | b\n2 | a\n3 | c\n" {
		t.Errorf("within the TTL %q", got)
	}
	db.Clock.Advance(2 * time.Second)
	if got := run(db, root, "SELECT id FROM app.c"); got != "3\n" {
		t.Errorf("after the TTL %q", got)
	}
	if got := run(db, root, "SELECT COUNT(*) FROM app.c"); got != "1\n" {
		t.Errorf("counted %q", got)
	}
}
