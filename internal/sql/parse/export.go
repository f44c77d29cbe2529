package parse

// ExportUser is EXPORT USER DATA.
type ExportUser struct{}

func (*ExportUser) statement() {}

// export reads EXPORT USER DATA.
func (p *statementParser) export() (Statement, error) {
	p.i++
	if err := p.expect("USER"); err != nil {
		return nil, err
	}
	if err := p.expect("DATA"); err != nil {
		return nil, err
	}
	return &ExportUser{}, p.end()
}
