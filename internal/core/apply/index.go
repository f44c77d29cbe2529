package apply

import (
	"errors"

	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// entryOverhead is what an entry of an index takes in memory beside its bytes.
const entryOverhead = 48

// unique asks the unique indexes, once all rows of a command are checked.
func (m *Machine) unique(b *command.Write) error {
	for i := range b.Tables {
		for j := range b.Tables[i].Rows {
			w := &b.Tables[i].Rows[j]
			if len(w.Index) == 0 {
				break // no row of the table has any
			}
			row := rowChange(w)
			if err := m.rows.CheckUnique(m.tables[i], &row); err != nil {
				return indexRefusal(m.tables[i], err)
			}
		}
	}
	return nil
}

// indexRefusal words what an index has refused.
func indexRefusal(t *schema.Table, err error) error {
	var duplicate *table.DuplicateError
	if !errors.As(err, &duplicate) {
		return err
	}
	x := &t.Indexes[duplicate.Index]
	rest := duplicate.Values
	values := make([]datum.Value, len(x.Columns))
	for i, id := range x.Columns {
		column := &t.Columns[t.ColumnByID(id)]
		v, tail, err := datum.DecodeKey(rest, column.Type)
		if err != nil {
			return err
		}
		values[i], rest = v, tail
	}
	return t.DuplicateEntry(x, values)
}

// newIndexes numbers the indexes that a definition adds, and takes over what is
// known of the others. It writes nothing, and returns the number to give out
// next, 0 when none was given.
func (m *Machine) newIndexes(edit *catalog.Edit, old, t *schema.Table) (next uint64, err error) {
	for i := range t.Vectors {
		name := t.Vectors[i].Name
		if old != nil && old.HasIndexNamed(name) {
			continue
		}
		if err := edit.Definitions.Free(t.Namespace, name); err != nil {
			return 0, err
		}
	}
	if len(t.Indexes) == 0 {
		return 0, nil
	}
	first, err := store.NextNumber(m.reader, store.NumberIndex)
	if err != nil {
		return 0, err
	}
	next = first
	for i := range t.Indexes {
		x := &t.Indexes[i]
		if x.ID != 0 {
			at := -1
			if old != nil {
				at = old.IndexByID(x.ID)
			}
			if at < 0 {
				return 0, fault.New(fault.InvalidDefinition, "index '%s' of table %s has a number that is not its own", x.Name, t.QualifiedName())
			}
			x.Building = old.Indexes[at].Building
			if x.Name == old.Indexes[at].Name {
				continue
			}
			if err := freeIndexName(edit, t, i); err != nil {
				return 0, err
			}
			continue
		}
		if err := freeIndexName(edit, t, i); err != nil {
			return 0, err
		}
		if x.ID = schema.IndexID(next); uint64(x.ID) != next {
			return 0, fault.New(fault.LimitExceeded, "no number is left for index '%s'", x.Name)
		}
		next++
	}
	if next == first {
		next = 0
	}
	return next, nil
}

// freeIndexName refuses a name that another index of the namespace has, or a
// table, view or sequence of it.
func freeIndexName(edit *catalog.Edit, t *schema.Table, at int) error {
	switch name := t.Indexes[at].Name; {
	case t.Name == name:
		return fault.New(fault.AlreadyExists, "Table %s already exists", t.QualifiedName())
	case t.Index(name) != at:
		return fault.New(fault.AlreadyExists, "Index %s.%s already exists", t.Namespace, name)
	default:
		return edit.Definitions.Free(t.Namespace, name)
	}
}

// numberIndexes keeps the numbers of new indexes from being given again.
func (m *Machine) numberIndexes(next uint64) {
	if next > 0 {
		store.SetNextNumber(m.batch, store.NumberIndex, next)
	}
}

// without returns the indexes that a definition has no more.
func without(indexes []schema.Index, t *schema.Table) []schema.Index {
	var gone []schema.Index
	for _, x := range indexes {
		if t.IndexByID(x.ID) < 0 {
			gone = append(gone, x)
		}
	}
	return gone
}

// dropIndexes removes the entries of indexes.
func (m *Machine) dropIndexes(gone []schema.Index) {
	for i := range gone {
		m.rows.DropIndex(gone[i].ID)
	}
}

// building finds an index that is being built.
func (m *Machine) building(id schema.TableID, index schema.IndexID) (*schema.Table, int, error) {
	t, ok := m.definitions.TableByID(id)
	if !ok {
		return nil, 0, command.ErrStaleSchema
	}
	at := t.IndexByID(index)
	if at < 0 || !t.Indexes[at].Building {
		return nil, 0, command.ErrStaleSchema
	}
	return t, at, nil
}

// fillIndex gives rows entries that are older than their index.
func (m *Machine) fillIndex(b *command.FillIndex, o *Outcome) error {
	t, at, err := m.building(b.Table, b.Index)
	if err != nil {
		return err
	}
	if len(b.Rows) > command.SliceRows {
		return fault.New(fault.LimitExceeded, "a slice has up to %d rows, not %d", command.SliceRows, len(b.Rows))
	}
	o.Receipt.Rows, err = m.rows.FillIndex(t, at, b.Scope, len(b.Rows), func(i int) ([]byte, uint64, []byte) {
		return b.Rows[i].Key, b.Rows[i].Seq, b.Rows[i].Values
	})
	var duplicate *table.DuplicateError
	switch {
	case errors.As(err, &duplicate):
		return t.DuplicateRows(&t.Indexes[at])
	case errors.Is(err, table.ErrMalformed):
		return fault.Wrap(fault.InvalidOperation, err, "entries of index '%s'", t.Indexes[at].Name)
	}
	return err
}

// settleIndex lets readers use an index.
func (m *Machine) settleIndex(edit *catalog.Edit, b *command.SettleIndex, o *Outcome) error {
	old, at, err := m.building(b.Table, b.Index)
	if err != nil {
		return err
	}
	t := old.Clone()
	t.Indexes[at].Building = false
	return m.redefine(edit, old, t, o)
}

func measureFill(b *command.FillIndex) (bytes int64) {
	for i := range b.Rows {
		bytes += int64(rowOverhead + len(b.Rows[i].Key) + len(b.Rows[i].Values))
	}
	return bytes
}
