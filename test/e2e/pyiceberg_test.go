package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/testkit/s3"
)

// published is a server with tables that other engines read.
type published struct {
	*target
	place string // of the storage, as other engines spell it
	root  string // of the storage, on this disk
	ask   io.Writer
	said  *json.Decoder
}

// icebergTable is a table as read.py prints it.
type icebergTable struct {
	Count   int              `json:"count"`
	From3   int              `json:"from3"`
	Columns []string         `json:"columns"`
	Rows    []map[string]any `json:"rows"`
	Error   string           `json:"error"`
}

// openPublished starts a server with a storage lake, of a kind.
func openPublished(t *testing.T, kind string) *published {
	t.Helper()
	python, err := filepath.Abs(filepath.Join("..", "..", "bin", "pyiceberg", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		t.Skip("bin/pyiceberg is missing; `make pyiceberg` builds it")
	}
	script, err := filepath.Abs(filepath.Join("testdata", "pyiceberg", "read.py"))
	if err != nil {
		t.Fatal(err)
	}
	p, args := &published{}, []string{script}
	p.target, _ = archiveServer(t, t.TempDir())
	if kind == "filesystem" {
		p.root = t.TempDir()
		p.place = "file://" + p.root
		p.must(t, "root", "CREATE STORAGE lake TYPE filesystem PATH '"+p.root+"'")
	} else {
		server := s3.Start(t)
		bucket, err := server.Bucket()
		if err != nil {
			t.Fatal(err)
		}
		p.root, p.place = filepath.Join(server.Root, bucket, "base"), "s3://"+bucket+"/base"
		args = append(args, server.Endpoint, s3.Access, s3.Secret)
		p.must(t, "root", fmt.Sprintf(`CREATE STORAGE lake TYPE s3 BASE_DIRECTORY '%s' CREDENTIALS '{"access_key_id":"%s","secret_access_key":"%s"}' CONFIG '{"region":"us-east-1","endpoint":"%s"}'`,
			p.place, s3.Access, s3.Secret, server.Endpoint))
	}
	p.must(t, "root", "CREATE NAMESPACE app")
	reader := exec.Command(python, args...)
	reader.Stderr = os.Stderr
	if p.ask, err = reader.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := reader.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Process.Kill(); _ = reader.Wait() })
	p.said = json.NewDecoder(out)
	return p
}

// read reads a table by pyiceberg.
func (p *published) read(t *testing.T, name string) (all icebergTable) {
	t.Helper()
	if _, err := fmt.Fprintln(p.ask, p.place+"/app/"+name+"/_iceberg"); err != nil {
		t.Fatal(err)
	}
	if err := p.said.Decode(&all); err != nil || all.Error != "" {
		t.Fatalf("pyiceberg does not read %s: %v\n%s", name, err, all.Error)
	}
	return all
}

// compare reads a table by pyiceberg and by SQL, of each user, and compares all
// rows. columns are as SQL has them, by the name that pyiceberg knows.
func (p *published) compare(t *testing.T, when, name string, users []string, columns map[string]string) {
	t.Helper()
	var names, list []string
	for n, sql := range columns {
		names, list = append(names, n), append(list, "CAST("+sql+" AS TEXT)")
	}
	var want []string
	low := 0
	for _, user := range users {
		query := "SELECT id >= 3, " + strings.Join(list, ", ") + " FROM app." + name
		if user != "" {
			query = "EXECUTE AS USER '" + user + "' (" + query + ")"
		}
		for _, row := range p.must(t, "root", query).rows(t) {
			if row[0] == true {
				low++
			}
			line := user
			for i, n := range names {
				line += fmt.Sprintf(" %s=%v", n, row[i+1])
			}
			want = append(want, line)
		}
	}
	all := p.read(t, name)
	var got []string
	for _, row := range all.Rows {
		line := ""
		if user, ok := row["_user"]; ok {
			line = fmt.Sprint(user)
		}
		for _, n := range names {
			line += fmt.Sprintf(" %s=%v", n, row[n])
		}
		got = append(got, line)
	}
	for _, line := range missing(want, got) {
		t.Errorf("%s: pyiceberg does not read of %s: %s", when, name, line)
	}
	for _, line := range missing(got, want) {
		t.Errorf("%s: pyiceberg alone reads of %s: %s", when, name, line)
	}
	if all.Count != len(want) || all.From3 != low {
		t.Errorf("%s: pyiceberg counts %d rows of %s and %d from 3, instead of %d and %d", when, all.Count, name, all.From3, len(want), low)
	}
}

