package core_test

import (
	"strings"
	"testing"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// TestActingUsesPlans holds that the rights of a statement within EXECUTE AS are
// found in the tree of its plan, of whatever text that was made, and that a
// refusal still names the place in the text that was sent.
func TestActingUsesPlans(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE app; CREATE TABLE app.notes (id INT PRIMARY KEY, x TEXT) WITH (TYPE='USER'); CREATE TABLE app.everyone (id INT PRIMARY KEY) WITH (TYPE='SHARED', ACCESS_LEVEL='RESTRICTED')")
	service := session("svc", schema.RoleService)
	for _, id := range []string{"1", "22", "333"} {
		mustRun(t, db, service, "EXECUTE AS USER 'eve' (INSERT INTO app.notes VALUES ("+id+", 'a'))")
	}
	mustRun(t, db, service, "EXECUTE AS USER 'eve' (DELETE FROM app.notes WHERE id = 1)")
	if got := mustRun(t, db, session("eve", schema.RoleUser), "SELECT * FROM app.notes"); got[0] != "2" {
		t.Errorf("eve has %s rows, want 2", got[0])
	}
	for _, id := range []string{"1", "22222", "333"} {
		mustRun(t, db, root, "SELECT "+id+", id FROM app.everyone")
		text := "EXECUTE AS USER 'eve' (SELECT " + id + ", id FROM app.everyone)"
		_, err := run(db, service, text)
		if err == nil || !strings.Contains(err.Error(), "not allowed on SHARED tables") {
			t.Fatalf("%s: %v", text, err)
		}
		if at := faultAt(err); at != strings.Index(text, "app.everyone") {
			t.Errorf("%s: refused at %d, want %d", text, at, strings.Index(text, "app.everyone"))
		}
	}
}

// faultAt returns the place that a fault names.
func faultAt(err error) int { return fault.Of(err).Offset }
