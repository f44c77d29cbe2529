package plan

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// MaxBuilt is how many bytes a function may build. It is more than a request can
// hold, and so little that several statements that build as much as they can, with
// the copies that building and answering take, fit into the least memory.budget.
const MaxBuilt = 16 << 20

// checkBuilt refuses a value of n bytes before it is built.
func checkBuilt(n int) error {
	if n > MaxBuilt || n < 0 {
		return fault.New(fault.LimitExceeded, "a function may build at most %d bytes", MaxBuilt)
	}
	return nil
}

// product multiplies two sizes; what overflows is beyond every bound.
func product(a, b int) int {
	if a > 0 && b > MaxBuilt/a+1 {
		return MaxBuilt + 1
	}
	return a * b
}

func textValue(s string) (value, error) { return datum.NewText(s), nil }

func bigint(n int) (value, error) { return datum.NewInt(datum.BigInt, int64(n)), nil }

func integer(n int) (value, error) { return datum.NewInt(datum.Int, int64(n)), nil }

func boolean(b bool) (value, error) { return datum.NewBool(b), nil }

// text1 makes a function of one text that gives a text.
func text1(name string, f func(string) string, doc string, aliases ...string) Function {
	return Function{Name: name, Aliases: aliases, Doc: doc, args: []pattern{textArg}, result: textType,
		call1: func(_ *Env, v value) (value, error) { return textValue(f(v.Text())) }}
}

func textOperators() []Function {
	joined := func(_ *Env, a, b value) (value, error) { return join(plainText(a), plainText(b)) }
	return []Function{
		{Name: "||", Operator: true, Doc: "Joins two texts; a value of another type is taken as its text.", args: []pattern{textArg, anyArg}, result: textType, call2: joined},
		{Name: "||", Operator: true, Doc: "Joins two texts; a value of another type is taken as its text.", args: []pattern{anyArg, textArg}, result: textType, call2: joined},
		{Name: "||", Operator: true, Doc: "Joins bytes.", args: []pattern{bytesArg, bytesArg}, result: bytesType,
			call2: func(_ *Env, a, b value) (value, error) {
				if err := checkBuilt(len(a.Bytes()) + len(b.Bytes())); err != nil {
					return value{}, err
				}
				return datum.NewBytesString(a.Bytes() + b.Bytes()), nil
			}},
	}
}

// plainText is the text of a value without building it anew for texts.
func plainText(v value) string {
	if v.Kind().IsString() {
		return v.Text()
	}
	return v.String()
}

func join(a, b string) (value, error) {
	if err := checkBuilt(len(a) + len(b)); err != nil {
		return value{}, err
	}
	return textValue(a + b)
}

func caseFunctions() []Function {
	return []Function{
		text1("lower", strings.ToLower, "The text in lower case."),
		text1("upper", strings.ToUpper, "The text in upper case."),
		text1("initcap", initcap, "Each word with a capital first letter and the rest in lower case."),
		text1("reverse", reverse, "The characters in reverse order."),
	}
}

func initcap(s string) string {
	inside := false
	return strings.Map(func(r rune) rune {
		first := !inside
		inside = unicode.IsLetter(r) || unicode.IsDigit(r)
		if first {
			return unicode.ToUpper(r)
		}
		return unicode.ToLower(r)
	}, s)
}

func reverse(s string) string {
	out := make([]byte, len(s))
	for i, end := 0, len(s); i < len(s); {
		_, size := utf8.DecodeRuneInString(s[i:])
		end -= size
		copy(out[end:], s[i:i+size])
		i += size
	}
	return string(out)
}

