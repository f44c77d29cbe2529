package plan

import (
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

func jsonValue(text string) (value, error) { return datum.NewJSON(text) }

// jsonPlain gives a JSON value as text: strings without quotes, null as NULL.
func jsonPlain(doc string) (value, error) {
	switch jsonKind(doc) {
	case "string":
		return textValue(jsonString(doc))
	case "null":
		return value{}, nil
	}
	return textValue(doc)
}

func jsonOperators() []Function {
	step := func(name string, result datum.Type, doc string, give func(string) (value, error)) Function {
		return Function{Name: name, Operator: true, Doc: doc, args: []pattern{jsonArg, stepArg}, result: result,
			call2: func(_ *Env, v, key value) (value, error) {
				doc, ok := document(v)
				if !ok {
					return value{}, nil
				}
				if doc, ok = jsonStep(doc, key); !ok {
					return value{}, nil
				}
				return give(doc)
			}}
	}
	path := func(name string, result datum.Type, doc string, give func(string) (value, error)) Function {
		return Function{Name: name, Operator: true, Doc: doc, args: []pattern{jsonArg, pathArg}, result: result,
			call2: func(_ *Env, v, p value) (value, error) {
				parts, err := pathOf(p)
				if err != nil {
					return value{}, err
				}
				doc, ok := document(v)
				if !ok {
					return value{}, nil
				}
				if doc, ok = jsonFollow(strings.TrimSpace(doc), parts); !ok {
					return value{}, nil
				}
				return give(doc)
			}}
	}
	return []Function{
		step("->", jsonType, "The member with a key, or the element with an index, as JSON; NULL if absent or if the text is not JSON.", jsonValue),
		step("->>", textType, "The member or element as text: strings without quotes.", jsonPlain),
		path("#>", jsonType, "The value at a path, as JSON.", jsonValue),
		path("#>>", textType, "The value at a path, as text.", jsonPlain),
		{Name: "?", Operator: true, Doc: "Whether an object has the key, or an array the text as an element.", args: []pattern{jsonArg, textArg}, result: boolType,
			call2: func(_ *Env, v, key value) (value, error) {
				doc, ok := document(v)
				if !ok {
					return value{}, nil
				}
				return boolean(jsonHas(doc, key.Text()))
			}},
		{Name: "@>", Operator: true, Doc: "Whether the left document contains the right one.", args: []pattern{jsonArg, jsonArg}, result: boolType,
			call2: func(_ *Env, a, b value) (value, error) { return contained(a, b) }},
		{Name: "<@", Operator: true, Doc: "Whether the right document contains the left one.", args: []pattern{jsonArg, jsonArg}, result: boolType,
			call2: func(_ *Env, a, b value) (value, error) { return contained(b, a) }},
	}
}

func jsonHas(doc, key string) bool {
	if _, ok := jsonMember(doc, key); ok {
		return true
	}
	if jsonKind(doc) == "string" {
		return jsonString(strings.TrimSpace(doc)) == key
	}
	found := false
	s := jsonScanner{text: doc}
	s.elements(func(v string) bool {
		found = jsonKind(v) == "string" && jsonString(v) == key
		return !found
	})
	return found
}

func contained(a, b value) (value, error) {
	x, ok1 := document(a)
	y, ok2 := document(b)
	if !ok1 || !ok2 {
		return value{}, nil
	}
	if err := checkSteps(len(y), len(x)); err != nil {
		return value{}, err
	}
	return boolean(jsonContains(strings.TrimSpace(x), strings.TrimSpace(y), true))
}

// getter makes the overloads of a function of a document and a path: one for
// the document alone, one for a path of any length.
func getter(name string, result datum.Type, doc string, give func(string) (value, error), aliases ...string) []Function {
	walk := func(v value, path []value) (value, error) {
		found, ok := jsonWalk(v, path)
		if !ok {
			return value{}, nil
		}
		return give(found)
	}
	return []Function{
		{Name: name, Aliases: aliases, Doc: doc, args: []pattern{jsonArg}, result: result,
			call1: func(_ *Env, v value) (value, error) { return walk(v, nil) }},
		{Name: name, Aliases: aliases, Doc: doc, args: []pattern{jsonArg, stepArg}, variadic: true, result: result,
			calls: func(_ *Env, args []value) (value, error) { return walk(args[0], args[1:]) }},
	}
}

// ofKind gives NULL unless the JSON value is of a kind.
func ofKind(kind string, give func(string) (value, error)) func(string) (value, error) {
	return func(doc string) (value, error) {
		if jsonKind(doc) != kind {
			return value{}, nil
		}
		return give(doc)
	}
}

func jsonGetters() []Function {
	var all []Function
	all = append(all, getter("json_get", jsonType, "The value at a path of keys and indexes; NULL if absent. CAST gives it another type.", jsonValue)...)
	all = append(all, getter("json_get_json", jsonType, "The value at a path of keys and indexes, as JSON.", jsonValue, "json_extract_path", "jsonb_extract_path")...)
	all = append(all, getter("json_as_text", textType, "The value at a path, as text: strings without quotes.", jsonPlain, "json_extract_path_text", "jsonb_extract_path_text")...)
	all = append(all, getter("json_get_str", textType, "The string at a path; NULL for other values.", ofKind("string", jsonPlain))...)
	all = append(all, getter("json_get_int", bigintType, "The whole number at a path; NULL for other values.", ofKind("number", jsonInteger))...)
	all = append(all, getter("json_get_float", doubleType, "The number at a path; NULL for other values.", ofKind("number", jsonDouble))...)
	all = append(all, getter("json_get_bool", boolType, "The boolean at a path; NULL for other values.", ofKind("boolean", func(doc string) (value, error) { return boolean(doc == "true") }))...)
	all = append(all, getter("json_get_array", jsonType, "The array at a path; NULL for other values.", ofKind("array", jsonValue))...)
	return all
}

func jsonInteger(doc string) (value, error) {
	n, err := strconv.ParseInt(doc, 10, 64)
	if err != nil {
		return value{}, nil
	}
	return datum.NewInt(datum.BigInt, n), nil
}

func jsonDouble(doc string) (value, error) {
	f, err := strconv.ParseFloat(doc, 64)
	if err != nil {
		return value{}, nil
	}
	return datum.NewDouble(f), nil
}

func jsonInspectors() []Function {
	var all []Function
	all = append(all, getter("json_length", bigintType, "How many elements or members the array or object at a path has; NULL for other values.", func(doc string) (value, error) {
		if n := jsonLength(doc); n >= 0 {
			return bigint(n)
		}
		return value{}, nil
	}, "json_array_length", "jsonb_array_length")...)
	all = append(all, getter("json_object_keys", jsonType, "The keys of the object at a path, as a JSON array.", ofKind("object", jsonKeys), "jsonb_object_keys", "json_keys")...)
	all = append(all, getter("json_typeof", textType, "object, array, string, number, boolean or null.", func(doc string) (value, error) { return textValue(jsonKind(doc)) }, "jsonb_typeof")...)
	return append(all,
		Function{Name: "json_contains", Doc: "Whether there is a value at a path of keys and indexes; with one key the operator ?.", args: []pattern{jsonArg, stepArg}, variadic: true, result: boolType,
			calls: func(_ *Env, args []value) (value, error) {
				if _, ok := document(args[0]); !ok {
					return value{}, nil
				}
				_, ok := jsonWalk(args[0], args[1:])
				return boolean(ok)
			}},
		Function{Name: "json_valid", Aliases: []string{"is_json"}, Doc: "Whether the text is JSON.", args: []pattern{jsonArg}, result: boolType,
			call1: func(_ *Env, v value) (value, error) {
				_, ok := document(v)
				return boolean(ok)
			}},
	)
}

func jsonKeys(doc string) (value, error) {
	out := []byte{'['}
	s := jsonScanner{text: doc}
	s.members(func(key, _ string) bool {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, key...)
		return true
	})
	return jsonValue(string(append(out, ']')))
}

