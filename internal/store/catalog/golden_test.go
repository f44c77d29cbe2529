package catalog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/internal/engine"
)

// TestGoldenBytes pins a key and a value of each system table, with a value in
// every field that is not left out when empty: a change that shows here needs a
// new version, and docs/format/catalog.md.
func TestGoldenBytes(t *testing.T) {
	d := open(t, disk.NewMem())
	defer func() { d.close() }()
	d.must(func(e *catalog.Edit) error {
		return e.InsertNamespace(schema.Namespace{Name: "app", CreatedAt: 1, UpdatedAt: 2})
	})
	d.must(func(e *catalog.Edit) error {
		return e.InsertStorage(schema.Storage{ID: "local", Name: "Local", Type: "filesystem", BaseDirectory: "/data", CreatedAt: 3})
	})
	d.must(func(e *catalog.Edit) error { return e.InsertTable(tableOf("app", "note", 258)) })
	second := tableOf("app", "note", 258)
	second.Version, second.Comment = 2, "c"
	d.must(func(e *catalog.Edit) error { return e.UpdateTable(second) })
	d.must(func(e *catalog.Edit) error {
		return catalog.Users().Insert(e.Reader, e.Batch, schema.UserRecord{ID: "al", Role: schema.RoleDBA, AuthType: schema.AuthPassword, CreatedAt: 4})
	})
	d.must(func(e *catalog.Edit) error {
		return catalog.Jobs().Insert(e.Reader, e.Batch, schema.Job{ID: "FL-1", Type: "flush", Status: schema.JobQueued, NodeID: 1})
	})
	datadriven.RunTest(t, "testdata/golden", func(t *testing.T, _ *datadriven.TestData) string {
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
			fmt.Fprintf(&out, "%q = %q\n", it.Key(), value)
		}
		if err := it.Close(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	})
}
