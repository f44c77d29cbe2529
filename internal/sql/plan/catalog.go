package plan

import (
	"slices"
	"strings"

	"kalamdb/internal/datum"
)

// value keeps the signatures of the catalogue readable.
type value = datum.Value

// Volatility says how often a function has to be called.
type Volatility uint8

// The volatilities.
const (
	Immutable Volatility = iota // equal arguments give equal results, always
	Stable                      // within one statement
	Volatile                    // never
)

var volatilityNames = [...]string{"immutable", "stable", "volatile"}

// String returns the volatility in lower case.
func (v Volatility) String() string { return volatilityNames[v] }

// Form says how a catalogue entry is evaluated.
type Form uint8

// The forms.
const (
	FormCall      Form = iota // by calling it with its arguments
	FormSpecial               // a form of the grammar with a node of its own
	FormAggregate             // over the rows of a group
	FormWindow                // over a window of rows, behind OVER
)

// Code tells executors the operators they have fast paths for.
type Code uint8

// The codes.
const (
	NoCode Code = iota
	Eq
	Ne
	Lt
	Le
	Gt
	Ge
)

// Function is one entry of the catalogue: an overload of an operator or a
// function. Entries are never changed.
type Function struct {
	// Name is in lower case; an operator is named as written.
	Name     string
	Aliases  []string
	Operator bool
	Form     Form
	Code     Code
	// Chapter groups the entries of the documentation.
	Chapter string
	// Doc is one sentence for users.
	Doc string
	// NullOK says that the function is called with NULL arguments; all others
	// give NULL when an argument is NULL.
	NullOK     bool
	Volatility Volatility

	args     []pattern
	variadic bool // the last pattern may repeat
	sized    bool // an integer argument says how much it builds
	kinded   bool // its arguments tell the kind of the elements only if they are not NULL
	result   datum.Type
	// typed computes the result type from the bound arguments; nil means result.
	typed func(args []Expr) datum.Type
	// shows names the result in the documentation when typed is set.
	shows string
	// op is what an aggregate computes; ordered says that it takes its values
	// from WITHIN GROUP, which within describes.
	op      AggregateOp
	ordered bool
	within  pattern

	call0 func(*Env) (value, error)
	call1 func(*Env, value) (value, error)
	call2 func(*Env, value, value) (value, error)
	call3 func(*Env, value, value, value) (value, error)
	calls func(*Env, []value) (value, error)
}

// Fixed returns the implementation for calls of exactly n arguments, n up to 3,
// or nil. It saves executors the slice that Invoke needs.
func (f *Function) Fixed(n int) (c1 func(*Env, value) (value, error), c2 func(*Env, value, value) (value, error), c3 func(*Env, value, value, value) (value, error)) {
	switch n {
	case 1:
		return f.call1, nil, nil
	case 2:
		return nil, f.call2, nil
	case 3:
		return nil, nil, f.call3
	}
	return nil, nil, nil
}

// Invoke calls the function. It deals with NULL arguments itself and keeps no
// reference to args.
func (f *Function) Invoke(env *Env, args []datum.Value) (datum.Value, error) {
	if !f.NullOK {
		for _, a := range args {
			if a.IsNull() {
				return datum.Value{}, nil
			}
		}
	}
	switch {
	case f.call0 != nil && len(args) == 0:
		return f.call0(env)
	case f.call1 != nil && len(args) == 1:
		return f.call1(env, args[0])
	case f.call2 != nil && len(args) == 2:
		return f.call2(env, args[0], args[1])
	case f.call3 != nil && len(args) == 3:
		return f.call3(env, args[0], args[1], args[2])
	}
	return f.calls(env, args)
}

