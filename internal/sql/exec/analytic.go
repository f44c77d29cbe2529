package exec

import (
	"context"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec/internal/duck"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// Engine runs the statements of the analytic path.
type Engine = duck.Engine

// EngineOptions bound an Engine.
type EngineOptions = duck.Options

// DefaultThreads is on how many threads a scan of many rows runs when nothing is
// said of it.
func DefaultThreads() int { return duck.DefaultThreads() }

// EngineStats says how an Engine is doing.
type EngineStats = duck.Stats

// NewEngine returns an Engine, which opens nothing before it is needed.
func NewEngine(o EngineOptions) *Engine { return duck.New(o) }

// Analytic is a query of any shape. It is immutable and may be run by several
// goroutines at a time. What DuckDB is given is written for each execution, for
// it depends on the parameters: a pattern or a number decides whether DuckDB
// means what we do.
type Analytic struct {
	tree *plan.Analytic
}

// NewAnalytic makes an executable of a bound query.
func NewAnalytic(tree *plan.Analytic) (*Analytic, error) { return &Analytic{tree}, nil }

// Plan returns the bound query.
func (a *Analytic) Plan() *plan.Analytic { return a.tree }

// generate writes the statement of one execution.
func (a *Analytic) generate(ctx context.Context, open func(*schema.Table) (source.Table, error), env *Env, fileRows int64) (*generator, *duck.Statement, error) {
	env, err := env.Prepare(a.tree.Params)
	if err != nil {
		return nil, nil, err
	}
	g := newGenerator(ctx, a.tree, env, open)
	if fileRows != 0 {
		g.leastFileRows = fileRows
	}
	s, err := g.generate()
	return g, s, err
}

// Run starts the query. open gives the tables as the execution sees them. The
// caller closes the result before the tables end.
func (a *Analytic) Run(ctx context.Context, engine *Engine, open func(*schema.Table) (source.Table, error), env *Env, o Limits) (*Result, error) {
	g, s, err := a.generate(ctx, open, env, o.FileRows)
	if err != nil {
		return nil, err
	}
	rows, err := engine.Query(ctx, s)
	if err != nil {
		return nil, err
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	return &Result{outputs: a.tree.Outputs, stage: &engineStage{rows: rows}, budget: &budget{max: o.MaxBytes}, scans: g.scans}, nil
}

// engineStage hands on what DuckDB delivers.
type engineStage struct{ rows *duck.Rows }

func (s *engineStage) next(ctx context.Context) ([][]datum.Value, error) {
	for {
		rows, err := s.rows.Next(ctx)
		if err != nil || rows == nil || len(rows) > 0 {
			return rows, err
		}
	}
}

func (s *engineStage) close() { s.rows.Close() }
