package parse

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// Normalized is a statement as a plan cache sees it.
type Normalized struct {
	// Text is the statement as given.
	Text string
	// Key is equal for statements that differ in the values of Literals only,
	// each of the same type. It holds a NUL byte for each literal, so it never
	// equals a text.
	Key string
	// Literals are the automatic parameters in the order of the text; quoted
	// strings are TEXT.
	Literals []datum.Value
	// Untyped tells for each literal whether it is a quoted string, which takes
	// the type its place asks for.
	Untyped []bool
	// Params is the highest n of $n.
	Params int
	// Several tells that more than one statement stands in Text.
	Several bool
	// Unterminated tells that a quote or comment never ends.
	Unterminated bool
}

// span is where a literal stands.
type span struct{ start, end int }

// Normalize takes the literals out of a SELECT, INSERT, UPDATE or DELETE where
// their values cannot change what the statement means or returns: in VALUES,
// SET, WHERE, LIMIT and OFFSET. Everything else stays in the key, and so do the
// sign of a number, literals with a type in front of them, and whole statements
// with subqueries, several statements or quotes that never end.
func Normalize(text string) (*Normalized, error) {
	n, _, err := normalize(text, false)
	return n, err
}

func normalize(text string, places bool) (*Normalized, []span, error) {
	if err := checkText(text); err != nil {
		return nil, nil, err
	}
	room := &literalRoom{Normalized: Normalized{Text: text, Key: text}}
	n := &room.Normalized
	z := normalizer{lexer: lexer{src: text}, n: n, room: room, keep: places}
	if !z.run() {
		n.Literals, n.Untyped = nil, nil
		return n, nil, nil
	}
	return n, z.spans, nil
}

// literalRoom is a Normalized with room for the literals of a short statement,
// so that they cost no allocation of their own.
type literalRoom struct {
	Normalized
	values  [6]datum.Value
	untyped [6]bool
}

// role is what the token before a literal was.
type role uint8

const (
	roleNone     role = iota // the start, a word or bracket that tells nothing
	roleValue                // the end of an operand: a name, literal or closing bracket
	roleOperator             // an operator, comma, opening bracket or a keyword before an operand
	roleMinus                // a minus before an operand: its sign
	roleString               // a string, which another one may continue
)

// normalizer walks over the tokens of one statement.
type normalizer struct {
	lexer
	n     *Normalized
	room  *literalRoom
	key   strings.Builder
	done  int // bytes of the text that are in key
	keep  bool
	spans []span

	verb    keyword // the first word
	on      bool    // literals become parameters here
	whole   bool    // the statement keeps all its literals
	depth   int     // open brackets
	before  role    // of the last token
	minus   int     // where the last minus stands
	typed   bool    // a type follows: its name, then its arguments
	typedAt int     // depth of the brackets that hold a type's arguments, 0 for none
	field   uint8   // what the next token may be
}

// What the next token may be.
const (
	fieldExtract = iota + 1 // the bracket of EXTRACT
	fieldName               // the field of EXTRACT
	fieldFile               // the bracket of FILE
)

// run reads the statement and reports whether Key and Literals are to be used.
func (z *normalizer) run() bool {
	ended := false
	for {
		t := z.next()
		switch t.kind {
		case tokEnd:
			return z.finish()
		case tokOpen:
			z.n.Unterminated = true
			return false
		}
		z.n.Several = z.n.Several || ended && (t.kind != tokPunct || z.src[t.start] != ';')
		before, field := z.before, z.field
		z.before, z.field = roleValue, 0
		switch t.kind {
		case tokWord:
			z.word(z.src[t.start:t.end])
			continue
		case tokQuoted:
			continue
		case tokOperator:
			z.operator(t, before)
		case tokPunct:
			ended = z.punct(z.src[t.start], field) || ended
		case tokString, tokEscape, tokUnicode, tokBits, tokDollar:
			z.before = roleString
			z.whole = z.whole || before == roleString
			if t.kind == tokString && before == roleOperator && field == 0 && z.on && z.typedAt == 0 {
				z.take(t.start, t.end, datum.NewText(z.text(t)), true)
			}
		case tokInteger, tokDecimal, tokFloat:
			z.number(t, before)
		case tokParam:
			z.param(t)
		case tokJunk:
			z.whole = true
		}
		z.typed = t.kind == tokPunct && (z.typed && z.src[t.start] == '.' || t.end-t.start == 2 && z.src[t.start+1] == ':')
	}
}

// finish completes the key.
func (z *normalizer) finish() bool {
	if len(z.n.Literals) == 0 || z.whole || z.n.Several || z.depth != 0 {
		return false
	}
	z.key.WriteString(z.src[z.done:])
	z.n.Key = z.key.String()
	return true
}

// word follows the clauses of the statement.
func (z *normalizer) word(text string) {
	k := keywordOf(text)
	if z.verb == 0 {
		if z.verb = k; z.verb == 0 {
			z.verb = kwOther
		}
		return
	}
	switch k {
	case 0: // a name: z.typed stays as it is
		return
	case kwSelect, kwWith, kwTable:
		z.whole = true
	case kwAs:
		z.typed = z.depth > 0
		return
	case kwExtract:
		z.field = fieldExtract
	case kwFile:
		z.field = fieldFile
	case kwValues, kwSet, kwWhere, kwLimit, kwOffset, kwStop:
		if z.depth == 0 {
			z.clause(k)
		}
		z.before = roleOperator
	case kwOperand:
		z.before = roleOperator
	}
	z.typed = false
}

