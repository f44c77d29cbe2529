package core

import (
	"context"
	"slices"
	"strings"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/core/write"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// scopeOf is the partition of a table that a session reads and writes.
func scopeOf(s *auth.Session, t *schema.Table) schema.Scope {
	if t.PerUser() {
		return schema.UserScope(s.UserID)
	}
	return schema.SharedScope
}

// selects starts a SELECT on its path. The result owns the view.
func (db *DB) selects(ctx context.Context, s *auth.Session, p *prepared, view *relation.View, env *exec.Env) (*Result, error) {
	if p.analytic != nil {
		return db.analyse(ctx, s, p.analytic, view, env)
	}
	if p.large != nil {
		switch large, _, err := db.large(ctx, p.query.Query(), s, view, env); {
		case err != nil:
			return nil, err
		case large:
			return db.analyse(ctx, s, p.large, view, env)
		}
	}
	return db.query(ctx, s, p.query, view, env)
}

// query starts a SELECT on the row path. The result owns the view.
func (db *DB) query(ctx context.Context, s *auth.Session, p *exec.Program, view *relation.View, env *exec.Env) (*Result, error) {
	var table source.Table
	q := p.Query()
	if q.Table != nil {
		opened, err := view.Open(q.Table, scopeOf(s, q.Table), caller(s, env))
		if err != nil {
			return nil, err
		}
		table = opened
	}
	rows, err := p.Run(ctx, table, env, db.execLimits())
	if err != nil {
		return nil, err
	}
	return db.answer(ctx, rows, columnsOf(q.Table, q.Outputs), db.rowLimit(q.Limit != nil), view), nil
}

// answer hands on the rows of a SELECT, left of them at most unless it is -1.
func (db *DB) answer(ctx context.Context, rows *exec.Result, columns []Column, left int, view *relation.View) *Result {
	printed := printedColumns(columns)
	result := &Result{Kind: Rows, Columns: columns}
	result.next = func(outer context.Context) ([][]datum.Value, error) {
		if err := outer.Err(); err != nil {
			return nil, asFault(err, db.o.Limits)
		}
		if left == 0 {
			return nil, nil
		}
		batch, err := rows.Next(ctx)
		if err != nil {
			return nil, asFault(err, db.o.Limits)
		}
		if left > 0 && len(batch) > left {
			batch = batch[:left]
		}
		if left > 0 {
			left -= len(batch)
		}
		return printVectors(batch, printed), nil
	}
	result.close = func() {
		rows.Close()
		view.Release()
	}
	return result
}

// printedColumns finds the columns that are vectors of pg_catalog: what is an
// array inside of a statement is a text for clients, as PostgreSQL sends it.
func printedColumns(columns []Column) []int {
	var printed []int
	for i := range columns {
		if columns[i].Type.IsVector() {
			columns[i].Type = datum.Type{Kind: datum.Text}
			printed = append(printed, i)
		}
	}
	return printed
}

func printVectors(batch [][]datum.Value, printed []int) [][]datum.Value {
	if len(printed) == 0 || batch == nil {
		return batch
	}
	out := make([][]datum.Value, len(batch))
	for i, row := range batch {
		out[i] = slices.Clone(row)
		for _, c := range printed {
			if row[c].IsNull() {
				continue
			}
			words := make([]string, 0, row[c].Len())
			for _, item := range row[c].Elements() {
				words = append(words, item.String())
			}
			out[i][c] = datum.NewText(strings.Join(words, " "))
		}
	}
	return out
}

// rowLimit is how many rows the configuration lets a SELECT return, with or
// without a LIMIT: -1 for all. It acts on the outermost SELECT only.
func (db *DB) rowLimit(limited bool) int {
	limit := db.o.Limits.DefaultQueryLimit
	if limited {
		limit = db.o.Limits.MaxQueryLimit
	}
	if limit == 0 {
		return -1
	}
	return limit
}

// columnsOf describes the columns of a SELECT over a table, which is nil for
// none or several.
func columnsOf(t *schema.Table, outputs []plan.Output) []Column {
	columns := make([]Column, len(outputs))
	for i, out := range outputs {
		columns[i] = Column{Name: out.Name, Type: out.Type}
		if t == nil || out.Column < 0 {
			continue
		}
		columns[i].PrimaryKey = t.IsKey(out.Column)
		columns[i].NotNull = t.Columns[out.Column].NotNull
		columns[i].Unique = columns[i].PrimaryKey
	}
	return columns
}

// modify runs an INSERT, UPDATE or DELETE.
func (db *DB) modify(ctx context.Context, c *Conversation, p *prepared, env *exec.Env) (*Result, error) {
	t := p.table()
	to, err := c.target(t, p, env)
	if err != nil {
		return nil, err
	}
	if c.upload != nil {
		if err := c.upload.store(ctx, t, to.Scope); err != nil {
			return nil, err
		}
		env.Files = c.upload
	}
	var out write.Outcome
	var returning []plan.Output
	var kind ResultKind
	var verb string
	switch {
	case p.insert != nil:
		kind, verb, returning = Inserted, "Inserted", p.insert.Plan().Returning
		out, err = db.writer.Insert(ctx, p.insert, to, env)
	case p.update != nil:
		kind, verb, returning = Updated, "Updated", p.update.Plan().Returning
		out, err = db.writer.Update(ctx, p.update, to, env)
	default:
		kind, verb, returning = Deleted, "Deleted", p.delete.Plan().Returning
		out, err = db.writer.Delete(ctx, p.delete, to, env)
	}
	if out.Count == 0 && to.In == nil {
		err = db.settled(ctx, err)
	}
	if err != nil {
		return nil, err
	}
	message := DMLMessage(verb, out.Count)
	if len(returning) > 0 {
		rows := out.Rows
		result := &Result{Kind: Rows, Columns: columnsOf(t, returning), Message: message}
		result.next = func(context.Context) ([][]datum.Value, error) {
			batch := rows[:min(len(rows), source.BatchRows)]
			if rows = rows[len(batch):]; len(batch) == 0 {
				return nil, nil
			}
			return batch, nil
		}
		return result, nil
	}
	return &Result{Kind: kind, Count: out.Count, Buffered: true, Message: message}, nil
}

// settled returns the outcome of a statement that looked at the newest applied
// state and committed nothing itself, when what it may have seen there is
// durable: its answer must not tell of a commit that a power cut takes back. A
// statement that is to be run again is not answered yet.
func (db *DB) settled(ctx context.Context, outcome error) error {
	if stale(outcome) {
		return outcome
	}
	if err := db.apply.Settle(ctx); err != nil {
		return err
	}
	return outcome
}
