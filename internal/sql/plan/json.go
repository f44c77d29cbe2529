package plan

import (
	"encoding/json"
	"strconv"
	"strings"

	"kalamdb/internal/datum"
)

// document returns the JSON text of a value; ok is false for TEXT that is not
// JSON. Values of type JSON were checked when they were made.
func document(v value) (doc string, ok bool) {
	if v.Kind() == datum.JSON {
		return v.Text(), true
	}
	j, err := datum.NewJSON(v.Text())
	return j.Text(), err == nil
}

// jsonScanner walks over valid JSON without building it. On text that is not
// valid it stops early; it never reads past the end.
type jsonScanner struct {
	text string
	at   int
}

func (s *jsonScanner) blanks() {
	for s.at < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.at]) >= 0 {
		s.at++
	}
}

// peek returns the next byte that is not blank, 0 at the end.
func (s *jsonScanner) peek() byte {
	s.blanks()
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *jsonScanner) take(c byte) bool {
	if s.peek() == c {
		s.at++
		return true
	}
	return false
}

// str steps over a string and returns it with its quotes.
func (s *jsonScanner) str() string {
	s.blanks()
	start := s.at
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return s.text[start:s.at]
		}
	}
	s.at = len(s.text)
	return s.text[start:]
}

// value steps over any value and returns its text.
func (s *jsonScanner) value() string {
	s.blanks()
	start := s.at
	depth := 0
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case '"':
			s.str()
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			depth--
			s.at++
		case ',', ':', ' ', '\t', '\r', '\n':
			s.at++
			continue
		default:
			for s.at < len(s.text) && strings.IndexByte(",:]} \t\r\n", s.text[s.at]) < 0 {
				s.at++
			}
		}
		if depth <= 0 {
			break
		}
	}
	return s.text[start:s.at]
}

// members calls each for the members of an object until it returns false; ok
// is false when the value is no object. Keys come with their quotes.
func (s *jsonScanner) members(each func(key, val string) bool) (ok bool) {
	if !s.take('{') {
		return false
	}
	for s.peek() == '"' {
		key := s.str()
		s.take(':')
		if !each(key, s.value()) {
			break
		}
		if !s.take(',') {
			break
		}
	}
	return true
}

// elements calls each for the elements of an array until it returns false; ok
// is false when the value is no array.
func (s *jsonScanner) elements(each func(val string) bool) (ok bool) {
	if !s.take('[') {
		return false
	}
	for c := s.peek(); c != ']' && c != 0; c = s.peek() {
		if !each(s.value()) || !s.take(',') {
			break
		}
	}
	return true
}

// jsonString returns what a JSON string says.
func jsonString(quoted string) string {
	if len(quoted) < 2 {
		return ""
	}
	if inner := quoted[1 : len(quoted)-1]; strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var s string
	if json.Unmarshal([]byte(quoted), &s) != nil {
		return ""
	}
	return s
}

func sameKey(quoted, key string) bool {
	if len(quoted) >= 2 && quoted[1:len(quoted)-1] == key {
		return true
	}
	return strings.IndexByte(quoted, '\\') >= 0 && jsonString(quoted) == key
}

// jsonMember returns a member of an object; of several with one key the last
// counts.
func jsonMember(doc, key string) (found string, ok bool) {
	s := jsonScanner{text: doc}
	s.members(func(k, v string) bool {
		if sameKey(k, key) {
			found, ok = v, true
		}
		return true
	})
	return found, ok
}

// jsonElement returns an element of an array; a negative index counts from the
// end.
func jsonElement(doc string, index int64) (found string, ok bool) {
	if index < 0 {
		index += int64(jsonLength(doc))
	}
	n := int64(0)
	s := jsonScanner{text: doc}
	s.elements(func(v string) bool {
		if n == index {
			found, ok = v, true
		}
		n++
		return !ok
	})
	return found, ok && index >= 0
}

// jsonLength counts the elements of an array or the members of an object; it
// is -1 for anything else.
func jsonLength(doc string) int {
	n := 0
	s := jsonScanner{text: doc}
	if s.elements(func(string) bool { n++; return true }) {
		return n
	}
	s = jsonScanner{text: doc}
	if s.members(func(_, _ string) bool { n++; return true }) {
		return n
	}
	return -1
}

