package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestCheckRebuild loses a cold file, has the list of segments made anew and goes
// on without its rows.
func TestCheckRebuild(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	x, command := archiveServer(t, data)
	x.must(t, "root", "CREATE NAMESPACE app; CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)")
	for i := range 3 {
		x.must(t, "root", fmt.Sprintf("INSERT INTO app.t SELECT g, 'row ' || g FROM generate_series(%d, %d) AS s(g)", 100*i+1, 100*i+100))
		x.must(t, "root", "STORAGE FLUSH TABLE app.t")
		x.settled(t)
	}
	x.must(t, "root", "UPDATE app.t SET v = 'changed' WHERE id IN (5, 105); DELETE FROM app.t WHERE id = 250")
	stop(t, command)
	check := func(want int, parts string, args ...string) {
		t.Helper()
		c := exec.Command(filepath.Join(binaries(t), "kalamdb"), append([]string{"check", "--data-dir", data}, args...)...)
		c.Stdin = strings.NewReader("n\n")
		out, _ := c.CombinedOutput()
		if code := c.ProcessState.ExitCode(); code != want || !strings.Contains(string(out), parts) {
			t.Fatalf("check %v ended with %d, want %d and %q:\n%s", args, code, want, parts, out)
		}
	}
	check(0, "0 problems")
	check(0, "3 files taken with 297 cold rows in 3 windows", "--rebuild", "--yes")
	check(0, "0 problems")
	if err := os.Remove(filepath.Join(data, "storage/app/t/batch-1.parquet")); err != nil {
		t.Fatal(err)
	}
	check(3, "is missing")
	check(0, "nothing was changed", "--rebuild")
	check(3, "is missing")
	check(2, "--yes needs --rebuild", "--yes")
	check(0, "missing: cold file 2 (app/t/batch-1.parquet) of storage 'local', which has 99 rows of table app.t", "--rebuild", "--yes")
	check(0, "0 problems")

	x, command = archiveServer(t, data)
	count := func() string {
		return fmt.Sprint(x.must(t, "root", "SELECT COUNT(*), COUNT(CASE WHEN v = 'changed' THEN 1 END), MIN(id), MAX(id) FROM app.t").rows(t)[0])
	}
	if got, want := count(), "[200 2 1 300]"; got != want {
		t.Errorf("the table holds %s, want %s", got, want)
	}
	x.must(t, "root", "INSERT INTO app.t SELECT g, 'again' FROM generate_series(101, 200) AS s(g) WHERE g <> 105")
	x.must(t, "root", "STORAGE FLUSH TABLE app.t")
	x.settled(t)
	if got, want := count(), "[299 2 1 300]"; got != want {
		t.Errorf("the table holds %s at the end, want %s", got, want)
	}
	stop(t, command)
	check(0, "0 problems")
}

// settled waits until no job is left to do.
func (x *target) settled(t *testing.T) {
	t.Helper()
	x.eventually(t, "all jobs end", func() bool {
		rows := x.must(t, "root", "SELECT COUNT(*) FROM system.jobs WHERE status NOT IN ('completed', 'skipped', 'failed', 'cancelled')").rows(t)
		return fmt.Sprint(rows[0][0]) == "0"
	})
}

// stop ends a server and waits for it.
func stop(t *testing.T, command *exec.Cmd) {
	t.Helper()
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
}
