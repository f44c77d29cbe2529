package plan

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"kalamdb/internal/datum"
)

// buildingFunctions can make values of any size; each checks MaxBuilt before it
// builds.
func buildingFunctions() []Function {
	return []Function{
		{Name: "concat", Doc: "Joins the texts of all arguments that are not NULL.", NullOK: true, args: []pattern{anyArg}, variadic: true, result: textType,
			calls: func(_ *Env, args []value) (value, error) { return concat("", args) }},
		{Name: "concat_ws", Doc: "Joins the texts of all arguments after the first that are not NULL, with the first between them.", NullOK: true, args: []pattern{textArg, anyArg}, variadic: true, result: textType,
			calls: func(_ *Env, args []value) (value, error) {
				if args[0].IsNull() {
					return value{}, nil
				}
				return concat(args[0].Text(), args[1:])
			}},
		{Name: "repeat", Doc: "The text so many times.", args: []pattern{textArg, intArg}, result: textType, sized: true, call2: repeat},
		{Name: "replace", Doc: "Each occurrence of the second text replaced by the third.", args: []pattern{textArg, textArg, textArg}, result: textType, call3: replace},
		{Name: "translate", Doc: "Each character of the second text replaced by the one at the same place of the third, or removed.", args: []pattern{textArg, textArg, textArg}, result: textType, call3: translate},
		{Name: "overlay", Doc: "OVERLAY(text PLACING new FROM position): the new text over the old.", args: []pattern{textArg, textArg, intArg}, result: textType,
			call3: func(_ *Env, s, with, from value) (value, error) {
				return overlay(s.Text(), with.Text(), from.Int(), int64(utf8.RuneCountInString(with.Text())))
			}},
		{Name: "overlay", Doc: "OVERLAY(text PLACING new FROM position FOR count): the new text instead of so many characters.", args: []pattern{textArg, textArg, intArg, intArg}, result: textType,
			calls: func(_ *Env, a []value) (value, error) {
				return overlay(a[0].Text(), a[1].Text(), a[2].Int(), a[3].Int())
			}},
		padding("lpad", true), paddingWith("lpad", true), padding("rpad", false), paddingWith("rpad", false),
		{Name: "to_hex", Doc: "The number in hexadecimal digits.", args: []pattern{intArg}, result: textType,
			call1: func(_ *Env, v value) (value, error) {
				n := uint64(v.Int())
				if v.Kind() != datum.BigInt {
					n = uint64(uint32(v.Int()))
				}
				return textValue(strconv.FormatUint(n, 16))
			}},
	}
}

func concat(separator string, args []value) (value, error) {
	parts := make([]string, 0, len(args))
	size := 0
	for _, a := range args {
		if a.IsNull() {
			continue
		}
		s := concatText(a)
		size += len(s) + len(separator)
		if err := checkBuilt(size); err != nil {
			return value{}, err
		}
		parts = append(parts, s)
	}
	return textValue(strings.Join(parts, separator))
}

// concatText is the text of a value as PostgreSQL prints it: t and f for
// BOOLEAN, unlike CAST.
func concatText(v value) string {
	s := plainText(v)
	if v.Kind() == datum.Bool {
		return s[:1]
	}
	return s
}

func repeat(_ *Env, s, n value) (value, error) {
	count := int(min(max(n.Int(), 0), MaxBuilt+1))
	if s.Text() == "" {
		return textValue("")
	}
	if err := checkBuilt(product(len(s.Text()), count)); err != nil {
		return value{}, err
	}
	return textValue(strings.Repeat(s.Text(), count))
}

func replace(_ *Env, s, old, with value) (value, error) {
	if old.Text() == "" {
		return textValue(s.Text())
	}
	if grows := len(with.Text()) - len(old.Text()); grows > 0 {
		n := strings.Count(s.Text(), old.Text())
		if err := checkBuilt(len(s.Text()) + product(n, grows)); err != nil {
			return value{}, err
		}
	}
	return textValue(strings.ReplaceAll(s.Text(), old.Text(), with.Text()))
}