func lengthFunctions() []Function {
	return []Function{
		{Name: "length", Aliases: []string{"char_length", "character_length"}, Doc: "The number of characters.", args: []pattern{textArg}, result: intType,
			call1: func(_ *Env, v value) (value, error) { return integer(utf8.RuneCountInString(v.Text())) }},
		{Name: "length", Doc: "The number of bytes.", args: []pattern{bytesArg}, result: intType,
			call1: func(_ *Env, v value) (value, error) { return integer(len(v.Bytes())) }},
		{Name: "octet_length", Doc: "The number of bytes.", args: []pattern{blobArg}, result: intType,
			call1: func(_ *Env, v value) (value, error) { return integer(len(v.Bytes())) }},
		{Name: "bit_length", Doc: "The number of bits.", args: []pattern{blobArg}, result: bigintType,
			call1: func(_ *Env, v value) (value, error) { return bigint(8 * len(v.Bytes())) }},
		{Name: "ascii", Doc: "The code point of the first character, 0 for an empty text.", args: []pattern{textArg}, result: intType,
			call1: func(_ *Env, v value) (value, error) {
				if v.Text() == "" {
					return integer(0)
				}
				r, _ := utf8.DecodeRuneInString(v.Text())
				return integer(int(r))
			}},
		{Name: "chr", Doc: "The character with a code point.", args: []pattern{intArg}, result: textType, call1: pure1(chr)},
	}
}

func chr(v value) (value, error) {
	n := v.Int()
	if n <= 0 || n > unicode.MaxRune || !utf8.ValidRune(rune(n)) {
		return value{}, fault.New(fault.OutOfRange, "%d is not the code point of a character", n)
	}
	return textValue(string(rune(n)))
}

func cuttingFunctions() []Function {
	all := []Function{
		{Name: "substring", Aliases: []string{"substr"}, Doc: "The text from a position, counted from 1.", args: []pattern{textArg, intArg}, result: textType,
			call2: func(_ *Env, s, from value) (value, error) { return textValue(cut(s.Text(), from.Int(), -1)) }},
		{Name: "substring", Aliases: []string{"substr"}, Doc: "So many characters from a position, counted from 1.", args: []pattern{textArg, intArg, intArg}, result: textType,
			call3: func(_ *Env, s, from, count value) (value, error) {
				if count.Int() < 0 {
					return value{}, fault.New(fault.InvalidValue, "a length must not be negative, but is %d", count.Int())
				}
				return textValue(cut(s.Text(), from.Int(), count.Int()))
			}},
		{Name: "left", Doc: "The first n characters; a negative n leaves out the last ones.", args: []pattern{textArg, intArg}, result: textType,
			call2: func(_ *Env, s, n value) (value, error) { return textValue(leftOf(s.Text(), n.Int())) }},
		{Name: "right", Doc: "The last n characters; a negative n leaves out the first ones.", args: []pattern{textArg, intArg}, result: textType,
			call2: func(_ *Env, s, n value) (value, error) { return textValue(rightOf(s.Text(), n.Int())) }},
		{Name: "split_part", Doc: "The n-th part between delimiters; a negative n counts from the end.", args: []pattern{textArg, textArg, intArg}, result: textType, call3: splitPart},
	}
	for _, side := range []struct {
		name, where string
		aliases     []string
		trim        func(s, set string) string
	}{
		{"btrim", "both ends", []string{"trim"}, strings.Trim},
		{"ltrim", "the start", nil, strings.TrimLeft},
		{"rtrim", "the end", nil, strings.TrimRight},
	} {
		trim := side.trim
		all = append(all,
			Function{Name: side.name, Aliases: side.aliases, Doc: "Without blanks at " + side.where + ".", args: []pattern{textArg}, result: textType,
				call1: func(_ *Env, s value) (value, error) { return textValue(trim(s.Text(), " ")) }},
			Function{Name: side.name, Aliases: side.aliases, Doc: "Without the characters of the second text at " + side.where + ".", args: []pattern{textArg, textArg}, result: textType,
				call2: func(_ *Env, s, set value) (value, error) { return textValue(trim(s.Text(), set.Text())) }})
	}
	return all
}

// cut returns count characters of s from the 1-based position from; what lies
// before the text counts but gives nothing. A negative count means all.
func cut(s string, from, count int64) string {
	if from < 1 {
		if before := 1 - uint64(from); count >= 0 && uint64(count) <= before {
			return ""
		} else if count >= 0 {
			count -= int64(before)
		}
		from = 1
	}
	s = runesFrom(s, from-1)
	if count < 0 {
		return s
	}
	return runesUntil(s, count)
}

