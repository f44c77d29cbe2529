package exec

import (
	"context"
	"testing"

	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
)

// BenchmarkJoin is a join of 1000 rows with 200, and what of it is the writing of
// its text.
func BenchmarkJoin(b *testing.B) {
	e := NewEngine(EngineOptions{})
	defer func() { _ = e.Close() }()
	w := numbers(1000)
	small := numbers(200)["t"]
	def := *small.def
	def.Name = "u"
	small.def = &def
	w["u"] = small
	tree, err := w.bindTree("SELECT t.s, count(*), sum(u.n) FROM t JOIN u ON u.id = t.n WHERE t.id > 5 GROUP BY t.s ORDER BY t.s")
	if err != nil {
		b.Fatal(err)
	}
	a, _ := NewAnalytic(tree)
	open := func(t *schema.Table) (source.Table, error) { return steady{w[t.Name]}, nil }
	b.Run("generate", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := a.generate(context.Background(), open, testEnv(), 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("run", func(b *testing.B) {
		for b.Loop() {
			r, err := a.Run(context.Background(), e, open, testEnv(), Limits{})
			if err != nil {
				b.Fatal(err)
			}
			for {
				rows, err := r.Next(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				if rows == nil {
					break
				}
			}
		}
	})
}
