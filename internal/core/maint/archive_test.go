package maint_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"
	"testing"

	"kalamdb/internal/backup"
	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
)

// archived are the options of a node that ships small files to /vault.
func archived(fsys disk.FS, clock *testClock) nodeOptions {
	return nodeOptions{
		FS: fsys, Clock: clock, ArchiveBytes: 1 << 30,
		Maint: maint.Options{Archive: maint.ArchiveOptions{Storage: "vault", Folder: "log", SegmentBytes: 2000}, SliceRows: 16, Grace: -1},
	}
}

// vault makes the storage of the archive.
func vault(n *node) {
	n.Commit(&command.PutStorage{Create: true, Storage: schema.Storage{ID: "vault", Name: "Vault", Type: "filesystem", BaseDirectory: "/vault"}})
}

func ship(t *testing.T, n *node) {
	t.Helper()
	if err := n.Maint.ShipArchive(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// replay stages a backup, brings it up to a position and puts it in the place of
// what a clone of the disk holds. It returns the last position applied.
func replay(clone *disk.Mem, from string, until uint64) (uint64, error) {
	tier := cold.New(cold.Options{FS: clone, DataDir: dataDir})
	none := func(func(*schema.Storage) bool) {}
	target, err := backup.Locate(tier, from, dataDir, none)
	if err != nil {
		return 0, err
	}
	source, err := backup.Open(target)
	if err != nil {
		return 0, err
	}
	var done apply.Replayed
	source.Amend = func(ctx context.Context, dir string) error {
		archive, err := backup.LocateArchive(tier, "/vault/log", dataDir, none)
		if err != nil {
			return err
		}
		s, err := store.Open(store.Options{FS: clone, Dir: dir, Reserve: -1})
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }()
		id, known, err := store.ArchiveIDOf(s.Reader())
		if err != nil || !known {
			return errors.Join(err, errors.New("the backup has no history"))
		}
		commands, err := archive.Replay(id, source.Manifest().Position, until)
		if err != nil {
			return err
		}
		done, err = apply.Replay(ctx, s, commands.Next)
		s.Recovered()
		return err
	}
	return done.Position, errors.Join(source.Stage(context.Background(), clone, dataDir, nil), nil)
}

// restored opens what replay has staged.
func restored(t *testing.T, clone *disk.Mem, clock *testClock, from string, until uint64) *node {
	t.Helper()
	if _, err := replay(clone, from, until); err != nil {
		t.Fatalf("restore to %d: %v", until, err)
	}
	return openNode(t, nodeOptions{FS: clone, Clock: clock})
}

// A backup and the archive bring back every moment after the backup, whatever
// flushes and compactions have moved meanwhile.
func TestArchiveRestoresEveryMoment(t *testing.T) {
	mem, clock := disk.NewMem(), newClock()
	n := openNode(t, archived(mem, clock))
	vault(n)
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	var m ledger
	m.write(t, n, def, 0, 40)
	flush := func() {
		t.Helper()
		if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	m.write(t, n, def, 40, 60)
	ship(t, n)
	backUp(t, n, "/backup/b")
	begun := n.Apply.Position()
	for round := range 6 {
		m.write(t, n, def, 60+round*20, 80+round*20)
		flush()
		if round%2 == 1 {
			if _, err := n.Maint.Compact(context.Background(), def.ID); err != nil {
				t.Fatal(err)
			}
		}
		if round%3 != 2 {
			ship(t, n)
		}
		clock.Advance(100)
	}
	ship(t, n)
	if s := n.Maint.ArchiveStats(); s.State != "keeping" || s.Commands != 0 || s.Bytes != 0 || s.Lag != 0 || s.Files < 5 {
		t.Errorf("after shipping the figures are %+v", s)
	}
	var moments []uint64
	for i, s := range m.steps {
		if s.position > begun && i%17 == 0 {
			moments = append(moments, s.position)
		}
	}
	moments = append(moments, m.steps[len(m.steps)-1].position, math.MaxUint64)
	for _, until := range moments {
		after := restored(t, mem.CrashClone(1, 100), clock, "/backup/b", until)
		if got, want := bodies(t, after, def, ""), m.at(until); !maps.Equal(got, want) {
			t.Fatalf("at position %d the table has %d rows of %d", until, len(got), len(want))
		}
		if err := after.Maint.Recover(context.Background()); err != nil {
			t.Fatal(err)
		}
		if _, err := after.Maint.Flush(context.Background(), def.ID); err != nil {
			t.Fatal(err)
		}
		if got, want := bodies(t, after, def, ""), m.at(until); !maps.Equal(got, want) {
			t.Fatalf("at position %d the table has %d rows of %d after a flush", until, len(got), len(want))
		}
		after.Close()
	}
	// What is not shipped yet is the loss that is allowed, and shown.
	m.write(t, n, def, 180, 183)
	clock.Advance(5e9)
	if s := n.Maint.ArchiveStats(); s.Commands == 0 || s.Bytes == 0 || s.Lag < 4e9 {
		t.Errorf("with commits that wait the figures are %+v", s)
	}
}

// Shipping may be cut off anywhere, and goes on: what is shipped is in the
// database too, and the archive has no gap and nothing twice.
func TestArchiveCutOff(t *testing.T) {
	mem, clock := disk.NewMem(), newClock()
	n := openNode(t, archived(mem, clock))
	vault(n)
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	insert(n, def, "", 0, 10)
	backUp(t, n, "/backup/b")
	n.Close()
	var mu sync.Mutex // the engine syncs in goroutines of its own
	var clones []*disk.Mem
	seen := 0
	watched := disk.Inject(mem, func(op disk.Op) error {
		if !strings.HasPrefix(op.Path, "/vault") && (op.Kind != disk.OpSync || !strings.HasPrefix(op.Path, "/data/hot")) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		seen++
		clones = append(clones, mem.CrashClone(uint64(seen), []int{0, 50, 100}[seen%3]))
		return nil
	})
	n = openNode(t, archived(watched, clock))
	for i := range 4 {
		for j := range 12 {
			row := 10 + i*12 + j
			c := insertCommand(def, row)
			c.Time = clock.Now().UnixMicro()
			if j%2 == 1 { // the last one too: shipping makes it durable
				c.Durability = schema.Relaxed
			}
			if _, err := n.Apply.Commit(context.Background(), c); err != nil {
				t.Fatal(err)
			}
		}
		ship(t, n)
	}
	n.Close()
	if len(clones) < 40 {
		t.Fatalf("the disk was cloned %d times", len(clones))
	}
	for i, clone := range clones {
		if i%2 == 1 && i < len(clones)-10 {
			continue
		}
		after := openNode(t, archived(clone, clock))
		if i%4 < 2 { // else more has come before the next look
			ship(t, after)
		}
		insert(after, def, "", 200+i, 202+i)
		ship(t, after)
		ship(t, after)
		want := bodies(t, after, def, "")
		after.Close()
		whole := restored(t, clone.CrashClone(2, 100), clock, "/backup/b", math.MaxUint64)
		if got := bodies(t, whole, def, ""); !maps.Equal(got, want) {
			t.Fatalf("clone %d of %d: backup and archive hold %d rows, the database %d", i, len(clones), len(got), len(want))
		}
		whole.Close()
	}
}

// rowOf inserts the row with an id.
func rowOf(t *schema.Table, i int) command.RowWrite {
	row := make([]datum.Value, len(t.Columns))
	// Keys are spread, so that the order of keys is not that of _seq.
	row[0] = datum.NewInt(datum.BigInt, int64(i)*7919%1_000_003)
	row[1] = datum.NewText(fmt.Sprintf("body %d", i))
	return command.RowWrite{Op: command.Insert, Key: t.KeyOf(nil, row), Row: t.AppendRow(nil, row)}
}

// insertCommand inserts one row.
func insertCommand(def *schema.Table, i int) *command.Command {
	return &command.Command{Body: &command.Write{Tables: []command.TableWrite{{Table: def.ID, SchemaVersion: def.Version, Rows: []command.RowWrite{rowOf(def, i)}}}}}
}

// What is missing or damaged in an archive is named, and refused; so is a folder
// of another database.
func TestArchiveRefusals(t *testing.T) {
	mem, clock := disk.NewMem(), newClock()
	n := openNode(t, archived(mem, clock))
	vault(n)
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	backUp(t, n, "/backup/b")
	for i := range 30 {
		insert(n, def, "", i*10, i*10+10)
		ship(t, n)
	}
	end := n.Apply.Position()
	backUp(t, n, "/backup/late")
	copied := mem.CrashClone(3, 100) // a copy of the data directory, which runs on
	insert(n, def, "", 300, 310)
	ship(t, n)
	names := files(t, mem, "/vault/log")
	if len(names) < 31 {
		t.Fatalf("the archive holds %q", names)
	}
	for what, test := range map[string]struct {
		damage func(m *disk.Mem) error
		want   string
	}{
		"missing":  {func(m *disk.Mem) error { return m.Remove("/vault/log/" + names[12]) }, "has a gap"},
		"first":    {func(m *disk.Mem) error { return m.Remove("/vault/log/" + names[1]) }, "has a gap"},
		"damaged":  {func(m *disk.Mem) error { return flip(m, "/vault/log/"+names[15]) }, names[15]},
		"exchange": {func(m *disk.Mem) error { return m.Rename("/vault/log/"+names[20], "/vault/log/"+names[19]) }, names[19]},
		"foreign": {func(m *disk.Mem) error {
			return disk.WriteFile(m, "/vault/log/archive.json", []byte(`{"kind":"kalamdb-archive","version":1,"id":"`+strings.Repeat("0", 32)+`"}`))
		}, "another database"},
		"none": {func(m *disk.Mem) error { return m.Remove("/vault/log/archive.json") }, "no archive"},
	} {
		clone := mem.CrashClone(4, 100)
		if err := test.damage(clone); err != nil {
			t.Fatal(err)
		}
		if _, err := replay(clone, "/backup/b", math.MaxUint64); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: the restore ends with %v, not %q", what, err, test.want)
		}
		if staged, err := disk.Exists(clone, "/data/restore/READY"); err != nil || staged {
			t.Errorf("%s: something is staged, %v", what, err)
		}
	}
	// A newer backup does not need what is missing.
	clone := mem.CrashClone(4, 100)
	if err := clone.Remove("/vault/log/" + names[12]); err != nil {
		t.Fatal(err)
	}
	if at, err := replay(clone, "/backup/late", math.MaxUint64); err != nil || at <= end {
		t.Errorf("the later backup is restored up to %d, %v", at, err)
	}
	// A second server on the folder is refused, be it a copy of this one or another.
	both := archived(mem, clock)
	n.Close()
	other := openNode(t, archived(graft(t, copied, mem), clock))
	insert(other, def, "", 400, 410)
	if err := other.Maint.ShipArchive(context.Background()); err == nil || !strings.Contains(err.Error(), "second server") {
		t.Errorf("a copy of the database ships with %v", err)
	}
	other.Close()
	if err := disk.RemoveAll(mem, dataDir); err != nil {
		t.Fatal(err)
	}
	fresh := openNode(t, both)
	vault(fresh)
	if err := fresh.Maint.ShipArchive(context.Background()); err == nil || !strings.Contains(err.Error(), "belongs to another database") {
		t.Errorf("another database ships with %v", err)
	}
	if s := fresh.Maint.ArchiveStats(); s.Failures != 1 || !strings.Contains(s.Error, "another database") || s.Commands == 0 {
		t.Errorf("the figures say %+v", s)
	}
}

// graft copies the archive of one disk over that of another.
func graft(t *testing.T, onto, from *disk.Mem) *disk.Mem {
	t.Helper()
	for _, name := range files(t, from, "/vault/log") {
		text, err := disk.ReadFile(from, "/vault/log/"+name)
		if err == nil {
			err = disk.WriteFile(onto, "/vault/log/"+name, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return onto
}

func flip(m *disk.Mem, name string) error {
	text, err := disk.ReadFile(m, name)
	if err != nil {
		return err
	}
	text[len(text)/2] ^= 1
	return disk.WriteFile(m, name, text)
}

// While the storage does not answer, commits wait for it up to a bound. Beyond it
// they go on, the archive is broken and says so, also after a restart, until a
// backup of the whole database begins it anew.
func TestArchiveBreaks(t *testing.T) {
	mem, clock := disk.NewMem(), newClock()
	var mu sync.Mutex
	down := true
	watched := disk.Inject(mem, func(op disk.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if down && strings.HasPrefix(op.Path, "/vault") {
			return fmt.Errorf("the vault is closed")
		}
		return nil
	})
	o := archived(watched, clock)
	o.ArchiveBytes = 64 << 10
	n := openNode(t, o)
	vault(n)
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	if s := n.Maint.ArchiveStats(); s.State != "waiting for a backup" {
		t.Errorf("without a backup the archive is %q", s.State)
	}
	backUp(t, n, "/backup/b")
	if s := n.Maint.ArchiveStats(); s.State != "keeping" {
		t.Errorf("after a backup the archive is %q", s.State)
	}
	var m ledger
	for i := range 2000 {
		m.note(insert(n, def, "", i, i+1), i, fmt.Sprintf("body %d", i))
		if i%500 == 0 && n.Maint.ShipArchive(context.Background()) == nil {
			t.Fatal("a closed vault takes files")
		}
	}
	for range 2 {
		s := n.Maint.ArchiveStats()
		if s.State != "broken" || s.Bytes > 64<<10 || s.Commands > 1900 || !strings.Contains(s.Error, "vault is closed") && s.Failures > 0 {
			t.Fatalf("beyond the bound the figures are %+v", s)
		}
		n.Close()
		n = openNode(t, o)
	}
	backUp(t, n, "/backup/c")
	if s := n.Maint.ArchiveStats(); s.State != "broken" {
		t.Errorf("a backup with a closed vault makes the archive %q", s.State)
	}
	mu.Lock()
	down = false
	mu.Unlock()
	backUp(t, n, "/backup/c")
	for i := 2000; i < 2050; i++ {
		m.note(insert(n, def, "", i, i+1), i, fmt.Sprintf("body %d", i))
	}
	if s := n.Maint.ArchiveStats(); s.State != "keeping" || s.Commands == 0 {
		t.Errorf("after a backup the figures are %+v", s)
	}
	ship(t, n)
	if _, err := replay(mem.CrashClone(5, 100), "/backup/b", math.MaxUint64); err == nil || !strings.Contains(err.Error(), "has a gap") {
		t.Errorf("over the gap the restore ends with %v", err)
	}
	for _, test := range []struct {
		from  string
		until uint64
	}{{"/backup/b", m.steps[100].position}, {"/backup/c", m.steps[2020].position}, {"/backup/c", math.MaxUint64}} {
		after := restored(t, mem.CrashClone(5, 100), clock, test.from, test.until)
		if got, want := bodies(t, after, def, ""), m.at(test.until); !maps.Equal(got, want) {
			t.Errorf("%s up to %d has %d rows of %d", test.from, test.until, len(got), len(want))
		}
		after.Close()
	}
	// Turned off, it keeps nothing; turned on again, it has a gap.
	n.Close()
	n = openNode(t, nodeOptions{FS: watched, Clock: clock})
	insert(n, def, "", 3000, 3001)
	n.Close()
	n = openNode(t, o)
	insert(n, def, "", 3001, 3002)
	ship(t, n)
	if _, err := replay(mem.CrashClone(6, 100), "/backup/c", math.MaxUint64); err == nil || !strings.Contains(err.Error(), "has a gap") {
		t.Errorf("over the time that it was off the restore ends with %v", err)
	}
}
