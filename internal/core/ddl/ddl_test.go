package ddl_test

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/api"
	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/testkit"
)

// bench is a database that statements of a script define things in.
type bench struct {
	t    *testing.T
	db   *testkit.Database
	subs map[string]*core.LiveConn
}

func open(t *testing.T, change func(*core.Options)) *bench {
	t.Helper()
	db, err := testkit.Open(disk.NewMem(), testkit.NewClock(), change)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, db: db, subs: map[string]*core.LiveConn{}}
}

func (b *bench) close() {
	for _, c := range b.subs {
		c.Close()
	}
	if err := b.db.Close(); err != nil {
		b.t.Error(err)
	}
}

// session is that of user:role, such as ann:dba.
func session(text string) *auth.Session {
	user, name, _ := strings.Cut(text, ":")
	role, err := schema.ParseRole(name)
	if err != nil {
		panic(err)
	}
	return &auth.Session{UserID: schema.UserID(user), Actor: schema.UserID(user), Role: role}
}

// exec runs a statement and returns its message, or its rows one a line.
func (b *bench) exec(s *auth.Session, sql string) (string, error) {
	results, err := b.db.Execute(context.Background(), s, core.Request{SQL: sql})
	if err != nil {
		return "", err
	}
	var lines []string
	for _, r := range results {
		defer r.Close()
		if r.Message != "" {
			lines = append(lines, r.Message)
		}
		for {
			rows, err := r.Next(context.Background())
			if err != nil {
				return "", err
			}
			if rows == nil {
				break
			}
			for _, row := range rows {
				cells := make([]string, len(row))
				for i, v := range row {
					cells[i] = v.String()
				}
				lines = append(lines, strings.Join(cells, " "))
			}
		}
	}
	return jobID.ReplaceAllString(strings.Join(lines, "\n"), "CL-…"), nil
}

// jobID is the name of a cleanup job, which is never the same.
var jobID = regexp.MustCompile(`\bCL-\w+`)

// told is what a statement answers, or the code and sentence of its fault.
func told(text string, err error) string {
	if err != nil {
		return fmt.Sprintf("%s %s", fault.CodeOf(err), fault.Of(err).Sentence())
	}
	return text
}

// TestStatements runs testdata/statements.
func TestStatements(t *testing.T) {
	datadriven.Walk(t, "testdata/statements", func(t *testing.T, path string) {
		var b *bench
		defer func() {
			if b != nil {
				b.close()
			}
		}()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if b == nil {
				b = open(t, func(o *core.Options) {
					for _, a := range d.CmdArgs {
						switch a.Key {
						case "drop_with_subscribers":
							o.DropWithSubscribers = a.Vals[0]
						case "drop_nonempty_namespace":
							o.DropNonemptyNamespace = a.Vals[0]
						}
					}
				})
			}
			b.t = t
			return b.run(d)
		})
	})
}

func (b *bench) run(d *datadriven.TestData) string {
	as := session("root:system")
	if d.HasArg("as") {
		var text string
		d.ScanArgs(b.t, "as", &text)
		as = session(text)
	}
	var out strings.Builder
	for line := range strings.Lines(d.Input) {
		line = strings.TrimSpace(line)
		switch d.Cmd {
		case "open":
		case "sql":
			fmt.Fprintln(&out, told(b.exec(as, line)))
		case "ended": // waits until no subscription is left
			for deadline := time.Now().Add(10 * time.Second); b.db.Hub().Stats().Subscriptions > 0 && time.Now().Before(deadline); {
				runtime.Gosched()
			}
			fmt.Fprintf(&out, "%d subscriptions\n", b.db.Hub().Stats().Subscriptions)
		case "options": // WITH clauses, tried on a table of each kind
			fmt.Fprintf(&out, "%s\n", line)
			for _, kind := range []string{"USER", "SHARED", "STREAM"} {
				fmt.Fprintf(&out, "  %-6s %s\n", kind, b.options(kind, line))
			}
		case "names":
			fmt.Fprintf(&out, "%s\n", b.names(line))
		case "subscribe":
			fmt.Fprintln(&out, told("subscribed", b.subscribe(as, line)))
		case "unsubscribe":
			b.subs[line].Close()
			delete(b.subs, line)
		default:
			b.t.Fatalf("unknown command %s", d.Cmd)
		}
	}
	return out.String()
}

