package parse

import (
	"strings"
	"unicode/utf8"
)

// redactedBytes bounds what Redact returns.
const redactedBytes = 4 << 10

// Redact returns a text fit for logs and for the eyes of operators: every string
// and number is a question mark, and so is what stands behind PASSWORD; blanks
// and comments are one blank. It takes any text, one that does not parse too,
// and returns no more than about 4 KiB.
func Redact(text string) string {
	text, _, _ = strings.Cut(text, "\x00")
	l := lexer{src: text}
	var out strings.Builder
	end, password := 0, false
	for out.Len() < redactedBytes {
		t := l.next()
		if t.kind == tokEnd {
			return out.String()
		}
		if t.start > end && out.Len() > 0 {
			out.WriteByte(' ')
		}
		end = t.end
		word := text[t.start:t.end]
		secret := password && t.kind != tokPunct && t.kind != tokOperator && !strings.EqualFold(word, "WITH") && !strings.EqualFold(word, "TO")
		switch {
		case t.kind == tokOpen:
			out.WriteByte('?')
			return out.String()
		case secret, hides(t.kind):
			out.WriteByte('?')
		default:
			out.WriteString(word)
		}
		password = !secret && (password || strings.EqualFold(word, "PASSWORD"))
	}
	whole, at := out.String(), redactedBytes
	for at < len(whole) && at > 0 && !utf8.RuneStart(whole[at]) {
		at--
	}
	return whole[:at] + "…"
}

// hides reports whether a token may hold a value.
func hides(k tokenKind) bool {
	switch k {
	case tokString, tokEscape, tokDollar, tokBits, tokUnicode, tokInteger, tokDecimal, tokFloat, tokRadix, tokJunk:
		return true
	}
	return false
}
