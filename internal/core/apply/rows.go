package apply

import (
	"bytes"
	"errors"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/table"
)

// write applies changes of rows: first every check, then every change.
func (m *Machine) write(c *command.Command, b *command.Write) (Outcome, error) {
	m.tables = m.tables[:0]
	rows := 0
	for i := range b.Tables {
		t, ok := m.definitions.TableByID(b.Tables[i].Table)
		if !ok || t.Version != b.Tables[i].SchemaVersion {
			return Outcome{}, command.ErrStaleSchema
		}
		m.tables = append(m.tables, t)
		rows += len(b.Tables[i].Rows)
	}
	first := schema.NextSeq(m.position, c.Time, m.node)
	at := 0
	for i := range b.Tables {
		vacant := vacancy{rows: m.rows, table: m.tables[i], list: b.Tables[i].Rows}
		for j := range b.Tables[i].Rows {
			row := rowChange(&b.Tables[i].Rows[j])
			if err := vacant.look(j, &row); err != nil {
				m.rows.Reject()
				return Outcome{}, err
			}
			if err := m.rows.Check(m.tables[i], &row, schema.SeqAt(first, at)); err != nil {
				m.rows.Reject()
				return Outcome{}, rowRefusal(m.tables[i], &row, err)
			}
			at++
		}
	}
	if err := m.unique(b); err != nil {
		m.rows.Reject()
		return Outcome{}, err
	}
	m.rows.Accept()
	position := schema.SeqAt(first, max(rows, 1)-1)
	changes := make([]command.Change, rows)
	at = 0
	for i := range b.Tables {
		for j := range b.Tables[i].Rows {
			m.change(m.tables[i], &b.Tables[i].Rows[j], at, schema.SeqAt(first, at), position, &changes[at])
			at++
		}
	}
	m.rows.Done()
	o := Outcome{
		Receipt: command.Receipt{Position: position, FirstSeq: first, Rows: int64(rows)},
		Commit:  command.Commit{Changes: changes},
	}
	for _, t := range m.tables {
		if t.MayHoldFiles() {
			return o, m.references(changes, &o)
		}
	}
	return o, nil
}

// vacancyRows is how many inserts are looked for by one range of keys.
const vacancyRows = 512

// vacancy spares inserts of many rows the search for each key: keys that come
// together, as those of a bulk load do, are mostly in a range without rows.
type vacancy struct {
	rows  *table.Writer
	table *schema.Table
	list  []command.RowWrite
	free  bool // the present stretch of rows has no key that exists
}

// look marks row j, which is a copy, as fresh if the store has none of the keys of
// its stretch.
func (v *vacancy) look(j int, row *table.RowChange) error {
	if len(v.list) < vacancyRows || v.table.Kind == schema.Stream {
		return nil
	}
	if j%vacancyRows == 0 {
		var err error
		if v.free, err = v.stretch(v.list[j:min(j+vacancyRows, len(v.list))]); err != nil {
			return err
		}
	}
	row.Fresh = row.Fresh || v.free
	return nil
}

// stretch reports whether rows are inserts into one scope, and the range of their
// keys is empty.
func (v *vacancy) stretch(rows []command.RowWrite) (bool, error) {
	low, high := rows[0].Key, rows[0].Key
	for i := range rows {
		r := &rows[i]
		if r.Op != command.Insert || r.Scope != rows[0].Scope || len(r.Key) == 0 {
			return false, nil
		}
		if bytes.Compare(r.Key, low) < 0 {
			low = r.Key
		}
		if bytes.Compare(r.Key, high) > 0 {
			high = r.Key
		}
	}
	return v.rows.Vacant(v.table, rows[0].Scope, low, high)
}

// change makes one change and describes it for subscribers.
func (m *Machine) change(t *schema.Table, w *command.RowWrite, i int, seq, position uint64, out *command.Change) {
	row := rowChange(w)
	prev, old := m.rows.Write(t, &row, i, seq, position)
	*out = command.Change{
		Table: t.ID, SchemaVersion: t.Version, Scope: w.Scope, Op: w.Op,
		Position: position, Seq: seq, PrevSeq: prev,
		Key: w.Key, Row: w.Row, Old: old,
	}
	if t.Kind == schema.Stream {
		out.Key = nil // events have no key, live or replayed
		if w.Op == command.Delete {
			out.Row = old
		}
	}
}

func rowChange(w *command.RowWrite) table.RowChange {
	return table.RowChange{Op: table.Op(w.Op), Scope: w.Scope, Key: w.Key, ReadSeq: w.ReadSeq, Fresh: w.Fresh, Row: w.Row, Old: w.Old, Index: w.Index}
}

