package maint_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
)

// Files of FILE columns that rows refer to are in a backup, and come back; one
// that is damaged there is named.
func TestBackupOfFiles(t *testing.T) {
	mem, clock := disk.NewMem(), newClock()
	n := openNode(t, nodeOptions{FS: mem, Clock: clock})
	table := sharedTable()
	table.Columns[1].Type = datum.Type{Kind: datum.File}
	def := n.Commit(&command.CreateTable{Table: table}).Table
	content := func(text string) maint.NewBlob {
		t.Helper()
		staged, err := n.Cold.Stage(strings.NewReader(text), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return maint.NewBlob{Name: "a.txt", MIME: "text/plain", Content: staged}
	}
	kept, err := n.Maint.StoreBlobs(context.Background(), def, "", []maint.NewBlob{content("kept"), content("not referred to")})
	if err != nil {
		t.Fatal(err)
	}
	text, err := kept.Blobs[0].Reference()
	if err != nil {
		t.Fatal(err)
	}
	row := []datum.Value{datum.NewInt(datum.BigInt, 1), datum.NewFile(text)}
	for len(row) < len(def.Columns) {
		row = append(row, datum.Value{})
	}
	n.Commit(&command.Write{Tables: []command.TableWrite{{Table: def.ID, SchemaVersion: def.Version,
		Rows: []command.RowWrite{{Op: command.Insert, Key: def.KeyOf(nil, row), Row: def.AppendRow(nil, row)}}}}})
	kept.Release(context.Background())
	backUp(t, n, "/backup/b")
	names := files(t, mem, "/backup/b/segments")
	if len(names) != 1 {
		t.Fatalf("the backup holds the files %q", names)
	}
	whole, err := disk.ReadFile(mem, "/backup/b/segments/"+names[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(mem, "/backup/b/segments/"+names[0], []byte("kepT")); err != nil {
		t.Fatal(err)
	}
	refused(t, n, "/backup/b", names[0], "change")
	if err := disk.WriteFile(mem, "/backup/b/segments/"+names[0], whole); err != nil {
		t.Fatal(err)
	}
	message, err := n.Maint.StartRestore(context.Background(), "root", "/backup/b")
	if j := finish(t, n, message, err); j.Status != schema.JobCompleted {
		t.Fatalf("the restore ended as %s: %s", j.Status, j.Message)
	}
	n.Close()
	n = openNode(t, nodeOptions{FS: mem, Clock: clock})
	b, st, err := n.Maint.Blob(kept.Blobs[0].BlobKey)
	if err != nil {
		t.Fatal(err)
	}
	r, err := n.Cold.OpenBlob(st, &b, 0, b.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if got, err := io.ReadAll(r); err != nil || string(got) != "kept" {
		t.Errorf("the restored file holds %q, %v", got, err)
	}
}
