package parse

import (
	"strings"

	"kalamdb/internal/fault"
)

// maxColumns bounds the columns and constraints that a definition may write.
const maxColumns = 4096

// create reads CREATE.
func (p *statementParser) create() (Statement, error) {
	switch {
	case p.accept("CREATE", "NAMESPACE"), p.accept("CREATE", "SCHEMA"):
		return p.createNamespace()
	case p.accept("CREATE", "TABLE"):
		return p.createTable("")
	case p.accept("CREATE", "USER", "TABLE"):
		return p.createTable("user")
	case p.accept("CREATE", "SHARED", "TABLE"):
		return p.createTable("shared")
	case p.accept("CREATE", "STREAM", "TABLE"):
		return p.createTable("stream")
	case p.accept("CREATE", "INDEX"):
		return p.createIndex(false)
	case p.accept("CREATE", "UNIQUE", "INDEX"):
		return p.createIndex(true)
	case p.accept("CREATE", "VECTOR", "INDEX"):
		return p.createVectorIndex(false)
	case p.accept("CREATE", "USER"):
		return p.createUser()
	case p.accept("CREATE", "STORAGE"):
		return p.createStorage()
	case p.accept("CREATE", "SEQUENCE"):
		return p.createSequence()
	case p.accept("CREATE", "VIEW"):
		return p.createView(false)
	case p.accept("CREATE", "OR", "REPLACE", "VIEW"):
		return p.createView(true)
	}
	return p.notYet()
}

// drop reads DROP.
func (p *statementParser) drop() (Statement, error) {
	switch {
	case p.accept("DROP", "NAMESPACE"):
		return p.dropNamespace(false)
	case p.accept("DROP", "SCHEMA"):
		return p.dropNamespace(true)
	case p.accept("DROP", "TABLE"):
		return p.dropTable("")
	case p.accept("DROP", "USER", "TABLE"):
		return p.dropTable("user")
	case p.accept("DROP", "SHARED", "TABLE"):
		return p.dropTable("shared")
	case p.accept("DROP", "STREAM", "TABLE"):
		return p.dropTable("stream")
	case p.accept("DROP", "INDEX"):
		return p.dropIndex()
	case p.accept("DROP", "USER"):
		return p.dropUser()
	case p.accept("DROP", "STORAGE"):
		return p.dropStorage()
	case p.accept("DROP", "SEQUENCE"):
		return p.dropSequence()
	case p.accept("DROP", "VIEW"):
		return p.dropView()
	}
	return p.notYet()
}

// alter reads ALTER.
func (p *statementParser) alter() (Statement, error) {
	switch {
	case p.accept("ALTER", "NAMESPACE"), p.accept("ALTER", "SCHEMA"):
		return p.alterNamespace()
	case p.accept("ALTER", "STORAGE"):
		return p.alterStorage()
	case p.accept("ALTER", "SEQUENCE"):
		return p.alterSequence()
	case p.accept("ALTER", "VIEW"):
		return p.renameObject("VIEW")
	case p.accept("ALTER", "INDEX"):
		return p.renameObject("INDEX")
	case p.accept("ALTER", "TABLE"), p.accept("ALTER", "USER", "TABLE"),
		p.accept("ALTER", "SHARED", "TABLE"), p.accept("ALTER", "STREAM", "TABLE"):
		return p.alterTable()
	case p.accept("ALTER", "USER"):
		return p.alterUser()
	}
	return p.notYet()
}

// createTable reads what follows CREATE … TABLE.
func (p *statementParser) createTable(kind string) (Statement, error) {
	st := &CreateTable{Kind: kind, IfNotExists: p.ifNotExists()}
	var err error
	if st.Table, err = p.qualified(); err != nil {
		return nil, err
	}
	if p.at("AS") || p.at("LIKE") {
		return &NotYet{Words: "CREATE TABLE " + p.word(), Area: "table"}, nil
	}
	if err := p.expectPunct('('); err != nil {
		return nil, err
	}
	for !p.acceptPunct(')') {
		if err := p.tableElement(st); err != nil {
			return nil, err
		}
		if !p.acceptPunct(',') && !p.punct(')') {
			return nil, p.unexpected()
		}
	}
	for !p.ended() {
		if p.at("AS") {
			return &NotYet{Words: "CREATE TABLE AS", Area: "table"}, nil
		}
		if err := p.tableClause(st); err != nil {
			return nil, err
		}
	}
	return st, st.resolveKind()
}

