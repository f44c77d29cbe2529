package plan

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// jsonGiven makes a JSON value of a text built here, or passes the fault on. It
// has the form of JSONB, whose functions these are.
func jsonGiven(doc string, err error) (value, error) {
	if err != nil {
		return value{}, err
	}
	v, err := jsonValue(doc)
	if err != nil {
		return v, err
	}
	return jsonCanonical(v)
}

// pathOf reads the path argument of a function that changes a document.
func pathOf(v value) ([]string, error) {
	if v.Kind() == datum.Array {
		var parts []string
		for i, x := range v.Elements() {
			if x.IsNull() {
				return nil, fault.New(fault.InvalidValue, "part %d of a JSON path is NULL", i+1)
			}
			parts = append(parts, x.Text())
		}
		return parts, nil
	}
	parts, ok := jsonPath(v.Text())
	if !ok {
		return nil, fault.New(fault.InvalidValue, "a JSON path is written '{key,0}', not '%s'", shorten(v.Text()))
	}
	return parts, nil
}

// changing makes a function of a document, a path and a new value.
func changing(name, doc string, edit func(flag bool) jsonEdit, otherwise bool) []Function {
	change := func(target, path, val value, flag bool) (value, error) {
		parts, err := pathOf(path)
		if err != nil {
			return value{}, err
		}
		if kind := jsonKind(target.Text()); len(parts) > 0 && kind != "object" && kind != "array" {
			return value{}, fault.New(fault.InvalidValue, "a JSON %s has no path to change", kind)
		}
		return jsonGiven(jsonChange(target.Text(), parts, strings.Trim(val.Text(), " \t\r\n"), edit(flag)))
	}
	return []Function{
		{Name: name, Doc: doc, args: []pattern{docArg, pathArg, docArg}, result: jsonType,
			call3: func(_ *Env, target, path, val value) (value, error) { return change(target, path, val, otherwise) }},
		{Name: name, Doc: doc, args: []pattern{docArg, pathArg, docArg, boolArg}, result: jsonType,
			calls: func(_ *Env, a []value) (value, error) { return change(a[0], a[1], a[2], a[3].Bool()) }},
	}
}

func choice(yes, no jsonEdit) func(bool) jsonEdit {
	return func(flag bool) jsonEdit {
		if flag {
			return yes
		}
		return no
	}
}

// jsonChangers give a document with something in it changed. Their documents
// are JSON, not TEXT that may hold something else.
func jsonChangers() []Function {
	all := changing("jsonb_set", "The document with the value at a path replaced; made, unless the fourth argument is false, where only the last step is missing.", choice(editSet, editReplace), true)
	all = append(all, changing("jsonb_insert", "The document with a value inserted before the one at a path, or behind it when the fourth argument is true.", choice(editAfter, editBefore), false)...)
	return append(all,
		Function{Name: "jsonb_strip_nulls", Aliases: []string{"json_strip_nulls"}, Doc: "The document without the members that are null.", args: []pattern{docArg}, result: jsonType,
			call1: func(_ *Env, v value) (value, error) {
				if err := checkNesting(v.Text()); err != nil {
					return value{}, err
				}
				return jsonGiven(jsonStripped(strings.TrimSpace(v.Text())))
			}},
		canonicalFunction(),
		Function{Name: "jsonb_pretty", Doc: "The document over several lines.", args: []pattern{docArg}, result: textType,
			call1: func(_ *Env, v value) (value, error) {
				if err := checkNesting(v.Text()); err != nil {
					return value{}, err
				}
				b, err := jsonPretty(nil, strings.TrimSpace(v.Text()), 0)
				if err != nil {
					return value{}, err
				}
				return textValue(string(b))
			}},
		Function{Name: "||", Operator: true, Doc: "Joins documents: the members of objects, or the elements of arrays; what is no array counts as one of one element.", args: []pattern{docArg, docArg}, result: jsonType,
			call2: func(_ *Env, a, b value) (value, error) {
				return jsonGiven(jsonJoin(strings.TrimSpace(a.Text()), strings.TrimSpace(b.Text())))
			}},
		Function{Name: "-", Operator: true, Doc: "The document without a key, or without the strings of an array that are equal to it.", args: []pattern{docArg, textArg}, result: jsonType,
			call2: func(_ *Env, v, key value) (value, error) {
				return jsonGiven(jsonWithout(strings.TrimSpace(v.Text()), []string{key.Text()}))
			}},
		Function{Name: "-", Operator: true, Doc: "The document without several keys, or without the strings of an array that are equal to one of them.", args: []pattern{docArg, textsArg}, result: jsonType,
			call2: func(_ *Env, v, keys value) (value, error) {
				var names []string
				for _, k := range keys.Elements() {
					if !k.IsNull() {
						names = append(names, k.Text())
					}
				}
				return jsonGiven(jsonWithout(strings.TrimSpace(v.Text()), names))
			}},
		hasKeys("?|", "Whether the document has one of the keys, or strings as elements.", true),
		hasKeys("?&", "Whether the document has all of the keys, or strings as elements.", false),
		Function{Name: "-", Operator: true, Doc: "The array without the element at an index; a negative one counts from the end.", args: []pattern{docArg, intArg}, result: jsonType, call2: withoutElement},
		Function{Name: "#-", Operator: true, Doc: "The document without what is at a path.", args: []pattern{docArg, pathArg}, result: jsonType,
			call2: func(_ *Env, v, path value) (value, error) {
				parts, err := pathOf(path)
				if err != nil {
					return value{}, err
				}
				if kind := jsonKind(v.Text()); kind != "object" && kind != "array" {
					return value{}, fault.New(fault.InvalidValue, "nothing can be removed from a JSON %s", kind)
				}
				return jsonGiven(jsonChange(v.Text(), parts, "", editDelete))
			}},
	)
}

func withoutElement(_ *Env, v, n value) (value, error) {
	doc := strings.TrimSpace(v.Text())
	if kind := jsonKind(doc); kind != "array" {
		return value{}, fault.New(fault.InvalidValue, "an element can only be removed from a JSON array, not from a JSON %s", kind)
	}
	items := jsonItems(doc)
	at := n.Int()
	if at < 0 {
		at += int64(len(items))
	}
	if at >= 0 && at < int64(len(items)) {
		items = append(items[:at], items[at+1:]...)
	}
	return jsonGiven(writeItems(items))
}

// hasKeys makes the operators that ask for several keys.
func hasKeys(name, doc string, one bool) Function {
	return Function{Name: name, Operator: true, Doc: doc, args: []pattern{jsonArg, textsArg}, result: boolType,
		call2: func(_ *Env, v, keys value) (value, error) {
			doc, ok := document(v)
			if !ok {
				return value{}, nil
			}
			if err := checkSteps(len(doc), keys.Len()); err != nil {
				return value{}, err
			}
			for _, k := range keys.Elements() {
				if !k.IsNull() && jsonHas(doc, k.Text()) == one {
					return boolean(one)
				}
			}
			return boolean(!one)
		}}
}
