package maint_test

import (
	"context"
	"errors"
	"path"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/disk"
)

// Files that nobody names go when they are old and bear names that were given out;
// everything else stays, and nothing goes from a storage that cannot be listed.
func TestOrphans(t *testing.T) {
	mem := disk.NewMem()
	refused, refuse := errors.New("refused"), false
	n := openNode(t, nodeOptions{FS: disk.Inject(mem, func(op disk.Op) error {
		if refuse && op.Kind == disk.OpList && strings.Contains(op.Path, "default/shared") {
			return refused
		}
		return nil
	}), Maint: maint.Options{OrphanAge: time.Hour}})
	shared := sharedTable()
	shared.Name = "shared"
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	ctx := context.Background()
	for i := range 3 {
		insert(n, def, "", 100*i, 100*i+100)
		if _, err := n.Maint.Flush(ctx, def.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.Maint.Compact(ctx, def.ID); err != nil { // so that names are free again
		t.Fatal(err)
	}
	n.Clock.Advance(time.Hour) // the grace of replaced files
	if err := n.Maint.RemoveFiles(ctx); err != nil {
		t.Fatal(err)
	}
	folder := "/data/storage/default/shared"
	live := batches(t, n.FS, folder)
	write := func(name string) {
		t.Helper()
		if err := disk.MakeDir(n.FS, path.Dir(name)); err != nil {
			t.Fatal(err)
		}
		if err := disk.WriteFile(n.FS, name, []byte("left")); err != nil {
			t.Fatal(err)
		}
	}
	exists := func(name string) bool {
		t.Helper()
		ok, err := disk.Exists(n.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	free := ""
	for _, name := range []string{"batch-0.parquet", "batch-1.parquet", "batch-2.parquet"} {
		if !strings.Contains(strings.Join(live, " "), name) {
			free = path.Join(folder, name)
		}
	}
	if free == "" {
		t.Fatalf("no name is free: %q", live)
	}
	gone := []string{free, free + ".tmp"}
	kept := []string{
		path.Join(folder, "batch-900.parquet"), path.Join(folder, "batch-00.parquet"), path.Join(folder, "report.parquet"), path.Join(folder, "batch-1.txt"),
		"/data/storage/other/batch-0.parquet", path.Join(folder, live[0]),
	}
	for _, name := range append(append([]string(nil), gone...), kept[:len(kept)-1]...) {
		write(name)
	}
	collect := func() {
		t.Helper()
		if err := n.Maint.RemoveOrphans(ctx); err != nil {
			t.Fatal(err)
		}
	}
	collect()
	for _, name := range append(append([]string(nil), gone...), kept...) {
		if !exists(name) {
			t.Errorf("%s went although it is new", name)
		}
	}
	n.Clock.Advance(time.Since(n.Clock.Now()) + 3*time.Hour) // files are as old as the machine's clock says
	refuse = true
	if err := n.Maint.RemoveOrphans(ctx); !errors.Is(err, refused) {
		t.Errorf("a storage that cannot be listed: %v", err)
	}
	refuse = false
	if !exists(gone[0]) {
		t.Error("an orphan went from a storage that cannot be listed")
	}
	collect()
	for _, name := range gone {
		if exists(name) {
			t.Errorf("%s is there still", name)
		}
	}
	for _, name := range kept {
		if !exists(name) {
			t.Errorf("%s is gone", name)
		}
	}
	if got := n.Maint.Stats(); got.Orphans != 1 || got.OrphanBytes != 8 {
		t.Errorf("%+v", got)
	}
	if got := bodies(t, n, def, ""); len(got) != 300 {
		t.Errorf("%d rows are left", len(got))
	}
}
