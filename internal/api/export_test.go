package api

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestExport exports the data of a user and downloads the archive.
func TestExport(t *testing.T) {
	e := serveFiles(t)
	if got := e.sql(t, "al", "user", "SHOW EXPORT"); !strings.Contains(got, `"rows":[]`) {
		t.Errorf("a new user has exports: %s", got)
	}
	e.sql(t, "al", "user", "INSERT INTO app.note VALUES (1, 'mine', NULL), (2, 'flushed', NULL)")
	e.sql(t, "bo", "user", "INSERT INTO app.note VALUES (1, 'not mine', NULL)")
	e.sql(t, "root", "system", "STORAGE FLUSH TABLE app.note")
	if status, text := e.upload(t, "al", "user", `INSERT INTO app.note VALUES (3, 'with a file', FILE("a"))`, sent{"a", "a.txt", "text/plain", "the bytes"}); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if got := e.sql(t, "al", "user", "EXPORT USER DATA"); !strings.Contains(got, "User data export started. Job ID: UE-") {
		t.Errorf("%s", got)
	}
	where := e.exportOf(t, "al", "user", "SHOW EXPORT")
	for _, c := range []struct {
		where, user, role string
		status            int
		words             string
	}{
		{where, "bo", "user", 403, `"error":"You can only download your own exports","code":"PERMISSION_DENIED"`},
		{where, "sv", "service", 403, "PERMISSION_DENIED"},
		{where, "", "", 401, "MISSING_AUTHORIZATION"},
		{where, "root", "system", 200, "PK\x03\x04"},
		{"/v1/exports/al/export-2020-01-01", "al", "user", 404, `{"error":"Export not found","code":"EXPORT_NOT_FOUND"}`},
		{"/v1/exports/al/table.parquet", "al", "user", 404, "EXPORT_NOT_FOUND"},
		{"/v1/exports/al/..%2fexport", "al", "user", 400, `"error":"Invalid export path","code":"INVALID_INPUT"`},
		{"/v1/exports/al/a/b", "al", "user", 400, "Invalid export path"},
	} {
		if status, text := e.ask(t, "GET", c.where, c.user, c.role, "", nil, nil); status != c.status || !strings.Contains(text, c.words) {
			t.Errorf("%s as %s: %d %.200q", c.where, c.user, status, text)
		}
	}
	_, text := e.ask(t, "GET", where, "al", "user", "", nil, func(a *http.Response) {
		if a.StatusCode != 0 && (a.Header.Get("Content-Type") != "application/zip" || !strings.HasPrefix(a.Header.Get("Content-Disposition"), `attachment; filename="export-`)) {
			t.Errorf("%v", a.Header)
		}
	})
	e.checkArchive(t, text)

	status, again := e.ask(t, "POST", "/v1/api/sql", "al", "user", "", strings.NewReader(`{"sql":"EXPORT USER DATA"}`), nil)
	if status != 400 || !strings.Contains(again, "there is an export of today already") {
		t.Errorf("twice a day: %d %s", status, again)
	}
	e.sql(t, "root", "system", "EXECUTE AS USER 'bo' (EXPORT USER DATA)")
	if where := e.exportOf(t, "root", "system", "EXECUTE AS USER 'bo' (SHOW EXPORT)"); !strings.HasPrefix(where, "/v1/exports/bo/") {
		t.Errorf("for another: %s", where)
	}
	if status, text := e.ask(t, "POST", "/v1/api/sql", "al", "user", "", strings.NewReader(`{"sql":"EXECUTE AS USER 'bo' (EXPORT USER DATA)"}`), nil); status != 403 {
		t.Errorf("a user for another: %d %s", status, text)
	}
}

// exportOf waits for the newest export and returns its place.
func (e *edge) exportOf(t *testing.T, user, role, query string) string {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		var answer struct {
			Results []struct{ Rows [][]any }
		}
		text := e.sql(t, user, role, query)
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatal(err)
		}
		row := answer.Results[0].Rows[0]
		if row[1] == "completed" {
			return row[4].(string)
		}
		if row[1] == "failed" || time.Now().After(end) {
			t.Fatalf("the export: %s", text)
		}
	}
}

// checkArchive looks into the archive of al.
func (e *edge) checkArchive(t *testing.T, text string) {
	t.Helper()
	archive, err := zip.NewReader(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range archive.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := io.Copy(&b, r); err != nil {
			t.Fatal(err)
		}
		found[f.Name] = b.String()
	}
	var m struct {
		Version int
		UserID  string `json:"user_id"`
		Tables  []struct {
			Path  string
			Rows  int64
			Files []struct{ Path string }
		}
	}
	if err := json.Unmarshal([]byte(found["manifest.json"]), &m); err != nil {
		t.Fatalf("%v in %q", err, found["manifest.json"])
	}
	if m.Version != 1 || m.UserID != "al" || len(m.Tables) != 1 || m.Tables[0].Rows != 3 || len(m.Tables[0].Files) != 1 || len(found) != 3 {
		t.Fatalf("%d entries, manifest %s", len(found), found["manifest.json"])
	}
	if found[m.Tables[0].Files[0].Path] != "the bytes" {
		t.Errorf("the file is %q", found[m.Tables[0].Files[0].Path])
	}
	rows := found[m.Tables[0].Path]
	if !strings.HasPrefix(rows, "PAR1") || strings.Contains(rows, "not mine") {
		t.Errorf("the rows: %.40q", rows)
	}
}
