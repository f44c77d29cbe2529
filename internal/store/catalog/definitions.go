package catalog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// Definitions are the namespaces, tables and storages of one moment. They are
// immutable and may be shared freely; so are the values they return.
type Definitions struct {
	version    uint64
	namespaces tree[string, namespace]
	tables     tree[schema.TableID, *schema.Table]
	storages   tree[string, *schema.Storage]
}

// namespace is a namespace with its views and the newest versions of its tables.
type namespace struct {
	definition *schema.Namespace
	tables     tree[string, *schema.Table]
	views      tree[string, *schema.View]
	sequences  tree[string, *schema.Sequence]
	indexes    tree[string, schema.TableID] // by the name of the index
}

// Load reads the definitions of a state; their version is the position of that
// state.
func Load(r store.Reader) (*Definitions, error) {
	position, err := store.Position(r)
	if err != nil {
		return nil, err
	}
	d := &Definitions{version: position}
	if err := each(Namespaces(), r, func(n schema.Namespace) {
		d.namespaces = d.namespaces.with(n.Name, namespace{definition: &n})
	}); err != nil {
		return nil, err
	}
	if err := each(Storages(), r, func(s schema.Storage) {
		d.storages = d.storages.with(s.ID, &s)
	}); err != nil {
		return nil, err
	}
	if err := each(Sequences(), r, func(s schema.Sequence) { d.putSequence(&s) }); err != nil {
		return nil, err
	}
	if err := each(StoredViews(), r, func(v schema.View) { d.putView(&v) }); err != nil {
		return nil, err
	}
	return d, d.loadTables(r)
}

// each calls use for every row of a system table.
func each[T any](rows Rows[T], r store.Reader, use func(T)) error {
	for after := ""; ; {
		page, err := rows.List(r, after, 0)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, row := range page {
			use(row)
		}
		after = rows.name(page[len(page)-1])
	}
}

// loadTables reads the newest version of every table. It walks backwards, so
// that the first key it meets of a table is the newest.
func (d *Definitions) loadTables(r store.Reader) error {
	it, err := engine.NewIter(r, []byte{engine.KeyspaceCat, tagTable}, []byte{engine.KeyspaceCat, tagTable + 1})
	if err != nil {
		return err
	}
	for ok := it.Last(); ok; {
		var t schema.Table
		value, err := it.Value()
		if err == nil {
			err = decode(value, &t)
		}
		if err == nil && !bytes.Equal(it.Key(), tableKey(t.ID, t.Version)) {
			err = fmt.Errorf("the value is that of table %d", t.ID)
		}
		if err != nil {
			_ = it.Close() // the first error is the one to report
			return fmt.Errorf("read definition %x: %w", it.Key(), err)
		}
		d.put(&t)
		ok = it.SeekLT(tablePrefix(t.ID))
	}
	return it.Close()
}

// put sets the newest version of a table in a value that is not shared yet.
func (d *Definitions) put(t *schema.Table) {
	old, _ := d.tables.get(t.ID)
	d.tables = d.tables.with(t.ID, t)
	if n, ok := d.namespaces.get(t.Namespace); ok {
		n.tables = n.tables.with(t.Name, t)
		n.forgetIndexes(old)
		for name := range t.IndexNames {
			n.indexes = n.indexes.with(name, t.ID)
		}
		d.namespaces = d.namespaces.with(t.Namespace, n)
	}
}

// remove forgets a table in a value that is not shared yet.
func (d *Definitions) remove(t *schema.Table) {
	d.tables = d.tables.without(t.ID)
	if n, ok := d.namespaces.get(t.Namespace); ok {
		n.tables = n.tables.without(t.Name)
		n.forgetIndexes(t)
		d.namespaces = d.namespaces.with(t.Namespace, n)
	}
}

// forgetIndexes removes the names of the indexes of a table, which may be nil.
func (n *namespace) forgetIndexes(t *schema.Table) {
	if t == nil {
		return
	}
	for name := range t.IndexNames {
		n.indexes = n.indexes.without(name)
	}
}

// Index returns the table of a namespace that has an index of a name, and where
// it stands among those with entries; -1 is an index of vectors.
func (d *Definitions) Index(ns, name string) (*schema.Table, int, bool) {
	n, _ := d.namespaces.get(ns)
	id, ok := n.indexes.get(name)
	if !ok {
		return nil, 0, false
	}
	t, _ := d.tables.get(id)
	return t, t.Index(name), true
}

// Relation tells what has a name in a namespace: "Table", "View", "Sequence" or
// "Index", which share their names, or "".
func (d *Definitions) Relation(ns, name string) string {
	n, _ := d.namespaces.get(ns)
	if _, ok := n.tables.get(name); ok {
		return "Table"
	}
	if _, ok := n.views.get(name); ok {
		return "View"
	}
	if _, ok := n.sequences.get(name); ok {
		return "Sequence"
	}
	if _, ok := n.indexes.get(name); ok {
		return "Index"
	}
	return ""
}

