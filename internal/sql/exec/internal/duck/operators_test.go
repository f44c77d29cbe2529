package duck_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/exec/internal/duck"
)

// TestOperators: operators that keep rows for longer than a chunk, over texts of
// all lengths and NULLs, give what plain Go gives, whatever the size of batches.
func TestOperators(t *testing.T) {
	e := duck.New(duck.Options{Memory: 128 << 20})
	defer e.Close()
	chance := rand.New(rand.NewPCG(1, 2))
	type row struct {
		id   int64
		text string
		null bool
	}
	for _, batch := range []int{1, 7, 1000, 1024} {
		in := &table{types: []datum.Type{bigint, text}, batch: batch}
		var plain []row
		for i := range 4500 {
			r := row{id: int64(i), null: chance.IntN(10) == 0}
			if !r.null {
				r.text = strings.Repeat(string(rune('a'+chance.IntN(26))), chance.IntN(60)) + fmt.Sprintf("é%04d", i)
			}
			plain = append(plain, r)
			v := datum.NewText(r.text)
			if r.null {
				v = datum.NullValue
			}
			in.rows = append(in.rows, []datum.Value{datum.NewInt(datum.BigInt, r.id), v})
		}
		show := func(r row) string {
			if r.null {
				return "-"
			}
			return r.text
		}
		lines := func(rows []row, f func(i int, r row) string) string {
			var out strings.Builder
			for i, r := range rows {
				if line := f(i, r); line != "" {
					out.WriteString(line + "\n")
				}
			}
			return out.String()
		}
		byText := slices.Clone(plain)
		slices.SortFunc(byText, func(a, b row) int {
			if a.null != b.null { // descending, NULL comes first
				return map[bool]int{true: -1, false: 1}[a.null]
			}
			return cmp.Or(strings.Compare(b.text, a.text), cmp.Compare(a.id, b.id))
		})
		all := lines(plain, func(_ int, r row) string {
			if r.null {
				return ""
			}
			return r.text + ","
		})
		all = strings.TrimSuffix(strings.ReplaceAll(all, ",\n", ","), ",")
		for _, c := range []struct{ text, want string }{
			{"SELECT c0::VARCHAR || ' ' || coalesce(c1, '-') FROM kscan(0) ORDER BY c1 DESC, c0",
				lines(byText, func(_ int, r row) string { return fmt.Sprint(r.id, " ", show(r)) })},
			{"SELECT coalesce(lag(c1) OVER (ORDER BY c0), '-') FROM kscan(0) ORDER BY c0",
				lines(plain, func(i int, _ row) string {
					if i == 0 {
						return "-"
					}
					return show(plain[i-1])
				})},
			{"SELECT string_agg(c1, ',' ORDER BY c0) FROM kscan(0)", all + "\n"},
			{"SELECT string_agg(c1, ',') FROM kscan(0)", all + "\n"},
			{"SELECT array_to_string(list(c1 ORDER BY c0), ',') FROM kscan(0)", all + "\n"},
			{"SELECT coalesce(a.c1, '-') || coalesce(b.c1, '-') FROM kscan(0) a JOIN kscan(0) b ON a.c0 = b.c0 + 1 ORDER BY a.c0",
				lines(plain, func(i int, r row) string {
					if i == 0 {
						return ""
					}
					return show(r) + show(plain[i-1])
				})},
			{"WITH m AS MATERIALIZED (SELECT * FROM kscan(0)) SELECT coalesce(a.c1, '-') FROM m a JOIN m b USING (c0) ORDER BY a.c0",
				lines(plain, func(_ int, r row) string { return show(r) })},
			{"SELECT c1 FROM (SELECT c1 FROM kscan(0) EXCEPT SELECT c1 FROM kscan(0) WHERE c0 <> 4321) WHERE c1 IS NOT NULL",
				lines(plain[4321:4322], func(_ int, r row) string { return r.text })},
			{"SELECT max(c1) FROM kscan(0) GROUP BY c0 ORDER BY c0",
				lines(plain, func(_ int, r row) string { return show(r) })},
			{"SELECT c1 FROM kscan(0) WHERE c0 IN (SELECT c0 FROM kscan(0) WHERE c1 IS NULL) ORDER BY c0",
				lines(plain, func(_ int, r row) string {
					if r.null {
						return "-"
					}
					return ""
				})},
		} {
			got, err := query(t.Context(), e, &duck.Statement{Text: c.text, Scans: []duck.Scan{in.scan()}, Columns: []datum.Type{text}})
			if err != nil {
				t.Fatalf("%s: %v", c.text, err)
			}
			var out strings.Builder
			for _, r := range got {
				if r[0].IsNull() {
					r[0] = datum.NewText("-")
				}
				out.WriteString(r[0].Text() + "\n")
			}
			if out.String() != c.want {
				t.Errorf("batches of %d, %s: %d rows differ", batch, c.text, len(got))
			}
		}
		if n := in.open.Load(); n != 0 {
			t.Errorf("%d scans are open", n)
		}
	}
}

