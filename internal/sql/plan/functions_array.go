package plan

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

func arrayOperators() []Function {
	test := func(name, doc string, f func(a, b value) bool) Function {
		return Function{Name: name, Operator: true, Doc: doc, args: []pattern{arrayArg, arrayArg}, result: boolType,
			call2: func(_ *Env, a, b value) (value, error) {
				if err := checkSteps(a.Len()+1, b.Len()); err != nil {
					return value{}, err
				}
				return boolean(f(a, b))
			}}
	}
	return []Function{
		{Name: "||", Operator: true, Doc: "Joins two arrays; NULL counts as an empty one.", NullOK: true, args: []pattern{arrayArg, arrayArg}, typed: typeOfArray, shows: "array", call2: pure2(joinArrays)},
		{Name: "||", Operator: true, Doc: "The array with an element behind it.", NullOK: true, kinded: true, args: []pattern{arrayArg, elementArg}, typed: typeOfArray, shows: "array", call2: pure2(appended)},
		{Name: "||", Operator: true, Doc: "The array with an element before it.", NullOK: true, kinded: true, args: []pattern{elementArg, arrayArg}, typed: typeOfArray, shows: "array", call2: pure2(prepended)},
		test("@>", "Whether every element of the right array is one of the left.", holdsAll),
		test("<@", "Whether every element of the left array is one of the right.", func(a, b value) bool { return holdsAll(b, a) }),
		test("&&", "Whether the arrays have an element in common.", holdsOne),
	}
}

// typeOfArray is the type of the argument that is an array.
func typeOfArray(args []Expr) datum.Type {
	for _, x := range args {
		if t := x.Type(); t.Kind == datum.Array {
			return t
		}
	}
	return datum.ArrayType(textType)
}

// typeOfElement is that of the elements of the argument that is an array.
func typeOfElement(args []Expr) datum.Type { return typeOfArray(args).Element() }

// arrayItems lists the elements of an array, or none for NULL.
func arrayItems(a value) []value {
	if a.IsNull() {
		return nil
	}
	return a.Items()
}

func joinArrays(a, b value) (value, error) {
	switch {
	case a.IsNull():
		return b, nil
	case b.IsNull():
		return a, nil
	}
	if err := checkBuilt(a.Size() + b.Size() + elementSize*(a.Len()+b.Len())); err != nil {
		return value{}, err
	}
	return newArray(a.ElementKind(), append(a.Items(), b.Items()...))
}

// kindFor is the kind of the elements of a that gets an element x.
func kindFor(a, x value) datum.Kind {
	switch {
	case !a.IsNull():
		return a.ElementKind()
	case !x.IsNull():
		return x.Kind()
	}
	return datum.Text
}

func appended(a, x value) (value, error) { return newArray(kindFor(a, x), append(arrayItems(a), x)) }

func prepended(x, a value) (value, error) {
	return newArray(kindFor(a, x), append([]value{x}, arrayItems(a)...))
}

// setOf holds the elements of an array that are not NULL.
func setOf(a value) map[string]bool {
	set := make(map[string]bool, a.Len())
	var key []byte
	for _, x := range a.Elements() {
		if !x.IsNull() {
			key = datum.AppendHash(key[:0], x)
			set[string(key)] = true
		}
	}
	return set
}

func holdsAll(a, b value) bool {
	set := setOf(a)
	var key []byte
	for _, x := range b.Elements() {
		key = datum.AppendHash(key[:0], x)
		if x.IsNull() || !set[string(key)] {
			return false
		}
	}
	return true
}

func holdsOne(a, b value) bool {
	set := setOf(a)
	var key []byte
	for _, x := range b.Elements() {
		key = datum.AppendHash(key[:0], x)
		if !x.IsNull() && set[string(key)] {
			return true
		}
	}
	return false
}

