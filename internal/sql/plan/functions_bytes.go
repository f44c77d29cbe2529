package plan

import (
	"math/bits"
	"strings"
	"unicode/utf8"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

func bytesValue(s string) (value, error) { return datum.NewBytesString(s), nil }

// bytesFunctions are those of BYTES; most are the functions of TEXT with bytes
// in place of characters.
func bytesFunctions() []Function {
	all := []Function{
		{Name: "substring", Aliases: []string{"substr"}, Doc: "The bytes from a position, counted from 1.", args: []pattern{bytesArg, intArg}, result: bytesType,
			call2: func(_ *Env, s, from value) (value, error) { return bytesValue(cutBytes(s.Bytes(), from.Int(), -1)) }},
		{Name: "substring", Aliases: []string{"substr"}, Doc: "So many bytes from a position, counted from 1.", args: []pattern{bytesArg, intArg, intArg}, result: bytesType,
			call3: func(_ *Env, s, from, count value) (value, error) {
				if count.Int() < 0 {
					return value{}, fault.New(fault.InvalidValue, "a length must not be negative, but is %d", count.Int())
				}
				return bytesValue(cutBytes(s.Bytes(), from.Int(), count.Int()))
			}},
		{Name: "position", Doc: "POSITION(part IN bytes): the position of the part, counted from 1; 0 if it is not there.", args: []pattern{bytesArg, bytesArg}, result: intType,
			call2: func(_ *Env, part, s value) (value, error) { return integer(strings.Index(s.Bytes(), part.Bytes()) + 1) }},
		{Name: "get_byte", Doc: "The byte at a place, counted from 0.", args: []pattern{bytesArg, intArg}, result: intType,
			call2: func(_ *Env, s, n value) (value, error) {
				if err := inside(n.Int(), len(s.Bytes())); err != nil {
					return value{}, err
				}
				return integer(int(s.Bytes()[n.Int()]))
			}},
		{Name: "set_byte", Doc: "The bytes with the one at a place, counted from 0, set to a number.", args: []pattern{bytesArg, intArg, intArg}, result: bytesType,
			call3: func(_ *Env, s, n, b value) (value, error) {
				if err := inside(n.Int(), len(s.Bytes())); err != nil {
					return value{}, err
				}
				out := []byte(s.Bytes())
				out[n.Int()] = byte(b.Int())
				return datum.NewBytes(out), nil
			}},
		{Name: "get_bit", Doc: "The bit at a place, counted from 0; the first bit of a byte is the least.", args: []pattern{bytesArg, intArg}, result: intType,
			call2: func(_ *Env, s, n value) (value, error) {
				if err := inside(n.Int(), 8*len(s.Bytes())); err != nil {
					return value{}, err
				}
				return integer(int(s.Bytes()[n.Int()/8] >> (n.Int() % 8) & 1))
			}},
		{Name: "set_bit", Doc: "The bytes with the bit at a place, counted from 0, set to 0 or 1.", args: []pattern{bytesArg, intArg, intArg}, result: bytesType, call3: setBit},
		{Name: "bit_count", Doc: "How many bits are 1.", args: []pattern{bytesArg}, result: bigintType,
			call1: func(_ *Env, v value) (value, error) {
				n := 0
				for i := range len(v.Bytes()) {
					n += bits.OnesCount8(v.Bytes()[i])
				}
				return bigint(n)
			}},
		{Name: "convert_from", Doc: "Bytes in an encoding as text; the encoding is UTF8, SQL_ASCII or LATIN1.", args: []pattern{bytesArg, textArg}, result: textType, call2: pure2(convertFrom)},
		{Name: "convert_to", Doc: "Text as bytes in an encoding: UTF8, SQL_ASCII or LATIN1.", args: []pattern{textArg, textArg}, result: bytesType, call2: pure2(convertTo)},
	}
	for _, side := range []struct {
		name string
		trim func(s, set string) string
		doc  string
	}{{"btrim", trimBytes(true, true), "both ends"}, {"ltrim", trimBytes(true, false), "the start"}, {"rtrim", trimBytes(false, true), "the end"}} {
		trim := side.trim
		all = append(all, Function{Name: side.name, Doc: "Without the bytes of the second argument at " + side.doc + ".", args: []pattern{bytesArg, bytesArg}, result: bytesType,
			call2: func(_ *Env, s, set value) (value, error) { return bytesValue(trim(s.Bytes(), set.Bytes())) }})
	}
	return all
}

func setBit(_ *Env, s, n, b value) (value, error) {
	if err := inside(n.Int(), 8*len(s.Bytes())); err != nil {
		return value{}, err
	}
	if b.Int() != 0 && b.Int() != 1 {
		return value{}, fault.New(fault.InvalidValue, "a bit is 0 or 1, not %d", b.Int())
	}
	out := []byte(s.Bytes())
	mask := byte(1) << (n.Int() % 8)
	out[n.Int()/8] &^= mask
	if b.Int() == 1 {
		out[n.Int()/8] |= mask
	}
	return datum.NewBytes(out), nil
}

// inside checks an index counted from 0.
func inside(n int64, length int) error {
	if n < 0 || n >= int64(length) {
		return fault.New(fault.OutOfRange, "index %d is out of range; there are %d", n, length)
	}
	return nil
}

// cutBytes is cut for bytes.
func cutBytes(s string, from, count int64) string {
	if from < 1 {
		if before := 1 - uint64(from); count >= 0 && uint64(count) <= before {
			return ""
		} else if count >= 0 {
			count -= int64(before)
		}
		from = 1
	}
	if from > int64(len(s)) {
		return ""
	}
	s = s[from-1:]
	if count < 0 || count > int64(len(s)) {
		return s
	}
	return s[:count]
}

func trimBytes(start, end bool) func(s, set string) string {
	return func(s, set string) string {
		for start && s != "" && strings.IndexByte(set, s[0]) >= 0 {
			s = s[1:]
		}
		for end && s != "" && strings.IndexByte(set, s[len(s)-1]) >= 0 {
			s = s[:len(s)-1]
		}
		return s
	}
}

// encodingOf names an encoding as it is known here: utf8, ascii or latin1.
func encodingOf(name string) (string, error) {
	plain := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(shorten(name)))
	switch plain {
	case "utf8", "unicode":
		return "utf8", nil
	case "sqlascii", "ascii":
		return "ascii", nil
	case "latin1", "iso88591":
		return "latin1", nil
	}
	return "", fault.New(fault.InvalidValue, "unknown encoding '%s'; there are UTF8, SQL_ASCII and LATIN1", shorten(name))
}

func convertFrom(v, name value) (value, error) {
	encoding, err := encodingOf(name.Text())
	if err != nil {
		return value{}, err
	}
	if encoding == "latin1" {
		if err := checkBuilt(product(len(v.Bytes()), 2)); err != nil {
			return value{}, err
		}
		var b strings.Builder
		for i := range len(v.Bytes()) {
			b.WriteRune(rune(v.Bytes()[i]))
		}
		return textValue(b.String())
	}
	if !utf8.ValidString(v.Bytes()) || strings.IndexByte(v.Bytes(), 0) >= 0 {
		return value{}, fault.New(fault.InvalidValue, "the bytes are not valid %s", name.Text())
	}
	return textValue(v.Bytes())
}

func convertTo(v, name value) (value, error) {
	encoding, err := encodingOf(name.Text())
	if err != nil || encoding != "latin1" {
		return datum.NewBytesString(v.Text()), err
	}
	out := make([]byte, 0, len(v.Text()))
	for _, r := range v.Text() {
		if r > 0xFF {
			return value{}, fault.New(fault.InvalidValue, "character '%c' has no place in LATIN1", r)
		}
		out = append(out, byte(r))
	}
	return datum.NewBytes(out), nil
}
