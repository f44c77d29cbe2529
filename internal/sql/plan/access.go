package plan

import (
	"fmt"
	"slices"
	"strings"

	"kalamdb/internal/schema"
)

// Access says how a query reaches its rows. The expressions in it are steady:
// they are evaluated once per execution, and what they then cannot express as
// an exact bound is left to the filter.
type Access struct {
	// Empty says that no row can be selected.
	Empty bool
	// Keys, if not nil, are all keys a selected row can have, in key order.
	Keys [][]Expr
	// Low and High bound the leading key columns.
	Low, High KeyBound
	// Index, if not nil, leads to the rows where the key does not lead as far.
	Index *IndexAccess
	// Seq are bounds of _seq.
	Seq []SeqBound
	// Where are the conjuncts that bounds of a column can answer for many rows at
	// once.
	Where []Where
	// Deleted says that the filter names _deleted, so that tombstones count.
	Deleted bool
	// Order is the order the rows must come in.
	Order Order
	// Exact says that the filter holds nothing but what stands above, so that
	// every row within the bounds is selected.
	Exact bool
}

// KeyBound is one end of a range over the leading key columns: a row is within
// if its values of these columns are, compared as a whole.
type KeyBound struct {
	Values    []Expr
	Inclusive bool
}

// SeqBound is _seq compared with X.
type SeqBound struct {
	Code Code // Eq, Lt, Le, Gt or Ge
	X    Expr
}

// Order is an order of rows.
type Order uint8

// The orders.
const (
	OrderAny     Order = iota
	OrderKey           // by primary key, ascending
	OrderSeq           // by _seq, ascending
	OrderSeqDesc       // by _seq, descending
)

// test is one conjunct of the form column op steady expression.
type test struct {
	column int
	code   Code
	x      Expr
	used   bool
}

// find reads the conjuncts of a filter.
func (a *Access) find(t *schema.Table, filter Expr) {
	deleted := t.SystemPosition(schema.DeletedColumn)
	var conjuncts []Expr
	switch e := filter.(type) {
	case nil:
	case *Logic:
		conjuncts = []Expr{e}
		if !e.Or {
			conjuncts = e.Args
		}
	default:
		conjuncts = []Expr{e}
	}
	tests := make([]*test, 0, len(conjuncts))
	rest := 0
	alive := false
	for _, x := range conjuncts {
		if deleted >= 0 && onlyAlive(x, deleted) {
			alive = true // what a scan without tombstones delivers anyway
		} else if s := testOf(x); s != nil {
			tests = append(tests, s)
		} else {
			rest++
		}
	}
	if deleted >= 0 && !alive && filter != nil {
		for _, c := range Columns(filter) {
			a.Deleted = a.Deleted || c == deleted
		}
	}
	a.Where = wheres(conjuncts, tests)
	a.keys(t, conjuncts, tests)
	a.seq(t, tests)
	a.indexes(t, conjuncts, tests)
	a.Exact = rest == 0
	for _, s := range tests {
		a.Exact = a.Exact && s.used
	}
	if !a.Exact && len(conjuncts) == 1 && a.Keys != nil {
		a.Exact = true // a list of keys and nothing else
	}
}

// onlyAlive reports whether a conjunct is _deleted = FALSE or NOT _deleted.
func onlyAlive(x Expr, deleted int) bool {
	switch e := x.(type) {
	case *Not:
		return isColumn(e.X, deleted)
	case *Call:
		if cond, ok := equality(e); ok {
			return cond.Column == deleted && !cond.Value.Bool()
		}
	case *IsTruth:
		return isColumn(e.X, deleted) && e.Want == e.Not
	}
	return false
}

var mirrored = map[Code]Code{Eq: Eq, Lt: Gt, Le: Ge, Gt: Lt, Ge: Le}

// testOf reads column op x and x op column.
func testOf(x Expr) *test {
	c, ok := x.(*Call)
	if !ok || mirrored[c.Fn.Code] == NoCode {
		return nil
	}
	if col, ok := c.Args[0].(*Col); ok && Steady(c.Args[1]) {
		return &test{column: col.Position, code: c.Fn.Code, x: c.Args[1]}
	}
	if col, ok := c.Args[1].(*Col); ok && Steady(c.Args[0]) {
		return &test{column: col.Position, code: mirrored[c.Fn.Code], x: c.Args[0]}
	}
	return nil
}

// take returns an unused test of a column, if there is one.
func take(tests []*test, column int, codes ...Code) *test {
	for _, s := range tests {
		for _, code := range codes {
			if s.column == column && s.code == code && !s.used {
				return s
			}
		}
	}
	return nil
}

