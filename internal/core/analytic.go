package core

import (
	"context"
	"log/slog"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// AnalyticsOptions bound the analytic path; zero means the default.
type AnalyticsOptions struct {
	Memory      int64         // bytes of all its statements together: 256 MiB
	Threads     int           // that share a scan of many rows: one per processor, at most 4
	Connections int           // statements that run at one time: one per processor
	Queue       int           // statements that wait for their turn: 64
	TempDir     string        // for what exceeds Memory; "" refuses it
	TempBytes   int64         // that TempDir may grow to: 4 GiB
	IdleClose   time.Duration // until the instance is closed: a minute
	// Always sends every SELECT over the analytic path, those too that the row
	// path could run.
	Always bool
	// FileRows is from how many cold rows of a table on DuckDB reads their files
	// itself; 0 means 8,192, less than 0 never.
	FileRows int64
}

// threads is on how many goroutines a scan of many rows runs.
func (o *AnalyticsOptions) threads() int {
	if o.Threads > 0 {
		return o.Threads
	}
	return exec.DefaultThreads()
}

func (o *AnalyticsOptions) engine(l *slog.Logger) *exec.Engine {
	return exec.NewEngine(exec.EngineOptions{
		Memory: o.Memory, Threads: o.threads(), Connections: o.Connections, Queue: o.Queue,
		TempDir: o.TempDir, TempBytes: o.TempBytes, IdleClose: o.IdleClose, Logger: l,
	})
}

// AnalyticsStats says how the analytic path is doing.
type AnalyticsStats = exec.EngineStats

// bindSelect binds and compiles a SELECT for the path that it takes: the row path
// where that has all that the statement needs. It answers a key in microseconds,
// where DuckDB needs a quarter of a millisecond to begin.
func (db *DB) bindSelect(stmt *parse.Select, o plan.Options, sc scope, p *prepared) error {
	var q *plan.Query
	var tree *plan.Analytic
	var err error
	if db.o.Analytics.Always {
		tree, err = plan.BindAnalytic(stmt, sc, o)
	} else {
		q, tree, err = plan.Bind(stmt, sc, o)
	}
	switch {
	case err != nil:
	case tree != nil:
		p.analytic, err = exec.NewAnalytic(tree)
	default:
		if p.query, err = exec.NewProgram(q); err != nil || !gathers(q) {
			return err
		}
		if tree, err = plan.BindAnalytic(stmt, sc, o); err == nil {
			p.large, err = exec.NewAnalytic(tree)
		}
	}
	return err
}

// largeRows is from how many rows a grouping that calculates is left to DuckDB,
// and any grouping when so many are cold. exec.BenchmarkPaths: over hot rows with
// columns alone the row path is as fast, but where it must calculate it takes
// 0.6 µs a row and DuckDB 0.1, and 0.3 ms to begin. Of files DuckDB takes 0.05 µs a
// row where the row path takes 1.5 to 4 (bench, scenario cold).
const largeRows = 20_000

// gathers reports whether a query of the row path groups or sums up a table, or
// what its filter leaves: more than counting rows, which the table knows.
func gathers(q *plan.Query) bool {
	if q.Table == nil || !q.Grouped || q.Keyed() || q.Access.Empty || len(q.Access.Low.Values)+len(q.Access.High.Values) > 0 || q.Access.Index != nil {
		return false
	}
	if q.Table.Kind == schema.System || q.Table.Kind == schema.Stream {
		return calculates(q) // no row of them is cold
	}
	if len(q.Groups) > 0 || q.Filter != nil && !q.Access.Exact {
		return true
	}
	for _, a := range q.Aggregates {
		if a.Op != plan.CountRows || a.Filter != nil {
			return true
		}
	}
	return false
}

// calculates reports whether a query that gathers does so over what DuckDB would
// calculate faster.
func calculates(q *plan.Query) bool {
	exprs := q.Groups
	for _, a := range q.Aggregates {
		exprs = append(exprs[:len(exprs):len(exprs)], a.X)
	}
	for _, x := range exprs {
		c, ok := x.(*plan.Call)
		if ok && c.Fn.Operator && (c.T.Kind.IsInteger() || c.T.Kind == datum.Decimal) {
			return true
		}
	}
	return false
}

// large reports whether the table of a query that gathers has so many rows that
// the analytic path is worth its beginning, and why.
func (db *DB) large(ctx context.Context, q *plan.Query, s *auth.Session, view *relation.View, env *exec.Env) (bool, string, error) {
	if calculates(q) {
		t, err := opened(s, view, env)(q.Table)
		if err != nil {
			return false, "", err
		}
		if n, known, err := t.Count(ctx); err != nil || known && n >= largeRows {
			return true, "a grouping that calculates, over many rows", err
		}
	}
	if db.o.Analytics.FileRows < 0 || q.Access.Deleted {
		return false, "", nil
	}
	n, err := view.ColdRows(q.Table, scopeOf(s, q.Table))
	return n >= largeRows, "a grouping over many cold rows", err
}

// opened opens the tables of a statement as its caller sees them.
func opened(s *auth.Session, view *relation.View, env *exec.Env) func(*schema.Table) (source.Table, error) {
	return func(t *schema.Table) (source.Table, error) { return view.Open(t, scopeOf(s, t), caller(s, env)) }
}

// analyse starts a SELECT on the analytic path. The result owns the view.
func (db *DB) analyse(ctx context.Context, s *auth.Session, a *exec.Analytic, view *relation.View, env *exec.Env) (*Result, error) {
	rows, err := a.Run(ctx, db.analytics, opened(s, view, env), env, db.execLimits())
	if err != nil {
		return nil, err
	}
	tree := a.Plan()
	result := db.answer(ctx, rows, columnsOf(nil, tree.Outputs), db.rowLimit(tree.Limited), view)
	result.analytic = true
	return result, nil
}

// authoriseReads asks for the right to read what an INSERT, UPDATE or DELETE
// reads beside the rows that it changes.
func authoriseReads(s *auth.Session, p *prepared) error {
	for _, tree := range p.computes() {
		if err := authoriseTree(s, tree); err != nil {
			return err
		}
	}
	table, tree := p.reads()
	switch {
	case table != nil:
		return allowTable(s, auth.Read, table)
	case tree != nil:
		return authoriseTree(s, tree)
	}
	return nil
}

// authoriseTree asks for the right to read every table that a tree reads, those
// behind views included.
func authoriseTree(s *auth.Session, tree *plan.Analytic) error {
	if err := auth.Allow(s, auth.Select, 0, ""); err != nil {
		return err
	}
	for _, t := range tree.Tables {
		if err := allowTable(s, auth.Read, t); err != nil {
			return err
		}
	}
	return nil
}
