package parse

import "strings"

// FileKeys returns the keys of FILE("key") and FILE('key') in a text, each once,
// in the order in which they stand there. Text in quotes and comments is none.
func FileKeys(text string) []string {
	l := lexer{src: text}
	var keys []string
	for t := l.next(); t.kind != tokEnd && t.kind != tokOpen; {
		if t.kind != tokWord || keywordOf(text[t.start:t.end]) != kwFile {
			t = l.next()
			continue
		}
		if t = l.next(); t.kind != tokPunct || text[t.start] != '(' {
			continue
		}
		t = l.next()
		key, ok := fileKeyOf(text, t)
		if !ok {
			continue
		}
		if t = l.next(); t.kind == tokPunct && text[t.start] == ')' && !holds(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// fileKeyOf returns the key that a token spells.
func fileKeyOf(text string, t token) (string, bool) {
	if t.kind != tokQuoted && t.kind != tokString {
		return "", false
	}
	quote := text[t.start : t.start+1]
	key := text[t.start+1 : t.end-1]
	if t.doubled {
		key = strings.ReplaceAll(key, quote+quote, quote)
	}
	return key, true
}

func holds(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
