package parse

import "kalamdb/internal/fault"

// createView reads what follows CREATE [OR REPLACE] VIEW.
func (p *statementParser) createView(replace bool) (Statement, error) {
	st := &CreateView{Replace: replace}
	var err error
	if st.View, err = p.qualified(); err != nil {
		return nil, err
	}
	if p.punct('(') {
		if st.Columns, err = p.nameList(); err != nil {
			return nil, err
		}
	}
	if p.at("WITH") && p.punctAt(p.i+1, '(') {
		return nil, fault.At(fault.NotImplemented, p.offset(), "a view takes no options")
	}
	if err := p.expect("AS"); err != nil {
		return nil, err
	}
	if p.ended() {
		return nil, p.unexpected()
	}
	for i := p.i; i < len(p.toks); i++ {
		if p.toks[i].kind == tokParam {
			return nil, fault.At(fault.InvalidOperation, p.toks[i].start, "a parameter cannot stand in a view")
		}
		if last := len(p.toks) - 2; i <= last && p.atFrom(i, "CHECK", "OPTION") && i == last {
			return nil, fault.At(fault.NotImplemented, p.toks[i].start, "a view cannot be written to, so it takes no CHECK OPTION")
		}
	}
	from := p.offset()
	p.slots = nil // what is stored has no automatic parameters
	switch p.word() {
	case "SELECT", "WITH", "VALUES", "TABLE":
	default:
		if !p.punct('(') {
			return nil, p.unexpected()
		}
	}
	inner, err := p.grammar()
	if err != nil {
		return nil, err
	}
	query, ok := inner.(*Select)
	if !ok {
		return nil, syntaxError(p.src, from, "a view is made of a SELECT")
	}
	st.Select, st.Text = query, p.src[from:p.toks[len(p.toks)-1].end]
	return st, nil
}

// dropView reads what follows DROP VIEW.
func (p *statementParser) dropView() (Statement, error) {
	st := &DropView{IfExists: p.ifExists()}
	var err error
	if st.View, err = p.qualified(); err != nil {
		return nil, err
	}
	if !p.accept("CASCADE") {
		p.accept("RESTRICT")
	}
	return st, p.end()
}

// comment reads COMMENT ON.
func (p *statementParser) comment() (Statement, error) {
	p.i += 2
	st := &Comment{On: p.word()}
	p.i++
	var err error
	switch st.On {
	case "SCHEMA", "NAMESPACE":
		st.On = "NAMESPACE"
		st.Name, err = p.name()
	case "TABLE", "VIEW":
		st.Name, err = p.qualified()
	case "COLUMN":
		st.Name, st.Column, err = p.columnOf("COMMENT ON COLUMN")
	case "":
		p.i--
		return nil, p.unexpected()
	default:
		return &NotYet{Words: "COMMENT ON " + shortened(st.On), Area: "routine"}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := p.expect("IS"); err != nil {
		return nil, err
	}
	if p.accept("NULL") {
		return st, p.end()
	}
	text, err := p.str()
	if err != nil {
		return nil, err
	}
	if len(text) > maxComment {
		return nil, fault.At(fault.LimitExceeded, p.toks[p.i-1].start, "a comment has at most %d bytes, this one has %d", maxComment, len(text))
	}
	st.Text = &text
	return st, p.end()
}

// maxComment bounds a comment; it is part of a definition that is always in
// memory.
const maxComment = 4096

// columnOf reads [namespace.]table.column.
func (p *statementParser) columnOf(what string) (table, column Name, err error) {
	var parts []Name
	for {
		n, err := p.name()
		if err != nil {
			return table, column, err
		}
		parts = append(parts, n)
		if !p.acceptPunct('.') {
			break
		}
	}
	if len(parts) == 4 && parts[0].Name == catalogName {
		parts = parts[1:]
	}
	switch len(parts) {
	case 2:
		table = parts[0]
	case 3:
		table = Name{Namespace: parts[0].Name, Name: parts[1].Name, Offset: parts[0].Offset}
	default:
		return table, column, syntaxError(p.src, parts[0].Offset, "%s needs table.column", what)
	}
	return table, parts[len(parts)-1], nil
}
