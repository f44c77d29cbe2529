package parse

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// column reads name type [constraint …].
func (p *statementParser) column(st *CreateTable) error {
	name, err := p.name()
	if err != nil {
		return err
	}
	col := ColumnDef{Name: name}
	if err := p.columnType(&col); err != nil {
		return err
	}
	for !p.ended() && !p.punct(',') && !p.punct(')') {
		if err := p.columnConstraint(st, &col); err != nil {
			return err
		}
	}
	st.Columns = append(st.Columns, col)
	return nil
}

// columnType reads a type's name, which may be several words, and arguments.
func (p *statementParser) columnType(col *ColumnDef) error {
	first := p.offset()
	name, err := p.typeName()
	if err != nil {
		return err
	}
	var args []int
	if p.acceptPunct('(') {
		for !p.acceptPunct(')') {
			if p.ended() || p.toks[p.i].kind != tokInteger {
				return p.unexpected()
			}
			n, ok := smallInteger(p.text(p.toks[p.i]))
			if !ok || n > 1<<30 {
				return fault.At(fault.InvalidDefinition, p.offset(), "the argument %s of type %s is out of range",
					shortened(p.text(p.toks[p.i])), strings.ToUpper(name))
			}
			args = append(args, int(n))
			p.i++
			if !p.acceptPunct(',') && !p.punct(')') {
				return p.unexpected()
			}
		}
	}
	switch {
	case p.accept("WITH", "TIME", "ZONE"):
		name += " with time zone"
	case p.accept("WITHOUT", "TIME", "ZONE"):
		name += " without time zone"
	}
	bracket, err := p.arrayBrackets()
	if err != nil {
		return err
	}
	switch name {
	case "serial", "bigserial", "smallserial", "serial2", "serial4", "serial8":
		col.Serial = true
	}
	if col.Type, err = datum.ParseType(name, args); err != nil {
		f := fault.Of(err)
		return fault.At(f.Code, first, "column '%s': %s", col.Name.Name, f.Message)
	}
	if col.Type.Kind == datum.Interval {
		return fault.At(fault.NotImplemented, first, "column '%s': INTERVAL cannot be stored; use BIGINT or TEXT", col.Name.Name)
	}
	switch {
	case !bracket:
	case col.Serial:
		return fault.At(fault.InvalidDefinition, first, "column '%s': an array cannot be numbered", col.Name.Name)
	case !col.Type.Kind.CanBeElement(), col.Type.Kind == datum.File:
		return fault.At(fault.InvalidDefinition, first, "column '%s': there are no arrays of %s", col.Name.Name, col.Type)
	default:
		col.Type = datum.ArrayType(col.Type)
	}
	return nil
}

// arrayBrackets reads [], [n] or ARRAY behind a type; a length is not kept, as in
// PostgreSQL.
func (p *statementParser) arrayBrackets() (bool, error) {
	array := p.accept("ARRAY")
	for dimensions := 0; p.punct('['); dimensions++ {
		if dimensions > 0 {
			return false, fault.At(fault.NotImplemented, p.offset(), "arrays have one dimension")
		}
		p.i++
		if !p.ended() && p.toks[p.i].kind == tokInteger {
			p.i++
		}
		if err := p.expectPunct(']'); err != nil {
			return false, err
		}
		array = true
	}
	return array, nil
}

// typeName reads the words of a type's name, in lower case.
func (p *statementParser) typeName() (string, error) {
	n, err := p.qualified()
	if err != nil {
		return "", err
	}
	name := n.Name
	if n.Namespace != "" && n.Namespace != "pg_catalog" {
		name = n.Namespace + "." + name
	}
	switch name {
	case "double":
		if p.accept("PRECISION") {
			name += " precision"
		}
	case "national":
		if p.accept("CHARACTER") || p.accept("CHAR") {
			name += " character"
		}
	}
	switch name {
	case "character", "char", "national character", "nchar":
		if p.accept("VARYING") {
			name = "character varying"
		}
	}
	return name, nil
}

// columnConstraint reads one constraint of a column.
func (p *statementParser) columnConstraint(st *CreateTable, col *ColumnDef) error {
	name, _, err := p.constraintName()
	if err != nil {
		return err
	}
	switch {
	case p.accept("PRIMARY", "KEY"):
		st.Keys = append(st.Keys, []Name{col.Name})
	case p.accept("NOT", "NULL"):
		col.NotNull = true
	case p.accept("NULL"):
		col.Null = true
	case p.accept("DEFAULT"):
		return p.columnDefault(col)
	case p.accept("AUTO_INCREMENT"), p.accept("AUTOINCREMENT"):
		col.Serial = true
	case p.accept("UNIQUE"):
		p.accept("KEY")
		st.Unique = append(st.Unique, UniqueDef{Name: name, Columns: []Name{col.Name}})
	case p.at("CHECK"):
		check, err := p.check(name)
		st.Checks = append(st.Checks, check)
		return err
	case p.at("REFERENCES"):
		table, err := p.references()
		st.Foreign = append(st.Foreign, table)
		return err
	case p.accept("COLLATE"):
		col.unenforced("COLLATE")
		_, err := p.qualified()
		return err
	case p.accept("COMMENT"):
		col.unenforced("COMMENT")
		_, err := p.str()
		return err
	case p.accept("GENERATED"):
		return p.generated(col)
	default:
		return p.unexpected()
	}
	return nil
}

