// Package write turns INSERT, UPDATE and DELETE into commands.
//
// A Writer reads the newest applied state, evaluates defaults, expressions and
// casts exactly once, checks what can be checked without other writers (types,
// NOT NULL, duplicates inside the statement) and proposes one command.Write.
// Uniqueness and the versions that were read are checked when the command is
// applied. A command that meets a changed row or definition is refused with
// command.ErrStaleRow or command.ErrStaleSchema; the caller plans and runs the
// statement again.
//
// In a Transaction statements read its moment with what it has staged, and stage
// what they would commit; its Commit proposes all of it as one command, and what
// others have changed meanwhile is a CONFLICT.
//
// Goroutines: none. Locks: latches, a striped set of mutexes held for known
// keys from the read until the command is applied, in ascending stripe order;
// ruleCache.mu, held for a look.
package write

import (
	"context"
	"strconv"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/source"
)

// Options say what a Writer works with.
type Options struct {
	// Relations gives the newest applied state.
	Relations *relation.Relations
	// Committer takes the commands.
	Committer command.Committer
	// MaxRows and MaxBytes bound one commit (commit.max_rows, commit.max_bytes).
	MaxRows  int
	MaxBytes int64
	// Durability is what tables without a DURABILITY of their own get.
	Durability schema.Durability
	// Listens reports whether somebody is subscribed to a partition of a table; nil
	// stands for nobody.
	Listens func(schema.TableID, schema.Scope) bool
	// Present keeps the rows of tables with PRESENCE; without it they are refused.
	Present Present
	// Limits bound what finding the rows may hold in memory, and what RETURNING
	// may give.
	Limits exec.Limits
	// Analytics runs the queries that the row path does not have.
	Analytics *exec.Engine
}

// Target is whose rows a statement changes.
type Target struct {
	// Scope is the partition, decided by the caller's authorisation.
	Scope schema.Scope
	// Caller is handed to views over running state.
	Caller relation.Caller
	// Open opens a table that the statement reads in a state, as its caller sees
	// it. Statements that read no other table do without.
	Open func(*relation.View, *schema.Table) (source.Table, error)
	// In is the transaction that the statement belongs to; nil commits it by
	// itself.
	In *Transaction
}

// Writer proposes changes of rows. It is safe for concurrent use.
type Writer struct {
	o       Options
	latches latches
	ruled   ruleCache
}

// New returns a Writer.
func New(o Options) *Writer {
	if o.MaxRows == 0 {
		o.MaxRows = 200_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 100 << 20
	}
	return &Writer{o: o}
}

// Insert evaluates the rows of an INSERT and commits them. What ON CONFLICT
// makes of a row is counted and returned too.
func (w *Writer) Insert(ctx context.Context, s *Insert, to Target, env *exec.Env) (Outcome, error) {
	p := s.plan
	if len(p.Rows) > w.o.MaxRows {
		return Outcome{}, w.tooManyRows(strconv.Itoa(len(p.Rows)))
	}
	prepared, err := env.Prepare(p.Params)
	if err != nil {
		return Outcome{}, err
	}
	c := newComposer(w, p.Table, to, prepared)
	c.returning, c.conflict, c.outer = s.returning, s.conflict, env
	for i, row := range s.rows {
		if err := c.insert(i, p.Columns, row); err != nil {
			return Outcome{}, err
		}
	}
	if s.source != nil {
		if err := w.insertFrom(ctx, s, c, env); err != nil {
			return Outcome{}, err
		}
	}
	if c.conflict == nil {
		return w.commit(ctx, c, nil)
	}
	return w.upsert(ctx, c)
}

// insertFrom adds the rows of INSERT … SELECT.
func (w *Writer) insertFrom(ctx context.Context, s *Insert, c *composer, env *exec.Env) error {
	view := w.view(c.to)
	defer view.Release()
	if err := unchanged(view, s.plan.Table); err != nil {
		return err
	}
	width, n := len(s.plan.Table.Columns), 0
	row, absent := make([]datum.Value, width), make([]bool, width)
	return s.source.each(ctx, w, view, c.to, env, func(values []datum.Value) error {
		clear(row)
		for i := range absent {
			absent[i] = true
		}
		for i, at := range s.plan.Columns {
			row[at], absent[at] = values[i], false
		}
		for i, n := range s.plan.Defaults {
			if v := values[len(s.plan.Columns)+i]; v.Bool() {
				at := s.plan.Columns[n]
				row[at], absent[at] = datum.Value{}, true
			}
		}
		n++
		c.env.BeginRow()
		return c.insertValues(n-1, row, absent)
	})
}

