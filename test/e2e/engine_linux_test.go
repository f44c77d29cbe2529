package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestEngineFailure takes away from a running server the right to make its files
// longer: the log refuses a write, the process ends with code 4 and says why, and
// the next one has every row that was acknowledged.
func TestEngineFailure(t *testing.T) {
	dir, port, data := binaries(t), freePort(t), t.TempDir()
	x := &target{url: "http://127.0.0.1:" + port, address: net.JoinHostPort("127.0.0.1", port), client: httpClient()}
	start := func() (*exec.Cmd, *bytes.Buffer) {
		t.Helper()
		said := &bytes.Buffer{}
		command := exec.Command(filepath.Join(dir, "kalamdb"))
		command.Env = append(os.Environ(), "KALAMDB_SERVER_PORT="+port, "KALAMDB_DATA_DIR="+data, "KALAMDB_JWT_SECRET="+targetSecret,
			"KALAMDB_ROOT_PASSWORD=Root-secret-1", "KALAMDB_AUTH_BCRYPT_COST=4", "KALAMDB_RATE_LIMIT_MAX_QUERIES_PER_SEC=1000000")
		command.Stderr = said
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = command.Process.Kill() })
		if err := answers(x.url + "/health"); err != nil {
			t.Fatal(err)
		}
		return command, said
	}
	server, said := start()
	x.must(t, "root", "CREATE NAMESPACE s; CREATE SHARED TABLE s.t (id BIGINT PRIMARY KEY)")
	acknowledged := 0
	for inserted(x, acknowledged) && acknowledged < 100 {
		acknowledged++
	}
	if err := unix.Prlimit(server.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: 1}, nil); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(startBound); inserted(x, acknowledged); acknowledged++ {
		if time.Now().After(deadline) {
			t.Fatalf("the server has acknowledged %d rows that it cannot write", acknowledged-100)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 4 {
			t.Errorf("the server ended with %v, want code 4", err)
		}
	case <-time.After(startBound):
		t.Fatal("the server goes on without its log")
	}
	if !strings.Contains(said.String(), "kalamdb: the engine has failed: ") {
		t.Errorf("it said %s", said.String())
	}

	server, _ = start()
	rows := x.must(t, "root", fmt.Sprintf("SELECT COUNT(*) FROM s.t WHERE id < %d", acknowledged)).rows(t)
	if got := fmt.Sprint(rows[0][0]); got != fmt.Sprint(acknowledged) {
		t.Errorf("of %d acknowledged rows %s are there", acknowledged, got)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("the server after it ended with %v", err)
	}
}