// arrayInspectors tell about arrays.
func arrayInspectors() []Function {
	size := func(name, doc string, f func(a value) (value, error)) Function {
		return Function{Name: name, Doc: doc, args: []pattern{arrayArg}, result: intType, call1: pure1(f)}
	}
	bound := func(name, doc string, f func(a value) (value, error), of ...pattern) Function {
		return Function{Name: name, Doc: doc + " in a dimension, of which there is one; NULL if it is empty.", args: append(of, intArg), result: intType,
			call2: func(_ *Env, a, n value) (value, error) {
				if n.Int() != 1 || a.Len() == 0 {
					return value{}, nil
				}
				return f(a)
			}}
	}
	length := func(a value) (value, error) { return integer(a.Len()) }
	return []Function{
		size("cardinality", "How many elements the array has.", length),
		bound("array_length", "How many elements the array has", length, arrayArg),
		bound("array_lower", "The first index", func(value) (value, error) { return integer(1) }, arrayArg),
		bound("array_lower", "The first index of a vector of pg_catalog", func(value) (value, error) { return integer(0) }, keysArg),
		bound("array_upper", "The last index", length, arrayArg),
		bound("array_upper", "The last index of a vector of pg_catalog", func(a value) (value, error) { return integer(a.Len() - 1) }, keysArg),
		size("array_ndims", "How many dimensions the array has: 1; NULL if it is empty.", func(a value) (value, error) {
			if a.Len() == 0 {
				return value{}, nil
			}
			return integer(1)
		}),
		{Name: "array_dims", Doc: "The bounds of the array as text: [1:n]; NULL if it is empty.", args: []pattern{arrayArg}, result: textType,
			call1: func(_ *Env, a value) (value, error) {
				if a.Len() == 0 {
					return value{}, nil
				}
				return textValue("[1:" + strconv.Itoa(a.Len()) + "]")
			}},
		{Name: "array_position", Doc: "The index of the first element that is equal, NULL too; NULL if there is none.", NullOK: true, args: []pattern{arrayArg, elementArg}, result: intType,
			call2: func(_ *Env, a, x value) (value, error) { return positionIn(a, x, 1) }},
		{Name: "array_position", Doc: "The index of the first element that is equal, from an index on.", NullOK: true, args: []pattern{arrayArg, elementArg, intArg}, result: intType,
			call3: func(_ *Env, a, x, from value) (value, error) {
				if from.IsNull() {
					return value{}, fault.New(fault.InvalidValue, "the third argument of array_position must not be NULL")
				}
				return positionIn(a, x, from.Int())
			}},
		{Name: "array_positions", Doc: "The indexes of all elements that are equal, NULL too.", NullOK: true, args: []pattern{arrayArg, elementArg}, result: datum.ArrayType(intType),
			call2: func(_ *Env, a, x value) (value, error) {
				if a.IsNull() {
					return value{}, nil
				}
				var found []value
				for i, item := range a.Elements() {
					if datum.Equal(item, x) {
						found = append(found, datum.NewInt(datum.Int, int64(i)+1))
					}
				}
				return newArray(datum.Int, found)
			}},
	}
}

func positionIn(a, x value, from int64) (value, error) {
	if a.IsNull() {
		return value{}, nil
	}
	for i, item := range a.Elements() {
		if int64(i)+1 >= from && datum.Equal(item, x) {
			return integer(i + 1)
		}
	}
	return value{}, nil
}

