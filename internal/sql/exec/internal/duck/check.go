package duck

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"kalamdb/internal/fault"
)

// DuckDB cannot be interrupted while it plans, so what makes planning slow is
// bounded: the time doubles with each subquery that stands inside of another as
// a value, and grows with the fourth power of the tables of a join. The depth of
// expressions is a setting.
const (
	mostSubqueries = 12
	mostScans      = 64
	mostDepth      = 250
)

// forbidden names functions that the lock-down leaves and that no generated text
// calls: they run text, show or change what belongs to all statements of an
// instance, read what was set aside on disk, or end the process (enable_logging
// with a file). A name that ends in _ forbids all that begin with it.
var forbidden = []string{
	"arrow_", "checkpoint", "current_query", "current_setting", "disable_", "duckdb_", "enable_", "force_checkpoint",
	"getvariable", "glob", "json_execute_", "parquet_", "pg_", "pragma_", "query", "query_table", "read_", "seq_scan", "sleep_ms",
	"sniff_", "sql_auto_complete", "truncate_", "which_secret", "write_log",
}

// tableWords stand before a subquery that is a table; before any other it is a
// value.
var tableWords = []string{"from", "join", "lateral", "as", "materialized", "union", "all", "except", "intersect", "("}

// errQuoting is the error of a text that is not as generated texts are.
var errQuoting = errors.New("the text for DuckDB holds a comment, a quoting that is never generated, or an unfinished one")

// errTable is the error of a text that reads a quoted name, which DuckDB takes
// for a file when there is no such table.
var errTable = errors.New("the text for DuckDB reads from a quoted name")

// errBegin is the error of a text that is no query. Binding one of those may be
// enough: EXPORT DATABASE makes its folder then.
var errBegin = errors.New("the text for DuckDB does not begin with SELECT or WITH")

// fromEnd are the words that end the tables of FROM.
var fromEnd = []string{"where", "group", "having", "window", "qualify", "order", "limit", "offset", "union", "except", "intersect", "select"}

// checker reads a text word by word.
type checker struct {
	tables     []int    // how many parentheses are open at each FROM whose tables are being read
	last       string   // what stands right before: a word in lower case, or one sign
	opened     []string // what stands before each open parenthesis
	values     []int    // how many of them are open at each subquery that is a value
	scans      int
	subqueries int // most open at once
}

// checkText refuses a text that calls a forbidden function, or that would keep
// DuckDB planning. It is the second lock: the first is that only generated text
// comes here. It knows the two ways of quoting that generated texts have and
// refuses all others.
func checkText(text string) error {
	var c checker
	if first, _, _ := strings.Cut(text, " "); !strings.EqualFold(first, "select") && !strings.EqualFold(first, "with") {
		return internal(errBegin)
	}
	for i := 0; i < len(text); {
		rest := text[i:]
		length := 1
		switch b := rest[0]; {
		case b == ' ' || b == '\t' || b == '\n' || b == '\r':
		case b == '\'' || b == '"':
			var name string
			name, length = unquote(rest)
			if length == 0 || b == '\'' && i > 0 && isWord(text[i-1]) {
				return internal(errQuoting)
			}
			if c.isTable() {
				return internal(errTable)
			}
			c.last = "'"
			if b == '"' {
				c.last = strings.ToLower(name)
			}
		case strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "/*") || b == '$' && (len(rest) < 2 || rest[1] < '1' || rest[1] > '9'):
			return internal(errQuoting)
		case isWord(b):
			for length < len(rest) && isWord(rest[length]) {
				length++
			}
			c.word(strings.ToLower(rest[:length]))
		default:
			if err := c.sign(b); err != nil {
				return err
			}
		}
		i += length
	}
	switch {
	case c.scans > mostScans:
		return fault.New(fault.LimitExceeded, "the statement reads %d tables, more than %d", c.scans, mostScans)
	case c.subqueries > mostSubqueries:
		return fault.New(fault.LimitExceeded, "the statement is nested too deeply: %d subqueries stand inside of each other, more than %d", c.subqueries, mostSubqueries)
	}
	return nil
}

func (c *checker) word(word string) {
	if n := len(c.opened); n > 0 && c.last == "(" && (word == "select" || word == "with") && !slices.Contains(tableWords, c.opened[n-1]) {
		c.values = append(c.values, n)
		c.subqueries = max(c.subqueries, len(c.values))
	}
	switch n := len(c.tables); {
	case word == "from" && c.last == "distinct":
		word = "distinct from" // an operator
	case word == "from" || word == "join":
		if n == 0 || c.tables[n-1] != len(c.opened) {
			c.tables = append(c.tables, len(c.opened))
		}
	case n > 0 && c.tables[n-1] == len(c.opened) && slices.Contains(fromEnd, word):
		c.tables = c.tables[:n-1]
	}
	c.last = word
}

// isTable reports whether a table stands next: after FROM, JOIN, and a comma
// between tables.
func (c *checker) isTable() bool {
	n := len(c.tables)
	return n > 0 && c.tables[n-1] == len(c.opened) && slices.Contains([]string{"from", "join", ",", "lateral", "."}, c.last)
}

func (c *checker) sign(b byte) error {
	switch b {
	case '(':
		if err := c.call(); err != nil {
			return err
		}
		c.opened = append(c.opened, c.last)
	case ')':
		n := len(c.opened)
		for t := len(c.tables); t > 0 && c.tables[t-1] >= n; t-- {
			c.tables = c.tables[:t-1]
		}
		if v := len(c.values); v > 0 && c.values[v-1] == n {
			c.values = c.values[:v-1]
		}
		c.opened = c.opened[:max(0, n-1)]
	}
	c.last = string(rune(b))
	return nil
}

// call looks at the name before a parenthesis.
func (c *checker) call() error {
	if c.last == "kscan" {
		c.scans++
	}
	for _, f := range forbidden {
		if c.last == f || strings.HasSuffix(f, "_") && strings.HasPrefix(c.last, f) {
			return internal(fmt.Errorf("the text for DuckDB calls %s", f))
		}
	}
	return nil
}

// isWord reports whether c can stand in a name without quotes.
func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

// unquote returns what the quotes at the begin of s hold, and their length with
// quotes; 0 if they do not end.
func unquote(s string) (quoted string, length int) {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		if s[i] != quote {
			continue
		}
		if i+1 < len(s) && s[i+1] == quote {
			i++
			continue
		}
		return strings.ReplaceAll(s[1:i], string([]byte{quote, quote}), string(quote)), i + 1
	}
	return "", 0
}
