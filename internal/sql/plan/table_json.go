package plan

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// jsonTableFunctions take JSON apart.
func jsonTableFunctions() []TableFunction {
	arg := []pattern{jsonArg}
	named := func(columns ...RelColumn) func([]Expr) []RelColumn {
		return func([]Expr) []RelColumn { return append([]RelColumn(nil), columns...) }
	}
	elements := func(name string, t datum.Type, doc string, give func(string) (value, error), alias string) TableFunction {
		return TableFunction{Name: name, Aliases: []string{alias}, Doc: doc, call: Function{args: arg, shows: "value " + t.String()}, named: true, columns: named(RelColumn{"value", t}),
			rows: func(args []datum.Value) (Next, error) { return jsonElements(name, args[0], give) }}
	}
	members := func(name string, t datum.Type, doc string, give func(string) (value, error), alias string) TableFunction {
		return TableFunction{Name: name, Aliases: []string{alias}, Doc: doc, call: Function{args: arg, shows: "key TEXT, value " + t.String()}, named: true,
			columns: named(RelColumn{"key", textType}, RelColumn{"value", t}),
			rows:    func(args []datum.Value) (Next, error) { return jsonMembers(name, args[0], give) }}
	}
	return []TableFunction{
		elements("json_array_elements", jsonType, "The elements of a JSON array.", jsonValue, "jsonb_array_elements"),
		elements("json_array_elements_text", textType, "The elements of a JSON array as text: strings without quotes, null as NULL.", jsonPlain, "jsonb_array_elements_text"),
		members("json_each", jsonType, "The members of a JSON object.", jsonValue, "jsonb_each"),
		members("json_each_text", textType, "The members of a JSON object as text: strings without quotes, null as NULL.", jsonPlain, "jsonb_each_text"),
		{Name: "json_object_keys", Aliases: []string{"jsonb_object_keys"}, Doc: "The keys of a JSON object.", call: Function{args: arg, shows: "TEXT"}, columns: oneColumn("json_object_keys", textType),
			rows: func(args []datum.Value) (Next, error) { return jsonMembers("json_object_keys", args[0], nil) }},
	}
}

// jsonOpen starts a walk through an array or an object.
func jsonOpen(name, kind string, v value) (*jsonScanner, error) {
	doc, ok := document(v)
	if !ok {
		return nil, fault.New(fault.InvalidValue, "%s takes JSON, which this text is not: '%s'", name, shorten(v.Text()))
	}
	if have := jsonKind(doc); have != kind {
		return nil, fault.New(fault.InvalidValue, "%s takes a JSON %s, not a JSON %s", name, kind, have)
	}
	s := &jsonScanner{text: doc}
	s.blanks()
	s.at++
	return s, nil
}

func jsonElements(name string, v value, give func(string) (value, error)) (Next, error) {
	s, err := jsonOpen(name, "array", v)
	if err != nil {
		return nil, err
	}
	row := make([]value, 1)
	return func() ([]value, error) {
		if c := s.peek(); c == ']' || c == 0 {
			return nil, nil
		}
		element := s.value()
		s.take(',')
		row[0], err = give(element)
		return row, err
	}, nil
}

// jsonMembers gives keys alone without give.
func jsonMembers(name string, v value, give func(string) (value, error)) (Next, error) {
	s, err := jsonOpen(name, "object", v)
	if err != nil {
		return nil, err
	}
	row := make([]value, 1, 2)
	return func() ([]value, error) {
		if s.peek() != '"' {
			return nil, nil
		}
		row = append(row[:0], datum.NewText(jsonString(s.str())))
		s.take(':')
		member := s.value()
		s.take(',')
		if give == nil {
			return row, nil
		}
		x, err := give(member)
		row = append(row, x)
		return row, err
	}, nil
}

// splittingFunctions cut texts.
func splittingFunctions() []TableFunction {
	const split = "The parts of a text between the matches of a regular expression."
	const cut = "The parts of a text between delimiters; its characters if the delimiter is NULL."
	regexps := func(args ...pattern) TableFunction {
		return TableFunction{Name: "regexp_split_to_table", Doc: split, call: Function{args: args, shows: "TEXT"}, columns: oneColumn("regexp_split_to_table", textType), rows: regexpSplit}
	}
	texts := func(doc string, args ...pattern) TableFunction {
		return TableFunction{Name: "string_to_table", Doc: doc, call: Function{args: args, shows: "TEXT", NullOK: true}, columns: oneColumn("string_to_table", textType), rows: stringSplit}
	}
	return []TableFunction{
		regexps(textArg, textArg), regexps(textArg, textArg, textArg),
		texts(cut, textArg, textArg), texts(cut+" A part that equals the third argument becomes NULL.", textArg, textArg, textArg),
	}
}

func regexpSplit(args []value) (Next, error) {
	letters := ""
	if len(args) > 2 {
		letters = args[2].Text()
	}
	flags, all, err := regexpFlags(letters)
	if err != nil {
		return nil, err
	}
	if all {
		return nil, fault.New(fault.InvalidValue, "regexp_split_to_table takes no flag g; it cuts at all matches anyway")
	}
	text := args[0].Text()
	re, err := (&Env{}).regexp(flags, args[1].Text(), text)
	if err != nil {
		return nil, err
	}
	cuts, err := cutsOf(re.Regexp, text)
	if err != nil {
		return nil, err
	}
	return parts(text, cuts, nil), nil
}

// cutsOf are the matches that cut a text: empty ones at its ends do not.
func cutsOf(re *regexp.Regexp, text string) ([][]int, error) {
	found := re.FindAllStringIndex(text, maxMatches+1)
	if err := checkMatches(len(found)); err != nil {
		return nil, err
	}
	cuts := found[:0]
	for _, at := range found {
		if at[0] < at[1] || at[0] > 0 && at[0] < len(text) {
			cuts = append(cuts, at)
		}
	}
	return cuts, nil
}

// parts gives what stands between the cuts; a part that is like null is NULL.
func parts(text string, cuts [][]int, null *string) Next {
	row := make([]value, 1)
	from, n := 0, 0
	return func() ([]value, error) {
		if n > len(cuts) {
			return nil, nil
		}
		to, next := len(text), len(text)
		if n < len(cuts) {
			to, next = cuts[n][0], cuts[n][1]
		}
		part := text[from:to]
		from = next
		n++
		row[0] = partOf(part, null)
		return row, nil
	}
}

func partOf(part string, null *string) value {
	if null != nil && part == *null {
		return value{}
	}
	return datum.NewText(part)
}

func stringSplit(args []value) (Next, error) {
	if args[0].IsNull() || args[0].Text() == "" {
		return noRows, nil
	}
	var null *string
	if len(args) > 2 && !args[2].IsNull() {
		word := args[2].Text()
		null = &word
	}
	rest, done := args[0].Text(), false
	row := make([]value, 1)
	delimiter := args[1]
	return func() ([]value, error) {
		if done {
			return nil, nil
		}
		part := rest
		switch {
		case delimiter.IsNull():
			_, n := utf8.DecodeRuneInString(rest)
			part, rest = rest[:n], rest[n:]
			done = rest == ""
		case delimiter.Text() == "":
			done = true
		default:
			var found bool
			part, rest, found = strings.Cut(rest, delimiter.Text())
			done = !found
		}
		row[0] = partOf(part, null)
		return row, nil
	}, nil
}
