package apply

import (
	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/store/table"
)

// move gives a slice of cold rows their place in a newer file.
func (m *Machine) move(b *command.Move, o *Outcome) error {
	t, ok := m.definitions.TableByID(b.Table)
	if !ok {
		return command.ErrStaleSchema
	}
	rows, span := b.Moved()
	if rows > command.SliceRows || span > command.MoveSpan || span == 0 {
		return fault.New(fault.LimitExceeded, "a slice has up to %d rows of 1 to %d, not %d of %d", command.SliceRows, command.MoveSpan, rows, span)
	}
	sources := make([]table.TransferSource, len(b.Sources))
	for i := range b.Sources {
		s := &b.Sources[i]
		sources[i] = table.TransferSource{
			File: s.File, From: s.From, To: s.To, Rows: len(s.Rows),
			Row: func(i int) (uint64, []byte, uint64) { return s.Rows[i].Row, s.Rows[i].Key, s.Rows[i].Seq },
		}
	}
	moved, err := m.rows.Move(&table.Transfer{
		Table: t, Scope: b.Scope, File: b.File, From: b.From, Window: b.Window, Sources: sources, Position: o.Receipt.Position,
	})
	o.Receipt.Rows = moved
	return err
}
