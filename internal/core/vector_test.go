package core_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kalamdb/internal/core"
	"kalamdb/internal/datum"
	"kalamdb/internal/testkit"
)

// allRows are the rows of a query as text.
func allRows(t *testing.T, db *testkit.Database, sql string, params ...datum.Value) [][]string {
	t.Helper()
	results, err := db.Execute(context.Background(), root, core.Request{SQL: sql, Params: params})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer results[0].Close()
	var out [][]string
	for {
		rows, err := results[0].Next(context.Background())
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if rows == nil {
			return out
		}
		for _, row := range rows {
			cells := make([]string, len(row))
			for i, v := range row {
				cells[i] = v.String()
			}
			out = append(out, cells)
		}
	}
}

// distances are the metrics written down again, over float64.
var distances = map[string]func(a, b []float64) float64{
	"COSINE": func(a, b []float64) float64 {
		var dot, aa, bb float64
		for i := range a {
			dot, aa, bb = dot+a[i]*b[i], aa+a[i]*a[i], bb+b[i]*b[i]
		}
		if aa == 0 || bb == 0 {
			return 1
		}
		return 1 - dot/math.Sqrt(aa*bb)
	},
	"L2": func(a, b []float64) float64 {
		sum := 0.0
		for i := range a {
			sum += (a[i] - b[i]) * (a[i] - b[i])
		}
		return math.Sqrt(sum)
	},
	"DOT": func(a, b []float64) float64 {
		dot := 0.0
		for i := range a {
			dot += a[i] * b[i]
		}
		return -dot
	},
}

// TestNearestAgainstBruteForce: vector_search and ORDER BY a distance find what
// a loop over all vectors finds, among hot, cold, changed and deleted rows.
func TestNearestAgainstBruteForce(t *testing.T) {
	const dim, rows, k = 7, 300, 12
	r := rand.New(rand.NewPCG(7, 11))
	db := openDB(t, nil)
	mustRun(t, db, root, fmt.Sprintf("CREATE NAMESPACE v; CREATE SHARED TABLE v.t (id INT PRIMARY KEY, e EMBEDDING(%d))", dim))
	vectors := map[int][]float64{}
	random := func() []float64 {
		out := make([]float64, dim)
		for i := range out {
			out[i] = float64(r.IntN(33)-16) / 8 // exact in float32, with ties
		}
		return out
	}
	text := func(v []float64) string {
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = strconv.FormatFloat(x, 'g', -1, 64)
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	for id := range rows {
		v := random()
		vectors[id] = v
		mustRun(t, db, root, fmt.Sprintf("INSERT INTO v.t VALUES (%d, '%s')", id, text(v)))
		if id%100 == 99 {
			mustRun(t, db, root, "STORAGE FLUSH TABLE v.t")
		}
		switch old := r.IntN(id + 1); r.IntN(8) {
		case 0:
			mustRun(t, db, root, fmt.Sprintf("DELETE FROM v.t WHERE id = %d", old))
			delete(vectors, old)
		case 1:
			if vectors[old] != nil {
				vectors[old] = random()
				mustRun(t, db, root, fmt.Sprintf("UPDATE v.t SET e = '%s' WHERE id = %d", text(vectors[old]), old))
			}
		case 2:
			mustRun(t, db, root, fmt.Sprintf("UPDATE v.t SET e = NULL WHERE id = %d", old))
			delete(vectors, old)
		}
	}
	for metric, distance := range distances {
		mustRun(t, db, root, "ALTER TABLE v.t CREATE INDEX e USING "+metric)
		for range 20 {
			q := random()
			type near struct {
				id       int
				distance float32
			}
			var want []near
			for id, v := range vectors {
				want = append(want, near{id, float32(distance(q, v))})
			}
			slices.SortFunc(want, func(a, b near) int {
				if c := cmp.Compare(a.distance, b.distance); c != 0 {
					return c
				}
				return cmp.Compare(a.id, b.id)
			})
			got := allRows(t, db, fmt.Sprintf("SELECT * FROM vector_search('v.t', 'e', $1, %d)", k), datum.NewText(text(q)))
			operator := map[string]string{"COSINE": "<=>", "L2": "<->", "DOT": "<#>"}[metric]
			sorted := allRows(t, db, fmt.Sprintf("SELECT id, e %s '%s' FROM v.t WHERE e IS NOT NULL ORDER BY 2, id LIMIT %d", operator, text(q), k))
			if len(got) != k || len(sorted) != k {
				t.Fatalf("%s: %d and %d rows, want %d", metric, len(got), len(sorted), k)
			}
			for i, w := range want[:k] {
				if got[i][0] != strconv.Itoa(w.id) || sorted[i][0] != got[i][0] {
					t.Fatalf("%s of %s: row %d is %v by vector_search and %v by ORDER BY, want %v", metric, text(q), i, got[i], sorted[i], w)
				}
			}
		}
		mustRun(t, db, root, "ALTER TABLE v.t DROP INDEX e")
	}
}
