package apply

import (
	"slices"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

func putNamespace(edit *catalog.Edit, b *command.PutNamespace) error {
	if b.Create {
		return edit.InsertNamespace(b.Namespace)
	}
	return edit.UpdateNamespace(b.Namespace)
}

func putStorage(edit *catalog.Edit, b *command.PutStorage) error {
	if b.Create {
		return edit.InsertStorage(b.Storage)
	}
	return edit.UpdateStorage(b.Storage)
}

// dropStorage removes a storage that neither a table nor a row needs, and
// returns how many files of dropped tables are left behind in it. A table of
// another storage has rows there when a user had it as his own.
func (m *Machine) dropStorage(edit *catalog.Edit, id string) (left int64, err error) {
	for after := uint64(0); ; {
		files, err := table.Files(edit.Reader, after, 1000)
		if err != nil {
			return 0, err
		}
		if len(files) == 0 {
			if n, err := m.blobsIn(id); err != nil || n > 0 {
				if err == nil {
					err = fault.New(fault.InvalidOperation, "Cannot drop storage '%s': it holds files of FILE columns", id)
				}
				return 0, err
			}
			return left, edit.DeleteStorage(id)
		}
		for _, f := range files {
			t, lives := edit.Definitions.TableByID(f.Table)
			switch {
			case f.StorageID != id:
			case lives && f.State != schema.FileRemoved:
				return 0, fault.New(fault.InvalidOperation, "Cannot drop storage '%s': it holds rows of table '%s'", id, t.QualifiedName())
			default:
				left++
			}
		}
		after = files[len(files)-1].Number
	}
}

// dropNamespace removes a namespace, its tables and their rows.
func (m *Machine) dropNamespace(edit *catalog.Edit, name string, o *Outcome) error {
	dropped, err := edit.DeleteNamespace(name)
	if err != nil {
		return err
	}
	for _, t := range dropped {
		if err := m.rows.DropTable(t.ID, edit.Position); err != nil {
			return err
		}
		m.dropIndexes(t.Indexes)
		o.Commit.Dropped = append(o.Commit.Dropped, t.ID)
	}
	o.Receipt.Dropped = dropped
	return nil
}

// createTable adds a table under a number that no table ever had.
func (m *Machine) createTable(edit *catalog.Edit, b *command.CreateTable, o *Outcome) error {
	number, err := store.NextNumber(m.reader, store.NumberTable)
	if err != nil {
		return err
	}
	t := b.Table.Clone()
	t.ID, t.Version, t.CreatedSeq = schema.TableID(number), 1, edit.Position
	switch t.Kind {
	case schema.User, schema.Shared:
	case schema.Stream:
		t.Options.StreamWindowSeconds = table.StreamWindowSeconds(t.Options.TTLSeconds)
	default:
		return fault.New(fault.InvalidDefinition, "table %s has no kind that can be created", t.QualifiedName())
	}
	next, err := m.newIndexes(edit, nil, t)
	if err != nil {
		return err
	}
	if err := edit.InsertTable(t); err != nil {
		return err
	}
	if err := ownSequences(edit, nil, t); err != nil {
		return err
	}
	store.SetNextNumber(m.batch, store.NumberTable, number+1)
	m.numberIndexes(next)
	o.Receipt.Table = t
	return nil
}

// alterTable adds a version to a table.
func (m *Machine) alterTable(edit *catalog.Edit, b *command.AlterTable, o *Outcome) error {
	old, ok := m.definitions.TableByID(b.Table.ID)
	if !ok || old.Version != b.FromVersion {
		return command.ErrStaleSchema
	}
	if b.Empty {
		empty, err := table.Empty(m.reader, old)
		if err != nil {
			return err
		}
		if !empty {
			return command.ErrNotEmpty
		}
	}
	t := b.Table.Clone()
	t.Version = old.Version + 1
	next, err := m.newIndexes(edit, old, t)
	if err != nil {
		return err
	}
	if err := m.redefine(edit, old, t, o); err != nil {
		return err
	}
	m.numberIndexes(next)
	m.dropIndexes(without(old.Indexes, t))
	return nil
}

// amendTable settles constraints of the version in force.
func (m *Machine) amendTable(edit *catalog.Edit, b *command.AmendTable, o *Outcome) error {
	old, ok := m.definitions.TableByID(b.Table.ID)
	if !ok || old.Version != b.FromVersion || old.Name != b.Table.Name {
		return command.ErrStaleSchema
	}
	t := b.Table.Clone()
	t.Version, t.Indexes = old.Version, slices.Clone(old.Indexes)
	return m.redefine(edit, old, t, o)
}

// redefine puts t in the place of old. What keys are made of stays.
func (m *Machine) redefine(edit *catalog.Edit, old, t *schema.Table, o *Outcome) error {
	t.Kind, t.CreatedSeq, t.CreatedAt = old.Kind, old.CreatedSeq, old.CreatedAt
	t.Options.StreamWindowSeconds = old.Options.StreamWindowSeconds
	if err := edit.UpdateTable(t); err != nil {
		return err
	}
	if err := ownSequences(edit, old, t); err != nil {
		return err
	}
	o.Receipt.Table = t
	o.Commit.Altered = []schema.TableID{t.ID}
	return nil
}

// dropTable removes a table and its rows.
func (m *Machine) dropTable(edit *catalog.Edit, id schema.TableID, o *Outcome) error {
	if _, ok := m.definitions.TableByID(id); !ok {
		return command.ErrStaleSchema
	}
	t, err := edit.DeleteTable(id)
	if err != nil {
		return err
	}
	if err := ownSequences(edit, t, nil); err != nil {
		return err
	}
	o.Receipt.Dropped = []*schema.Table{t}
	o.Commit.Dropped = []schema.TableID{id}
	m.dropIndexes(t.Indexes)
	return m.rows.DropTable(id, edit.Position)
}

// putUser writes a user's row. A change names the row that it was made from by
// its updated_at, which therefore moves with every change that counts.
func (m *Machine) putUser(b *command.PutUser) error {
	users := catalog.Users()
	if b.Create {
		return users.Insert(m.reader, m.batch, b.User)
	}
	if b.FromUpdatedAt != 0 {
		old, ok, err := users.Get(m.reader, string(b.User.ID))
		if err != nil {
			return err
		}
		if ok && old.UpdatedAt != b.FromUpdatedAt {
			return command.ErrStaleRow
		}
	}
	return users.Update(m.reader, m.batch, b.User)
}

func (m *Machine) putJob(b *command.PutJob) error {
	if b.Create {
		return catalog.Jobs().Insert(m.reader, m.batch, b.Job)
	}
	return catalog.Jobs().Update(m.reader, m.batch, b.Job)
}

// dropJobs removes rows of jobs; those that are gone already do not count.
func (m *Machine) dropJobs(ids []string) (dropped int64, err error) {
	for _, id := range ids {
		err := catalog.Jobs().Delete(m.reader, m.batch, id)
		switch {
		case err == nil:
			dropped++
		case !fault.Is(err, fault.ObjectNotFound):
			return 0, err
		}
	}
	return dropped, nil
}
