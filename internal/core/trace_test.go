package core_test

import (
	"context"
	"testing"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/datum"
)

// deaf is a Tracer that nobody listens to.
type deaf struct{}

func (deaf) Statement(ctx context.Context) (context.Context, core.StatementSpan) { return ctx, nil }
func (deaf) Commit(context.Context) core.Span                                    { return nil }
func (deaf) Job(ctx context.Context, _, _ string) (context.Context, core.Span)   { return ctx, nil }

// TestTracingIsFree: a point read and an insert allocate the same without a
// tracer and with one that keeps nothing: what hears of them takes no memory.
func TestTracingIsFree(t *testing.T) {
	allocations := func(tracer core.Tracer) (read, insert float64) {
		db := openDB(t, func(o *core.Options) { o.Tracer = tracer })
		mustRun(t, db, root, "CREATE NAMESPACE f; CREATE SHARED TABLE f.t (id BIGINT PRIMARY KEY, v TEXT); INSERT INTO f.t VALUES (1, 'a')")
		id := int64(1)
		execute := func(s *auth.Session, sql string) {
			results, err := db.Execute(t.Context(), s, core.Request{SQL: sql, Params: []datum.Value{datum.NewInt(datum.BigInt, id)}})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if r.Kind == core.Rows {
					_, _ = r.Next(t.Context())
				}
				r.Close()
			}
		}
		read = testing.AllocsPerRun(2000, func() { execute(root, "SELECT v FROM f.t WHERE id = $1") })
		insert = testing.AllocsPerRun(500, func() {
			id++
			execute(root, "INSERT INTO f.t (id, v) VALUES ($1, 'b')")
		})
		return read, insert
	}
	read, insert := allocations(nil)
	readWith, insertWith := allocations(deaf{})
	t.Logf("a point read allocates %v, an insert %v", read, insert)
	if readWith > read || insertWith > insert+1 { // groups of commits differ
		t.Errorf("with a tracer they allocate %v and %v", readWith, insertWith)
	}
}