// options makes a table with one WITH clause and returns what the catalog says
// of it.
func (b *bench) options(kind, with string) string {
	root := session("root:system")
	prefix := "TYPE = '" + kind + "'"
	if kind == "STREAM" && !strings.Contains(with, "TTL_SECONDS") && !strings.Contains(with, "retention") {
		prefix += ", TTL_SECONDS = 60"
	}
	if _, err := b.exec(root, "CREATE TABLE app.probe (id INT PRIMARY KEY) WITH ("+prefix+", "+with+")"); err != nil {
		return told("", err)
	}
	text, err := b.exec(root, "SELECT options FROM system.schemas WHERE table_name = 'probe'")
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.exec(root, "DROP TABLE app.probe"); err != nil {
		b.t.Fatal(err)
	}
	return text
}

// names tries one name for a namespace, a table and a column.
func (b *bench) names(name string) string {
	root := session("root:system")
	var verdicts []string
	try := func(what, sql, undo string) {
		verdict := "yes"
		if _, err := b.exec(root, sql); err != nil {
			verdict = string(fault.CodeOf(err))
		} else if _, err := b.exec(root, undo); err != nil {
			b.t.Errorf("%s: %v", undo, err)
		}
		verdicts = append(verdicts, what+" "+verdict)
	}
	quoted := `"` + name + `"`
	try("namespace", "CREATE NAMESPACE "+quoted, "DROP NAMESPACE "+quoted)
	try("table", "CREATE TABLE app."+quoted+" (id INT PRIMARY KEY)", "DROP TABLE app."+quoted)
	try("column", "CREATE TABLE app.probe (id INT PRIMARY KEY, "+quoted+" INT)", "DROP TABLE app.probe")
	if len(name) > 30 {
		name = fmt.Sprintf("%.30s… (%d)", name, len(name))
	}
	return fmt.Sprintf("%-36s %s", name, strings.Join(verdicts, ", "))
}

func (b *bench) subscribe(s *auth.Session, sql string) error {
	c := b.db.Hub().Connect(core.LiveConnOptions{ID: string(s.UserID), User: s.UserID, Encoder: api.JSONFrames()})
	b.subs[string(s.UserID)] = c
	return b.db.Subscribe(context.Background(), s, c, core.LiveRequest{ID: "s", SQL: sql})
}

// TestDefaultFunctions tries every generating function as the default of a
// column of every type; what is taken writes values of that type.
func TestDefaultFunctions(t *testing.T) {
	b := open(t, nil)
	defer b.close()
	root := session("root:system")
	if _, err := b.exec(root, "CREATE NAMESPACE app"); err != nil {
		t.Fatal(err)
	}
	datadriven.RunTest(t, "testdata/defaults", func(t *testing.T, d *datadriven.TestData) string {
		b.t = t
		var out strings.Builder
		for line := range strings.Lines(d.Input) {
			typ := strings.TrimSpace(line)
			cells := fmt.Sprintf("%-14s", typ)
			for _, a := range d.CmdArgs {
				cells += fmt.Sprintf(" %-16s", b.defaults(typ, a.Key))
			}
			fmt.Fprintln(&out, strings.TrimRight(cells, " "))
		}
		return out.String()
	})
}

// defaults makes a table with a default, inserts two rows by it and says
// whether they have values, and whether those differ.
func (b *bench) defaults(typ, function string) string {
	root := session("root:system")
	if _, err := b.exec(root, "CREATE TABLE app.probe (id INT PRIMARY KEY, v "+typ+" DEFAULT "+function+"())"); err != nil {
		if !fault.Is(err, fault.InvalidDefinition) {
			b.t.Errorf("%s DEFAULT %s(): %v", typ, function, err)
		}
		return "-"
	}
	defer func() {
		if _, err := b.exec(root, "DROP TABLE app.probe"); err != nil {
			b.t.Error(err)
		}
	}()
	if _, err := b.exec(root, "INSERT INTO app.probe (id) VALUES (1), (2)"); err != nil {
		return told("", err)
	}
	text, err := b.exec(root, "SELECT v FROM app.probe WHERE v IS NOT NULL")
	if err != nil {
		return told("", err)
	}
	switch lines := strings.Split(text, "\n"); {
	case len(lines) != 2:
		return "no value"
	case lines[0] == lines[1]:
		return "per statement"
	}
	return "per row"
}

