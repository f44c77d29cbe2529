package plan

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// canonicalName is the function that a cast to JSONB calls.
const canonicalName = "jsonb"

func canonicalFunction() Function {
	return Function{Name: canonicalName, Doc: "The document as PostgreSQL keeps JSONB, which a cast to JSONB gives, too: of a key given twice the last, keys by length and then bytes, one blank behind commas and colons, numbers without exponents.",
		args: []pattern{docArg}, result: jsonType, call1: func(_ *Env, v value) (value, error) { return jsonCanonical(v) }}
}

// jsonCanonical gives a document in the form of JSONB, in which equal documents
// are equal texts.
func jsonCanonical(v value) (value, error) {
	if err := checkNesting(v.Text()); err != nil {
		return value{}, err
	}
	b, err := appendCanonical(nil, strings.TrimSpace(v.Text()))
	if err != nil {
		return value{}, err
	}
	return jsonValue(string(b))
}

func appendCanonical(dst []byte, doc string) ([]byte, error) {
	var err error
	switch jsonKind(doc) {
	case "object":
		dst = append(dst, '{')
		for i, m := range canonicalMembers(doc) {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			if dst, err = appendCanonicalString(dst, m.key); err != nil {
				return dst, err
			}
			if dst, err = appendCanonical(append(dst, ": "...), m.val); err != nil {
				return dst, err
			}
		}
		dst = append(dst, '}')
	case "array":
		dst = append(dst, '[')
		for i, x := range jsonItems(doc) {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			if dst, err = appendCanonical(dst, x); err != nil {
				return dst, err
			}
		}
		dst = append(dst, ']')
	case "string":
		return appendCanonicalString(dst, jsonString(doc))
	case "number":
		dst = appendPlainNumber(dst, doc)
	default:
		dst = append(dst, doc...)
	}
	return dst, checkBuilt(len(dst))
}

// canonicalMembers are the members of an object with decoded keys in the order
// of JSONB, of a key given twice the last.
func canonicalMembers(doc string) []jsonPair {
	var all []jsonPair
	s := jsonScanner{text: doc}
	s.members(func(key, val string) bool {
		all = append(all, jsonPair{key: jsonString(key), val: val})
		return true
	})
	slices.SortStableFunc(all, func(a, b jsonPair) int {
		if c := cmp.Compare(len(a.key), len(b.key)); c != 0 {
			return c
		}
		return cmp.Compare(a.key, b.key)
	})
	kept := all[:0]
	for i, m := range all {
		if i+1 == len(all) || all[i+1].key != m.key {
			kept = append(kept, m)
		}
	}
	return kept
}

// appendCanonicalString writes a string with the escapes of PostgreSQL.
func appendCanonicalString(dst []byte, s string) ([]byte, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return dst, fault.New(fault.InvalidValue, "JSONB cannot hold the character \\u0000")
	}
	from := len(dst)
	dst = datum.AppendJSONString(dst, s)
	if strings.ContainsAny(s, "\b\f") {
		text := strings.NewReplacer(`\u0008`, `\b`, `\u000c`, `\f`, `\\`, `\\`).Replace(string(dst[from:]))
		dst = append(dst[:from], text...)
	}
	return dst, checkBuilt(len(dst))
}

// mostZeros bounds the digits that an exponent adds; a number with more keeps its
// exponent.
const mostZeros = 1000

// appendPlainNumber writes a number without an exponent.
func appendPlainNumber(dst []byte, text string) []byte {
	mantissa, exponent := text, 0
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		n, err := strconv.Atoi(strings.TrimPrefix(text[at+1:], "+"))
		if err != nil || n > mostZeros || n < -mostZeros {
			return append(dst, text...)
		}
		mantissa, exponent = text[:at], n
	}
	digits, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	digits = whole + fraction
	if negative && strings.Trim(digits, "0") != "" {
		dst = append(dst, '-')
	}
	point := len(whole) + exponent
	if point < 1 {
		digits = strings.Repeat("0", 1-point) + digits
		point = 1
	}
	if point > len(digits) {
		digits += strings.Repeat("0", point-len(digits))
	}
	whole = strings.TrimLeft(digits[:point], "0")
	if whole == "" {
		whole = "0"
	}
	dst = append(dst, whole...)
	if point < len(digits) {
		dst = append(append(dst, '.'), digits[point:]...)
	}
	return dst
}