// Free refuses a name that a table, view, sequence or index of the namespace
// has.
func (d *Definitions) Free(ns, name string) error {
	if _, ok := d.Namespace(ns); !ok {
		return fault.New(fault.NamespaceNotFound, "Namespace '%s' does not exist. Create it first with CREATE NAMESPACE %s", ns, ns)
	}
	if kind := d.Relation(ns, name); kind != "" {
		return fault.New(fault.AlreadyExists, "%s %s.%s already exists", kind, ns, name)
	}
	return nil
}

// Version is the position of the last commit that changed a definition; after
// a restart it may be a later one.
func (d *Definitions) Version() uint64 { return d.version }

// Table returns the newest version of a table by its folded name.
func (d *Definitions) Table(ns, name string) (*schema.Table, bool) {
	n, ok := d.namespaces.get(ns)
	if !ok {
		return nil, false
	}
	return n.tables.get(name)
}

// TableByID returns the newest version of a table by its number.
func (d *Definitions) TableByID(id schema.TableID) (*schema.Table, bool) { return d.tables.get(id) }

// Namespace returns a namespace.
func (d *Definitions) Namespace(name string) (*schema.Namespace, bool) {
	n, ok := d.namespaces.get(name)
	return n.definition, ok
}

// Namespaces yields all namespaces by name.
func (d *Definitions) Namespaces() iter.Seq[*schema.Namespace] {
	return func(yield func(*schema.Namespace) bool) {
		for _, n := range d.namespaces.all() {
			if !yield(n.definition) {
				return
			}
		}
	}
}

// Tables yields the tables of a namespace by name.
func (d *Definitions) Tables(ns string) iter.Seq[*schema.Table] {
	return func(yield func(*schema.Table) bool) {
		n, _ := d.namespaces.get(ns)
		for _, t := range n.tables.all() {
			if !yield(t) {
				return
			}
		}
	}
}

// TableCount returns how many tables a namespace has.
func (d *Definitions) TableCount(ns string) int {
	n, _ := d.namespaces.get(ns)
	return n.tables.size
}

// AllTables yields the tables of all namespaces by number.
func (d *Definitions) AllTables() iter.Seq[*schema.Table] {
	return func(yield func(*schema.Table) bool) {
		for _, t := range d.tables.all() {
			if !yield(t) {
				return
			}
		}
	}
}

// Storage returns a storage.
func (d *Definitions) Storage(id string) (*schema.Storage, bool) { return d.storages.get(id) }

// Storages yields all storages by id.
func (d *Definitions) Storages() iter.Seq[*schema.Storage] {
	return func(yield func(*schema.Storage) bool) {
		for _, s := range d.storages.all() {
			if !yield(s) {
				return
			}
		}
	}
}

// StorageUsers returns how many tables keep their files on a storage.
func (d *Definitions) StorageUsers(id string) int {
	users := 0
	for _, t := range d.tables.all() {
		if t.Options.StorageID == id {
			users++
		}
	}
	return users
}

// TableVersions returns every version of a table's definition, oldest first.
func TableVersions(r store.Reader, id schema.TableID) ([]*schema.Table, error) {
	prefix := tablePrefix(id)
	it, err := engine.NewIter(r, prefix, engine.PrefixEnd(prefix))
	if err != nil {
		return nil, err
	}
	var versions []*schema.Table
	for ok := it.First(); ok; ok = it.Next() {
		t := new(schema.Table)
		value, err := it.Value()
		if err == nil {
			err = decode(value, t)
		}
		if err != nil {
			_ = it.Close() // the first error is the one to report
			return nil, fmt.Errorf("read definition %x: %w", it.Key(), err)
		}
		versions = append(versions, t)
	}
	return versions, it.Close()
}

// TableVersion returns one version of a table's definition.
func TableVersion(r store.Reader, id schema.TableID, version uint32) (*schema.Table, bool, error) {
	value, ok, err := engine.Get(r, tableKey(id, version))
	if err != nil || !ok {
		return nil, false, err
	}
	t := new(schema.Table)
	if err := decode(value, t); err != nil {
		return nil, false, fmt.Errorf("read version %d of table %d: %w", version, id, err)
	}
	return t, true, nil
}

func tablePrefix(id schema.TableID) []byte {
	return binary.BigEndian.AppendUint32([]byte{engine.KeyspaceCat, tagTable}, uint32(id))
}

func tableKey(id schema.TableID, version uint32) []byte {
	return binary.BigEndian.AppendUint32(tablePrefix(id), version)
}
