package parse

import (
	"strings"

	"kalamdb/internal/fault"
)

// statementParser reads one statement of KalamDB's own grammar.
type statementParser struct {
	src   string
	toks  []token
	i     int    // the next token
	slots *slots // automatic parameters, for the statements of the grammar
}

// statement reads all tokens as one statement: it looks at the leading words
// and nothing else is tried.
func (p *statementParser) statement() (Statement, error) {
	for _, t := range p.toks {
		if t.kind == tokPunct && p.src[t.start] == ';' && !p.at("EXECUTE") {
			return nil, syntaxError(p.src, t.start, "one statement is expected, but another one follows")
		}
	}
	if p.punct('(') {
		return p.grammar()
	}
	switch p.word() {
	case "SELECT", "WITH", "VALUES", "TABLE", "UPDATE", "DELETE":
		return p.grammar()
	case "INSERT":
		return p.insert()
	case "EXPLAIN":
		return p.explain()
	case "CREATE":
		return p.create()
	case "DROP":
		return p.drop()
	case "ALTER":
		return p.alter()
	case "SHOW":
		return p.show()
	case "DESCRIBE", "DESC":
		return p.describe()
	case "USE", "SET":
		return p.set()
	case "STORAGE":
		return p.storage()
	case "KILL":
		return p.kill()
	case "EXPORT":
		return p.export()
	case "ERASE":
		return p.erase()
	case "BACKUP":
		return p.backup()
	case "RESTORE":
		return p.restore()
	case "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE":
		return p.transaction()
	case "SUBSCRIBE":
		return p.subscribe()
	case "RESET":
		return p.reset()
	case "CLUSTER":
		return p.cluster()
	case "EXECUTE":
		return p.executeAs()
	case "COMMENT":
		if p.at("COMMENT", "ON") {
			return p.comment()
		}
	}
	return p.notYet()
}

// grammar hands the remaining tokens to PostgreSQL's grammar.
func (p *statementParser) grammar() (Statement, error) {
	c, n, err := parseWith(p.src, p.toks[p.i:], "")
	if err != nil {
		return nil, err
	}
	c.slots = p.slots
	st := c.statement(n)
	if c.err != nil {
		return nil, c.err
	}
	return st, nil
}

// insert refuses forms of other databases with a better sentence than the
// grammar's.
func (p *statementParser) insert() (Statement, error) {
	if p.at("INSERT", "OVERWRITE") {
		return nil, fault.At(fault.NotImplemented, p.toks[1].start, "INSERT OVERWRITE is not supported; use DELETE and INSERT")
	}
	if p.at("INSERT", "OR") {
		return nil, fault.At(fault.NotImplemented, p.toks[1].start, "INSERT OR is not supported; use INSERT … ON CONFLICT")
	}
	for i := range p.toks {
		if p.atFrom(i, "ON", "DUPLICATE", "KEY") {
			return nil, fault.At(fault.NotImplemented, p.toks[i].start, "ON DUPLICATE KEY is not supported; use ON CONFLICT")
		}
	}
	return p.grammar()
}

// explain reads EXPLAIN [ANALYZE] [VERBOSE] statement.
func (p *statementParser) explain() (Statement, error) {
	p.i++
	e := &Explain{Format: "text"}
	if p.punct('(') && !p.atFrom(p.i+1, "SELECT") && !p.atFrom(p.i+1, "WITH") && !p.atFrom(p.i+1, "VALUES") && !p.atFrom(p.i+1, "TABLE") && !p.punctAt(p.i+1, '(') {
		if err := p.explainOptions(e); err != nil {
			return nil, err
		}
	} else {
		e.Analyze = p.accept("ANALYZE") || p.accept("ANALYSE")
		e.Verbose = p.accept("VERBOSE")
	}
	switch p.word() {
	case "SELECT", "WITH", "VALUES", "TABLE", "UPDATE", "DELETE", "INSERT":
	default:
		if !p.punct('(') {
			return nil, p.unexpected()
		}
	}
	inner, err := p.grammar()
	if err != nil {
		return nil, err
	}
	e.Inner = inner
	return e, nil
}

// word returns the next token in upper case when it is a word, else "".
func (p *statementParser) word() string { return p.wordAt(p.i) }

func (p *statementParser) wordAt(i int) string {
	if i >= len(p.toks) || p.toks[i].kind != tokWord {
		return ""
	}
	return strings.ToUpper(p.text(p.toks[i]))
}

func (p *statementParser) text(t token) string { return p.src[t.start:t.end] }

// at reports whether the next tokens are the given words.
func (p *statementParser) at(words ...string) bool { return p.atFrom(p.i, words...) }

func (p *statementParser) atFrom(i int, words ...string) bool {
	if i+len(words) > len(p.toks) {
		return false
	}
	for k, w := range words {
		if !isWord(p.src, p.toks[i+k], w) {
			return false
		}
	}
	return true
}

// accept skips the given words when they come next.
func (p *statementParser) accept(words ...string) bool {
	if !p.at(words...) {
		return false
	}
	p.i += len(words)
	return true
}

