package maint_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
)

// finish waits for the job that a statement has started, and returns its row.
func finish(t *testing.T, n *node, message string, err error) schema.Job {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	j, err := n.Jobs.Wait(context.Background(), message[strings.LastIndex(message, " ")+1:])
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// backUp makes a backup and returns what its job says.
func backUp(t *testing.T, n *node, to string) string {
	t.Helper()
	message, err := n.Maint.StartBackup(context.Background(), "root", to)
	j := finish(t, n, message, err)
	if j.Status != schema.JobCompleted {
		t.Fatalf("the backup ended as %s: %s", j.Status, j.Message)
	}
	return j.Message
}

// ledger is what a table holds after each commit of one writer.
type ledger struct {
	mu    sync.Mutex
	steps []entry
}

type entry struct {
	position uint64
	id       int64
	body     string // "" is deleted
}

func (m *ledger) note(position uint64, i int, body string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.steps = append(m.steps, entry{position, int64(i) * 7919 % 1_000_003, body})
}

// at returns the rows as of a position.
func (m *ledger) at(position uint64) map[int64]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	rows := map[int64]string{}
	for _, s := range m.steps {
		switch {
		case s.position > position:
		case s.body == "":
			delete(rows, s.id)
		default:
			rows[s.id] = s.body
		}
	}
	return rows
}

// write inserts, updates and deletes rows from one number on, and notes each
// commit.
func (m *ledger) write(t *testing.T, n *node, def *schema.Table, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		m.note(insert(n, def, "", i, i+1), i, fmt.Sprintf("body %d", i))
		if i%3 == 0 && i > 10 {
			body := fmt.Sprintf("changed %d", i)
			if i%2 == 0 {
				body = ""
			}
			m.note(change(t, n, def, "", i-7, body), i-7, body)
		}
	}
}

// A backup that is taken while others write and flush shows one moment: a
// database restored from it has exactly the rows of the backup's position.
func TestBackupBesideWriters(t *testing.T) {
	mem, clock := disk.NewMem(), newClock()
	n := openNode(t, nodeOptions{FS: mem, Clock: clock})
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	var m ledger
	m.write(t, n, def, 0, 200)
	if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for from := 200; ; from += 20 {
			select {
			case <-stop:
				return
			default:
				m.write(t, n, def, from, from+20)
			}
		}
	})
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for i, place := range []string{"/backup/one", "/backup/two.tar.gz", "/backup/one"} {
		backUp(t, n, place)
		c, err := n.Maint.ReadBackup(place)
		if err != nil || len(c.Tables) != 1 || c.Tables[0].Name != "notes" {
			t.Fatalf("backup %d holds %+v, %v", i, c, err)
		}
	}
	close(stop)
	others.Wait()
	for _, place := range []string{"/backup/one", "/backup/two.tar.gz"} {
		c, err := n.Maint.ReadBackup(place)
		if err != nil {
			t.Fatal(err)
		}
		message, err := n.Maint.StartRestore(context.Background(), "root", place)
		if j := finish(t, n, message, err); j.Status != schema.JobCompleted {
			t.Fatalf("the restore ended as %s: %s", j.Status, j.Message)
		}
		replaced := n.Apply.Position()
		n.Close()
		n = openNode(t, nodeOptions{FS: mem, Clock: clock})
		want := m.at(c.Position)
		if got := bodies(t, n, def, ""); !maps.Equal(got, want) {
			t.Fatalf("%s: %d rows came back, %d were in it", place, len(got), len(want))
		}
		if got := c.Tables[0].HotRows + c.Tables[0].ColdRows; got != int64(len(want)) {
			t.Errorf("%s says it holds %d rows of %d", place, got, len(want))
		}
		// Positions that others may have seen are neither known nor used again.
		view := n.Apply.View()
		for _, position := range []uint64{c.Position + 1, replaced} {
			if view.CheckCursor(position) == nil {
				t.Errorf("%s: position %d, behind the backup's %d, passes for known", place, position, c.Position)
			}
		}
		view.Release()
		if n.Apply.Position() <= replaced {
			t.Errorf("%s: position %d is used again after %d", place, n.Apply.Position(), replaced)
		}
		if err := n.Maint.Recover(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := bodies(t, n, def, ""); !maps.Equal(got, want) {
			t.Errorf("%s: after the recovery %d rows are there, %d were in it", place, len(got), len(want))
		}
	}
}

