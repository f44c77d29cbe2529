package write

import (
	"context"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// Binding names the connection that a row of a table with PRESENCE is bound to,
// and says what became of the row.
type Binding struct {
	// Connection is its name.
	Connection string
	// Seq is the row's new _seq, Found whether there was a row to take back.
	Seq   uint64
	Found bool
}

type bindingKey struct{}

// Bind returns a context in which one row of a table with PRESENCE can be
// inserted or deleted. Without it nobody would hold the row.
func Bind(ctx context.Context, b *Binding) context.Context {
	return context.WithValue(ctx, bindingKey{}, b)
}

// Present keeps rows that are bound to connections.
type Present interface {
	// Put makes a row present, or replaces it, and returns its _seq.
	Put(ctx context.Context, connection string, t *schema.Table, scope schema.Scope, key, row []byte) (uint64, error)
	// Remove takes back a row that the connection holds, and reports whether there
	// was one.
	Remove(ctx context.Context, connection string, t *schema.Table, scope schema.Scope, key []byte) (bool, error)
}

// misbound is the fault of a message about a table that has no PRESENCE.
func misbound(t *schema.Table) error {
	return fault.New(fault.InvalidOperation, "table %s has no PRESENCE; write to it by SQL", t.QualifiedName())
}

// absent is the fault of a statement that no connection holds the rows of.
func absent(t *schema.Table) error {
	return fault.New(fault.InvalidOperation, "table %s has PRESENCE: its rows come and go with WebSocket connections, by the messages present and absent", t.QualifiedName())
}

// present hands the rows of a statement over to who keeps them.
func (w *Writer) present(ctx context.Context, c *composer) (Outcome, error) {
	b, bound := ctx.Value(bindingKey{}).(*Binding)
	if !c.table.Present() {
		return Outcome{}, misbound(c.table)
	}
	if !bound || c.to.In != nil || w.o.Present == nil {
		return Outcome{}, absent(c.table)
	}
	for i := range c.rows {
		r := &c.rows[i]
		var err error
		if r.Op == command.Delete {
			var found bool
			found, err = w.o.Present.Remove(ctx, b.Connection, c.table, r.Scope, r.Key)
			b.Found = b.Found || found
		} else {
			b.Seq, err = w.o.Present.Put(ctx, b.Connection, c.table, r.Scope, r.Key, r.Row)
		}
		if err != nil {
			return Outcome{}, err
		}
	}
	return c.outcome(int64(len(c.rows)), func(int) uint64 { return b.Seq })
}
