package plan

import (
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// jsonPair is a member of an object; the key has its quotes.
type jsonPair struct{ key, val string }

// jsonPairs lists the members of an object; of several with one key the last
// one's value stays at the place of the first.
func jsonPairs(doc string) []jsonPair {
	var pairs []jsonPair
	at := map[string]int{}
	s := jsonScanner{text: doc}
	s.members(func(key, val string) bool {
		name := jsonString(key)
		if i, twice := at[name]; twice {
			pairs[i].val = val
			return true
		}
		at[name] = len(pairs)
		pairs = append(pairs, jsonPair{key, val})
		return true
	})
	return pairs
}

// jsonItems lists the elements of an array.
func jsonItems(doc string) []string {
	var items []string
	s := jsonScanner{text: doc}
	s.elements(func(val string) bool { items = append(items, val); return true })
	return items
}

func writePairs(pairs []jsonPair) (string, error) {
	size := 2
	for _, p := range pairs {
		size += len(p.key) + len(p.val) + 2
	}
	if err := checkBuilt(size); err != nil {
		return "", err
	}
	b := make([]byte, 0, size)
	b = append(b, '{')
	for i, p := range pairs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, p.key...), ':'), p.val...)
	}
	return string(append(b, '}')), nil
}

func writeItems(items []string) (string, error) {
	size := 2
	for _, v := range items {
		size += len(v) + 1
	}
	if err := checkBuilt(size); err != nil {
		return "", err
	}
	return "[" + strings.Join(items, ",") + "]", nil
}

// maxNesting bounds the bytes of a document times its depth for what looks into
// every level of it anew.
const maxNesting = 1 << 27

