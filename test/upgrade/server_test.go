package upgrade

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// bound is how long anything here may take.
const bound = 60 * time.Second

// passwords of the accounts in the directories.
var passwords = map[string]string{"root": "Golden-root-1", "alice": "Golden-alice-1", "bob": "Golden-bob-1"}

// process is a server on a data directory.
type process struct {
	url          string
	binary, data string
	command      *exec.Cmd
	tokens       map[string]string // by account
}

// start runs a server on a data directory until it answers.
func start(t *testing.T, binary, data string) *process {
	t.Helper()
	port := freePort(t)
	p := &process{url: "http://127.0.0.1:" + port, binary: binary, data: data, command: exec.Command(binary), tokens: map[string]string{}}
	p.command.Dir = t.TempDir() // no server.toml there
	p.command.Stderr = os.Stderr
	p.command.Env = append(os.Environ(), "KALAMDB_SERVER_PORT="+port, "KALAMDB_DATA_DIR="+data,
		"KALAMDB_ROOT_PASSWORD="+passwords["root"], "KALAMDB_AUTH_BCRYPT_COST=4", "KALAMDB_LOGGING_LOGS_PATH="+t.TempDir(), "KALAMDB_LOGGING_LOG_TO_CONSOLE=false",
		"KALAMDB_RATE_LIMIT_MAX_QUERIES_PER_SEC=1000000", "KALAMDB_RATE_LIMIT_MAX_AUTH_REQUESTS_PER_IP_PER_SEC=1000000",
		// The directories were made on a machine whose clock may be ahead of this one's.
		"KALAMDB_STORAGE_MAX_CLOCK_SKEW=876000h")
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.command.Process.Kill() })
	p.eventually(t, "the server answers", func() bool {
		r, err := http.Get(p.url + "/health")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return p
}

// stop ends the server as a service manager does.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.command.Wait(); err != nil {
		t.Fatalf("the server ended with %v", err)
	}
}

// kill ends the server as a power cut of its process does.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.command.Wait() // it ends with the signal
}

// eventually waits until something is so.
func (p *process) eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !so() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("after %s it is not so that %s", bound, what)
		}
	}
}

// post sends a body and returns the answer.
func (p *process) post(t *testing.T, path, token string, body any) (int, []byte) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, p.url+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Timeout: bound}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

// ask runs a statement as an account, which logs in with its password first,
// and returns the results of the answer, in one spelling.
func (p *process) ask(t *testing.T, s statement) string {
	t.Helper()
	if p.tokens[s.As] == "" {
		status, answer := p.post(t, "/v1/api/auth/login", "", map[string]string{"user": s.As, "password": passwords[s.As]})
		var login struct {
			Token string `json:"access_token"`
		}
		if err := json.Unmarshal(answer, &login); err != nil || status != http.StatusOK || login.Token == "" {
			t.Fatalf("login of %s: %d %.500s", s.As, status, answer)
		}
		p.tokens[s.As] = login.Token
	}
	status, answer := p.post(t, "/v1/api/sql", p.tokens[s.As], map[string]string{"sql": s.SQL})
	var envelope struct {
		Results json.RawMessage `json:"results"`
	}
	if err := json.Unmarshal(answer, &envelope); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %s: %d %.2000s", s.As, s.SQL, status, answer)
	}
	return spelled(t, envelope.Results)
}

// flushed flushes all tables and waits until the jobs have ended.
func (p *process) flushed(t *testing.T, namespace string) {
	t.Helper()
	p.ask(t, statement{As: "root", SQL: "STORAGE FLUSH ALL IN " + namespace})
	p.eventually(t, "the flushes have ended", func() bool {
		return p.rows(t, "root", "SELECT job_id FROM system.jobs WHERE LOWER(status) NOT IN ('completed', 'failed', 'cancelled', 'skipped')") == "[]"
	})
	if failed := p.rows(t, "root", "SELECT * FROM system.jobs WHERE LOWER(status) IN ('failed', 'cancelled')"); failed != "[]" {
		t.Fatalf("jobs have failed: %s", failed)
	}
}

// rows returns the rows of one SELECT as JSON.
func (p *process) rows(t *testing.T, as, sql string) string {
	t.Helper()
	var results []struct {
		Rows json.RawMessage `json:"rows"`
	}
	if err := json.Unmarshal([]byte(p.ask(t, statement{As: as, SQL: sql})), &results); err != nil || len(results) != 1 {
		t.Fatalf("%s: %d results, %v", sql, len(results), err)
	}
	return string(results[0].Rows)
}

// spelled writes JSON with its members in order; numbers keep their digits.
func spelled(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(fmt.Errorf("address of the listener: %w", err))
	}
	return port
}
