package duck

import (
	"errors"
	"fmt"
	"strings"
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

// errWord is the error of a text that is not as generated texts are.
var errWord = errors.New("the text for DuckDB holds a comment, a quoting that is never generated, or an unfinished one")

// checkWords refuses a text that calls a forbidden function. It is the second
// lock: the first is that only generated text comes here. It knows the two ways
// of quoting that generated texts have and refuses all others.
func checkWords(text string) error {
	word := "" // what stands right before, if it can be the name of a function
	for i := 0; i < len(text); {
		c, rest := text[i], text[i:]
		switch {
		case c == '(':
			if err := checkCall(word); err != nil {
				return err
			}
			word = ""
			i++
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '\'' || c == '"':
			quoted, length := unquote(rest)
			if length == 0 || c == '\'' && i > 0 && isWord(text[i-1]) {
				return errWord
			}
			word = ""
			if c == '"' {
				word = quoted
			}
			i += length
		case strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "/*") || c == '$' && (len(rest) < 2 || rest[1] < '1' || rest[1] > '9'):
			return errWord
		case isWord(c):
			length := 1
			for length < len(rest) && isWord(rest[length]) {
				length++
			}
			word = rest[:length]
			i += length
		default:
			word = ""
			i++
		}
	}
	return nil
}

// checkCall refuses a function.
func checkCall(name string) error {
	name = strings.ToLower(name)
	for _, f := range forbidden {
		if name == f || strings.HasSuffix(f, "_") && strings.HasPrefix(name, f) {
			return fmt.Errorf("the text for DuckDB calls %s", f)
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
