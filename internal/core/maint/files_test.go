package maint_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"kalamdb/internal/command"
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
