package write_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"kalamdb/internal/core/write"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// TestBounds: a statement may write so many rows and bytes and not one more;
// the refusal names the figure and the key that raises it, and nothing is
// written.
func TestBounds(t *testing.T) {
	b := newBench(t)
	b.writer = write.New(write.Options{Relations: b.relations, Committer: b.committer, MaxRows: 3, MaxBytes: 400, Durability: schema.Sync})
	refused := func(key string, n int64, err error) {
		t.Helper()
		if !fault.Is(err, fault.LimitExceeded) || !strings.Contains(err.Error(), key) || n != 0 {
			t.Errorf("%d rows, %v; want LIMIT_EXCEEDED naming %s", n, err, key)
		}
	}
	b.counted(b.insert("alice", `{"body": "a"}`, `{"body": "b"}`, `{"body": "c"}`))(3)
	n, err := b.insert("alice", `{"body": "a"}`, `{"body": "b"}`, `{"body": "c"}`, `{"body": "d"}`)
	refused("commit.max_rows", n, err)
	if !strings.Contains(err.Error(), "3 rows") {
		t.Errorf("%v does not name the figure", err)
	}
	n, err = b.insert("alice", fmt.Sprintf(`{"body": %q}`, strings.Repeat("x", 400)))
	refused("commit.max_bytes", n, err)
	b.want("alice", "1 a NULL; 2 b NULL; 3 c NULL")

	// The rows beyond the bound are counted, up to ten times the bound.
	for rows, want := range map[int]string{4: "would change 4;", 29: "would change 29;"} {
		var objects []string
		for range rows {
			objects = append(objects, `{"body": "z"}`)
		}
		if _, err := b.insert("alice", objects...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d rows: %v, want %q", rows, err, want)
		}
	}

	// An UPDATE counts the rows that it changes, and their old versions' bytes.
	b.counted(b.insert("alice", `{"body": "d"}`))(1)
	n, err = b.exec("alice", "UPDATE app.note SET n = 1 WHERE id > 0")
	refused("commit.max_rows", n, err)
	if !strings.Contains(err.Error(), "would change 4;") {
		t.Errorf("%v does not say how many rows", err)
	}
	b.counted(b.exec("alice", "UPDATE app.note SET n = 1 WHERE id < 3"))(2)
	b.counted(b.exec("alice", "UPDATE app.note SET n = 1 WHERE id < 5 AND id <> 4"))(1) // two are so already
	n, err = b.exec("alice", fmt.Sprintf("UPDATE app.note SET body = '%s' WHERE id < 3", strings.Repeat("y", 150)))
	b.counted(n, err)(2)
	n, err = b.exec("alice", "UPDATE app.note SET n = 2 WHERE id < 3")
	refused("commit.max_bytes", n, err)
	n, err = b.exec("alice", "DELETE FROM app.note WHERE id > 0")
	refused("commit.max_", n, err)
	if got := len(strings.Split(b.rows("alice", false), "; ")); got != 4 || strings.Contains(b.rows("alice", false), "×") {
		t.Errorf("a refused DELETE left %s", b.rows("alice", false))
	}
}

// TestUnchangedRowsStay: an UPDATE that leaves a row as it was counts 0 and
// writes no version, also where another row of the statement changes.
func TestUnchangedRowsStay(t *testing.T) {
	b := newBench(t)
	b.counted(b.insert("alice", `{"id": 1, "body": "a", "n": 1}`, `{"id": 2, "body": "b"}`))(2)
	before, position := b.rows("alice", true), b.position()
	b.counted(b.exec("alice", "UPDATE app.note SET n = 1 WHERE id = 1"))(0)
	b.counted(b.exec("alice", "UPDATE app.note SET n = NULL, body = 'b' WHERE id = 2"))(0)
	b.counted(b.exec("alice", "UPDATE app.note SET n = DEFAULT WHERE id = 2"))(0)
	if after := b.rows("alice", true); after != before || b.position() != position {
		t.Errorf("versions went from %s to %s, position from %d to %d", before, after, position, b.position())
	}
	b.counted(b.exec("alice", "UPDATE app.note SET n = 1 WHERE id > 0"))(1)
	was, is := strings.Split(before, "; "), strings.Split(b.rows("alice", true), "; ")
	if is[0] != was[0] || is[1] == was[1] {
		t.Errorf("versions went from %q to %q", was, is)
	}
}