// The next backup to a folder copies the cold files that are not there yet, and
// removes those that it does not name.
func TestBackupCopiesNewFilesOnly(t *testing.T) {
	mem := disk.NewMem()
	n := openNode(t, nodeOptions{FS: mem})
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	for round, want := range []string{"1 cold file(s) copied, 0 already there", "1 cold file(s) copied, 1 already there", "1 cold file(s) copied, 2 already there"} {
		insert(n, def, "", round*50, round*50+50)
		if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
			t.Fatal(err)
		}
		if got := backUp(t, n, "/backup/b"); !strings.Contains(got, want) {
			t.Errorf("round %d: %q, not %q", round, got, want)
		}
	}
	if names := files(t, mem, "/backup/b/segments"); len(names) != 3 {
		t.Errorf("the folder holds the segments %q", names)
	}
	if ids, err := mem.List("/backup/b/engine"); err != nil || len(ids) != 1 {
		t.Errorf("the folder holds the engines %q, %v", ids, err)
	}
	n.Commit(&command.DropTable{Table: def.ID})
	backUp(t, n, "/backup/b")
	if names := files(t, mem, "/backup/b/segments"); len(names) != 0 {
		t.Errorf("after the table is dropped the folder holds the segments %q", names)
	}
}

// A place that cannot be used is refused by the statement, and by its reason.
func TestBackupRefusals(t *testing.T) {
	mem := disk.NewMem()
	n := openNode(t, nodeOptions{FS: mem})
	if err := disk.MakeDir(mem, "/other"); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(mem, "/other/letter.txt", []byte("dear")); err != nil {
		t.Fatal(err)
	}
	for place, want := range map[string]string{
		"": "must not be empty", " ": "must not be empty", "/b\x00": "NUL byte", "/a/../b": "'..'", "..": "'..'", "/etc": "sensitive", "/usr/b": "sensitive",
		"//proc/x": "sensitive", "/": "sensitive", "/data": "data directory", "/data/b.tar.gz": "data directory", "/other": "letter.txt", "s3://bucket/b": "No storage",
	} {
		if _, err := n.Maint.StartBackup(context.Background(), "root", place); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is answered with %v, not %q", place, err, want)
		}
	}
	for place, want := range map[string]string{
		"": "must not be empty", "/none": "does not exist", "/none.tgz": "does not exist", "/other": "does not exist", "/etc": "sensitive",
	} {
		if _, err := n.Maint.StartRestore(context.Background(), "root", place); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("restore from %q is answered with %v, not %q", place, err, want)
		}
	}
}

// A backup of which a file is damaged, cut short or missing is refused by that
// file's name, and nothing of it is staged.
func TestDamagedBackups(t *testing.T) {
	mem := disk.NewMem()
	n := openNode(t, nodeOptions{FS: mem})
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	insert(n, def, "", 0, 100)
	if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
		t.Fatal(err)
	}
	backUp(t, n, "/backup/b")
	backUp(t, n, "/backup/b.tgz")
	for _, name := range files(t, mem, "/backup/b") {
		full := "/backup/b/" + name
		whole, err := disk.ReadFile(mem, full)
		if err != nil {
			t.Fatal(err)
		}
		for _, damage := range []string{"flip", "cut", "remove"} {
			broken := append([]byte(nil), whole...)
			switch {
			case damage == "remove":
				if err := mem.Remove(full); err != nil {
					t.Fatal(err)
				}
			case len(whole) == 0:
				continue
			case damage == "cut":
				broken = broken[:len(broken)-1]
			default:
				broken[len(broken)/2] ^= 1
			}
			if damage != "remove" {
				if err := disk.WriteFile(mem, full, broken); err != nil {
					t.Fatal(err)
				}
			}
			refused(t, n, "/backup/b", name, damage)
			if err := disk.WriteFile(mem, full, whole); err != nil {
				t.Fatal(err)
			}
		}
	}
	whole, err := disk.ReadFile(mem, "/backup/b.tgz")
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut < len(whole); cut += len(whole)/20 + 1 {
		if err := disk.WriteFile(mem, "/backup/b.tgz", whole[:cut]); err != nil {
			t.Fatal(err)
		}
		refused(t, n, "/backup/b.tgz", "", fmt.Sprintf("cut at %d", cut))
	}
}