// arrayBuilders make arrays of arrays.
func arrayBuilders() []Function {
	return []Function{
		{Name: "array_append", Doc: "The array with an element behind it.", NullOK: true, kinded: true, args: []pattern{arrayArg, elementArg}, typed: typeOfArray, shows: "array", call2: pure2(appended)},
		{Name: "array_prepend", Doc: "The array with an element before it.", NullOK: true, kinded: true, args: []pattern{elementArg, arrayArg}, typed: typeOfArray, shows: "array", call2: pure2(prepended)},
		{Name: "array_cat", Doc: "Joins two arrays; NULL counts as an empty one.", NullOK: true, args: []pattern{arrayArg, arrayArg}, typed: typeOfArray, shows: "array", call2: pure2(joinArrays)},
		{Name: "array_remove", Doc: "The array without the elements that are equal, NULL too.", NullOK: true, args: []pattern{arrayArg, elementArg}, typed: typeOfArray, shows: "array",
			call2: func(_ *Env, a, x value) (value, error) {
				if a.IsNull() {
					return a, nil
				}
				var kept []value
				for _, item := range a.Elements() {
					if !datum.Equal(item, x) {
						kept = append(kept, item)
					}
				}
				return newArray(a.ElementKind(), kept)
			}},
		{Name: "array_replace", Doc: "The array with the elements that are equal to the second argument, NULL too, replaced by the third.", NullOK: true, args: []pattern{arrayArg, elementArg, elementArg}, typed: typeOfArray, shows: "array",
			call3: func(_ *Env, a, x, with value) (value, error) {
				if a.IsNull() {
					return a, nil
				}
				items := a.Items()
				for i, item := range items {
					if datum.Equal(item, x) {
						items[i] = with
					}
				}
				return newArray(a.ElementKind(), items)
			}},
		{Name: "trim_array", Doc: "The array without its last n elements.", args: []pattern{arrayArg, intArg}, typed: typeOfArray, shows: "array",
			call2: func(_ *Env, a, n value) (value, error) {
				if n.Int() < 0 || n.Int() > int64(a.Len()) {
					return value{}, fault.New(fault.OutOfRange, "%d elements cannot be cut from an array of %d", n.Int(), a.Len())
				}
				return newArray(a.ElementKind(), a.Items()[:a.Len()-int(n.Int())])
			}},
		{Name: "array_fill", Doc: "An array of an element, as many as the array of one integer says.", NullOK: true, sized: true, kinded: true, args: []pattern{fillArg, countsArg}, shows: "array",
			typed: func(args []Expr) datum.Type { return datum.ArrayType(args[0].Type()) }, call2: pure2(filled)},
	}
}

func filled(x, counts value) (value, error) {
	switch {
	case counts.IsNull():
		return value{}, fault.New(fault.InvalidValue, "the lengths of array_fill must not be NULL")
	case counts.Len() > 1:
		return value{}, fault.New(fault.NotImplemented, "arrays have one dimension only")
	}
	n := int64(0)
	if counts.Len() == 1 {
		item := itemAt(counts, 1)
		if n = item.Int(); item.IsNull() || n < 0 {
			return value{}, fault.New(fault.InvalidValue, "a length of array_fill must not be negative or NULL")
		}
	}
	if err := checkBuilt(product(int(min(n, MaxBuilt)), x.Size()+elementSize)); err != nil {
		return value{}, err
	}
	items := make([]value, n)
	for i := range items {
		items[i] = x
	}
	return newArray(kindFor(value{}, x), items)
}

