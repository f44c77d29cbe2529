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
	// SetTransaction is SET TRANSACTION: modes for the one that is open.
	SetTransaction struct {
		// Isolation is the level that was asked for, in lower case, or "".
		Isolation string
		// Access is "read only", "read write" or "".
		Access string
	}
	// Commit is COMMIT or END.
	Commit struct {
		// Chain begins another one with the same modes.
		Chain bool
	}
	// Rollback is ROLLBACK or ABORT; Chain is as in Commit.
	Rollback struct{ Chain bool }
	// Savepoint is SAVEPOINT name.
	Savepoint struct{ Name string }
	// RollbackTo is ROLLBACK TO [SAVEPOINT] name.
	RollbackTo struct{ Name string }
	// Release is RELEASE [SAVEPOINT] name.
	Release struct{ Name string }
)

func (*Begin) statement()          {}
func (*SetTransaction) statement() {}
func (*Commit) statement()         {}
func (*Rollback) statement()       {}
func (*Savepoint) statement()      {}
func (*RollbackTo) statement()     {}
func (*Release) statement()        {}

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
	chain := p.accept("AND", "CHAIN")
	if !chain {
		p.accept("AND", "NO", "CHAIN")
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	if verb == "COMMIT" || verb == "END" {
		return &Commit{chain}, nil
	}
	return &Rollback{chain}, nil
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
	modes, err := p.modes()
	if err != nil {
		return nil, err
	}
	return &Begin{Isolation: modes.Isolation, ReadOnly: modes.Access == readOnly}, nil
}

// readOnly is the access of transactions that refuse writes.
const readOnly = "read only"

// setTransaction reads what follows SET TRANSACTION.
func (p *statementParser) setTransaction() (Statement, error) {
	if p.at("SNAPSHOT") {
		return nil, fault.At(fault.NotImplemented, p.offset(), "SET TRANSACTION SNAPSHOT is not supported: a transaction reads the moment of its BEGIN")
	}
	if p.ended() {
		return nil, p.unexpected()
	}
	return p.modes()
}

// modes reads the modes of a transaction up to the end.
func (p *statementParser) modes() (*SetTransaction, error) {
	st := &SetTransaction{}
	for !p.ended() {
		switch {
		case p.accept("READ", "ONLY"):
			st.Access = readOnly
		case p.accept("READ", "WRITE"):
			st.Access = "read write"
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
func (p *statementParser) isolation(st *SetTransaction) error {
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
	case p.accept("SERIALIZABLE"):
		st.Isolation = "serializable"
	default:
		return p.unexpected()
	}
	return nil
}
