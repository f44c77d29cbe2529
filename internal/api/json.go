package api

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"kalamdb/internal/datum"
)

// cursor walks JSON text that json.Valid has passed, so it checks nothing: it
// finds where values begin and end and copies nothing.
type cursor struct {
	b []byte
	i int
}

// object calls each for every member of an object and reports whether it is
// one.
func (c *cursor) object(each func(name string, raw []byte)) bool {
	if c.next() != '{' {
		return false
	}
	c.i++
	for c.next() != '}' {
		name := text(c.value())
		c.next()
		c.i++ // the colon
		each(name, c.value())
		if c.next() == ',' {
			c.i++
		}
	}
	return true
}

// array calls each for every element of an array.
func (c *cursor) array(each func(raw []byte)) {
	c.next()
	c.i++
	for c.next() != ']' {
		each(c.value())
		if c.next() == ',' {
			c.i++
		}
	}
}

// next skips blanks and returns the byte there.
func (c *cursor) next() byte {
	for {
		switch b := c.b[c.i]; b {
		case ' ', '\t', '\n', '\r':
			c.i++
		default:
			return b
		}
	}
}

// value returns the text of the value at the cursor and moves behind it.
func (c *cursor) value() []byte {
	c.next()
	start, depth := c.i, 0
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case '"':
			c.skipString()
			if depth == 0 {
				return c.b[start:c.i]
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return c.b[start:c.i]
			}
			if depth--; depth == 0 {
				c.i++
				return c.b[start:c.i]
			}
		case ',', ' ', '\t', '\n', '\r', ':':
			if depth == 0 {
				return c.b[start:c.i]
			}
		}
		c.i++
	}
	return c.b[start:c.i]
}

func (c *cursor) skipString() {
	for c.i++; c.b[c.i] != '"'; c.i++ {
		if c.b[c.i] == '\\' {
			c.i++
		}
	}
	c.i++
}

// text returns a JSON string's content, or "" for another value.
func text(raw []byte) string {
	if raw[0] != '"' {
		return ""
	}
	for _, b := range raw {
		if b == '\\' {
			var s string
			_ = json.Unmarshal(raw, &s) // the text is valid
			return s
		}
	}
	return string(raw[1 : len(raw)-1])
}

// wordsLoneSurrogate says why JSON with half a character is refused.
const wordsLoneSurrogate = "an escape is half of a surrogate pair"

// loneSurrogate reports whether valid JSON escapes half of a character. The
// decoder would replace it, and the text would not be what was sent.
func loneSurrogate(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return false
		}
		if b = b[i+1:]; b[0] != 'u' {
			b = b[1:]
			continue
		}
		unit := codeUnit(b)
		b = b[5:]
		switch {
		case unit < 0xD800 || unit > 0xDFFF:
		case unit > 0xDBFF || len(b) < 6 || b[0] != '\\' || b[1] != 'u':
			return true
		default:
			if low := codeUnit(b[1:]); low < 0xDC00 || low > 0xDFFF {
				return true
			}
			b = b[6:]
		}
	}
}

// codeUnit returns the number of an escape that begins with its u.
func codeUnit(b []byte) uint64 {
	n, _ := strconv.ParseUint(string(b[1:5]), 16, 16) // the digits are valid
	return n
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte { return datum.AppendJSONString(dst, s) }

// appendTook appends a duration in milliseconds with three decimals, never 0.
func appendTook(dst []byte, d time.Duration) []byte {
	micros := max(1, d.Microseconds())
	dst = strconv.AppendInt(dst, micros/1000, 10)
	rest := micros % 1000
	return append(dst, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
}
