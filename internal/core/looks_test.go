package core_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/api"
	"kalamdb/internal/core"
	"kalamdb/internal/schema"
)

// TestLooksAreAudited: what administrators look at leaves one entry a minute,
// what others look at none, and many looks no more than their bound.
func TestLooksAreAudited(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE a; CREATE SHARED TABLE a.t (id BIGINT PRIMARY KEY); CREATE USER 'dee' WITH PASSWORD 'a-long-secret-1' ROLE dba")
	dee, ann := session("dee", schema.RoleDBA), session("ann", schema.RoleUser)
	c := db.Hub().Connect(core.LiveConnOptions{ID: "c", User: "dee", Encoder: api.JSONFrames()})
	defer c.Close()
	look := func() {
		t.Helper()
		for _, sql := range []string{"SHOW TABLES", "SHOW TABLES IN a", "SHOW NAMESPACES", "SHOW STORAGES", "SHOW COLUMNS FROM a.t", "DESCRIBE TABLE a.t", "SHOW search_path", "SHOW TABLES"} {
			mustRun(t, db, dee, sql)
		}
		mustRun(t, db, ann, "SHOW TABLES")
		for _, id := range []string{"one", "two"} {
			if err := db.Subscribe(t.Context(), dee, c, core.LiveRequest{ID: id, SQL: "SELECT * FROM a.t"}); err != nil {
				t.Fatal(err)
			}
			c.Unsubscribe(id)
		}
	}
	look()
	look()
	once := "SHOW TABLES; SHOW TABLES IN a; SHOW NAMESPACES; SHOW STORAGES; SHOW COLUMNS FROM a.t; DESCRIBE a.t; SUBSCRIBE a.t"
	list := func() string {
		t.Helper()
		return strings.ReplaceAll(one(t, db, "SELECT STRING_AGG(action || ' ' || target, '; ' ORDER BY audit_id) FROM system.audit_log WHERE actor_user_id = 'dee'"), `"`, "")
	}
	if got := list(); got != once {
		t.Errorf("two looks left %s", got)
	}
	db.Clock.Advance(time.Minute)
	look()
	if got := list(); got != once+"; "+once {
		t.Errorf("a minute later there is %s", got)
	}
	db.Clock.Advance(time.Minute)
	const many = 1100
	for i := range many {
		mustRun(t, db, root, fmt.Sprintf("CREATE NAMESPACE n%d; SHOW TABLES IN n%d", i, i))
	}
	if got := one(t, db, "SELECT COUNT(*) FROM system.audit_log WHERE actor_user_id = 'root' AND action = 'SHOW'"); got != "1024" {
		t.Errorf("%d looks in a minute left %s entries, want 1024", many, got)
	}
}