// upsert finds out what the keys of an INSERT … ON CONFLICT hold, and commits
// what that makes of them.
func (w *Writer) upsert(ctx context.Context, c *composer) (Outcome, error) {
	release := w.latchKeys(c)
	defer release() // a commit has done so when it was applied
	view := w.view(c.to)
	err := unchanged(view, c.table)
	if err == nil {
		err = c.resolve(ctx, view)
	}
	if err == nil && c.to.In == nil {
		err = c.distinct(ctx, view)
	}
	view.Release()
	if err != nil {
		return Outcome{}, err
	}
	out, err := w.commit(ctx, c, release)
	if c.to.In == nil && (fault.Is(err, fault.DuplicateKey) || fault.Is(err, fault.UniqueViolation)) {
		return out, command.ErrStaleRow // it has come since we looked
	}
	return out, err
}

// InsertRows inserts rows given as values aligned to the table's columns;
// absent marks columns that take their default.
func (w *Writer) InsertRows(ctx context.Context, t *schema.Table, rows [][]datum.Value, absent [][]bool, to Target, env *exec.Env) (int64, error) {
	if len(rows) > w.o.MaxRows {
		return 0, w.tooManyRows(strconv.Itoa(len(rows)))
	}
	c := newComposer(w, t, to, env)
	for i := range rows {
		if err := c.insertValues(i, rows[i], absent[i]); err != nil {
			return 0, err
		}
	}
	out, err := w.commit(ctx, c, nil)
	return out.Count, err
}

// Update finds the rows of an UPDATE, computes their new versions and commits
// those that really change; only they are counted and returned.
func (w *Writer) Update(ctx context.Context, s *Update, to Target, env *exec.Env) (Outcome, error) {
	if s.table.Present() {
		return Outcome{}, absent(s.table)
	}
	if s.table.Kind == schema.Stream {
		return Outcome{}, fault.New(fault.InvalidOperation, "UPDATE not supported for STREAM tables")
	}
	prepared, err := env.Prepare(s.plan.Params)
	if err != nil {
		return Outcome{}, err
	}
	return w.change(ctx, &s.finder, to, env, prepared, func(c *composer, row []datum.Value) error {
		return c.update(row, s.plan.Set, s.set)
	})
}

// Delete finds the rows of a DELETE and commits their tombstones.
func (w *Writer) Delete(ctx context.Context, s *Delete, to Target, env *exec.Env) (Outcome, error) {
	switch _, bound := ctx.Value(bindingKey{}).(*Binding); {
	case s.table.Present() && !bound:
		return Outcome{}, absent(s.table)
	case bound && !s.table.Present():
		return Outcome{}, misbound(s.table)
	}
	prepared, err := env.Prepare(s.plan.Params)
	if err != nil {
		return Outcome{}, err
	}
	return w.change(ctx, &s.finder, to, env, prepared, func(c *composer, row []datum.Value) error {
		return c.delete(row)
	})
}

// change runs the common path of UPDATE and DELETE. env is as the caller has it,
// prepared has the statement's parameters.
func (w *Writer) change(ctx context.Context, f *finder, to Target, env, prepared *exec.Env, each func(*composer, []datum.Value) error) (Outcome, error) {
	c := newComposer(w, f.table, to, prepared)
	c.returning, c.outer = f.returning, env
	if f.source != nil {
		if err := w.changeFrom(ctx, f, c, env, each); err != nil {
			return Outcome{}, err
		}
		return w.commit(ctx, c, nil)
	}
	release, err := w.latch(f.match, to, prepared)
	if err != nil {
		return Outcome{}, err
	}
	defer release() // a commit has done so when it was applied
	if err := w.find(ctx, f.match, to, prepared, func(row []datum.Value) error { return each(c, row) }); err != nil {
		return Outcome{}, err
	}
	return w.commit(ctx, c, release)
}

