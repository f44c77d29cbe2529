package catalog_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
)

// data is a store on a disk that survives reopening.
type data struct {
	t     testing.TB
	disk  *disk.Mem
	store *store.Store
	defs  *catalog.Definitions
	at    uint64
}

func open(t testing.TB, d *disk.Mem) *data {
	t.Helper()
	s, err := store.Open(store.Options{FS: d, Dir: "data"})
	if err != nil {
		t.Fatal(err)
	}
	defs, err := catalog.Load(s.Reader())
	if err != nil {
		t.Fatal(err)
	}
	return &data{t: t, disk: d, store: s, defs: defs, at: defs.Version()}
}

func (d *data) close() {
	d.t.Helper()
	if err := d.store.Close(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *data) reopen() *data {
	d.t.Helper()
	d.close()
	return open(d.t, d.disk)
}

// edit makes one change and commits it, unless it is refused.
func (d *data) edit(change func(e *catalog.Edit) error) error {
	d.t.Helper()
	b := d.store.NewBatch()
	defer b.Close()
	e := &catalog.Edit{Reader: d.store.Reader(), Batch: b, Definitions: d.defs, Position: d.at + 1}
	if err := change(e); err != nil {
		if !b.Empty() {
			d.t.Errorf("a refused change has written: %v", err)
		}
		if e.Definitions != d.defs {
			d.t.Errorf("a refused change has made definitions: %v", err)
		}
		return err
	}
	store.SetPosition(b, e.Position)
	if err := b.Commit(false); err != nil {
		d.t.Fatal(err)
	}
	d.defs, d.at = e.Definitions, e.Position
	return nil
}

func (d *data) must(change func(e *catalog.Edit) error) {
	d.t.Helper()
	if err := d.edit(change); err != nil {
		d.t.Fatal(err)
	}
}

// roundTrip is the life of a row of one system table: not there, inserted, twice
// inserted, changed, still there after reopening, deleted, not there.
func roundTrip[T comparable](t *testing.T, rows catalog.Rows[T], name string, first, second T) {
	t.Helper()
	d := open(t, disk.NewMem())
	get := func(want T, exists bool) {
		t.Helper()
		if got, ok, err := rows.Get(d.store.Reader(), name); err != nil || ok != exists || got != want {
			t.Errorf("get %s: %+v, %v, %v; want %+v, %v", name, got, ok, err, want, exists)
		}
	}
	var none T
	insert := func(row T) error {
		return d.edit(func(e *catalog.Edit) error { return rows.Insert(e.Reader, e.Batch, row) })
	}
	update := func(row T) error {
		return d.edit(func(e *catalog.Edit) error { return rows.Update(e.Reader, e.Batch, row) })
	}
	remove := func() error {
		return d.edit(func(e *catalog.Edit) error { return rows.Delete(e.Reader, e.Batch, name) })
	}
	missing := func(err error) {
		t.Helper()
		if code := fault.CodeOf(err); code != fault.ObjectNotFound && code != fault.NamespaceNotFound {
			t.Errorf("%s is missing: %v", name, err)
		}
	}
	get(none, false)
	missing(update(first))
	missing(remove())
	if err := insert(first); err != nil {
		t.Fatal(err)
	}
	get(first, true)
	if err := insert(second); !fault.Is(err, fault.AlreadyExists) {
		t.Errorf("insert %s twice: %v", name, err)
	}
	get(first, true)
	if err := update(second); err != nil {
		t.Fatal(err)
	}
	d = d.reopen()
	defer func() { d.close() }()
	get(second, true)
	if list, err := rows.List(d.store.Reader(), "", 0); err != nil || !slices.Equal(list, []T{second}) {
		t.Errorf("list: %+v, %v", list, err)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	get(none, false)
	missing(remove())
}

// TestUsers, TestStorages, TestJobs and TestNamespaces: one engine, four models.
// Times come back in the unit they were stored in.
func TestUsers(t *testing.T) {
	first := schema.UserRecord{ID: "ali ce", Role: schema.RoleUser, AuthType: schema.AuthPassword, PasswordHash: "$2a$", CreatedAt: 1_700_000_000_123_456}
	second := first
	second.Role, second.LockedUntil, second.FailedLoginAttempts, second.DeletedAt = schema.RoleDBA, 7, 3, 9
	roundTrip(t, catalog.Users(), "ali ce", first, second)
}

func TestStorages(t *testing.T) {
	first := schema.Storage{ID: "s3", Type: "filesystem", BaseDirectory: "/mnt", UserTemplate: "{namespace}/{tableName}/{userId}"}
	second := first
	second.Description, second.UpdatedAt = "far away", 1_700_000_000_123_456
	roundTrip(t, catalog.Storages(), "s3", first, second)
}

func TestJobs(t *testing.T) {
	first := schema.Job{ID: "FL-1", Type: "flush", Status: schema.JobQueued, Parameters: `{"table":"a.b"}`, CreatedAt: 1_700_000_000_123_456}
	second := first
	second.Status, second.FinishedAt, second.Message = schema.JobCompleted, 1_700_000_000_123_457, "Flushed"
	roundTrip(t, catalog.Jobs(), "FL-1", first, second)
}

func TestNamespaces(t *testing.T) {
	first := schema.Namespace{Name: "app", CreatedAt: 5}
	second := first
	second.Options, second.UpdatedAt = `{"k":"v"}`, 6
	roundTrip(t, catalog.Namespaces(), "app", first, second)
}

func TestListGoesByPages(t *testing.T) {
	d := open(t, disk.NewMem())
	defer func() { d.close() }()
	for i := range 25 {
		d.must(func(e *catalog.Edit) error {
			return catalog.Jobs().Insert(e.Reader, e.Batch, schema.Job{ID: fmt.Sprintf("J%02d", i)})
		})
	}
	var all []string
	after := ""
	for {
		page, err := catalog.Jobs().List(d.store.Reader(), after, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, j := range page {
			all = append(all, j.ID)
		}
		after = page[len(page)-1].ID
	}
	if len(all) != 25 || !slices.IsSorted(all) {
		t.Errorf("pages hold %v", all)
	}
}

func tableOf(ns, name string, id schema.TableID) *schema.Table {
	return &schema.Table{ID: id, Namespace: ns, Name: name, Kind: schema.User, Version: 1,
		Columns: []schema.Column{{ID: 1, Name: "id", Type: datum.Type{Kind: datum.BigInt}}}, Key: []schema.ColumnID{1}, NextColumnID: 2}
}

// names prints definitions for comparison.
func names(d *catalog.Definitions) string {
	text := ""
	for n := range d.Namespaces() {
		text += fmt.Sprintf("%s(%d):", n.Name, d.TableCount(n.Name))
		for t := range d.Tables(n.Name) {
			text += fmt.Sprintf(" %s=%d.v%d", t.Name, t.ID, t.Version)
		}
		text += ";"
	}
	for t := range d.AllTables() {
		text += fmt.Sprintf(" %d", t.ID)
	}
	for s := range d.Storages() {
		text += " " + s.ID
	}
	return text
}

// TestDefinitionsFollowEdits compares the definitions after edits with those
// that are loaded, and looks at older ones again.
func TestDefinitionsFollowEdits(t *testing.T) {
	d := open(t, disk.NewMem())
	defer func() { d.close() }()
	d.must(func(e *catalog.Edit) error { return e.InsertNamespace(schema.Namespace{Name: "b"}) })
	d.must(func(e *catalog.Edit) error { return e.InsertNamespace(schema.Namespace{Name: "a"}) })
	d.must(func(e *catalog.Edit) error { return e.InsertStorage(schema.Storage{ID: "local"}) })
	for i, name := range []string{"z", "y", "x"} {
		d.must(func(e *catalog.Edit) error { return e.InsertTable(tableOf("a", name, schema.TableID(i+1))) })
	}
	d.must(func(e *catalog.Edit) error { return e.InsertTable(tableOf("b", "z", 4)) })
	second := tableOf("a", "y", 2)
	second.Version, second.Options.StorageID = 2, "local"
	d.must(func(e *catalog.Edit) error { return e.UpdateTable(second) })
	early := d.defs
	const want = "a(3): x=3.v1 y=2.v2 z=1.v1;b(1): z=4.v1; 1 2 3 4 local"
	if got := names(d.defs); got != want {
		t.Errorf("definitions are %s, want %s", got, want)
	}
	if versions, err := catalog.TableVersions(d.store.Reader(), 2); err != nil || len(versions) != 2 || versions[0].Version != 1 {
		t.Errorf("versions of table 2: %v, %v", versions, err)
	}
	if old, ok, err := catalog.TableVersion(d.store.Reader(), 2, 1); err != nil || !ok || old.Options.StorageID != "" {
		t.Errorf("version 1 of table 2: %+v, %v, %v", old, ok, err)
	}
	f := func(code fault.Code, change func(e *catalog.Edit) error) {
		t.Helper()
		if err := d.edit(change); !fault.Is(err, code) {
			t.Errorf("error %v, want %s", err, code)
		}
	}
	f(fault.InvalidOperation, func(e *catalog.Edit) error { return e.DeleteStorage("local") })
	f(fault.AlreadyExists, func(e *catalog.Edit) error { return e.InsertTable(tableOf("a", "x", 9)) })
	f(fault.NamespaceNotFound, func(e *catalog.Edit) error { return e.InsertTable(tableOf("c", "x", 9)) })
	f(fault.TableNotFound, func(e *catalog.Edit) error { return e.UpdateTable(tableOf("b", "x", 2)) })
	f(fault.AlreadyExists, func(e *catalog.Edit) error { return e.UpdateTable(tableOf("a", "x", 2)) })
	f(fault.TableNotFound, func(e *catalog.Edit) error { _, err := e.DeleteTable(9); return err })
	f(fault.NamespaceNotFound, func(e *catalog.Edit) error { return e.UpdateNamespace(schema.Namespace{Name: "c"}) })
	f(fault.NamespaceNotFound, func(e *catalog.Edit) error { _, err := e.DeleteNamespace("c"); return err })

	d = d.reopen()
	if got := names(d.defs); got != want {
		t.Errorf("loaded definitions are %s, want %s", got, want)
	}
	d.must(func(e *catalog.Edit) error { _, err := e.DeleteTable(3); return err })
	d.must(func(e *catalog.Edit) error {
		dropped, err := e.DeleteNamespace("a")
		if len(dropped) != 2 || dropped[0].Name != "y" {
			t.Errorf("dropped %v", dropped)
		}
		return err
	})
	d.must(func(e *catalog.Edit) error { return e.DeleteStorage("local") })
	d.must(func(e *catalog.Edit) error { return e.UpdateNamespace(schema.Namespace{Name: "b", Options: "{}"}) })
	if got := names(d.defs); got != "b(1): z=4.v1; 4" {
		t.Errorf("definitions are %s", got)
	}
	if n, ok := d.defs.Namespace("b"); !ok || n.Options != "{}" {
		t.Errorf("namespace b is %+v", n)
	}
	if versions, err := catalog.TableVersions(d.store.Reader(), 2); err != nil || len(versions) > 0 {
		t.Errorf("versions of a dropped table: %v, %v", versions, err)
	}
	if got := names(early); got != want {
		t.Errorf("older definitions have become %s", got)
	}
	d = d.reopen()
	if got := names(d.defs); got != "b(1): z=4.v1; 4" || d.defs.Version() != d.at {
		t.Errorf("loaded definitions are %s at %d", got, d.defs.Version())
	}
}

// TestCreateTableCopiesLittle bounds what one more table costs among 10,000.
func TestCreateTableCopiesLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 10,000 tables")
	}
	d := open(t, disk.NewMem())
	defer func() { d.close() }()
	d.must(func(e *catalog.Edit) error { return e.InsertNamespace(schema.Namespace{Name: "a"}) })
	const tables = 10_000
	d.must(func(e *catalog.Edit) error {
		for i := range tables {
			if err := e.InsertTable(tableOf("a", fmt.Sprint("t", i), schema.TableID(i+1))); err != nil {
				return err
			}
		}
		return nil
	})
	next := schema.TableID(tables)
	allocs := testing.AllocsPerRun(50, func() {
		next++
		d.must(func(e *catalog.Edit) error { return e.InsertTable(tableOf("a", fmt.Sprint("t", next), next)) })
	})
	if allocs > 300 {
		t.Errorf("one more table costs %v allocations", allocs)
	}
	if _, ok := d.defs.Table("a", "t7777"); !ok || d.defs.TableCount("a") != int(next) {
		t.Errorf("%d tables are there", d.defs.TableCount("a"))
	}
}

// TestCursors asks which positions can be resumed.
func TestCursors(t *testing.T) {
	d := open(t, disk.NewMem())
	defer d.close()
	var views catalog.Views
	v := views.Open(d.store.Snapshot(), d.defs, 1000, catalog.History{Floor: 100, Lost: []store.Range{{From: 200, To: 300}, {From: 400, To: 500}}})
	f := func(from uint64, ok bool) {
		t.Helper()
		if err := v.CheckCursor(from); (err == nil) != ok || err != nil && !fault.Is(err, fault.CursorExpired) {
			t.Errorf("position %d: %v", from, err)
		}
	}
	f(0, false)
	f(99, false)
	f(100, true)
	f(200, true)
	f(201, false)
	f(300, false)
	f(301, true)
	f(450, false)
	f(1000, true)
	f(1001, false)
	v.Release()
	if v.TryRetain() || views.Count() != 0 {
		t.Error("a released view can be retained")
	}
}

// TestOldestView opens and ends views in any order.
func TestOldestView(t *testing.T) {
	d := open(t, disk.NewMem())
	defer d.close()
	var views catalog.Views
	if _, ok := views.Oldest(); ok {
		t.Error("there is an oldest of no views")
	}
	var held []*catalog.View
	for position := range uint64(4) {
		held = append(held, views.Open(d.store.Snapshot(), d.defs, position, catalog.History{}))
	}
	f := func(end int, want uint64) {
		t.Helper()
		held[end].Release()
		if got, ok := views.Oldest(); !ok || got != want {
			t.Errorf("the oldest view is at %d, want %d", got, want)
		}
	}
	f(1, 0)
	held[0].Retain()
	f(0, 0)
	f(0, 2)
	f(2, 3)
	held[3].Release()
	if views.Count() != 0 {
		t.Errorf("%d views are left", views.Count())
	}
}

// TestUserCacheKeepsNoOldRow forgets a user while another goroutine reads him
// from the view before.
func TestUserCacheKeepsNoOldRow(t *testing.T) {
	d := open(t, disk.NewMem())
	defer d.close()
	var views catalog.Views
	put := func(u schema.UserRecord) *catalog.View {
		d.must(func(e *catalog.Edit) error {
			if _, ok, err := catalog.Users().Get(e.Reader, string(u.ID)); ok || err != nil {
				return catalog.Users().Update(e.Reader, e.Batch, u)
			}
			return catalog.Users().Insert(e.Reader, e.Batch, u)
		})
		return views.Open(d.store.Snapshot(), d.defs, d.at, catalog.History{})
	}
	cache := catalog.NewUserCache(8)
	current := put(schema.UserRecord{ID: "al", UpdatedAt: 1})
	_, _, err := cache.Get("al", func() *catalog.View {
		old := current.Retain()
		current.Release()
		current = put(schema.UserRecord{ID: "al", UpdatedAt: 2})
		cache.Forget("al") // the change becomes current after the old view was taken
		return old
	})
	if err != nil {
		t.Fatal(err)
	}
	user, ok, err := cache.Get("al", current.Retain)
	if err != nil || !ok || user.UpdatedAt != 2 {
		t.Errorf("the cache kept %+v, %v, %v", user, ok, err)
	}
	none := func() *catalog.View { t.Error("a cached user was read again"); return current.Retain() }
	if user, _, _ := cache.Get("al", none); user.UpdatedAt != 2 {
		t.Errorf("cached: %+v", user)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 200 {
				if i%10 == 0 {
					cache.Forget("al")
				}
				if user, ok, err := cache.Get("al", current.Retain); err != nil || !ok || user.UpdatedAt != 2 {
					t.Errorf("read %+v, %v, %v", user, ok, err)
				}
			}
		})
	}
	all.Wait()
	current.Release()
}
