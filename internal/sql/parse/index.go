package parse

import "kalamdb/internal/fault"

type (
	// CreateIndex is CREATE [UNIQUE] INDEX, or ALTER TABLE … CREATE [UNIQUE] INDEX.
	CreateIndex struct {
		Index       Name
		Table       Name
		Unique      bool
		IfNotExists bool
		IfExists    bool // ALTER TABLE IF EXISTS
		Columns     []Name
		// Metric makes it a vector index, whose Index may be empty; "" for one
		// that is ordered.
		Metric string
	}
	// DropIndex is DROP INDEX, or ALTER TABLE … DROP INDEX; then Table has a name.
	DropIndex struct {
		Index       Name // qualified without a table
		Table       Name
		IfExists    bool
		TableExists bool // ALTER TABLE IF EXISTS
		// Vector is DROP VECTOR INDEX; with a table, Index is then a column.
		Vector bool
	}
	// UniqueDef is a UNIQUE constraint.
	UniqueDef struct {
		Name    Name // empty without CONSTRAINT
		Columns []Name
	}
)

func (*CreateIndex) statement() {}
func (*DropIndex) statement()   {}

// createIndex reads what follows CREATE [UNIQUE] INDEX.
func (p *statementParser) createIndex(unique bool) (Statement, error) {
	p.accept("CONCURRENTLY") // as every index is built
	if p.vectorMethod() {
		return p.createVectorIndex(unique)
	}
	st := &CreateIndex{Unique: unique, IfNotExists: p.ifNotExists()}
	var err error
	if st.Index, err = p.name(); err != nil {
		return nil, err
	}
	if st.Table, err = p.indexedTable(); err != nil {
		return nil, err
	}
	if err := p.indexMethod(); err != nil {
		return nil, err
	}
	if st.Columns, err = p.indexColumns(); err != nil {
		return nil, err
	}
	return st, p.endOfIndex()
}

// indexedTable reads ON [ONLY] table.
func (p *statementParser) indexedTable() (Name, error) {
	if err := p.expect("ON"); err != nil {
		return Name{}, err
	}
	p.accept("ONLY")
	return p.qualified()
}

// indexMethod reads [USING btree].
func (p *statementParser) indexMethod() error {
	offset := p.offset()
	if !p.accept("USING") {
		return nil
	}
	method, err := p.name()
	if err == nil && method.Name != "btree" {
		return fault.At(fault.NotImplemented, offset, "an index on columns is ordered: USING %s is not supported", shortened(method.Name))
	}
	return err
}

// indexColumns reads (column [ASC], …).
func (p *statementParser) indexColumns() ([]Name, error) {
	if err := p.expectPunct('('); err != nil {
		return nil, err
	}
	var out []Name
	for {
		if p.punct('(') {
			return nil, fault.At(fault.NotImplemented, p.offset(), "an index on an expression is not supported; name columns")
		}
		n, err := p.name()
		if err != nil {
			return nil, err
		}
		if len(out) >= maxColumns {
			return nil, fault.At(fault.LimitExceeded, n.Offset, "an index takes fewer than %d columns", maxColumns)
		}
		out = append(out, n)
		p.accept("ASC")
		switch {
		case p.acceptPunct(')'):
			return out, nil
		case p.acceptPunct(','):
		case p.punct('('):
			return nil, fault.At(fault.NotImplemented, n.Offset, "an index on an expression is not supported; name columns")
		case p.at("DESC"), p.at("NULLS"), p.at("COLLATE"):
			return nil, fault.At(fault.NotImplemented, p.offset(), "%s is not supported for the column of an index: it holds values ascending, NULL last", p.word())
		default:
			return nil, p.unexpected()
		}
	}
}

// endOfIndex names what may follow the columns elsewhere.
func (p *statementParser) endOfIndex() error {
	switch {
	case p.at("WHERE"), p.at("INCLUDE"), p.at("WITH"), p.at("TABLESPACE"), p.at("NULLS"):
		return fault.At(fault.NotImplemented, p.offset(), "CREATE INDEX … %s is not supported", p.word())
	}
	return p.end()
}

// dropIndex reads what follows DROP INDEX.
func (p *statementParser) dropIndex() (Statement, error) {
	p.accept("CONCURRENTLY")
	st := &DropIndex{IfExists: p.ifExists()}
	var err error
	if st.Index, err = p.qualified(); err != nil {
		return nil, err
	}
	if p.punct(',') {
		return nil, fault.At(fault.NotImplemented, p.offset(), "DROP INDEX takes one index")
	}
	if !p.accept("CASCADE") {
		p.accept("RESTRICT")
	}
	return st, p.end()
}

// alterCreateIndex reads what follows ALTER TABLE … CREATE [UNIQUE] INDEX; a
// column without brackets asks for a vector index.
func (p *statementParser) alterCreateIndex(table *AlterTable) (Statement, error) {
	start := p.i
	p.accept("CREATE")
	st := &CreateIndex{Table: table.Table, IfExists: table.IfExists, Unique: p.accept("UNIQUE")}
	p.accept("INDEX")
	st.IfNotExists = p.ifNotExists()
	var err error
	if st.Index, err = p.name(); err != nil {
		return nil, err
	}
	if !p.punct('(') && !st.Unique {
		p.i = start
		return p.alterCreateVector(table)
	}
	if st.Columns, err = p.indexColumns(); err != nil {
		return nil, err
	}
	return st, p.endOfIndex()
}

// alterDropIndex reads what follows ALTER TABLE … DROP INDEX.
func (p *statementParser) alterDropIndex(table *AlterTable) (Statement, error) {
	st := &DropIndex{Table: table.Table, TableExists: table.IfExists, IfExists: p.ifExists()}
	var err error
	if st.Index, err = p.name(); err != nil {
		return nil, err
	}
	return st, p.end()
}

// unique reads UNIQUE (column, …).
func (p *statementParser) unique(name Name) (UniqueDef, error) {
	u := UniqueDef{Name: name}
	err := p.expect("UNIQUE")
	if err == nil && p.at("NULLS") {
		return u, fault.At(fault.NotImplemented, p.offset(), "UNIQUE NULLS … is not supported: NULLs are distinct")
	}
	if err == nil {
		u.Columns, err = p.nameList()
	}
	return u, err
}
