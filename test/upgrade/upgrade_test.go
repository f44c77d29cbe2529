// Package upgrade opens data directories that releases of KalamDB have written
// with the server of today: in place, with the same answers, and for more work.
//
// testdata/README.md says how the directories were made.
package upgrade

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// record is the flag that makes the directories anew.
var record = flag.String("record", "", "server program of the release that writes the directories anew")

// statement is SQL and the account that sends it.
type statement struct {
	As  string `json:"as"`
	SQL string `json:"sql"`
}

// answer is what a statement was answered.
type answer struct {
	statement
	Results json.RawMessage `json:"results"`
}

// endings of the server that wrote a directory.
var endings = []string{"stopped", "killed"}

// statements reads a file of lines `account: SQL`; # begins a comment.
func statements(t *testing.T, file string) []statement {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "first", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []statement
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		as, sql, ok := strings.Cut(line, ": ")
		if !ok {
			t.Fatalf("%s: line without an account: %s", file, line)
		}
		all = append(all, statement{As: as, SQL: sql})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// write runs the statements of a file; `account: FLUSH namespace` flushes and
// waits for it, RESTART stops the server and starts it again.
func (p *process) write(t *testing.T, file string) {
	t.Helper()
	for _, s := range statements(t, file) {
		if namespace, ok := strings.CutPrefix(s.SQL, "FLUSH "); ok {
			p.flushed(t, namespace)
			continue
		}
		if s.SQL == "RESTART" {
			p.stop(t)
			*p = *start(t, p.binary, p.data)
			continue
		}
		p.ask(t, s)
	}
}

// compare asks everything that was recorded.
func (p *process) compare(t *testing.T, when string, recorded []answer) {
	t.Helper()
	for _, a := range recorded {
		want := spelled(t, a.Results)
		if got := p.ask(t, a.statement); got != want {
			t.Errorf("%s, %s: %s\n  answers %s\n      was %s", when, a.As, a.SQL, got, want)
		}
	}
}

// built is the folder of the server of today, for the first test that needs it.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kalamdb-upgrade-")
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "kalamdb/cmd/kalamdb").CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build the server: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if *record == "" {
		if dir, _ := built(); dir != "" {
			_ = os.RemoveAll(dir) // it is a folder of the system's temporary ones
		}
	}
	os.Exit(code)
}

// today returns the server of today.
func today(t *testing.T) string {
	t.Helper()
	if *record != "" {
		t.Skip("the directories are being made")
	}
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "kalamdb")
}

// TestFirstRelease opens directories of the first release in place: one whose
// server was stopped, and one whose server was killed. Every recorded answer
// is the same, also after more rows were written, old ones changed, all of
// them flushed, and the directory opened once more. What was written stays.
func TestFirstRelease(t *testing.T) {
	binary := today(t)
	later := statements(t, "later-queries.txt")
	for _, ending := range endings {
		t.Run(ending, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			unpack(t, filepath.Join("testdata", "first", ending+".tar.gz"), data)
			recorded := answers(t, ending)
			checked(t, binary, data)

			p := start(t, binary, data)
			p.compare(t, "opened", recorded)
			p.write(t, "later.txt")
			var after []answer
			for _, s := range later {
				after = append(after, answer{s, json.RawMessage(p.ask(t, s))})
			}
			p.compare(t, "written", recorded)
			for namespace := range strings.FieldsSeq("app old") {
				p.flushed(t, namespace)
			}
			p.compare(t, "flushed", recorded)
			p.compare(t, "flushed", after)
			p.stop(t)
			checked(t, binary, data)

			p = start(t, binary, data)
			p.compare(t, "opened again", recorded)
			p.compare(t, "opened again", after)
			p.stop(t)
			checkLater(t, after)
		})
	}
}

// TestNewerIsRefused gives the server, and kalamdb check, a directory that a
// later release has marked as its own: exit code 3, and not a byte is changed.
func TestNewerIsRefused(t *testing.T) {
	binary, data := today(t), filepath.Join(t.TempDir(), "data")
	unpack(t, filepath.Join("testdata", "first", "stopped.tar.gz"), data)
	if err := os.WriteFile(filepath.Join(data, "FORMAT"), []byte("kalamdb 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := contents(t, data)
	for _, args := range [][]string{{"--set", "storage.data_path=" + data, "--set", "server.port=0"}, {"check", "--data-dir", data}} {
		command := exec.Command(binary, args...)
		command.Dir = t.TempDir() // no server.toml there
		out, err := command.CombinedOutput()
		if ended := (*exec.ExitError)(nil); !errors.As(err, &ended) || ended.ExitCode() != 3 || !strings.Contains(string(out), "newer") {
			t.Errorf("%s: %v, want exit code 3 and a word of the newer format\n%s", args[0], err, out)
		}
		if !maps.Equal(before, contents(t, data)) {
			t.Errorf("%s has changed a directory that is not its own", args[0])
		}
	}
}

// checkLater compares the answers about later rows with those that are written
// in their file, so that a write without effect does not pass.
func checkLater(t *testing.T, after []answer) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "first", "later-answers.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, a := range after {
		var results []struct {
			Rows json.RawMessage `json:"rows"`
		}
		if err := json.Unmarshal(a.Results, &results); err != nil || len(results) != 1 {
			t.Fatalf("%s: %.500s", a.SQL, a.Results)
		}
		all.WriteString(string(results[0].Rows) + "\n")
	}
	if got := all.String(); got != string(text) {
		t.Errorf("later rows are\n%s, want\n%s", got, text)
	}
}

// checked runs `kalamdb check`, which must find nothing.
func checked(t *testing.T, binary, data string) {
	t.Helper()
	out, err := exec.Command(binary, "check", "--data-dir", data).CombinedOutput()
	if err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// answers reads what the first release has answered.
func answers(t *testing.T, ending string) []answer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "first", ending+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []answer
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if asked := statements(t, "queries.txt"); len(all) != len(asked) || len(all) == 0 {
		t.Fatalf("%s.json has %d answers to %d queries", ending, len(all), len(asked))
	}
	return all
}

// TestRecord makes the directories and the answers anew; it needs -record.
func TestRecord(t *testing.T) {
	if *record == "" {
		t.Skip("it writes testdata: -args -record=PROGRAM")
	}
	for _, ending := range endings {
		data := filepath.Join(t.TempDir(), "data")
		p := start(t, *record, data)
		p.write(t, "make.txt")
		var lines []string
		for _, s := range statements(t, "queries.txt") {
			line, err := json.Marshal(answer{s, json.RawMessage(p.ask(t, s))})
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(line))
		}
		if ending == "killed" {
			p.kill(t)
		} else {
			p.stop(t)
		}
		base := filepath.Join("testdata", "first", ending)
		if err := os.WriteFile(base+".json", []byte("[\n"+strings.Join(lines, ",\n")+"\n]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		pack(t, data, base+".tar.gz")
	}
}
