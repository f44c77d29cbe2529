package live_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/core/live"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
)

// resolver finds tables in a view.
type resolver struct{ view *relation.View }

func (r resolver) Table(n parse.Name) (*schema.Table, error) {
	return r.view.Table(n.Namespace, n.Name)
}

func (r resolver) View(n parse.Name) (*schema.View, bool) {
	return r.view.StoredView(n.Namespace, n.Name)
}

// TestCursorMeetsAlterFirst: a cursor that reads the change index before its
// shard has met an ALTER asks for its rights again. The shards of this hub do
// not run, so they never meet it.
func TestCursorMeetsAlterFirst(t *testing.T) {
	db := openDB(t, disk.NewMem(), newClock(), nil)
	db.exec("root", "CREATE NAMESPACE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY, v TEXT) WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC')")
	db.exec("root", "INSERT INTO app.t VALUES (1, 'for everybody')")
	from := db.Position()
	db.exec("root", "INSERT INTO app.t VALUES (2, 'for everybody')")
	hub := live.NewHub(live.Options{Relations: db.Relations(), Shards: 1})
	defer hub.Close()
	c := hub.Connect(core.LiveConnOptions{ID: "c", User: "alice", Encoder: textFrames{}})
	alice := session("alice")
	bind := func(v *relation.View) (*plan.Query, error) {
		stmt, err := parse.Parse("SELECT id FROM app.t")
		if err != nil {
			return nil, err
		}
		q, err := plan.BindSelect(stmt.(*parse.Select), resolver{v}, plan.Options{})
		if err != nil {
			return nil, err
		}
		return q, auth.AllowTable(alice, auth.Read, q.Table)
	}
	view := db.Relations().View()
	p, err := bind(view)
	view.Release()
	if err != nil {
		t.Fatal(err)
	}
	request := live.Request{ID: "a", Options: &live.Snapshot{From: from, HasFrom: true, Replay: true}}
	q, err := live.NewQuery(request, live.QueryOptions{Plan: p, Caller: relation.Caller{User: "alice", Role: alice.Role}, Rebind: bind})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Subscribe(context.Background(), q); err != nil {
		t.Fatal(err)
	}
	db.exec("root", "ALTER TABLE app.t SET ACCESS LEVEL PRIVATE")
	db.exec("root", "INSERT INTO app.t VALUES (3, 'not for alice')")
	var lines []string
	for c.Waiting() {
		frames, err := c.Take(context.Background(), nil, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames {
			lines = append(lines, string(f.Head)+string(f.Body))
		}
	}
	got := strings.Join(lines, "\n")
	if strings.Contains(got, "id=3") || !strings.Contains(got, "error a PERMISSION_DENIED") {
		t.Errorf("alice gets\n%s", got)
	}
}

// TestWaitingHoldsNoView: a subscription that waits for room in the outbox of a
// client that takes nothing keeps no moment of the database.
func TestWaitingHoldsNoView(t *testing.T) {
	db := openDB(t, disk.NewMem(), newClock(), func(o *core.Options) { o.Live.OutboxBytes = 1 })
	db.exec("root", "CREATE NAMESPACE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY) WITH (TYPE='USER')")
	c := db.connect("c", "alice")
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	if err := c.conn.Send(ctx, core.LiveFrame{Body: []byte("nobody takes this")}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		ended <- db.Subscribe(ctx, session("alice"), c.conn, core.LiveRequest{ID: "a", SQL: "SELECT id FROM app.t"})
	}()
	for c.conn.LiveState("a") != "loading" {
		runtime.Gosched()
	}
	db.exec("alice", "INSERT INTO app.t VALUES (1)") // the view before is not the current one any more
	for db.Stats().Apply.Views > 1 && ctx.Err() == nil {
		runtime.Gosched()
	}
	if ctx.Err() != nil {
		t.Error("a view stayed open while the subscription waited")
	}
	stop()
	<-ended
}

// TestPurgedDeletesAreMissed: a difference that a purged tombstone would have
// been part of is refused, whatever the retention is by then and however long
// the client took for its pages.
func TestPurgedDeletesAreMissed(t *testing.T) {
	mem, clock := disk.NewMem(), newClock()
	retention := func(keep time.Duration) func(*core.Options) {
		return func(o *core.Options) { o.DeletedRetention, o.HistoryAge = keep, time.Minute }
	}
	db := openDB(t, mem, clock, retention(time.Hour))
	db.exec("root", "CREATE NAMESPACE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY) WITH (TYPE='USER')")
	db.exec("alice", "INSERT INTO app.t VALUES (1)")
	from := &core.LiveSnapshot{From: db.Position(), HasFrom: true, BatchSize: 1}
	clock.Advance(time.Second)
	db.exec("alice", "DELETE FROM app.t WHERE id = 1")
	db.exec("alice", "INSERT INTO app.t VALUES (2), (3)")
	clock.Advance(time.Hour - 2*time.Second)

	c := db.connect("c", "alice")
	if err := c.subscribe("a", "SELECT id FROM app.t", from); err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Minute)
	if err := db.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.conn.NextBatch(t.Context(), "a", 0, false); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.take(), "\n"); !strings.Contains(got, "error a CURSOR_EXPIRED") {
		t.Errorf("the delete of 1 was purged between the pages, and the client gets\n%s", got)
	}

	db.close()
	db = openDB(t, mem, clock, retention(7*24*time.Hour))
	if err := db.connect("d", "alice").subscribe("b", "SELECT id FROM app.t", from); !fault.Is(err, fault.CursorExpired) {
		t.Errorf("the delete of 1 was purged under a shorter retention, and the subscription says %v", err)
	}
}