// TestNotNullNamesTheRow: of many rows the refusal says which, and none is
// written.
func TestNotNullNamesTheRow(t *testing.T) {
	b := newBench(t)
	f := func(want string, objects ...string) {
		t.Helper()
		_, err := b.insert("alice", objects...)
		if !fault.Is(err, fault.NotNull) || fault.Of(err).Message != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("column 'body' cannot be NULL (row 3)", `{"body": "a"}`, `{"body": "b"}`, `{"n": 1}`)
	f("column 'body' cannot be NULL (row 1)", `{"body": null}`, `{"n": 1}`)
	f("column 'id' cannot be NULL (row 2)", `{"body": "a"}`, `{"id": null, "body": "b"}`)
	b.want("alice", "")
}

// TestTwiceGiven: a column named twice, in whatever case, is refused rather
// than left to chance.
func TestTwiceGiven(t *testing.T) {
	b := newBench(t)
	if _, err := b.insert("alice", `{"body": "a", "Body": "b"}`); !fault.Is(err, fault.InvalidInput) || !strings.Contains(err.Error(), "row 1: column 'body' is given twice") {
		t.Errorf("%v", err)
	}
	b.want("alice", "")
}

// TestDefaults: absent members take their column's default, of the statement
// or of the row; what is given, NULL too, is kept.
func TestDefaults(t *testing.T) {
	b := newBench(t)
	table := b.table.Clone()
	add := func(name string, kind datum.Kind, d *schema.Default) {
		c := schema.Column{ID: table.NextColumnID, Name: name, Type: datum.Type{Kind: kind}, Default: d}
		table.NextColumnID++
		table.Columns = append(table.Columns, c)
	}
	add("stars", datum.Int, &schema.Default{Literal: datum.AppendValue(nil, datum.NewInt(datum.Int, 5))})
	add("owner", datum.Text, &schema.Default{Function: schema.DefaultCurrentUser})
	add("at", datum.Timestamp, &schema.Default{Function: schema.DefaultNow})
	add("micros", datum.BigInt, &schema.Default{Function: schema.DefaultNow})
	add("word", datum.UUID, &schema.Default{Function: schema.DefaultUUIDv7})
	add("tag", datum.Text, &schema.Default{Function: schema.DefaultULID})
	add("number", datum.BigInt, &schema.Default{Function: schema.DefaultSnowflake})
	b.alter(table)
	b.counted(b.insert("alice", `{"id": 1, "body": "a"}`, `{"id": 2, "body": "b"}`, `{"id": 3, "body": "c", "stars": null, "owner": "x", "at": 0, "micros": null, "word": null, "tag": null, "number": -1}`))(3)
	rows := b.cells("alice")
	if got := strings.Join(rows[2][5:], " "); got != "NULL x 1970-01-01 00:00:00 NULL NULL NULL -1" {
		t.Errorf("what was given reads %s", got)
	}
	now := fmt.Sprint(b.clock.Now().UnixMicro())
	for i, row := range rows[:2] {
		if row[5] != "5" || row[6] != "alice" || row[7] != "2026-05-04 10:00:00" || row[8] != now || len(row[9]) != 36 || len(row[10]) != 26 {
			t.Errorf("row %d has the defaults %q", i+1, row[5:])
		}
	}
	for column := 9; column <= 11; column++ {
		if rows[0][column] == rows[1][column] {
			t.Errorf("column %d of both rows is %s", column, rows[0][column])
		}
	}
}

// TestLatches: many writers of a few keys, named in either order, all succeed
// at once; none is refused for what another has written meanwhile.
func TestLatches(t *testing.T) {
	b := newBench(t)
	b.counted(b.insert("alice", `{"id": 1, "body": "a", "n": 0}`, `{"id": 2, "body": "b", "n": 0}`))(2)
	var wait sync.WaitGroup
	for _, keys := range []string{"1, 2", "2, 1", "1", "2"} {
		wait.Go(func() {
			for range 20 {
				if _, err := b.exec("alice", "UPDATE app.note SET n = n + 1 WHERE id IN ("+keys+")"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	b.want("alice", "1 a 60; 2 b 60")
	// What fails lets go too.
	for range 2 {
		if _, err := b.exec("alice", "UPDATE app.note SET n = n / 0 WHERE id = 1"); !fault.Is(err, fault.DivisionByZero) {
			t.Errorf("%v", err)
		}
		if _, err := b.exec("alice", "UPDATE app.note SET body = NULL WHERE id = 1"); !fault.Is(err, fault.NotNull) {
			t.Errorf("%v", err)
		}
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.execIn(cancelled, "alice", "UPDATE app.note SET n = 0 WHERE body <> ''"); err == nil {
		t.Error("a cancelled statement succeeds")
	}
	b.counted(b.exec("alice", "UPDATE app.note SET n = 0 WHERE id IN (1, 2)"))(2)
}
