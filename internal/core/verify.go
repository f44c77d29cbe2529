package core

import (
	"context"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/core/write"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/store/table"
)

// scopesAtOnce is how many partitions of a table are listed at a time.
const scopesAtOnce = 1000

// verify looks at the rows of a table whose _seq is above a position, hot and
// cold, in every partition, and returns the fault of the first unproven
// constraint of t that one of them breaks. t is a definition that may not be in
// force yet. The answer holds up to the position that is returned.
func (db *DB) verify(ctx context.Context, t *schema.Table, after uint64) (upTo uint64, err error) {
	rules, err := write.NewRules(t)
	if err != nil {
		return 0, err
	}
	moment := db.apply.Applied()
	defer moment.Release()
	view := db.relations.Applied()
	defer view.Release()
	upTo = min(moment.Position(), view.Position())
	env := db.bare("")
	for last := schema.Scope(""); ; {
		scopes, err := table.Scopes(moment.Reader(), t, last, scopesAtOnce)
		if err != nil {
			return 0, err
		}
		for _, scope := range scopes {
			if err := verifyScope(ctx, view, t, scope, after, rules, env); err != nil {
				return 0, err
			}
		}
		if len(scopes) < scopesAtOnce {
			return upTo, nil
		}
		last = scopes[len(scopes)-1]
	}
}

func verifyScope(ctx context.Context, view *relation.View, t *schema.Table, scope schema.Scope, after uint64, rules *write.Rules, env *exec.Env) error {
	opened, err := view.Open(t, scope, relation.Caller{Now: env.Now})
	if err != nil {
		return err
	}
	r := source.Request{}
	if after > 0 {
		r.AfterSeq, r.Order = after, source.BySeq
	}
	rows, err := opened.Scan(ctx, r)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		batch, err := rows.Next(ctx)
		if err != nil || batch == nil {
			return err
		}
		for _, row := range batch.Rows {
			env.BeginRow()
			if err := rules.Prove(row, env); err != nil {
				return err
			}
		}
	}
}

// evaluate computes an expression without rows in the name of a user.
func (db *DB) evaluate(x plan.Expr, actor schema.UserID) (datum.Value, error) {
	eval, err := exec.Compile(x)
	if err != nil {
		return datum.Value{}, err
	}
	return eval(nil, db.bare(actor))
}

// bare is an environment without parameters.
func (db *DB) bare(actor schema.UserID) *exec.Env {
	return &exec.Env{Now: write.Clock(db.o.Now()), User: actor, NextID: db.ids.next, Entropy: db.o.Entropy, Namespace: schema.DefaultNamespace}
}
