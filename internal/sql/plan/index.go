package plan

import (
	"fmt"
	"strings"

	"kalamdb/internal/schema"
)

// maxIndexList bounds the values of one column that an index is asked for.
const maxIndexList = 1024

// IndexAccess says how an index leads to the rows that a filter may select: by
// equalities on its leading columns, and then by a list of values of the next
// one, or a range of it. It is a hint, so the filter is applied all the same.
type IndexAccess struct {
	// Index is one of the table's, by which readers may go.
	Index *schema.Index
	// Equal are the values of the leading columns.
	Equal []Expr
	// List, if not nil, are the values that the next column can have.
	List []Expr
	// Low and High bound the next column; nil is open.
	Low, High         Expr
	LowToo, HighToo   bool // the bound itself is within
	unique, wholeList bool
}

// indexes chooses the index that leads to the fewest rows, as far as the filter
// alone tells, if the key does not do as well.
func (a *Access) indexes(t *schema.Table, conjuncts []Expr, tests []*test) {
	a.Index = nil
	if a.Keys != nil || a.Deleted || len(t.Indexes) == 0 {
		return // no index has a tombstone
	}
	fixed := 0
	for fixed < min(len(a.Low.Values), len(a.High.Values)) && a.Low.Values[fixed] == a.High.Values[fixed] {
		fixed++
	}
	best := 10*fixed + min(len(a.Low.Values)-fixed, 1) + min(len(a.High.Values)-fixed, 1)
	for i := range t.Indexes {
		x := &t.Indexes[i]
		if x.Building {
			continue
		}
		if found := indexFor(t, x, conjuncts, tests); found.worth() > best {
			a.Index, best = found, found.worth()
		}
	}
}

// indexFor reads what a filter asks of the columns of an index.
func indexFor(t *schema.Table, x *schema.Index, conjuncts []Expr, tests []*test) *IndexAccess {
	found := &IndexAccess{Index: x}
	positions := t.IndexPositions(x)
	for len(found.Equal) < len(positions) {
		s := testFor(tests, positions[len(found.Equal)], Eq)
		if s == nil {
			break
		}
		found.Equal = append(found.Equal, s.x)
	}
	if len(found.Equal) == len(positions) {
		found.unique = x.Unique
		return found
	}
	next := positions[len(found.Equal)]
	for _, c := range conjuncts {
		if list := keyList(c, next); len(list) > 0 && len(list) <= maxIndexList {
			found.List = list
			found.wholeList = x.Unique && len(found.Equal)+1 == len(positions)
			return found
		}
	}
	if s := testFor(tests, next, Gt, Ge); s != nil {
		found.Low, found.LowToo = s.x, s.code == Ge
	}
	if s := testFor(tests, next, Lt, Le); s != nil {
		found.High, found.HighToo = s.x, s.code == Le
	}
	return found
}

// testFor returns a test of a column, used or not.
func testFor(tests []*test, column int, codes ...Code) *test {
	for _, s := range tests {
		for _, code := range codes {
			if s.column == column && s.code == code {
				return s
			}
		}
	}
	return nil
}

// worth tells how far an index narrows; it is compared with that of the key.
func (x *IndexAccess) worth() int {
	n := 10 * len(x.Equal)
	if x.List != nil {
		n += 8
	}
	if x.Low != nil {
		n++
	}
	if x.High != nil {
		n++
	}
	if x.unique {
		n += 100
	}
	if x.wholeList {
		n += 50
	}
	return n
}

// Values are the expressions that an index is asked for.
func (x *IndexAccess) Values() []Expr {
	if x == nil {
		return nil
	}
	all := append(x.Equal[:len(x.Equal):len(x.Equal)], x.List...)
	if x.Low != nil {
		all = append(all, x.Low)
	}
	if x.High != nil {
		all = append(all, x.High)
	}
	return all
}

// describe prints the index and what it is asked for.
func (x *IndexAccess) describe(b *strings.Builder) {
	fmt.Fprintf(b, " by index %s(%s)", x.Index.Name, list(x.Equal))
	if x.List != nil {
		fmt.Fprintf(b, " in (%s)", list(x.List))
	}
	for _, bound := range []struct {
		x         Expr
		too       bool
		with, out string
	}{{x.Low, x.LowToo, ">=", ">"}, {x.High, x.HighToo, "<=", "<"}} {
		if bound.x == nil {
			continue
		}
		sign := bound.out
		if bound.too {
			sign = bound.with
		}
		b.WriteString(" " + sign + " " + bound.x.String())
	}
}
