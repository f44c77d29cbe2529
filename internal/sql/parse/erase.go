package parse

// EraseUser is ERASE USER 'u'.
type EraseUser struct{ User string }

func (*EraseUser) statement() {}

// erase reads ERASE USER.
func (p *statementParser) erase() (Statement, error) {
	p.i++
	if err := p.expect("USER"); err != nil {
		return nil, err
	}
	user, err := p.userID()
	if err != nil {
		return nil, err
	}
	return &EraseUser{User: user}, p.end()
}
