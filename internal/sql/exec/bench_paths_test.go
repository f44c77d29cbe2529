package exec

import (
	"context"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
)

// steady hands out the rows of a table without copying them.
type steady struct{ *memory }

func (s steady) Scan(context.Context, source.Request) (source.Rows, error) {
	return &keptRows{rows: s.rows}, nil
}

// BenchmarkPaths runs statements that both paths have over many rows. The
// planner's choice of the row path rests on it.
func BenchmarkPaths(b *testing.B) {
	e := NewEngine(EngineOptions{})
	defer func() { _ = e.Close() }()
	w := numbers(200_000)
	for i, row := range w["t"].rows {
		row[0], row[1] = datum.NewInt(datum.BigInt, int64(i)), datum.NewInt(datum.Int, int64(i%10_000))
	}
	for _, text := range []string{
		"SELECT count(*) FROM t WHERE n > 5", "SELECT n, count(*), sum(id) FROM t GROUP BY n", "SELECT s, count(*), avg(n) FROM t GROUP BY s",
		"SELECT id FROM t ORDER BY s, n DESC LIMIT 10", "SELECT DISTINCT n FROM t", "SELECT n % 7, sum(id * 2) FROM t GROUP BY n % 7",
	} {
		q := bindSelect(b, w, text)
		tree, err := w.bindTree(text)
		if err != nil {
			b.Fatal(err)
		}
		a, _ := NewAnalytic(tree)
		drain := func(b *testing.B, r *Result, err error) {
			for err == nil {
				var rows [][]datum.Value
				if rows, err = r.Next(context.Background()); rows == nil && err == nil {
					r.Close()
					return
				}
			}
			b.Fatal(err)
		}
		b.Run("rows/"+text, func(b *testing.B) {
			for b.Loop() {
				r, err := Run(context.Background(), q, steady{w["t"]}, testEnv(), Limits{})
				drain(b, r, err)
			}
		})
		b.Run("tree/"+text, func(b *testing.B) {
			for b.Loop() {
				r, err := a.Run(context.Background(), e, func(*schema.Table) (source.Table, error) { return steady{w["t"]}, nil }, testEnv(), Limits{})
				drain(b, r, err)
			}
		})
	}
}
