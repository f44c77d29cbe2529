package live

import (
	"fmt"
	"math/rand/v2"

	"kalamdb/internal/datum"
)

// FilterColumns declares the columns that RandomFilter speaks of.
const FilterColumns = "id BIGINT PRIMARY KEY, k INT, v INT, d DOUBLE, n DECIMAL(10,2), t TEXT, b BOOLEAN, at TIMESTAMP, doc JSON"

// words are what texts are made of, so that equal ones and prefixes meet.
var words = []string{"", "a", "ab", "abc", "abd", "b", "ba", "B", "éa", "a%", "a_c", "zz"}

func oneOf(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// RandomFilter returns a condition of all that WHERE may say; it raises no fault.
func RandomFilter(r *rand.Rand, depth int) string {
	if depth > 0 {
		switch r.IntN(8) {
		case 0, 1, 2:
			return "(" + RandomFilter(r, depth-1) + " AND " + RandomFilter(r, depth-1) + ")"
		case 3, 4:
			return "(" + RandomFilter(r, depth-1) + " OR " + RandomFilter(r, depth-1) + ")"
		case 5:
			return "(NOT " + RandomFilter(r, depth-1) + ")"
		}
	}
	switch r.IntN(10) {
	case 0, 1, 2, 3:
		return randomNumbers(r)
	case 4, 5, 6:
		return randomTexts(r)
	case 7:
		return oneOf(r, "b", "NOT b", "b = false", "b IS NOT TRUE", "(k = 3) IS FALSE", "b IS NULL", "TRUE", "NULL = 1")
	case 8:
		return oneOf(r, "at >= '2026-01-02'", "at < TIMESTAMP '2026-01-03 04:00:00'", "at BETWEEN '2026-01-01' AND '2026-01-02'",
			"at::DATE = DATE '2026-01-02'", "EXTRACT(DAY FROM at) > 2", "at IS NULL", "at + INTERVAL '1 day' > '2026-01-04'")
	}
	return oneOf(r, "doc->>'a' = 'x'", "(doc->>'n')::INT > 3", "doc @> '{\"a\":\"x\"}'", "doc ? 'n'", "doc->'l'->>0 = '1'", "doc IS NULL",
		"'a' = ANY(ARRAY[t, 'x'])", "ARRAY['a','b'] @> ARRAY[t]", "(string_to_array(t, 'b'))[1] = 'a'", "k = ANY(ARRAY[1,2,3])", "k <> ALL(ARRAY[4,5])", "ARRAY[k, v] && ARRAY[3]")
}

func randomNumbers(r *rand.Rand) string {
	column := oneOf(r, "id", "k", "k", "v", "v", "d", "n")
	number := func() string {
		return oneOf(r, fmt.Sprint(r.IntN(12)), fmt.Sprint(r.IntN(12)), fmt.Sprintf("%d.5", r.IntN(10)))
	}
	switch r.IntN(9) {
	case 0, 1, 2:
		return column + " = " + number()
	case 3:
		return number() + oneOf(r, " < ", " <= ", " > ", " >= ", " <> ") + column
	case 4:
		return column + oneOf(r, " < ", " <= ", " > ", " >= ", " <> ") + number()
	case 5:
		return column + oneOf(r, " BETWEEN ", " NOT BETWEEN ") + number() + " AND " + number()
	case 6:
		return column + oneOf(r, " IN (", " NOT IN (") + number() + ", " + number() + oneOf(r, "", ", NULL") + ")"
	case 7:
		return column + oneOf(r, " IS NULL", " IS NOT NULL", " IS DISTINCT FROM 3", " IS NOT DISTINCT FROM 3", " IS NOT DISTINCT FROM NULL")
	}
	return oneOf(r, "v % 3 = 1", "abs(v - 5) < 2", "coalesce(k, 7) = 7", "k = v", "greatest(k, v) > 8", "CASE WHEN k > 3 THEN b ELSE v = 1 END", "k + v = 9")
}

func randomTexts(r *rand.Rand) string {
	word := func() string { return "'" + words[r.IntN(len(words))] + "'" }
	switch r.IntN(6) {
	case 0:
		return "t = " + word()
	case 1:
		return "t" + oneOf(r, " < ", ">=", " <> ") + word()
	case 2:
		return "t IN (" + word() + ", " + word() + ")"
	case 3:
		return "t" + oneOf(r, " LIKE ", " NOT LIKE ", " LIKE ", " ILIKE ") + oneOf(r, "'a%'", "'ab%'", "'abc'", "'%a'", "'a_c'", "'_b%'", "'%'", "'é%'", `'a\%'`, "'a!%%' ESCAPE '!'")
	case 4:
		return oneOf(r, "starts_with(t, 'ab')", "lower(t) = 'b'", "length(t) = 2", "t ~ '^a'", "t || 'x' = 'abx'", "t IS NULL", "substr(t, 1, 1) = 'a'", "coalesce(t, '') = ''")
	}
	return "t IS NOT DISTINCT FROM " + word()
}

// RandomValues returns what a row of FilterColumns has beside its id, as SQL.
func RandomValues(r *rand.Rand) []string {
	or := func(text string) string {
		if r.IntN(6) == 0 {
			return "NULL"
		}
		return text
	}
	return []string{
		or(fmt.Sprint(r.IntN(12))), or(fmt.Sprint(r.IntN(12))), or(fmt.Sprintf("%d.5", r.IntN(12))), or(fmt.Sprint(r.IntN(12))),
		or("'" + words[r.IntN(len(words))] + "'"), or(oneOf(r, "true", "false")),
		or(fmt.Sprintf("'2026-01-0%d 0%d:00:00'", 1+r.IntN(4), r.IntN(9))),
		or(oneOf(r, `'{"a":"x"}'`, `'{"a":"y","n":5}'`, `'{"n":1,"l":[1]}'`, "'{}'")),
	}
}

// randomRow returns a row of the first seven columns of FilterColumns.
func randomRow(r *rand.Rand, row []datum.Value) {
	or := func(v datum.Value) datum.Value {
		if r.IntN(6) == 0 {
			return datum.NullValue
		}
		return v
	}
	integer := func() datum.Value { return datum.NewInt(datum.Int, int64(r.IntN(12))) }
	decimal, _ := datum.ParseDecimal(fmt.Sprintf("%d.5", r.IntN(12)))
	row[0] = datum.NewInt(datum.BigInt, int64(r.IntN(12)))
	row[1], row[2] = or(integer()), or(integer())
	row[3], row[4] = or(datum.NewDouble(float64(r.IntN(24))/2)), or(decimal)
	row[5], row[6] = or(datum.NewText(words[r.IntN(len(words))])), or(datum.NewBool(r.IntN(2) == 0))
}
