package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"path"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/disk"
)

// sent is one file of a request.
type sent struct{ key, name, kind, body string }

// upload sends a statement with files and returns status and body.
func (e *edge) upload(t *testing.T, user, role, sql string, files ...sent) (int, string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField("sql", sql) // a buffer takes everything
	for _, f := range files {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", fmt.Sprintf(`form-data; name="file:%s"; filename="%s"`, f.key, strings.ReplaceAll(f.name, `"`, `\"`)))
		if f.kind != "" {
			h.Set("Content-Type", f.kind)
		}
		part, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(part, f.body)
	}
	_ = w.Close()
	return e.ask(t, "POST", "/v1/api/sql", user, role, w.FormDataContentType(), &b, nil)
}

// ask sends a request as a user and returns status and body; seen gets the answer.
func (e *edge) ask(t *testing.T, method, where, user, role, contentType string, body io.Reader, seen func(*http.Response)) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, e.url+where, body)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		r.Header.Set("Authorization", "Bearer "+token(t, user, role, nil))
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if seen != nil {
		seen(&http.Response{Request: r}) // for what it wants to add
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if seen != nil {
		seen(answer)
	}
	return answer.StatusCode, string(text)
}

// sql runs a statement as root, or fails.
func (e *edge) sql(t *testing.T, user, role, text string) string {
	t.Helper()
	body, _ := json.Marshal(map[string]string{"sql": text})
	status, answer := e.ask(t, "POST", "/v1/api/sql", user, role, "", bytes.NewReader(body), nil)
	if status != 200 {
		t.Fatalf("%s: %d %s", text, status, answer)
	}
	return answer
}

// reference is a FILE value.
type reference struct {
	ID, Sub, Name, MIME, SHA256 string
	Size                        int64
}

// cell returns the first cell of a query that gives a FILE.
func (e *edge) cell(t *testing.T, user, role, query string) (r reference) {
	t.Helper()
	var answer struct {
		Results []struct{ Rows [][]string }
	}
	if err := json.Unmarshal([]byte(e.sql(t, user, role, query)), &answer); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(answer.Results[0].Rows[0][0]), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// stored are the blobs on the disk of the edge, by their names.
func (e *edge) stored(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	var walk func(dir string)
	walk = func(dir string) {
		names, err := e.disk.List(dir)
		if err != nil {
			return
		}
		for _, name := range names {
			full := path.Join(dir, name)
			if info, err := e.disk.Stat(full); err == nil && info.IsDir() {
				walk(full)
				continue
			}
			if strings.Contains(dir, "/f0") || strings.HasPrefix(name, "upload-") {
				body, err := disk.ReadFile(e.disk, full)
				if disk.IsNotExist(err) {
					continue // removed meanwhile
				}
				if err != nil {
					t.Fatal(err)
				}
				found[full] = string(body)
			}
		}
	}
	walk("data")
	return found
}

// eventually waits until so many files are on the disk.
func (e *edge) eventually(t *testing.T, what string, n int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		found := e.stored(t)
		if len(found) == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %d files %v, want %d", what, len(found), found, n)
		}
		e.sql(t, "root", "system", "SELECT 1")
	}
}

func serveFiles(t *testing.T) *edge {
	e := serve(t, nil)
	e.sql(t, "root", "system", `CREATE NAMESPACE app; CREATE TABLE app.note (id BIGINT PRIMARY KEY, body TEXT, f FILE) WITH (TYPE='USER');
		CREATE TABLE app.doc (id BIGINT PRIMARY KEY, f FILE, g FILE) WITH (TYPE='SHARED', ACCESS_LEVEL='public');
		CREATE TABLE app.secret (id BIGINT PRIMARY KEY, f FILE) WITH (TYPE='SHARED', ACCESS_LEVEL='private');
		CREATE TABLE app.plain (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE='SHARED');
		CREATE TABLE app.ev (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE='STREAM', TTL_SECONDS=60);
		CREATE USER 'al' WITH PASSWORD 'Secret-123' ROLE user; CREATE USER 'bo' WITH PASSWORD 'Secret-123' ROLE user; CREATE USER 'sv' WITH PASSWORD 'Secret-123' ROLE service`)
	return e
}

