package maint_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// watched is a committer that asks before a command of maintenance.
type watched struct {
	command.Committer
	w *world
}

func (c watched) Commit(ctx context.Context, cmd *command.Command) (command.Receipt, error) {
	if c.w.between != nil {
		if err := c.w.between(cmd.Body); err != nil {
			return command.Receipt{}, err
		}
	}
	return c.Committer.Commit(ctx, cmd)
}

func (w *world) watch(c command.Committer) command.Committer { return watched{c, w} }

// errCut ends a compaction between two commands.
var errCut = errors.New("cut off by the test")

// compact compacts all small neighbours, with writes and checks between any two
// commands, and is sometimes cut off between two.
func (w *world) compact(keys int64) {
	w.t.Helper()
	cut := -1
	if w.rnd.Intn(2) == 0 {
		cut = w.rnd.Intn(6)
	}
	w.between = func(command.Body) error {
		if cut == 0 {
			return errCut
		}
		cut--
		if w.rnd.Intn(2) == 0 {
			w.write(keys)
		}
		w.check()
		return nil
	}
	result, err := w.node.Maint.Compact(context.Background(), w.def.ID)
	w.between = nil
	if err != nil && !errors.Is(err, errCut) {
		w.fatalf("compact: %v", err)
	}
	w.note("compact %+v, %v", result, err)
}

// segments returns the windows of a scope.
func (w *world) segments(scope schema.Scope) []schema.Segment {
	w.t.Helper()
	view := w.node.Apply.View()
	defer view.Release()
	segments, err := table.Segments(view.Reader(), w.def.ID, scope)
	if err != nil {
		w.fatalf("segments: %v", err)
	}
	return segments
}

// batches returns the names of the cold files of a folder.
func batches(t *testing.T, fs disk.FS, folder string) []string {
	t.Helper()
	names, err := fs.List(folder)
	if err != nil && !disk.IsNotExist(err) {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".parquet") })
}

// A scenario of compaction, up to the compaction itself: five files whose rows
// were updated, deleted and made again, one of them under an older definition.
func beforeCompaction(t *testing.T, seed int64) *world {
	t.Helper()
	w := newWorld(t, seed)
	for i := range 5 {
		for range 6 {
			w.write(30)
		}
		if i == 2 {
			w.addColumn()
		}
		w.flush()
	}
	for range 4 {
		w.write(30)
	}
	return w
}

// One file takes the place of all small ones, reads stay the same, and the old
// ones go after their grace.
func TestCompactionMakesOneFile(t *testing.T) {
	w := beforeCompaction(t, 1)
	if n := len(w.segments("alice")); n != 5 {
		t.Fatalf("%d windows before", n)
	}
	result, err := w.node.Maint.Compact(context.Background(), w.def.ID)
	if err != nil {
		t.Fatal(err)
	}
	left := w.segments("alice")
	if len(left) != 1 || left[0].SchemaVersion != w.def.Version || result.Sources != 10 || result.Files != 2 {
		t.Fatalf("windows %+v, result %+v", left, result)
	}
	w.check()
	again, err := w.node.Maint.Compact(context.Background(), w.def.ID)
	if err != nil || again != (maint.CompactResult{}) {
		t.Fatalf("a second compaction did %+v, %v", again, err)
	}
	w.reopen(false)
	w.check()
	view := w.node.Apply.View()
	f, _, err := table.File(view.Reader(), left[0].File)
	view.Release()
	if err != nil {
		t.Fatal(err)
	}
	folder := path.Join(dataDir, "storage", path.Dir(f.Path))
	if names := batches(t, w.node.FS, folder); len(names) != 6 {
		t.Fatalf("within their grace the old files are %v", names)
	}
	w.node.Clock.Advance(maint.DefaultGrace)
	w.write(30) // views older than now are gone
	if err := w.node.Maint.RemoveFiles(context.Background()); err != nil {
		t.Fatal(err)
	}
	if names := batches(t, w.node.FS, folder); len(names) != 1 || names[0] != path.Base(f.Path) {
		t.Fatalf("after their grace the files are %v", names)
	}
	w.check()
}

