package parse

import (
	"kalamdb/internal/fault"
)

// alterTable reads what follows ALTER … TABLE.
func (p *statementParser) alterTable() (Statement, error) {
	st := &AlterTable{IfExists: p.ifExists()}
	var err error
	if st.Table, err = p.qualified(); err != nil {
		return nil, err
	}
	switch {
	case p.accept("ADD"):
		err = p.alterAdd(st)
	case p.at("CREATE", "INDEX"), p.at("CREATE", "UNIQUE", "INDEX"):
		return p.alterCreateIndex(st)
	case p.at("CREATE", "VECTOR", "INDEX"):
		return p.alterCreateVector(st)
	case p.accept("DROP", "VECTOR", "INDEX"):
		return p.alterDropVector(st)
	case p.accept("DROP", "INDEX"):
		return p.alterDropIndex(st)
	case p.accept("DROP"):
		err = p.alterDrop(st)
	case p.accept("MODIFY"):
		err = p.alterModify(st)
	case p.accept("ALTER"):
		err = p.alterColumn(st)
	case p.accept("RENAME"):
		err = p.alterRename(st)
	case p.accept("SET"):
		err = p.alterSet(st)
	default:
		return p.alterNotYet()
	}
	if err != nil {
		return nil, err
	}
	if st.Action == "" {
		return p.alterNotYet()
	}
	return st, p.endOfAlter(st)
}

// endOfAlter refuses a second operation.
func (p *statementParser) endOfAlter(st *AlterTable) error {
	if !p.punct(',') {
		return p.end()
	}
	if st.Action == DropColumn {
		return fault.At(fault.NotImplemented, p.offset(), "ALTER TABLE only supports dropping one column at a time")
	}
	return fault.At(fault.NotImplemented, p.offset(), "Only one ALTER TABLE operation is supported per statement")
}

// alterNotYet names a form that is known and not run.
func (p *statementParser) alterNotYet() (Statement, error) {
	form := p.word()
	switch form {
	case "ADD", "DROP", "ALTER", "CREATE", "SET", "ENABLE", "DISABLE", "FORCE", "OWNER":
	default:
		return nil, p.unexpected()
	}
	words := "ALTER TABLE " + form
	for p.i++; len(words) < 40; p.i++ {
		switch w := p.word(); w {
		case "COLUMN", "CONSTRAINT", "UNIQUE", "INDEX", "TO", "ROW", "LEVEL", "SECURITY":
			words += " " + w
			continue
		}
		break
	}
	return &NotYet{Words: words, Area: "table"}, nil
}

// alterAdd reads what follows ADD: a column or a constraint.
func (p *statementParser) alterAdd(st *AlterTable) error {
	name, named, err := p.constraintName()
	if err != nil {
		return err
	}
	unique := p.at("UNIQUE") && (named || p.punctAt(p.i+1, '('))
	switch {
	case p.at("PRIMARY", "KEY"):
		return fault.At(fault.InvalidOperation, p.offset(), "the PRIMARY KEY of a table is given when it is created and cannot be changed")
	case unique:
		st.Action = AddConstraint
		u, err := p.unique(name)
		st.Unique = []UniqueDef{u}
		return err
	case p.at("CHECK") && (named || p.punctAt(p.i+1, '(')):
		st.Action = AddConstraint
		check, err := p.check(name)
		st.Checks = []CheckDef{check}
		return err
	case p.accept("FOREIGN", "KEY"):
		st.Action, st.Column = AddConstraint, name
		table, err := p.foreignKey()
		st.Foreign = []Name{table}
		return err
	case named:
		return p.unexpected()
	}
	p.accept("COLUMN")
	st.Action, st.Guard = AddColumn, p.ifNotExists()
	return p.alterDefinition(st)
}

// alterDefinition reads the column of ADD COLUMN.
func (p *statementParser) alterDefinition(st *AlterTable) error {
	if p.punct('(') {
		return fault.At(fault.NotImplemented, p.offset(), "Only one ALTER TABLE operation is supported per statement")
	}
	end := p.positionModifier()
	toks := p.toks
	if end >= 0 {
		p.toks = toks[:end]
	}
	var made CreateTable
	err := p.column(&made)
	p.toks = toks
	switch {
	case err != nil:
		return err
	case end >= 0:
		return fault.At(fault.NotImplemented, toks[end].start, "Column position modifiers (FIRST/AFTER) are not supported")
	case len(made.Keys) > 0:
		return fault.At(fault.InvalidOperation, made.Columns[0].Name.Offset, "column '%s' cannot become a PRIMARY KEY: the key of a table is given when it is created", made.Columns[0].Name.Name)
	}
	st.Definition, st.Column = &made.Columns[0], made.Columns[0].Name
	st.Checks, st.Foreign, st.Unique = made.Checks, made.Foreign, made.Unique
	return nil
}

// positionModifier returns the place of a FIRST or AFTER x that ends the
// statement, or -1.
func (p *statementParser) positionModifier() int {
	last := len(p.toks) - 1
	switch {
	case last > p.i+1 && isWord(p.src, p.toks[last], "FIRST"):
		return last
	case last > p.i+2 && isWord(p.src, p.toks[last-1], "AFTER"):
		return last - 1
	}
	return -1
}

// alterDrop reads what follows DROP: a column or a constraint.
func (p *statementParser) alterDrop(st *AlterTable) error {
	st.Action = DropColumn
	if p.accept("CONSTRAINT") {
		st.Action = DropConstraint
	} else {
		p.accept("COLUMN")
	}
	st.Guard = p.ifExists()
	var err error
	if st.Column, err = p.name(); err != nil {
		return err
	}
	if p.at("CASCADE") || p.at("RESTRICT") {
		if st.Action == DropColumn {
			return fault.At(fault.NotImplemented, p.offset(), "DROP COLUMN CASCADE/RESTRICT is not supported")
		}
		p.i++
	}
	return nil
}

