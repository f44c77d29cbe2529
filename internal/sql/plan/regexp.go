package plan

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

const (
	// maxRegexp is how many bytes a regular expression may have.
	maxRegexp = 8 << 10
	// maxMatches is how many matches in one text a function looks at.
	maxMatches = 1 << 20
)

func checkMatches(n int) error {
	if n > maxMatches {
		return fault.New(fault.LimitExceeded, "a regular expression may match at most %d times in one text", maxMatches)
	}
	return nil
}

func regexpOperator(name, flags string, not bool, doc string) Function {
	return Function{Name: name, Operator: true, Doc: doc, args: []pattern{textArg, textArg}, result: boolType,
		call2: func(env *Env, s, p value) (value, error) {
			re, err := env.regexp(flags, p.Text(), s.Text())
			if err != nil {
				return value{}, err
			}
			return datum.NewBool(re.MatchString(s.Text()) != not), nil
		}}
}

// expression is a compiled regular expression; size is the number of its
// instructions, each of which may be tried at every place of a text.
type expression struct {
	*regexp.Regexp
	size int
}

// maxSteps bounds what matching one pattern with one text may cost, because it
// cannot be interrupted.
const maxSteps = 1 << 31

func checkSteps(pattern, text int) error {
	if text > 0 && pattern > maxSteps/text {
		return fault.New(fault.LimitExceeded, "a pattern of this size cannot be matched with a text of %d bytes", text)
	}
	return nil
}

// regexp returns the expression to match text with, from the cache of the
// execution when there is one.
func (e *Env) regexp(flags, pattern, text string) (expression, error) {
	c := &e.patterns
	// The pattern is compared first: its bytes are mostly the very same.
	if c.regexp.Regexp == nil || c.lastPattern != pattern || c.lastFlags != flags {
		re, known := c.regexps[flags+pattern]
		if !known {
			var err error
			if re, err = compileRegexp(flags, pattern); err != nil {
				return re, err
			}
			if c.regexps == nil || len(c.regexps) >= maxPatterns {
				c.regexps = map[string]expression{}
			}
			c.regexps[flags+pattern] = re
		}
		c.lastFlags, c.lastPattern, c.regexp = flags, pattern, re
	}
	return c.regexp, checkSteps(c.regexp.size, len(text))
}

func compileRegexp(flags, pattern string) (expression, error) {
	if len(pattern) > maxRegexp {
		return expression{}, fault.New(fault.LimitExceeded, "a regular expression may have at most %d bytes", maxRegexp)
	}
	re, err := regexp.Compile(flags + pattern)
	if err != nil {
		reason := "it cannot be used"
		var broken *syntax.Error
		if errors.As(err, &broken) {
			reason = broken.Code.String()
		}
		return expression{}, fault.New(fault.InvalidValue, "invalid regular expression '%s': %s", shorten(pattern), reason)
	}
	size := len(pattern)
	if tree, err := syntax.Parse(flags+pattern, syntax.Perl); err == nil {
		if program, err := syntax.Compile(tree.Simplify()); err == nil {
			size = len(program.Inst)
		}
	}
	return expression{re, size}, nil
}

// regexpFlags reads the letters of PostgreSQL's flags: i and c for case, g for
// all matches, n or m for lines, s and x are without meaning of their own.
func regexpFlags(letters string) (flags string, all bool, err error) {
	fold, lines := false, false
	for _, r := range letters {
		switch r {
		case 'i':
			fold = true
		case 'c':
			fold = false
		case 'g':
			all = true
		case 'n', 'm':
			lines = true
		case 's':
			lines = false
		default:
			return "", false, fault.New(fault.InvalidValue, "unknown flag '%c' of a regular expression; there are c, g, i, m, n and s", r)
		}
	}
	flags = "(?s)"
	if lines {
		flags = "(?m)"
	}
	if fold {
		flags = strings.Replace(flags, "(?", "(?i", 1)
	}
	return flags, all, nil
}