// refused restores and asks for a failure that names a file.
func refused(t *testing.T, n *node, place, name, damage string) {
	t.Helper()
	message, err := n.Maint.StartRestore(context.Background(), "root", place)
	if err == nil {
		j := finish(t, n, message, nil)
		if j.Status != schema.JobFailed || !strings.Contains(j.Message, name) {
			t.Errorf("%s of %s: the restore ended as %s: %s", damage, name, j.Status, j.Message)
		}
	} else if name != "" && name != "backup.json" {
		t.Errorf("%s of %s: %v", damage, name, err)
	}
	if staged, err := disk.Exists(n.FS, store.StagedDir(dataDir)); err != nil || staged {
		t.Errorf("%s of %s: something is staged, %v", damage, name, err)
	}
}

// A power cut at any step of a backup, a restore and the start after it leaves
// the state before or the state of the backup, and a place with a whole backup.
func TestCrashDuringBackupAndRestore(t *testing.T) {
	mem, clock := disk.NewMem(), newClock()
	n := openNode(t, nodeOptions{FS: mem, Clock: clock})
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	insert(n, def, "", 0, 60)
	if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
		t.Fatal(err)
	}
	insert(n, def, "", 60, 70)
	backUp(t, n, "/backup/b")
	insert(n, def, "", 70, 90)
	n.Close()
	// From here on the disk is cloned at every change below the places in question.
	var mu sync.Mutex // the engine syncs in goroutines of its own
	var clones []*disk.Mem
	seen := 0
	watched := disk.Inject(mem, func(op disk.Op) error {
		switch op.Kind {
		case disk.OpCreate, disk.OpRename, disk.OpRemove, disk.OpSync, disk.OpMkdir, disk.OpLink:
		default:
			return nil
		}
		if !strings.HasPrefix(op.Path, "/data/restore") && !strings.HasPrefix(op.Path, "/data/replaced") &&
			!strings.HasPrefix(op.Path, "/backup") && op.Path != "/data" && (op.Kind != disk.OpSync || op.Path != "/data/hot") && op.Path != "/data/storage" {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen%2 == 0 || !strings.HasPrefix(op.Path, "/backup") {
			clones = append(clones, mem.CrashClone(uint64(seen), []int{0, 50, 100}[seen%3]))
		}
		return nil
	})
	n = openNode(t, nodeOptions{FS: watched, Clock: clock})
	backUp(t, n, "/backup/b")
	insert(n, def, "", 90, 95)
	message, err := n.Maint.StartRestore(context.Background(), "root", "/backup/b")
	if j := finish(t, n, message, err); j.Status != schema.JobCompleted {
		t.Fatalf("the restore ended as %s: %s", j.Status, j.Message)
	}
	n.Close()
	n = openNode(t, nodeOptions{FS: watched, Clock: clock})
	if got := len(bodies(t, n, def, "")); got != 90 {
		t.Fatalf("the restored table has %d rows", got)
	}
	n.Close()
	if len(clones) < 30 {
		t.Fatalf("the disk was cloned %d times", len(clones))
	}
	counts := map[int]int{}
	for i, clone := range clones {
		after := openNode(t, nodeOptions{FS: clone, Clock: clock})
		rows := len(bodies(t, after, def, ""))
		if rows != 90 && rows != 95 {
			t.Fatalf("clone %d of %d has %d rows", i, len(clones), rows)
		}
		counts[rows]++
		if c, err := after.Maint.ReadBackup("/backup/b"); err != nil || len(c.Tables) != 1 {
			t.Errorf("clone %d: the backup holds %+v, %v", i, c, err)
		}
		message, err := after.Maint.StartRestore(context.Background(), "root", "/backup/b")
		if j := finish(t, after, message, err); j.Status != schema.JobCompleted {
			t.Fatalf("clone %d: the restore ended as %s: %s", i, j.Status, j.Message)
		}
		after.Close()
		after = openNode(t, nodeOptions{FS: clone, Clock: clock})
		if rows := len(bodies(t, after, def, "")); rows != 70 && rows != 90 {
			t.Fatalf("clone %d: the restored table has %d rows", i, rows)
		}
		after.Close()
	}
	if counts[90] == 0 || counts[95] == 0 {
		t.Errorf("of %d clones so many had so many rows: %v", len(clones), counts)
	}
}
