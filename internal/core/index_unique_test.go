package core_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kalamdb/internal/core"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/table"
	"kalamdb/internal/testkit"
)

// entriesOf returns what an index of one integer on a SHARED table holds: the
// integer, and the integer key of its row.
func entriesOf(t *testing.T, db *testkit.Database, id schema.IndexID) map[int64]int64 {
	t.Helper()
	scan, err := table.NewIndexScan(db.Reader(), &schema.Index{ID: id, Columns: make([]schema.ColumnID, 1)}, schema.SharedScope, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer scan.Close()
	entries := map[int64]int64{}
	for scan.Next() {
		value, _, err := datum.DecodeKey(scan.Values(), datum.Type{Kind: datum.Int})
		if err != nil {
			t.Fatal(err)
		}
		key, _, err := datum.DecodeKey(scan.Key(), datum.Type{Kind: datum.Int})
		if err != nil {
			t.Fatal(err)
		}
		if before, twice := entries[value.Int()]; twice {
			t.Errorf("index %d has %d for the rows %d and %d", id, value.Int(), before, key.Int())
		}
		entries[value.Int()] = key.Int()
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return entries
}

// noEntries checks that nothing is left of the first indexes of a database.
func noEntries(t *testing.T, db *testkit.Database, upTo schema.IndexID) {
	t.Helper()
	for id := schema.IndexID(1); id <= upTo; id++ {
		if left := len(entriesOf(t, db, id)); left > 0 {
			t.Errorf("index %d is gone and left %d entries", id, left)
		}
	}
}

// valuesOf reads the values of u.t by a scan of its rows.
func valuesOf(t *testing.T, db *testkit.Database) map[int64]int64 {
	t.Helper()
	printed, err := printedRows(db, "SELECT id, v FROM u.t")
	if err != nil {
		t.Fatal(err)
	}
	values := map[int64]int64{}
	for line := range strings.Lines(printed) {
		var id, v int64
		if _, err := fmt.Sscanf(line, "[%d %d]", &id, &v); err != nil {
			t.Fatalf("row %q: %v", line, err)
		}
		values[v] = id
	}
	return values
}

// uniqueTable fills u.t with some slices of rows, part of them in a cold file.
func uniqueTable(t *testing.T, db *testkit.Database, rows int) {
	t.Helper()
	mustRun(t, db, root, "CREATE NAMESPACE u; CREATE TABLE u.t (id INT PRIMARY KEY, v INT) WITH (TYPE='SHARED')")
	for at := 0; at < rows; at += 2500 {
		mustRun(t, db, root, fmt.Sprintf("INSERT INTO u.t SELECT g, g FROM generate_series(%d, %d) AS s(g)", at, at+2499))
		if at == 0 {
			if _, err := db.Flush(t.Context(), "u", "t"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// cuts takes a power cut before each write and each sync of the store's log,
// while it is told to.
type cuts struct {
	mem    *disk.Mem
	on     atomic.Bool
	mu     sync.Mutex
	clones []*disk.Mem
}

func (c *cuts) hook(op disk.Op) error {
	if !c.on.Load() || op.Kind != disk.OpSync && op.Kind != disk.OpWrite {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.clones)
	c.clones = append(c.clones, c.mem.CrashClone(uint64(n), []int{0, 50, 100}[n%3]))
	return nil
}

// take returns at most some of the cuts, evenly chosen, and always the last.
func (c *cuts) take(most int) []*disk.Mem {
	c.on.Store(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	every := max(1, (len(c.clones)+most-1)/most)
	var chosen []*disk.Mem
	for i := len(c.clones) - 1; i >= 0; i -= every {
		chosen = append(chosen, c.clones[i])
	}
	return chosen
}

// openCut opens a database whose disk can be cut.
func openCut(t *testing.T) (*testkit.Database, *cuts) {
	t.Helper()
	c := &cuts{mem: disk.NewMem()}
	db, err := testkit.OpenHooked(c.mem, c.hook, testkit.NewClock(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, c
}

// TestUniqueIndexBuildCut cuts the power before every write of a unique index's
// building and validation, with and without a writer beside it: the next start
// has the index, with an entry for each row and no other, and it refuses
// duplicates; or it has neither the index nor an entry of it, and the index can
// be made anew.
func TestUniqueIndexBuildCut(t *testing.T) {
	for _, writers := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d writers", writers), func(t *testing.T) {
			db, c := openCut(t)
			uniqueTable(t, db, 7500)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var all sync.WaitGroup
			c.on.Store(true)
			for w := range writers {
				all.Go(func() {
					for n := w; ctx.Err() == nil; n += writers {
						id := n * 7 % 7500
						sql := fmt.Sprintf("UPDATE u.t SET v = v + 10000 WHERE id = %d AND v < 20000", id)
						if n%3 == 0 {
							sql = fmt.Sprintf("INSERT INTO u.t VALUES (%[1]d, %[1]d)", 100_000+n)
						}
						if _, err := run(db, root, sql); err != nil {
							t.Errorf("%s beside the build: %v", sql, err)
						}
					}
				})
			}
			mustRun(t, db, root, "CREATE UNIQUE INDEX t_v ON u.t (v)")
			clones := c.take(30)
			cancel()
			all.Wait()
			whole := 0
			for i, clone := range clones {
				if reopenUnique(t, i, clone) {
					whole++
				}
			}
			t.Logf("%d of %d cuts, %d with the index", len(clones), len(c.clones), whole)
			if whole == len(clones) || len(clones) < 10 {
				t.Errorf("%d of %d cuts have the index: none came before its end", whole, len(clones))
			}
		})
	}
}

// reopenUnique opens what a cut has left and reports whether it has index t_v.
func reopenUnique(t *testing.T, i int, clone *disk.Mem) (whole bool) {
	t.Helper()
	db, err := testkit.Open(clone, testkit.NewClock(), nil)
	if err != nil {
		t.Fatalf("cut %d: %v", i, err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	rows := valuesOf(t, db)
	_, err = run(db, root, "ALTER INDEX u.t_v RENAME TO t_v2")
	switch {
	case err == nil:
		whole = true
		mustRun(t, db, root, "ALTER INDEX u.t_v2 RENAME TO t_v")
	case !fault.Is(err, fault.ObjectNotFound):
		t.Errorf("cut %d: %v", i, err)
	}
	id := schema.IndexID(1)
	if !whole {
		noEntries(t, db, 3)
		mustRun(t, db, root, "CREATE UNIQUE INDEX t_v ON u.t (v)")
		for id = 2; id > 1 && len(entriesOf(t, db, id)) == 0; id-- {
			continue // the first number may not have been given yet
		}
	}
	if entries := entriesOf(t, db, id); !maps.Equal(entries, rows) {
		t.Errorf("cut %d: the index has %d entries, the table %d rows", i, len(entries), len(rows))
	}
	for v := range rows {
		_, err := run(db, root, fmt.Sprintf("INSERT INTO u.t VALUES (-1, %d)", v))
		if !fault.Is(err, fault.UniqueViolation) && !fault.Is(err, fault.DuplicateKey) {
			t.Errorf("cut %d: a second row with %d: %v", i, v, err)
		}
		break
	}
	return whole
}

// TestUniqueIndexBuildRefusedCut cuts the power while a unique index is built
// over rows that share a value, which the last slice shows: no start has it.
func TestUniqueIndexBuildRefusedCut(t *testing.T) {
	db, c := openCut(t)
	uniqueTable(t, db, 7500)
	mustRun(t, db, root, "INSERT INTO u.t VALUES (9000, 3)")
	refused := func(db *testkit.Database) {
		t.Helper()
		if _, err := run(db, root, "CREATE UNIQUE INDEX t_v ON u.t (v)"); !fault.Is(err, fault.UniqueViolation) && !fault.Is(err, fault.DuplicateKey) {
			t.Errorf("an index over duplicates: %v", err)
		}
		noEntries(t, db, 3)
	}
	c.on.Store(true)
	refused(db)
	for i, clone := range c.take(20) {
		again, err := testkit.Open(clone, testkit.NewClock(), nil)
		if err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		noEntries(t, again, 3)
		refused(again)
		mustRun(t, again, root, "DELETE FROM u.t WHERE id = 9000; CREATE UNIQUE INDEX t_v ON u.t (v)")
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

// jobOf waits for an index build that is not finished, until it is there or what
// makes it has ended.
func jobOf(db *testkit.Database, ended <-chan error) (id string, err error) {
	for {
		printed, err := printedRows(db, "SELECT job_id FROM system.jobs WHERE job_type = 'index_build' AND finished_at IS NULL")
		if id := strings.Trim(printed, "[]\n"); id != "" || err != nil {
			return id, err
		}
		select {
		case err := <-ended:
			if err == nil {
				err = errors.New("the index was built at once")
			}
			return "", err
		case <-time.After(100 * time.Microsecond):
		}
	}
}

// TestIndexBuildKilledAmongWriters kills the job of a unique index while rows are
// written: the index and its entries are gone, its name is free, and no writer
// notices.
func TestIndexBuildKilledAmongWriters(t *testing.T) {
	db := openDB(t, nil)
	uniqueTable(t, db, 20_000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	var written atomic.Int64
	for w := range 3 {
		all.Go(func() {
			for n := w; ctx.Err() == nil; n += 3 {
				sql := fmt.Sprintf("UPDATE u.t SET v = v + 100000 WHERE id = %d AND v < 1000000", n*7%20_000)
				if n%3 == 0 {
					sql = fmt.Sprintf("INSERT INTO u.t VALUES (%[1]d, %[1]d)", 10_000_000+n)
				}
				if _, err := run(db, root, sql); err != nil {
					t.Errorf("%s beside the build: %v", sql, err)
				}
				written.Add(1)
			}
		})
	}
	killed, tries := 0, 0
	for ; tries < 20 && killed < 4; tries++ {
		ended := make(chan error, 1)
		go func() {
			_, err := run(db, root, "CREATE UNIQUE INDEX t_v ON u.t (v)")
			ended <- err
		}()
		id, err := jobOf(db, ended)
		if err != nil {
			t.Fatal(err)
		}
		before := written.Load()
		_, killing := run(db, root, "KILL JOB '"+id+"'")
		err = <-ended
		if killing == nil {
			killed++
		} else if !fault.Is(killing, fault.InvalidOperation) {
			t.Errorf("KILL JOB: %v", killing)
		}
		if (killing == nil) != fault.Is(err, fault.InvalidOperation) {
			t.Errorf("KILL JOB answers %v, CREATE INDEX %v", killing, err)
		}
		if err == nil {
			mustRun(t, db, root, "DROP INDEX u.t_v")
		}
		noEntries(t, db, schema.IndexID(tries+2))
		for written.Load() == before {
			<-time.After(100 * time.Microsecond) // the writers go on
		}
	}
	t.Logf("%d of %d were killed beside %d writes", killed, tries, written.Load())
	if killed == 0 {
		t.Error("no build was killed")
	}
	cancel()
	all.Wait()
	mustRun(t, db, root, "CREATE UNIQUE INDEX t_v ON u.t (v)")
	if entries, rows := entriesOf(t, db, schema.IndexID(tries+1)), valuesOf(t, db); !maps.Equal(entries, rows) {
		t.Errorf("the index has %d entries, the table %d rows", len(entries), len(rows))
	}
}

// TestIndexBuildKilledUnrun kills the job of an index that nobody waits for any
// more and that no worker has come to: the index is gone all the same.
func TestIndexBuildKilledUnrun(t *testing.T) {
	db := openDB(t, func(o *core.Options) { o.Jobs.Workers = 1 })
	uniqueTable(t, db, 20_000)
	mustRun(t, db, root, "CREATE TABLE u.busy (id INT PRIMARY KEY, v INT) WITH (TYPE='SHARED')")
	for at := 0; at < 60_000; at += 10_000 {
		mustRun(t, db, root, fmt.Sprintf("INSERT INTO u.busy SELECT g, g FROM generate_series(%d, %d) AS s(g)", at, at+9999))
	}
	first := make(chan error, 1)
	go func() {
		_, err := run(db, root, "CREATE UNIQUE INDEX busy_v ON u.busy (v)")
		first <- err
	}()
	busy, err := jobOf(db, first)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := <-first; err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := db.Execute(ctx, root, core.Request{SQL: "CREATE UNIQUE INDEX t_v ON u.t (v)"}); !fault.Is(err, fault.Timeout) {
		t.Skipf("the worker came to it at once: %v", err)
	}
	printed, err := printedRows(db, "SELECT job_id FROM system.jobs WHERE job_type = 'index_build' AND started_at IS NULL AND job_id <> '"+busy+"'")
	if id := strings.Trim(printed, "[]\n"); id == "" || err != nil {
		t.Skipf("the worker came to it: %v", err)
	} else if _, err := run(db, root, "KILL JOB '"+id+"'"); err != nil && !fault.Is(err, fault.InvalidOperation) {
		t.Fatal(err)
	} else if err == nil {
		if m := mustRun(t, db, root, "DROP INDEX IF EXISTS u.t_v"); strings.Contains(m[0], "dropped") {
			t.Errorf("the index is there after its job was killed: %s", m[0])
		}
	}
	mustRun(t, db, root, "DROP INDEX IF EXISTS u.t_v; CREATE UNIQUE INDEX t_v ON u.t (v)")
}