func jsonBuilders() []Function {
	return []Function{
		{Name: "to_json", Aliases: []string{"to_jsonb"}, Doc: "The value as JSON: numbers and booleans as they are, JSON unchanged, others as a string.", NullOK: true, args: []pattern{anyArg}, result: jsonType,
			call1: func(_ *Env, v value) (value, error) {
				if err := checkBuilt(jsonSize(v)); err != nil {
					return value{}, err
				}
				return jsonValue(string(appendJSON(nil, v)))
			}},
		{Name: rowToJSON, Form: FormSpecial, Doc: "A row (the name of a table or of a subquery in FROM, t.* or ROW(…)) as a JSON object; NULL for a row that an outer join fills up. to_json, json_agg and the builders of JSON take rows too.", NullOK: true, args: []pattern{anyArg}, result: jsonType},
		{Name: "json_build_array", Aliases: []string{"jsonb_build_array"}, Doc: "An array of the arguments.", NullOK: true, args: []pattern{anyArg}, variadic: true, result: jsonType,
			calls: func(_ *Env, args []value) (value, error) {
				out := []byte{'['}
				for i, v := range args {
					if i > 0 {
						out = append(out, ',')
					}
					if err := checkBuilt(len(out) + jsonSize(v)); err != nil {
						return value{}, err
					}
					out = appendJSON(out, v)
				}
				return jsonValue(string(append(out, ']')))
			}},
		{Name: "json_build_object", Aliases: []string{"jsonb_build_object"}, Doc: "An object of keys and values in turn.", NullOK: true, args: []pattern{anyArg}, variadic: true, result: jsonType,
			calls: jsonObject},
	}
}

