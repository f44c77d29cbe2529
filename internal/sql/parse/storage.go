package parse

import "kalamdb/internal/fault"

type (
	// StorageTexts are the clauses of CREATE STORAGE that ALTER STORAGE can set.
	StorageTexts struct {
		Name           string
		Description    string
		SharedTemplate string
		UserTemplate   string
		Credentials    string
		Config         string
		// Given are the clauses that stand in the statement, by their first word.
		Given map[string]bool
	}
	// CreateStorage is CREATE STORAGE.
	CreateStorage struct {
		ID            string
		Type          string
		BaseDirectory string
		Bucket        string
		Region        string
		StorageTexts
	}
	// AlterStorage is ALTER STORAGE id with one SET or several; what is not given
	// stays.
	AlterStorage struct {
		ID string
		StorageTexts
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
	st := &CreateStorage{StorageTexts: StorageTexts{Given: map[string]bool{}}}
	var err error
	if st.ID, err = p.strOrWord(); err != nil {
		return nil, err
	}
	for !p.ended() {
		if err := p.storageClause(st.clause, st.Given); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// storageClause reads one clause and its value: a string, or a word where no
// other than a word makes sense. target says where the value goes.
func (p *statementParser) storageClause(target func(string) *string, given map[string]bool) (err error) {
	offset, clause := p.offset(), p.word()
	into := target(clause)
	if into == nil {
		return p.unexpected()
	}
	if clause == "PATH" {
		clause = "BASE_DIRECTORY"
	}
	if given[clause] {
		return fault.At(fault.InvalidDefinition, offset, "%s is given twice", p.word())
	}
	given[clause] = true
	p.i++
	if clause == "TYPE" || clause == "BUCKET" || clause == "REGION" {
		*into, err = p.strOrWord()
	} else {
		*into, err = p.str()
	}
	return err
}

// clause returns where the value of a clause goes, nil when there is no such.
func (st *CreateStorage) clause(word string) *string {
	switch word {
	case "TYPE":
		return &st.Type
	case "PATH", "BASE_DIRECTORY":
		return &st.BaseDirectory
	case "BUCKET":
		return &st.Bucket
	case "REGION":
		return &st.Region
	}
	return st.StorageTexts.clause(word)
}

func (t *StorageTexts) clause(word string) *string {
	switch word {
	case "NAME":
		return &t.Name
	case "DESCRIPTION":
		return &t.Description
	case "SHARED_TABLES_TEMPLATE":
		return &t.SharedTemplate
	case "USER_TABLES_TEMPLATE":
		return &t.UserTemplate
	case "CREDENTIALS":
		return &t.Credentials
	case "CONFIG":
		return &t.Config
	}
	return nil
}

// alterStorage reads what follows ALTER STORAGE.
func (p *statementParser) alterStorage() (Statement, error) {
	st := &AlterStorage{StorageTexts: StorageTexts{Given: map[string]bool{}}}
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
		if err := p.storageClause(st.clause, st.Given); err != nil {
			return nil, err
		}
	}
	return st, nil
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