// Compactions go on after a kill at every command and between any two, with
// writes to the same keys before and after it.
func TestCompactionCutOffAnywhere(t *testing.T) {
	for _, rows := range []int{1, 3} {
		for cut := 0; ; cut++ {
			done := false
			t.Run(fmt.Sprintf("slices of %d rows, cut at %d", rows, cut), func(t *testing.T) {
				w := beforeCompaction(t, int64(cut)%2*2+1)
				w.maint.SliceRows = rows
				w.reopen(false)
				left := cut
				w.between = func(b command.Body) error {
					if left == 0 {
						return errCut
					}
					left--
					if left%2 == 0 {
						w.write(30)
					}
					w.check()
					return nil
				}
				_, err := w.node.Maint.Compact(context.Background(), w.def.ID)
				w.between = nil
				done = err == nil
				if err != nil && !errors.Is(err, errCut) {
					t.Fatal(err)
				}
				w.check()
				w.reopen(true)
				w.check()
				w.write(30)
				w.flush()
				w.check()
				if _, err := w.node.Maint.Compact(context.Background(), w.def.ID); err != nil {
					t.Fatal(err)
				}
				if n := len(w.segments("alice")); n != 1 {
					t.Fatalf("%d windows in the end", n)
				}
				w.check()
			})
			if done || t.Failed() {
				break
			}
		}
	}
}

// Where every row of a file is gone there is no new file; where every row of a
// scope is gone, no file and no window.
func TestCompactionOfDeletedRows(t *testing.T) {
	w := newWorld(t, 1)
	for range 3 {
		for range 3 {
			w.write(5)
		}
		w.flush()
	}
	for scope, keys := range w.model.rows {
		for key := range keys {
			w.remove(scope, []byte(key))
		}
	}
	if _, err := w.node.Maint.Compact(context.Background(), w.def.ID); err != nil {
		t.Fatal(err)
	}
	for scope := range w.model.rows {
		if left := w.segments(scope); len(left) > 0 {
			t.Errorf("windows %+v of %s are left", left, scope)
		}
	}
	w.check()
	if names := batches(t, w.node.FS, path.Join(dataDir, "storage/default/notes/alice")); len(names) > 0 {
		t.Errorf("files %v are left", names)
	}
}

// remove deletes a row unless it is deleted.
func (w *world) remove(scope schema.Scope, key []byte) {
	w.t.Helper()
	view := w.node.Relations.Applied()
	defer view.Release()
	old, seq, deleted, cold, found, err := view.Get(context.Background(), w.def, scope, key)
	if err != nil || !found || deleted {
		return
	}
	c := command.RowWrite{Op: command.Delete, Scope: scope, Key: key, ReadSeq: seq, Row: old}
	if cold {
		c.Old = old
	}
	receipt := w.node.Commit(&command.Write{Tables: []command.TableWrite{{Table: w.def.ID, SchemaVersion: w.def.Version, Rows: []command.RowWrite{c}}}})
	last, _ := w.newest(scope, key)
	w.model.rows[scope][string(key)] = append(w.model.rows[scope][string(key)],
		version{op: command.Delete, row: last.row, deleted: true, prev: seq, seq: receipt.FirstSeq})
	w.commit = append(w.commit, receipt.Position)
}

// The schedule starts a compaction when a scope has enough small neighbours, and
// none when it is not told to.
func TestCompactionByRule(t *testing.T) {
	for _, enabled := range []bool{false, true} {
		t.Run(fmt.Sprint(enabled), func(t *testing.T) {
			w := newWorld(t, 1)
			w.maint.Compaction = maint.Compaction{Enabled: enabled, MinSegments: 3, MaxSegments: 3}
			w.reopen(false)
			for range 3 {
				for range 10 {
					w.write(100)
				}
				w.flush()
				if err := w.node.Maint.CompactByRule(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			view := w.node.Apply.View()
			defer view.Release()
			jobs, err := catalog.Jobs().List(view.Reader(), "", 10)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, j := range jobs {
				if j.Type == "compact" {
					n++
				}
			}
			if enabled != (n == 1) {
				t.Fatalf("%d compactions of %d jobs", n, len(jobs))
			}
		})
	}
}

// A manifest that is missing or garbled is written anew by the next compaction,
// and reads never needed it.
func TestManifestIsMended(t *testing.T) {
	w := newWorld(t, 1)
	for range 10 {
		w.write(20)
	}
	w.flush()
	name := path.Join(dataDir, "storage/default/notes/alice/manifest.json")
	want, err := disk.ReadFile(w.node.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, garble := range []bool{false, true} {
		if err := w.node.FS.Remove(name); err != nil {
			t.Fatal(err)
		}
		if garble {
			f, err := disk.Create(w.node.FS, name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte("{")); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		w.check()
		if _, err := w.node.Maint.Compact(context.Background(), w.def.ID); err != nil {
			t.Fatal(err)
		}
		if have, err := disk.ReadFile(w.node.FS, name); err != nil || string(have) != string(want) {
			t.Fatalf("the manifest is %q, %v; want %q", have, err, want)
		}
	}
}
