package datum

import (
	"unicode/utf8"

	"kalamdb/internal/fault"
)

// MaxJSONDepth is how deep arrays and objects may nest.
const MaxJSONDepth = 512

// checkJSON returns a fault unless text is one JSON value of RFC 8259.
func checkJSON(text string) error {
	c := jsonChecker{text: text}
	c.blanks()
	ok := c.value(0)
	if c.tooDeep {
		return fault.New(fault.LimitExceeded, "a JSON value nests deeper than %d levels", MaxJSONDepth)
	}
	c.blanks()
	if !ok || c.at != len(text) {
		return fault.New(fault.InvalidValue, "invalid value for JSON: %s (at byte %d)", quote(text), c.at)
	}
	if !utf8.ValidString(text) {
		return fault.New(fault.InvalidValue, "invalid value for JSON: %s (not UTF-8)", quote(text))
	}
	return nil
}

// jsonChecker walks over a JSON text. Its methods report whether what they
// stand for comes next, and step over it; on failure at is where it broke.
type jsonChecker struct {
	text    string
	at      int
	escaped bool // a string had an escape
	tooDeep bool
}

// peek returns the next byte, 0 at the end.
func (c *jsonChecker) peek() byte {
	if c.at < len(c.text) {
		return c.text[c.at]
	}
	return 0
}

func (c *jsonChecker) take(b byte) bool {
	if c.at < len(c.text) && c.text[c.at] == b {
		c.at++
		return true
	}
	return false
}

func (c *jsonChecker) blanks() {
	for c.at < len(c.text) {
		switch c.text[c.at] {
		case ' ', '\t', '\n', '\r':
			c.at++
		default:
			return
		}
	}
}

func (c *jsonChecker) value(depth int) bool {
	switch c.peek() {
	case '{':
		return c.list(depth, '}', true)
	case '[':
		return c.list(depth, ']', false)
	case '"':
		return c.string()
	case 't':
		return c.word("true")
	case 'f':
		return c.word("false")
	case 'n':
		return c.word("null")
	}
	return c.number()
}

// list walks over an array, or over an object when its elements have names.
func (c *jsonChecker) list(depth int, end byte, named bool) bool {
	if depth == MaxJSONDepth {
		c.tooDeep = true
		return false
	}
	c.at++
	c.blanks()
	if c.take(end) {
		return true
	}
	for {
		if named {
			if !c.string() {
				return false
			}
			c.blanks()
			if !c.take(':') {
				return false
			}
			c.blanks()
		}
		if !c.value(depth + 1) {
			return false
		}
		c.blanks()
		if c.take(end) {
			return true
		}
		if !c.take(',') {
			return false
		}
		c.blanks()
	}
}

func (c *jsonChecker) word(w string) bool {
	if len(c.text)-c.at < len(w) || c.text[c.at:c.at+len(w)] != w {
		return false
	}
	c.at += len(w)
	return true
}

func (c *jsonChecker) string() bool {
	if !c.take('"') {
		return false
	}
	for c.at < len(c.text) {
		switch b := c.text[c.at]; {
		case b == '"':
			c.at++
			return true
		case b < 0x20:
			return false
		case b == '\\':
			c.escaped = true
			c.at++
			if !c.escape() {
				return false
			}
		default:
			c.at++
		}
	}
	return false
}

// escape walks over what follows a backslash.
func (c *jsonChecker) escape() bool {
	switch c.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.at++
		return true
	case 'u':
		c.at++
		for range 4 {
			if _, ok := hexDigit(c.peek()); !ok {
				return false
			}
			c.at++
		}
		return true
	}
	return false
}

func (c *jsonChecker) number() bool {
	c.take('-')
	if !c.take('0') && !c.digits() {
		return false
	}
	if c.take('.') && !c.digits() {
		return false
	}
	if b := c.peek(); b == 'e' || b == 'E' {
		c.at++
		if !c.take('+') {
			c.take('-')
		}
		return c.digits()
	}
	return true
}

func (c *jsonChecker) digits() bool {
	start := c.at
	for c.peek()-'0' <= 9 {
		c.at++
	}
	return c.at > start
}

func hexDigit(c byte) (n byte, ok bool) {
	switch {
	case c-'0' <= 9:
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return (c | 0x20) - 'a' + 10, true
	}
	return 0, false
}
