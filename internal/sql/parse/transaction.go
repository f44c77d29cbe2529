package parse

import "kalamdb/internal/fault"

// Transaction control.
type (
	// Begin is BEGIN or START TRANSACTION.
	Begin struct {
		// Isolation is the level that was asked for, in lower case, or "".
		Isolation string
		// ReadOnly refuses writes.
		ReadOnly bool
	}
	// Commit is COMMIT or END.
	Commit struct{}
	// Rollback is ROLLBACK or ABORT.
	Rollback struct{}
	// Savepoint is SAVEPOINT name.
	Savepoint struct{ Name string }
	// RollbackTo is ROLLBACK TO [SAVEPOINT] name.
	RollbackTo struct{ Name string }
	// Release is RELEASE [SAVEPOINT] name.
	Release struct{ Name string }
)

func (*Begin) statement()      {}
func (*Commit) statement()     {}
func (*Rollback) statement()   {}
func (*Savepoint) statement()  {}
func (*RollbackTo) statement() {}
func (*Release) statement()    {}

// transaction reads BEGIN, COMMIT, ROLLBACK, SAVEPOINT and their like.
func (p *statementParser) transaction() (Statement, error) {
	verb := p.word()
	p.i++
	switch verb {
	case "SAVEPOINT":
		name, err := p.savepoint()
		return &Savepoint{Name: name}, err
	case "RELEASE":
		p.acceptBefore("SAVEPOINT")
		name, err := p.savepoint()
		return &Release{Name: name}, err
	case "START":
		if err := p.expect("TRANSACTION"); err != nil {
			return nil, err
		}
	default:
		if !p.accept("TRANSACTION") {
			p.accept("WORK")
		}
	}
	if verb == "BEGIN" || verb == "START" {
		return p.begin()
	}
	if verb == "ROLLBACK" && p.accept("TO") {
		p.acceptBefore("SAVEPOINT")
		name, err := p.savepoint()
		return &RollbackTo{Name: name}, err
	}
	if p.at("AND", "CHAIN") {
		return nil, fault.At(fault.NotImplemented, p.offset(), "%s AND CHAIN is not supported; send BEGIN again", verb)
	}
	p.accept("AND", "NO", "CHAIN")
	if err := p.end(); err != nil {
		return nil, err
	}
	if verb == "COMMIT" || verb == "END" {
		return &Commit{}, nil
	}
	return &Rollback{}, nil
}

// acceptBefore passes a word that is not itself the last one: a savepoint may
// have the name SAVEPOINT.
func (p *statementParser) acceptBefore(word string) {
	if p.at(word) && p.i+1 < len(p.toks) {
		p.i++
	}
}

// savepoint reads the name that ends a statement.
func (p *statementParser) savepoint() (string, error) {
	n, err := p.name()
	if err != nil {
		return "", err
	}
	return n.Name, p.end()
}

// begin reads the modes of a transaction: its isolation level, READ ONLY or
// READ WRITE, and [NOT] DEFERRABLE, which concerns serializable ones only.
func (p *statementParser) begin() (Statement, error) {
	st := &Begin{}
	for !p.ended() {
		switch {
		case p.accept("READ", "ONLY"):
			st.ReadOnly = true
		case p.accept("READ", "WRITE"):
			st.ReadOnly = false
		case p.accept("NOT", "DEFERRABLE"), p.accept("DEFERRABLE"):
		case p.accept("ISOLATION"):
			if err := p.isolation(st); err != nil {
				return nil, err
			}
		default:
			return nil, p.unexpected()
		}
		if p.acceptPunct(',') && p.ended() {
			return nil, p.unexpected()
		}
	}
	return st, nil
}

// isolation reads LEVEL and the level.
func (p *statementParser) isolation(st *Begin) error {
	if err := p.expect("LEVEL"); err != nil {
		return err
	}
	switch {
	case p.accept("READ", "UNCOMMITTED"):
		st.Isolation = "read uncommitted"
	case p.accept("READ", "COMMITTED"):
		st.Isolation = "read committed"
	case p.accept("REPEATABLE", "READ"):
		st.Isolation = "repeatable read"
	case p.accept("SNAPSHOT"):
		st.Isolation = "snapshot"
	case p.at("SERIALIZABLE"):
		return fault.At(fault.NotImplemented, p.offset(), "serializable transactions are not supported; ISOLATION LEVEL REPEATABLE READ gives snapshot isolation")
	default:
		return p.unexpected()
	}
	return nil
}
