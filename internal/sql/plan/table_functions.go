package plan

import (
	"maps"
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// tableFunctions are the functions that can stand in FROM, by name. It is never
// written after the program has started.
var tableFunctions = newTableFunctions()

// TableFunctions returns the functions that can stand in FROM in the order of
// the documentation.
func TableFunctions() []*TableFunction {
	var out []*TableFunction
	for _, name := range slices.Sorted(maps.Keys(tableFunctions)) {
		out = append(out, tableFunctions[name]...)
	}
	return out
}

// Signature prints the entry as documentation and sentences show it.
func (f *TableFunction) Signature() string { return f.call.Signature() }

// Shows names the columns and their types for the documentation.
func (f *TableFunction) Shows() string { return f.call.shows }

func newTableFunctions() map[string][]*TableFunction {
	out := map[string][]*TableFunction{}
	for _, f := range seriesFunctions() {
		f.call.Name = f.Name
		out[f.Name] = append(out[f.Name], f)
	}
	return out
}

// seriesFunctions give rows that are counted out.
func seriesFunctions() []*TableFunction {
	const doc = "The values from the first to the second argument, both included, by steps of the third, 1 without it; no row if the step leads away, and a fault if it is 0. A NULL gives no row."
	entry := func(shows string, first datum.Type, args ...pattern) *TableFunction {
		return &TableFunction{Name: "generate_series", Doc: doc, call: Function{args: args, shows: shows},
			columns: func(args []Expr) []RelColumn {
				t := first
				for _, x := range args {
					if k := x.Type().Kind; t.Kind.IsInteger() && k.IsInteger() {
						t.Kind = max(t.Kind, k)
					}
				}
				if t.Kind == datum.Decimal {
					t = commonDecimal(args)
				}
				return []RelColumn{{"generate_series", t}}
			}}
	}
	return []*TableFunction{
		entry("INT or BIGINT", intType, intArg, intArg),
		entry("INT or BIGINT", intType, intArg, intArg, intArg),
		entry("DECIMAL", wholeType, decimalArg, decimalArg),
		entry("DECIMAL", wholeType, decimalArg, decimalArg, decimalArg),
		entry("TIMESTAMP", timestampType, timestampArg, timestampArg, intervalArg),
		entry("DATETIME", datetimeType, datetimeArg, datetimeArg, intervalArg),
	}
}

// commonDecimal is the type of a series of decimals.
func commonDecimal(args []Expr) datum.Type {
	t := args[0].Type()
	for _, x := range args[1:] {
		t, _ = datum.CommonType(t, x.Type())
	}
	return t
}

// noTableFunction is the fault for a name that no table function has.
func (b *binder) noTableFunction(name string, at int) error {
	if slices.Contains(later, name) {
		return fault.At(fault.NotImplemented, at, "function %s is not supported yet", name)
	}
	names := slices.Sorted(maps.Keys(tableFunctions))
	return fault.At(fault.FunctionNotFound, at, "function '%s' does not exist in FROM%s", name, suggestion(name, names))
}
