package core_test

import (
	"context"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/testkit"
)

// blobsOn returns the files of FILE columns on a disk, and what is staged.
func blobsOn(mem *disk.Mem, dir string) (found []string) {
	names, err := mem.List(dir)
	if err != nil {
		return nil
	}
	for _, name := range names {
		full := path.Join(dir, name)
		if info, err := mem.Stat(full); err == nil && info.IsDir() {
			found = append(found, blobsOn(mem, full)...)
		} else if strings.Contains(dir, "/f0") || strings.HasPrefix(name, "upload-") {
			found = append(found, full)
		}
	}
	return found
}

// filesSQL runs a statement with a file, if body is not empty, and returns the
// first cell of its rows.
func filesSQL(db *testkit.Database, sql, body string) (string, error) {
	ctx := context.Background()
	s := &auth.Session{UserID: "root", Actor: "root", Role: schema.RoleSystem}
	u := db.NewUpload()
	defer u.Close()
	if body != "" {
		if err := u.Add("a", "a.txt", "text/plain", strings.NewReader(body)); err != nil {
			return "", err
		}
	}
	results, err := db.Execute(ctx, s, core.Request{SQL: sql, Upload: u})
	if err != nil {
		return "", err
	}
	cell := ""
	for _, r := range results {
		if r.Kind == core.Rows {
			rows, err := r.Next(ctx)
			if err != nil {
				return "", err
			}
			if len(rows) > 0 {
				cell = rows[0][0].Text()
			}
		}
		r.Close()
	}
	return cell, nil
}

// TestFilesAfterCrashes cuts the power while a file is stored, replaced and
// deleted. Whatever the row says then, its file is there, and no other one stays.
func TestFilesAfterCrashes(t *testing.T) {
	mem, clock := disk.NewMem(), testkit.NewClock()
	var mu sync.Mutex
	var clones []*disk.Mem
	watching, ops := false, 0
	db, err := testkit.OpenHooked(mem, func(disk.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if ops++; watching && ops%3 == 0 {
			clones = append(clones, mem.CrashClone(uint64(ops), []int{0, 50, 100}[len(clones)%3]))
		}
		return nil
	}, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := filesSQL(db, "CREATE NAMESPACE app; CREATE TABLE app.note (id BIGINT PRIMARY KEY, f FILE) WITH (TYPE='USER')", ""); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	watching = true
	mu.Unlock()
	for _, step := range []struct{ sql, body string }{
		{`INSERT INTO app.note VALUES (1, FILE("a"))`, "first"}, {`UPDATE app.note SET f = FILE("a") WHERE id = 1`, "the second"}, {`DELETE FROM app.note WHERE id = 1`, ""},
	} {
		if _, err := filesSQL(db, step.sql, step.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	watching = false
	if len(clones) < 5 {
		t.Fatalf("only %d crashes", len(clones))
	}
	for i, clone := range clones {
		db, err := testkit.Open(clone, clock, nil)
		if err != nil {
			t.Fatalf("crash %d: %v", i, err)
		}
		text, err := filesSQL(db, "SELECT f FROM app.note", "")
		if err != nil {
			t.Fatalf("crash %d: %v", i, err)
		}
		want := 0
		if id, ok := schema.ReferredBlob(text); ok {
			want = 1
			found := strings.Join(blobsOn(clone, "data"), " ")
			if stored := schema.BlobFolder(0); !strings.Contains(found, stored) || !strings.Contains(found, strings.Split(strings.SplitAfter(text, `"id":"`)[1], `"`)[0]) {
				t.Errorf("crash %d: file %d of %s is not among %s", i, id, text, found)
			}
		}
		for end := time.Now().Add(30 * time.Second); len(blobsOn(clone, "data")) != want; {
			if time.Now().After(end) {
				t.Fatalf("crash %d: %v, want %d", i, blobsOn(clone, "data"), want)
			}
			if _, err := filesSQL(db, "SELECT 1", ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatalf("crash %d: %v", i, err)
		}
	}
}