// expect skips the given words, which must come next.
func (p *statementParser) expect(words ...string) error {
	for _, w := range words {
		if !p.accept(w) {
			return p.unexpected()
		}
	}
	return nil
}

// punct reports whether the next token is the given character.
func (p *statementParser) punct(c byte) bool { return p.punctAt(p.i, c) }

func (p *statementParser) punctAt(i int, c byte) bool {
	return i < len(p.toks) && p.toks[i].end-p.toks[i].start == 1 && p.src[p.toks[i].start] == c &&
		(p.toks[i].kind == tokPunct || p.toks[i].kind == tokOperator)
}

// acceptPunct skips a character when it comes next.
func (p *statementParser) acceptPunct(c byte) bool {
	if !p.punct(c) {
		return false
	}
	p.i++
	return true
}

// expectPunct skips a character, which must come next.
func (p *statementParser) expectPunct(c byte) error {
	if !p.acceptPunct(c) {
		return p.unexpected()
	}
	return nil
}

// ended reports whether all tokens are read.
func (p *statementParser) ended() bool { return p.i >= len(p.toks) }

// end refuses what follows a whole statement.
func (p *statementParser) end() error {
	if !p.ended() {
		return p.unexpected()
	}
	return nil
}

// offset is where the next token begins, or the last one ends.
func (p *statementParser) offset() int {
	if p.i < len(p.toks) {
		return p.toks[p.i].start
	}
	return p.toks[len(p.toks)-1].end
}

// unexpected is the fault of a token that does not belong here. Strings are not
// repeated: they may be passwords.
func (p *statementParser) unexpected() error {
	if p.ended() {
		return syntaxError(p.src, p.offset(), "syntax error at end of input")
	}
	t := p.toks[p.i]
	switch t.kind {
	case tokString, tokEscape, tokDollar, tokUnicode, tokBits:
		return syntaxError(p.src, t.start, "syntax error at or near a quoted string")
	}
	return syntaxError(p.src, t.start, "syntax error at or near \"%s\"", shortened(p.text(t)))
}

// shortened cuts a text for a sentence.
func shortened(text string) string {
	if len(text) <= 64 {
		return text
	}
	return strings.ToValidUTF8(text[:64], "") + "…"
}

// name reads one part of a name, in lower case.
func (p *statementParser) name() (Name, error) {
	if p.ended() {
		return Name{}, p.unexpected()
	}
	t := p.toks[p.i]
	n := Name{Offset: t.start}
	switch t.kind {
	case tokWord:
		n.Name = foldName(p.text(t))
	case tokQuoted:
		n.Name = foldName(unquoteName(p.text(t)))
	default:
		return Name{}, p.unexpected()
	}
	if n.Name == "" {
		return Name{}, syntaxError(p.src, t.start, "a name cannot be empty")
	}
	p.i++
	return n, nil
}

// qualified reads [namespace.]name; the database's name may stand in front.
func (p *statementParser) qualified() (Name, error) {
	n, err := p.name()
	if err != nil {
		return n, err
	}
	for parts := 1; p.acceptPunct('.'); parts++ {
		next, err := p.name()
		if err != nil {
			return n, err
		}
		if n.Namespace != "" && (parts > 2 || n.Namespace != catalogName) {
			return n, fault.At(fault.InvalidDefinition, n.Offset, "unknown database '%s'; the only one is %s", shortened(n.Namespace), catalogName)
		}
		n.Namespace, n.Name = n.Name, next.Name
	}
	return n, nil
}

// str reads a string.
func (p *statementParser) str() (string, error) {
	if p.ended() {
		return "", p.unexpected()
	}
	t := p.toks[p.i]
	text := p.text(t)
	switch t.kind {
	case tokString:
		text = strings.ReplaceAll(text[1:len(text)-1], "''", "'")
	case tokDollar:
		tag := strings.IndexByte(text[1:], '$') + 2
		text = text[tag : len(text)-tag]
	case tokEscape:
		x, err := parseExpr(p.src, p.toks[p.i:p.i+1])
		if err != nil {
			return "", err
		}
		l, ok := x.(*Literal)
		if !ok {
			return "", p.unexpected()
		}
		text = l.Value.Text()
	default:
		return "", p.unexpected()
	}
	p.i++
	return text, nil
}

// strOrWord reads a string or a plain word as written.
func (p *statementParser) strOrWord() (string, error) {
	if !p.ended() {
		switch t := p.toks[p.i]; t.kind {
		case tokWord:
			p.i++
			return p.text(t), nil
		case tokQuoted:
			p.i++
			return unquoteName(p.text(t)), nil
		}
	}
	return p.str()
}

// ifExists reads [IF EXISTS], or [IF NOT EXISTS].
func (p *statementParser) ifExists() bool    { return p.accept("IF", "EXISTS") }
func (p *statementParser) ifNotExists() bool { return p.accept("IF", "NOT", "EXISTS") }

// rest reads the remaining text as it stands.
func (p *statementParser) rest() string {
	if p.ended() {
		return ""
	}
	from := p.toks[p.i].start
	p.i = len(p.toks)
	return p.src[from:p.toks[p.i-1].end]
}