// constraintName reads [CONSTRAINT name].
func (p *statementParser) constraintName() (name Name, named bool, err error) {
	if !p.accept("CONSTRAINT") {
		return Name{}, false, nil
	}
	name, err = p.name()
	return name, true, err
}

// check reads CHECK (condition).
func (p *statementParser) check(name Name) (CheckDef, error) {
	c := CheckDef{Name: name, Offset: p.offset()}
	if err := p.expect("CHECK"); err != nil {
		return c, err
	}
	first := p.i + 1
	if err := p.skipBrackets(); err != nil {
		return c, err
	}
	if p.i-1 == first {
		p.i--
		return c, p.unexpected()
	}
	toks := p.toks[first : p.i-1]
	if p.accept("NO", "INHERIT") || p.accept("NOT", "VALID") {
		return c, fault.At(fault.NotImplemented, p.toks[p.i-2].start, "a CHECK holds for every row: NO INHERIT and NOT VALID are not supported")
	}
	var err error
	c.X, err = parseExpr(p.src, toks)
	c.Text = p.src[toks[0].start:toks[len(toks)-1].end]
	return c, err
}

// foreignKey reads what follows FOREIGN KEY and returns the table it points to.
func (p *statementParser) foreignKey() (Name, error) {
	if _, err := p.nameList(); err != nil {
		return Name{}, err
	}
	return p.references()
}

// unenforced notes the first constraint that nothing enforces yet.
func (col *ColumnDef) unenforced(what string) {
	if col.Unsupported == "" {
		col.Unsupported = what
	}
}

// references reads REFERENCES table and skips what it says of the key.
func (p *statementParser) references() (Name, error) {
	if err := p.expect("REFERENCES"); err != nil {
		return Name{}, err
	}
	table, err := p.qualified()
	if err != nil {
		return table, err
	}
	if p.punct('(') {
		if _, err := p.nameList(); err != nil {
			return table, err
		}
	}
	for {
		switch {
		case p.accept("MATCH"):
			if !p.accept("FULL") && !p.accept("PARTIAL") && !p.accept("SIMPLE") {
				return table, p.unexpected()
			}
		case p.accept("ON", "DELETE"), p.accept("ON", "UPDATE"):
			switch {
			case p.accept("NO", "ACTION"), p.accept("SET", "NULL"), p.accept("SET", "DEFAULT"), p.accept("CASCADE"), p.accept("RESTRICT"):
			default:
				return table, p.unexpected()
			}
		case p.accept("DEFERRABLE"), p.accept("NOT", "DEFERRABLE"), p.accept("INITIALLY", "DEFERRED"), p.accept("INITIALLY", "IMMEDIATE"):
		default:
			return table, nil
		}
	}
}

// generated reads what follows GENERATED.
func (p *statementParser) generated(col *ColumnDef) error {
	identity := "always"
	if p.accept("BY", "DEFAULT") {
		identity = "by default"
	} else if !p.accept("ALWAYS") {
		return p.unexpected()
	}
	if err := p.expect("AS"); err != nil {
		return err
	}
	if p.accept("IDENTITY") {
		col.Serial, col.Identity = true, identity
		if !p.acceptPunct('(') {
			return nil
		}
		col.Sequence = &SequenceOptions{}
		for !p.acceptPunct(')') {
			if err := p.sequenceOption(col.Sequence); err != nil {
				return err
			}
		}
		return nil
	}
	col.unenforced("GENERATED ALWAYS AS")
	if err := p.skipBrackets(); err != nil {
		return err
	}
	if !p.accept("STORED") {
		p.accept("VIRTUAL")
	}
	return nil
}

// skipBrackets moves behind the bracket that matches the next one.
func (p *statementParser) skipBrackets() error {
	if err := p.expectPunct('('); err != nil {
		return err
	}
	for depth := 1; depth > 0; p.i++ {
		switch {
		case p.ended():
			return p.unexpected()
		case p.punct('('):
			depth++
		case p.punct(')'):
			depth--
		}
	}
	return nil
}

// columnDefault reads the expression behind DEFAULT, which ends at the next
// constraint or at the end of the column.
func (p *statementParser) columnDefault(col *ColumnDef) error {
	first := p.i
	for depth := 0; !p.ended(); p.i++ {
		if depth == 0 && p.i > first && p.constraintFollows() {
			break
		}
		if p.punct('(') || p.punct('[') {
			depth++
		}
		if p.punct(')') || p.punct(']') {
			if depth == 0 {
				break
			}
			depth--
		}
		if depth == 0 && p.punct(',') {
			break
		}
	}
	if p.i == first {
		return p.unexpected()
	}
	toks := p.toks[first:p.i]
	x, err := parseExpr(p.src, toks)
	if err != nil {
		return err
	}
	col.Default, col.DefaultText = x, p.src[toks[0].start:toks[len(toks)-1].end]
	return nil
}

// constraintFollows reports whether the next words begin a column constraint.
func (p *statementParser) constraintFollows() bool {
	switch p.word() {
	case "PRIMARY", "NULL", "UNIQUE", "AUTO_INCREMENT", "AUTOINCREMENT", "CHECK", "REFERENCES", "GENERATED", "CONSTRAINT", "COLLATE", "COMMENT":
		return true
	case "NOT":
		return p.atFrom(p.i+1, "NULL")
	}
	return false
}
