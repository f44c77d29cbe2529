package parse

import (
	"strings"

	"kalamdb/internal/fault"
)

const (
	// defaultDepth bounds how deeply expressions and subqueries may nest.
	defaultDepth = 512
	// greatestDepth is the deepest nesting that the grammar's C code and the
	// decoder of its trees have been tested with.
	greatestDepth = 1024
)

// level is what stands between an opening bracket and its end.
type level struct {
	ops      int  // operators since the last separator: each may deepen the tree by one
	group    int  // tallest bracket since the last separator
	joins    int  // JOIN, UNION and the like: a chain of them leans over separators
	betweens int  // BETWEENs whose AND is still to come
	height   int  // tallest part between two separators
	isCase   bool // CASE … END instead of brackets
}

// part ends the part up to a separator.
func (v *level) part() {
	v.height = max(v.height, v.ops+v.group)
	v.ops, v.group, v.betweens = 0, 0, 0
}

// word counts a keyword that neither opens nor closes a level.
func (v *level) word(n nest) {
	switch {
	case n == nestAnd && v.betweens > 0:
		v.betweens--
		v.ops++
	case n == nestAnd || n == nestSeparator:
		v.part()
	case n == nestBetween:
		v.betweens++
		v.ops++
	case n == nestOperator:
		v.ops++
	case n == nestJoin:
		v.joins++
	}
}

// checkDepth refuses a statement whose tree could be deeper than limit. It
// counts from above: within brackets every operator between two separators may
// be one step deeper than the one before, whatever its precedence.
func checkDepth(src string, toks []token, limit int) error {
	switch {
	case limit <= 0:
		limit = defaultDepth
	case limit > greatestDepth:
		limit = greatestDepth
	}
	stack := make([]level, 1, 16)
	name := false // the last token makes a name of any word that follows
	for _, t := range toks {
		top := &stack[len(stack)-1]
		isName := name
		name = false
		switch t.kind {
		case tokOperator:
			top.ops++
		case tokPunct:
			switch src[t.start] {
			case '(', '[':
				stack = append(stack, level{})
			case ')', ']':
				stack = closeLevel(stack, false)
			case ',', ';':
				top.part()
			case ':':
				top.ops++
			case '.':
				name = true
			}
		case tokWord:
			if isName {
				break
			}
			switch n := nesting(src[t.start:t.end]); n {
			case nestCase:
				stack = append(stack, level{isCase: true})
			case nestEnd:
				stack = closeLevel(stack, true)
			case nestAs:
				name = true
			default:
				top.word(n)
			}
		}
		top = &stack[len(stack)-1]
		if len(stack) > limit || top.joins+top.ops+top.group > limit {
			return fault.At(fault.LimitExceeded, t.start,
				"the statement nests deeper than %d levels, the limit of execution.max_expression_depth", limit)
		}
	}
	return nil
}

// closeLevel ends the innermost level when it was opened in the same way; what
// does not match is left for the grammar to refuse.
func closeLevel(stack []level, isCase bool) []level {
	last := len(stack) - 1
	if last == 0 || stack[last].isCase != isCase {
		return stack
	}
	v := stack[last]
	v.part()
	up := &stack[last-1]
	up.group = max(up.group, v.height+v.joins+1)
	return stack[:last]
}

// nest says what a keyword does to the depth of a tree.
type nest uint8

const (
	nestNothing nest = iota
	nestOperator
	nestBetween
	nestAnd
	nestSeparator
	nestJoin
	nestCase
	nestEnd
	nestAs
)

// nesting classifies a word. AND and OR separate: chains of them are flat in
// the grammar's tree, and balanced in ours. All separators are reserved words,
// so no name can pass for one.
func nesting(word string) nest {
	if len(word) < 2 || len(word) > 9 {
		return nestNothing
	}
	switch strings.ToUpper(word) {
	case "AND":
		return nestAnd
	case "OR", "WHEN", "THEN", "ELSE", "WHERE", "HAVING", "LIMIT", "OFFSET", "RETURNING":
		return nestSeparator
	case "BETWEEN":
		return nestBetween
	case "NOT", "IS", "IN", "LIKE", "ILIKE", "SIMILAR", "ESCAPE", "AT", "COLLATE", "ISNULL", "NOTNULL", "OVERLAPS", "OPERATOR":
		return nestOperator
	case "JOIN", "UNION", "INTERSECT", "EXCEPT":
		return nestJoin
	case "CASE":
		return nestCase
	case "END":
		return nestEnd
	case "AS":
		return nestAs
	}
	return nestNothing
}
