package parse

import (
	"strings"
	"unicode/utf8"

	"kalamdb/internal/fault"
)

// tokenKind says what a token is.
type tokenKind uint8

const (
	tokEnd      tokenKind = iota // behind the last token
	tokWord                      // keyword or plain name
	tokQuoted                    // "name" or `name`
	tokString                    // 'text'
	tokEscape                    // E'text'
	tokDollar                    // $$text$$, $tag$text$tag$
	tokBits                      // X'0AFF', B'01'
	tokUnicode                   // U&'text', U&"name"
	tokInteger                   // 12
	tokDecimal                   // 1.5
	tokFloat                     // 1e3
	tokRadix                     // 0x1f, 1_000: read by the grammar, not by Normalize
	tokParam                     // $1
	tokOperator                  // a run of operator characters
	tokPunct                     // ( ) [ ] , ; . : and their pairs
	tokJunk                      // a number or parameter with letters behind it, a stray character
	tokOpen                      // a quote or comment that never ends
)

// token is one lexical unit of a text; its text is src[start:end].
type token struct {
	kind       tokenKind
	doubled    bool // a quote stands doubled inside
	start, end int
}

// Classes of bytes.
const (
	clSpace = 1 << iota
	clLetter
	clDigit
	clOperator
	clIdent  // letter, digit or $
	clPrefix // a letter that may stand before a string
	clDash   // may begin a comment
)

// classes is never written after the program has started.
var classes = byteClasses()

func byteClasses() (t [256]uint8) {
	for c := range 256 {
		switch {
		case strings.IndexByte(" \t\n\r\f\v", byte(c)) >= 0:
			t[c] = clSpace
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= utf8.RuneSelf:
			t[c] = clLetter | clIdent
		case c >= '0' && c <= '9':
			t[c] = clDigit | clIdent
		case c == '$':
			t[c] = clIdent
		case strings.IndexByte("+-*/<>=~!@#%^&|?", byte(c)) >= 0:
			t[c] = clOperator
		}
	}
	for _, c := range "eEbBxXuU" {
		t[c] |= clPrefix
	}
	t['-'] |= clDash
	t['/'] |= clDash
	return t
}

// lexer reads tokens by PostgreSQL's rules, with two exceptions: backticks
// quote names and comments do not nest.
type lexer struct {
	src string
	pos int
}

// next returns the next token, skipping blanks and comments.
func (l *lexer) next() token {
	start := l.pos
	for start < len(l.src) && classes[l.src[start]] == clSpace {
		start++
	}
	l.pos = start
	if start < len(l.src) && classes[l.src[start]]&clDash != 0 {
		if open, ok := l.skipSpace(); !ok {
			return token{kind: tokOpen, start: open, end: len(l.src)}
		}
		start = l.pos
	}
	if start >= len(l.src) {
		return token{kind: tokEnd, start: start, end: start}
	}
	c := l.src[start]
	switch class := classes[c]; {
	case class&clLetter != 0:
		return l.word(c)
	case class&clDigit != 0:
		return l.number()
	case class&clOperator != 0:
		return l.operator()
	}
	switch c {
	case '\'':
		return l.quoted(tokString, start, start)
	case '"', '`':
		return l.quoted(tokQuoted, start, start)
	case '$':
		return l.dollar()
	case '.':
		if classes[l.byteAt(1)]&clDigit != 0 {
			return l.number()
		}
		return l.punct('.', '.')
	case ':':
		if l.byteAt(1) == '=' {
			return l.punct(':', '=')
		}
		return l.punct(':', ':')
	case '(', ')', '[', ']', ',', ';':
		l.pos++
		return token{kind: tokPunct, start: start, end: l.pos}
	}
	l.pos++
	return token{kind: tokJunk, start: start, end: l.pos}
}

// byteAt returns the byte n places ahead, or 0 behind the end.
func (l *lexer) byteAt(n int) byte {
	if l.pos+n < len(l.src) {
		return l.src[l.pos+n]
	}
	return 0
}