// keys uses equalities on leading key columns and a range on the next one.
func (a *Access) keys(t *schema.Table, conjuncts []Expr, tests []*test) {
	key := t.KeyPositions()
	if len(key) == 0 {
		return
	}
	var prefix []Expr
	for _, column := range key {
		s := take(tests, column, Eq)
		if s == nil {
			break
		}
		s.used = true
		prefix = append(prefix, s.x)
	}
	if len(prefix) == len(key) {
		a.Keys = [][]Expr{prefix}
		return
	}
	if len(key) == 1 {
		for _, x := range conjuncts {
			if list := keyList(x, key[0]); list != nil {
				for _, v := range list {
					a.Keys = append(a.Keys, []Expr{v})
				}
				return
			}
		}
	}
	if len(key) > 1 {
		for _, x := range conjuncts {
			if a.Keys = rowKeys(x, key); a.Keys != nil {
				return
			}
		}
	}
	a.Low, a.High = KeyBound{prefix, true}, KeyBound{prefix, true}
	next := key[len(prefix)]
	if s := take(tests, next, Gt, Ge); s != nil {
		s.used = true
		a.Low = KeyBound{append(prefix[:len(prefix):len(prefix)], s.x), s.code == Ge}
	}
	if s := take(tests, next, Lt, Le); s != nil {
		s.used = true
		a.High = KeyBound{append(prefix[:len(prefix):len(prefix)], s.x), s.code == Le}
	}
}

// rowKeys returns the keys that a condition lists, or nil: from rows IN a list,
// which is an OR of equalities on all key columns.
func rowKeys(x Expr, key []int) [][]Expr {
	either, ok := x.(*Logic)
	if !ok || !either.Or {
		return nil
	}
	var all [][]Expr
	for _, arg := range either.Args {
		both, ok := arg.(*Logic)
		if !ok || both.Or || len(both.Args) != len(key) {
			return nil
		}
		values := make([]Expr, len(key))
		for _, y := range both.Args {
			s := testOf(y)
			if s == nil || s.code != Eq || !slices.Contains(key, s.column) {
				return nil
			}
			values[slices.Index(key, s.column)] = s.x
		}
		if slices.Contains(values, nil) {
			return nil
		}
		all = append(all, values)
	}
	return all
}

// keyList returns what the column must be one of, or nil: from IN, and from OR
// of equalities.
func keyList(x Expr, column int) []Expr {
	switch e := x.(type) {
	case *Call:
		if s := testOf(e); s != nil && s.column == column && s.code == Eq {
			return []Expr{s.x}
		}
	case *In:
		if e.Not || !isColumn(e.X, column) {
			return nil
		}
		for _, v := range e.List {
			if !Steady(v) {
				return nil
			}
		}
		return e.List
	case *Logic:
		if !e.Or {
			return nil
		}
		var all []Expr
		for _, arg := range e.Args {
			some := keyList(arg, column)
			if some == nil {
				return nil
			}
			all = append(all, some...)
		}
		return all
	}
	return nil
}

// seq uses all bounds of _seq.
func (a *Access) seq(t *schema.Table, tests []*test) {
	column := t.SystemPosition(schema.SeqColumn)
	for _, s := range tests {
		if s.column == column && column >= 0 && !s.used {
			s.used = true
			a.Seq = append(a.Seq, SeqBound{s.code, s.x})
		}
	}
}

// sortedByKey reports whether rows in key order are also in the given order.
// Key columns that an equality fixes may be left out.
func (a *Access) sortedByKey(t *schema.Table, order []OrderItem) bool {
	key := t.KeyPositions()
	fixed := 0
	if a.Keys == nil {
		fixed = min(len(a.Low.Values), len(a.High.Values))
		for fixed > 0 && a.Low.Values[fixed-1] != a.High.Values[fixed-1] {
			fixed--
		}
	}
	at := 0
	for _, o := range order {
		if at == len(key) {
			return true // the key is unique, nothing is left to sort
		}
		for at < fixed && !isColumn(o.X, key[at]) {
			at++
		}
		if at == len(key) || !isColumn(o.X, key[at]) || o.Desc && at >= fixed {
			return false
		}
		at++
	}
	return true
}

// String names the order as plans print it.
func (o Order) String() string {
	return [...]string{"any", "key", "_seq", "_seq desc"}[o]
}

// describe prints the way to the rows on one line.
func (a *Access) describe(t *schema.Table) string {
	if a.Empty {
		return "no rows of " + t.QualifiedName()
	}
	var b strings.Builder
	switch {
	case a.Keys != nil:
		fmt.Fprintf(&b, "get %s keys", t.QualifiedName())
		for _, k := range a.Keys {
			b.WriteString(" (" + list(k) + ")")
		}
	default:
		b.WriteString("scan " + t.QualifiedName())
		if len(a.Low.Values) > 0 {
			fmt.Fprintf(&b, " from %s(%s)", exclusive(a.Low), list(a.Low.Values))
		}
		if len(a.High.Values) > 0 {
			fmt.Fprintf(&b, " to %s(%s)", exclusive(a.High), list(a.High.Values))
		}
	}
	if a.Index != nil {
		a.Index.describe(&b)
	}
	for _, s := range a.Seq {
		b.WriteString(" _seq " + codeNames[s.Code] + " " + s.X.String())
	}
	if a.Deleted {
		b.WriteString(" with deleted")
	}
	if a.Order != OrderAny {
		b.WriteString(" by " + a.Order.String())
	}
	if a.Exact {
		b.WriteString(" exact")
	}
	return b.String()
}

func exclusive(k KeyBound) string {
	if k.Inclusive {
		return ""
	}
	return "after "
}

var codeNames = map[Code]string{Eq: "=", Lt: "<", Le: "<=", Gt: ">", Ge: ">="}

// Keyed reports whether the query names the full keys of all rows it selects.
func (q *Query) Keyed() bool { return q.Table != nil && q.Access.Keys != nil }
