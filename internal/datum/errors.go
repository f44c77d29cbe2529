package datum

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"kalamdb/internal/fault"
)

// maxQuoted is the number of bytes of offending text that an error names.
const maxQuoted = 64

// quote returns text for an error: in double quotes, escaped, cut at maxQuoted.
func quote(text string) string { return strconv.Quote(shorten(text)) }

func shorten(text string) string {
	if len(text) <= maxQuoted {
		return text
	}
	cut := maxQuoted
	for cut > maxQuoted-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// trim drops the blanks around a literal.
func trim(s string) string { return strings.Trim(s, " \t\n\r\f\v") }

func invalid(t Type, text string) error {
	return fault.New(fault.InvalidValue, "invalid value for %s: %s", t.name(), quote(text))
}

func outOfRange(t Type, text string) error {
	return fault.New(fault.OutOfRange, "value %s is out of range for %s", shorten(text), t.name())
}

func noCast(from, to Type) error {
	return fault.New(fault.TypeMismatch, "cannot cast %s to %s", from.Kind, to.name())
}

// name is String, but without the arguments of a type that has none set.
func (t Type) name() string {
	if t.Kind == Decimal && t.Precision == 0 || t.Kind == Embedding && t.Dim == 0 {
		return t.Kind.String()
	}
	if t.Kind == Array {
		return t.Element().name() + "[]"
	}
	return t.String()
}
