package parse

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// sentences writes random statements of the kinds that Normalize touches.
type sentences struct {
	*rand.Rand
	depth int
}

func (r *sentences) pick(of ...string) string { return of[r.IntN(len(of))] }

func (r *sentences) list(n int, sep string, item func() string) string {
	parts := make([]string, 1+r.IntN(n))
	for i := range parts {
		parts[i] = item()
	}
	return strings.Join(parts, sep)
}

func (r *sentences) literal() string {
	return r.pick("1", "0", "-1", "- 7", "+3", "2147483647", "2147483648", "-2147483648", "-2147483649", "9223372036854775807",
		"9223372036854775808", "1.5", "-0.50", ".5", "5.", "1e3", "-1.5E-2", "'a'", "'it''s'", "''", "'1'", "TRUE", "NULL",
		"X'0A'", "E'x\\n'", "$$d$$", "DATE '2026-01-01'", "INTERVAL '1h'", "INTERVAL '2' DAY", "1_000", "0x1F", "$1", "$7",
		"'a'::text", "-5::int", "- 5::int", "5 ::bigint", "'2'::decimal(5,1)", "/* 9 */ 3", "4 -- 5\n", "U&'x'", "N'x'")
}

func (r *sentences) operand() string {
	if r.depth > 3 || r.IntN(3) == 0 {
		return r.pick(r.literal(), r.literal(), "a", "t.b", `"C"`, "`d`", "doc", "current_user()")
	}
	r.depth++
	defer func() { r.depth-- }()
	x, y := r.operand, r.operand
	switch r.IntN(14) {
	case 0:
		return x() + r.pick("+", " + ", "-", " - ", " -", "- ", "*", "/", "%", "||", "->", "->>", "?") + y()
	case 1:
		return "(" + x() + ")"
	case 2:
		return r.pick("f", "coalesce", "round", "date_trunc", "json_get") + "(" + r.list(3, r.pick(", ", ","), x) + ")"
	case 3:
		return "CASE WHEN " + r.condition() + " THEN " + x() + " ELSE " + y() + " END"
	case 4:
		return "CAST(" + x() + " AS " + r.pick("TEXT", "DECIMAL(10,2)", "VARCHAR(3)", "STRING", "EMBEDDING(3)") + ")"
	case 5:
		return "(" + x() + ")::" + r.pick("int", "numeric(5, 2)", "text", "timestamp(6)")
	case 6:
		return "EXTRACT(" + r.pick("year", "'month'") + " FROM " + x() + ")"
	case 7:
		return "substring(" + x() + " FROM 2 FOR " + r.literal() + ")"
	case 8:
		return r.pick("-", "+", "- ", "-(-", "- - ") + "(" + x() + ")" + strings.Repeat(")", 0)
	case 9:
		return "position(" + x() + " IN " + y() + ")"
	case 10:
		return "trim(BOTH 'x' FROM " + x() + ")"
	case 11:
		return x() + " AT TIME ZONE 'UTC'"
	case 12:
		return "TRY_CAST(" + x() + " AS INT)"
	}
	return r.literal()
}

func (r *sentences) condition() string {
	x, y := r.operand, r.operand
	if r.depth > 3 {
		return "a = " + r.literal()
	}
	r.depth++
	defer func() { r.depth-- }()
	switch r.IntN(12) {
	case 0, 1, 2:
		return x() + r.pick(" = ", "=", "<>", " != ", "<", ">=", "==", " ~ ") + y()
	case 3:
		return r.condition() + r.pick(" AND ", " OR ", " and\n") + r.condition()
	case 4:
		return "NOT (" + r.condition() + ")"
	case 5:
		return "a" + r.pick(" IN (", " NOT IN (", " in(") + r.list(4, ", ", r.literal) + ")"
	case 6:
		return "a" + r.pick(" BETWEEN ", " NOT BETWEEN ", " BETWEEN SYMMETRIC ") + r.literal() + " AND " + r.literal()
	case 7:
		return "a" + r.pick(" LIKE ", " NOT ILIKE ") + "'a%'" + r.pick("", " ESCAPE '!'")
	case 8:
		return "a IS" + r.pick("", " NOT") + r.pick(" NULL", " TRUE", " DISTINCT FROM "+r.literal())
	case 9:
		return "a = ANY (ARRAY[" + r.list(3, ",", r.literal) + "])"
	case 10:
		return "a IN (SELECT " + r.literal() + " FROM u WHERE b = " + r.literal() + ")"
	}
	return "a < " + r.literal()
}

func (r *sentences) statement() string {
	where := ""
	if r.IntN(4) > 0 {
		where = " WHERE " + r.condition()
	}
	switch r.IntN(4) {
	case 0:
		row := func() string {
			return "(" + r.list(4, ", ", func() string { return r.pick("DEFAULT", r.literal(), r.literal(), r.operand()) }) + ")"
		}
		return "INSERT INTO t (a, b) VALUES " + r.list(3, ",", row) + r.pick("", "", " RETURNING a, 5", " ON CONFLICT (a) DO UPDATE SET b = 7", ",")
	case 1:
		set := func() string { return r.pick("a", "b") + r.pick(" = ", "=") + r.operand() }
		return "UPDATE t SET " + r.list(3, ", ", set) + where + r.pick("", " RETURNING 3")
	case 2:
		return r.pick("DELETE FROM t", "delete from ns.t AS t") + where + r.pick("", ";")
	}
	return "SELECT " + r.list(3, ", ", r.operand) + " FROM t" + where +
		r.pick("", " GROUP BY 1, a", " HAVING count(*) > 3") + r.pick("", " ORDER BY 2, a + 1 DESC") +
		r.pick("", " LIMIT 5", " LIMIT $2", " FETCH FIRST 4 ROWS ONLY") + r.pick("", " OFFSET 3", ";")
}

// TestNormalizeRandom checks random statements as FuzzNormalize does.
func TestNormalizeRandom(t *testing.T) {
	r := &sentences{Rand: rand.New(rand.NewPCG(1, 2))}
	parsed, shared := 0, 0
	for range 1_500 {
		text := r.statement()
		checkNormalize(t, text)
		if _, err := Parse(text); err == nil {
			parsed++
		}
		n, err := Normalize(text)
		if err == nil && len(n.Literals) > 0 {
			if _, err := ParseNormalized(n); err == nil && len(n.Literals) > 0 {
				shared++
			}
		}
	}
	if parsed < 700 || shared < 400 {
		t.Errorf("of 1500 statements %d parse and %d share their plans; the generator tests too little", parsed, shared)
	}
}
