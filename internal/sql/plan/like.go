package plan

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// likeKey names a compiled LIKE pattern.
type likeKey struct {
	pattern, escape string
	fold            bool
}

// likePattern is a compiled LIKE pattern: the texts between the % signs. A text
// may hold single-character wildcards.
type likePattern struct {
	parts []likePart
	fold  bool
	// size is the length of the longest part that is looked for character by
	// character.
	size int
	// anchored tells whether the pattern begins or ends without %.
	anchoredStart, anchoredEnd bool
}

// likePart is a run of characters; any marks the places of _.
type likePart struct {
	text  string // when there is no _ and case matters
	runes []rune
	any   []bool
	plain bool
}

// patternOperators are LIKE, ILIKE and the regular expression family.
func patternOperators() []Function {
	var all []Function
	for _, name := range []string{"like", "ilike"} {
		fold := name == "ilike"
		doc := "Whether the text matches a pattern with % for any characters and _ for one; a backslash takes the next character as it is."
		if fold {
			doc = "LIKE without regard to upper and lower case."
		}
		all = append(all,
			Function{Name: name, Operator: true, Doc: doc, args: []pattern{textArg, textArg}, result: boolType,
				call2: func(env *Env, s, p value) (value, error) { return like(env, s, likeKey{p.Text(), `\`, fold}) }},
			Function{Name: name, Operator: true, Doc: doc + " ESCAPE names another character, or none.", args: []pattern{textArg, textArg, textArg}, result: boolType,
				call3: func(env *Env, s, p, escape value) (value, error) {
					return like(env, s, likeKey{p.Text(), escape.Text(), fold})
				}})
	}
	return append(all,
		regexpOperator("~", "(?s)", false, "Whether the text matches a regular expression (RE2 syntax)."),
		regexpOperator("~*", "(?is)", false, "Whether the text matches a regular expression, without regard to case."),
		regexpOperator("!~", "(?s)", true, "Whether the text does not match a regular expression."),
		regexpOperator("!~*", "(?is)", true, "Whether the text does not match a regular expression, without regard to case."),
	)
}

func like(env *Env, s value, key likeKey) (value, error) {
	p, err := env.likePattern(key)
	if err != nil {
		return value{}, err
	}
	if err := checkSteps(p.size, len(s.Text())); err != nil {
		return value{}, err
	}
	return datum.NewBool(p.match(s.Text())), nil
}

// likePattern returns a compiled pattern, from the cache of the execution when
// there is one.
func (e *Env) likePattern(key likeKey) (*likePattern, error) {
	c := &e.patterns
	if c.like != nil && c.lastLike == key {
		return c.like, nil
	}
	p, known := c.likes[key]
	if !known {
		var err error
		if p, err = compileLike(key); err != nil {
			return nil, err
		}
		if c.likes == nil || len(c.likes) >= maxPatterns {
			c.likes = map[likeKey]*likePattern{}
		}
		c.likes[key] = p
	}
	c.lastLike, c.like = key, p
	return p, nil
}

func compileLike(key likeKey) (*likePattern, error) {
	if utf8.RuneCountInString(key.escape) > 1 {
		return nil, fault.New(fault.InvalidValue, "the escape of LIKE must be one character, not '%s'", shorten(key.escape))
	}
	escape, _ := utf8.DecodeRuneInString(key.escape)
	if key.escape == "" {
		escape = -1
	}
	p := &likePattern{fold: key.fold, anchoredStart: true}
	var part likePart
	escaped, percent := false, false
	add := func(r rune, any bool) {
		part.runes = append(part.runes, r)
		part.any = append(part.any, any)
		percent = false
	}
	for i, r := range key.pattern {
		switch {
		case escaped:
			add(r, false)
			escaped = false
		case r == escape:
			escaped = true
		case r == '%':
			if i == 0 {
				p.anchoredStart = false
			}
			if len(part.runes) > 0 {
				p.parts = append(p.parts, part.finish(key.fold))
			}
			part, percent = likePart{}, true
		default:
			add(r, r == '_')
		}
	}
	if escaped {
		return nil, fault.New(fault.InvalidValue, "the LIKE pattern '%s' ends with its escape character", shorten(key.pattern))
	}
	p.anchoredEnd = !percent
	if len(part.runes) > 0 || p.anchoredEnd && len(p.parts) == 0 {
		p.parts = append(p.parts, part.finish(key.fold))
	}
	for _, part := range p.parts {
		if !part.plain {
			p.size = max(p.size, len(part.runes))
		}
	}
	return p, nil
}

func (p likePart) finish(fold bool) likePart {
	p.plain = !fold
	for i := range p.runes {
		if p.any[i] {
			p.plain = false
		}
		if fold {
			p.runes[i] = foldRune(p.runes[i])
		}
	}
	if p.plain {
		p.text = string(p.runes)
	}
	return p
}

// foldRune gives upper and lower case of a letter one form.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}
	return unicode.ToLower(unicode.ToUpper(r))
}

// match looks for each part in turn; the first and the last are bound to the
// ends where the pattern has no % there.
func (p *likePattern) match(s string) bool {
	parts := p.parts
	if p.anchoredStart && len(parts) > 0 {
		n := parts[0].prefix(s, p.fold)
		if n < 0 {
			return false
		}
		s, parts = s[n:], parts[1:]
		if len(parts) == 0 && p.anchoredEnd {
			return s == ""
		}
	}
	for i := range parts {
		if i == len(parts)-1 && p.anchoredEnd {
			return parts[i].suffix(s, p.fold)
		}
		end := parts[i].find(s, p.fold)
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	return true
}

// prefix returns how many bytes of s the part takes at its start, or -1.
func (p *likePart) prefix(s string, fold bool) int {
	if p.plain {
		if strings.HasPrefix(s, p.text) {
			return len(p.text)
		}
		return -1
	}
	at := 0
	for i, want := range p.runes {
		if at >= len(s) {
			return -1
		}
		r, size := utf8.DecodeRuneInString(s[at:])
		if fold {
			r = foldRune(r)
		}
		if !p.any[i] && r != want {
			return -1
		}
		at += size
	}
	return at
}

// find returns where the first occurrence of the part in s ends, or -1.
func (p *likePart) find(s string, fold bool) int {
	if p.plain {
		at := strings.Index(s, p.text)
		if at < 0 {
			return -1
		}
		return at + len(p.text)
	}
	for at := 0; ; {
		if n := p.prefix(s[at:], fold); n >= 0 {
			return at + n
		}
		if at >= len(s) {
			return -1
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
}

// suffix reports whether s ends with the part.
func (p *likePart) suffix(s string, fold bool) bool {
	if p.plain {
		return strings.HasSuffix(s, p.text)
	}
	at := len(s)
	for range p.runes {
		if at == 0 {
			return false
		}
		_, size := utf8.DecodeLastRuneInString(s[:at])
		at -= size
	}
	return p.prefix(s[at:], fold) == len(s)-at
}
