package parse

import "strings"

// known are the beginnings of statements that this version does not run, each
// with the area whose rights it needs.
var known = []struct{ words, area string }{
	{"CREATE MATERIALIZED VIEW", "view"},
	{"CREATE TOPIC", "topic"},
	{"ALTER TOPIC", "topic"},
	{"DROP TOPIC", "topic"},
	{"CLEAR TOPIC", "topic"},
	{"RESET CONSUMER GROUP", "consumer group"},
	{"CONSUME", "consume"},
	{"ACK", "consume"},
	{"CREATE POLICY", "policy"},
	{"ALTER POLICY", "policy"},
	{"DROP POLICY", "policy"},
	{"CREATE TEMPORARY TABLE", "table"},
	{"CREATE TEMP TABLE", "table"},
	{"CREATE OR REPLACE PROCEDURE", "routine"},
	{"CREATE PROCEDURE", "routine"},
	{"CREATE OR REPLACE FUNCTION", "routine"},
	{"CREATE FUNCTION", "routine"},
	{"CREATE TRIGGER", "routine"},
	{"CREATE SCHEDULE", "routine"},
	{"CREATE TYPE", "routine"},
	{"CREATE DOMAIN", "routine"},
	{"ALTER PROCEDURE", "routine"},
	{"ALTER FUNCTION", "routine"},
	{"ALTER TRIGGER", "routine"},
	{"ALTER SCHEDULE", "routine"},
	{"ALTER TYPE", "routine"},
	{"ALTER DOMAIN", "routine"},
	{"DROP PROCEDURE", "routine"},
	{"DROP FUNCTION", "routine"},
	{"DROP TRIGGER", "routine"},
	{"DROP SCHEDULE", "routine"},
	{"DROP TYPE", "routine"},
	{"DROP DOMAIN", "routine"},
	{"CALL", "routine"},
	{"GRANT", "routine"},
	{"REVOKE", "routine"},
	{"MERGE", "write"},
	{"REPLACE INTO", "write"},
}

// notYet names a statement that KalamDB knows and this version does not run, or
// refuses one that it does not know.
func (p *statementParser) notYet() (Statement, error) {
	p.i = 0
	for _, k := range known {
		words := strings.Fields(k.words)
		if !p.at(words...) {
			continue
		}
		return &NotYet{Words: k.words, Area: k.area}, nil
	}
	return nil, syntaxError(p.src, p.offset(), "Unsupported statement type '%s'", p.leading())
}

// leading returns the words that a statement begins with, three at most.
func (p *statementParser) leading() string {
	var words []string
	for i := 0; i < 3 && p.wordAt(i) != ""; i++ {
		words = append(words, p.wordAt(i))
		switch words[0] {
		case "CREATE", "DROP", "ALTER":
			continue
		}
		break
	}
	if len(words) == 0 {
		return shortened(p.text(p.toks[0]))
	}
	return shortened(strings.Join(words, " "))
}
