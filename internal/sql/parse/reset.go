package parse

// ResetOption is RESET name, or RESET ALL with the name "all".
type ResetOption struct{ Name string }

func (*ResetOption) statement() {}

// reset reads RESET; RESET CONSUMER GROUP is another statement.
func (p *statementParser) reset() (Statement, error) {
	if p.at("RESET", "CONSUMER") {
		return p.notYet()
	}
	p.i++
	if p.accept("TIME", "ZONE") {
		return &ResetOption{"timezone"}, p.end()
	}
	name, err := p.settingName()
	if err != nil {
		return nil, err
	}
	return &ResetOption{name}, p.end()
}