// skipSpace moves to the next token. A comment that never ends gives its start
// and false.
func (l *lexer) skipSpace() (int, bool) {
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		switch {
		case classes[c] == clSpace:
			l.pos++
		case c == '-' && l.byteAt(1) == '-':
			n := strings.IndexByte(l.src[l.pos:], '\n')
			if n < 0 {
				l.pos = len(l.src)
				return 0, true
			}
			l.pos += n + 1
		case c == '/' && l.byteAt(1) == '*':
			n := strings.Index(l.src[l.pos+2:], "*/")
			if n < 0 {
				start := l.pos
				l.pos = len(l.src)
				return start, false
			}
			l.pos += n + 4
		default:
			return 0, true
		}
	}
	return 0, true
}

// word reads a name or keyword, or a string with a prefix.
func (l *lexer) word(c byte) token {
	start := l.pos
	switch next := l.byteAt(1); {
	case classes[c]&clPrefix == 0:
	case next == '\'' && (c == 'e' || c == 'E'):
		return l.quoted(tokEscape, start, start+1)
	case next == '\'' && (c == 'x' || c == 'X' || c == 'b' || c == 'B'):
		return l.quoted(tokBits, start, start+1)
	case next == '&' && (c == 'u' || c == 'U') && (l.byteAt(2) == '\'' || l.byteAt(2) == '"'):
		return l.quoted(tokUnicode, start, start+2)
	}
	i := start + 1
	for i < len(l.src) && classes[l.src[i]]&clIdent != 0 {
		i++
	}
	l.pos = i
	return token{kind: tokWord, start: start, end: i}
}

// quoted reads up to the quote that matches the one at open; a doubled quote
// stands for itself.
func (l *lexer) quoted(kind tokenKind, start, open int) token {
	t := token{kind: kind, start: start}
	quote := l.src[open]
	i := open + 1
	for {
		n := strings.IndexByte(l.src[i:], quote)
		if n < 0 {
			l.pos = len(l.src)
			return token{kind: tokOpen, start: start, end: l.pos}
		}
		if kind == tokEscape {
			if b := strings.IndexByte(l.src[i:i+n], '\\'); b >= 0 {
				if i += b + 2; i > len(l.src) {
					i = len(l.src)
				}
				t.doubled = true
				continue
			}
		}
		i += n + 1
		if i >= len(l.src) || l.src[i] != quote {
			l.pos, t.end = i, i
			return t
		}
		t.doubled = true
		i++
	}
}

// dollar reads a parameter or a dollar-quoted string.
func (l *lexer) dollar() token {
	start := l.pos
	i := start + 1
	if classes[l.byteAt(1)]&clDigit != 0 {
		for i < len(l.src) && classes[l.src[i]]&clDigit != 0 {
			i++
		}
		return l.noJunk(token{kind: tokParam, start: start, end: i})
	}
	for i < len(l.src) && classes[l.src[i]]&(clLetter|clDigit) != 0 {
		i++
	}
	if i >= len(l.src) || l.src[i] != '$' {
		l.pos = start + 1
		return token{kind: tokJunk, start: start, end: l.pos}
	}
	tag := l.src[start : i+1]
	n := strings.Index(l.src[i+1:], tag)
	if n < 0 {
		l.pos = len(l.src)
		return token{kind: tokOpen, start: start, end: l.pos}
	}
	l.pos = i + 1 + n + len(tag)
	return token{kind: tokDollar, start: start, end: l.pos}
}

// number reads an integer, a decimal or a number with an exponent.
func (l *lexer) number() token {
	t := token{kind: tokInteger, start: l.pos}
	i := l.pos
	if l.src[i] == '0' && strings.IndexByte("xob", l.byteAt(1)|0x20) >= 0 {
		i += 2
		for i < len(l.src) && classes[l.src[i]]&(clLetter|clDigit) != 0 {
			i++
		}
		l.pos = i
		return token{kind: tokRadix, start: t.start, end: i}
	}
	i, radix := l.digits(i)
	if i < len(l.src) && l.src[i] == '.' && (i+1 >= len(l.src) || l.src[i+1] != '.') {
		var r bool
		t.kind = tokDecimal
		i, r = l.digits(i + 1)
		radix = radix || r
	}
	if i < len(l.src) && l.src[i]|0x20 == 'e' {
		j := i + 1
		if j < len(l.src) && (l.src[j] == '+' || l.src[j] == '-') {
			j++
		}
		if j < len(l.src) && classes[l.src[j]]&clDigit != 0 {
			var r bool
			t.kind = tokFloat
			i, r = l.digits(j)
			radix = radix || r
		}
	}
	if radix {
		t.kind = tokRadix
	}
	t.end = i
	return l.noJunk(t)
}

