package plan

import (
	"slices"
	"strings"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// frame is what the expressions of one SELECT see: the items of its FROM, and
// around them those of the SELECT that it stands in.
type frame struct {
	relation
	outer *frame
	// barred are items that stand beside a subquery of FROM, which sees them
	// only behind LATERAL.
	barred *relation
}

// relation is an item of FROM, or several joined ones.
type relation struct {
	node Node
	// items can be named as qualifiers.
	items []*item
	// columns are the unqualified names in the order of *.
	columns []named
	// rels are the numbers of the nodes that give the columns.
	rels []int
	// keys order the rows, where they come from stored tables.
	keys []Expr
	// stored says that rows come from stored tables, unkeyed that keys do not
	// tell all of them apart, sorted that they come in an order that was asked for.
	stored, unkeyed, sorted bool
	// by is that order, if its keys can be read.
	by []OrderItem
}

// order returns the keys of the one table that a relation is, which tell all of
// its rows apart; nil for every other relation.
func (r *relation) order() []Expr {
	if _, ok := r.node.(*Scan); !ok || r.unkeyed || !r.stored {
		return nil
	}
	return r.keys
}

// joined reports whether a relation is several.
func (r *relation) joined() bool {
	_, ok := r.node.(*Join)
	return ok
}

// item is what one qualifier stands for.
type item struct {
	namespace, name string // no namespace behind an alias
	columns         []named
	table           *schema.Table // when it is one
	rel             int           // of the Scan
	// scalar says that the item is a function that gives single values: its name
	// stands for them.
	scalar bool
}

// named is a column that can be named.
type named struct {
	name string
	x    Expr
}

// matches reports whether a qualifier means the item.
func (i *item) matches(namespace, name string) bool {
	return i.name == name && name != "" && (namespace == "" || namespace == i.namespace)
}

// gives returns the columns of a name.
func gives(columns []named, name string) []named {
	var out []named
	for _, c := range columns {
		if c.name == name {
			out = append(out, c)
		}
	}
	return out
}

// derived returns the column _updated of an item that is a table.
func (i *item) derived(name string) (Expr, bool) {
	if name != schema.UpdatedName || i.table == nil {
		return nil, false
	}
	seq := i.table.SystemPosition(schema.SeqColumn)
	if seq < 0 {
		return nil, false
	}
	return updated(i.columns[seq].x), true
}

// treeColumn binds a reference to a column of the nearest frame that has it.
func (b *binder) treeColumn(e *parse.Column) (Expr, error) {
	for f := b.from; f != nil; f = f.outer {
		x, err := f.find(e)
		if x != nil || err != nil {
			return x, err
		}
		if e.Table == "" {
			if i, err := f.item("", e.Name, e.Offset); err == nil && i != nil && i.scalar {
				return i.columns[0].x, nil
			}
		}
	}
	return nil, b.noTreeColumn(e)
}

// find looks a column up in one frame; nil without a fault when it has none.
func (f *frame) find(e *parse.Column) (Expr, error) {
	if e.Table != "" {
		return f.qualified(e)
	}
	found := gives(f.columns, e.Name)
	for _, other := range found[min(len(found), 1):] {
		if other.x.String() != found[0].x.String() {
			return nil, fault.At(fault.ColumnNotFound, e.Offset, "column '%s' is ambiguous: %s", e.Name, f.owners(e.Name))
		}
	}
	if len(found) > 0 {
		return found[0].x, nil
	}
	var derived Expr
	for _, i := range f.items {
		x, ok := i.derived(e.Name)
		if ok && derived != nil {
			return nil, fault.At(fault.ColumnNotFound, e.Offset, "column '%s' is ambiguous; name its table", e.Name)
		}
		if ok {
			derived = x
		}
	}
	return derived, nil
}

// owners names the items that have a column.
func (f *frame) owners(name string) string {
	var have []string
	for _, i := range f.items {
		if len(gives(i.columns, name)) > 0 {
			have = append(have, "'"+i.name+"."+name+"'")
		}
	}
	if len(have) < 2 {
		return "several columns have that name"
	}
	return "it may be " + strings.Join(have, " or ")
}

// qualified looks t.c up.
func (f *frame) qualified(e *parse.Column) (Expr, error) {
	i, err := f.item(e.Namespace, e.Table, e.Offset)
	if i == nil || err != nil {
		return nil, err
	}
	switch found := gives(i.columns, e.Name); {
	case len(found) > 1:
		return nil, fault.At(fault.ColumnNotFound, e.Offset, "column '%s.%s' is ambiguous: '%s' has several of that name", e.Table, e.Name, e.Table)
	case len(found) == 1:
		return found[0].x, nil
	}
	if x, ok := i.derived(e.Name); ok {
		return x, nil
	}
	return nil, fault.At(fault.ColumnNotFound, e.Offset, "column '%s' does not exist in %s%s", e.Name, i.shown(), suggestion(e.Name, i.names()))
}

// item returns what a qualifier means in one frame, nil for nothing.
func (f *frame) item(namespace, name string, at int) (*item, error) {
	var found *item
	for _, i := range f.items {
		if !i.matches(namespace, name) {
			continue
		}
		if found != nil {
			return nil, fault.At(fault.ColumnNotFound, at, "table '%s' is ambiguous: '%s.%s' and '%s.%s' are both read", name, found.namespace, name, i.namespace, name)
		}
		found = i
	}
	return found, nil
}

func (i *item) names() []string {
	names := make([]string, len(i.columns))
	for n, c := range i.columns {
		names[n] = c.name
	}
	return names
}

func (i *item) shown() string {
	if i.namespace != "" {
		return i.namespace + "." + i.name
	}
	return "'" + i.name + "'"
}

// noTreeColumn is the fault for a column that no frame has.
func (b *binder) noTreeColumn(e *parse.Column) error {
	for f := b.from; f != nil; f = f.outer {
		if e.Table == "" && slices.ContainsFunc(f.items, func(i *item) bool { return i.matches("", e.Name) }) {
			return fault.At(fault.NotImplemented, e.Offset, "the whole row '%s' as one value is not supported", e.Name)
		}
		if f.barred != nil && (&frame{relation: *f.barred}).has(e) {
			return fault.At(fault.ColumnNotFound, e.Offset, "'%s' stands beside this subquery, which cannot read it; LATERAL before the subquery lets it", written(e))
		}
	}
	if e.Table != "" {
		return b.noItem(e.Namespace, e.Table, e.Offset)
	}
	for _, o := range b.aliases {
		if strings.EqualFold(o.Alias, e.Name) && o.Alias != "" {
			return fault.At(fault.ColumnNotFound, e.Offset, "column '%s' does not exist; an output name cannot be used in %s", e.Name, b.clause)
		}
	}
	if len(b.from.items) == 0 {
		return fault.At(fault.ColumnNotFound, e.Offset, "column '%s' does not exist; there is no table to take it from", e.Name)
	}
	var names, tables []string
	for _, i := range b.from.items {
		names = append(names, i.names()...)
		tables = append(tables, i.shown())
	}
	return fault.At(fault.ColumnNotFound, e.Offset, "column '%s' does not exist in %s%s", e.Name, shorten(strings.Join(tables, ", ")), suggestion(e.Name, names))
}

// has reports whether a frame knows a name, unambiguous or not.
func (f *frame) has(e *parse.Column) bool {
	x, err := f.find(e)
	return x != nil || err != nil
}

func written(e *parse.Column) string {
	if e.Table == "" {
		return e.Name
	}
	return e.Table + "." + e.Name
}

// noItem is the fault for a qualifier that means nothing.
func (b *binder) noItem(namespace, name string, at int) error {
	if namespace != "" {
		name = namespace + "." + name
	}
	var have []string
	for _, i := range b.from.items {
		if i.name != "" {
			have = append(have, i.shown())
		}
	}
	if len(have) == 0 {
		return fault.At(fault.ColumnNotFound, at, "table '%s' is not part of this SELECT", name)
	}
	return fault.At(fault.ColumnNotFound, at, "table '%s' is not part of this SELECT; it reads %s", name, shorten(strings.Join(have, ", ")))
}

// ownColumn reports whether a name is that of a column of the innermost FROM.
func (b *binder) ownColumn(name string) bool {
	if b.from == nil {
		return b.table != nil && b.table.Column(name) >= 0
	}
	return len(gives(b.from.columns, name)) > 0
}

// treeStar adds the columns that * or t.* stands for.
func (b *binder) treeStar(q *Query, e *parse.Star) (int, error) {
	columns := b.from.columns
	if e.Table != "" {
		i, err := b.from.item("", e.Table, e.Offset)
		if err != nil {
			return 0, err
		}
		if i == nil {
			return 0, b.noItem("", e.Table, e.Offset)
		}
		columns = i.columns
	} else if len(b.from.items) == 0 {
		return 0, fault.At(fault.Syntax, e.Offset, "SELECT * needs a table to take the columns from")
	}
	for _, c := range columns {
		q.Outputs = append(q.Outputs, Output{Name: c.name, X: c.x, Type: c.x.Type(), Column: -1})
	}
	return len(columns), nil
}
