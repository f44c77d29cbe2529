package e2e

import (
	"io"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/config"
)

// TestDisconnectCancels: a statement ends soon after its client has closed the
// connection, and a client who waits keeps his.
func TestDisconnectCancels(t *testing.T) {
	x := newTarget(t, func(o *config.Options) { o.Execution.HandlerTimeout = 5 * time.Minute })
	const endless = `{"sql":"SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000000) b"}`
	runs := func() (n int) {
		for _, row := range x.must(t, "root", "SELECT query FROM system.statements").rows(t) {
			if strings.Contains(row[0].(string), "count(*)") {
				n++
			}
		}
		return n
	}
	await := func(want int) {
		t.Helper()
		end := time.Now().Add(30 * time.Second)
		for runs() != want {
			if time.Now().After(end) {
				t.Fatalf("%d statements run, want %d", runs(), want)
			}
		}
	}
	leaves, waits := x.dial(t), x.dial(t)
	for _, c := range []io.Writer{leaves, waits} {
		if _, err := io.WriteString(c, sized(endless)); err != nil {
			t.Fatal(err)
		}
	}
	await(2)
	_ = leaves.Close()
	await(1)
	_ = waits.Close()
	await(0)
	x.unharmed(t)
}

// TestSlowQueries: what took long is in system.slow_queries without its values.
func TestSlowQueries(t *testing.T) {
	x := newTarget(t, func(o *config.Options) { o.Logging.SlowQuery = time.Nanosecond })
	x.must(t, "alice", "SELECT s FROM app.mine WHERE s = 'of alice'")
	rows := x.must(t, "root", "SELECT user_id, table_type, table_name, row_count, query FROM system.slow_queries WHERE query LIKE '%app.mine WHERE%'").rows(t)
	if len(rows) != 1 || rows[0][0] != "alice" || rows[0][1] != "user" || rows[0][2] != "app.mine" || rows[0][4] != "SELECT s FROM app.mine WHERE s = ?" {
		t.Errorf("%v", rows)
	}
}

// TestStatementFigures: /metrics tells times by kind and path, and faults of
// statements by code.
func TestStatementFigures(t *testing.T) {
	x := newTarget(t, nil)
	x.must(t, "root", "SELECT count(*) FROM app.open a, app.open b")
	x.post(t, "Bearer "+token("root"), []byte(`{"sql":"SELECT * FROM app.nowhere"}`))
	_, text := x.send(t, "GET", "/metrics", nil)
	for _, want := range []string{
		`kalamdb_statement_seconds_bucket{kind="select",path="row",le="+Inf"}`,
		`kalamdb_statement_seconds_count{kind="select",path="analytic"} 1`,
		`kalamdb_statement_seconds_count{kind="insert",path="row"}`,
		`kalamdb_statement_faults_total{code="TABLE_NOT_FOUND"} 1`,
		"kalamdb_statements_running 0", "kalamdb_analytics_queue 0", "kalamdb_views ", "kalamdb_transactions_open 0",
		"kalamdb_disk_free_bytes ", "kalamdb_store_log_bytes ", "kalamdb_plan_cache_hits_total ",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}
