package e2e

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestStopWithClients stops the server while clients of all kinds are
// connected: some listen, some do not read, some say nothing, some are in the
// middle of a request. It ends within the grace, with code 0, and has kept what
// it acknowledged.
func TestStopWithClients(t *testing.T) {
	dir, port, data := binaries(t), freePort(t), t.TempDir()
	start := func() *exec.Cmd {
		t.Helper()
		command := exec.Command(filepath.Join(dir, "kalamdb"))
		command.Env = append(os.Environ(), "KALAMDB_SERVER_PORT="+port, "KALAMDB_DATA_DIR="+data, "KALAMDB_JWT_SECRET="+targetSecret,
			"KALAMDB_ROOT_PASSWORD=Root-secret-1", "KALAMDB_AUTH_BCRYPT_COST=4", "KALAMDB_RATE_LIMIT_MAX_AUTH_REQUESTS_PER_IP_PER_SEC=1000")
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = command.Process.Kill() })
		if err := answers("http://127.0.0.1:" + port + "/health"); err != nil {
			t.Fatal(err)
		}
		return command
	}
	server := start()
	x := &target{url: "http://127.0.0.1:" + port, address: net.JoinHostPort("127.0.0.1", port), client: httpClient()}
	x.fill(t)
	x.readerTable(t, "app.large")

	var reading []*wire
	for range 10 {
		w, stuck := x.upgrade(t, "alice", ""), x.upgrade(t, "bob", "")
		for _, s := range []*wire{w, stuck} {
			s.say(t, subscribe("all", "SELECT * FROM app.large", "null"))
		}
		reading = append(reading, w)
		x.upgrade(t, "", "") // says nothing
		if _, err := io.WriteString(x.dial(t), sized(`{"sql":"SELECT 1"}`)[:100]); err != nil {
			t.Fatal(err)
		}
	}
	closes := make(chan int, len(reading))
	for _, w := range reading {
		go func() {
			for {
				op, payload, err := w.next()
				if err != nil || op == frameClose && len(payload) < 2 {
					closes <- 0
					return
				}
				if op == frameClose {
					closes <- int(payload[0])<<8 | int(payload[1])
					return
				}
			}
		}()
	}
	x.readerWork(t, "app.large")
	for range 5 {
		if _, err := io.WriteString(x.dial(t), sized(`{"sql":"SELECT * FROM app.large"}`)); err != nil {
			t.Fatal(err)
		}
	}
	x.held = x.holds(t)

	begin := time.Now()
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	took := time.Since(begin)
	t.Logf("stopped after %s", took)
	if took > 6*time.Second { // three on a machine that has nothing else to do
		t.Errorf("the stop took %s", took)
	}
	for range reading {
		if code := <-closes; code != 1001 {
			t.Errorf("a client that reads got the close code %d, want 1001", code)
		}
	}
	start()
	x.unharmed(t)
	if n := len(x.must(t, "alice", "SELECT id FROM app.large").rows(t)); n != readerRows*readerStatements*9/10 {
		t.Errorf("%d rows are left", n)
	}
}
