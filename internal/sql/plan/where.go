package plan

import "kalamdb/internal/schema"

// Where compares a column with steady expressions.
type Where struct {
	Column int
	Is     schema.Comparison
	Values []Expr // one, some for Equals, none for IsNull and NotNull
}

// comparisonOf maps operators to what segments are asked for.
var comparisonOf = map[Code]schema.Comparison{
	Eq: schema.Equals, Lt: schema.Less, Le: schema.LessEqual, Gt: schema.Greater, Ge: schema.GreaterEqual,
}

// wheres reads the conjuncts that are comparisons of a column, lists of values of
// one, and IS [NOT] NULL. tests are those that were read already.
func wheres(conjuncts []Expr, tests []*test) []Where {
	var all []Where
	for _, s := range tests {
		all = append(all, Where{s.column, comparisonOf[s.code], []Expr{s.x}})
	}
	for _, x := range conjuncts {
		switch e := x.(type) {
		case *IsNull:
			if c, ok := e.X.(*Col); ok {
				is := schema.IsNull
				if e.Not {
					is = schema.NotNull
				}
				all = append(all, Where{Column: c.Position, Is: is})
			}
		case *In:
			if c, ok := e.X.(*Col); ok {
				if list := keyList(e, c.Position); len(list) > 0 && len(list) <= maxIndexList {
					all = append(all, Where{c.Position, schema.Equals, list})
				}
			}
		case *Logic:
			if column := leadingColumn(e); column >= 0 {
				if list := keyList(e, column); len(list) > 0 && len(list) <= maxIndexList {
					all = append(all, Where{column, schema.Equals, list})
				}
			}
		}
	}
	return all
}

// leadingColumn returns the column of the first comparison of an OR, or -1.
func leadingColumn(e *Logic) int {
	if !e.Or {
		return -1
	}
	switch x := e.Args[0].(type) {
	case *Call:
		if s := testOf(x); s != nil {
			return s.column
		}
	case *In:
		if c, ok := x.X.(*Col); ok {
			return c.Position
		}
	}
	return -1
}