// TestNearestToPostgres: the settings that bring DuckDB near are in force on each
// connection.
func TestNearestToPostgres(t *testing.T) {
	t.Setenv("TZ", "Asia/Tokyo")
	e := duck.New(duck.Options{})
	defer e.Close()
	for _, c := range []struct {
		text string
		typ  datum.Type
		want string
	}{
		{"SELECT 7 / 2", datum.Type{Kind: datum.Int}, "3"},
		{"SELECT string_agg(coalesce(x, 'null') , ' ' ORDER BY x) FROM (VALUES ('b'), (NULL), ('a')) v(x)", text, "a b null"},
		{"SELECT string_agg(coalesce(x, 'null') , ' ' ORDER BY x DESC) FROM (VALUES ('b'), (NULL), ('a')) v(x)", text, "null b a"},
		{"SELECT '2026-01-02 00:00:00+00'::TIMESTAMPTZ::VARCHAR", text, "2026-01-02 00:00:00+00"},
		{"SELECT ('Z' < 'a')::VARCHAR", text, "true"},
	} {
		got, err := query(t.Context(), e, &duck.Statement{Text: c.text, Columns: []datum.Type{c.typ}})
		if err != nil || got[0][0].String() != c.want {
			t.Errorf("%s: %v, %v, want %s", c.text, got, err, c.want)
		}
	}
}

// TestProjection: only the columns that the plan reads are filled.
func TestProjection(t *testing.T) {
	e := duck.New(duck.Options{})
	defer e.Close()
	// The second column would fail: its text is no UTF-8.
	in := &table{types: []datum.Type{bigint, text, bigint}, rows: [][]datum.Value{{datum.NewInt(datum.BigInt, 1), datum.NewText("\xff"), datum.NewInt(datum.BigInt, 3)}}}
	got, err := query(t.Context(), e, &duck.Statement{Text: "SELECT c2, c0 FROM kscan(0) WHERE c2 = 3", Scans: []duck.Scan{in.scan()}, Columns: []datum.Type{bigint, bigint}})
	if err != nil || got[0][0].Int() != 3 || got[0][1].Int() != 1 {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []duck.Scan{in.scan(), {Open: in.scan().Open}} { // the second delivers no column
		got, err = query(t.Context(), e, &duck.Statement{Text: "SELECT count(*) FROM kscan(0)", Scans: []duck.Scan{s}, Columns: []datum.Type{bigint}})
		if err != nil || got[0][0].Int() != 1 {
			t.Errorf("%v, %v", got, err)
		}
	}
	// Positions say where a column stands.
	s := in.scan()
	s.Types, s.Positions = s.Types[:1], []int{2}
	got, err = query(t.Context(), e, &duck.Statement{Text: "SELECT c0 FROM kscan(0)", Scans: []duck.Scan{s}, Columns: []datum.Type{bigint}})
	if err != nil || got[0][0].Int() != 3 {
		t.Errorf("%v, %v", got, err)
	}
}

// TestNested: what is just within the bounds runs, and tables may be nested more
// deeply than values.
func TestNested(t *testing.T) {
	e := duck.New(duck.Options{})
	defer e.Close()
	in := sequence(3, func(int) string { return "" })
	for _, text := range []string{
		"SELECT " + strings.Repeat("(SELECT c0 + ", 12) + "1" + strings.Repeat(" FROM kscan(0) LIMIT 1)", 12),
		"SELECT * FROM " + strings.Repeat("(SELECT c0 FROM ", 40) + "kscan(0)" + strings.Repeat(")", 40),
		"SELECT c0 FROM kscan(0)" + strings.Repeat(" UNION ALL SELECT c0 FROM kscan(0)", 63),
		"WITH a AS (SELECT c0 FROM kscan(0)), b AS MATERIALIZED (SELECT c0 FROM a) SELECT c0 FROM b WHERE c0 IN (SELECT c0 FROM a)",
		"SELECT " + strings.Repeat("(c0 + ", 100) + "1" + strings.Repeat(")", 100) + " FROM kscan(0)",
	} {
		if got, err := query(t.Context(), e, &duck.Statement{Text: text, Scans: []duck.Scan{in.scan()}, Columns: []datum.Type{bigint}}); err != nil || len(got) == 0 {
			t.Errorf("%.60s: %d rows, %v", text, len(got), err)
		}
	}
}
