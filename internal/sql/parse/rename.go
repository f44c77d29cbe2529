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

// Renamed says what names of a text become: namespaces in front of tables and
// columns, and sequences in the text of nextval and its like.
type Renamed struct {
	// Namespace becomes To; both are folded, "" leaves them.
	Namespace, To string
	// Sequence is a qualified name that becomes NewSequence.
	Sequence, NewSequence string
}

// RenameInQuery returns the text of a SELECT with other names.
func RenameInQuery(text string, r Renamed) (string, error) {
	st, err := Parse(text)
	if err != nil {
		return "", err
	}
	return r.rewrite(text, st)
}

// RenameInExpr returns the text of an expression with other names.
func RenameInExpr(text string, r Renamed) (string, error) {
	x, err := ParseExpr(text)
	if err != nil {
		return "", err
	}
	return r.rewrite(text, x)
}

// rewrite replaces tokens of a text; everything else stays as it was written.
func (r Renamed) rewrite(text string, tree any) (string, error) {
	toks, err := scan(text)
	if err != nil {
		return "", err
	}
	prefixes, literals := map[int]bool{}, map[int]string{}
	r.find(tree, prefixes, literals)
	var b strings.Builder
	done := 0
	for i, t := range toks {
		with, found := literals[t.start]
		if prefixes[t.start] {
			with, found = r.To, true
			if i+4 < len(toks) && text[toks[i+3].start] == '.' && r.Namespace != foldName(strings.Trim(text[t.start:t.end], "\"`")) {
				b.WriteString(text[done:toks[i+2].start]) // the database's name stands in front
				done, t = toks[i+2].start, toks[i+2]
			}
		}
		if found {
			b.WriteString(text[done:t.start])
			b.WriteString(with)
			done = t.end
		}
	}
	b.WriteString(text[done:])
	return b.String(), nil
}

// find notes where names stand that change.
func (r Renamed) find(tree any, prefixes map[int]bool, literals map[int]string) {
	walk(tree, func(node any) {
		switch n := node.(type) {
		case *Name:
			if r.Namespace != "" && n.Namespace == r.Namespace {
				prefixes[n.Offset] = true
			}
		case *Column:
			if r.Namespace != "" && n.Namespace == r.Namespace {
				prefixes[n.Offset] = true
			}
		case *Call:
			switch n.Name {
			case "nextval", "currval", "setval":
			default:
				return
			}
			x := n.Args[0]
			if c, ok := x.(*Cast); ok {
				x = c.X
			}
			if l, ok := x.(*Literal); ok && l.Value.Kind() == datum.Text {
				if name, changes := r.sequence(l.Value.Text()); changes {
					literals[l.Offset] = "'" + name + "'"
				}
			}
		}
	})
}

// sequence returns what the text that names a sequence becomes.
func (r Renamed) sequence(text string) (string, bool) {
	name := strings.ToLower(strings.ReplaceAll(text, `"`, ""))
	if r.Sequence != "" && name == r.Sequence {
		return r.NewSequence, true
	}
	if rest, ok := strings.CutPrefix(name, r.Namespace+"."); ok && r.Namespace != "" {
		return r.To + "." + rest, true
	}
	return "", false
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

// walk visits every node below a value of a tree, and every name. It does not
// know the kinds of nodes, so that no place where one can stand is forgotten.
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
			switch v.Type() {
			case reflect.TypeFor[datum.Value]():
				return
			case reflect.TypeFor[Name]():
				n := v.Interface().(Name)
				each(&n)
				return
			}
			for i := range v.NumField() {
				visit(v.Field(i))
			}
		}
	}
	visit(reflect.ValueOf(node))
}
