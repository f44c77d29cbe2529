package api

import (
	"strings"
	"testing"
	"time"
)

// TestErase: a user with hot and cold rows, a file and an export is erased; what
// others have stays, and the audit log tells who has asked.
func TestErase(t *testing.T) {
	e := serveFiles(t)
	e.sql(t, "al", "user", "INSERT INTO app.note VALUES (1, 'mine', NULL), (2, 'flushed', NULL)")
	e.sql(t, "bo", "user", "INSERT INTO app.note VALUES (1, 'not mine', NULL)")
	e.sql(t, "root", "system", "STORAGE FLUSH TABLE app.note")
	if status, text := e.upload(t, "al", "user", `INSERT INTO app.note VALUES (3, 'with a file', FILE("a"))`, sent{"a", "a.txt", "text/plain", "the bytes"}); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	e.sql(t, "al", "user", "EXPORT USER DATA")
	where := e.exportOf(t, "al", "user", "SHOW EXPORT")
	if got := e.sql(t, "root", "system", "ERASE USER 'al'"); !strings.Contains(got, "Erasure of user 'al' started. Job ID: ER-") {
		t.Errorf("%s", got)
	}
	const asked = "SELECT status, message FROM system.jobs WHERE job_type = 'user_erase'"
	got := ""
	for end := time.Now().Add(60 * time.Second); !strings.Contains(got, "completed"); {
		if got = e.sql(t, "root", "system", asked); strings.Contains(got, "failed") || time.Now().After(end) {
			t.Fatalf("the erasure: %s", got)
		}
	}
	if !strings.Contains(got, "Erased user 'al': 1 table(s), 3 row(s)") {
		t.Errorf("the report: %s", got)
	}
	if status, text := e.ask(t, "POST", "/v1/api/sql", "al", "user", "", strings.NewReader(`{"sql":"SELECT id FROM app.note"}`), nil); status != 401 {
		t.Errorf("a token of the erased user: %d %s", status, text)
	}
	if got := e.sql(t, "root", "system", "EXECUTE AS USER 'al' (SELECT id FROM app.note)"); !strings.Contains(got, `"rows":[]`) {
		t.Errorf("rows of the erased user: %s", got)
	}
	if got := e.sql(t, "bo", "user", "SELECT body FROM app.note"); !strings.Contains(got, "not mine") {
		t.Errorf("rows of another: %s", got)
	}
	if status, text := e.ask(t, "GET", where, "root", "system", "", nil, nil); status != 404 {
		t.Errorf("the export: %d %s", status, text)
	}
	if got := e.sql(t, "root", "system", "SELECT actor_user_id, target FROM system.audit_log WHERE action = 'ERASE_USER'"); !strings.Contains(got, `"root"`) || !strings.Contains(got, `al`) {
		t.Errorf("the audit log: %s", got)
	}
}
