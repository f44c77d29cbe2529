package parse

import (
	"strings"

	"kalamdb/internal/fault"
)

// createUser reads what follows CREATE USER.
func (p *statementParser) createUser() (Statement, error) {
	st := &CreateUser{IfNotExists: p.ifNotExists()}
	if p.at("WITH") {
		return nil, p.unexpected() // a user without a name
	}
	var err error
	if st.User, err = p.userID(); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	for !p.ended() {
		p.accept("WITH")
		offset, clause := p.offset(), p.word()
		switch clause {
		case "PASSWORD", "OAUTH", "OIDC", "INTERNAL":
			clause = "AUTH"
		}
		if given[clause] {
			return nil, fault.At(fault.InvalidDefinition, offset, "%s is given twice", p.word())
		}
		given[clause] = true
		if err := p.userClause(st); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// userClause reads one clause of CREATE USER.
func (p *statementParser) userClause(st *CreateUser) (err error) {
	switch {
	case p.accept("PASSWORD"):
		st.Auth = "password"
		st.Password, err = p.str()
	case p.accept("OAUTH"), p.at("OIDC"):
		isOIDC := p.accept("OIDC")
		st.Auth = "oauth"
		if isOIDC || !p.ended() && p.toks[p.i].kind != tokWord {
			st.AuthData, err = p.str()
		}
	case p.accept("INTERNAL"):
		st.Auth = "internal"
	case p.accept("ROLE"):
		st.Role, err = p.strOrWord()
	case p.accept("EMAIL"):
		st.Email, err = p.str()
	case p.accept("STORAGE_MODE"):
		st.StorageMode, err = p.strOrWord()
	case p.accept("STORAGE_ID"):
		st.StorageID, err = p.strOrWord()
	default:
		return p.unexpected()
	}
	return err
}

// alterUser reads what follows ALTER USER.
func (p *statementParser) alterUser() (Statement, error) {
	st := &AlterUser{}
	var err error
	if st.User, err = p.userID(); err != nil {
		return nil, err
	}
	if err := p.expect("SET"); err != nil {
		return nil, err
	}
	field := p.word()
	switch field {
	case "PASSWORD", "ROLE", "EMAIL", "STORAGE_MODE", "STORAGE_ID":
	default:
		return nil, p.unexpected()
	}
	p.i++
	st.Field = strings.ToLower(field)
	switch {
	case p.accept("NULL"):
		st.Null = true
	case field == "PASSWORD" || field == "EMAIL":
		st.Value, err = p.str()
	default:
		st.Value, err = p.strOrWord()
	}
	if err != nil {
		return nil, err
	}
	return st, p.end()
}

// dropUser reads what follows DROP USER.
func (p *statementParser) dropUser() (Statement, error) {
	st := &DropUser{IfExists: p.ifExists()}
	var err error
	if st.User, err = p.userID(); err != nil {
		return nil, err
	}
	return st, p.end()
}

// userID reads the id of a user, which keeps its spelling.
func (p *statementParser) userID() (string, error) {
	offset := p.offset()
	id, err := p.strOrWord()
	if err != nil {
		return "", err
	}
	if id == "" {
		return "", syntaxError(p.src, offset, "the id of a user cannot be empty")
	}
	return id, nil
}

// executeAs reads EXECUTE AS [USER] 'id' ( statement ).
func (p *statementParser) executeAs() (Statement, error) {
	if !p.accept("EXECUTE", "AS") {
		return p.notYet()
	}
	if p.i+1 < len(p.toks) && !p.punctAt(p.i+1, '(') {
		p.accept("USER")
	}
	st := &ExecuteAs{}
	var err error
	if st.User, err = p.userID(); err != nil {
		return nil, p.badEnvelope("EXECUTE AS USER needs a user id")
	}
	if !p.acceptPunct('(') {
		return nil, p.badEnvelope("EXECUTE AS USER needs a statement in brackets")
	}
	first := p.i
	for depth := 1; ; p.i++ {
		if p.ended() {
			return nil, p.badEnvelope("the closing bracket of EXECUTE AS USER is missing; it takes a single SQL statement")
		}
		if p.punct('(') {
			depth++
		}
		if p.punct(')') {
			if depth--; depth == 0 {
				break
			}
		}
	}
	inner := p.toks[first:p.i]
	if p.i++; !p.ended() {
		return nil, p.badEnvelope("nothing may follow the closing bracket of EXECUTE AS USER")
	}
	for len(inner) > 0 && p.src[inner[len(inner)-1].start] == ';' {
		inner = inner[:len(inner)-1]
	}
	if len(inner) == 0 {
		return nil, p.badEnvelope("EXECUTE AS USER needs a statement in brackets")
	}
	for _, t := range inner {
		if p.src[t.start] == ';' {
			return nil, p.badEnvelope("EXECUTE AS USER takes a single SQL statement")
		}
	}
	if isWord(p.src, inner[0], "EXECUTE") {
		return nil, p.badEnvelope("EXECUTE AS USER cannot stand inside EXECUTE AS USER")
	}
	st.Offset = inner[0].start
	st.Inner = p.src[st.Offset:inner[len(inner)-1].end]
	return st, nil
}

// badEnvelope is the fault of a wrong EXECUTE AS.
func (p *statementParser) badEnvelope(text string) error {
	return fault.At(fault.InvalidInput, p.offset(), "%s", text)
}
