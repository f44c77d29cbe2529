package maint_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
)

// publishedNotes returns a published table with some rows of many users, in files that
// they share, and of one in a file of his own.
func publishedNotes(t *testing.T, o nodeOptions) (*node, *schema.Table) {
	t.Helper()
	o.Maint.Flush = maint.FlushOptions{PackScopes: 4, MinFileRows: 50}
	n := openNode(t, o)
	notes := notesTable()
	notes.Options.Iceberg = true
	def := n.Commit(&command.CreateTable{Table: notes}).Table
	for _, scope := range []schema.Scope{"ann", "ben", "cat", "dan"} {
		insert(n, def, scope, 0, 10)
	}
	insert(n, def, "eve", 0, 60)
	if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
		t.Fatal(err)
	}
	return n, def
}

// publication returns what is published: how many rows, and all bytes by name.
func publication(t *testing.T, n *node, def *schema.Table) (rows uint64, objects map[string][]byte) {
	t.Helper()
	result, err := n.Maint.Publish(context.Background(), def.ID)
	if err != nil {
		t.Fatal(err)
	}
	return result.Rows, publishedObjects(t, n, def)
}

func publishedObjects(t *testing.T, n *node, def *schema.Table) map[string][]byte {
	t.Helper()
	st, ok := n.Apply.Definitions().Storage(schema.LocalStorage)
	if !ok {
		t.Fatal("no local storage")
	}
	folder, err := n.Cold.Folder(*st, cold.PublishedFolder(*st, def))
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string][]byte{}
	for _, in := range []string{"metadata", "data"} {
		names, err := folder.List(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := folder.Get(path.Join(in, name))
			if err != nil {
				t.Fatal(err)
			}
			objects[in+"/"+name] = text
		}
	}
	return objects
}

// What is published follows updates, deletes and erasures, is left alone when
// nothing has changed, and goes with the table, or with the option.
func TestPublish(t *testing.T) {
	n, def := publishedNotes(t, nodeOptions{})
	ctx := context.Background()
	rows, before := publication(t, n, def)
	if rows != 100 {
		t.Errorf("%d rows are published, not 100", rows)
	}
	if again, err := n.Maint.Publish(ctx, def.ID); err != nil || again.Changed {
		t.Errorf("nothing has changed, but %+v, %v", again, err)
	}
	change(t, n, def, "ann", 3, "")
	change(t, n, def, "eve", 3, "changed and hot")
	if rows, _ := publication(t, n, def); rows != 98 {
		t.Errorf("%d rows are published of 98 that are cold and count", rows)
	}
	if _, err := n.Maint.Flush(ctx, def.ID); err != nil {
		t.Fatal(err)
	}
	rows, after := publication(t, n, def)
	if rows != 99 {
		t.Errorf("%d rows are published, not 99", rows)
	}
	for name := range before {
		if _, there := after[name]; !there {
			t.Errorf("%s has gone within its grace", name)
		}
	}
	n.Clock.Advance(2 * maint.DefaultGrace)
	_, after = publication(t, n, def)
	if _, there := after["metadata/v1.metadata.json"]; there {
		t.Error("the first metadata outlives its grace")
	}
	if _, err := n.Maint.EraseUser(ctx, "ben"); err != nil {
		t.Fatal(err)
	}
	rows, after = publication(t, n, def)
	if rows != 89 {
		t.Errorf("%d rows are published, not 89", rows)
	}
	for name, text := range after {
		if bytes.Contains(text, []byte("ben")) {
			t.Errorf("%s still names the erased user", name)
		}
	}
	altered := def.Clone()
	altered.Options.Iceberg, altered.Version = false, def.Version+1
	off := n.Commit(&command.AlterTable{Table: *altered, FromVersion: def.Version}).Table
	if r, err := n.Maint.Publish(ctx, def.ID); err != nil || !r.Withdrawn {
		t.Errorf("%+v, %v", r, err)
	}
	if left := publishedObjects(t, n, off); len(left) > 0 {
		t.Errorf("left of what is published no more: %d objects", len(left))
	}
}

// broken is a disk on which nothing can be published.
type broken struct {
	disk.FS
	on atomic.Bool
}

var errBroken = errors.New("a disk of the test")

func (b *broken) Open(name string, mode disk.Mode) (disk.File, error) {
	if b.on.Load() && strings.Contains(name, cold.PublishedName) {
		return nil, errBroken
	}
	return b.FS.Open(name, mode)
}

// A flush succeeds though its rows cannot be published; the log says so, and the
// clock makes up for it, by a job when it fails as well.
func TestPublishFails(t *testing.T) {
	fs := &broken{FS: disk.NewMem()}
	var log bytes.Buffer
	n, def := publishedNotes(t, nodeOptions{FS: fs, Maint: maint.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}})
	ctx := context.Background()
	fs.on.Store(true)
	insert(n, def, "eve", 100, 105)
	if r, err := n.Maint.Flush(ctx, def.ID); err != nil || r.Rows != 5 {
		t.Fatalf("%+v, %v", r, err)
	}
	if !strings.Contains(log.String(), "a table could not be published") {
		t.Errorf("the log says %q", &log)
	}
	if err := n.Maint.PublishDue(ctx); !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	}
	fs.on.Store(false)
	job, ok := n.Jobs.Active("publish:1:default.notes")
	if !ok {
		t.Fatal("no job publishes what the clock could not")
	}
	if j, err := n.Jobs.Wait(ctx, job.ID); err != nil || j.Status != schema.JobCompleted {
		t.Errorf("%+v, %v", j, err)
	}
	if r, err := n.Maint.Publish(ctx, def.ID); err != nil || r.Changed || r.Rows != 105 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A crash behind DROP TABLE loses the cleanup: whoever removes the files removes
// what was published of them.
func TestPublishedDropCrash(t *testing.T) {
	n, def := publishedNotes(t, nodeOptions{})
	if len(publishedObjects(t, n, def)) == 0 {
		t.Fatal("nothing is published")
	}
	n.Commit(&command.DropTable{Table: def.ID})
	fs, clock := n.FS, n.Clock
	n.Close()
	after := openNode(t, nodeOptions{FS: fs, Clock: clock})
	if err := after.Maint.RemoveFiles(context.Background()); err != nil {
		t.Fatal(err)
	}
	if left := publishedObjects(t, after, def); len(left) > 0 {
		t.Errorf("%d objects are left of a dropped table", len(left))
	}
}
