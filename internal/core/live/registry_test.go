package live_test

import (
	"strings"
	"testing"
	"time"

	"kalamdb/internal/core"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
)

// TestRegistry: system.live has a row per subscription, found by its live id;
// the counter and the time of change move with what is handed out; rows go with
// their subscription, their connection, or KILL LIVE QUERY, whose caller must be
// an administrator or the owner.
func TestRegistry(t *testing.T) {
	db := openDB(t, disk.NewMem(), newClock(), nil)
	db.exec("root", "CREATE NAMESPACE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY, v INT) WITH (TYPE='USER')")
	a, b := db.connect("one", "alice"), db.connect("two", "alice")
	c := db.connect("three", "bob")
	for id, of := range map[string]*client{"x": a, "y": a, "z": b, "w": c} {
		if err := of.subscribe(id, "SELECT id FROM app.t -- all of it", nil); err != nil {
			t.Fatal(err)
		}
	}
	live := func(where string) string {
		t.Helper()
		var out []string
		for _, row := range db.rows("root", "SELECT subscription_id, connection_id, user_id, changes FROM system.live WHERE "+where+" ORDER BY live_id") {
			out = append(out, strings.Join(row, " "))
		}
		return strings.Join(out, ", ")
	}
	want := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	want(live("user_id = 'alice'"), "x one alice 0, y one alice 0, z two alice 0")
	want(live("table_name = 't' AND connection_id = 'three' AND status = 'active'"), "w three bob 0")

	found, ok := db.Hub().Find("alice-one-x")
	if !ok || found.Query != "SELECT id FROM app.t -- all of it" || found.Changes != 0 {
		t.Errorf("Find: %+v, %v", found, ok)
	}
	if _, ok := db.Hub().Find("alice-one-none"); ok {
		t.Error("Find finds what is not there")
	}
	if n := db.Hub().OnTable(found.TableID); n != 4 {
		t.Errorf("%d subscriptions on the table, want 4", n)
	}
	// A user is told of his own ones only, an administrator of all.
	for user, n := range map[string]string{"alice": "3", "bob": "1", "dba": "4"} {
		results, err := db.Execute(t.Context(), session(user), core.Request{SQL: "SHOW STATS FOR TABLE app.t"})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := results[0].Next(t.Context())
		if err != nil || len(rows) != 1 {
			t.Fatalf("%v, %v", rows, err)
		}
		for i, c := range results[0].Columns {
			if c.Name == "active_streams" {
				want(user+" "+rows[0][i].String(), user+" "+n)
			}
		}
		results[0].Close()
	}
	db.clock.Advance(time.Minute)
	db.exec("alice", "INSERT INTO app.t VALUES (1, 1), (2, 2)")
	a.take()
	want(live("user_id = 'alice' AND connection_id = 'one'"), "x one alice 2, y one alice 2")
	want(live("user_id = 'bob'"), "w three bob 0")
	if after, _ := db.Hub().Find("alice-one-x"); after.Changes != 2 || !after.ChangedAt.After(found.ChangedAt) {
		t.Errorf("after two changes: %+v", after)
	}

	kill := func(user, id string, code fault.Code) {
		t.Helper()
		err := db.try(user, "KILL LIVE QUERY '"+id+"'")
		if code == "" && err != nil || code != "" && !fault.Is(err, code) {
			t.Errorf("%s kills %s: %v, want %q", user, id, err, code)
		}
	}
	kill("bob", "alice-one-x", fault.PermissionDenied)
	kill("dba", "alice-one-none", fault.ObjectNotFound)
	kill("dba", "alice-one-x", "")
	kill("dba", "alice-one-x", fault.ObjectNotFound)
	kill("bob", "bob-three-w", "")
	want(live("TRUE"), "y one alice 2, z two alice 2")
	db.exec("alice", "INSERT INTO app.t VALUES (3, 3)")
	if frames := a.take(); len(frames) != 1 || !strings.HasPrefix(frames[0], "y: insert id=3") {
		t.Errorf("the other subscription of the connection gets %q", frames)
	}

	if n := db.Hub().Disconnect("one"); n != 1 {
		t.Errorf("%d subscriptions went with the connection, want 1", n)
	}
	if n := db.Hub().DisconnectUser("alice"); n != 1 {
		t.Errorf("%d connections went with the user, want 1", n)
	}
	want(live("TRUE"), "")
	if n := db.Hub().OnTable(found.TableID); n != 0 {
		t.Errorf("%d subscriptions are left on the table", n)
	}
}
