package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRunawayStatements sends statements without an end, one after the other and
// then together, while another client reads rows by key: each ends with the
// limit it met, each read is answered, and the memory of the process stays below
// memory.budget and a quarter.
func TestRunawayStatements(t *testing.T) {
	const budget = 512 << 20 // the least there is
	port := freePort(t)
	command := exec.Command(filepath.Join(binaries(t), "kalamdb"))
	command.Env = append(os.Environ(), "KALAMDB_SERVER_PORT="+port, "KALAMDB_DATA_DIR="+t.TempDir(), "KALAMDB_JWT_SECRET="+targetSecret,
		"KALAMDB_ROOT_PASSWORD=Root-secret-1", "KALAMDB_AUTH_BCRYPT_COST=4", "KALAMDB_RATE_LIMIT_MAX_QUERIES_PER_SEC=1000000",
		"KALAMDB_EXECUTION_HANDLER_TIMEOUT_SECONDS=2", fmt.Sprint("KALAMDB_MEMORY_BUDGET=", budget),
		fmt.Sprint("KALAMDB_ANALYTICS_TEMP_BYTES=", 256<<20))
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	x := &target{url: "http://127.0.0.1:" + port, address: net.JoinHostPort("127.0.0.1", port), client: httpClient()}
	if err := answers(x.url + "/health"); err != nil {
		t.Fatal(err)
	}
	x.must(t, "root", "CREATE NAMESPACE r; CREATE SHARED TABLE r.t (id BIGINT PRIMARY KEY, s TEXT); INSERT INTO r.t SELECT n, 'x' FROM generate_series(1, 20000) AS g(n)")

	base := anonymous(t, command.Process.Pid)
	var peak, slowest, reads atomic.Int64
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for i := 1; ; i = i%20_000 + 1 {
			select {
			case <-stop:
				return
			default:
			}
			begin := time.Now()
			body, _ := json.Marshal(map[string]any{"sql": fmt.Sprintf("SELECT s FROM r.t WHERE id = %d", i)})
			if e := x.post(t, "Bearer "+token("root"), body); e.Status != "success" {
				t.Errorf("a read by key: %s", e)
				return
			}
			slowest.Store(max(slowest.Load(), int64(time.Since(begin))))
			peak.Store(max(peak.Load(), anonymous(t, command.Process.Pid)))
			reads.Add(1)
		}
	})
	statements := []string{
		"SELECT count(*) FROM r.t a, r.t b, r.t c",
		"WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT count(*) FROM x",
		"SELECT a.id, b.id, a.s || b.s FROM r.t a, r.t b ORDER BY a.s || b.s, a.id * b.id",
		"SELECT a.id * 100000 + b.id, count(*) FROM r.t a, r.t b GROUP BY 1 ORDER BY 2",
		"SELECT string_agg(repeat('x', 10000), ',') FROM r.t a, r.t b",
	}
	ends := func(sql string) {
		body, _ := json.Marshal(map[string]any{"sql": sql})
		begin := time.Now()
		e := x.post(t, "Bearer "+token("root"), body)
		if e.Error == nil || !strings.Contains(e.Error.Message, "timeout") && !strings.Contains(e.Error.Message, "imit") && !strings.Contains(e.Error.Message, "memory") && !strings.Contains(e.Error.Message, "bytes") {
			t.Errorf("%s: %.500s", sql, e)
		}
		if took := time.Since(begin); took > 2*time.Second+20*time.Second { // two on a machine that has nothing else to do
			t.Errorf("%s took %s", sql, took)
		}
		t.Logf("%s: %v after %s", sql, e.Error, time.Since(begin))
	}
	for _, sql := range statements {
		ends(sql)
	}
	var together sync.WaitGroup
	for _, sql := range statements {
		together.Go(func() { ends(sql) })
	}
	together.Wait()
	close(stop)
	others.Wait()
	t.Logf("%d reads, the slowest %s; %d MiB at the beginning, %d MiB at most", reads.Load(), time.Duration(slowest.Load()), base>>20, peak.Load()>>20)
	if s := time.Duration(slowest.Load()); s > 5*time.Second {
		t.Errorf("a read by key took %s", s)
	}
	if most := int64(budget * 5 / 4); peak.Load() > most {
		t.Errorf("the process took %d MiB, more than %d MiB", peak.Load()>>20, most>>20)
	}
}

// anonymous is the memory of a process that no file backs.
func anonymous(t *testing.T, pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Error(err)
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Error(err)
	}
	return kib << 10
}
