package e2e

import (
	"errors"
	"strings"
	"testing"

	kalam "kalamdb/sdk/go"
)

// TestPresence: with the real server, rows come and go with connections; a lost
// connection that is back in time is not noticed, a restart leaves nobody.
func TestPresence(t *testing.T) {
	port, data := freePort(t), t.TempDir()
	url := "http://127.0.0.1:" + port
	server := process(t, port, data)
	root := sdk(t, kalam.Options{URL: url, User: "root", Password: "Root-secret-1"})
	sdkRun(t, root, "CREATE NAMESPACE app; CREATE USER 'alice' WITH PASSWORD 'Alice-secret-1' ROLE user; "+
		"CREATE SHARED TABLE app.here (id TEXT PRIMARY KEY, n INT) WITH (ACCESS_LEVEL='public', PRESENCE='1s'); "+
		"CREATE SHARED TABLE app.patient (id TEXT PRIMARY KEY, n INT) WITH (ACCESS_LEVEL='public', PRESENCE='1h'); "+
		"CREATE SHARED TABLE app.name (id TEXT PRIMARY KEY, title TEXT); INSERT INTO app.name VALUES ('alice', 'Dr'), ('bob', 'Mr')")
	watch := newMirror(sdkSubscribe(t, sdkLive(t, root), "SELECT id, n FROM app.here", kalam.SubscribeOptions{}))
	counted := newMirror(sdkSubscribe(t, sdkLive(t, root), "SELECT 'all' AS id, CAST(COUNT(*) AS INT) AS n FROM app.here", kalam.SubscribeOptions{}))
	watch.ready(t)

	wire := newCutter(t, "127.0.0.1:"+port)
	client := sdk(t, kalam.Options{URL: wire.url, User: "alice", Password: "Alice-secret-1"})
	alice := sdkLive(t, client)
	seq, err := alice.Present(t.Context(), "app.here", map[string]any{"id": "alice", "n": 1})
	if err != nil || seq == 0 {
		t.Fatal(seq, err)
	}
	if _, err := alice.Present(t.Context(), "app.patient", map[string]any{"id": "alice", "n": 1}); err != nil {
		t.Fatal(err)
	}
	watch.equals(t, map[string]string{"alice": "1"})
	if watch.last.Seq != seq {
		t.Errorf("the row was told with _seq %d, and had %d", watch.last.Seq, seq)
	}
	counted.until(t, "one row", func() bool { return counted.rows["all"] == "1" })
	for sql, want := range map[string]string{
		"SELECT title AS id, h.n FROM app.here h JOIN app.name USING (id)":                                               "Dr",
		"SELECT id, CAST(COUNT(*) OVER () AS INT) AS n FROM app.here WHERE id >= 'a'":                                    "alice",
		"SELECT id, n FROM app.here WHERE id = 'alice'":                                                                  "alice",
		"SELECT x.id, MAX(x.n) AS n FROM app.here x JOIN app.patient y ON x.id = y.id GROUP BY x.id HAVING COUNT(*) = 1": "alice",
	} {
		if rows := sdkRun(t, root, sql)[0].Rows; len(rows) != 1 {
			t.Errorf("%s: %v, want %s", sql, rows, want)
		}
	}
	for _, sql := range []string{
		"INSERT INTO app.here VALUES ('bob', 1)", "UPDATE app.here SET n = 2 WHERE id = 'alice'", "DELETE FROM app.here WHERE id = 'alice'",
		"BEGIN; INSERT INTO app.here VALUES ('bob', 1); COMMIT",
	} {
		if _, err := root.Query(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "has PRESENCE") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	// The connection breaks, and the Live comes back with its session.
	wire.cut()
	for {
		if _, err = alice.Present(t.Context(), "app.here", map[string]any{"id": "alice", "n": 2}); !errors.Is(err, kalam.ErrUnanswered) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	watch.until(t, "the second version", func() bool { return watch.rows["alice"] == "2" })
	if found, err := alice.Absent(t.Context(), "app.here", map[string]any{"id": "alice"}); err != nil || !found {
		t.Error(found, err)
	}
	watch.until(t, "nobody", func() bool { return len(watch.rows) == 0 })
	if _, err = alice.Present(t.Context(), "app.here", map[string]any{"id": "alice", "n": 3}); err != nil {
		t.Fatal(err)
	}
	watch.equals(t, map[string]string{"alice": "3"})
	_ = alice.Close()
	watch.until(t, "nobody", func() bool { return len(watch.rows) == 0 })
	counted.until(t, "no row", func() bool { return counted.rows["all"] == "0" })

	if rows := sdkRun(t, root, "SELECT id, n FROM app.patient")[0].Rows; len(rows) != 1 {
		t.Errorf("in an hour of grace there is %v", rows)
	}
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait()
	process(t, port, data)
	if rows := sdkRun(t, root, "SELECT id, n FROM app.patient")[0].Rows; len(rows) != 0 {
		t.Errorf("a start of the server has left %v", rows)
	}
}
