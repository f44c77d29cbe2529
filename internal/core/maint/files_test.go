package maint_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// TestFilesAreRemovedOnce lets two look for files that may go at one time:
// whoever is slower finds them gone, which is no error.
func TestFilesAreRemovedOnce(t *testing.T) {
	n := openNode(t, nodeOptions{})
	ctx := context.Background()
	for round := range 5 {
		t1 := notesTable()
		t1.Name = fmt.Sprintf("notes%d", round)
		def := n.Commit(&command.CreateTable{Table: t1}).Table
		for i := range 20 {
			insert(n, def, schema.Scope(fmt.Sprintf("u%d", i)), 0, 1)
		}
		if _, err := n.Maint.Flush(ctx, def.ID); err != nil {
			t.Fatal(err)
		}
		n.Commit(&command.DropTable{Table: def.ID})
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if err := n.Maint.RemoveAll(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
	}
	if names := files(t, n.FS, "/data/storage"); len(names) != 0 {
		t.Errorf("the storage still holds %q", names)
	}
}

// A crash may take back the row of the job that removes a dropped table's files;
// the next start removes them all the same.
func TestDroppedTableAfterCrash(t *testing.T) {
	ctx := context.Background()
	mem := disk.NewMem()
	n := openNode(t, nodeOptions{FS: mem})
	def := n.Commit(&command.CreateTable{Table: notesTable()}).Table
	insert(n, def, "alice", 0, 10)
	if _, err := n.Maint.Flush(ctx, def.ID); err != nil {
		t.Fatal(err)
	}
	var clones []*disk.Mem
	crash := func() {
		for _, percent := range []int{0, 50, 100} {
			clones = append(clones, mem.CrashClone(uint64(len(clones)), percent))
		}
	}
	n.Commit(&command.DropTable{Table: def.ID})
	crash()
	id := n.Maint.Dropped(def)
	crash()
	if j, err := n.Jobs.Wait(ctx, id); err != nil || j.Status != schema.JobCompleted {
		t.Fatalf("the cleanup ended as %+v, %v", j, err)
	}
	crash()
	for i, clone := range clones {
		next := openNode(t, nodeOptions{FS: clone, Clock: n.Clock})
		if err := next.Maint.RemoveFiles(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := next.Jobs.Wait(ctx, id); err != nil && !fault.Is(err, fault.ObjectNotFound) {
			t.Errorf("crash %d: %v", i, err)
		}
		if ok, _ := disk.Exists(clone, "/data/storage/default"); ok {
			t.Errorf("crash %d: files remain: %q", i, files(t, clone, "/data/storage"))
		}
		next.Close()
	}
}

// A storage that holds files which somebody reads cannot be dropped yet, and one
// whose files have gone has none left.
func TestLeftovers(t *testing.T) {
	n := openNode(t, nodeOptions{})
	def := n.Commit(&command.CreateTable{Table: notesTable()}).Table
	insert(n, def, "alice", 0, 4)
	if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
		t.Fatal(err)
	}
	view := n.Relations.View()
	n.Commit(&command.DropTable{Table: def.ID})
	if left, err := n.Maint.Leftovers(context.Background(), schema.LocalStorage); err != nil || left != 1 {
		t.Errorf("while the file is read %d are left, %v", left, err)
	}
	view.Release()
	if left, err := n.Maint.Leftovers(context.Background(), schema.LocalStorage); err != nil || left != 0 {
		t.Errorf("%d files are left, %v", left, err)
	}
	if names := files(t, n.FS, "/data/storage"); len(names) != 0 {
		t.Errorf("the storage holds %q", names)
	}
}