// arrayTexts turn arrays into texts and back.
func arrayTexts() []Function {
	texts := datum.ArrayType(textType)
	toText := func(a, delimiter value, null value) (value, error) {
		if a.IsNull() || delimiter.IsNull() {
			return value{}, nil
		}
		var b strings.Builder
		some := false
		for _, x := range a.Elements() {
			if x.IsNull() {
				if null.IsNull() {
					continue
				}
				x = null
			}
			if some {
				b.WriteString(delimiter.Text())
			}
			some = true
			if x.Kind() == datum.Bool {
				b.WriteByte("ft"[x.Int()])
			} else {
				b.WriteString(plainText(x))
			}
			if err := checkBuilt(b.Len()); err != nil {
				return value{}, err
			}
		}
		return textValue(b.String())
	}
	return []Function{
		{Name: "array_to_string", Doc: "The texts of the elements that are not NULL, with the second argument between them.", NullOK: true, args: []pattern{arrayArg, textArg}, result: textType,
			call2: func(_ *Env, a, delimiter value) (value, error) { return toText(a, delimiter, value{}) }},
		{Name: "array_to_string", Doc: "The texts of the elements, the third argument for NULL.", NullOK: true, args: []pattern{arrayArg, textArg, textArg}, result: textType,
			call3: func(_ *Env, a, delimiter, null value) (value, error) { return toText(a, delimiter, null) }},
		{Name: "string_to_array", Doc: "The parts of a text between delimiters; its characters where the delimiter is NULL.", NullOK: true, args: []pattern{textArg, textArg}, result: texts,
			call2: func(_ *Env, s, delimiter value) (value, error) { return splitText(s, delimiter, value{}) }},
		{Name: "string_to_array", Doc: "The parts of a text between delimiters; NULL for those that are equal to the third argument.", NullOK: true, args: []pattern{textArg, textArg, textArg}, result: texts,
			call3: func(_ *Env, s, delimiter, null value) (value, error) { return splitText(s, delimiter, null) }},
		{Name: "array_to_json", Doc: "The array as JSON.", args: []pattern{arrayArg}, result: jsonType,
			call1: func(_ *Env, a value) (value, error) { return jsonValue(string(appendJSON(nil, a))) }},
		{Name: "jsonb_object", Aliases: []string{"json_object"}, Doc: "An object of an array of keys and values in turn, as texts.", args: []pattern{textsArg}, result: jsonType,
			call1: func(_ *Env, a value) (value, error) {
				if a.Len()%2 != 0 {
					return value{}, fault.New(fault.InvalidValue, "json_object takes keys and values in turn, but got %d elements", a.Len())
				}
				var keys, values []value
				for i, x := range a.Elements() {
					if i%2 == 0 {
						keys = append(keys, x)
					} else {
						values = append(values, x)
					}
				}
				return textObject(keys, values)
			}},
		{Name: "jsonb_object", Aliases: []string{"json_object"}, Doc: "An object of an array of keys and one of values, as texts.", args: []pattern{textsArg, textsArg}, result: jsonType,
			call2: func(_ *Env, keys, values value) (value, error) {
				if keys.Len() != values.Len() {
					return value{}, fault.New(fault.InvalidValue, "json_object takes as many keys as values, not %d and %d", keys.Len(), values.Len())
				}
				return textObject(keys.Items(), values.Items())
			}},
	}
}

func textObject(keys, values []value) (value, error) {
	pairs := make([]jsonPair, len(keys))
	for i, k := range keys {
		if k.IsNull() {
			return value{}, fault.New(fault.InvalidValue, "a key of json_object is NULL")
		}
		pairs[i] = jsonPair{string(datum.AppendJSONString(nil, k.Text())), string(appendJSON(nil, values[i]))}
	}
	return jsonGiven(writePairs(pairs))
}

func splitText(s, delimiter, null value) (value, error) {
	if s.IsNull() {
		return value{}, nil
	}
	var parts []string
	switch text := s.Text(); {
	case text == "":
	case delimiter.IsNull():
		if err := checkBuilt(product(utf8.RuneCountInString(text), elementSize)); err != nil {
			return value{}, err
		}
		for rest := text; rest != ""; {
			_, n := utf8.DecodeRuneInString(rest)
			parts, rest = append(parts, rest[:n]), rest[n:]
		}
	case delimiter.Text() == "":
		parts = []string{text}
	default:
		if err := checkBuilt(product(strings.Count(text, delimiter.Text())+1, elementSize)); err != nil {
			return value{}, err
		}
		parts = strings.Split(text, delimiter.Text())
	}
	items := make([]value, len(parts))
	for i, p := range parts {
		if null.IsNull() || p != null.Text() {
			items[i] = datum.NewText(p)
		}
	}
	return newArray(datum.Text, items)
}