// TestFiles uploads, reads, replaces and deletes files.
func TestFiles(t *testing.T) {
	e := serveFiles(t)
	body := strings.Repeat("content ", 100_000)
	status, answer := e.upload(t, "al", "user", `INSERT INTO app.note VALUES (1, 'x', FILE("a"))`, sent{"a", "../../etc/Report Q1.PDF", "application/pdf", body})
	if status != 200 {
		t.Fatalf("upload: %d %s", status, answer)
	}
	r := e.cell(t, "al", "user", "SELECT f FROM app.note")
	sum := sha256.Sum256([]byte(body))
	if r.Sub != "f0001" || r.Name != "Report Q1.PDF" || r.MIME != "application/pdf" || r.Size != int64(len(body)) || r.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("reference %+v", r)
	}
	name := r.ID + "-report-q1.pdf"
	if found := e.stored(t); len(found) != 1 || found["data/storage/app/note/al/f0001/"+name] != body {
		t.Errorf("on the disk: %d files", len(found))
	}
	where := "/v1/files/app/note/f0001/" + name
	get := func(what, where, user, role string, want int, words string) {
		t.Helper()
		if status, text := e.ask(t, "GET", where, user, role, "", nil, nil); status != want || !strings.Contains(text, words) {
			t.Errorf("%s: %d %.200s, want %d %.80s", what, status, text, want, words)
		}
	}
	get("owner", where, "al", "user", 200, body)
	get("owner by id", "/api/v1/files/app/note/f0001/"+r.ID, "al", "user", 200, body)
	get("nobody", where, "", "", 401, "MISSING_AUTHORIZATION")
	get("another user without a file", where, "bo", "user", 404, `{"error":"File not found","code":"FILE_NOT_FOUND"}`)
	get("another user", where+"?user_id=al", "bo", "user", 403, "PERMISSION_DENIED")
	get("service", where+"?user_id=al", "sv", "service", 200, body)
	get("system", where+"?user_id=al", "root", "system", 200, body)
	get("own id", where+"?user_id=al", "al", "user", 200, body)
	get("empty user", where+"?user_id=", "al", "user", 400, "INVALID_INPUT")
	get("other folder", strings.Replace(where, "f0001", "f0002", 1), "al", "user", 404, "FILE_NOT_FOUND")
	get("other name", strings.Replace(where, "report", "repor", 1), "al", "user", 404, "FILE_NOT_FOUND")
	get("no table", strings.Replace(where, "note", "nope", 1), "al", "user", 404, `{"error":"Table 'app.nope' not found"}`)
	get("stream", strings.Replace(where, "note", "ev", 1), "al", "user", 400, "INVALID_INPUT")
	for _, bad := range []string{"app/note/../note/f0001/" + name, "app/note/f0001/..%2f" + name, "app/note/f1/" + name, "app/note/f00x1/" + name,
		"app/note/f0001/%2e%2e", "app%2fnote/f0001/" + name, "app/note/f0001/x%00", "app/note/f0001", "app/note/f0001/a/b"} {
		get(bad, "/v1/files/"+bad, "al", "user", 400, `"Invalid file path","code":"INVALID_INPUT"`)
	}
	e.ranges(t, where, body)

	if status, answer := e.upload(t, "al", "user", `UPDATE app.note SET f = FILE('b') WHERE id = 1`, sent{"b", "<script>.html", "text/html", "second"}); status != 200 {
		t.Fatalf("replace: %d %s", status, answer)
	}
	e.eventually(t, "replaced", 1)
	get("replaced", where, "al", "user", 404, "FILE_NOT_FOUND")
	r = e.cell(t, "al", "user", "SELECT f FROM app.note")
	e.ask(t, "GET", "/v1/files/app/note/f0001/"+r.ID+"-script.html", "al", "user", "", nil, func(a *http.Response) {
		if a.StatusCode == 0 {
			return
		}
		h := a.Header
		if a.StatusCode != 200 || h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || h.Get("Content-Disposition") != `inline; filename="`+r.ID+`-script.html"` {
			t.Errorf("%d %v", a.StatusCode, h)
		}
	})
	e.sql(t, "al", "user", "DELETE FROM app.note WHERE id = 1")
	e.eventually(t, "deleted", 0)
}