func jsonObject(_ *Env, args []value) (value, error) {
	if len(args)%2 != 0 {
		return value{}, fault.New(fault.InvalidValue, "json_build_object takes keys and values in turn, but got %d arguments", len(args))
	}
	out := []byte{'{'}
	for i := 0; i < len(args); i += 2 {
		if args[i].IsNull() {
			return value{}, fault.New(fault.InvalidValue, "a key of json_build_object is NULL")
		}
		if i > 0 {
			out = append(out, ',')
		}
		key := datum.NewText(plainText(args[i]))
		if err := checkBuilt(len(out) + jsonSize(key) + jsonSize(args[i+1])); err != nil {
			return value{}, err
		}
		out = datum.AppendJSONString(out, key.Text())
		out = append(out, ':')
		out = appendJSON(out, args[i+1])
	}
	return jsonValue(string(append(out, '}')))
}

// jsonSize is at least what appendJSON adds for a value.
func jsonSize(v value) int {
	const most = 64 // of what holds no bytes, and of what stands around others
	switch {
	case v.Kind() == datum.Array:
		size := most
		for _, item := range v.Elements() {
			size += jsonSize(item)
		}
		return size
	case !v.Kind().IsString():
		return most + 6*v.Size()
	case v.Kind() != datum.Text:
		return most + v.Size()
	}
	size := most + v.Size()
	for i := range v.Size() {
		switch c := v.Text()[i]; {
		case c < 0x20:
			size += 5
		case c == '"' || c == '\\':
			size++
		}
	}
	return size
}

// appendJSON writes a value into a JSON document, where numbers of all sizes
// are numbers; NaN and infinity are strings, as JSON has no word for them.
func appendJSON(dst []byte, v value) []byte {
	switch k := v.Kind(); {
	case k == datum.Null:
		return append(dst, "null"...)
	case k == datum.Array:
		dst = append(dst, '[')
		for i, item := range v.Elements() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, item)
		}
		return append(dst, ']')
	case k == datum.JSON || k == datum.File || k == datum.Bool || k.IsInteger() || k == datum.Decimal || k == datum.Embedding:
		return append(dst, plainText(v)...)
	case k.IsNumeric():
		if f := v.Float(); f-f == 0 {
			return append(dst, v.String()...)
		}
	}
	return datum.AppendJSONString(dst, plainText(v))
}
