package apply

import (
	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/table"
)

// adoptPacked moves slices of many scopes to a file that they share.
func (m *Machine) adoptPacked(c *command.Command, b *command.AdoptPacked, o *Outcome) error {
	t, ok := m.definitions.TableByID(b.File.Table)
	if !ok {
		return command.ErrStaleSchema
	}
	rows := 0
	first := m.next(c)
	parts := make([]table.Adoption, len(b.Parts))
	for i := range b.Parts {
		p := &b.Parts[i]
		if len(p.Rows) == 0 {
			return fault.New(fault.InvalidOperation, "a slice of a packed file has no rows")
		}
		parts[i] = table.Adoption{
			Table: t, File: b.File, Scope: p.Scope, From: p.From, Window: p.Window,
			Rows: len(p.Rows), Row: func(i int) ([]byte, uint64) { return p.Rows[i].Key, p.Rows[i].Seq },
			Sizes: p.Sizes, First: schema.SeqAt(first, rows), Floor: m.history.Floor,
		}
		rows += len(p.Rows)
	}
	if rows == 0 || rows > command.SliceRows {
		return fault.New(fault.LimitExceeded, "a slice has 1 to %d rows, not %d", command.SliceRows, rows)
	}
	adopted, err := m.rows.AdoptPacked(parts)
	if err != nil {
		return err
	}
	o.Receipt.Position = schema.SeqAt(first, rows-1)
	o.Receipt.FirstSeq, o.Receipt.Rows = first, adopted
	return nil
}
