package plan

import (
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// BindCheck binds the condition of a CHECK constraint over the rows of a table.
// It reads nothing else: its columns stand without a table's name, so that the
// constraint outlives a new name of the table.
func BindCheck(e parse.Expr, t *schema.Table) (Expr, error) {
	const clause = "a CHECK constraint"
	bare := &schema.Table{Columns: t.Columns, Namespace: t.Namespace, Name: t.Name}
	b := &binder{table: bare, alias: " ", fixed: true, clause: clause}
	x, err := b.condition(e, clause)
	if err != nil {
		return nil, err
	}
	if VolatilityOf(x) == Volatile {
		return nil, fault.At(fault.InvalidDefinition, e.Pos(), "a function whose value changes with every call cannot stand in %s", clause)
	}
	for _, at := range Columns(x) {
		if t.Columns[at].System != schema.NotSystem {
			return nil, fault.At(fault.InvalidDefinition, e.Pos(), "system column '%s' cannot stand in %s", t.Columns[at].Name, clause)
		}
	}
	return x, nil
}

// BindChecks binds the stored CHECK constraints of a table, in their order.
func BindChecks(t *schema.Table) ([]Expr, error) {
	out := make([]Expr, len(t.Checks))
	for i := range t.Checks {
		e, err := parse.ParseExpr(t.Checks[i].Text)
		if err != nil {
			return nil, err
		}
		if out[i], err = BindCheck(e, t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// BindDefault binds a stored default that is an expression.
func BindDefault(d *schema.Default) (Expr, error) {
	e, err := parse.ParseExpr(d.Text)
	if err != nil {
		return nil, err
	}
	return BindScalar(e)
}