// alterModify reads what follows MODIFY.
func (p *statementParser) alterModify(st *AlterTable) error {
	p.accept("COLUMN")
	st.Action = ModifyColumn
	err := p.columnAndType(st)
	for err == nil && !p.ended() && !p.punct(',') {
		switch {
		case p.accept("NOT", "NULL"):
			st.Definition.NotNull = true
		case p.accept("NULL"):
			st.Definition.Null = true
		case p.at("FIRST"), p.at("AFTER"):
			return fault.At(fault.NotImplemented, p.offset(), "Column position modifiers (FIRST/AFTER) are not supported")
		default:
			return p.unexpected()
		}
	}
	return err
}

// columnAndType reads the name of a column and its new type.
func (p *statementParser) columnAndType(st *AlterTable) (err error) {
	if st.Column.Name == "" {
		if st.Column, err = p.name(); err != nil {
			return err
		}
	}
	st.Definition = &ColumnDef{Name: st.Column}
	if err = p.columnType(st.Definition); err != nil {
		return err
	}
	if st.Definition.Serial {
		return fault.At(fault.InvalidDefinition, st.Column.Offset, "column '%s' cannot become a generated number; use INT or BIGINT", st.Column.Name)
	}
	return nil
}

// alterColumn reads what follows ALTER.
func (p *statementParser) alterColumn(st *AlterTable) error {
	start := p.i
	p.accept("COLUMN")
	var err error
	if st.Column, err = p.name(); err != nil {
		return err
	}
	switch {
	case p.accept("SET", "NOT", "NULL"):
		st.Action = SetNotNull
	case p.accept("DROP", "NOT", "NULL"):
		st.Action = DropNotNull
	case p.accept("DROP", "DEFAULT"):
		st.Action = DropDefault
	case p.accept("SET", "DEFAULT"):
		st.Action = SetDefault
		st.Definition = &ColumnDef{Name: st.Column}
		return p.columnDefault(st.Definition)
	case p.at("ADD", "GENERATED"), p.at("SET", "GENERATED"), p.at("DROP", "IDENTITY"):
		return p.alterIdentity(st)
	case p.accept("SET", "DATA", "TYPE"), p.accept("TYPE"):
		st.Action = SetType
		if err := p.columnAndType(st); err != nil {
			return err
		}
		if p.at("USING") {
			return fault.At(fault.NotImplemented, p.offset(), "ALTER COLUMN TYPE … USING is not supported: a type can be widened only, which needs no expression")
		}
	case p.at("SET"), p.at("ADD"), p.at("DROP"), p.at("RESET"):
		p.i = start - 1
	default:
		return p.unexpected()
	}
	return nil
}

// alterIdentity reads who gives the numbers of a column from now on.
func (p *statementParser) alterIdentity(st *AlterTable) error {
	switch {
	case p.accept("DROP", "IDENTITY"):
		st.Action, st.Guard = DropIdentity, p.ifExists()
		return nil
	case p.accept("ADD", "GENERATED"):
		start := p.i
		st.Action, st.Definition = AddIdentity, &ColumnDef{Name: st.Column}
		err := p.generated(st.Definition)
		if err == nil && st.Definition.Identity == "" {
			p.i = start
			return fault.At(fault.InvalidDefinition, p.offset(), "column '%s' can become GENERATED AS IDENTITY only: what is computed is given with the column", st.Column.Name)
		}
		return err
	}
	p.i += 2
	st.Action, st.Definition = SetIdentity, &ColumnDef{Name: st.Column, Identity: "always"}
	if p.accept("BY", "DEFAULT") {
		st.Definition.Identity = "by default"
	} else if !p.accept("ALWAYS") {
		return p.unexpected()
	}
	if p.at("SET") || p.at("RESTART") {
		return fault.At(fault.NotImplemented, p.offset(), "ALTER COLUMN SET GENERATED takes ALWAYS or BY DEFAULT only; ALTER SEQUENCE changes how a column is numbered")
	}
	return nil
}

// alterRename reads what follows RENAME.
func (p *statementParser) alterRename(st *AlterTable) error {
	var err error
	switch {
	case p.at("TO") && !p.atFrom(p.i+1, "TO"):
		st.Action = RenameTable
	case p.accept("CONSTRAINT"):
		st.Action = RenameConstraint
		st.Column, err = p.name()
	default:
		p.accept("COLUMN")
		st.Action = RenameColumn
		st.Column, err = p.name()
	}
	if err != nil {
		return err
	}
	if err := p.expect("TO"); err != nil {
		return err
	}
	st.NewName, err = p.name()
	return err
}

// alterSet reads what follows SET: options of the table.
func (p *statementParser) alterSet(st *AlterTable) error {
	switch {
	case p.accept("ACCESS", "LEVEL"):
		p.acceptPunct('=')
		o, err := p.optionValue("ACCESS_LEVEL")
		st.Action, st.Properties = SetProperties, []Option{o}
		return err
	case p.accept("TBLPROPERTIES"), p.punct('('):
		var err error
		st.Action = SetProperties
		if st.Properties, err = p.options(); err == nil && len(st.Properties) == 0 {
			return fault.At(fault.InvalidDefinition, p.offset(), "At least one table property is required")
		}
		return err
	}
	p.i--
	return nil
}
