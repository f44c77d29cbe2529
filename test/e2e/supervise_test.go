package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestSupervise aborts the server twice in the middle of a load: it is back
// within seconds, and every row that was acknowledged is there. Told to stop, the
// supervisor ends with the code of the server, and no server is left.
func TestSupervise(t *testing.T) {
	dir, port, data := binaries(t), freePort(t), t.TempDir()
	var said bytes.Buffer
	command := exec.Command(filepath.Join(dir, "kalamdb"), "--supervise")
	command.Env = append(os.Environ(), "KALAMDB_SERVER_PORT="+port, "KALAMDB_DATA_DIR="+data, "KALAMDB_JWT_SECRET="+targetSecret,
		"KALAMDB_ROOT_PASSWORD=Root-secret-1", "KALAMDB_AUTH_BCRYPT_COST=4", "KALAMDB_RATE_LIMIT_MAX_QUERIES_PER_SEC=1000000")
	command.Stderr = &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	x := &target{url: "http://127.0.0.1:" + port, address: net.JoinHostPort("127.0.0.1", port), client: httpClient()}
	if err := answers(x.url + "/health"); err != nil {
		t.Fatal(err)
	}
	x.must(t, "root", "CREATE NAMESPACE s; CREATE SHARED TABLE s.t (id BIGINT PRIMARY KEY)")

	const writers = 4
	var mu sync.Mutex
	acknowledged := map[int]bool{}
	enough := func(n int) bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged) >= n
	}
	stop := make(chan struct{})
	var load sync.WaitGroup
	for w := range writers {
		load.Go(func() {
			for id := w; ; id += writers {
				select {
				case <-stop:
					return
				default:
				}
				if inserted(x, id) {
					mu.Lock()
					acknowledged[id] = true
					mu.Unlock()
				}
			}
		})
	}
	await := func(what string, is func() bool) {
		t.Helper()
		end := time.Now().Add(startBound)
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for !is() {
			if time.Now().After(end) {
				t.Fatalf("%s never came about", what)
			}
			<-ticker.C
		}
	}
	var pid int
	for range 2 {
		mu.Lock()
		want := len(acknowledged) + 50
		mu.Unlock()
		await("50 more rows", func() bool { return enough(want) })
		last := pid
		pid = x.pid(t)
		if pid == last || pid == command.Process.Pid {
			t.Fatalf("the server is process %d, as before or as its supervisor", pid)
		}
		begin := time.Now()
		if err := syscall.Kill(pid, syscall.SIGABRT); err != nil {
			t.Fatal(err)
		}
		await("the end of the process", func() bool { return syscall.Kill(pid, 0) != nil })
		if err := answers(x.url + "/health"); err != nil {
			t.Fatal(err)
		}
		t.Logf("back after %s", time.Since(begin))
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("it took %s to be back", took)
		}
	}
	mu.Lock()
	want := len(acknowledged) + 20
	mu.Unlock()
	await("20 rows after the last crash", func() bool { return enough(want) })
	close(stop)
	load.Wait()

	there := map[int]bool{}
	for _, row := range x.must(t, "root", "SELECT id FROM s.t").rows(t) {
		id, err := strconv.Atoi(fmt.Sprint(row[0]))
		if err != nil {
			t.Fatal(err)
		}
		there[id] = true
	}
	for id := range acknowledged {
		if !there[id] {
			t.Errorf("row %d was acknowledged and is lost", id)
		}
	}
	pid = x.pid(t)
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("the supervisor ended with %v", err)
	}
	if syscall.Kill(pid, 0) == nil {
		t.Errorf("server %d has outlived its supervisor", pid)
	}
	if n := bytes.Count(said.Bytes(), []byte("has crashed")); n != 2 {
		t.Errorf("%d crashes were told, want 2:\n%.4000s", n, &said)
	}
}

// inserted reports whether a row was acknowledged.
func inserted(x *target, id int) bool {
	body, _ := json.Marshal(map[string]any{"sql": fmt.Sprintf("INSERT INTO s.t VALUES (%d)", id)})
	r, err := http.NewRequest(http.MethodPost, x.url+"/v1/api/sql", bytes.NewReader(body))
	if err != nil {
		return false
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token("root"))
	answer, err := x.client.Do(r)
	if err != nil {
		return false // it has crashed, or is not back yet
	}
	defer answer.Body.Close()
	var e envelope
	return answer.StatusCode == http.StatusOK && json.NewDecoder(answer.Body).Decode(&e) == nil && e.Status == "success"
}

// pid returns the process of the server.
func (x *target) pid(t *testing.T) int {
	t.Helper()
	rows := x.must(t, "root", "SELECT metric_value FROM system.stats WHERE metric_name = 'pid'").rows(t)
	n, err := strconv.Atoi(fmt.Sprint(rows[0][0]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
