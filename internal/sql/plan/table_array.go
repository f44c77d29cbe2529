package plan

import (
	"kalamdb/internal/datum"
)

// arrayTableFunctions take arrays apart. UNNEST over arrays that are written out
// has no need of them.
func arrayTableFunctions() []TableFunction {
	subscripts := func(first int64, doc string, args ...pattern) TableFunction {
		return TableFunction{Name: "generate_subscripts", Doc: doc, call: Function{args: args, shows: "INT"},
			columns: oneColumn("generate_subscripts", intType), rows: generateSubscripts(first)}
	}
	return []TableFunction{
		{Name: "unnest", Doc: "The elements of an array. Several arrays stand side by side if they are written out as ARRAY[…].", call: Function{args: []pattern{arrayArg}, shows: "element"},
			columns: func(args []Expr) []RelColumn { return []RelColumn{{"unnest", args[0].Type().Element()}} }, rows: unnested},
		subscripts(1, "The indexes of an array, in a dimension, of which there is one.", arrayArg, intArg),
		subscripts(0, "The indexes of an int2vector or oidvector of pg_catalog, which count from 0.", keysArg, intArg),
	}
}

// unnested gives the elements of an array.
func unnested(args []value) (Next, error) {
	rest := args[0].Items()
	return func() ([]value, error) {
		if len(rest) == 0 {
			return nil, nil
		}
		row := rest[:1:1]
		rest = rest[1:]
		return row, nil
	}, nil
}

// generateSubscripts counts the elements of an array, the first by its index.
func generateSubscripts(first int64) func([]value) (Next, error) {
	return func(args []value) (Next, error) {
		if args[1].Int() != 1 || args[0].Len() == 0 {
			return noRows, nil
		}
		last := first + int64(args[0].Len()) - 1
		return series([]value{datum.NewInt(datum.Int, first), datum.NewInt(datum.Int, last)})
	}
}
