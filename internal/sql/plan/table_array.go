package plan

import (
	"kalamdb/internal/datum"
)

// arrayTableFunctions take arrays apart. UNNEST over arrays that are written out
// has no need of them.
func arrayTableFunctions() []TableFunction {
	subscripts := func(args ...pattern) TableFunction {
		return TableFunction{Name: "generate_subscripts", Doc: "The indexes of an array, in a dimension, of which there is one.", call: Function{args: args, shows: "INT"},
			columns: oneColumn("generate_subscripts", intType), rows: generateSubscripts}
	}
	return []TableFunction{
		{Name: "unnest", Doc: "The elements of an array. Several arrays stand side by side if they are written out as ARRAY[…].", call: Function{args: []pattern{arrayArg}, shows: "element"},
			columns: func(args []Expr) []RelColumn { return []RelColumn{{"unnest", args[0].Type().Element()}} }, rows: unnested},
		subscripts(arrayArg, intArg),
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

// generateSubscripts counts the elements of an array.
func generateSubscripts(args []value) (Next, error) {
	if args[1].Int() != 1 || args[0].Len() == 0 {
		return noRows, nil
	}
	one := datum.NewInt(datum.Int, 1)
	return series([]value{one, datum.NewInt(datum.Int, int64(args[0].Len()))})
}
