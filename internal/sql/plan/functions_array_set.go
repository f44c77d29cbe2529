package plan

import (
	"slices"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// arraySetTests are functions over what an array holds that PostgreSQL has
// operators for at most.
func arraySetTests() []Function {
	test := func(name, doc string, f func(a, b value) bool) Function {
		return Function{Name: name, Doc: doc, args: []pattern{arrayArg, arrayArg}, result: boolType,
			call2: func(_ *Env, a, b value) (value, error) { return boolean(f(a, b)) }}
	}
	extreme := func(name, doc string, better func(order int) bool) Function {
		return Function{Name: name, Doc: doc, args: []pattern{arrayArg}, typed: typeOfElement, shows: "element",
			call1: func(_ *Env, a value) (value, error) {
				var best value
				for _, x := range a.Elements() {
					if !x.IsNull() && (best.IsNull() || better(datum.Compare(x, best))) {
						best = x
					}
				}
				return best, nil
			}}
	}
	return []Function{
		{Name: "array_has", Aliases: []string{"array_contains"}, Doc: "Whether an element is equal.", args: []pattern{arrayArg, elementArg}, result: boolType,
			call2: func(_ *Env, a, x value) (value, error) {
				for _, item := range a.Elements() {
					if datum.Equal(item, x) {
						return boolean(true)
					}
				}
				return boolean(false)
			}},
		test("array_has_all", "Whether every element of the second array is one of the first; NULL is equal to none.", holdsAll),
		test("array_has_any", "Whether the arrays have an element in common; NULL is equal to none.", holdsOne),
		extreme("array_min", "The least element that is not NULL; NULL if there is none.", func(order int) bool { return order < 0 }),
		extreme("array_max", "The greatest element that is not NULL; NULL if there is none.", func(order int) bool { return order > 0 }),
	}
}

// arraySetBuilders make arrays as sets, in order and of their arguments.
func arraySetBuilders() []Function {
	set := func(name, doc string, f func(a, b value) (value, error)) Function {
		return Function{Name: name, Doc: doc, args: []pattern{arrayArg, arrayArg}, typed: typeOfArray, shows: "array", call2: pure2(f)}
	}
	sorted := func(doc string, more int) Function {
		f := Function{Name: "array_sort", Doc: doc, args: []pattern{arrayArg, textArg, textArg}[:1+more], typed: typeOfArray, shows: "array"}
		switch more {
		case 0:
			f.call1 = func(_ *Env, a value) (value, error) { return sortArray(a, "ASC", "NULLS FIRST") }
		case 1:
			f.call2 = func(_ *Env, a, way value) (value, error) { return sortArray(a, way.Text(), "NULLS FIRST") }
		default:
			f.call3 = func(_ *Env, a, way, nulls value) (value, error) { return sortArray(a, way.Text(), nulls.Text()) }
		}
		return f
	}
	return []Function{
		{Name: "make_array", Form: FormSpecial, Doc: "An array of the arguments, as ARRAY[…].", args: []pattern{elementArg}, variadic: true, typed: typeOfMade, shows: "array"},
		{Name: "array_repeat", Doc: "An array of an element so many times; none for less than 1.", NullOK: true, sized: true, kinded: true, args: []pattern{fillArg, intArg}, shows: "array",
			typed: func(args []Expr) datum.Type { return datum.ArrayType(args[0].Type()) }, call2: pure2(repeated)},
		{Name: "array_distinct", Doc: "The different elements, each where it stands first; NULL counts as one value.", args: []pattern{arrayArg}, typed: typeOfArray, shows: "array",
			call1: func(_ *Env, a value) (value, error) { return newArray(a.ElementKind(), distinctItems(nil, a)) }},
		sorted("The elements in order, NULL first.", 0),
		sorted("The elements in order, 'ASC' or 'DESC', NULL first.", 1),
		sorted("The elements in order, 'ASC' or 'DESC', NULL as 'NULLS FIRST' or 'NULLS LAST' says.", 2),
		{Name: "array_slice", Doc: "The elements from an index to another, both included; a negative one counts from the end.", args: []pattern{arrayArg, intArg, intArg}, typed: typeOfArray, shows: "array",
			call3: func(_ *Env, a, from, to value) (value, error) {
				return slice(a, fromEnd(a, from.Int()), fromEnd(a, to.Int()))
			}},
		set("array_union", "The different elements of both arrays; NULL counts as one value.", func(a, b value) (value, error) {
			return newArray(a.ElementKind(), distinctItems(nil, a, b))
		}),
		set("array_intersect", "The different elements of the first array that are in the second; NULL counts as one value.", func(a, b value) (value, error) {
			in := valuesOf(b)
			return newArray(a.ElementKind(), distinctItems(func(key []byte) bool { return in[string(key)] }, a))
		}),
		set("array_except", "The different elements of the first array that are not in the second; NULL counts as one value.", func(a, b value) (value, error) {
			in := valuesOf(b)
			return newArray(a.ElementKind(), distinctItems(func(key []byte) bool { return !in[string(key)] }, a))
		}),
	}
}

// typeOfMade is the type of an array of the arguments.
func typeOfMade(args []Expr) datum.Type { return datum.ArrayType(args[0].Type()) }

// fromEnd is an index that counts from the end if it is negative.
func fromEnd(a value, n int64) int64 {
	if n < 0 {
		return n + int64(a.Len()) + 1
	}
	return n
}

// valuesOf holds the elements of an array, NULL too.
func valuesOf(a value) map[string]bool {
	set := make(map[string]bool, a.Len())
	var key []byte
	for _, x := range a.Elements() {
		key = datum.AppendHash(key[:0], x)
		set[string(key)] = true
	}
	return set
}

// distinctItems lists the different elements of arrays that wanted holds for,
// nil for all.
func distinctItems(wanted func(key []byte) bool, arrays ...value) []value {
	var items []value
	var key []byte
	met := map[string]bool{}
	for _, a := range arrays {
		for _, x := range a.Elements() {
			if key = datum.AppendHash(key[:0], x); met[string(key)] {
				continue
			}
			met[string(key)] = true
			if wanted == nil || wanted(key) {
				items = append(items, x)
			}
		}
	}
	return items
}

// sortArray orders the elements; NULLs go to one end whatever the direction.
func sortArray(a value, way, nulls string) (value, error) {
	desc, last := strings.EqualFold(way, "DESC"), strings.EqualFold(nulls, "NULLS LAST")
	switch {
	case !desc && !strings.EqualFold(way, "ASC"):
		return value{}, fault.New(fault.InvalidValue, "array_sort goes 'ASC' or 'DESC'")
	case !last && !strings.EqualFold(nulls, "NULLS FIRST"):
		return value{}, fault.New(fault.InvalidValue, "array_sort puts NULL as 'NULLS FIRST' or 'NULLS LAST' says")
	}
	items := a.Items()
	slices.SortStableFunc(items, func(x, y value) int {
		switch {
		case x.IsNull() && y.IsNull():
			return 0
		case x.IsNull() || y.IsNull():
			if x.IsNull() == last {
				return 1
			}
			return -1
		case desc:
			return datum.Compare(y, x)
		}
		return datum.Compare(x, y)
	})
	return newArray(a.ElementKind(), items)
}

// repeated is the array of n times x.
func repeated(x, n value) (value, error) {
	if n.IsNull() {
		return value{}, nil
	}
	count := int(min(max(n.Int(), 0), MaxBuilt))
	if err := checkBuilt(product(count, x.Size()+elementSize)); err != nil {
		return value{}, err
	}
	return newArray(kindFor(value{}, x), slices.Repeat([]value{x}, count))
}
