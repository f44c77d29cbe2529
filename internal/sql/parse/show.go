package parse

import "strings"

// show reads SHOW.
func (p *statementParser) show() (Statement, error) {
	p.i++
	switch {
	case p.accept("NAMESPACES"), p.accept("SCHEMAS"):
		return &ShowNamespaces{}, p.end()
	case p.accept("TABLES"):
		return p.showTables()
	case p.accept("STORAGES"):
		return &ShowStorages{}, p.end()
	case p.accept("STATS", "FOR", "TABLE"), p.accept("STATS", "FOR"), p.accept("TABLE", "STATS"):
		table, err := p.qualified()
		if err != nil {
			return nil, err
		}
		return &ShowStats{table}, p.end()
	case p.accept("COLUMNS"):
		table, err := p.ofTable()
		if err != nil {
			return nil, err
		}
		return &ShowColumns{table}, p.end()
	case p.accept("INDEXES"), p.accept("INDEX"):
		table, err := p.ofTable()
		if err != nil {
			return nil, err
		}
		return &ShowIndexes{table}, p.end()
	case p.accept("MANIFEST"):
		p.accept("CACHE")
		return &Show{"manifest"}, p.end()
	case p.accept("BACKUP"):
		return p.showBackup()
	case p.at("CREATE"):
		return &NotYet{Words: "SHOW CREATE", Area: "table"}, nil
	case p.accept("TIME", "ZONE"):
		return &Show{"timezone"}, p.end()
	case p.accept("TRANSACTION", "ISOLATION", "LEVEL"):
		return &Show{"transaction_isolation"}, p.end()
	}
	name, err := p.settingName()
	if err != nil {
		return nil, err
	}
	return &Show{name}, p.end()
}

// ofTable reads FROM t or IN t.
func (p *statementParser) ofTable() (Name, error) {
	if !p.accept("FROM") && !p.accept("IN") {
		return Name{}, p.unexpected()
	}
	return p.qualified()
}

// showTables reads what follows SHOW TABLES.
func (p *statementParser) showTables() (Statement, error) {
	st := &ShowTables{}
	var err error
	if p.accept("IN") || p.accept("FROM") {
		if st.Namespace, err = p.namespace(); err != nil {
			return nil, err
		}
	}
	return st, p.end()
}

// namespace reads [NAMESPACE] name.
func (p *statementParser) namespace() (*Name, error) {
	if p.i+1 < len(p.toks) {
		p.accept("NAMESPACE")
	}
	n, err := p.name()
	if err != nil {
		return nil, err
	}
	return &n, nil
}

// describe reads DESCRIBE and DESC.
func (p *statementParser) describe() (Statement, error) {
	p.i++
	st := &Describe{Bare: true}
	if p.i+1 < len(p.toks) && p.accept("TABLE") {
		st.Bare = false
	}
	var err error
	if st.Table, err = p.qualified(); err != nil {
		return nil, err
	}
	st.History = p.accept("HISTORY")
	return st, p.end()
}

// storage reads STORAGE FLUSH, COMPACT and CHECK.
func (p *statementParser) storage() (Statement, error) {
	p.i++
	switch {
	case p.accept("CHECK"):
		return p.storageCheck()
	}
	st := &StorageFlush{Compact: p.accept("COMPACT")}
	if !st.Compact {
		if err := p.expect("FLUSH"); err != nil {
			return nil, err
		}
	}
	var err error
	if p.accept("ALL") {
		st.All = true
		if p.accept("IN") {
			if st.Namespace, err = p.namespace(); err != nil {
				return nil, err
			}
		}
		return st, p.end()
	}
	if err := p.expect("TABLE"); err != nil {
		return nil, err
	}
	if st.Table, err = p.qualified(); err != nil {
		return nil, err
	}
	return st, p.end()
}

// bareID reads an id that ends the statement, quoted or as it stands. A bare id
// has no blanks.
func (p *statementParser) bareID() (string, error) {
	if p.ended() {
		return "", p.unexpected()
	}
	if k := p.toks[p.i].kind; k == tokString || k == tokQuoted || k == tokEscape || k == tokDollar {
		id, err := p.strOrWord()
		if err != nil {
			return "", err
		}
		return id, p.end()
	}
	offset := p.offset()
	id := p.rest()
	if strings.ContainsAny(id, " \t\r\n\v\f'\"`()") {
		return "", syntaxError(p.src, offset, "an id in quotes is expected")
	}
	return id, nil
}
