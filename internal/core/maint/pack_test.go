package maint_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
)

// errPower ends a flush in a test.
var errPower = errors.New("cut off by the test")

// flushCut flushes while rows change between any two slices, and cuts the power
// before maintenance commits for the at-th time. It reports whether it came to
// that.
func (w *world) flushCut(at int, keys int64) bool {
	w.t.Helper()
	var clone disk.FS
	w.between = func(body command.Body) error {
		if clone != nil {
			return errPower
		}
		switch body.(type) {
		case *command.Adopt, *command.AdoptPacked:
			w.write(keys)
		}
		if at--; at >= 0 {
			return nil
		}
		clone = w.node.FS.(*disk.Mem).CrashClone(w.rnd.Uint64(), w.rnd.Intn(101))
		w.note("cut off before %T", body)
		return errPower
	}
	_, err := w.node.Maint.Flush(context.Background(), w.def.ID)
	w.between = nil
	if clone == nil {
		if err != nil {
			w.fatalf("flush: %v", err)
		}
		return false
	}
	if !errors.Is(err, errPower) {
		w.fatalf("a flush that was cut off says %v", err)
	}
	w.reopenOn(clone, true)
	return true
}

// A flush may be cut off at every step and between any two slices, with rows
// inserted, changed, deleted and inserted again in between: what is read by key,
// by scan, by _seq and of history stays that of the plain model.
func TestFlushCutAnywhere(t *testing.T) {
	seeds := int64(6)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newPackingWorld(t, seed)
			keys := []int64{8, 30}[seed%2]
			cuts := 0
			for range 4 {
				for range 12 {
					w.write(keys)
				}
				for at := 0; w.flushCut(at, keys); at++ {
					cuts++
					w.check()
				}
				w.check()
				w.forget()
			}
			t.Logf("%d cuts", cuts)
			if cuts < 10 {
				t.Errorf("only %d cuts", cuts)
			}
		})
	}
}

// Many users with few rows share one file and one manifest; a user with many
// rows has a file of his own. The file goes with its last window.
func TestPackedFiles(t *testing.T) {
	n := openNode(t, nodeOptions{Maint: maint.Options{Flush: maint.FlushOptions{PackScopes: 64, MinFileRows: 1000}}})
	def := n.Commit(&command.CreateTable{Table: notesTable()}).Table
	ctx := context.Background()
	users := []schema.Scope{"../x", "_packed", "a/b", ".."}
	for i := range 96 {
		users = append(users, schema.Scope(fmt.Sprintf("user%02d", i)))
	}
	for i, user := range users {
		insert(n, def, user, 0, 5+i%20)
	}
	insert(n, def, "big", 0, 1500)
	result, err := n.Maint.Flush(ctx, def.ID)
	if err != nil || result.Files != 2 {
		t.Fatalf("%+v, %v", result, err)
	}
	want := []string{
		"default/notes/_packed/manifest.json", "default/notes/_packed/pack-0.parquet",
		"default/notes/big/batch-0.parquet", "default/notes/big/manifest.json",
	}
	if names := files(t, n.FS, "/data/storage"); !slices.Equal(names, want) {
		t.Errorf("the storage holds %q", names)
	}
	for i, user := range users {
		got := bodies(t, n, def, user)
		if len(got) != 5+i%20 {
			t.Fatalf("%s has %d rows", user, len(got))
		}
		if tail := seqs(t, n, def, user, source.Request{Order: source.BySeqDesc}); len(tail) != 5+i%20 {
			t.Fatalf("%s has %d rows by _seq", user, len(tail))
		}
	}
	checkPackedManifest(t, n, len(users))
	// Few users with new rows get files of their own.
	insert(n, def, "user01", 100, 110)
	if result, err = n.Maint.Flush(ctx, def.ID); err != nil || result.Files != 1 {
		t.Fatalf("%+v, %v", result, err)
	}
	for i, user := range users {
		for j := range 5 + i%20 {
			change(t, n, def, user, j, "")
		}
	}
	for j := range 10 {
		change(t, n, def, "user01", 100+j, "")
	}
	if result, err = n.Maint.Flush(ctx, def.ID); err != nil || result.Dropped != int64(len(users)+1) {
		t.Fatalf("%+v, %v", result, err)
	}
	if err := n.Maint.RemoveAll(ctx); err != nil {
		t.Fatal(err)
	}
	for _, name := range files(t, n.FS, "/data/storage") {
		if strings.Contains(name, "pack-") || strings.Contains(name, "user01/batch") {
			t.Errorf("%s is left", name)
		}
	}
	checkPackedManifest(t, n, 0)
}

