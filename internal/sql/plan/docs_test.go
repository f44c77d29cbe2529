package plan

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kalamdb/internal/datum"
)

const docsPath = "../../../docs/sql/functions.md"

// TestDocs compares docs/sql/functions.md with the catalogue; with -rewrite it
// writes the file anew.
func TestDocs(t *testing.T) {
	checkPage(t, "../../../docs/sql/types.md", typesPage())
	want := docs()
	if f := flag.Lookup("rewrite"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(filepath.FromSlash(docsPath), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(filepath.FromSlash(docsPath))
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("%s differs from the catalogue; go test ./internal/sql/plan -rewrite writes it", docsPath)
	}
}

// docs prints the catalogue as a page.
func docs() string {
	var b strings.Builder
	native, faults := docsNative(), docsFaults()
	b.WriteString(docsHead)
	chapter := ""
	var last *Function
	for i, f := range Functions() {
		if strings.HasPrefix(f.Name, "_") {
			continue
		}
		if f.Chapter != chapter {
			chapter, last = f.Chapter, nil
			b.WriteString("\n## " + chapter + "\n\n| form | gives | faults | DuckDB | meaning |\n|---|---|---|---|---|\n")
		}
		b.WriteString("| " + docsForm(f) + " | " + docsCell(f.ResultName()) + " | " + faults[f.Signature()] + " | " + native[i] + " | " + docsMeaning(f, last) + " |\n")
		last = f
	}
	b.WriteString(docsTables())
	b.WriteString(docsTail())
	b.WriteString(docsDeviations())
	return b.String()
}

// docsTables prints the functions that stand in FROM.
func docsTables() string {
	var b strings.Builder
	b.WriteString("\n## Functions in FROM\n\nWITH ORDINALITY adds a column that counts the rows. A NULL among the arguments gives no row unless a line says otherwise.\n\n| form | columns | meaning |\n|---|---|---|\n")
	last := ""
	for _, f := range TableFunctions() {
		form, doc := "`"+docsCell(f.Signature())+"`", f.Doc
		if len(f.Aliases) > 0 {
			form += ", also `" + strings.Join(f.Aliases, "`, `") + "`"
		}
		if doc == last {
			doc = "the same"
		}
		last = f.Doc
		b.WriteString("| " + form + " | " + f.ResultName() + " | " + doc + " |\n")
	}
	return b.String()
}

const docsHead = `# Operators, functions and casts

This page is printed from the catalogue in ` + "`internal/sql/plan`" + ` by its tests. NULL as an argument gives NULL unless a line says otherwise.
*Stable* functions have one value per statement, *volatile* ones are called anew for each row; all others depend on their arguments only.
"number" is any numeric type, "integer" SMALLINT, INT or BIGINT, "any" every type, "same" the common type of all such arguments; "…" repeats the last argument.

A quoted string without a type, and a parameter, take the type that their place asks for; where nothing asks, a string is TEXT and a parameter what it came as: BIGINT, DOUBLE, BOOLEAN or TEXT. Of several forms the one that needs the fewest conversions is
taken; integers become DECIMAL or DOUBLE, a DATE becomes a TIMESTAMP, JSON and FILE are taken as TEXT, nothing else is converted by itself.
No function builds more than 16 MiB, nor do those of one row together; more is LIMIT_EXCEEDED.

"Faults" are the codes that tests have met with NULL, empty and extreme arguments; an argument of a wrong type is TYPE_MISMATCH everywhere. "DuckDB" says how
the analytic path gets the entry over columns: *same*, it computes it natively; *rewritten*, natively in other words; *gathered*, it brings the rows together and
our code computes; *called back*, our code computes it for each row, as on the row path; *a constant*, it is known before.
`

func docsForm(f *Function) string {
	form := f.Signature()
	switch {
	case len(f.args) == 0 && f.op == Count:
		form = "count(*)"
	case f.Operator && len(f.args) == 3:
		form += " ESCAPE TEXT"
	}
	text := "`" + strings.ReplaceAll(form, "|", "\\|") + "`"
	if len(f.Aliases) > 0 {
		text += ", also `" + strings.Join(f.Aliases, "`, `") + "`"
	}
	return text
}

func docsCell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

// docsMeaning leaves out what the line above says already.
func docsMeaning(f, last *Function) string {
	text := f.Doc
	if last != nil && last.Name == f.Name && last.Doc == f.Doc && last.Operator == f.Operator {
		text = "the same"
	}
	if f.Volatility != Immutable {
		text += " *" + strings.ToUpper(f.Volatility.String()[:1]) + f.Volatility.String()[1:] + ".*"
	}
	return docsCell(text)
}

// docsTail lists the forms of the grammar and the casts.
func docsTail() string {
	var b strings.Builder
	b.WriteString(`
## Forms of the grammar

| form | meaning |
|---|---|
| ` + "`x AND y`, `x OR y`, `NOT x`" + ` | three-valued logic; the operand that decides ends the evaluation |
| ` + "`x IS [NOT] NULL`, `x IS [NOT] TRUE`, `FALSE`, `UNKNOWN`" + ` | tests that never give NULL |
| ` + "`x [NOT] IN (a, b, …)`" + ` | whether x equals one of the list; NULL if it does not and a NULL is among them |
| ` + "`x [NOT] BETWEEN [SYMMETRIC] a AND b`" + ` | x >= a AND x <= b; SYMMETRIC takes the bounds in either order |
| ` + "`CASE [x] WHEN a THEN r … [ELSE s] END`" + ` | the result of the first arm whose condition holds, else s or NULL |
| ` + "`CAST(x AS t)`, `x::t`, `TRY_CAST(x AS t)`" + ` | conversion; TRY_CAST gives NULL where CAST fails |
| ` + "`aggregate([DISTINCT] x) [FILTER (WHERE c)]`" + ` | over the rows of a group, over different values only, over rows that meet c |
| ` + "`aggregate(x ORDER BY y)`, `aggregate(f) WITHIN GROUP (ORDER BY y)`" + ` | over the rows in an order; the second form is that of the aggregates that need one |
| ` + "`f(x) OVER ([PARTITION BY …] [ORDER BY …] [frame])`" + ` | a window function, or an aggregate, over the rows around each row |
| ` + "`(a, b) = (c, d)`, `(a, b) IN ((c, d), …)`" + ` | rows compared item by item; < and the like decide by the first items that differ |
| ` + "`(SELECT …)`, `EXISTS (SELECT …)`, `x [NOT] IN (SELECT …)`, `x op ANY (SELECT …)`, `x op ALL (SELECT …)`" + ` | queries in expressions; the first gives its one value, NULL for no row |
| ` + "`GROUPING(a, b)`" + ` | a bit for each argument: 1 where the grouping set of the row leaves it out |
| ` + "`x COLLATE \"C\"`" + ` | x: text is always compared byte by byte |

## Casts

Text is parsed, and every type has a text. × marks what CAST does between the other types.

`)
	b.WriteString(castTable())
	return b.String()
}

// castTable asks datum which casts there are.
func castTable() string {
	kinds := []datum.Type{boolType, {Kind: datum.SmallInt}, intType, bigintType, floatType, doubleType, wholeType, dateType, timeType, timestampType, datetimeType, intervalType, uuidType}
	var b strings.Builder
	b.WriteString("| from \\ to |")
	for _, to := range kinds {
		b.WriteString(" " + to.Kind.String() + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(kinds)) + "\n")
	for _, from := range kinds {
		b.WriteString("| " + from.Kind.String() + " |")
		for _, to := range kinds {
			mark := " × |"
			if castable(from, to) != nil {
				mark = "  |"
			}
			b.WriteString(mark)
		}
		b.WriteString("\n")
	}
	b.WriteString("\nJSON numbers and booleans become SQL ones; JSON and EMBEDDING become each other; arrays of numbers become an EMBEDDING; 16 BYTES become a UUID.\n")
	return b.String()
}
