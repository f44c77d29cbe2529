package maint_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kalamdb/internal/backup"
	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/testkit/s3"
)

// objects returns the files below a folder of the machine.
func objects(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	if err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// A backup goes to a real S3 server: the next one copies new cold files only,
// what is damaged, cut short or missing is named, and it comes back. So do the
// commands of an archive beside it.
func TestBackupToS3(t *testing.T) {
	server := s3.Start(t)
	st, err := server.Storage("far")
	if err != nil {
		t.Fatal(err)
	}
	mem, clock := disk.NewMem(), newClock()
	n := openNode(t, nodeOptions{FS: mem, Clock: clock, ArchiveBytes: 1 << 30, Maint: maint.Options{Archive: maint.ArchiveOptions{Storage: "far", Folder: "log"}}})
	n.Commit(&command.PutStorage{Create: true, Storage: st})
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	place := st.BaseDirectory + "/nightly"
	var m ledger
	for round, want := range []string{"1 cold file(s) copied, 0 already there", "1 cold file(s) copied, 1 already there"} {
		m.write(t, n, def, round*50, round*50+50)
		if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
			t.Fatal(err)
		}
		if got := backUp(t, n, place); !strings.Contains(got, want) {
			t.Errorf("round %d: %q, not %q", round, got, want)
		}
	}
	saved, err := n.Maint.ReadBackup(place)
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, n, def, 100, 150)
	ship(t, n)
	bucket := filepath.Join(server.Root, strings.Split(strings.TrimPrefix(st.BaseDirectory, "s3://"), "/")[0])
	for _, full := range objects(t, filepath.Join(bucket, "base", "nightly")) {
		whole, err := os.ReadFile(full)
		if err != nil {
			t.Fatal(err)
		}
		if len(whole) == 0 {
			continue
		}
		for damage, broken := range map[string][]byte{"flip": flipped(whole), "cut": whole[:len(whole)-1], "remove": nil} {
			err := os.WriteFile(full, broken, 0o600)
			if damage == "remove" {
				err = os.Remove(full)
			}
			if err != nil {
				t.Fatal(err)
			}
			refused(t, n, place, filepath.Base(full), damage)
			if err := os.WriteFile(full, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.Close()
	for _, until := range []uint64{saved.Position, m.steps[len(m.steps)-10].position, math.MaxUint64} {
		clone := mem.CrashClone(1, 100)
		if err := replayFar(clone, st, place, until); err != nil {
			t.Fatal(err)
		}
		after := openNode(t, nodeOptions{FS: clone, Clock: clock})
		if got, want := bodies(t, after, def, ""), m.at(until); !maps.Equal(got, want) {
			t.Errorf("up to %d: %d rows came back of %d", until, len(got), len(want))
		}
		after.Close()
	}
}

func flipped(whole []byte) []byte {
	broken := append([]byte(nil), whole...)
	broken[len(broken)/2] ^= 1
	return broken
}

// replayFar is replay from a storage.
func replayFar(clone *disk.Mem, st schema.Storage, from string, until uint64) error {
	tier := cold.New(cold.Options{FS: clone, DataDir: dataDir})
	defer func() { _ = tier.Close() }()
	known := func(yield func(*schema.Storage) bool) { yield(&st) }
	target, err := backup.Locate(tier, from, dataDir, known)
	if err != nil {
		return err
	}
	source, err := backup.Open(target)
	if err != nil {
		return err
	}
	source.Amend = func(ctx context.Context, dir string) error {
		archive, err := backup.LocateArchive(tier, st.BaseDirectory+"/log", dataDir, known)
		if err != nil {
			return err
		}
		s, err := store.Open(store.Options{FS: clone, Dir: dir, Reserve: -1})
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }()
		id, _, err := store.ArchiveIDOf(s.Reader())
		if err != nil {
			return err
		}
		commands, err := archive.Replay(id, source.Manifest().Position, until)
		if err != nil {
			return fmt.Errorf("open the archive: %w", err)
		}
		_, err = apply.Replay(ctx, s, commands.Next)
		s.Recovered()
		return err
	}
	return source.Stage(context.Background(), clone, dataDir, nil)
}
