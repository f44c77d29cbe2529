package parse

import "kalamdb/internal/fault"

type (
	// CreateStorage is CREATE STORAGE.
	CreateStorage struct {
		ID             string
		Type           string
		Name           string
		Description    string
		BaseDirectory  string
		Bucket         string
		Region         string
		SharedTemplate string
		UserTemplate   string
		Credentials    string
		Config         string
		// Given are the clauses that stand in the statement, by their first word.
		Given map[string]bool
	}
	// AlterStorage is ALTER STORAGE id with one SET or several; what is nil stays.
	AlterStorage struct {
		ID             string
		Name           *string
		Description    *string
		SharedTemplate *string
		UserTemplate   *string
		Credentials    *string
		Config         *string
	}
	// DropStorage is DROP STORAGE [IF EXISTS] id.
	DropStorage struct {
		ID       string
		IfExists bool
	}
	// StorageCheck is STORAGE CHECK id [EXTENDED].
	StorageCheck struct {
		ID       string
		Extended bool
	}
)

func (*CreateStorage) statement() {}
func (*AlterStorage) statement()  {}
func (*DropStorage) statement()   {}
func (*StorageCheck) statement()  {}

// createStorage reads what follows CREATE STORAGE.
func (p *statementParser) createStorage() (Statement, error) {
	st := &CreateStorage{Given: map[string]bool{}}
	var err error
	if st.ID, err = p.strOrWord(); err != nil {
		return nil, err
	}
	for !p.ended() {
		offset, clause := p.offset(), p.word()
		into := st.clause(clause)
		if into == nil {
			return nil, p.unexpected()
		}
		if clause == "PATH" {
			clause = "BASE_DIRECTORY"
		}
		if st.Given[clause] {
			return nil, fault.At(fault.InvalidDefinition, offset, "%s is given twice", p.word())
		}
		st.Given[clause] = true
		p.i++
		if *into, err = p.clauseText(clause); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// clauseText reads the value of a clause: a string, or a word where no other
// than a word makes sense.
func (p *statementParser) clauseText(clause string) (string, error) {
	if clause == "TYPE" || clause == "BUCKET" || clause == "REGION" {
		return p.strOrWord()
	}
	return p.str()
}

// clause returns where the value of a clause goes, nil when there is no such.
func (st *CreateStorage) clause(word string) *string {
	switch word {
	case "TYPE":
		return &st.Type
	case "NAME":
		return &st.Name
	case "DESCRIPTION":
		return &st.Description
	case "PATH", "BASE_DIRECTORY":
		return &st.BaseDirectory
	case "BUCKET":
		return &st.Bucket
	case "REGION":
		return &st.Region
	case "SHARED_TABLES_TEMPLATE":
		return &st.SharedTemplate
	case "USER_TABLES_TEMPLATE":
		return &st.UserTemplate
	case "CREDENTIALS":
		return &st.Credentials
	case "CONFIG":
		return &st.Config
	}
	return nil
}

// alterStorage reads what follows ALTER STORAGE.
func (p *statementParser) alterStorage() (Statement, error) {
	st := &AlterStorage{}
	var err error
	if st.ID, err = p.strOrWord(); err != nil {
		return nil, err
	}
	if p.ended() {
		return nil, p.unexpected()
	}
	for !p.ended() {
		if err := p.expect("SET"); err != nil {
			return nil, err
		}
		into := st.clause(p.word())
		if into == nil {
			return nil, p.unexpected()
		}
		if *into != nil {
			return nil, fault.At(fault.InvalidDefinition, p.offset(), "%s is given twice", p.word())
		}
		p.i++
		text, err := p.str()
		if err != nil {
			return nil, err
		}
		*into = &text
	}
	return st, nil
}

// clause returns where the value of SET goes, nil when there is no such.
func (st *AlterStorage) clause(word string) **string {
	switch word {
	case "NAME":
		return &st.Name
	case "DESCRIPTION":
		return &st.Description
	case "SHARED_TABLES_TEMPLATE":
		return &st.SharedTemplate
	case "USER_TABLES_TEMPLATE":
		return &st.UserTemplate
	case "CREDENTIALS":
		return &st.Credentials
	case "CONFIG":
		return &st.Config
	}
	return nil
}

// dropStorage reads what follows DROP STORAGE.
func (p *statementParser) dropStorage() (Statement, error) {
	st := &DropStorage{IfExists: p.ifExists()}
	var err error
	if st.ID, err = p.strOrWord(); err != nil {
		return nil, err
	}
	return st, p.end()
}

// storageCheck reads what follows STORAGE CHECK.
func (p *statementParser) storageCheck() (Statement, error) {
	st := &StorageCheck{}
	var err error
	if st.ID, err = p.strOrWord(); err != nil {
		return nil, err
	}
	st.Extended = p.accept("EXTENDED")
	return st, p.end()
}