// withFlags makes the overloads of a function of a text and a pattern, without
// and with flags.
func withFlags(name string, result datum.Type, doc string, f func(re *regexp.Regexp, s string) (value, error)) []Function {
	call := func(env *Env, s, p value, letters string) (value, error) {
		flags, _, err := regexpFlags(letters)
		if err != nil {
			return value{}, err
		}
		re, err := env.regexp(flags, p.Text(), s.Text())
		if err != nil {
			return value{}, err
		}
		return f(re.Regexp, s.Text())
	}
	return []Function{
		{Name: name, Doc: doc, args: []pattern{textArg, textArg}, result: result,
			call2: func(env *Env, s, p value) (value, error) { return call(env, s, p, "") }},
		{Name: name, Doc: doc + " The third argument holds flags: i ignores case, n lets ^ and $ match at lines.", args: []pattern{textArg, textArg, textArg}, result: result,
			call3: func(env *Env, s, p, letters value) (value, error) { return call(env, s, p, letters.Text()) }},
	}
}

func regexpFunctions() []Function {
	var all []Function
	all = append(all, withFlags("regexp_like", boolType, "Whether the text matches a regular expression.",
		func(re *regexp.Regexp, s string) (value, error) { return boolean(re.MatchString(s)) })...)
	all = append(all, withFlags("regexp_count", intType, "How often a regular expression matches.",
		func(re *regexp.Regexp, s string) (value, error) {
			n := len(re.FindAllStringIndex(s, maxMatches+1))
			if err := checkMatches(n); err != nil {
				return value{}, err
			}
			return integer(n)
		})...)
	all = append(all, withFlags("regexp_substr", textType, "The first match of a regular expression, NULL if there is none.",
		func(re *regexp.Regexp, s string) (value, error) {
			at := re.FindStringIndex(s)
			if at == nil {
				return value{}, nil
			}
			return textValue(s[at[0]:at[1]])
		})...)
	all = append(all, withFlags("regexp_instr", intType, "The position of the first match of a regular expression, counted from 1; 0 if there is none.",
		func(re *regexp.Regexp, s string) (value, error) {
			at := re.FindStringIndex(s)
			if at == nil {
				return integer(0)
			}
			return integer(utf8.RuneCountInString(s[:at[0]]) + 1)
		})...)
	return append(all,
		Function{Name: "regexp_replace", Doc: "The first match of a regular expression replaced; \\1 to \\9 stand for groups, \\& for the match.", args: []pattern{textArg, textArg, textArg}, result: textType,
			call3: func(env *Env, s, p, with value) (value, error) { return regexpReplace(env, s, p, with, "") }},
		Function{Name: "regexp_replace", Doc: "The flag g replaces all matches, i ignores case.", args: []pattern{textArg, textArg, textArg, textArg}, result: textType,
			calls: func(env *Env, a []value) (value, error) { return regexpReplace(env, a[0], a[1], a[2], a[3].Text()) }},
	)
}

func regexpReplace(env *Env, s, p, with value, letters string) (value, error) {
	flags, all, err := regexpFlags(letters)
	if err != nil {
		return value{}, err
	}
	re, err := env.regexp(flags, p.Text(), s.Text())
	if err != nil {
		return value{}, err
	}
	text, last := s.Text(), 0
	var out []byte
	count := 1
	if all {
		count = maxMatches + 1
	}
	matches := re.FindAllStringSubmatchIndex(text, count)
	if err := checkMatches(len(matches)); err != nil {
		return value{}, err
	}
	for _, at := range matches {
		out = append(out, text[last:at[0]]...)
		if out, err = appendReplacement(out, with.Text(), text, at); err != nil {
			return value{}, err
		}
		last = at[1]
	}
	if err := checkBuilt(len(out) + len(text) - last); err != nil {
		return value{}, err
	}
	return textValue(string(append(out, text[last:]...)))
}

// appendReplacement appends with, where \1 to \9 and \& stand for parts of the
// match whose group positions are at.
func appendReplacement(out []byte, with, text string, at []int) ([]byte, error) {
	for i := 0; i < len(with); i++ {
		c := with[i]
		if c != '\\' || i+1 == len(with) {
			out = append(out, c)
			continue
		}
		i++
		group := -1
		switch c = with[i]; {
		case c == '&':
			group = 0
		case c >= '1' && c <= '9':
			group = int(c - '0')
		case c == '\\':
			out = append(out, c)
			continue
		default:
			out = append(out, '\\', c)
			continue
		}
		if 2*group+1 < len(at) && at[2*group] >= 0 {
			out = append(out, text[at[2*group]:at[2*group+1]]...)
		}
		if err := checkBuilt(len(out)); err != nil {
			return out, err
		}
	}
	return out, checkBuilt(len(out))
}
