package parse

import "kalamdb/internal/fault"

// createNamespace reads what follows CREATE NAMESPACE or CREATE SCHEMA.
func (p *statementParser) createNamespace() (Statement, error) {
	st := &CreateNamespace{IfNotExists: p.ifNotExists()}
	var err error
	if st.Name, err = p.name(); err != nil {
		return nil, err
	}
	return st, p.end()
}

// dropNamespace reads what follows DROP NAMESPACE or DROP SCHEMA.
func (p *statementParser) dropNamespace(schema bool) (Statement, error) {
	st := &DropNamespace{IfExists: p.ifExists(), Schema: schema}
	var err error
	if st.Name, err = p.name(); err != nil {
		return nil, err
	}
	if st.Cascade = p.accept("CASCADE"); !st.Cascade {
		p.accept("RESTRICT")
	}
	return st, p.end()
}

// alterNamespace reads what follows ALTER NAMESPACE or ALTER SCHEMA.
func (p *statementParser) alterNamespace() (Statement, error) {
	st := &AlterNamespace{}
	var err error
	if st.Name, err = p.name(); err != nil {
		return nil, err
	}
	if p.accept("RENAME", "TO") {
		if st.NewName, err = p.name(); err != nil {
			return nil, err
		}
		return st, p.end()
	}
	if p.at("OWNER", "TO") {
		return nil, fault.At(fault.NotImplemented, p.offset(), "ALTER NAMESPACE … OWNER TO is not supported: administrators own every namespace")
	}
	if err := p.expect("SET"); err != nil {
		return nil, err
	}
	if p.accept("DESCRIPTION") {
		p.acceptPunct('=')
		text, err := p.str()
		if err != nil {
			return nil, err
		}
		st.Description = &text
		return st, p.end()
	}
	if err := p.expect("OPTIONS"); err != nil {
		return nil, err
	}
	if st.Options, err = p.options(); err != nil {
		return nil, err
	}
	return st, p.end()
}

// set reads USE and SET.
func (p *statementParser) set() (Statement, error) {
	if p.accept("USE") || p.at("SET", "NAMESPACE") && !p.settingFollows(p.i+2) {
		p.accept("SET")
		if p.i+1 < len(p.toks) {
			p.accept("NAMESPACE")
		}
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		return &Use{name}, p.end()
	}
	p.i++
	if p.at("TRANSACTION") && !p.settingFollows(p.i+1) {
		p.i++
		return p.setTransaction()
	}
	if p.at("SESSION", "CHARACTERISTICS") || p.at("CONSTRAINTS") {
		return &NotYet{Words: "SET " + p.word(), Area: "transaction"}, nil
	}
	st := &SetOption{}
	if (p.at("SESSION") || p.at("LOCAL")) && !p.settingFollows(p.i+1) && !p.punctAt(p.i+1, '.') {
		st.Local = p.at("LOCAL")
		p.i++
	}
	if p.accept("TIME", "ZONE") {
		st.Name = "timezone"
		p.settingValue(st)
		return st, nil
	}
	name, err := p.settingName()
	if err != nil {
		return nil, err
	}
	if !p.acceptPunct('=') && !p.accept("TO") || p.ended() {
		return nil, p.unexpected()
	}
	st.Name = name
	p.settingValue(st)
	return st, nil
}

// settingFollows reports whether token i is the = or TO of a setting.
func (p *statementParser) settingFollows(i int) bool {
	return p.punctAt(i, '=') || p.atFrom(i, "TO")
}

// settingName reads name[.name…].
func (p *statementParser) settingName() (string, error) {
	n, err := p.name()
	if err != nil {
		return "", err
	}
	name := n.Name
	for p.acceptPunct('.') {
		if n, err = p.name(); err != nil {
			return "", err
		}
		name += "." + n.Name
	}
	return name, nil
}

// settingValue reads the rest: a lone string without its quotes.
func (p *statementParser) settingValue(st *SetOption) {
	if p.i+1 == len(p.toks) {
		if text, err := p.str(); err == nil {
			st.Value, st.String = text, true
			return
		}
	}
	st.Value = p.rest()
}
