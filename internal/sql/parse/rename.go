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
	walkColumns(x, func(c *Column) {
		if c.Name == from && c.Table == "" {
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

// walkColumns visits the references to columns below a value of a tree. It does
// not know the kinds of nodes, so that no place where one can stand is forgotten.
func walkColumns(node any, each func(*Column)) {
	var visit func(v reflect.Value)
	visit = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Interface, reflect.Pointer:
			if v.IsNil() {
				return
			}
			if c, ok := v.Interface().(*Column); ok {
				each(c)
				return
			}
			visit(v.Elem())
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