// Signature prints the entry as documentation and sentences show it.
func (f *Function) Signature() string {
	var b strings.Builder
	if f.Operator && len(f.args) == 1 {
		return f.Name + " " + f.args[0].String()
	}
	if f.Operator {
		return f.args[0].String() + " " + strings.ToUpper(f.Name) + " " + f.args[1].String()
	}
	b.WriteString(f.Name)
	b.WriteByte('(')
	for i, p := range f.args {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.String())
	}
	if f.variadic {
		b.WriteString(", …")
	}
	b.WriteByte(')')
	if f.ordered {
		b.WriteString(" WITHIN GROUP (ORDER BY " + f.within.String() + ")")
	}
	return b.String()
}

// Aggregate returns what an aggregate of the catalogue computes.
func (f *Function) Aggregate() AggregateOp { return f.op }

// Arguments names what each argument must be; the last one may repeat when
// variadic is true.
func (f *Function) Arguments() (names []string, variadic bool) {
	for _, p := range f.args {
		names = append(names, p.String())
	}
	return names, f.variadic
}

// ResultName names the result type in the documentation.
func (f *Function) ResultName() string {
	if f.shows != "" {
		return f.shows
	}
	if f.result.Kind == datum.Decimal {
		return "DECIMAL"
	}
	return f.result.String()
}

// catalogue holds the entries by name, operators and functions apart. It is
// never written after the program has started.
type catalogue struct {
	all       []*Function
	functions map[string][]*Function
	operators map[string][]*Function
}

var catalog = newCatalogue()

func newCatalogue() *catalogue {
	c := &catalogue{functions: map[string][]*Function{}, operators: map[string][]*Function{}}
	c.chapter("Comparison", comparisonOperators(), comparisonFunctions(), countingFunctions())
	c.chapter("Arithmetic", arithmeticOperators(), bitOperators(), prefixOperators())
	c.chapter("Mathematics", roundingFunctions(), powerFunctions(), trigonometricFunctions(), degreeFunctions(), numberFunctions(), digitFunctions())
	c.chapter("Text", textOperators(), caseFunctions(), lengthFunctions(), cuttingFunctions(), buildingFunctions(), searchFunctions(), quotingFunctions())
	c.chapter("Patterns", patternOperators(), regexpFunctions(), regexpParts(), similarFunctions())
	c.chapter("Date and time", clockFunctions(), fieldFunctions(), makingFunctions(), zoneFunctions(), zonedFunctions(), intervalFunctions())
	c.chapter("Formats", formatFunctions())
	c.chapter("JSON", jsonOperators(), jsonGetters(), jsonInspectors(), jsonBuilders(), jsonChangers())
	c.chapter("Arrays", arrayOperators(), arrayInspectors(), arrayBuilders(), arrayTexts(), quantifiedOperators())
	c.chapter("Arrays beyond PostgreSQL", arraySetTests(), arraySetBuilders())
	c.chapter("Hashes and encodings", hashFunctions())
	c.chapter("Bytes", bytesFunctions())
	c.chapter("Identifiers", idFunctions())
	c.chapter("Sequences", sequenceFunctions())
	c.chapter("Context", append(contextFunctions(), fileFunction()))
	c.chapter("System catalog", settingFunctions(), definitionFunctions(), visibilityFunctions(), privilegeFunctions(), registryFunctions(), procedureFunctions(), sizeFunctions())
	c.chapter("Vectors", vectorFunctions())
	c.chapter("Aggregates", aggregateFunctions(), spreadFunctions(), gatheringFunctions(), orderedFunctions())
	c.chapter("Window functions", windowFunctions())
	return c
}

func (c *catalogue) chapter(name string, parts ...[]Function) {
	for _, part := range parts {
		for i := range part {
			f := &part[i]
			f.Chapter = name
			c.all = append(c.all, f)
			index := c.functions
			if f.Operator {
				index = c.operators
			}
			index[f.Name] = append(index[f.Name], f)
			for _, alias := range f.Aliases {
				index[alias] = append(index[alias], f)
			}
		}
	}
}

// Functions returns all entries of the catalogue in the order of the
// documentation.
func Functions() []*Function { return slices.Clone(catalog.all) }

// operator returns the first entry of an operator that the binder puts in itself.
func operator(name string) *Function { return catalog.operators[name][0] }