// missing returns the first lines of a that b has not, or not as often.
func missing(a, b []string) (lines []string) {
	left := map[string]int{}
	for _, line := range b {
		left[line]++
	}
	for _, line := range a {
		if left[line]--; left[line] < 0 && len(lines) < 5 {
			lines = append(lines, line)
		}
	}
	return lines
}

// work runs a statement that starts a job, and waits for all jobs.
func (p *published) work(t *testing.T, sql string) {
	t.Helper()
	p.must(t, "root", sql)
	for range 1200 {
		rows := p.must(t, "root", "SELECT status, job_type, COALESCE(message, '') FROM system.jobs WHERE status <> 'completed'").rows(t)
		if len(rows) == 0 {
			return
		}
		if slices.ContainsFunc(rows, func(r []any) bool { return r[0] == "failed" || r[0] == "cancelled" }) {
			t.Fatalf("%s: %v", sql, rows)
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatalf("%s does not end", sql)
}

// objects returns the files below the published folder of a table.
func (p *published) objects(t *testing.T, name string) (all []string) {
	t.Helper()
	dir := filepath.Join(p.root, "app", name, "_iceberg")
	err := filepath.WalkDir(dir, func(file string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, file)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return all
}

// many returns VALUES of rows with ids in [from, to).
func many(from, to int, row string) string {
	var rows []string
	for i := from; i < to; i++ {
		rows = append(rows, strings.ReplaceAll(row, "#", fmt.Sprint(i)))
	}
	return " VALUES " + strings.Join(rows, ", ")
}

// TestPyIceberg reads published tables by pyiceberg and compares them with what
// SQL answers, when all rows are cold: of USER and SHARED tables, of every type,
// updated, deleted and inserted again, after changes of the definition, compacted,
// and after a user was erased.
func TestPyIceberg(t *testing.T) {
	for _, kind := range []string{"filesystem", "s3"} {
		t.Run(kind, func(t *testing.T) {
			p := openPublished(t, kind)
			t.Run("user", p.user)
			t.Run("shared", p.shared)
		})
	}
}

var allTypes = map[string]string{
	"id": "id", "s": "s", "n": "n", "small": "small", "f": "f", "d": "d", "m": "m", "b": "b", "j": "j", "u": "u", "day": "day", "at": "at",
	"ts": "ts", "tags": "tags", "v": "v", "_seq": "_seq", "x": "encode(x, 'hex')",
}

const allColumns = "id BIGINT PRIMARY KEY, s TEXT, n INT, small SMALLINT, f FLOAT, d DOUBLE, m DECIMAL(10,2), b BOOLEAN, j JSON, u UUID, " +
	"day DATE, at TIME, ts TIMESTAMP, tags TEXT[], v EMBEDDING(3), x BYTES"

const oneRow = "(#, 'row #', #, #, #.5, #.25, #.75, # % 2 = 0, '{\"a\": #}', '00000000-0000-0000-0000-00000000000a', '2026-01-02', '03:04:05.000001', " +
	"'2026-01-02 03:04:05.678901', '{a,b #}', '[1,2.5,#]', '\\x00ff')"

func (p *published) user(t *testing.T) {
	users := []string{"ann", "ben", "cat", "dan", "eve", "big one ü"}
	for i := range 64 { // more than have files of their own
		users = append(users, fmt.Sprint("crowd", i))
	}
	as := func(user, sql string) { p.must(t, "root", "EXECUTE AS USER '"+user+"' ("+sql+")") }
	for _, user := range users {
		p.must(t, "root", "CREATE USER '"+user+"' WITH PASSWORD 'Secret-pass-1' ROLE user")
	}
	p.must(t, "root", "CREATE USER TABLE app.notes ("+allColumns+") WITH (STORAGE_ID = 'lake', ICEBERG = TRUE)")
	p.work(t, "STORAGE FLUSH TABLE app.notes")
	p.compare(t, "empty", "notes", users, allTypes)
	for _, user := range users[:5] {
		as(user, "INSERT INTO app.notes"+many(1, 6, oneRow))
		as(user, "INSERT INTO app.notes (id) VALUES (100)")
	}
	as(users[5], "INSERT INTO app.notes"+many(1, 80, oneRow))
	for i, user := range users[6:] {
		as(user, "INSERT INTO app.notes"+many(i, i+1, oneRow))
	}
	p.work(t, "STORAGE FLUSH TABLE app.notes")
	p.compare(t, "flushed", "notes", users, allTypes)
	if !slices.ContainsFunc(p.objects(t, "notes"), func(name string) bool { return strings.Contains(name, "copy-") }) {
		t.Error("no file is shared by users")
	}

	as("ann", "UPDATE app.notes SET s = 'changed' WHERE id = 2")
	as("ben", "DELETE FROM app.notes WHERE id < 4")
	as(users[5], "DELETE FROM app.notes WHERE id BETWEEN 10 AND 30")
	as(users[5], "INSERT INTO app.notes (id, s) VALUES (11, 'again')")
	as("cat", "DELETE FROM app.notes WHERE id > 0")
	p.work(t, "STORAGE FLUSH TABLE app.notes")
	p.compare(t, "changed", "notes", users, allTypes)

	for _, sql := range []string{
		"ADD COLUMN more TEXT DEFAULT 'kept'", "RENAME COLUMN s TO title", "DROP COLUMN day", "ALTER COLUMN n TYPE BIGINT", "ADD COLUMN empty INT",
	} {
		p.work(t, "ALTER TABLE app.notes "+sql)
	}
	columns := map[string]string{"id": "id", "title": "title", "n": "n", "more": "more", "empty": "empty", "m": "m", "_seq": "_seq"}
	p.compare(t, "altered", "notes", users, columns)
	as("dan", "INSERT INTO app.notes (id, title, n) VALUES (7, 'new', 5000000000)")
	as("eve", "DELETE FROM app.notes WHERE id = 1")
	p.work(t, "STORAGE FLUSH TABLE app.notes")
	p.compare(t, "altered and flushed", "notes", users, columns)
	p.work(t, "STORAGE COMPACT TABLE app.notes")
	p.compare(t, "compacted", "notes", users, columns)

	as("ann", "INSERT INTO app.notes (id, title) VALUES (50, 'q7Zr!mVx2q7Zr!mVx2')")
	p.work(t, "STORAGE FLUSH TABLE app.notes")
	p.work(t, "ERASE USER 'ann'")
	p.compare(t, "erased", "notes", users[1:], columns)
	for _, file := range p.objects(t, "notes") {
		if text, err := os.ReadFile(file); err != nil || strings.Contains(string(text), "ann") && strings.Contains(file, "metadata") || strings.Contains(string(text), "q7Zr!mVx2") {
			t.Errorf("%s still names the erased user: %v", file, err)
		}
	}
	p.work(t, "ALTER TABLE app.notes SET TBLPROPERTIES (ICEBERG = FALSE)")
	if left := p.objects(t, "notes"); len(left) > 0 {
		t.Errorf("left of a table that is published no more: %v", left)
	}
}

func (p *published) shared(t *testing.T) {
	p.must(t, "root", "CREATE SHARED TABLE app.facts ("+allColumns+") WITH (STORAGE_ID = 'lake')")
	p.must(t, "root", "INSERT INTO app.facts"+many(1, 120, oneRow))
	p.work(t, "STORAGE FLUSH TABLE app.facts")
	if found := p.objects(t, "facts"); len(found) > 0 {
		t.Errorf("a table is published that nobody has asked for: %v", found)
	}
	p.work(t, "ALTER TABLE app.facts SET TBLPROPERTIES (ICEBERG = TRUE)")
	p.compare(t, "published later", "facts", []string{""}, allTypes)
	for round, sql := range []string{
		"UPDATE app.facts SET n = n + 1 WHERE id % 10 = 0", "DELETE FROM app.facts WHERE id < 40", "INSERT INTO app.facts (id, s) VALUES (3, 'again')",
		"DELETE FROM app.facts WHERE id > 0", "INSERT INTO app.facts" + many(1, 9, oneRow),
	} {
		p.must(t, "root", sql)
		p.work(t, "STORAGE FLUSH TABLE app.facts")
		p.compare(t, fmt.Sprint("round ", round), "facts", []string{""}, allTypes)
	}
	p.must(t, "root", "INSERT INTO app.facts (id) VALUES (1000)")
	if n := p.read(t, "facts").Count; n != 8 {
		t.Errorf("%d rows are published where 8 are cold and 1 is hot", n)
	}
	p.work(t, "DROP TABLE app.facts")
	if left := p.objects(t, "facts"); len(left) > 0 {
		t.Errorf("left of a dropped table: %v", left)
	}
}
