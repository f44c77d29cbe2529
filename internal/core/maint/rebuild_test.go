package maint_test

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"kalamdb/internal/backup"
	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// rebuild makes the list of segments of a closed node's directory anew, after
// spoil has spoilt a copy of it, and returns what was found.
func rebuild(t *testing.T, fs disk.FS, spoil func(s *store.Store)) (backup.RebuildReport, []string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	release, err := store.HoldDirectory(fs, dataDir)
	must(err)
	must(store.StageSelf(fs, dataDir))
	s, err := store.Open(store.Options{FS: fs, Dir: store.StagedDir(dataDir), Reserve: -1})
	must(err)
	spoil(s)
	tier := cold.New(cold.Options{FS: fs, DataDir: dataDir})
	var lines []string
	report, err := backup.Rebuild(context.Background(), backup.RebuildOptions{
		Store: s, Tier: tier, Found: func(line string) { lines = append(lines, line) }, Progress: func(int64, int64) {},
	})
	must(err)
	must(tier.Close())
	must(s.Close())
	must(store.CompleteStaged(fs, dataDir))
	must(release())
	return report, lines
}

// forgetList removes windows, and entries of files too when they are to go.
func forgetList(t *testing.T, s *store.Store, entries bool) {
	t.Helper()
	definitions, err := catalog.Load(s.Reader())
	if err != nil {
		t.Fatal(err)
	}
	for def := range definitions.AllTables() {
		if err := table.ForgetWindows(s, def); err != nil {
			t.Fatal(err)
		}
	}
	known, _, err := table.KnownFiles(s.Reader())
	if err != nil {
		t.Fatal(err)
	}
	for number := range known {
		if entries {
			if err := table.ForgetFiles(s, []uint64{number}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The list of segments is made anew after it was lost, with the entries of files
// or without, in any state of flushes, compactions and packed files, and
// everything reads as before and goes on.
func TestRebuild(t *testing.T) {
	for seed := range int64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newPackingWorld(t, seed)
			keys := []int64{6, 50, 400}[seed%3]
			work := func(steps int) {
				for range steps {
					switch n := w.rnd.Intn(20); {
					case n < 3:
						w.flush()
					case n < 5:
						w.compact(keys)
					case n == 6 && w.def.Column("extra") < 0:
						w.addColumn()
					default:
						w.write(keys)
					}
				}
			}
			for range 3 {
				work(40)
				w.node.Close()
				fs := w.node.FS
				report, lines := rebuild(t, fs, func(s *store.Store) { forgetList(t, s, w.rnd.Intn(3) > 0) })
				if report.Missing+report.Broken+report.Foreign != 0 || report.LostRows != 0 {
					w.fatalf("%+v %q", report, lines)
				}
				w.note("rebuilt %+v", report)
				w.reopenOn(fs, true)
				w.check()
			}
			work(20)
			w.check()
			w.node.Close()
		})
	}
}

// overwrite changes the bytes of a file.
func overwrite(t *testing.T, fs disk.FS, name string, change func([]byte) []byte) {
	t.Helper()
	data, err := disk.ReadFile(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(fs, name, change(slices.Clone(data))); err != nil {
		t.Fatal(err)
	}
}

// What cannot be taken is named, its rows are gone from every way to read them,
// and all others stay: a file that is missing, one that is garbled, one of
// another program, and one that holds no row.
func TestRebuildWithLosses(t *testing.T) {
	n := openNode(t, nodeOptions{Maint: maint.Options{Flush: maint.FlushOptions{PackScopes: 1, MinFileRows: 100}}})
	users := n.Commit(&command.CreateTable{Table: notesTable()}).Table
	shared := sharedTable()
	shared.Name = "shared"
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	ctx := context.Background()
	flush := func(id schema.TableID) {
		if _, err := n.Maint.Flush(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		insert(n, def, "", 100*i, 100*i+100)
		flush(def.ID)
	}
	insert(n, users, "alice", 0, 10)
	insert(n, users, "bob", 0, 10)
	flush(users.ID)
	before, alice := bodies(t, n, def, ""), bodies(t, n, users, "alice")
	n.Close()
	folder := "/data/storage/default/shared"
	if err := n.FS.Remove(path.Join(folder, "batch-1.parquet")); err != nil {
		t.Fatal(err)
	}
	overwrite(t, n.FS, path.Join(folder, "batch-2.parquet"), func(b []byte) []byte { b[len(b)/3] ^= 0x40; return b })
	for name, bytes := range map[string]string{"report.parquet": "PAR1 of another program PAR1", "batch-99.parquet": "short"} {
		if err := disk.WriteFile(n.FS, path.Join(folder, name), []byte(bytes)); err != nil {
			t.Fatal(err)
		}
	}
	report, lines := rebuild(t, n.FS, func(s *store.Store) { forgetList(t, s, false) })
	want := backup.RebuildReport{
		Tables: report.Tables, Taken: 3, Windows: 4, Missing: 1, Broken: 1, Foreign: 1, Useless: 1, Rows: 220, LostRows: 200, Removed: 2,
	}
	if report != want {
		t.Errorf("%+v, want %+v", report, want)
	}
	text := strings.Join(lines, "\n")
	for _, part := range []string{"missing: cold file 2 (default/shared/batch-1.parquet)", "broken: cold file 3 (default/shared/batch-2.parquet)",
		"foreign: default/shared/report.parquet", "left: default/shared/batch-99.parquet"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
	n = openNode(t, nodeOptions{FS: n.FS, Clock: n.Clock})
	if err := n.Maint.Recover(ctx); err != nil {
		t.Fatal(err)
	}
	after := bodies(t, n, def, "")
	if len(after) != 200 {
		t.Fatalf("%d rows are left", len(after))
	}
	for id, body := range after {
		if before[id] != body {
			t.Fatalf("row %d is %q, was %q", id, body, before[id])
		}
	}
	if got := bodies(t, n, users, "alice"); len(got) != len(alice) {
		t.Errorf("alice has %d rows", len(got))
	}
	// The keys of lost rows are free, and the names of lost files are not used again.
	insert(n, def, "", 100, 300)
	flush(def.ID)
	if got := bodies(t, n, def, ""); len(got) != 400 {
		t.Errorf("%d rows at the end", len(got))
	}
	if names := batches(t, n.FS, folder); !slices.Contains(names, "batch-4.parquet") {
		t.Errorf("the folder holds %q", names)
	}
}