func translate(_ *Env, s, from, to value) (value, error) {
	target := []rune(to.Text())
	table := map[rune]rune{}
	for i, r := range []rune(from.Text()) {
		if _, twice := table[r]; twice {
			continue
		}
		table[r] = -1
		if i < len(target) {
			table[r] = target[i]
		}
	}
	if err := checkBuilt(product(len(s.Text()), utf8.UTFMax)); err != nil {
		return value{}, err
	}
	return textValue(strings.Map(func(r rune) rune {
		if with, ok := table[r]; ok {
			return with
		}
		return r
	}, s.Text()))
}

func overlay(s, with string, from, count int64) (value, error) {
	if from < 1 {
		return value{}, notPositive("the position of overlay", from)
	}
	if err := checkBuilt(len(s) + len(with)); err != nil {
		return value{}, err
	}
	after := from - 1 + count
	if after < from-1 && count > 0 {
		after = int64(len(s))
	}
	return textValue(runesUntil(s, from-1) + with + runesFrom(s, max(after, 0)))
}

func padding(name string, before bool) Function {
	return Function{Name: name, Doc: "Filled up with blanks, or cut, to so many characters.", args: []pattern{textArg, intArg}, result: textType, sized: true,
		call2: func(_ *Env, s, n value) (value, error) { return pad(s.Text(), n.Int(), " ", before) }}
}

func paddingWith(name string, before bool) Function {
	return Function{Name: name, Doc: "Filled up with the third text, or cut, to so many characters.", args: []pattern{textArg, intArg, textArg}, result: textType, sized: true,
		call3: func(_ *Env, s, n, fill value) (value, error) { return pad(s.Text(), n.Int(), fill.Text(), before) }}
}

func pad(s string, n int64, fill string, before bool) (value, error) {
	n = max(n, 0)
	missing := n - int64(utf8.RuneCountInString(s))
	if missing <= 0 || fill == "" {
		return textValue(runesUntil(s, n))
	}
	if err := checkBuilt(len(s) + product(int(min(missing, MaxBuilt+1)), utf8.UTFMax)); err != nil {
		return value{}, err
	}
	each := int64(utf8.RuneCountInString(fill))
	filling := strings.Repeat(fill, int(missing/each)) + runesUntil(fill, missing%each)
	if before {
		return textValue(filling + s)
	}
	return textValue(s + filling)
}

func quotingFunctions() []Function {
	return []Function{
		{Name: "quote_ident", Doc: "The text as a name in SQL, in quotes where they are needed.", args: []pattern{textArg}, result: textType,
			call1: func(_ *Env, v value) (value, error) { return quotedValue(v.Text(), `"`, quoteName) }},
		{Name: "quote_literal", Doc: "The text as a literal in SQL.", args: []pattern{textArg}, result: textType,
			call1: func(_ *Env, v value) (value, error) { return quotedValue(v.Text(), `'\`, quoteText) }},
		{Name: "quote_nullable", Doc: "The text as a literal in SQL, or the word NULL.", NullOK: true, args: []pattern{textArg}, result: textType,
			call1: func(_ *Env, v value) (value, error) {
				if v.IsNull() {
					return textValue("NULL")
				}
				return quotedValue(v.Text(), `'\`, quoteText)
			}},
	}
}

func quoteName(s string) string {
	plain := s != "" && (s[0] == '_' || s[0] >= 'a' && s[0] <= 'z')
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] == '_' || s[i] >= 'a' && s[i] <= 'z' || s[i] >= '0' && s[i] <= '9'
	}
	if plain && !reserved[s] {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// quotedValue quotes a text in which some characters are doubled.
func quotedValue(s, doubled string, quote func(string) string) (value, error) {
	size := len(s)
	for i := range doubled {
		size += strings.Count(s, doubled[i:i+1])
	}
	if err := checkBuilt(size); err != nil {
		return value{}, err
	}
	return textValue(quote(s))
}

func quoteText(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
