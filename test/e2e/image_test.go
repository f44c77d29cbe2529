package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// image is what the test reads of the Dockerfile.
type image struct {
	builds     []string          // RUN lines of the build stage
	users      []string          // RUN lines of the last stage
	env        map[string]string // ENV of the last stage
	entrypoint []string
}

// readImage takes the Dockerfile apart.
func readImage(t *testing.T) image {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	im := image{env: map[string]string{}}
	stage := 0
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		word, rest, _ := strings.Cut(strings.TrimSpace(scanner.Text()), " ")
		switch {
		case word == "FROM":
			stage++
		case word == "RUN" && stage == 1:
			im.builds = append(im.builds, rest)
		case word == "RUN":
			im.users = append(im.users, rest)
		case word == "ENV" && stage == 2:
			for _, pair := range strings.Fields(rest) {
				name, value, _ := strings.Cut(pair, "=")
				im.env[name] = value
			}
		case word == "ENTRYPOINT":
			if err := json.Unmarshal([]byte(rest), &im.entrypoint); err != nil {
				t.Fatal(err)
			}
		}
	}
	return im
}

// TestImageCommands runs the build and start commands of the Dockerfile on this
// machine: there is no container engine here, so the image itself is not run.
func TestImageCommands(t *testing.T) {
	im := readImage(t)
	if len(im.builds) == 0 || len(im.entrypoint) == 0 {
		t.Fatal("the Dockerfile has no build or no entry point")
	}
	out := t.TempDir()
	for _, line := range im.builds {
		command := exec.Command("sh", "-c", strings.ReplaceAll(line, "/out/", out+"/"))
		command.Dir = filepath.Join("..", "..")
		if text, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, text)
		}
	}
	start := func(origins string) *exec.Cmd {
		command := exec.Command(filepath.Join(out, filepath.Base(im.entrypoint[0])), im.entrypoint[1:]...)
		command.Dir = out
		command.Env = append(os.Environ(), "KALAMDB_SECURITY_CORS_ALLOWED_ORIGINS="+origins)
		for name, value := range im.env {
			command.Env = append(command.Env, name+"="+strings.ReplaceAll(value, "/var/lib/kalamdb", filepath.Join(out, "data")))
		}
		return command
	}
	refused := start("")
	if text, err := refused.CombinedOutput(); err == nil || refused.ProcessState.ExitCode() != 1 {
		t.Fatalf("an open address without origins must be refused with code 1: %v\n%s", err, text)
	}
	server := start("https://app.example.com")
	port := freePort(t)
	server.Env = append(server.Env, "KALAMDB_SERVER_PORT="+port)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if err := answers("http://127.0.0.1:" + port + "/health"); err != nil {
		t.Error(err)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("the server did not end cleanly: %v", err)
	}
}

// TestUnit checks that the systemd unit starts what is built and knows the exit
// codes.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "kalamdb.service"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"ExecStart=/usr/local/bin/kalamdb ", "RestartPreventExitStatus=1 2 3", "StateDirectory=kalamdb", "Environment=KALAMDB_DATA_DIR=/var/lib/kalamdb", "NoNewPrivileges=yes"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the unit lacks %q", line)
		}
	}
	if path, err := exec.LookPath("systemd-analyze"); err == nil {
		if out, err := exec.Command(path, "verify", "--man=no", filepath.Join("..", "..", "deploy", "kalamdb.service")).CombinedOutput(); err != nil && !strings.Contains(string(out), "is not executable") {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
}

// TestDemo runs the demo's kill and resume part once.
func TestDemo(t *testing.T) {
	command := exec.Command(filepath.Join(binaries(t), "demo"), "-bin", binaries(t), "-rounds", "1")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "PASS") {
		t.Errorf("the demo did not say PASS:\n%s", out)
	}
}