// clause switches parameters on or off at the keyword that begins a clause.
func (z *normalizer) clause(k keyword) {
	switch z.verb {
	case kwSelect:
		z.on = k == kwWhere || k == kwLimit || k == kwOffset
	case kwInsert:
		z.on = k == kwValues
	case kwUpdate:
		z.on = k == kwSet || k == kwWhere
	case kwDelete:
		z.on = k == kwWhere
	}
}

func (z *normalizer) operator(t token, before role) {
	z.before = roleOperator
	if t.end-t.start == 1 && z.src[t.start] == '-' && before != roleValue && before != roleString {
		z.before, z.minus = roleMinus, t.start
		if before == roleNone || before == roleMinus {
			z.before = roleNone
		}
	}
}

// punct follows brackets. It reports the end of the statement.
func (z *normalizer) punct(c byte, field uint8) (ended bool) {
	switch c {
	case '(', '[':
		z.depth++
		if z.typed && z.typedAt == 0 {
			z.typedAt = z.depth
		}
		z.before = roleOperator
		switch field {
		case fieldExtract:
			z.field = fieldName
		case fieldFile:
			z.whole = true
		}
	case ')', ']':
		if z.typedAt == z.depth {
			z.typedAt = 0
		}
		z.depth--
	case ',':
		z.before = roleOperator
	case '.', ':':
		z.before = roleNone
	case ';':
		return true
	}
	return false
}

// text returns the value of a plain string.
func (z *normalizer) text(t token) string {
	text := z.src[t.start+1 : t.end-1]
	if t.doubled {
		text = strings.ReplaceAll(text, "''", "'")
	}
	return text
}

// number takes a number, with its sign if it has one.
func (z *normalizer) number(t token, before role) {
	if !z.on || z.typedAt != 0 || before != roleOperator && before != roleMinus {
		return
	}
	start := t.start
	if before == roleMinus && !strings.HasPrefix(z.src[t.end:], "::") {
		start = z.minus
	}
	text := z.src[start:t.end]
	if t.start-start > 1 {
		text = "-" + z.src[t.start:t.end]
	}
	v, err := numberValue(text)
	if err != nil {
		return
	}
	z.take(start, t.end, v, false)
}

func (z *normalizer) param(t token) {
	n, ok := smallInteger(z.src[t.start+1 : t.end])
	if ok && int(n) > z.n.Params {
		z.n.Params = int(n)
	}
}

// take writes the text up to a literal and the literal's class to the key.
func (z *normalizer) take(start, end int, v datum.Value, untyped bool) {
	if z.n.Literals == nil {
		z.key.Grow(len(z.src) + 16)
		z.n.Literals, z.n.Untyped = z.room.values[:0], z.room.untyped[:0]
	}
	z.key.WriteString(z.src[z.done:start])
	z.key.WriteByte(0)
	if z.src[start] == '-' {
		z.key.WriteByte('-')
	}
	z.key.WriteByte(byte(v.Kind()) + 'A')
	z.key.WriteByte(v.Scale() + '0')
	z.done = end
	z.n.Literals = append(z.n.Literals, v)
	z.n.Untyped = append(z.n.Untyped, untyped)
	if z.keep {
		z.spans = append(z.spans, span{start, end})
	}
}

// slots matches the literals of a tree with automatic parameters.
type slots struct {
	n     *Normalized
	index map[int]int // by place
	met   []bool
	wrong bool
}

func newSlots(n *Normalized, spans []span) *slots {
	s := &slots{n: n, index: make(map[int]int, len(spans)), met: make([]bool, len(spans))}
	for i, sp := range spans {
		s.index[sp.start] = i
	}
	return s
}

// take returns the slot of a literal, or -1.
func (s *slots) take(l *Literal) int {
	i, ok := s.index[l.Offset]
	if !ok {
		return -1
	}
	if want := s.n.Literals[i]; want.Kind() != l.Value.Kind() || want.String() != l.Value.String() || s.n.Untyped[i] != l.Untyped {
		s.wrong = true
	}
	s.met[i] = true
	return i
}

// complete reports whether every automatic parameter is a literal of the tree.
func (s *slots) complete() bool {
	for _, met := range s.met {
		if !met {
			return false
		}
	}
	return !s.wrong
}

// ParseNormalized parses n.Text and gives the literals that Normalize took out
// their Slot. When one of them is not a literal of the tree, the statement
// keeps them all: n.Key becomes the text and n.Literals nil. So the caller
// looks up n.Key before the call, and stores under n.Key after it.
func ParseNormalized(n *Normalized) (Statement, error) { return Options{}.ParseNormalized(n) }

// ParseNormalized is the function ParseNormalized under o.
func (o Options) ParseNormalized(n *Normalized) (Statement, error) {
	if len(n.Literals) == 0 {
		return o.Parse(n.Text)
	}
	again, spans, err := normalize(n.Text, true)
	if err != nil {
		return nil, err
	}
	fault.Assert(len(spans) == len(n.Literals), "normalizing %d bytes again gave %d literals, not %d", len(n.Text), len(spans), len(n.Literals))
	s := newSlots(again, spans)
	st, err := o.parse(n.Text, s)
	if err != nil || s.complete() {
		return st, err
	}
	n.Key, n.Literals, n.Untyped = n.Text, nil, nil
	return o.Parse(n.Text)
}