// checkPackedManifest checks how many windows the manifest lists.
func checkPackedManifest(t *testing.T, n *node, windows int) {
	t.Helper()
	text, err := disk.ReadFile(n.FS, "/data/storage/default/notes/_packed/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		TableID  string `json:"table_id"`
		Files    []struct{ Path string }
		Segments []struct {
			UserID   string `json:"user_id"`
			FirstRow uint64 `json:"first_row"`
			RowCount uint64 `json:"row_count"`
		}
	}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	if m.TableID != "default:notes" || len(m.Segments) != windows || len(m.Files) != min(windows, 1) {
		t.Errorf("the manifest says %.300s", text)
	}
}

// Manifests that are missing or garbled are written anew at the start, those of
// users and that of the files which users share; others are left as they are.
func TestManifestsAreMendedAtStart(t *testing.T) {
	mem := disk.NewMem()
	options := nodeOptions{FS: mem, Maint: maint.Options{Flush: maint.FlushOptions{PackScopes: 1, MinFileRows: 5}}}
	n := openNode(t, options)
	def := n.Commit(&command.CreateTable{Table: notesTable()}).Table
	insert(n, def, "alice", 0, 9)
	insert(n, def, "bob", 0, 2)
	insert(n, def, "carol", 0, 2)
	if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
		t.Fatal(err)
	}
	names := []string{"/data/storage/default/notes/alice/manifest.json", "/data/storage/default/notes/_packed/manifest.json"}
	want := map[string]string{}
	for i, name := range names {
		text, err := disk.ReadFile(mem, name)
		if err != nil || !strings.Contains(string(text), ".parquet") {
			t.Fatalf("%s says %q, %v", name, text, err)
		}
		want[name] = string(text)
		if err := mem.Remove(name); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			f, err := disk.Create(mem, name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(text[:len(text)/2]); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.Close()
	again := openNode(t, options)
	if err := again.Maint.MendManifests(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, text := range want {
		if have, err := disk.ReadFile(mem, name); err != nil || string(have) != text {
			t.Errorf("%s says %q, %v; want %q", name, have, err, text)
		}
	}
}

// With a retention that never ends no tombstone is purged, however old, whatever
// the default of the server is.
func TestRetentionOff(t *testing.T) {
	n := openNode(t, nodeOptions{Maint: maint.Options{DeletedRetention: time.Hour}})
	kept := notesTable()
	kept.Name, kept.Options.DeletedRetentionSeconds = "kept", -1
	plain := n.Commit(&command.CreateTable{Table: notesTable()}).Table
	def := n.Commit(&command.CreateTable{Table: kept}).Table
	for _, d := range []*schema.Table{plain, def} {
		insert(n, d, "alice", 0, 3)
		change(t, n, d, "alice", 1, "")
	}
	n.Clock.Advance(1000 * 24 * time.Hour)
	ctx := context.Background()
	if err := errors.Join(n.Maint.ForgetHistory(ctx), n.Maint.Purge(ctx)); err != nil {
		t.Fatal(err)
	}
	view := n.Relations.View()
	defer view.Release()
	for d, want := range map[*schema.Table]bool{plain: false, def: true} {
		_, _, deleted, _, found, err := view.Get(ctx, d, "alice", datum.AppendKey(nil, datum.NewInt(datum.BigInt, 7919)))
		if err != nil || found != want || deleted != want {
			t.Errorf("%s: the tombstone is there %v, deleted %v, %v", d.Name, found, deleted, err)
		}
	}
}
