package parse

import (
	"bytes"
	"strings"

	"kalamdb/internal/fault"
)

// longestName is the longest name that the grammar keeps whole.
const longestName = 63

// rewritten is a part of a text as the grammar takes it. It is as long as the
// user's, and every token stands where it stood.
type rewritten struct {
	text []byte
	// base is the place of text in the user's.
	base int
	// tries holds the offsets of the CASTs that were written TRY_CAST.
	tries map[int]bool
	// names holds what the stand-ins of names mean.
	names map[string]string
	next  rune
}

// rewrite copies tokens of src into a text of the same length in which
// everything else is blank, and replaces what the grammar refuses.
func rewrite(src string, toks []token) (*rewritten, error) {
	r := &rewritten{next: 0xE000}
	if len(toks) > 0 {
		r.base = toks[0].start
		r.text = bytes.Repeat([]byte{' '}, toks[len(toks)-1].end-r.base)
	}
	for i := 0; i < len(toks); i++ {
		t := toks[i]
		text := src[t.start:t.end]
		r.put(t, text)
		switch t.kind {
		case tokQuoted:
			if text[0] == '`' || len(text) > longestName+2 {
				if err := r.name(src, t); err != nil {
					return nil, err
				}
			}
		case tokWord:
			if len(text) > longestName {
				if err := r.name(src, t); err != nil {
					return nil, err
				}
				break
			}
			i += r.word(src, toks, i)
		case tokOperator:
			if text == "==" {
				r.put(t, "=")
			}
		case tokString, tokEscape:
			// Strings on separate lines are one string to PostgreSQL.
			if i > 0 && (toks[i-1].kind == tokString || toks[i-1].kind == tokEscape) && hasNewline(src, toks[i-1].end, t.start) {
				r.text[toks[i-1].end-r.base] = '\n'
			}
		case tokPunct:
			if text == "," && trailing(src, toks, i) {
				r.put(t, "")
			}
		}
	}
	return r, nil
}

// put writes text in the place of a token, which is at least as long.
func (r *rewritten) put(t token, text string) {
	place := r.text[t.start-r.base : t.end-r.base]
	for i := copy(place, text); i < len(place); i++ {
		place[i] = ' '
	}
}

// word replaces TRY_CAST( by CAST( and takes the brackets off CURRENT_USER()
// and its like, which are keywords to the grammar. It returns how many of the
// tokens behind are done with.
func (r *rewritten) word(src string, toks []token, i int) int {
	t := toks[i]
	open := i+1 < len(toks) && src[toks[i+1].start] == '('
	if !open || len(src[t.start:t.end]) < 8 || i > 0 && src[toks[i-1].start] == '.' {
		return 0
	}
	switch strings.ToUpper(src[t.start:t.end]) {
	case "TRY_CAST":
		r.put(t, "CAST")
		if r.tries == nil {
			r.tries = map[int]bool{}
		}
		r.tries[t.start] = true
	case "CURRENT_USER", "CURRENT_ROLE", "SESSION_USER", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP",
		"CURRENT_CATALOG", "LOCALTIME", "LOCALTIMESTAMP":
		if i+2 < len(toks) && src[toks[i+2].start] == ')' {
			return 2
		}
	}
	return 0
}

// name puts a stand-in, a quoted private character, in the place of a name that
// the grammar would refuse or cut.
func (r *rewritten) name(src string, t token) error {
	text := src[t.start:t.end]
	meant := foldName(text)
	if text[0] == '`' || text[0] == '"' {
		meant = unquoteName(text)
	}
	if simple := `"` + meant + `"`; len(simple) == len(text) && len(meant) <= longestName && !strings.Contains(meant, `"`) {
		r.put(t, simple)
		return nil
	}
	for strings.ContainsRune(src, r.next) {
		r.next++
	}
	if r.next > 0xF8FF {
		return fault.At(fault.LimitExceeded, t.start, "the statement has too many long names")
	}
	if r.names == nil {
		r.names = map[string]string{}
	}
	r.put(t, string(r.next))
	r.names[string(r.next)] = meant
	r.next++
	return nil
}

// trailing reports whether the comma at i ends a list.
func trailing(src string, toks []token, i int) bool {
	if i+1 >= len(toks) {
		return true
	}
	next := toks[i+1]
	switch next.kind {
	case tokPunct:
		return src[next.start] == ')' || src[next.start] == ';'
	case tokWord:
		switch strings.ToUpper(src[next.start:next.end]) {
		case "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FETCH", "UNION", "INTERSECT", "EXCEPT",
			"WINDOW", "RETURNING", "ON", "FOR", "INTO":
			return true
		}
	}
	return false
}

// hasNewline reports whether a line ends between two tokens outside of a block
// comment, as it must between strings that continue each other.
func hasNewline(src string, from, to int) bool {
	between := src[from:to]
	return strings.ContainsRune(between, '\n') && !strings.Contains(between, "/*")
}

// foldName returns a name in lower case. Only ASCII letters fold.
func foldName(name string) string {
	for i := range len(name) {
		if c := name[i]; c >= 'A' && c <= 'Z' {
			b := []byte(name)
			for j := i; j < len(b); j++ {
				if c := b[j]; c >= 'A' && c <= 'Z' {
					b[j] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return name
}

// unquoteName returns what stands between the quotes of "name" or `name`.
func unquoteName(text string) string {
	quote := text[:1]
	return strings.ReplaceAll(text[1:len(text)-1], quote+quote, quote)
}
