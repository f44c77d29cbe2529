// Package e2e runs the built binaries as users do.
package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// startBound is how long a server may take until it answers.
const startBound = 60 * time.Second

// programs builds the binaries for the first test that needs them, and returns
// their folder.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kalamdb-e2e-")
	if err != nil {
		return "", err
	}
	command := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/kalamdb", "./cmd/kalam", "./examples/demo")
	command.Dir = filepath.Join("..", "..")
	if out, err := command.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build binaries: %w\n%s", err, out)
	}
	return dir, nil
})

// wanted is set when a test has asked for the binaries.
var wanted atomic.Bool

// binaries returns the folder of the built programs.
func binaries(t *testing.T) string {
	t.Helper()
	wanted.Store(true)
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMain(m *testing.M) {
	code := m.Run()
	if wanted.Load() {
		if dir, _ := programs(); dir != "" {
			_ = os.RemoveAll(dir) // it is a folder of the system's temporary ones
		}
	}
	os.Exit(code)
}

// TestScripts runs testdata/*.txtar: each has a port and a data directory of
// its own.
func TestScripts(t *testing.T) {
	dir := binaries(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			port := freePort(t)
			e.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Setenv("PORT", port)
			e.Setenv("KALAMDB_SERVER_PORT", port)
			e.Setenv("KALAMDB_DATA_DIR", filepath.Join(e.WorkDir, "data"))
			e.Setenv("KALAMDB_ROOT_PASSWORD", "Root-secret-1")
			e.Setenv("KALAMDB_AUTH_BCRYPT_COST", "4")
			e.Setenv("KALAM_URL", "http://127.0.0.1:"+port)
			e.Setenv("KALAM_USER", "root")
			e.Setenv("KALAM_PASSWORD", "Root-secret-1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"healthy": healthy,
			"waitfor": waitFor,
			"exitcode": func(ts *testscript.TestScript, _ bool, args []string) {
				exitCode(ts, dir, args[0], args[1:])
			},
		},
	})
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
		t.Fatal(err)
	}
	return port
}

// healthy waits until the server of the script answers.
func healthy(ts *testscript.TestScript, _ bool, _ []string) {
	if err := answers("http://127.0.0.1:" + ts.Getenv("PORT") + "/health"); err != nil {
		ts.Fatalf("%v", err)
	}
}

// answers waits until a URL answers with 200.
func answers(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startBound)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		if r, err := http.Get(url); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%s did not answer: %w", url, ctx.Err())
		}
	}
}

// waitFor FILE TEXT waits until a file of the script contains a text.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), startBound)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && strings.Contains(string(text), args[1]) {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			ts.Fatalf("%s never contained %q: %s", args[0], args[1], text)
		}
	}
}

// exitCode N COMMAND … runs a command that must end with a code; what it says
// goes to the script's log.
func exitCode(ts *testscript.TestScript, dir, want string, args []string) {
	path, err := exec.LookPath(filepath.Join(dir, args[0]))
	if err != nil {
		ts.Fatalf("%v", err)
	}
	command := exec.Command(path, args[1:]...)
	command.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "KALAMDB_SERVER_PORT", "KALAMDB_SERVER_HOST", "KALAMDB_DATA_DIR", "KALAMDB_ROOT_PASSWORD", "KALAMDB_AUTH_BCRYPT_COST", "KALAMDB_JWT_SECRET", "KALAM_URL", "KALAM_USER", "KALAM_PASSWORD"} {
		if v := ts.Getenv(name); v != "" {
			command.Env = append(command.Env, name+"="+v)
		}
	}
	out, _ := command.CombinedOutput()
	ts.Logf("%s", out)
	if err := os.WriteFile(ts.MkAbs("said"), out, 0o600); err != nil {
		ts.Fatalf("%v", err)
	}
	if got := fmt.Sprint(command.ProcessState.ExitCode()); got != want {
		ts.Fatalf("%s ended with code %s, want %s", strings.Join(args, " "), got, want)
	}
}