// ranges reads parts of a file.
func (e *edge) ranges(t *testing.T, where, body string) {
	t.Helper()
	n := len(body)
	for _, c := range []struct {
		given         string
		status        int
		content, want string
	}{
		{"bytes=0-6", 206, fmt.Sprintf("bytes 0-6/%d", n), body[:7]},
		{"bytes=-7", 206, fmt.Sprintf("bytes %d-%d/%d", n-7, n-1, n), body[n-7:]},
		{fmt.Sprintf("bytes=%d-", n-3), 206, fmt.Sprintf("bytes %d-%d/%d", n-3, n-1, n), body[n-3:]},
		{fmt.Sprintf("bytes=5-%d", 2*n), 206, fmt.Sprintf("bytes 5-%d/%d", n-1, n), body[5:]},
		{fmt.Sprintf("bytes=%d-", n), 416, fmt.Sprintf("bytes */%d", n), ""},
		{"bytes=3-1", 200, "", body}, {"bytes=1-2,5-6", 200, "", body}, {"lines=1-2", 200, "", body}, {"bytes=x-", 200, "", body},
	} {
		status, text := e.ask(t, "GET", where, "al", "user", "", nil, func(a *http.Response) {
			if a.StatusCode == 0 {
				a.Request.Header.Set("Range", c.given)
			} else if a.Header.Get("Content-Range") != c.content {
				t.Errorf("%s: Content-Range %q, want %q", c.given, a.Header.Get("Content-Range"), c.content)
			}
		})
		if status != c.status || text != c.want {
			t.Errorf("%s: %d with %d bytes, want %d with %d", c.given, status, len(text), c.status, len(c.want))
		}
	}
}

// TestFilesRefused says what is refused, and that nothing of it stays.
func TestFilesRefused(t *testing.T) {
	e := serveFiles(t)
	one := sent{"a", "a.txt", "text/plain", "x"}
	many := make([]sent, 21)
	for i := range many {
		many[i] = sent{fmt.Sprint(i), "a", "", "x"}
	}
	for _, c := range []struct {
		what, user, role, sql string
		status                int
		words                 string
		files                 []sent
	}{
		{"missing part", "al", "user", `INSERT INTO app.note VALUES (1, 'x', FILE("b"))`, 400, "MISSING_FILE", []sent{one}},
		{"no part", "al", "user", `INSERT INTO app.note VALUES (1, 'x', FILE("b"))`, 400, "MISSING_FILE", nil},
		{"extra part", "al", "user", `INSERT INTO app.note VALUES (1, 'FILE("a")', NULL)`, 400, "EXTRA_FILE", []sent{one}},
		{"too many", "al", "user", `INSERT INTO app.note VALUES (1, 'x', NULL)`, 400, "TOO_MANY_FILES", many},
		{"twice", "al", "user", `INSERT INTO app.note VALUES (1, 'x', FILE("a"))`, 400, "sent twice", []sent{one, one}},
		{"two statements", "al", "user", `INSERT INTO app.note VALUES (1, 'x', FILE("a")); SELECT 1`, 400, "single SQL statement", []sent{one}},
		{"no such table", "al", "user", `INSERT INTO app.nope VALUES (1, FILE("a"))`, 400, "TABLE_NOT_FOUND", []sent{one}},
		{"stream", "al", "user", `INSERT INTO app.ev VALUES (1, FILE("a"))`, 400, "not supported for stream or system tables", []sent{one}},
		{"no FILE column", "sv", "service", `INSERT INTO app.plain VALUES (1, FILE("a"))`, 400, "has no FILE column", []sent{one}},
		{"wrong column", "al", "user", `INSERT INTO app.note VALUES (1, FILE("a"), NULL)`, 400, "is no FILE column", []sent{one}},
		{"no right", "al", "user", `INSERT INTO app.doc VALUES (1, FILE("a"), NULL)`, 403, "access", []sent{one}},
		{"no rows", "al", "user", `SELECT FILE("a")`, 400, "INVALID_INPUT", []sent{one}},
		{"bad type", "al", "user", `INSERT INTO app.note VALUES (1, 'x', FILE("a"))`, 400, "INVALID_MIME_TYPE", []sent{{"a", "a", "text", "x"}}},
		{"null key", "al", "user", `INSERT INTO app.note VALUES (NULL, 'x', FILE("a"))`, 400, "NOT NULL", []sent{one}},
		{"nothing matches", "al", "user", `UPDATE app.note SET f = FILE("a") WHERE id = 9`, 200, `"row_count":0`, []sent{one}},
	} {
		if status, text := e.upload(t, c.user, c.role, c.sql, c.files...); status != c.status || !strings.Contains(text, c.words) {
			t.Errorf("%s: %d %s, want %d %s", c.what, status, text, c.status, c.words)
		}
		if found := e.stored(t); len(found) != 0 {
			t.Errorf("%s: files stay: %v", c.what, found)
		}
	}
	big := sent{"a", "big", "", strings.Repeat("x", 25<<20+1)}
	if status, text := e.upload(t, "al", "user", `INSERT INTO app.note VALUES (1, 'x', FILE("a"))`, big); status != 400 || !strings.Contains(text, "FILE_TOO_LARGE") {
		t.Errorf("large: %d %s", status, text)
	}
	body, _ := json.Marshal(map[string]string{"sql": `INSERT INTO app.note VALUES (1, 'x', FILE("a"))`})
	if status, text := e.ask(t, "POST", "/v1/api/sql", "al", "user", "", bytes.NewReader(body), nil); status != 400 || !strings.Contains(text, "FILE placeholders require multipart/form-data") {
		t.Errorf("JSON: %d %s", status, text)
	}
	if status, text := e.upload(t, "al", "user", `INSERT INTO app.note VALUES (1, 'x', NULL)`); status != 200 {
		t.Errorf("form without files: %d %s", status, text)
	}
	e.eventually(t, "nothing stays", 0)
}

