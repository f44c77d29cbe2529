package plan

import (
	"hash/fnv"
	"strings"

	"kalamdb/internal/datum"
)

// Procedure is a function of the catalogue as pg_proc shows it.
type Procedure struct {
	OID  int64
	Name string
	// Kind is "f", "a" for an aggregate or "w" for a function of windows.
	Kind string
	// Args and Result are numbers of pg_type: "any" and its like where a
	// function takes or gives several types.
	Args   []int64
	Result int64
	// Variadic says that the last argument may repeat; Strict that NULL among
	// the arguments gives NULL; Set that it gives rows.
	Variadic, Strict, Set bool
	Volatility            Volatility
}

// The numbers of types that stand for others.
const (
	oidAny        = 2276
	oidAnyArray   = 2277
	oidAnyElement = 2283
)

// patternOIDs are the types that arguments are shown with.
var patternOIDs = [patternEnd]int64{
	anyArg: oidAny, sameArg: oidAnyElement, textArg: 25, bytesArg: 17, blobArg: 17, boolArg: 16, intArg: 20, decimalArg: 1700, doubleArg: 701,
	numberArg: 1700, dateArg: 1082, timeArg: 1083, timestampArg: 1114, datetimeArg: 1184, intervalArg: 1186, jsonArg: 3802, stepArg: 25,
	uuidArg: 2950, vectorArg: 16_001, docArg: 3802, pathArg: 1009, arrayArg: oidAnyArray, elementArg: oidAnyElement, textsArg: 1009,
	countsArg: 1016, fillArg: oidAnyElement, exactArg: 1700, keysArg: 22,
}

// FunctionOID is the number of the first function with a name, in pg_proc.
func FunctionOID(name string) int64 {
	h := fnv.New32a()
	h.Write([]byte("function\x00" + name))
	return 1<<30 | int64(h.Sum32()&(1<<30-1))
}

// Procedures returns the functions of the catalogue in its order, those that
// stand in FROM behind the others.
func Procedures() []Procedure {
	var all []Procedure
	seen := map[string]bool{}
	add := func(f *Function, name string, set bool) {
		if f.Operator || strings.HasPrefix(name, "_") {
			return
		}
		p := Procedure{OID: FunctionOID(name), Name: name, Kind: "f", Variadic: f.variadic, Strict: !f.NullOK, Volatility: f.Volatility, Set: set, Result: f.resultOID()}
		if seen[name] {
			p.OID = FunctionOID(f.Signature())
		}
		seen[name] = true
		switch f.Form {
		case FormAggregate:
			p.Kind = "a"
		case FormWindow:
			p.Kind = "w"
		}
		for _, a := range f.args {
			p.Args = append(p.Args, patternOIDs[a])
		}
		all = append(all, p)
	}
	for _, f := range catalog.all {
		add(f, f.Name, false)
	}
	for _, f := range TableFunctions() {
		add(&f.call, f.Name, true)
	}
	return all
}

// resultOID is the type that a function gives.
func (f *Function) resultOID() int64 {
	t := f.result
	switch {
	case t.Kind == datum.Array:
		for array, element := range arrayElements {
			if element == kindOIDs[t.Elem] {
				return array
			}
		}
		return oidAnyArray
	case t.Kind != datum.Null:
		return kindOIDs[t.Kind]
	case f.shows == "array":
		return oidAnyArray
	}
	return oidAnyElement
}

// Arguments writes the types that a function takes as statements do.
func (p *Procedure) Arguments() string {
	var b strings.Builder
	for i, oid := range p.Args {
		if i > 0 {
			b.WriteString(", ")
		}
		if p.Variadic && i == len(p.Args)-1 {
			b.WriteString("VARIADIC ")
		}
		b.WriteString(formatType(oid, -1))
	}
	return b.String()
}

// Gives writes the type that a function gives.
func (p *Procedure) Gives() string {
	if p.Set {
		return "SETOF " + formatType(p.Result, -1)
	}
	return formatType(p.Result, -1)
}
