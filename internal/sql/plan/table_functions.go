package plan

import (
	"maps"
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// Next gives the next row of a function in FROM, nil at the end. The row is
// valid until the next call.
type Next func() ([]datum.Value, error)

// tableFunctions are the functions that can stand in FROM, by name. It is never
// written after the program has started.
var tableFunctions = newTableFunctions()

func newTableFunctions() map[string][]*TableFunction {
	out := map[string][]*TableFunction{}
	for _, part := range [][]TableFunction{seriesFunctions(), arrayTableFunctions(), jsonTableFunctions(), splittingFunctions(), nearestFunctions(), {keywordFunction()}} {
		for i := range part {
			f := &part[i]
			f.call.Name = f.Name
			for _, name := range append([]string{f.Name}, f.Aliases...) {
				out[name] = append(out[name], f)
			}
		}
	}
	return out
}

// TableFunctions returns the functions that can stand in FROM in the order of
// the documentation.
func TableFunctions() []*TableFunction {
	var out []*TableFunction
	for _, name := range slices.Sorted(maps.Keys(tableFunctions)) {
		for _, f := range tableFunctions[name] {
			if f.Name == name {
				out = append(out, f)
			}
		}
	}
	return out
}

// Signature prints the entry as documentation and sentences show it.
func (f *TableFunction) Signature() string { return f.call.Signature() }

// ResultName names the columns for the documentation.
func (f *TableFunction) ResultName() string { return f.call.shows }

// Arguments names what each argument must be.
func (f *TableFunction) Arguments() []string {
	names, _ := f.call.Arguments()
	return names
}

// Rows starts the function. A NULL among the arguments gives no row, unless the
// function has a meaning for it.
func (f *TableFunction) Rows(args []datum.Value) (Next, error) {
	if !f.call.NullOK && slices.ContainsFunc(args, datum.Value.IsNull) {
		return noRows, nil
	}
	return f.rows(args)
}

func noRows() ([]datum.Value, error) { return nil, nil }

// oneColumn is the columns of a function that gives single values of a type; an
// alias names them.
func oneColumn(name string, t datum.Type) func([]Expr) []RelColumn {
	return func([]Expr) []RelColumn { return []RelColumn{{name, t}} }
}

// seriesFunctions give rows that are counted out.
func seriesFunctions() []TableFunction {
	const doc = "The values from the first to the second argument, both included, by steps of the third, 1 without it; no row if the step leads away, and a fault if it is 0."
	entry := func(shows string, first datum.Type, args ...pattern) TableFunction {
		return TableFunction{Name: "generate_series", Doc: doc, call: Function{args: args, shows: shows}, rows: series,
			columns: func(args []Expr) []RelColumn { return []RelColumn{{"generate_series", seriesType(first, args)}} }}
	}
	return []TableFunction{
		entry("INT or BIGINT", intType, intArg, intArg),
		entry("INT or BIGINT", intType, intArg, intArg, intArg),
		entry("DECIMAL", wholeType, decimalArg, decimalArg),
		entry("DECIMAL", wholeType, decimalArg, decimalArg, decimalArg),
		entry("TIMESTAMP", timestampType, timestampArg, timestampArg, intervalArg),
		entry("DATETIME", datetimeType, datetimeArg, datetimeArg, intervalArg),
	}
}

// seriesType is the type of a series: the widest of its arguments.
func seriesType(t datum.Type, args []Expr) datum.Type {
	if t.Kind == datum.Decimal {
		t = args[0].Type()
	}
	for _, x := range args {
		if t.Kind.IsNumeric() {
			t, _ = datum.CommonType(t, x.Type())
		}
	}
	return t
}

// series counts from the first to the second argument.
func series(args []datum.Value) (Next, error) {
	at, last := args[0], args[1]
	step, zero := datum.NewInt(datum.Int, 1), datum.NewInt(datum.Int, 0)
	if len(args) > 2 {
		step = args[2]
	}
	if step.Kind() == datum.Interval {
		zero = datum.NewInterval(0, 0, 0)
	}
	direction := datum.Compare(step, zero)
	if direction == 0 {
		return nil, fault.New(fault.InvalidValue, "the step of GENERATE_SERIES must not be 0")
	}
	done := false
	row := make([]datum.Value, 1)
	return func() ([]datum.Value, error) {
		if done || datum.Compare(at, last)*direction > 0 {
			return nil, nil
		}
		row[0] = at
		next, err := datum.Add(at, step)
		if err != nil {
			done = true // the range of the type ends here, and so does the series
			return row, nil
		}
		at = next
		return row, nil
	}, nil
}

// noTableFunction is the fault for a name that no table function has.
func (b *binder) noTableFunction(name string, at int) error {
	names := slices.Sorted(maps.Keys(tableFunctions))
	return fault.At(fault.FunctionNotFound, at, "function '%s' does not exist in FROM%s", name, suggestion(name, names))
}
