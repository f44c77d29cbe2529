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
		if err := p.sequenceOption(&st.Options); err != nil {
			return nil, err
		}
	}
	return st, nil
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
		o.Min = nil
	case p.accept("NO", "MAXVALUE"):
		o.Max = nil
	case p.accept("NO", "CYCLE"):
		o.Cycle = false
	case p.accept("CYCLE"):
		o.Cycle = true
	case p.accept("CACHE"):
		_, err = p.signed() // the server has blocks of its own
	case p.accept("OWNED", "BY", "NONE"):
	case p.accept("AS"):
		return p.sequenceType(o)
	default:
		return p.unexpected()
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
