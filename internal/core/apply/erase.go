package apply

import (
	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// erase removes what a table has of one user.
func (m *Machine) erase(b *command.EraseScope, o *Outcome) error {
	t, ok := m.definitions.TableByID(b.Table)
	if !ok {
		return command.ErrStaleSchema
	}
	if b.Scope == schema.SharedScope || !t.PerUser() {
		return fault.New(fault.InvalidOperation, "table %s is not divided by users", t.QualifiedName())
	}
	rows, err := m.rows.EraseScope(t, b.Scope, o.Receipt.Position)
	o.Receipt.Rows = rows
	return err
}