// digits reads decimal digits with single underscores between them and tells
// whether there were any underscores.
func (l *lexer) digits(i int) (int, bool) {
	underscore := false
	for i < len(l.src) {
		switch c := l.src[i]; {
		case classes[c]&clDigit != 0:
			i++
		case c == '_' && i+1 < len(l.src) && classes[l.src[i+1]]&clDigit != 0 && classes[l.src[i-1]]&clDigit != 0:
			underscore = true
			i += 2
		default:
			return i, underscore
		}
	}
	return i, underscore
}

// noJunk turns a number or parameter that runs into a letter into junk.
func (l *lexer) noJunk(t token) token {
	if t.end < len(l.src) && classes[l.src[t.end]]&clLetter != 0 {
		t.kind = tokJunk
		for t.end < len(l.src) && classes[l.src[t.end]]&clIdent != 0 {
			t.end++
		}
	}
	l.pos = t.end
	return t
}

// operator reads a run of operator characters. A run ends before a comment, and
// a last + or - is left for a sign unless the run could not be an operator of
// the SQL standard anyway.
func (l *lexer) operator() token {
	start := l.pos
	i := start + 1
	for i < len(l.src) && classes[l.src[i]]&clOperator != 0 {
		if next := l.src[i]; i+1 < len(l.src) && (next == '-' && l.src[i+1] == '-' || next == '/' && l.src[i+1] == '*') {
			break
		}
		i++
	}
	if last := l.src[i-1]; i-start > 1 && (last == '+' || last == '-') && strings.IndexAny(l.src[start:i-1], "~!@#^&|?%") < 0 {
		for i-start > 1 && (l.src[i-1] == '+' || l.src[i-1] == '-') {
			i--
		}
	}
	l.pos = i
	return token{kind: tokOperator, start: start, end: i}
}

// punct reads first, or first and second when they stand together.
func (l *lexer) punct(first, second byte) token {
	t := token{kind: tokPunct, start: l.pos, end: l.pos + 1}
	if l.src[l.pos] == first && l.byteAt(1) == second {
		t.end++
	}
	l.pos = t.end
	return t
}

// checkText refuses what no statement may contain.
func checkText(text string) error {
	if i := strings.IndexByte(text, 0); i >= 0 {
		return syntaxError(text, i, "the text contains a NUL byte")
	}
	if !utf8.ValidString(text) {
		i := 0
		for i < len(text) {
			r, n := utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			i += n
		}
		return syntaxError(text, i, "the text is not valid UTF-8")
	}
	return nil
}

// scan returns all tokens of text without the one at the end.
func scan(text string) ([]token, error) {
	if err := checkText(text); err != nil {
		return nil, err
	}
	toks := make([]token, 0, 16+len(text)/6)
	l := lexer{src: text}
	for {
		t := l.next()
		switch t.kind {
		case tokEnd:
			return toks, nil
		case tokOpen:
			return toks, syntaxError(text, t.start, "%s", unterminated(text, t.start))
		}
		toks = append(toks, t)
	}
}

// unterminated says what begins at offset and never ends.
func unterminated(text string, offset int) string {
	switch text[offset] {
	case '"', '`':
		return "unterminated quoted identifier"
	case '/':
		return "unterminated comment"
	case '$':
		return "unterminated dollar-quoted string"
	}
	return "unterminated quoted string"
}

// syntaxError is a SYNTAX fault at an offset, with line and column.
func syntaxError(text string, offset int, format string, args ...any) error {
	offset = max(0, min(offset, len(text)))
	before := text[:offset]
	line := 1 + strings.Count(before, "\n")
	column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	return fault.At(fault.Syntax, offset, format+" at line %d column %d", append(args, line, column)...)
}
