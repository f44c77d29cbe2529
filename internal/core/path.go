package core

import (
	"iter"
	"slices"
	"strings"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// path are the namespaces in which unqualified names are looked up, in order and
// divided by NUL, which no name has. It is a string, for it is part of the key
// of a plan; most paths are the name of one namespace.
type path string

// maxPath bounds the namespaces of a search path.
const maxPath = 32

// pathOf joins names that are not empty; no name is the default namespace.
func pathOf(names ...string) path {
	if len(names) == 0 {
		return schema.DefaultNamespace
	}
	return path(strings.Join(names, "\x00"))
}

// single reports whether the path is one namespace.
func (p path) single() bool { return strings.IndexByte(string(p), 0) < 0 }

// names yields the namespaces in order.
func (p path) names() iter.Seq[string] { return strings.SplitSeq(string(p), "\x00") }

// first is where names are made that are made without a namespace.
func (p path) first() string {
	name, _, _ := strings.Cut(string(p), "\x00")
	return name
}

// list is what expressions are told, nil for a single namespace.
func (p path) list() []string {
	if p.single() {
		return nil
	}
	return slices.Collect(p.names())
}

// existing leaves out the namespaces that there are not, as PostgreSQL does. A
// path of which nothing would be left stays, so that faults name something.
func (p path) existing(view *relation.View) path {
	if p.single() {
		return p
	}
	var names []string
	for name := range p.names() {
		if view.HasNamespace(name) {
			names = append(names, name)
		}
	}
	switch {
	case len(names) > 0:
		return pathOf(names...)
	case slices.Contains(slices.Collect(p.names()), "public"):
		return schema.DefaultNamespace
	}
	return path(p.first())
}

// pathFrom reads a search path as it is written, and says how SHOW prints it.
// The user's own namespace is none of ours; public and default stand in the paths
// of PostgreSQL's clients and mean ours where there is nothing else.
func pathFrom(text string) (p path, shown string, err error) {
	var names, words []string
	for item := range strings.SplitSeq(text, ",") {
		name := strings.ToLower(unquoted(item))
		if name == "" || name == "$user" || strings.IndexByte(name, 0) >= 0 || slices.Contains(names, name) {
			continue
		}
		names = append(names, name)
		words = append(words, quotedName(name))
	}
	switch {
	case len(names) > maxPath:
		return "", "", fault.New(fault.LimitExceeded, "a search_path has at most %d namespaces, not %d", maxPath, len(names))
	case len(names) == 0, len(names) == 1 && names[0] == "public":
		return schema.DefaultNamespace, schema.DefaultNamespace, nil
	}
	return pathOf(names...), strings.Join(words, ", "), nil
}

// quotedName is a name as it is written in a statement.
func quotedName(name string) string {
	plain := func(r rune) bool { return r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' }
	if strings.IndexFunc(name, func(r rune) bool { return !plain(r) }) < 0 && (name[0] < '0' || name[0] > '9') {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// holder returns the namespace of a path in which a relation is found by its
// bare name, the first one if there is none.
func holder(view *relation.View, name string, p path) string {
	for namespace := range p.names() {
		if view.Holds(namespace, name) {
			return namespace
		}
	}
	return p.first()
}

// placeOf is the one namespace that a statement about a name means when the name
// has none of its own: for what is made the first of the path, for what is there
// the one that has it.
func placeOf(stmt parse.Statement, view *relation.View, p path) string {
	if p.single() {
		return string(p)
	}
	if n, ok := about(stmt); ok && n.Namespace == "" {
		return namespaceOf(view, n, p)
	}
	return p.first()
}

// about returns the name of what a statement changes or shows, which must be
// there.
func about(stmt parse.Statement) (parse.Name, bool) {
	switch stmt := stmt.(type) {
	case *parse.AlterTable:
		return stmt.Table, true
	case *parse.DropTable:
		return stmt.Table, true
	case *parse.CreateIndex:
		return stmt.Table, true
	case *parse.DropIndex:
		if stmt.Table.Name != "" {
			return stmt.Table, true
		}
		return stmt.Index, true
	case *parse.AlterSequence:
		return stmt.Sequence, true
	case *parse.DropSequence:
		return stmt.Sequence, true
	case *parse.RenameObject:
		return stmt.Object, true
	case *parse.DropView:
		return stmt.View, true
	case *parse.Comment:
		return stmt.Name, true
	case *parse.ShowColumns:
		return stmt.Table, true
	case *parse.ShowIndexes:
		return stmt.Table, true
	case *parse.ShowStats:
		return stmt.Table, true
	case *parse.Describe:
		return stmt.Table, true
	case *parse.StorageFlush:
		return stmt.Table, !stmt.All
	}
	return parse.Name{}, false
}
