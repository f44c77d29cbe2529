package parse

// KillQuery is KILL QUERY 'id': it ends a running statement.
type KillQuery struct{ ID string }

func (*KillQuery) statement() {}

// kill reads KILL QUERY, KILL LIVE QUERY and KILL JOB.
func (p *statementParser) kill() (Statement, error) {
	for _, form := range [...]struct {
		words []string
		make  func(id string) Statement
	}{
		{[]string{"KILL", "QUERY"}, func(id string) Statement { return &KillQuery{id} }},
		{[]string{"KILL", "LIVE", "QUERY"}, func(id string) Statement { return &KillLive{id} }},
		{[]string{"KILL", "JOB"}, func(id string) Statement { return &KillJob{id} }},
	} {
		if !p.accept(form.words...) {
			continue
		}
		id, err := p.bareID()
		if err != nil {
			return nil, err
		}
		return form.make(id), nil
	}
	p.i++
	return nil, p.unexpected()
}
