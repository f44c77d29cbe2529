package live_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/core"
	"kalamdb/internal/disk"
)

// TestDelivery: the columns of system.live behind last_ping_at follow what a
// client does and leaves undone. It reads nothing until it is slow, overflows
// its outbox, and comes back.
func TestDelivery(t *testing.T) {
	db := openDB(t, disk.NewMem(), newClock(), func(o *core.Options) { o.Live.OutboxBytes = 600 })
	db.exec("root", "CREATE NAMESPACE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY) WITH (TYPE='USER')")
	c := db.connect("one", "alice")
	// figures gives lag_ms, delivered beside changes, state, idle_ms, stalled_ms,
	// slow, and whether anything is queued; and position apart.
	figures := func(id string) (string, uint64) {
		t.Helper()
		db.settle()
		rows := db.rows("root", "SELECT lag_ms, delivered, changes, state, idle_ms, stalled_ms, slow, bytes_queued > 0, position FROM system.live WHERE subscription_id = '"+id+"'")
		if len(rows) != 1 {
			t.Fatalf("%v", rows)
		}
		position, _ := strconv.ParseUint(rows[0][8], 10, 64) // 0 for NULL
		return strings.Join(rows[0][:8], " "), position
	}
	want := func(id, text string) uint64 {
		t.Helper()
		got, position := figures(id)
		if got != text {
			t.Errorf("%s: %q, want %q", id, got, text)
		}
		return position
	}
	db.exec("alice", "INSERT INTO app.t VALUES (1), (2)")
	if err := c.subscribe("p", "SELECT id FROM app.t", &core.LiveSnapshot{BatchSize: 1}); err != nil {
		t.Fatal(err)
	}
	if at := want("p", "NULL 0 0 loading 0 0 false true"); at != 0 {
		t.Errorf("position %d before the snapshot is over", at)
	}
	if err := c.subscribe("a", "SELECT id FROM app.t", nil); err != nil {
		t.Fatal(err)
	}
	c.take()
	first := want("a", "0 0 0 live 0 0 false false")

	db.clock.Advance(time.Second)
	db.exec("alice", "INSERT INTO app.t VALUES (3), (4)")
	db.settle()
	db.clock.Advance(4 * time.Second)
	second := want("a", "0 0 2 live 5000 4000 false true")
	if second <= first {
		t.Errorf("position %d after %d", second, first)
	}
	db.clock.Advance(time.Second)
	want("a", "0 0 2 live 6000 5000 true true")
	c.conn.Touch()
	want("a", "0 0 2 live 0 5000 true true")
	c.take()
	want("a", "0 2 2 live 0 0 false false")

	// Beyond the outbox it lags by the time of the commits that it lacks.
	for i := range 10 {
		db.clock.Advance(time.Second)
		db.exec("alice", fmt.Sprintf("INSERT INTO app.t VALUES (%d)", 10+i))
		db.settle()
	}
	text, stuck := figures("a")
	f := strings.Fields(text)
	if lag, _ := strconv.Atoi(f[0]); lag < 1000 || lag > 10_000 || f[3] != "lagging" || f[6] != "true" || stuck <= second {
		t.Errorf("with a full outbox: %s at %d", text, stuck)
	}
	c.take()
	if at := want("a", "0 12 12 live 10000 0 false false"); at <= stuck {
		t.Errorf("position %d after %d", at, stuck)
	}
	found, ok := db.Hub().Find("alice-one-a")
	if !ok || found.Delivered != 12 || found.State != "live" {
		t.Errorf("Find: %+v", found)
	}
}

// TestResultDelivery: the result of an aggregate is where it was read last.
func TestResultDelivery(t *testing.T) {
	db := openDB(t, disk.NewMem(), newClock(), nil)
	db.exec("root", "CREATE NAMESPACE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY) WITH (TYPE='USER')")
	c := db.connect("one", "alice")
	if err := c.subscribe("n", "SELECT COUNT(*) AS n FROM app.t", nil); err != nil {
		t.Fatal(err)
	}
	c.take()
	before, _ := db.Hub().Find("alice-one-n")
	db.clock.Advance(time.Second)
	db.exec("alice", "INSERT INTO app.t VALUES (1)")
	c.take()
	after, _ := db.Hub().Find("alice-one-n")
	if before.State != "live" || before.Lag != 0 || before.Delivered != 0 ||
		after.State != "live" || after.Lag != 0 || after.Delivered != 1 || after.Position <= before.Position {
		t.Errorf("%+v, then %+v", before.Delivery, after.Delivery)
	}
	for id, sql := range map[string]string{"rows": "SELECT id FROM app.t", "run": "SELECT id FROM app.t ORDER BY id LIMIT 2", "folded": "SELECT id % 2 AS k, MIN(id) AS l FROM app.t GROUP BY id % 2"} {
		if err := c.subscribe(id, sql, nil); err != nil {
			t.Fatal(err)
		}
		if got := db.rows("root", "SELECT upkeep FROM system.live WHERE subscription_id = '"+id+"'")[0][0]; got != id {
			t.Errorf("%s is kept as %s, not as %s", sql, got, id)
		}
	}
}
