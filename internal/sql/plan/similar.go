package plan

import (
	"regexp"
	"strings"

	"kalamdb/internal/fault"
)

// similarFunctions rewrite patterns of SIMILAR TO; the parser calls them.
func similarFunctions() []Function {
	const doc = "The regular expression that means the pattern of SIMILAR TO."
	return []Function{
		{Name: "similar_to_escape", Doc: doc, args: []pattern{textArg}, result: textType,
			call1: func(_ *Env, p value) (value, error) { return similar(p.Text(), `\`) }},
		{Name: "similar_to_escape", Doc: doc + " The second text takes the next character as it is.", args: []pattern{textArg, textArg}, result: textType,
			call2: func(_ *Env, p, escape value) (value, error) { return similar(p.Text(), escape.Text()) }},
	}
}

// similar turns a pattern of the SQL standard into a regular expression for the
// whole text: % and _ become .* and ., what only regular expressions know is
// taken as it is.
func similar(pattern, escape string) (value, error) {
	if len([]rune(escape)) > 1 {
		return value{}, fault.New(fault.InvalidValue, "ESCAPE must be one character, or '' for none")
	}
	var out strings.Builder
	out.WriteString("^(?:")
	escaped, inSet := false, false
	for _, r := range pattern {
		c := string(r)
		switch {
		case escaped:
			out.WriteString(regexp.QuoteMeta(c))
			escaped = false
		case escape != "" && c == escape:
			escaped = true
		case inSet:
			inSet = r != ']'
			if r == '\\' {
				c = `\\`
			}
			out.WriteString(c)
		case r == '[':
			inSet = true
			out.WriteString(c)
		case r == '%':
			out.WriteString(".*")
		case r == '_':
			out.WriteString(".")
		case r == '(':
			out.WriteString("(?:")
		case strings.ContainsRune(`.^$\`, r):
			out.WriteString(regexp.QuoteMeta(c))
		default:
			out.WriteString(c)
		}
	}
	if escaped {
		return value{}, fault.New(fault.InvalidValue, "the pattern of SIMILAR TO ends with its escape character")
	}
	out.WriteString(")$")
	return textValue(out.String())
}
