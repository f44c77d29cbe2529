package parse

import (
	"errors"
	"strings"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"
	"github.com/pganalyze/pg_query_go/v6/parser"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// catalogName is the only database name that a three-part name may begin with.
const catalogName = "kalam"

// converter turns a tree of the grammar into ours.
type converter struct {
	src   string     // the user's text
	text  *rewritten // what the grammar was given
	shift int        // from places in the grammar's text to places in src

	slots *slots // automatic parameters, nil without any

	// complex and refused point at the fields of the query or statement that is
	// being converted.
	complex, refused *string
	// hidden is set when the tree may name tables that ours does not show.
	hidden bool
	err    error // the first fault
}

// parseWith hands the tokens to the grammar. lead is put in front of them.
func parseWith(src string, toks []token, lead string) (*converter, *pg.Node, error) {
	text, err := rewrite(src, toks)
	if err != nil {
		return nil, nil, err
	}
	c := &converter{src: src, text: text, shift: text.base - len(lead)}
	given := lead + string(text.text)
	tree, err := pg.Parse(given)
	if err != nil {
		return nil, nil, c.grammarError(given, err)
	}
	if len(tree.GetStmts()) != 1 || tree.GetStmts()[0].GetStmt() == nil {
		return nil, nil, syntaxError(src, 0, "one statement is expected")
	}
	return c, tree.GetStmts()[0].GetStmt(), nil
}

// grammarError turns an error of the grammar into a fault at its place.
func (c *converter) grammarError(given string, err error) error {
	var e *parser.Error
	if !errors.As(err, &e) {
		return fault.Wrap(fault.Syntax, err, "the statement cannot be read")
	}
	offset := len(given)
	if e.Cursorpos > 0 {
		offset = 0
		for range e.Cursorpos - 1 {
			_, n := utf8.DecodeRuneInString(given[offset:])
			offset += n
		}
	}
	message := e.Message
	for stand, meant := range c.text.names {
		message = strings.ReplaceAll(message, stand, meant)
	}
	if strings.Contains(message, "at end of input") {
		offset = len(strings.TrimRight(given, " "))
	}
	return syntaxError(c.src, offset+c.shift, "%s", message)
}

// at returns the place of a location in the user's text, -1 for none.
func (c *converter) at(location int32) int {
	if location < 0 {
		return -1
	}
	return max(0, min(int(location)+c.shift, len(c.src)))
}

// fail notes the first fault, at an offset unless it has one.
func (c *converter) fail(offset int, err error) {
	if c.err != nil || err == nil {
		return
	}
	f := fault.Of(err)
	if f.Offset < 0 && offset >= 0 {
		err = fault.At(f.Code, offset, "%s", f.Message)
	}
	c.err = err
}

// needs notes the first construct that only the analytic path can answer.
func (c *converter) needs(what string) {
	c.hidden = true
	if c.complex != nil && *c.complex == "" {
		*c.complex = what
	}
}

// refuse notes the first construct that no executor has.
func (c *converter) refuse(what string) {
	c.hidden = true
	if c.refused != nil && *c.refused == "" {
		*c.refused = what
	}
}

// unsupported is an expression that has no executor.
func (c *converter) unsupported(location int32, what string) Expr {
	c.hidden = true
	return &Unsupported{At{c.at(location)}, what}
}

// spelled returns a name as written: what a stand-in stands for.
func (c *converter) spelled(name string) string {
	if meant, ok := c.text.names[name]; ok {
		return meant
	}
	return name
}

// name returns a name of a stored object.
func (c *converter) name(name string) string { return foldName(c.spelled(name)) }

// tableName converts a table's name.
func (c *converter) tableName(v *pg.RangeVar) Name {
	n := Name{Namespace: c.name(v.GetSchemaname()), Name: c.name(v.GetRelname()), Offset: c.at(v.GetLocation())}
	if catalog := c.name(v.GetCatalogname()); catalog != "" && catalog != catalogName {
		c.fail(n.Offset, fault.New(fault.InvalidDefinition, "unknown database '%s'; the only one is %s", catalog, catalogName))
	}
	return n
}

// strings returns the texts of a list of names.
func (c *converter) strings(nodes []*pg.Node) []string {
	names := make([]string, 0, len(nodes))
	for _, n := range nodes {
		if s, ok := n.GetNode().(*pg.Node_String_); ok {
			names = append(names, c.spelled(s.String_.GetSval()))
		}
	}
	return names
}

// literal converts a constant.
func (c *converter) literal(k *pg.A_Const) Expr {
	l := &Literal{At: At{c.at(k.GetLocation())}, Slot: -1}
	var err error
	switch v := k.GetVal().(type) {
	case *pg.A_Const_Ival:
		l.Value = integerValue(int64(v.Ival.GetIval()))
	case *pg.A_Const_Fval:
		l.Value, err = numberValue(v.Fval.GetFval())
	case *pg.A_Const_Boolval:
		l.Value = datum.NewBool(v.Boolval.GetBoolval())
	case *pg.A_Const_Sval:
		l.Value = datum.NewText(v.Sval.GetSval())
		l.Untyped = true
	case *pg.A_Const_Bsval:
		digits, isHex := strings.CutPrefix(v.Bsval.GetBsval(), "x")
		if !isHex {
			return c.unsupported(k.GetLocation(), "a bit string")
		}
		l.Value, err = datum.ParseBytesHex(digits)
	}
	if err != nil {
		c.fail(l.Offset, err)
		return l
	}
	if c.slots != nil {
		l.Slot = c.slots.take(l)
	}
	return l
}