// rowRefusal words what the row store has refused.
func rowRefusal(t *schema.Table, row *table.RowChange, err error) error {
	switch {
	case errors.Is(err, table.ErrStale):
		return command.ErrStaleRow
	case errors.Is(err, table.ErrDuplicate):
		return duplicate(t, row.Key)
	case errors.Is(err, table.ErrMalformed):
		return fault.Wrap(fault.InvalidOperation, err, "%s on table %s", row.Op, t.QualifiedName())
	}
	return err
}

// duplicate names the key that exists.
func duplicate(t *schema.Table, key []byte) error {
	values, err := table.KeyValues(t, key)
	if err != nil {
		return err
	}
	return t.DuplicateKey(values)
}

// beginFile reserves number and path of a cold file.
func (m *Machine) beginFile(c *command.Command, f schema.File) (schema.File, error) {
	if _, ok := m.definitions.TableByID(f.Table); !ok {
		return f, command.ErrStaleSchema
	}
	if f.CreatedAt == 0 {
		f.CreatedAt = c.Time
	}
	return m.rows.ReserveFile(m.batch, f)
}

// watchful reports whether a command changes or removes no hot rows but as Write
// and Adopt do, which tell the files that wait for them.
func watchful(body command.Body) bool {
	switch body.(type) {
	case command.FileBegin, command.Adopt, command.AdoptPacked, command.Move, command.DropFiles, command.DropWindows,
		command.ForgetHistory, command.ExpireStream, command.RaiseCeiling, command.PutJob, command.DropJobs, command.PutAudit,
		command.PutUser, command.BeginBlobs, command.DropBlobs, command.AdvanceSequence:
		return true
	}
	return false
}

// adopt moves a slice of rows to their file. Each row takes a seq, for the
// marker that may cover it.
func (m *Machine) adopt(c *command.Command, b *command.Adopt, o *Outcome) error {
	t, ok := m.definitions.TableByID(b.File.Table)
	if !ok {
		return command.ErrStaleSchema
	}
	if len(b.Rows) == 0 || len(b.Rows) > command.SliceRows {
		return fault.New(fault.LimitExceeded, "a slice has 1 to %d rows, not %d", command.SliceRows, len(b.Rows))
	}
	first := m.next(c)
	adopted, err := m.rows.Adopt(&table.Adoption{
		Table: t, File: b.File, Scope: b.Scope, From: b.From, Window: b.Window,
		Rows: len(b.Rows), Row: func(i int) ([]byte, uint64) { return b.Rows[i].Key, b.Rows[i].Seq },
		Sizes: b.Sizes, First: first, Floor: m.history.Floor,
	})
	if err != nil {
		return err
	}
	o.Receipt.Position = schema.SeqAt(first, len(b.Rows)-1)
	o.Receipt.FirstSeq, o.Receipt.Rows = first, adopted
	return nil
}

// purge deletes keys for good.
func (m *Machine) purge(b *command.PurgeRows, o *Outcome) error {
	t, ok := m.definitions.TableByID(b.Table)
	if !ok {
		return command.ErrStaleSchema
	}
	if len(b.Keys) > command.SliceRows {
		return fault.New(fault.LimitExceeded, "a slice has up to %d keys, not %d", command.SliceRows, len(b.Keys))
	}
	purged, more, err := m.rows.Purge(t, b.Scope, b.Keys, b.Before, o.Receipt.Position)
	if errors.Is(err, table.ErrMalformed) {
		return fault.Wrap(fault.InvalidOperation, err, "purge of table %s", t.QualifiedName())
	}
	o.Receipt.Rows, o.Receipt.More = purged, more
	return err
}

// expire drops the windows of a stream that are over.
func (m *Machine) expire(b *command.ExpireStream) error {
	t, ok := m.definitions.TableByID(b.Table)
	if !ok {
		return command.ErrStaleSchema
	}
	if t.Kind != schema.Stream {
		return fault.New(fault.InvalidOperation, "%s is not a STREAM table", t.QualifiedName())
	}
	_, err := m.rows.ExpireStream(t, b.Before)
	return err
}

// cutStream drops the events of a stream that do not fit into its bounds.
func (m *Machine) cutStream(b *command.CutStream, o *Outcome) error {
	t, ok := m.definitions.TableByID(b.Table)
	if !ok {
		return command.ErrStaleSchema
	}
	if t.Kind != schema.Stream {
		return fault.New(fault.InvalidOperation, "%s is not a STREAM table", t.QualifiedName())
	}
	more, err := m.rows.CutStream(t, b.Scope, b.Before)
	o.Receipt.More = more
	return err
}

// dropWindows forgets the windows of a scope without cold rows.
func (m *Machine) dropWindows(b *command.DropWindows, o *Outcome) error {
	t, ok := m.definitions.TableByID(b.Table)
	if !ok {
		return command.ErrStaleSchema
	}
	dropped, err := m.rows.DropWindows(t, b.Scope, o.Receipt.Position)
	o.Receipt.Rows = dropped
	return err
}
