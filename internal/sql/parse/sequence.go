package parse

import (
	"strconv"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// createSequence reads what follows CREATE SEQUENCE.
func (p *statementParser) createSequence() (Statement, error) {
	st := &CreateSequence{IfNotExists: p.ifNotExists()}
	var err error
	if st.Sequence, err = p.qualified(); err != nil {
		return nil, err
	}
	for !p.ended() {
		if p.at("RESTART") {
			return nil, p.unexpected()
		}
		if err := p.sequenceOption(&st.Options); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// alterSequence reads what follows ALTER SEQUENCE.
func (p *statementParser) alterSequence() (Statement, error) {
	st := &AlterSequence{IfExists: p.ifExists()}
	var err error
	if st.Sequence, err = p.qualified(); err != nil {
		return nil, err
	}
	switch {
	case p.accept("RENAME", "TO"):
		if st.NewName, err = p.name(); err != nil {
			return nil, err
		}
		return st, p.end()
	case p.at("OWNER", "TO"), p.at("SET"):
		return nil, fault.At(fault.NotImplemented, p.offset(), "ALTER SEQUENCE %s is not supported: a sequence stays in its namespace and has no owner but a column", p.word())
	case p.ended():
		return nil, p.unexpected()
	}
	for !p.ended() {
		if err := p.sequenceOption(&st.Options); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// renameObject reads what follows ALTER VIEW and ALTER INDEX.
func (p *statementParser) renameObject(kind string) (Statement, error) {
	st := &RenameObject{Kind: kind, IfExists: p.ifExists()}
	var err error
	if st.Object, err = p.qualified(); err != nil {
		return nil, err
	}
	if !p.accept("RENAME", "TO") {
		if p.ended() {
			return nil, p.unexpected()
		}
		return nil, fault.At(fault.NotImplemented, p.offset(), "ALTER %s takes RENAME TO; %s is not supported", kind, shortened(p.text(p.toks[p.i])))
	}
	if st.NewName, err = p.name(); err != nil {
		return nil, err
	}
	return st, p.end()
}

// dropSequence reads what follows DROP SEQUENCE.
func (p *statementParser) dropSequence() (Statement, error) {
	st := &DropSequence{IfExists: p.ifExists()}
	var err error
	if st.Sequence, err = p.qualified(); err != nil {
		return nil, err
	}
	if !p.accept("CASCADE") {
		p.accept("RESTRICT")
	}
	return st, p.end()
}

// sequenceOption reads one clause of a sequence.
func (p *statementParser) sequenceOption(o *SequenceOptions) (err error) {
	switch {
	case p.accept("START"):
		p.accept("WITH")
		o.Start, err = p.signed()
	case p.accept("INCREMENT"):
		p.accept("BY")
		o.Increment, err = p.signed()
	case p.accept("MINVALUE"):
		o.Min, err = p.signed()
	case p.accept("MAXVALUE"):
		o.Max, err = p.signed()
	case p.accept("NO", "MINVALUE"):
		o.Min, o.NoMin = nil, true
	case p.accept("NO", "MAXVALUE"):
		o.Max, o.NoMax = nil, true
	case p.accept("NO", "CYCLE"):
		o.Cycle, o.NoCycle = false, true
	case p.accept("CYCLE"):
		o.Cycle, o.NoCycle = true, false
	case p.accept("CACHE"):
		return p.sequenceCache()
	case p.accept("RESTART"):
		o.Restart = true
		if p.accept("WITH") || !p.ended() && (p.toks[p.i].kind == tokInteger || p.punct('-')) {
			o.RestartAt, err = p.signed()
		}
	case p.accept("OWNED", "BY", "NONE"):
		o.NoOwner = true
	case p.accept("OWNED", "BY"):
		o.Owner, o.OwnerColumn, err = p.columnOf("OWNED BY")
	case p.accept("AS"):
		return p.sequenceType(o)
	default:
		return p.unexpected()
	}
	return err
}

// sequenceCache reads what follows CACHE: the server has blocks of its own, so
// that nothing of it is kept.
func (p *statementParser) sequenceCache() error {
	offset := p.offset()
	n, err := p.signed()
	if err == nil && *n < 1 {
		return fault.At(fault.InvalidDefinition, offset, "CACHE (%d) of a sequence must be greater than zero", *n)
	}
	return err
}

func (p *statementParser) sequenceType(o *SequenceOptions) error {
	offset := p.offset()
	name, err := p.typeName()
	if err != nil {
		return err
	}
	typ, err := datum.ParseType(name, nil)
	if err != nil || !typ.Kind.IsInteger() {
		return fault.At(fault.InvalidDefinition, offset, "a sequence is SMALLINT, INT or BIGINT")
	}
	o.Type = typ.Kind
	return nil
}

// signed reads a whole number.
func (p *statementParser) signed() (*int64, error) {
	offset, sign := p.offset(), ""
	if p.acceptPunct('-') {
		sign = "-"
	}
	if p.ended() || p.toks[p.i].kind != tokInteger {
		return nil, p.unexpected()
	}
	n, err := strconv.ParseInt(sign+p.text(p.toks[p.i]), 10, 64)
	if err != nil {
		return nil, fault.At(fault.OutOfRange, offset, "%s%s is out of range for BIGINT", sign, shortened(p.text(p.toks[p.i])))
	}
	p.i++
	return &n, nil
}
