package parse

import (
	"strings"
	"testing"

	"kalamdb/internal/fault"
)

// nestings build a statement of about n levels.
var nestings = map[string]func(n int) string{
	"brackets":   func(n int) string { return "SELECT " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n) },
	"operators":  func(n int) string { return "SELECT 1" + strings.Repeat("+1", n) },
	"minus":      func(n int) string { return "SELECT " + strings.Repeat("- ", n) + "a" },
	"not":        func(n int) string { return "SELECT " + strings.Repeat("NOT ", n) + "a" },
	"functions":  func(n int) string { return "SELECT " + strings.Repeat("f(", n) + "1" + strings.Repeat(")", n) },
	"subqueries": func(n int) string { return strings.Repeat("SELECT (", n) + "SELECT 1" + strings.Repeat(")", n) },
	"from": func(n int) string {
		return strings.Repeat("SELECT a FROM (", n) + "SELECT 1" + strings.Repeat(") x", n)
	},
	"casts": func(n int) string { return "SELECT 1" + strings.Repeat("::int", n) },
	"case": func(n int) string {
		return "SELECT " + strings.Repeat("CASE WHEN ", n) + "a" + strings.Repeat(" THEN 1 END", n)
	},
	"else": func(n int) string {
		return "SELECT " + strings.Repeat("CASE WHEN a THEN 1 ELSE ", n) + "a" + strings.Repeat(" END", n)
	},
	"unions":      func(n int) string { return "SELECT a, b" + strings.Repeat(" UNION SELECT a, b", n) },
	"joins":       func(n int) string { return "SELECT 1 FROM t" + strings.Repeat(" JOIN t ON a AND b", n) },
	"in":          func(n int) string { return "SELECT " + strings.Repeat("a IN (b, ", n) + "1" + strings.Repeat(")", n) },
	"between not": func(n int) string { return "SELECT a" + strings.Repeat(" BETWEEN 1 AND NOT a", n) },
	"distinct from": func(n int) string {
		return "SELECT a" + strings.Repeat(" IS DISTINCT FROM NOT a", n)
	},
	"reserved fields": func(n int) string { return "SELECT t.and" + strings.Repeat(" + t.or", n) },
	"sums after brackets": func(n int) string {
		return "SELECT " + strings.Repeat("(", n/8) + "1" + strings.Repeat("+1+1+1+1+1+1+1)", n/8)
	},
	"with": func(n int) string {
		return strings.Repeat("WITH x AS (", n) + "SELECT 1" + strings.Repeat(") SELECT 1", n)
	},
	"array":     func(n int) string { return "SELECT " + strings.Repeat("ARRAY[", n) + "1" + strings.Repeat("]", n) },
	"collate":   func(n int) string { return "SELECT a" + strings.Repeat(" COLLATE x", n) },
	"time zone": func(n int) string { return "SELECT a" + strings.Repeat(" AT TIME ZONE b", n) },
	"default": func(n int) string {
		return "CREATE TABLE t (a INT DEFAULT " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n) + ")"
	},
}

func TestDepth(t *testing.T) {
	for name, text := range nestings {
		if _, err := Parse(text(150)); err != nil && !fault.Is(err, fault.Syntax) {
			t.Errorf("%s: 150 levels give %v", name, err)
		}
		for _, n := range []int{700, 5_000, 100_000} {
			if _, err := Parse(text(n)); !fault.Is(err, fault.LimitExceeded) || !strings.Contains(err.Error(), "execution.max_expression_depth") {
				t.Errorf("%s: %d levels give %.200v", name, n, err)
			}
		}
		// The deepest nesting that any configuration allows is safe.
		for _, n := range []int{900, 1_000, 1_020, 1_100} {
			if _, err := (Options{MaxDepth: 1 << 30}).Parse(text(n)); err != nil && !fault.Is(err, fault.Syntax) && !fault.Is(err, fault.LimitExceeded) {
				t.Errorf("%s: %d levels give %v", name, n, err)
			}
		}
	}
}

// TestLong shows that long is not deep.
func TestLong(t *testing.T) {
	for name, text := range map[string]string{
		"and":     "SELECT 1 FROM t WHERE a = 0" + strings.Repeat(" AND a = 1", 5_000),
		"or":      "SELECT 1 FROM t WHERE a = 0" + strings.Repeat(" OR a = 1 AND b = - 2", 5_000),
		"list":    "SELECT 1 FROM t WHERE a IN (0" + strings.Repeat(", 1 + 1", 5_000) + ")",
		"rows":    "INSERT INTO t VALUES (0)" + strings.Repeat(", (- 1 + 1)", 5_000),
		"columns": "SELECT 1" + strings.Repeat(", a || b", 5_000),
		"between": "SELECT 1 FROM t WHERE a BETWEEN 1 AND 2" + strings.Repeat(" AND a BETWEEN 1 AND 2", 5_000),
	} {
		st, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		Print(st)
	}
}