// tableElement reads a column or a table constraint.
func (p *statementParser) tableElement(st *CreateTable) error {
	if len(st.Columns)+len(st.Keys)+len(st.Checks)+len(st.Unique) >= maxColumns {
		return fault.At(fault.LimitExceeded, p.offset(), "a table definition takes at most %d columns, keys and checks", maxColumns)
	}
	name, named, err := p.constraintName()
	if err != nil {
		return err
	}
	switch {
	case p.accept("PRIMARY", "KEY"):
		key, err := p.nameList()
		if err != nil {
			return err
		}
		st.Keys = append(st.Keys, key)
		return nil
	case p.accept("FOREIGN", "KEY"):
		table, err := p.foreignKey()
		st.Foreign = append(st.Foreign, table)
		return err
	case p.at("UNIQUE") && (named || p.punctAt(p.i+1, '(')):
		unique, err := p.unique(name)
		st.Unique = append(st.Unique, unique)
		return err
	case p.at("CHECK") && (named || p.punctAt(p.i+1, '(')):
		check, err := p.check(name)
		st.Checks = append(st.Checks, check)
		return err
	case p.at("EXCLUDE") && (named || p.punctAt(p.i+1, '(') || p.atFrom(p.i+1, "USING")):
		p.i++
		return p.unenforced(st, "EXCLUDE")
	case named:
		return p.unexpected()
	}
	return p.column(st)
}

// unenforced notes a constraint that nothing enforces yet and skips it.
func (p *statementParser) unenforced(st *CreateTable, what string) error {
	if st.Unsupported == "" {
		st.Unsupported = what
	}
	p.skipElement()
	return nil
}

// skipElement moves to the comma or bracket that ends an element.
func (p *statementParser) skipElement() {
	for depth := 0; !p.ended(); p.i++ {
		switch {
		case p.punct('(') || p.punct('['):
			depth++
		case p.punct(')') || p.punct(']'):
			if depth == 0 {
				return
			}
			depth--
		case p.punct(',') && depth == 0:
			return
		}
	}
}

// nameList reads (name, …).
func (p *statementParser) nameList() ([]Name, error) {
	if err := p.expectPunct('('); err != nil {
		return nil, err
	}
	var out []Name
	for !p.acceptPunct(')') {
		n, err := p.name()
		if err != nil {
			return nil, err
		}
		out = append(out, n)
		if !p.acceptPunct(',') && !p.punct(')') {
			return nil, p.unexpected()
		}
	}
	if len(out) == 0 {
		p.i--
		return nil, p.unexpected()
	}
	return out, nil
}

// tableClause reads one clause behind the columns of CREATE TABLE.
func (p *statementParser) tableClause(st *CreateTable) error {
	offset := p.offset()
	switch {
	case p.accept("USING"):
		_, err := p.name()
		return err
	case p.accept("WITH"):
		options, err := p.options()
		st.Options = append(st.Options, options...)
		return err
	case p.accept("LOCATION", "REFERENCE"):
		o, err := p.optionValue("STORAGE_ID")
		st.Options = append(st.Options, o)
		return err
	case p.accept("FLUSH", "POLICY"):
		o, err := p.flushPolicy()
		st.Options = append(st.Options, o)
		return err
	}
	switch word := p.word(); word {
	case "LOCATION", "RETENTION", "DELETED_RETENTION", "EPHEMERAL", "MAX_BUFFER", "STORAGE_ID", "TTL_SECONDS":
		p.i++
		p.acceptPunct('=')
		o, err := p.optionValue(word)
		o.Offset = offset
		st.Options = append(st.Options, o)
		return err
	}
	return p.unexpected()
}

// resolveKind makes the option TYPE and the prefix agree.
func (st *CreateTable) resolveKind() error {
	for _, o := range st.Options {
		if o.Name != "TYPE" {
			continue
		}
		kind := strings.ToLower(o.Value)
		switch {
		case kind != "user" && kind != "shared" && kind != "stream":
			return fault.At(fault.InvalidDefinition, o.Offset, "unknown table type '%s'; use USER, SHARED or STREAM", shortened(o.Value))
		case st.Kind != "" && st.Kind != kind:
			return fault.At(fault.InvalidDefinition, o.Offset, "CREATE %s TABLE and TYPE = '%s' disagree", strings.ToUpper(st.Kind), o.Value)
		}
		st.Kind = kind
	}
	return nil
}

// dropTable reads what follows DROP … TABLE.
func (p *statementParser) dropTable(kind string) (Statement, error) {
	st := &DropTable{Kind: kind, IfExists: p.ifExists()}
	var err error
	if st.Table, err = p.qualified(); err != nil {
		return nil, err
	}
	if !p.accept("CASCADE") {
		p.accept("RESTRICT")
	}
	return st, p.end()
}