// jsonStep goes one step down: by key for text, by index for an integer.
func jsonStep(doc string, step value) (string, bool) {
	if step.Kind().IsInteger() {
		return jsonElement(doc, step.Int())
	}
	return jsonMember(doc, plainText(step))
}

// jsonWalk follows a path of keys and indexes from a document.
func jsonWalk(v value, path []value) (string, bool) {
	doc, ok := document(v)
	if !ok {
		return "", false
	}
	doc = strings.Trim(doc, " \t\r\n")
	for _, step := range path {
		if step.IsNull() {
			return "", false
		}
		if doc, ok = jsonStep(doc, step); !ok {
			return "", false
		}
	}
	return doc, true
}

// jsonPath reads a path as PostgreSQL writes it: {a,0,"b c"}. A part that is a
// number is an index where the document has an array.
func jsonPath(text string) (parts []string, ok bool) {
	text = strings.TrimSpace(text)
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return nil, false
	}
	text = strings.TrimSpace(text[1 : len(text)-1])
	for text != "" {
		var part string
		if text[0] == '"' {
			end, quoted := 1, true
			var b strings.Builder
			for ; end < len(text) && quoted; end++ {
				switch {
				case text[end] == '\\' && end+1 < len(text):
					end++
					b.WriteByte(text[end])
				case text[end] == '"':
					quoted = false
				default:
					b.WriteByte(text[end])
				}
			}
			if quoted {
				return nil, false
			}
			part, text = b.String(), strings.TrimSpace(text[end:])
		} else {
			end := strings.IndexByte(text, ',')
			if end < 0 {
				end = len(text)
			}
			part, text = strings.TrimSpace(text[:end]), text[end:]
			if part == "" {
				return nil, false
			}
		}
		parts = append(parts, part)
		if text == "" {
			break
		}
		if text[0] != ',' {
			return nil, false
		}
		if text = strings.TrimSpace(text[1:]); text == "" {
			return nil, false
		}
	}
	return parts, true
}

// jsonFollow follows the parts of a path.
func jsonFollow(doc string, parts []string) (string, bool) {
	ok := true
	for _, part := range parts {
		s := jsonScanner{text: doc}
		if s.peek() == '[' {
			index, err := strconv.ParseInt(part, 10, 64)
			if err != nil {
				return "", false
			}
			doc, ok = jsonElement(doc, index)
		} else {
			doc, ok = jsonMember(doc, part)
		}
		if !ok {
			return "", false
		}
	}
	return doc, true
}

// jsonKind names the type of a JSON value.
func jsonKind(doc string) string {
	s := jsonScanner{text: doc}
	switch s.peek() {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// jsonContains is the @> of PostgreSQL: every part of b is found in a.
func jsonContains(a, b string, top bool) bool {
	kind, other := jsonKind(a), jsonKind(b)
	if kind == "array" && other != "array" && other != "object" && top {
		return arrayHolds(a, b)
	}
	if kind != other {
		return false
	}
	switch kind {
	case "object":
		all := true
		s := jsonScanner{text: b}
		s.members(func(k, want string) bool {
			have, ok := jsonMember(a, jsonString(k))
			all = ok && jsonContains(have, want, false)
			return all
		})
		return all
	case "array":
		all := true
		s := jsonScanner{text: b}
		s.elements(func(want string) bool {
			all = arrayHolds(a, want)
			return all
		})
		return all
	case "string":
		return jsonString(a) == jsonString(b)
	case "number":
		return sameNumber(a, b)
	}
	return a == b
}

func arrayHolds(array, want string) bool {
	found := false
	s := jsonScanner{text: array}
	s.elements(func(have string) bool {
		found = jsonContains(have, want, false)
		return !found
	})
	return found
}

func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	x, err1 := datum.ParseDecimal(a)
	y, err2 := datum.ParseDecimal(b)
	if err1 == nil && err2 == nil {
		return datum.Equal(x, y)
	}
	f, err1 := strconv.ParseFloat(a, 64)
	g, err2 := strconv.ParseFloat(b, 64)
	return err1 == nil && err2 == nil && f == g
}
