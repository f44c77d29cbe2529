package catalog

import (
	"reflect"
	"testing"

	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// readsBack fails unless a row that bytes were read as is read again from what
// is written of it.
func readsBack[T any](t *testing.T, value []byte) {
	t.Helper()
	var row, again T
	if decode(value, &row) != nil {
		return
	}
	text, err := encode(row)
	if err != nil {
		t.Fatalf("%q is %+v, which cannot be written: %v", value, row, err)
	}
	if err := decode(text, &again); err != nil {
		t.Fatalf("%q is written as %q: %v", value, text, err)
	}
	if third, err := encode(again); err != nil || string(third) != string(text) {
		t.Fatalf("%q is written as %q and then %q, %v", value, text, third, err)
	}
}

// FuzzRows reads any bytes as a row of each system table, by themselves and as
// what a server finds at its start.
func FuzzRows(f *testing.F) {
	s, err := store.Open(store.Options{FS: disk.NewMem(), Dir: "data", MemTableBytes: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	for _, row := range []any{
		schema.Namespace{Name: "app", Options: `{"a":1}`}, schema.UserRecord{ID: "u", Role: schema.RoleDBA, AuthType: schema.AuthPassword},
		schema.Storage{ID: "local", Type: "filesystem"}, schema.Job{ID: "FL-1", Type: "flush", Status: schema.JobQueued},
		schema.Table{ID: 7, Namespace: "app", Name: "t", Version: 1, Columns: []schema.Column{{ID: 1, Name: "id"}}, Key: []schema.ColumnID{1}},
	} {
		text, err := encode(row)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(text[1:])
	}
	f.Add([]byte("\x01{\"id\":4294967296}"))
	f.Add([]byte("\x01{\"name\":\"\\ud800\",\"columns\":[null,{}],\"key\":null}"))
	f.Fuzz(func(t *testing.T, value []byte) {
		readsBack[schema.Namespace](t, value)
		readsBack[schema.UserRecord](t, value)
		readsBack[schema.Storage](t, value)
		readsBack[schema.Job](t, value)
		readsBack[schema.Table](t, value)
		b := s.NewBatch()
		defer b.Close()
		for _, tag := range []byte{tagNamespace, tagStorage, tagTable, tagUser, tagJob} {
			engine.Set(b.Engine(), []byte{engine.KeyspaceCat, tag, 'x'}, value)
		}
		// The key of the table is that of none, so that it cannot be loaded.
		if d, err := Load(b.Reader()); err == nil {
			t.Fatalf("%q is loaded as %+v", value, d)
		}
		if users, err := Users().List(b.Reader(), "", 0); err == nil && (len(users) != 1 || users[0].ID != "x") {
			t.Fatalf("%q is listed as %+v", value, users)
		}
	})
}

// FuzzDefinitions: tables of any fields are loaded as they were put, and found
// by their names and numbers.
func FuzzDefinitions(f *testing.F) {
	s, err := store.Open(store.Options{FS: disk.NewMem(), Dir: "data", MemTableBytes: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	f.Add("app", "t", uint32(1), uint32(1), "u")
	f.Add("", "\x00", uint32(1<<31), uint32(0), "\xff")
	f.Fuzz(func(t *testing.T, namespace, name string, id, version uint32, other string) {
		b := s.NewBatch()
		defer b.Close()
		table := &schema.Table{ID: schema.TableID(id), Namespace: namespace, Name: name, Version: version}
		want, err := encode(table)
		if err != nil {
			t.Fatal(err)
		}
		if err := decode(want, table); err != nil { // what JSON leaves of the names
			t.Fatal(err)
		}
		if err := Namespaces().put(b, schema.Namespace{Name: table.Namespace}); err != nil {
			t.Fatal(err)
		}
		engine.Set(b.Engine(), tableKey(table.ID, table.Version), want)
		d, err := Load(b.Reader())
		if (err == nil) != (table.Namespace != "") { // such a namespace cannot be created
			t.Fatalf("%+v: %v", table, err)
		}
		if err != nil {
			return
		}
		got, ok := d.Table(table.Namespace, table.Name)
		if !ok || !reflect.DeepEqual(got, table) {
			t.Fatalf("%+v is loaded as %+v", table, got)
		}
		if byID, ok := d.TableByID(table.ID); !ok || byID != got {
			t.Fatalf("%+v is not found by its number", table)
		}
		if _, ok := d.Table(other, table.Name); ok && other != table.Namespace {
			t.Fatalf("%+v is found in %q", table, other)
		}
	})
}
