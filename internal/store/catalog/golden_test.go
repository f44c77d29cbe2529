package catalog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/internal/engine"
)

// TestGoldenBytes pins key and value of a row of every kind: a change that
// shows here needs a new version byte, and docs/format/catalog.md.
func TestGoldenBytes(t *testing.T) {
	d := open(t, disk.NewMem())
	defer func() { d.close() }()
	big, decimal := datum.Type{Kind: datum.BigInt}, datum.Type{Kind: datum.Decimal, Precision: 10, Scale: 2}
	table := &schema.Table{
		ID: 258, Namespace: "app", Name: "note", Kind: schema.User, Version: 3, Key: []schema.ColumnID{1}, NextColumnID: 6,
		Columns: []schema.Column{
			{ID: 1, Name: "id", Type: big, NotNull: true, Default: &schema.Default{Function: schema.DefaultSnowflake, Text: "SNOWFLAKE_ID()"}},
			{ID: 4, Name: "price", Type: decimal, Comment: "net", Missing: datum.AppendValue(nil, datum.NewInt(datum.BigInt, 1)), Since: 2},
			{ID: 5, Name: "kind", Type: datum.Type{Kind: datum.Text}, Default: &schema.Default{Literal: datum.AppendValue(nil, datum.NewText("x")), Text: "'x'"}},
			{ID: 2, Name: schema.SeqName, Type: big, NotNull: true, System: schema.SeqColumn},
			{ID: 3, Name: schema.DeletedName, Type: datum.Type{Kind: datum.Bool}, NotNull: true, System: schema.DeletedColumn},
		},
		Options: schema.Options{
			StorageID: "local", FlushPolicy: schema.FlushPolicy{Rows: 5, IntervalSeconds: 60}, Compression: "zstd",
			DeletedRetentionSeconds: -1, Durability: schema.Relaxed, Location: "{namespace}/x/{userId}",
		},
		Checks:    []schema.Check{{Name: "note_price_check", Text: "price > 0", Columns: []schema.ColumnID{4}, Unproven: true}},
		CreatedAt: 1_000_001, UpdatedAt: 2_000_002, CreatedSeq: 77,
	}
	d.must(func(e *catalog.Edit) error {
		return e.InsertNamespace(schema.Namespace{Name: "app", Options: `{"region":"eu"}`, Description: "all", CreatedAt: 1, UpdatedAt: 2})
	})
	d.must(func(e *catalog.Edit) error {
		return e.InsertStorage(schema.Storage{ID: "local", Name: "Local", Type: "filesystem", SharedTemplate: "{namespace}/{tableName}", UserTemplate: "{namespace}/{tableName}/{userId}", CreatedAt: 3, UpdatedAt: 4})
	})
	d.must(func(e *catalog.Edit) error { return e.InsertTable(table) })
	d.must(func(e *catalog.Edit) error {
		return e.InsertSequence(&schema.Sequence{Namespace: "app", Name: "s", Start: 3, Increment: -1, Min: 1, Max: 9, Cycle: true, Table: 258, Column: 1, CreatedAt: 5})
	})
	d.must(func(e *catalog.Edit) error {
		return e.PutView(&schema.View{Namespace: "app", Name: "v", Text: "SELECT id FROM note", Default: "app", Columns: []string{"n"},
			Reads: []schema.ObjectName{{Namespace: "app", Name: "note"}}, Outputs: []schema.ViewColumn{{Name: "n", Type: big, Comment: "c"}},
			Comment: "one", CreatedAt: 5, UpdatedAt: 6}, false)
	})
	d.must(func(e *catalog.Edit) error {
		return catalog.Users().Insert(e.Reader, e.Batch, schema.UserRecord{ID: "alice", PasswordHash: "$2b$", Role: schema.RoleDBA, Email: "a@b.c",
			AuthType: schema.AuthPassword, StorageMode: "table", FailedLoginAttempts: 2, LockedUntil: 5, LastLoginAt: 6, CreatedAt: 7, UpdatedAt: 8, LastSeen: 9, DeletedAt: 10})
	})
	d.must(func(e *catalog.Edit) error {
		return catalog.Jobs().Insert(e.Reader, e.Batch, schema.Job{ID: "FL-1", Type: "flush", Status: schema.JobCompleted, Parameters: "{}", Message: "done",
			IdempotencyKey: "k", Queue: "flush", Priority: 1, CreatedAt: 11, UpdatedAt: 12, StartedAt: 13, FinishedAt: 14, NodeID: 1})
	})
	d.must(func(e *catalog.Edit) error {
		return catalog.AppendAudit(e.Batch, schema.AuditEntry{Number: 42, Time: 15, Actor: "root", Subject: "alice", Action: "ALTER_USER", Target: "alice",
			Details: "SetRole(Dba)", IP: "127.0.0.1"})
	})
	d.must(func(e *catalog.Edit) error {
		return catalog.PutBlob(e.Batch, schema.Blob{BlobKey: schema.BlobKey{Table: 258, Scope: "alice", ID: 1 << 40}, Ordinal: 5001, Sub: "f0002", Name: "Q1.pdf",
			Stored: "1099511627776-q1.pdf", Size: 9, MIME: "application/pdf", SHA256: "00ff", StorageID: "local", Path: "app/note/alice/f0002/1099511627776-q1.pdf",
			CreatedAt: 16, References: 2, Removed: true})
	})
	datadriven.RunTest(t, "testdata/golden", func(t *testing.T, td *datadriven.TestData) string {
		lower, upper := engine.KeyspaceBounds(engine.KeyspaceCat)
		it, err := engine.NewIter(d.store.Reader(), lower, upper)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for ok := it.First(); ok; ok = it.Next() {
			value, err := it.Value()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%q = %x %s\n", it.Key(), value[:1], value[1:])
		}
		if err := it.Close(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	})
}
