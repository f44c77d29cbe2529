package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// archiveServer starts a server with an archive and waits until it answers.
func archiveServer(t *testing.T, data string, settings ...string) (*target, *exec.Cmd) {
	t.Helper()
	port := freePort(t)
	command := exec.Command(filepath.Join(binaries(t), "kalamdb"))
	command.Env = append(append(os.Environ(), "KALAMDB_SERVER_PORT="+port, "KALAMDB_DATA_DIR="+data, "KALAMDB_JWT_SECRET="+targetSecret,
		"KALAMDB_ROOT_PASSWORD=Root-secret-1", "KALAMDB_AUTH_BCRYPT_COST=4", "KALAMDB_RATE_LIMIT_MAX_QUERIES_PER_SEC=1000000",
		"KALAMDB_RATE_LIMIT_MAX_REQUESTS_PER_IP_PER_SEC=1000000"), settings...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	if err := answers("http://127.0.0.1:" + port + "/health"); err != nil {
		t.Fatal(err)
	}
	return &target{url: "http://127.0.0.1:" + port, address: net.JoinHostPort("127.0.0.1", port), client: httpClient()}, command
}

// acknowledged is what writers were told, by id.
type acknowledged struct {
	mu   sync.Mutex
	seqs map[int]uint64
}

// upTo returns the ids of rows that were written at a position or before.
func (a *acknowledged) upTo(position uint64) map[int]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := map[int]bool{}
	for id, seq := range a.seqs {
		if seq <= position {
			ids[id] = true
		}
	}
	return ids
}

// number reads a cell that holds a number, be it as text.
func number(t *testing.T, cell any) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimSuffix(fmt.Sprint(cell), ".0"), 10, 64)
	if v, ok := cell.(json.Number); ok {
		n, err = strconv.ParseUint(v.String(), 10, 64)
	}
	if err != nil {
		t.Fatalf("%v is no number: %v", cell, err)
	}
	return n
}

// stat waits until a figure of system.stats has a value.
func (x *target) stat(t *testing.T, name, want string) {
	t.Helper()
	for range 600 {
		rows := x.must(t, "root", "SELECT metric_value FROM system.stats WHERE metric_name = '"+name+"'").rows(t)
		if len(rows) == 1 && fmt.Sprint(rows[0][0]) == want {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatalf("%s does not become %s", name, want)
}

// TestArchive kills a server in the middle of its work and restores its backup
// to moments between: exactly what was acknowledged up to there is back.
func TestArchive(t *testing.T) {
	data, vault, saved := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "backup")
	x, server := archiveServer(t, data, "KALAMDB_ARCHIVE_STORAGE=vault", "KALAMDB_ARCHIVE_INTERVAL=50ms", "KALAMDB_ARCHIVE_SEGMENT_BYTES=8KiB")
	x.must(t, "root", "CREATE STORAGE vault TYPE filesystem PATH '"+vault+"'")
	x.must(t, "root", "CREATE NAMESPACE app")
	x.must(t, "root", "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, body TEXT) WITH (FLUSH_POLICY = 'rows:100')")
	all := acknowledged{seqs: map[int]uint64{}}
	insert := func(id int) bool {
		body, err := json.Marshal(map[string]any{"sql": fmt.Sprintf("INSERT INTO app.t VALUES (%d, 'body %d') RETURNING _seq", id, id)})
		if err != nil {
			return false
		}
		seq, ok := x.tryInsert(string(body))
		if ok {
			all.mu.Lock()
			all.seqs[id] = seq
			all.mu.Unlock()
		}
		return ok
	}
	for id := range 150 {
		if !insert(id) {
			t.Fatalf("row %d is refused", id)
		}
	}
	x.must(t, "root", "BACKUP DATABASE TO '"+saved+"'")
	x.stat(t, "archive_state", "keeping")
	for id := 150; id < 400; id++ {
		if !insert(id) {
			t.Fatalf("row %d is refused", id)
		}
	}
	x.stat(t, "archive_lag_commits", "0")
	shipped := all.seqs[399]
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for id := 1000 * (w + 1); insert(id); id++ {
			}
		})
	}
	for enough := false; !enough; <-time.After(10 * time.Millisecond) {
		all.mu.Lock()
		enough = len(all.seqs) > 900
		all.mu.Unlock()
	}
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	writers.Wait()

	for _, until := range []uint64{all.seqs[200], all.seqs[333], shipped, 0} {
		after := t.TempDir()
		args := []string{"restore", saved, "--data-dir", after, "--archive", filepath.Join(vault, "archive")}
		if until > 0 {
			args = append(args, "--until", strconv.FormatUint(until, 10))
		}
		if out, err := exec.Command(filepath.Join(binaries(t), "kalamdb"), args...).CombinedOutput(); err != nil {
			t.Fatalf("kalamdb %q: %v\n%s", args, err, out)
		}
		y, running := archiveServer(t, after)
		got, last := map[int]bool{}, uint64(0)
		for _, row := range y.must(t, "root", "SELECT id, _seq FROM app.t").rows(t) {
			id, seq := number(t, row[0]), number(t, row[1])
			got[int(id)], last = true, max(last, seq)
			if told, ok := all.seqs[int(id)]; ok && told != seq {
				t.Errorf("row %d has _seq %d, and had %d", id, seq, told)
			}
		}
		end := until
		if until == 0 {
			if end = last; last < shipped {
				t.Errorf("the end of the archive is %d; %d was shipped", last, shipped)
			}
		}
		want := all.upTo(end)
		for id := range want {
			if !got[id] {
				t.Fatalf("up to %d: row %d is missing; %d of %d rows are there", until, id, len(got), len(want))
			}
		}
		// What was cut off by the kill may be there without having been acknowledged.
		if until > 0 && len(got) != len(want) || len(got) > len(want)+4 {
			t.Fatalf("up to %d: %d rows are there, %d were acknowledged", until, len(got), len(want))
		}
		_ = running.Process.Kill()
	}
	refused := exec.Command(filepath.Join(binaries(t), "kalamdb"), "restore", saved, "--data-dir", t.TempDir(), "--archive", vault, "--until", "17")
	if out, err := refused.CombinedOutput(); err == nil || !strings.Contains(string(out), "after the moment") {
		t.Errorf("a moment before the backup is answered with %v: %s", err, out)
	}
}

// tryInsert sends an INSERT … RETURNING _seq, and reports whether it was
// acknowledged.
func (x *target) tryInsert(body string) (seq uint64, ok bool) {
	answer, err := x.request(body)
	if err != nil {
		return 0, false
	}
	var e struct {
		Status  string `json:"status"`
		Results []struct {
			Rows [][]any `json:"rows"`
		} `json:"results"`
	}
	if json.Unmarshal(answer, &e) != nil || e.Status != "success" || len(e.Results) != 1 || len(e.Results[0].Rows) != 1 {
		return 0, false
	}
	seq, err = strconv.ParseUint(fmt.Sprint(e.Results[0].Rows[0][0]), 10, 64)
	return seq, err == nil
}

// request posts a body as root and returns the answer.
func (x *target) request(body string) ([]byte, error) {
	r, err := http.NewRequest(http.MethodPost, x.url+"/v1/api/sql", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token("root"))
	r.Header.Set("Content-Type", "application/json")
	answer, err := x.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	return io.ReadAll(answer.Body)
}
