package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// builder is a function and a statement in which it builds what it can.
type builder struct{ function, sql string }

// readBuilders reads testdata/builders: the statements, and the functions that
// need none.
func readBuilders(t *testing.T) (all []builder, small map[string]bool) {
	text, err := os.ReadFile("testdata/builders")
	if err != nil {
		t.Fatal(err)
	}
	small = map[string]bool{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if names, ok := strings.CutPrefix(line, "= "); ok {
			for _, name := range strings.Fields(names) {
				small[name] = true
			}
			continue
		}
		if name, sql, ok := strings.Cut(line, ": "); ok && line[0] != '#' || strings.HasPrefix(line, "#>") || strings.HasPrefix(line, "#-") {
			all = append(all, builder{name, "SELECT " + sql})
		}
	}
	return all, small
}

// TestEveryBuilderIsListed takes the functions that give texts, bytes, documents,
// arrays or rows from the page of the catalogue: each has a statement in
// testdata/builders or stands there among those that need none, and no other.
func TestEveryBuilderIsListed(t *testing.T) {
	text, err := os.ReadFile("../../docs/sql/functions.md")
	if err != nil {
		t.Fatal(err)
	}
	all, listed := readBuilders(t)
	for _, b := range all {
		listed[b.function] = true
	}
	name := regexp.MustCompile("^`(?:([a-z_0-9]+)\\(|(?:[^ `]+ )?([^A-Za-z0-9 `]+) )")
	built := regexp.MustCompile(`TEXT|BYTES|JSON|\[\]|^array|^element|^same|^the first|^the left|^integer$|^INT or BIGINT`)
	chapter, seen := "", map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			chapter = strings.TrimSpace(title)
		}
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "|\x00"), " | ")
		if chapter == "Forms of the grammar" || strings.HasPrefix(chapter, "What differs") || !strings.HasPrefix(line, "| `") || len(cells) < 3 || !built.MatchString(cells[1]) {
			continue
		}
		found := name.FindStringSubmatch(strings.TrimPrefix(strings.ReplaceAll(cells[0], "|\x00", "|"), "| "))
		if found == nil {
			t.Errorf("cannot read %q", cells[0])
			continue
		}
		f := found[1] + found[2]
		if seen[f] = true; !listed[f] {
			t.Errorf("%s gives %s and is not in testdata/builders: say what it builds at most, or that it is small", f, cells[1])
		}
	}
	for f := range listed {
		if !seen[f] {
			t.Errorf("%s of testdata/builders is not in the catalogue", f)
		}
	}
	if len(seen) < 100 {
		t.Errorf("only %d functions were found", len(seen))
	}
}

// TestBuiltValuesOfServer sends each statement of testdata/builders to a server
// with the least memory.budget, one after the other and then several at a time:
// each ends with a limit error soon after its timeout, the memory of the process
// stays below the budget and a quarter, and afterwards the server answers.
func TestBuiltValuesOfServer(t *testing.T) {
	const (
		budget  = 512 << 20
		timeout = time.Second
		within  = timeout + 20*time.Second // 2 s on a machine that has nothing else to do
		clients = 2
	)
	port := freePort(t)
	command := exec.Command(filepath.Join(binaries(t), "kalamdb"))
	command.Env = append(os.Environ(), "KALAMDB_SERVER_PORT="+port, "KALAMDB_DATA_DIR="+t.TempDir(), "KALAMDB_JWT_SECRET="+targetSecret,
		"KALAMDB_ROOT_PASSWORD=Root-secret-1", "KALAMDB_AUTH_BCRYPT_COST=4", "KALAMDB_RATE_LIMIT_MAX_QUERIES_PER_SEC=1000000",
		"KALAMDB_EXECUTION_HANDLER_TIMEOUT_SECONDS=1", fmt.Sprint("KALAMDB_MEMORY_BUDGET=", budget))
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	x := &target{url: "http://127.0.0.1:" + port, address: net.JoinHostPort("127.0.0.1", port), client: httpClient()}
	if err := answers(x.url + "/health"); err != nil {
		t.Fatal(err)
	}
	bearer := "Bearer " + token("root")
	try := func(sql string) time.Duration {
		body, _ := json.Marshal(map[string]any{"sql": sql})
		begin := time.Now()
		e := x.post(t, bearer, body)
		took := time.Since(begin)
		if limit := regexp.MustCompile(`at most|timeout|needs more|built more|memory|bytes|run out|keep all`); e.Error == nil || !limit.MatchString(e.Error.Message) {
			t.Errorf("%s: %.300s", sql, e)
		}
		if took > within {
			t.Errorf("%s took %s", sql, took)
		}
		return took
	}
	all, _ := readBuilders(t)
	var peak atomic.Int64
	stop, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for ticker := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-stop:
				ticker.Stop()
				return
			case <-ticker.C:
				peak.Store(max(peak.Load(), anonymous(t, command.Process.Pid)))
			}
		}
	}()
	slowest, of := time.Duration(0), ""
	for _, b := range all {
		for _, sql := range []string{b.sql, analytic(b.sql)} {
			before := peak.Swap(0)
			if took := try(sql); took > slowest {
				slowest, of = took, sql
			}
			if now := peak.Load(); now > budget {
				t.Logf("%d MiB for %s", now>>20, sql)
			}
			peak.Store(max(peak.Load(), before))
		}
	}
	t.Logf("%d statements, one after the other: the slowest took %s, %s; %d MiB at most", 2*len(all), slowest, of, peak.Load()>>20)
	var together sync.WaitGroup
	for part := range slices.Chunk(all, (len(all)+clients-1)/clients) {
		together.Go(func() {
			for _, b := range part {
				before := peak.Load()
				try(b.sql)
				if now := peak.Load(); now > max(before, budget) {
					t.Logf("%d MiB while %s ran", now>>20, b.sql)
				}
			}
		})
	}
	together.Wait()
	close(stop)
	<-watched
	t.Logf("%d at a time: %d MiB at most", clients, peak.Load()>>20)
	if most := int64(budget * 5 / 4); peak.Load() > most {
		t.Errorf("the process took %d MiB, more than %d MiB", peak.Load()>>20, most>>20)
	}
	x.must(t, "root", "SELECT 1")
}

// analytic sends a statement over DuckDB.
func analytic(sql string) string {
	if strings.Contains(sql, " AS s (") {
		return sql
	}
	return sql + ", one FROM (VALUES (1), (2)) AS v (one)"
}