// checkNesting refuses a document that is both too large and too deep.
func checkNesting(doc string) error {
	depth, most := 0, 0
	for i := 0; i < len(doc); i++ {
		switch doc[i] {
		case '"':
			for i++; i < len(doc) && doc[i] != '"'; i++ {
				if doc[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			depth++
			most = max(most, depth)
		case ']', '}':
			depth--
		}
	}
	if most > 1 && len(doc) > maxNesting/most {
		return fault.New(fault.LimitExceeded, "a document of %d bytes is too large to nest %d levels deep here", len(doc), most)
	}
	return nil
}

// jsonEdit says what happens at the end of a path.
type jsonEdit uint8

const (
	editSet     jsonEdit = iota // the value is put there, made if need be
	editReplace                 // the value is put there if there is one
	editBefore                  // the value is inserted before it
	editAfter                   // the value is inserted behind it
	editDelete                  // what is there is removed
)

// jsonChange returns doc with the place at a path changed; where the path leads
// nowhere, doc as it is.
func jsonChange(doc string, path []string, val string, edit jsonEdit) (string, error) {
	doc = strings.Trim(doc, " \t\r\n")
	if err := checkNesting(doc); err != nil {
		return "", err
	}
	return jsonChangeAt(doc, path, 1, val, edit)
}

func jsonChangeAt(doc string, path []string, step int, val string, edit jsonEdit) (string, error) {
	if len(path) < step {
		return doc, nil
	}
	last := len(path) == step
	switch jsonKind(doc) {
	case "object":
		return jsonChangeMember(doc, path, step, last, val, edit)
	case "array":
		return jsonChangeElement(doc, path, step, last, val, edit)
	}
	return doc, nil
}

func jsonChangeMember(doc string, path []string, step int, last bool, val string, edit jsonEdit) (string, error) {
	pairs := jsonPairs(doc)
	for i, p := range pairs {
		if !sameKey(p.key, path[step-1]) {
			continue
		}
		switch {
		case !last:
			inner, err := jsonChangeAt(p.val, path, step+1, val, edit)
			if err != nil {
				return "", err
			}
			pairs[i].val = inner
		case edit == editDelete:
			pairs = append(pairs[:i], pairs[i+1:]...)
		case edit == editSet || edit == editReplace:
			pairs[i].val = val
		default:
			return "", fault.New(fault.InvalidValue, "the object has the key '%s' already; jsonb_set replaces its value", shorten(path[step-1]))
		}
		return writePairs(pairs)
	}
	if last && edit != editDelete && edit != editReplace {
		pairs = append(pairs, jsonPair{string(datum.AppendJSONString(nil, path[step-1])), val})
	}
	return writePairs(pairs)
}

func jsonChangeElement(doc string, path []string, step int, last bool, val string, edit jsonEdit) (string, error) {
	items := jsonItems(doc)
	n, err := strconv.ParseInt(strings.TrimSpace(path[step-1]), 10, 32)
	if err != nil {
		return "", fault.New(fault.InvalidValue, "part %d of the path is an index into an array, but '%s' is no integer", step, shorten(path[step-1]))
	}
	at := int(n)
	if at < 0 {
		at += len(items)
	}
	inside := at >= 0 && at < len(items)
	switch {
	case !last:
		if inside {
			if items[at], err = jsonChangeAt(items[at], path, step+1, val, edit); err != nil {
				return "", err
			}
		}
	case edit == editDelete:
		if inside {
			items = append(items[:at], items[at+1:]...)
		}
	case inside && edit <= editReplace:
		items[at] = val
	case edit == editReplace:
	case at < 0:
		items = append([]string{val}, items...)
	case at >= len(items):
		items = append(items, val)
	default:
		if edit == editAfter {
			at++
		}
		items = append(items[:at], append([]string{val}, items[at:]...)...)
	}
	return writeItems(items)
}

// jsonJoin is the || of two documents: objects are merged, all else becomes the
// elements of one array.
func jsonJoin(a, b string) (string, error) {
	x, y := jsonKind(a), jsonKind(b)
	if x == "object" && y == "object" {
		pairs := jsonPairs(a)
		at := map[string]int{}
		for i, p := range pairs {
			at[jsonString(p.key)] = i
		}
		for _, p := range jsonPairs(b) {
			if i, ok := at[jsonString(p.key)]; ok {
				pairs[i].val = p.val
			} else {
				pairs = append(pairs, p)
			}
		}
		return writePairs(pairs)
	}
	var items []string
	for _, doc := range []string{a, b} {
		if jsonKind(doc) == "array" {
			items = append(items, jsonItems(doc)...)
		} else {
			items = append(items, doc)
		}
	}
	return writeItems(items)
}

// jsonWithout removes keys from an object, or the strings that are equal to
// them from an array.
func jsonWithout(doc string, keys []string) (string, error) {
	gone := map[string]bool{}
	for _, k := range keys {
		gone[k] = true
	}
	switch jsonKind(doc) {
	case "object":
		kept := jsonPairs(doc)[:0]
		for _, p := range jsonPairs(doc) {
			if !gone[jsonString(p.key)] {
				kept = append(kept, p)
			}
		}
		return writePairs(kept)
	case "array":
		var kept []string
		for _, v := range jsonItems(doc) {
			if jsonKind(v) != "string" || !gone[jsonString(v)] {
				kept = append(kept, v)
			}
		}
		return writeItems(kept)
	}
	return "", fault.New(fault.InvalidValue, "nothing can be removed from a JSON %s", jsonKind(doc))
}

// jsonStripped leaves out the members of all objects that are null.
func jsonStripped(doc string) (string, error) {
	switch jsonKind(doc) {
	case "object":
		var kept []jsonPair
		for _, p := range jsonPairs(doc) {
			if jsonKind(p.val) == "null" {
				continue
			}
			inner, err := jsonStripped(p.val)
			if err != nil {
				return "", err
			}
			kept = append(kept, jsonPair{p.key, inner})
		}
		return writePairs(kept)
	case "array":
		items := jsonItems(doc)
		for i, v := range items {
			inner, err := jsonStripped(v)
			if err != nil {
				return "", err
			}
			items[i] = inner
		}
		return writeItems(items)
	}
	return doc, nil
}

// jsonPretty appends doc over several lines, each level four blanks in.
func jsonPretty(dst []byte, doc string, depth int) ([]byte, error) {
	const blanks = 4
	open, shut := byte('['), byte(']')
	var lines []jsonPair
	switch jsonKind(doc) {
	case "object":
		open, shut, lines = '{', '}', jsonPairs(doc)
	case "array":
		for _, v := range jsonItems(doc) {
			lines = append(lines, jsonPair{val: v})
		}
	default:
		return append(dst, doc...), checkBuilt(len(dst))
	}
	dst = append(dst, open)
	for i, p := range lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '\n')
		dst = append(dst, strings.Repeat(" ", blanks*(depth+1))...)
		if p.key != "" {
			dst = append(append(dst, p.key...), ": "...)
		}
		var err error
		if dst, err = jsonPretty(dst, p.val, depth+1); err != nil {
			return dst, err
		}
	}
	dst = append(dst, '\n')
	dst = append(dst, strings.Repeat(" ", blanks*depth)...)
	return append(dst, shut), checkBuilt(len(dst))
}
