package write

import (
	"context"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/source"
)

// reader is a query that gives a statement its rows, on the path that has what
// it needs.
type reader struct {
	program  *exec.Program
	analytic *exec.Analytic
}

// each calls each with every row of the query over a state. A row is valid until
// each returns.
func (r reader) each(ctx context.Context, w *Writer, view *relation.View, to Target, env *exec.Env, each func([]datum.Value) error) error {
	open := func(t *schema.Table) (source.Table, error) {
		if err := unchanged(view, t); err != nil {
			return nil, err
		}
		return to.Open(view, t)
	}
	rows, err := r.run(ctx, w, open, env)
	if err != nil {
		return err
	}
	defer rows.Close()
	return rows.Each(ctx, each)
}

func (r reader) run(ctx context.Context, w *Writer, open func(*schema.Table) (source.Table, error), env *exec.Env) (*exec.Result, error) {
	if r.analytic != nil {
		return r.analytic.Run(ctx, w.o.Analytics, open, env, w.o.Limits)
	}
	var table source.Table
	if t := r.program.Query().Table; t != nil {
		opened, err := open(t)
		if err != nil {
			return nil, err
		}
		table = opened
	}
	return r.program.Run(ctx, table, env, w.o.Limits)
}

// unchanged asks for a statement to be planned again when a table is not what it
// was planned under.
func unchanged(view *relation.View, t *schema.Table) error {
	if t.Kind == schema.System {
		return nil
	}
	current, ok := view.TableByID(t.ID)
	if !ok || current.Version != t.Version {
		return command.ErrStaleSchema
	}
	return nil
}
