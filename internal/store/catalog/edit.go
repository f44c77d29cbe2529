package catalog

import (
	"fmt"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// Edit is one change of the catalog. Each method judges first and then writes
// the batch and, for namespaces, tables and storages, replaces Definitions.
type Edit struct {
	// Reader is the state before the change.
	Reader store.Reader
	// Batch takes the change.
	Batch *store.Batch
	// Definitions are replaced by those after the change.
	Definitions *Definitions
	// Position is the one of the commit that makes the change.
	Position uint64
}

// copy returns the definitions as the change may fill them.
func (e *Edit) copy() *Definitions {
	d := *e.Definitions
	d.version = e.Position
	return &d
}

// InsertNamespace adds a namespace.
func (e *Edit) InsertNamespace(n schema.Namespace) error {
	if err := Namespaces().Insert(e.Reader, e.Batch, n); err != nil {
		return err
	}
	d := e.copy()
	d.namespaces = d.namespaces.with(n.Name, namespace{definition: &n})
	e.Definitions = d
	return nil
}

// UpdateNamespace replaces the row of a namespace.
func (e *Edit) UpdateNamespace(n schema.Namespace) error {
	if err := Namespaces().Update(e.Reader, e.Batch, n); err != nil {
		return err
	}
	d := e.copy()
	entry, _ := d.namespaces.get(n.Name)
	entry.definition = &n
	d.namespaces = d.namespaces.with(n.Name, entry)
	e.Definitions = d
	return nil
}

// DeleteNamespace removes a namespace, its views, its sequences and the
// definitions of its tables, which it returns by name.
func (e *Edit) DeleteNamespace(name string) ([]*schema.Table, error) {
	if err := Namespaces().Delete(e.Reader, e.Batch, name); err != nil {
		return nil, err
	}
	var dropped []*schema.Table
	d := e.copy()
	for t := range e.Definitions.Tables(name) {
		dropped = append(dropped, t)
		e.deleteVersions(t.ID)
		d.remove(t)
	}
	for v := range e.Definitions.Views(name) {
		if err := StoredViews().Delete(e.Reader, e.Batch, v.QualifiedName()); err != nil {
			return nil, err
		}
	}
	for s := range e.Definitions.Sequences(name) {
		if err := Sequences().Delete(e.Reader, e.Batch, s.QualifiedName()); err != nil {
			return nil, err
		}
		if err := SequenceStates().Delete(e.Reader, e.Batch, s.QualifiedName()); err != nil {
			return nil, err
		}
	}
	d.namespaces = d.namespaces.without(name)
	e.Definitions = d
	return dropped, nil
}

// InsertTable adds a table, whose ID the caller has drawn. No two tables may
// share a folder for their cold files: here, where changes come one by one, two
// proposers cannot both find it free.
func (e *Edit) InsertTable(t *schema.Table) error {
	if err := e.Definitions.Free(t.Namespace, t.Name); err != nil {
		return err
	}
	if other, taken := e.Definitions.overlapping(t); taken && other.Options.Pinned && t.Options.Location == "" {
		t.Options.Location, t.Options.Pinned = ownFolder(t), true
	}
	switch other, taken := e.Definitions.overlapping(t); {
	case taken && t.Options.Location != "":
		return fault.New(fault.InvalidDefinition, "the LOCATION '%s' overlaps that of table %s", t.Options.Location, other.QualifiedName())
	case taken:
		return fault.New(fault.InvalidDefinition, "the folder of table %s overlaps the LOCATION '%s' of table %s; name another LOCATION",
			t.QualifiedName(), other.Options.Location, other.QualifiedName())
	}
	return e.putTable(t)
}

// UpdateTable adds a version to a table, which may have another name in the
// same namespace.
func (e *Edit) UpdateTable(t *schema.Table) error {
	old, ok := e.Definitions.TableByID(t.ID)
	if !ok || old.Namespace != t.Namespace {
		return fault.New(fault.TableNotFound, "%s", t.QualifiedName())
	}
	if old.Name == t.Name {
		return e.putTable(t)
	}
	if err := e.Definitions.Free(t.Namespace, t.Name); err != nil {
		return err
	}
	d := *e.Definitions
	d.remove(old)
	e.Definitions = &d
	return e.putTable(t)
}

func (e *Edit) putTable(t *schema.Table) error {
	if id := t.Options.StorageID; id != "" {
		if _, ok := e.Definitions.Storage(id); !ok {
			return Storages().notFound(id)
		}
	}
	value, err := encode(t)
	if err != nil {
		return fmt.Errorf("encode table %s: %w", t.QualifiedName(), err)
	}
	engine.Set(e.Batch.Engine(), tableKey(t.ID, t.Version), value)
	d := e.copy()
	d.put(t)
	e.Definitions = d
	return nil
}

// DeleteTable removes a table's definition with all versions.
func (e *Edit) DeleteTable(id schema.TableID) (*schema.Table, error) {
	t, ok := e.Definitions.TableByID(id)
	if !ok {
		return nil, fault.New(fault.TableNotFound, "no table has the number %d", id)
	}
	e.deleteVersions(id)
	d := e.copy()
	d.remove(t)
	e.Definitions = d
	return t, nil
}

func (e *Edit) deleteVersions(id schema.TableID) {
	prefix := tablePrefix(id)
	engine.DeleteRange(e.Batch.Engine(), prefix, engine.PrefixEnd(prefix))
}

// InsertStorage adds a storage.
func (e *Edit) InsertStorage(s schema.Storage) error {
	if err := Storages().Insert(e.Reader, e.Batch, s); err != nil {
		return err
	}
	e.setStorage(s)
	return nil
}

// UpdateStorage replaces the row of a storage.
func (e *Edit) UpdateStorage(s schema.Storage) error {
	if err := Storages().Update(e.Reader, e.Batch, s); err != nil {
		return err
	}
	e.setStorage(s)
	return nil
}

func (e *Edit) setStorage(s schema.Storage) {
	d := e.copy()
	d.storages = d.storages.with(s.ID, &s)
	e.Definitions = d
}

// DeleteStorage removes a storage that no table uses.
func (e *Edit) DeleteStorage(id string) error {
	if users := e.Definitions.StorageUsers(id); users > 0 {
		return fault.New(fault.InvalidOperation, "Cannot drop storage '%s': %d table(s) still using it", id, users)
	}
	if err := Storages().Delete(e.Reader, e.Batch, id); err != nil {
		return err
	}
	d := e.copy()
	d.storages = d.storages.without(id)
	e.Definitions = d
	return nil
}