// TestFilesShared counts the rows that hold a file.
func TestFilesShared(t *testing.T) {
	e := serveFiles(t)
	big := strings.Repeat("y", 24<<20)
	if status, text := e.upload(t, "sv", "service", `INSERT INTO app.doc VALUES (1, FILE("a"), FILE("b")), (2, FILE("a"), NULL)`,
		sent{"a", "a.txt", "text/plain", "one"}, sent{"b", "", "", big}); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if found := e.stored(t); len(found) != 2 {
		t.Fatalf("%d files", len(found))
	}
	r := e.cell(t, "sv", "service", "SELECT f FROM app.doc WHERE id = 1")
	where := "/v1/files/app/doc/f0001/" + r.ID + "-a.txt"
	for _, c := range []struct {
		where, user, role string
		status            int
		words             string
	}{
		{where, "al", "user", 200, "one"}, {where + "?user_id=al", "al", "user", 400, "INVALID_INPUT"},
		{strings.Replace(where, "doc", "secret", 1), "al", "user", 403, "access_level="},
		{strings.Replace(where, "doc", "secret", 1), "sv", "service", 404, "FILE_NOT_FOUND"},
	} {
		if status, text := e.ask(t, "GET", c.where, c.user, c.role, "", nil, nil); status != c.status || !strings.Contains(text, c.words) {
			t.Errorf("%s as %s: %d %s", c.where, c.user, status, text)
		}
	}
	e.sql(t, "sv", "service", "DELETE FROM app.doc WHERE id = 1")
	e.eventually(t, "one row holds a file", 1)
	if status, text := e.ask(t, "GET", where, "al", "user", "", nil, nil); status != 200 || text != "one" {
		t.Errorf("held by another row: %d %s", status, text)
	}
	e.sql(t, "sv", "service", "INSERT INTO app.secret SELECT id, f FROM app.doc") // another table: no right to the bytes
	e.sql(t, "root", "system", "DROP TABLE app.doc")
	e.eventually(t, "dropped", 0)
	if status, text := e.upload(t, "sv", "service", `EXECUTE AS USER 'al' (INSERT INTO app.note VALUES (7, 'x', FILE("a")))`, sent{"a", "as.txt", "", "for al"}); status != 200 {
		t.Fatalf("as another: %d %s", status, text)
	}
	r = e.cell(t, "al", "user", "SELECT f FROM app.note WHERE id = 7")
	if status, text := e.ask(t, "GET", "/v1/files/app/note/f0001/"+r.ID+"-as.txt", "al", "user", "", nil, nil); status != 200 || text != "for al" {
		t.Errorf("as another: %d %s", status, text)
	}
}