// runesUntil returns the first n characters.
func runesUntil(s string, n int64) string {
	if n >= int64(len(s)) {
		return s
	}
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// runesFrom leaves out the first n characters.
func runesFrom(s string, n int64) string {
	if n >= int64(len(s)) {
		return ""
	}
	return s[len(runesUntil(s, n)):]
}

func leftOf(s string, n int64) string {
	if n < 0 {
		n = max(int64(utf8.RuneCountInString(s))+n, 0)
	}
	return runesUntil(s, n)
}

func rightOf(s string, n int64) string {
	if n < 0 {
		return runesFrom(s, magnitudeOf(n))
	}
	return runesFrom(s, max(int64(utf8.RuneCountInString(s))-n, 0))
}

// magnitudeOf is -n for a negative n, and the greatest integer for the least.
func magnitudeOf(n int64) int64 {
	if -n < 0 {
		return int64(^uint64(0) >> 1)
	}
	return -n
}

func splitPart(_ *Env, s, delimiter, n value) (value, error) {
	if n.Int() == 0 {
		return value{}, fault.New(fault.InvalidValue, "the part of split_part must not be 0")
	}
	if delimiter.Text() == "" {
		if n.Int() == 1 || n.Int() == -1 {
			return s, nil
		}
		return textValue("")
	}
	at := n.Int() - 1
	if n.Int() < 0 {
		at = int64(strings.Count(s.Text(), delimiter.Text())) + 1 + n.Int()
	}
	rest, found := s.Text(), at >= 0
	for ; at > 0 && found; at-- {
		_, rest, found = strings.Cut(rest, delimiter.Text())
	}
	if !found {
		return textValue("")
	}
	part, _, _ := strings.Cut(rest, delimiter.Text())
	return textValue(part)
}

func searchFunctions() []Function {
	test := func(name string, f func(s, part string) bool, doc string) Function {
		return Function{Name: name, Doc: doc, args: []pattern{textArg, textArg}, result: boolType,
			call2: func(_ *Env, s, part value) (value, error) { return boolean(f(s.Text(), part.Text())) }}
	}
	return []Function{
		{Name: "strpos", Aliases: []string{"instr"}, Doc: "The position of the second text in the first, counted from 1; 0 if it is not there.", args: []pattern{textArg, textArg}, result: intType,
			call2: func(_ *Env, s, part value) (value, error) { return position(part, s) }},
		{Name: "position", Doc: "POSITION(part IN text): the position of the part, counted from 1; 0 if it is not there.", args: []pattern{textArg, textArg}, result: intType,
			call2: func(_ *Env, part, s value) (value, error) { return position(part, s) }},
		{Name: "^@", Operator: true, Doc: "Whether the first text begins with the second.", args: []pattern{textArg, textArg}, result: boolType,
			call2: func(_ *Env, s, part value) (value, error) { return boolean(strings.HasPrefix(s.Text(), part.Text())) }},
		test("starts_with", strings.HasPrefix, "Whether the first text begins with the second."),
		test("ends_with", strings.HasSuffix, "Whether the first text ends with the second."),
		test("contains", strings.Contains, "Whether the second text occurs in the first."),
		{Name: "levenshtein", Doc: "How many characters must be changed to make one text the other; each may have at most 255 bytes.", args: []pattern{textArg, textArg}, result: intType,
			call2: func(_ *Env, a, b value) (value, error) {
				if len(a.Text()) > 255 || len(b.Text()) > 255 {
					return value{}, fault.New(fault.LimitExceeded, "levenshtein takes texts of at most 255 bytes")
				}
				return integer(distance(a.Text(), b.Text()))
			}},
	}
}

func position(part, s value) (value, error) {
	at := strings.Index(s.Text(), part.Text())
	if at < 0 {
		return integer(0)
	}
	return integer(utf8.RuneCountInString(s.Text()[:at]) + 1)
}

// distance is the number of insertions, deletions and replacements between two
// short texts.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(y)]
}
