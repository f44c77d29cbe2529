package parse

import (
	"reflect"
	"sort"
	"strings"

	"kalamdb/internal/datum"
)

// RenameColumns returns the text of an expression with another name for a
// column; both names are folded. Offsets in the tree say where names stand, so
// that spelling and brackets stay as they were written.
func RenameColumns(text, from, to string) (string, error) {
	toks, err := scan(text)
	if err != nil {
		return "", err
	}
	x, err := ParseExpr(text)
	if err != nil {
		return "", err
	}
	var starts []int
	walk(x, func(node any) {
		if c, ok := node.(*Column); ok && c.Name == from && c.Table == "" {
			starts = append(starts, c.Offset)
		}
	})
	sort.Ints(starts)
	var b strings.Builder
	done := 0
	for _, t := range toks {
		if len(starts) == 0 || t.start != starts[0] {
			continue
		}
		b.WriteString(text[done:t.start])
		b.WriteString(to)
		done, starts = t.end, starts[1:]
	}
	b.WriteString(text[done:])
	return b.String(), nil
}

// FindSubquery returns the place of a SELECT inside an expression, or -1.
func FindSubquery(x Expr) int {
	at := -1
	walk(x, func(node any) {
		if s, ok := node.(*Subquery); ok && at < 0 {
			at = s.Offset
		}
	})
	return at
}

// walk visits every node below a value of a tree. It does not know the kinds of
// nodes, so that no place where one can stand is forgotten.
func walk(node any, each func(any)) {
	var visit func(v reflect.Value)
	visit = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Interface:
			if !v.IsNil() {
				visit(v.Elem())
			}
		case reflect.Pointer:
			if !v.IsNil() {
				each(v.Interface())
				visit(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				visit(v.Index(i))
			}
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[datum.Value]() {
				return
			}
			for i := range v.NumField() {
				visit(v.Field(i))
			}
		}
	}
	visit(reflect.ValueOf(node))
}