// TestChangesOfOneUser: changes of one account by many at one time are all
// there in the end; none is lost and none fails.
func TestChangesOfOneUser(t *testing.T) {
	b := open(t, nil)
	defer b.close()
	root := session("root:system")
	if _, err := b.exec(root, "CREATE USER 'ann' WITH PASSWORD 'a-long-secret-1' ROLE user"); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for _, sql := range []string{
		"ALTER USER 'ann' SET EMAIL 'ann@example.com'",
		"ALTER USER 'ann' SET ROLE service",
		"ALTER USER 'ann' SET PASSWORD 'another-secret-2'",
	} {
		wait.Go(func() {
			if _, err := b.exec(root, sql); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
		})
	}
	wait.Wait()
	const want = "service ann@example.com"
	if got := told(b.exec(root, "SELECT role, email FROM system.users WHERE user_id = 'ann'")); got != want {
		t.Errorf("ann is %q, want %q", got, want)
	}
	var made, refused int
	results := make(chan error, 8)
	for range cap(results) {
		wait.Go(func() {
			_, err := b.exec(root, "CREATE USER 'bob' WITH PASSWORD 'a-long-secret-1' ROLE user")
			results <- err
		})
	}
	wait.Wait()
	close(results)
	for err := range results {
		switch {
		case err == nil:
			made++
		case fault.Is(err, fault.AlreadyExists):
			refused++
		default:
			t.Error(err)
		}
	}
	if made != 1 || refused != cap(results)-1 {
		t.Errorf("bob was made %d times and refused %d times", made, refused)
	}
}

// TestOneTablePerLocation: of tables that are made at one time with overlapping
// folders only one is made.
func TestOneTablePerLocation(t *testing.T) {
	b := open(t, nil)
	defer b.close()
	root := session("root:system")
	var wait sync.WaitGroup
	results := make(chan error, 16)
	for i := range cap(results) {
		wait.Go(func() {
			_, err := b.exec(root, fmt.Sprintf("CREATE TABLE default.t%d (id INT PRIMARY KEY) WITH (LOCATION = 'place%s')", i, strings.Repeat("/x", i%3)))
			results <- err
		})
	}
	wait.Wait()
	close(results)
	made := 0
	for err := range results {
		switch {
		case err == nil:
			made++
		case !fault.Is(err, fault.InvalidDefinition):
			t.Error(err)
		}
	}
	if made != 1 {
		t.Errorf("%d tables were made in one place", made)
	}
}

// TestForeignKeys: with sql.ignore_foreign_keys a table is made as if its
// foreign keys were not there, in every place where one can stand.
func TestForeignKeys(t *testing.T) {
	b := open(t, func(o *core.Options) { o.IgnoreForeignKeys = true })
	defer b.close()
	root := session("root:system")
	for _, sql := range []string{
		"CREATE NAMESPACE app",
		"CREATE TABLE app.a (id INT PRIMARY KEY)",
		"CREATE TABLE app.b (id INT PRIMARY KEY, a INT REFERENCES app.a (id) ON DELETE CASCADE, CONSTRAINT f FOREIGN KEY (a) REFERENCES app.nowhere)",
		"ALTER TABLE app.b ADD COLUMN c INT REFERENCES app.a",
		"ALTER TABLE app.b ADD CONSTRAINT g FOREIGN KEY (c) REFERENCES app.a (id)",
		"INSERT INTO app.b VALUES (1, 99, 99)",
	} {
		if _, err := b.exec(root, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	got, err := b.exec(root, "SELECT id, a, c FROM app.b")
	if err != nil || got != "1 99 99" {
		t.Errorf("the row is %q, %v", got, err)
	}
}
