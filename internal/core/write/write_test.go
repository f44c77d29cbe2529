package write_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/core/write"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/store"
	"kalamdb/internal/testkit"
)

// bench is a Writer over a store on the disk in memory, with one USER table
// app.note (id, body NOT NULL, n).
type bench struct {
	t         *testing.T
	writer    *write.Writer
	committer *apply.Local
	relations *relation.Relations
	table     *schema.Table
	clock     *testkit.Clock
	ids       atomic.Int64
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, clock: testkit.NewClock()}
	fs := disk.NewMem()
	s, err := store.Open(store.Options{FS: fs, Dir: "/data", Now: b.clock.Now, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	local, err := apply.Open(apply.Options{Store: s, Now: b.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	tier := cold.New(cold.Options{FS: fs, DataDir: "/data"})
	b.relations = relation.New(relation.Options{Cold: tier, View: local.View, Applied: local.Applied, Now: b.clock.Now})
	b.writer = write.New(write.Options{Relations: b.relations, Committer: local, MaxRows: 1000, Durability: schema.Sync})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- local.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		local.Close()
		if err := tier.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	b.committer = local
	b.commit(&command.PutNamespace{Create: true, Namespace: schema.Namespace{Name: "app"}})
	b.commit(&command.PutStorage{Create: true, Storage: tier.LocalStorage(0)})
	big, text := datum.Type{Kind: datum.BigInt}, datum.Type{Kind: datum.Text}
	b.table = b.commit(&command.CreateTable{Table: schema.Table{
		Namespace: "app", Name: "note", Kind: schema.User, Version: 1, Key: []schema.ColumnID{1}, NextColumnID: 6,
		Options: schema.Options{StorageID: schema.LocalStorage},
		Columns: []schema.Column{
			{ID: 1, Name: "id", Type: big, NotNull: true, Default: &schema.Default{Function: schema.DefaultSnowflake}},
			{ID: 2, Name: "body", Type: text, NotNull: true},
			{ID: 3, Name: "n", Type: datum.Type{Kind: datum.Int}},
			{ID: 4, Name: schema.SeqName, Type: big, NotNull: true, System: schema.SeqColumn},
			{ID: 5, Name: schema.DeletedName, Type: datum.Type{Kind: datum.Bool}, NotNull: true, System: schema.DeletedColumn},
		},
	}}).Table
	return b
}

// commit applies a change of definitions.
func (b *bench) commit(body command.Body) command.Receipt {
	b.t.Helper()
	receipt, err := b.committer.Commit(context.Background(), &command.Command{Time: b.clock.Now().UnixMicro(), Body: body})
	if err != nil {
		b.t.Fatal(err)
	}
	return receipt
}

// alter makes a definition the table's next version.
func (b *bench) alter(next *schema.Table) {
	b.t.Helper()
	next.Version++
	b.table = b.commit(&command.AlterTable{Table: *next, FromVersion: next.Version - 1}).Table
}

// position is that of the last commit.
func (b *bench) position() uint64 { return b.committer.Position() }

// Table lets b resolve the names of statements.
func (b *bench) Table(parse.Name) (*schema.Table, error) { return b.table, nil }

// View finds none.
func (b *bench) View(parse.Name) (*schema.View, bool) { return nil, false }

func (b *bench) env(user string) *exec.Env {
	return &exec.Env{Now: b.clock.Now().UnixMicro(), User: schema.UserID(user), NextID: func() int64 { return b.ids.Add(1) }}
}

func target(user string) write.Target {
	return write.Target{Scope: schema.UserScope(schema.UserID(user))}
}

// insert inserts JSON objects for a user.
func (b *bench) insert(user string, objects ...string) (int64, error) {
	rows := make([]json.RawMessage, len(objects))
	for i, o := range objects {
		rows[i] = json.RawMessage(o)
	}
	return b.writer.InsertObjects(context.Background(), b.table, rows, target(user), b.env(user))
}

// exec runs an UPDATE or a DELETE for a user.
func (b *bench) exec(user, sql string) (int64, error) {
	b.t.Helper()
	return b.execIn(context.Background(), user, sql)
}

func (b *bench) execIn(ctx context.Context, user, sql string) (int64, error) {
	b.t.Helper()
	stmt, err := parse.Parse(sql)
	if err != nil {
		b.t.Fatal(err)
	}
	switch stmt := stmt.(type) {
	case *parse.Update:
		p, err := plan.BindUpdate(stmt, b, plan.Options{})
		if err != nil {
			return 0, err
		}
		s, err := write.NewUpdate(p)
		if err != nil {
			return 0, err
		}
		out, err := b.writer.Update(ctx, s, target(user), b.env(user))
		return out.Count, err
	case *parse.Delete:
		p, err := plan.BindDelete(stmt, b, plan.Options{})
		if err != nil {
			return 0, err
		}
		s, err := write.NewDelete(p)
		if err != nil {
			return 0, err
		}
		out, err := b.writer.Delete(ctx, s, target(user), b.env(user))
		return out.Count, err
	}
	b.t.Fatalf("%s is neither UPDATE nor DELETE", sql)
	return 0, nil
}

// rows prints a user's rows by key, deleted ones with a cross in front; with
// seqs only their versions.
func (b *bench) rows(user string, seqs bool) string {
	b.t.Helper()
	var out []string
	for _, r := range b.cells(user) {
		line := strings.Join(r[:3], " ")
		if r[4] == "true" {
			line = "×" + line
		}
		if seqs {
			line = r[3]
		}
		out = append(out, line)
	}
	return strings.Join(out, "; ")
}

// cells are the texts of a user's rows by key, deleted ones too.
func (b *bench) cells(user string) [][]string {
	b.t.Helper()
	view := b.relations.View()
	defer view.Release()
	tbl, err := view.Open(b.table, schema.UserScope(schema.UserID(user)), relation.Caller{})
	if err != nil {
		b.t.Fatal(err)
	}
	scan, err := tbl.Scan(context.Background(), source.Request{Order: source.ByKey, Deleted: true})
	if err != nil {
		b.t.Fatal(err)
	}
	defer scan.Close()
	var out [][]string
	for {
		batch, err := scan.Next(context.Background())
		if err != nil {
			b.t.Fatal(err)
		}
		if batch == nil {
			return out
		}
		for _, r := range batch.Rows {
			texts := make([]string, len(r))
			for i, v := range r {
				texts[i] = v.String()
			}
			out = append(out, texts)
		}
	}
}

func (b *bench) want(user, want string) {
	b.t.Helper()
	if got := b.rows(user, false); got != want {
		b.t.Errorf("rows of %s are %q, want %q", user, got, want)
	}
}

// counted checks how many rows a statement says it has changed.
func (b *bench) counted(n int64, err error) func(want int64) {
	return func(want int64) {
		b.t.Helper()
		if err != nil || n != want {
			b.t.Errorf("%d rows, %v; want %d", n, err, want)
		}
	}
}

// TestInsertRow: one row that was inserted is read back by its user.
func TestInsertRow(t *testing.T) {
	b := newBench(t)
	b.counted(b.insert("alice", `{"id": 7, "body": "tea", "n": 3}`))(1)
	b.want("alice", "7 tea 3")
}

// TestInsertBatch: all rows of a batch are there, each with a key of its own; a
// batch with one bad row leaves none.
func TestInsertBatch(t *testing.T) {
	b := newBench(t)
	b.counted(b.insert("alice", `{"body": "a"}`, `{"body": "b"}`, `{"BODY": "c", "n": null}`))(3)
	b.want("alice", "1 a NULL; 2 b NULL; 3 c NULL")
	if _, err := b.insert("alice", `{"body": "d"}`, `{"n": 1}`); !fault.Is(err, fault.NotNull) {
		t.Errorf("a row without body: %v", err)
	}
	if _, err := b.insert("alice", `{"id": 50, "body": "d"}`, `{"id": 50, "body": "e"}`); !fault.Is(err, fault.DuplicateKey) {
		t.Errorf("one key twice: %v", err)
	}
	if _, err := b.insert("alice", `{"id": 1, "body": "again"}`); !fault.Is(err, fault.DuplicateKey) {
		t.Errorf("a key that exists: %v", err)
	}
	b.want("alice", "1 a NULL; 2 b NULL; 3 c NULL")
}

// TestDataIsolation: two users write the same key of one table and see and
// change each his own.
func TestDataIsolation(t *testing.T) {
	b := newBench(t)
	b.counted(b.insert("alice", `{"id": 1, "body": "hers"}`))(1)
	b.counted(b.insert("bob", `{"id": 1, "body": "his"}`, `{"id": 2, "body": "more"}`))(2)
	b.counted(b.exec("alice", "UPDATE app.note SET n = 5 WHERE id > 0"))(1)
	b.counted(b.exec("alice", "DELETE FROM app.note WHERE id = 2"))(0)
	b.want("alice", "1 hers 5")
	b.want("bob", "1 his NULL; 2 more NULL")
	b.want("carol", "")
}

// TestGenerateRowIDUniqueness: generated keys never repeat, however many write
// at one time.
func TestGenerateRowIDUniqueness(t *testing.T) {
	b := newBench(t)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 50 {
				if _, err := b.insert("alice", `{"body": "x"}`, `{"body": "y"}`); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if got := len(strings.Split(b.rows("alice", false), "; ")); got != 400 {
		t.Errorf("%d rows, want 400", got)
	}
	if got := len(strings.Split(b.rows("alice", true), "; ")); got != 400 {
		t.Errorf("%d versions, want 400", got)
	}
}

// TestInsertNonObjectFails: a row is a JSON object of columns that users write,
// and nothing else.
func TestInsertNonObjectFails(t *testing.T) {
	b := newBench(t)
	f := func(text string, want fault.Code) {
		t.Helper()
		if _, err := b.insert("alice", `{"id": 9, "body": "fine"}`, text); !fault.Is(err, want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	f(`[1, "a"]`, fault.InvalidInput)
	f(`"text"`, fault.InvalidInput)
	f(`12`, fault.InvalidInput)
	f(`null`, fault.InvalidInput)
	f(`true`, fault.InvalidInput)
	f(``, fault.InvalidInput)
	f(`{"id": 1`, fault.InvalidInput)
	f(`{"nothing": 1}`, fault.ColumnNotFound)
	f(`{"body": "x", "_seq": 1}`, fault.InvalidOperation)
	f(`{"body": "x", "n": "many"}`, fault.InvalidValue)
	b.want("alice", "")
}

// TestUpdateMergesColumns: the columns that are named change, the others stay,
// the version grows, and the system columns and the key cannot be named.
func TestUpdateMergesColumns(t *testing.T) {
	b := newBench(t)
	b.counted(b.insert("alice", `{"id": 1, "body": "tea", "n": 1}`, `{"id": 2, "body": "milk", "n": 1}`))(2)
	before := b.rows("alice", true)
	b.counted(b.exec("alice", "UPDATE app.note SET n = n + 1 WHERE id = 1"))(1)
	b.want("alice", "1 tea 2; 2 milk 1")
	if after := b.rows("alice", true); after <= before {
		t.Errorf("versions went from %s to %s", before, after)
	}
	b.counted(b.exec("alice", "UPDATE app.note SET n = 2 WHERE id = 1"))(0) // nothing changes
	b.counted(b.exec("alice", "UPDATE app.note SET n = 9 WHERE id = 77"))(0)
	b.counted(b.exec("alice", "UPDATE app.note SET n = 7 WHERE body LIKE '%'"))(2)
	b.want("alice", "1 tea 7; 2 milk 7")
	for _, sql := range []string{
		"UPDATE app.note SET _seq = 1 WHERE id = 1", "UPDATE app.note SET _deleted = TRUE WHERE id = 1",
		"UPDATE app.note SET id = 3 WHERE id = 1", "UPDATE app.note SET n = 1",
	} {
		if _, err := b.exec("alice", sql); !fault.Is(err, fault.InvalidOperation) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if _, err := b.exec("alice", "UPDATE app.note SET body = NULL WHERE id = 1"); !fault.Is(err, fault.NotNull) {
		t.Errorf("body = NULL: %v", err)
	}
	b.want("alice", "1 tea 7; 2 milk 7")
}

// TestDeleteKeepsATombstone: a deleted row stays with its values and a newer
// version, a second delete finds nothing, and the key may be used again.
func TestDeleteKeepsATombstone(t *testing.T) {
	b := newBench(t)
	b.counted(b.insert("alice", `{"id": 1, "body": "tea", "n": 1}`, `{"id": 2, "body": "milk"}`))(2)
	before := b.rows("alice", true)
	b.counted(b.exec("alice", "DELETE FROM app.note WHERE id = 1"))(1)
	b.want("alice", "×1 tea 1; 2 milk NULL")
	if after := b.rows("alice", true); after <= before {
		t.Errorf("versions went from %s to %s", before, after)
	}
	b.counted(b.exec("alice", "DELETE FROM app.note WHERE id = 1"))(0)
	b.counted(b.exec("alice", "UPDATE app.note SET n = 2 WHERE id = 1"))(0)
	b.counted(b.insert("alice", `{"id": 1, "body": "again"}`))(1)
	b.want("alice", "1 again NULL; 2 milk NULL")
	b.counted(b.exec("alice", "DELETE FROM app.note WHERE id > 0"))(2)
	b.want("alice", "×1 again NULL; ×2 milk NULL")
}
