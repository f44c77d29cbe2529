package datum

import (
	"math"
	"strconv"
	"unicode/utf8"

	"kalamdb/internal/fault"
)

// AppendJSON appends v as a cell of results and events: BIGINT, DECIMAL, UUID
// and strings quoted, BYTES and EMBEDDING as arrays of numbers, temporal values
// as raw units, INTERVAL as its text, ARRAY as an array of cells. NaN and infinities are out of range.
func AppendJSON(dst []byte, v Value) ([]byte, error) {
	switch v.kind {
	case Null:
		return append(dst, "null"...), nil
	case Bool:
		return strconv.AppendBool(dst, v.n != 0), nil
	case SmallInt, Int, Date, Time, Timestamp, DateTime:
		return strconv.AppendInt(dst, v.n, 10), nil
	case BigInt:
		dst = strconv.AppendInt(append(dst, '"'), v.n, 10)
		return append(dst, '"'), nil
	case Float, Double:
		f := v.Float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, notJSON(f, v.kind)
		}
		return appendFloat(dst, f, 64), nil
	case Text, JSON, File:
		return AppendJSONString(dst, v.s), nil
	case Bytes:
		dst = append(dst, '[')
		for i := range len(v.s) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendUint(dst, uint64(v.s[i]), 10)
		}
		return append(dst, ']'), nil
	case Embedding:
		for i := range v.Dim() {
			if f := float64(v.embeddingAt(i)); math.IsNaN(f) || math.IsInf(f, 0) {
				return dst, notJSON(f, v.kind)
			}
		}
		return appendEmbedding(dst, v), nil
	case Array:
		return appendArrayJSON(dst, v)
	}
	dst = AppendText(append(dst, '"'), v)
	return append(dst, '"'), nil
}

func notJSON(f float64, kind Kind) error {
	return fault.New(fault.OutOfRange, "%s value %s cannot be sent as JSON", kind, NewDouble(f))
}

// AppendJSONString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD.
func AppendJSONString(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[from:i]...)
				dst = append(dst, `\ufffd`...)
				from = i + 1
			}
			i += size
			continue
		}
		i++
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i-1]...)
		from = i
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// FromJSON reads a cell back: what AppendJSON writes, and for numbers, booleans
// and temporal values also the text that CAST takes. JSON and FILE also take an
// object or an array as it is.
func FromJSON(raw []byte, to Type) (Value, error) {
	text := trim(string(raw))
	if text == "" {
		return Value{}, badCell(text, to)
	}
	switch c := text[0]; {
	case text == "null":
		return NullValue, nil
	case c == '"':
		s, ok := unquoteJSON(text)
		if !ok || !utf8.ValidString(s) {
			return Value{}, badCell(text, to)
		}
		return parseText(s, to)
	case to.Kind == JSON || to.Kind == File && c == '{':
		v, err := NewJSON(text)
		return v.as(to.Kind), err
	case text == "true" || text == "false":
		if to.Kind == Bool {
			return NewBool(c == 't'), nil
		}
	case c == '[' && to.Kind == Embedding:
		return parseEmbedding(text, to)
	case c == '[' && to.Kind == Array:
		return arrayFromJSON(text, to)
	case c == '[' && to.Kind == Bytes:
		return bytesFromJSON(text)
	case c == '-' || c-'0' <= 9:
		return numberFromJSON(text, to)
	}
	return Value{}, badCell(text, to)
}

func badCell(text string, to Type) error {
	return fault.New(fault.InvalidValue, "JSON %s is no value of %s", shorten(text), to.name())
}

func numberFromJSON(text string, to Type) (Value, error) {
	c := jsonChecker{text: text}
	if !c.number() || c.at != len(text) {
		return Value{}, badCell(text, to)
	}
	switch {
	case to.Kind.isFloat(), to.Kind == Decimal:
		return parseText(text, to)
	case !to.Kind.IsInteger() && !to.Kind.IsTemporal():
		return Value{}, badCell(text, to)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		// 1.0 and 1e3 are whole numbers, too.
		scanned, _ := scanNumber(text)
		d, ok := scanned.natural()
		if !ok {
			return Value{}, outOfRange(to, text)
		}
		if d = d.normal(); d.scale > 0 {
			return Value{}, badCell(text, to)
		}
		if n, ok = d.int(false); !ok {
			return Value{}, outOfRange(to, text)
		}
	}
	return Assign(NewInt(BigInt, n), to)
}

// bytesFromJSON reads [0,255,…].
func bytesFromJSON(text string) (Value, error) {
	out := make([]byte, 0, len(text)/2)
	ok := eachElement(text, func(element string) bool {
		n, err := strconv.ParseUint(element, 10, 8)
		out = append(out, byte(n))
		return err == nil
	})
	if !ok {
		return Value{}, badCell(text, Type{Kind: Bytes})
	}
	return NewBytes(out), nil
}

// eachElement calls f with each element of a flat array of numbers; it reports
// whether there was nothing else and f was always content.
func eachElement(text string, f func(element string) bool) bool {
	text = trim(text)
	if len(text) < 2 || text[0] != '[' || text[len(text)-1] != ']' {
		return false
	}
	text = trim(text[1 : len(text)-1])
	if text == "" {
		return true
	}
	for {
		end := 0
		for end < len(text) && text[end] != ',' {
			end++
		}
		if !f(trim(text[:end])) {
			return false
		}
		if end == len(text) {
			return true
		}
		text = text[end+1:]
	}
}

// unquoteJSON returns what a JSON string, with its quotes, stands for.
func unquoteJSON(text string) (s string, ok bool) {
	c := jsonChecker{text: text}
	if !c.string() || c.at != len(text) {
		return "", false
	}
	body := text[1 : len(text)-1]
	if !c.escaped {
		return body, true
	}
	out := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			out = append(out, body[i])
			continue
		}
		i++
		switch e := body[i]; e {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'u':
			r, size := unescapeRune(body[i+1:])
			out = utf8.AppendRune(out, r)
			i += size
		default:
			out = append(out, e)
		}
	}
	return string(out), true
}

// unescapeRune reads the digits of \uXXXX and of a second one when the two make
// a pair; half a pair is U+FFFD.
func unescapeRune(s string) (r rune, size int) {
	first, _ := strconv.ParseUint(s[:4], 16, 32)
	r = rune(first)
	if r < 0xD800 || r > 0xDFFF {
		return r, 4
	}
	if r < 0xDC00 && len(s) >= 10 && s[4] == '\\' && s[5] == 'u' {
		second, _ := strconv.ParseUint(s[6:10], 16, 32)
		if low := rune(second); low >= 0xDC00 && low <= 0xDFFF {
			return (r-0xD800)<<10 + (low - 0xDC00) + 0x10000, 10
		}
	}
	return utf8.RuneError, 4
}