// changeFrom visits the rows of an UPDATE or DELETE that reads other tables.
func (w *Writer) changeFrom(ctx context.Context, f *finder, c *composer, env *exec.Env, each func(*composer, []datum.Value) error) error {
	view := w.view(c.to)
	defer view.Release()
	if err := unchanged(view, f.table); err != nil {
		return err
	}
	return f.source.each(ctx, w, view, c.to, env, func(row []datum.Value) error { return each(c, row) })
}

// view returns the state that a statement reads, held for the caller: that of
// its transaction, else the newest applied one.
func (w *Writer) view(to Target) *relation.View {
	if to.In != nil {
		return to.In.View()
	}
	return w.o.Relations.Applied()
}

// find visits the matching rows of the state that a statement reads.
func (w *Writer) find(ctx context.Context, m *exec.Matcher, to Target, env *exec.Env, each func([]datum.Value) error) error {
	view, t := w.view(to), m.Query().Table
	defer view.Release()
	if err := unchanged(view, t); err != nil {
		return err
	}
	table, err := view.Open(t, to.Scope, to.Caller)
	if err != nil {
		return err
	}
	return m.Each(ctx, table, env, each)
}

// durability returns how commits to a table are made.
func (w *Writer) durability(t *schema.Table) schema.Durability {
	switch {
	case t.Kind == schema.Stream:
		return t.EventDurability()
	case t.Options.Durability == schema.DurabilityDefault:
		return w.o.Durability
	}
	return t.Options.Durability
}

// commit proposes what a composer has gathered, or stages it. release, if not
// nil, lets go of latches and is called when the command has been applied.
func (w *Writer) commit(ctx context.Context, c *composer, release func()) (Outcome, error) {
	if err := c.exceeded(); err != nil {
		return Outcome{}, err
	}
	if len(c.rows) == 0 {
		return c.outcome(0, nil)
	}
	if err := c.subqueries(ctx); err != nil {
		return Outcome{}, err
	}
	if _, bound := ctx.Value(bindingKey{}).(*Binding); bound || c.table.Present() {
		return w.present(ctx, c)
	}
	if c.to.In != nil {
		n, err := c.to.In.stage(ctx, c)
		if err != nil {
			return Outcome{}, err
		}
		return c.outcome(n, func(i int) uint64 { return c.to.In.seqOf(c.table, &c.rows[i]) })
	}
	if w.unheard(c) {
		return c.outcome(int64(len(c.rows)), func(i int) uint64 { return schema.SeqAt(schema.SeqFloor(c.env.Now), i) })
	}
	receipt, err := w.o.Committer.Commit(ctx, &command.Command{
		Time:       c.env.Now,
		Durability: w.durability(c.table),
		Actor:      c.env.User,
		Body: &command.Write{Tables: []command.TableWrite{{
			Table:         c.table.ID,
			SchemaVersion: c.table.Version,
			Rows:          c.rows,
		}}},
		OnApplied: release,
	})
	if err != nil {
		return Outcome{}, err
	}
	return c.outcome(receipt.Rows, func(i int) uint64 { return schema.SeqAt(receipt.FirstSeq, i) })
}

// unheard reports whether the rows of a statement are events of an ephemeral
// stream that nobody listens to: they are accepted and never come to be.
func (w *Writer) unheard(c *composer) bool {
	return c.table.Options.Ephemeral && c.rows[0].Op == command.Insert &&
		(w.o.Listens == nil || !w.o.Listens(c.table.ID, c.to.Scope))
}

func (w *Writer) tooManyRows(n string) error {
	return fault.New(fault.LimitExceeded, "one statement may write at most %d rows, this one would change %s; raise commit.max_rows or send it in parts", w.o.MaxRows, n)
}

func (w *Writer) tooManyBytes() error {
	return fault.New(fault.LimitExceeded, "one statement may write at most %d bytes; raise commit.max_bytes or send it in parts", w.o.MaxBytes)
}

// Clock gives the time of a statement in microseconds since the Unix epoch.
func Clock(now time.Time) int64 { return now.UnixMicro() }
