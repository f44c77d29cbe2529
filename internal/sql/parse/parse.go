package parse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"kalamdb/internal/fault"
)

// Options bounds what a statement may be. The zero value works.
type Options struct {
	// MaxDepth bounds how deeply expressions and subqueries nest
	// (execution.max_expression_depth). 0 is 512; more than 1,024 is 1,024.
	MaxDepth int
}

// Parse parses one statement under the default options. Offsets in the tree and
// in faults are places in text.
func Parse(text string) (Statement, error) { return Options{}.Parse(text) }

// Parse parses one statement.
func (o Options) Parse(text string) (Statement, error) { return o.parse(text, nil) }

func (o Options) parse(text string, s *slots) (Statement, error) {
	toks, err := scan(text)
	if err != nil {
		return nil, err
	}
	for len(toks) > 0 && text[toks[len(toks)-1].start] == ';' {
		toks = toks[:len(toks)-1]
	}
	if len(toks) == 0 {
		return nil, fault.New(fault.EmptySQL, "No SQL statements provided")
	}
	if err := checkDepth(text, toks, o.MaxDepth); err != nil {
		return nil, err
	}
	p := &statementParser{src: text, toks: toks, slots: s}
	return p.statement()
}

// ParseExpr parses one expression. Offsets are places in text.
func ParseExpr(text string) (Expr, error) {
	toks, err := scan(text)
	if err != nil {
		return nil, err
	}
	if err := checkDepth(text, toks, 0); err != nil {
		return nil, err
	}
	return parseExpr(text, toks)
}

// parseExpr parses tokens as one expression.
func parseExpr(src string, toks []token) (Expr, error) {
	const lead = "SELECT "
	for _, t := range toks {
		if src[t.start] == ';' {
			return nil, syntaxError(src, t.start, `syntax error at or near ";"`)
		}
	}
	c, n, err := parseWith(src, toks, lead)
	if err != nil {
		return nil, err
	}
	targets := n.GetSelectStmt().GetTargetList()
	if len(targets) != 1 {
		return nil, syntaxError(src, len(src), "one expression is expected")
	}
	// What follows the expression would make the tree more than this one target.
	target := targets[0].GetResTarget()
	if target.GetName() != "" || !onlyTarget(n) {
		return nil, syntaxError(src, toks[0].start, "one expression is expected")
	}
	x := c.expr(target.GetVal())
	if _, star := x.(*Star); star {
		return nil, syntaxError(src, toks[0].start, "one expression is expected")
	}
	if c.err != nil {
		return nil, c.err
	}
	return x, nil
}

// onlyTarget reports whether a SELECT has a select list and nothing else.
func onlyTarget(n *pg.Node) bool {
	only := true
	n.GetSelectStmt().ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		switch f.Name() {
		case "target_list", "limit_option", "op":
		default:
			only = false
		}
		return only
	})
	return only
}

// isWord reports whether a token is the given word, in upper case.
func isWord(src string, t token, word string) bool {
	return t.kind == tokWord && t.end-t.start == len(word) && strings.EqualFold(src[t.start:t.end], word)
}
