package core_test

import (
	"context"
	"strings"
	"testing"

	"kalamdb/internal/core"
	"kalamdb/internal/datum"
)

// TestParametersGiveTypes: where a text leaves the type of a parameter open, it
// is that of the value, also when the same text comes with values of other
// types; elsewhere the place decides, as in PostgreSQL.
func TestParametersGiveTypes(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE p; CREATE SHARED TABLE p.t (id BIGINT PRIMARY KEY, v TEXT); INSERT INTO p.t VALUES (1, 'a')")
	n, f, yes, text := datum.NewInt(datum.BigInt, 10), datum.NewDouble(2.5), datum.NewBool(true), datum.NewText("9")
	for _, c := range []struct {
		sql    string
		params []datum.Value
		want   string
	}{
		{"SELECT $1", []datum.Value{n}, "BIGINT 10"},
		{"SELECT $1", []datum.Value{yes}, "BOOLEAN true"},
		{"SELECT $1", []datum.Value{f}, "DOUBLE 2.5"},
		{"SELECT $1", []datum.Value{text}, "TEXT 9"},
		{"SELECT $1", []datum.Value{{}}, "TEXT NULL"},
		{"SELECT $1 AS x FROM p.t", []datum.Value{n}, "BIGINT 10"},
		{"SELECT $1 AS x FROM p.t", []datum.Value{yes}, "BOOLEAN true"},
		{"SELECT $1 AS x FROM p.t", []datum.Value{n}, "BIGINT 10"},
		{"SELECT $1 AS x FROM p.t", []datum.Value{{}}, "TEXT NULL"},
		{"SELECT $1 AS x FROM p.t JOIN p.t u ON TRUE", []datum.Value{n}, "BIGINT 10"},
		{"SELECT $1 AS x FROM p.t JOIN p.t u ON TRUE", []datum.Value{yes}, "BOOLEAN true"},
		{"SELECT $1 + $2", []datum.Value{n, n}, "BIGINT 20"},
		{"SELECT $1 + $2", []datum.Value{n, f}, "DOUBLE 12.5"},
		{"SELECT -$1", []datum.Value{n}, "BIGINT -10"},
		{"SELECT abs($1)", []datum.Value{n}, "BIGINT 10"},
		{"SELECT $1 > $2", []datum.Value{n, datum.NewInt(datum.BigInt, 9)}, "BOOLEAN true"},
		{"SELECT $1 > $2", []datum.Value{datum.NewText("10"), text}, "BOOLEAN false"},
		{"SELECT COALESCE($1, $2)", []datum.Value{{}, n}, "BIGINT 10"},
		{"SELECT CASE WHEN $1 THEN $2 ELSE $3 END", []datum.Value{yes, n, n}, "BIGINT 10"},
		{"SELECT upper($1)", []datum.Value{n}, "TEXT 10"},
		{"SELECT length($1)", []datum.Value{n}, "INT 2"},
		{"SELECT $1 + 1", []datum.Value{n}, "INT 11"},
		{"SELECT $1 || 'x'", []datum.Value{n}, "TEXT 10x"},
		{"SELECT id + $1 FROM p.t", []datum.Value{n}, "BIGINT 11"},
		{"SELECT v FROM p.t WHERE id = $1", []datum.Value{datum.NewText("1")}, "TEXT a"},
		{"SELECT v FROM p.t WHERE v < $1", []datum.Value{n}, ""},
		{"SELECT max(x) FROM (VALUES ($1), ($2)) AS v(x)", []datum.Value{n, n}, "BIGINT 10"},
		{"SELECT DISTINCT $1 FROM p.t", []datum.Value{n}, "BIGINT 10"},
		{"INSERT INTO p.t VALUES (2, $1) RETURNING v", []datum.Value{n}, "TEXT 10"},
		{"SELECT v FROM p.t WHERE id = 2", nil, "TEXT 10"},
		{"UPDATE p.t SET v = 'q' WHERE id = 2 RETURNING v", nil, "TEXT q"},
		{"UPDATE p.t SET v = $1 WHERE id = 2 RETURNING v", []datum.Value{n}, "TEXT 10"},
		{"UPDATE p.t SET v = $1 WHERE id = 2 RETURNING $2", []datum.Value{f, yes}, "BOOLEAN true"},
	} {
		results, err := db.Execute(context.Background(), root, core.Request{SQL: c.sql, Params: c.params})
		if err != nil {
			t.Errorf("%s %v: %v", c.sql, c.params, err)
			continue
		}
		var got []string
		rows, err := results[0].Next(context.Background())
		for _, row := range rows {
			cell := "NULL"
			if !row[0].IsNull() {
				cell = row[0].String()
			}
			got = append(got, results[0].Columns[0].Type.String()+" "+cell)
		}
		results[0].Close()
		if s := strings.Join(got, "; "); err != nil || s != c.want {
			t.Errorf("%s %v: %s, %v; want %s", c.sql, c.params, s, err, c.want)
		}
	}
}
