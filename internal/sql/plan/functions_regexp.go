package plan

import (
	"regexp"
	"unicode/utf8"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// regexpParts are the functions of regular expressions that give parts of a text
// or begin at a place in it.
func regexpParts() []Function {
	texts := datum.ArrayType(textType)
	var all []Function
	all = append(all, withFlags("regexp_match", texts, "The groups of the first match of a regular expression, or the match if it has none; NULL if there is none.", firstGroups)...)
	all = append(all, withFlags("regexp_split_to_array", texts, "The parts of a text between the matches of a regular expression.", splitParts)...)
	all = append(all,
		Function{Name: "substring", Doc: "SUBSTRING(text FROM pattern): the first group of the first match of a regular expression, or the match if it has none.", args: []pattern{textArg, textArg}, result: textType,
			call2: func(env *Env, s, p value) (value, error) {
				re, err := env.regexp("(?s)", p.Text(), s.Text())
				if err != nil {
					return value{}, err
				}
				return groupOf(re.FindStringSubmatchIndex(s.Text()), s.Text(), min(re.NumSubexp(), 1))
			}},
		Function{Name: "regexp_count", Doc: "How often a regular expression matches from a position on, counted from 1.", args: []pattern{textArg, textArg, intArg}, result: intType,
			call3: func(env *Env, s, p, from value) (value, error) {
				found, _, err := matchesFrom(env, s, p, from.Int(), "")
				if err != nil {
					return value{}, err
				}
				return integer(len(found))
			}},
		Function{Name: "regexp_substr", Doc: "The n-th match of a regular expression from a position on.", args: []pattern{textArg, textArg, intArg, intArg}, result: textType,
			calls: func(env *Env, a []value) (value, error) { return nthMatch(env, a, "", 0) }},
		Function{Name: "regexp_substr", Doc: "The n-th match of a regular expression from a position on, by flags.", args: []pattern{textArg, textArg, intArg, intArg, textArg}, result: textType,
			calls: func(env *Env, a []value) (value, error) { return nthMatch(env, a, a[4].Text(), 0) }},
		Function{Name: "regexp_substr", Doc: "A group of the n-th match of a regular expression from a position on, by flags.", args: []pattern{textArg, textArg, intArg, intArg, textArg, intArg}, result: textType,
			calls: func(env *Env, a []value) (value, error) { return nthMatch(env, a, a[4].Text(), a[5].Int()) }},
		Function{Name: "regexp_instr", Doc: "The position of the n-th match of a regular expression from a position on; 0 if there is none.", args: []pattern{textArg, textArg, intArg, intArg}, result: intType,
			calls: func(env *Env, a []value) (value, error) { return nthPlace(env, a, 0) }},
		Function{Name: "regexp_instr", Doc: "The position of the n-th match, or behind it when the fifth argument is 1.", args: []pattern{textArg, textArg, intArg, intArg, intArg}, result: intType,
			calls: func(env *Env, a []value) (value, error) { return nthPlace(env, a, a[4].Int()) }},
	)
	return all
}

// groupOf gives a group of a match, NULL where it is none.
func groupOf(at []int, s string, group int) (value, error) {
	if 2*group+1 >= len(at) || at[2*group] < 0 {
		return value{}, nil
	}
	return textValue(s[at[2*group]:at[2*group+1]])
}

func firstGroups(re *regexp.Regexp, s string) (value, error) {
	at := re.FindStringSubmatchIndex(s)
	if at == nil {
		return value{}, nil
	}
	if re.NumSubexp() == 0 {
		return newArray(datum.Text, []value{datum.NewText(s[at[0]:at[1]])})
	}
	items := make([]value, re.NumSubexp())
	for i := range items {
		items[i], _ = groupOf(at, s, i+1)
	}
	return newArray(datum.Text, items)
}

func splitParts(re *regexp.Regexp, s string) (value, error) {
	found := re.FindAllStringIndex(s, maxMatches+1)
	if err := checkMatches(len(found)); err != nil {
		return value{}, err
	}
	var items []value
	last := 0
	for _, at := range found {
		// A match of nothing parts two characters, not the ends.
		if at[0] == at[1] && (at[0] == last && last == 0 || at[0] == len(s)) {
			continue
		}
		items = append(items, datum.NewText(s[last:at[0]]))
		last = at[1]
	}
	return newArray(datum.Text, append(items, datum.NewText(s[last:])))
}

// matchesFrom lists the matches from a position on, with their places in the
// whole text.
func matchesFrom(env *Env, s, p value, from int64, letters string) ([][]int, expression, error) {
	if from < 1 {
		return nil, expression{}, notPositive("the position of a search", from)
	}
	flags, _, err := regexpFlags(letters)
	if err != nil {
		return nil, expression{}, err
	}
	re, err := env.regexp(flags, p.Text(), s.Text())
	if err != nil {
		return nil, re, err
	}
	head := len(runesUntil(s.Text(), from-1))
	found := re.FindAllStringSubmatchIndex(s.Text()[head:], maxMatches+1)
	for _, at := range found {
		for i := range at {
			if at[i] >= 0 {
				at[i] += head
			}
		}
	}
	return found, re, checkMatches(len(found))
}

func nthMatch(env *Env, a []value, letters string, group int64) (value, error) {
	if a[3].Int() < 1 {
		return value{}, notPositive("the number of a match", a[3].Int())
	}
	if group < 0 {
		return value{}, fault.New(fault.InvalidValue, "the number of a group must not be negative, but is %d", group)
	}
	found, _, err := matchesFrom(env, a[0], a[1], a[2].Int(), letters)
	if err != nil || a[3].Int() > int64(len(found)) || group > 1<<20 {
		return value{}, err
	}
	return groupOf(found[a[3].Int()-1], a[0].Text(), int(group))
}

func nthPlace(env *Env, a []value, end int64) (value, error) {
	if a[3].Int() < 1 {
		return value{}, notPositive("the number of a match", a[3].Int())
	}
	if end != 0 && end != 1 {
		return value{}, fault.New(fault.InvalidValue, "the fifth argument of regexp_instr is 0 or 1, not %d", end)
	}
	found, _, err := matchesFrom(env, a[0], a[1], a[2].Int(), "")
	if err != nil {
		return value{}, err
	}
	if a[3].Int() > int64(len(found)) {
		return integer(0)
	}
	return integer(utf8.RuneCountInString(a[0].Text()[:found[a[3].Int()-1][end]]) + 1)
}
